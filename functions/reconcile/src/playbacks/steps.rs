//! A playback's steps.

use super::compacted;
use super::diff::compare;
use super::part::{Batch, Gathering, OpenPart, WAITING_BYTES_MAX, fetch};
use super::relay::{Way, relay};
use super::{Wires, class_of, failures, seals_of};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::time::Duration;
use vernier_archive::seal::Seal;
use vernier_archive::stored::read_seal;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{DRY_RUN_RESULTS_MAX, RESULTS_IN_FLIGHT_MAX};
use vernier_ledger::playback_job::{
    PlaybackId, PlaybackJob, PlaybackPosition, PlaybackProgress, PlaybackSource, PlaybackState,
    PlaybackTarget, named,
};
use vernier_ledger::ports::{Directory, PlaybackOutcome, Playbacks, PortError, Results};
use vernier_ledger::results::{Changes, ResultWrite};
use vernier_ledger::retry::retry;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// Events of one step: what a crash repeats. At 32 writes of 5 ms at a time, 3 s where every event
/// is of another result.
const STEP_EVENTS_MAX: u64 = 20_000;

/// Objects that one step reads, where windows are small: 20 ms each.
const STEP_READS_MAX: u32 = 64;

/// Runs in which a dry run did not come to its end.
const DRY_RUN_TRIES_MAX: u32 = 3;

/// A step is given so long for its writes even where the run has less left.
const WRITE_MILLIS_MIN: i64 = 2_000;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The job is further.
    Moved,
    /// It is done, or failed.
    Ended,
    /// Nothing may be done now: it is paused, has ended, or its rate allows no event yet.
    Waits,
    /// Somebody else moved the job; this step counts for nothing.
    Lost,
}

/// Where the next event is.
enum Found {
    /// In the part that is open.
    Here,
    /// Somewhere behind what was read now.
    Further,
    /// There is no more.
    Nowhere,
}

/// A job under way.
pub(super) struct Course<'a, S: ReconcileStores> {
    wires: Wires<'a, S>,
    tenant: TenantId,
    job: PlaybackJob,
    seals: Vec<SealEntry>,
    /// The seal that is read, with the files that count now.
    seal: Option<Seal>,
    /// The bytes of the file with this key.
    bytes: Option<(String, Bytes)>,
    part: Option<OpenPart>,
    /// What a dry run would have written so far.
    dry: Changes,
}

impl<'a, S: ReconcileStores> Course<'a, S> {
    /// Reads a job and the list of its seals. A dry run, whose findings were in memory, begins again.
    ///
    /// # Errors
    /// The store's; fatal when there is no such job.
    pub(super) async fn load(
        wires: Wires<'a, S>,
        tenant: &TenantId,
        id: PlaybackId,
    ) -> Result<Self, PortError> {
        let table = wires.stores.table();
        // Whoever registers a schema and plays back at once means the new one.
        wires.schemas.forget(tenant);
        let found = table.playback(tenant, id).await?;
        let mut job = found.ok_or_else(|| PortError::Fatal("no such playback".to_owned()))?;
        let sealed = job.request.source != PlaybackSource::Failures;
        let seals = if job.state.is_due() && sealed {
            seals_of(table, tenant, &job.request, job.before_sequence).await?
        } else {
            Vec::new()
        };
        let has_begun = job.position != PlaybackPosition::default();
        if job.request.compares() && job.state.is_due() && has_begun {
            job.tries += 1;
            job.position = PlaybackPosition::default();
            job.progress = PlaybackProgress {
                seals: job.progress.seals,
                events: job.progress.events,
                ..PlaybackProgress::default()
            };
        }
        Ok(Self {
            wires,
            tenant: tenant.clone(),
            job,
            seals,
            seal: None,
            bytes: None,
            part: None,
            dry: Changes::default(),
        })
    }

    /// Whether there is something to do of it, by its state.
    pub(super) fn is_due(&self) -> bool {
        self.job.state.is_due()
    }

    /// The job as this course last wrote it.
    pub(super) fn into_job(self) -> PlaybackJob {
        self.job
    }

    /// Takes the next step. After anything but [`Step::Moved`] the course is over.
    ///
    /// # Errors
    /// The stores', when the same step may succeed later; what will not fails the job.
    pub(super) async fn step(&mut self, now: Millis, deadline: Millis) -> Result<Step, PortError> {
        let most = self.job.allowance(now).min(STEP_EVENTS_MAX);
        if !self.job.state.is_due() || most == 0 {
            return Ok(Step::Waits);
        }
        let next = if self.job.tries > DRY_RUN_TRIES_MAX {
            let why = "no run had the time to end it: ask for a shorter range";
            self.job.failed(why, now)
        } else {
            match self.advance(most, now, deadline).await {
                Ok(next) => next,
                Err(PortError::Fatal(why)) => self.job.failed(&why, now),
                Err(error) => return Err(error),
            }
        };
        if self
            .wires
            .stores
            .table()
            .move_playback(&self.tenant, &next)
            .await?
            == PlaybackOutcome::Stale
        {
            return Ok(Step::Lost);
        }
        let is_over = !next.state.is_open();
        if is_over {
            tracing::info!(
                playback = named(&self.tenant, &next),
                state = next.state.as_str(),
                events = next.progress.events_played,
                writes = next.progress.writes,
                "ended"
            );
        }
        self.job = next;
        Ok(if is_over { Step::Ended } else { Step::Moved })
    }

