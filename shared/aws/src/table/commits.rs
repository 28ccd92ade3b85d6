//! [`Commits`] on DynamoDB: a cursor per shard, segment records by hour of commit.

use super::attributes::{Reader, json, n, s};
use super::{Table, blocks};
use crate::error::{misshapen, port_error};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::ids::Shard;
use vernier_ledger::limits::SEGMENT_SLOTS;
use vernier_ledger::ports::{CommitOutcome, Commits, Cursor, PortError};
use vernier_ledger::segment::SegmentRecord;
use vernier_ledger::time::Millis;

fn cursor_key(shard: &Shard) -> AttributeValue {
    s(format!("cursor#{}#{}", shard.stream, shard.id))
}

fn records_partition(hour: i64, slot: u8) -> AttributeValue {
    s(format!("segments#{hour}#{slot}"))
}

/// Sort keys begin with the instant of commit, padded so that text order is time order.
fn commit_prefix(at: Millis) -> String {
    format!("{:015}", at.0.max(0))
}

impl Table {
    /// Puts the record, unless it is there, and the items of its blocks.
    fn puts(
        &self,
        record: &SegmentRecord,
        items: &[BlockItem],
    ) -> Result<Vec<TransactWriteItem>, PortError> {
        let sort = format!(
            "{}#{}#{}#{}",
            commit_prefix(record.committed_at),
            record.shard.stream,
            record.shard.id,
            record.first.padded(),
        );
        let slot = record.shard.segment_slot();
        let hour = record.committed_at.hour();
        let mut puts = vec![
            Put::builder()
                .item("pk", records_partition(hour, slot))
                .item("sk", s(sort))
                .item("record", json(record))
                .condition_expression("attribute_not_exists(pk)"),
        ];
        for item in items {
            puts.push(Put::builder().set_item(Some(blocks::attributes_of(item)?)));
        }
        let built = |put: PutBuilder| {
            let put = put.table_name(&self.name).build();
            let put = put.map_err(|e| PortError::Fatal(format!("commit: {e}")))?;
            Ok(TransactWriteItem::builder().put(put).build())
        };
        puts.into_iter().map(built).collect()
    }
}

impl Commits for Table {
    async fn cursor(&self, shard: &Shard) -> Result<Cursor, PortError> {
        let Some(item) = self
            .get(cursor_key(shard), s("cursor"), "read cursor")
            .await?
        else {
            return Ok(Cursor::default());
        };
        let reader = Reader {
            what: "cursor",
            item: &item,
        };
        let sequence = reader
            .text("sequence")?
            .parse()
            .map_err(|_| misshapen("cursor", "sequence"))?;
        Ok(Cursor {
            sequence: Some(sequence),
            next_position: reader.number("next_position")?,
            last_hash: reader.text_if_any("last_hash").map(str::to_owned),
        })
    }

    async fn commit(
        &self,
        seen: &Cursor,
        record: &SegmentRecord,
        items: &[BlockItem],
    ) -> Result<CommitOutcome, PortError> {
        let built = |e| PortError::Fatal(format!("commit: {e}"));
        let mut cursor = Update::builder()
            .table_name(&self.name)
            .key("pk", cursor_key(&record.shard))
            .key("sk", s("cursor"))
            .update_expression("SET #sequence = :last, next_position = :next, last_hash = :hash")
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_values(":last", s(record.last.as_str()))
            .expression_attribute_values(":next", n(record.position + 1))
            .expression_attribute_values(":hash", s(record.hash()));
        cursor = match &seen.sequence {
            None => cursor.condition_expression("attribute_not_exists(pk)"),
            Some(sequence) => cursor
                .condition_expression("#sequence = :seen AND next_position = :position")
                .expression_attribute_values(":seen", s(sequence.as_str()))
                .expression_attribute_values(":position", n(seen.next_position)),
        };
        let mut writes = vec![
            TransactWriteItem::builder()
                .update(cursor.build().map_err(built)?)
                .build(),
        ];
        writes.extend(self.puts(record, items)?);
        let answer = self
            .client
            .transact_write_items()
            .set_transact_items(Some(writes))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(CommitOutcome::Committed),
            Err(e) => match e.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    let codes: Vec<_> = cancelled
                        .cancellation_reasons()
                        .iter()
                        .filter_map(|r| r.code())
                        .collect();
                    cancelled_outcome(&codes)
                }
                _ => Err(port_error("commit", e)),
            },
        }
    }

    async fn records(&self, from: Millis, to: Millis) -> Result<Vec<SegmentRecord>, PortError> {
        if from > to {
            // The service refuses a range that ends before it begins.
            return Ok(Vec::new());
        }
        let range = (commit_prefix(from), format!("{}~", commit_prefix(to)));
        let partitions = (from.hour()..=to.hour())
            .flat_map(|hour| (0..SEGMENT_SLOTS).map(move |slot| records_partition(hour, slot)));
        self.query_json(partitions, range, "segment record", "record")
            .await
    }
}

/// A cancelled transaction: stale when a condition failed, else to be tried again.
fn cancelled_outcome(codes: &[&str]) -> Result<CommitOutcome, PortError> {
    if codes.contains(&"ConditionalCheckFailed") {
        return Ok(CommitOutcome::Stale);
    }
    let codes: Vec<_> = codes.iter().copied().filter(|c| *c != "None").collect();
    let text = format!("commit cancelled: {}", codes.join(", "));
    let fatal = codes
        .iter()
        .any(|c| matches!(*c, "ValidationError" | "ItemCollectionSizeLimitExceeded"));
    Err(if fatal {
        PortError::Fatal(text)
    } else {
        PortError::Retryable(text)
    })
}
