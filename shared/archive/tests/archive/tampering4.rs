//! Whoever has the key can sign anything: what a seal of version 4 says is held against its files
//! and its chain all the same.

use crate::common::chain4::{Chain4, Content, Sent, rewritten_part, unsealed_again};
use crate::common::{self, window};
use crate::version4::{UUID, a_place, full_chain, mixed, run};
use serde_json::{Value, json};
use vernier_archive::files::Source as _;
use vernier_archive::keys::{Algorithm, Signer as _};
use vernier_archive::reader::Part;
use vernier_archive::row::Row;
use vernier_archive::seal::{
    FileSet, PartClass, Seal, SealKind, Statement, StatementBody, WindowStatement,
};
use vernier_archive::verify::{Check, Finding, Options};
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::{Disposition, DispositionCounts};

/// A step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(usize),
}

type Way = Vec<Step>;

/// All values of a document.
fn ways(value: &Value) -> Vec<Way> {
    let mut found = Vec::new();
    let mut open: Vec<(Way, &Value)> = vec![(Vec::new(), value)];
    while let Some((way, value)) = open.pop() {
        let mut into = |step: Step, inner| {
            let mut way = way.clone();
            way.push(step);
            open.push((way, inner));
        };
        match value {
            Value::Object(members) => members
                .iter()
                .for_each(|(k, v)| into(Step::Key(k.clone()), v)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(n, v)| into(Step::At(n), v)),
            _ => {}
        }
        found.push(way);
    }
    found
}

fn at<'v>(value: &'v mut Value, way: &[Step]) -> &'v mut Value {
    way.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key],
        Step::At(number) => &mut value[*number],
    })
}

fn shown(way: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => key.clone(),
        Step::At(number) => number.to_string(),
    };
    way.iter().map(step).collect::<Vec<_>>().join(".")
}

/// The document with each single value changed, dropped, made null, doubled, moved, or with one more beside it.
fn changes(document: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for way in ways(document) {
        let name = shown(&way);
        let mut put = |how: &str, change: &dyn Fn(&mut Value)| {
            let mut changed = document.clone();
            change(at(&mut changed, &way));
            if changed != *document {
                all.push((format!("{how} {name}"), changed));
            }
        };
        put("change", &|value| match value {
            Value::Number(number) => *value = json!(number.as_i64().expect("an integer") + 1),
            Value::String(text) => {
                let first = text.chars().next();
                *value = json!(match first {
                    Some('0') => text.replacen('0', "1", 1),
                    Some(letter) => text.replacen(letter, "0", 1),
                    None => "0".to_owned(),
                });
            }
            _ => {}
        });
        put("null", &|value| *value = Value::Null);
        put("add to", &|value| {
            if let Value::Object(members) = value {
                members.insert("one_more".to_owned(), json!(1));
            }
        });
        put("turn around", &|value| {
            if let Value::Array(items) = value {
                items.reverse();
            }
        });
        put("double", &|value| {
            if let Value::Array(items) = value
                && let Some(last) = items.last().cloned()
            {
                items.push(last);
            }
        });
        if let Some((last, before)) = way.split_last() {
            let mut changed = document.clone();
            match (last, at(&mut changed, before)) {
                (Step::Key(key), Value::Object(members)) => drop(members.remove(key)),
                (Step::At(number), Value::Array(items)) => drop(items.remove(*number)),
                _ => {}
            }
            all.push((format!("drop {name}"), changed));
        }
    }
    all
}

/// Changes that nothing contradicts: words and instants of whoever signs, and figures that
/// only the receipts themselves could show.
fn is_free(change: &str) -> bool {
    let free = [
        "change sealed_at",
        "change checkpoint.at",
        "change checkpoint.sha256",
        "change reason",
        "change shortfall.reason",
        "change shortfall.since",
        "null shortfall.since",
        "change totals.unreceipted.envelopes",
    ];
    // What is signed is made anew.
    free.contains(&change) || change.contains("signature")
}

