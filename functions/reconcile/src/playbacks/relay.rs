//! Events onto the stream again, in new envelopes of the sensors that sent them.
//!
//! An envelope of stored events says of each which one it repeats: however long ago that was sealed,
//! it ends as a duplicate. Rejected events are judged again by the rules of today; those that pass
//! are sent as if they came for the first time. What a crash repeats is a duplicate in both cases.

use super::Wires;
use super::part::Again;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;
use vernier_intake::lines::{self, LineWriter, OversizeEvent};
use vernier_intake::{Outgoing, Sending, send};
use vernier_ledger::access::Tenant;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::EnvelopeLines;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::{LineHead, Verdict};
use vernier_ledger::playback_job::PlaybackSource;
use vernier_ledger::ports::PortError;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_validation::{DomainSchemas, Policy, read_envelope};

/// Events of one envelope, as large sensors send them.
const ENVELOPE_EVENTS: usize = 1_000;

/// Events of one envelope, bytes: four frames before compression, or one event that is larger.
const ENVELOPE_BYTES: usize = 4 * 1024 * 1024;

/// Write units of an envelope: its receipt and a claim.
const ENVELOPE_WRITES: u64 = 2;

/// What was sent, or would be.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) events: u64,
    pub(super) envelopes: u64,
    pub(super) writes: u64,
    pub(super) rejected_again: u64,
}

/// How events are sent.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) source: PlaybackSource,
    /// Counts what would be sent, and sends nothing.
    pub(super) dry_run: bool,
    pub(super) now: Millis,
    pub(super) budget: Duration,
}

type Lines = (EnvelopeLines, Vec<OversizeEvent>);

/// Sends events of one tenant; all are on the stream and acknowledged on return.
///
/// # Errors
/// The stores'.
pub(super) async fn relay<S: ReconcileStores>(
    wires: Wires<'_, S>,
    tenant: &Tenant,
    events: &[Again],
    way: Way,
) -> Result<Sent, PortError> {
    let schemas = match way.source {
        PlaybackSource::Quarantine => wires.schemas.of(&tenant.id).await?,
        PlaybackSource::Archive | PlaybackSource::Failures => None,
    };
    let mut by_sensor: BTreeMap<String, Vec<&Again>> = BTreeMap::new();
    for event in events {
        let sensor = event.row()?.sensor.to_owned();
        by_sensor.entry(sensor).or_default().push(event);
    }
    let mut sent = Sent::default();
    let began = tokio::time::Instant::now();
    // The step's clock stands still, and a window may end meanwhile.
    let clock = || {
        let passed = i64::try_from(began.elapsed().as_millis()).unwrap_or(0);
        Millis(way.now.0 + passed)
    };
    let sending = Sending {
        settings: wires.intake,
        windows: wires.windows,
        spreads: wires.spreads,
        new_salt_key: wires.new_salt_key,
        clock,
        budget: way.budget,
    };
    for (sensor, events) in &by_sensor {
        for envelope in envelopes_of(events) {
            let receipt = (wires.new_receipt)(wires.spreads.of(tenant), way.now);
            let salt_key = (wires.new_salt_key)();
            let (lines, oversize) = match way.source {
                PlaybackSource::Quarantine => {
                    let schemas = schemas.as_deref();
                    judged(tenant, sensor, receipt, salt_key, envelope, schemas)?
                }
                PlaybackSource::Archive | PlaybackSource::Failures => {
                    repeated(tenant, receipt, salt_key, envelope)?
                }
            };
            let passed = lines.lines.len() as u64;
            sent.rejected_again += envelope.len() as u64 - passed;
            if passed == 0 {
                continue;
            }
            sent.events += passed;
            sent.envelopes += 1;
            sent.writes += ENVELOPE_WRITES;
            if way.dry_run {
                continue;
            }
            let outgoing = Outgoing {
                tenant,
                sensor,
                receipt,
                body_sha256: Sha256::digest(&lines.text).into(),
                body_bytes: lines.text.len() as u64,
                lines,
                oversize,
            };
            send(wires.stores, sending, outgoing).await?;
        }
    }
    Ok(sent)
}

