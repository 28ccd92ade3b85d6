//! Days of version 4.

use crate::common::chain4::{Chain4, Content, Sent, unsealed_again};
use crate::common::{self, window};
use crate::tampering4::assert_each_change_is_found;
use crate::version4::{UUID, a_place, mixed};
use vernier_archive::columns::Layout;
use vernier_archive::files::Source as _;
use vernier_archive::keys::Algorithm;
use vernier_archive::proof4::{BlindProver, Showing, prove_blind};
use vernier_archive::reader::{Part, Reading};
use vernier_archive::seal::{Seal, SealKind, SealedFile, part_key};
use vernier_archive::verify::{Check, Finding, Options};
use vernier_ledger::digest::Fingerprint;

/// What the day covers: a window of version 1, two of version 4, a backfill.
pub(crate) const COVERS: [u64; 4] = [0, 1, 2, 3];

/// The day's place in the chain: an erasure lies before it.
pub(crate) const DAY: u64 = 5;

pub(crate) fn chain_with_day() -> Chain4 {
    let key = common::key(Algorithm::EcdsaP256Sha256);
    let (memory, seals) = common::archive_of([crate::golden::lines()[0].clone()], &key);
    let mut chain = Chain4::after(memory, seals, key);
    chain.part_rows = 5;
    let two_shares = Content {
        shares: 2,
        ..Content::of(mixed())
    };
    chain.seal(SealKind::Window, window(1), &two_shares);
    let short = Content {
        lost: vec![5_000],
        unreceipted: vec![100],
        ..Content::of(vec![
            Sent::new(100, 0, "urn:x:p"),
            Sent::new(200, 0, "urn:x:q"),
        ])
    };
    chain.seal(SealKind::Window, window(2), &short);
    let late = Content::of(vec![Sent::new(9, 0, "urn:x:late")]);
    chain.seal(SealKind::Backfill, window(2), &late);
    let (part, place) = a_place(&chain, 1, "urn:x:2");
    chain.erase(1, part, &[place]);
    chain.day(&COVERS);
    chain
}

fn day_of(chain: &Chain4) -> Seal {
    chain.current(DAY)
}

#[test]
fn a_day_is_sound_beside_the_windows_and_alone() {
    let mut chain = chain_with_day();
    let both = chain.report();
    assert_eq!(both.findings, []);
    chain.remove_covered(&COVERS);
    let alone = chain.report();
    assert_eq!(alone.findings, []);
    assert_eq!((alone.rows, alone.counts), (both.rows, both.counts));
    assert_eq!((alone.erased, alone.unsalted), (both.erased, both.unsalted));
    assert_eq!(
        (&alone.shortfalls, alone.unreceipted),
        (&both.shortfalls, both.unreceipted)
    );
    assert_eq!(alone.erased, 1);
    // A duplicate in other bytes and its first, a whole envelope's event, and one of version 4 without a salt.
    chain.erase_in_day(DAY, &[UUID, &UUID.to_uppercase(), "urn:x:p", "urn:x:3"]);
    let after = chain.report();
    assert_eq!(after.findings, []);
    assert_eq!((after.rows, after.erased), (both.rows, 5));
    // Of one file erased twice the last one counts.
    chain.erase_in_day(DAY, &["urn:x:5"]);
    assert_eq!(chain.report().findings, []);
}

#[test]
fn rows_name_the_part_that_sealed_them() {
    let chain = chain_with_day();
    for file in &day_of(&chain).files {
        let part = Part::open(chain.memory.open(&file.key).expect("there")).expect("a part");
        assert_eq!(part.layout(), Layout::BlindDay);
        for group in 0..part.groups() {
            part.for_each_sealed_by(group, Reading::Whole, |row, by| {
                let by = by.expect("a day's");
                let seal = chain.current(by.seal);
                let at = usize::try_from(by.part.expect("of version 4")).expect("small");
                let own = Part::open(chain.memory.open(&seal.files[at].key)?)?;
                let mut found = 0;
                own.for_each(|theirs| {
                    found += usize::from(theirs == row);
                    Ok(())
                })?;
                assert_eq!(found, 1, "{by:?}");
                Ok(())
            })
            .expect("reads");
        }
    }
}

/// A proof from the day is that from the window.
#[test]
fn a_proof_from_the_day_is_the_windows() {
    let chain = chain_with_day();
    let seal = chain.current(1);
    let (part, place) = a_place(&chain, 1, "urn:x:6");
    let wanted = prove_blind(&chain.memory, &seal, place, Showing::Whole).expect("reads");
    assert!(wanted.is_some());
    let mut prover = BlindProver::new(&seal, part as u64, place, Showing::Whole);
    for file in &day_of(&chain).files {
        let own = Part::open(chain.memory.open(&file.key).expect("there")).expect("a part");
        for group in 0..own.groups() {
            own.for_each_sealed_by(group, Reading::Whole, |row, by| {
                let by = by.expect("a day's");
                if (by.seal, by.part) == (1, u32::try_from(part).ok()) {
                    prover.show(&row);
                }
                Ok(())
            })
            .expect("reads");
        }
    }
    assert_eq!(prover.finish().expect("leads to the root"), wanted);
}

