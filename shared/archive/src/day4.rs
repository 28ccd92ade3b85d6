//! Days of version 4: the parts of many windows merged into few, each row with its seal and its part.
//!
//! The rows of each part, taken out of the day in its order, are the rows of the part: so each part's root comes out of
//! the day again, and with the roots the seal's.

use crate::Fault;
use crate::account::{BesideRow as _, Evidence, RowsWriter, SealedEvidence};
use crate::columns::{Layout, SealedBy};
use crate::day::{Lane, bad_record, covers};
use crate::files::{Ranges, Sink, stream};
use crate::leaf::{Erased, LeafForm};
use crate::merkle::{Span, leaf_hash};
use crate::part::{Form, RowOrder};
use crate::reader::{Part, Reading};
use crate::row::Row;
use crate::seal::{Covered, PartClass, Seal, SealKind, SealedFile};
use crate::sort::Sorter;
use crate::window::{Plan, Settings};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use vernier_ledger::digest::{BlindFingerprint, Digest};
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::ids::TenantId;
use vernier_ledger::salt::Salt;
use vernier_ledger::time::Window;

/// What the rows of one part come to.
#[derive(Debug)]
struct PartSums {
    rows: u64,
    leaves: Span,
}

/// What one seal's rows come to.
#[derive(Debug)]
struct SealSums {
    form: LeafForm,
    counts: DispositionCounts,
    digest: Digest,
    parts: Vec<PartSums>,
}

impl SealSums {
    fn of(seal: &Seal) -> Self {
        let part = |_: &SealedFile| PartSums {
            rows: 0,
            leaves: Span::starting_at(0),
        };
        Self {
            form: LeafForm::of_version(seal.vernier_seal),
            counts: DispositionCounts::default(),
            digest: Digest::EMPTY,
            parts: seal.files.iter().map(part).collect(),
        }
    }

    fn take(&mut self, row: &Row<'_>, part: u32) -> Result<(), Fault> {
        self.counts.add(row.disposition);
        self.digest
            .add_blind(row.receipt, row.index, &row.blind_fingerprint());
        let mut leaf = Vec::with_capacity(512);
        row.write_leaf_in(self.form, &mut leaf);
        let at = usize::try_from(part)
            .ok()
            .and_then(|at| self.parts.get_mut(at));
        let sums = at.ok_or_else(bad_record)?;
        sums.rows += 1;
        sums.leaves.push(leaf_hash(&leaf));
        Ok(())
    }

    fn come_to(&self, seal: &Seal) -> bool {
        let mut parts = self.parts.iter().zip(&seal.files);
        self.counts == seal.counts
            && self.digest == seal.digest
            && parts.all(|(sums, file)| {
                sums.rows == file.rows && sums.leaves.root() == Some(file.merkle_root.0)
            })
    }
}

/// The files of a day of version 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindDayWritten {
    /// Counts of the covered seals together.
    pub counts: DispositionCounts,
    /// The digests of all its rows together.
    pub digest: Digest,
    /// The files with their rows.
    pub files: Vec<SealedFile>,
    /// The files of the covered seals' evidence.
    pub evidence: Vec<SealedFile>,
    /// What is covered, in order of sequence.
    pub covers: Vec<Covered>,
}

/// Takes the parts and the evidence of a day's seals, then writes the day's files.
#[derive(Debug)]
pub struct BlindDayBuilder {
    tenant: TenantId,
    day: Window,
    settings: Settings,
    rows: Sorter,
    evidence: Sorter,
    /// Files of evidence so far, by sequence of the seal.
    evidence_files: BTreeMap<u64, u64>,
    /// The covered seals by their sequence.
    seals: BTreeMap<u64, Seal>,
    key: Vec<u8>,
    record: Vec<u8>,
    /// Erased rows so far.
    erased: u64,
}

const PLAIN: u8 = 0;
const SALTED: u8 = 1;
const ERASED: u8 = 2;

impl BlindDayBuilder {
    /// Begins a day that has nothing yet.
    #[must_use]
    pub fn new(tenant: TenantId, day: Window, settings: Settings) -> Self {
        Self {
            tenant,
            day,
            rows: Sorter::new(&settings.temporary, "days", settings.run_bytes)
                .within(&settings.scratch),
            evidence: Sorter::new(&settings.temporary, "evidence", settings.run_bytes / 4)
                .within(&settings.scratch),
            evidence_files: BTreeMap::new(),
            settings,
            seals: BTreeMap::new(),
            key: Vec::with_capacity(512),
            record: Vec::with_capacity(1_024),
            erased: 0,
        }
    }

    /// Covers a seal, whose lists are read and whose replaced parts are in their places; all its parts
    /// and all its evidence must come.
    pub fn cover(&mut self, seal: &Seal) {
        self.seals
            .entry(seal.sequence)
            .or_insert_with(|| seal.clone());
    }

