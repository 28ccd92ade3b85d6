//! How real sensors leave the specification: what strict finds, what lenient makes of it.
use serde_json::{Value, json};
use vernier_validation::{Columns, Kind, Mode, Policy, Profile, Score, Verdict, read_envelope};

const V1P0: &str = "http://purl.imsglobal.org/ctx/caliper/v1/Context";
const V1P1: &str = "http://purl.imsglobal.org/ctx/caliper/v1p1";
const V1P2: &str = "http://purl.imsglobal.org/ctx/caliper/v1p2";

fn envelope(version: Option<&str>, event: &Value) -> String {
    let mut envelope = json!({"sensor": "https://example.edu/sensor", "sendTime": "2018-11-15T11:05:01.000Z", "data": [event]});
    if let Some(version) = version {
        envelope["dataVersion"] = version.into();
    }
    envelope.to_string()
}

/// The rules that strict finds broken, and lenient's verdict and columns.
fn judge(
    version: Option<&str>,
    event: &Value,
    profile: Profile,
) -> (Vec<String>, Verdict, Columns<'static>) {
    let body = envelope(version, event);
    let strict = read_envelope(body.as_bytes(), &Policy::new(Mode::Strict, profile));
    let mut rules: Vec<String> = strict.map_or_else(
        |refusal| {
            refusal
                .problems
                .iter()
                .map(|p| p.rule.to_string())
                .collect()
        },
        |read| {
            read.items[0]
                .verdict
                .problems
                .iter()
                .map(|p| p.rule.to_string())
                .collect()
        },
    );
    rules.sort_unstable();
    let body: &'static str = body.leak();
    let read = read_envelope(body.as_bytes(), &Policy::new(Mode::Lenient, profile))
        .expect("lenient reads it");
    let item = read.items.into_iter().next().expect("one item");
    assert_eq!(item.raw, event.to_string(), "the raw event is untouched");
    assert_eq!(
        item.verdict.strict_accepted,
        item.verdict.deviations.is_empty() && item.verdict.problems.is_empty()
    );
    (rules, item.verdict, item.columns)
}

fn lenient_rules(verdict: &Verdict) -> Vec<&str> {
    assert!(verdict.accepted, "{:?}", verdict.problems);
    let mut rules: Vec<&str> = verdict.deviations.iter().map(|d| &*d.rule).collect();
    rules.sort_unstable();
    rules
}

fn event(kind: &str, action: &str, object: Value) -> Value {
    json!({
        "@context": V1P1, "id": "urn:uuid:3a648e68-f00d-4c08-aa59-8738e1884f2c", "type": kind, "action": action,
        "actor": {"id": "https://example.edu/users/1", "type": "Person"}, "object": object,
        "eventTime": "2018-11-15T10:15:00.000Z"
    })
}

#[test]
fn moodle_1_0() {
    let person = json!({"@context": V1P0, "@id": "https://moodle.example.edu/user/2", "@type": "http://purl.imsglobal.org/caliper/v1/lis/Person", "name": null, "extensions": {}});
    let attempt = "http://moodle.example.edu/attempt/7";
    let graded = json!({
        "@context": V1P0, "@type": "http://purl.imsglobal.org/caliper/v1/OutcomeEvent", "actor": person,
        "action": "http://purl.imsglobal.org/vocab/caliper/v1/action#Graded",
        "object": {"@context": V1P0, "@id": attempt, "@type": "http://purl.imsglobal.org/caliper/v1/Attempt", "count": 1},
        "generated": {"@id": "http://moodle.example.edu/result/7", "@type": "http://purl.imsglobal.org/caliper/v1/Result", "totalScore": 7.5},
        "group": {"@id": "http://moodle.example.edu/course/5", "@type": "http://purl.imsglobal.org/caliper/v1/lis/CourseSection"},
        "target": null, "eventTime": "2015-09-15T10:15:00.000Z", "federatedSession": null
    });
    let (strict, verdict, columns) = judge(None, &graded, Profile::Moodle10);
    assert!(
        strict.is_empty(),
        "1.0 has no dataVersion and no event ids: {strict:?}"
    );
    assert!(verdict.version_1_0 && lenient_rules(&verdict).is_empty());
    assert_eq!(
        (columns.type_name.as_deref(), columns.action.as_deref()),
        (Some("OutcomeEvent"), Some("Graded"))
    );
    assert_eq!(
        (columns.actor.as_deref(), columns.object.as_deref()),
        (Some("https://moodle.example.edu/user/2"), Some(attempt))
    );
    assert_eq!(
        columns.group.as_deref(),
        Some("http://moodle.example.edu/course/5")
    );
    assert_eq!(
        (columns.id, columns.event_time),
        (None, Some(1_442_312_100_000))
    );
    assert_eq!(
        columns.score,
        Some(Score {
            given: 7.5,
            maximum: None
        })
    );
    let mut session = graded.clone();
    session["federatedSession"] = json!("8d7qk2v0o3nhd1n5");
    let (strict, verdict, _) = judge(None, &session, Profile::Moodle10);
    assert_eq!(
        strict,
        ["Event.federatedSession.entity"],
        "a raw PHP session id is no IRI"
    );
    assert_eq!(lenient_rules(&verdict), ["Event.federatedSession.entity"]);
}

