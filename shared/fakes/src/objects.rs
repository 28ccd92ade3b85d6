//! A bucket in memory.

use crate::faults::{Faults, Operation};
use crate::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use vernier_ledger::ports::{Objects, PortError, PutOutcome};

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
        self.faults.around(Operation::PutObject, || {
            let mut objects = lock(&self.objects);
            if objects.contains_key(key) {
                return PutOutcome::Exists;
            }
            objects.insert(key.to_owned(), bytes);
            PutOutcome::Created
        })
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        self.faults.around(Operation::Read, || {
            let objects = lock(&self.objects);
            let bytes = objects.get(key)?;
            let cut = |(offset, length): (u64, u64)| {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = usize::try_from(offset + length)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                bytes[start..end].to_vec()
            };
            Some(range.map_or_else(|| bytes.clone(), cut))
        })
    }
}
