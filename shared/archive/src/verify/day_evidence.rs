//! Evidence in the files of days of version 4: what it comes to for each covered seal.

use super::chain::Trusted;
use super::files::BesideFile;
use super::report::{Check, Finding};
use crate::Fault;
use crate::account::{BesideRow as _, SealedEvidence};
use crate::files::Source;
use crate::merkle::{Span, leaf_hash};
use crate::seal::{Hex32, ReceivedTotals, SealKind, SealedFile};
use std::collections::{BTreeMap, BTreeSet};

/// What a covered seal's evidence comes to, by sequence.
pub(super) type BySeal = BTreeMap<u64, ReceivedTotals>;

/// The rows of one covered seal as they come.
struct Rows<'a> {
    files: &'a [SealedFile],
    /// The file that fills, and its rows so far.
    at: usize,
    rows: u64,
    leaves: Span,
    received: ReceivedTotals,
    is_other: bool,
}

impl<'a> Rows<'a> {
    fn new(files: &'a [SealedFile]) -> Self {
        Self {
            files,
            at: 0,
            rows: 0,
            leaves: Span::starting_at(0),
            received: ReceivedTotals::default(),
            is_other: false,
        }
    }

    fn take(&mut self, SealedEvidence { evidence, .. }: &SealedEvidence) {
        self.leaves
            .push(leaf_hash(&evidence.leaf().unwrap_or_default()));
        self.rows += 1;
        let received = &mut self.received;
        received.envelopes += 1;
        received.events += u64::from(evidence.events);
        received.rejected += u64::from(evidence.rejected);
        received.bytes = received.bytes.saturating_add(evidence.bytes);
        received.digest.merge(&evidence.digest);
        let Some(file) = self.files.get(self.at) else {
            self.is_other = true;
            return;
        };
        if self.rows == file.rows {
            let leaves = std::mem::replace(&mut self.leaves, Span::starting_at(0));
            self.is_other |= leaves.root().map(Hex32) != Some(file.merkle_root);
            (self.at, self.rows) = (self.at + 1, 0);
        }
    }

    /// Whether they are the rows of the seal's own files.
    const fn come_to_the_seal(&self) -> bool {
        !self.is_other && self.rows == 0 && self.at == self.files.len()
    }
}

/// Reads the evidence of a chain's days.
pub(super) fn read(
    source: &dyn Source,
    chain: &[Trusted],
    findings: &mut Vec<Finding>,
) -> Result<BySeal, Fault> {
    let mut by_seal = BySeal::new();
    let files: BTreeMap<u64, &[SealedFile]> = chain
        .iter()
        .map(|t| (t.seal.sequence, t.beside.evidence.as_slice()))
        .collect();
    for day in chain
        .iter()
        .filter(|t| t.seal.kind == SealKind::Day && t.seal.statement.is_some())
    {
        let (seal, key) = (&day.seal, &day.key);
        // Of a seal that is not here nothing can be compared.
        let here = seal
            .covers
            .iter()
            .filter_map(|c| Some((c.sequence, *files.get(&c.sequence)?)));
        let mut rows: BTreeMap<u64, Rows<'_>> =
            here.map(|(n, files)| (n, Rows::new(files))).collect();
        let covered: BTreeSet<u64> = seal.covers.iter().map(|c| c.sequence).collect();
        let mut last = None;
        let mut is_broken = false;
        for (number, file) in day.beside.evidence.iter().enumerate() {
            let file = BesideFile {
                seal,
                seal_key: key,
                number,
                file,
            };
            let read = file.for_each(source, |row: SealedEvidence| {
                let receipt = row.evidence.receipt;
                if last.replace(receipt) >= Some(receipt) {
                    return Err(Fault::Damaged("receipts are not in order".to_owned()));
                }
                if !covered.contains(&row.seal) {
                    let what = format!(
                        "receipt {receipt} is of seal {}, which is not covered",
                        row.seal
                    );
                    return Err(Fault::Damaged(what));
                }
                if let Some(rows) = rows.get_mut(&row.seal) {
                    rows.take(&row);
                }
                Ok(())
            })?;
            if let Err(finding) = read {
                findings.push(*finding);
                is_broken = true;
            }
        }
        for (sequence, rows) in rows.into_iter().filter(|_| !is_broken) {
            if !rows.come_to_the_seal() {
                let what = format!("its evidence of seal {sequence} is not that of the seal");
                findings.push(Finding::new(Check::Account, what).in_file(key));
            }
            by_seal.insert(sequence, rows.received);
        }
    }
    Ok(by_seal)
}
