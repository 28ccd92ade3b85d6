//! What the check says of each thing that can be wrong.

use crate::common::{self, Mix};
use base64::Engine as _;
use vernier_archive::files::{Memory, Source};
use vernier_archive::keys::{Algorithm, KeyFile, Signer};
use vernier_archive::previous::NoPrevious;
use vernier_archive::row::Row;
use vernier_archive::seal::{Hex32, PartClass, Seal, SealKind, part_key};
use vernier_archive::verify::{Check, Finding, Options, Report, verify};
use vernier_archive::window::Plan;
use vernier_ledger::time::Millis;

fn options(all: bool) -> Options {
    Options {
        all,
        threads: 2,
        ..Options::default()
    }
}

fn report(memory: &Memory, key: &KeyFile, options: &Options) -> Report {
    let keys = [key.public_key().clone()];
    verify(memory, &keys, options, &|_| {}).expect("memory reads")
}

fn first(memory: &Memory, key: &KeyFile) -> Finding {
    let mut findings = report(memory, key, &options(false)).findings;
    assert_eq!(findings.len(), 1);
    findings.remove(0)
}

fn archive() -> (Memory, Vec<Seal>, KeyFile) {
    let key = common::key(Algorithm::EcdsaP256Sha256);
    let (memory, seals) = common::archive(3, 40, &key);
    (memory, seals, key)
}

/// Puts a seal of other content in a seal's place, rightly signed, and signs those after it anew:
/// what only the holder of the key can do.
fn resign(
    memory: &Memory,
    seals: &[Seal],
    at: usize,
    key: &KeyFile,
    change: impl FnOnce(&mut Seal),
) {
    let mut change = Some(change);
    let mut previous: Option<Seal> = at.checked_sub(1).map(|before| seals[before].clone());
    for (number, seal) in seals.iter().enumerate().skip(at) {
        let mut seal = seal.clone();
        if let Some(change) = change.take().filter(|_| number == at) {
            change(&mut seal);
        }
        seal.previous = previous.map(|seal| Hex32(seal.hash().expect("integers")));
        let signature = key.sign(&seal.message().expect("integers")).expect("signs");
        seal.signature.value = Some(base64::engine::general_purpose::STANDARD.encode(signature));
        memory.put(seal.key(), seal.to_bytes().expect("integers"));
        previous = Some(seal);
    }
}

/// Writes a file's rows anew after a change, and puts its new hash, size and root into its seal.
fn rewrite(
    memory: &Memory,
    seals: &[Seal],
    key: &KeyFile,
    file: usize,
    change: impl FnOnce(&mut Vec<Row<'_>>),
) {
    let sealed = seals[1].files[file].clone();
    let bytes = common::rewritten(&memory.remove(&sealed.key).expect("there"), change);
    let sha256 = Hex32(vernier_ledger::digest::Fingerprint::of(&bytes).0);
    let class = match file {
        0 => PartClass::Archive,
        _ => PartClass::Exceptions,
    };
    let name = part_key(&seals[1].plan(), class, 0, &sha256.0);
    memory.put(name.clone(), bytes.clone());
    resign(memory, seals, 1, key, |seal| {
        seal.files[file].key = name;
        seal.files[file].bytes = bytes.len() as u64;
        seal.files[file].sha256 = sha256;
    });
}

#[test]
fn a_clean_archive_is_sound_and_says_what_it_holds() {
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519Sha256] {
        let key = common::key(algorithm);
        let (memory, seals) = common::archive(3, 40, &key);
        for threads in [0, 1, 3] {
            let options = Options {
                threads,
                all: true,
                ..Options::default()
            };
            let report = report(&memory, &key, &options);
            assert_eq!(report.findings, []);
            assert_eq!(
                report.files,
                seals
                    .iter()
                    .map(|seal| seal.files.len() as u64)
                    .sum::<u64>()
            );
            assert_eq!(
                report.rows,
                seals
                    .iter()
                    .flat_map(|s| &s.files)
                    .map(|f| f.rows)
                    .sum::<u64>()
            );
            assert_eq!(report.counts.total(), report.rows);
            let chain = &report.chains[0];
            assert_eq!((chain.seals, chain.last), (3, 2));
            assert_eq!(chain.head.0, seals[2].hash().expect("integers"));
            assert_eq!(chain.from, Some(common::window(0).start));
            assert_eq!(chain.through, Some(common::window(2).end));
        }
    }
}

