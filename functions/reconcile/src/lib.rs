//! Received against stored, window by window (invariant 3).
//!
//! [`accounts`] draws up the accounts of a range for one tenant, [`counted_accounts`] counts
//! dispositions as well. The [`planner`] nudges whoever has something due, a [`worker`] does it: [`sealing`] keeps the
//! accounts of windows that are over, announces those that do not add up and seals those that do, [`recovery`] brings
//! back what the trigger lost, [`compaction`] merges what is sealed into day files, [`playbacks`] send events
//! through again, [`listing`] lists by tenant what earlier versions committed, [`sweeping`] removes what is not needed
//! any more, [`roll_up`] brings the filters of many blocks together for whoever reads them. [`scaling`] gives the stream
//! as many shards as its load needs.

mod checkpoint;
pub mod compaction;
pub mod context;
pub mod handler;
pub mod listing;
pub mod measured;
pub mod planner;
pub mod playbacks;
pub mod process;
pub mod recovery;
pub mod roll_up;
pub mod scaling;
pub mod scratch;
pub mod sealing;
pub mod shard_check;
pub mod shortfalls;
pub mod sweeping;
pub mod worker;

use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{Coverage, WindowAccount, draw_up};
use vernier_ledger::block_item::{BlockItem, Listing};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::Lane;
use vernier_ledger::limits::{LOOKBACK_SECONDS, READS_IN_FLIGHT_MAX};
use vernier_ledger::live::{self, ReadError};
use vernier_ledger::ports::{Blocks, Objects, PortError, Receipts};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::spread::{Spreads, lanes_of};
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, Minute, TimeRange, Window};

/// Settings of the function.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Length of a window, minutes.
    pub window_minutes: u32,
    /// How long after its end a window may take to add up, seconds.
    pub grace_seconds: i64,
}

/// How long the receipt of a frame that is brought back is kept, days.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptDays(pub u32);

/// The accounts of all windows that touch `[from, to)`, oldest first, by counts and digests: no
/// event is read, so that what it costs does not grow with them.
///
/// # Errors
/// The stores'.
pub async fn accounts<T: Receipts + Listing + Blocks + Spreads>(
    table: &T,
    settings: Settings,
    tenant: &Tenant,
    range: TimeRange,
    now: Millis,
) -> Result<Vec<WindowAccount>, PortError> {
    let (accounts, _) = draw_up_range(table, settings, tenant, range, 0, now).await?;
    Ok(accounts)
}

/// [`accounts`] with how the events ended, counted by reading them; without that count where the
/// range holds more than one request may read, and of windows of whose blocks one is gone or damaged.
///
/// # Errors
/// The stores'.
pub async fn counted_accounts<S: Stores>(
    stores: &S,
    settings: Settings,
    tenant: &Tenant,
    range: TimeRange,
    now: Millis,
) -> Result<Vec<WindowAccount>, PortError> {
    let (mut accounts, items) = draw_up_range(
        stores.table(),
        settings,
        tenant,
        range,
        LOOKBACK_SECONDS,
        now,
    )
    .await?;
    match count_dispositions(stores.objects(), &items, &mut accounts).await {
        Ok(()) => {}
        Err(ReadError::Port(error)) => return Err(error),
        // A block that was sound when its events were shown.
        Err(ReadError::Damaged(damaged)) => return Err(damaged.into()),
        Err(error @ ReadError::TooMuch { .. }) => {
            tracing::info!(tenant = %tenant.id, %error, "dispositions not counted");
        }
    }
    Ok(accounts)
}

