//! The official examples, which lie beside the project and not in it.
use std::path::PathBuf;

/// The *.json files of a folder of `../shared/caliper`, by name; none, with a word on standard
/// error, when the folder is not there. `CALIPER_EXAMPLES` names another place.
pub(crate) fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let root = std::env::var_os("CALIPER_EXAMPLES").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../../shared/caliper"
            ))
        },
        PathBuf::from,
    );
    let path = root.join(folder);
    let Ok(entries) = std::fs::read_dir(&path) else {
        eprintln!(
            "SKIPPED: the Caliper examples are not at {}",
            path.display()
        );
        return Vec::new();
    };
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let name = path
                .file_name()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            (name, std::fs::read(&path).expect("an example can be read"))
        })
        .collect();
    files.sort();
    files
}
