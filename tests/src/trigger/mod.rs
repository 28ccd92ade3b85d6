//! A model of Lambda's Kinesis trigger (event source mapping), small enough to read.
//!
//! It keeps no threads and no timers. [`Trigger::due`] hands out what the service would invoke the
//! function with now, at most one batch of each shard; [`Trigger::complete`] takes the answer; the
//! clock is the [`SimStream`]'s and moves only when it is told to. [`drive`] puts the two
//! together around any function: the real handler in process, or the real binary behind
//! [`runtime`]. The documented statements that it models stand, point by point, over the tests in
//! tests/trigger.
//!
//! Chosen where nothing is documented: a pause before each retry, doubled from 1 to 60 seconds;
//! a retry after partial progress without bisecting uses up an attempt; records that pass the
//! stream's retention are gone without a trace at the destination. Left out: filters, tumbling
//! windows, enhanced fan-out, parallelization factors other than 1, and that the service may put
//! neighbouring discarded batches into one record at the destination.

pub mod destination;
pub mod drive;
pub mod event;
pub mod in_process;
mod reader;
pub mod runtime;
mod stream;

pub use destination::{Condition, Discarded};
pub use stream::{SimStream, StreamRecord};

use reader::{Batch, Reader};
use serde_json::Value;
use std::collections::BTreeMap;
use vernier_ledger::ids::Shard;
use vernier_ledger::time::Millis;

/// Where a new mapping begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartingPosition {
    /// At the oldest record that the stream still has.
    TrimHorizon,
    /// After what is there already.
    Latest,
}

/// The mapping's parameters, by the API's names; [`Mapping::default`] has the API's defaults.
#[derive(Debug, Clone, Copy)]
pub struct Mapping {
    /// `BatchSize`: most records of a batch.
    pub batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`: how long an incomplete batch waits for more.
    pub maximum_batching_window_seconds: i64,
    /// `MaximumRetryAttempts`; none is -1, without end.
    pub maximum_retry_attempts: Option<u32>,
    /// `MaximumRecordAgeInSeconds`; none is -1, without end.
    pub maximum_record_age_seconds: Option<i64>,
    /// `BisectBatchOnFunctionError`.
    pub bisect_batch_on_function_error: bool,
    /// `FunctionResponseTypes` has `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    /// `StartingPosition`.
    pub starting_position: StartingPosition,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            batch_size: 100,
            maximum_batching_window_seconds: 0,
            maximum_retry_attempts: None,
            maximum_record_age_seconds: None,
            bisect_batch_on_function_error: false,
            report_batch_item_failures: false,
            starting_position: StartingPosition::TrimHorizon,
        }
    }
}

/// One call of the function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The shard that all records come from.
    pub shard: Shard,
    /// The batch, in order.
    pub records: Vec<StreamRecord>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The function returned this.
    Returned(Value),
    /// The function returned an error, ran out of time, or its process ended.
    FunctionError,
    /// The function was not invoked: throttled.
    NotInvoked,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Batches handed to the function, tries included.
    pub invocations: u64,
    /// Tries after a function error, halves of a split batch included.
    pub retries: u64,
    /// Batches split in two.
    pub bisections: u64,
    /// Batches given up.
    pub discarded: u64,
    /// Records that left the stream unread.
    pub expired: u64,
    /// Times that a shard was read again from an earlier place.
    pub rewinds: u64,
}

/// The trigger of one stream and one function.
#[derive(Debug)]
pub struct Trigger {
    stream: SimStream,
    mapping: Mapping,
    readers: BTreeMap<Shard, Reader>,
    discarded: Vec<Discarded>,
    counts: Counts,
}

impl Trigger {
    /// A new mapping on a stream.
    #[must_use]
    pub fn new(stream: SimStream, mapping: Mapping) -> Self {
        let mut trigger = Self {
            readers: BTreeMap::new(),
            discarded: Vec::new(),
            counts: Counts::default(),
            stream,
            mapping,
        };
        if mapping.starting_position == StartingPosition::Latest {
            for shard in trigger.stream.shards() {
                let reader = Reader::starting_at(trigger.stream.len(&shard));
                trigger.readers.insert(shard, reader);
            }
        }
        trigger
    }

    /// The stream that it reads.
    #[must_use]
    pub fn stream(&self) -> &SimStream {
        &self.stream
    }

    /// The batches that are to be handed to the function now: of each shard at most one, and
    /// none while another of the shard is under way.
    pub fn due(&mut self) -> Vec<Invocation> {
        self.find_shards();
        let now = self.stream.now();
        let mut due = Vec::new();
        for shard in self.stream.shards() {
            let Some(mut reader) = self.readers.remove(&shard) else {
                continue;
            };
            while let Some(batch) = reader.next_batch(&self.stream, &shard, &self.mapping, now) {
                if let Some(batch) = self.drop_too_old(&shard, batch, now) {
                    self.counts.invocations += 1;
                    self.counts.retries += u64::from(batch.invoked > 0);
                    due.push(Invocation {
                        records: self.stream.range(&shard, batch.range.clone()),
                        shard: shard.clone(),
                    });
                    reader.start(batch);
                    break;
                }
            }
            self.readers.insert(shard, reader);
        }
        due
    }

