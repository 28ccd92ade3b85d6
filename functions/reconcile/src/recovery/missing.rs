//! What windows miss of a shard, and the records that the stream still has of it.

use super::{Mark, RecoverySummary, STEP_BYTES_MAX, STEP_RECORDS_MAX, Site, Stepped};
use crate::receipts_of;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{Coverage, missing_slices};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::frame::Tally;
use vernier_ledger::given_up::{GivenUp, GivenUpSlices as _};
use vernier_ledger::ids::{ReceiptId, Sequence, TenantId};
use vernier_ledger::live::{self, LiveBlock, ReadError};
use vernier_ledger::ports::{
    Commits as _, Directory as _, FrameRecords as _, NewRecord, Objects, PortError,
};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::recovery::{missing_key, missing_of};
use vernier_ledger::segment::stored_in;
use vernier_ledger::stores::{ReconcileStores, Stores};
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Nonce, Owner, WorkEntry, put_if_absent};

/// A slice that a window misses, and where its record was put last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct MissingSlice {
    shard_id: String,
    sequence: Sequence,
    receipt: ReceiptId,
    slice: u32,
}

/// The slices of a window that no commit holds, by shard and place, without those that were given up.
async fn slices_missing_in<S: Stores>(
    stores: &S,
    tenant: &Tenant,
    window: Window,
    now: Millis,
) -> Result<Vec<MissingSlice>, PortError> {
    let table = stores.table();
    // Receipts first: what is committed between the two reads is then seen as stored.
    let receipts = receipts_of(table, tenant, &[window]).await?;
    let receipts: Vec<Receipt> = receipts.into_values().flatten().collect();
    let items = live::items_between(table, &tenant.id, window.into(), now).await?;
    let coverage = Coverage::of_items(&items);
    let unheld = unheld(stores, window, &receipts, &items, &coverage).await?;
    let given_up = table.given_up_slices(&tenant.id, window.into()).await?;
    let given_up = GivenUp::of(&given_up);
    let mut missing = Vec::new();
    for receipt in &receipts {
        let slices = match unheld.contains(&receipt.id) {
            true => receipt.expected_slices().collect(),
            false => missing_slices(receipt, &coverage),
        };
        for slice in slices {
            if given_up.has(receipt.id, slice) {
                continue;
            }
            let claim = receipt.claims.get(&slice);
            let claimed = claim.map(|c| (c.origin.shard.id.clone(), c.origin.sequence.clone()));
            let at = usize::try_from(slice).unwrap_or(usize::MAX);
            let Some((shard_id, sequence)) = claimed.or_else(|| receipt.placed.get(at).cloned())
            else {
                continue;
            };
            missing.push(MissingSlice {
                shard_id,
                sequence,
                receipt: receipt.id,
                slice,
            });
        }
    }
    missing.sort_unstable();
    Ok(missing)
}

/// Receipts of which a commit's range has a claimed record, and its block does not have all lines: found by what is
/// committed, and only where the claims in such ranges do not come to what is stored.
async fn unheld<S: Stores>(
    stores: &S,
    window: Window,
    receipts: &[Receipt],
    items: &[BlockItem],
    coverage: &Coverage,
) -> Result<BTreeSet<ReceiptId>, PortError> {
    let mut claimed: BTreeMap<ReceiptId, Tally> = BTreeMap::new();
    let mut sum = Tally::default();
    for receipt in receipts {
        for claim in receipt.claims.values() {
            if coverage.contains(&claim.origin.shard, &claim.origin.sequence) {
                claimed.entry(receipt.id).or_default().merge(&claim.tally);
                sum.merge(&claim.tally);
            }
        }
    }
    if sum == stored_in(window, items.iter().map(|item| &item.block)) {
        return Ok(BTreeSet::new());
    }
    let blocks = live::blocks_of(items, window.start, window.end);
    let events = match events_in(stores.objects(), blocks).await {
        Ok(events) => events,
        Err(ReadError::Port(error)) => return Err(error),
        Err(error @ (ReadError::TooMuch { .. } | ReadError::Damaged(_))) => {
            tracing::warn!(%error, "a window's blocks are not compared with its claims");
            return Ok(BTreeSet::new());
        }
    };
    let is_short = |(id, tally): &(&ReceiptId, &Tally)| {
        events.get(id).copied().unwrap_or_default() < tally.events
    };
    Ok(claimed.iter().filter(is_short).map(|(id, _)| *id).collect())
}

/// How many events of each receipt lie in some blocks.
async fn events_in<O: Objects>(
    objects: &O,
    blocks: Vec<LiveBlock>,
) -> Result<BTreeMap<ReceiptId, u64>, ReadError> {
    let mut events: BTreeMap<ReceiptId, u64> = BTreeMap::new();
    for block in live::fetch(objects, blocks).await? {
        block.for_each_line(|head, _| *events.entry(head.receipt).or_default() += 1)?;
    }
    Ok(events)
}