/// The events cut into envelopes.
fn envelopes_of<'e, 'a>(mut rest: &'e [&'a Again]) -> impl Iterator<Item = &'e [&'a Again]> {
    std::iter::from_fn(move || {
        let (envelope, after) = rest.split_at_checked(envelope_length(rest))?;
        rest = after;
        (!envelope.is_empty()).then_some(envelope)
    })
}

/// How many of the events, at least one, make the next envelope.
fn envelope_length(events: &[&Again]) -> usize {
    let mut bytes = 0;
    let fit = events.iter().take(ENVELOPE_EVENTS).take_while(|event| {
        bytes += event.event.len();
        bytes <= ENVELOPE_BYTES
    });
    fit.count().max(1)
}

/// Lines of stored events, each with the place of the event that it repeats.
fn repeated(
    tenant: &Tenant,
    receipt: ReceiptId,
    salt_key: SaltKey,
    events: &[&Again],
) -> Result<Lines, PortError> {
    let received_at = receipt.received_at().rfc3339();
    let bytes = events.iter().map(|e| e.event.len() + 640).sum();
    let mut lines = LineWriter::new(&tenant.id, receipt, salt_key, bytes);
    for again in events {
        let row = again.row()?;
        let damaged = |e: serde_json::Error| PortError::Fatal(format!("{}: {e}", row.receipt));
        let fingerprint = Fingerprint(row.fingerprint);
        let raw = |text: &str| {
            let raw = RawValue::from_string(text.to_owned());
            raw.map(Cow::Owned).map_err(damaged)
        };
        let head = LineHead {
            receipt,
            index: lines.events(),
            received_at: Cow::Borrowed(&received_at),
            sensor: Cow::Borrowed(row.sensor),
            salt_key: None,
            verdict: Verdict::Accepted,
            strict: Verdict::from(row.strict == "accepted"),
            kind: Cow::Borrowed(row.kind),
            id: row.id.map(Cow::Borrowed),
            type_name: row.type_name.map(Cow::Borrowed),
            action: row.action.map(Cow::Borrowed),
            actor: row.actor.map(Cow::Borrowed),
            object: row.object.map(Cow::Borrowed),
            group: row.group.map(Cow::Borrowed),
            time: row.event_time.map(|at| Cow::Owned(at.rfc3339())),
            result: row
                .result
                .map(serde_json::from_str)
                .transpose()
                .map_err(damaged)?,
            problems: None,
            deviations: row.deviations.map(raw).transpose()?,
            first: Some(row.place()),
            event_ref: None,
            fingerprint: Cow::Owned(fingerprint.hex()),
        };
        lines.push(head, fingerprint, &again.event)?;
    }
    Ok(lines.finish())
}

/// Lines of those rejected events that today's rules accept. One that names no context of its own is
/// read as Caliper 1.2.
fn judged(
    tenant: &Tenant,
    sensor: &str,
    receipt: ReceiptId,
    salt_key: SaltKey,
    events: &[&Again],
    schemas: Option<&DomainSchemas>,
) -> Result<Lines, PortError> {
    let texts: Vec<&str> = events.iter().map(|e| e.event.as_str()).collect();
    let name = serde_json::to_string(sensor).map_err(|e| PortError::Fatal(e.to_string()))?;
    let body = format!(
        r#"{{"sensor":{name},"sendTime":"{}","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":[{}]}}"#,
        receipt.received_at().rfc3339(),
        texts.join(",")
    );
    let policy = Policy {
        domain: schemas,
        received_at: Some(receipt.received_at().0),
        ..Policy::new(tenant.mode, tenant.profile)
    };
    let read = read_envelope(body.as_bytes(), &policy);
    let mut envelope = read.map_err(|e| PortError::Fatal(format!("quarantine: {e}")))?;
    envelope.items.retain(|item| item.verdict.accepted);
    lines::write(&envelope, receipt, salt_key, &tenant.id, sensor)
}
