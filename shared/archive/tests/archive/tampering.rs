//! Invariant 6: random single mutations of an archive, all of them found.
//!
//! In turns of an archive whose windows have their own files alone, of one with a day's files beside
//! them, and of one whose windows' files were removed. Four tests, so that cores share them. Each mutation has its own seed: a failure names it.
//! `VERNIER_TAMPER_MUTATIONS=10000` is the whole campaign (two minutes on two cores).
#![allow(clippy::print_stdout)]

use crate::common::{self, Random};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use vernier_archive::canonical;
use vernier_archive::files::Memory;
use vernier_archive::keys::{Algorithm, KeyFile, PublicKey, Signer};
use vernier_archive::merkle::{Span, leaf_hash};
use vernier_archive::reader::Part;
use vernier_archive::row::Row;
use vernier_archive::seal::{Hex32, Seal};
use vernier_archive::verify::{Options, verify};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::time::Millis;

type Files = BTreeMap<String, Bytes>;

const WINDOWS: u64 = 3;
/// Windows whose files the day has.
const COVERED: usize = 2;
const EVENTS: u64 = 12;
/// Mutations where nothing else is asked for.
const MUTATIONS_DEFAULT: u64 = 2_000;

struct Clean {
    files: Files,
    seals: Vec<Seal>,
    key: PublicKey,
    /// The newest seal's hash, as an auditor has noted it.
    head: Hex32,
    /// Somebody else's key.
    other: KeyFile,
}

/// What became of the windows' files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing.
    Sealed,
    /// Some were merged.
    Compacted,
    /// And removed.
    Removed,
}

const STAGES: [Stage; 3] = [Stage::Sealed, Stage::Compacted, Stage::Removed];

fn clean(stage: Stage) -> Clean {
    let key = common::key(Algorithm::Ed25519Sha256);
    let (memory, mut seals) = common::archive(WINDOWS, EVENTS, &key);
    if stage != Stage::Sealed {
        let day = common::merge_days(&seals[..COVERED], &seals[COVERED], 8, &key, &memory);
        seals.push(day);
    }
    if stage == Stage::Removed {
        common::remove_files(&seals[..COVERED], &memory);
    }
    Clean {
        files: memory.all(),
        head: Hex32(seals[seals.len() - 1].hash().expect("integers")),
        seals,
        key: key.public_key().clone(),
        other: common::key(Algorithm::Ed25519Sha256),
    }
}

fn is_sound(clean: &Clean, files: Files) -> bool {
    let options = Options {
        threads: 1,
        known: vec![clean.head],
        ..Options::default()
    };
    let keys = std::slice::from_ref(&clean.key);
    let report = verify(&Memory::from(files), keys, &options, &|_| {});
    report.expect("memory reads").is_sound()
}

/// One way to tamper.
type Mutation = fn(&Clean, &mut Files, &mut Random);

const MUTATIONS: [(&str, Mutation); 23] = [
    ("a bit flipped", flip_bit),
    ("bytes overwritten", overwrite),
    ("bytes cut out", cut_out),
    ("bytes put in", put_in),
    ("a file cut short", cut_short),
    ("a file made longer", lengthen),
    ("a file removed", remove),
    ("a file added", add),
    ("two files swapped", swap),
    ("a file renamed", rename),
    ("a column changed", change_column),
    ("a row dropped", drop_row),
    ("a row added", add_row),
    ("rows reordered", reorder_rows),
    ("a seal edited", edit_seal),
    ("rows changed, seal hashed anew", rehash),
    ("a seal signed by another key", resign),
    ("a seal cut out of the chain", cut_chain),
    ("the chain cut short", truncate_chain),
    ("the chain written anew by another key", rewrite_chain),
    ("a row given to another seal", move_row),
    ("two rows' seals swapped", swap_seals),
    (
        "a day's file rewritten without a seal's rows",
        drop_seals_rows,
    ),
];

fn pick<'a>(files: &'a Files, prefix: &str, random: &mut Random) -> &'a String {
    let keys: Vec<&String> = files.keys().filter(|key| key.starts_with(prefix)).collect();
    keys[random.below(keys.len())]
}

fn edit(files: &mut Files, random: &mut Random, act: impl FnOnce(&mut Vec<u8>, &mut Random)) {
    let key = pick(files, "", random).clone();
    let mut bytes = files[&key].to_vec();
    act(&mut bytes, random);
    files.insert(key, bytes.into());
}

fn flip_bit(_: &Clean, files: &mut Files, random: &mut Random) {
    edit(files, random, |bytes, random| {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    });
}

fn overwrite(_: &Clean, files: &mut Files, random: &mut Random) {
    edit(files, random, |bytes, random| {
        let from = random.below(bytes.len());
        let to = (from + 1 + random.below(64)).min(bytes.len());
        for byte in &mut bytes[from..to] {
            *byte = random.next().to_le_bytes()[0];
        }
    });
}

