//! A window's files together against its seal.

use super::meanings::Wanted;
use super::report::{Check, Finding};
use super::row::{IDENTITY_BYTES, first_lies_here, folded_place};
use super::rows::{Examined, Repeat, StoredEvent, file_field};
use crate::account::ErasedPlace;
use crate::merkle::Span;
use crate::part_name::share_in;
use crate::seal::{Hex32, PartClass, Seal, SealKind, SealedFile, SharePlace, part_key, share_key};
use std::collections::BTreeSet;
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::segment::Place;

/// Where a file stands among those of its seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FilePlace {
    pub(super) class: PartClass,
    /// Of version 4: the share of identities whose rows it has.
    pub(super) share: Option<u64>,
}

/// The place of each of a seal's files by its key, and what is wrong with the keys.
pub(super) fn places(seal: &Seal, seal_key: &str, findings: &mut Vec<Finding>) -> Vec<FilePlace> {
    let plan = seal.plan();
    let shares = seal
        .statement
        .as_ref()
        .and_then(|s| s.window())
        .map(|w| w.shares);
    let (mut class, mut part, mut places) = (PartClass::Archive, 0, Vec::new());
    let mut share = 0;
    for (at, file) in seal.files.iter().enumerate() {
        if class == PartClass::Archive && file.class() != class {
            (class, part, share) = (PartClass::Exceptions, 0, 0);
        }
        let expected = match shares {
            None => part_key(&plan, class, part, &file.sha256.0),
            Some(shares) => {
                let own = share_in(&file.key).filter(|own| (share..shares).contains(own));
                if own.is_some_and(|own| own > share) {
                    part = 0;
                }
                share = own.unwrap_or(share);
                let number = part as u64;
                share_key(&plan, class, SharePlace { share, number }, &file.sha256.0)
            }
        };
        if file.key != expected {
            findings.push(
                Finding::new(
                    Check::FileKey,
                    "names a file that does not belong to its tenant, window, place and content",
                )
                .in_file(seal_key)
                .against(
                    seal_key,
                    file_field(seal, at, "key"),
                    &file.key,
                    expected,
                ),
            );
        }
        let share = shares.map(|_| share);
        places.push(FilePlace { class, share });
        part += 1;
    }
    places
}

/// What the seal says of all its rows, against what they come to.
pub(super) fn check(
    seal: &Seal,
    seal_key: &str,
    erased: &[ErasedPlace],
    files: &mut [Examined],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut counts, mut digest) = (DispositionCounts::default(), Digest::EMPTY);
    let mut leaves = Some(Span::starting_at(0));
    for file in files.iter() {
        digest.merge(&file.digest);
        counts.merge(&file.counts);
        leaves = leaves.and_then(|mut all| all.join(&file.leaves).then_some(all));
    }
    let root = Hex32(leaves.and_then(|all| all.root()).unwrap_or_default());
    let mut against = |check, field: &str, expected: String, found: String| {
        if expected != found {
            let what = "the files' rows come to something else";
            findings.push(
                Finding::new(check, what)
                    .in_file(seal_key)
                    .against(seal_key, field, expected, found),
            );
        }
    };
    let figures = [
        ("counts.stored", seal.counts.stored, counts.stored),
        ("counts.duplicate", seal.counts.duplicate, counts.duplicate),
        ("counts.conflict", seal.counts.conflict, counts.conflict),
        ("counts.rejected", seal.counts.rejected, counts.rejected),
    ];
    for (field, expected, found) in figures {
        against(Check::Count, field, expected.to_string(), found.to_string());
    }
    let (sealed_digest, sealed_root) = (seal.digest.to_string(), seal.merkle_root.to_string());
    against(Check::Digest, "digest", sealed_digest, digest.to_string());
    // A root of version 4 is over the parts' roots, which were looked at with the seal.
    if seal.statement.is_none() {
        against(
            Check::MerkleRoot,
            "merkle_root",
            sealed_root,
            root.to_string(),
        );
        check_order(seal, files, &mut findings);
    }
    // A day's own files run on, whichever parts their rows are of.
    if seal.statement.is_some() && seal.kind == SealKind::Day {
        check_order(seal, files, &mut findings);
    }
    let rows: u64 = files.iter().map(|file| file.erased).sum();
    if rows < erased.len() as u64 {
        let what = format!(
            "{} rows are named by erasures, {rows} are erased",
            erased.len()
        );
        findings.push(Finding::new(Check::Erasure, what).in_file(seal_key));
    }
    // Of a day's seal each covered one is looked at by itself.
    if seal.kind != SealKind::Day {
        check_dispositions(seal, files, erased, &mut findings);
    }
    findings
}