    /// Takes a part of a covered seal, by its number in the order of the seal.
    ///
    /// # Errors
    /// When the part's bytes are not the sealed ones, or a row or a run cannot be read or written.
    pub fn push_part(
        &mut self,
        sequence: u64,
        number: u32,
        bytes: &Arc<dyn Ranges>,
    ) -> Result<(), Fault> {
        let seal = self
            .seals
            .get(&sequence)
            .ok_or_else(|| Fault::Damaged(format!("seal {sequence} is not covered")))?;
        let file = usize::try_from(number)
            .ok()
            .and_then(|at| seal.files.get(at));
        check_bytes(file.ok_or_else(bad_record)?, bytes)?;
        let part = Part::open(Arc::clone(bytes))?;
        // Rows that are erased have no key any more: they stay behind the row before them.
        let mut behind = Vec::new();
        for group in 0..part.groups() {
            part.for_each_sealed_by(group, Reading::Whole, |row, _| {
                self.key.clear();
                if row.erased.is_some() {
                    self.erased += 1;
                    self.key.extend_from_slice(&behind);
                    self.key.extend_from_slice(&sequence.to_be_bytes());
                    self.key.extend_from_slice(&number.to_be_bytes());
                    self.key.extend_from_slice(&self.erased.to_be_bytes());
                } else {
                    row.write_sort_key(&mut self.key);
                    behind.clone_from(&self.key);
                }
                self.record.clear();
                write_record(&row, &mut self.record);
                let (tag, event) = match row.event {
                    Some(text) => (1, text),
                    None => (0, ""),
                };
                let payload: [&[u8]; 5] = [
                    &sequence.to_be_bytes(),
                    &number.to_be_bytes(),
                    &self.record,
                    &[tag],
                    event.as_bytes(),
                ];
                Ok(self.rows.push(&self.key, &payload)?)
            })?;
        }
        Ok(())
    }

    /// Takes a file of a covered seal's evidence.
    ///
    /// # Errors
    /// When the file's bytes are not the sealed ones, or a row cannot be read.
    pub fn push_evidence(
        &mut self,
        sequence: u64,
        file: &SealedFile,
        bytes: &Arc<dyn Ranges>,
    ) -> Result<(), Fault> {
        check_bytes(file, bytes)?;
        *self.evidence_files.entry(sequence).or_default() += 1;
        Evidence::for_each(bytes, |evidence| {
            let key = evidence.receipt.as_bytes();
            let leaf = evidence.leaf().unwrap_or_default();
            Ok(self.evidence.push(key, &[&sequence.to_be_bytes(), &leaf])?)
        })
    }

    /// Writes the day's files. Their keys and bytes are the same whenever the same seals are covered.
    ///
    /// # Errors
    /// When nothing is covered, storage fails, or the rows of a seal do not come to what it
    /// says: then nothing may be sealed.
    pub fn finish<S: Sink>(self, sink: &S) -> Result<BlindDayWritten, Fault> {
        let Some((first, _)) = self.seals.first_key_value() else {
            return Err(Fault::Damaged("a day of no seals".to_owned()));
        };
        let plan = Plan {
            tenant: self.tenant,
            window: self.day,
            kind: SealKind::Day,
            sequence: *first,
        };
        let sums = self.seals.iter().map(|(n, seal)| (*n, SealSums::of(seal)));
        let mut sums: BTreeMap<u64, SealSums> = sums.collect();
        let order = match self.erased {
            0 => RowOrder::Sorted,
            _ => RowOrder::Erased,
        };
        let form = Form::of(Layout::BlindDay, order)?;
        let lane = |class| Lane::new(&plan, &self.settings, (&form, sink), class, 0);
        let mut lanes = [lane(PartClass::Archive), lane(PartClass::Exceptions)];
        let mut rows = self.rows.finish()?;
        let mut last = Vec::new();
        while let Some((key, payload)) = rows.next()? {
            if last == key {
                return Err(Fault::Damaged("two parts hold the same event".to_owned()));
            }
            last.clear();
            last.extend_from_slice(key);
            let (by, row, event) = read_record(payload)?;
            let sums = sums.get_mut(&by.seal).ok_or_else(bad_record)?;
            let text = match event.split_first() {
                Some((1, text)) => Some(std::str::from_utf8(text).map_err(|_| bad_record())?),
                _ => None,
            };
            sums.take(
                &Row {
                    event: text,
                    ..row.clone()
                },
                by.part.unwrap_or(0),
            )?;
            let lane = &mut lanes[usize::from(row.disposition != Disposition::Stored)];
            lane.push(row, event, by)?;
        }
        let (counts, digest) = totals(&self.seals, &self.evidence_files, &sums)?;
        let [archive, exceptions] = lanes;
        let (mut files, _) = archive.finish()?;
        files.extend(exceptions.finish()?.0);
        let evidence = write_evidence(&plan, self.evidence, sink)?;
        Ok(BlindDayWritten {
            counts,
            digest,
            files,
            evidence,
            covers: covers(&self.seals)?,
        })
    }
}

