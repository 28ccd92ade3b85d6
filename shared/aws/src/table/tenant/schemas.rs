//! [`Schemas`] on DynamoDB: the current version of each type, and every version.

use crate::table::Table;
use crate::table::attributes::{Item, Reader, json, n, s};
use aws_sdk_dynamodb::types::{AttributeValue, Put};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{PortError, Schemas};
use vernier_ledger::schema::StoredSchema;

fn current_key(tenant: &TenantId) -> AttributeValue {
    s(format!("schemas#{tenant}"))
}

/// Types are IRIs with any character: their hash keeps keys short and without separators.
fn versions_key(tenant: &TenantId, type_name: &str) -> AttributeValue {
    let hash = Fingerprint::of(type_name.as_bytes()).hex();
    s(format!("schemas#{tenant}#{hash}"))
}

fn version_key(version: u32) -> AttributeValue {
    s(format!("{version:010}"))
}

fn read(item: &Item) -> Result<StoredSchema, PortError> {
    Reader {
        what: "schema",
        item,
    }
    .json("schema")
}

impl Schemas for Table {
    async fn schemas(&self, tenant: &TenantId) -> Result<Vec<StoredSchema>, PortError> {
        let items = self
            .query(current_key(tenant), None, "read schemas")
            .await?;
        items.iter().map(read).collect()
    }

    async fn schema_version(
        &self,
        tenant: &TenantId,
        type_name: &str,
        version: u32,
    ) -> Result<Option<StoredSchema>, PortError> {
        let pk = versions_key(tenant, type_name);
        let item = self.get(pk, version_key(version), "read schema").await?;
        item.map(|item| read(&item)).transpose()
    }

    async fn put_schema(
        &self,
        tenant: &TenantId,
        schema: &StoredSchema,
    ) -> Result<bool, PortError> {
        let version = self.put(
            versions_key(tenant, &schema.type_name),
            version_key(schema.version),
            vec![("schema", json(schema))],
        )?;
        let current = Put::builder()
            .table_name(&self.name)
            .item("pk", current_key(tenant))
            .item("sk", s(schema.type_name.as_str()))
            .item("schema", json(schema))
            .item("version", n(schema.version));
        let current = match schema.version {
            1 => current.condition_expression("attribute_not_exists(pk)"),
            later => current
                .condition_expression("version = :before")
                .expression_attribute_values(":before", n(later - 1)),
        };
        let current = current
            .build()
            .map_err(|e| PortError::Fatal(e.to_string()))?;
        self.put_all(vec![version, current], "put schema").await
    }
}
