//! The golden archive of version 4, which was written once: windows of version 1 and a day of version 3, continued by
//! all that version 4 has but days of its own.

use crate::common;
use crate::common::chain4::Chain4;
use crate::days4::{COVERS, DAY, chain_with_day};
use crate::golden::{page, report, write_golden};
use crate::version4::full_chain;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use vernier_archive::columns::{self, Layout};
use vernier_archive::files::{Directory, Source};
use vernier_archive::seal::{SEAL_VERSION_4, Seal, SealKind};

fn golden() -> PathBuf {
    golden_of("v4")
}

fn golden_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn seals() -> Vec<Seal> {
    let source = Directory::new(golden());
    let entries = source.list("seals/").expect("a folder");
    let read = |key: &str| Seal::read(&source.read(key, 100_000).expect("there")).expect("a seal");
    entries.iter().map(|entry| read(&entry.key)).collect()
}

#[test]
fn the_golden_archive_of_version_4_is_sound() {
    let report = report(&golden());
    assert_eq!(report.findings, []);
    assert_eq!((report.erased, report.shortfalls.len()), (1, 1));
    let kinds: BTreeSet<String> = seals()
        .iter()
        .map(|seal| format!("{:?}", seal.kind))
        .collect();
    assert_eq!(kinds.len(), 5);
}

/// An archive like it is written today and is sound. With `VERNIER_GOLDEN_4_DIR` it is written there.
#[test]
fn an_archive_like_the_golden_one_of_version_4_is_written_and_sound() {
    let chain = full_chain();
    let written = write_golden(&chain.memory, &chain.key, "VERNIER_GOLDEN_4_DIR");
    let standing = report(&golden());
    assert_eq!(written.findings, []);
    assert_eq!(
        (written.rows, written.counts),
        (standing.rows, standing.counts)
    );
    // Rows and roots are those of the version, whoever writes Parquet.
    for (new, old) in chain.seals.iter().zip(seals()) {
        assert_eq!(
            (new.kind, new.merkle_root, new.counts),
            (old.kind, old.merkle_root, old.counts)
        );
        assert_eq!(new.digest, old.digest);
    }
}

/// A day over windows of versions 1 and 4 whose own files were removed, and an erasure before and after it.
fn chain_with_golden_day() -> Chain4 {
    let mut chain = chain_with_day();
    chain.remove_covered(&COVERS);
    chain.erase_in_day(DAY, &["urn:x:5"]);
    chain
}

/// With `VERNIER_GOLDEN_4_DAY_DIR` the golden archive of a day of version 4 is written there.
#[test]
fn the_golden_archive_of_a_day_of_version_4_is_sound_and_still_written() {
    let chain = chain_with_golden_day();
    let written = write_golden(&chain.memory, &chain.key, "VERNIER_GOLDEN_4_DAY_DIR");
    let standing = report(&golden_of("v4-day"));
    assert_eq!((&written.findings, &standing.findings), (&vec![], &vec![]));
    assert_eq!(
        (written.rows, written.counts),
        (standing.rows, standing.counts)
    );
    assert_eq!((written.erased, standing.erased), (2, 2));
    let left = Directory::new(golden_of("v4-day"))
        .list("archive/")
        .expect("listed");
    assert_eq!(left, []);
}

#[test]
fn the_page_has_the_fields_and_columns_of_version_4() {
    let page = page();
    let line = format!("\nSeal version of everything later: {SEAL_VERSION_4}\n");
    assert!(page.contains(&line), "docs/seal.md has no line{line}");
    let mut names: BTreeSet<String> = columns::names_of(Layout::BlindDay)
        .map(str::to_owned)
        .collect();
    let plain = |seal: &&Seal| seal.statement.is_some() && seal.kind != SealKind::Day;
    for seal in seals().iter().filter(plain) {
        let document = serde_json::to_value(Document(seal)).expect("JSON");
        let mut open = vec![document];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::Object(members) => {
                    for (name, value) in members {
                        names.insert(name);
                        open.push(value);
                    }
                }
                serde_json::Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
    }
    names.retain(|name| {
        !page
            .lines()
            .any(|line| line.starts_with('|') && line.contains(&format!("`{name}`")))
    });
    assert!(names.is_empty(), "docs/seal.md has no row for {names:?}");
}

struct Document<'a>(&'a Seal);

impl serde::Serialize for Document<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.0.to_bytes().map_err(serde::ser::Error::custom)?;
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

/// The example that the page shows byte by byte is the one row of the window that was sealed late.
#[test]
fn the_archive_of_version_4_is_small() {
    let source = Directory::new(golden());
    let bytes: u64 = source
        .list("")
        .expect("listed")
        .iter()
        .map(|entry| entry.bytes)
        .sum();
    assert!(bytes < 200_000, "{bytes}");
    let all = common::in_order(report(&golden()).counts);
    assert!(all.iter().all(|count| *count > 0), "{all:?}");
}
