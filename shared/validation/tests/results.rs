//! What events say of a learner's attempt at an assignment.
use std::sync::Arc;

use serde_json::{Value, json};
use vernier_validation::{
    ColumnPointers, DomainSchema, DomainSchemas, Mode, Policy, Profile, ResultColumns, Score,
    read_document, read_envelope,
};

#[path = "common/graded.rs"]
mod common;
#[path = "common/suite.rs"]
mod suite;

use common::{
    LEARNER, QUIZ, SCORE, TEACHER, TRY, V1P0, V1P2, attempt, event, graded, lenient, said, score,
    strict,
};

/// 2026-09-01T09:15:00.123Z
const AT: i64 = 1_788_254_100_123;

/// The result of [`attempt`] without what only some events say.
fn expected() -> ResultColumns<'static> {
    ResultColumns {
        assignment: Some(QUIZ.into()),
        learner: LEARNER.into(),
        attempt: Some(TRY.into()),
        count: Some(2),
        started_at: Some(1_788_253_200_000),
        submitted_at: Some(1_788_253_800_000),
        duration_millis: Some(600_000),
        ..ResultColumns::default()
    }
}

#[test]
fn a_grade_has_its_learner_from_the_attempt_and_its_grader_from_the_score_or_the_actor() {
    let mut whole = ResultColumns {
        score: SCORE,
        scored_by: Some(TEACHER.into()),
        ..expected()
    };
    assert_eq!(strict(&graded(attempt(), score())).as_ref(), Some(&whole));
    let mut by_machine = score();
    by_machine["scoredBy"] = json!("https://school.example/autograder");
    whole.scored_by = Some("https://school.example/autograder".into());
    assert_eq!(strict(&graded(attempt(), by_machine)), Some(whole));
}

#[test]
fn an_attempt_that_is_only_named_is_looked_for_in_the_score() {
    let mut generated = score();
    assert_eq!(
        strict(&graded(json!(TRY), generated.clone())),
        None,
        "nobody says whose attempt it is"
    );
    generated["attempt"] = attempt();
    let found = strict(&graded(json!(TRY), generated.clone())).expect("a result");
    assert_eq!((found.learner.as_ref(), found.score), (LEARNER, SCORE));
    let mut without_object = graded(json!(TRY), generated);
    without_object["object"] = json!({"id": TRY, "type": "Attempt", "assignee": LEARNER});
    let found = strict(&without_object).expect("a result");
    assert_eq!(
        (found.assignment, found.attempt.as_deref()),
        (None, Some(TRY)),
        "an attempt at something unknown"
    );
}

#[test]
fn an_item_names_the_attempt_that_it_is_a_part_of() {
    let mut object = attempt();
    object["isPartOf"] = json!("https://school.example/whole");
    let found = strict(&graded(object, score())).expect("a result");
    assert_eq!(
        found.part_of.as_deref(),
        Some("https://school.example/whole")
    );
}

#[test]
fn an_assessment_event_is_its_learners_own() {
    let assess = |action: &str, generated: Value| {
        let mut event = event("AssessmentEvent", action, LEARNER);
        event["object"] = json!({"id": QUIZ, "type": "Assessment"});
        if !generated.is_null() {
            event["generated"] = generated;
        }
        strict(&event).expect("a result")
    };
    assert_eq!(assess("Submitted", attempt()), expected());
    let bare = |attempt: Option<&'static str>| ResultColumns {
        assignment: Some(QUIZ.into()),
        learner: LEARNER.into(),
        attempt: attempt.map(Into::into),
        ..ResultColumns::default()
    };
    let mut started = bare(Some(TRY));
    started.started_at = Some(AT);
    assert_eq!(assess("Started", json!(TRY)), started);
    let mut submitted = bare(None);
    submitted.submitted_at = Some(AT);
    assert_eq!(assess("Submitted", Value::Null), submitted);
    assert_eq!(assess("Paused", json!(TRY)), bare(Some(TRY)));
}

