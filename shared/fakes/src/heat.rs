//! Partitions that take so much in a second and no more.

use crate::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use vernier_ledger::ports::PortError;

#[derive(Debug, Default)]
struct State {
    /// What a partition takes; none while nothing is throttled.
    most: Option<u64>,
    taken: BTreeMap<String, u64>,
}

/// What the partitions of a store took in this second. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Heat(Arc<Mutex<State>>);

impl Heat {
    /// From here on a partition takes so many writes in a second.
    pub fn limit(&self, writes: u64) {
        lock(&self.0).most = Some(writes);
    }

    /// A second is over, and all partitions take as much again.
    pub fn cool(&self) {
        lock(&self.0).taken.clear();
    }

    /// Takes one write into a partition.
    ///
    /// # Errors
    /// When the partition is throttled.
    pub(crate) fn take(&self, partition: &str) -> Result<(), PortError> {
        let mut state = lock(&self.0);
        let Some(most) = state.most else {
            return Ok(());
        };
        let taken = state.taken.entry(partition.to_owned()).or_default();
        if *taken >= most {
            return Err(PortError::Throttled(
                "ProvisionedThroughputExceededException".into(),
            ));
        }
        *taken += 1;
        Ok(())
    }
}
