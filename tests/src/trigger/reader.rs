//! One shard's reader: where it stands, and the batches that wait for another try.

use super::event::payload_bytes;
use super::{Mapping, SimStream};
use std::collections::VecDeque;
use std::ops::Range;
use vernier_ledger::ids::Shard;
use vernier_ledger::time::Millis;

/// The payload of one invocation, bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;

/// The longest pause before a retry, seconds.
const PAUSE_SECONDS_MAX: i64 = 60;

/// Records of a shard by their places, and what became of them so far.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) range: Range<usize>,
    /// Retries used up, of `MaximumRetryAttempts`.
    pub(super) attempts: u32,
    /// How often the function was invoked with these records and failed.
    pub(super) invoked: u32,
    /// How often it could not be invoked.
    pub(super) throttled: u32,
    pub(super) due: Millis,
}

impl Batch {
    /// Without the records before a place.
    pub(super) fn beginning_at(self, place: usize) -> Self {
        let end = self.range.end;
        Self {
            range: place.clamp(self.range.start, end)..end,
            ..self
        }
    }

    pub(super) fn halves(self) -> (Self, Self) {
        let middle = self.range.start + self.range.len().div_ceil(2);
        let first = Self {
            range: self.range.start..middle,
            ..self.clone()
        };
        (first, self.beginning_at(middle))
    }

    fn pause_seconds(&self) -> i64 {
        let tries = self.invoked + self.throttled;
        (1 << tries.saturating_sub(1).min(6)).min(PAUSE_SECONDS_MAX)
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    /// First record that is in no batch yet.
    next: usize,
    /// Failed batches, in order; nothing new is read before they are through.
    waiting: VecDeque<Batch>,
    under_way: Option<Batch>,
    /// Since when an incomplete batch waits for more records.
    gathering_since: Option<Millis>,
}

impl Reader {
    pub(super) fn starting_at(next: usize) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// The batch to invoke the function with at `now`; the caller hands it back to
    /// [`Self::start`] or drops it for good.
    pub(super) fn next_batch(
        &mut self,
        stream: &SimStream,
        shard: &Shard,
        mapping: &Mapping,
        now: Millis,
    ) -> Option<Batch> {
        if self.under_way.is_some() {
            return None;
        }
        if let Some(first) = self.waiting.front() {
            return (first.due <= now)
                .then(|| self.waiting.pop_front())
                .flatten();
        }
        let (range, full) = self.readable(stream, shard, mapping)?;
        let since = *self.gathering_since.get_or_insert(now);
        if !full && now < since.plus_seconds(mapping.maximum_batching_window_seconds) {
            return None;
        }
        self.gathering_since = None;
        self.next = range.end;
        Some(Batch {
            range,
            attempts: 0,
            invoked: 0,
            throttled: 0,
            due: now,
        })
    }

    /// What a new batch would hold, and whether it can hold no more.
    fn readable(
        &self,
        stream: &SimStream,
        shard: &Shard,
        mapping: &Mapping,
    ) -> Option<(Range<usize>, bool)> {
        let available = stream.len(shard).saturating_sub(self.next);
        let wanted = available.min(mapping.batch_size);
        let records = stream.range(shard, self.next..self.next + wanted);
        let mut bytes = 0;
        let fit = records.iter().take_while(|r| {
            bytes += payload_bytes(r);
            bytes <= PAYLOAD_BYTES_MAX
        });
        let taken = fit.count().max(wanted.min(1));
        let full = taken == mapping.batch_size || taken < available;
        (taken > 0).then_some((self.next..self.next + taken, full))
    }

    pub(super) fn start(&mut self, batch: Batch) {
        self.under_way = Some(batch);
    }

    pub(super) fn finish(&mut self) -> Option<Batch> {
        self.under_way.take()
    }

    /// Puts a batch before all others, to be tried after a pause.
    pub(super) fn later(&mut self, mut batch: Batch, now: Millis) {
        batch.due = now.plus_seconds(batch.pause_seconds());
        self.waiting.push_front(batch);
    }

    pub(super) fn due_at(
        &self,
        stream: &SimStream,
        shard: &Shard,
        mapping: &Mapping,
    ) -> Option<Millis> {
        if self.under_way.is_some() {
            return None;
        }
        if let Some(first) = self.waiting.front() {
            return Some(first.due);
        }
        let (_, full) = self.readable(stream, shard, mapping)?;
        match self.gathering_since {
            Some(since) if !full => {
                Some(since.plus_seconds(mapping.maximum_batching_window_seconds))
            }
            _ => Some(stream.now()),
        }
    }

    /// Whether a closed shard was read to its end.
    pub(super) fn is_finished(&self, stream: &SimStream, shard: &Shard) -> bool {
        stream.is_closed(shard)
            && self.next >= stream.len(shard)
            && self.waiting.is_empty()
            && self.under_way.is_none()
    }

    pub(super) fn rewind(&mut self, records: usize) -> bool {
        if self.under_way.is_some() || records == 0 || self.next == 0 {
            return false;
        }
        let place = self.waiting.front().map_or(self.next, |b| b.range.start);
        self.next = place.saturating_sub(records);
        self.waiting.clear();
        self.gathering_since = None;
        true
    }
}
