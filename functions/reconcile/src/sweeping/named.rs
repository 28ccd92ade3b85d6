//! What commits say of segments: by the shards' records, read in the order in which the segments are listed.

use super::has_lost_its_items;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeMap, HashMap};
use vernier_ledger::committed::records_of_object;
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::ids::{Sequence, Shard, TenantId};
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Blocks, Commits, Directory, ListedObject, PortError};
use vernier_ledger::segment::{Block, SegmentRange, SegmentRecord};
use vernier_ledger::time::Millis;

/// Segments of a shard on one page from which on its records are read in a row: with fewer, most of the row would be
/// of segments that have gone.
const IN_A_ROW_MIN: usize = 20;

/// Records of one read, about 1 KB each.
const RECORDS_AT_A_TIME: u32 = 1_000;

/// What a commit holds of one tenant, and when it landed.
pub(super) struct Held {
    pub(super) tenant: TenantId,
    /// The minutes of received-at of its events, by their beginnings.
    pub(super) minutes: Vec<Millis>,
    pub(super) committed_at: Millis,
}

impl Held {
    fn of(block: &Block, committed_at: Millis) -> Self {
        Self {
            tenant: block.tenant.clone(),
            minutes: block.minutes.iter().map(|m| m.minute.start()).collect(),
            committed_at,
        }
    }
}

/// What a segment's commits say of it.
#[derive(Default)]
pub(super) struct Named {
    /// What the segment holds, by tenant and commit.
    pub(super) held: Vec<Held>,
    /// Existing tenants of which an item is not there, so that nobody knows what it holds of theirs.
    pub(super) lost: Vec<TenantId>,
}

/// What commits say of each of some segments, in their order; none of one that no commit names.
pub(super) async fn named_of<T: Commits + Blocks + Directory>(
    table: &T,
    segments: &[ListedObject],
) -> Result<Vec<Option<Named>>, PortError> {
    let records = records_of(table, segments).await?;
    let all = segments.iter().map(|segment| records.get(&segment.key));
    stream::iter(all)
        .map(|records| async move {
            match records {
                Some(records) => named_by(table, records).await.map(Some),
                None => Ok(None),
            }
        })
        .buffered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await
}

/// The records that name some segments, by segment.
async fn records_of<T: Commits>(
    table: &T,
    segments: &[ListedObject],
) -> Result<HashMap<String, Vec<SegmentRecord>>, PortError> {
    let mut by_shard: BTreeMap<Shard, Vec<(&str, SegmentRange)>> = BTreeMap::new();
    for segment in segments {
        if let Some(range) = SegmentRange::of_key(&segment.key) {
            let of_shard = by_shard.entry(range.shard.clone()).or_default();
            of_shard.push((&segment.key, range));
        }
    }
    let mut records: HashMap<String, Vec<SegmentRecord>> = HashMap::new();
    let mut few = Vec::new();
    for (shard, segments) in by_shard {
        if segments.len() < IN_A_ROW_MIN {
            few.extend(segments.into_iter().map(|(key, _)| key));
            continue;
        }
        let first = segments.iter().map(|(_, range)| &range.first).min();
        let last = segments.iter().map(|(_, range)| &range.last).max();
        if let (Some(first), Some(last)) = (first, last) {
            read_row(table, &shard, first, last, &mut records).await?;
        }
    }
    let found: Vec<(&str, Vec<SegmentRecord>)> = stream::iter(few)
        .map(|key| async move { Ok::<_, PortError>((key, records_of_object(table, key).await?)) })
        .buffered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    let found = found.into_iter().filter(|(_, found)| !found.is_empty());
    records.extend(found.map(|(key, found)| (key.to_owned(), found)));
    Ok(records)
}

/// All records of a shard that took something between two sequence numbers, each under the segment that it names.
async fn read_row<T: Commits>(
    table: &T,
    shard: &Shard,
    first: &Sequence,
    last: &Sequence,
    records: &mut HashMap<String, Vec<SegmentRecord>>,
) -> Result<(), PortError> {
    let mut from = first.clone();
    let mut before: Option<Sequence> = None;
    loop {
        let page = table.records_from(shard, &from, RECORDS_AT_A_TIME).await?;
        let Some(end) = page.last().map(|record| record.last.clone()) else {
            return Ok(());
        };
        let is_last = page.len() < RECORDS_AT_A_TIME as usize || end >= *last;
        for record in page {
            // The first of a page is the last of the one before.
            let is_new = before.as_ref().is_none_or(|before| *before < record.last);
            if let (true, Some(object)) = (is_new, record.object.clone()) {
                records.entry(object).or_default().push(record);
            }
        }
        if is_last {
            return Ok(());
        }
        before = Some(end.clone());
        from = end;
    }
}

/// What the records of a segment say of it.
async fn named_by<T: Blocks + Directory>(
    table: &T,
    records: &[SegmentRecord],
) -> Result<Named, PortError> {
    let mut named = Named::default();
    for record in records {
        let items = table.record_items(record).await?;
        for (name, item) in record.items.iter().zip(items) {
            match item {
                Some(item) => named.held.push(Held::of(&item.block, record.committed_at)),
                None if has_lost_its_items(table, &name.tenant).await? => {}
                None => named.lost.push(name.tenant.clone()),
            }
        }
    }
    Ok(named)
}

/// What a record of an earlier version says of its segment.
pub(super) fn named_by_earlier(record: &EarlierRecord) -> Named {
    let blocks = record.blocks.iter();
    Named {
        held: blocks
            .map(|block| Held::of(block, record.committed_at))
            .collect(),
        lost: Vec::new(),
    }
}
