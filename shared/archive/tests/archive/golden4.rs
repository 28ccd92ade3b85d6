//! The golden archive of version 4, which was written once: windows of version 1 and a day of version 3, continued by
//! all that version 4 has but days of its own.

use crate::common;
use crate::golden::{page, report, write_golden};
use crate::version4::full_chain;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use vernier_archive::columns::{self, Layout};
use vernier_archive::files::{Directory, Source};
use vernier_archive::seal::{SEAL_VERSION_4, Seal, SealKind};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v4")
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
