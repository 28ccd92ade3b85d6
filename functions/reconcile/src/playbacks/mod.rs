//! Playbacks: sealed events sent through again, as jobs that go on from turn to turn.
//!
//! A job is an item with a place (seal, file, row) and a revision. A step reads the events behind
//! the place, does with them what is asked, and only then moves the job on, on condition that nobody
//! else did: a crash repeats that step, two runs at once do it twice, and since results merge by the
//! greatest cause neither changes anything (invariant 4). Whoever pauses or cancels a job moves it too,
//! and so takes it from under a step that is under way.

pub mod api;
mod compacted;
mod diff;
mod failures;
mod part;
mod relay;
mod steps;

pub use steps::Step;

use crate::ReceiptDays;
use crate::process::Process;
use steps::Course;
use vernier_archive::seal::PartClass;
use vernier_intake::{OpenWindows, SpreadKeeper};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{PLAYBACK_SEALS_MAX, PLAYBACKS_OPEN_MAX, WINDOW_SECONDS_MAX};
use vernier_ledger::playback_job::{
    PlaybackAction, PlaybackId, PlaybackJob, PlaybackProgress, PlaybackRequest, PlaybackSource,
    named,
};
use vernier_ledger::ports::{Chains, PlaybackOutcome, Playbacks, PortError};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::stores::{ReconcileStores, Stores};
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists};

/// Which of a seal's files hold the events of a source.
const fn class_of(source: PlaybackSource) -> PartClass {
    match source {
        PlaybackSource::Quarantine => PartClass::Exceptions,
        PlaybackSource::Archive | PlaybackSource::Failures => PartClass::Archive,
    }
}

/// What playbacks read and write.
#[derive(Debug)]
pub struct Wires<'a, S: Stores> {
    /// Chains, jobs, results and receipts; the archive; and the stream.
    pub stores: &'a S,
    /// Tenants' own event types.
    pub schemas: &'a SchemaCache<S::Table>,
    /// How long new receipts are kept.
    pub intake: vernier_intake::Settings,
    /// Gives a new envelope its receipt.
    pub new_receipt: fn(Spread, Millis) -> ReceiptId,
    /// Gives a new envelope its salt key.
    pub new_salt_key: fn() -> SaltKey,
    /// How far the process knows its tenants to have grown.
    pub spreads: &'a SpreadKeeper,
    /// Windows whose entries the process has seen in its tenants' work lists.
    pub windows: &'a OpenWindows,
    /// Makes the nonces of work entries.
    pub new_nonce: fn() -> Nonce,
}

impl<'a, S: Stores> Wires<'a, S> {
    /// Takes what playbacks need of a process.
    pub const fn new(
        stores: &'a S,
        process: &'a Process<S::Table>,
        receipt_days: ReceiptDays,
    ) -> Self {
        Self {
            stores,
            schemas: &process.schemas,
            intake: vernier_intake::Settings {
                receipt_days: receipt_days.0,
            },
            new_receipt: process.new_receipt,
            new_salt_key: process.new_salt_key,
            spreads: &process.spreads,
            windows: &process.windows,
            new_nonce: process.new_nonce,
        }
    }
}

impl<S: Stores> Clone for Wires<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Stores> Copy for Wires<'_, S> {}

/// Tries of an action against steps that move the job at the same time.
const ACTION_TRIES_MAX: u32 = 8;

/// Why a playback is not begun.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// A store failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The range has too many windows.
    #[error("{0} sealed windows in the range; at most {PLAYBACK_SEALS_MAX} at a time")]
    TooManySeals(usize),
    /// The tenant has enough of them under way.
    #[error("{PLAYBACKS_OPEN_MAX} playbacks have not ended; cancel one or wait for it")]
    TooManyOpen,
}

/// Why an action is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotMoved {
    /// A store failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The tenant has no such playback.
    #[error("no such playback")]
    Unknown,
    /// It makes no sense in the job's state.
    #[error("the playback is {0}")]
    Ended(&'static str),
}

/// Seals before a sequence that hold events which are asked for, by sequence.
async fn seals_of<T: Chains>(
    table: &T,
    tenant: &TenantId,
    request: &PlaybackRequest,
    before_sequence: u64,
) -> Result<Vec<SealEntry>, PortError> {
    let (from, to) = request.span();
    let begin = from.plus_seconds(-WINDOW_SECONDS_MAX);
    let mut seals = table.seals(tenant, begin, to).await?;
    seals.retain(|seal| {
        let mut receipts = request.receipts.iter();
        seal.sequence < before_sequence
            && seal.tally.events > 0
            && seal.window.end > from
            && (request.receipts.is_empty()
                || receipts.any(|receipt| seal.window.contains(receipt.received_at())))
    });
    seals.sort_by_key(|seal| seal.sequence);
    Ok(seals)
}

