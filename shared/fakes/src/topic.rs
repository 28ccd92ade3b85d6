//! An audit topic in memory.

use crate::faults::{Faults, Operation};
use crate::lock;
use std::sync::{Arc, Mutex};
use vernier_ledger::ports::{Notices, PortError};

/// A message, bytes (service limit).
const NOTICE_BYTES_MAX: usize = 256 * 1_024;

/// A topic; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryTopic {
    notices: Arc<Mutex<Vec<(String, String)>>>,
    faults: Faults,
}

impl MemoryTopic {
    /// One that nothing was published to.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self {
            notices: Arc::default(),
            faults,
        }
    }

    /// What was published: subject and body.
    #[must_use]
    pub fn notices(&self) -> Vec<(String, String)> {
        lock(&self.notices).clone()
    }
}

impl Notices for MemoryTopic {
    async fn publish(&self, subject: &str, body: &str) -> Result<(), PortError> {
        if body.len() > NOTICE_BYTES_MAX {
            return Err(PortError::Fatal("publish notice: InvalidParameter".into()));
        }
        self.faults
            .around(Operation::Publish, || {
                lock(&self.notices).push((subject.to_owned(), body.to_owned()));
            })
            .await
    }
}
