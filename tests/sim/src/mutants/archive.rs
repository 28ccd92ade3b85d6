//! Chains, playbacks and sweeps of the table, with a place for a bug.

use super::{Bug, Table};
use std::sync::PoisonError;
use vernier_archive::seal::seal_key;
use vernier_ledger::chain::{ChainHead, ChainStep, SealEntry};
use vernier_ledger::checkpoint::{CheckpointMark, Checkpoints, ShardMark, ShardMarks};
use vernier_ledger::holds::{HeldWindow, Holds};
use vernier_ledger::ids::{Shard, TenantId};
use vernier_ledger::playback_job::{PlaybackId, PlaybackJob};
use vernier_ledger::ports::{
    ChainOutcome, Chains, FrameStream, Leftovers, PlaybackOutcome, Playbacks, PortError, Schemas,
    Sweeps,
};
use vernier_ledger::schema::StoredSchema;
use vernier_ledger::sweep::{Leftover, LeftoverKey, Sweep, SweepMark, UnknownTime};
use vernier_ledger::time::Millis;

impl Chains for Table {
    async fn chain(&self, tenant: &TenantId) -> Result<Option<ChainHead>, PortError> {
        self.inner.chain(tenant).await
    }

    async fn move_chain(
        &self,
        tenant: &TenantId,
        step: &ChainStep,
    ) -> Result<ChainOutcome, PortError> {
        let mut step = step.clone();
        if self.bug == Some(Bug::MoveChainUnconditionally) {
            let seen = self.inner.raw_chain(tenant).map_or(0, |head| head.revision);
            step.head.revision = seen + 1;
        }
        if let (Some(Bug::ForgetRemaining), Some(seal)) = (self.bug, &mut step.seal)
            && seal.is_backfill()
        {
            seal.missing = 0;
        }
        let answer = self.inner.move_chain(tenant, &step).await?;
        if self.bug == Some(Bug::ChainBeforeSeal)
            && let Some(seal) = &step.seal
        {
            self.write_late(&seal_key(tenant, seal.sequence)).await?;
        }
        Ok(answer)
    }

    async fn seals(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<SealEntry>, PortError> {
        let mut seals = self.inner.seals(tenant, from, to).await?;
        if self.bug == Some(Bug::ForgetBackfills) {
            seals.retain(|seal| !seal.is_backfill() || seal.sequence.is_multiple_of(2));
        }
        Ok(seals)
    }

    async fn days(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<SealEntry>, PortError> {
        self.inner.days(tenant, from, to).await
    }
}

impl Holds for Table {
    async fn held_items(&self, tenant: &TenantId) -> Result<Vec<HeldWindow>, PortError> {
        let held = self.inner.held_items(tenant).await?;
        Ok(match self.bug {
            Some(Bug::ForgetHolds) => Vec::new(),
            _ => held,
        })
    }

    async fn change_held(
        &self,
        tenant: &TenantId,
        seen: &HeldWindow,
        next: &HeldWindow,
    ) -> Result<bool, PortError> {
        self.inner.change_held(tenant, seen, next).await
    }
}

impl Playbacks for Table {
    async fn playback(
        &self,
        tenant: &TenantId,
        id: PlaybackId,
    ) -> Result<Option<PlaybackJob>, PortError> {
        self.inner.playback(tenant, id).await
    }

    async fn playbacks(&self, tenant: &TenantId) -> Result<Vec<PlaybackJob>, PortError> {
        self.inner.playbacks(tenant).await
    }

    async fn open_playbacks(&self) -> Result<Vec<(TenantId, PlaybackId)>, PortError> {
        self.inner.open_playbacks().await
    }

    async fn move_playback(
        &self,
        tenant: &TenantId,
        next: &PlaybackJob,
    ) -> Result<PlaybackOutcome, PortError> {
        let late = {
            let late = self.late_records.lock();
            std::mem::take(&mut *late.unwrap_or_else(PoisonError::into_inner))
        };
        let answer = self.inner.move_playback(tenant, next).await?;
        if self.bug == Some(Bug::MovePlaybackFirst) {
            let placed = self.stream.append(&late).await;
            placed.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        Ok(answer)
    }
}

impl Sweeps for Table {
    async fn sweep_mark(&self, sweep: Sweep<'_>) -> Result<Option<SweepMark>, PortError> {
        self.inner.sweep_mark(sweep).await
    }

    async fn save_sweep_mark(&self, sweep: Sweep<'_>, mark: &SweepMark) -> Result<(), PortError> {
        self.inner.save_sweep_mark(sweep, mark).await
    }

    async fn unknown_time(&self) -> Result<Option<UnknownTime>, PortError> {
        self.inner.unknown_time().await
    }

    async fn save_unknown_time(&self, unknown: Option<UnknownTime>) -> Result<(), PortError> {
        self.inner.save_unknown_time(unknown).await
    }
}

impl Leftovers for Table {
    async fn leftovers(
        &self,
        after: Option<&LeftoverKey>,
        count_max: u32,
    ) -> Result<Vec<Leftover>, PortError> {
        self.inner.leftovers(after, count_max).await
    }

    async fn keep_leftover(&self, leftover: &Leftover) -> Result<(), PortError> {
        self.inner.keep_leftover(leftover).await
    }

    async fn forget_leftover(&self, key: &LeftoverKey) -> Result<(), PortError> {
        self.inner.forget_leftover(key).await
    }
}

impl Checkpoints for Table {
    async fn newest_checkpoint(&self) -> Result<Option<CheckpointMark>, PortError> {
        self.inner.newest_checkpoint().await
    }

    async fn keep_checkpoint(&self, mark: &CheckpointMark) -> Result<(), PortError> {
        self.inner.keep_checkpoint(mark).await
    }
}

impl ShardMarks for Table {
    async fn shard_mark(&self, shard: &Shard) -> Result<Option<ShardMark>, PortError> {
        self.inner.shard_mark(shard).await
    }

    async fn save_shard_mark(&self, mark: &ShardMark) -> Result<(), PortError> {
        self.inner.save_shard_mark(mark).await
    }

    async fn checked_through(&self) -> Result<Option<Millis>, PortError> {
        self.inner.checked_through().await
    }

    async fn save_checked_through(&self, at: Millis) -> Result<(), PortError> {
        self.inner.save_checked_through(at).await
    }
}

impl Schemas for Table {
    async fn schemas(&self, tenant: &TenantId) -> Result<Vec<StoredSchema>, PortError> {
        self.inner.schemas(tenant).await
    }

    async fn schema_version(
        &self,
        tenant: &TenantId,
        type_name: &str,
        version: u32,
    ) -> Result<Option<StoredSchema>, PortError> {
        self.inner.schema_version(tenant, type_name, version).await
    }

    async fn put_schema(
        &self,
        tenant: &TenantId,
        schema: &StoredSchema,
    ) -> Result<bool, PortError> {
        self.inner.put_schema(tenant, schema).await
    }
}
