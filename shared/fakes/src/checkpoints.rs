//! Which checkpoint is the newest one, and how far shards were checked, in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use vernier_ledger::checkpoint::{CheckpointMark, Checkpoints, ShardMark, ShardMarks};
use vernier_ledger::ids::Shard;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;

#[derive(Debug, Default)]
pub(crate) struct ChecksState {
    newest: Option<CheckpointMark>,
    marks: BTreeMap<Shard, ShardMark>,
    through: Option<Millis>,
}

impl MemoryTable {
    /// The planner has written a checkpoint of this instant, no fault in between.
    pub fn place_checkpoint(&self, at: Millis) {
        lock(&self.checks).newest = Some(CheckpointMark::of(at, b"a checkpoint"));
    }
}

impl Checkpoints for MemoryTable {
    async fn newest_checkpoint(&self) -> Result<Option<CheckpointMark>, PortError> {
        self.faults
            .around(Operation::Read, || lock(&self.checks).newest)
            .await
    }

    async fn keep_checkpoint(&self, mark: &CheckpointMark) -> Result<(), PortError> {
        self.faults
            .around(Operation::KeepCheckpoint, || {
                let newest = &mut lock(&self.checks).newest;
                if newest.is_none_or(|newest| newest.at < mark.at) {
                    *newest = Some(*mark);
                }
            })
            .await
    }
}

impl ShardMarks for MemoryTable {
    async fn shard_mark(&self, shard: &Shard) -> Result<Option<ShardMark>, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.checks).marks.get(shard).cloned()
            })
            .await
    }

    async fn save_shard_mark(&self, mark: &ShardMark) -> Result<(), PortError> {
        self.faults
            .around(Operation::KeepCheckpoint, || {
                let marks = &mut lock(&self.checks).marks;
                marks.insert(mark.shard.clone(), mark.clone());
            })
            .await
    }

    async fn checked_through(&self) -> Result<Option<Millis>, PortError> {
        self.faults
            .around(Operation::Read, || lock(&self.checks).through)
            .await
    }

    async fn save_checked_through(&self, at: Millis) -> Result<(), PortError> {
        self.faults
            .around(Operation::KeepCheckpoint, || {
                lock(&self.checks).through = Some(at);
            })
            .await
    }
}