#[test]
fn canvas_1_1() {
    let attempt =
        json!({"id": "urn:instructure:canvas:submission:9", "type": "Attempt", "count": 1});
    let extensions =
        json!({"com.instructure.canvas": {"real_user_id": "210", "user_login": "jane"}});
    for (kind, rule) in [
        ("AssignableEvent", "AssignableEvent.object.type"),
        ("AssessmentEvent", "AssessmentEvent.object.type"),
    ] {
        let mut submitted = event(kind, "Submitted", attempt.clone());
        submitted["extensions"] = extensions.clone();
        submitted["membership"] = json!({"id": "_:m", "type": "Membership", "organization": {"id": "urn:instructure:canvas:course:5", "type": "CourseSection"}});
        let (strict, verdict, columns) = judge(Some(V1P1), &submitted, Profile::Canvas);
        assert_eq!(strict, [rule]);
        assert_eq!(lenient_rules(&verdict), [rule]);
        assert_eq!(
            columns.group.as_deref(),
            Some("urn:instructure:canvas:course:5"),
            "from the membership"
        );
        assert_eq!(
            columns.object.as_deref(),
            Some("urn:instructure:canvas:submission:9")
        );
    }
    let visit = event(
        "NavigationEvent",
        "NavigatedTo",
        json!({"id": "urn:instructure:canvas:page:1", "type": "Entity"}),
    );
    let (strict, verdict, _) = judge(Some(V1P1), &visit, Profile::Canvas);
    assert_eq!(strict, ["NavigationEvent.object.type"]);
    assert!(verdict.accepted);
    assert!(
        !judge(Some(V1P1), &visit, Profile::Generic).1.accepted,
        "not a deviation of any sensor"
    );
    let mut graded = event("GradeEvent", "Graded", attempt);
    graded["generated"] = json!({"id": "urn:instructure:canvas:submission:9", "type": "Score", "scoreGiven": 5, "maxScore": 1.0});
    let (strict, verdict, columns) = judge(Some(V1P1), &graded, Profile::Canvas);
    assert_eq!(strict, ["Score.scoreGiven.decimal"]);
    assert!(verdict.accepted);
    assert_eq!(
        columns.score,
        Some(Score {
            given: 5.0,
            maximum: Some(1.0)
        }),
        "as sent, even beyond the maximum"
    );
}

