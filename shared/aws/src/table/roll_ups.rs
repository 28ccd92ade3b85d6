//! [`RollUps`] on DynamoDB: an item for each five minutes of a tenant of which filters are rolled up.

use super::Table;
use super::attributes::{Reader, json, s, ttl};
use crate::error::port_error;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::PortError;
use vernier_ledger::roll_up::{RollUp, RollUps};
use vernier_ledger::time::{Millis, Minute, Slice, TimeRange};

/// How long an item is kept after it was written last, days: live events are read for 74 hours.
const KEPT_DAYS: i64 = 4;

fn partition_of(tenant: &TenantId) -> String {
    format!("filters#{tenant}")
}

/// Text order is the order of minutes.
fn sort_key(minute: Minute) -> String {
    format!("{:010}", minute.0.max(0))
}

impl RollUps for Table {
    async fn roll_ups(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<RollUp>, PortError> {
        let TimeRange { from, to } = range;
        if from >= to {
            return Ok(Vec::new());
        }
        let first = Slice::containing(from.minute());
        let last = Slice::containing(Millis(to.0 - 1).minute());
        let keys = [first, last].map(|slice| sort_key(slice.first_minute()));
        let [low, high] = keys;
        let pk = s(partition_of(tenant));
        let items = self.query(pk, Some((low, high)), "read roll-ups").await?;
        let what = "roll-up";
        let read = |item| Reader { what, item }.json("roll_up");
        items.iter().map(read).collect()
    }

    async fn keep_roll_up(&self, tenant: &TenantId, roll_up: &RollUp) -> Result<(), PortError> {
        let expires = roll_up.rolled_at.plus_seconds(KEPT_DAYS * 86_400);
        let request = self.client.put_item().table_name(&self.name);
        let request = request
            .item("pk", s(partition_of(tenant)))
            .item("sk", s(sort_key(roll_up.first_minute)))
            .item("roll_up", json(roll_up))
            .item("ttl", ttl(expires));
        let kept = request.send().await;
        kept.map_err(|e| port_error("keep roll-up", e))?;
        Ok(())
    }
}