#[test]
fn nothing_is_not_sound() {
    let key = common::key(Algorithm::Ed25519Sha256);
    assert_eq!(first(&Memory::default(), &key).check, Check::NoSeals);
}

#[test]
fn another_key_has_signed_nothing() {
    let (memory, seals, _) = archive();
    let other = common::key(Algorithm::EcdsaP256Sha256);
    let found = first(&memory, &other);
    assert_eq!(
        (found.check, found.file),
        (Check::Signature, Some(seals[0].key()))
    );
    assert_eq!(report(&memory, &other, &options(true)).findings.len(), 3);
}

#[test]
fn a_flipped_byte_is_found_with_file_and_field() {
    let (memory, seals, key) = archive();
    let file = &seals[1].files[0];
    let mut bytes = memory.all()[&file.key].to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    memory.put(file.key.clone(), bytes);
    let found = first(&memory, &key);
    assert_eq!(found.check, Check::FileChanged);
    assert_eq!(found.file.as_ref(), Some(&file.key));
    assert_eq!(found.seal, Some(seals[1].key()));
    assert_eq!(found.field.as_deref(), Some("files[0].sha256"));
    assert_eq!(found.expected, Some(file.sha256.to_string()));
}

#[test]
fn a_dropped_row_is_found_with_both_counts() {
    let (memory, seals, key) = archive();
    let file = &seals[1].files[0];
    let bytes = common::rewritten(&memory.all()[&file.key], |rows| {
        rows.remove(2);
    });
    memory.put(file.key.clone(), bytes);
    let found = first(&memory, &key);
    assert_eq!(
        (found.check, found.field.as_deref()),
        (Check::FileChanged, Some("files[0].bytes"))
    );
    let what = format!("it has {} rows instead of {}", file.rows - 1, file.rows);
    assert!(found.what.contains(&what), "{}", found.what);
}

#[test]
fn a_changed_event_is_found_with_its_row() {
    let (memory, seals, key) = archive();
    let file = &seals[1].files[0];
    let bytes = common::rewritten(&memory.all()[&file.key], |rows| rows[2].event = Some("{}"));
    memory.put(file.key.clone(), bytes);
    let found = first(&memory, &key);
    assert!(
        found.what.contains("row 2 the event's text"),
        "{}",
        found.what
    );
}

#[test]
fn the_same_rows_written_otherwise_are_not_the_sealed_file() {
    let (memory, seals, key) = archive();
    let file = &seals[1].files[0];
    let mut bytes = memory.all()[&file.key].to_vec();
    // The footer's length and the magic number come last; before them the writer's name.
    let name = bytes
        .windows(7)
        .rposition(|w| w == b"vernier")
        .expect("created by");
    bytes[name] = b'V';
    memory.put(file.key.clone(), bytes);
    let found = first(&memory, &key);
    assert!(
        found.what.contains("its rows are the sealed ones"),
        "{}",
        found.what
    );
}

