//! [`Receipts`] on DynamoDB: one item per receipt, its two halves written by two functions.

use super::Table;
use super::attributes::{Item, Reader, b, n, s, ttl};
use crate::error::{misshapen, port_error, took_place};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::BTreeMap;
use vernier_ledger::digest::Digest;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::{Lane, ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::ports::{PortError, Receipts};
use vernier_ledger::receipt::{
    Acknowledgement, Claim, ClaimOutcome, ClaimRequest, Origin, Receipt,
};
use vernier_ledger::time::Minute;

const WHAT: &str = "receipt";

fn partition(tenant: &TenantId, minute: Minute, lane: Lane) -> AttributeValue {
    s(format!("receipts#{tenant}#{}#{lane}", minute.0))
}

fn key_of(tenant: &TenantId, id: ReceiptId) -> (AttributeValue, AttributeValue) {
    (partition(tenant, id.minute(), id.lane()), s(id.to_string()))
}

fn claim_name(slice: u32) -> String {
    format!("c{slice}")
}

fn claim_value(request: &ClaimRequest<'_>) -> AttributeValue {
    let tally = &request.header.slice_tally;
    AttributeValue::M(
        [
            ("stream".to_owned(), s(&request.origin.shard.stream)),
            ("shard".to_owned(), s(&request.origin.shard.id)),
            ("sequence".to_owned(), s(request.origin.sequence.as_str())),
            ("attempt".to_owned(), n(request.header.attempt)),
            ("events".to_owned(), n(tally.events)),
            ("rejected".to_owned(), n(tally.rejected)),
            ("digest".to_owned(), b(&tally.digest.to_bytes())),
        ]
        .into(),
    )
}

fn read_tally(reader: &Reader<'_>) -> Result<Tally, PortError> {
    Ok(Tally {
        events: reader.number("events")?,
        rejected: reader.number("rejected")?,
        digest: Digest::from_bytes(reader.bytes32("digest")?),
    })
}

fn read_claim(value: &AttributeValue) -> Result<Claim, PortError> {
    let item = value.as_m().map_err(|_| misshapen(WHAT, "claim"))?;
    let reader = Reader {
        what: "claim",
        item,
    };
    let bad = |_| misshapen("claim", "shard");
    let shard = Shard::new(reader.text("stream")?, reader.text("shard")?).map_err(bad)?;
    let sequence = reader
        .text("sequence")?
        .parse()
        .map_err(|_| misshapen("claim", "sequence"))?;
    Ok(Claim {
        origin: Origin { shard, sequence },
        attempt: reader.number("attempt")?,
        tally: read_tally(&reader)?,
    })
}

/// `{shard}:{sequence number}`.
fn read_place(value: &AttributeValue) -> Result<(String, Sequence), PortError> {
    let text = value.as_s().ok();
    let place = text.and_then(|text| {
        let (shard, sequence) = text.rsplit_once(':')?;
        Some((shard.to_owned(), sequence.parse().ok()?))
    });
    place.ok_or_else(|| misshapen(WHAT, "placed"))
}

fn read_receipt(item: &Item) -> Result<Receipt, PortError> {
    let reader = Reader { what: WHAT, item };
    let id = reader
        .text("sk")?
        .parse()
        .map_err(|_| misshapen(WHAT, "sk"))?;
    let acknowledged = match item.get("slices") {
        Some(_) => Some((read_tally(&reader)?, reader.number("slices")?)),
        None => None,
    };
    let mut claims = BTreeMap::new();
    for (name, value) in item {
        if let Some(slice) = name
            .strip_prefix('c')
            .and_then(|digits| digits.parse::<u32>().ok())
        {
            claims.insert(slice, read_claim(value)?);
        }
    }
    let body_sha256 = match item.get("body") {
        Some(_) => Some(hex::encode(reader.bytes32("body")?)),
        None => None,
    };
    let body_bytes = match item.get("bytes") {
        Some(_) => Some(reader.number("bytes")?),
        None => None,
    };
    let placed = match item.get("placed") {
        Some(AttributeValue::L(places)) => {
            places.iter().map(read_place).collect::<Result<_, _>>()?
        }
        _ => Vec::new(),
    };
    Ok(Receipt {
        id,
        sensor: reader.text("sensor")?.to_owned(),
        acknowledged,
        body_sha256,
        body_bytes,
        placed,
        claims,
    })
}

impl Receipts for Table {
    async fn acknowledge(&self, ack: &Acknowledgement) -> Result<(), PortError> {
        let (pk, sk) = key_of(&ack.tenant, ack.receipt);
        let place = |o: &Origin| s(format!("{}:{}", o.shard.id, o.sequence));
        let placed = AttributeValue::L(ack.placed.iter().map(place).collect());
        self.client
            .update_item()
            .table_name(&self.name)
            .key("pk", pk)
            .key("sk", sk)
            .update_expression(
                "SET sensor = :sensor, #body = :body, #events = :events, #rejected = :rejected, \
                 #digest = :digest, #slices = :slices, #placed = :placed, #ttl = :ttl, #bytes = :bytes",
            )
            .expression_attribute_names("#body", "body")
            .expression_attribute_names("#events", "events")
            .expression_attribute_names("#rejected", "rejected")
            .expression_attribute_names("#digest", "digest")
            .expression_attribute_names("#slices", "slices")
            .expression_attribute_names("#placed", "placed")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_names("#bytes", "bytes")
            .expression_attribute_values(":bytes", n(ack.body_bytes))
            .expression_attribute_values(":sensor", s(&ack.sensor))
            .expression_attribute_values(":body", b(&ack.body_sha256))
            .expression_attribute_values(":events", n(ack.tally.events))
            .expression_attribute_values(":rejected", n(ack.tally.rejected))
            .expression_attribute_values(":digest", b(&ack.tally.digest.to_bytes()))
            .expression_attribute_values(":slices", n(ack.placed.len()))
            .expression_attribute_values(":placed", placed)
            .expression_attribute_values(":ttl", ttl(ack.expires))
            .send()
            .await
            .map_err(|e| port_error("write receipt", e))?;
        Ok(())
    }

    async fn claim(&self, request: ClaimRequest<'_>) -> Result<ClaimOutcome, PortError> {
        let header = request.header;
        let (pk, sk) = key_of(&header.tenant, header.receipt);
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", pk)
            .key("sk", sk)
            .update_expression(
                "SET #c = :claim, sensor = if_not_exists(sensor, :sensor), #ttl = :ttl",
            )
            .condition_expression(
                "attribute_not_exists(#c) OR #c.#attempt < :attempt OR \
                 (#c.#stream = :stream AND #c.#shard = :shard AND #c.#sequence = :sequence)",
            )
            .expression_attribute_names("#c", claim_name(header.slice))
            .expression_attribute_names("#attempt", "attempt")
            .expression_attribute_names("#stream", "stream")
            .expression_attribute_names("#shard", "shard")
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":claim", claim_value(&request))
            .expression_attribute_values(":sensor", s(&header.sensor))
            .expression_attribute_values(":ttl", ttl(request.expires))
            .expression_attribute_values(":attempt", n(header.attempt))
            .expression_attribute_values(":stream", s(&request.origin.shard.stream))
            .expression_attribute_values(":shard", s(&request.origin.shard.id))
            .expression_attribute_values(":sequence", s(request.origin.sequence.as_str()))
            .send()
            .await;
        Ok(match took_place(answer, "claim frame")? {
            true => ClaimOutcome::Mine,
            false => ClaimOutcome::Copy,
        })
    }

    async fn receipt(
        &self,
        tenant: &TenantId,
        id: ReceiptId,
    ) -> Result<Option<Receipt>, PortError> {
        let (pk, sk) = key_of(tenant, id);
        let item = self.get(pk, sk, "read receipt").await?;
        item.map(|item| read_receipt(&item)).transpose()
    }

    async fn receipts_in(
        &self,
        tenant: &TenantId,
        minute: Minute,
        lane: Lane,
    ) -> Result<Vec<Receipt>, PortError> {
        let items = self
            .query(partition(tenant, minute, lane), None, "list receipts")
            .await?;
        items.iter().map(read_receipt).collect()
    }
}
