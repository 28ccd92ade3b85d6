//! Days: merged files from which every covered seal can still be checked.

use crate::common::{self, Mix};
use bytes::Bytes;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::blocks::ActorTable;
use vernier_archive::columns::{self, Layout};
use vernier_archive::day::DayBuilder;
use vernier_archive::files::{Memory, Source as _};
use vernier_archive::keys::{Algorithm, KeyFile, Signer as _};
use vernier_archive::part;
use vernier_archive::previous::{Asked, NoPrevious};
use vernier_archive::proof::{Prover, prove};
use vernier_archive::reader::{Part, PartFilters, Reading};
use vernier_archive::seal::{
    DAY_SEAL_VERSION, PartClass, SEAL_VERSION, Seal, SealKind, SealedFile, part_key,
};
use vernier_archive::verify::{Check, Finding, Options, Report, verify};
use vernier_archive::window::Plan;
use vernier_ledger::chain::day_of;
use vernier_ledger::digest::Fingerprint;

struct Compacted {
    memory: Memory,
    windows: Vec<Seal>,
    day: Seal,
    key: KeyFile,
}

/// Three windows, a backfill of the second, and their day.
fn compacted(part_rows: usize) -> Compacted {
    let key = common::key(Algorithm::Ed25519Sha256);
    let (memory, mut windows) = common::archive(3, 120, &key);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let late = Plan {
        kind: SealKind::Backfill,
        sequence: 3,
        ..common::plan(1)
    };
    let lines = common::lines(Mix::of(77, 30), late.window);
    let settings = common::settings(temporary.path());
    let written = common::write_window(late, settings, &lines, &NoPrevious, &memory);
    let last = windows.last().cloned();
    windows.push(common::put_seal(written, last.as_ref(), &key, &memory));
    let day = common::merge_days(&windows, &windows[3], part_rows, &key, &memory);
    Compacted {
        memory,
        windows,
        day,
        key,
    }
}

/// The day alone, and its first file's bytes, which are not there any more.
fn compacted_without_first_file() -> (Compacted, Bytes) {
    let c = compacted(1_000_000);
    common::remove_files(&c.windows, &c.memory);
    let bytes = c.memory.remove(&c.day.files[0].key).expect("there");
    (c, bytes)
}

fn report(memory: &Memory, key: &KeyFile) -> Report {
    let options = Options {
        all: true,
        threads: 3,
        ..Options::default()
    };
    let keys = [key.public_key().clone()];
    verify(memory, &keys, &options, &|_| {}).expect("memory reads")
}

#[test]
fn a_day_is_sound_beside_its_windows_and_without_them() {
    for part_rows in [1_000_000, 100] {
        let c = compacted(part_rows);
        let both = report(&c.memory, &c.key);
        assert_eq!(both.findings, []);
        let sum = c.windows.iter().map(|s| s.counts.total()).sum::<u64>();
        assert_eq!(
            (both.rows, both.counts.total()),
            (sum, sum),
            "once, not twice"
        );
        common::remove_files(&c.windows, &c.memory);
        let alone = report(&c.memory, &c.key);
        assert_eq!(alone.findings, []);
        assert_eq!((alone.rows, alone.counts), (both.rows, both.counts));
        assert_eq!(alone.files, c.day.files.len() as u64);
    }
}

/// A removal that is under way.
#[test]
fn a_day_is_sound_with_any_of_the_windows_files() {
    let c = compacted(1_000_000);
    let files: Vec<_> = c.windows.iter().flat_map(|seal| &seal.files).collect();
    for file in files {
        let bytes = c.memory.remove(&file.key).expect("there");
        assert_eq!(
            report(&c.memory, &c.key).findings,
            [],
            "without {}",
            file.key
        );
        if file.rows % 2 == 0 {
            c.memory.put(file.key.clone(), bytes);
        }
    }
}