/// Begins a playback of what is sealed by now. No step is taken yet.
///
/// # Errors
/// The store's; when there is too much of it.
pub async fn begin<T: Chains + Playbacks + WorkLists>(
    table: &T,
    tenant: &TenantId,
    request: PlaybackRequest,
    token_id: &str,
    nonce: Nonce,
    now: Millis,
) -> Result<PlaybackJob, NotBegun> {
    let jobs = table.playbacks(tenant).await?;
    if jobs.iter().filter(|job| job.state.is_open()).count() >= PLAYBACKS_OPEN_MAX {
        return Err(NotBegun::TooManyOpen);
    }
    let head = table.chain(tenant).await?;
    let before = head.map_or(0, |head| head.sequence);
    let seals = match request.source {
        PlaybackSource::Failures => Vec::new(),
        PlaybackSource::Archive | PlaybackSource::Quarantine => {
            seals_of(table, tenant, &request, before).await?
        }
    };
    if seals.len() > PLAYBACK_SEALS_MAX {
        return Err(NotBegun::TooManySeals(seals.len()));
    }
    let progress = PlaybackProgress {
        seals: seals.len() as u64,
        events: seals.iter().map(|seal| seal.tally.events).sum(),
        ..PlaybackProgress::default()
    };
    let job = PlaybackJob::new(request, token_id, before, progress, now);
    // First: a playback without an entry is one that nobody goes on with.
    put_entry(table, tenant, job.id, nonce, now).await?;
    table.move_playback(tenant, &job).await?;
    tracing::info!(
        playback = named(tenant, &job),
        seals = progress.seals,
        "begun"
    );
    Ok(job)
}

/// Puts the entry by which workers go on with a playback.
async fn put_entry<T: WorkLists>(
    table: &T,
    tenant: &TenantId,
    id: PlaybackId,
    nonce: Nonce,
    now: Millis,
) -> Result<(), PortError> {
    let key = WorkKey::of(Cause::Playback, id.to_string());
    let owner = Owner::Tenant(tenant.clone());
    table
        .put_work(&owner, &WorkEntry::new(key, now, nonce))
        .await
}

/// Pauses, resumes or cancels a playback.
///
/// # Errors
/// The store's; when there is none, or it has ended otherwise.
pub async fn act<T: Playbacks + WorkLists>(
    table: &T,
    tenant: &TenantId,
    id: PlaybackId,
    action: PlaybackAction,
    nonce: Nonce,
    now: Millis,
) -> Result<PlaybackJob, NotMoved> {
    for _ in 0..ACTION_TRIES_MAX {
        let found = table.playback(tenant, id).await?;
        let job = found.ok_or(NotMoved::Unknown)?;
        let after = job.after(action, now);
        let next = after.ok_or(NotMoved::Ended(job.state.as_str()))?;
        if next.revision == job.revision {
            return Ok(job);
        }
        if next.state.is_due() {
            put_entry(table, tenant, id, nonce, now).await?;
        }
        if table.move_playback(tenant, &next).await? == PlaybackOutcome::Moved {
            return Ok(next);
        }
    }
    Err(PortError::Retryable("the playback moves all the time".to_owned()).into())
}

/// What was done of playbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlaybackSummary {
    /// Steps that were taken.
    pub steps: u32,
    /// Jobs that ended.
    pub ended: u32,
}

impl PlaybackSummary {
    /// Adds the steps of another turn.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.ended += other.ended;
    }
}

/// How a playback stands after some steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Played {
    /// Nothing is to be done of it: it is done, failed, paused or cancelled.
    Ended,
    /// There is no such playback.
    Unknown,
    /// Its rate allows no event before then.
    Waits(Millis),
    /// The time was over.
    Left,
}

/// How long a playback waits whose rate is spent, seconds.
const RATE_WAIT_SECONDS: i64 = 60;

/// Takes steps of one playback until there is nothing to do, or the time is over. A step
/// that began before `until` is finished.
///
/// # Errors
/// Whatever error the stores give.
pub async fn go_on<S: ReconcileStores>(
    wires: Wires<'_, S>,
    tenant: &TenantId,
    id: PlaybackId,
    clock: impl Fn() -> Millis,
    until: Millis,
    summary: &mut PlaybackSummary,
) -> Result<Played, PortError> {
    if wires.stores.table().playback(tenant, id).await?.is_none() {
        return Ok(Played::Unknown);
    }
    let mut course = Course::load(wires, tenant, id).await?;
    while clock() < until {
        match course.step(clock(), until).await? {
            Step::Moved => summary.steps += 1,
            Step::Ended => {
                summary.steps += 1;
                summary.ended += 1;
                return Ok(Played::Ended);
            }
            Step::Waits if course.is_due() => {
                return Ok(Played::Waits(clock().plus_seconds(RATE_WAIT_SECONDS)));
            }
            Step::Waits => return Ok(Played::Ended),
            // Somebody paused, resumed or cancelled it, or another worker has it.
            Step::Lost => return Ok(Played::Waits(clock().plus_seconds(1))),
        }
    }
    Ok(Played::Left)
}

/// Takes steps of one playback until it ends or waits, or the time is over; gives it back as it is
/// then.
///
/// # Errors
/// The stores'.
pub async fn play<S: ReconcileStores>(
    wires: Wires<'_, S>,
    tenant: &TenantId,
    id: PlaybackId,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<PlaybackJob, PortError> {
    let mut course = Course::load(wires, tenant, id).await?;
    while clock() < deadline {
        match course.step(clock(), deadline).await? {
            Step::Moved => {}
            Step::Ended | Step::Waits | Step::Lost => break,
        }
    }
    Ok(course.into_job())
}
