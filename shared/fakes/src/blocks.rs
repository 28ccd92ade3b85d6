//! Block items in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::{MemoryTable, State};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::ids::{ReceiptId, Shard, TenantId};
use vernier_ledger::ports::{Blocks, PortError};
use vernier_ledger::segment::{ItemHash, SegmentRecord};
use vernier_ledger::time::{Millis, Minute, Slice, TimeRange};

/// A commit, by its shard and its position there.
pub(crate) type Commit = (Shard, u64);

impl State {
    /// Notes of which minutes an item is, so that whoever asks for one of them comes to its commit.
    fn note_minutes(&mut self, item: &BlockItem) {
        for minute in &item.block.minutes {
            let commit = (item.shard.clone(), item.position);
            let of_minute = (item.block.tenant.clone(), minute.minute, commit);
            self.commits_of_minute.insert(of_minute);
        }
    }

    /// The commits that have, or had, something that a tenant received in a range, in their order.
    fn commits_in(&self, tenant: &TenantId, range: TimeRange) -> BTreeSet<&Commit> {
        let first_minute = Minute(range.from.0.div_euclid(60_000));
        let shard = Shard {
            stream: String::new(),
            id: String::new(),
        };
        let first = (tenant.clone(), first_minute, (shard, 0));
        let behind = self.commits_of_minute.range(first..);
        let within =
            behind.take_while(|(owner, minute, _)| owner == tenant && minute.start() < range.to);
        within.map(|(.., commit)| commit).collect()
    }

    pub(crate) fn list(&mut self, items: &[BlockItem]) {
        for item in items {
            self.note_minutes(item);
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
                let commits = state.commits_in(tenant, range).into_iter();
                let items = commits
                    .filter_map(|commit| state.blocks.get(commit))
                    .flatten();
                let of_tenant = items.filter(|i| i.block.tenant == *tenant);
                let within = of_tenant
                    .filter(|i| range.from < range.to && i.block.touches(range.from, range.to));
                within.cloned().collect()
            })
            .await
    }

    async fn record_items(
        &self,
        record: &SegmentRecord,
    ) -> Result<Vec<Option<BlockItem>>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let of_commit = self.items_of_commit(record);
                let find = |named: &ItemHash| {
                    let slice = Some(Slice::containing(named.minute));
                    let is_named =
                        |i: &&BlockItem| i.block.tenant == named.tenant && i.slice() == slice;
                    of_commit.iter().find(is_named).cloned()
                };
                record.items.iter().map(find).collect()
            })
            .await
    }

    async fn are_blocks_listed(&self) -> Result<bool, PortError> {
        let mark = self.listing_mark().await?;
        Ok(mark.is_some_and(|mark| mark.complete))
    }
}

impl Listing for MemoryTable {
    async fn earlier_records(
        &self,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<EarlierRecord>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.state);
                let within = |r: &&EarlierRecord| from <= r.committed_at && r.committed_at <= to;
                state.earlier.iter().filter(within).cloned().collect()
            })
            .await
    }

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

    /// Makes the commits after the first `count` those of an earlier version, whose records had the blocks and which
    /// wrote no block items.
    pub fn unlist_commits(&self, count: usize) {
        let mut state = lock(&self.state);
        let State {
            records,
            earlier,
            blocks,
            ..
        } = &mut *state;
        for record in records.take_after(count) {
            let items = blocks.remove(&(record.shard.clone(), record.position));
            let items = items.unwrap_or_default().into_iter();
            earlier.push(EarlierRecord {
                vernier_segment: 1,
                shard: record.shard,
                first: record.first,
                last: record.last,
                committed_at: record.committed_at,
                position: record.position,
                previous: record.previous,
                object: record.object,
                blocks: items.map(|item| item.block).collect(),
                copies: record.copies,
                quarantined: record.quarantined,
                listed: false,
            });
        }
    }

    /// Removes a commit's record and block items, behind the ledger's back.
    pub fn lose_commit(&self, shard: &Shard, position: u64) {
        let mut state = lock(&self.state);
        state.records.remove(shard, position);
        state.blocks.remove(&(shard.clone(), position));
    }

    /// Removes a receipt, behind the ledger's back.
    pub fn lose_receipt(&self, tenant: &TenantId, id: ReceiptId) {
        let mut state = lock(&self.state);
        state.receipts.remove(&(tenant.clone(), id));
    }

    /// Changes a record of a shard and hashes it and all behind it anew, the cursor's last one
    /// too, behind the ledger's back.
    pub fn hash_anew(&self, shard: &Shard, position: u64, change: impl Fn(&mut SegmentRecord)) {
        let mut state = lock(&self.state);
        let mut previous = None;
        for record in state.records.of_shard_mut(shard) {
            match record.position.cmp(&position) {
                Ordering::Less => continue,
                Ordering::Equal => change(record),
                Ordering::Greater => record.previous = previous,
            }
            previous = Some(record.hash());
        }
        if let Some(cursor) = state.cursors.get_mut(shard) {
            cursor.last_hash = previous.or(cursor.last_hash.take());
        }
    }

    /// Changes a commit's block items, behind the ledger's back.
    pub fn change_items(&self, shard: &Shard, position: u64, change: impl Fn(&mut Vec<BlockItem>)) {
        let mut state = lock(&self.state);
        let items = state.blocks.entry((shard.clone(), position)).or_default();
        change(items);
        for item in items.clone() {
            state.note_minutes(&item);
        }
    }

    /// Says that a shard's next record has a position and follows one with a hash, behind the ledger's back.
    pub fn set_cursor(&self, shard: &Shard, next_position: u64, last_hash: String) {
        let mut state = lock(&self.state);
        let cursor = state.cursors.entry(shard.clone()).or_default();
        (cursor.next_position, cursor.last_hash) = (next_position, Some(last_hash));
    }

    /// Adds a record of an earlier version, which nothing writes any more.
    pub fn add_earlier(&self, record: EarlierRecord) {
        lock(&self.state).earlier.push(record);
    }
}
