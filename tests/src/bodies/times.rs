//! Times that sensors say: never, ahead, in other forms, and none that anybody can read.

use super::sealing::sealed;
use super::{post, settled};
use crate::envelopes::{bytes, envelope, event, graded};
use crate::world::{Call, Member, World, eventually};
use serde_json::{Value, json};
use vernier_ledger::clock;
use vernier_ledger::time::Millis;
use vernier_validation::{Mode, Profile};

fn at(time: &str) -> Value {
    let mut event = event();
    event["eventTime"] = json!(time);
    event
}

/// An instant so many days from now.
fn in_days(days: i64) -> Millis {
    clock::now().plus_seconds(days * 86_400)
}

async fn events<W: World>(world: &W, member: &Member, parameters: &[(&str, &str)]) -> Value {
    let named = |call: Call, (name, value): &(&str, &str)| call.query(name, value);
    let call = parameters.iter().fold(Call::get("/events"), named);
    let answer = world.call(call.token(&member.secret)).await;
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{parameters:?}: {text}");
    answer.json()["events"].clone()
}

/// Ids of events in an answer, sorted.
fn ids(events: &Value) -> Vec<&str> {
    let events = events.as_array().into_iter().flatten();
    let mut ids: Vec<&str> = events.filter_map(|e| e["event"]["id"].as_str()).collect();
    ids.sort_unstable();
    ids
}

/// An event dated "never" is sealed with its window and found by its time, before and after.
pub async fn an_event_dated_never_is_sealed_like_any_other<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let never = at("9999-12-31T23:59:59.999Z");
    let first = at("0000-01-01T00:00:00.000Z");
    let body = bytes(&[never.clone(), event(), first.clone()]);
    let receipt = post(world, &member, body).await;
    settled(world, &member, &receipt).await;
    for provisional in [true, false] {
        if !provisional {
            let report = sealed(world, &member, 3).await;
            assert_eq!((report.findings, report.counts.stored), (vec![], 3));
        }
        let from = [("event_from", "9999-12-31T23:59:59.999Z")];
        let to = [("event_to", "0000-01-01T00:00:00.001Z")];
        for (parameters, wanted) in [(from, &never), (to, &first)] {
            let found = events(world, &member, &parameters).await;
            assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
            assert_eq!(found[0]["event"], *wanted);
            // On a deployed stack the window may be sealed sooner.
            assert!(provisional || found[0]["provisional"] == false, "{found}");
        }
    }
}

/// Events of a clock that is ahead are asked for by their time alone, and say what they are.
pub async fn events_of_the_future_are_found_without_a_range<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let ahead = at(&in_days(2).rfc3339());
    let body = bytes(&[ahead.clone(), at(&clock::now().rfc3339())]);
    let receipt = post(world, &member, body).await;
    settled(world, &member, &receipt).await;
    let ahead_id = ahead["id"].as_str().unwrap_or_default();
    let tomorrow = in_days(1).rfc3339();
    for parameters in [
        &[("event_from", tomorrow.as_str())][..],
        &[("event_from", &tomorrow), ("sort", "event_time")],
        &[("deviation", "time.ahead")],
    ] {
        let found = events(world, &member, parameters).await;
        assert_eq!(ids(&found), [ahead_id], "{parameters:?}: {found}");
        assert_eq!(found[0]["deviations"][0]["rule"], "time.ahead");
    }
    let none = events(world, &member, &[("event_from", &in_days(3).rfc3339())]).await;
    assert_eq!(none, json!([]));
}

/// A grade from a clock that is a year ahead yields to the correction that comes after it.
pub async fn a_grade_from_the_future_is_corrected_by_the_next<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let wrong = graded("jane", "quiz", 1.0, &in_days(365).rfc3339());
    let right = graded("jane", "quiz", 9.0, &clock::now().rfc3339());
    for grade in [&wrong, &right] {
        let receipt = post(world, &member, bytes(std::slice::from_ref(grade))).await;
        settled(world, &member, &receipt).await;
    }
    let section = right["group"]["id"].as_str().unwrap_or_default();
    let call = |report: &str| {
        let call = Call::get("/reports/{report}").id(report);
        let call = call.query("section", section);
        call.token(&member.secret)
    };
    let grades = world.call(call("grades")).await.json();
    assert_eq!(grades["learners"][0]["grades"][0]["score"], 9.0, "{grades}");
    let jane = "https://school.example/users/jane";
    let history = world.call(call("history").query("learner", jane)).await;
    let history = history.json();
    let changes = history["changes"].as_array().cloned().unwrap_or_default();
    let scores: Vec<&Value> = changes.iter().map(|change| &change["score"]).collect();
    assert_eq!(scores, [1.0, 9.0], "{history}");
    assert_eq!(changes[1]["changed"][0], "score", "{history}");
}

