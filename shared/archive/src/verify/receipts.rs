//! Rows summed by receipt against the evidence: that no receipt has other rows than it acknowledged, but for what its
//! window's last seal says is missing.
//!
//! Totals are sums over a window, in which one receipt's lack could be another's surplus. Here each receipt is added up by
//! itself, through sorted runs on disk, so that memory depends neither on receipts nor on rows. The rows' files are read
//! once more, of their columns the few that are needed.

use super::account;
use super::chain::Trusted;
use super::files::BesideFile;
use super::report::{Check, Finding};
use crate::Fault;
use crate::account::{BesideRow, Evidence, Missing, SealedEvidence};
use crate::columns::{index, receipt, sequence};
use crate::files::Source;
use crate::leaf::Erased;
use crate::limits::RUN_BYTES_DEFAULT;
use crate::reader::Part;
use crate::row::{disposition_word, receipt_from};
use crate::seal::{EnvelopeTotals, Seal, SealKind, SealedFile};
use crate::sort::Sorter;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::Path;
use vernier_ledger::digest::{BlindFingerprint, Digest, Fingerprint};
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::salt::Salt;
use vernier_ledger::time::Millis;

/// Receipts whose rows are added up in memory before they go into a run: about 100 bytes each.
const RECEIPTS_HELD_MAX: usize = 65_536;

/// Receipts of a chain that are reported: enough to see what happened.
const FINDINGS_MAX: usize = 100;

/// Events of one receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    events: u64,
    rejected: u64,
    digest: Digest,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.events = self.events.saturating_add(other.events);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.digest.merge(&other.digest);
    }

    fn to_bytes(self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..8].copy_from_slice(&self.events.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.rejected.to_be_bytes());
        bytes[16..].copy_from_slice(&self.digest.to_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (events, rest) = bytes.split_first_chunk()?;
        let (rejected, digest) = rest.split_first_chunk()?;
        Some(Self {
            events: u64::from_be_bytes(*events),
            rejected: u64::from_be_bytes(*rejected),
            digest: Digest::from_bytes(digest.try_into().ok()?),
        })
    }
}

/// What a sum is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Rows,
    Evidence,
    Missing,
}

impl Side {
    const ALL: [Self; 3] = [Self::Rows, Self::Evidence, Self::Missing];
}

/// Sums on their way to disk.
struct Sums {
    sorter: Sorter,
    rows: HashMap<ReceiptId, Sum>,
}

impl Sums {
    fn push(&mut self, receipt: ReceiptId, side: Side, sum: Sum) -> Result<(), Fault> {
        let payload: [&[u8]; 2] = [&[side as u8], &sum.to_bytes()];
        Ok(self.sorter.push(receipt.as_bytes(), &payload)?)
    }

    fn add_row(&mut self, receipt: ReceiptId, row: &Sum) -> Result<(), Fault> {
        self.rows.entry(receipt).or_default().add(row);
        if self.rows.len() >= RECEIPTS_HELD_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        for (receipt, sum) in std::mem::take(&mut self.rows) {
            self.push(receipt, Side::Rows, sum)?;
        }
        Ok(())
    }
}

/// A window as its last seal says it.
struct Judged<'a> {
    last: &'a Trusted,
    /// Whether a seal of a version before 4 has some of it: how many envelopes its rows are of was not counted then.
    is_older: bool,
    expected: EnvelopeTotals,
    unreceipted: EnvelopeTotals,
}

