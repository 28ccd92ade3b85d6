//! Block items: what a commit wrote of one tenant and five minutes of received-at, listed for the tenant.
//!
//! Whoever reads a tenant's live store reads the tenant's own items, so that what it costs depends on that tenant
//! alone (invariant 7). A commit's transaction writes them beside its segment record, which has their hashes for the shard's
//! chain. Commits of earlier versions wrote none: theirs are listed afterwards
//! ([`BlockItem::listing`]), and until all are, readers take them from the records.

use crate::digest::Fingerprint;
use crate::earlier::EarlierRecord;
use crate::ids::{Sequence, Shard, TenantId};
use crate::ports::PortError;
use crate::segment::{Block, ItemHash, MinuteTally, SegmentRecord};
use crate::time::{Millis, Slice};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One tenant's events of one [`Slice`] in a committed batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockItem {
    /// The shard of the batch.
    pub shard: Shard,
    /// Place of the batch's record in the shard's chain.
    pub position: u64,
    /// First sequence number that the batch took.
    pub first: Sequence,
    /// Last sequence number that the batch took.
    pub last: Sequence,
    /// When the batch was committed, by the committing function's clock.
    pub committed_at: Millis,
    /// The key of the segment object that has the events.
    pub object: String,
    /// Where the events lie in the object, and what they come to. An item of a commit by an earlier version names
    /// the tenant's whole block with the slice's minutes.
    pub block: Block,
}

impl BlockItem {
    /// The items of a commit: one for each block. The record does not have to have their hashes yet.
    #[must_use]
    pub fn of(record: &SegmentRecord, blocks: Vec<Block>) -> Vec<Self> {
        let Some(object) = &record.object else {
            return Vec::new();
        };
        let item = |block| Self {
            shard: record.shard.clone(),
            position: record.position,
            first: record.first.clone(),
            last: record.last.clone(),
            committed_at: record.committed_at,
            object: object.clone(),
            block,
        };
        blocks.into_iter().map(item).collect()
    }

    /// The items of a record of an earlier version that was committed without them. Each block has one for every
    /// slice that it touches, with the minutes of that slice alone.
    #[must_use]
    pub fn listing(record: &EarlierRecord) -> Vec<Self> {
        let cut = record.blocks.iter().flat_map(|block| {
            let mut slices: BTreeMap<Slice, Vec<MinuteTally>> = BTreeMap::new();
            for minute in &block.minutes {
                let slice = Slice::containing(minute.minute);
                slices.entry(slice).or_default().push(minute.clone());
            }
            slices.into_values().map(|minutes| Block {
                minutes,
                ..block.clone()
            })
        });
        cut.filter_map(|block| record.item(block)).collect()
    }

    /// The bytes that are stored and hashed.
    ///
    /// # Panics
    /// Never: the item is plain data with string keys.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data with string keys serialises")
    }

    /// What the commit's record says of the item; none of a block without a minute, which no batch makes.
    #[must_use]
    pub fn hash(&self) -> Option<ItemHash> {
        Some(ItemHash {
            tenant: self.block.tenant.clone(),
            minute: self.slice()?.first_minute(),
            sha256: Fingerprint::of(self.to_json().as_bytes()).hex(),
        })
    }

    /// The slice that it is listed under; none of a block without a minute, which no batch makes.
    #[must_use]
    pub fn slice(&self) -> Option<Slice> {
        let first = self.block.minutes.first()?;
        Some(Slice::containing(first.minute))
    }

    /// Whether its batch took this sequence number.
    #[must_use]
    pub fn covers(&self, shard: &Shard, sequence: &Sequence) -> bool {
        &self.shard == shard && &self.first <= sequence && sequence <= &self.last
    }
}

/// A tenant's items from records of an earlier version, where not all have theirs: one for each block.
#[must_use]
pub fn items_of(tenant: &TenantId, records: &[EarlierRecord]) -> Vec<BlockItem> {
    let own = records.iter().flat_map(|record| {
        let blocks = record.blocks_of(tenant);
        blocks.filter_map(|block| record.item(block.clone()))
    });
    own.collect()
}

