//! Usage over time: events by type, and how many were active.

use super::distinct::{ACTIVE_MAX, Distinct};
use super::{Bucket, Cell, NoAnswer, Report, Seen, Sheet, rfc3339};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::chunks::{Counts, SectionCounts};
use vernier_ledger::disposition::Disposition;
use vernier_ledger::time::{Millis, TimeRange};

/// Pairs of bucket and type of one report: at 60 bytes each 3 MB of an answer's 4. A month of hours
/// with 60 types has 45,000.
const CELLS_MAX: usize = 50_000;

/// What events without a type are counted as.
const UNTYPED: &str = "untyped";

/// Counts stored events by when they were received: with the describes, which no report counts, the buckets'
/// sums are those of the windows' accounts.
#[derive(Debug)]
pub struct Usage {
    bucket: Bucket,
    range: TimeRange,
    starts: Vec<Millis>,
    events: Vec<BTreeMap<String, u64>>,
    active: Vec<u64>,
    cells: usize,
    actors: Distinct,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BucketView {
    /// When it begins.
    #[serde(serialize_with = "rfc3339")]
    pub start: Millis,
    /// Stored events by type.
    pub events: BTreeMap<String, u64>,
    /// Different actors.
    pub active_learners: u64,
}

/// Every bucket of the range, in order, empty ones too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageReport {
    /// How long they are.
    pub bucket: Bucket,
    /// The buckets, empty ones too.
    pub buckets: Vec<BucketView>,
}

impl Usage {
    /// Nothing so far, in buckets that begin at `starts` and hold `[from, to)`.
    #[must_use]
    pub fn new(bucket: Bucket, starts: Vec<Millis>, range: TimeRange) -> Self {
        Self {
            events: vec![BTreeMap::new(); starts.len()],
            active: vec![0; starts.len()],
            bucket,
            range,
            starts,
            cells: 0,
            actors: Distinct::default(),
        }
    }

    /// Counts one.
    pub fn add(&mut self, seen: &Seen<'_>) {
        let at = seen.received_at;
        let is_here = self.range.contains(at) && seen.disposition == Disposition::Stored;
        if !is_here || self.cells > CELLS_MAX {
            return;
        }
        let Some(number) = self.bucket_of(at) else {
            return;
        };
        self.count(number, seen.type_name, 1);
        if let (Some(actor), Ok(thing)) = (seen.actor, u32::try_from(number)) {
            self.active[number] += u64::from(self.actors.is_first(thing, actor));
        }
    }

    /// The number of the bucket that an instant is in.
    fn bucket_of(&self, at: Millis) -> Option<usize> {
        let behind = self.starts.partition_point(|start| *start <= at);
        behind.checked_sub(1)
    }

    fn count(&mut self, number: usize, type_name: Option<&str>, events: u64) {
        let name = type_name.unwrap_or(UNTYPED);
        match self.events[number].get_mut(name) {
            Some(count) => *count += events,
            None => {
                self.events[number].insert(name.to_owned(), events);
                self.cells += 1;
            }
        }
    }

    /// Whether events that were received from the first instant through the second are in one bucket.
    pub(crate) fn takes_counts(&self, (first, last): (Millis, Millis)) -> bool {
        self.bucket_of(first).is_some() && self.bucket_of(first) == self.bucket_of(last)
    }

    /// Takes the counts of a section's events that were received from some instant on, all in its bucket.
    pub(crate) fn add_counts(&mut self, first: Millis, counts: &Counts, section: &SectionCounts) {
        let Some(number) = self.bucket_of(first).filter(|_| self.cells <= CELLS_MAX) else {
            return;
        };
        for counted in counts.of(section) {
            self.count(number, counted.type_name, counted.events);
        }
        let Ok(thing) = u32::try_from(number) else {
            return;
        };
        for mark in section.actors.decoded() {
            self.active[number] += u64::from(self.actors.is_first_mark(thing, mark));
        }
    }

    /// What there was.
    ///
    /// # Errors
    /// When it was too much.
    pub fn finish(self) -> Result<UsageReport, NoAnswer> {
        if self.cells > CELLS_MAX {
            return Err(NoAnswer::TooMuch {
                most: CELLS_MAX,
                what: "pairs of bucket and type",
            });
        }
        if self.actors.is_over() {
            return Err(NoAnswer::TooMuch {
                most: ACTIVE_MAX,
                what: "pairs of bucket and actor",
            });
        }
        let buckets = self.starts.into_iter().zip(self.events).zip(self.active);
        let view = |((start, events), active_learners)| BucketView {
            start,
            events,
            active_learners,
        };
        Ok(UsageReport {
            bucket: self.bucket,
            buckets: buckets.map(view).collect(),
        })
    }
}

impl Report for UsageReport {
    fn sheet(&self) -> Sheet {
        let types = self.buckets.iter().flat_map(|b| b.events.keys());
        let types: BTreeSet<&str> = types.map(String::as_str).collect();
        let fixed = ["start", "active_learners", "events"];
        let mut sheet = Sheet::new(fixed.into_iter().chain(types.iter().copied()));
        for bucket in &self.buckets {
            let total: u64 = bucket.events.values().sum();
            let fixed = [
                Cell::from(bucket.start),
                bucket.active_learners.into(),
                total.into(),
            ];
            let count = |name: &&str| Cell::from(bucket.events.get(*name).copied().unwrap_or(0));
            sheet.row(fixed.into_iter().chain(types.iter().map(count)));
        }
        sheet
    }
}
