//! Proofs that an event is in a sealed window.

use crate::seals::{ChainView, chain, days, touching};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::columns::SealedBy;
use vernier_archive::previous::Asked;
use vernier_archive::proof::{InclusionProof, Prover};
use vernier_archive::proof4::{BlindProof, BlindProver, Showing};
use vernier_archive::reader::{Filter, Part, PartFilters, Reading};
use vernier_archive::seal::{PartClass, Seal, SealedFile};
use vernier_archive::search::{Column, Search};
use vernier_archive::stored::{
    self, CoveredPart, covered_bytes, covering_gone, find_rows, for_each_covered,
    for_each_covered_part, read_file, read_seal, row_bytes,
};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::segment::Place;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, TimeRange};

/// Seals whose files are searched at a time.
const SEALS_IN_FLIGHT_MAX: usize = 16;

/// Files that one answer reads to prove an event: a proof needs every row of the event's window before version 4, of
/// its part since then.
pub const PROOF_READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A proof, its seal, and the chain's end.
#[derive(Debug, Serialize)]
pub struct ProofView {
    proof: AnyProof,
    /// As it was signed.
    seal: Box<RawValue>,
    chain: ChainView,
}

/// A proof of the version that its seal's asks for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum AnyProof {
    Plain(InclusionProof),
    Blind(Box<BlindProof>),
}

/// Where an event is sealed.
#[derive(Debug, Clone, Copy)]
struct Sealed {
    /// Sequence of the seal, and of version 4 which of its files has the row.
    by: SealedBy,
    place: Place,
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
    /// A store did not answer, so that nothing is known of the event.
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
    let found: Vec<Vec<Sealed>> = stream::iter(own.chain(&days))
        .map(|entry| find(stores.objects(), tenant, entry, id))
        .buffered(SEALS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    let found: Vec<Sealed> = found.into_iter().flatten().collect();
    // Of several the one of the last window: seals are listed by window.
    let of = |entry: &SealEntry| found.iter().find(|f| f.by.seal == entry.sequence);
    let last = seals
        .iter()
        .rev()
        .find_map(|entry| Some((entry, of(entry)?)));
    let Some((entry, found)) = last else {
        return Ok(None);
    };
    let seal = read_seal(stores.objects(), tenant, entry).await?;
    let proof = prove(stores, entry, &seal, *found).await?;
    let damaged = |fault: Fault| PortError::Fatal(fault.to_string());
    let text = seal.to_bytes().map_err(damaged)?;
    let text = String::from_utf8(text).map_err(|e| PortError::Fatal(e.to_string()))?;
    let raw = RawValue::from_string(text).map_err(|e| PortError::Fatal(e.to_string()))?;
    Ok(Some(ProofView {
        proof,
        seal: raw,
        chain: chain(stores, tenant, now).await?,
    }))
}

/// The proof from the seal's own files, or from the day's that has their rows.
async fn prove<S: Stores>(
    stores: &S,
    entry: &SealEntry,
    seal: &Seal,
    found: Sealed,
) -> Result<AnyProof, NoProof> {
    let (table, objects) = (stores.table(), stores.objects());
    if seal.statement.is_some() {
        let part = Part4::of(seal, found)?;
        let proof = match part.prove_from_file(objects).await? {
            Some(proof) => proof,
            None => {
                let day = covering_gone(table, objects, &seal.tenant, entry, part.file);
                part.prove_from_day(objects, &day.await?).await?
            }
        };
        return Ok(AnyProof::Blind(Box::new(proof)));
    }
    let proof = match prove_from_files(objects, seal, found.place).await? {
        Some(proof) => proof,
        None => {
            let day = covering_gone(table, objects, &seal.tenant, entry, &seal.files[0]);
            prove_from_day(objects, &day.await?, seal, found.place).await?
        }
    };
    Ok(AnyProof::Plain(proof))
}

fn lost(seal: &Seal) -> PortError {
    let key = seal.key();
    PortError::Fatal(format!("{key}: the event is not where it was found"))
}

/// The part of a seal of version 4 that has the event.
struct Part4<'s> {
    seal: &'s Seal,
    /// Which of the seal's files it is.
    number: u32,
    file: &'s SealedFile,
    place: Place,
}

impl<'s> Part4<'s> {
    fn of(seal: &'s Seal, found: Sealed) -> Result<Self, PortError> {
        let number = found.by.part.ok_or_else(|| lost(seal))?;
        let file = usize::try_from(number)
            .ok()
            .and_then(|at| seal.files.get(at));
        Ok(Self {
            seal,
            number,
            file: file.ok_or_else(|| lost(seal))?,
            place: found.place,
        })
    }

