//! Invariants 4 and 7 for results: where learners stand, whatever came first, twice or from whom.

use super::{balanced, post};
use crate::envelopes::{assessed, bytes, graded, invalid_event};
use crate::world::World;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::Results;
use vernier_ledger::results::{
    Cause, Count, Register, Registers, ResultItem, ResultKey, Score, Started, Status, Submitted,
};
use vernier_ledger::time::Millis;
use vernier_validation::{Mode, Profile};

const SECTION: &str = "https://school.example/sections/3";

fn tenant(name: &str) -> TenantId {
    name.parse().expect("a tenant's name")
}

fn key(learner: &str, assignment: &str, attempt: Option<&str>) -> ResultKey {
    ResultKey {
        section: Some(SECTION.to_owned()),
        learner: learner.to_owned(),
        assignment: Some(assignment.to_owned()),
        attempt: attempt.map(str::to_owned),
    }
}

fn at(text: &str) -> Millis {
    Millis::parse_rfc3339(text).expect("a time")
}

/// From POST to the result: the last event by its own time counts, whatever came when.
pub async fn grades_reach_their_results<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let other = world.tenant(Mode::Strict, Profile::Generic).await;
    let started = assessed("jane", "quiz", "Started", "2026-11-20T09:00:00.000Z");
    let submitted = assessed("jane", "quiz", "Submitted", "2026-11-20T09:30:00.000Z");
    let regraded = graded("jane", "quiz", 8.5, "2026-11-20T12:00:00.000Z");
    let first_grade = graded("jane", "quiz", 5.0, "2026-11-20T10:00:00.000Z");
    let mut refused = graded("jane", "quiz", 1.0, "2026-11-20T13:00:00.000Z");
    refused["actor"] = invalid_event()["actor"].clone();
    // The second grade comes before the first one and before the attempt that it is of.
    post(world, &member, bytes(std::slice::from_ref(&regraded))).await;
    post(world, &member, bytes(&[refused, first_grade, submitted])).await;
    post(
        world,
        &member,
        bytes(&[
            started.clone(),
            graded("joe", "quiz", 2.0, "2026-11-20T10:00:00.000Z"),
        ]),
    )
    .await;
    post(world, &member, bytes(&[started, regraded.clone()])).await;
    assert_eq!(balanced(world, &member, 8).await, [8, 5, 2, 0, 1]);

    let list = world
        .results()
        .of_section(&tenant(&member.tenant), Some(SECTION))
        .await;
    let list = list.expect("the table answers");
    assert_eq!((list.items.len(), list.more), (2, false), "{list:#?}");
    let jane = list.items.iter().find(|i| i.key.learner.ends_with("/jane"));
    let jane = &jane.expect("a result").registers;
    let score = jane.score.as_ref().expect("a score");
    let by = Some("https://school.example/autograder".to_owned());
    let maximum = Some(10.0);
    assert_eq!(
        score.value,
        Score {
            given: Some(8.5),
            maximum,
            by
        }
    );
    assert_eq!(score.cause.event_id().as_deref(), regraded["id"].as_str());
    let status = jane.status.as_ref().expect("a status");
    assert_eq!(status.value.action, "Graded");
    let start = jane.started.as_ref().expect("a start");
    assert_eq!(start.value.at, at("2026-11-20T09:00:00.000Z"));
    let end = jane.submitted.as_ref().expect("an end");
    assert_eq!(end.value.at, Some(at("2026-11-20T09:30:00.000Z")));
    assert_eq!(jane.count.as_ref().and_then(|c| c.value.count), Some(1));

    let learner = &list.items.iter().find(|i| i.key.learner.ends_with("/joe"));
    let learner = &learner.expect("a result").key.learner;
    let joe = world
        .results()
        .of_learner(&tenant(&member.tenant), Some(SECTION), learner)
        .await;
    assert_eq!(joe.expect("the table answers").items.len(), 1);
    let foreign = world
        .results()
        .of_section(&tenant(&other.tenant), Some(SECTION))
        .await;
    assert_eq!(foreign.expect("the table answers").items, [], "invariant 7");
}

/// A register of an event; the content makes its fingerprint.
fn register<T>(value: T, at: i64, id: Option<&str>, content: &str) -> Option<Register<T>> {
    let cause = Cause::new(Millis(at), id, &Fingerprint::of(content.as_bytes()));
    Some(Register { value, cause })
}

