//! The trigger's side: its place on each shard, its patience, and the failure destination; and how old records are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vernier_fakes::{MemoryStream, ShardDescription};
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::NewRecord;
use vernier_ledger::time::Millis;

/// Tries of one place before its batch is given up.
const TRIES_MAX: u32 = 4;

/// For how long the stream keeps a record, seconds (the template's `StreamRetentionHours`).
const RETENTION_SECONDS: i64 = 24 * 3_600;

/// How exactly the age of a record is known, seconds: one is kept for up to so much longer.
const AGE_GRAIN_SECONDS: i64 = 3_600;

/// Records of a shard, in order.
pub(super) type Batch = Vec<(Sequence, NewRecord)>;

/// A batch in the failure destination.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Its number, in the order of giving up.
    pub(super) number: u64,
    /// Its shard.
    pub(super) shard: Shard,
    /// Its records.
    pub(super) batch: Batch,
}

#[derive(Debug, Default, Clone, Copy)]
struct Feed {
    /// Place of the first record that is still to be delivered.
    place: usize,
    tries: u32,
}

/// The trigger of one stream.
#[derive(Debug, Default)]
pub(super) struct Trigger {
    feeds: BTreeMap<Shard, Feed>,
    failures: Vec<Failure>,
    numbers: u64,
    skipped: BTreeSet<Vec<u8>>,
}

impl Trigger {
    fn place(&self, shard: &Shard) -> usize {
        self.feeds.get(shard).map_or(0, |f| f.place)
    }

    fn is_finished(&self, shards: &[ShardDescription], shard: &Shard) -> bool {
        let found = shards.iter().find(|s| s.shard == *shard);
        found.is_none_or(|s| {
            self.place(shard) >= s.end && s.parents.iter().all(|p| self.is_finished(shards, p))
        })
    }

    /// The shards that have something to deliver and whose parents have nothing any more.
    pub(super) fn ready(&self, stream: &MemoryStream) -> Vec<Shard> {
        let shards = stream.shards();
        let is_ready = |s: &&ShardDescription| {
            self.place(&s.shard) < s.end && s.parents.iter().all(|p| self.is_finished(&shards, p))
        };
        shards
            .iter()
            .filter(is_ready)
            .map(|s| s.shard.clone())
            .collect()
    }

    /// The next records of a shard.
    pub(super) fn next(&self, stream: &MemoryStream, shard: &Shard, count: usize) -> Batch {
        stream.read(shard, self.place(shard), count)
    }

    /// Records again, from so many before the place on.
    pub(super) fn again(
        &self,
        stream: &MemoryStream,
        shard: &Shard,
        back: usize,
        count: usize,
    ) -> Batch {
        let place = self.place(shard);
        stream.read(shard, place.saturating_sub(back), count.min(place))
    }

    /// A batch succeeded: the place moves behind it, when it was the place's.
    pub(super) fn succeeded(&mut self, shard: &Shard, advance: Option<usize>) {
        if let Some(count) = advance {
            let feed = self.feeds.entry(shard.clone()).or_default();
            feed.place += count;
            feed.tries = 0;
        }
    }

    /// A batch failed; true when it was given up.
    pub(super) fn failed(&mut self, stream: &MemoryStream, shard: &Shard, count: usize) -> bool {
        let feed = self.feeds.entry(shard.clone()).or_default();
        feed.tries += 1;
        feed.tries >= TRIES_MAX && self.give_up(stream, shard, count)
    }

    /// Gives up records at the place; false when there are none.
    pub(super) fn give_up(&mut self, stream: &MemoryStream, shard: &Shard, count: usize) -> bool {
        let batch = self.next(stream, shard, count);
        let feed = self.feeds.entry(shard.clone()).or_default();
        feed.place += batch.len();
        feed.tries = 0;
        if batch.is_empty() {
            return false;
        }
        self.failures.push(Failure {
            number: self.numbers,
            shard: shard.clone(),
            batch,
        });
        self.numbers += 1;
        true
    }

    /// Goes past records at the place, and leaves nothing of them.
    pub(super) fn skip(&mut self, stream: &MemoryStream, shard: &Shard, count: usize) {
        let passed = self.next(stream, shard, count);
        let feed = self.feeds.entry(shard.clone()).or_default();
        feed.place += passed.len();
        feed.tries = 0;
        self.skipped.extend(passed.into_iter().map(|(_, r)| r.data));
    }

    /// What the records hold that it went past.
    pub(super) const fn skipped(&self) -> &BTreeSet<Vec<u8>> {
        &self.skipped
    }

    /// The oldest records of a shard go: what was not delivered is given up first, as the age of
    /// records is bounded below the retention.
    pub(super) fn expire(&mut self, stream: &MemoryStream, shard: &Shard, count: usize) -> bool {
        let shards = stream.shards();
        let Some(description) = shards.iter().find(|s| s.shard == *shard) else {
            return false;
        };
        let before = (description.first + count).min(description.end);
        let place = self.place(shard);
        let given_up = place < before && self.give_up(stream, shard, before - place);
        stream.trim(shard, before);
        given_up
    }

    /// What lies in the failure destination.
    pub(super) fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// A batch was brought back; false when it was before.
    pub(super) fn settle(&mut self, number: u64) -> bool {
        let before = self.failures.len();
        self.failures.retain(|f| f.number != number);
        self.failures.len() < before
    }
}

/// Where the shards ended at some instants, oldest first: what lies before that place is as old as that, or older.
#[derive(Debug, Default)]
pub(super) struct Ages {
    ends: VecDeque<(Millis, Vec<(Shard, usize)>)>,
}

impl Ages {
    /// Notes where the shards end, if the last time was long enough ago.
    pub(super) fn note(&mut self, stream: &MemoryStream, now: Millis) {
        let next = { self.ends.back() }.map(|(at, _)| at.plus_seconds(AGE_GRAIN_SECONDS));
        if next.is_none_or(|next| next <= now) {
            let ends = stream.shards().into_iter().map(|s| (s.shard, s.end));
            self.ends.push_back((now, ends.collect()));
        }
    }

    /// How many of each shard's oldest records the stream need not keep any more.
    pub(super) fn over(&mut self, stream: &MemoryStream, now: Millis) -> Vec<(Shard, usize)> {
        let mut over = Vec::new();
        let is_over = |at: Millis| at.plus_seconds(RETENTION_SECONDS) <= now;
        while let Some((_, ends)) = self.ends.pop_front_if(|(at, _)| is_over(*at)) {
            over = ends;
        }
        let shards = stream.shards();
        let first = |shard: &Shard| {
            { shards.iter() }
                .find(|s| s.shard == *shard)
                .map(|s| s.first)
        };
        let counts = over.into_iter().map(|(shard, end)| {
            let count = first(&shard).map_or(0, |first| end.saturating_sub(first));
            (shard, count)
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }
}
