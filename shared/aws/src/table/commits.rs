//! [`Commits`] on DynamoDB: a cursor and a partition of segment records for each shard.

use super::attributes::{Reader, n, s, ttl};
use super::{Table, blocks};
use crate::error::{misshapen, port_error};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::limits::COMMIT_DAYS;
use vernier_ledger::ports::{CommitOutcome, Commits, Cursor, PortError};
use vernier_ledger::segment::SegmentRecord;

fn cursor_key(shard: &Shard) -> AttributeValue {
    s(format!("cursor#{}#{}", shard.stream, shard.id))
}

fn records_partition(shard: &Shard) -> AttributeValue {
    s(format!("records#{}#{}", shard.stream, shard.id))
}

impl Table {
    /// Puts the record, unless it is there, and the items of its blocks.
    fn puts(
        &self,
        record: &SegmentRecord,
        items: &[BlockItem],
    ) -> Result<Vec<TransactWriteItem>, PortError> {
        let expires = record
            .committed_at
            .plus_seconds(i64::from(COMMIT_DAYS) * 86_400);
        let mut puts = vec![
            Put::builder()
                .item("pk", records_partition(&record.shard))
                .item("sk", s(record.last.padded()))
                .item("record", s(record.to_json()))
                .item("ttl", ttl(expires))
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

    async fn records_from(
        &self,
        shard: &Shard,
        from: &Sequence,
        count_max: u32,
    ) -> Result<Vec<SegmentRecord>, PortError> {
        let what = "segment record";
        let count_max = usize::try_from(count_max).unwrap_or(usize::MAX);
        let (mut items, mut after) = (Vec::new(), None);
        // A page of a query holds 1 MB.
        loop {
            let left = i32::try_from(count_max - items.len()).unwrap_or(i32::MAX);
            let answer = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :pk AND sk >= :from")
                .expression_attribute_values(":pk", records_partition(shard))
                .expression_attribute_values(":from", s(from.padded()))
                .consistent_read(true)
                .limit(left)
                .set_exclusive_start_key(after)
                .send()
                .await
                .map_err(|e| port_error("read records", e))?;
            items.extend(answer.items.unwrap_or_default());
            after = answer.last_evaluated_key;
            if after.is_none() || items.len() >= count_max {
                break;
            }
        }
        let read = |item| Reader { what, item }.json("record");
        items.iter().map(read).collect()
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
