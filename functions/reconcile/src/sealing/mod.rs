//! Sealing: windows that add up become files and a signed seal (docs/seal.md).
//!
//! `Sealer::settle` is asked for an instant of one tenant and seals whatever it takes until nothing of that
//! instant's window is left unsealed. Windows are sealed in their order, so that an event's first occurrence is the
//! stored one; a window that does not add up is held (`hold.rs`): the chain passes it, those after it are sealed, and it
//! is when it adds up, or else with a shortfall when its hold is over. The first *sealed* occurrence is the stored one then.
//!
//! Two workers of one tenant do no harm: parts lie under keys that hold their content's hash, so that written again
//! they are the same, and a seal counts when the chain has moved over it.

mod accounts;
pub(crate) mod chain;
mod damage;
mod earlier;
mod evidence;
mod hold;
mod idle;
mod late;
mod resent;
mod totals;
mod window;
mod wire;
mod workshop;

use crate::Settings;
use accounts::DrawnUp;
use chain::{Chain, Moving, Signed};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
pub(crate) use totals::{AccountSoFar, for_each_row, missing_of};
use vernier_archive::Fault;
use vernier_archive::seal::{SealKind, Shortfall};
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{WindowAccount, WindowState};
use vernier_ledger::chain::{ChainHead, window_after};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::limits::{HELD_ITEMS_MAX, HELD_WINDOWS_MAX};
use vernier_ledger::ports::{ChainOutcome, Notices, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, WorkEntry};
pub(crate) use window::{GROUP_BYTES, PART_ROWS, RUN_BYTES, upload};
use window::{Job, Sealable};
pub use workshop::{SealingTimes, Workshop};

/// Why a window is not sealed this time.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A store failed.
    Port(PortError),
    /// What is there cannot be sealed: somebody must look.
    Held(String),
    /// Something is missing, and its seal may not say so yet.
    Short {
        /// What of it cannot be read, in words; none where it did not come.
        damage: Option<String>,
        /// The receipts that are not whole.
        missing: Vec<ReceiptId>,
    },
}

impl From<PortError> for Trouble {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault.io() {
            Some(error) if is_full(error) => {
                Self::Held(format!("the scratch disk is full: {error}"))
            }
            Some(error) => Self::Port(PortError::Retryable(format!("scratch: {error}"))),
            None => Self::Held(fault.to_string()),
        }
    }
}

/// Whether a disk is full: trouble of the window that was to be sealed with it, which takes too much, and of no other.
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// What sealing did of a tenant's windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealSummary {
    /// Windows that were sealed.
    pub sealed: u32,
    /// Backfills that were sealed.
    pub backfills: u32,
    /// Seals of days that were signed or taken over.
    pub days: u32,
    /// Events in windows and backfills.
    pub events: u64,
    /// Windows that add up and were not known to.
    pub completed: u32,
    /// Windows that do not add up.
    pub incomplete: u32,
    /// Windows that are due and held.
    pub held: u32,
    /// Windows and backfills that were sealed with something missing.
    pub short: u32,
    /// How the events of windows and backfills ended.
    pub counts: DispositionCounts,
    /// Windows that are held for longer than windows should be, since something may still come or nobody can seal them.
    pub overdue: u32,
    /// Where the chain could not go on, or the time did not suffice: how long ago the last window ended that the
    /// chain has come to, milliseconds.
    pub lag_millis: u64,
}

impl SealSummary {
    /// Adds another turn's; where chains stand, the one that is furthest behind counts.
    pub fn add(&mut self, other: &Self) {
        self.sealed += other.sealed;
        self.backfills += other.backfills;
        self.days += other.days;
        self.events += other.events;
        self.completed += other.completed;
        self.incomplete += other.incomplete;
        self.held += other.held;
        self.counts.merge(&other.counts);
        self.short += other.short;
        self.overdue += other.overdue;
        self.lag_millis = self.lag_millis.max(other.lag_millis);
    }

