//! The golden archives of days: the windows of version 1, and the day that has their files' rows, of
//! version 2 without blocks and of version 3. The first window's own files were removed.

use crate::common;
use crate::golden::{lines, page, report, write_golden};
use std::path::{Path, PathBuf};
use vernier_archive::columns;
use vernier_archive::files::{Directory, Source};
use vernier_archive::keys::Algorithm;
use vernier_archive::seal::{DAY_SEAL_VERSION, Seal, SealKind};

fn golden_of(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(version)
}

fn golden() -> PathBuf {
    golden_of("v3")
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
        assert_eq!(common::in_order(report.counts), [3, 1, 1, 1], "{version}");
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
    let (memory, seals) = common::archive_of(lines(), &key);
    let written = common::merge_days(&seals, &seals[1], 1_000_000, &key, &memory);
    common::remove_files(&seals[..1], &memory);
    let new = write_golden(&memory, &key, "VERNIER_GOLDEN_DAY_DIR");
    let standing = report(&golden());
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