    /// Takes the answer to the batch of a shard that is under way.
    pub fn complete(&mut self, shard: &Shard, answer: &Answer) {
        let now = self.stream.now();
        let Some(mut reader) = self.readers.remove(shard) else {
            return;
        };
        if let Some(mut batch) = reader.finish() {
            match self.failed_from(shard, &batch, answer) {
                _ if *answer == Answer::NotInvoked => {
                    batch.throttled += 1;
                    reader.later(batch, now);
                }
                None => {}
                Some(from) => {
                    batch.invoked += 1;
                    self.retry(shard, &mut reader, batch, from, now);
                }
            }
        }
        self.readers.insert(shard.clone(), reader);
    }

    /// When something is due next; now when it is already, none when nothing is left.
    pub fn due_at(&mut self) -> Option<Millis> {
        self.find_shards();
        let readers = self.readers.iter();
        readers
            .filter_map(|(shard, reader)| reader.due_at(&self.stream, shard, &self.mapping))
            .min()
    }

    /// The service loses its place: a shard whose batches all succeeded is read again from so many
    /// records before it, so that they are delivered twice and with other bounds. Not while a
    /// batch is under way.
    pub fn rewind(&mut self, shard: &Shard, records: usize) {
        if let Some(reader) = self.readers.get_mut(shard)
            && reader.rewind(records)
        {
            self.counts.rewinds += 1;
        }
    }

    /// What lies at the on-failure destination.
    #[must_use]
    pub fn discarded(&self) -> &[Discarded] {
        &self.discarded
    }

    /// What happened so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Begins to read shards that may be read: those without parents, and those whose parents are
    /// finished, so that order holds over a reshard.
    fn find_shards(&mut self) {
        for shard in self.stream.shards() {
            let finished = |parent: &Shard| {
                let reader = self.readers.get(parent);
                reader.is_some_and(|r| r.is_finished(&self.stream, parent))
            };
            if !self.readers.contains_key(&shard)
                && self.stream.parents(&shard).iter().all(finished)
            {
                self.readers.insert(shard, Reader::starting_at(0));
            }
        }
    }

    /// The place of the first failed record; none when the batch succeeded.
    fn failed_from(&self, shard: &Shard, batch: &Batch, answer: &Answer) -> Option<usize> {
        let Answer::Returned(value) = answer else {
            return Some(batch.range.start);
        };
        let failures = value.get("batchItemFailures").filter(|f| !f.is_null());
        let failures = failures.filter(|_| self.mapping.report_batch_item_failures)?;
        let Some(failures) = failures.as_array() else {
            return Some(batch.range.start);
        };
        let records = self.stream.range(shard, batch.range.clone());
        let place = |failure: &Value| {
            let name = failure.get("itemIdentifier")?.as_str()?;
            let at = records.iter().position(|r| r.sequence.as_str() == name)?;
            Some(batch.range.start + at)
        };
        let places: Option<Vec<usize>> = failures.iter().map(place).collect();
        // One identifier that names no record of the batch spoils the answer.
        places.map_or(Some(batch.range.start), |p| p.into_iter().min())
    }

    fn retry(
        &mut self,
        shard: &Shard,
        reader: &mut Reader,
        batch: Batch,
        from: usize,
        now: Millis,
    ) {
        let progressed = from > batch.range.start;
        let mut rest = batch.beginning_at(from);
        let bisect = self.mapping.bisect_batch_on_function_error;
        if bisect && progressed {
            // The checkpoint is the split; no attempt is used up.
            reader.later(rest, now);
        } else if bisect && rest.range.len() > 1 {
            self.counts.bisections += 1;
            let (first, second) = rest.halves();
            reader.later(second, now);
            reader.later(first, now);
        } else if self.mapping.maximum_retry_attempts == Some(rest.attempts) {
            self.discard(shard, &rest, Condition::RetryAttemptsExhausted);
        } else {
            rest.attempts += 1;
            reader.later(rest, now);
        }
    }

    /// Takes records over the age limit off the front of a batch; arrivals are in order. None when
    /// nothing is left of it.
    fn drop_too_old(&mut self, shard: &Shard, batch: Batch, now: Millis) -> Option<Batch> {
        let records = self.stream.range(shard, batch.range.clone());
        let older = |seconds: i64| {
            let old = records.partition_point(|r| r.arrived.plus_seconds(seconds) < now);
            batch.range.start + old
        };
        let expired = older(self.stream.retention_seconds());
        self.counts.expired += (expired - batch.range.start) as u64;
        let aged = self
            .mapping
            .maximum_record_age_seconds
            .map_or(expired, older);
        if aged > expired {
            let dropped = Batch {
                range: expired..aged,
                ..batch.clone()
            };
            self.discard(shard, &dropped, Condition::RecordAgeExceeded);
        }
        let rest = batch.beginning_at(aged.max(expired));
        (!rest.range.is_empty()).then_some(rest)
    }

    fn discard(&mut self, shard: &Shard, batch: &Batch, condition: Condition) {
        self.counts.discarded += 1;
        let records = self.stream.range(shard, batch.range.clone());
        let now = self.stream.now();
        let discarded = Discarded::new(shard, &records, condition, batch.invoked, now);
        self.discarded.push(discarded);
    }
}