/// Checks the receipts of all chains; answers how many have evidence.
///
/// # Errors
/// When files or runs cannot be read or written.
pub(super) fn check(
    source: &dyn Source,
    trusted: &[Trusted],
    (temporary, partial): (&Path, bool),
    findings: &mut Vec<Finding>,
) -> Result<u64, Fault> {
    let mut receipts = 0;
    for chain in trusted.chunk_by(|a, b| a.seal.tenant == b.seal.tenant) {
        let windows = account::windows(chain).into_iter();
        let whole = windows.filter(|seals| {
            let first = seals.first();
            !partial || first.is_none_or(|t| t.closings.knows(t.seal.start))
        });
        let windows: Vec<Vec<&Trusted>> = whole.collect();
        if windows.is_empty() {
            continue;
        }
        let mut sums = Sums {
            sorter: Sorter::new(temporary, "receipts", RUN_BYTES_DEFAULT / 2),
            rows: HashMap::new(),
        };
        let is_read = add_beside(source, chain, &windows, &mut sums)?;
        if !is_read {
            // What could not be read has been said.
            continue;
        }
        add_rows(source, chain, &windows, &mut sums)?;
        sums.flush()?;
        receipts += judge(sums.sorter, &windows, findings)?;
    }
    Ok(receipts)
}

/// Adds evidence, from the seals' own files or their days', and what the windows' last seals say is missing; false where
/// some of it cannot be read.
fn add_beside(
    source: &dyn Source,
    chain: &[Trusted],
    windows: &[Vec<&Trusted>],
    sums: &mut Sums,
) -> Result<bool, Fault> {
    let mut gone = BTreeSet::new();
    for trusted in windows.iter().flatten() {
        if is_gone(source, &trusted.beside.evidence)? {
            gone.insert(trusted.seal.sequence);
            continue;
        }
        let read = beside(
            source,
            trusted,
            &trusted.beside.evidence,
            |row: Evidence| sums.push(row.receipt, Side::Evidence, acknowledged(&row)),
        )?;
        if !read {
            return Ok(false);
        }
    }
    for day in chain.iter().filter(|t| t.seal.kind == SealKind::Day) {
        let read = beside(
            source,
            day,
            &day.beside.evidence,
            |row: SealedEvidence| match gone.contains(&row.seal) {
                true => {
                    let sum = acknowledged(&row.evidence);
                    sums.push(row.evidence.receipt, Side::Evidence, sum)
                }
                false => Ok(()),
            },
        )?;
        if !read {
            return Ok(false);
        }
    }
    for last in windows.iter().filter_map(|seals| seals.last()) {
        let read = beside(source, last, &last.beside.missing, |row: Missing| {
            let sum = Sum {
                events: u64::from(row.events),
                rejected: u64::from(row.rejected),
                digest: row.digest,
            };
            sums.push(row.receipt, Side::Missing, sum)
        })?;
        if !read {
            return Ok(false);
        }
    }
    Ok(true)
}

fn acknowledged(row: &Evidence) -> Sum {
    Sum {
        events: u64::from(row.events),
        rejected: u64::from(row.rejected),
        digest: row.digest,
    }
}