/// Has what a window misses brought back: an entry in the list of each shard that something of it was put on. Answers
/// whether there is something.
///
/// # Errors
/// Whatever error the stores give.
pub(crate) async fn want_window<S: Stores>(
    stores: &S,
    tenant: &Tenant,
    window: Window,
    new_nonce: fn() -> Nonce,
    now: Millis,
) -> Result<bool, PortError> {
    let missing = slices_missing_in(stores, tenant, window, now).await?;
    let shards: BTreeSet<&str> = missing
        .iter()
        .map(|slice| slice.shard_id.as_str())
        .collect();
    for id in &shards {
        let entry = WorkEntry::new(missing_key(&tenant.id, window), now, new_nonce());
        put_if_absent(stores.table(), &Owner::of_shard(id), &entry).await?;
    }
    Ok(!shards.is_empty())
}

/// What a window misses of a shard, in the order of the records, on its way.
pub(super) struct WindowCourse {
    pub(super) tenant: TenantId,
    window: Window,
    /// Records that are not through; none before they were looked for in this turn.
    slices: Option<VecDeque<MissingSlice>>,
}

/// What a read of the stream found.
#[derive(Debug, Default)]
struct Found {
    records: Vec<(Sequence, NewRecord)>,
    gone: u64,
    /// Records that are through, found or gone.
    passed: usize,
}

impl WindowCourse {
    /// The course of an entry; none of one that is about something else.
    pub(super) fn of(name: &str) -> Option<Self> {
        let (tenant, window) = missing_of(name)?;
        Some(Self {
            tenant,
            window,
            slices: None,
        })
    }

    /// Takes the next few hundred records. What is gone for good is passed by; what the trigger has not come to ends the
    /// course: to bring it back now would fence off what lies before.
    pub(super) async fn step<S: ReconcileStores, C: Fn() -> Millis>(
        &mut self,
        site: &Site<'_, S, C>,
        mark: &mut Mark,
        summary: &mut RecoverySummary,
    ) -> Result<Stepped, PortError> {
        if self.slices.is_none() {
            self.slices = Some(self.missing(site, mark).await?);
        }
        let slices = self.slices.get_or_insert_default();
        let cursor = site.stores().table().cursor(site.shard).await?;
        let passed = slices.partition_point(|s| Some(&s.sequence) <= cursor.sequence.as_ref());
        if passed < slices.len() {
            summary.awaited += (slices.len() - passed) as u64;
            mark.again = true;
            slices.truncate(passed);
        }
        if slices.is_empty() {
            return Ok(mark.ended());
        }
        let found = read(site, slices).await?;
        let brought = site.bring_back(&found.records).await?;
        summary.count(&brought);
        summary.gone += found.gone;
        // What was sent again has an entry of its own.
        mark.again |= brought.pending > 0;
        let through = slices.drain(..found.passed).next_back();
        mark.after = through.map(|slice| slice.sequence).or(mark.after.take());
        tracing::info!(
            tenant = %self.tenant,
            window = self.window.start.rfc3339(),
            shard = site.shard.id,
            gone = found.gone,
            ?brought,
            "missing slices"
        );
        Ok(Stepped::On)
    }

    async fn missing<S: ReconcileStores, C: Fn() -> Millis>(
        &self,
        site: &Site<'_, S, C>,
        mark: &Mark,
    ) -> Result<VecDeque<MissingSlice>, PortError> {
        let Some(tenant) = site.stores().table().tenant(&self.tenant).await? else {
            // Removed: nothing of it is to be brought back.
            return Ok(VecDeque::new());
        };
        let missing =
            slices_missing_in(site.stores(), &tenant, self.window, site.recovery.now()).await?;
        let is_left = |slice: &MissingSlice| {
            slice.shard_id == site.shard.id && Some(&slice.sequence) > mark.after.as_ref()
        };
        Ok(missing.into_iter().filter(is_left).collect())
    }
}

/// Reads records of a shard by ranges: each read begins with the first record that is wanted, and
/// passes by what the stream does not keep any more.
async fn read<S: ReconcileStores, C: Fn() -> Millis>(
    site: &Site<'_, S, C>,
    wanted: &VecDeque<MissingSlice>,
) -> Result<Found, PortError> {
    let stream = site.stores().stream();
    let (mut found, mut bytes) = (Found::default(), 0);
    let count = wanted.len().min(STEP_RECORDS_MAX);
    while found.passed < count && bytes < STEP_BYTES_MAX {
        if found.passed > 0 && site.recovery.now() >= site.until {
            break;
        }
        site.pace.until_read().await;
        let first = &wanted[found.passed].sequence;
        let left = u32::try_from(count - found.passed).unwrap_or(u32::MAX);
        let page = stream.kept_from(site.shard, first, left).await?;
        site.pace.note_read(&page);
        if page.is_empty() {
            found.gone += u64::from(left);
            found.passed = count;
            break;
        }
        for (sequence, record) in page {
            while found.passed < count && wanted[found.passed].sequence < sequence {
                found.gone += 1;
                found.passed += 1;
            }
            if found.passed < count && wanted[found.passed].sequence == sequence {
                found.passed += 1;
                bytes += record.data.len();
                found.records.push((sequence, record));
            }
        }
    }
    Ok(found)
}
