//! The account of every window that is over, for every tenant.

use crate::{Settings, accounts};
use serde_json::json;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{WindowAccount, WindowState};
use vernier_ledger::chain::{ChainHead, first_window, window_after};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::live;
use vernier_ledger::ports::{Accounts, Chains, Directory, Notices, PortError};
use vernier_ledger::segment::{Block, stored_in};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, TimeRange, Window};

/// Windows back from the newest that is over which a run looks at for every tenant.
const WINDOWS_BACK_MAX: i64 = 16;

/// Older windows of one tenant that its chain has not come to, of which a run looks at as many: after
/// an outage they are caught up with.
const WINDOWS_BEHIND_MAX: usize = 16;

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunSummary {
    /// The tenants whose windows were looked at.
    pub tenants: u32,
    /// Windows that add up and were not known to.
    pub completed: u32,
    /// Windows that do not add up.
    pub incomplete: u32,
    /// Tenants whose accounts could not be drawn up this time.
    pub failed: u32,
}

/// What a run found.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The run in figures.
    pub summary: RunSummary,
    /// Receipts that are not wholly stored in windows that should add up.
    pub missing: Vec<(TenantId, ReceiptId)>,
}

/// Draws up the account of every window that is over and whose kept account does not stand, for
/// every tenant; keeps it, and announces a window when it first turns out incomplete. Looked at are the
/// newest windows, and of older ones those that are not sealed: the next ones of the tenant's chain, and
/// of those that it passed over another one each minute. The first that is not sealed though it was
/// complete is looked at again: an envelope without an answer may have shown in it.
///
/// # Errors
/// When the tenants or the segment records cannot be listed. One tenant's failure
/// does not hold up the others.
pub async fn survey<S: ReconcileStores>(
    stores: &S,
    settings: Settings,
    now: Millis,
) -> Result<Survey, PortError> {
    let mut survey = Survey::default();
    let due = due_windows(settings, now);
    let since = due.first().map_or(now, |w| w.start);
    let records = live::records_since(stores.table(), since, now).await?;
    for id in stores.table().tenants().await? {
        let Some(tenant) = stores.table().tenant(&id).await? else {
            continue;
        };
        survey.summary.tenants += 1;
        let blocks: Vec<&Block> = records.iter().filter_map(|r| r.block(&id)).collect();
        let unless = Look::Unless(Some(&blocks));
        let newest = run_tenant(stores, settings, &tenant, &due, unless, now, &mut survey).await;
        let older = run_older(stores, settings, &tenant, since, now, &mut survey).await;
        if let Err(error) = newest.and(older) {
            survey.summary.failed += 1;
            tracing::error!(tenant = %id, %error, "accounts not drawn up");
        }
    }
    Ok(survey)
}

/// Looks at windows that ended before the newest ones begin and are not sealed.
async fn run_older<S: ReconcileStores>(
    stores: &S,
    settings: Settings,
    tenant: &Tenant,
    newest: Millis,
    now: Millis,
    survey: &mut Survey,
) -> Result<(), PortError> {
    let chain = stores.table().chain(&tenant.id).await?;
    let first = first_window(tenant.created_at, settings.window_minutes);
    let head = chain.unwrap_or_else(|| ChainHead::beginning(first.start));
    let (mut behind, mut at) = (Vec::new(), head.through);
    while at < newest && behind.len() < WINDOWS_BEHIND_MAX {
        let window = window_after(at, settings.window_minutes);
        at = window.end;
        behind.push(window);
    }
    let unless = Look::Unless(None);
    run_tenant(stores, settings, tenant, &behind, unless, now, survey).await?;
    let next = window_after(head.through, settings.window_minutes);
    if next.end.plus_seconds(settings.grace_seconds) <= now {
        let window = std::slice::from_ref(&next);
        run_tenant(stores, settings, tenant, window, Look::Doubted, now, survey).await?;
    }
    let minute = usize::try_from(now.minute().0).unwrap_or(0);
    let Some(turn) = minute.checked_rem(head.passed_over.len()) else {
        return Ok(());
    };
    let one = &head.passed_over[turn];
    let look = if one.end <= newest {
        Look::Always
    } else {
        Look::Doubted
    };
    let window = std::slice::from_ref(one);
    run_tenant(stores, settings, tenant, window, look, now, survey).await
}

