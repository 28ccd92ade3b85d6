//! The archive through Athena, by the tables that the template makes.

use super::signed;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use vernier_archive::reader::Part;
use vernier_aws::Bucket;
use vernier_ledger::ports::Objects as _;
use vernier_tests::deployed::variable;
use walkdir::WalkDir;

fn athena(action: &str, request: &Value) -> Value {
    let target = format!("AmazonAthena.{action}");
    let headers = [
        ("x-amz-target", target.as_str()),
        ("content-type", "application/x-amz-json-1.1"),
    ];
    let (status, _, body) = signed::post("athena", "/", &headers, request.to_string().as_bytes());
    let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
    assert_eq!(status, 200, "{action}: {answer}");
    answer
}

/// Rows of a query without the header, as text.
fn rows(sql: &str) -> Vec<Vec<String>> {
    let bucket = variable("VERNIER_BUCKET");
    let started = athena(
        "StartQueryExecution",
        &json!({
            "QueryString": sql,
            "QueryExecutionContext": { "Database": variable("VERNIER_CATALOG") },
            "ResultConfiguration": { "OutputLocation": format!("s3://{bucket}/athena/") },
        }),
    );
    let id = json!({ "QueryExecutionId": started["QueryExecutionId"] });
    loop {
        let status = &athena("GetQueryExecution", &id)["QueryExecution"]["Status"];
        match status["State"].as_str() {
            Some("QUEUED" | "RUNNING") => std::thread::sleep(Duration::from_millis(50)),
            Some("SUCCEEDED") => break,
            _ => panic!("{sql}: {status}"),
        }
    }
    let answer = athena("GetQueryResults", &id);
    let rows = answer["ResultSet"]["Rows"].as_array().expect("rows");
    let cells = |row: &Value| {
        let cells = row["Data"].as_array().expect("cells");
        let text = |cell: &Value| cell["VarCharValue"].as_str().unwrap_or_default().to_owned();
        cells.iter().map(text).collect()
    };
    rows.iter().skip(1).map(cells).collect()
}

fn golden(version: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/archive/tests/golden");
    golden.join(version)
}

/// Puts a golden archive's files below a prefix: without one, where sealed windows lie.
pub(crate) async fn put_golden_archive(version: &str, prefix: &str, extensions: &[&str]) {
    put_golden(version, extensions, |key| format!("{prefix}{key}")).await;
}

/// Puts the golden archives of version 4 where the windows and days of another tenant lie.
async fn put_version_4() {
    for version in ["v4", "v4-day"] {
        let of_college = |key: &str| key.replace("tenant=school", "tenant=college");
        put_golden(version, &["parquet"], of_college).await;
    }
}

async fn put_golden(version: &str, extensions: &[&str], key_of: impl Fn(&str) -> String) {
    let bucket = Bucket::new(
        &vernier_aws::config().await.expect("AWS_CA_BUNDLE is read"),
        variable("VERNIER_BUCKET"),
    );
    let golden = golden(version);
    for entry in WalkDir::new(&golden) {
        let entry = entry.expect("it is listed");
        let extension = entry.path().extension().and_then(|e| e.to_str());
        if extension.is_some_and(|e| extensions.contains(&e)) {
            let key = entry.path().strip_prefix(&golden).expect("it is inside");
            let bytes = std::fs::read(entry.path()).expect("readable");
            let key = key_of(key.to_str().expect("UTF-8"));
            bucket.put_new(&key, bytes, None).await.expect("stored");
        }
    }
}

/// Rows, erased ones and salted ones of the files below a folder.
fn counted(folder: &Path) -> [usize; 3] {
    let mut counts = [0; 3];
    for entry in WalkDir::new(folder) {
        let path = entry.expect("it is listed").into_path();
        if path.extension().is_some_and(|e| e == "parquet") {
            let bytes = bytes::Bytes::from(std::fs::read(path).expect("readable"));
            let part = Part::open(Arc::new(bytes)).expect("a part");
            part.for_each(|row| {
                counts[0] += 1;
                counts[1] += usize::from(row.erased.is_some());
                counts[2] += usize::from(row.salt.is_some());
                Ok(())
            })
            .expect("reads");
        }
    }
    counts
}

/// Files of all versions lie in one table, by name: what older ones lack is null.
#[tokio::test]
async fn athena_reads_files_of_all_versions_side_by_side() {
    put_golden_archive("v1", "", &["parquet"]).await;
    put_version_4().await;
    let queried = tokio::task::spawn_blocking(|| {
        let counts = |table: &str, tenant: &str| {
            let sql = format!(
                "SELECT count(*), count(erased), count(salt) FROM {table} \
                 WHERE tenant = '{tenant}' AND dt = '2026-09-01'"
            );
            let found = rows(&sql);
            let number = |at: usize| found[0][at].parse::<usize>().expect("a number");
            [0, 1, 2].map(number)
        };
        let parts = rows(
            "SELECT count(part), count(*) FROM days WHERE tenant = 'college' AND dt = '2026-09-01'",
        );
        let of_school = counts("archive", "school");
        (
            of_school,
            counts("archive", "college"),
            counts("exceptions", "college"),
            parts,
        )
    });
    let (old, archive, exceptions, parts) = queried.await.expect("the thread ends");
    assert_eq!(old, counted(&golden("v1").join("archive")));
    assert_eq!(archive, counted(&golden("v4").join("archive")));
    assert_eq!(exceptions, counted(&golden("v4").join("exceptions")));
    assert!(archive[1] > 0 && archive[2] > 0, "{archive:?}");
    // A day of version 3 lies beside one of version 4: its rows have no part.
    assert_ne!(parts[0][0], parts[0][1], "{parts:?}");
}

