//! The catalog's tables and the archive's files have the same columns.

use crate::functions::template;
use vernier_archive::columns::{self, Layout};

/// The names of version 4, which are those before it and more at their end but for a day's `seal`.
#[test]
fn the_catalog_lists_the_archives_columns() {
    let template = template();
    for (name, layout, before) in [
        ("ArchiveTable", Layout::BlindWindow, Layout::Window),
        ("ExceptionsTable", Layout::BlindWindow, Layout::Window),
        ("DaysTable", Layout::BlindDay, Layout::Day),
        ("DaysExceptionsTable", Layout::BlindDay, Layout::Day),
    ] {
        let table = &template["Resources"][name]["Properties"]["TableInput"];
        let listed = table["StorageDescriptor"]["Columns"].as_array();
        let listed = listed.expect("columns").iter();
        let listed: Vec<_> = listed.filter_map(|c| c["Name"].as_str()).collect();
        assert_eq!(
            listed,
            columns::names_of(layout).collect::<Vec<_>>(),
            "{name}"
        );
        let mut earlier = columns::names_of(before);
        assert!(earlier.all(|column| listed.contains(&column)), "{name}");
    }
}

/// Folders are named by text (docs/analysts.md): a tenant of digits stays a name, and an hour has two of them.
#[test]
fn the_catalogs_partitions_are_text() {
    let template = template();
    let names: [(&str, &[&str]); 4] = [
        ("ArchiveTable", &["tenant", "dt", "hour"]),
        ("ExceptionsTable", &["tenant", "dt", "hour"]),
        ("DaysTable", &["tenant", "dt"]),
        ("DaysExceptionsTable", &["tenant", "dt"]),
    ];
    for (name, wanted) in names {
        let table = &template["Resources"][name]["Properties"]["TableInput"];
        let keys = table["PartitionKeys"].as_array().expect("keys").iter();
        let keys: Vec<_> = keys
            .map(|key| (key["Name"].as_str(), key["Type"].as_str()))
            .collect();
        let wanted: Vec<_> = wanted
            .iter()
            .map(|name| (Some(*name), Some("string")))
            .collect();
        assert_eq!(keys, wanted, "{name}");
        if wanted.len() == 3 {
            let hours: Vec<String> = (0..24).map(|hour| format!("{hour:02}")).collect();
            let projected = &table["Parameters"]["projection.hour.values"];
            assert_eq!(projected.as_str(), Some(hours.join(",").as_str()), "{name}");
        }
    }
}
