//! Filters of identities that a process remembers: a page that is asked for every few seconds reads those of new blocks
//! alone, which are few.

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::sync::Arc;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::segment::Block;

/// Bytes of filters that a process remembers: those of 16 million events, half an hour of a tenant with 10,000 a second.
const BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What a filter takes beside its bytes: its key, and the cache's own.
const ENTRY_BYTES: usize = 200;

/// Filters by what their block's item says of them, the least recently used of which go. An item is read in its
/// tenant's own partition, so that nobody comes to another tenant's filter (invariant 7).
#[derive(Debug, Clone)]
pub struct FilterMemory(Cache<Fingerprint, Arc<[u8]>>);

impl Default for FilterMemory {
    fn default() -> Self {
        let weight = |_: &Fingerprint, filter: &Arc<[u8]>| {
            u32::try_from(filter.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(BYTES_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(weight);
        Self(cache.build())
    }
}

/// The hash of the frame of a block's filter, and of a block that has none the block's own.
fn key_of(block: &Block) -> Option<Fingerprint> {
    let place = block.index.as_ref();
    Fingerprint::from_hex(place.map_or(&block.sha256, |place| &place.filter_sha256))
}

impl FilterMemory {
    pub(crate) fn get(&self, block: &Block) -> Option<Arc<[u8]>> {
        self.0.get(&key_of(block)?)
    }

    /// Remembers a block's filter, which was checked against the block's item.
    pub(crate) fn put(&self, block: &Block, filter: &Arc<[u8]>) {
        if let Some(key) = key_of(block) {
            self.0.insert(key, Arc::clone(filter));
        }
    }
}
