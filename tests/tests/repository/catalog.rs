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