/// Behind each hash lies the next check: here the key's holder seals what is wrong.
#[test]
fn what_is_sealed_wrong_is_found_in_the_rows() {
    type Change = fn(&mut Vec<Row<'_>>);
    let cases: [(usize, Change, Check, Option<u64>); 9] = [
        (0, |rows| rows.swap(3, 4), Check::Order, Some(4)),
        (
            0,
            |rows| rows[3].event = Some("{}"),
            Check::Fingerprint,
            Some(3),
        ),
        (0, |rows| rows[3].event = None, Check::Fingerprint, Some(3)),
        (0, |rows| rows[3].received_at.0 += 1, Check::Row, Some(3)),
        (0, |rows| rows[3].kind = "thing", Check::Row, Some(3)),
        (
            0,
            |rows| rows[3].type_name = Some("OtherEvent"),
            Check::MerkleRoot,
            None,
        ),
        (0, |rows| rows.truncate(rows.len() - 1), Check::Count, None),
        (
            0,
            |rows| rows.push(rows[rows.len() - 1].clone()),
            Check::Order,
            None,
        ),
        (
            1,
            |rows| rows[0].disposition = vernier_ledger::disposition::Disposition::Stored,
            Check::Row,
            Some(0),
        ),
    ];
    for (number, (file, change, check, row)) in cases.into_iter().enumerate() {
        let (memory, seals, key) = archive();
        rewrite(&memory, &seals, &key, file, change);
        let found = first(&memory, &key);
        assert_eq!(found.check, check, "case {number}: {found}");
        let name = &seals[1].files[file].key;
        let (start, _) = name.rsplit_once('-').expect("a part's name");
        let named = found.file.as_deref().unwrap_or_default();
        assert!(named.starts_with(start), "case {number}: {found}");
        if row.is_some() {
            assert_eq!(found.row, row, "case {number}: {found}");
        }
    }
}

#[test]
fn what_the_seal_says_of_its_rows_is_checked_field_by_field() {
    type Change = fn(&mut Seal);
    let cases: [(Change, Check, &str); 9] = [
        (|s| s.counts.stored += 1, Check::Count, "counts.stored"),
        (
            |s| s.counts.duplicate += 1,
            Check::Count,
            "counts.duplicate",
        ),
        (|s| s.counts.conflict += 1, Check::Count, "counts.conflict"),
        (|s| s.counts.rejected += 1, Check::Count, "counts.rejected"),
        (
            |s| s.digest = vernier_ledger::digest::Digest::EMPTY,
            Check::Digest,
            "digest",
        ),
        (
            |s| s.merkle_root.0[0] ^= 1,
            Check::MerkleRoot,
            "merkle_root",
        ),
        (
            |s| s.files[0].merkle_root.0[0] ^= 1,
            Check::MerkleRoot,
            "files[0].merkle_root",
        ),
        (|s| s.files[1].rows += 1, Check::Count, "files[1].rows"),
        (|s| s.files[1].key.push('x'), Check::FileKey, "files[1].key"),
    ];
    for (change, check, field) in cases {
        let (memory, seals, key) = archive();
        resign(&memory, &seals, 1, &key, change);
        let found = first(&memory, &key);
        assert_eq!(
            (found.check, found.field.as_deref()),
            (check, Some(field)),
            "{found}"
        );
        assert_eq!(found.expected.is_some(), found.found.is_some());
    }
}

#[test]
fn the_chain_is_checked_link_by_link() {
    let (memory, seals, key) = archive();
    let middle = memory.remove(&seals[1].key()).expect("there");
    let found = first(&memory, &key);
    assert_eq!(
        (found.check, found.file),
        (Check::Chain, Some(seals[1].key()))
    );
    memory.put(seals[1].key(), middle);
    // The first one gone: only a check of a part of the chain accepts that.
    let (memory, seals, key) = archive();
    memory.remove(&seals[0].key());
    for file in &seals[0].files {
        memory.remove(&file.key);
    }
    assert_eq!(first(&memory, &key).check, Check::Chain);
    let partial = Options {
        partial: true,
        ..options(true)
    };
    assert_eq!(report(&memory, &key, &partial).findings, []);
    // A seal that names another one before it, rightly signed.
    let (memory, seals, key) = archive();
    let written = common::written_again(&seals[2]);
    common::put_seal(written, Some(&seals[0]), &key, &memory);
    let found = first(&memory, &key);
    assert_eq!(
        (found.check, found.field.as_deref()),
        (Check::Chain, Some("previous"))
    );
}

#[test]
fn a_chain_that_was_cut_short_shows_against_a_hash_that_was_noted() {
    let (memory, seals, key) = archive();
    let noted = Options {
        known: vec![Hex32(seals[2].hash().expect("integers"))],
        ..options(true)
    };
    assert_eq!(report(&memory, &key, &noted).findings, []);
    // One window without its seal is as one that is being sealed …
    memory.remove(&seals[2].key());
    let cut = report(&memory, &key, &options(true));
    assert_eq!(cut.findings, []);
    let left: Vec<&String> = cut.pending.iter().map(|entry| &entry.key).collect();
    assert_eq!(
        left,
        seals[2].files.iter().map(|f| &f.key).collect::<Vec<_>>()
    );
    // … two are none.
    memory.remove(&seals[1].key());
    let found = first(&memory, &key);
    assert_eq!(
        (found.check, found.file.as_ref()),
        (Check::Chain, Some(&seals[1].files[0].key))
    );
    let copied = Options {
        later_files: true,
        ..options(true)
    };
    assert_eq!(report(&memory, &key, &copied).findings, []);
    for file in seals[1..].iter().flat_map(|seal| &seal.files) {
        memory.remove(&file.key);
    }
    // Without their files the hash shows it.
    assert!(report(&memory, &key, &options(true)).is_sound());
    let findings = report(&memory, &key, &noted).findings;
    assert_eq!(findings[0].check, Check::Chain);
}

/// Parts that the chain's next seals may name are pending; parts of what is closed are wrong.
#[test]
fn what_a_seal_to_come_may_name_is_pending() {
    let (memory, seals, key) = archive();
    let part = |plan: &Plan, class| part_key(plan, class, 0, &[7; 32]);
    let with = |n, kind, sequence| Plan {
        kind,
        sequence,
        ..common::plan(n)
    };
    let day = |first| Plan {
        window: vernier_ledger::chain::day_of(seals[0].start),
        ..with(0, SealKind::Day, first)
    };
    let (window, backfill) = (SealKind::Window, SealKind::Backfill);
    let may = [
        part(&with(3, window, 0), PartClass::Archive),
        part(&with(3, window, 0), PartClass::Exceptions),
        part(&with(0, backfill, 3), PartClass::Archive),
        part(&day(0), PartClass::Archive),
    ];
    for name in &may {
        memory.put(name.clone(), "x");
    }
    let found = report(&memory, &key, &options(true));
    assert_eq!(found.findings, []);
    let pending: Vec<String> = found.pending.into_iter().map(|entry| entry.key).collect();
    let mut wanted = may.to_vec();
    wanted.sort();
    assert_eq!(pending, wanted);
    let within = Plan {
        window: vernier_ledger::time::Window {
            start: Millis(seals[2].start.0 + 60_000),
            end: seals[2].end,
        },
        ..with(2, window, 0)
    };
    for plan in [with(1, window, 0), within, with(0, backfill, 2)] {
        let (memory, _, key) = archive();
        let name = part(&plan, PartClass::Archive);
        memory.put(name.clone(), "x");
        let found = report(&memory, &key, &options(true));
        let checks: Vec<_> = found
            .findings
            .into_iter()
            .map(|f| (f.check, f.file))
            .collect();
        assert_eq!(checks, [(Check::FileExtra, Some(name))]);
        assert_eq!(found.pending, []);
    }
}

/// Files whose parts and seal appear when the seals are first listed: what sealing does while a check
/// runs.
struct Sealing {
    files: Memory,
    next: std::sync::Mutex<Vec<(String, Vec<u8>)>>,
}

impl Source for Sealing {
    fn list(&self, prefix: &str) -> std::io::Result<Vec<vernier_archive::files::Entry>> {
        if prefix == "seals/" {
            for (name, bytes) in self.next.lock().expect("one thread").drain(..) {
                self.files.put(name, bytes);
            }
        }
        self.files.list(prefix)
    }

    fn open(
        &self,
        key: &str,
    ) -> std::io::Result<std::sync::Arc<dyn vernier_archive::files::Ranges>> {
        self.files.open(key)
    }
}

#[test]
fn windows_that_are_sealed_while_the_check_runs_are_sound() {
    for parts_before in [false, true] {
        let (files, seals, key) = archive();
        let mut next = Vec::new();
        for seal in &seals[1..] {
            let parts = seal.files.iter().map(|file| file.key.clone());
            for name in parts.chain([seal.key()]) {
                let bytes = files.remove(&name).expect("there");
                if parts_before && !name.starts_with("seals/") {
                    files.put(name, bytes);
                } else {
                    next.push((name, bytes.to_vec()));
                }
            }
        }
        let source = Sealing {
            files,
            next: next.into(),
        };
        let keys = [key.public_key().clone()];
        let report = verify(&source, &keys, &options(true), &|_| {}).expect("memory reads");
        assert_eq!((report.findings, report.pending), (vec![], vec![]));
        assert_eq!(report.chains[0].seals, 3);
    }
}

#[test]
fn windows_neither_overlap_nor_leave_time_out() {
    for (minutes, gaps, sound) in [(-1, false, false), (1, false, false), (1, true, true)] {
        let key = common::key(Algorithm::Ed25519Sha256);
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let memory = Memory::default();
        let mut before = None;
        for n in 0..2_i64 {
            let mut plan = common::plan(u64::try_from(n).expect("few"));
            plan.window.start.0 += n * minutes * 60_000;
            let settings = common::settings(temporary.path());
            let written = common::write_window(plan, settings, &[], &NoPrevious, &memory);
            before = Some(common::put_seal(written, before.as_ref(), &key, &memory));
        }
        let options = Options {
            gaps,
            ..options(true)
        };
        let findings = report(&memory, &key, &options).findings;
        assert_eq!(findings.is_empty(), sound, "{findings:?}");
        assert!(
            findings
                .iter()
                .all(|finding| finding.check == Check::Coverage)
        );
    }
}

#[test]
fn a_backfill_lies_in_time_that_was_sealed_before() {
    for (n, sound) in [(0, true), (1, false)] {
        let key = common::key(Algorithm::Ed25519Sha256);
        let (memory, seals) = common::archive(1, 20, &key);
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let plan = Plan {
            kind: SealKind::Backfill,
            sequence: 1,
            ..common::plan(n)
        };
        let late = common::lines(Mix::of(99, 12), plan.window);
        let settings = common::settings(temporary.path());
        let written = common::write_window(plan, settings, &late, &NoPrevious, &memory);
        common::put_seal(written, seals.last(), &key, &memory);
        let findings = report(&memory, &key, &options(true)).findings;
        let checks: Vec<Check> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, if sound { vec![] } else { vec![Check::Coverage] });
    }
}

