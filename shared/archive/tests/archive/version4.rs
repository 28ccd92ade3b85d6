//! Chains of version 4: written, read, checked, proved.

use crate::common::chain4::{Chain4, Content, Sent};
use crate::common::{self, window};
use std::collections::BTreeSet;
use vernier_archive::files::Source as _;
use vernier_archive::keys::Algorithm;
use vernier_archive::leaf::LeafForm;
use vernier_archive::proof4::{BlindProof, Showing, prove_blind};
use vernier_archive::reader::Part;
use vernier_archive::seal::{PartClass, SEAL_VERSION_4, Seal, SealKind};
use vernier_archive::verify::{Check, Options};
use vernier_ledger::segment::Place;
use vernier_ledger::time::{Millis, Window};

pub(crate) const UUID: &str = "urn:uuid:0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b";

/// Some events, one of them twice, one in other bytes, one with another content, one rejected.
pub(crate) fn mixed() -> Vec<Sent> {
    let mut sent: Vec<Sent> = (0..12)
        .map(|n| Sent::new(100 * i64::from(n / 4), n % 4, &format!("urn:x:{n}")))
        .collect();
    sent[3].salted = false;
    sent[7].accepted = false;
    sent.push(Sent::new(1_000, 0, UUID));
    let again = Sent {
        at: 1_100,
        ..sent[0].clone()
    };
    let capitals = Sent {
        event: format!(r#"{{"said":0, "id":"{}"}}"#, UUID.to_uppercase()),
        ..Sent::new(1_200, 0, &UUID.to_uppercase())
    };
    let other = Sent {
        event: r#"{"id":"urn:x:1","said":"something else"}"#.to_owned(),
        ..Sent::new(1_300, 0, "urn:x:1")
    };
    sent.extend([again, capitals, other]);
    sent
}

/// The windows from the first one on, `count` of them.
pub(crate) fn run(first: u64, count: u64) -> Window {
    Window {
        start: window(first).start,
        end: window(first + count - 1).end,
    }
}

/// A chain with everything that version 4 has, after two seals of versions 1 and 3.
pub(crate) fn full_chain() -> Chain4 {
    let key = common::key(Algorithm::EcdsaP256Sha256);
    let (memory, mut seals) = common::archive_of([crate::golden::lines()[0].clone()], &key);
    let day = common::merge_days(&seals, &seals[0], 1_000_000, &key, &memory);
    seals.push(day);
    let mut chain = Chain4::after(memory, seals, key);
    // Window 1 is held.
    let two_shares = Content {
        shares: 2,
        ..Content::of(mixed())
    };
    chain.seal(SealKind::Window, window(2), &two_shares);
    chain.bounds = (0, 1);
    chain.part_rows = 6;
    let short = Content {
        lost: vec![5_000],
        unreceipted: vec![100],
        ..Content::of(mixed())
    };
    chain.seal(SealKind::Window, window(3), &short);
    (chain.bounds, chain.part_rows) = ((256, 8_192), 1_000_000);
    // A receipt that was acknowledged late, and nothing of it.
    let recount = Content {
        lost: vec![6_000],
        ..Content::of(Vec::new())
    };
    chain.seal(SealKind::Backfill, window(3), &recount);
    chain.seal(
        SealKind::Window,
        window(1),
        &Content::of(vec![Sent::new(7, 0, "urn:x:late")]),
    );
    chain.idle(run(4, 3), 3);
    let late = |id: &str| Content::of(vec![Sent::new(9, 0, id)]);
    chain.seal(SealKind::Backfill, window(5), &late("urn:x:idle"));
    chain.seal(SealKind::Backfill, window(0), &late("urn:x:old"));
    let (part, place) = a_place(&chain, 2, "urn:x:2");
    chain.erase(2, part, &[place]);
    chain
}

/// Part and place of the row with this id.
pub(crate) fn a_place(chain: &Chain4, sequence: usize, id: &str) -> (usize, Place) {
    let seal = chain.current(sequence as u64);
    for (at, file) in seal.files.iter().enumerate() {
        let part = Part::open(chain.memory.open(&file.key).expect("there")).expect("a part");
        let mut found = None;
        part.for_each(|row| {
            if row.id == Some(id) {
                found = Some(row.place());
            }
            Ok(())
        })
        .expect("reads");
        if let Some(place) = found {
            return (at, place);
        }
    }
    panic!("{id} is in no part");
}

#[test]
fn a_chain_with_all_that_version_4_has_is_sound() {
    let chain = full_chain();
    let report = chain.report();
    assert_eq!(report.findings, []);
    assert_eq!(report.chains[0].seals, 10);
    assert_eq!((report.erased, report.holds.len()), (1, 0));
    assert_eq!(report.shortfalls.len(), 1);
    assert_eq!(
        (report.shortfalls[0].envelopes, report.shortfalls[0].events),
        (2, 2)
    );
    assert!(report.unsalted >= 2);
    // The rows of version 1's window and the envelope that was not acknowledged.
    assert_eq!(report.unreceipted, 5 + 4);
    assert_eq!(report.waiting, []);
    let strict = Options {
        all: true,
        no_shortfall: true,
        ..Options::default()
    };
    let found = chain.report_with(strict).findings;
    assert_eq!(
        found.iter().map(|f| f.check).collect::<Vec<_>>(),
        [Check::Shortfall]
    );
}

#[test]
fn a_seal_of_version_4_comes_back() {
    for seal in &full_chain().seals[2..] {
        assert_eq!(seal.vernier_seal, SEAL_VERSION_4);
        let bytes = seal.to_bytes().expect("integers");
        let read = Seal::read(&bytes).expect("a seal");
        assert_eq!(read.statement, seal.statement);
        assert_eq!(read.to_bytes().expect("integers"), bytes);
    }
}

#[test]
fn what_is_repeated_in_other_bytes_is_a_duplicate_with_its_text() {
    let chain = full_chain();
    let seal = &chain.seals[2];
    assert_eq!(common::in_order(seal.counts), [12, 2, 1, 1]);
    let (mut with, mut without) = (0, 0);
    for file in seal.files_of(PartClass::Exceptions) {
        let part = Part::open(chain.memory.open(&file.key).expect("there")).expect("a part");
        part.for_each(|row| {
            if row.disposition == vernier_ledger::disposition::Disposition::Duplicate {
                *(if row.event.is_some() {
                    &mut with
                } else {
                    &mut without
                }) += 1;
            }
            Ok(())
        })
        .expect("reads");
    }
    assert_eq!((with, without), (1, 1));
}

#[test]
fn a_held_window_is_reported_until_it_is_sealed() {
    let mut chain = Chain4::new(common::key(Algorithm::Ed25519Sha256));
    let one = |id: &str| Content::of(vec![Sent::new(7, 0, id)]);
    chain.seal(SealKind::Window, window(0), &one("urn:x:a"));
    chain.seal(SealKind::Window, window(2), &one("urn:x:b"));
    let report = chain.report();
    assert_eq!(report.findings, []);
    let holds: Vec<(Millis, Millis)> = report.holds.iter().map(|h| (h.start, h.end)).collect();
    assert_eq!(holds, [(window(1).start, window(1).end)]);
    chain.seal(SealKind::Window, window(1), &one("urn:x:c"));
    let report = chain.report();
    assert_eq!((report.findings, report.holds), (vec![], vec![]));
}

/// Shares are decided by themselves and together have every event once.
#[test]
fn shares_have_each_event_once_and_one_digest() {
    let digests = [1, 2, 5].map(|shares| {
        let mut chain = Chain4::new(common::key(Algorithm::Ed25519Sha256));
        let content = Content {
            shares,
            ..Content::of(mixed())
        };
        let seal = chain.seal(SealKind::Window, window(0), &content).clone();
        assert_eq!(chain.report().findings, [], "{shares} shares");
        let parts: BTreeSet<&str> = seal.files.iter().map(|file| file.key.as_str()).collect();
        assert_eq!(parts.len(), seal.files.len());
        (seal.counts, seal.digest)
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[1], digests[2]);
}

#[test]
fn evidence_of_a_window_that_is_not_sealed_waits() {
    let chain = full_chain();
    chain.memory.put(
        "evidence/tenant=school/dt=2026-09-01/hour=11/x.parquet",
        "…",
    );
    chain
        .memory
        .put("lists/tenant=school/000000000099-0000-ab.jsonl", "…");
    let report = chain.report();
    assert_eq!(report.findings, []);
    assert_eq!(report.waiting.len(), 2);
}

/// A part of the chain alone: what it says of earlier times is not looked at.
#[test]
fn a_later_part_of_a_chain_is_checked_as_far_as_it_goes() {
    let chain = full_chain();
    for seal in &chain.seals[..2] {
        chain.memory.remove(&seal.key());
    }
    let partial = Options {
        all: true,
        partial: true,
        ..Options::default()
    };
    let found = chain.report_with(partial).findings;
    // The files of the seals that are not here have nobody that names them.
    let others: Vec<_> = found
        .iter()
        .filter(|f| f.check != Check::FileExtra)
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn proofs_show_the_public_half_or_all_and_outlive_an_erasure() {
    let mut chain = Chain4::new(common::key(Algorithm::EcdsaP256Sha256));
    chain.part_rows = 3;
    let content = Content {
        shares: 2,
        ..Content::of(mixed())
    };
    let seal = chain.seal(SealKind::Window, window(0), &content).clone();
    let mut proved = 0;
    for file in &seal.files {
        let part = Part::open(chain.memory.open(&file.key).expect("there")).expect("a part");
        part.for_each(|row| {
            for showing in [Showing::Whole, Showing::PublicHalf] {
                let proof =
                    prove_blind(&chain.memory, &seal, row.place(), showing)?.expect("there");
                let json = serde_json::to_string(&proof).expect("JSON");
                let proof: BlindProof = serde_json::from_str(&json).expect("a proof");
                let shown = proof.verify(&seal)?;
                let found = shown.row()?;
                assert_eq!(shown.is_whole(), showing == Showing::Whole);
                assert_eq!(
                    (found.place(), found.disposition),
                    (row.place(), row.disposition)
                );
                let id = row.id.filter(|_| showing == Showing::Whole);
                assert_eq!(found.id, id);
            }
            proved += 1;
            Ok(())
        })
        .expect("reads");
    }
    assert_eq!(proved, mixed().len());
    let (part, place) = a_place(&chain, 0, "urn:x:2");
    let before = prove_blind(&chain.memory, &seal, place, Showing::Whole)
        .expect("reads")
        .expect("there");
    chain.erase(0, part, &[place]);
    assert_eq!(
        before
            .verify(&seal)
            .expect("as before")
            .row()
            .expect("a row")
            .id,
        Some("urn:x:2")
    );
    let mut current = seal.clone();
    let statement = chain.seals[1].statement.as_ref().expect("version 4");
    current.files[part] = statement.erasure().expect("an erasure").replaces[0]
        .file
        .clone();
    let after = prove_blind(&chain.memory, &current, place, Showing::Whole)
        .expect("reads")
        .expect("there");
    assert_eq!(after.personal, None);
    assert!(after.verify(&seal).is_ok());
    assert_eq!(
        prove_blind(&chain.memory, &current, (place.0, 99), Showing::Whole).expect("reads"),
        None
    );
}

#[test]
fn a_changed_proof_leads_nowhere() {
    type Change = fn(&mut BlindProof);
    let changes: [Change; 14] = [
        |p| p.vernier_proof = 1,
        |p| p.sequence += 1,
        |p| p.seal.0[0] ^= 1,
        |p| p.parts += 1,
        |p| p.part = p.parts - p.part - 1,
        |p| p.rows += 1,
        |p| p.row = p.rows - p.row - 1,
        |p| p.public = p.public.replace('A', "B"),
        |p| p.blind_fingerprint.0[0] ^= 1,
        |p| p.personal_hash.0[0] ^= 1,
        |p| p.path.reverse(),
        |p| p.part_path[0].0[0] ^= 1,
        |p| p.personal.as_mut().expect("whole").salt = None,
        |p| p.personal.as_mut().expect("whole").fingerprint.0[0] ^= 1,
    ];
    let mut chain = Chain4::new(common::key(Algorithm::EcdsaP256Sha256));
    chain.part_rows = 6;
    let seal = chain
        .seal(SealKind::Window, window(0), &Content::of(mixed()))
        .clone();
    let (_, place) = a_place(&chain, 0, "urn:x:2");
    let proof = prove_blind(&chain.memory, &seal, place, Showing::Whole)
        .expect("reads")
        .expect("there");
    assert!(proof.path.len() > 1 && !proof.part_path.is_empty());
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = proof.clone();
        change(&mut changed);
        assert_ne!(changed, proof, "change {number}");
        assert!(changed.verify(&seal).is_err(), "change {number}");
    }
}

#[test]
fn parts_of_both_forms_have_leaves_of_their_version() {
    let chain = full_chain();
    for seal in [&chain.seals[0], &chain.seals[2]] {
        let form = LeafForm::of_version(seal.vernier_seal);
        assert_eq!(form == LeafForm::Blind, seal.statement.is_some());
    }
}
