//! Playbacks in memory.

use crate::faults::Operation;
use crate::table::MemoryTable;
use crate::{entries_from, lock};
use std::collections::BTreeMap;
use vernier_ledger::ids::TenantId;
use vernier_ledger::playback_job::{PlaybackId, PlaybackJob};
use vernier_ledger::ports::{PlaybackOutcome, Playbacks, PortError};

pub(crate) type PlaybacksState = BTreeMap<(TenantId, PlaybackId), PlaybackJob>;

impl MemoryTable {
    /// All playbacks, no fault in between.
    #[must_use]
    pub fn all_playbacks(&self) -> Vec<PlaybackJob> {
        lock(&self.playbacks).values().cloned().collect()
    }
}

impl Playbacks for MemoryTable {
    async fn playback(
        &self,
        tenant: &TenantId,
        id: PlaybackId,
    ) -> Result<Option<PlaybackJob>, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.playbacks).get(&(tenant.clone(), id)).cloned()
            })
            .await
    }

    async fn playbacks(&self, tenant: &TenantId) -> Result<Vec<PlaybackJob>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.playbacks);
                let first = (tenant.clone(), PlaybackId::nil());
                let of_tenant = entries_from(&state, first, |(owner, _)| owner == tenant);
                of_tenant.map(|(_, job)| job.clone()).collect()
            })
            .await
    }

    async fn open_playbacks(&self) -> Result<Vec<(TenantId, PlaybackId)>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.playbacks);
                let open = state.iter().filter(|(_, job)| job.state.is_open());
                open.map(|(key, _)| key.clone()).collect()
            })
            .await
    }

    async fn move_playback(
        &self,
        tenant: &TenantId,
        next: &PlaybackJob,
    ) -> Result<PlaybackOutcome, PortError> {
        self.faults
            .around(Operation::MovePlayback, || {
                let mut state = lock(&self.playbacks);
                let key = (tenant.clone(), next.id);
                let seen = state.get(&key).map_or(0, |job| job.revision);
                if seen + 1 != next.revision {
                    return PlaybackOutcome::Stale;
                }
                state.insert(key, next.clone());
                PlaybackOutcome::Moved
            })
            .await
    }
}