#[test]
fn a_day_has_few_files_of_the_windows_rows_in_one_order() {
    let c = compacted(1_000_000);
    let day = &c.day;
    assert_eq!(
        (day.kind, day.vernier_seal),
        (SealKind::Day, DAY_SEAL_VERSION)
    );
    assert!(
        c.windows
            .iter()
            .all(|seal| seal.vernier_seal == SEAL_VERSION)
    );
    assert_eq!(day.covers.len(), 4);
    assert_eq!(day.window(), day_of(common::START));
    let keys: Vec<&str> = day.files.iter().map(|file| &file.key[..58]).collect();
    assert_eq!(
        keys,
        [
            "days/archive/tenant=school/dt=2026-09-01/000000000000-0000",
            "days/exceptions/tenant=school/dt=2026-09-01/000000000000-00",
        ]
        .map(|key| &key[..58])
    );
    for class in [PartClass::Archive, PartClass::Exceptions] {
        let file = day.files_of(class).next().expect("one");
        let part = Part::open(c.memory.open(&file.key).expect("there")).expect("a part");
        assert_eq!(part.layout(), Layout::Day);
        let mut of_seals: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 4];
        part.for_each_of_group(0, Reading::WithoutEvents, |row, seal| {
            let mut leaf = Vec::new();
            row.write_leaf(&mut leaf);
            assert_eq!(row.event, None);
            let seal = usize::try_from(seal.expect("a day's")).expect("small");
            of_seals[seal].push(leaf);
            Ok(())
        })
        .expect("reads");
        for (seal, found) in c.windows.iter().zip(of_seals) {
            let mut wanted = Vec::new();
            for file in seal.files_of(class) {
                let own = Part::open(c.memory.open(&file.key).expect("there")).expect("a part");
                own.for_each_sealed(|row, sealed_by| {
                    assert_eq!(sealed_by, None);
                    let mut leaf = Vec::new();
                    row.write_leaf(&mut leaf);
                    wanted.push(leaf);
                    Ok(())
                })
                .expect("reads");
            }
            assert_eq!(found, wanted, "seal {}", seal.sequence);
        }
    }
    assert_eq!(columns::day_names().count(), columns::names().count() + 1);
}

/// Of a day's rows only those count whose seals are asked for: how far back is looked does not change
/// when windows are compacted.
#[test]
fn a_day_answers_for_the_seals_that_are_asked_for() {
    let c = compacted(100);
    for file in c.day.files_of(PartClass::Archive) {
        let part = Part::open(c.memory.open(&file.key).expect("there")).expect("a part");
        let filters = PartFilters::read(&part).expect("reads");
        let mut rows = Vec::new();
        part.for_each_sealed(|row, seal| {
            let id = row.id.map(str::to_owned);
            rows.push((id, row.kind.to_owned(), row.fingerprint, row.place(), seal));
            Ok(())
        })
        .expect("reads");
        let asked: Vec<Asked<'_>> = rows
            .iter()
            .map(|(id, kind, fingerprint, ..)| Asked {
                own_id: matches!(kind.as_str(), "event" | "domain"),
                id: id.as_deref(),
                fingerprint: *fingerprint,
            })
            .collect();
        let all = part.firsts(&filters, &asked).expect("reads");
        assert!(all.iter().all(Option::is_some));
        let some = part.firsts_sealed(&filters, &asked, &|seal| seal == 1);
        for ((.., place, seal), found) in rows.iter().zip(some.expect("reads")) {
            let found = found.map(|first| first.place);
            assert_eq!(found, (*seal == Some(1)).then_some(*place));
        }
    }
}

/// Compacted or not, an event has one proof.
#[test]
fn a_proof_from_the_day_is_the_windows() {
    let c = compacted(100);
    for seal in &c.windows {
        let mut places = Vec::new();
        for file in &seal.files {
            let part = Part::open(c.memory.open(&file.key).expect("there")).expect("a part");
            part.for_each(|row| {
                places.push(row.place());
                Ok(())
            })
            .expect("reads");
        }
        let place = places[places.len() / 2];
        let wanted = prove(&c.memory, seal, place).expect("reads");
        assert!(wanted.is_some());
        let mut prover = Prover::new(seal, place);
        for file in &c.day.files {
            let part = Part::open(c.memory.open(&file.key).expect("there")).expect("a part");
            part.for_each_sealed(|row, sealed_by| {
                if sealed_by == Some(seal.sequence) {
                    prover.show(&row);
                }
                Ok(())
            })
            .expect("reads");
        }
        assert_eq!(prover.finish().expect("leads to the root"), wanted);
    }
}

