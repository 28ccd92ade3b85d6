//! The archive as other people's readers open it, each with the lines that docs/analysts.md gives for it: all
//! of them find the rows, values and partitions that our own reader finds, and skip what cannot match.

use crate::common;
use crate::common::chain4::{Chain4, Content};
use crate::version4::{a_place, mixed};
use parquet::basic::ColumnOrder;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vernier_archive::files::{Memory, Source as _};
use vernier_archive::keys::{Algorithm, KeyFile};
use vernier_archive::reader::Part;
use vernier_archive::row::Row;
use vernier_archive::seal::{Seal, SealKind};
use vernier_ledger::digest::Fingerprint;

/// A name that a reader takes for a number where it guesses.
const NUMERIC_TENANT: &str = "0042";

/// Actor, score and time that only the last window's file has.
const ACTOR: &str = "https://zoo.example/users/1";
const SCORE_MIN: f64 = 1_000.0;
const TIME: &str = "2019-03-04T05:06:07.008Z";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

const CONTEXT: &str = "http://purl.imsglobal.org/ctx/caliper/v1p2";

fn zoo(name: &str) -> String {
    format!("https://zoo.example/{name}")
}

fn grade(attempt: &str, actor: &str, at: &str, given: f64) -> Value {
    let id = uuid::Uuid::from_bytes(
        Fingerprint::of(attempt.as_bytes()).0[..16]
            .try_into()
            .expect("16 bytes"),
    );
    json!({
        "@context": CONTEXT, "id": format!("urn:uuid:{id}"), "type": "GradeEvent", "profile": "GradingProfile",
        "action": "Graded", "eventTime": at, "actor": {"id": actor, "type": "Person"},
        "object": {
            "id": zoo(attempt), "type": "Attempt", "count": 1,
            "assignee": zoo("users/2"), "assignable": zoo("quiz"),
        },
        "generated": {"id": zoo(&format!("scores/{id}")), "type": "Score", "scoreGiven": given, "maxScore": 2_000.0},
        "group": {"id": zoo("sections/1"), "type": "CourseSection"},
    })
}

/// A window of nothing but low grades, each of its columns with a value in every row.
fn low() -> Vec<Value> {
    let number = |n: u32| {
        let at = "2026-02-01T10:00:00.000Z";
        grade(&format!("low/{n}"), &zoo("graders/1"), at, f64::from(n))
    };
    (1..20).map(number).collect()
}

/// A window of grades above all others, two zeros, and two describes.
fn high() -> Vec<Value> {
    let given = (0u32..30)
        .map(|n| SCORE_MIN + f64::from(n))
        .chain([0.0, -0.0]);
    let grades = given
        .enumerate()
        .map(|(n, given)| grade(&format!("high/{n}"), ACTOR, TIME, given));
    let describes = [("users/1", "Person"), ("sections/1", "CourseSection")];
    let describes =
        describes.map(|(id, name)| json!({"@context": CONTEXT, "id": zoo(id), "type": name}));
    grades.chain(describes).collect()
}

fn envelope(data: &[Value]) -> String {
    let envelope = json!({
        "sensor": zoo("sensor"), "sendTime": "2026-09-01T10:00:00.000Z", "dataVersion": CONTEXT, "data": data,
    });
    envelope.to_string()
}

/// Five windows, the first two compacted too, the first one's own files removed, and the chain goes on in version 4 with
/// another three, of which two are compacted and one has a row erased; the same for a tenant whose name is digits.
fn copy(folder: &Path) -> Memory {
    let key = common::key(Algorithm::Ed25519Sha256);
    let mixed = |n: u64| common::lines(common::Mix::of(n + 1, 120), common::window(n));
    let graded = [(3, low()), (4, high())];
    let graded =
        graded.map(|(n, data)| common::lines_of_envelope(&envelope(&data), common::window(n)));
    let (memory, mut seals) = common::archive_of((0..3).map(mixed).chain(graded), &key);
    let day = common::merge_days(&seals[..2], &seals[4], 1_000_000, &key, &memory);
    seals.push(day);
    common::remove_files(&seals[..1], &memory);
    let memory = continued(memory, seals, key);
    for (name, bytes) in memory.all() {
        if let Some((class, rest)) = name.split_once("/tenant=school/") {
            memory.put(format!("{class}/tenant={NUMERIC_TENANT}/{rest}"), bytes);
        }
    }
    common::write_out(&memory, &folder.join("copy"));
    memory
}

/// A chain of versions 1 and 3 with windows and a day of version 4, in whose files all columns of it have values.
fn continued(memory: Memory, seals: Vec<Seal>, key: KeyFile) -> Memory {
    let mut chain = Chain4::after(memory, seals, key);
    let content = Content {
        shares: 2,
        ..Content::of(mixed())
    };
    for n in 5..8 {
        chain.seal(SealKind::Window, common::window(n), &content);
    }
    let first = chain.seals.len() - 3;
    let (part, place) = a_place(&chain, first, "urn:x:2");
    chain.erase(first as u64, part, &[place]);
    chain.day(&[first as u64, first as u64 + 1]);
    assert_eq!(chain.current(first as u64).shares(), 2);
    chain.memory
}

/// What all readers are asked of the files below a prefix.
#[derive(Debug, Default)]
struct Facts {
    rows: u64,
    describes: u64,
    scores: u64,
    zeros: u64,
    score_sum: f64,
    /// None while no row has a score.
    score_bounds: Option<[f64; 2]>,
    without_time: u64,
    time_sum_millis: i128,
    partitions: BTreeMap<String, u64>,
}

