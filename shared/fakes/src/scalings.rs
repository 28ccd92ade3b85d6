//! Scaling logs in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use vernier_ledger::ports::{PortError, ScalingLogs};
use vernier_ledger::scaling::ScalingLog;

impl ScalingLogs for MemoryTable {
    async fn scaling_log(&self, stream: &str) -> Result<ScalingLog, PortError> {
        let read = || lock(&self.scalings).get(stream).cloned();
        let log = self.faults.around(Operation::Read, read).await?;
        Ok(log.unwrap_or_default())
    }

    async fn save_scaling_log(&self, stream: &str, log: &ScalingLog) -> Result<(), PortError> {
        let save = || {
            lock(&self.scalings).insert(stream.to_owned(), log.clone());
        };
        self.faults.around(Operation::SaveScaling, save).await
    }
}
