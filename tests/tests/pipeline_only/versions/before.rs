//! A school's seals written anew in the versions before 4, which nothing seals in any more.

use super::rewriting::{Rewriting, class_of, current, memory_of, rows_of};
use super::{OwnedRow, entry_of, list};
use crate::pipeline_only::sealing::School;
use vernier_archive::merkle::{Span, leaf_hash};
use vernier_archive::part::{day_to_bytes, to_bytes};
use vernier_archive::row::Row;
use vernier_archive::seal::{Covered, PartClass, Seal, SealKind, SealedFile, Signature, part_key};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::digest::{Digest, Fingerprint};

/// Writes a window's or backfill's seal anew in version 1, unless it is of it, or has rows that are erased.
pub(super) async fn window(school: &School, entry: &SealEntry) {
    let before = current(school, entry).await;
    if !before.kind.has_rows_of_window() {
        return;
    }
    let rows = rows_of(school, &before).await;
    if before.statement.is_none() || rows.iter().any(|row| row.erased.is_some()) {
        return;
    }
    let plain: Vec<Row<'_>> = rows.iter().map(|row| plain(row)).collect();
    let mut files = Vec::new();
    for class in [PartClass::Archive, PartClass::Exceptions] {
        let here = plain.iter().filter(|row| class_of(row) == class).cloned();
        let here: Vec<Row<'_>> = here.collect();
        if !here.is_empty() {
            let bytes = to_bytes(&in_order(here.clone())).expect("encodes");
            let key = part_key(&before.plan(), class, 0, &Fingerprint::of(&bytes).0);
            files.push(file_of(&key, &in_order(here), &bytes));
            school.bucket.place(&key, bytes);
        }
    }
    let seal = seal_of(&before, files, &plain);
    put(school, entry, &before, &seal).await;
}

/// Merges a day's windows and backfills anew in version 3, after they were written in version 1; not
/// where some row is erased.
pub(super) async fn day(school: &School, entry: &SealEntry) {
    let before = current(school, entry).await;
    if before.statement.is_none() {
        return;
    }
    let (seals, _) = Rewriting::entries(school).await;
    for covered in seals.iter().filter(|s| entry.covers.contains(s.sequence)) {
        window(school, covered).await;
    }
    let (seals, _) = Rewriting::entries(school).await;
    let (mut rows, mut covers): (Vec<(OwnedRow, u64)>, Vec<Covered>) = (Vec::new(), Vec::new());
    for covered in seals.iter().filter(|s| entry.covers.contains(s.sequence)) {
        let seal = current(school, covered).await;
        if seal.statement.is_some() {
            return;
        }
        let own = rows_of(school, &seal).await.into_iter();
        rows.extend(own.map(|row| (row, seal.sequence)));
        covers.push(Covered {
            sequence: seal.sequence,
            sha256: seal.hash().expect("integers").into(),
        });
    }
    assert!(rows.iter().all(|(row, _)| row.erased.is_none()));
    covers.sort_by_key(|covered| covered.sequence);
    let mut files = Vec::new();
    for class in [PartClass::Archive, PartClass::Exceptions] {
        let here = rows.iter().map(|(row, seal)| (plain(row), *seal));
        let mut here: Vec<(Row<'_>, u64)> =
            here.filter(|(row, _)| class_of(row) == class).collect();
        here.sort_by(|(a, _), (b, _)| a.sort_key().cmp(&b.sort_key()));
        if here.is_empty() {
            continue;
        }
        let (bytes, actors) = day_to_bytes(&here).expect("encodes");
        let key = part_key(&before.plan(), class, 0, &Fingerprint::of(&bytes).0);
        let alone: Vec<Row<'_>> = here.into_iter().map(|(row, _)| row).collect();
        let file = file_of(&key, &alone, &bytes);
        files.push(SealedFile { actors, ..file });
        school.bucket.place(&key, bytes);
    }
    let all: Vec<Row<'_>> = rows.iter().map(|(row, _)| plain(row)).collect();
    let seal = Seal {
        covers,
        ..seal_of(&before, files, &all)
    };
    put(school, entry, &before, &seal).await;
}

fn plain(row: &OwnedRow) -> Row<'_> {
    Row {
        salt: None,
        ..row.row()
    }
}

fn in_order(mut rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    rows.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    rows
}

fn root_of(rows: &[Row<'_>]) -> [u8; 32] {
    let mut leaves = Span::starting_at(0);
    for row in rows {
        let mut leaf = Vec::new();
        row.write_leaf(&mut leaf);
        leaves.push(leaf_hash(&leaf));
    }
    leaves.root().expect("from 0")
}

fn file_of(key: &str, rows: &[Row<'_>], bytes: &[u8]) -> SealedFile {
    SealedFile {
        key: key.to_owned(),
        rows: rows.len() as u64,
        bytes: bytes.len() as u64,
        sha256: Fingerprint::of(bytes).0.into(),
        merkle_root: root_of(rows).into(),
        actors: None,
        ids: None,
    }
}

/// Who reads through the API takes the bucket's word for a seal: no signature is looked at.
fn seal_of(before: &Seal, files: Vec<SealedFile>, rows: &[Row<'_>]) -> Seal {
    let mut digest = Digest::EMPTY;
    for row in rows {
        digest.add_event(row.receipt, row.index, &Fingerprint(row.fingerprint));
    }
    Seal {
        vernier_seal: if before.kind == SealKind::Day { 3 } else { 1 },
        digest,
        files,
        merkle_root: root_of(rows).into(),
        covers: Vec::new(),
        signature: Signature {
            value: Some(String::new()),
            ..before.signature.clone()
        },
        statement: None,
        ..before.clone()
    }
}

async fn put(school: &School, entry: &SealEntry, before: &Seal, seal: &Seal) {
    for key in memory_of(before) {
        school.bucket.lose(&key);
    }
    school
        .bucket
        .place(&seal.key(), seal.to_bytes().expect("integers"));
    let head = school.table.raw_chain(&school.tenant.id).expect("a chain");
    let mut listed = entry_of(seal, []);
    listed.tally = entry.tally;
    list(&school.table, &school.tenant.id, head, &listed).await;
}
