//! [`Chains`] on DynamoDB: a head for each tenant, and an entry for each seal.

use super::Table;
use super::attributes::{Reader, json, n, s};
use crate::error::port_error;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use vernier_ledger::chain::{ChainHead, SealEntry};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{ChainOutcome, Chains, PortError};
use vernier_ledger::time::Millis;

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
        next: &ChainHead,
        seal: Option<&SealEntry>,
    ) -> Result<ChainOutcome, PortError> {
        let built = |e| PortError::Fatal(format!("move chain: {e}"));
        let mut head = Put::builder()
            .table_name(&self.name)
            .item("pk", partition(tenant))
            .item("sk", s("head"))
            .item("chain", json(next))
            .item("revision", n(next.revision));
        head = match next.revision.checked_sub(1) {
            None | Some(0) => head.condition_expression("attribute_not_exists(pk)"),
            Some(seen) => head
                .condition_expression("revision = :seen")
                .expression_attribute_values(":seen", n(seen)),
        };
        let mut request = self.client.transact_write_items().transact_items(
            TransactWriteItem::builder()
                .put(head.build().map_err(built)?)
                .build(),
        );
        if let Some(seal) = seal {
            let start = entry_prefix(seal.window.start);
            let sort = if seal.is_day() {
                format!("day-{start}-{:012}", seal.sequence)
            } else {
                format!("{start}-{:012}", seal.sequence)
            };
            let put = Put::builder()
                .table_name(&self.name)
                .item("pk", partition(tenant))
                .item("sk", s(sort))
                .item("seal", json(seal))
                .build()
                .map_err(built)?;
            request = request.transact_items(TransactWriteItem::builder().put(put).build());
        }
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
        // `day-` and `head` sort behind every digit.
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

impl Table {
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
