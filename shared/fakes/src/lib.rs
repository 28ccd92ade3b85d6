//! The ports in memory, with faults on demand. For tests only: no function depends on it.
//!
//! Each call asks the fault plan first. A fault can strike before the effect (nothing happened)
//! or after it (it happened, and the caller is told that it failed): the second is what time-outs
//! look like.

mod blocks;
mod chains;
mod checkpoints;
mod faults;
mod given_up;
mod heat;
mod key;
mod objects;
mod playbacks;
mod queue;
mod rates;
mod raw_receipts;
mod receipts;
mod records;
mod refused;
mod roll_ups;
mod scalings;
mod spread;
mod stream;
mod sweeps;
mod table;
mod tenancy;
mod topic;
mod work;

pub use faults::{Fault, FaultPlan, Faults, Operation};
pub use heat::Heat;
pub use key::MemoryKey;
pub use objects::MemoryBucket;
pub use queue::{DEDUPLICATED_SECONDS, Delivery, MemoryQueue, RECEIVES_MAX, VISIBILITY_SECONDS};
pub use stream::{MemoryStream, ShardDescription, ShardRecords, refusal};
pub use table::MemoryTable;
pub use topic::MemoryTopic;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vernier_ledger::stores::StoreSet;

/// All stores of a function in memory.
pub type MemoryStores =
    StoreSet<MemoryTable, MemoryBucket, MemoryStream, MemoryTopic, MemoryKey, MemoryQueue>;

/// A panic of another test thread leaves plain data behind, which is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The entries of a map from a key on as long as they are wanted: what one owner has lies together, so that reading it
/// costs nothing for what others have.
fn entries_from<K: Ord, V>(
    map: &BTreeMap<K, V>,
    first: K,
    is_wanted: impl Fn(&K) -> bool,
) -> impl Iterator<Item = (&K, &V)> {
    map.range(first..)
        .take_while(move |(key, _)| is_wanted(key))
}