#[test]
fn missing_extra_and_swapped_files_are_named() {
    let (memory, seals, key) = archive();
    let (a, b) = (&seals[0].files[0].key, &seals[1].files[0].key);
    let bytes = memory.remove(a).expect("there");
    let found = first(&memory, &key);
    assert_eq!(
        (found.check, found.file.as_ref()),
        (Check::FileMissing, Some(a))
    );
    let other = memory.remove(b).expect("there");
    memory.put(a.clone(), other);
    memory.put(b.clone(), bytes);
    let findings = report(&memory, &key, &options(true)).findings;
    let changed: Vec<_> = findings.iter().map(|f| (f.check, f.file.clone())).collect();
    let wanted = [
        (Check::FileChanged, Some(a.clone())),
        (Check::FileChanged, Some(b.clone())),
    ];
    assert_eq!(changed, wanted);
    let (memory, _, key) = archive();
    for extra in [
        "archive/x.parquet",
        "exceptions/tenant=other/y",
        "seals/readme.txt",
    ] {
        memory.put(extra, "x");
    }
    let findings = report(&memory, &key, &options(true)).findings;
    assert_eq!(findings.len(), 3);
    assert!(
        findings
            .iter()
            .all(|finding| finding.check == Check::FileExtra)
    );
}

#[test]
fn one_tenant_can_be_checked_alone() {
    let (memory, _, key) = archive();
    memory.put("archive/tenant=other/x.parquet", "x");
    memory.put("seals/tenant=other/000000000000.json", "{}");
    assert!(!report(&memory, &key, &options(true)).is_sound());
    let alone = Options {
        tenant: Some(common::tenant()),
        ..options(true)
    };
    assert_eq!(report(&memory, &key, &alone).findings, []);
}

#[test]
fn progress_ends_with_everything() {
    let (memory, _, key) = archive();
    let last = std::sync::Mutex::new(vernier_archive::verify::Progress::default());
    let keys = [key.public_key().clone()];
    let one = Options {
        threads: 1,
        ..options(false)
    };
    let note = |now| *last.lock().expect("one thread") = now;
    let report = verify(&memory, &keys, &one, &note).expect("reads");
    let last = *last.lock().expect("one thread");
    assert_eq!(
        (last.files, last.bytes),
        (last.files_total, last.bytes_total)
    );
    assert_eq!((report.files, report.bytes), (last.files, last.bytes));
}