    fn count(&mut self, signed: &Signed) {
        match signed.entry.kind {
            SealKind::Window | SealKind::Idle => {
                self.sealed += u32::try_from(signed.entry.windows).unwrap_or(u32::MAX);
            }
            SealKind::Backfill => self.backfills += 1,
            SealKind::Day => self.days += 1,
            SealKind::Erasure => {}
        }
        if !signed.entry.is_day() {
            self.events += signed.entry.tally.events;
            self.counts.merge(&signed.counts);
        }
    }
}

/// A window that is not sealed though it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The window; it may be one before the one that was asked for.
    pub(crate) window: Window,
    /// Receipts that are not wholly stored.
    pub(crate) missing: Vec<ReceiptId>,
    /// When its hold is over, if it is not sealed by then; none where that is not known.
    pub(crate) over_at: Option<Millis>,
}

/// How an instant of a tenant stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Whatever is stored of its window is sealed.
    Sealed,
    /// Its window, or one before it, is to be looked at then and not before.
    Early(Millis),
    /// Its window, or one before it, is held.
    Held(Held),
    /// The time was over.
    Left,
}

/// What one step came to.
enum Step {
    /// A window was sealed whole.
    Sealed(Window),
    /// The chain moved, or somebody else moved it: look again.
    Again,
    /// Nothing is left to seal.
    Nothing,
    /// It is too early.
    Early(Millis),
    /// A window is held.
    Held(Held),
    /// The chain passed a window that does not add up: it is held from now on.
    Passed(Held),
}

/// Seals one tenant's windows.
pub(crate) struct Sealer<'a, S, C> {
    pub(crate) stores: &'a S,
    pub(crate) workshop: &'a Workshop,
    pub(crate) tenant: &'a Tenant,
    pub(crate) settings: Settings,
    pub(crate) clock: &'a C,
    /// Beginnings of windows of which the tenant's list has an entry, due or not.
    listed: BTreeSet<Millis>,
    pub(crate) summary: SealSummary,
    /// Beginnings of windows with events that were settled.
    pub(crate) settled: BTreeSet<Millis>,
}

impl<'a, S: ReconcileStores, C: Fn() -> Millis> Sealer<'a, S, C> {
    pub(crate) fn new(
        stores: &'a S,
        workshop: &'a Workshop,
        tenant: &'a Tenant,
        settings: Settings,
        clock: &'a C,
        entries: &[WorkEntry],
    ) -> Self {
        let of_windows = entries
            .iter()
            .filter(|entry| matches!(entry.key.cause, Cause::Late | Cause::Close));
        Self {
            stores,
            workshop,
            tenant,
            settings,
            clock,
            listed: of_windows.filter_map(|entry| entry.key.start()).collect(),
            summary: SealSummary::default(),
            settled: BTreeSet::new(),
        }
    }

