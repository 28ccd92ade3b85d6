//! The queries of docs/analysts.md over what a tenant's windows and days hold, against the API's answers.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vernier_ledger::ports::Directory;
use vernier_tests::bodies::{balanced, post, sealing::sealed};
use vernier_tests::envelopes::{CONTEXT, assessed, bytes, event, graded, invalid_event};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::orchestra::compact_today;
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Profile};

const SECTION: &str = "https://school.example/sections/3";

/// Runs each statement of the standard input; prints the rows of the last one as JSON, times as RFC 3339.
const RUN: &str = "
import datetime, duckdb, json, sys
for statement in sys.stdin.read().split(';'):
    if statement.strip():
        found = duckdb.sql(statement)
def text(value):
    if not isinstance(value, datetime.datetime):
        return value
    if value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return value.isoformat(timespec='milliseconds') + 'Z'
print(json.dumps([[text(value) for value in row] for row in found.fetchall()]))
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The page's queries, by their headings.
fn queries() -> BTreeMap<String, String> {
    let page = fs::read_to_string(root().join("docs/analysts.md")).expect("the page");
    let (_, questions) = page.split_once("\n## Questions\n").expect("a heading");
    let sections = questions.split("\n### ").skip(1);
    let query = |section: &str| {
        let (name, text) = section.split_once('\n')?;
        let sql = text.split("```sql\n").nth(1)?.split("```").next()?;
        Some((name.to_owned(), sql.to_owned()))
    };
    sections.filter_map(query).collect()
}

/// An attempt at an item, worth five points of the attempt at its quiz.
fn part(learner: &str, at: &str) -> Value {
    let mut event = graded(learner, "question", 5.0, at);
    event["object"]["isPartOf"] = json!(format!(
        "{SECTION}/assignments/quiz/users/{learner}/attempts/1"
    ));
    event
}

fn describe(id: &str, name: &str) -> Value {
    json!({"@context": CONTEXT, "id": id, "type": name})
}

/// What is received before the day is compacted: grades that come again, an item's too, a second attempt, a
/// grade from a clock ahead, a duplicate, a conflict, two rejected events and two describes.
fn first() -> Vec<Value> {
    let mut second = graded("jane", "quiz", 9.0, "2026-11-21T10:00:00.000Z");
    second["object"]["id"] = json!(format!("{SECTION}/assignments/quiz/users/jane/attempts/2"));
    second["object"]["count"] = json!(2);
    let known = graded("joe", "quiz", 2.0, "2026-11-20T10:00:00.000Z");
    let mut conflict = known.clone();
    conflict["generated"]["scoreGiven"] = json!(3.5);
    conflict["eventTime"] = json!("2026-11-20T10:30:00.000Z");
    let mut lonely = event();
    lonely.as_object_mut().expect("an object").remove("group");
    vec![
        assessed("jane", "quiz", "Started", "2026-11-20T09:00:00.000Z"),
        graded("jane", "quiz", 5.0, "2026-11-20T10:00:00.000Z"),
        graded("jane", "quiz", 8.5, "2026-11-20T12:00:00.000Z"),
        second,
        part("jane", "2026-11-20T12:00:01.000Z"),
        part("joe", "2026-11-20T12:00:01.000Z"),
        graded("ann", "quiz", 1.0, "2040-01-01T00:00:00.000Z"),
        graded("ann", "essay", 7.0, "2026-11-20T12:00:00.000Z"),
        known.clone(),
        known,
        conflict,
        lonely,
        invalid_event(),
        invalid_event(),
        describe(SECTION, "CourseSection"),
        describe("https://school.example/users/jane", "Person"),
    ]
}

/// What comes after it: the clock's correction, a grade that is taken back, one more of each kind.
fn second() -> Vec<Value> {
    let mut cleared = graded("ann", "essay", 7.0, "2026-11-21T12:00:00.000Z");
    let score = cleared["generated"].as_object_mut().expect("a score");
    score.remove("scoreGiven");
    vec![
        graded("ann", "quiz", 6.0, "2026-11-21T12:00:00.000Z"),
        cleared,
        assessed("joe", "essay", "Submitted", "2026-11-21T09:00:00.000Z"),
        describe("https://school.example/users/joe", "Person"),
        invalid_event(),
        event(),
    ]
}

/// Compacts what is sealed, though its day is not over, and leaves the windows' own files.
async fn compact(world: &MemoryWorld) {
    let mut days = 0;
    for tenant in world.table.tenants().await.expect("listed") {
        days += compact_today(world, &tenant, 86_400).await.days;
    }
    assert!(days > 0);
}

/// A tenant's sealed files in `copy/` below a folder.
async fn copy(world: &MemoryWorld, folder: &Path) {
    for class in ["archive/", "exceptions/", "days/"] {
        let keys = world.keys(class).await;
        assert!(!keys.is_empty(), "nothing lies under {class}");
        for key in keys {
            let path = folder.join("copy").join(&key);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, world.object(&key).await).expect("written");
        }
    }
}

/// DuckDB over a copied archive.
struct Asked<'a> {
    folder: &'a Path,
    member: &'a Member,
    queries: BTreeMap<String, String>,
}

