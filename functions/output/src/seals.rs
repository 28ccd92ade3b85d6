//! Seals, and proofs that an event is in one.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::previous::Asked;
use vernier_archive::proof::{InclusionProof, Prover};
use vernier_archive::reader::{Filter, Part, PartFilters, Reading};
use vernier_archive::seal::{PartClass, Seal, seal_key};
use vernier_archive::stored::{
    covered_bytes, covering_gone, for_each_covered, read_file, read_seal,
};
use vernier_ledger::chain::{SealEntry, day_of};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::{Chains, Objects, PortError};
use vernier_ledger::segment::Place;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, TimeRange, Window};
use vernier_ledger::work::{Completeness, completeness};

/// Seals whose files are searched at a time.
const SEALS_IN_FLIGHT_MAX: usize = 16;

/// Files of a seal that one answer reads to prove an event: a proof needs every row of its window.
pub const PROOF_READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A seal in the list.
#[derive(Debug, Serialize)]
pub struct SealView {
    sequence: u64,
    kind: &'static str,
    start: String,
    end: String,
    events: u64,
    rejected: u64,
    digest: String,
    sha256: String,
    sealed_at: String,
}

impl From<&SealEntry> for SealView {
    fn from(seal: &SealEntry) -> Self {
        Self {
            sequence: seal.sequence,
            kind: match (seal.is_day(), seal.backfill) {
                (true, _) => "day",
                (_, true) => "backfill",
                _ => "window",
            },
            start: seal.window.start.rfc3339(),
            end: seal.window.end.rfc3339(),
            events: seal.tally.events,
            rejected: seal.tally.rejected,
            digest: seal.tally.digest.to_string(),
            sha256: seal.hash.clone(),
            sealed_at: seal.sealed_at.rfc3339(),
        }
    }
}

/// Where the chain ends.
#[derive(Debug, Serialize)]
pub struct ChainView {
    /// How many seals it has.
    seals: u64,
    /// SHA-256 of the last: whoever notes it can tell later that nothing was cut off.
    head: Option<String>,
    /// Windows before this instant are sealed, but for those passed over.
    complete_through: Option<String>,
    /// Windows that did not add up so far.
    passed_over: Vec<PassedOver>,
}

/// A window that waits for what is missing.
#[derive(Debug, Serialize)]
pub struct PassedOver {
    /// RFC 3339.
    start: String,
    /// RFC 3339.
    end: String,
}

impl From<Window> for PassedOver {
    fn from(window: Window) -> Self {
        Self {
            start: window.start.rfc3339(),
            end: window.end.rfc3339(),
        }
    }
}

/// Seals of a range, and the chain.
#[derive(Debug, Serialize)]
pub struct SealList {
    chain: ChainView,
    seals: Vec<SealView>,
}

/// Seals of windows and days that touch `[from, to)`, by window; those of days come last.
///
/// # Errors
/// The store's.
pub async fn list<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    range: TimeRange,
    now: Millis,
) -> Result<SealList, PortError> {
    let mut seals = touching(stores, tenant, range).await?;
    seals.extend(days(stores, tenant, range).await?);
    Ok(SealList {
        chain: chain(stores, tenant, now).await?,
        seals: seals.iter().map(SealView::from).collect(),
    })
}

async fn chain<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    now: Millis,
) -> Result<ChainView, PortError> {
    let Completeness { head, through } = completeness(stores.table(), tenant, now).await?;
    let passed_over = head.as_ref().map(|h| h.passed_over.clone());
    let passed_over = passed_over.unwrap_or_default();
    Ok(ChainView {
        seals: head.as_ref().map_or(0, |h| h.sequence),
        head: head.as_ref().and_then(|h| h.last_hash.clone()),
        complete_through: through.map(Millis::rfc3339),
        passed_over: passed_over.into_iter().map(PassedOver::from).collect(),
    })
}

async fn touching<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    range: TimeRange,
) -> Result<Vec<SealEntry>, PortError> {
    let since = range.from.plus_seconds(-WINDOW_SECONDS_MAX);
    let mut seals = stores.table().seals(tenant, since, range.to).await?;
    seals.retain(|seal| seal.window.end > range.from);
    Ok(seals)
}

/// Seals of days that touch `[from, to)`.
async fn days<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    range: TimeRange,
) -> Result<Vec<SealEntry>, PortError> {
    let since = day_of(range.from).start;
    stores.table().days(tenant, since, range.to).await
}

/// A seal's bytes as they were signed, once its chain has moved over it.
///
/// # Errors
/// The store's.
pub async fn document<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    sequence: u64,
) -> Result<Option<Box<RawValue>>, PortError> {
    let head = stores.table().chain(tenant).await?;
    if head.is_none_or(|head| head.sequence <= sequence) {
        return Ok(None);
    }
    let key = seal_key(tenant, sequence);
    let found = stores.objects().get(&key, None).await?;
    let bytes = found.ok_or_else(|| PortError::Fatal(format!("{key} is gone")))?;
    let text = String::from_utf8(bytes).ok();
    let raw = text.and_then(|text| RawValue::from_string(text).ok());
    raw.map(Some)
        .ok_or_else(|| PortError::Fatal(format!("{key} is no JSON")))
}

/// A proof, its seal, and the chain's end.
#[derive(Debug, Serialize)]
pub struct ProofView {
    proof: InclusionProof,
    /// As it was signed.
    seal: Box<RawValue>,
    chain: ChainView,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum NoProof {
    /// The window is too large for one answer.
    #[error(
        "proving it takes {0} bytes of files; at most {PROOF_READ_BYTES_MAX} are read for one answer. \
         A copy of the files proves it (vernier verify)"
    )]
    TooLarge(u64),
    /// A store failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// The proof of the stored event with this id that was received in `[from, to)`; none when no seal
