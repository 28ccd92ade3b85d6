//! What an answer cost: objects read, and their bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use vernier_ledger::ports::{Objects, PortError, PutOutcome};
use vernier_ledger::stores::Stores;

/// The header that tells what an answer cost: requests to the object store, and their bytes.
pub(crate) const READS: &str = "vernier-reads";

/// Stores whose bucket counts what is read of it.
#[derive(Debug)]
pub(crate) struct Metered<'s, S> {
    stores: &'s S,
    gets: AtomicU64,
    bytes: AtomicU64,
}

/// How much of the bucket was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// Requests for an object or a part of one.
    pub gets: u64,
    /// Bytes of their answers.
    pub bytes: u64,
}

impl std::fmt::Display for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gets={}, bytes={}", self.gets, self.bytes)
    }
}

impl<'s, S: Stores> Metered<'s, S> {
    pub(crate) const fn new(stores: &'s S) -> Self {
        Self {
            stores,
            gets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Gives the table, whose reads are not counted.
    pub(crate) fn table(&self) -> &'s S::Table {
        self.stores.table()
    }

    pub(crate) fn reads(&self) -> Reads {
        Reads {
            gets: self.gets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl<S: Stores> Objects for Metered<'_, S> {
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        note: Option<&str>,
    ) -> Result<PutOutcome, PortError> {
        self.stores.objects().put_new(key, bytes, note).await
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        let found = self.stores.objects().get(key, range).await?;
        let bytes = found.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(found)
    }
}
