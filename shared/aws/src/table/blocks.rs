//! [`Blocks`] and [`Listing`] on DynamoDB: a tenant's block items by hour of received-at, earlier versions' records by
//! hour of commit, and how far their listing is.

use super::Table;
use super::attributes::{Item, Reader, json, s, ttl};
use crate::error::{misshapen, port_error};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::ids::{Shard, TenantId};
use vernier_ledger::limits::{BLOCK_SLOTS, COMMIT_DAYS, READS_IN_FLIGHT_MAX, SEGMENT_SLOTS};
use vernier_ledger::ports::{Blocks, PortError};
use vernier_ledger::segment::SegmentRecord;
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

/// The keys of the item that a commit, by its shard and position, has of a tenant and slice.
fn keys_of(
    tenant: &TenantId,
    slice: Slice,
    shard: &Shard,
    position: u64,
) -> (AttributeValue, AttributeValue) {
    let hour = slice.first_minute().start().hour();
    let slot = shard.segment_slot() % BLOCK_SLOTS;
    let prefix = slice_prefix(slice);
    let sort = format!("{prefix}#{}#{}#{position:015}", shard.stream, shard.id);
    (partition(tenant, hour, slot), s(sort))
}

/// A block item with its keys.
pub(super) fn attributes_of(item: &BlockItem) -> Result<Item, PortError> {
    let slice = item.slice().ok_or_else(|| misshapen("block", "minutes"))?;
    let (pk, sk) = keys_of(&item.block.tenant, slice, &item.shard, item.position);
    let expires = item
        .committed_at
        .plus_seconds(i64::from(COMMIT_DAYS) * 86_400);
    Ok(HashMap::from([
        ("pk".to_owned(), pk),
        ("sk".to_owned(), sk),
        ("block".to_owned(), s(item.to_json())),
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

    async fn record_items(
        &self,
        record: &SegmentRecord,
    ) -> Result<Vec<Option<BlockItem>>, PortError> {
        let what = "block";
        stream::iter(&record.items)
            .map(|named| async move {
                let slice = Slice::containing(named.minute);
                let (pk, sk) = keys_of(&named.tenant, slice, &record.shard, record.position);
                let item = self.get(pk, sk, "read block").await?;
                item.map(|item| Reader { what, item: &item }.json("block"))
                    .transpose()
            })
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await
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

fn earlier_partition(hour: i64, slot: u8) -> AttributeValue {
    s(format!("segments#{hour}#{slot}"))
}

/// Sort keys of earlier versions' records begin with the instant of commit, padded so that text order is time order.
fn commit_prefix(at: Millis) -> String {
    format!("{:015}", at.0.max(0))
}

impl Listing for Table {
    async fn earlier_records(
        &self,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<EarlierRecord>, PortError> {
        if from > to {
            // The service refuses a range that ends before it begins.
            return Ok(Vec::new());
        }
        let range = (commit_prefix(from), format!("{}~", commit_prefix(to)));
        let partitions = (from.hour()..=to.hour())
            .flat_map(|hour| (0..SEGMENT_SLOTS).map(move |slot| earlier_partition(hour, slot)));
        self.query_json(partitions, range, "segment record", "record")
            .await
    }

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
