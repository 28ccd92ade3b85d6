//! A stream in memory: shards by range of the partition key's hash, that split and merge; sequence
//! numbers that leave gaps; records that are trimmed when their retention is over.

use crate::faults::{Faults, Operation};
use crate::heat::Heat;
use crate::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::limits::RECORD_BYTES_MAX;
use vernier_ledger::ports::{FrameRecords, FrameStream, NewRecord, PortError};
use vernier_ledger::receipt::Origin;

/// Records by shard, in order.
pub type ShardRecords = BTreeMap<Shard, Vec<(Sequence, NewRecord)>>;

/// A shard as the stream describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardDescription {
    /// Its name.
    pub shard: Shard,
    /// The shards that it came from, by a split (one) or a merge (two).
    pub parents: Vec<Shard>,
    /// Whether it takes records.
    pub is_open: bool,
    /// Place of its first record that is not trimmed, counted from 0.
    pub first: usize,
    /// Place behind its last record.
    pub end: usize,
}

#[derive(Debug)]
struct Log {
    shard: Shard,
    parents: Vec<Shard>,
    is_open: bool,
    /// Hashes that it takes, both ends included.
    range: (u64, u64),
    records: Vec<(Sequence, NewRecord)>,
    /// How many of the oldest are gone.
    trimmed: usize,
}

#[derive(Debug)]
struct State {
    /// In the order of their creation.
    logs: Vec<Log>,
    next: u64,
}

/// A stream; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryStream {
    state: Arc<Mutex<State>>,
    faults: Faults,
    /// What records of a partition key take of their shard.
    pub heat: Heat,
}

/// FNV-1a, then a multiplication that spreads it over the range.
fn hash(key: &str) -> u64 {
    let sum = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl State {
    fn open(&mut self, parents: Vec<Shard>, range: (u64, u64)) {
        let id = format!("shardId-{:012}", self.logs.len());
        self.logs.push(Log {
            shard: Shard::new("frames", &id).expect("a shard's name"),
            parents,
            is_open: true,
            range,
            records: Vec::new(),
            trimmed: 0,
        });
    }

    fn log(&mut self, shard: &Shard) -> Option<&mut Log> {
        self.logs.iter_mut().find(|l| l.shard == *shard)
    }
}

impl MemoryStream {
    /// With so many shards.
    #[must_use]
    pub fn new(shards: usize, faults: Faults) -> Self {
        let count = u64::try_from(shards.max(1)).unwrap_or(1);
        let mut state = State {
            logs: Vec::new(),
            next: 1_000,
        };
        let width = u64::MAX / count;
        for n in 0..count {
            let last = if n + 1 == count {
                u64::MAX
            } else {
                (n + 1) * width - 1
            };
            state.open(Vec::new(), (n * width, last));
        }
        Self {
            state: Arc::new(Mutex::new(state)),
            faults,
            heat: Heat::default(),
        }
    }

    /// What lies on the stream.
    #[must_use]
    pub fn records(&self) -> ShardRecords {
        let state = lock(&self.state);
        let left = |l: &Log| (l.shard.clone(), l.records[l.trimmed..].to_vec());
        state.logs.iter().map(left).collect()
    }

    /// The shards in the order of their creation, closed ones too.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardDescription> {
        let state = lock(&self.state);
        let describe = |l: &Log| ShardDescription {
            shard: l.shard.clone(),
            parents: l.parents.clone(),
            is_open: l.is_open,
            first: l.trimmed,
            end: l.records.len(),
        };
        state.logs.iter().map(describe).collect()
    }

    /// At most `count` records of a shard from a place on; trimmed ones are skipped.
    #[must_use]
    pub fn read(&self, shard: &Shard, from: usize, count: usize) -> Vec<(Sequence, NewRecord)> {
        let mut state = lock(&self.state);
        let Some(log) = state.log(shard) else {
            return Vec::new();
        };
        let end = from.saturating_add(count).min(log.records.len());
        let start = from.max(log.trimmed);
        log.records.get(start..end).unwrap_or_default().to_vec()
    }

    /// Closes an open shard and opens two in its place; false when it is not open.
    pub fn split(&self, shard: &Shard) -> bool {
        let mut state = lock(&self.state);
        let Some(log) = state.log(shard).filter(|l| l.is_open) else {
            return false;
        };
        let (low, high) = log.range;
        if low == high {
            return false;
        }
        log.is_open = false;
        let middle = low + (high - low) / 2;
        state.open(vec![shard.clone()], (low, middle));
        state.open(vec![shard.clone()], (middle + 1, high));
        true
    }

    /// Closes an open shard and its open neighbour above, and opens one in their place; false when
    /// there are not two such.
    pub fn merge(&self, shard: &Shard) -> bool {
        let mut state = lock(&self.state);
        let Some(lower) = state.log(shard).filter(|l| l.is_open) else {
            return false;
        };
        let (low, high) = lower.range;
        let above = |l: &&mut Log| l.is_open && high.checked_add(1) == Some(l.range.0);
        let Some(upper) = state.logs.iter_mut().find(above) else {
            return false;
        };
        upper.is_open = false;
        let (neighbour, last) = (upper.shard.clone(), upper.range.1);
        if let Some(lower) = state.log(shard) {
            lower.is_open = false;
        }
        state.open(vec![shard.clone(), neighbour], (low, last));
        true
    }

    /// Lets the retention of a shard's records before a place end.
    pub fn trim(&self, shard: &Shard, before: usize) {
        if let Some(log) = lock(&self.state).log(shard) {
            log.trimmed = before.min(log.records.len()).max(log.trimmed);
        }
    }

    /// Puts records there under sequence numbers of their own, behind whatever is there; records of shards that the
    /// stream does not have are left out.
    pub fn place(&self, records: &ShardRecords) {
        let mut state = lock(&self.state);
        for (shard, records) in records {
            for (sequence, _) in records {
                let number = sequence.as_str().parse().unwrap_or(0);
                state.next = state.next.max(number);
            }
            if let Some(log) = state.log(shard) {
                log.records.extend(records.iter().cloned());
            }
        }
    }

    fn put(&self, record: &NewRecord) -> Origin {
        let mut state = lock(&self.state);
        state.next += 7;
        let sequence: Sequence = state.next.to_string().parse().expect("digits");
        let hash = hash(&record.partition_key);
        let takes = |l: &&mut Log| l.is_open && l.range.0 <= hash && hash <= l.range.1;
        let log = state.logs.iter_mut().find(takes);
        let log = log.expect("open shards take every hash");
        log.records.push((sequence.clone(), record.clone()));
        Origin {
            shard: log.shard.clone(),
            sequence,
        }
    }
}