#[test]
fn what_was_tampered_with_is_not_compacted() {
    let c = compacted(1_000_000);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let builder = || {
        let settings = common::settings(temporary.path());
        DayBuilder::new(common::tenant(), c.day.window(), settings)
    };
    let seal = &c.windows[0];
    let file = &seal.files[0];
    let bytes = c.memory.all()[&file.key].clone();
    let other = common::rewritten(&bytes, |rows| rows[0].sensor = "other");
    let other: Arc<dyn vernier_archive::files::Ranges> = Arc::new(other);
    let refused = builder().push_file(seal, file, &other);
    assert!(matches!(refused, Err(Fault::Damaged(_))), "{refused:?}");
    // One of its files is left out.
    let mut part = builder();
    let bytes: Arc<dyn vernier_archive::files::Ranges> = Arc::new(bytes);
    part.push_file(seal, file, &bytes)
        .expect("as it was sealed");
    assert!(seal.files.len() > 1);
    let refused = part.finish(&Memory::default());
    assert!(matches!(refused, Err(Fault::Damaged(_))), "{refused:?}");
    // The same file twice.
    let mut part = builder();
    for _ in 0..2 {
        part.push_file(seal, file, &bytes)
            .expect("as it was sealed");
    }
    assert!(part.finish(&Memory::default()).is_err());
    assert!(builder().finish(&Memory::default()).is_err(), "of nothing");
}

/// Signs the day's seal anew after a change, as whoever holds the key could.
fn resealed(c: &Compacted, change: impl FnOnce(&mut Seal)) -> Vec<Finding> {
    let mut seal = c.day.clone();
    change(&mut seal);
    common::put_seal(
        common::written_again(&seal),
        Some(&c.windows[3]),
        &c.key,
        &c.memory,
    );
    report(&c.memory, &c.key).findings
}

/// The day, its first file another one, after a change of what its seal says of it.
fn resealed_with(
    c: &Compacted,
    bytes: &Bytes,
    change: impl FnOnce(&mut SealedFile),
) -> Vec<Finding> {
    let sha256 = Fingerprint::of(bytes).0;
    let plan = Plan {
        sequence: 0,
        ..c.day.plan()
    };
    let key = part_key(&plan, PartClass::Archive, 0, &sha256);
    c.memory.put(key.clone(), bytes.clone());
    let found = resealed(c, |seal| {
        let file = &mut seal.files[0];
        file.key.clone_from(&key);
        file.bytes = bytes.len() as u64;
        file.sha256 = sha256.into();
        change(file);
    });
    c.memory.remove(&key);
    found
}

/// Where rows are searched is checked as where they are scanned: a table that leaves an actor out, or
/// blocks that say something else than the columns, are found though the day is signed.
#[test]
fn blocks_and_tables_that_say_something_else_are_found_though_the_day_is_signed() {
    let (c, bytes) = compacted_without_first_file();
    let file = &c.day.files[0];
    let table = file.actors.expect("a day's");
    assert_eq!(resealed_with(&c, &bytes, |_| ()), []);
    let mut numbers = common::Random::seeded(3);
    for _ in 0..60 {
        let mut changed = bytes.to_vec();
        let at = table.offset + numbers.next() % (table.entries * 20);
        changed[usize::try_from(at).expect("small")] ^= 1 << numbers.below(8);
        let found = resealed_with(&c, &changed.into(), |_| ());
        let about = |f: &Finding| matches!(f.check, Check::Row | Check::FileForm);
        assert!(found.iter().any(about), "byte {at}: {found:?}");
    }
    let shorter = |file: &mut SealedFile| {
        file.actors = Some(ActorTable {
            entries: table.entries - 1,
            ..table
        });
    };
    let found = resealed_with(&c, &bytes, shorter);
    assert!(!found.is_empty());
}

/// The columns are right, and the last block is that of a day whose last event is another one.
#[test]
fn a_block_of_other_rows_is_found_though_the_day_is_signed() {
    let (c, bytes) = compacted_without_first_file();
    let file = &c.day.files[0];
    let (other, other_table) = common::rewritten_day(&bytes, |rows| {
        rows.last_mut().expect("a row").0.event = Some("{}");
    });
    let last_block = |whole: &Bytes, table: Option<ActorTable>| {
        let end = usize::try_from(table.expect("a day's").offset).expect("small");
        let magic = [0x28, 0xB5, 0x2F, 0xFD];
        let begin = whole[..end].windows(4).rposition(|four| four == magic);
        begin.expect("a block")..end
    };
    let place = last_block(&bytes, file.actors);
    let mut block = other[last_block(&other, other_table)].to_vec();
    // As long as the other one, by a frame that decoders skip (RFC 8878, 3.1.2).
    let pad = place.len() - block.len() - 8;
    block.extend_from_slice(&0x184D_2A50_u32.to_le_bytes());
    block.extend_from_slice(&u32::try_from(pad).expect("small").to_le_bytes());
    block.resize(place.len(), 0);
    let mut changed = bytes.to_vec();
    changed[place].copy_from_slice(&block);
    let found = resealed_with(&c, &changed.into(), |_| ());
    let rows = c.day.files[0].rows;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].check, found[0].row), (Check::Row, Some(rows - 1)));
}