/// Puts a document in the place of a seal and signs it and all seals behind it anew, as whoever has the key could.
fn resign(chain: &Chain4, sequence: usize, document: &Value) {
    let mut bytes = canonical(document);
    for (number, seal) in chain.seals.iter().enumerate().skip(sequence) {
        if number > sequence {
            let mut next =
                serde_json::from_slice::<Value>(&seal.to_bytes().expect("integers")).expect("JSON");
            next["previous"] = json!(vernier_ledger::digest::Fingerprint::of(&bytes).hex());
            bytes = canonical(&next);
        }
        let mut unsigned: Value = serde_json::from_slice(&bytes).expect("JSON");
        if let Some(signature) = unsigned.get_mut("signature").and_then(Value::as_object_mut) {
            signature.remove("value");
            let signature = chain.key.sign(&canonical(&unsigned)).expect("signs");
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(signature);
            unsigned["signature"]["value"] = json!(text);
        }
        bytes = canonical(&unsigned);
        chain.memory.put(seal.key(), bytes.clone());
    }
}

fn canonical(document: &Value) -> Vec<u8> {
    vernier_archive::canonical::to_bytes(document).expect("integers")
}

/// Changes each field of a seal but the free ones, signing it and all seals behind it anew each time, and asserts that
/// the report finds each change. The last change is left in its place.
pub(crate) fn assert_each_change_is_found(chain: &Chain4, sequence: usize) {
    let seal = &chain.seals[sequence];
    let document: Value =
        serde_json::from_slice(&seal.to_bytes().expect("integers")).expect("JSON");
    resign(chain, sequence, &document);
    assert_eq!(chain.report().findings, [], "signed anew, nothing changed");
    for (what, changed) in changes(&document) {
        if is_free(&what) {
            continue;
        }
        resign(chain, sequence, &changed);
        // One finding is enough.
        let found = chain.report_with(Options::default()).findings;
        assert!(!found.is_empty(), "seal {sequence}: {what}");
    }
}

#[test]
fn every_field_of_every_kind_that_is_changed_is_found_though_it_is_signed() {
    let chain = full_chain();
    // The window with lists and a shortfall, the recount, the idle run, the erasure.
    for sequence in [3, 4, 6, 9] {
        assert_each_change_is_found(&chain, sequence);
        for seal in &chain.seals {
            chain
                .memory
                .put(seal.key(), seal.to_bytes().expect("integers"));
        }
    }
}

/// A window of the mixed events, its seal changed and signed anew.
fn resealed(change: impl FnOnce(&mut Chain4, &mut Seal)) -> Vec<Finding> {
    let mut chain = Chain4::new(common::key(Algorithm::EcdsaP256Sha256));
    chain.seal(
        SealKind::Window,
        window(0),
        &Content {
            shares: 2,
            ..Content::of(mixed())
        },
    );
    let mut seal = chain.seals.pop().expect("one");
    change(&mut chain, &mut seal);
    put(&mut chain, &seal);
    chain.report().findings
}

fn put(chain: &mut Chain4, seal: &Seal) {
    chain.put_unsealed(unsealed_again(seal), seal.sealed_at);
}

fn window_of(seal: &mut Seal) -> &mut WindowStatement {
    let statement: &mut Statement = seal.statement.as_mut().expect("version 4");
    match &mut statement.body {
        StatementBody::Window(window) => window,
        other => panic!("{other:?}"),
    }
}

