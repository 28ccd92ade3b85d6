//! Windows' accounts as sealing draws them up, keeps and announces them.

use super::Sealer;
use super::window::Job;
use crate::{balance, receipts_of};
use serde_json::json;
use vernier_archive::account::Missing;
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{Coverage, WindowAccount, WindowState, draw_up};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::limits::MISSING_NAMED_MAX;
use vernier_ledger::live;
use vernier_ledger::ports::{Accounts, Notices, PortError};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, TimeRange, Window};

/// How long after a window's end what was written down of it is looked for though no account is kept, seconds: a worker
/// may have died between the two, and no receipt expires within a day.
const WRITTEN_DOWN_AFTER_SECONDS: i64 = 86_400;

/// A window's account, and what its two sides are the sums of.
pub(super) struct DrawnUp {
    pub(super) account: WindowAccount,
    pub(super) receipts: Vec<Receipt>,
    pub(super) items: Vec<BlockItem>,
    /// The account that was kept of the window before this one; none where none was.
    pub(super) kept: Option<WindowAccount>,
}

impl DrawnUp {
    /// Whether the table's receipts may not be all that the window received: the account that was kept says otherwise, so
    /// that some came since, expired or were removed.
    fn may_lack_receipts(&self, now: Millis) -> bool {
        match &self.kept {
            Some(kept) => kept.received != self.account.received,
            None => now >= self.account.end.plus_seconds(WRITTEN_DOWN_AFTER_SECONDS),
        }
    }
}

/// Whether nothing was received in a window, and nothing of it is stored.
const fn had_nothing(account: &WindowAccount) -> bool {
    account.received.envelopes == 0 && account.stored_side.events == 0
}

