//! A stream in memory: shards by hash of the partition key, sequence numbers that leave gaps.

use crate::faults::{Faults, Operation};
use crate::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::limits::RECORD_BYTES_MAX;
use vernier_ledger::ports::{FrameStream, NewRecord, PortError};
use vernier_ledger::receipt::Origin;

/// Records by shard, in order.
pub type ShardRecords = BTreeMap<Shard, Vec<(Sequence, NewRecord)>>;

/// A stream; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryStream {
    shards: Arc<Mutex<ShardRecords>>,
    faults: Faults,
    next: Arc<Mutex<u64>>,
}

impl MemoryStream {
    /// With so many shards.
    ///
    /// # Panics
    /// Never: the names are of Kinesis's form.
    #[must_use]
    pub fn new(shards: usize, faults: Faults) -> Self {
        let shard = |n| Shard::new("frames", &format!("shardId-{n:012}")).expect("a shard's name");
        let shards = (0..shards.max(1)).map(|n| (shard(n), Vec::new())).collect();
        Self {
            shards: Arc::new(Mutex::new(shards)),
            faults,
            next: Arc::new(Mutex::new(1_000)),
        }
    }

    /// What lies on the stream.
    #[must_use]
    pub fn records(&self) -> ShardRecords {
        lock(&self.shards).clone()
    }

    fn put(&self, record: &NewRecord) -> Origin {
        let mut shards = lock(&self.shards);
        let hash = record
            .partition_key
            .bytes()
            .fold(7_usize, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        let shard = shards
            .keys()
            .nth(hash % shards.len())
            .cloned()
            .expect("there is a shard");
        let mut next = lock(&self.next);
        *next += 7;
        let sequence: Sequence = next.to_string().parse().expect("digits");
        shards
            .entry(shard.clone())
            .or_default()
            .push((sequence.clone(), record.clone()));
        Origin { shard, sequence }
    }
}

impl FrameStream for MemoryStream {
    async fn append(&self, records: &[NewRecord]) -> Vec<Result<Origin, PortError>> {
        records
            .iter()
            .map(|r| match refusal(r) {
                Some(error) => Err(error),
                None => self.faults.around(Operation::Append, || self.put(r)),
            })
            .collect()
    }
}

/// Why a stream takes no such record, by Kinesis's limits; none when it does.
#[must_use]
pub fn refusal(record: &NewRecord) -> Option<PortError> {
    let key_characters = record.partition_key.chars().count();
    let bytes = record.data.len() + record.partition_key.len();
    let over = bytes > RECORD_BYTES_MAX || !(1..=256).contains(&key_characters);
    over.then(|| PortError::Fatal("append: ValidationException".into()))
}
