//! Sealing: windows that add up become files and a signed seal (docs/seal.md).
//!
//! `Sealer::settle` is asked for an instant of one tenant and seals whatever it takes until nothing of that
//! instant's window is left unsealed. Windows are sealed in their order, so that an event's first occurrence is the
//! stored one; a window that does not add up holds back those after it for `hold_seconds`, then it is passed over and
//! sealed when it does.
//!
//! Two workers of one tenant do no harm: parts lie under keys that hold their content's hash, so that written again
//! they are the same, and a seal counts when the chain has moved over it.

mod accounts;
pub(crate) mod chain;
mod earlier;
mod idle;
mod late;
mod totals;
mod window;
mod wire;
mod workshop;

use crate::Settings;
use chain::{Chain, Moving, Signed};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
pub(crate) use totals::{AccountSoFar, for_each_row, missing_of};
use vernier_archive::Fault;
use vernier_archive::seal::SealKind;
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{WindowAccount, WindowState};
use vernier_ledger::chain::{ChainHead, window_after};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::limits::HELD_WINDOWS_MAX;
use vernier_ledger::ports::{Notices, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, WorkEntry};
use window::Job;
pub(crate) use window::{GROUP_BYTES, PART_ROWS, RUN_BYTES, upload};
pub use workshop::{SealingTimes, Workshop};

/// Why a window is not sealed this time.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A store failed.
    Port(PortError),
    /// What is there cannot be sealed: somebody must look.
    Held(String),
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
    /// Windows that are due and held back.
    pub held: u32,
    /// How the events of windows and backfills ended.
    pub counts: DispositionCounts,
    /// Windows that the chain passed over and that are not sealed yet.
    pub passed_over: u32,
    /// Where a window holds the chain back, or the time did not suffice: how long ago the last window ended that the
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
        self.passed_over = self.passed_over.max(other.passed_over);
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
    /// Whether the windows after it wait for it.
    pub(crate) holds_back: bool,
    /// When it does so no longer, if it is not sealed by then; none where that is not known.
    pub(crate) passed_over_at: Option<Millis>,
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
    pub(crate) async fn head(&mut self) -> Result<ChainHead, PortError> {
        let head = self.chain().head(self.settings.window_minutes).await?;
        self.summary.passed_over = u32::try_from(head.held_count()).unwrap_or(u32::MAX);
        Ok(head)
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
            let step = match held.into_iter().find(|window| window.contains(at)) {
                Some(window) => self.seal_passed_over(&head, window).await,
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
                Step::Held(held) => {
                    self.summary.held += 1;
                    if held.holds_back {
                        self.note_lag(&head);
                    }
                    return Ok(Settled::Held(held));
                }
            }
        }
        self.head().await?;
        Ok(Settled::Sealed)
    }

    /// The chain stands where it should not: a tenant that received nothing is not behind.
    fn note_lag(&mut self, head: &ChainHead) {
        let lag_millis = (self.clock)().0 - head.through.0;
        let lag_millis = u64::try_from(lag_millis).unwrap_or(0);
        self.summary.lag_millis = self.summary.lag_millis.max(lag_millis);
    }

    /// Looks at the window of an instant that is to be sealed some other time: its account is kept, and what it misses
    /// is known. None where nothing of it is missing.
    ///
    /// # Errors
    /// Whatever error the stores give.
    pub(crate) async fn look_at(&mut self, at: Millis) -> Result<Option<Held>, PortError> {
        let window = Window::containing(at, self.settings.window_minutes);
        let account = self.account(window).await?.account;
        self.keep(&account).await?;
        let is_incomplete = account.state == WindowState::Incomplete;
        Ok(is_incomplete.then(|| held(&account)))
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
        let mut held = match self.seal_window(head, window).await? {
            Step::Held(held) => held,
            sealed => return Ok(sealed),
        };
        let overdue = window.end.plus_seconds(self.workshop.times.hold_seconds);
        if now < overdue || head.held_count() >= HELD_WINDOWS_MAX as u64 {
            held.holds_back = true;
            held.passed_over_at = (now < overdue).then_some(overdue);
            return Ok(Step::Held(held));
        }
        let why = "it does not add up; the windows after it are sealed before it";
        self.announce(window, why).await?;
        self.chain().pass_over(head, window).await?;
        Ok(Step::Again)
    }

    /// A window that was passed over.
    async fn seal_passed_over(
        &mut self,
        head: &ChainHead,
        window: Window,
    ) -> Result<Step, PortError> {
        match self.takes_over(head).await? {
            true => Ok(Step::Again),
            false => self.seal_window(head, window).await,
        }
    }

    /// Takes over a seal that somebody left; whether there was one.
    pub(crate) async fn takes_over(&mut self, head: &ChainHead) -> Result<bool, PortError> {
        let taken = self.chain().take_over(head).await?;
        if let Some(Moving::Moved(signed)) = &taken {
            self.summary.count(signed);
        }
        Ok(taken.is_some())
    }

    /// Seals a window if it adds up.
    async fn seal_window(&mut self, head: &ChainHead, window: Window) -> Result<Step, PortError> {
        let drawn_up = self.account(window).await?;
        self.keep(&drawn_up.account).await?;
        if drawn_up.account.state != WindowState::Complete {
            return Ok(Step::Held(held(&drawn_up.account)));
        }
        self.seal(Job {
            tenant: self.tenant,
            window,
            kind: SealKind::Window,
            head,
            items: &drawn_up.items,
            expected: drawn_up.account.stored_side,
            receipts: &drawn_up.receipts,
            so_far: AccountSoFar::default(),
            except: HashSet::new(),
        })
        .await
    }

    /// Seals what the window's lines, without some, come to.
    async fn seal(&mut self, job: Job<'_>) -> Result<Step, PortError> {
        let now = (self.clock)();
        let content = match window::write(self.stores, self.workshop, &job, now).await {
            Ok(content) => content,
            Err(Trouble::Port(error)) => return Err(error),
            Err(Trouble::Held(why)) => {
                self.announce(job.window, &why).await?;
                return Ok(Step::Held(Held {
                    window: job.window,
                    missing: Vec::new(),
                    holds_back: false,
                    passed_over_at: None,
                }));
            }
        };
        let at = (self.clock)();
        let moving = self.chain().sign(job.head, content, at).await?;
        if let Moving::Moved(signed) = &moving
            && (signed.entry.tally.events > 0 || !job.receipts.is_empty())
        {
            self.settled.insert(signed.entry.window.start);
        }
        Ok(self.step_of(&moving, job.window, job.expected))
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
    Held {
        window: account.window(),
        missing: account.missing.iter().map(|m| m.receipt).collect(),
        holds_back: false,
        passed_over_at: None,
    }
}
