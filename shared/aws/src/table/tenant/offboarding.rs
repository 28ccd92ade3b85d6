//! [`TenantItems`] on DynamoDB: one pass over the table.

use crate::error::port_error;
use crate::table::Table;
use crate::table::attributes::{Item, Reader, s};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use vernier_ledger::ids::TenantId;
use vernier_ledger::offboarding::{ItemCounts, TenantItems, family_of};
use vernier_ledger::ports::PortError;

/// An item's keys, and what they begin with.
struct OwnItem {
    family: String,
    key: HashMap<String, AttributeValue>,
}

/// The item if it is the tenant's. A look-up item of a token is known by the token's tenant.
fn own(tenant: &TenantId, item: &Item) -> Result<Option<OwnItem>, PortError> {
    let reader = Reader { what: "item", item };
    let (pk, sk) = (reader.text("pk")?, reader.text("sk")?);
    let of_token = || {
        let token: Option<vernier_ledger::access::TokenInfo> = reader.json("token").ok();
        token.is_some_and(|token| token.tenant == *tenant)
    };
    let family = match family_of(tenant, pk, sk) {
        Some(family) => Some(family),
        None if pk.starts_with("token#") && of_token() => Some("token"),
        None => None,
    };
    Ok(family.map(|family| OwnItem {
        family: family.to_owned(),
        key: [("pk".to_owned(), s(pk)), ("sk".to_owned(), s(sk))].into(),
    }))
}

impl Table {
    /// Hands each of a tenant's items to a task, page by page.
    async fn each_item(
        &self,
        tenant: &TenantId,
        mut task: impl AsyncFnMut(OwnItem) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        let scan = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true)
            .projection_expression("pk, sk, #token")
            .expression_attribute_names("#token", "token");
        let mut pages = scan.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| port_error("scan the table", e))?;
            for item in page.items.unwrap_or_default() {
                if let Some(own) = own(tenant, &item)? {
                    task(own).await?;
                }
            }
        }
        Ok(())
    }
}

impl TenantItems for Table {
    async fn count_items(&self, tenant: &TenantId) -> Result<ItemCounts, PortError> {
        let mut counts = ItemCounts::new();
        self.each_item(tenant, async |own| {
            *counts.entry(own.family).or_default() += 1;
            Ok(())
        })
        .await?;
        Ok(counts)
    }

    async fn remove_items(&self, tenant: &TenantId) -> Result<ItemCounts, PortError> {
        let mut counts = ItemCounts::new();
        self.each_item(tenant, async |own| {
            let request = self.client.delete_item().table_name(&self.name);
            let removed = request.set_key(Some(own.key)).send().await;
            removed.map_err(|e| port_error("remove item", e))?;
            *counts.entry(own.family).or_default() += 1;
            Ok(())
        })
        .await?;
        Ok(counts)
    }
}
