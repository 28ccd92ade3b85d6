//! The trigger files in events/: inputs of tests and of `sam local invoke`.

use std::path::{Path, PathBuf};
use vernier_ledger::access::TOKEN_PREFIX;

/// What stands in the files where a token would: no committed file holds one, though it were nobody's.
const FILES_TOKEN: &str = "vrn_test_events_token";

/// The token that the files are read with. It has the form of those that were issued before tokens had a
/// checksum.
#[must_use]
pub fn files_secret() -> String {
    format!("{TOKEN_PREFIX}{}", "5c".repeat(32))
}

/// A file's text, with its token.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn text_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("readable");
    text.replace(FILES_TOKEN, &files_secret())
}

/// A function's files, in order.
///
/// # Panics
/// When the function has no folder.
#[must_use]
pub fn files_of(function: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../events")
        .join(function);
    let entries = std::fs::read_dir(&folder).expect("the function has its events");
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.sort();
    files
}

/// A file's name without its ending.
#[must_use]
pub fn name_of(file: &Path) -> String {
    file.file_stem()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// What a file's name promises of the answer.
#[must_use]
pub fn expected_status(name: &str) -> u16 {
    match name {
        "no_token" | "unknown_token" => 401,
        "not_json" | "empty_body" => 400,
        "wrong_content_type" => 415,
        "unknown_version" | "schema_put_refused" => 422,
        "receipt_unknown"
        | "event_unknown"
        | "schema_unknown"
        | "seal_unknown"
        | "proof_unknown"
        | "insights_file_unknown"
        | "root_unknown"
        | "path_unknown" => 404,
        "playback_start" => 202,
        name if name.starts_with("playback_") && name.ends_with("_unknown") => 404,
        name if name.ends_with("preflight") => 204,
        name if name.ends_with("_method_refused") => 405,
        _ => 200,
    }
}