/// Rewrites a seal's rows and makes its figures those of the new rows: only what the rows contradict is left to be
/// found. The account is not made anew.
fn with_rows(
    chain: &Chain4,
    seal: &mut Seal,
    class: PartClass,
    mut change: impl FnMut(&mut Vec<Row<'_>>),
) {
    let plan = seal.plan();
    for file in seal.files.iter_mut().filter(|file| file.class() == class) {
        let new = rewritten_part(&plan, file, &chain.memory, &mut change);
        if new != *file {
            chain.memory.remove(&file.key);
            *file = new;
        }
    }
    let (mut counts, mut digest) = (DispositionCounts::default(), Digest::EMPTY);
    for file in &seal.files {
        let part = Part::open(chain.memory.open(&file.key).expect("there")).expect("a part");
        part.for_each(|row| {
            counts.add(row.disposition);
            digest.add_blind(row.receipt, row.index, &row.blind_fingerprint());
            Ok(())
        })
        .expect("reads");
    }
    (seal.counts, seal.digest) = (counts, digest);
    let files = seal.files.clone();
    window_of(seal).parts = FileSet::Inline(files);
}

fn checks(found: &[Finding]) -> Vec<Check> {
    found.iter().map(|finding| finding.check).collect()
}

#[test]
fn texts_that_mean_something_else_are_found() {
    let capitals: &str = UUID.to_uppercase().leak();
    let other: &str = format!(r#"{{"id":"{capitals}","said":7}}"#).leak();
    let found = resealed(|chain, seal| {
        with_rows(chain, seal, PartClass::Exceptions, |rows| {
            for row in rows.iter_mut().filter(|row| row.id == Some(capitals)) {
                row.event = Some(other);
                row.fingerprint = vernier_ledger::digest::Fingerprint::of(other.as_bytes()).0;
            }
        });
    });
    assert!(checks(&found).contains(&Check::Disposition), "{found:?}");
    // A conflict that means the same, and a duplicate whose own text was left out.
    for (disposition, drops) in [
        (Disposition::Conflict, false),
        (Disposition::Duplicate, true),
    ] {
        let found = resealed(|chain, seal| {
            with_rows(chain, seal, PartClass::Exceptions, |rows| {
                for row in rows.iter_mut().filter(|row| row.id == Some(capitals)) {
                    row.disposition = disposition;
                    row.event = row.event.filter(|_| !drops);
                }
            });
        });
        assert!(checks(&found).contains(&Check::Disposition), "{found:?}");
    }
}

#[test]
fn a_row_in_another_share_is_found() {
    let found = resealed(|chain, seal| {
        with_rows(chain, seal, PartClass::Archive, |rows| {
            for row in rows.iter_mut() {
                row.id = Some("urn:x:the-same-share");
            }
        });
    });
    let shares = found
        .iter()
        .filter(|f| f.what.contains("another share"))
        .count();
    assert!(shares > 0, "{found:?}");
}

#[test]
fn a_row_that_is_erased_without_an_erasure_is_found() {
    let found = resealed(|chain, seal| {
        with_rows(chain, seal, PartClass::Archive, |rows| {
            rows[0] = rows[0].erase()
        });
    });
    assert!(checks(&found).contains(&Check::Erasure), "{found:?}");
    let found = resealed(|chain, seal| {
        with_rows(chain, seal, PartClass::Archive, |rows| {
            let id = rows[0].id;
            rows[0] = Row {
                id,
                ..rows[0].erase()
            };
        });
    });
    assert!(checks(&found).contains(&Check::Erasure), "{found:?}");
}

#[test]
fn a_first_in_a_time_that_nothing_closed_is_found() {
    let found = resealed(|chain, seal| {
        with_rows(chain, seal, PartClass::Exceptions, |rows| {
            let later = Sent::new(0, 0, "urn:x:later").receipt(window(3));
            for row in rows.iter_mut().filter(|row| row.first.is_some()) {
                row.first = Some((later, 0));
            }
        });
    });
    assert!(
        found
            .iter()
            .any(|f| f.check == Check::Row && f.what.contains("first")),
        "{found:?}"
    );
}

/// An erasure that names a row that is there, or leaves one out that it took.
#[test]
fn an_erasure_and_its_rows_belong_together() {
    let erased = |places: &[&str], erased: &[&str]| {
        let mut chain = Chain4::new(common::key(Algorithm::EcdsaP256Sha256));
        chain.seal(SealKind::Window, window(0), &Content::of(mixed()));
        let at = |chain: &Chain4, id: &str| a_place(chain, 0, id);
        let taken: Vec<_> = erased.iter().map(|id| at(&chain, id)).collect();
        let named: Vec<_> = places.iter().map(|id| at(&chain, id)).collect();
        let part = taken[0].0;
        let taken: Vec<_> = taken.into_iter().map(|(_, place)| place).collect();
        chain.erase(0, part, &taken);
        let mut seal = chain.seals.pop().expect("the erasure");
        let mut rows: Vec<vernier_archive::account::ErasedPlace> = named
            .into_iter()
            .map(
                |(part, (receipt, index))| vernier_archive::account::ErasedPlace {
                    seal: 0,
                    part: u32::try_from(part).expect("small"),
                    receipt,
                    index,
                },
            )
            .collect();
        rows.sort_unstable();
        let plan = seal.plan();
        let files = vernier_archive::account::write_rows(&plan, rows.clone(), &chain.memory)
            .expect("written");
        if let StatementBody::Erasure(erasure) =
            &mut seal.statement.as_mut().expect("version 4").body
        {
            erasure.places = FileSet::Inline(files);
            erasure.rows = rows.len() as u64;
        }
        put(&mut chain, &seal);
        checks(&chain.report().findings)
    };
    assert_eq!(erased(&["urn:x:2"], &["urn:x:2"]), []);
    let more = erased(&["urn:x:2", "urn:x:4"], &["urn:x:2"]);
    assert!(more.contains(&Check::Erasure), "{more:?}");
    let fewer = erased(&["urn:x:2"], &["urn:x:2", "urn:x:4"]);
    assert!(fewer.contains(&Check::Erasure), "{fewer:?}");
}

/// Bytes of files beside the rows.
#[test]
fn a_changed_byte_beside_the_rows_is_found() {
    let chain = full_chain();
    let beside = ["evidence/", "missing/", "lists/", "erasures/"];
    let files: Vec<_> = chain.memory.all().into_iter().collect();
    let mut numbers = common::Random::seeded(7);
    for (key, bytes) in files
        .iter()
        .filter(|(key, _)| beside.iter().any(|b| key.starts_with(b)))
    {
        for _ in 0..3 {
            let mut changed = bytes.to_vec();
            let at = numbers.below(changed.len());
            changed[at] ^= 1 << numbers.below(8);
            chain.memory.put(key.clone(), changed);
            assert!(!chain.report().findings.is_empty(), "{key}, byte {at}");
        }
        chain.memory.remove(key);
        assert!(!chain.report().findings.is_empty(), "{key} is gone");
        chain.memory.put(key.clone(), bytes.clone());
    }
    assert_eq!(chain.report().findings, []);
}

#[test]
fn a_seal_of_version_1_does_not_come_behind_one_of_version_4() {
    let mut chain = Chain4::new(common::key(Algorithm::EcdsaP256Sha256));
    chain.idle(run(0, 2), 2);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let plan = vernier_archive::window::Plan {
        sequence: 1,
        ..common::plan(2)
    };
    let written = common::write_window(
        plan,
        common::settings(temporary.path()),
        &[],
        &vernier_archive::previous::NoPrevious,
        &chain.memory,
    );
    let last = chain.seals[0].clone();
    common::put_seal(written, Some(&last), &chain.key, &chain.memory);
    assert_eq!(checks(&chain.report().findings), [Check::Chain]);
}

#[test]
fn an_idle_run_lies_in_a_day_and_divides_evenly() {
    for (span, windows, sound) in [
        (run(0, 4), 4, true),
        (run(0, 4), 60, true),
        (run(0, 4), 7, false),
        (run(0, 90), 90, false),
    ] {
        let mut chain = Chain4::new(common::key(Algorithm::EcdsaP256Sha256));
        chain.idle(span, windows);
        assert_eq!(chain.report().findings.is_empty(), sound, "{windows}");
    }
}

#[test]
fn a_backfill_has_the_instants_of_a_window_that_was_closed() {
    for (late, sound) in [(window(1), true), (run(0, 2), false), (window(5), false)] {
        let mut chain = Chain4::new(common::key(Algorithm::EcdsaP256Sha256));
        chain.idle(run(0, 4), 4);
        chain.seal(
            SealKind::Backfill,
            late,
            &Content::of(vec![Sent::new(9, 0, "urn:x:a")]),
        );
        assert_eq!(chain.report().findings.is_empty(), sound, "{late:?}");
    }
}
