//! Block items of commits that earlier versions of the stream function wrote without them.
//!
//! A run lists what was committed since the last one, so that the functions of two versions may run side by side;
//! and until it is through, hours before that, from the newest to the oldest that anybody can ask for. Listing is
//! repeated at will: an item's key and content follow from its commit.

use vernier_ledger::access::Tenant;
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::chain::ChainHead;
use vernier_ledger::limits::{LIVE_SECONDS_MAX, LOOKBACK_SECONDS};
use vernier_ledger::live::CLOCK_SKEW_SECONDS_MAX;
use vernier_ledger::ports::{Chains, Commits, Directory, PortError};
use vernier_ledger::time::Millis;

/// A commit lands at most so long after the time that it bears, seconds: the longest a function may take.
const COMMIT_SECONDS_MAX: i64 = 15 * 60;

const HOUR_SECONDS: i64 = 3_600;

/// What a run listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListingSummary {
    /// How many commits had no items.
    pub commits: u64,
    /// How many items these commits were given.
    pub items: u64,
    /// Whether every commit that can be asked for has its items.
    pub complete: bool,
}

/// Lists commits without items: those since the last run, and older ones until `deadline`.
///
/// # Errors
/// The store's; what was not listed is the next run's.
pub async fn list_commits<T: Commits + Listing + Directory + Chains>(
    table: &T,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<ListingSummary, PortError> {
    let now = clock();
    let mut summary = ListingSummary::default();
    let mark = table.listing_mark().await?;
    let mut mark = mark.unwrap_or(ListingMark {
        through: now,
        back_to: now.plus_seconds(-COMMIT_SECONDS_MAX),
        complete: false,
    });
    // Of what was committed before that, the runs of the earlier version that was there sealed what they could.
    let oldest_live = now.plus_seconds(-LIVE_SECONDS_MAX);
    let last_run = mark.through.plus_seconds(-COMMIT_SECONDS_MAX);
    let since = last_run.max(oldest_live);
    let until = now.plus_seconds(CLOCK_SKEW_SECONDS_MAX);
    list_between(table, since, until, &mut summary).await?;
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
    Ok(summary)
}

async fn list_between<T: Commits + Listing>(
    table: &T,
    from: Millis,
    to: Millis,
    summary: &mut ListingSummary,
) -> Result<(), PortError> {
    let records = table.records(from, to).await?;
    let unlisted: Vec<_> = records.iter().filter(|r| !r.listed).collect();
    let items: Vec<BlockItem> = unlisted
        .iter()
        .flat_map(|r| BlockItem::listing(r))
        .collect();
    table.list_blocks(&items).await?;
    summary.commits += unlisted.len() as u64;
    summary.items += items.len() as u64;
    Ok(())
}

/// The oldest commit that any tenant's unsealed windows or live queries can ask for.
async fn oldest_asked_for<T: Directory + Chains>(
    table: &T,
    now: Millis,
) -> Result<Millis, PortError> {
    let mut oldest = now;
    for id in table.tenants().await? {
        if let Some(tenant) = table.tenant(&id).await? {
            let head = table.chain(&id).await?;
            oldest = oldest.min(asked_for(&tenant, head.as_ref(), now));
        }
    }
    Ok(oldest)
}

fn asked_for(tenant: &Tenant, head: Option<&ChainHead>, now: Millis) -> Millis {
    let unsealed = head.map_or(tenant.created_at, |head| {
        let passed = head.passed_over.iter().map(|window| window.start);
        passed.fold(head.through, Millis::min)
    });
    let live = now.plus_seconds(-LIVE_SECONDS_MAX);
    let asked_for = unsealed.min(live).plus_seconds(-LOOKBACK_SECONDS);
    // Before a tenant was created nothing of it was received.
    asked_for.max(tenant.created_at.plus_seconds(-CLOCK_SKEW_SECONDS_MAX))
}
