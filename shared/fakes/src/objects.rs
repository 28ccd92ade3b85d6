//! A bucket in memory.

use crate::faults::{Faults, Operation};
use crate::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use vernier_ledger::ports::{Inventory, Objects, PortError, PutOutcome};

/// Keys of a page (service limit).
const PAGE_KEYS_MAX: usize = 1_000;

/// A key, bytes (service limit).
const KEY_BYTES_MAX: usize = 1_024;

/// A bucket; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    faults: Faults,
}

impl MemoryBucket {
    /// An empty one.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self {
            objects: Arc::default(),
            faults,
        }
    }

    /// Keys that begin so, in order.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        lock(&self.objects)
            .keys()
            .filter(|k| k.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// An object as it lies there, no fault in between.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.objects).get(key).cloned()
    }

    /// Removes an object behind the ledger's back.
    pub fn lose(&self, key: &str) {
        lock(&self.objects).remove(key);
    }
}

impl Objects for MemoryBucket {
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        _note: Option<&str>,
    ) -> Result<PutOutcome, PortError> {
        if key.len() > KEY_BYTES_MAX {
            return Err(PortError::Fatal("put object: KeyTooLongError".into()));
        }
        self.faults
            .around(Operation::PutObject, || {
                let mut objects = lock(&self.objects);
                if objects.contains_key(key) {
                    return PutOutcome::Exists;
                }
                objects.insert(key.to_owned(), bytes);
                PutOutcome::Created
            })
            .await
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        let read = self.faults.around(Operation::Read, || {
            let objects = lock(&self.objects);
            let Some(bytes) = objects.get(key) else {
                return Ok(None);
            };
            let Some((offset, length)) = range else {
                return Ok(Some(bytes.clone()));
            };
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            if place(offset) == bytes.len() {
                return Err(PortError::Fatal("get object: InvalidRange".into()));
            }
            let end = place(offset.saturating_add(length));
            Ok(Some(bytes[place(offset)..end].to_vec()))
        });
        read.await.flatten()
    }
}

impl Inventory for MemoryBucket {
    async fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, PortError> {
        let list = || {
            let objects = lock(&self.objects);
            let keys = objects.keys().filter(|k| k.starts_with(prefix));
            let left = keys.filter(|k| after.is_none_or(|after| k.as_str() > after));
            left.take(PAGE_KEYS_MAX).cloned().collect()
        };
        self.faults.around(Operation::Read, list).await
    }
}
