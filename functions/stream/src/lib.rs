//! Frames in; claims, segment objects, results and commits out.
//!
//! [`process`] takes one shard's batch: as much of it as fits memory, in one object, which is committed in steps, each
//! ending in one transaction that moves the cursor and records the segment. What a crash leaves
//! behind is repaired by the next try:
//!
//! - after a claim: the claim names this record, so the retry finds it its own;
//! - after the object: no record names it, so it is garbage;
//! - after some of the steps: what of the object is left is named by no record, and lies in another object with the
//!   rest of the batch;
//! - after some or all results: merging the same events into them again changes nothing;
//! - after an entry for a window that is over: a worker looks at the window for nothing;
//! - after the commit: the cursor stands behind these records, so the retry drops them;
//! - after the commit and before the entry of its filters: they are not rolled up, and read from their blocks.

pub mod context;
mod entries;
pub mod handler;
mod memory;
mod results;
mod step;

pub use memory::ProcessMemory;

use std::time::Duration;
use tokio::time::Instant;
use vernier_ledger::frame::{Frame, FrameError};
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::limits::CHUNK_LINES_BYTES;
use vernier_ledger::ports::{CommitOutcome, Commits, Cursor, PortError};
use vernier_ledger::retry::Backoff;
use vernier_ledger::segment::SegmentRecord;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::Millis;

/// Settings of the function.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long receipts are kept, days.
    pub receipt_days: u32,
    /// Lines of one chunk of a large block, bytes.
    pub chunk_bytes: usize,
}

impl Settings {
    /// The function's own settings, with receipts kept for so many days.
    #[must_use]
    pub const fn keeping(receipt_days: u32) -> Self {
        Self {
            receipt_days,
            chunk_bytes: CHUNK_LINES_BYTES,
        }
    }
}

/// How a process commits batches.
#[derive(Debug, Clone, Copy)]
pub struct Committing<'a> {
    /// What is the same for all of them.
    pub settings: Settings,
    /// What the process knows of what it did.
    pub memory: &'a ProcessMemory,
}

/// One record of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the shard.
    pub sequence: Sequence,
    /// Its bytes.
    pub data: Vec<u8>,
    /// When it arrived, by the stream's clock; none where nobody says.
    pub arrived_at: Option<Millis>,
}

/// A record that is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// The record as it came.
    pub record: Record,
    /// Why.
    pub error: FrameError,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Commits made.
    pub steps: u32,
    /// Records that an earlier try had committed.
    pub behind_cursor: u64,
    /// Frames stored.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// Records that carried a frame claimed by another record.
    pub copies: u64,
    /// Records that were no frames.
    pub quarantined: u64,
    /// Results that the events changed or could have changed, once for each object.
    pub results: u64,
    /// Events whose result could not be read from their line.
    pub results_unreadable: u64,
    /// The longest time from an event's receipt to its commit, milliseconds; none when nothing was
    /// stored.
    pub freshness_millis_max: Option<u64>,
    /// The longest time between a frame's receipt and its arrival on the stream, in either direction, milliseconds; none
    /// when none came as it was sent first.
    pub skew_millis_max: Option<u64>,
}

/// Takes a shard's batch to the end or fails as a whole; either way it may be called again with
/// any batch of the shard (invariant 4).
///
/// # Errors
/// The store's error that outlasted `budget`.
pub async fn process<S: Stores>(
    stores: &S,
    committing: Committing<'_>,
    shard: &Shard,
    records: Vec<Record>,
    clock: impl Fn() -> Millis,
    budget: Duration,
) -> Result<Outcome, PortError> {
    let mut outcome = Outcome::default();
    take(
        stores,
        committing,
        shard,
        records,
        clock,
        budget,
        &mut outcome,
    )
    .await?;
    Ok(outcome)
}

