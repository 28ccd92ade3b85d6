//! Frames in; claims, segment objects, results and commits out.
//!
//! [`process`] takes one shard's batch. It works in steps, each a prefix of what is left, each
//! ending in one transaction that moves the cursor and records the segment. What a crash leaves
//! behind is repaired by the next try:
//!
//! - after a claim: the claim names this record, so the retry finds it its own;
//! - after the object: no record names it, so it is garbage;
//! - after some or all results: merging the same events into them again changes nothing;
//! - after an entry for a window that is over: a worker looks at the window for nothing;
//! - after the commit: the cursor stands behind these records, so the retry drops them.

pub mod context;
pub mod handler;
mod late;
mod step;

pub use late::LateWindows;

use std::time::Duration;
use tokio::time::Instant;
use vernier_ledger::frame::FrameError;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{CommitOutcome, Commits, Cursor, PortError};
use vernier_ledger::retry::Backoff;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::Millis;

/// Settings of the function.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long receipts are kept, days.
    pub receipt_days: u32,
}

/// How a process commits batches.
#[derive(Debug, Clone, Copy)]
pub struct Committing<'a> {
    /// What is the same for all of them.
    pub settings: Settings,
    /// The late windows that the process has put entries of.
    pub late: &'a LateWindows,
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
    /// Results that the events changed or could have changed, once for each commit.
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

/// One step: drop what is committed, take a prefix, claim, write, merge results, commit.
async fn advance<S: Stores, C: Fn() -> Millis>(
    batch: &Batch<'_, S, C>,
    records: &mut Vec<Record>,
    known: &mut Option<Cursor>,
    outcome: &mut Outcome,
) -> Result<Progress, PortError> {
    let Batch { shard, clock, .. } = batch;
    let (table, objects) = (batch.stores.table(), batch.stores.objects());
    let cursor = match known.take() {
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
    let step = step::take(records);
    step::quarantine(objects, shard, &step.undecodable, clock()).await?;
    let expires = clock().plus_seconds(i64::from(batch.committing.settings.receipt_days) * 86_400);
    let claimed = step::claim(table, shard, &step.frames, expires).await?;
    let written = step::write(objects, shard, &step, &claimed).await?;
    let left = batch.deadline.saturating_duration_since(Instant::now());
    let merged = step::merge_results(table, &claimed, left).await?;
    let late = batch.committing.late;
    late.put(table, &claimed, clock()).await?;
    let step::StepCommit { record, items } =
        step::record(shard, &cursor, &step, written, claimed.len(), clock());
    match table.commit(&cursor, &record, &items).await? {
        CommitOutcome::Stale => Ok(Progress::Stale),
        CommitOutcome::Committed => {
            records.drain(..step.taken);
            outcome.steps += 1;
            outcome.frames += claimed.len() as u64;
            outcome.events += claimed
                .iter()
                .map(|f| f.header.slice_tally.events)
                .sum::<u64>();
            outcome.copies += u64::from(record.copies);
            outcome.quarantined += u64::from(record.quarantined);
            outcome.results += merged.results;
            outcome.results_unreadable += merged.unreadable;
            let fresh =
                step::oldest(&claimed).map(|at| u64::try_from(clock().0 - at.0).unwrap_or(0));
            outcome.freshness_millis_max = outcome.freshness_millis_max.max(fresh);
            outcome.skew_millis_max = outcome.skew_millis_max.max(step.skew_millis_max);
            *known = Some(Cursor {
                sequence: Some(record.last.clone()),
                next_position: record.position + 1,
                last_hash: Some(record.hash()),
            });
            Ok(Progress::Committed)
        }
    }
}
