//! [`Chains`] and [`Holds`] on DynamoDB: a head for each tenant, an item for each seal and each held window.

use super::Table;
use super::attributes::{Reader, json, n, s};
use crate::error::{port_error, took_place};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use aws_smithy_types::error::operation::BuildError;
use vernier_ledger::chain::{ChainHead, ChainStep, SealEntry, SealKind};
use vernier_ledger::holds::{HeldWindow, Holds};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{ChainOutcome, Chains, PortError};
use vernier_ledger::time::{Millis, Window};

fn partition(tenant: &TenantId) -> AttributeValue {
    s(format!("seals#{tenant}"))
}

/// Sort keys of entries begin with the window's first instant.
fn entry_prefix(start: Millis) -> String {
    format!("{:015}", start.0.max(0))
}

impl Chains for Table {
    async fn chain(&self, tenant: &TenantId) -> Result<Option<ChainHead>, PortError> {
        let item = self.get(partition(tenant), s("head"), "read chain").await?;
        let read = |item| {
            Reader {
                what: "chain",
                item: &item,
            }
            .json("chain")
        };
        item.map(read).transpose()
    }

    async fn move_chain(
        &self,
        tenant: &TenantId,
        step: &ChainStep,
    ) -> Result<ChainOutcome, PortError> {
        let built = |e| PortError::Fatal(format!("move chain: {e}"));
        let writes = self.step_writes(tenant, step).map_err(built)?;
        let request = self.client.transact_write_items();
        let request = request.set_transact_items(Some(writes));
        match request.send().await {
            Ok(_) => Ok(ChainOutcome::Moved),
            Err(e) => match e.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    let reasons = cancelled.cancellation_reasons();
                    let stale = reasons
                        .iter()
                        .any(|r| r.code() == Some("ConditionalCheckFailed"));
                    if stale {
                        Ok(ChainOutcome::Stale)
                    } else {
                        Err(PortError::Retryable("move chain: cancelled".into()))
                    }
                }
                _ => Err(port_error("move chain", e)),
            },
        }
    }

    async fn seals(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<SealEntry>, PortError> {
        // Whatever begins with a letter sorts behind every digit.
        self.entries(tenant, [from, to], entry_prefix).await
    }

    async fn days(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<SealEntry>, PortError> {
        let prefix = |start| format!("day-{}", entry_prefix(start));
        self.entries(tenant, [from, to], prefix).await
    }
}

impl Holds for Table {
    async fn held_items(&self, tenant: &TenantId) -> Result<Vec<HeldWindow>, PortError> {
        // Instants are digits, which sort before the tilde.
        let range = (HELD_PREFIX.to_owned(), format!("{HELD_PREFIX}~"));
        self.query_json([partition(tenant)], range, "held window", "window")
            .await
    }

    async fn change_held(
        &self,
        tenant: &TenantId,
        seen: &HeldWindow,
        next: &HeldWindow,
    ) -> Result<bool, PortError> {
        let answer = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", partition(tenant))
            .item("sk", held_sort(next.window))
            .item("window", json(next))
            .condition_expression("#window = :seen OR #window = :next")
            .expression_attribute_names("#window", "window")
            .expression_attribute_values(":seen", json(seen))
            .expression_attribute_values(":next", json(next))
            .send()
            .await;
        took_place(answer, "change held window")
    }
}

/// What the sort keys of held windows begin with.
const HELD_PREFIX: &str = "held-";

fn held_sort(window: Window) -> AttributeValue {
    s(format!("{HELD_PREFIX}{}", entry_prefix(window.start)))
}

fn entry_sort(seal: &SealEntry) -> AttributeValue {
    let start = entry_prefix(seal.window.start);
    let class = match seal.kind {
        SealKind::Window | SealKind::Backfill | SealKind::Idle => "",
        SealKind::Day => "day-",
        SealKind::Erasure => "erasure-",
    };
    s(format!("{class}{start}-{:012}", seal.sequence))
}

impl Table {
    /// All that one step of a chain writes, the head first.
    fn step_writes(
        &self,
        tenant: &TenantId,
        step: &ChainStep,
    ) -> Result<Vec<TransactWriteItem>, BuildError> {
        let next = &step.head;
        let mut head = self
            .chain_item(tenant, s("head"))
            .item("chain", json(next))
            .item("revision", n(next.revision));
        head = match next.revision.checked_sub(1) {
            None | Some(0) => head.condition_expression("attribute_not_exists(pk)"),
            Some(seen) => head
                .condition_expression("revision = :seen")
                .expression_attribute_values(":seen", n(seen)),
        };
        let mut puts = vec![head];
        if let Some(seal) = &step.seal {
            let item = self.chain_item(tenant, entry_sort(seal));
            puts.push(item.item("seal", json(seal)));
        }
        for window in &step.held {
            let item = self.chain_item(tenant, held_sort(*window));
            puts.push(item.item("window", json(&HeldWindow::of(*window))));
        }
        let mut writes = Vec::with_capacity(puts.len() + 1);
        for put in puts {
            writes.push(TransactWriteItem::builder().put(put.build()?).build());
        }
        if let Some(window) = step.released {
            let delete = Delete::builder()
                .table_name(&self.name)
                .key("pk", partition(tenant))
                .key("sk", held_sort(window))
                .build()?;
            writes.push(TransactWriteItem::builder().delete(delete).build());
        }
        Ok(writes)
    }

    fn chain_item(&self, tenant: &TenantId, sort: AttributeValue) -> PutBuilder {
        Put::builder()
            .table_name(&self.name)
            .item("pk", partition(tenant))
            .item("sk", sort)
    }

    async fn entries(
        &self,
        tenant: &TenantId,
        [from, to]: [Millis; 2],
        prefix: impl Fn(Millis) -> String,
    ) -> Result<Vec<SealEntry>, PortError> {
        if from >= to {
            return Ok(Vec::new());
        }
        // What begins at `to` sorts behind its bare instant.
        let range = (prefix(from), prefix(to));
        let items = self
            .query(partition(tenant), Some(range), "read seals")
            .await?;
        let read = |item| {
            Reader {
                what: "seal",
                item: &item,
            }
            .json("seal")
        };
        items.into_iter().map(read).collect()
    }
}