/// [`process`], adding what it did to `outcome`: also what it did before it failed.
///
/// # Errors
/// The store's error that outlasted `budget`.
pub async fn take<S: Stores>(
    stores: &S,
    committing: Committing<'_>,
    shard: &Shard,
    mut records: Vec<Record>,
    clock: impl Fn() -> Millis,
    budget: Duration,
    outcome: &mut Outcome,
) -> Result<(), PortError> {
    records.sort_by(|a, b| a.sequence.cmp(&b.sequence));
    records.dedup_by(|a, b| a.sequence == b.sequence);
    let mut backoff = Backoff::within(budget);
    let mut known: Option<Cursor> = None;
    let batch = Batch {
        stores,
        committing,
        shard,
        clock,
        deadline: Instant::now() + budget,
    };
    loop {
        let tried = advance(&batch, &mut records, &mut known, outcome).await;
        match tried {
            Ok(Progress::Finished) => return Ok(()),
            Ok(Progress::Committed) => {}
            // The cursor is elsewhere: our own commit that timed out, or a late predecessor.
            Ok(Progress::Stale) => {
                known = None;
                if !backoff.pause().await {
                    return Err(PortError::Retryable("the cursor kept moving".into()));
                }
            }
            Err(error) if error.is_retryable() => {
                known = None;
                tracing::info!(shard = shard.id, %error, "step tried again");
                if !backoff.pause().await {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

enum Progress {
    Finished,
    Committed,
    Stale,
}

/// What the steps of one batch have in common.
struct Batch<'b, S, C> {
    stores: &'b S,
    committing: Committing<'b>,
    shard: &'b Shard,
    clock: C,
    deadline: Instant,
}

/// Drops what is committed, takes a prefix, claims, writes one object, merges results, and commits it step by step.
async fn advance<S: Stores, C: Fn() -> Millis>(
    batch: &Batch<'_, S, C>,
    records: &mut Vec<Record>,
    known: &mut Option<Cursor>,
    outcome: &mut Outcome,
) -> Result<Progress, PortError> {
    let Batch { shard, clock, .. } = batch;
    let (table, objects) = (batch.stores.table(), batch.stores.objects());
    let mut cursor = match known.take() {
        Some(cursor) => cursor,
        None => table.cursor(shard).await?,
    };
    let before = records.len();
    if let Some(done) = &cursor.sequence {
        records.retain(|r| r.sequence > *done);
    }
    outcome.behind_cursor += (before - records.len()) as u64;
    if records.is_empty() {
        return Ok(Progress::Finished);
    }
    let steps = step::take(records);
    let settings = batch.committing.settings;
    let expires = clock().plus_seconds(i64::from(settings.receipt_days) * 86_400);
    let mut claimed = Vec::with_capacity(steps.len());
    for step in &steps {
        step::quarantine(objects, shard, &step.undecodable, clock()).await?;
        claimed.push(step::claim(table, shard, &step.frames, expires).await?);
    }
    let built = step::build(shard, &steps, &claimed, settings.chunk_bytes, clock())?;
    let mut written = step::write(objects, built).await?;
    let left = batch.deadline.saturating_duration_since(Instant::now());
    let memory = batch.committing.memory;
    let merged = { &memory.results }
        .merge(table, &claimed.concat(), left)
        .await?;
    outcome.results += merged.results;
    outcome.results_unreadable += merged.unreadable;
    let (entries, mut committed) = (&memory.entries, Vec::new());
    for (nth, (step, claimed)) in steps.iter().zip(&claimed).enumerate() {
        entries.put_late(table, claimed, clock()).await?;
        let step::StepCommit { record, items } =
            written.commit(nth, step, claimed.len(), shard, &cursor, clock());
        if table.commit(&cursor, &record, &items).await? == CommitOutcome::Stale {
            return Ok(Progress::Stale);
        }
        records.drain(..step.taken);
        outcome.add(step, claimed, &record, clock());
        committed.extend(items);
        cursor = Cursor {
            sequence: Some(record.last.clone()),
            next_position: record.position + 1,
            last_hash: Some(record.hash()),
        };
    }
    *known = Some(cursor);
    entries.put_roll_ups(table, &committed, clock()).await;
    Ok(Progress::Committed)
}

impl Outcome {
    /// Adds a step that was committed.
    fn add(
        &mut self,
        step: &step::Step,
        claimed: &[&Frame],
        record: &SegmentRecord,
        committed_at: Millis,
    ) {
        self.steps += 1;
        self.frames += claimed.len() as u64;
        let events = claimed.iter().map(|f| f.header.slice_tally.events);
        self.events += events.sum::<u64>();
        self.copies += u64::from(record.copies);
        self.quarantined += u64::from(record.quarantined);
        let oldest = step::oldest(claimed);
        let fresh = oldest.map(|at| u64::try_from(committed_at.0 - at.0).unwrap_or(0));
        self.freshness_millis_max = self.freshness_millis_max.max(fresh);
        self.skew_millis_max = self.skew_millis_max.max(step.skew_millis_max);
    }
}
