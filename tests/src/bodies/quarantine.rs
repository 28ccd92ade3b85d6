//! Rejected events, listed and counted wherever they lie.

use super::sealing::sealed;
use super::{post, settled};
use crate::envelopes::{bytes, events, invalid_event};
use crate::world::{Call, Member, World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vernier_validation::{Mode, Profile};

/// The sensor of the tests' tokens.
const SENSOR: &str = "https://school.example/sensors/1";

fn ids(page: &Value) -> Vec<(String, u64)> {
    let events = page["events"].as_array().expect("events");
    let id = |e: &Value| {
        let receipt = e["receipt"].as_str().expect("a receipt").to_owned();
        (receipt, e["index"].as_u64().expect("an index"))
    };
    events.iter().map(id).collect()
}

/// All pages of a list.
async fn all<W: World>(world: &W, member: &Member, order: &str, limit: &str) -> Vec<(String, u64)> {
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let call = Call::get("/quarantine").query("limit", limit);
        let call = match &cursor {
            Some(cursor) => call.query("cursor", cursor),
            None => call.query("order", order),
        };
        let answer = world.call(call.token(&member.secret)).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        let page = answer.json();
        found.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return found,
        }
    }
}

/// Every rejected event is listed once, in either order and by any page, sealed or not, with its
/// reasons and as it was sent; the filters choose; a cursor goes on when its windows were sealed.
///
/// # Panics
/// When one is missing or listed twice.
pub async fn rejected_events_are_listed_by_sensor_and_rule<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut no_time = events(1).remove(0);
    no_time
        .as_object_mut()
        .expect("an object")
        .remove("eventTime");
    let mut expected = BTreeSet::new();
    let mut send = async |rejected: &[Value], sealed_too: u64| {
        let mut body = events(2);
        body.extend(rejected.iter().cloned());
        let receipt = post(world, &member, bytes(&body)).await;
        settled(world, &member, &receipt).await;
        expected.extend((2..2 + rejected.len() as u64).map(|n| (receipt.clone(), n)));
        if sealed_too > 0 {
            sealed(world, &member, sealed_too).await;
        }
    };
    send(&[invalid_event(), no_time.clone()], 4).await;
    send(&[invalid_event()], 0).await;
    let first = Call::get("/quarantine")
        .query("limit", "1")
        .token(&member.secret);
    let first = eventually(world, first, |a| ids(&a.json()).len() == 1)
        .await
        .json();
    sealed(world, &member, 7).await;
    send(&[no_time.clone(), invalid_event()], 0).await;
    let before = ids(&first);
    let cursor = first["next_cursor"].as_str().expect("there are more");
    let rest = Call::get("/quarantine")
        .query("cursor", cursor)
        .token(&member.secret);
    let rest = ids(&world.call(rest).await.json());
    assert_eq!(before.len() + rest.len(), 3, "{before:?} {rest:?}");

    for limit in ["1", "2", "100"] {
        let oldest = all(world, &member, "oldest", limit).await;
        let mut newest = all(world, &member, "newest", limit).await;
        newest.reverse();
        assert_eq!(oldest, newest, "{limit}");
        let found: BTreeSet<(String, u64)> = oldest.iter().cloned().collect();
        assert_eq!((found.len(), &found), (oldest.len(), &expected), "{limit}");
    }
    chosen(world, &member, &no_time).await;
    let listed = world.call(
        Call::get("/events")
            .token(&member.secret)
            .query("cursor", cursor),
    );
    assert_eq!(listed.await.status, 400, "another route's cursor");
    let stranger = world.tenant(Mode::Strict, Profile::Generic).await;
    let foreign = world
        .call(Call::get("/quarantine").token(&stranger.secret))
        .await
        .json();
    assert_eq!(ids(&foreign).len(), 0);
    counted(world, &member).await;
}

/// Filters choose by rule and by sensor.
async fn chosen<W: World>(world: &W, member: &Member, no_time: &Value) {
    let list = Call::get("/quarantine").token(&member.secret);
    let by_rule = world
        .call(list.clone().query("rule", "Event.eventTime.required"))
        .await
        .json();
    assert_eq!(ids(&by_rule).len(), 2, "{by_rule}");
    assert_eq!(by_rule["events"][0]["event"], *no_time);
    let by_sensor = world
        .call(list.clone().query("sensor", SENSOR))
        .await
        .json();
    assert_eq!(ids(&by_sensor).len(), 5);
    let other = world
        .call(list.clone().query("sensor", "nobody"))
        .await
        .json();
    assert_eq!(ids(&other).len(), 0);
}

/// The report counts the same events, sealed and not.
async fn counted<W: World>(world: &W, member: &Member) {
    let call = Call::get("/deviations").token(&member.secret);
    let report = world.call(call).await.json();
    let sensors = report["sensors"].as_array().expect("sensors");
    assert_eq!(sensors.len(), 1, "{report}");
    let of = &sensors[0];
    assert_eq!(of["sensor"], SENSOR);
    let figures = ["events", "rejected", "deviating", "strict_rejected"].map(|n| of[n].as_u64());
    assert_eq!(figures, [Some(11), Some(5), Some(0), Some(5)], "{report}");
    let rules = of["rules"].as_array().expect("rules");
    let time = rules
        .iter()
        .find(|r| r["rule"] == "Event.eventTime.required");
    let time = time.expect("the rule is named");
    assert_eq!(
        (&time["problems"], &time["deviations"]),
        (&json!(2), &json!(0))
    );
}
