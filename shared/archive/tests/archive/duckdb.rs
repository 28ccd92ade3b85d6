//! The files as an analyst reads them: with DuckDB, as they lie, by the README's query and the page's.

use crate::common;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vernier_archive::keys::Algorithm;
use vernier_archive::seal::Seal;
use vernier_archive::verify::{Options, verify};
use vernier_archive::{columns, keys::Signer as _};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Python that `make setup` installs DuckDB for; none before it ran.
fn python() -> Option<PathBuf> {
    let python = root().join(".venv/emulator/bin/python");
    if python.exists() {
        return Some(python);
    }
    eprintln!("SKIPPED: no .venv/emulator with DuckDB here; `make setup` installs it");
    None
}

/// An archive in `copy/` below a folder: three windows, the first two compacted too, the first one's
/// own files removed.
fn copy() -> (tempfile::TempDir, Vec<Seal>) {
    let key = common::key(Algorithm::Ed25519Sha256);
    let (memory, seals) = common::archive(3, 120, &key);
    common::merge_days(&seals[..2], &seals[2], 1_000_000, &key, &memory);
    common::remove_files(&seals[..1], &memory);
    let keys = [key.public_key().clone()];
    let report = verify(&memory, &keys, &Options::default(), &|_| {});
    assert!(report.expect("reads").is_sound());
    let folder = tempfile::tempdir().expect("a folder");
    common::write_out(&memory, &folder.path().join("copy"));
    (folder, seals)
}

fn run(python: &Path, folder: &Path, script: &str, args: &[String]) -> String {
    let ran = Command::new(python)
        .current_dir(folder)
        .args(["-c", script])
        .args(args)
        .output()
        .expect("Python starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{script}\n{}", text(&ran.stderr));
    text(&ran.stdout)
}

/// One query, its rows as JSON. Times as text: as Python's own they would want one more package.
const QUERY: &str = "
import duckdb, json, sys
for query in sys.argv[1:]:
    if query.startswith('CREATE'):
        duckdb.execute(query)
        continue
    found = duckdb.sql(query)
    types = [str(t) for t in found.types]
    column = lambda name, kind: f'CAST(\"{name}\" AS VARCHAR)' if 'TIME ZONE' in kind else f'\"{name}\"'
    rows = found.project(', '.join(map(column, found.columns, types))).fetchall()
    print(json.dumps({'columns': found.columns, 'types': types, 'rows': rows}, default=str))
";

fn query(python: &Path, folder: &Path, sql: &str) -> serde_json::Value {
    let printed = run(python, folder, QUERY, &[sql.to_owned()]);
    serde_json::from_str(&printed).expect("JSON")
}

#[test]
fn duckdb_reads_every_column_and_partition() {
    let Some(python) = python() else { return };
    let (folder, seals) = copy();
    let windows: Vec<&str> = columns::names().chain(["dt", "hour", "tenant"]).collect();
    let days: Vec<&str> = columns::day_names().chain(["dt", "tenant"]).collect();
    for (class, wanted) in [
        ("archive", &windows),
        ("exceptions", &windows),
        ("days/archive", &days),
        ("days/exceptions", &days),
    ] {
        let all = format!(
            "SELECT * FROM read_parquet('copy/{class}/**/*.parquet', hive_partitioning = true) LIMIT 1"
        );
        let found = query(&python, folder.path(), &all);
        let named = found["columns"].as_array().expect("names").iter();
        let named: Vec<&str> = named.filter_map(|name| name.as_str()).collect();
        assert_eq!(named, *wanted);
        let types = found["types"].to_string();
        assert!(
            types.contains("TIMESTAMP WITH TIME ZONE") && types.contains("BLOB"),
            "{types}"
        );
    }
    let mut statements = statements_of("Windows and days");
    statements.extend(statements_of("Dispositions"));
    let printed = run(&python, folder.path(), QUERY, &statements);
    let found: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let mut rows = found["rows"].as_array().expect("rows").clone();
    rows.sort_by_key(serde_json::Value::to_string);
    let sum = |of: fn(&Seal) -> u64| seals.iter().map(of).sum::<u64>();
    let wanted = serde_json::json!([
        ["conflict", sum(|s| s.counts.conflict)],
        ["duplicate", sum(|s| s.counts.duplicate)],
        ["rejected", sum(|s| s.counts.rejected)],
        ["stored", sum(|s| s.counts.stored)],
    ]);
    assert_eq!(serde_json::Value::from(rows), wanted);
    let other = "SELECT count(*) FROM read_parquet('copy/archive/**/*.parquet')
        WHERE sha256(event) <> lower(hex(fingerprint))
            OR received_at < TIMESTAMPTZ '2026-09-01 09:15:00Z' OR received_at >= TIMESTAMPTZ '2026-09-01 10:00:00Z'
            OR json_extract_string(event, '$.id') <> id
            OR json_extract_string(event, '$.type') <> type
            OR CAST(json_extract_string(event, '$.eventTime') AS TIMESTAMPTZ) <> event_time";
    assert_eq!(
        query(&python, folder.path(), other)["rows"],
        serde_json::json!([[0]])
    );
}

