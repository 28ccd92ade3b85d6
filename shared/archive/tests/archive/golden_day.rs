//! The golden archives of days: the windows of version 1, and the day that has their files' rows, of
//! version 2 without blocks and of version 3. The first window's own files were removed.

use crate::common;
use crate::golden::{lines, page};
use std::fs;
use std::path::{Path, PathBuf};
use vernier_archive::columns;
use vernier_archive::files::{Directory, Memory, Source};
use vernier_archive::keys::{Algorithm, PublicKey, Signer as _};
use vernier_archive::previous::NoPrevious;
use vernier_archive::seal::{DAY_SEAL_VERSION, Seal, SealKind};
use vernier_archive::verify::{Options, Report, verify};

fn golden_of(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(version)
}

fn golden() -> PathBuf {
    golden_of("v3")
}

fn report(folder: &Path) -> Report {
    let key = fs::read(folder.join("key.pem")).expect("there");
    let keys = [PublicKey::read(&key).expect("a key")];
    verify(&Directory::new(folder), &keys, &Options::default(), &|_| {}).expect("reads")
}

fn day() -> Seal {
    let source = Directory::new(golden());
    let key = "seals/tenant=school/000000000002.json";
    Seal::read(&source.read(key, 100_000).expect("there")).expect("a seal")
}

#[test]
fn the_golden_archives_of_a_day_are_sound() {
    for version in ["v2", "v3"] {
        let folder = golden_of(version);
        let report = report(&folder);
        assert_eq!(report.findings, [], "{version}");
        let counts = report.counts;
        let all = [
            counts.stored,
            counts.duplicate,
            counts.conflict,
            counts.rejected,
        ];
        assert_eq!(all, [3, 1, 1, 1], "{version}");
        let left = Directory::new(folder).list("archive/").expect("listed");
        assert_eq!(left.len(), 1, "the second window's");
    }
    assert_eq!(day().covers.len(), 2);
}

#[test]
fn the_page_has_the_days_version_fields_and_seal() {
    let page = page();
    let line = format!("\nSeal version of a day: {DAY_SEAL_VERSION}\n");
    assert!(page.contains(&line), "docs/seal.md has no line{line}");
    let document = serde_json::to_value(day()).expect("JSON");
    let mut names: Vec<String> = columns::day_names().map(str::to_owned).collect();
    let file = &document["files"][0];
    for value in [&document, &document["covers"][0], file, &file["actors"]] {
        let keys = value.as_object().into_iter().flatten();
        names.extend(keys.map(|(key, _)| key.clone()));
    }
    names.retain(|name| {
        !page
            .lines()
            .any(|l| l.starts_with(&format!("| `{name}` |")))
    });
    assert!(names.is_empty(), "docs/seal.md has no row for {names:?}");
    let shown = page.split("```json\n").nth(2);
    let shown = shown.and_then(|rest| rest.split("\n```").next());
    let shown: serde_json::Value = serde_json::from_str(shown.expect("a block")).expect("JSON");
    let own = serde_json::json!({"covers": document["covers"], "files": document["files"]});
    assert_eq!(shown, own);
}

/// An archive of today's version is written and checks. With `VERNIER_GOLDEN_DAY_DIR` it is written
/// there, with a new key: the golden archive of a version that has none yet.
#[test]
fn an_archive_with_a_day_like_the_golden_one_is_written_and_sound() {
    let key = common::key(Algorithm::EcdsaP256Sha256);
    let memory = Memory::default();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut seals: Vec<Seal> = Vec::new();
    for (n, lines) in (0..).zip(lines()) {
        let settings = common::settings(temporary.path());
        let written = common::write_window(common::plan(n), settings, &lines, &NoPrevious, &memory);
        seals.push(common::put_seal(written, seals.last(), &key, &memory));
    }
    let written = common::merge_days(&seals, &seals[1], 1_000_000, &key, &memory);
    common::remove_files(&seals[..1], &memory);
    memory.put("key.pem", key.public_key().to_pem());
    let folder = std::env::var_os("VERNIER_GOLDEN_DAY_DIR")
        .map_or_else(|| temporary.path().join("golden"), PathBuf::from);
    for (name, bytes) in memory.all() {
        let path = folder.join(name);
        assert!(!path.exists(), "{} is there already", path.display());
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }
    let (new, standing) = (report(&folder), report(&golden()));
    assert_eq!(new.findings, []);
    assert_eq!((new.rows, new.counts), (standing.rows, standing.counts));
    let golden = day();
    assert_eq!((written.kind, golden.kind), (SealKind::Day, SealKind::Day));
    assert_eq!(written.merkle_root, golden.merkle_root);
    assert_eq!(
        (written.counts, written.digest),
        (golden.counts, golden.digest)
    );
}