/// The accounts of a range, and the tenant's block items since `lookback_seconds` before it.
async fn draw_up_range<T: Receipts + Listing + Blocks + Spreads>(
    table: &T,
    settings: Settings,
    tenant: &Tenant,
    range: TimeRange,
    lookback_seconds: i64,
    now: Millis,
) -> Result<(Vec<WindowAccount>, Vec<BlockItem>), PortError> {
    let windows = Window::touching(range.from, range.to, settings.window_minutes);
    let windows: Vec<Window> = windows.collect();
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return Ok((Vec::new(), Vec::new()));
    };
    // Receipts first: what is committed between the two reads is then seen as stored.
    let receipts = receipts_of(table, tenant, &windows).await?;
    let asked = TimeRange {
        from: first.start.plus_seconds(-lookback_seconds),
        to: last.end,
    };
    let items = live::items_between(table, &tenant.id, asked, now).await?;
    let accounts = balance(settings, &windows, receipts, &items, now);
    Ok((accounts, items))
}

fn balance(
    settings: Settings,
    windows: &[Window],
    mut receipts: BTreeMap<Minute, Vec<Receipt>>,
    items: &[BlockItem],
    now: Millis,
) -> Vec<WindowAccount> {
    let coverage = Coverage::of_items(items);
    let clock = (now, settings.grace_seconds);
    let account = |window: &Window| {
        let minutes = window.minutes();
        let of_window: Vec<Receipt> = minutes
            .flat_map(|m| receipts.remove(&m).unwrap_or_default())
            .collect();
        draw_up(*window, &of_window, items, &coverage, clock)
    };
    windows.iter().map(account).collect()
}

async fn receipts_of<T: Receipts + Spreads>(
    table: &T,
    tenant: &Tenant,
    windows: &[Window],
) -> Result<BTreeMap<Minute, Vec<Receipt>>, PortError> {
    let lanes = lanes_of(table, tenant).await?;
    let keys: Vec<(Minute, Lane)> = windows
        .iter()
        .flat_map(|w| w.minutes())
        .flat_map(|minute| lanes.iter().map(move |lane| (minute, *lane)))
        .collect();
    let pages: Vec<(Minute, Vec<Receipt>)> = stream::iter(keys)
        .map(|(minute, lane)| async move {
            let receipts = table.receipts_in(&tenant.id, minute, lane).await?;
            Ok::<_, PortError>((minute, receipts))
        })
        .buffer_unordered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    let mut by_minute: BTreeMap<Minute, Vec<Receipt>> = BTreeMap::new();
    for (minute, receipts) in pages {
        by_minute.entry(minute).or_default().extend(receipts);
    }
    Ok(by_minute)
}

/// Counts how the stored side's events ended, by window. Windows of whose blocks one is gone or damaged are not counted.
async fn count_dispositions<O: Objects>(
    objects: &O,
    items: &[BlockItem],
    accounts: &mut [WindowAccount],
) -> Result<(), ReadError> {
    let (Some(first), Some(last)) = (accounts.first(), accounts.last()) else {
        return Ok(());
    };
    let (start, end) = (first.start, last.end);
    let since = start.plus_seconds(-LOOKBACK_SECONDS);
    if accounts.iter().all(|a| a.stored_side.events == 0) {
        for account in accounts {
            account.dispositions = Some(DispositionCounts::default());
        }
        return Ok(());
    }
    let choices = [since, start].map(|from| live::blocks_of(items, from, end));
    let mut blocks = live::fetch_widest_readable(objects, choices).await?;
    let known = blocks.dispositions(objects).await?;
    let mut counts = vec![DispositionCounts::default(); accounts.len()];
    for block in &blocks.sound {
        block.for_each_line(|head, _| {
            let at = head.receipt.received_at();
            if start <= at && at < end {
                let place = accounts.partition_point(|a| a.end <= at);
                counts[place].add(known.of(&head));
            }
        })?;
    }
    for (account, counts) in accounts.iter_mut().zip(counts) {
        let mut damaged = blocks.damaged.iter().map(|live| &live.block);
        let is_whole = !damaged.any(|block| block.touches(account.start, account.end));
        account.dispositions = is_whole.then_some(counts);
    }
    Ok(())
}