#[test]
fn blackboard() {
    let mut custom = event(
        "http://schema.blackboard.com/caliper/GradebookEvent",
        "Modified",
        json!("_4711_1"),
    );
    custom["id"] = json!("3a648e68-f00d-4c08-aa59-8738e1884f2c");
    custom["actor"] = json!("0f8fad5b-d9cb-469f-a165-70867728950e");
    custom["@context"] = json!([V1P1]);
    let (strict, verdict, columns) = judge(Some(V1P1), &custom, Profile::Blackboard);
    assert_eq!(
        strict,
        [
            "Event.actor.entity",
            "Event.id.uuid",
            "Event.object.entity",
            "type.unknown"
        ]
    );
    assert!(verdict.accepted);
    assert_eq!(
        (columns.kind, columns.type_name.as_deref()),
        (
            Kind::Opaque,
            Some("http://schema.blackboard.com/caliper/GradebookEvent")
        )
    );
    assert_eq!(
        columns.actor.as_deref(),
        Some("0f8fad5b-d9cb-469f-a165-70867728950e")
    );
    let mut named = event(
        "ViewEvent",
        "Viewed",
        json!({"id": "9c5c8d8e-0f6b-4c39-8a66-3f5a0f7c7a10", "type": "Document", "name": ""}),
    );
    named["id"] = json!("3a648e68-f00d-4c08-aa59-8738e1884f2c");
    let (strict, verdict, _) = judge(Some(V1P1), &named, Profile::Blackboard);
    assert_eq!(strict, ["Entity.id.id", "Event.id.uuid"]);
    assert_eq!(lenient_rules(&verdict), ["Entity.id.id", "Event.id.uuid"]);
}

#[test]
fn open_edx_1_2() {
    let mut graded = event(
        "GradeEvent",
        "Graded",
        json!({"id": "http://edx.example.org/course/c1/block", "type": "Attempt", "extensions": {"isPartOf": "http://edx.example.org/course/c1"}}),
    );
    graded["@context"] = V1P2.into();
    graded["generated"] = json!({"score": {"id": "_:score", "type": "Score", "scoreGiven": 3.0, "maxScore": 4.0, "extensions": {"success": "False"}}});
    let (strict, verdict, columns) = judge(Some(V1P2), &graded, Profile::OpenEdx);
    assert_eq!(strict, ["Entity.id.required", "Entity.type.required"]);
    assert!(verdict.accepted, "{:?}", verdict.problems);
    assert_eq!(
        columns.group.as_deref(),
        Some("http://edx.example.org/course/c1"),
        "from the object's extensions"
    );
    assert_eq!(
        columns.score,
        Some(Score {
            given: 3.0,
            maximum: Some(4.0)
        })
    );
    let mut view = event(
        "ViewEvent",
        "Viewed",
        json!({"id": "http://edx.example.org/p", "type": "Webpage"}),
    );
    view["@context"] = V1P2.into();
    let (strict, verdict, columns) = judge(Some(V1P2), &view, Profile::OpenEdx);
    assert_eq!(strict, ["type.unknown"]);
    assert!(
        verdict.deviations[0]
            .message
            .contains("did you mean WebPage?"),
        "{}",
        verdict.deviations[0].message
    );
    assert_eq!(columns.kind, Kind::Event, "only a nested type is unknown");
}

#[test]
fn caliper_ts_users() {
    let mut custom = event(
        "TimedEvent",
        "Used",
        json!({"id": "https://example.edu/tool", "type": "SoftwareApplication"}),
    );
    custom["@context"] = json!(["https://example.edu/ctx", V1P2]);
    custom["actor"] = json!({"id": "https://example.edu/users/1", "type": "Student"});
    let (strict, verdict, _) = judge(Some(V1P2), &custom, Profile::Generic);
    assert!(
        strict.is_empty(),
        "a context of their own may map types: {strict:?}"
    );
    assert!(verdict.accepted);
    let (strict, verdict, _) = judge(Some(V1P1), &custom, Profile::Generic);
    assert_eq!(
        strict,
        ["context.data-version"],
        "the envelope says v1p1, the event v1p2"
    );
    assert!(verdict.accepted);
    custom["@context"] = json!(V1P2);
    let (strict, _, columns) = judge(Some(V1P2), &custom, Profile::Generic);
    assert_eq!(strict, ["type.unknown", "type.unknown"]);
    assert_eq!(
        (columns.kind, columns.actor.as_deref()),
        (Kind::Opaque, Some("https://example.edu/users/1"))
    );
}

