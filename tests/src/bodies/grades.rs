//! What a grade is: out of what, in which course, of which attempt, and that it can be taken back.

use super::{balanced, post};
use crate::envelopes::{assessed, bytes, graded};
use crate::world::{Call, Member, World};
use serde_json::{Value, json};
use vernier_validation::{Mode, Profile};

const SECTION: &str = "https://school.example/sections/3";

/// One learner's assignments in the section.
async fn assignments<W: World>(world: &W, member: &Member, learner: &str) -> Value {
    let call = Call::get("/reports/{report}").id("assignments");
    let call = call.query("section", SECTION).query("learner", learner);
    let answer = world.call(call.token(&member.secret)).await;
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    answer.json()["assignments"].clone()
}

/// Posts events one after the other, each of which must be accepted.
async fn send<W: World>(world: &W, member: &Member, events: &[Value]) {
    for event in events {
        post(world, member, bytes(std::slice::from_ref(event))).await;
    }
    let sent = events.len() as u64;
    assert_eq!(balanced(world, member, sent).await, [sent, sent, 0, 0, 0]);
}

/// A score of nothing is out of what its assignment says.
pub async fn a_score_of_nothing_is_out_of_its_assignments_maximum<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut event = graded("jane", "quiz", 39.45205, "2026-11-20T10:00:00.000Z");
    event["generated"]["maxScore"] = json!(0.0);
    let assignable = event["object"]["assignable"].clone();
    event["object"]["assignable"] =
        json!({"id": assignable, "type": "Assessment", "maxScore": 160.0});
    send(world, &member, &[event]).await;
    let found = assignments(world, &member, "https://school.example/users/jane").await;
    let attempt = &found[0]["attempts"][0];
    assert_eq!(
        [&attempt["maximum"], &attempt["percent"]],
        [&json!(160.0), &json!(24.6575)]
    );
}

/// A team's submission stands in the section that the team is in.
pub async fn a_teams_submission_counts_for_its_section<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut event = assessed("jane", "quiz", "Submitted", "2026-11-20T10:00:00.000Z");
    let section = event["group"].clone();
    event["group"] =
        json!({"id": format!("{SECTION}/groups/2"), "type": "Group", "subOrganizationOf": section});
    send(world, &member, &[event]).await;
    let found = assignments(world, &member, "https://school.example/users/jane").await;
    assert_eq!(found[0]["attempts"][0]["status"], "Submitted", "{found}");
}

/// The grade that came last by its time is the one that counts, also when it is none.
pub async fn a_grade_without_a_score_takes_it_back<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let first = graded("jane", "quiz", 8.0, "2026-11-20T10:00:00.000Z");
    let mut cleared = graded("jane", "quiz", 8.0, "2026-11-20T11:00:00.000Z");
    let score = cleared["generated"].as_object_mut().expect("a score");
    score.remove("scoreGiven");
    // The clearing comes first: it is the later one by its own time.
    send(world, &member, &[cleared, first]).await;
    let jane = "https://school.example/users/jane";
    let found = assignments(world, &member, jane).await;
    let attempt = &found[0]["attempts"][0];
    assert_eq!(
        [&attempt["score"], &attempt["percent"]],
        [&Value::Null, &Value::Null]
    );
    assert_eq!(attempt["scored_at"], "2026-11-20T11:00:00.000Z");
    let call = Call::get("/reports/{report}")
        .id("grades")
        .query("section", SECTION);
    let grades = world.call(call.token(&member.secret)).await.json();
    assert_eq!(
        grades["learners"][0]["grades"][0]["score"],
        Value::Null,
        "{grades}"
    );
    let call = Call::get("/reports/{report}")
        .id("history")
        .query("section", SECTION);
    let history = world
        .call(call.query("learner", jane).token(&member.secret))
        .await
        .json();
    let scores: Vec<&Value> = history["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|c| &c["score"])
        .collect();
    assert_eq!(
        scores,
        [&json!(8.0), &Value::Null],
        "the old score stays in the history"
    );
    assert_eq!(history["changes"][1]["changed"][0], "score");
}

/// Open edX: three tries at one problem, and the submission that names none of them, are one
/// assignment with three attempts.
pub async fn open_edx_tries_meet_in_one_assignment<W: World>(world: &W) {
    let member = world.tenant(Mode::Lenient, Profile::OpenEdx).await;
    let problem = "https://campus.example/xblock/p1";
    let learner = "https://campus.example/user/7";
    let course = json!({"isPartOf": {"id": SECTION, "type": "CourseOffering"}});
    let check = |number: u32| {
        let mut event = graded(
            "jane",
            "quiz",
            1.0,
            &format!("2026-11-20T10:0{number}:00.000Z"),
        );
        let members = event.as_object_mut().expect("an event");
        members.remove("group");
        members.remove("edApp");
        event["actor"] = json!({"id": learner, "type": "Person"});
        let mut extensions = course.clone();
        extensions["assignee"] = json!({"id": learner, "type": "Person"});
        extensions["assignable"] = json!({"id": problem, "type": "Assessment"});
        extensions["count"] = json!(number);
        event["object"] = json!({"id": format!("{problem}/user/7/attempt/{number}"), "type": "Attempt", "extensions": extensions});
        event["generated"] =
            json!({"score": {"id": "_:score", "type": "Score", "maxScore": 1, "scoreGiven": 1}});
        event
    };
    let mut submitted = assessed("jane", "quiz", "Submitted", "2026-11-20T10:02:30.000Z");
    let members = submitted.as_object_mut().expect("an event");
    members.remove("group");
    members.remove("generated");
    submitted["actor"]["id"] = json!(learner);
    submitted["object"] = json!({"id": problem, "type": "Assessment", "extensions": course});
    send(world, &member, &[check(1), check(2), submitted, check(3)]).await;
    let found = assignments(world, &member, learner).await;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["assignment"], problem);
    let attempts = found[0]["attempts"].as_array().expect("attempts");
    let counts: Vec<&Value> = attempts.iter().map(|a| &a["count"]).collect();
    assert_eq!(counts, [&json!(1), &json!(2), &json!(3)]);
    assert_eq!(attempts[2]["submitted_at"], "2026-11-20T10:02:30.000Z");
}

/// Canvas: a submission without a course and its grade with one are one attempt, in either order.
pub async fn canvas_submissions_join_their_grades<W: World>(world: &W) {
    let grade = graded("jane", "quiz", 5.0, "2026-11-20T11:00:00.000Z");
    let mut submitted = assessed("jane", "quiz", "Submitted", "2026-11-20T10:00:00.000Z");
    submitted.as_object_mut().expect("an event").remove("group");
    for events in [[grade.clone(), submitted.clone()], [submitted, grade]] {
        let member = world.tenant(Mode::Lenient, Profile::Canvas).await;
        send(world, &member, &events).await;
        let found = assignments(world, &member, "https://school.example/users/jane").await;
        let attempts = found[0]["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 1, "{found}");
        assert_eq!(
            [&attempts[0]["score"], &attempts[0]["submitted_at"]],
            [&json!(5.0), &json!("2026-11-20T10:00:00.000Z")]
        );
    }
}
