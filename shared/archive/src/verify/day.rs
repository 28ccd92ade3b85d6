//! Days: what their seals cover, and the covered windows out of the day's rows.

use super::chain::Trusted;
use super::meanings;
use super::report::{Check, Finding};
use super::rows::{Examined, Task, compare};
use super::window::{self, FilePlace};
use crate::Fault;
use crate::columns::SealedBy;
use crate::files::Source;
use crate::leaf::LeafForm;
use crate::merkle::Hash;
use crate::row::Row;
use crate::seal::{PartClass, Seal, SealKind};
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::chain::day_of;
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::{Disposition, DispositionCounts};

/// What a chain's day seals say of the seals that they cover: these are earlier ones of their day,
/// none is covered twice, and counts and digest are theirs together.
pub(super) fn check_covers(chain: &[Trusted], partial: bool, findings: &mut Vec<Finding>) {
    let hashes: BTreeMap<u64, (&Seal, Option<Hash>)> = chain
        .iter()
        .map(|t| (t.seal.sequence, (&t.seal, t.seal.hash().ok())))
        .collect();
    let first = chain.first().map_or(0, |t| t.seal.sequence);
    let mut covered_by: BTreeMap<u64, u64> = BTreeMap::new();
    for Trusted { key, seal, .. } in chain.iter().filter(|t| t.seal.kind == SealKind::Day) {
        let mut wrong = |what: String| {
            findings.push(Finding::new(Check::Coverage, what).in_file(key));
        };
        if day_of(seal.start) != seal.window() {
            wrong(format!("{} to {} is no day", seal.start, seal.end));
        }
        if !seal.covers.is_sorted_by(|a, b| a.sequence < b.sequence) {
            wrong("what it covers is not in order".to_owned());
        }
        let (mut counts, mut digest) = (DispositionCounts::default(), Digest::EMPTY);
        let mut all = true;
        for covered in &seal.covers {
            let sequence = covered.sequence;
            if let Some(before) = covered_by.insert(sequence, seal.sequence) {
                wrong(format!(
                    "covers seal {sequence}, which seal {before} covers"
                ));
            }
            match hashes.get(&sequence) {
                Some((there, hash)) => {
                    let of_the_day = seal.start <= there.start && there.end <= seal.end;
                    let may = there.kind.has_rows_of_window() && sequence < seal.sequence;
                    if *hash != Some(covered.sha256.0) || !of_the_day || !may {
                        wrong(format!("covers another seal {sequence} than the one here"));
                    }
                    counts.merge(&there.counts);
                    digest.merge(&there.digest);
                }
                None => {
                    all = false;
                    if !partial || sequence >= first {
                        wrong(format!("covers seal {sequence}, which is not here"));
                    }
                }
            }
        }
        if all && (counts, digest) != (seal.counts, seal.digest) {
            wrong("has other counts or another digest than the seals that it covers".to_owned());
        }
    }
}

/// Which seals are covered: number of the covered one among all, and of the day's that has its rows.
pub(super) fn covered(trusted: &[Trusted]) -> BTreeMap<usize, usize> {
    let numbers: BTreeMap<_, usize> = trusted
        .iter()
        .enumerate()
        .map(|(number, t)| ((&t.seal.tenant, t.seal.sequence), number))
        .collect();
    let mut found = BTreeMap::new();
    for (day, Trusted { seal, .. }) in trusted.iter().enumerate() {
        for covered in &seal.covers {
            let number = numbers.get(&(&seal.tenant, covered.sequence));
            let same = |number: &&usize| {
                let hash = trusted[**number].seal.hash();
                hash.is_ok_and(|hash| hash == covered.sha256.0)
            };
            if let Some(number) = number.filter(same) {
                found.insert(*number, day);
            }
        }
    }
    found
}

/// A covered seal, and what came of its rows.
struct Split<'a> {
    number: usize,
    trusted: &'a Trusted,
    places: Vec<FilePlace>,
    begins: Vec<u64>,
    files: Vec<Examined>,
    /// The file that fills, of each class.
    at: [Option<usize>; 2],
}

impl<'a> Split<'a> {
    fn new(number: usize, trusted: &'a Trusted) -> Self {
        let seal = &trusted.seal;
        // What is wrong with its keys is said where its own files are looked at.
        let places = window::places(seal, &trusted.key, &mut Vec::new());
        let mut begin = 0_u64;
        let begins: Vec<u64> = seal
            .files
            .iter()
            .map(|file| {
                let here = begin;
                begin = begin.saturating_add(file.rows);
                here
            })
            .collect();
        let first = |class| places.iter().position(|place| place.class == class);
        Self {
            number,
            trusted,
            at: [first(PartClass::Archive), first(PartClass::Exceptions)],
            files: begins.iter().map(|begin| Examined::new(*begin)).collect(),
            begins,
            places,
        }
    }