#[test]
fn others() {
    let base = || {
        event(
            "ViewEvent",
            "Viewed",
            json!({"id": "https://example.edu/p", "type": "WebPage"}),
        )
    };
    let with = |key: &str, value: Value| {
        let mut changed = base();
        changed[key] = value;
        judge(Some(V1P1), &changed, Profile::Generic)
    };
    let (strict, verdict, _) = with(
        "@type",
        json!("http://purl.imsglobal.org/caliper/v1/ViewEvent"),
    );
    assert_eq!(
        (strict, lenient_rules(&verdict)),
        (
            vec!["property.unknown".to_owned()],
            vec!["property.unknown"]
        )
    );
    for (time, millis) in [
        ("2018-11-15T10:15:00Z", 1_542_276_900_000),
        ("2018-11-15T12:15:00.5+02:00", 1_542_276_900_500),
    ] {
        let (strict, verdict, columns) = with("eventTime", json!(time));
        assert_eq!(
            (strict, lenient_rules(&verdict)),
            (
                vec!["Event.eventTime.time".to_owned()],
                vec!["Event.eventTime.time"]
            )
        );
        assert_eq!(columns.event_time, Some(millis));
    }
    let (_, verdict, _) = with("eventTime", json!("yesterday"));
    assert!(!verdict.accepted, "no time can be read");
    let (strict, verdict, columns) = with("actor", json!(4711));
    assert_eq!(
        (strict, lenient_rules(&verdict)),
        (
            vec!["ViewEvent.actor.entity".to_owned()],
            vec!["ViewEvent.actor.entity"]
        )
    );
    assert_eq!(columns.actor.as_deref(), Some("4711"));
    let (strict, verdict, columns) = with("actor", json!({"id": 4711, "type": "Person"}));
    assert_eq!(
        (strict, lenient_rules(&verdict)),
        (vec!["Entity.id.id".to_owned()], vec!["Entity.id.id"])
    );
    assert_eq!(columns.actor.as_deref(), Some("4711"));
    let (strict, verdict, columns) = with("object", json!({"id": null, "type": "WebPage"}));
    assert_eq!(
        (strict, lenient_rules(&verdict)),
        (
            vec!["Entity.id.required".to_owned()],
            vec!["Entity.id.required"]
        )
    );
    assert_eq!(columns.object, None);
    let (_, verdict, _) = with("actor", Value::Null);
    assert!(
        !verdict.accepted,
        "an event without an actor is none in lenient mode either"
    );
    let mut graded = event("GradeEvent", "Graded", json!("https://example.edu/attempt"));
    graded["generated"] =
        json!({"id": "_:s", "type": "Score", "scoreGiven": "7.5", "maxScore": "10"});
    let (strict, verdict, columns) = judge(Some(V1P1), &graded, Profile::Generic);
    assert_eq!(
        strict,
        ["Score.maxScore.decimal", "Score.scoreGiven.decimal"]
    );
    assert!(verdict.accepted);
    assert_eq!(
        columns.score,
        Some(Score {
            given: 7.5,
            maximum: Some(10.0)
        })
    );
}

