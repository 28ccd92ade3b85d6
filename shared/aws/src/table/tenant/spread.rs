//! [`Spreads`] as one item of the table for each tenant that has grown.

use crate::error::took_place;
use crate::table::Table;
use crate::table::attributes::{Item, Reader, n, s};
use aws_sdk_dynamodb::types::AttributeValue;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::PortError;
use vernier_ledger::spread::{GrownSpread, Spread, Spreads};
use vernier_ledger::time::Millis;

/// The sort key of a tenant's spread.
const SPREAD: &str = "spread";

fn partition(tenant: &TenantId) -> AttributeValue {
    s(format!("spread#{tenant}"))
}

fn read(item: &Item) -> Result<GrownSpread, PortError> {
    let reader = Reader {
        what: "spread",
        item,
    };
    Ok(GrownSpread {
        spread: Spread {
            lanes: reader.number("lanes")?,
            stream_keys: reader.number("stream_keys")?,
        },
        grown_at: Millis(reader.number("grown_at")?),
    })
}

impl Spreads for Table {
    async fn grown_spread(&self, tenant: &TenantId) -> Result<Option<GrownSpread>, PortError> {
        let item = self
            .get(partition(tenant), s(SPREAD), "read spread")
            .await?;
        item.as_ref().map(read).transpose()
    }

    async fn grow_spread(
        &self,
        tenant: &TenantId,
        seen: Option<&GrownSpread>,
        next: &GrownSpread,
    ) -> Result<bool, PortError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", partition(tenant))
            .item("sk", s(SPREAD))
            .item("lanes", n(next.spread.lanes))
            .item("stream_keys", n(next.spread.stream_keys))
            .item("grown_at", n(next.grown_at.0));
        let put = match seen {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(seen) => put
                .condition_expression(
                    "lanes = :lanes AND stream_keys = :stream_keys AND grown_at = :grown_at",
                )
                .expression_attribute_values(":lanes", n(seen.spread.lanes))
                .expression_attribute_values(":stream_keys", n(seen.spread.stream_keys))
                .expression_attribute_values(":grown_at", n(seen.grown_at.0)),
        };
        took_place(put.send().await, "grow spread")
    }
}
