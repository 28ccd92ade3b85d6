//! How every bench hands on its figures: one line of JSON, `{"bench": …, "figures": …}`, at the end of
//! the file that `VERNIER_BENCH_JSON` names. Without the variable they are only printed.

use std::io::Write as _;

/// Hands on what a bench measured.
pub(crate) fn write(bench: &str, figures: &serde_json::Value) {
    let Some(path) = std::env::var_os("VERNIER_BENCH_JSON") else {
        return;
    };
    let line = serde_json::json!({ "bench": bench, "figures": figures });
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
