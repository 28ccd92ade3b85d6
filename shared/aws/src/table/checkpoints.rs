//! [`Checkpoints`] and [`ShardMarks`] on DynamoDB: one item names the newest checkpoint, one how far all shards were
//! checked, and one for each shard how far its records were.

use super::Table;
use super::attributes::{Reader, json, n, s, ttl};
use crate::error::{port_error, took_place};
use vernier_ledger::checkpoint::{CheckpointMark, Checkpoints, ShardMark, ShardMarks};
use vernier_ledger::ids::Shard;
use vernier_ledger::limits::COMMIT_DAYS;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;

impl Checkpoints for Table {
    async fn newest_checkpoint(&self) -> Result<Option<CheckpointMark>, PortError> {
        let what = "checkpoint";
        let item = self
            .get(s("checkpoints"), s("newest"), "read checkpoint")
            .await?;
        item.map(|item| Reader { what, item: &item }.json("mark"))
            .transpose()
    }

    async fn keep_checkpoint(&self, mark: &CheckpointMark) -> Result<(), PortError> {
        let request = self.client.put_item().table_name(&self.name);
        let request = request
            .item("pk", s("checkpoints"))
            .item("sk", s("newest"))
            .item("mark", json(mark))
            .item("at", n(mark.at.0))
            .condition_expression("attribute_not_exists(pk) OR #at < :at")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":at", n(mark.at.0));
        // Where it does not take place a later one is there, and the newest one is named.
        took_place(request.send().await, "keep checkpoint")?;
        Ok(())
    }
}

fn mark_key(shard: &Shard) -> String {
    format!("{}#{}", shard.stream, shard.id)
}

impl ShardMarks for Table {
    async fn shard_mark(&self, shard: &Shard) -> Result<Option<ShardMark>, PortError> {
        let what = "shard mark";
        let item = self.get(s("checks"), s(mark_key(shard)), "read shard mark");
        let item = item.await?;
        item.map(|item| Reader { what, item: &item }.json("mark"))
            .transpose()
    }

    async fn save_shard_mark(&self, mark: &ShardMark) -> Result<(), PortError> {
        let days = i64::from(COMMIT_DAYS);
        let request = self.client.put_item().table_name(&self.name);
        let request = request
            .item("pk", s("checks"))
            .item("sk", s(mark_key(&mark.shard)))
            .item("mark", json(mark))
            .item("ttl", ttl(mark.checked_at.plus_seconds(days * 86_400)));
        let saved = request.send().await;
        saved.map_err(|e| port_error("save shard mark", e))?;
        Ok(())
    }

    async fn checked_through(&self) -> Result<Option<Millis>, PortError> {
        let what = "check";
        let item = self.get(s("checks"), s("through"), "read check").await?;
        let at = item.map(|item| Reader { what, item: &item }.number("at"));
        Ok(at.transpose()?.map(Millis))
    }

    async fn save_checked_through(&self, at: Millis) -> Result<(), PortError> {
        let request = self.client.put_item().table_name(&self.name);
        let request = request
            .item("pk", s("checks"))
            .item("sk", s("through"))
            .item("at", n(at.0));
        let saved = request.send().await;
        saved.map_err(|e| port_error("save check", e))?;
        Ok(())
    }
}
