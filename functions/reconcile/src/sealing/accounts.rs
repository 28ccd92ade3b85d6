//! Windows' accounts as sealing draws them up, keeps and announces them.

use super::Sealer;
use crate::{balance, receipts_of};
use serde_json::json;
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{Coverage, WindowAccount, WindowState, draw_up};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::live;
use vernier_ledger::ports::{Accounts, Notices, PortError};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, TimeRange, Window};

/// A window's account, and what its two sides are the sums of.
pub(super) struct DrawnUp {
    pub(super) account: WindowAccount,
    pub(super) receipts: Vec<Receipt>,
    pub(super) items: Vec<BlockItem>,
}

/// Whether nothing was received in a window, and nothing of it is stored.
const fn had_nothing(account: &WindowAccount) -> bool {
    account.received.envelopes == 0 && account.stored_side.events == 0
}

impl<S: ReconcileStores, C: Fn() -> Millis> Sealer<'_, S, C> {
    /// The account of a window as it stands now.
    pub(super) async fn account(&self, window: Window) -> Result<DrawnUp, PortError> {
        let now = (self.clock)();
        let table = self.stores.table();
        // Receipts first: what is committed between the two reads is then seen as stored.
        let receipts = receipts_of(table, self.tenant, &[window]).await?;
        let receipts: Vec<Receipt> = receipts.into_values().flatten().collect();
        let items = live::items_between(table, &self.tenant.id, window.into(), now).await?;
        let coverage = Coverage::of_items(&items);
        let clock = (now, self.settings.grace_seconds);
        let account = draw_up(window, &receipts, &items, &coverage, clock);
        Ok(DrawnUp {
            account,
            receipts,
            items,
        })
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
    /// had nothing no account is kept.
    pub(super) async fn keep(&mut self, account: &WindowAccount) -> Result<(), PortError> {
        let (table, tenant) = (self.stores.table(), &self.tenant.id);
        let incomplete = account.state == WindowState::Incomplete;
        self.summary.incomplete += u32::from(incomplete);
        if !incomplete && had_nothing(account) {
            return Ok(());
        }
        let before = table.account(tenant, account.window()).await?;
        let before = before.map(|b| b.state);
        if account.state == WindowState::Complete && before != Some(WindowState::Complete) {
            self.summary.completed += 1;
        }
        if incomplete && before != Some(WindowState::Incomplete) {
            // Before it is kept: a crash in between announces twice rather than never.
            announce_incomplete(self.stores.notices(), self.tenant, account).await?;
        }
        table.save_account(tenant, account).await
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
        "invariant": Invariant::Complete.number(),
    });
    tracing::warn!(tenant = %tenant.id, window = account.start.rfc3339(), missing = account.missing_count, "window does not add up");
    notices
        .publish("Vernier: a window does not add up", &body.to_string())
        .await
}