impl FrameStream for MemoryStream {
    async fn append(&self, records: &[NewRecord]) -> Vec<Result<Origin, PortError>> {
        self.faults.give_way().await;
        let answers = records
            .iter()
            .map(|r| match refusal(r) {
                Some(error) => Err(error),
                None => {
                    self.heat.take(&r.partition_key)?;
                    self.faults.decide(Operation::Append, || self.put(r))
                }
            })
            .collect();
        self.faults.give_way().await;
        answers
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

impl FrameRecords for MemoryStream {
    fn shard(&self, id: &str) -> Result<Shard, PortError> {
        let shard = Shard::new("frames", id);
        shard.map_err(|e| PortError::Fatal(format!("shard: {e}")))
    }

    async fn kept_from(
        &self,
        shard: &Shard,
        from: &Sequence,
        count_max: u32,
    ) -> Result<Vec<(Sequence, NewRecord)>, PortError> {
        let read = || {
            let mut state = lock(&self.state);
            let Some(log) = state.log(shard) else {
                return Vec::new();
            };
            let kept = &log.records[log.trimmed..];
            let begin = kept.partition_point(|(sequence, _)| sequence < from);
            let wanted = kept[begin..].iter().take(count_max as usize);
            wanted.cloned().collect()
        };
        self.faults.around(Operation::Read, read).await
    }

    async fn listed_shards(&self) -> Result<Vec<Shard>, PortError> {
        let list = || {
            let is_listed = |s: &ShardDescription| s.is_open || s.first < s.end;
            let shards = self.shards().into_iter().filter(is_listed);
            shards.map(|description| description.shard).collect()
        };
        self.faults.around(Operation::Read, list).await
    }
}