impl Facts {
    fn of(memory: &Memory, prefix: &str) -> Self {
        let mut facts = Self::default();
        for key in memory.all().into_keys().filter(|k| k.starts_with(prefix)) {
            // `archive/tenant=school/dt=2026-09-01/hour=09/…`, in a day's without the hour.
            let values = key.split('/').filter_map(|part| part.split_once('='));
            let values: Vec<&str> = values.map(|(_, value)| value).collect();
            let partition = values.join("/");
            let part = Part::open(memory.open(&key).expect("there")).expect("a part");
            part.for_each(|row| {
                facts.add(&row);
                *facts.partitions.entry(partition.clone()).or_default() += 1;
                Ok(())
            })
            .expect("reads");
        }
        facts
    }

    fn add(&mut self, row: &Row<'_>) {
        self.rows += 1;
        self.describes += u64::from(row.kind == "entity");
        if let Some(score) = row.score {
            let [least, most] = self.score_bounds.unwrap_or([score; 2]);
            self.score_bounds = Some([least.min(score), most.max(score)]);
            self.scores += 1;
            self.zeros += u64::from(score == 0.0);
            self.score_sum += score;
        }
        self.without_time += u64::from(row.event_time.is_none());
        self.time_sum_millis += row.event_time.map_or(0, |at| i128::from(at.0));
    }

    fn as_json(&self) -> Value {
        json!({
            "rows": self.rows, "describes": self.describes, "scores": self.scores, "zeros": self.zeros,
            "score_bounds": self.score_bounds, "score_sum_thousandths": (self.score_sum * 1_000.0).round() as i64,
            "without_time": self.without_time,
            "time_sum_millis": self.time_sum_millis.to_string(), "partitions": self.partitions,
        })
    }
}

/// The Python block below a heading of the page.
fn lines_of(reader: &str) -> String {
    let page = fs::read_to_string(root().join("docs/analysts.md")).expect("the page");
    let section = page.split(&format!("\n### {reader}\n")).nth(1);
    let section = section.unwrap_or_else(|| panic!("docs/analysts.md has no heading {reader}"));
    let code = section
        .split("```python\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    code.expect("a block of Python").to_owned()
}

/// What a reader finds, as scripts/archive_readers.py asks it; none where it is not installed.
fn found(reader: &str, folder: &Path) -> Option<Value> {
    let python = root().join(".venv/readers/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED: no .venv/readers here; `make setup` installs them");
        return None;
    }
    let script = root().join("scripts/archive_readers.py").canonicalize();
    let ran = Command::new(python)
        .current_dir(folder)
        .arg(script.expect("there"))
        .args([
            reader,
            &lines_of(reader),
            ACTOR,
            &SCORE_MIN.to_string(),
            TIME,
        ])
        .output()
        .expect("Python starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{reader}\n{}", text(&ran.stderr));
    Some(serde_json::from_slice(&ran.stdout).expect("JSON"))
}

/// Readers that know no other order than the column's own use the bounds of such columns alone.
#[test]
fn every_columns_bounds_are_in_its_types_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = copy(folder.path()).all().into_iter();
    for (key, bytes) in files.filter(|(key, _)| key.ends_with(".parquet")) {
        let reader = SerializedFileReader::new(bytes).expect("Parquet");
        let metadata = reader.metadata().file_metadata();
        let orders = metadata.column_orders().expect("there are orders");
        assert_eq!(orders.len(), metadata.schema_descr().num_columns());
        let is_own = |order: &ColumnOrder| matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_));
        assert!(orders.iter().all(is_own), "{key}: {orders:?}");
    }
}

/// Row groups that a reader reads for an actor, for a score and for an event time that only the last window of
/// each tenant has.
#[derive(Debug, Clone, Copy)]
struct GroupsRead {
    actor: usize,
    score: usize,
    event_time: usize,
}

const LAST_ALONE: GroupsRead = GroupsRead {
    actor: 2,
    score: 2,
    event_time: 2,
};

fn check(reader: &str, read: GroupsRead) {
    let folder = tempfile::tempdir().expect("a folder");
    let memory = copy(folder.path());
    let Some(found) = found(reader, folder.path()) else {
        return;
    };
    for (class, prefix) in [("archive", "archive/"), ("days", "days/archive/")] {
        let facts = Facts::of(&memory, prefix);
        assert!(facts.rows > 100 && facts.partitions.len() >= 2, "{facts:?}");
        assert_eq!(found[class], facts.as_json(), "{reader}, {class}");
    }
    let keys = memory.all().into_keys();
    let groups = keys.filter(|key| key.starts_with("archive/")).count();
    let of = |read: usize| json!([read, groups]);
    let expected = json!({"actor": of(read.actor), "score": of(read.score), "event_time": of(read.event_time)});
    assert_eq!(found["read"], expected, "{reader}");
}

#[test]
fn duckdb_agrees_and_skips() {
    check("DuckDB", LAST_ALONE);
}

/// It reads the row groups in which some rows have no score, whatever their bounds: here all of version 1 but the low
/// grades'; and for actors those in which a row is erased.
#[test]
fn pyarrow_agrees_and_skips() {
    let (actor, score) = (4, 6);
    check(
        "pyarrow",
        GroupsRead {
            actor,
            score,
            ..LAST_ALONE
        },
    );
}

/// It reads files in which no row has a score, which have no bounds of it: those of version 4 here, six of each tenant.
#[test]
fn polars_agrees_and_skips() {
    let score = 14;
    check(
        "Polars",
        GroupsRead {
            score,
            ..LAST_ALONE
        },
    );
}

/// The same, and of event times too.
#[test]
fn datafusion_agrees_and_skips() {
    let (score, event_time) = (14, 14);
    check(
        "DataFusion",
        GroupsRead {
            score,
            event_time,
            ..LAST_ALONE
        },
    );
}

#[test]
fn chdb_agrees_and_skips() {
    check("chdb", LAST_ALONE);
}
