//! Envelopes for tests: small, valid Caliper 1.2, ids of their own.

use serde_json::{Value, json};
use uuid::Uuid;

/// The Caliper 1.2 context.
pub const CONTEXT: &str = "http://purl.imsglobal.org/ctx/caliper/v1p2";

/// A valid navigation event with a fresh id.
#[must_use]
pub fn event() -> Value {
    event_with_id(&format!("urn:uuid:{}", Uuid::new_v4()))
}

/// A valid navigation event with this id.
#[must_use]
pub fn event_with_id(id: &str) -> Value {
    json!({
        "@context": CONTEXT,
        "id": id,
        "type": "NavigationEvent",
        "profile": "ReadingProfile",
        "actor": { "id": "https://school.example/users/7", "type": "Person" },
        "action": "NavigatedTo",
        "object": { "id": "https://school.example/pages/12", "type": "WebPage", "name": "Lesson \"Zwölf\"" },
        "eventTime": "2026-11-20T10:15:00.000Z",
        "edApp": { "id": "https://school.example/lms", "type": "SoftwareApplication" },
        "group": { "id": "https://school.example/sections/3", "type": "CourseSection" }
    })
}

/// An event that no mode accepts: it has no type that could be known and no actor.
#[must_use]
pub fn invalid_event() -> Value {
    let mut event = event();
    event["eventTime"] = json!("yesterday");
    if let Some(members) = event.as_object_mut() {
        members.remove("actor");
    }
    event
}

/// The attempt of a learner at an assignment, both by short names.
fn attempt(learner: &str, assignment: &str) -> Value {
    let assignment = format!("https://school.example/sections/3/assignments/{assignment}");
    json!({
        "id": format!("{assignment}/users/{learner}/attempts/1"),
        "type": "Attempt",
        "assignee": format!("https://school.example/users/{learner}"),
        "assignable": assignment,
        "count": 1
    })
}

/// A valid assessment event: a learner did something with an assignment in section 3 at a time.
#[must_use]
pub fn assessed(learner: &str, assignment: &str, action: &str, at: &str) -> Value {
    let mut event = event();
    let attempt = attempt(learner, assignment);
    event["type"] = json!("AssessmentEvent");
    event["profile"] = json!("AssessmentProfile");
    event["actor"]["id"] = attempt["assignee"].clone();
    event["action"] = json!(action);
    event["object"] = json!({ "id": attempt["assignable"], "type": "Assessment" });
    event["generated"] = attempt;
    event["eventTime"] = json!(at);
    event
}

/// A valid grade event: a learner's attempt at an assignment in section 3 got so many of ten
/// points at a time.
#[must_use]
pub fn graded(learner: &str, assignment: &str, given: f64, at: &str) -> Value {
    let mut event = event();
    let autograder = "https://school.example/autograder";
    event["type"] = json!("GradeEvent");
    event["profile"] = json!("GradingProfile");
    event["actor"] = json!({ "id": autograder, "type": "SoftwareApplication" });
    event["action"] = json!("Graded");
    event["object"] = attempt(learner, assignment);
    event["generated"] = json!({
        "id": format!("urn:uuid:{}", Uuid::new_v4()),
        "type": "Score",
        "scoreGiven": given,
        "maxScore": 10.0,
        "scoredBy": autograder
    });
    event["eventTime"] = json!(at);
    event
}

/// An envelope of events.
#[must_use]
pub fn envelope(events: &[Value]) -> Value {
    json!({
        "sensor": "https://school.example/sensors/1",
        "sendTime": "2026-11-20T10:15:01.000Z",
        "dataVersion": CONTEXT,
        "data": events,
    })
}

/// An envelope's bytes.
#[must_use]
pub fn bytes(events: &[Value]) -> Vec<u8> {
    envelope(events).to_string().into_bytes()
}

/// So many fresh events.
#[must_use]
pub fn events(count: usize) -> Vec<Value> {
    (0..count).map(|_| event()).collect()
}