/// Lenient mode reads the forms of real sensors, says so, and finds the events by their instant.
pub async fn times_in_the_forms_of_sensors_are_read<W: World>(world: &W) {
    let member = world.tenant(Mode::Lenient, Profile::Generic).await;
    let forms = [
        "2026-11-20T10:15:00.120+0000",
        "2026-11-20T05:15:00.120-0500",
        "2026-11-20t12:15:00,120 +02",
    ];
    let mut sent: Vec<Value> = forms.map(at).into();
    let mut number = event();
    number["eventTime"] = json!(1_795_169_700_120_i64);
    sent.extend([number, at("2026-11-20T10:15:00.120Z")]);
    let receipt = post(world, &member, bytes(&sent)).await;
    let receipt = settled(world, &member, &receipt).await;
    assert_eq!(receipt["counts"]["stored"], 5, "{receipt}");
    let instant = [
        ("event_from", "2026-11-20T10:15:00.120Z"),
        ("event_to", "2026-11-20T10:15:00.121Z"),
    ];
    let found = events(world, &member, &instant).await;
    let mut wanted: Vec<&str> = sent.iter().filter_map(|e| e["id"].as_str()).collect();
    wanted.sort_unstable();
    assert_eq!(ids(&found), wanted, "{found}");
    let deviating = [("deviation", "Event.eventTime.time")];
    let found = events(world, &member, &deviating).await;
    assert_eq!(found.as_array().map(Vec::len), Some(4), "{found}");
}

/// An envelope whose sendTime has another form is refused in strict mode and taken in lenient mode, which says so.
pub async fn a_send_time_of_another_form_is_taken_leniently<W: World>(world: &W) {
    let strict = world.tenant(Mode::Strict, Profile::Generic).await;
    let lenient = world.tenant(Mode::Lenient, Profile::Generic).await;
    for time in [
        "2026-11-20T10:15:01.000+0000",
        "2026-11-20T10:15:01.000123Z",
    ] {
        let mut body = envelope(&[event()]);
        body["sendTime"] = json!(time);
        let call = Call::post(body.to_string()).header("prefer", "return=representation");
        let answer = world.call(call.clone().token(&strict.secret)).await;
        assert_eq!(answer.status, 400, "{time}");
        let answer = world.call(call.token(&lenient.secret)).await.json();
        assert_eq!(answer["accepted"], 1, "{answer}");
        let rule = &answer["deviations"][0]["rule"];
        assert_eq!(rule, "envelope.send-time", "{answer}");
    }
}

const TYPE: &str = "https://school.example/types/Door";

/// A time of a registered type that nobody can read is a deviation by sensor, before the seal and after.
pub async fn unreadable_times_of_registered_types_are_deviations<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let proposal = json!({
        "schema": {"type": "object"}, "columns": {"id": "/n", "eventTime": "/at"}
    });
    let put = Call::put("/schemas/{type+}", &proposal).id(TYPE);
    let answer = world.call(put.token(&member.secret)).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let door = |n: &str, time: Value| json!({"type": TYPE, "n": n, "at": time});
    let sent = [
        door("a", json!("yesterday")),
        door("b", json!("2026-11-20T10:15:00Z")),
        door("c", json!(1_795_169_700)),
    ];
    let call = Call::post(bytes(&sent)).token(&member.secret);
    let call = call.header("prefer", "return=representation");
    // Every process of the function looks again for schemas within the cache's time.
    let answer = eventually(world, call, |answer| answer.json()["accepted"] == 3).await;
    let receipt = settled(world, &member, answer.header("vernier-receipt")).await;
    assert_eq!(receipt["counts"]["stored"], 3, "{receipt}");
    for _ in ["live", "sealed"] {
        let unreadable = [("deviation", "time.unreadable")];
        let found = events(world, &member, &unreadable).await;
        let rows = found.as_array().into_iter().flatten();
        let mut names: Vec<&Value> = rows.map(|row| &row["event"]["n"]).collect();
        names.sort_by_key(|name| name.to_string());
        assert_eq!(names, ["a", "c"], "{found}");
        assert_eq!(found[0]["deviations"][0]["pointer"], "/at");
        let call = Call::get("/deviations").token(&member.secret);
        let report = world.call(call).await.json();
        let rules = report["sensors"][0]["rules"].as_array().cloned();
        let rules = rules.unwrap_or_default();
        let rule = rules.iter().find(|rule| rule["rule"] == "time.unreadable");
        assert_eq!(
            rule.map(|rule| &rule["deviations"]),
            Some(&json!(2)),
            "{report}"
        );
        let report = sealed(world, &member, 3).await;
        assert_eq!(report.findings, []);
    }
}
