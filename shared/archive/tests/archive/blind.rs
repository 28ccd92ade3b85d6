//! Parts of version 4: rows with salts, rows without, and rows that were erased.

use crate::common;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use std::sync::Arc;
use vernier_archive::columns::{self, Layout};
use vernier_archive::leaf::LeafForm;
use vernier_archive::part::{RowOrder, window_to_bytes};
use vernier_archive::previous::Asked;
use vernier_archive::reader::{Filter, Part, PartFilters};
use vernier_archive::row::Row;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::salt::SaltKey;

/// Stored rows of the reference mix in their order, every second one with a salt.
fn with_rows(take: impl FnOnce(Vec<Row<'_>>)) {
    let (memory, seals) = common::archive(
        1,
        60,
        &common::key(vernier_archive::keys::Algorithm::Ed25519Sha256),
    );
    let bytes = memory.all()[&seals[0].files[0].key].clone();
    common::rewritten(&bytes, |rows| {
        let key = SaltKey::from_bytes([9; 16]);
        let mut salted = rows.clone();
        for row in salted.iter_mut().step_by(2) {
            row.salt = Some(key.salt(row.index));
        }
        take(salted);
    });
}

fn open(order: RowOrder, rows: &[Row<'_>]) -> Part {
    let bytes = window_to_bytes(Layout::BlindWindow, order, rows).expect("encodes");
    Part::open(Arc::new(bytes::Bytes::from(bytes))).expect("a part")
}

fn assert_reads_back(part: &Part, rows: &[Row<'_>]) {
    let mut at = 0;
    part.for_each(|row| {
        assert_eq!(row, rows[at]);
        at += 1;
        Ok(())
    })
    .expect("reads");
    assert_eq!(at, rows.len());
}

#[test]
fn salts_and_what_stays_of_erased_rows_come_back() {
    with_rows(|mut rows| {
        let part = open(RowOrder::Sorted, &rows);
        assert_eq!(part.layout(), Layout::BlindWindow);
        assert_reads_back(&part, &rows);
        for at in [0, 1, 7] {
            rows[at] = rows[at].erase();
        }
        assert_reads_back(&open(RowOrder::Erased, &rows), &rows);
    });
}

#[test]
fn an_erased_row_is_found_by_nothing_that_it_said() {
    with_rows(|mut rows| {
        let wanted = rows[3].clone();
        let id = wanted.id.expect("an id");
        let asked = [Asked {
            own_id: true,
            id: Some(id),
            fingerprint: wanted.fingerprint,
        }];
        let found = |part: &Part| {
            let filters = PartFilters::read(part).expect("reads");
            let first = part.firsts(&filters, &asked).expect("reads")[0];
            let mut rows = 0;
            for filter in [Filter::Id(id), Filter::Fingerprint(&wanted.fingerprint)] {
                part.find(filter, |_| {
                    rows += 1;
                    Ok(())
                })
                .expect("reads");
            }
            (first.map(|first| first.place), rows)
        };
        assert_eq!(
            found(&open(RowOrder::Sorted, &rows)),
            (Some(wanted.place()), 2)
        );
        rows[3] = wanted.erase();
        assert_eq!(found(&open(RowOrder::Erased, &rows)), (None, 0));
    });
}

/// What is erased is in no byte of the file, neither in values nor in bounds.
#[test]
fn nothing_of_an_erased_row_is_left_in_the_file() {
    with_rows(|mut rows| {
        let id = "https://example.edu/somebody/of/whom/nothing/stays";
        rows[5].id = Some(id);
        rows[5].actor = Some(id);
        let has = |order, rows: &[Row<'_>]| {
            let bytes = window_to_bytes(Layout::BlindWindow, order, rows).expect("encodes");
            bytes.windows(20).any(|piece| piece == &id.as_bytes()[..20])
        };
        // Bounds are not compressed.
        rows[5].group = Some("~last");
        let before = rows[5].clone();
        assert!(has(RowOrder::Sorted, std::slice::from_ref(&before)));
        assert!(!has(RowOrder::Erased, &[before.erase()]));
    });
}

#[test]
fn the_footer_says_version_and_order_and_has_no_bounds_of_salts() {
    with_rows(|rows| {
        for (order, sorted) in [(RowOrder::Sorted, true), (RowOrder::Erased, false)] {
            let bytes = window_to_bytes(Layout::BlindWindow, order, &rows).expect("encodes");
            let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("Parquet");
            let metadata = reader.metadata();
            let pairs = metadata
                .file_metadata()
                .key_value_metadata()
                .expect("pairs");
            let version = pairs.iter().find(|pair| pair.key == "vernier_archive");
            assert_eq!(version.and_then(|pair| pair.value.as_deref()), Some("4"));
            let group = metadata.row_group(0);
            assert_eq!(group.sorting_columns().is_some(), sorted);
            let names: Vec<String> = group
                .columns()
                .iter()
                .map(|c| c.column_path().string())
                .collect();
            assert_eq!(
                names,
                columns::names_of(Layout::BlindWindow).collect::<Vec<_>>()
            );
            assert_eq!(&names[23..], ["salt", "erased"]);
            for column in &group.columns()[23..] {
                assert!(column.statistics().is_none());
                assert_eq!(column.dictionary_page_offset(), None);
                assert_eq!(column.bloom_filter_offset(), None);
            }
        }
    });
}

/// A row of version 4 has no place in a file of version 1.
#[test]
fn files_of_version_1_take_no_salt_and_nothing_erased() {
    with_rows(|rows| {
        let plain = |rows: &[Row<'_>]| window_to_bytes(Layout::Window, RowOrder::Sorted, rows);
        assert!(plain(&rows[1..2]).is_ok());
        assert!(plain(&rows[..1]).is_err());
        assert!(plain(&[rows[1].erase()]).is_err());
    });
}

#[test]
fn leaves_do_not_depend_on_texts_but_of_duplicates() {
    with_rows(|rows| {
        let leaf = |row: &Row<'_>| {
            let mut leaf = Vec::new();
            row.write_leaf_in(LeafForm::Blind, &mut leaf);
            leaf
        };
        let mut row = rows[0].clone();
        let whole = leaf(&row);
        row.event = None;
        assert_eq!(leaf(&row), whole);
        row.disposition = Disposition::Duplicate;
        let without = leaf(&row);
        row.event = rows[0].event;
        assert_ne!(leaf(&row), without);
    });
}
