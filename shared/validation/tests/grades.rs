//! What a grade is, as sensors say it: its maximum, its course, its attempt, and that it is taken back.
use serde_json::{Value, json};
use vernier_validation::{Mode, Policy, Profile, read_envelope};

#[path = "common/graded.rs"]
mod common;

use common::{
    LEARNER, QUIZ, SCORE, SECTION, TEACHER, TRY, V1P0, V1P2, attempt, event, graded, lenient,
    score, strict,
};

#[test]
fn a_maximum_of_nothing_is_the_assignables() {
    let said = |stated: Option<f64>, assignable: Option<f64>| {
        let (mut object, mut generated) = (attempt(), score());
        if let Some(most) = assignable {
            object["assignable"]["maxScore"] = json!(most);
        }
        match stated {
            Some(most) => generated["maxScore"] = json!(most),
            None => drop(
                generated
                    .as_object_mut()
                    .expect("an object")
                    .remove("maxScore"),
            ),
        }
        let found = strict(&graded(object, generated)).expect("a result");
        found.score.expect("a score").maximum
    };
    assert_eq!(said(Some(0.0), Some(160.0)), Some(160.0));
    assert_eq!(said(None, Some(160.0)), Some(160.0));
    assert_eq!(said(Some(10.0), Some(160.0)), Some(10.0));
    assert_eq!(said(Some(0.0), Some(0.0)), Some(0.0));
    assert_eq!(said(Some(0.0), None), Some(0.0));
    assert_eq!(said(None, None), None);
    // The score has the attempt whole, or what was graded stands in the attempt's place.
    let mut generated = score();
    generated["maxScore"] = json!(0.0);
    generated["attempt"] = attempt();
    generated["attempt"]["assignable"]["maxScore"] = json!(12.0);
    let found = strict(&graded(json!(TRY), generated)).expect("a result");
    assert_eq!(found.score.and_then(|score| score.maximum), Some(12.0));
}

#[test]
fn a_grade_without_a_score_clears_it() {
    let cleared = |generated: Value| {
        let found = lenient(&graded(attempt(), generated), Profile::Canvas).expect("a result");
        (found.cleared, found.score)
    };
    let mut without = score();
    without
        .as_object_mut()
        .expect("an object")
        .remove("scoreGiven");
    assert_eq!(cleared(without.clone()), (true, None));
    let found = strict(&graded(attempt(), without)).expect("a result");
    assert_eq!(found.scored_by.as_deref(), Some(TEACHER));
    assert_eq!(cleared(score()), (false, SCORE));
    // A grade that generates nothing, or names its score only, says nothing of it.
    let mut event = graded(attempt(), score());
    event["generated"] = json!("https://school.example/scores/1");
    let found = strict(&event).expect("a result");
    assert_eq!((found.cleared, found.score), (false, None));
    event
        .as_object_mut()
        .expect("an object")
        .remove("generated");
    let found = strict(&event).expect("a result");
    assert_eq!((found.cleared, found.score), (false, None));
}

#[test]
fn a_result_of_1_0_without_a_total_is_the_sum_of_its_parts() {
    let iri = |name: &str| format!("http://purl.imsglobal.org/caliper/v1/{name}");
    let given = |parts: Value| {
        let mut generated = json!({"@id": "http://school.example/r", "@type": iri("Result")});
        for (name, value) in parts.as_object().expect("parts") {
            generated[name] = value.clone();
        }
        let outcome = json!({
            "@context": V1P0, "@type": iri("OutcomeEvent"), "actor": {"@id": TEACHER, "@type": iri("lis/Person")},
            "action": "http://purl.imsglobal.org/vocab/caliper/v1/action#Graded",
            "object": {"@id": TRY, "@type": iri("Attempt"), "assignable": QUIZ, "actor": LEARNER},
            "generated": generated, "eventTime": "2026-09-01T09:15:00.123Z"
        });
        let found = lenient(&outcome, Profile::Generic).expect("a result");
        (found.score.map(|score| score.given), found.cleared)
    };
    assert_eq!(
        given(json!({"normalScore": 3.0, "penaltyScore": 0.5, "extraCreditScore": 1.0})),
        (Some(3.5), false)
    );
    assert_eq!(
        given(json!({"normalScore": 3.0, "totalScore": 2.0, "curvedTotalScore": 9.0})),
        (Some(2.0), false)
    );
    assert_eq!(
        given(json!({"normalScore": 3.0, "totalScore": null})),
        (Some(3.0), false)
    );
    assert_eq!(
        given(json!({"normalScore": null, "curvedTotalScore": 4.0})),
        (Some(4.0), false)
    );
    assert_eq!(
        given(json!({"normalScore": null, "totalScore": null})),
        (None, true)
    );
}