fn cut_out(_: &Clean, files: &mut Files, random: &mut Random) {
    edit(files, random, |bytes, random| {
        let from = random.below(bytes.len());
        let to = (from + 1 + random.below(64)).min(bytes.len());
        bytes.drain(from..to);
    });
}

fn put_in(_: &Clean, files: &mut Files, random: &mut Random) {
    edit(files, random, |bytes, random| {
        let at = random.below(bytes.len() + 1);
        let new = random.next().to_le_bytes();
        let count = 1 + random.below(8);
        bytes.splice(at..at, new[..count].iter().copied());
    });
}

fn cut_short(_: &Clean, files: &mut Files, random: &mut Random) {
    edit(files, random, |bytes, random| {
        bytes.truncate(random.below(bytes.len()))
    });
}

fn lengthen(_: &Clean, files: &mut Files, random: &mut Random) {
    edit(files, random, |bytes, random| {
        bytes.extend(random.next().to_le_bytes())
    });
}

/// What a day has the rows of may be removed: that is no tampering, and another one is drawn.
fn remove(clean: &Clean, files: &mut Files, random: &mut Random) {
    let key = pick(files, "", random).clone();
    let covered = clean.seals.iter().flat_map(|seal| &seal.covers);
    let covered: Vec<u64> = covered.map(|covered| covered.sequence).collect();
    let mut seals = clean.seals.iter();
    let may = |seal: &Seal| {
        covered.contains(&seal.sequence) && seal.files.iter().any(|file| file.key == key)
    };
    if !seals.any(may) {
        files.remove(&key);
    }
}

fn add(_: &Clean, files: &mut Files, random: &mut Random) {
    let like = pick(files, "", random).clone();
    let (folder, name) = like.rsplit_once('/').expect("a key of several steps");
    let new = match random.below(3) {
        0 => format!("{folder}/{}{name}", random.below(10)),
        1 => format!("{folder}/{}-{name}", random.below(10)),
        _ => format!("{folder}/more/{name}"),
    };
    files.insert(new, files[&like].clone());
}

fn swap(_: &Clean, files: &mut Files, random: &mut Random) {
    let (a, b) = (
        pick(files, "", random).clone(),
        pick(files, "", random).clone(),
    );
    let (first, second) = (files[&a].clone(), files[&b].clone());
    files.insert(a, second);
    files.insert(b, first);
}

fn rename(_: &Clean, files: &mut Files, random: &mut Random) {
    let old = pick(files, "", random).clone();
    let bytes = files.remove(&old).expect("there");
    let places: Vec<usize> = old
        .match_indices(|c: char| c.is_ascii_digit())
        .map(|(at, _)| at)
        .collect();
    let at = places[random.below(places.len())];
    let digit = char::from(b'0' + u8::try_from(random.below(10)).expect("a digit"));
    let new = format!("{}{digit}{}", &old[..at], &old[at + 1..]);
    files.insert(new, bytes);
}