/// How far the listing is of commits that wrote no items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingMark {
    /// Commits before this instant were looked at, back to `back_to`.
    pub through: Millis,
    /// Commits since this instant were looked at.
    pub back_to: Millis,
    /// Whether all that can be asked for was looked at: from then on readers take items alone.
    pub complete: bool,
    /// When a commit without items was last seen, or the listing began.
    #[serde(default)]
    pub unlisted_at: Millis,
    /// Whether every unsealed window has its entry in its tenant's work list, also those of earlier versions: from
    /// then on a window without an entry is one that received nothing.
    #[serde(default)]
    pub seeded: bool,
}

impl ListingMark {
    /// Begins a listing: what is committed from now on is looked at, and what was committed before.
    #[must_use]
    pub const fn beginning(now: Millis) -> Self {
        Self {
            through: now,
            back_to: now,
            complete: false,
            unlisted_at: now,
            seeded: false,
        }
    }
}

/// Commits of earlier versions, and their items, which the earliest wrote none of.
#[allow(async_fn_in_trait)]
pub trait Listing {
    /// The records of earlier versions that were committed in `[from, to]`, any order, read consistently; none when
    /// the range ends before it begins.
    async fn earlier_records(
        &self,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<EarlierRecord>, PortError>;

    /// Lists items of such commits. Durable on return; listing again changes nothing.
    async fn list_blocks(&self, items: &[BlockItem]) -> Result<(), PortError>;

    /// How far the listing is; none before it was first saved.
    async fn listing_mark(&self) -> Result<Option<ListingMark>, PortError>;

    /// Saves a mark over the one before.
    async fn save_listing_mark(&self, mark: &ListingMark) -> Result<(), PortError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Tally;
    use crate::segment::stored_in;
    use crate::time::{Minute, Window};

    fn record(minutes: &[i64]) -> EarlierRecord {
        let of_minute = |minute: &i64| MinuteTally {
            minute: Minute(*minute),
            tally: Tally {
                events: 1,
                ..Tally::default()
            },
        };
        let sequence = |n: u64| n.to_string().parse().expect("digits");
        EarlierRecord {
            vernier_segment: 1,
            shard: Shard::new("frames", "shardId-000000000000").expect("a shard"),
            first: sequence(3),
            last: sequence(9),
            committed_at: Millis(700_000),
            position: 4,
            previous: None,
            object: Some("segments/1".to_owned()),
            blocks: vec![Block {
                tenant: "school".parse().expect("a tenant"),
                offset: 7,
                bytes: 11,
                lines_bytes: 13,
                sha256: "0a".repeat(32),
                received_through: Millis(600_000),
                minutes: minutes.iter().map(of_minute).collect(),
                times: None,
                index: None,
            }],
            copies: 0,
            quarantined: 0,
            listed: false,
        }
    }

    #[test]
    fn a_record_without_items_is_listed_once_for_each_slice() {
        let record = record(&[3, 4, 5, 9, 10]);
        let items = BlockItem::listing(&record);
        let minutes = |item: &BlockItem| -> Vec<i64> {
            item.block.minutes.iter().map(|m| m.minute.0).collect()
        };
        let listed: Vec<_> = items.iter().map(minutes).collect();
        assert_eq!(listed, [vec![3, 4], vec![5, 9], vec![10]]);
        let slices: Vec<_> = items.iter().filter_map(BlockItem::slice).collect();
        assert_eq!(
            slices
                .iter()
                .map(|s| s.first_minute().0)
                .collect::<Vec<_>>(),
            [0, 5, 10]
        );
        let all = Window {
            start: Millis(0),
            end: Millis(3_600_000),
        };
        let stored = |items: &[BlockItem]| stored_in(all, items.iter().map(|i| &i.block)).events;
        assert_eq!(stored(&items), 5);
        let whole = items_of(&"school".parse().expect("a tenant"), &[record]);
        assert_eq!((whole.len(), stored(&whole)), (1, 5));
    }

    #[test]
    fn a_fence_has_no_items() {
        let mut fence = record(&[]);
        (fence.object, fence.blocks) = (None, Vec::new());
        assert_eq!(BlockItem::listing(&fence), []);
    }
}
