//! Playbacks: sealed events sent through again, as jobs that go on from run to run.
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

use crate::scheduled::Process;
use crate::{ReceiptDays, take_turns};
use std::collections::{BTreeMap, VecDeque};
use steps::Course;
use vernier_archive::seal::PartClass;
use vernier_intake::OpenWindows;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{PLAYBACK_SEALS_MAX, PLAYBACKS_OPEN_MAX, WINDOW_SECONDS_MAX};
use vernier_ledger::playback_job::{
    PlaybackAction, PlaybackId, PlaybackJob, PlaybackProgress, PlaybackRequest, PlaybackSource,
    named,
};
use vernier_ledger::ports::{Chains, PlaybackOutcome, Playbacks, PortError};
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::stores::{ReconcileStores, Stores};
use vernier_ledger::time::Millis;

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
    pub new_receipt: fn(&Tenant, Millis) -> ReceiptId,
    /// Windows whose entries the process has seen in its tenants' work lists.
    pub windows: &'a OpenWindows,
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
            windows: &process.windows,
        }
    }
}

impl<S: Stores> Clone for Wires<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Stores> Copy for Wires<'_, S> {}

/// Jobs under way at a time: each may hold a part and a dry run's results, 300 MB of reconcile's 1,024.
const COURSES_MAX: usize = 2;

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
pub async fn begin<T: Chains + Playbacks>(
    table: &T,
    tenant: &TenantId,
    request: PlaybackRequest,
    token_id: &str,
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
    table.move_playback(tenant, &job).await?;
    tracing::info!(
        playback = named(tenant, &job),
        seals = progress.seals,
        "begun"
    );
    Ok(job)
}

/// Pauses, resumes or cancels a playback.
///
/// # Errors
/// The store's; when there is none, or it has ended otherwise.
pub async fn act<T: Playbacks>(
    table: &T,
    tenant: &TenantId,
    id: PlaybackId,
    action: PlaybackAction,
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
        if table.move_playback(tenant, &next).await? == PlaybackOutcome::Moved {
            return Ok(next);
        }
    }
    Err(PortError::Retryable("the playback moves all the time".to_owned()).into())
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlaybackSummary {
    /// Steps that were taken.
    pub steps: u32,
    /// Jobs that ended.
    pub ended: u32,
    /// Jobs whose stores failed; the next run takes them up.
    pub failed: u32,
}

/// Goes on with all tenants' playbacks, in turns, until `deadline`. A step that began before it is
/// finished. Of one tenant's, the oldest comes first.
///
/// # Errors
/// When the playbacks cannot be listed. One job's failure does not hold up the others.
pub async fn play_due<S: ReconcileStores>(
    wires: Wires<'_, S>,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<PlaybackSummary, PortError> {
    let mut by_tenant: BTreeMap<TenantId, VecDeque<PlaybackId>> = BTreeMap::new();
    for (tenant, id) in wires.stores.table().open_playbacks().await? {
        by_tenant.entry(tenant).or_default().push_back(id);
    }
    let mut waiting: VecDeque<(TenantId, VecDeque<PlaybackId>)> = by_tenant.into_iter().collect();
    take_turns(waiting.make_contiguous(), clock());
    let mut under_way = VecDeque::new();
    let mut summary = PlaybackSummary::default();
    while clock() < deadline {
        if under_way.len() < COURSES_MAX
            && let Some((tenant, mut ids)) = waiting.pop_front()
        {
            if let Some(id) = ids.pop_front() {
                match Course::load(wires, &tenant, id).await {
                    Ok(course) => under_way.push_back((course, ids)),
                    Err(error) => {
                        summary.failed += 1;
                        tracing::error!(%tenant, %id, %error, "playback not read");
                        waiting.push_back((tenant, ids));
                    }
                }
            }
            continue;
        }
        let Some((mut course, ids)) = under_way.pop_front() else {
            break;
        };
        match course.step(clock(), deadline).await {
            Ok(Step::Moved) => {
                summary.steps += 1;
                under_way.push_back((course, ids));
                continue;
            }
            Ok(Step::Ended) => {
                summary.steps += 1;
                summary.ended += 1;
            }
            Ok(Step::Waits | Step::Lost) => {}
            Err(error) => {
                summary.failed += 1;
                tracing::error!(playback = course.name(), %error, "playback not moved");
            }
        }
        waiting.push_back((course.into_tenant(), ids));
    }
    Ok(summary)
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
