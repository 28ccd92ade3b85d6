//! [`Blocks`] and [`Listing`] on DynamoDB: a tenant's block items by hour of received-at, and how far the listing is.

use super::Table;
use super::attributes::{Item, Reader, json, s, ttl};
use crate::error::{misshapen, port_error};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{BLOCK_ITEM_DAYS, BLOCK_SLOTS};
use vernier_ledger::ports::{Blocks, PortError};
use vernier_ledger::time::{Millis, Slice, TimeRange};

/// Items of one `BatchWriteItem` (service limit).
const BATCH_ITEMS_MAX: usize = 25;

fn partition(tenant: &TenantId, hour: i64, slot: u8) -> AttributeValue {
    s(format!("blocks#{tenant}#{hour}#{slot}"))
}

/// Sort keys begin with the slice's first minute, padded so that text order is time order.
fn slice_prefix(slice: Slice) -> String {
    format!("{:010}", slice.first_minute().0.max(0))
}

/// A block item with its keys.
pub(super) fn attributes_of(item: &BlockItem) -> Result<Item, PortError> {
    let slice = item.slice().ok_or_else(|| misshapen("block", "minutes"))?;
    let hour = slice.first_minute().start().hour();
    let sort = format!(
        "{}#{}#{}#{:015}",
        slice_prefix(slice),
        item.shard.stream,
        item.shard.id,
        item.position,
    );
    let expires = item
        .committed_at
        .plus_seconds(i64::from(BLOCK_ITEM_DAYS) * 86_400);
    let slot = item.shard.segment_slot() % BLOCK_SLOTS;
    Ok(HashMap::from([
        ("pk".to_owned(), partition(&item.block.tenant, hour, slot)),
        ("sk".to_owned(), s(sort)),
        ("block".to_owned(), json(item)),
        ("ttl".to_owned(), ttl(expires)),
    ]))
}

impl Blocks for Table {
    async fn block_items(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<BlockItem>, PortError> {
        let TimeRange { from, to } = range;
        if from >= to {
            return Ok(Vec::new());
        }
        let first = Slice::containing(from.minute());
        let last = Slice::containing(Millis(to.0 - 1).minute());
        let keys = (slice_prefix(first), format!("{}~", slice_prefix(last)));
        let hours = first.first_minute().start().hour()..=last.first_minute().start().hour();
        let partitions =
            hours.flat_map(|hour| (0..BLOCK_SLOTS).map(move |slot| partition(tenant, hour, slot)));
        let mut items: Vec<BlockItem> = self.query_json(partitions, keys, "block", "block").await?;
        items.retain(|item| item.block.touches(from, to));
        Ok(items)
    }

    async fn are_blocks_listed(&self) -> Result<bool, PortError> {
        if self.are_blocks_listed.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let listed = self.listing_mark().await?.is_some_and(|m| m.complete);
        // Once for a process: it stays so.
        self.are_blocks_listed.store(listed, Ordering::Relaxed);
        Ok(listed)
    }
}

impl Listing for Table {
    async fn list_blocks(&self, items: &[BlockItem]) -> Result<(), PortError> {
        for batch in items.chunks(BATCH_ITEMS_MAX) {
            let mut writes = Vec::with_capacity(batch.len());
            for item in batch {
                let put = PutRequest::builder().set_item(Some(attributes_of(item)?));
                let put = put.build();
                let put = put.map_err(|e| PortError::Fatal(format!("list blocks: {e}")))?;
                writes.push(WriteRequest::builder().put_request(put).build());
            }
            self.write_batch(writes).await?;
        }
        Ok(())
    }

    async fn listing_mark(&self) -> Result<Option<ListingMark>, PortError> {
        let item = self.get(s("listing"), s("blocks"), "read listing").await?;
        let what = "listing";
        item.map(|item| Reader { what, item: &item }.json("mark"))
            .transpose()
    }

    async fn save_listing_mark(&self, mark: &ListingMark) -> Result<(), PortError> {
        let request = self.client.put_item().table_name(&self.name);
        let request = request
            .item("pk", s("listing"))
            .item("sk", s("blocks"))
            .item("mark", json(mark));
        let saved = request.send().await;
        saved.map_err(|e| port_error("save listing", e))?;
        Ok(())
    }
}

impl Table {
    /// Writes a batch. What the service leaves of it is the caller's to write again.
    async fn write_batch(&self, writes: Vec<WriteRequest>) -> Result<(), PortError> {
        let request = self.client.batch_write_item();
        let request = request.request_items(&self.name, writes);
        let answer = request.send().await;
        let answer = answer.map_err(|e| port_error("list blocks", e))?;
        let mut left = answer.unprocessed_items.iter().flat_map(HashMap::values);
        if left.all(Vec::is_empty) {
            return Ok(());
        }
        let what = "list blocks: the service left some unwritten";
        Err(PortError::Retryable(what.to_owned()))
    }
}