/// docs/seal.md: from the files alone, the digest can be computed again.
#[test]
fn the_digest_comes_out_of_the_files_alone() {
    const DIGEST: &str = "
import duckdb, glob, hashlib, json, uuid
import os
for path in sorted(glob.glob('copy/seals/*/*.json')):
    seal = json.load(open(path))
    if not all(os.path.exists('copy/' + file['key']) for file in seal['files']):
        continue
    total = 0
    for file in seal['files']:
        rows = duckdb.execute('SELECT receipt, \"index\", fingerprint FROM read_parquet(?)', ['copy/' + file['key']]).fetchall()
        for receipt, index, fingerprint in rows:
            data = uuid.UUID(receipt).bytes + index.to_bytes(4, 'big') + fingerprint
            total += int.from_bytes(hashlib.sha256(data).digest(), 'big')
    assert '%064x' % (total % 2**256) == seal['digest'], path
print('equal')
";
    let Some(python) = python() else { return };
    let (folder, _) = copy();
    assert_eq!(run(&python, folder.path(), DIGEST, &[]), "equal\n");
}

fn text_of(page: &str) -> String {
    fs::read_to_string(root().join(page)).expect("there")
}

/// The statements of the blocks of SQL in a text.
fn statements_in(text: &str) -> Vec<String> {
    let blocks = text.split("```sql\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("\n```").next());
    let statements = blocks.flat_map(|block| block.split(';'));
    let statements = statements.map(|statement| statement.trim().to_owned());
    statements
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// The statements below a heading of docs/analysts.md.
fn statements_of(heading: &str) -> Vec<String> {
    let page = text_of("docs/analysts.md");
    let begin = format!("\n### {heading}\n");
    let (_, rest) = page.split_once(&begin).expect("a heading");
    let found = statements_in(rest.split("\n### ").next().unwrap_or_default());
    assert!(!found.is_empty(), "{heading} has no SQL");
    found
}

/// What they find is held against the API by the pipeline tier.
#[test]
fn the_queries_of_readme_and_page_find_something() {
    let Some(python) = python() else { return };
    let (folder, _) = copy();
    let mut queries = statements_of("Windows and days");
    let views = queries.len();
    queries.extend(statements_in(&text_of("README.md")));
    for heading in ["Sections", "Usage", "Activity", "Rejections"] {
        queries.extend(statements_of(heading));
    }
    let printed = run(&python, folder.path(), QUERY, &queries);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), queries.len() - views);
    for (query, line) in queries[views..].iter().zip(lines) {
        let found: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let rows = found["rows"].as_array().expect("rows");
        assert!(!rows.is_empty(), "no row: {query}");
    }
}
