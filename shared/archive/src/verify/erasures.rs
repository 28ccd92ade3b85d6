//! Erasures: which files take the place of which, and which rows may be erased.

use super::chain::Trusted;
use super::files::{BesideFile, Outcome};
use super::report::{Check, Finding};
use crate::Fault;
use crate::account::ErasedPlace;
use crate::files::Source;
use crate::seal::{Replacement, SealKind, SealedFile};
use std::collections::{BTreeMap, BTreeSet};

/// Puts the files that erasures wrote in the place of those that seals named, and gives each seal the places of its
/// erased rows. Answers the keys of the files that count no more.
pub(super) fn apply(
    source: &dyn Source,
    chain: &mut [Trusted],
    partial: bool,
    findings: &mut Vec<Finding>,
) -> Result<BTreeSet<String>, Fault> {
    let mut replaced = BTreeSet::new();
    let mut places: BTreeSet<ErasedPlace> = BTreeSet::new();
    let numbers: BTreeMap<u64, usize> = (0..)
        .zip(chain.iter())
        .map(|(n, t)| (t.seal.sequence, n))
        .collect();
    let first = chain.first().map_or(0, |t| t.seal.sequence);
    for number in 0..chain.len() {
        let erasure = chain[number]
            .seal
            .statement
            .as_ref()
            .and_then(|s| s.erasure())
            .cloned();
        let Some(erasure) = erasure else { continue };
        let (key, sequence) = (chain[number].key.clone(), chain[number].seal.sequence);
        let mut wrong = |what: String| {
            findings.push(Finding::new(Check::Erasure, what).in_file(&key));
        };
        for replacement in erasure.replaces {
            let target = numbers
                .get(&replacement.sequence)
                .filter(|_| replacement.sequence < sequence);
            match target {
                Some(target) => match replace(&mut chain[*target], replacement) {
                    Ok(old) => drop(replaced.insert(old)),
                    Err(what) => wrong(what),
                },
                None if partial && replacement.sequence < first => {}
                None => wrong(format!(
                    "replaces a file of seal {}, which is none before it",
                    replacement.sequence
                )),
            }
        }
        let read = read_places(source, &chain[number], &mut places)?;
        match read {
            Ok(rows) if rows == erasure.rows => {}
            Ok(rows) => wrong(format!("says rows {} and names {rows}", erasure.rows)),
            Err(finding) => findings.push(*finding),
        }
    }
    for place in places {
        if let Some(number) = numbers.get(&place.seal) {
            chain[*number].erased.push(place);
        }
    }
    Ok(replaced)
}

/// Answers the key of the file that was replaced.
fn replace(target: &mut Trusted, by: Replacement) -> Result<String, String> {
    let sequence = by.sequence;
    let files = &mut target.seal.files;
    let is_blind = target.seal.statement.is_some();
    let at = files.iter().position(|file| file.sha256 == by.sha256);
    let Some(file) = at.map(|at| &mut files[at]).filter(|_| is_blind) else {
        return Err(format!(
            "replaces {}, which is no file of seal {sequence} in version 4",
            by.sha256
        ));
    };
    let says = |file: &SealedFile| {
        (
            file.rows,
            file.merkle_root,
            file.actors.is_some(),
            file.ids.is_some(),
        )
    };
    if says(file) != says(&by.file) {
        return Err(format!(
            "{} has other rows or another root than {}",
            by.file.key, file.key
        ));
    }
    let old = std::mem::replace(file, by.file);
    Ok(old.key)
}

/// Reads the places that an erasure names, each for the first time; answers how many there are.
fn read_places(
    source: &dyn Source,
    Trusted {
        key, seal, beside, ..
    }: &Trusted,
    places: &mut BTreeSet<ErasedPlace>,
) -> Result<Outcome<u64>, Fault> {
    let (mut count, mut last) = (0, None);
    for (number, file) in beside.places.iter().enumerate() {
        let file = BesideFile {
            seal,
            seal_key: key,
            number,
            file,
        };
        let read = file.for_each(source, |place: ErasedPlace| {
            count += 1;
            if last.replace(place) >= Some(place) {
                return Err(Fault::Damaged("its places are not in order".to_owned()));
            }
            if place.seal >= seal.sequence || !places.insert(place) {
                let what = format!(
                    "({}, {}) of seal {} was not there to be erased",
                    place.receipt, place.index, place.seal
                );
                return Err(Fault::Damaged(what));
            }
            Ok(())
        })?;
        if let Err(finding) = read {
            return Ok(Err(finding));
        }
    }
    debug_assert!(seal.kind == SealKind::Erasure);
    Ok(Ok(count))
}
