//! Seals, and proofs that an event is in one.

use crate::Ports;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::value::RawValue;
use vernier_archive::Fault;
use vernier_archive::files::Memory;
use vernier_archive::previous::Asked;
use vernier_archive::proof::{InclusionProof, prove};
use vernier_archive::reader::{Filter, Part, PartFilters};
use vernier_archive::seal::{Seal, SealedFile, seal_key};
use vernier_archive::stored::{read_file, read_seal};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::{Chains, Objects, PortError};
use vernier_ledger::segment::Place;
use vernier_ledger::time::{Millis, Window};

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
            kind: if seal.backfill { "backfill" } else { "window" },
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
    passed_over: Vec<Window>,
}

/// Seals of a range, and the chain.
#[derive(Debug, Serialize)]
pub struct SealList {
    chain: ChainView,
    seals: Vec<SealView>,
}

/// Seals of windows that touch `[from, to)`, by window.
///
/// # Errors
/// The store's.
pub async fn list<T: Chains, O>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    (from, to): (Millis, Millis),
) -> Result<SealList, PortError> {
    let seals = touching(ports, tenant, (from, to)).await?;
    Ok(SealList {
        chain: chain(ports, tenant).await?,
        seals: seals.iter().map(SealView::from).collect(),
    })
}

async fn chain<T: Chains, O>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
) -> Result<ChainView, PortError> {
    let head = ports.table.chain(tenant).await?;
    Ok(ChainView {
        seals: head.as_ref().map_or(0, |h| h.sequence),
        head: head.as_ref().and_then(|h| h.last_hash.clone()),
        complete_through: head.as_ref().map(|h| h.through.rfc3339()),
        passed_over: head.map(|h| h.passed_over).unwrap_or_default(),
    })
}

async fn touching<T: Chains, O>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    (from, to): (Millis, Millis),
) -> Result<Vec<SealEntry>, PortError> {
    let since = from.plus_seconds(-WINDOW_SECONDS_MAX);
    let mut seals = ports.table.seals(tenant, since, to).await?;
    seals.retain(|seal| seal.window.end > from);
    Ok(seals)
}

/// A seal's bytes as they were signed, once its chain has moved over it.
///
/// # Errors
/// The store's.
pub async fn document<T: Chains, O: Objects>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    sequence: u64,
) -> Result<Option<Box<RawValue>>, PortError> {
    let head = ports.table.chain(tenant).await?;
    if head.is_none_or(|head| head.sequence <= sequence) {
        return Ok(None);
    }
    let key = seal_key(tenant, sequence);
    let bytes = ports.objects.get(&key, None).await?;
    let bytes = bytes.ok_or_else(|| PortError::Fatal(format!("{key} is gone")))?;
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
        "its window has {0} bytes of files; at most {PROOF_READ_BYTES_MAX} are read for one answer. \
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
pub async fn proof<T: Chains, O: Objects>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    id: &str,
    range: (Millis, Millis),
) -> Result<Option<ProofView>, NoProof> {
    let mut seals = touching(ports, tenant, range).await?;
    seals.retain(|seal| seal.tally.events > seal.tally.rejected);
    let found: Vec<Option<(Seal, Place)>> = stream::iter(&seals)
        .map(|entry| find(&ports.objects, tenant, entry, id))
        .buffered(SEALS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    let Some((seal, place)) = found.into_iter().flatten().next_back() else {
        return Ok(None);
    };
    let bytes = seal.files.iter().map(|file| file.bytes).sum();
    if bytes > PROOF_READ_BYTES_MAX {
        return Err(NoProof::TooLarge(bytes));
    }
    let files = Memory::default();
    for file in &seal.files {
        let bytes = ports.objects.get(&file.key, None).await?;
        let bytes = bytes.ok_or_else(|| PortError::Fatal(format!("{} is gone", file.key)))?;
        files.put(file.key.clone(), bytes);
    }
    let damaged = |fault: Fault| PortError::Fatal(fault.to_string());
    let proof = prove(&files, &seal, place).map_err(damaged)?;
    let Some(proof) = proof else { return Ok(None) };
    let text = seal.to_bytes().map_err(damaged)?;
    let text = String::from_utf8(text).map_err(|e| PortError::Fatal(e.to_string()))?;
    let raw = RawValue::from_string(text).map_err(|e| PortError::Fatal(e.to_string()))?;
    Ok(Some(ProofView {
        proof,
        seal: raw,
        chain: chain(ports, tenant).await?,
    }))
}

/// Where a seal's files hold the stored event with this id.
async fn find<O: Objects>(
    objects: &O,
    tenant: &TenantId,
    entry: &SealEntry,
    id: &str,
) -> Result<Option<(Seal, Place)>, PortError> {
    let seal = read_seal(objects, tenant, entry).await?;
    for file in &seal.files {
        if !file.key.starts_with("archive/") {
            continue;
        }
        if let Some(place) = find_in(objects, file, id).await? {
            return Ok(Some((seal, place)));
        }
    }
    Ok(None)
}

async fn find_in<O: Objects>(
    objects: &O,
    file: &SealedFile,
    id: &str,
) -> Result<Option<Place>, PortError> {
    let asked = Asked {
        own_id: true,
        id: Some(id),
        fingerprint: [0; 32],
    };
    read_file(objects, file, |ranges| {
        let part = Part::open(ranges)?;
        if !PartFilters::read(&part)?.may_hold(&asked) {
            return Ok(None);
        }
        let mut place = None;
        part.find(Filter::Id(id), |row| {
            place = place.or(Some(row.place()));
            Ok(())
        })?;
        Ok(place)
    })
    .await
}