impl<S: ReconcileStores, C: Fn() -> Millis> Sealer<'_, S, C> {
    /// The account of a window as it stands now. What was written down of the window counts as its receipts do, where
    /// the table may not have all of these.
    pub(super) async fn account(&self, window: Window) -> Result<DrawnUp, PortError> {
        let now = (self.clock)();
        let table = self.stores.table();
        let kept = table.account(&self.tenant.id, window).await?;
        // Receipts first: what is committed between the two reads is then seen as stored.
        let receipts = receipts_of(table, self.tenant, &[window]).await?;
        let receipts: Vec<Receipt> = receipts.into_values().flatten().collect();
        let items = live::items_between(table, &self.tenant.id, window.into(), now).await?;
        let mut drawn_up = DrawnUp {
            account: self.drawn_up(window, &receipts, &items, now),
            receipts,
            items,
            kept,
        };
        if drawn_up.may_lack_receipts(now) {
            drawn_up = self.with_written_down(drawn_up, now).await?;
        }
        drawn_up.account.held_since = drawn_up.kept.as_ref().and_then(|kept| kept.held_since);
        Ok(drawn_up)
    }

    fn drawn_up(
        &self,
        window: Window,
        receipts: &[Receipt],
        items: &[BlockItem],
        now: Millis,
    ) -> WindowAccount {
        let coverage = Coverage::of_items(items);
        let clock = (now, self.settings.grace_seconds);
        draw_up(window, receipts, items, &coverage, clock).named_after(None)
    }

    /// The account with the receipts that were written down of its window and that the table has no longer.
    async fn with_written_down(
        &self,
        mut drawn_up: DrawnUp,
        now: Millis,
    ) -> Result<DrawnUp, PortError> {
        let window = drawn_up.account.window();
        let mut written_down = self.written_down(window).await?;
        if written_down.is_empty() {
            return Ok(drawn_up);
        }
        for receipt in &mut drawn_up.receipts {
            // A claim makes anew what had expired, without the acknowledgement.
            if let Some(written) = written_down.remove(&receipt.id)
                && receipt.acknowledged.is_none()
            {
                receipt.acknowledged = written.acknowledged;
                receipt.body_bytes = written.body_bytes;
            }
        }
        drawn_up.receipts.extend(written_down.into_values());
        drawn_up.account = self.drawn_up(window, &drawn_up.receipts, &drawn_up.items, now);
        Ok(drawn_up)
    }

    /// How many of some windows in a row had nothing, from the first on: neither received nor stored. They are drawn up a
    /// few at a time, twice as many each time, so that little is read in vain where the first has something, and the
    /// reads of many idle ones do not wait for each other.
    pub(super) async fn count_idle(&self, windows: &[Window]) -> Result<usize, PortError> {
        let (now, table) = ((self.clock)(), self.stores.table());
        let (mut idle, mut count) = (0, 1);
        while idle < windows.len() {
            let some = &windows[idle..(idle + count).min(windows.len())];
            let (Some(first), Some(last)) = (some.first(), some.last()) else {
                break;
            };
            let receipts = receipts_of(table, self.tenant, some).await?;
            let range = TimeRange {
                from: first.start,
                to: last.end,
            };
            let items = live::items_between(table, &self.tenant.id, range, now).await?;
            let accounts = balance(self.settings, some, receipts, &items, now);
            let here = accounts.iter().take_while(|account| had_nothing(account));
            let here = here.count();
            idle += here;
            if here < some.len() {
                break;
            }
            count *= 2;
        }
        Ok(idle)
    }

    /// Keeps a window's account, and announces it when it first turns out incomplete. Of a window that
    /// had nothing no account is kept. Where something was received since the account before, these receipts are written
    /// down before it is kept.
    pub(super) async fn keep(
        &mut self,
        DrawnUp { account, kept, .. }: &DrawnUp,
        receipts: &[Receipt],
    ) -> Result<(), PortError> {
        let incomplete = account.state == WindowState::Incomplete;
        self.summary.incomplete += u32::from(incomplete);
        if !incomplete && had_nothing(account) {
            return Ok(());
        }
        if kept
            .as_ref()
            .is_none_or(|kept| kept.received != account.received)
        {
            self.write_down(account.window(), receipts).await?;
        }
        let before = kept.as_ref().map(|kept| kept.state);
        if account.state == WindowState::Complete && before != Some(WindowState::Complete) {
            self.summary.completed += 1;
        }
        if incomplete && !matches!(before, Some(WindowState::Incomplete | WindowState::Short)) {
            // Before it is kept: a crash in between announces twice rather than never.
            announce_incomplete(self.stores.notices(), self.tenant, account).await?;
        }
        // One that its window's seal drew up says more, until there is another seal.
        if !incomplete || before != Some(WindowState::Short) {
            self.save(account).await?;
        }
        Ok(())
    }

    pub(super) async fn save(&self, account: &WindowAccount) -> Result<(), PortError> {
        let table = self.stores.table();
        table.save_account(&self.tenant.id, account).await
    }

    /// Keeps the account of a window whose seal is about to say what is missing, and announces that.
    pub(super) async fn keep_short(
        &mut self,
        job: &Job<'_>,
        missing: &[Missing],
    ) -> Result<(), PortError> {
        let mut account = job.account.clone();
        account.state = WindowState::Short;
        account.missing_count = missing.len() as u64;
        account.missing = missing
            .iter()
            .take(MISSING_NAMED_MAX)
            .map(Missing::receipt)
            .collect();
        let events: u64 = missing.iter().map(|row| u64::from(row.events)).sum();
        let body = json!({
            "tenant": self.tenant.id,
            "window": { "start": account.start.rfc3339(), "end": account.end.rfc3339() },
            "missing_count": account.missing_count,
            "missing_events": events,
            "shortfall": job.shortfall,
            "invariant": Invariant::Complete.number(),
        });
        let body = body.to_string();
        tracing::warn!(tenant = %self.tenant.id, window = account.start.rfc3339(), missing = account.missing_count, "window sealed with a shortfall");
        if self.workshop.is_new(&body) {
            // Before it is sealed: a crash in between announces twice rather than never.
            let subject = "Vernier: a window is sealed with a shortfall";
            self.stores.notices().publish(subject, &body).await?;
        }
        self.save(&account).await
    }
}

async fn announce_incomplete<N: Notices>(
    notices: &N,
    tenant: &Tenant,
    account: &WindowAccount,
) -> Result<(), PortError> {
    let missing: Vec<String> = account
        .missing
        .iter()
        .map(|m| m.receipt.to_string())
        .collect();
    let body = json!({
        "tenant": tenant.id,
        "window": { "start": account.start.rfc3339(), "end": account.end.rfc3339() },
        "received_events": account.received.tally.events,
        "stored_side_events": account.stored_side.events,
        "missing_count": account.missing_count,
        "missing_receipts": missing,
        "then": "later windows are sealed meanwhile; this one when it adds up, or with a shortfall when its hold is over",
        "invariant": Invariant::Complete.number(),
    });
    tracing::warn!(tenant = %tenant.id, window = account.start.rfc3339(), missing = account.missing_count, "window does not add up");
    notices
        .publish("Vernier: a window does not add up", &body.to_string())
        .await
}
