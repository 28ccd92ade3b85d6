//! Block items of commits that earlier versions of the stream function wrote without them.
//!
//! A turn lists what was committed since the last one, so that the functions of two versions may run side by side;
//! and until it is through, hours before that, from the newest to the oldest that anybody can ask for. Listing is
//! repeated at will: an item's key and content follow from its commit. Who commits without items takes envelopes
//! without putting entries into work lists, so that those are put here too. A day after the last
//! such commit the listing is over.

use crate::process::{Process, WorkSettings};
use std::collections::BTreeSet;
use vernier_ledger::access::Tenant;
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::chain::ChainHead;
use vernier_ledger::holds::{HeldWindow, Holds};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{LIVE_SECONDS_MAX, LOOKBACK_SECONDS};
use vernier_ledger::live::CLOCK_SKEW_SECONDS_MAX;
use vernier_ledger::ports::{Chains, Directory, PortError};
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, Owner, WorkEntry, WorkKey, WorkLists, close_due};

/// A commit lands at most so long after the time that it bears, seconds: the longest a function may take.
const COMMIT_SECONDS_MAX: i64 = 15 * 60;

const HOUR_SECONDS: i64 = 3_600;

/// After so long without a commit that has no items no process of an earlier version is there any more, seconds.
const QUIET_SECONDS: i64 = 86_400;

/// What a turn listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListingSummary {
    /// How many commits had no items.
    pub commits: u64,
    /// How many items these commits were given.
    pub items: u64,
    /// Whether every commit that can be asked for has its items.
    pub complete: bool,
    /// Whether no commit without items is to be expected any more.
    pub is_over: bool,
}

/// Lists commits without items: those since the last turn, and older ones until `deadline`.
///
/// # Errors
/// The store's; what was not listed is the next turn's.
pub async fn list_commits<T: Listing + Directory + Chains + Holds + WorkLists>(
    table: &T,
    settings: &WorkSettings,
    process: &Process<T>,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<ListingSummary, PortError> {
    let now = clock();
    let mut summary = ListingSummary::default();
    let mark = table.listing_mark().await?;
    let mut mark = mark.unwrap_or_else(|| ListingMark {
        back_to: now.plus_seconds(-COMMIT_SECONDS_MAX),
        ..ListingMark::beginning(now)
    });
    // Of what was committed before that, the runs of the earlier version that was there sealed what they could.
    let oldest_live = now.plus_seconds(-LIVE_SECONDS_MAX);
    let last_turn = mark.through.plus_seconds(-COMMIT_SECONDS_MAX);
    let since = last_turn.max(oldest_live);
    let until = now.plus_seconds(CLOCK_SKEW_SECONDS_MAX);
    let items = list_between(table, since, until, &mut summary).await?;
    if !items.is_empty() {
        mark.unlisted_at = now;
        put_entries(table, settings, process, &items, now).await?;
    }
    mark.through = now;
    if !mark.complete {
        let oldest = oldest_asked_for(table, now).await?;
        while mark.back_to > oldest && clock() < deadline {
            let from = mark.back_to.plus_seconds(-HOUR_SECONDS).max(oldest);
            list_between(table, from, mark.back_to, &mut summary).await?;
            mark.back_to = from;
            // An hour that is listed is not listed again when the next one fails.
            table.save_listing_mark(&mark).await?;
        }
        mark.complete = mark.back_to <= oldest;
    }
    table.save_listing_mark(&mark).await?;
    summary.complete = mark.complete;
    summary.is_over = mark.complete && mark.unlisted_at.plus_seconds(QUIET_SECONDS) <= now;
    Ok(summary)
}

async fn list_between<T: Listing>(
    table: &T,
    from: Millis,
    to: Millis,
    summary: &mut ListingSummary,
) -> Result<Vec<BlockItem>, PortError> {
    let records = table.earlier_records(from, to).await?;
    let unlisted: Vec<_> = records.iter().filter(|r| !r.listed).collect();
    let items: Vec<BlockItem> = unlisted
        .iter()
        .flat_map(|r| BlockItem::listing(r))
        .collect();
    table.list_blocks(&items).await?;
    summary.commits += unlisted.len() as u64;
    summary.items += items.len() as u64;
    Ok(items)
}

/// Puts the entries of the windows that some items are of: what is in a sealed one came late.
async fn put_entries<T: WorkLists>(
    table: &T,
    settings: &WorkSettings,
    process: &Process<T>,
    items: &[BlockItem],
    now: Millis,
) -> Result<(), PortError> {
    let minutes = settings.windows.window_minutes;
    let touched = items.iter().flat_map(|item| {
        let at = item.block.minutes.iter().map(|tally| tally.minute.start());
        at.map(|at| (item.block.tenant.clone(), Window::containing(at, minutes)))
    });
    let touched: BTreeSet<(TenantId, Window)> = touched.collect();
    for (tenant, window) in touched {
        let due = close_due(&tenant, window, settings.windows.grace_seconds);
        let key = WorkKey::at(Cause::Close, window.start);
        let owner = Owner::Tenant(tenant);
        let entry = WorkEntry::new(key, due.max(now), (process.new_nonce)());
        if due > now {
            table.add_work(&owner, &entry).await?;
        } else {
            // A worker may just have read what the window had before.
            table.put_work(&owner, &entry).await?;
        }
    }
    Ok(())
}

/// The oldest commit that any tenant's unsealed windows or live queries can ask for.
async fn oldest_asked_for<T: Directory + Chains + Holds>(
    table: &T,
    now: Millis,
) -> Result<Millis, PortError> {
    let mut oldest = now;
    for id in table.tenants().await? {
        if let Some(tenant) = table.tenant(&id).await? {
            let head = table.chain(&id).await?;
            let held = match &head {
                Some(head) => table.held_windows(&id, head).await?,
                None => Vec::new(),
            };
            oldest = oldest.min(asked_for(&tenant, head.as_ref(), &held, now));
        }
    }
    Ok(oldest)
}

fn asked_for(
    tenant: &Tenant,
    head: Option<&ChainHead>,
    held: &[HeldWindow],
    now: Millis,
) -> Millis {
    let unsealed = head.map_or(tenant.created_at, |head| {
        let starts = held.iter().map(|held| held.window.start);
        starts.fold(head.through, Millis::min)
    });
    let live = now.plus_seconds(-LIVE_SECONDS_MAX);
    let asked_for = unsealed.min(live).plus_seconds(-LOOKBACK_SECONDS);
    // Before a tenant was created nothing of it was received.
    asked_for.max(tenant.created_at.plus_seconds(-CLOCK_SKEW_SECONDS_MAX))
}
