//! The scheduled run: listing, survey, recovery, sealing, compaction, playbacks and sweeps, one after the other.

use crate::compaction::{CompactSummary, Compacting, compact_due};
use crate::healing::{HealSummary, MissingSummary, heal, heal_missing};
use crate::listing::list_commits;
use crate::measured::Done;
use crate::playbacks::{PlaybackSummary, Wires, play_due};
use crate::sealing::{SealSummary, Workshop, seal_due};
use crate::survey::{Survey, survey};
use crate::sweeping::{SweepSummary, Sweeping, sweep_parts, sweep_segments};
use crate::{ReceiptDays, Settings};
use vernier_intake::OpenWindows;
use vernier_ledger::access::Tenant;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::PortError;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// Minutes between two looks for failed batches where no window is incomplete.
const HEAL_MINUTES: i64 = 15;

/// Minutes between two sweeps.
const SWEEP_MINUTES: i64 = 15;

/// Settings of a scheduled run.
#[derive(Debug, Clone, Copy)]
pub struct RunSettings {
    /// How windows are cut and how long they may take to add up.
    pub windows: Settings,
    /// How long the receipts of frames that are brought back are kept.
    pub receipt_days: ReceiptDays,
    /// When days are compacted.
    pub compacting: Compacting,
    /// When segments and what nothing names may go.
    pub sweeping: Sweeping,
}

/// What a process keeps from one run to the next.
#[derive(Debug)]
pub struct Process<T> {
    /// What sealing and compaction keep.
    pub workshop: Workshop,
    /// Tenants' own event types, for what is judged again.
    pub schemas: SchemaCache<T>,
    /// Gives a new envelope its receipt.
    pub new_receipt: fn(&Tenant, Millis) -> ReceiptId,
    /// Windows whose entries this process has seen in its tenants' work lists, for what is sent again.
    pub windows: OpenWindows,
}

/// Does all that a scheduled run does, each part in half of what the one before left until `deadline`, when the
/// process may be killed: half is enough to end what was begun. A run that is killed leaves nothing that the
/// next one does not repair.
///
/// # Errors
/// The stores', when tenants or segment records could not be listed for survey or sealing. Whatever fails in
/// another part, or for one tenant, is counted and tried again by the next run.
pub async fn run<S: ReconcileStores>(
    stores: &S,
    process: &Process<S::Table>,
    settings: &RunSettings,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<Done, PortError> {
    let now = clock();
    let run = ScheduledRun {
        stores,
        process,
        settings,
        clock,
        deadline,
    };
    let until = halfway(now, deadline);
    run.list_commits(until).await;
    let found = survey(stores, settings.windows, now).await?;
    let surveyed = found.summary;
    tracing::info!(
        tenants = surveyed.tenants,
        completed = surveyed.completed,
        incomplete = surveyed.incomplete,
        failed = surveyed.failed,
        "scheduled run"
    );
    let (healed, missing) = run.bring_back(&found, now, until).await;
    Ok(Done {
        surveyed,
        healed,
        missing,
        sealed: run.seal(until).await?,
        compacted: run.compact().await,
        played: run.play_back().await,
        swept: run.sweep(now).await,
    })
}

/// When a part begins nothing more.
const fn halfway(now: Millis, deadline: Millis) -> Millis {
    Millis(now.0 + deadline.0.saturating_sub(now.0) / 2)
}

/// What the parts of one run have in common.
struct ScheduledRun<'a, S: ReconcileStores, C> {
    stores: &'a S,
    process: &'a Process<S::Table>,
    settings: &'a RunSettings,
    clock: C,
    deadline: Millis,
}