#[test]
fn every_field_of_a_day_that_is_changed_is_found_though_it_is_signed() {
    let chain = chain_with_day();
    chain.remove_covered(&COVERS);
    assert_each_change_is_found(&chain, usize::try_from(DAY).expect("small"));
}

/// The day sealed anew, one of its files another one.
fn resealed_with(chain: &mut Chain4, at: usize, bytes: Vec<u8>) -> Vec<Finding> {
    let mut seal = chain.seals.pop().expect("the day");
    let old = seal.files[at].clone();
    let sha256 = Fingerprint::of(&bytes).0;
    let number = seal.files[..at]
        .iter()
        .filter(|file| file.class() == old.class())
        .count();
    let key = part_key(&seal.plan(), old.class(), number, &sha256);
    seal.files[at] = SealedFile {
        key: key.clone(),
        bytes: bytes.len() as u64,
        sha256: sha256.into(),
        ..old
    };
    chain.memory.put(key.clone(), bytes);
    let files = seal.files.clone();
    let mut unsealed = unsealed_again(&seal);
    if let vernier_archive::seal::StatementBody::Day { parts, .. } = &mut unsealed.statement.body {
        *parts = vernier_archive::seal::FileSet::Inline(files);
    }
    let sealed_at = seal.sealed_at;
    chain.put_unsealed(unsealed, sealed_at);
    let found = chain
        .report_with(Options {
            all: true,
            ..Options::default()
        })
        .findings;
    chain.memory.remove(&key);
    chain.seals.pop();
    seal.files[at] = old;
    chain.seals.push(seal);
    found
}

/// Tables that leave an id out, or name another block, are found though the day is signed.
#[test]
fn tables_that_say_something_else_are_found_though_the_day_is_signed() {
    let mut chain = chain_with_day();
    chain.remove_covered(&COVERS);
    let file = day_of(&chain).files[0].clone();
    let bytes = chain.memory.all()[&file.key].to_vec();
    chain.memory.remove(&file.key);
    assert_eq!(resealed_with(&mut chain, 0, bytes.clone()), []);
    let (actors, ids) = (file.actors.expect("a day's"), file.ids.expect("a day's"));
    assert_eq!(
        ids.offset,
        actors.offset + 20 * actors.entries,
        "behind the actors'"
    );
    let mut numbers = common::Random::seeded(5);
    for table in [actors, ids] {
        for _ in 0..10 {
            let mut changed = bytes.clone();
            let at = table.offset + numbers.next() % (table.entries * 20);
            changed[usize::try_from(at).expect("small")] ^= 1 << numbers.below(8);
            let found = resealed_with(&mut chain, 0, changed);
            let about = |f: &Finding| matches!(f.check, Check::Row | Check::FileForm);
            assert!(found.iter().any(about), "byte {at}: {found:?}");
        }
    }
}

#[test]
fn what_was_tampered_with_is_not_compacted() {
    let chain = chain_with_day();
    let seal = chain.current(1);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let builder = || {
        let settings = common::settings(temporary.path());
        let day = vernier_ledger::chain::day_of(seal.start);
        let mut builder =
            vernier_archive::day4::BlindDayBuilder::new(common::tenant(), day, settings);
        builder.cover(&seal);
        builder
    };
    let bytes = chain.memory.open(&seal.files[0].key).expect("there");
    // Another part than the one with this number, and a seal whose parts are left out.
    assert!(builder().push_part(1, 1, &bytes).is_err());
    assert!(builder().push_part(2, 0, &bytes).is_err());
    let mut some = builder();
    some.push_part(1, 0, &bytes).expect("as it was sealed");
    assert!(
        some.finish(&vernier_archive::files::Memory::default())
            .is_err()
    );
    // All rows and no evidence.
    let mut some = builder();
    for (number, file) in (0..).zip(&seal.files) {
        let bytes = chain.memory.open(&file.key).expect("there");
        some.push_part(1, number, &bytes).expect("as it was sealed");
    }
    assert!(
        some.finish(&vernier_archive::files::Memory::default())
            .is_err()
    );
    let nothing = vernier_archive::day4::BlindDayBuilder::new(
        common::tenant(),
        vernier_ledger::chain::day_of(seal.start),
        common::settings(temporary.path()),
    );
    assert!(
        nothing
            .finish(&vernier_archive::files::Memory::default())
            .is_err()
    );
}

/// Evidence of another seal's, changed evidence, and evidence that is gone from both places.
#[test]
fn evidence_of_a_day_is_that_of_its_seals() {
    let chain = chain_with_day();
    chain.remove_covered(&COVERS);
    let key = chain
        .memory
        .all()
        .into_keys()
        .find(|key| key.starts_with("days/evidence/"));
    let key = key.expect("evidence of the day");
    chain.memory.remove(&key);
    let found = chain.report().findings;
    assert!(
        found.iter().any(|f| f.check == Check::FileMissing),
        "{found:?}"
    );
}
