//! A window that did not add up when it was closed, until it is sealed: the one place where a hold goes on.
//!
//! ```text
//! passed ── may something still come by itself? ── no ──> clock started ── HoldSeconds ──> over
//!    └──────────────────────── an operator ends it ──────────────────────────────────────> over
//! ```
//! In each of these the window is sealed as soon as it adds up, and what it misses is brought back. Once its hold is over it
//! is sealed with whatever is there, and its seal says what is missing. A crash leaves the item as one of these is; nothing
//! takes it back, and the chain's move over the window's seal removes it.

use super::accounts::DrawnUp;
use super::{Held, Sealer, Step};
use vernier_archive::seal::{Shortfall, ShortfallCause};
use vernier_ledger::account::{Coverage, first_places};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::chain::ChainHead;
use vernier_ledger::given_up::{GivenUp, GivenUpSlices as _};
use vernier_ledger::holds::{HeldWindow, HoldEnd, Holds};
use vernier_ledger::ids::Shard;
use vernier_ledger::ports::{Commits, FrameRecords, PortError};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

impl<S: ReconcileStores, C: Fn() -> Millis> Sealer<'_, S, C> {
    /// Seals a held window if it adds up or its hold is over; else its clock is started if it may be.
    pub(super) async fn seal_held(
        &mut self,
        head: &ChainHead,
        held: HeldWindow,
    ) -> Result<Step, PortError> {
        if self.takes_over(head).await? {
            return Ok(Step::Again);
        }
        if let Some(step) = head.itemized() {
            self.chain().itemize(&step).await?;
            return Ok(Step::Again);
        }
        let hold_seconds = self.workshop.times.hold_seconds;
        let drawn_up = self.account(held.window).await?;
        let since = match held.since {
            Some(since) => Some(since),
            None => self.clock_of(&drawn_up).await?,
        };
        let end = held.end(hold_seconds, (self.clock)());
        let shortfall = end.map(|end| shortfall_of(&held, end));
        Ok(match self.seal_window(head, &drawn_up, shortfall).await? {
            Step::Held(found) | Step::Passed(found) => {
                let held = match since {
                    None => held,
                    Some(since) => self.start_clock(held, since).await?,
                };
                Step::Held(Held {
                    over_at: held.over_at(hold_seconds),
                    ..found
                })
            }
            other => other,
        })
    }

    /// Begins the hold of a window that the chain has just passed: its clock is started if it may be. A crash before that
    /// leaves it to the next try.
    pub(super) async fn begin_hold(
        &self,
        found: Held,
        drawn_up: &DrawnUp,
    ) -> Result<Held, PortError> {
        if let Some(step) = self.head().await?.itemized() {
            self.chain().itemize(&step).await?;
        }
        let mut held = HeldWindow::of(found.window);
        if let Some(since) = self.clock_of(drawn_up).await? {
            held = self.start_clock(held, since).await?;
        }
        Ok(Held {
            over_at: held.over_at(self.workshop.times.hold_seconds),
            ..found
        })
    }

    /// Since when the clock of a window's hold runs or may run: since the chain had not come to the window yet, or from now
    /// on; none while something may still come.
    async fn clock_of(&self, drawn_up: &DrawnUp) -> Result<Option<Millis>, PortError> {
        let account = &drawn_up.account;
        if account.held_since.is_some() {
            return Ok(account.held_since);
        }
        let (receipts, items) = (&drawn_up.receipts, &drawn_up.items);
        let may_come = self.may_still_come(account.window(), receipts, items);
        Ok(match may_come.await? {
            true => None,
            false => Some((self.clock)()),
        })
    }

    /// Starts the clock of the hold of a window that is closed and not to be sealed now: its own, where the chain has passed
    /// the window, else in the account that is kept of it, from which the hold takes it over.
    pub(super) async fn start_unsealed_clock(
        &self,
        drawn_up: &mut DrawnUp,
    ) -> Result<(), PortError> {
        let (head, window) = (self.head().await?, drawn_up.account.window());
        if window.start >= head.through {
            drawn_up.account.held_since = self.clock_of(drawn_up).await?;
            return Ok(());
        }
        let held = self.chain().held(&head).await?;
        let held = { held.into_iter() }.find(|held| held.window == window);
        if let Some(held) = held.filter(|held| held.since.is_none())
            && let Some(since) = self.clock_of(drawn_up).await?
        {
            self.start_clock(held, since).await?;
        }
        Ok(())
    }

    /// Starts a hold's clock unless it runs. Where somebody else changed the hold meanwhile, the next try looks again.
    async fn start_clock(&self, held: HeldWindow, since: Millis) -> Result<HeldWindow, PortError> {
        if held.since.is_some() {
            return Ok(held);
        }
        let started = held.started(since);
        let (table, tenant) = (self.stores.table(), &self.tenant.id);
        match table.change_held(tenant, &held, &started).await? {
            true => Ok(started),
            false => Ok(held),
        }
    }

    /// What a backfill may say of something missing of a window that is sealed, where none of its seals says anything: no
    /// item has a clock for it, so that the hold counts from when the window was closed. None while it lasts.
    pub(super) async fn late_shortfall(
        &self,
        window: Window,
        receipts: &[Receipt],
        items: &[BlockItem],
    ) -> Result<Option<Shortfall>, PortError> {
        let closed_at = window.end.plus_seconds(self.settings.grace_seconds);
        let over_at = closed_at.plus_seconds(self.workshop.times.hold_seconds);
        if (self.clock)() < over_at || self.may_still_come(window, receipts, items).await? {
            return Ok(None);
        }
        let held = HeldWindow::of(window).started(closed_at);
        Ok(Some(shortfall_of(&held, HoldEnd::Time)))
    }

    /// Whether a slice that is missing may come without anybody's help: its first record lies before its shard's cursor,
    /// which has not come to it, and the stream still has it. What recovery sent again does not count, and what it gave
    /// up is missing for good.
    async fn may_still_come(
        &self,
        window: Window,
        receipts: &[Receipt],
        items: &[BlockItem],
    ) -> Result<bool, PortError> {
        let (table, stream) = (self.stores.table(), self.stores.stream());
        let coverage = Coverage::of_items(items);
        let given_up = table
            .given_up_slices(&self.tenant.id, window.into())
            .await?;
        let places = first_places(receipts, &coverage, &GivenUp::of(&given_up));
        if places.is_empty() {
            return Ok(false);
        }
        let shards: Vec<Shard> = stream.listed_shards().await?;
        for (id, last) in &places {
            // Of a shard that the stream lists no more, it has no record.
            let Some(shard) = shards.iter().find(|shard| shard.id == *id) else {
                continue;
            };
            let cursor = table.cursor(shard).await?.sequence;
            let is_passed = cursor.is_some_and(|passed| passed >= *last);
            if is_passed {
                continue;
            }
            let kept = stream.kept_from(shard, last, 1).await?;
            if kept.first().is_some_and(|(sequence, _)| sequence == last) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn shortfall_of(held: &HeldWindow, end: HoldEnd) -> Shortfall {
    Shortfall {
        cause: match end {
            HoldEnd::Time => ShortfallCause::Time,
            HoldEnd::Operator => ShortfallCause::Operator,
        },
        since: held.since,
        reason: held.reason.clone().unwrap_or_default(),
    }
}