#[tokio::test]
async fn athena_reads_the_archive_as_it_lies() {
    put_golden_archive("v1", "", &["parquet"]).await;
    let queried = tokio::task::spawn_blocking(|| {
        let which = "WHERE tenant = 'school' AND dt = '2026-09-01' AND hour = '09'";
        let stored = rows(&format!(
            "SELECT count(*), count(DISTINCT id), min(length(event)) > 0 FROM archive {which}"
        ));
        let exceptions = rows(&format!(
            "SELECT disposition, count(*) FROM exceptions {which} GROUP BY disposition ORDER BY disposition"
        ));
        let columns = rows(&format!(
            "SELECT \"group\", type, receipt, \"index\" FROM archive {which} ORDER BY receipt, \"index\""
        ));
        (stored, exceptions, columns.len())
    });
    let (stored, exceptions, listed) = queried.await.expect("the thread ends");
    let count: usize = stored[0][0].parse().expect("a number");
    assert!(count > 1 && count == listed, "{stored:?}, {listed} listed");
    assert_eq!(stored[0][2], "true", "every stored event has its text");
    let dispositions: Vec<&str> = exceptions.iter().map(|row| row[0].as_str()).collect();
    assert!(dispositions.contains(&"rejected"), "{exceptions:?}");
}

/// Beside the windows of the golden archive lies their day: together each event counts once.
#[tokio::test]
async fn athena_reads_days_beside_windows() {
    for version in ["v1", "v2"] {
        put_golden_archive(version, "", &["parquet"]).await;
    }
    let queried = tokio::task::spawn_blocking(|| {
        let of_day = "tenant = 'school' AND dt = '2026-09-01'";
        let days = rows(&format!(
            "SELECT count(*), min(seal), max(seal) FROM days WHERE {of_day}"
        ));
        let exceptions = rows(&format!(
            "SELECT count(*) FROM days_exceptions WHERE {of_day}"
        ));
        let once = rows(&format!(
            "WITH day AS (SELECT * FROM days WHERE {of_day}), win AS (SELECT * FROM archive WHERE {of_day}) \
             SELECT count(*) FROM (SELECT receipt FROM day UNION ALL SELECT win.receipt FROM win \
             LEFT JOIN day ON win.receipt = day.receipt AND win.\"index\" = day.\"index\" \
             WHERE day.receipt IS NULL)"
        ));
        (days, exceptions, once)
    });
    let (days, exceptions, once) = queried.await.expect("the thread ends");
    assert_eq!(days, [["3", "0", "1"]]);
    assert_eq!(
        (exceptions, once),
        (vec![vec!["3".to_owned()]], vec![vec!["3".to_owned()]])
    );
}

/// The queries of docs/analysts.md for Athena, in their order.
fn queries_of_the_page() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/analysts.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, section) = page.split_once("\n### Athena\n").expect("a heading");
    let (_, sql) = section.split_once("```sql\n").expect("queries");
    let (sql, _) = sql.split_once("```").expect("an end");
    let queries = sql.split(';').map(|query| query.trim().to_owned());
    queries.filter(|query| !query.is_empty()).collect()
}

/// The golden archive's three stored events are of one section and of none; times come on whatever clock the
/// emulator's machine has.
#[tokio::test]
async fn athena_runs_the_pages_queries() {
    for version in ["v1", "v2"] {
        put_golden_archive(version, "", &["parquet"]).await;
    }
    // The emulator takes a table's columns from its files, Athena from the catalog.
    put_version_4().await;
    let queried = tokio::task::spawn_blocking(|| {
        let found = queries_of_the_page()
            .iter()
            .map(|query| rows(query))
            .collect::<Vec<_>>();
        let which = "tenant = 'school' AND dt = '2026-09-01' AND hour BETWEEN '08' AND '09'";
        let times = rows(&format!(
            "SELECT hour, min(received_at) FROM archive WHERE {which} GROUP BY hour"
        ));
        (found, times)
    });
    let (found, times) = queried.await.expect("the thread ends");
    let [by_type, sections] = found.as_slice() else {
        panic!("the page has {} queries", found.len());
    };
    let sum = |rows: &[Vec<String>], at: usize| -> u64 {
        rows.iter()
            .map(|row| row[at].parse::<u64>().expect("a number"))
            .sum()
    };
    assert!(sum(by_type, 2) > 1, "{by_type:?}");
    assert_eq!(sum(sections, 1), 3, "{sections:?}");
    assert!(sections[0][3].starts_with("2026-"), "{sections:?}");
    assert_eq!(times.len(), 1, "{times:?}");
    assert_eq!(times[0][0], "09");
    assert!(times[0][1].starts_with("2026-09-0"), "{times:?}");
}
