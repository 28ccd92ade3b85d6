//! [`ScalingLogs`] on DynamoDB: an item for each stream.

use super::Table;
use super::attributes::{Reader, json, s};
use crate::error::port_error;
use vernier_ledger::ports::{PortError, ScalingLogs};
use vernier_ledger::scaling::ScalingLog;

impl ScalingLogs for Table {
    async fn scaling_log(&self, stream: &str) -> Result<ScalingLog, PortError> {
        let item = self.get(s("scaling"), s(stream), "read scaling").await?;
        let read = item.map(|item| {
            let what = "scaling";
            Reader { what, item: &item }.json("log")
        });
        read.transpose().map(Option::unwrap_or_default)
    }

    async fn save_scaling_log(&self, stream: &str, log: &ScalingLog) -> Result<(), PortError> {
        let put = self.client.put_item().table_name(&self.name);
        let put = put.item("pk", s("scaling")).item("sk", s(stream));
        let put = put.item("log", json(log)).send().await;
        put.map_err(|e| port_error("save scaling", e))?;
        Ok(())
    }
}
