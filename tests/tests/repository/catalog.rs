//! The catalog's table and the archive's files have the same columns.

use crate::functions::template;
use vernier_archive::columns;

#[test]
fn the_catalog_lists_the_archives_columns() {
    let template = template();
    let table = &template["Resources"]["ArchiveTable"]["Properties"]["TableInput"];
    let listed = table["StorageDescriptor"]["Columns"]
        .as_array()
        .expect("columns");
    let listed: Vec<_> = listed.iter().filter_map(|c| c["Name"].as_str()).collect();
    assert_eq!(listed, columns::names().collect::<Vec<_>>());
}

#[test]
fn the_catalog_lists_the_columns_of_days() {
    let template = template();
    for name in ["DaysTable", "DaysExceptionsTable"] {
        let table = &template["Resources"][name]["Properties"]["TableInput"];
        let listed = table["StorageDescriptor"]["Columns"].as_array();
        let listed = listed.expect("columns").iter();
        let listed: Vec<_> = listed.filter_map(|c| c["Name"].as_str()).collect();
        assert_eq!(listed, columns::day_names().collect::<Vec<_>>(), "{name}");
    }
}
