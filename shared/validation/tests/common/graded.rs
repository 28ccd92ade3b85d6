//! Grade events by hand, and what they say of a result.
use serde_json::{Value, json};
use vernier_validation::{Mode, Policy, Profile, ResultColumns, Score, read_envelope};

pub(crate) const V1P0: &str = "http://purl.imsglobal.org/ctx/caliper/v1/Context";
pub(crate) const V1P2: &str = "http://purl.imsglobal.org/ctx/caliper/v1p2";
pub(crate) const SECTION: &str = "https://school.example/sections/bio-1";
pub(crate) const QUIZ: &str = "https://school.example/sections/bio-1/quizzes/4";
pub(crate) const LEARNER: &str = "https://school.example/people/7";
pub(crate) const TEACHER: &str = "https://school.example/people/900";
pub(crate) const TRY: &str = "https://school.example/sections/bio-1/quizzes/4/tries/7-1";

/// What the one event of an envelope says of a result, as a tenant of this mode and profile.
pub(crate) fn said(event: &Value, policy: &Policy<'_>) -> Option<ResultColumns<'static>> {
    let body = json!({"sensor": "s", "sendTime": "2026-09-01T09:16:00.000Z", "dataVersion": V1P2, "data": [event]});
    let body: &'static str = body.to_string().leak();
    let read = read_envelope(body.as_bytes(), policy).expect("an envelope");
    let item = read.items.into_iter().next().expect("one item");
    assert!(item.verdict.accepted, "{:?}", item.verdict.problems);
    item.columns.result.map(|found| *found)
}

pub(crate) fn strict(event: &Value) -> Option<ResultColumns<'static>> {
    said(event, &Policy::new(Mode::Strict, Profile::Generic))
}

pub(crate) fn lenient(event: &Value, profile: Profile) -> Option<ResultColumns<'static>> {
    said(event, &Policy::new(Mode::Lenient, profile))
}

pub(crate) fn event(kind: &str, action: &str, actor: &str) -> Value {
    json!({
        "@context": V1P2, "id": "urn:uuid:3a648e68-f00d-4c08-aa59-8738e1884f2c", "type": kind, "action": action,
        "actor": {"id": actor, "type": "Person"}, "eventTime": "2026-09-01T09:15:00.123Z",
        "group": {"id": SECTION, "type": "CourseSection"}
    })
}

pub(crate) fn attempt() -> Value {
    json!({
        "id": TRY, "type": "Attempt", "count": 2,
        "assignee": {"id": LEARNER, "type": "Person"}, "assignable": {"id": QUIZ, "type": "Assessment"},
        "startedAtTime": "2026-09-01T09:00:00.000Z", "endedAtTime": "2026-09-01T09:10:00.000Z", "duration": "PT10M"
    })
}

pub(crate) fn graded(object: Value, generated: Value) -> Value {
    let mut graded = event("GradeEvent", "Graded", TEACHER);
    graded["object"] = object;
    graded["generated"] = generated;
    graded
}

pub(crate) fn score() -> Value {
    json!({"id": "_:s", "type": "Score", "attempt": TRY, "scoreGiven": 7.5, "maxScore": 10.0})
}

pub(crate) const SCORE: Option<Score> = Some(Score {
    given: 7.5,
    maximum: Some(10.0),
});
