//! Block items in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::{MemoryTable, State};
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Blocks, PortError};
use vernier_ledger::segment::SegmentRecord;
use vernier_ledger::time::TimeRange;

impl State {
    pub(crate) fn list(&mut self, items: &[BlockItem]) {
        for item in items {
            let commit = (item.shard.clone(), item.position);
            let of_commit = self.blocks.entry(commit).or_default();
            let is_same =
                |i: &BlockItem| (&i.block.tenant, i.slice()) == (&item.block.tenant, item.slice());
            of_commit.retain(|i| !is_same(i));
            of_commit.push(item.clone());
        }
    }
}

impl Blocks for MemoryTable {
    async fn block_items(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<BlockItem>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.state);
                let items = state.blocks.values().flatten();
                let of_tenant = items.filter(|i| i.block.tenant == *tenant);
                let within = of_tenant
                    .filter(|i| range.from < range.to && i.block.touches(range.from, range.to));
                within.cloned().collect()
            })
            .await
    }

    async fn are_blocks_listed(&self) -> Result<bool, PortError> {
        let mark = self.listing_mark().await?;
        Ok(mark.is_some_and(|mark| mark.complete))
    }
}

impl Listing for MemoryTable {
    async fn list_blocks(&self, items: &[BlockItem]) -> Result<(), PortError> {
        self.faults
            .around(Operation::ListBlocks, || lock(&self.state).list(items))
            .await
    }

    async fn listing_mark(&self) -> Result<Option<ListingMark>, PortError> {
        self.faults
            .around(Operation::Read, || lock(&self.state).listing)
            .await
    }

    async fn save_listing_mark(&self, mark: &ListingMark) -> Result<(), PortError> {
        self.faults
            .around(Operation::ListBlocks, || {
                lock(&self.state).listing = Some(*mark);
            })
            .await
    }
}

impl MemoryTable {
    /// The block items of a commit, by its record's shard and position.
    #[must_use]
    pub fn items_of_commit(&self, record: &SegmentRecord) -> Vec<BlockItem> {
        let commit = (record.shard.clone(), record.position);
        let state = lock(&self.state);
        state.blocks.get(&commit).cloned().unwrap_or_default()
    }

    /// Makes the commits after the first `count` those of an earlier version, which wrote no block items.
    pub fn unlist_commits(&self, count: usize) {
        let mut state = lock(&self.state);
        let State {
            records, blocks, ..
        } = &mut *state;
        for record in records.iter_mut().skip(count) {
            record.listed = false;
            blocks.remove(&(record.shard.clone(), record.position));
        }
    }
}