#[test]
fn an_assignable_event_of_an_instructor_is_no_result() {
    let assign = |action: &str, generated: Option<Value>| {
        let mut event = event("AssignableEvent", action, TEACHER);
        event["object"] = json!({"id": QUIZ, "type": "AssignableDigitalResource"});
        if let Some(generated) = generated {
            event["generated"] = generated;
        }
        strict(&event).map(|found| found.learner.into_owned())
    };
    for action in ["Activated", "Deactivated"] {
        assert_eq!(assign(action, Some(attempt())), None, "{action}");
    }
    assert_eq!(assign("Reviewed", None), None);
    assert_eq!(
        assign("Reviewed", Some(attempt())).as_deref(),
        Some(LEARNER)
    );
    assert_eq!(assign("Completed", None).as_deref(), Some(TEACHER));
}

#[test]
fn what_is_rejected_or_timeless_or_something_else_is_no_result() {
    let mut late = graded(attempt(), score());
    late["eventTime"] = json!("yesterday");
    let body = json!({"sensor": "s", "sendTime": "2026-09-01T09:16:00.000Z", "dataVersion": V1P2, "data": [late]});
    let body = body.to_string();
    let policy = Policy::new(Mode::Lenient, Profile::Generic);
    let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
    assert!(!read.items[0].verdict.accepted);
    assert_eq!(read.items[0].columns.result, None);
    let mut item = event("AssessmentItemEvent", "Started", LEARNER);
    item["object"] = json!({"id": QUIZ, "type": "AssessmentItem"});
    item["generated"] = attempt();
    assert_eq!(strict(&item), None);
}

#[test]
fn caliper_1_0_names_the_learner_as_the_attempts_actor() {
    let iri = |name: &str| format!("http://purl.imsglobal.org/caliper/v1/{name}");
    let person = json!({"@id": TEACHER, "@type": iri("lis/Person")});
    let mut outcome = json!({
        "@context": V1P0, "@type": iri("OutcomeEvent"), "actor": person,
        "action": "http://purl.imsglobal.org/vocab/caliper/v1/action#Graded",
        "object": {"@id": TRY, "@type": iri("Attempt"), "assignable": QUIZ, "actor": LEARNER, "count": 1,
            "startedAtTime": "2026-09-01T09:00:00.000Z", "endedAtTime": null, "duration": 90},
        "generated": {"@id": "http://school.example/r", "@type": iri("Result"), "totalScore": 7.5, "scoredBy": TEACHER},
        "eventTime": "2026-09-01T09:15:00.123Z"
    });
    let found = lenient(&outcome, Profile::Moodle10).expect("a result");
    let wanted = ResultColumns {
        count: Some(1),
        submitted_at: None,
        duration_millis: Some(90_000),
        score: Some(Score {
            given: 7.5,
            maximum: None,
        }),
        scored_by: Some(TEACHER.into()),
        ..expected()
    };
    assert_eq!(found, wanted);
    // The result of 1.0 names them too.
    outcome["object"] = json!({"@id": TRY, "@type": iri("Attempt")});
    outcome["generated"]["actor"] = json!(LEARNER);
    outcome["generated"]["assignable"] = json!(QUIZ);
    let found = lenient(&outcome, Profile::Moodle10).expect("a result");
    assert_eq!(
        (found.learner.as_ref(), found.assignment.as_deref()),
        (LEARNER, Some(QUIZ))
    );
}

#[test]
fn canvas_has_the_attempt_in_the_assignments_place_and_numbers_as_it_likes() {
    for kind in ["AssignableEvent", "AssessmentEvent"] {
        let mut submitted = event(kind, "Submitted", LEARNER);
        submitted["object"] = json!({"id": "urn:instructure:canvas:submission:9", "type": "Attempt",
            "assignable": {"id": "urn:instructure:canvas:assignment:4", "type": "AssignableDigitalResource"}});
        let found = lenient(&submitted, Profile::Canvas).expect("a result");
        assert_eq!(
            (
                found.assignment.as_deref(),
                found.attempt.as_deref(),
                found.learner.as_ref()
            ),
            (
                Some("urn:instructure:canvas:assignment:4"),
                Some("urn:instructure:canvas:submission:9"),
                LEARNER
            )
        );
        assert_eq!(found.submitted_at, Some(AT));
    }
    let generated = json!({"id": TRY, "type": "Score", "scoreGiven": "5", "maxScore": 1});
    let found = lenient(&graded(attempt(), generated), Profile::Canvas).expect("a result");
    assert_eq!(
        found.score,
        Some(Score {
            given: 5.0,
            maximum: Some(1.0)
        })
    );
}