    fn task(&self, at: usize) -> Task<'a> {
        Task {
            seal: &self.trusted.seal,
            seal_key: &self.trusted.key,
            at,
            class: self.places[at].class,
            begin: self.begins[at],
            share: self.places[at].share,
            erased: &self.trusted.erased,
            closings: &self.trusted.closings,
        }
    }

    /// A row of a part that the day says.
    fn take_in(&mut self, part: u32, row: &Row<'_>, leaf: Hash) -> Taken {
        match usize::try_from(part) {
            Ok(at) if at < self.files.len() => {
                let task = self.task(at);
                self.files[at].push(leaf);
                self.files[at].take(&task, row);
                Taken::Here
            }
            _ => Taken::Nowhere,
        }
    }

    /// The rows of a class fill its files one after the other; what is too many stays in the last.
    fn take(&mut self, row: &Row<'_>, leaf: Hash) -> Taken {
        let class = usize::from(row.disposition != Disposition::Stored);
        let Some(at) = self.at[class] else {
            return Taken::Nowhere;
        };
        let full = self.files[at].rows >= self.trusted.seal.files[at].rows;
        let next = self.places.get(at + 1) == Some(&self.places[at]);
        let at = if full && next { at + 1 } else { at };
        self.at[class] = Some(at);
        let task = self.task(at);
        self.files[at].push(leaf);
        self.files[at].take(&task, row);
        Taken::Here
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Its seal has it.
    Here,
    /// Its seal is covered and lies in another part of the chain.
    Elsewhere,
    /// It has none.
    Nowhere,
}

/// What the rows of a covered seal came to.
pub(super) struct Judged {
    pub(super) number: usize,
    pub(super) rows: u64,
    pub(super) counts: DispositionCounts,
    pub(super) erased: u64,
    pub(super) unsalted: u64,
    pub(super) findings: Vec<Finding>,
}

/// The rows of a day, each on its way to the seal that sealed it.
pub(super) struct Demux<'a> {
    day: u64,
    covers: BTreeSet<u64>,
    splits: BTreeMap<u64, Split<'a>>,
}

impl<'a> Demux<'a> {
    /// For the covered seals that are here.
    pub(super) fn new(day: &Seal, covered: impl Iterator<Item = (usize, &'a Trusted)>) -> Self {
        let split = |(number, trusted): (usize, &'a Trusted)| {
            (trusted.seal.sequence, Split::new(number, trusted))
        };
        Self {
            day: day.sequence,
            covers: day.covers.iter().map(|c| c.sequence).collect(),
            splits: covered.map(split).collect(),
        }
    }

    /// Gives a row to its seal.
    pub(super) fn take(&mut self, row: &Row<'_>, leaf: Hash, by: SealedBy) -> Taken {
        match (self.splits.get_mut(&by.seal), by.part) {
            (Some(split), Some(part)) => split.take_in(part, row, leaf),
            (Some(split), None) => split.take(row, leaf),
            (None, _) if self.covers.contains(&by.seal) => Taken::Elsewhere,
            (None, _) => Taken::Nowhere,
        }
    }

    /// How the rows of a covered seal become leaves.
    pub(super) fn form_of(&self, seal: u64) -> LeafForm {
        let split = self.splits.get(&seal);
        split.map_or(LeafForm::Plain, |split| {
            LeafForm::of_version(split.trusted.seal.vernier_seal)
        })
    }

    /// Judges all of them.
    ///
    /// # Errors
    /// When firsts cannot be read again from the day's files.
    pub(super) fn finish(self, source: &dyn Source, own: &Seal) -> Result<Vec<Judged>, Fault> {
        let day = self.day;
        let judge = |mut split: Split<'a>| {
            let trusted = split.trusted;
            let (key, seal) = (&trusted.key, &trusted.seal);
            let mut findings = Vec::new();
            let (mut rows, mut counts) = (0, DispositionCounts::default());
            for at in 0..split.files.len() {
                let task = split.task(at);
                let file = &mut split.files[at];
                rows += file.rows;
                counts.merge(&file.counts);
                findings.append(&mut file.findings);
                compare(&task, file, &mut findings);
            }
            findings.extend(window::check(seal, key, &trusted.erased, &mut split.files));
            let wanted = window::in_other_bytes(seal, &trusted.erased, &split.files);
            meanings::check(source, own, &wanted, &mut findings)?;
            let erased = split.files.iter().map(|file| file.erased).sum();
            let unsalted = split.files.iter().map(|file| file.unsalted).sum();
            for finding in &mut findings {
                finding.what = format!("{}, as the files of day seal {day} have it", finding.what);
            }
            Ok(Judged {
                number: split.number,
                rows,
                counts,
                erased,
                unsalted,
                findings,
            })
        };
        self.splits.into_values().map(judge).collect()
    }
}
