//! [`Checkpoints`] on DynamoDB: one item names the newest.

use super::Table;
use super::attributes::{Reader, json, n, s};
use crate::error::port_error;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use vernier_ledger::checkpoint::{CheckpointMark, Checkpoints};
use vernier_ledger::ports::PortError;

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
        match request.send().await {
            Ok(_) => Ok(()),
            // A later one is there, and the newest one is named.
            Err(e) if e.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(e) => Err(port_error("keep checkpoint", e)),
        }
    }
}