impl Asked<'_> {
    /// The rows of a page's query, for this tenant, in no order.
    fn rows(&self, name: &str) -> Vec<Value> {
        use std::io::Write as _;
        let query = &self.queries[name];
        let query = query.replace("'school'", &format!("'{}'", self.member.tenant));
        let python = root().join(".venv/readers/bin/python");
        let mut ran = Command::new(python)
            .current_dir(self.folder)
            .args(["-c", RUN])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("Python starts");
        let views = &self.queries["Windows and days"];
        let script = format!("{views};{query}");
        let mut input = ran.stdin.take().expect("piped");
        input.write_all(script.as_bytes()).expect("written");
        drop(input);
        let ended = ran.wait_with_output().expect("ends");
        assert!(ended.status.success(), "{name}");
        sorted(serde_json::from_slice(&ended.stdout).expect("rows"))
    }
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(Value::to_string);
    rows
}

async fn answer(world: &MemoryWorld, member: &Member, call: Call) -> Value {
    let answer = world.call(call.token(&member.secret)).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

fn list(of: &Value) -> impl Iterator<Item = &Value> {
    of.as_array().expect("a list").iter()
}

/// The rows of the reports over events, as the queries have them.
async fn reported(world: &MemoryWorld, member: &Member, name: &str) -> Vec<Value> {
    let call = Call::get("/reports/{report}").id(name);
    let call = match name {
        "usage" => call.query("bucket", "day"),
        "grades" => call.query("section", SECTION),
        _ => call,
    };
    let found = answer(world, member, call).await;
    let rows: Vec<Value> = match name {
        "sections" => list(&found["sections"])
            .map(|s| {
                json!([
                    s["section"],
                    s["events"],
                    s["active_learners"],
                    s["last_event_at"]
                ])
            })
            .collect(),
        "usage" => list(&found["buckets"])
            .flat_map(|bucket| {
                let types = bucket["events"].as_object().expect("types").iter();
                types.map(|(name, events)| json!([bucket["start"], name, events]))
            })
            .collect(),
        "activity" => hours(&found),
        _ => grades(&found),
    };
    sorted(rows)
}

/// The hours of the week in which anything happened.
fn hours(found: &Value) -> Vec<Value> {
    let names = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let days = names.iter().zip(list(&found["events"]));
    let rows = days.flat_map(|(name, hours)| {
        let hours = list(hours).enumerate().filter(|(_, events)| **events != 0);
        hours.map(move |(hour, events)| json!([name, hour, events]))
    });
    rows.collect()
}

/// The grades that have a score.
fn grades(found: &Value) -> Vec<Value> {
    let rows = list(&found["learners"]).flat_map(|row| {
        let grades = list(&found["assignments"]).zip(list(&row["grades"]));
        let scored = grades.filter(|(_, grade)| !grade["score"].is_null());
        scored.map(|(assignment, grade)| {
            json!([
                row["learner"],
                assignment,
                grade["score"],
                grade["maximum"],
                grade["percent"]
            ])
        })
    });
    rows.collect()
}

#[tokio::test]
async fn the_analysts_queries_say_what_the_api_says() {
    if !root().join(".venv/readers/bin/python").exists() {
        eprintln!("SKIPPED: no .venv/readers here; `make setup` installs them");
        return;
    }
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    // A day of one seal would not be compacted.
    let first = first();
    let (begin, end) = first.split_at(8);
    post(&world, &member, bytes(begin)).await;
    assert_eq!(balanced(&world, &member, 8).await, [8, 8, 0, 0, 0]);
    sealed(&world, &member, 8).await;
    post(&world, &member, bytes(end)).await;
    assert_eq!(balanced(&world, &member, 16).await, [16, 12, 1, 1, 2]);
    assert_eq!(sealed(&world, &member, 16).await.findings, []);
    compact(&world).await;
    post(&world, &member, bytes(&second())).await;
    let [_, dispositions @ ..] = balanced(&world, &member, 22).await;
    sealed(&world, &member, 16 + 22).await;

    let folder = tempfile::tempdir().expect("a folder");
    copy(&world, folder.path()).await;
    let asked = Asked {
        folder: folder.path(),
        member: &member,
        queries: queries(),
    };
    let names = ["stored", "duplicate", "conflict", "rejected"];
    let accounts = names
        .iter()
        .zip(dispositions)
        .map(|(name, events)| json!([name, events]));
    assert_eq!(asked.rows("Dispositions"), sorted(accounts.collect()));
    for (query, report) in [
        ("Sections", "sections"),
        ("Usage", "usage"),
        ("Activity", "activity"),
        ("Grades", "grades"),
    ] {
        let rows = reported(&world, &member, report).await;
        assert!(rows.len() > 1, "{report}: {rows:?}");
        assert_eq!(asked.rows(query), rows, "{query}");
    }
    let found = answer(&world, &member, Call::get("/deviations")).await;
    let rules = list(&found["sensors"]).flat_map(|sensor| {
        let rules = list(&sensor["rules"]).filter(|rule| rule["problems"] != 0);
        rules.map(|rule| json!([sensor["sensor"], rule["rule"], rule["problems"]]))
    });
    assert_eq!(asked.rows("Rejections"), sorted(rules.collect()));
    assert_eq!(asked.rows("One event"), [] as [Value; 0]);
}
