//! A stream with what the trigger needs to know of it: arrival times, shards that come and go, and
//! a clock that moves when it is told to.

use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{FrameStream, NewRecord, PortError};
use vernier_ledger::receipt::Origin;
use vernier_ledger::time::Millis;

/// A record on the stream. Clones share its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its place.
    pub sequence: Sequence,
    /// What decided its shard.
    pub partition_key: String,
    /// Its bytes.
    pub data: Arc<[u8]>,
    /// When the stream took it.
    pub arrived: Millis,
}

#[derive(Debug)]
struct ShardState {
    shard: Shard,
    parents: Vec<Shard>,
    /// The hashes of the partition keys that it takes.
    hashes: RangeInclusive<u64>,
    /// No longer written to, since a split or merge.
    closed: bool,
    records: Vec<StreamRecord>,
}

#[derive(Debug)]
struct State {
    name: String,
    now: Millis,
    shards: Vec<ShardState>,
    taken: u64,
    retention_seconds: i64,
}

/// A stream; clones share it.
#[derive(Debug, Clone)]
pub struct SimStream(Arc<Mutex<State>>);

impl SimStream {
    /// A stream of so many shards that keeps records for 24 hours; its clock begins at `now`.
    #[must_use]
    pub fn new(name: &str, shards: u64, now: Millis) -> Self {
        let stream = Self(Arc::new(Mutex::new(State {
            name: name.to_owned(),
            now,
            shards: Vec::new(),
            taken: 0,
            retention_seconds: 24 * 3_600,
        })));
        let width = u64::MAX / shards.max(1);
        for n in 0..shards.max(1) {
            let end = if n + 1 == shards.max(1) {
                u64::MAX
            } else {
                (n + 1) * width - 1
            };
            stream.state().open(n * width..=end, Vec::new());
        }
        stream
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.state().now
    }

    /// Moves the clock.
    pub fn advance(&self, by: Duration) {
        self.state().now.0 += i64::try_from(by.as_millis()).unwrap_or(0);
    }

    /// How long records are kept, seconds.
    #[must_use]
    pub fn retention_seconds(&self) -> i64 {
        self.state().retention_seconds
    }

    /// All shards, closed ones too, oldest first.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        self.state()
            .shards
            .iter()
            .map(|s| s.shard.clone())
            .collect()
    }

    /// The shards that are written to.
    #[must_use]
    pub fn open_shards(&self) -> Vec<Shard> {
        let state = self.state();
        let open = state.shards.iter().filter(|s| !s.closed);
        open.map(|s| s.shard.clone()).collect()
    }

    /// The shards that a shard came from.
    #[must_use]
    pub fn parents(&self, shard: &Shard) -> Vec<Shard> {
        self.state()
            .at(shard)
            .map_or_else(Vec::new, |s| s.parents.clone())
    }

    /// Whether a shard was split or merged.
    #[must_use]
    pub fn is_closed(&self, shard: &Shard) -> bool {
        self.state().at(shard).is_some_and(|s| s.closed)
    }

    /// Records of a shard so far.
    #[must_use]
    pub fn len(&self, shard: &Shard) -> usize {
        self.state().at(shard).map_or(0, |s| s.records.len())
    }

    /// Records of a shard by their places; those that exist.
    #[must_use]
    pub fn range(&self, shard: &Shard, places: Range<usize>) -> Vec<StreamRecord> {
        let state = self.state();
        let records = state.at(shard).and_then(|s| s.records.get(places));
        records.map_or_else(Vec::new, <[_]>::to_vec)
    }

    /// Splits a shard into two: it takes no more records, its children do.
    pub fn split(&self, shard: &Shard) {
        let mut state = self.state();
        let Some(hashes) = state.close(shard) else {
            return;
        };
        let middle = hashes.start() + (hashes.end() - hashes.start()) / 2;
        state.open(*hashes.start()..=middle, vec![shard.clone()]);
        state.open(middle + 1..=*hashes.end(), vec![shard.clone()]);
    }

    /// Merges two neighbours into one.
    ///
    /// # Panics
    /// When they are no neighbours.
    pub fn merge(&self, low: &Shard, high: &Shard) {
        let mut state = self.state();
        let (Some(first), Some(second)) = (state.close(low), state.close(high)) else {
            return;
        };
        assert!(
            first.end().checked_add(1) == Some(*second.start()),
            "neighbours are merged"
        );
        state.open(
            *first.start()..=*second.end(),
            vec![low.clone(), high.clone()],
        );
    }

    /// Puts one record at the end of its shard.
    pub fn put(&self, record: &NewRecord) -> Origin {
        self.state().put(record)
    }
}

impl State {
    fn at(&self, shard: &Shard) -> Option<&ShardState> {
        self.shards.iter().find(|s| s.shard == *shard)
    }

    fn open(&mut self, hashes: RangeInclusive<u64>, parents: Vec<Shard>) {
        let id = format!("shardId-{:012}", self.shards.len());
        let shard = Shard::new(&self.name, &id).expect("a stream's and a shard's name");
        self.shards.push(ShardState {
            shard,
            parents,
            hashes,
            closed: false,
            records: Vec::new(),
        });
    }

    fn close(&mut self, shard: &Shard) -> Option<RangeInclusive<u64>> {
        let found = self
            .shards
            .iter_mut()
            .find(|s| s.shard == *shard && !s.closed)?;
        found.closed = true;
        Some(found.hashes.clone())
    }

    fn put(&mut self, record: &NewRecord) -> Origin {
        // Kinesis takes the MD5 of the partition key; any even hash will do.
        let hash = Fingerprint::of(record.partition_key.as_bytes()).0;
        let hash = hash[..8].iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
        self.taken += 1;
        // 56 digits that grow with gaps, as the service's do.
        let digits = format!(
            "4968512047302518736401925837465019283746{:016}",
            self.taken * 7
        );
        let sequence: Sequence = digits.parse().expect("digits");
        let taken = StreamRecord {
            sequence: sequence.clone(),
            partition_key: record.partition_key.clone(),
            data: record.data.clone().into(),
            arrived: self.now,
        };
        let mut open = self.shards.iter_mut().filter(|s| !s.closed);
        let found = open
            .find(|s| s.hashes.contains(&hash))
            .expect("open shards take every hash");
        found.records.push(taken);
        Origin {
            shard: found.shard.clone(),
            sequence,
        }
    }
}

impl FrameStream for SimStream {
    async fn append(&self, records: &[NewRecord]) -> Vec<Result<Origin, PortError>> {
        let take = |record: &NewRecord| match vernier_fakes::refusal(record) {
            Some(error) => Err(error),
            None => Ok(self.put(record)),
        };
        records.iter().map(take).collect()
    }
}
