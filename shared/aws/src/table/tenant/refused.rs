//! [`RefusedEnvelopes`] as items of the table: one for each tenant, hour, rule and sensor.

use crate::error::{misshapen, port_error};
use crate::table::Table;
use crate::table::attributes::{Item, Reader, n, s, ttl};
use aws_sdk_dynamodb::types::AttributeValue;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{PortError, RefusedEnvelopes};
use vernier_ledger::refused::RefusedCount;
use vernier_ledger::time::Millis;

const WHAT: &str = "refused envelopes";

fn partition(tenant: &TenantId) -> AttributeValue {
    s(format!("refused#{tenant}"))
}

/// The sensor stands last: its name may have any character.
fn read(item: &Item) -> Result<RefusedCount, PortError> {
    let reader = Reader { what: WHAT, item };
    let mut parts = reader.text("sk")?.splitn(3, '#');
    let mut part = || parts.next().ok_or_else(|| misshapen(WHAT, "sk"));
    Ok(RefusedCount {
        hour: part()?.parse().map_err(|_| misshapen(WHAT, "sk"))?,
        rule: part()?.to_owned(),
        sensor: part()?.to_owned(),
        envelopes: reader.number("envelopes")?,
    })
}

impl RefusedEnvelopes for Table {
    async fn add_refused(&self, tenant: &TenantId, count: &RefusedCount) -> Result<(), PortError> {
        let RefusedCount {
            hour,
            rule,
            sensor,
            envelopes,
        } = count;
        self.client
            .update_item()
            .table_name(&self.name)
            .key("pk", partition(tenant))
            .key("sk", s(format!("{hour:010}#{rule}#{sensor}")))
            .update_expression("ADD envelopes :more SET #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":more", n(envelopes))
            .expression_attribute_values(":ttl", ttl(count.expires()))
            .send()
            .await
            .map_err(|e| port_error("count refused envelopes", e))?;
        Ok(())
    }

    async fn refused(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<RefusedCount>, PortError> {
        if from >= to {
            return Ok(Vec::new());
        }
        // The character after the separator: everything of the last hour lies before it.
        let range = (
            format!("{:010}#", from.hour()),
            format!("{:010}$", Millis(to.0 - 1).hour()),
        );
        let items = self.query(partition(tenant), Some(range), "read refused envelopes");
        items.await?.iter().map(read).collect()
    }
}