/// Changes of one result that meet in every way: other registers, older, newer, equal times, one
/// id with two contents, no id, times before 1970.
fn changes() -> Vec<Registers> {
    let score = |given| Score {
        given,
        maximum: None,
        by: None,
    };
    let status = |action: &str| Status {
        action: action.to_owned(),
    };
    let uuid = "urn:uuid:2f9a3a0e-54a0-4d55-8d3c-0c8f54d3a001";
    let none = Registers::default;
    vec![
        Registers {
            status: register(status("Started"), 1_000, Some(uuid), "a"),
            started: register(Started { at: Millis(1_000) }, 1_000, Some(uuid), "a"),
            ..none()
        },
        Registers {
            score: register(score(Some(0.1)), 5_000, Some("x"), "b"),
            ..none()
        },
        Registers {
            score: register(score(Some(2.0)), 5_000, Some("x"), "c"),
            status: register(status("Graded"), 5_000, Some("x"), "c"),
            ..none()
        },
        Registers {
            status: register(status("Submitted"), 4_000, None, "d"),
            submitted: register(
                Submitted {
                    at: Some(Millis(4_000)),
                    duration_millis: Some(3_000),
                },
                4_000,
                None,
                "d",
            ),
            count: register(
                Count {
                    count: Some(1),
                    part_of: Some("whole".into()),
                },
                4_000,
                None,
                "d",
            ),
            ..none()
        },
        Registers {
            score: register(score(Some(1e200)), -5, Some(uuid), "e"),
            started: register(Started { at: Millis(-5) }, -5, Some(uuid), "e"),
            ..none()
        },
        Registers {
            score: register(score(None), 6_000, None, "g"),
            ..none()
        },
        Registers {
            status: register(status("Reviewed"), 5_000, Some("y"), "f"),
            ..none()
        },
    ]
}

/// The port's contract: any order and any repetition gives what merging in memory gives.
pub async fn merging_gives_the_same_in_any_order<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let tenant = tenant(&member.tenant);
    let changes = changes();
    let mut expected = Registers::default();
    changes
        .iter()
        .for_each(|change| expected.merge(change.clone()));
    for turn in 0..changes.len() {
        for backwards in [false, true] {
            let key = key("jane", &format!("{turn} {backwards}"), None);
            let mut order = changes.clone();
            order.rotate_left(turn);
            if backwards {
                order.reverse();
            }
            let again = order[..3].to_vec();
            for change in order.iter().chain(&again) {
                world
                    .results()
                    .merge(&tenant, &key, change)
                    .await
                    .expect("merged");
            }
            let list = world
                .results()
                .of_learner(&tenant, Some(SECTION), "jane")
                .await;
            let list = list.expect("the table answers");
            let found = list.items.iter().find(|item| item.key == key);
            assert_eq!(
                found.map(|item| &item.registers),
                Some(&expected),
                "{key:?}"
            );
        }
    }
    // Seven writers at once, each of whom may find another's newer event.
    let key = key("joe", "together", None);
    let merge = |change| world.results().merge(&tenant, &key, change);
    let [a, b, c, d, e, f, g] = &changes[..] else {
        panic!("seven changes");
    };
    let outcomes = tokio::join!(
        merge(a),
        merge(b),
        merge(c),
        merge(d),
        merge(e),
        merge(f),
        merge(g)
    );
    assert_eq!(
        outcomes,
        (Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), Ok(()))
    );
    let list = world
        .results()
        .of_learner(&tenant, Some(SECTION), "joe")
        .await;
    let items = list.expect("the table answers").items;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].registers, expected);
}

/// The port's contract: a learner's results and a section's, with ids of any characters, without
/// a section, an assignment or an attempt.
pub async fn results_are_found_by_learner_and_by_section<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let tenant = tenant(&member.tenant);
    let registers = &changes()[0];
    let mut keys: Vec<ResultKey> = (0..24)
        .map(|n| key(&format!("learner #{n} ü\"\u{1}"), "quiz", None))
        .collect();
    keys.push(key("learner #0 ü\"\u{1}", "exam", Some("first")));
    keys.push(ResultKey {
        assignment: None,
        ..key("learner", "", Some("first"))
    });
    keys.sort();
    let nowhere = ResultKey {
        section: None,
        ..keys[0].clone()
    };
    for key in keys.iter().chain([&nowhere]) {
        world
            .results()
            .merge(&tenant, key, registers)
            .await
            .expect("merged");
    }
    let found = |items: Vec<ResultItem>| -> Vec<ResultKey> {
        assert!(items.iter().all(|item| item.registers == *registers));
        items.into_iter().map(|item| item.key).collect()
    };
    let section = world.results().of_section(&tenant, Some(SECTION)).await;
    assert_eq!(found(section.expect("the table answers").items), keys);
    let learner = &keys[0].learner;
    let own = world
        .results()
        .of_learner(&tenant, Some(SECTION), learner)
        .await;
    let expected: Vec<_> = keys
        .iter()
        .filter(|k| k.learner == *learner)
        .cloned()
        .collect();
    assert_eq!(found(own.expect("the table answers").items), expected);
    let without = world.results().of_section(&tenant, None).await;
    assert_eq!(found(without.expect("the table answers").items), [nowhere]);
    let nobody = world
        .results()
        .of_learner(&tenant, Some(SECTION), "learne")
        .await;
    assert_eq!(nobody.expect("the table answers").items, []);
}