/// Writes a file's rows anew as valid Parquet after a change; answers the key.
fn rewrite(
    files: &mut Files,
    random: &mut Random,
    act: impl FnOnce(&mut Vec<Row<'_>>, &mut Random),
) -> String {
    let class = ["archive/", "exceptions/", "days/"];
    let class = class[random.below(if has_days(files) { 3 } else { 2 })];
    let key = pick(files, class, random).clone();
    let bytes = if class == "days/" {
        common::rewritten_day(&files[&key], |sealed| {
            // What is added is of the seal of a row that was there.
            let seals: Vec<u64> = sealed.iter().map(|(_, seal)| *seal).collect();
            let mut rows: Vec<Row<'_>> = sealed.drain(..).map(|(row, _)| row).collect();
            act(&mut rows, random);
            let seals = seals.iter().cycle().copied();
            sealed.extend(rows.into_iter().zip(seals));
        })
        .0
    } else {
        common::rewritten(&files[&key], |rows| act(rows, random))
    };
    files.insert(key.clone(), bytes);
    key
}

fn has_days(files: &Files) -> bool {
    files.keys().any(|key| key.starts_with("days/"))
}

/// Changes which seal rows of a day say they are of; where there is no day, a row of a window.
fn rewrite_day(
    files: &mut Files,
    random: &mut Random,
    act: impl FnOnce(&mut Vec<(Row<'_>, u64)>, &mut Random),
) {
    if !has_days(files) {
        rewrite(files, random, |rows, random| {
            let at = random.below(rows.len());
            change_row(&mut rows[at], random);
        });
        return;
    }
    let key = pick(files, "days/", random).clone();
    let (bytes, _) = common::rewritten_day(&files[&key], |rows| act(rows, random));
    files.insert(key, bytes);
}

fn move_row(_: &Clean, files: &mut Files, random: &mut Random) {
    rewrite_day(files, random, |rows, random| {
        let at = random.below(rows.len());
        rows[at].1 = random.below(5) as u64;
    });
}

fn swap_seals(_: &Clean, files: &mut Files, random: &mut Random) {
    rewrite_day(files, random, |rows, random| {
        let (a, b) = (random.below(rows.len()), random.below(rows.len()));
        (rows[a].1, rows[b].1) = (rows[b].1, rows[a].1);
    });
}

fn drop_seals_rows(_: &Clean, files: &mut Files, random: &mut Random) {
    rewrite_day(files, random, |rows, random| {
        let seal = rows[random.below(rows.len())].1;
        rows.retain(|(_, of)| *of != seal);
    });
}

fn change_row(row: &mut Row<'_>, random: &mut Random) {
    const OTHER: Option<&str> = Some("https://example.edu/other");
    match random.below(23) {
        0 => row.id = OTHER,
        1 => row.type_name = OTHER,
        2 => row.action = OTHER,
        3 => row.actor = OTHER,
        4 => row.object = OTHER,
        5 => row.group = OTHER,
        6 => row.event_time = None,
        7 => row.event_time = Some(Millis(i64::try_from(random.below(1 << 40)).expect("small"))),
        8 => row.sensor = "other",
        9 => row.kind = "opaque",
        10 => {
            row.strict = if row.strict == "accepted" {
                "rejected"
            } else {
                "accepted"
            }
        }
        11 => row.index += 1,
        12 => row.received_at.0 += 1,
        13 => {
            row.disposition = if row.disposition == Disposition::Conflict {
                Disposition::Rejected
            } else {
                Disposition::Conflict
            }
        }
        14 => row.first = row.first.xor(Some(row.place())),
        15 => row.problems = row.problems.xor(Some("[]")),
        16 => row.deviations = Some("[]"),
        17 => row.result = Some("{}"),
        20 => row.score = row.score.map_or(Some(0.0), |score| Some(score + 1.0)),
        21 => row.score_maximum = Some(-0.0),
        18 => row.fingerprint[random.below(32)] ^= 1 << random.below(8),
        19 => row.event = row.event.xor(Some("{}")),
        _ => row.id = None,
    }
}

fn change_column(_: &Clean, files: &mut Files, random: &mut Random) {
    rewrite(files, random, |rows, random| {
        let at = random.below(rows.len());
        change_row(&mut rows[at], random);
    });
}

fn drop_row(_: &Clean, files: &mut Files, random: &mut Random) {
    rewrite(files, random, |rows, random| {
        rows.remove(random.below(rows.len()));
    });
}

fn add_row(_: &Clean, files: &mut Files, random: &mut Random) {
    rewrite(files, random, |rows, random| {
        let mut row = rows[random.below(rows.len())].clone();
        row.index += u32::try_from(random.below(100)).expect("small");
        rows.insert(random.below(rows.len() + 1), row);
    });
}

fn reorder_rows(_: &Clean, files: &mut Files, random: &mut Random) {
    rewrite(files, random, |rows, random| {
        let (a, b) = (random.below(rows.len()), random.below(rows.len()));
        rows.swap(a, b);
    });
}

/// All places of plain values in a document.
fn leaves(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(object) => object.values_mut().flat_map(leaves).collect(),
        Value::Array(items) => items.iter_mut().flat_map(leaves).collect(),
        plain => vec![plain],
    }
}

fn edit_seal(_: &Clean, files: &mut Files, random: &mut Random) {
    let key = pick(files, "seals/", random).clone();
    let mut document: Value = serde_json::from_slice(&files[&key]).expect("JSON");
    let mut all = leaves(&mut document);
    let at = random.below(all.len());
    match &mut *all[at] {
        Value::Number(number) => {
            let old = number.as_i64().expect("an integer");
            *number = (old + 1 + i64::try_from(random.below(1_000)).expect("small")).into();
        }
        Value::String(text) => {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = places[random.below(places.len())];
            let new = char::from(b'a' + u8::try_from(random.below(6)).expect("small"));
            text.replace_range(at..=at, &new.to_string());
        }
        other => *other = Value::from("0".repeat(64)),
    }
    files.insert(
        key,
        canonical::to_bytes(&document).expect("integers").into(),
    );
}

/// Puts a file's new figures into the seals that name it; the signature stays.
fn rehash(clean: &Clean, files: &mut Files, random: &mut Random) {
    let key = rewrite(files, random, |rows, random| {
        let at = random.below(rows.len());
        change_row(&mut rows[at], random);
    });
    let bytes = files[&key].clone();
    let mut roots = Span::starting_at(0);
    let part = Part::open(Arc::new(bytes.clone())).expect("a part");
    part.for_each(|row| {
        let mut leaf = Vec::new();
        row.write_leaf(&mut leaf);
        roots.push(leaf_hash(&leaf));
        Ok(())
    })
    .expect("reads");
    for seal in &clean.seals {
        let mut seal = seal.clone();
        if let Some(file) = seal.files.iter_mut().find(|file| file.key == key) {
            file.bytes = bytes.len() as u64;
            file.sha256 = Hex32(Fingerprint::of(&bytes).0);
            file.merkle_root = Hex32(roots.root().expect("it begins at 0"));
            files.insert(seal.key(), seal.to_bytes().expect("integers").into());
        }
    }
}

fn signed_by(mut seal: Seal, key: &KeyFile) -> Seal {
    use base64::Engine as _;
    seal.signature.key = key.public_key().id();
    let signature = key.sign(&seal.message().expect("integers")).expect("signs");
    seal.signature.value = Some(base64::engine::general_purpose::STANDARD.encode(signature));
    seal
}

fn resign(clean: &Clean, files: &mut Files, random: &mut Random) {
    let mut seal = clean.seals[random.below(clean.seals.len())].clone();
    if random.below(2) == 0 {
        seal.counts.stored += 1;
    }
    let key = if random.below(2) == 0 {
        clean.key.id()
    } else {
        clean.other.public_key().id()
    };
    let mut seal = signed_by(seal, &clean.other);
    seal.signature.key = key;
    files.insert(seal.key(), seal.to_bytes().expect("integers").into());
}

fn remove_seal(seal: &Seal, files: &mut Files) {
    files.remove(&seal.key());
    for file in &seal.files {
        files.remove(&file.key);
    }
}

fn cut_chain(clean: &Clean, files: &mut Files, random: &mut Random) {
    remove_seal(&clean.seals[random.below(clean.seals.len() - 1)], files);
}

fn truncate_chain(clean: &Clean, files: &mut Files, random: &mut Random) {
    let from = random.below(clean.seals.len());
    for seal in &clean.seals[from..] {
        remove_seal(seal, files);
    }
}

fn rewrite_chain(clean: &Clean, files: &mut Files, random: &mut Random) {
    let from = random.below(clean.seals.len());
    let mut previous = from.checked_sub(1).map(|at| clean.seals[at].clone());
    for seal in &clean.seals[from..] {
        let mut seal = seal.clone();
        seal.sealed_at.0 += 1;
        seal.previous = previous.map(|seal| Hex32(seal.hash().expect("integers")));
        let seal = signed_by(seal, &clean.other);
        files.insert(seal.key(), seal.to_bytes().expect("integers").into());
        previous = Some(seal);
    }
}

/// A mutation that changes something: what draws the same byte or swaps a file with itself is drawn
/// again.
fn mutated(clean: &Clean, seed: u64) -> (&'static str, Files) {
    let mut random = Random::seeded(seed.wrapping_mul(0x5851_F42D_4C95_7F2D));
    let (name, mutate) = MUTATIONS[usize::try_from(seed).expect("small") % MUTATIONS.len()];
    loop {
        let mut files = clean.files.clone();
        mutate(clean, &mut files, &mut random);
        if files != clean.files {
            return (name, files);
        }
    }
}

fn all_are_found(quarter: u64) {
    let asked = std::env::var("VERNIER_TAMPER_MUTATIONS").ok();
    let asked = asked.map(|text| text.parse::<u64>().expect("a number"));
    let each = asked.unwrap_or(MUTATIONS_DEFAULT).div_ceil(4);
    let cleans = STAGES.map(clean);
    let all_sound = || cleans.iter().all(|c| is_sound(c, c.files.clone()));
    assert!(all_sound());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in quarter * each..(quarter + 1) * each {
        // 3 and the number of mutations have no common divisor: each meets each.
        let at = usize::try_from(seed).expect("small") % STAGES.len();
        let (name, files) = mutated(&cleans[at], seed);
        assert!(
            !is_sound(&cleans[at], files),
            "mutation {seed} ({name}; {:?}) was not found",
            STAGES[at]
        );
        *counts.entry(name).or_default() += 1;
    }
    assert!(all_sound());
    println!("tamper test, quarter {quarter}: {each} of {each} found: {counts:?}");
}

#[test]
fn every_mutation_of_the_first_quarter_is_found() {
    all_are_found(0);
}

#[test]
fn every_mutation_of_the_second_quarter_is_found() {
    all_are_found(1);
}

#[test]
fn every_mutation_of_the_third_quarter_is_found() {
    all_are_found(2);
}

#[test]
fn every_mutation_of_the_fourth_quarter_is_found() {
    all_are_found(3);
}
