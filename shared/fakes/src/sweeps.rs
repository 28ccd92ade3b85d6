//! Sweeps' marks and leftovers in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use std::ops::Bound;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Leftovers, PortError, Sweeps};
use vernier_ledger::sweep::{Leftover, LeftoverKey, Sweep, SweepMark, UnknownTime};

/// What is kept of all sweeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct SweepsState {
    /// By tenant; none: the segments'.
    pub(crate) marks: BTreeMap<Option<TenantId>, SweepMark>,
    leftovers: BTreeMap<LeftoverKey, Leftover>,
    unknown: Option<UnknownTime>,
}

fn key_of(sweep: Sweep<'_>) -> Option<TenantId> {
    match sweep {
        Sweep::Segments => None,
        Sweep::Parts(tenant) => Some(tenant.clone()),
    }
}

impl Sweeps for MemoryTable {
    async fn sweep_mark(&self, sweep: Sweep<'_>) -> Result<Option<SweepMark>, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.sweeps).marks.get(&key_of(sweep)).cloned()
            })
            .await
    }

    async fn save_sweep_mark(&self, sweep: Sweep<'_>, mark: &SweepMark) -> Result<(), PortError> {
        self.faults
            .around(Operation::SaveSweep, || {
                lock(&self.sweeps).marks.insert(key_of(sweep), mark.clone());
            })
            .await
    }

    async fn unknown_time(&self) -> Result<Option<UnknownTime>, PortError> {
        let read = || lock(&self.sweeps).unknown;
        self.faults.around(Operation::Read, read).await
    }

    async fn save_unknown_time(&self, unknown: Option<UnknownTime>) -> Result<(), PortError> {
        self.faults
            .around(Operation::SaveSweep, || {
                lock(&self.sweeps).unknown = unknown;
            })
            .await
    }
}

impl Leftovers for MemoryTable {
    async fn leftovers(
        &self,
        after: Option<&LeftoverKey>,
        count_max: u32,
    ) -> Result<Vec<Leftover>, PortError> {
        let read = || {
            let sweeps = lock(&self.sweeps);
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let behind = sweeps.leftovers.range((from, Bound::Unbounded));
            let some = behind.take(count_max as usize);
            some.map(|(_, leftover)| leftover.clone()).collect()
        };
        self.faults.around(Operation::Read, read).await
    }

    async fn keep_leftover(&self, leftover: &Leftover) -> Result<(), PortError> {
        self.faults
            .around(Operation::SaveSweep, || {
                let mut sweeps = lock(&self.sweeps);
                let (key, leftover) = (leftover.key.clone(), leftover.clone());
                sweeps.leftovers.insert(key, leftover);
            })
            .await
    }

    async fn forget_leftover(&self, key: &LeftoverKey) -> Result<(), PortError> {
        self.faults
            .around(Operation::SaveSweep, || {
                lock(&self.sweeps).leftovers.remove(key);
            })
            .await
    }
}