/// Counts and digest of the covered seals together, once their rows and their evidence are known to be whole.
fn totals(
    seals: &BTreeMap<u64, Seal>,
    evidence_files: &BTreeMap<u64, u64>,
    sums: &BTreeMap<u64, SealSums>,
) -> Result<(DispositionCounts, Digest), Fault> {
    let (mut counts, mut digest) = (DispositionCounts::default(), Digest::EMPTY);
    for (sequence, seal) in seals {
        let window = seal.statement.as_ref().and_then(|s| s.window());
        let wanted = window.map_or(0, |window| window.evidence.count());
        let found = evidence_files.get(sequence).copied().unwrap_or(0);
        if !sums[sequence].come_to(seal) || found != wanted {
            let what = format!(
                "the rows or the evidence of {} do not come to what it says",
                seal.key()
            );
            return Err(Fault::Damaged(what));
        }
        counts.merge(&seal.counts);
        digest.merge(&seal.digest);
    }
    Ok((counts, digest))
}

/// Writes evidence in the order of receipts, each of which is there once.
fn write_evidence<S: Sink>(
    plan: &Plan,
    evidence: Sorter,
    sink: &S,
) -> Result<Vec<SealedFile>, Fault> {
    let mut writer = RowsWriter::new(plan, sink);
    let mut sorted = evidence.finish()?;
    let mut last = None;
    while let Some((_, payload)) = sorted.next()? {
        let (seal, leaf) = payload.split_first_chunk().ok_or_else(bad_record)?;
        let evidence = Evidence::from_leaf(leaf)?;
        if last.replace(evidence.receipt) == Some(evidence.receipt) {
            return Err(Fault::Damaged(
                "two seals have evidence of one receipt".to_owned(),
            ));
        }
        let seal = u64::from_be_bytes(*seal);
        writer.push(SealedEvidence { evidence, seal })?;
    }
    writer.finish()
}

fn check_bytes(file: &SealedFile, bytes: &Arc<dyn Ranges>) -> Result<(), Fault> {
    let mut sha256 = Sha256::new();
    stream(bytes.as_ref(), |piece| {
        sha256.update(piece);
        Ok(())
    })?;
    let found: [u8; 32] = sha256.finalize().into();
    if found == file.sha256.0 {
        return Ok(());
    }
    Err(Fault::Damaged(format!(
        "{} is not what its seal says",
        file.key
    )))
}

/// A row on its way through a run, without its event.
fn write_record(row: &Row<'_>, out: &mut Vec<u8>) {
    match (&row.salt, row.erased) {
        (_, Some(erased)) => {
            out.push(ERASED);
            out.extend_from_slice(&erased.blind_fingerprint.0);
            out.extend_from_slice(&erased.personal_hash);
        }
        (Some(salt), None) => {
            out.push(SALTED);
            out.extend_from_slice(&salt.0);
        }
        (None, None) => out.push(PLAIN),
    }
    row.write_leaf(out);
}

fn read_record(payload: &[u8]) -> Result<(SealedBy, Row<'_>, &[u8]), Fault> {
    let places = || {
        let (seal, rest) = payload.split_first_chunk()?;
        let (part, rest) = rest.split_first_chunk()?;
        let (tag, rest) = rest.split_first()?;
        let by = SealedBy {
            seal: u64::from_be_bytes(*seal),
            part: Some(u32::from_be_bytes(*part)),
        };
        Some((by, *tag, rest))
    };
    let (by, tag, rest) = places().ok_or_else(bad_record)?;
    let (mut salt, mut erased, mut leaf) = (None, None, rest);
    match tag {
        SALTED => {
            let (bytes, rest) = rest.split_first_chunk().ok_or_else(bad_record)?;
            (salt, leaf) = (Some(Salt(*bytes)), rest);
        }
        ERASED => {
            let (blind, rest) = rest.split_first_chunk().ok_or_else(bad_record)?;
            let (personal, rest) = rest.split_first_chunk().ok_or_else(bad_record)?;
            let hashes = Erased {
                blind_fingerprint: BlindFingerprint(*blind),
                personal_hash: *personal,
            };
            (erased, leaf) = (Some(hashes), rest);
        }
        _ => {}
    }
    let (row, event) = Row::read_leaf(leaf)?;
    Ok((
        by,
        Row {
            salt,
            erased,
            ..row
        },
        event,
    ))
}