#[test]
fn open_edx_says_in_extensions_what_was_attempted() {
    let problem = "https://edx.example.org/xblock/p1";
    let check = |number: u32| {
        let object = json!({
            "id": format!("{problem}/user/7/attempt/{number}"), "type": "Attempt",
            "extensions": {"isPartOf": {"id": SECTION, "type": "CourseOffering"}, "assignee": {"id": LEARNER, "type": "Person"},
                "assignable": {"id": problem, "type": "Assessment"}, "count": number}
        });
        let generated =
            json!({"score": {"id": "_:score", "type": "Score", "maxScore": 1, "scoreGiven": 1}});
        let mut event = graded(object, generated);
        event["actor"]["id"] = json!(LEARNER);
        lenient(&event, Profile::OpenEdx).expect("a result")
    };
    for number in 1..4 {
        let found = check(number);
        assert_eq!(found.assignment.as_deref(), Some(problem));
        assert_eq!(
            found.attempt.as_deref(),
            Some(&*format!("{problem}/user/7/attempt/{number}"))
        );
        assert_eq!(
            (found.learner.as_ref(), found.count),
            (LEARNER, Some(u64::from(number)))
        );
    }
}

#[test]
fn moodle_names_the_grader_in_the_learners_attempt() {
    let iri = |name: &str| format!("http://purl.imsglobal.org/caliper/v1/{name}");
    let task = "https://moodle.example/mod/assign/view.php?id=4";
    let user = |number: u32| format!("https://moodle.example/user/{number}");
    let attempt_of = |number: u32| {
        json!({"@id": format!("{task}/user/{number}/attempt/0"), "@type": iri("Attempt"),
        "assignable": {"@id": task, "@type": iri("AssignableDigitalResource"), "maxScore": 7.5}, "actor": user(7), "count": 0})
    };
    let outcome = json!({
        "@context": V1P0, "@type": iri("OutcomeEvent"), "actor": {"@id": user(2), "@type": iri("lis/Person")},
        "action": "http://purl.imsglobal.org/vocab/caliper/v1/action#Graded", "object": attempt_of(2),
        "generated": {"@id": format!("{task}/user/2/attempt/0/result"), "@type": iri("Result"), "totalScore": 7.5, "actor": user(7)},
        "eventTime": "2026-09-01T09:15:00.123Z"
    });
    let mut submitted = outcome.clone();
    submitted["@type"] = json!(iri("AssessmentEvent"));
    submitted["action"] = json!("http://purl.imsglobal.org/vocab/caliper/v1/action#Submitted");
    submitted["actor"]["@id"] = json!(user(7));
    submitted["object"] = attempt_of(7);
    submitted
        .as_object_mut()
        .expect("an object")
        .remove("generated");
    let grade = lenient(&outcome, Profile::Moodle10).expect("a result");
    let own = lenient(&submitted, Profile::Moodle10).expect("a result");
    assert_eq!(
        (&grade.learner, &grade.assignment, &grade.attempt),
        (&own.learner, &own.assignment, &own.attempt)
    );
    assert_eq!(grade.scored_by.as_deref(), Some(&*user(2)));
    assert_eq!(
        grade.score.and_then(|score| score.maximum),
        None,
        "Moodle writes the grade there"
    );
}