/// Even with the right signature a day says nothing of its seals that is not so.
#[test]
fn a_signed_day_that_says_something_else_is_found() {
    type Change = fn(&mut Seal);
    let changes: [(&str, Change); 6] = [
        ("a seal left out", |s| s.covers.truncate(3)),
        ("a seal that is not there", |s| s.covers[3].sequence = 9),
        ("another seal's hash", |s| {
            s.covers[0].sha256 = s.covers[1].sha256
        }),
        ("a seal twice", |s| s.covers.insert(1, s.covers[0].clone())),
        ("other counts", |s| s.counts.stored += 1),
        ("another day", |s| {
            s.start.0 += 86_400_000;
            s.end.0 += 86_400_000;
        }),
    ];
    for (what, change) in changes {
        let c = compacted(1_000_000);
        common::remove_files(&c.windows, &c.memory);
        let found = resealed(&c, change);
        let coverage = found.iter().any(|f| f.check == Check::Coverage);
        assert!(coverage, "{what}: {found:?}");
    }
}

/// Rows whose `seal` was changed are of no use to either seal, whoever signed the day.
#[test]
fn rows_moved_between_seals_are_found_though_the_day_is_signed() {
    let (c, bytes) = compacted_without_first_file();
    let (moved, actors) = common::rewritten_day(&bytes, |rows| {
        let at = rows.iter().position(|(_, seal)| *seal == 1).expect("one");
        rows[at].1 = 2;
    });
    let found = resealed_with(&c, &moved, |file| file.actors = actors);
    let of = |sequence: usize| {
        let keys: Vec<String> = c.windows[sequence]
            .files
            .iter()
            .map(|f| f.key.clone())
            .collect();
        let seal = c.windows[sequence].key();
        found.iter().any(|f| {
            let file = f.file.as_ref().expect("a file");
            *file == seal || keys.contains(file)
        })
    };
    assert!(of(1) && of(2) && !of(0) && !of(3), "{found:?}");
}

#[test]
fn a_window_that_is_gone_without_a_day_is_missed() {
    let c = compacted(1_000_000);
    common::remove_files(&c.windows[..1], &c.memory);
    assert_eq!(report(&c.memory, &c.key).findings, []);
    c.memory.remove(&c.day.key());
    for file in &c.day.files {
        c.memory.remove(&file.key);
    }
    let found = report(&c.memory, &c.key).findings;
    assert!(
        found.iter().all(|f| f.check == Check::FileMissing),
        "{found:?}"
    );
    assert_eq!(found.len(), c.windows[0].files.len());
}

#[test]
fn a_window_is_judged_by_no_file_of_another_kind() {
    let c = compacted(1_000_000);
    let file = &c.day.files[0];
    let bytes = c.memory.all()[&file.key].clone();
    let mut rows = Vec::new();
    let part = Part::open(Arc::new(bytes)).expect("a part");
    part.for_each(|row| {
        let mut leaf = Vec::new();
        row.write_leaf(&mut leaf);
        rows.push(leaf);
        Ok(())
    })
    .expect("reads");
    let rows: Vec<_> = rows
        .iter()
        .map(|leaf| vernier_archive::row::Row::read_leaf(leaf).expect("a row").0)
        .collect();
    let window = part::to_bytes(&rows).expect("encodes");
    c.memory.put(file.key.clone(), window);
    let found = report(&c.memory, &c.key).findings;
    assert!(!found.is_empty());
}

/// A month's copy that begins behind the windows that a day covers.
#[test]
fn a_day_in_a_later_part_of_the_chain_is_checked_as_far_as_it_goes() {
    let c = compacted(1_000_000);
    common::remove_files(&c.windows, &c.memory);
    for seal in &c.windows[..2] {
        c.memory.remove(&seal.key());
    }
    let options = Options {
        all: true,
        partial: true,
        ..Options::default()
    };
    let keys = [c.key.public_key().clone()];
    let found = verify(&c.memory, &keys, &options, &|_| {}).expect("reads");
    assert_eq!(found.findings, []);
    let left = c.windows[2].counts.total() + c.windows[3].counts.total();
    assert_eq!(found.rows, left);
}
