//! The ledger's DynamoDB table: one file per port.

mod accounts;
mod attributes;
mod blocks;
mod chains;
mod checkpoints;
mod commits;
mod given_up;
mod playbacks;
mod receipts;
mod results;
mod roll_ups;
mod scaling;
mod sweeps;
mod tenant;
mod work;

use crate::error::port_error;
use attributes::{Item, Reader};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::PortError;

/// The ledger's one DynamoDB table. docs/tables.md lists every item shape.
#[derive(Debug, Clone)]
pub struct Table {
    client: aws_sdk_dynamodb::Client,
    name: String,
    /// What a process was told once of the listing; clones share it.
    are_blocks_listed: Arc<AtomicBool>,
    /// What a process was told once of the work lists; clones share it.
    is_seeded: Arc<AtomicBool>,
}

impl Table {
    /// The table of this name.
    #[must_use]
    pub fn new(config: &SdkConfig, name: impl Into<String>) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(config),
            name: name.into(),
            are_blocks_listed: Arc::default(),
            is_seeded: Arc::default(),
        }
    }
}

impl Table {
    /// One item, read consistently.
    async fn get(
        &self,
        pk: AttributeValue,
        sk: AttributeValue,
        what: &str,
    ) -> Result<Option<Item>, PortError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("pk", pk)
            .key("sk", sk)
            .consistent_read(true)
            .send()
            .await
            .map_err(|e| port_error(what, e))?;
        Ok(answer.item)
    }

    /// The values in a JSON attribute of all items of some partitions whose sort keys lie in a closed range, read
    /// consistently, in any order.
    async fn query_json<V: DeserializeOwned>(
        &self,
        partitions: impl IntoIterator<Item = AttributeValue>,
        range: (String, String),
        what: &'static str,
        attribute: &'static str,
    ) -> Result<Vec<V>, PortError> {
        let range = &range;
        let pages: Vec<Vec<V>> = stream::iter(partitions)
            .map(|pk| async move {
                let items = self.query(pk, Some(range.clone()), what).await?;
                let read = |item| Reader { what, item }.json(attribute);
                items.iter().map(read).collect::<Result<Vec<V>, _>>()
            })
            .buffer_unordered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        Ok(pages.into_iter().flatten().collect())
    }

    /// All items of a partition, or those whose sort key lies in a closed range, read
    /// consistently and in order, page by page.
    async fn query(
        &self,
        pk: AttributeValue,
        range: Option<(String, String)>,
        what: &str,
    ) -> Result<Vec<Item>, PortError> {
        // DynamoDB refuses such a range. Instants before 1970 make one: their keys sort the other way round.
        if range.as_ref().is_some_and(|(low, high)| low > high) {
            return Ok(Vec::new());
        }
        let mut request = self
            .client
            .query()
            .table_name(&self.name)
            .expression_attribute_values(":pk", pk)
            .consistent_read(true);
        request = match range {
            None => request.key_condition_expression("pk = :pk"),
            Some((low, high)) => request
                .key_condition_expression("pk = :pk AND sk BETWEEN :low AND :high")
                .expression_attribute_values(":low", attributes::s(low))
                .expression_attribute_values(":high", attributes::s(high)),
        };
        let mut pages = request.into_paginator().send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            items.extend(
                page.map_err(|e| port_error(what, e))?
                    .items
                    .unwrap_or_default(),
            );
        }
        Ok(items)
    }
}
