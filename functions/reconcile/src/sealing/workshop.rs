//! What a process that seals keeps from one run to the next.

use super::earlier::Kept;
use crate::scratch::{SCRATCH_BYTES_MAX, ScratchDisk};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use vernier_archive::keys::PublicKey;
use vernier_ledger::ports::{PortError, SealKey};

/// How far back and for how long sealing looks.
#[derive(Debug, Clone, Copy)]
pub struct SealingTimes {
    /// How far back an event's first occurrence is looked for, seconds.
    pub lookback_seconds: i64,
    /// How long a window that does not add up holds back those after it, seconds.
    pub hold_seconds: i64,
}

/// What sealing needs beside the stores.
pub struct Workshop {
    /// For what does not fit into memory.
    pub scratch: ScratchDisk,
    /// How many threads encode a window's files.
    pub threads: usize,
    /// How far back and for how long sealing looks.
    pub times: SealingTimes,
    pub(super) kept: Kept,
    public: Mutex<Option<PublicKey>>,
    /// What was announced by this process, so that it is not announced at every run.
    announced: Mutex<HashSet<String>>,
}

impl fmt::Debug for Workshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workshop")
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

impl Workshop {
    /// Begins with nothing known, with as many threads as there are processors, and a disk of the usual size.
    #[must_use]
    pub fn new(temporary: PathBuf, times: SealingTimes) -> Self {
        Self {
            scratch: ScratchDisk::new(temporary, SCRATCH_BYTES_MAX),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            times,
            kept: Kept::default(),
            public: Mutex::default(),
            announced: Mutex::default(),
        }
    }

    /// Whether this process says or does this for the first time.
    pub(crate) fn is_new(&self, notice: &str) -> bool {
        let mut announced = self
            .announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        announced.insert(notice.to_owned())
    }

    /// The key's public half, read once by a process.
    pub(super) async fn public_key<K: SealKey>(&self, key: &K) -> Result<PublicKey, PortError> {
        let known = || self.public.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known().clone();
        if let Some(key) = before {
            return Ok(key);
        }
        let bytes = key.public_key().await?;
        let key = PublicKey::read(&bytes).map_err(|e| PortError::Fatal(e.to_string()))?;
        *known() = Some(key.clone());
        Ok(key)
    }
}