/// The section of a view as a lenient tenant of the profile.
fn section(event: Value, profile: Profile) -> Option<String> {
    let body = json!({"sensor": "s", "sendTime": "2026-09-01T09:16:00.000Z", "dataVersion": V1P2, "data": [event]});
    let body = body.to_string();
    let read =
        read_envelope(body.as_bytes(), &Policy::new(Mode::Lenient, profile)).expect("an envelope");
    read.items[0].columns.group.as_deref().map(str::to_owned)
}

#[test]
fn a_team_belongs_to_its_course() {
    let course = || json!({"id": SECTION, "type": "CourseSection", "subOrganizationOf": {"id": "https://school.example/o", "type": "CourseOffering"}});
    let team = |parent: Value| json!({"id": "https://school.example/team", "type": "Group", "subOrganizationOf": parent});
    let at = |place: &str, organization: Value| {
        let mut event = event("ViewEvent", "Viewed", LEARNER);
        event.as_object_mut().expect("an object").remove("group");
        match place {
            "group" => event["group"] = organization,
            _ => {
                event["membership"] =
                    json!({"id": "_:m", "type": "Membership", "organization": organization})
            }
        }
        section(event, Profile::Generic)
    };
    for place in ["group", "membership"] {
        let found = |organization| at(place, organization).expect("a section");
        assert_eq!(found(course()), SECTION);
        assert_eq!(found(json!(SECTION)), SECTION);
        assert_eq!(found(team(course())), SECTION);
        assert_eq!(found(team(team(course()))), SECTION);
        assert_eq!(found(team(json!(SECTION))), SECTION);
        let department = json!({"id": "https://school.example/d", "type": "Organization"});
        assert_eq!(found(team(department)), "https://school.example/team");
    }
}

#[test]
fn what_something_is_a_part_of_is_a_course_only_by_its_type() {
    let part_of = |whole: Value, profile| {
        let mut event = event("ViewEvent", "Viewed", LEARNER);
        event.as_object_mut().expect("an object").remove("group");
        event["object"] =
            json!({"id": "https://school.example/x", "type": "Page", "isPartOf": whole});
        section(event, profile)
    };
    let course = json!({"id": SECTION, "type": "CourseSection"});
    assert_eq!(
        part_of(course.clone(), Profile::Generic).as_deref(),
        Some(SECTION)
    );
    for kind in [
        "WebPage",
        "Forum",
        "Document",
        "Chapter",
        "Assessment",
        "Organization",
    ] {
        let whole = json!({"id": "https://school.example/w", "type": kind});
        assert_eq!(part_of(whole.clone(), Profile::Generic), None, "{kind}");
        let mut within = whole;
        within["isPartOf"] = course.clone();
        assert_eq!(
            part_of(within, Profile::Generic).as_deref(),
            Some(SECTION),
            "{kind}"
        );
    }
    assert_eq!(part_of(json!(SECTION), Profile::Generic), None);
    let extended = |whole: Value, profile| {
        let mut event = event("ViewEvent", "Viewed", LEARNER);
        event.as_object_mut().expect("an object").remove("group");
        event["object"] = json!({"id": "https://school.example/x", "type": "Page", "extensions": {"isPartOf": whole}});
        section(event, profile)
    };
    assert_eq!(extended(json!(SECTION), Profile::Generic), None);
    assert_eq!(
        extended(json!(SECTION), Profile::OpenEdx).as_deref(),
        Some(SECTION)
    );
    assert_eq!(extended(course, Profile::Generic).as_deref(), Some(SECTION));
    assert_eq!(
        extended(json!({"id": SECTION, "type": "Forum"}), Profile::OpenEdx),
        None
    );
}