    pub(crate) const fn chain(&self) -> Chain<'a, S> {
        Chain::new(self.stores, self.workshop, self.tenant)
    }

    /// Where the chain stands.
    pub(crate) async fn head(&self) -> Result<ChainHead, PortError> {
        self.chain().head(self.settings.window_minutes).await
    }

    /// Seals until whatever is stored of the window that holds an instant is sealed, or it cannot
    /// be; begins nothing more at `until`.
    ///
    /// # Errors
    /// Whatever error the stores give.
    pub(crate) async fn settle(&mut self, at: Millis, until: Millis) -> Result<Settled, PortError> {
        loop {
            let head = self.head().await?;
            if (self.clock)() >= until {
                if at >= head.through {
                    self.note_lag(&head);
                }
                return Ok(Settled::Left);
            }
            let held = match at < head.through {
                true => self.chain().held(&head).await?,
                false => Vec::new(),
            };
            let step = match held.into_iter().find(|held| held.window.contains(at)) {
                Some(held) => self.seal_held(&head, held).await,
                None if at < head.through => self.seal_late(&head, at).await,
                None => self.seal_next(&head, at).await,
            };
            if step.is_err() && at >= head.through {
                self.note_lag(&head);
            }
            match step? {
                Step::Sealed(window) if window.contains(at) => break,
                Step::Sealed(_) | Step::Again => {}
                Step::Nothing => break,
                Step::Early(at) => return Ok(Settled::Early(at)),
                Step::Passed(held) if !held.window.contains(at) => {}
                Step::Passed(held) => {
                    self.note_held(&held);
                    return Ok(Settled::Held(held));
                }
                Step::Held(held) => {
                    self.note_held(&held);
                    if at >= head.through {
                        // It holds as many windows as it may.
                        self.note_lag(&head);
                    }
                    return Ok(Settled::Held(held));
                }
            }
        }
        Ok(Settled::Sealed)
    }

    fn note_held(&mut self, held: &Held) {
        self.summary.held += 1;
        let usual = held
            .window
            .end
            .plus_seconds(self.workshop.times.hold_seconds);
        let is_overdue = (self.clock)() >= held.over_at.unwrap_or(usual);
        self.summary.overdue += u32::from(is_overdue);
    }

    /// The chain stands where it should not: a tenant that received nothing is not behind.
    fn note_lag(&mut self, head: &ChainHead) {
        let lag_millis = (self.clock)().0 - head.through.0;
        let lag_millis = u64::try_from(lag_millis).unwrap_or(0);
        self.summary.lag_millis = self.summary.lag_millis.max(lag_millis);
    }

    /// Closes the window of an instant that is to be sealed some other time: its account and its evidence are kept, the
    /// clock of its hold starts if it may, and what it misses is known. None where nothing of it is missing.
    ///
    /// # Errors
    /// Whatever error the stores give.
    pub(crate) async fn look_at(&mut self, at: Millis) -> Result<Option<Held>, PortError> {
        let window = Window::containing(at, self.settings.window_minutes);
        let mut drawn_up = self.account(window).await?;
        let is_incomplete = drawn_up.account.state == WindowState::Incomplete;
        if is_incomplete {
            self.start_unsealed_clock(&mut drawn_up).await?;
        }
        self.keep(&drawn_up, &drawn_up.receipts).await?;
        Ok(is_incomplete.then(|| held(&drawn_up.account)))
    }

    /// The next window in order, or a run of idle ones as far as that of an instant.
    async fn seal_next(&mut self, head: &ChainHead, at: Millis) -> Result<Step, PortError> {
        let window = window_after(head.through, self.settings.window_minutes);
        let due = window.end.plus_seconds(self.settings.grace_seconds);
        let now = (self.clock)();
        if now < due {
            return Ok(Step::Early(due));
        }
        if self.takes_over(head).await? {
            return Ok(Step::Again);
        }
        let run = self.run_of(window, at, now);
        if let Some(step) = self.seal_idle(head, &run).await? {
            return Ok(step);
        }
        let drawn_up = self.account(window).await?;
        let held = match self.seal_window(head, &drawn_up, None).await? {
            Step::Held(held) => held,
            sealed => return Ok(sealed),
        };
        let most = match head.has_items() {
            true => HELD_ITEMS_MAX,
            false => HELD_WINDOWS_MAX as u64,
        };
        if head.held_count() >= most {
            return Ok(Step::Held(held));
        }
        Ok(match self.chain().pass_over(head, window).await? {
            ChainOutcome::Moved => Step::Passed(self.begin_hold(held, &drawn_up).await?),
            ChainOutcome::Stale => Step::Again,
        })
    }

    /// Takes over a seal that somebody left; whether there was one.
    pub(crate) async fn takes_over(&mut self, head: &ChainHead) -> Result<bool, PortError> {
        let taken = self.chain().take_over(head).await?;
        if let Some(Moving::Moved(signed)) = &taken {
            self.summary.count(signed);
        }
        Ok(taken.is_some())
    }

    /// Seals a window that is unsealed if it adds up, or if its seal may say what is missing. What was received of one
    /// that is not sealed is written down.
    async fn seal_window(
        &mut self,
        head: &ChainHead,
        drawn_up: &DrawnUp,
        shortfall: Option<Shortfall>,
    ) -> Result<Step, PortError> {
        let DrawnUp {
            account,
            receipts,
            items,
            ..
        } = drawn_up;
        let is_complete = account.state == WindowState::Complete;
        let unsealed = if is_complete { &[][..] } else { receipts };
        self.keep(drawn_up, unsealed).await?;
        let may_be_sealed = is_complete || shortfall.is_some();
        let step = match may_be_sealed {
            false => Step::Held(held(account)),
            true => {
                let job = Job {
                    tenant: self.tenant,
                    window: account.window(),
                    kind: SealKind::Window,
                    head,
                    items,
                    unsealed: account.stored_side,
                    receipts,
                    account,
                    so_far: AccountSoFar::default(),
                    except: HashSet::new(),
                    shortfall,
                };
                self.seal(job).await?
            }
        };
        if matches!(step, Step::Held(_)) && is_complete {
            self.write_down(account.window(), receipts).await?;
        }
        Ok(step)
    }

    /// Seals what the window's lines, without some, come to.
    async fn seal(&mut self, job: Job<'_>) -> Result<Step, PortError> {
        let now = (self.clock)();
        let written = match window::write(self.stores, self.workshop, &job, now).await {
            Ok(written) => written,
            Err(Trouble::Port(error)) => return Err(error),
            Err(Trouble::Held(why)) => {
                self.announce(job.window, &why).await?;
                return Ok(Step::Held(unsealable(job.window, Vec::new())));
            }
            Err(Trouble::Short { damage, missing }) => {
                // Its account did not tell.
                if let Some(damage) = damage {
                    self.announce(job.window, &damage).await?;
                }
                return Ok(Step::Held(unsealable(job.window, missing)));
            }
        };
        if let Some(damage) = &written.damage {
            self.announce(job.window, damage).await?;
        }
        let Some(Sealable { content, missing }) = written.sealable else {
            return Ok(Step::Nothing);
        };
        match (missing.is_empty(), job.account.state) {
            (false, _) => self.keep_short(&job, &missing).await?,
            // What no sensor relies on is not there, or the receipts have expired.
            (true, WindowState::Incomplete) => self.save(job.account).await?,
            (true, _) => {}
        }
        let wanted = content.tally();
        let at = (self.clock)();
        let moving = self.chain().sign(job.head, content, at).await?;
        if let Moving::Moved(signed) = &moving {
            self.summary.short += u32::from(!missing.is_empty());
            if signed.entry.tally.events > 0 || !job.receipts.is_empty() {
                self.settled.insert(signed.entry.window.start);
            }
        }
        Ok(self.step_of(&moving, job.window, wanted))
    }

    /// What moving the chain came to, where a seal of this time and these events was to be signed: what is there may
    /// have been taken over, and hold less.
    fn step_of(&mut self, moving: &Moving, window: Window, expected: Tally) -> Step {
        match moving {
            Moving::Moved(signed) => {
                self.summary.count(signed);
                match (signed.entry.window, signed.entry.tally) == (window, expected) {
                    true => Step::Sealed(window),
                    false => Step::Again,
                }
            }
            Moving::Stale => Step::Again,
            Moving::Early(at) => Step::Early(*at),
        }
    }

    async fn announce(&self, window: Window, why: &str) -> Result<(), PortError> {
        let start = window.start.rfc3339();
        tracing::warn!(tenant = %self.tenant.id, window = start, why, "window not sealed");
        let body = json!({
            "tenant": self.tenant.id,
            "window": { "start": start, "end": window.end.rfc3339() },
            "why": why,
            "invariant": Invariant::Complete.number(),
        });
        let body = body.to_string();
        if self.workshop.is_new(&body) {
            let subject = "Vernier: a window is not sealed";
            self.stores.notices().publish(subject, &body).await?;
        }
        Ok(())
    }
}

fn held(account: &WindowAccount) -> Held {
    let missing = account.missing.iter().map(|m| m.receipt).collect();
    unsealable(account.window(), missing)
}

const fn unsealable(window: Window, missing: Vec<ReceiptId>) -> Held {
    Held {
        window,
        missing,
        over_at: None,
    }
}
