//! A bucket in memory.

use crate::faults::{Faults, Operation};
use crate::lock;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use vernier_ledger::clock;
use vernier_ledger::ports::{
    Inventory, ListedObject, NotRemoved, Objects, PortError, PutOutcome, REMOVALS_MAX, Removal,
};
use vernier_ledger::time::Millis;

/// Keys of a page (service limit).
const PAGE_KEYS_MAX: usize = 1_000;

/// A key, bytes (service limit).
const KEY_BYTES_MAX: usize = 1_024;

/// An object.
#[derive(Debug, Clone)]
struct Stored {
    bytes: Vec<u8>,
    written_at: Millis,
}

/// A bucket; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket {
    objects: Arc<Mutex<BTreeMap<String, Stored>>>,
    removals: Arc<AtomicU64>,
    /// What its clock says; none: the machine's.
    now: Arc<Mutex<Option<Millis>>>,
    faults: Faults,
}

/// Objects whose keys begin so, in order; of those behind a key, where there is one.
fn beginning_with<'o>(
    objects: &'o BTreeMap<String, Stored>,
    prefix: &'o str,
    after: Option<&'o str>,
) -> impl Iterator<Item = (&'o String, &'o Stored)> {
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    let found = objects.range::<str, _>((from, Bound::Unbounded));
    found.take_while(move |(key, _)| key.starts_with(prefix))
}

impl MemoryBucket {
    /// An empty one.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self {
            objects: Arc::default(),
            removals: Arc::default(),
            now: Arc::default(),
            faults,
        }
    }

    /// Keys that begin so, in order.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let objects = lock(&self.objects);
        let found = beginning_with(&objects, prefix, None);
        found.map(|(key, _)| key.clone()).collect()
    }

    /// Whether there is an object, no fault in between.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        lock(&self.objects).contains_key(key)
    }

    /// An object as it lies there, no fault in between.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.objects).get(key).map(|o| o.bytes.clone())
    }

    /// Sets its clock, which stands still from then on.
    pub fn set_clock(&self, now: Millis) {
        *lock(&self.now) = Some(now);
    }

    /// Puts an object there behind the ledger's back, over whatever is there.
    pub fn place(&self, key: &str, bytes: Vec<u8>) {
        let written_at = lock(&self.now).unwrap_or_else(clock::now);
        lock(&self.objects).insert(key.to_owned(), Stored { bytes, written_at });
    }

    /// Removes an object behind the ledger's back.
    pub fn lose(&self, key: &str) {
        self.take(key);
    }

    /// How often an object was removed, by whomever.
    #[must_use]
    pub fn removals(&self) -> u64 {
        self.removals.load(Ordering::Relaxed)
    }

    fn take(&self, key: &str) {
        if lock(&self.objects).remove(key).is_some() {
            self.removals.fetch_add(1, Ordering::Relaxed);
        }
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
                let written_at = lock(&self.now).unwrap_or_else(clock::now);
                objects.insert(key.to_owned(), Stored { bytes, written_at });
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
            let Stored { bytes, .. } = objects.get(key)?;
            let Some((offset, length)) = range else {
                return Some(bytes.clone());
            };
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            let end = place(offset.saturating_add(length));
            Some(bytes[place(offset)..end].to_vec())
        });
        read.await
    }
}

impl Removal for MemoryBucket {
    async fn remove(&self, key: &str) -> Result<(), PortError> {
        self.faults
            .around(Operation::RemoveObject, || self.take(key))
            .await
    }

    async fn remove_all(&self, keys: &[String]) -> Result<Vec<NotRemoved>, PortError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if keys.len() > REMOVALS_MAX {
            return Err(PortError::Fatal("delete objects: MalformedXML".into()));
        }
        let remove = |key: &String| {
            let removed = self.faults.decide(Operation::RemoveKey, || self.take(key));
            let error = removed.err()?;
            let key = key.clone();
            Some(NotRemoved { key, error })
        };
        self.faults
            .around(Operation::RemoveObject, || {
                keys.iter().filter_map(remove).collect()
            })
            .await
    }
}

impl Inventory for MemoryBucket {
    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, PortError> {
        let list = || {
            let objects = lock(&self.objects);
            let found = beginning_with(&objects, prefix, after);
            let listed = found.map(|(key, stored)| ListedObject {
                key: key.clone(),
                bytes: stored.bytes.len() as u64,
                written_at: stored.written_at,
            });
            listed.take(PAGE_KEYS_MAX).collect()
        };
        self.faults.around(Operation::Read, list).await
    }
}