impl<S: ReconcileStores, C: Fn() -> Millis> ScheduledRun<'_, S, C> {
    /// When a part that begins now begins nothing more.
    fn half_of_what_is_left(&self) -> Millis {
        halfway((self.clock)(), self.deadline)
    }

    /// Lists commits of earlier versions by tenant; what could not be listed is the next run's.
    async fn list_commits(&self, until: Millis) {
        match list_commits(self.stores.table(), &self.clock, until).await {
            Ok(listed) => tracing::info!(
                commits = listed.commits,
                items = listed.items,
                complete = listed.complete,
                "blocks listed"
            ),
            Err(error) => tracing::error!(%error, "blocks not listed"),
        }
    }

    /// Brings back what is missing; what cannot be now is tried at the next run.
    async fn bring_back(
        &self,
        found: &Survey,
        now: Millis,
        until: Millis,
    ) -> (HealSummary, MissingSummary) {
        // Where nothing is missing there is hardly a failed batch: they are looked for now and then.
        if found.summary.incomplete == 0 && now.minute().0 % HEAL_MINUTES != 0 {
            return (HealSummary::default(), MissingSummary::default());
        }
        let days = self.settings.receipt_days.0;
        let healing = heal(self.stores, days, &self.clock, until);
        let healed = healing.await.unwrap_or_else(|error| {
            tracing::error!(%error, "failed batches not listed");
            HealSummary::default()
        });
        tracing::info!(
            settled = healed.settled,
            pending = healed.pending,
            unreadable = healed.unreadable,
            played_back = healed.played_back,
            "failed batches"
        );
        let missing = heal_missing(self.stores, &found.missing, days, &self.clock, until).await;
        tracing::info!(
            played_back = missing.played_back,
            pending = missing.pending,
            gone = missing.gone,
            "missing receipts"
        );
        (healed, missing)
    }

    async fn seal(&self, until: Millis) -> Result<SealSummary, PortError> {
        let workshop = &self.process.workshop;
        let windows = self.settings.windows;
        let sealed = seal_due(self.stores, workshop, windows, &self.clock, until).await?;
        tracing::info!(
            sealed = sealed.sealed,
            backfills = sealed.backfills,
            events = sealed.events,
            held = sealed.held,
            failed = sealed.failed,
            left = sealed.left,
            "sealing"
        );
        Ok(sealed)
    }

    async fn compact(&self) -> CompactSummary {
        let until = self.half_of_what_is_left();
        let compaction = compact_due(
            self.stores,
            &self.process.workshop,
            self.settings.windows,
            self.settings.compacting,
            &self.clock,
            until,
        );
        let compacted = compaction.await.unwrap_or_else(|error| {
            tracing::error!(%error, "tenants not listed");
            CompactSummary {
                failed: 1,
                ..CompactSummary::default()
            }
        });
        tracing::info!(
            days = compacted.days,
            covered = compacted.covered,
            removed = compacted.removed,
            held = compacted.held,
            failed = compacted.failed,
            left = compacted.left,
            "compaction"
        );
        compacted
    }

    async fn play_back(&self) -> PlaybackSummary {
        let until = self.half_of_what_is_left();
        let wires = Wires::new(self.stores, self.process, self.settings.receipt_days);
        let playing = play_due(wires, &self.clock, until);
        let played = playing.await.unwrap_or_else(|error| {
            tracing::error!(%error, "playbacks not listed");
            PlaybackSummary {
                failed: 1,
                ..PlaybackSummary::default()
            }
        });
        tracing::info!(
            steps = played.steps,
            ended = played.ended,
            failed = played.failed,
            "playbacks"
        );
        played
    }

    /// Removes what is not needed any more, now and then.
    async fn sweep(&self, now: Millis) -> SweepSummary {
        let mut swept = SweepSummary::default();
        if now.minute().0 % SWEEP_MINUTES != 0 {
            return swept;
        }
        let until = self.half_of_what_is_left();
        let parts = sweep_parts(self.stores, &self.clock, until).await;
        let sweeping = self.settings.sweeping;
        let segments = sweep_segments(self.stores, sweeping, &self.clock, until).await;
        for done in [parts, segments] {
            match done {
                Ok(done) => swept.add(&done),
                Err(error) => {
                    swept.failed += 1;
                    tracing::error!(%error, "not swept");
                }
            }
        }
        tracing::info!(
            hours = swept.hours,
            segments = swept.segments,
            oversize = swept.oversize,
            unnamed = swept.unnamed,
            failed = swept.failed,
            "swept"
        );
        if swept.left > 0 {
            tracing::warn!(left = swept.left, "unsealed past its time");
        }
        swept
    }
}