#[test]
fn envelopes() {
    let good = event(
        "ViewEvent",
        "Viewed",
        json!({"id": "https://example.edu/p", "type": "WebPage"}),
    );
    let body = envelope(Some(V1P1), &good);
    let lenient = Policy::new(Mode::Lenient, Profile::Generic);
    let deviation = |body: &str| {
        let strict =
            read_envelope(body.as_bytes(), &Policy::default()).expect_err("strict refuses it");
        let read = read_envelope(body.as_bytes(), &lenient).expect("lenient reads it");
        assert!(!read.strict_accepted);
        assert_eq!(strict.problems[0].rule, read.deviations[0].rule);
        (read.deviations[0].rule.to_string(), read.items.len())
    };
    // caliper-ruby
    assert_eq!(
        deviation(&envelope(None, &good)),
        ("envelope.data-version".to_owned(), 1)
    );
    // Open edX, batching
    assert_eq!(
        deviation(&format!("[{body},{body}]")),
        ("envelope.array".to_owned(), 2)
    );
    let no_time = body
        .replace(r#","sendTime":"2018-11-15T11:05:01.000Z""#, "")
        .replace(r#""sendTime":"2018-11-15T11:05:01.000Z","#, "");
    assert_eq!(deviation(&no_time), ("envelope.send-time".to_owned(), 1));
    assert_eq!(
        deviation(&body.replace("01.000Z", "01Z")),
        ("envelope.send-time".to_owned(), 1)
    );
    assert_eq!(
        deviation(&body.replacen('{', r#"{"version":1,"#, 1)),
        ("envelope.custom-property".to_owned(), 1)
    );
    let empty = json!({"sensor": "s", "sendTime": "2018-11-15T11:05:01.000Z", "dataVersion": V1P1, "data": []}).to_string();
    assert_eq!(deviation(&empty), ("envelope.data-empty".to_owned(), 0));
}

/// Windows programs write a byte order mark before the JSON (RFC 8259 §8.1).
#[test]
fn a_byte_order_mark_is_no_part_of_the_json() {
    let event = json!({"id": "urn:uuid:1b1c2c3d-0000-4000-8000-000000000001"});
    let body = envelope(Some(V1P2), &event);
    let marked = format!("\u{feff}{body}");
    let raw = |body: &str| {
        let read = read_envelope(body.as_bytes(), &Policy::default());
        read.expect("an envelope").items[0].raw.to_owned()
    };
    assert_eq!(raw(&marked), raw(&body));
    for nothing in ["\u{feff}", "\u{feff} \r\n", "\u{feff}\u{feff}{}"] {
        assert!(read_envelope(nothing.as_bytes(), &Policy::default()).is_err());
    }
}

/// WeBWorK: ids in capitals, sub-roles, an unknown user agent as null, a session with its client.
#[test]
fn webwork_answers() {
    let person = json!({"id": "https://example.edu/webwork2/users/7", "type": "Person"});
    let course = json!({"id": "https://example.edu/webwork2/math101", "type": "CourseOffering", "name": "Math 101"});
    let mut answered = event(
        "AssessmentItemEvent",
        "Completed",
        json!({"id": "https://example.edu/webwork2/math101/set1/3", "type": "AssessmentItem", "name": "Problem 3",
            "isPartOf": {"id": "https://example.edu/webwork2/math101/set1", "type": "Assessment", "isPartOf": course,
                "dateToStartOn": "2018-11-01T00:00:00.000Z", "items": [{"id": "https://example.edu/webwork2/math101/set1/3", "type": "AssessmentItem"}]}}),
    );
    answered["@context"] = json!(V1P2);
    answered["id"] = json!("urn:uuid:3A648E68-F00D-4C08-AA59-8738E1884F2C");
    answered["actor"] = person.clone();
    answered["group"] = course.clone();
    answered["membership"] = json!({"id": "https://example.edu/webwork2/math101/users/7", "type": "Membership", "member": person,
        "organization": course["id"], "roles": ["Instructor", "Instructor#TeachingAssistant"], "status": "Active"});
    answered["session"] = json!({"id": "https://example.edu/webwork2/sessions/x", "type": "Session", "user": person,
        "client": {"id": "https://example.edu/webwork2/clients/x", "type": "SoftwareApplication", "userAgent": null, "ipAddress": "192.0.2.1"}});
    answered["generated"] = json!({"id": "https://example.edu/webwork2/math101/set1/3/users/7/answer", "type": "FillinBlankResponse", "values": ["x^2"],
        "attempt": {"id": "https://example.edu/webwork2/math101/set1/3/users/7/attempts/1", "type": "Attempt", "assignee": person,
            "assignable": "https://example.edu/webwork2/math101/set1/3/users/7", "count": 1, "extensions": {"attempt_score": 0.5},
            "startedAtTime": "2018-11-15T10:05:00.000Z", "endedAtTime": "2018-11-15T10:15:00.000Z", "duration": "PT10M0S"}});
    let (strict, verdict, columns) = judge(Some(V1P2), &answered, Profile::Generic);
    assert_eq!(strict, [""; 0]);
    assert_eq!(lenient_rules(&verdict), [""; 0]);
    assert_eq!(columns.group.as_deref(), course["id"].as_str());
    // Releases before the events' own context was 1.2's.
    answered["@context"] = json!(V1P1);
    let (strict, verdict, _) = judge(Some(V1P2), &answered, Profile::Generic);
    assert_eq!(strict, ["context.data-version"]);
    assert_eq!(lenient_rules(&verdict), ["context.data-version"]);
}
