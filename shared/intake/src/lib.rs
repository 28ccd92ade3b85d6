//! Envelopes in; frames on the stream and a receipt in the table out.
//!
//! [`accept`] is the whole of it: read, judge, write lines, cut frames, open the window, append, acknowledge. It
//! returns only when invariant 1 holds. [`send`] is its second half, for whoever has lines already:
//! a playback. [`OpenWindows`] is what a process remembers of the windows that it opened.

pub mod lines;
mod windows;

pub use windows::OpenWindows;

use lines::OversizeEvent;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use vernier_ledger::access::{Identity, Tenant};
use vernier_ledger::frame::{self, EnvelopeLines, Tally};
use vernier_ledger::ids::{Lane, ReceiptId, TenantId};
use vernier_ledger::ports::{FrameStream, NewRecord, Objects, PortError, Receipts};
use vernier_ledger::receipt::{Acknowledgement, Origin};
use vernier_ledger::retry::{Backoff, retry};
use vernier_ledger::stores::IntakeStores;
use vernier_ledger::time::Millis;
use vernier_validation::{DomainSchemas, Envelope, Policy, Refusal, read_envelope};
use windows::Coming;

/// Settings of whoever puts envelopes on the stream.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long receipts are kept, days.
    pub receipt_days: u32,
}

/// How a process sends envelopes.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a, C> {
    /// What is the same for all of them.
    pub settings: Settings,
    /// The windows that the process has opened.
    pub windows: &'a OpenWindows,
    /// Tells the time of this function's machine.
    pub clock: C,
    /// What one may take.
    pub budget: Duration,
}

/// An acknowledged envelope.
#[derive(Debug)]
pub struct Accepted<'b> {
    /// Its receipt.
    pub receipt: ReceiptId,
    /// Its events.
    pub tally: Tally,
    /// The envelope with each event's verdict.
    pub envelope: Envelope<'b>,
}

/// Why an envelope is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// It cannot be read as an envelope.
    #[error("{0}")]
    Refused(Refusal),
    /// A store did not take it; parts may be on the stream.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A new envelope's receipt, in any of the tenant's lanes: frames carry no order that matters
/// downstream.
#[must_use]
pub fn new_receipt(tenant: &Tenant, now: Millis) -> ReceiptId {
    let lanes = tenant.lanes.clamp(1, vernier_ledger::limits::LANES_MAX);
    let lane = Lane::try_from(rand::random::<u16>() % lanes).unwrap_or(0);
    ReceiptId::generate(now, lane)
}

/// An envelope that was read and judged, and is on the stream only when [`Self::accept`] says so.
#[derive(Debug)]
pub struct ReadEnvelope<'b> {
    body: &'b [u8],
    receipt: ReceiptId,
    envelope: Envelope<'b>,
}

impl<'b> ReadEnvelope<'b> {
    /// Reads and judges an envelope of a sensor, whose tenant may have event types of its own, under a receipt that
    /// nothing else has.
    ///
    /// # Errors
    /// Why the body is no envelope.
    pub fn read(
        identity: &Identity,
        schemas: Option<&DomainSchemas>,
        body: &'b [u8],
        receipt: ReceiptId,
    ) -> Result<Self, Refusal> {
        let policy = Policy {
            domain: schemas,
            received_at: Some(receipt.received_at().0),
            ..Policy::new(identity.tenant.mode, identity.tenant.profile)
        };
        Ok(Self {
            body,
            receipt,
            envelope: read_envelope(body, &policy)?,
        })
    }

    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.envelope.items.len() as u64
    }

    /// Puts it on the stream and writes its receipt, as [`accept`] does.
    ///
    /// # Errors
    /// Why it is not acknowledged.
    pub async fn accept<S: IntakeStores, C: Fn() -> Millis>(
        self,
        stores: &S,
        sending: Sending<'_, C>,
        identity: &Identity,
    ) -> Result<Accepted<'b>, NotAccepted> {
        let started = tokio::time::Instant::now();
        let Self {
            body,
            receipt,
            envelope,
        } = self;
        let tenant = &identity.tenant.id;
        let sensor = &identity.token.sensor;
        let (lines, oversize) = lines::write(&envelope, receipt, tenant, sensor)?;
        let outgoing = Outgoing {
            tenant,
            sensor,
            receipt,
            body_sha256: Sha256::digest(body).into(),
            body_bytes: body.len() as u64,
            lines,
            oversize,
        };
        let sending = sending.since(started);
        let tally = send(stores, sending, outgoing).await?;
        Ok(Accepted {
            receipt,
            tally,
            envelope,
        })
    }
}

impl<C> Sending<'_, C> {
    /// Takes what has passed since an instant from the budget.
    fn since(self, started: tokio::time::Instant) -> Self {
        Self {
            budget: self.budget.saturating_sub(started.elapsed()),
            ..self
        }
    }
}