    /// Sends the next events through; the job as it is behind them.
    async fn advance(
        &mut self,
        most: u64,
        now: Millis,
        deadline: Millis,
    ) -> Result<PlaybackJob, PortError> {
        let mut next = self.job.moved(PlaybackState::Running, now);
        if next.request.source == PlaybackSource::Failures {
            return failures::advance(self.wires, &self.tenant, next, now).await;
        }
        let (mut batch, mut reads, mut is_over) = (Batch::default(), 0, false);
        while batch.events < most
            && batch.bytes < WAITING_BYTES_MAX
            && reads < STEP_READS_MAX
            && !is_over
        {
            match self.find(&mut next).await? {
                Found::Nowhere => is_over = true,
                Found::Further => reads += 1,
                Found::Here => {
                    let tenant = &self.tenant;
                    let part = self.part.as_mut();
                    if part.is_none_or(|p| p.take(tenant, &mut next, &mut batch, most)) {
                        self.part = None;
                    }
                }
            }
        }
        next.take(batch.events, now);
        let millis = (deadline.0 - now.0).max(WRITE_MILLIS_MIN);
        let budget = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        if next.request.target == PlaybackTarget::Stream {
            self.send(&mut next, &batch, now, budget).await?;
        } else {
            let writes = batch.changes.into_writes();
            next.progress.events_played += batch.events;
            next.progress.writes += writes.len() as u64;
            if next.request.dry_run {
                self.dry.merge(&writes);
                if self.dry.count() > DRY_RUN_RESULTS_MAX {
                    let why =
                        format!("more than {DRY_RUN_RESULTS_MAX} results: ask for a part of it");
                    return Ok(self.job.failed(&why, now));
                }
            } else {
                self.write(&writes, budget).await?;
            }
        }
        if is_over {
            next.state = PlaybackState::Done;
            if next.request.compares() {
                let changes = std::mem::take(&mut self.dry);
                next.diff = Some(compare(self.wires.stores.table(), &self.tenant, changes).await?);
            }
        }
        Ok(next)
    }

    /// Sends a batch's events onto the stream.
    async fn send(
        &self,
        next: &mut PlaybackJob,
        batch: &Batch,
        now: Millis,
        budget: Duration,
    ) -> Result<(), PortError> {
        let found = self.wires.stores.table().tenant(&self.tenant).await?;
        let tenant = found.ok_or_else(|| PortError::Fatal("the tenant is gone".to_owned()))?;
        if tenant.closed_at.is_some() {
            return Err(PortError::Fatal("the tenant was closed".to_owned()));
        }
        let way = Way {
            source: next.request.source,
            dry_run: next.request.dry_run,
            now,
            budget,
        };
        let sent = relay(self.wires, &tenant, &batch.again, way).await?;
        next.progress.events_played += sent.events;
        next.progress.envelopes += sent.envelopes;
        next.progress.writes += sent.writes;
        next.progress.rejected_again += sent.rejected_again;
        Ok(())
    }

    /// Opens what the job's place points to, one object at a time.
    async fn find(&mut self, next: &mut PlaybackJob) -> Result<Found, PortError> {
        let at = next.position.sequence;
        let index = self.seals.partition_point(|seal| seal.sequence < at);
        let Some(entry) = self.seals.get(index) else {
            return Ok(Found::Nowhere);
        };
        if entry.sequence != at {
            next.position = PlaybackPosition {
                sequence: entry.sequence,
                ..PlaybackPosition::default()
            };
        }
        let place = (entry.sequence, next.position.file);
        if self.part.as_ref().is_some_and(|part| part.place == place) {
            return Ok(Found::Here);
        }
        let seal = match &self.seal {
            Some(seal) if seal.sequence == entry.sequence => seal,
            _ => {
                let seal = read_seal(self.wires.stores.objects(), &self.tenant, entry).await?;
                self.seal = Some(seal);
                return Ok(Found::Further);
            }
        };
        let class = class_of(next.request.source);
        let wanted = seal.files.iter().enumerate();
        let mut wanted = wanted.filter(|(_, file)| file.class() == class);
        let nth = usize::try_from(next.position.file).unwrap_or(usize::MAX);
        let Some((number, file)) = wanted.nth(nth) else {
            // What lies in the other files was not read, and is behind the job's place all the same.
            let read: u64 = seal.files_of(class).map(|file| file.rows).sum();
            next.progress.events_passed += entry.tally.events.saturating_sub(read);
            next.progress.seals_done += 1;
            next.position = PlaybackPosition {
                sequence: entry.sequence + 1,
                ..PlaybackPosition::default()
            };
            return Ok(Found::Further);
        };
        let bytes = match &self.bytes {
            Some((key, bytes)) if *key == file.key => Some(bytes.clone()),
            _ => {
                let bytes = fetch(self.wires.stores.objects(), file).await?;
                self.bytes = bytes.clone().map(|bytes| (file.key.clone(), bytes));
                bytes
            }
        };
        let row = next.position.row;
        let gathering = Gathering::new(&next.request, place, row);
        self.part = Some(match bytes {
            Some(bytes) => gathering.read(bytes, file)?,
            None => {
                let stores = self.wires.stores;
                compacted::read(stores, &self.tenant, entry, seal, number, gathering).await?
            }
        });
        Ok(Found::Further)
    }

    /// Merges results as the stream function does: merged again they stay as they are.
    async fn write(&self, writes: &[ResultWrite], budget: Duration) -> Result<(), PortError> {
        let table = self.wires.stores.table();
        stream::iter(writes)
            .map(|w| {
                retry(budget, async || {
                    table.merge(&w.tenant, &w.key, &w.registers).await
                })
            })
            .buffer_unordered(RESULTS_IN_FLIGHT_MAX)
            .try_collect()
            .await
    }
}