/// of the range has it.
///
/// # Errors
/// When its window is too large, or a store failed.
pub async fn proof<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    id: &str,
    range: TimeRange,
    now: Millis,
) -> Result<Option<ProofView>, NoProof> {
    let mut seals = touching(stores, tenant, range).await?;
    seals.retain(|seal| seal.tally.events > seal.tally.rejected);
    let days = days(stores, tenant, range).await?;
    let is_covered = |entry: &SealEntry| days.iter().any(|d| d.covers.contains(entry.sequence));
    let own = seals.iter().filter(|entry| !is_covered(entry));
    let found: Vec<Vec<(u64, Place)>> = stream::iter(own.chain(&days))
        .map(|entry| find(stores.objects(), tenant, entry, id))
        .buffered(SEALS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    let found: Vec<(u64, Place)> = found.into_iter().flatten().collect();
    // Of several the one of the last window: seals are listed by window.
    let last = |entry: &&SealEntry| found.iter().any(|(seal, _)| *seal == entry.sequence);
    let Some(entry) = seals.iter().rfind(last) else {
        return Ok(None);
    };
    let place = found.iter().find(|(seal, _)| *seal == entry.sequence);
    let Some((_, place)) = place else {
        return Ok(None);
    };
    let seal = read_seal(stores.objects(), tenant, entry).await?;
    let damaged = |fault: Fault| PortError::Fatal(fault.to_string());
    let proof = match prove_from_files(stores.objects(), &seal, *place).await? {
        Some(proof) => proof,
        None => {
            let day = covering_gone(
                stores.table(),
                stores.objects(),
                tenant,
                entry,
                &seal.files[0],
            );
            prove_from_day(stores.objects(), &day.await?, &seal, *place).await?
        }
    };
    let text = seal.to_bytes().map_err(damaged)?;
    let text = String::from_utf8(text).map_err(|e| PortError::Fatal(e.to_string()))?;
    let raw = RawValue::from_string(text).map_err(|e| PortError::Fatal(e.to_string()))?;
    Ok(Some(ProofView {
        proof,
        seal: raw,
        chain: chain(stores, tenant, now).await?,
    }))
}

fn proved(prover: Prover<'_>) -> Result<InclusionProof, PortError> {
    let seal = prover.seal().key();
    let damaged = |why: String| PortError::Fatal(format!("{seal}: {why}"));
    let proof = prover
        .finish()
        .map_err(|fault| damaged(fault.to_string()))?;
    proof.ok_or_else(|| damaged("the event is not where it was found".to_owned()))
}

/// The proof from the seal's own files; none when one of them is gone.
async fn prove_from_files<O: Objects>(
    objects: &O,
    seal: &Seal,
    place: Place,
) -> Result<Option<InclusionProof>, NoProof> {
    let bytes = seal.files.iter().map(|file| file.bytes).sum();
    if bytes > PROOF_READ_BYTES_MAX {
        return Err(NoProof::TooLarge(bytes));
    }
    let mut prover = Prover::new(seal, place);
    for file in &seal.files {
        let Some(bytes) = objects.get(&file.key, None).await? else {
            return Ok(None);
        };
        let shown = Part::open(Arc::new(Bytes::from(bytes))).and_then(|part| {
            part.for_each(|row| {
                prover.show(&row);
                Ok(())
            })
        });
        shown.map_err(|fault| PortError::Fatal(format!("{}: {fault}", file.key)))?;
    }
    Ok(Some(proved(prover)?))
}

/// The same proof from the files of the day that covers the seal: it leads to the window's seal as
/// before, whose rows are among the day's in the same order.
async fn prove_from_day<O: Objects>(
    objects: &O,
    day: &Seal,
    seal: &Seal,
    place: Place,
) -> Result<InclusionProof, NoProof> {
    let bytes = covered_bytes(objects, day, Reading::WithoutEvents).await?;
    if bytes > PROOF_READ_BYTES_MAX {
        return Err(NoProof::TooLarge(bytes));
    }
    let mut prover = Prover::new(seal, place);
    for class in [PartClass::Archive, PartClass::Exceptions] {
        let of = (seal.sequence, class);
        for_each_covered(objects, day, of, Reading::WithoutEvents, |row| {
            prover.show(&row);
            Ok(())
        })
        .await?;
    }
    Ok(proved(prover)?)
}

/// Where a seal's files hold stored events with this id: the seal that sealed each, and its place. A
/// day may have one that came again later than events are looked back for.
async fn find<O: Objects>(
    objects: &O,
    tenant: &TenantId,
    entry: &SealEntry,
    id: &str,
) -> Result<Vec<(u64, Place)>, PortError> {
    let seal = read_seal(objects, tenant, entry).await?;
    let asked = Asked {
        own_id: true,
        id: Some(id),
        fingerprint: [0; 32],
    };
    let mut found = Vec::new();
    for file in seal.files_of(PartClass::Archive) {
        let here = read_file(objects, file, |ranges| {
            let part = Part::open(ranges)?;
            let mut here = Vec::new();
            if PartFilters::read(&part)?.may_hold(&asked) {
                part.find_sealed(Filter::Id(id), |row, sealed_by| {
                    here.push((sealed_by.unwrap_or(entry.sequence), row.place()));
                    Ok(())
                })?;
            }
            Ok(here)
        });
        found.extend(here.await?);
    }
    Ok(found)
}
