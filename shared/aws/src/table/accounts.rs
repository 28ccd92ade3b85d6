//! [`Accounts`] on DynamoDB: the last account of each window.

use super::Table;
use super::attributes::{Reader, json, n, s, ttl};
use crate::error::took_place;
use aws_sdk_dynamodb::types::AttributeValue;
use vernier_ledger::account::WindowAccount;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::ACCOUNT_DAYS;
use vernier_ledger::ports::{Accounts, PortError};
use vernier_ledger::time::{Millis, Window};

fn key_of(tenant: &TenantId, window: Window) -> (AttributeValue, AttributeValue) {
    let span = format!("{:015}-{:015}", window.start.0, window.end.0);
    (s(format!("windows#{tenant}")), s(span))
}

impl Accounts for Table {
    async fn save_account(
        &self,
        tenant: &TenantId,
        account: &WindowAccount,
    ) -> Result<(), PortError> {
        let (pk, sk) = key_of(tenant, account.window());
        let days = i64::from(ACCOUNT_DAYS);
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", pk)
            .item("sk", sk)
            .item("account", json(account))
            .item("computed_at", n(account.computed_at.0))
            .item("ttl", ttl(account.computed_at.plus_seconds(days * 86_400)))
            .item("counted", n(account.counted()))
            // Items of earlier versions do not have the attributes.
            .condition_expression(
                "attribute_not_exists(computed_at) OR computed_at < :at \
                 OR (computed_at = :at AND counted <= :counted)",
            )
            .expression_attribute_values(":at", n(account.computed_at.0))
            .expression_attribute_values(":counted", n(account.counted()))
            .send()
            .await;
        // Where it does not take place a later one is there.
        took_place(put, "save account")?;
        Ok(())
    }

    async fn accounts(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowAccount>, PortError> {
        if from >= to {
            return Ok(Vec::new());
        }
        // Ends at the last window that begins before `to`: the character after the separator.
        let range = (
            format!("{:015}-", from.0.max(0)),
            format!("{:015}.", (to.0 - 1).max(0)),
        );
        let pk = s(format!("windows#{tenant}"));
        let items = self.query(pk, Some(range), "read accounts").await?;
        let read = |item| {
            Reader {
                what: "account",
                item,
            }
            .json("account")
        };
        items.iter().map(read).collect()
    }

    async fn account(
        &self,
        tenant: &TenantId,
        window: Window,
    ) -> Result<Option<WindowAccount>, PortError> {
        let (pk, sk) = key_of(tenant, window);
        let item = self.get(pk, sk, "read account").await?;
        item.map(|item| {
            Reader {
                what: "account",
                item: &item,
            }
            .json("account")
        })
        .transpose()
    }
}