/// Which windows are looked at, by their kept accounts.
#[derive(Debug, Clone, Copy)]
enum Look<'r> {
    /// All but those that stand: complete, also by these blocks of the tenant.
    Unless(Option<&'r [&'r Block]>),
    /// Those that were complete, and could have been sealed since: an envelope without
    /// an answer may have shown.
    Doubted,
    /// Every window, whatever its kept account says.
    Always,
}

impl Look<'_> {
    fn leaves(self, settings: Settings, account: &WindowAccount) -> bool {
        match self {
            Self::Unless(blocks) => {
                let stored = blocks.map(|b| stored_in(account.window(), b.iter().copied()));
                stands(settings, account, stored.as_ref())
            }
            Self::Doubted => account.state != WindowState::Complete,
            Self::Always => false,
        }
    }
}

/// Looks at windows that follow each other.
async fn run_tenant<S: ReconcileStores>(
    stores: &S,
    settings: Settings,
    tenant: &Tenant,
    due: &[Window],
    look: Look<'_>,
    now: Millis,
    survey: &mut Survey,
) -> Result<(), PortError> {
    let mut open: Vec<(Window, Option<WindowAccount>)> = Vec::new();
    for window in due.iter().filter(|w| w.end > tenant.created_at) {
        let before = stores.table().account(&tenant.id, *window).await?;
        let is_left = |a: &WindowAccount| look.leaves(settings, a);
        if !before.as_ref().is_some_and(is_left) {
            open.push((*window, before));
        }
    }
    let (Some((first, _)), Some((last, _))) = (open.first(), open.last()) else {
        return Ok(());
    };
    let range = TimeRange {
        from: first.start,
        to: last.end,
    };
    let drawn_up = accounts(stores.table(), settings, tenant, range, now).await?;
    for (window, before) in open {
        let Some(account) = drawn_up.iter().find(|a| a.window() == window) else {
            continue;
        };
        let before = before.map(|b| b.state);
        let known = before == Some(WindowState::Incomplete);
        if account.state == WindowState::Complete {
            survey.summary.completed += u32::from(before != Some(WindowState::Complete));
        } else if account.state == WindowState::Incomplete {
            survey.summary.incomplete += 1;
            let missing = account
                .missing
                .iter()
                .map(|m| (tenant.id.clone(), m.receipt));
            survey.missing.extend(missing);
            if !known {
                // Before it is kept: a crash in between announces twice rather than never.
                announce(stores.notices(), tenant, account).await?;
            }
        }
        stores.table().save_account(&tenant.id, account).await?;
    }
    Ok(())
}

/// Whether a kept account needs no other look: it was drawn up when every envelope of the window had
/// its answer, and nothing has been stored since (an envelope without an answer can come at any time).
fn stands(settings: Settings, account: &WindowAccount, stored: Option<&Tally>) -> bool {
    account.state == WindowState::Complete
        && account.computed_at >= account.end.plus_seconds(settings.grace_seconds)
        && stored.is_none_or(|stored| account.stored_side == *stored)
}

/// The newest windows that are over, oldest first.
fn due_windows(settings: Settings, now: Millis) -> Vec<Window> {
    let length = i64::from(settings.window_minutes) * 60;
    let to = Window::containing(now, settings.window_minutes).start;
    Window::touching(
        to.plus_seconds(-length * WINDOWS_BACK_MAX),
        to,
        settings.window_minutes,
    )
    .collect()
}

async fn announce<N: Notices>(
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
        "invariant": vernier_ledger::Invariant::Complete.number(),
    });
    tracing::warn!(tenant = %tenant.id, window = account.start.rfc3339(), missing = account.missing_count, "window does not add up");
    notices
        .publish("Vernier: a window does not add up", &body.to_string())
        .await
}