/// Repeats in other bytes than their firsts', which lie in this seal: their meanings are to be compared.
pub(super) fn in_other_bytes<'a>(
    seal: &'a Seal,
    erased: &[ErasedPlace],
    files: &'a [Examined],
) -> Vec<Wanted<'a>> {
    if seal.statement.is_none() {
        return Vec::new();
    }
    let of = |(file, sealed): (&'a Examined, &'a SealedFile)| {
        let repeats = file.repeats.iter().filter(|repeat| repeat.has_text);
        repeats.map(|repeat| Wanted {
            repeat,
            file: &sealed.key,
        })
    };
    let erased = places_of(erased);
    let all = files.iter().zip(&seal.files).flat_map(of);
    all.filter(|wanted| {
        let first = wanted.repeat.first;
        first_lies_here(seal, first) && !erased.contains(&first)
    })
    .collect()
}

/// Places of a seal's erased rows, whichever of its parts has them.
fn places_of(erased: &[ErasedPlace]) -> BTreeSet<Place> {
    erased
        .iter()
        .map(|place| (place.receipt, place.index))
        .collect()
}

/// Each class runs on in order from one file to the next.
fn check_order(seal: &Seal, files: &[Examined], findings: &mut Vec<Finding>) {
    for (at, pair) in files.windows(2).enumerate() {
        let [before, next] = pair else { continue };
        let same_class = (before.counts.stored > 0) == (next.counts.stored > 0);
        if same_class && before.last >= next.first {
            let what = "does not follow the last row of the file before";
            findings.push(
                Finding::new(Check::Order, what)
                    .in_file(&seal.files[at + 1].key)
                    .at_row(0),
            );
        }
    }
}

/// No id is stored twice, and what is said to repeat a stored event of this window does.
fn check_dispositions(
    seal: &Seal,
    files: &mut [Examined],
    erased: &[ErasedPlace],
    findings: &mut Vec<Finding>,
) {
    let (is_blind, erased) = (seal.statement.is_some(), places_of(erased));
    let mut stored: Vec<StoredEvent> = Vec::new();
    for file in files.iter_mut() {
        let more = std::mem::take(&mut file.stored);
        if stored.is_empty() {
            stored = more;
        } else {
            stored.extend(more);
        }
    }
    stored.sort_unstable();
    if stored.windows(2).any(|pair| pair[0].key == pair[1].key) {
        let what = "an event is stored twice among the files of this seal";
        findings.push(Finding::new(Check::Disposition, what).in_file(&seal.key()));
    }
    for (file, sealed) in files.iter().zip(&seal.files) {
        let here = |repeat: &&Repeat| {
            first_lies_here(seal, repeat.first) && !erased.contains(&repeat.first)
        };
        for repeat in file.repeats.iter().filter(here) {
            if !repeats_one_of(&stored, repeat, is_blind) {
                let what = format!(
                    "repeats no stored event at ({}, {})",
                    repeat.first.0, repeat.first.1
                );
                findings.push(
                    Finding::new(Check::Disposition, what)
                        .in_file(&sealed.key)
                        .at_row(repeat.row),
                );
                return;
            }
        }
    }
}

/// Whether the stored event that a repeat names is among those of its identity, which come in order.
fn repeats_one_of(stored: &[StoredEvent], repeat: &Repeat, is_blind: bool) -> bool {
    let identity = &repeat.key[..IDENTITY_BYTES];
    let begin = stored.partition_point(|s| &s.key[..IDENTITY_BYTES] < identity);
    let mut same = stored[begin..]
        .iter()
        .take_while(|s| &s.key[..IDENTITY_BYTES] == identity);
    // Of version 4 a duplicate with a text is one in other bytes.
    let is_same_text =
        repeat.disposition == Disposition::Duplicate && !(is_blind && repeat.has_text);
    same.any(|first| {
        first.place == folded_place(repeat.first)
            && repeat.first < repeat.own
            && (first.content == repeat.content) == is_same_text
    })
}
