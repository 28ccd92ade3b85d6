//! A window's files together against its seal.

use super::report::{Check, Finding};
use super::rows::{Examined, IDENTITY_BYTES, Repeat, StoredEvent, first_lies_here, folded_place};
use crate::merkle::Span;
use crate::seal::{Hex32, PartClass, Seal, SealKind, part_key};
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::{Disposition, DispositionCounts};

/// The class of each of a seal's files by its key, and what is wrong with the keys.
pub(super) fn classes(seal: &Seal, seal_key: &str, findings: &mut Vec<Finding>) -> Vec<PartClass> {
    let plan = seal.plan();
    let (mut class, mut part, mut classes) = (PartClass::Archive, 0, Vec::new());
    for (at, file) in seal.files.iter().enumerate() {
        if class == PartClass::Archive && file.class() != class {
            (class, part) = (PartClass::Exceptions, 0);
        }
        let expected = part_key(&plan, class, part, &file.sha256.0);
        if file.key != expected {
            findings.push(
                Finding::new(
                    Check::FileKey,
                    "names a file that does not belong to its tenant, window, place and content",
                )
                .in_file(seal_key)
                .against(seal_key, format!("files[{at}].key"), &file.key, expected),
            );
        }
        classes.push(class);
        part += 1;
    }
    classes
}

/// What the seal says of all its rows, against what they come to.
pub(super) fn check(seal: &Seal, seal_key: &str, files: &mut [Examined]) -> Vec<Finding> {
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
    against(
        Check::MerkleRoot,
        "merkle_root",
        sealed_root,
        root.to_string(),
    );
    check_order(seal, files, &mut findings);
    // Of a day's seal each covered one is looked at by itself.
    if seal.kind != SealKind::Day {
        check_dispositions(seal, files, &mut findings);
    }
    findings
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
fn check_dispositions(seal: &Seal, files: &mut [Examined], findings: &mut Vec<Finding>) {
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
        for repeat in file.repeats.iter().filter(|r| first_lies_here(seal, r)) {
            if !repeats_one_of(&stored, repeat) {
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
fn repeats_one_of(stored: &[StoredEvent], repeat: &Repeat) -> bool {
    let identity = &repeat.key[..IDENTITY_BYTES];
    let begin = stored.partition_point(|s| &s.key[..IDENTITY_BYTES] < identity);
    let mut same = stored[begin..]
        .iter()
        .take_while(|s| &s.key[..IDENTITY_BYTES] == identity);
    let duplicate = repeat.disposition == Disposition::Duplicate;
    same.any(|first| {
        first.place == folded_place(repeat.first)
            && repeat.first < repeat.own
            && (first.content == repeat.content) == duplicate
    })
}