    fn prover(&self) -> BlindProver<'s> {
        BlindProver::new(self.seal, self.number.into(), self.place, Showing::Whole)
    }

    fn proved(&self, prover: BlindProver<'s>) -> Result<BlindProof, PortError> {
        let proof = prover.finish();
        let damaged = |fault| PortError::Fatal(format!("{}: {fault}", self.seal.key()));
        proof.map_err(damaged)?.ok_or_else(|| lost(self.seal))
    }

    /// None when the part's own file is gone. Stored rows have texts, so that their leaves need none.
    async fn prove_from_file<O: Objects>(
        &self,
        objects: &O,
    ) -> Result<Option<BlindProof>, NoProof> {
        let reading = Reading::WithoutEvents;
        match row_bytes(objects, self.file, reading).await? {
            None => return Ok(None),
            Some(bytes) if bytes > PROOF_READ_BYTES_MAX => return Err(NoProof::TooLarge(bytes)),
            Some(_) => {}
        }
        let mut prover = self.prover();
        let shown = find_rows(objects, self.file, reading, |row, _| {
            prover.show(&row);
            Ok(())
        });
        match shown.await? {
            None => Ok(None),
            Some(()) => Ok(Some(self.proved(prover)?)),
        }
    }

    async fn prove_from_day<O: Objects>(
        &self,
        objects: &O,
        day: &Seal,
    ) -> Result<BlindProof, NoProof> {
        let (class, reading) = (self.file.class(), Reading::WithoutEvents);
        let bytes = covered_bytes(objects, day, &[class], reading).await?;
        if bytes > PROOF_READ_BYTES_MAX {
            return Err(NoProof::TooLarge(bytes));
        }
        let part = CoveredPart {
            sequence: self.seal.sequence,
            number: self.number,
            class,
        };
        let mut prover = self.prover();
        for_each_covered_part(objects, day, part, reading, |row| {
            prover.show(&row);
            Ok(())
        })
        .await?;
        Ok(self.proved(prover)?)
    }
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
    let classes = [PartClass::Archive, PartClass::Exceptions];
    let bytes = covered_bytes(objects, day, &classes, Reading::WithoutEvents).await?;
    if bytes > PROOF_READ_BYTES_MAX {
        return Err(NoProof::TooLarge(bytes));
    }
    let mut prover = Prover::new(seal, place);
    for class in classes {
        let of = (seal.sequence, class);
        for_each_covered(objects, day, of, Reading::WithoutEvents, |row| {
            prover.show(&row);
            Ok(())
        })
        .await?;
    }
    Ok(proved(prover)?)
}

/// Where a seal's files hold stored events with this id. A day may have one that came again later than
/// events are looked back for.
async fn find<O: Objects>(
    objects: &O,
    tenant: &TenantId,
    entry: &SealEntry,
    id: &str,
) -> Result<Vec<Sealed>, PortError> {
    let seal = read_seal(objects, tenant, entry).await?;
    let files = (0..).zip(&seal.files);
    let stored = files.filter(|(_, file)| file.class() == PartClass::Archive);
    let found: Vec<Vec<Sealed>> = stream::iter(stored)
        .map(|(number, file)| {
            let own = SealedBy {
                seal: entry.sequence,
                part: Some(number),
            };
            find_in(objects, file, own, id)
        })
        .buffered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// The same of one file, whose rows were sealed there unless they say otherwise.
async fn find_in<O: Objects>(
    objects: &O,
    file: &SealedFile,
    own: SealedBy,
    id: &str,
) -> Result<Vec<Sealed>, PortError> {
    if !may_have(objects, file, id).await? {
        return Ok(Vec::new());
    }
    let asked = Asked {
        own_id: true,
        id: Some(id),
        fingerprint: [0; 32],
    };
    read_file(objects, file, |ranges| {
        let part = Part::open(ranges)?;
        let mut here = Vec::new();
        if PartFilters::read(&part)?.may_hold(&asked) {
            part.find_sealed(Filter::Id(id), |row, by| {
                let by = by.unwrap_or(own);
                let place = row.place();
                here.push(Sealed { by, place });
                Ok(())
            })?;
        }
        Ok(here)
    })
    .await
}

/// Whether a file may have rows with this id, as its table of ids says; it may where it has no such table.
async fn may_have<O: Objects>(objects: &O, file: &SealedFile, id: &str) -> Result<bool, PortError> {
    if file.ids.is_none() {
        return Ok(true);
    }
    let search = Search {
        equal: vec![(Column::Id, id.to_owned())],
        ruled: Vec::new(),
        received: (Millis(i64::MIN), Millis(i64::MAX)),
        event_time: None,
        sealed_by: None,
    };
    // A file that is gone is said to be so by whoever reads it.
    let Some(ready) = stored::ready(objects, file, &search, &[]).await? else {
        return Ok(true);
    };
    Ok(!ready.found(&search, &[])?.hits.is_empty())
}
