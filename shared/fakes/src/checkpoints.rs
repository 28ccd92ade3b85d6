//! Which checkpoint is the newest one, in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use vernier_ledger::checkpoint::{CheckpointMark, Checkpoints};
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;

impl MemoryTable {
    /// The planner has written a checkpoint of this instant, no fault in between.
    pub fn place_checkpoint(&self, at: Millis) {
        lock(&self.state).newest_checkpoint = Some(CheckpointMark::of(at, b"a checkpoint"));
    }
}

impl Checkpoints for MemoryTable {
    async fn newest_checkpoint(&self) -> Result<Option<CheckpointMark>, PortError> {
        self.faults
            .around(Operation::Read, || lock(&self.state).newest_checkpoint)
            .await
    }

    async fn keep_checkpoint(&self, mark: &CheckpointMark) -> Result<(), PortError> {
        self.faults
            .around(Operation::KeepCheckpoint, || {
                let newest = &mut lock(&self.state).newest_checkpoint;
                if newest.is_none_or(|newest| newest.at < mark.at) {
                    *newest = Some(*mark);
                }
            })
            .await
    }
}