#[test]
fn open_edx_calls_its_problems_attempts_and_its_learners_grade_themselves() {
    let object = json!({"id": "http://edx.example.org/block/3", "type": "Attempt", "extensions": {"isPartOf": "http://edx.example.org/c1"}});
    let generated =
        json!({"score": {"id": "_:score", "type": "Score", "scoreGiven": 3.0, "maxScore": 4.0}});
    let mut checked = graded(object, generated);
    checked["actor"]["id"] = json!(LEARNER);
    let found = lenient(&checked, Profile::OpenEdx).expect("a result");
    let wanted = ResultColumns {
        assignment: Some("http://edx.example.org/block/3".into()),
        learner: LEARNER.into(),
        score: Some(Score {
            given: 3.0,
            maximum: Some(4.0),
        }),
        ..ResultColumns::default()
    };
    assert_eq!(found, wanted);
    checked["generated"] = score();
    assert_eq!(
        lenient(&checked, Profile::Generic),
        None,
        "elsewhere the actor is who graded"
    );
}

#[test]
fn a_domain_type_says_where_its_results_are() {
    let kind = "https://school.example/events/Marked";
    let columns: ColumnPointers = serde_json::from_value(json!({
        "eventTime": "/at", "actor": "/marker", "group": "/class", "assignment": "/task/ref", "learner": "/pupil",
        "count": "/try", "scoreGiven": "/points", "maxScore": "/of", "scoredBy": "/marker",
        "startedAtTime": "/from", "endedAtTime": "/to", "duration": "/took"
    }))
    .expect("pointers");
    let schema = DomainSchema::compile(kind, 1, "{}", columns.clone()).expect("a schema");
    let schemas: DomainSchemas = [Arc::new(schema)].into_iter().collect();
    let policy = Policy {
        domain: Some(&schemas),
        ..Policy::new(Mode::Strict, Profile::Generic)
    };
    let mut event = json!({
        "type": kind, "at": "2026-09-01T11:15:00.123+02:00", "marker": TEACHER, "class": "bio-1",
        "task": {"ref": QUIZ}, "pupil": {"id": LEARNER}, "try": "2", "points": "7.5", "of": 10,
        "from": "2026-09-01T09:00:00Z", "to": "2026-09-01T09:10:00Z", "took": 600
    });
    let wanted = ResultColumns {
        attempt: None,
        score: SCORE,
        scored_by: Some(TEACHER.into()),
        ..expected()
    };
    assert_eq!(said(&event, &policy), Some(wanted));
    event["task"] = json!(null);
    assert_eq!(said(&event, &policy), None, "of nothing");

    let elsewhere = ColumnPointers {
        score_given: Some("/mark".into()),
        ..columns.clone()
    };
    let [old, new] = [columns, elsewhere]
        .map(|columns| DomainSchema::compile(kind, 1, "{}", columns).expect("a schema"));
    assert_eq!(
        new.incompatibilities(&old).len(),
        1,
        "a type's results have one meaning"
    );
    let nowhere = ColumnPointers {
        score_given: Some("/mark".into()),
        ..ColumnPointers::default()
    };
    let refusal = DomainSchema::compile(kind, 1, "{}", nowhere).expect_err("of nothing");
    assert!(refusal.message.contains("scoreGiven"), "{refusal}");
}

/// The official examples: which of them say something of a result, and whose.
#[test]
fn the_official_examples_have_their_results() {
    for (folder, results) in [("valid/v1p0", 2), ("valid/v1p1", 4), ("valid/v1p2", 4)] {
        let files = suite::files(folder);
        let mut found = 0;
        for (name, bytes) in &files {
            let policy = Policy::new(Mode::Strict, Profile::Generic);
            let Ok(document) = read_document(bytes, &policy) else {
                continue;
            };
            let single = !name.contains("Envelope");
            for result in document
                .items
                .iter()
                .filter_map(|i| i.columns.result.as_ref())
            {
                found += usize::from(single);
                assert!(
                    result.learner.starts_with("https://example.edu/user"),
                    "{name}: {result:?}"
                );
                assert!(
                    result.assignment.is_some() && result.attempt.is_some(),
                    "{name}"
                );
            }
        }
        assert!(files.is_empty() || found == results, "{folder}: {found}");
    }
}
