//! What an answer cost: objects read, and their bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use vernier_ledger::ports::{Objects, PortError, PutOutcome};

/// The header that tells what an answer cost: requests to the object store, and their bytes.
pub(crate) const READS: &str = "vernier-reads";

/// Objects that count what is read.
#[derive(Debug)]
pub(crate) struct Metered<'o, O> {
    objects: &'o O,
    gets: AtomicU64,
    bytes: AtomicU64,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// Requests for an object or a part of one.
    pub gets: u64,
    /// Bytes that came.
    pub bytes: u64,
}

impl std::fmt::Display for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gets={}, bytes={}", self.gets, self.bytes)
    }
}

impl<'o, O> Metered<'o, O> {
    pub(crate) const fn new(objects: &'o O) -> Self {
        Self {
            objects,
            gets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn reads(&self) -> Reads {
        Reads {
            gets: self.gets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl<O: Objects> Objects for Metered<'_, O> {
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        note: Option<&str>,
    ) -> Result<PutOutcome, PortError> {
        self.objects.put_new(key, bytes, note).await
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        let found = self.objects.get(key, range).await?;
        let bytes = found.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(found)
    }
}
