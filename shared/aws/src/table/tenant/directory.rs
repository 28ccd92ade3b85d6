//! [`Directory`] and [`Administration`] on DynamoDB: tenants, and tokens by their hash.

use crate::error::{misshapen, port_error, took_place};
use crate::table::Table;
use crate::table::attributes::{Item, Reader, json, s};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use vernier_ledger::access::{Tenant, TokenInfo};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Administration, Directory, PortError, TenantSettings};
use vernier_ledger::time::Millis;

fn token_key(sha256: &[u8; 32]) -> AttributeValue {
    s(format!("token#{}", hex::encode(sha256)))
}

fn tenant_key(id: &TenantId) -> AttributeValue {
    s(format!("tenant#{id}"))
}

fn read_token(item: &Item) -> Result<TokenInfo, PortError> {
    Reader {
        what: "token",
        item,
    }
    .json("token")
}

impl Table {
    pub(super) fn put(
        &self,
        pk: AttributeValue,
        sk: AttributeValue,
        rest: Vec<(&str, AttributeValue)>,
    ) -> Result<Put, PortError> {
        let mut put = Put::builder()
            .table_name(&self.name)
            .item("pk", pk)
            .item("sk", sk);
        for (name, value) in rest {
            put = put.item(name, value);
        }
        put.condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(|e| PortError::Fatal(e.to_string()))
    }

    /// Writes items, all or none; false when a condition does not hold.
    pub(super) async fn put_all(&self, puts: Vec<Put>, what: &str) -> Result<bool, PortError> {
        let items = puts
            .into_iter()
            .map(|p| TransactWriteItem::builder().put(p).build())
            .collect();
        match self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await
        {
            Ok(_) => Ok(true),
            Err(e) => {
                let taken = e.as_service_error().is_some_and(|e| match e {
                    aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(c) => {
                        c.cancellation_reasons().iter().any(|r| r.code() == Some("ConditionalCheckFailed"))
                    }
                    _ => false,
                });
                if taken {
                    Ok(false)
                } else {
                    Err(port_error(what, e))
                }
            }
        }
    }
}

impl Directory for Table {
    async fn token(&self, sha256: &[u8; 32]) -> Result<Option<TokenInfo>, PortError> {
        let item = self
            .get(token_key(sha256), s("token"), "read token")
            .await?;
        item.map(|item| read_token(&item)).transpose()
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, PortError> {
        let item = self.get(tenant_key(id), s("tenant"), "read tenant").await?;
        item.map(|item| {
            Reader {
                what: "tenant",
                item: &item,
            }
            .json("tenant")
        })
        .transpose()
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, PortError> {
        let items = self.query(s("tenants"), None, "list tenants").await?;
        let read = |item| {
            Reader {
                what: "tenants",
                item,
            }
            .text("sk")
            .map(str::to_owned)
        };
        items
            .iter()
            .map(|item| read(item)?.parse().map_err(|_| misshapen("tenants", "sk")))
            .collect()
    }
}

impl TenantSettings for Table {
    async fn change_tenant(&self, seen: &Tenant, next: &Tenant) -> Result<bool, PortError> {
        let what = "change tenant";
        let (pk, sk) = (tenant_key(&seen.id), s("tenant"));
        let Some(item) = self.get(pk.clone(), sk.clone(), what).await? else {
            return Ok(false);
        };
        let reader = Reader {
            what: "tenant",
            item: &item,
        };
        if reader.json::<Tenant>("tenant")? != *seen || seen.id != next.id {
            return Ok(false);
        }
        let put = self.client.put_item().table_name(&self.name);
        let put = put.item("pk", pk).item("sk", sk).item("tenant", json(next));
        // The text as it is stored: an older version may have written the same settings otherwise.
        let answer = put
            .condition_expression("tenant = :seen")
            .expression_attribute_values(":seen", s(reader.text("tenant")?))
            .send()
            .await;
        took_place(answer, what)
    }
}

impl Administration for Table {
    async fn create_tenant(&self, tenant: &Tenant) -> Result<bool, PortError> {
        let settings = self.put(
            tenant_key(&tenant.id),
            s("tenant"),
            vec![("tenant", json(tenant))],
        )?;
        let name = self.put(s("tenants"), s(tenant.id.as_str()), vec![])?;
        self.put_all(vec![settings, name], "create tenant").await
    }

    async fn put_token(&self, sha256: &[u8; 32], info: &TokenInfo) -> Result<(), PortError> {
        let by_hash = self.put(token_key(sha256), s("token"), vec![("token", json(info))])?;
        let hash = s(hex::encode(sha256));
        let listed = self.put(
            tenant_key(&info.tenant),
            s(format!("token#{}", info.token_id)),
            vec![("token", json(info)), ("sha256", hash)],
        )?;
        match self.put_all(vec![by_hash, listed], "store token").await? {
            true => Ok(()),
            false => Err(PortError::Fatal(
                "store token: there is one with this hash or id".into(),
            )),
        }
    }

    async fn list_tokens(&self, tenant: &TenantId) -> Result<Vec<TokenInfo>, PortError> {
        let range = Some(("token#".to_owned(), "token#~".to_owned()));
        let items = self.query(tenant_key(tenant), range, "list tokens").await?;
        items.iter().map(read_token).collect()
    }

    async fn revoke_token(
        &self,
        tenant: &TenantId,
        token_id: &str,
        at: Millis,
    ) -> Result<Option<Millis>, PortError> {
        let listed = s(format!("token#{token_id}"));
        let Some(item) = self
            .get(tenant_key(tenant), listed.clone(), "read token")
            .await?
        else {
            return Ok(None);
        };
        let mut info = read_token(&item)?;
        if let Some(before) = info.revoked_at {
            return Ok(Some(before));
        }
        info.revoked_at = Some(at);
        let hash = Reader {
            what: "token",
            item: &item,
        }
        .text("sha256")?
        .to_owned();
        // The look-up item first: a crash between the two leaves a token that no longer works
        // and that the list still shows; revoking again mends the list.
        for (pk, sk, hash) in [
            (s(format!("token#{hash}")), s("token"), None),
            (tenant_key(tenant), listed, Some(hash)),
        ] {
            let mut put = self
                .client
                .put_item()
                .table_name(&self.name)
                .item("pk", pk)
                .item("sk", sk);
            put = put.item("token", json(&info));
            if let Some(hash) = hash {
                put = put.item("sha256", s(hash));
            }
            put.send()
                .await
                .map_err(|e| port_error("revoke token", e))?;
        }
        Ok(Some(at))
    }
}
