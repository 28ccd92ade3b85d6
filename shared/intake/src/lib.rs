//! Envelopes in; frames on the stream and a receipt in the table out.
//!
//! [`accept`] is the whole of it: read, judge, write lines, cut frames, open the window, append, acknowledge. It
//! returns only when invariant 1 holds. [`send`] is its second half, for whoever has lines already:
//! a playback. [`OpenWindows`] is what a process remembers of the windows that it opened, [`SpreadKeeper`] of how
//! far its tenants have grown.

mod growth;
pub mod lines;
mod windows;

pub use growth::SpreadKeeper;
pub use windows::OpenWindows;

use lines::OversizeEvent;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use vernier_ledger::access::{Identity, Tenant};
use vernier_ledger::frame::{self, EnvelopeLines, Tally};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{FrameStream, NewRecord, Objects, PortError, Receipts};
use vernier_ledger::receipt::{Acknowledgement, Origin};
use vernier_ledger::retry::{Backoff, retry};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::spread::Throttling;
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
    /// How far the process knows its tenants to have grown.
    pub spreads: &'a SpreadKeeper,
    /// Draws a new envelope's salt key.
    pub new_salt_key: fn() -> SaltKey,
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
        let tenant = &identity.tenant;
        let sensor = &identity.token.sensor;
        let salt_key = (sending.new_salt_key)();
        let (lines, oversize) = lines::write(&envelope, receipt, salt_key, &tenant.id, sensor)?;
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

/// Longest wait for a throttled tenant's spread, which holds up the answer.
const GROWING_WAIT: Duration = Duration::from_millis(300);

/// An envelope's lines on their way.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The tenant whose envelope it is.
    pub tenant: &'a Tenant,
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
/// has an entry for their window: wherever this is cut off, the window is looked at. Where a store throttled it, the
/// tenant's next envelopes are spread further.
///
/// # Errors
/// A store's, when it did not take them within the budget; parts may be on the stream.
pub async fn send<S: IntakeStores, C: Fn() -> Millis>(
    stores: &S,
    sending: Sending<'_, C>,
    outgoing: Outgoing<'_>,
) -> Result<Tally, PortError> {
    let (tenant, mut throttling) = (outgoing.tenant, Throttling::default());
    let sent = send_observed(stores, &sending, outgoing, &mut throttling).await;
    if throttling.is_any() {
        let (spreads, now) = (sending.spreads, (sending.clock)());
        let growing = spreads.grow(stores.table(), tenant, throttling, now);
        // Boxed: rare, and it would make the future of every envelope larger.
        let grown = Box::pin(tokio::time::timeout(GROWING_WAIT, growing)).await;
        if grown.is_err() {
            tracing::info!(tenant = %tenant.id, "spread not grown in time");
        }
    }
    sent
}

/// [`send`], noting where a store throttled it.
async fn send_observed<S: IntakeStores, C: Fn() -> Millis>(
    stores: &S,
    sending: &Sending<'_, C>,
    outgoing: Outgoing<'_>,
    throttling: &mut Throttling,
) -> Result<Tally, PortError> {
    let started = tokio::time::Instant::now();
    let budget = sending.budget;
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
    let frames = frame::encode_envelope(receipt, &tenant.id, sensor, &lines)
        .map_err(|error| PortError::Fatal(format!("frame: {error}")))?;
    drop(lines);
    let tally = frames
        .first()
        .map(|(header, _)| header.envelope_tally)
        .unwrap_or_default();
    store_oversize(stores.objects(), oversize, left()).await?;
    let spread = sending.spreads.of(tenant);
    let partition_key = spread.partition_key(&tenant.id, receipt);
    let records: Vec<NewRecord> = frames
        .into_iter()
        .map(|(_, data)| NewRecord {
            partition_key: partition_key.clone(),
            data,
        })
        .collect();
    let coming = Coming {
        tenant: &tenant.id,
        receipt,
        clock: &sending.clock,
        budget: left(),
    };
    sending.windows.open(stores.table(), &coming).await?;
    let appending = Appending {
        receipt,
        budget: left(),
        throttling: &mut *throttling,
    };
    let placed = append_all(stores.stream(), records, appending).await?;
    let acknowledgement = Acknowledgement {
        receipt,
        tenant: tenant.id.clone(),
        sensor: sensor.to_owned(),
        body_sha256,
        body_bytes,
        tally,
        placed,
        expires: receipt
            .received_at()
            .plus_seconds(i64::from(sending.settings.receipt_days) * 86_400),
    };
    retry(left(), async || {
        let answer = stores.table().acknowledge(&acknowledgement).await;
        throttling.receipts |= matches!(answer, Err(PortError::Throttled(_)));
        answer
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

/// How an envelope's records are appended.
struct Appending<'a> {
    receipt: ReceiptId,
    budget: Duration,
    throttling: &'a mut Throttling,
}

/// Appends every record, trying only the failed ones again, until all are placed or the budget
/// is used up.
async fn append_all<S: FrameStream>(
    stream: &S,
    records: Vec<NewRecord>,
    appending: Appending<'_>,
) -> Result<Vec<Origin>, PortError> {
    let Appending {
        receipt,
        budget,
        throttling,
    } = appending;
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
                    throttling.stream |= matches!(error, PortError::Throttled(_));
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
