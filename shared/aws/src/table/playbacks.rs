//! [`Playbacks`] on DynamoDB: an item for each job, and one for each that has not ended, so that a run
//! finds what is to be done with one query, however many tenants there are.

use super::Table;
use super::attributes::{Item, Reader, json, n, s, ttl};
use crate::error::{misshapen, port_error};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::PLAYBACK_DAYS;
use vernier_ledger::playback_job::{PlaybackId, PlaybackJob};
use vernier_ledger::ports::{PlaybackOutcome, Playbacks, PortError};

const WHAT: &str = "playback";

fn partition(tenant: &TenantId) -> AttributeValue {
    s(format!("playbacks#{tenant}"))
}

fn read(item: &Item) -> Result<PlaybackJob, PortError> {
    Reader { what: WHAT, item }.json("playback")
}

fn built(error: impl std::fmt::Display) -> PortError {
    PortError::Fatal(format!("move playback: {error}"))
}

impl Table {
    fn playback_put(&self, tenant: &TenantId, next: &PlaybackJob) -> Result<Put, PortError> {
        let put = Put::builder()
            .table_name(&self.name)
            .item("pk", partition(tenant))
            .item("sk", s(next.id.to_string()))
            .item("playback", json(next))
            .item("revision", n(next.revision));
        let put = match next.revision.checked_sub(1) {
            None | Some(0) => put.condition_expression("attribute_not_exists(pk)"),
            Some(seen) => put
                .condition_expression("revision = :seen")
                .expression_attribute_values(":seen", n(seen)),
        };
        // One that waits for somebody must not expire.
        let put = if next.state.is_open() {
            put
        } else {
            let days = i64::from(PLAYBACK_DAYS);
            put.item("ttl", ttl(next.updated_at.plus_seconds(days * 86_400)))
        };
        put.build().map_err(built)
    }

    /// The item that says that the job has not ended, written or removed.
    fn playback_mark(
        &self,
        tenant: &TenantId,
        next: &PlaybackJob,
    ) -> Result<TransactWriteItem, PortError> {
        let sort = s(format!("{tenant}/{}", next.id));
        let item = TransactWriteItem::builder();
        let item = if next.state.is_open() {
            let put = Put::builder()
                .table_name(&self.name)
                .item("pk", s("playbacks"))
                .item("sk", sort);
            item.put(put.build().map_err(built)?)
        } else {
            let delete = Delete::builder()
                .table_name(&self.name)
                .key("pk", s("playbacks"))
                .key("sk", sort);
            item.delete(delete.build().map_err(built)?)
        };
        Ok(item.build())
    }
}

impl Playbacks for Table {
    async fn playback(
        &self,
        tenant: &TenantId,
        id: PlaybackId,
    ) -> Result<Option<PlaybackJob>, PortError> {
        let item = self.get(partition(tenant), s(id.to_string()), "read playback");
        item.await?.as_ref().map(read).transpose()
    }

    async fn playbacks(&self, tenant: &TenantId) -> Result<Vec<PlaybackJob>, PortError> {
        let items = self
            .query(partition(tenant), None, "list playbacks")
            .await?;
        items.iter().map(read).collect()
    }

    async fn open_playbacks(&self) -> Result<Vec<(TenantId, PlaybackId)>, PortError> {
        let items = self.query(s("playbacks"), None, "list open playbacks");
        let of = |item: &Item| {
            let text = Reader { what: WHAT, item }.text("sk")?.to_owned();
            let parts = text.split_once('/');
            let parts =
                parts.and_then(|(tenant, id)| Some((tenant.parse().ok()?, id.parse().ok()?)));
            parts.ok_or_else(|| misshapen(WHAT, "sk"))
        };
        items.await?.iter().map(of).collect()
    }

    async fn move_playback(
        &self,
        tenant: &TenantId,
        next: &PlaybackJob,
    ) -> Result<PlaybackOutcome, PortError> {
        let put = self.playback_put(tenant, next)?;
        let answer = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(put).build())
            .transact_items(self.playback_mark(tenant, next)?)
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(PlaybackOutcome::Moved);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let mut reasons = cancelled.cancellation_reasons().iter();
                if reasons.any(|r| r.code() == Some("ConditionalCheckFailed")) {
                    Ok(PlaybackOutcome::Stale)
                } else {
                    Err(PortError::Retryable("move playback: cancelled".into()))
                }
            }
            _ => Err(port_error("move playback", error)),
        }
    }
}