/// Accepts one envelope of a sensor, whose tenant may have event types of its own, under a receipt
/// that nothing else has. On `Ok` every event is on the stream and the receipt is written
/// (invariant 1). On `Err` nothing is acknowledged: what did reach the stream is accounted for as
/// an envelope without an answer, and the sender's retry makes duplicates.
///
/// # Errors
/// Why it is not acknowledged.
pub async fn accept<'b, S: IntakeStores, C: Fn() -> Millis>(
    stores: &S,
    sending: Sending<'_, C>,
    identity: &Identity,
    schemas: Option<&DomainSchemas>,
    body: &'b [u8],
    receipt: ReceiptId,
) -> Result<Accepted<'b>, NotAccepted> {
    let started = tokio::time::Instant::now();
    let read =
        ReadEnvelope::read(identity, schemas, body, receipt).map_err(NotAccepted::Refused)?;
    read.accept(stores, sending.since(started), identity).await
}

/// An envelope's lines on their way.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The tenant whose envelope it is.
    pub tenant: &'a TenantId,
    /// The sensor that sent it.
    pub sensor: &'a str,
    /// Its receipt, which nothing else has.
    pub receipt: ReceiptId,
    /// SHA-256 of what was received.
    pub body_sha256: [u8; 32],
    /// The body's length after decompression, bytes.
    pub body_bytes: u64,
    /// Its events.
    pub lines: EnvelopeLines,
    /// Those that are too large for a frame.
    pub oversize: Vec<OversizeEvent>,
}

/// Puts lines on the stream and writes their receipt; answers what they come to. As with [`accept`]
/// nothing is acknowledged unless all is there, and before the first of them is on the stream, the tenant's work list
/// has an entry for their window: wherever this is cut off, the window is looked at.
///
/// # Errors
/// A store's, when it did not take them within the budget; parts may be on the stream.
pub async fn send<S: IntakeStores, C: Fn() -> Millis>(
    stores: &S,
    sending: Sending<'_, C>,
    outgoing: Outgoing<'_>,
) -> Result<Tally, PortError> {
    let started = tokio::time::Instant::now();
    let Sending {
        settings,
        windows,
        clock,
        budget,
    } = sending;
    let left = || budget.saturating_sub(started.elapsed());
    let Outgoing {
        tenant,
        sensor,
        receipt,
        body_sha256,
        body_bytes,
        lines,
        oversize,
    } = outgoing;
    let frames = frame::encode_envelope(receipt, tenant, sensor, &lines)
        .map_err(|error| PortError::Fatal(format!("frame: {error}")))?;
    drop(lines);
    let tally = frames
        .first()
        .map(|(header, _)| header.envelope_tally)
        .unwrap_or_default();
    store_oversize(stores.objects(), oversize, left()).await?;
    let partition_key = format!("{tenant}/{}", receipt.lane());
    let records: Vec<NewRecord> = frames
        .into_iter()
        .map(|(_, data)| NewRecord {
            partition_key: partition_key.clone(),
            data,
        })
        .collect();
    let coming = Coming {
        tenant,
        receipt,
        clock,
        budget: left(),
    };
    windows.open(stores.table(), &coming).await?;
    let placed = append_all(stores.stream(), receipt, records, left()).await?;
    let acknowledgement = Acknowledgement {
        receipt,
        tenant: tenant.clone(),
        sensor: sensor.to_owned(),
        body_sha256,
        body_bytes,
        tally,
        placed,
        expires: receipt
            .received_at()
            .plus_seconds(i64::from(settings.receipt_days) * 86_400),
    };
    retry(left(), async || {
        stores.table().acknowledge(&acknowledgement).await
    })
    .await?;
    Ok(tally)
}

async fn store_oversize<O: Objects>(
    objects: &O,
    events: Vec<OversizeEvent>,
    budget: Duration,
) -> Result<(), PortError> {
    for event in events {
        // The key holds the receipt: an object that is already there is this one's own retry.
        retry(budget, async || {
            objects.put_new(&event.key, event.bytes.clone(), None).await
        })
        .await?;
    }
    Ok(())
}

/// Appends every record, trying only the failed ones again, until all are placed or the budget
/// is used up.
async fn append_all<S: FrameStream>(
    stream: &S,
    receipt: ReceiptId,
    records: Vec<NewRecord>,
    budget: Duration,
) -> Result<Vec<Origin>, PortError> {
    let mut placed: Vec<Option<Origin>> = vec![None; records.len()];
    let mut open: Vec<(usize, NewRecord)> = records.into_iter().enumerate().collect();
    let mut backoff = Backoff::within(budget);
    loop {
        let batch: Vec<NewRecord> = open.iter().map(|(_, r)| r.clone()).collect();
        let answers = stream.append(&batch).await;
        let mut failed = Vec::new();
        let mut last_error = None;
        for ((slot, record), answer) in open.into_iter().zip(answers) {
            match answer {
                Ok(origin) => placed[slot] = Some(origin),
                Err(error @ PortError::Fatal(_)) => return Err(error),
                Err(error) => {
                    last_error = Some(error);
                    failed.push((slot, record));
                }
            }
        }
        open = failed;
        let Some(error) = last_error else { break };
        tracing::info!(
            %receipt,
            records = open.len(),
            "appending again what the stream did not take"
        );
        if !backoff.pause().await {
            return Err(error);
        }
    }
    let all: Option<Vec<Origin>> = placed.into_iter().collect();
    all.ok_or_else(|| PortError::Retryable("append: a record got no answer".into()))
}
