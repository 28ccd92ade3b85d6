//! [`GivenUpSlices`] on DynamoDB.

use super::Table;
use super::attributes::{Reader, json, s, ttl};
use crate::error::port_error;
use vernier_ledger::given_up::{GivenUpSlice, GivenUpSlices};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::COMMIT_DAYS;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::TimeRange;

fn partition_of(tenant: &TenantId) -> String {
    format!("given-up#{tenant}")
}

impl GivenUpSlices for Table {
    async fn keep_given_up(
        &self,
        tenant: &TenantId,
        slice: &GivenUpSlice,
    ) -> Result<(), PortError> {
        let received_at = slice.receipt.received_at().0.max(0);
        let sk = format!("{received_at:015}#{}#{:05}", slice.receipt, slice.slice);
        let expires = slice.at.plus_seconds(i64::from(COMMIT_DAYS) * 86_400);
        self.client
            .put_item()
            .table_name(&self.name)
            .item("pk", s(partition_of(tenant)))
            .item("sk", s(sk))
            .item("given_up", json(slice))
            .item("ttl", ttl(expires))
            .send()
            .await
            .map_err(|e| port_error("keep given-up slice", e))?;
        Ok(())
    }

    async fn given_up_slices(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<GivenUpSlice>, PortError> {
        // Ends before the first instant behind the range: the separator sorts before every digit.
        let keys = (
            format!("{:015}", range.from.0.max(0)),
            format!("{:015}", range.to.0.max(0)),
        );
        let pk = s(partition_of(tenant));
        let items = self.query(pk, Some(keys), "read given-up slices").await?;
        let read = |item| {
            Reader {
                what: "given-up slice",
                item,
            }
            .json("given_up")
        };
        items.iter().map(read).collect()
    }
}