/// Whether all files could be read; what is wrong with one is said where the account is checked.
fn beside<R: BesideRow>(
    source: &dyn Source,
    trusted: &Trusted,
    files: &[SealedFile],
    mut each: impl FnMut(R) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    for (number, file) in files.iter().enumerate() {
        let file = BesideFile {
            seal: &trusted.seal,
            seal_key: &trusted.key,
            number,
            file,
        };
        if file.for_each(source, &mut each)?.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_gone(source: &dyn Source, files: &[SealedFile]) -> Result<bool, Fault> {
    for file in files {
        match source.open(&file.key) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(true),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(false)
}

/// Adds the rows of all windows' seals, from their own files or their days'.
fn add_rows(
    source: &dyn Source,
    chain: &[Trusted],
    windows: &[Vec<&Trusted>],
    sums: &mut Sums,
) -> Result<(), Fault> {
    let mut gone = BTreeSet::new();
    for Trusted { seal, .. } in windows.iter().flatten() {
        if is_gone(source, &seal.files)? {
            gone.insert(seal.sequence);
        } else {
            add_files(source, seal, sums, |_| true)?;
        }
    }
    for Trusted { seal, .. } in chain.iter().filter(|t| t.seal.kind == SealKind::Day) {
        if seal.covers.iter().any(|c| gone.contains(&c.sequence)) {
            add_files(source, seal, sums, |by| {
                by.is_some_and(|by| gone.contains(&by))
            })?;
        }
    }
    Ok(())
}

/// Adds the rows of a seal's files, of a day's those whose seals are wanted.
fn add_files(
    source: &dyn Source,
    seal: &Seal,
    sums: &mut Sums,
    wanted: impl Fn(Option<u64>) -> bool,
) -> Result<(), Fault> {
    for file in &seal.files {
        let part = Part::open(source.open(&file.key)?)?;
        let layout = part.layout();
        let mut names = vec!["receipt", "index", "disposition", "fingerprint"];
        if layout.is_blind() {
            names.extend(["salt", "erased"]);
        }
        if layout.is_day() {
            names.push("seal");
        }
        for group in 0..part.groups() {
            part.columns(group, &names, |batch| add_batch(batch, sums, &wanted))?;
        }
    }
    Ok(())
}

fn add_batch(
    batch: &RecordBatch,
    sums: &mut Sums,
    wanted: &impl Fn(Option<u64>) -> bool,
) -> Result<(), Fault> {
    let lacking = |name: &str| Fault::Damaged(format!("column {name}"));
    let column = |name: &str| batch.column_by_name(name);
    let text = |name: &str| {
        let texts = column(name).and_then(|column| column.as_string_opt::<i32>());
        texts.ok_or_else(|| lacking(name))
    };
    let number = |name: &str| {
        let numbers = column(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        numbers.ok_or_else(|| lacking(name))
    };
    let bytes = |name: &str| column(name).and_then(|column| column.as_fixed_size_binary_opt());
    let (receipts, endings, indices) = (text("receipt")?, text("disposition")?, number("index")?);
    let fingerprints = bytes("fingerprint").ok_or_else(|| lacking("fingerprint"))?;
    let (salts, erased) = (bytes("salt"), bytes("erased"));
    let seals = column("seal").map(|_| number("seal")).transpose()?;
    for at in 0..batch.num_rows() {
        let seal = seals.map(|seals| sequence(seals.value(at))).transpose()?;
        if !wanted(seal) {
            continue;
        }
        let hashes = [Some(fingerprints), salts, erased];
        let blind = blind_fingerprint(hashes, at).ok_or_else(|| lacking("fingerprint"))?;
        let receipt = receipt("receipt", receipts.value(at))?;
        let mut digest = Digest::EMPTY;
        digest.add_blind(receipt, index("index", indices.value(at))?, &blind);
        let is_rejected = endings.value(at) == disposition_word(Disposition::Rejected);
        let row = Sum {
            events: 1,
            rejected: u64::from(is_rejected),
            digest,
        };
        sums.add_row(receipt, &row)?;
    }
    Ok(())
}

/// What stands for a row's fingerprint, by its fingerprint and salt or by what stays of it.
fn blind_fingerprint(
    [fingerprints, salts, erased]: [Option<&FixedSizeBinaryArray>; 3],
    at: usize,
) -> Option<BlindFingerprint> {
    let value = |all: Option<&FixedSizeBinaryArray>| {
        let all = all.filter(|all| all.is_valid(at))?;
        Some(all.value(at).to_vec())
    };
    if let Some(bytes) = value(erased) {
        return Some(Erased::from_bytes(&bytes)?.blind_fingerprint);
    }
    let fingerprint = Fingerprint(value(fingerprints)?.try_into().ok()?);
    let salt = match value(salts) {
        Some(bytes) => Some(Salt(bytes.try_into().ok()?)),
        None => None,
    };
    Some(BlindFingerprint::of(salt, &fingerprint))
}

/// Compares the sides of each receipt, and each window's rows without evidence with what its last seal says.
fn judge(
    sorter: Sorter,
    windows: &[Vec<&Trusted>],
    findings: &mut Vec<Finding>,
) -> Result<u64, Fault> {
    let mut judged: BTreeMap<Millis, Judged<'_>> = BTreeMap::new();
    for seals in windows {
        let Some(last) = seals.last() else { continue };
        let window = last.seal.statement.as_ref().and_then(|s| s.window());
        if let Some(window) = window {
            let judge = Judged {
                last,
                is_older: seals.iter().any(|t| t.seal.statement.is_none()),
                expected: window.totals.unreceipted,
                unreceipted: EnvelopeTotals::default(),
            };
            judged.insert(last.seal.start, judge);
        }
    }
    let (mut receipts, from) = (0, findings.len());
    let mut open: Option<(ReceiptId, [Option<Sum>; 3])> = None;
    let mut sorted = sorter.finish()?;
    loop {
        let next = match sorted.next()? {
            Some((key, payload)) => Some(read_sum(key, payload)?),
            None => None,
        };
        let receipt = next.map(|(receipt, ..)| receipt);
        if let Some((before, sides)) = open.filter(|(before, _)| receipt != Some(*before)) {
            receipts += u64::from(sides[Side::Evidence as usize].is_some());
            let is_room = findings.len() < from + FINDINGS_MAX;
            findings.extend(end_receipt(before, sides, &mut judged).filter(|_| is_room));
            open = None;
        }
        let Some((receipt, side, sum)) = next else {
            break;
        };
        let (_, sides) = open.get_or_insert((receipt, [None; 3]));
        sides[side as usize].get_or_insert_default().add(&sum);
    }
    for mut window in judged.into_values() {
        if window.is_older {
            window.expected.envelopes = window.unreceipted.envelopes;
        }
        if window.unreceipted != window.expected {
            let what = format!(
                "totals.unreceipted is not what the rows without evidence come to: {} events of {} envelopes",
                window.unreceipted.events, window.unreceipted.envelopes
            );
            findings.push(Finding::new(Check::Account, what).in_file(&window.last.key));
        }
    }
    Ok(receipts)
}

fn read_sum(key: &[u8], payload: &[u8]) -> Result<(ReceiptId, Side, Sum), Fault> {
    let read = || {
        let (side, sum) = payload.split_first()?;
        let side = Side::ALL.get(usize::from(*side))?;
        let receipt = receipt_from(key.try_into().ok()?).ok()?;
        Some((receipt, *side, Sum::from_bytes(sum)?))
    };
    read().ok_or_else(|| Fault::Damaged("a sum of a receipt that is none".to_owned()))
}

/// What is wrong with a receipt; its rows are added to its window's where it has no evidence.
fn end_receipt(
    receipt: ReceiptId,
    [rows, evidence, missing]: [Option<Sum>; 3],
    judged: &mut BTreeMap<Millis, Judged<'_>>,
) -> Option<Finding> {
    let at = receipt.received_at();
    let (_, window) = judged.range_mut(..=at).next_back()?;
    let Some(evidence) = evidence else {
        if let Some(rows) = rows {
            window.unreceipted.envelopes += 1;
            window.unreceipted.events += rows.events;
            window.unreceipted.rejected += rows.rejected;
            window.unreceipted.digest.merge(&rows.digest);
        }
        return None;
    };
    let mut found = rows.unwrap_or_default();
    found.add(&missing.unwrap_or_default());
    if found == evidence {
        return None;
    }
    let what = format!(
        "receipt {receipt} acknowledged {} events, of them {} rejected; sealed or missing are {} and {}{}",
        evidence.events,
        evidence.rejected,
        found.events,
        found.rejected,
        match (found.events, found.rejected) == (evidence.events, evidence.rejected) {
            true => ", others than these",
            false => "",
        }
    );
    Some(Finding::new(Check::Account, what).in_file(&window.last.key))
}
