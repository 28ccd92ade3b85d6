//! Events that are sent through again: onto the stream, and out of the quarantine.

use super::sealing::sealed;
use super::{balanced, post, settled};
use crate::envelopes::{bytes, events, graded, invalid_event};
use crate::world::{Call, Member, World, eventually};
use serde_json::{Value, json};
use vernier_ledger::clock;
use vernier_ledger::disposition::DispositionCounts;
use vernier_validation::{Mode, Profile};

/// A playback of the last hour, at its end.
async fn played<W: World>(world: &W, member: &Member, request: Value) -> Value {
    let now = clock::now();
    let mut body = request;
    if body["source"] != "failures" {
        body["from"] = now.plus_seconds(-3600).rfc3339().into();
        body["to"] = now.plus_seconds(3600).rfc3339().into();
    }
    body["target"] = "stream".into();
    let call = Call::post_to("/playbacks", &body).token(&member.secret);
    let answer = world.call(call).await;
    assert_eq!(answer.status, 202, "{}", answer.json());
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    let call = Call::get("/playbacks/{id}").id(&id).token(&member.secret);
    let ended = eventually(world, call, |a| {
        ["done", "failed"].iter().any(|s| a.json()["state"] == *s)
    })
    .await
    .json();
    assert_eq!(ended["state"], "done", "{ended}");
    ended
}

fn progress(playback: &Value) -> [u64; 3] {
    let names = ["events_played", "rejected_again", "envelopes"];
    names.map(|name| playback["progress"][name].as_u64().expect("a count"))
}

/// What is sealed and sent again is a duplicate, event by event, and every window adds up
/// (invariants 3 and 4).
///
/// # Panics
/// When something changed.
pub async fn a_playback_to_the_stream_changes_nothing<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut first = events(5);
    first.push(graded("jane", "quiz", 7.0, "2026-11-20T10:00:00.000Z"));
    first.push(invalid_event());
    let receipt = post(world, &member, bytes(&first)).await;
    settled(world, &member, &receipt).await;
    sealed(world, &member, 7).await;

    let dry = played(world, &member, json!({"dry_run": true})).await;
    assert_eq!(progress(&dry), [6, 0, 1], "{dry}");
    assert_eq!(balanced(world, &member, 7).await, [7, 6, 0, 0, 1]);

    let done = played(world, &member, json!({})).await;
    assert_eq!(progress(&done), [6, 0, 1], "{done}");
    assert_eq!(balanced(world, &member, 13).await, [13, 6, 6, 0, 1]);
    let report = sealed(world, &member, 13).await;
    assert_eq!(report.findings, []);
    let counts = DispositionCounts {
        stored: 6,
        duplicate: 6,
        rejected: 1,
        conflict: 0,
    };
    assert_eq!(report.counts, counts);
    // Duplicates are not played: the same six again.
    let again = played(world, &member, json!({"dry_run": true})).await;
    assert_eq!(progress(&again), [6, 0, 1], "{again}");
}

/// A rejected event is judged again by what is registered by then; what passes is stored once.
///
/// # Panics
/// When it is not.
pub async fn the_quarantine_is_judged_by_the_schemas_of_today<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let kind = "https://school.example/types/Badge";
    let badge = json!({"type": kind, "who": "jane", "points": 3});
    let receipt = post(world, &member, bytes(&[badge, invalid_event()])).await;
    let verdicts = settled(world, &member, &receipt).await;
    assert_eq!(verdicts["counts"]["rejected"], 2, "{verdicts}");
    sealed(world, &member, 2).await;

    let quarantine = json!({"source": "quarantine"});
    let before = played(world, &member, quarantine.clone()).await;
    assert_eq!(progress(&before), [0, 2, 0], "{before}");
    let schema = json!({"schema": {"type": "object", "required": ["who"]}});
    let call = Call::put("/schemas/{type+}", &schema).id(kind);
    let answer = world.call(call.token(&member.secret)).await;
    assert_eq!(answer.status, 201, "{}", answer.json());

    let other = json!({"source": "quarantine", "filter": {"rule": "no.such.rule"}});
    assert_eq!(progress(&played(world, &member, other).await), [0, 0, 0]);
    for _ in 0..2 {
        let after = played(world, &member, quarantine.clone()).await;
        assert_eq!(progress(&after), [1, 1, 1], "{after}");
    }
    assert_eq!(balanced(world, &member, 4).await, [4, 1, 1, 0, 2]);
    let report = sealed(world, &member, 4).await;
    assert_eq!(report.findings, []);
    let counts = DispositionCounts {
        stored: 1,
        duplicate: 1,
        rejected: 2,
        conflict: 0,
    };
    assert_eq!(report.counts, counts);
}
