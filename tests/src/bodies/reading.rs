//! What went in comes out.

use super::{post, settled};
use crate::envelopes::{bytes, event, events};
use crate::world::{Call, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vernier_validation::{Mode, Profile};

/// Walks pages of 7 both ways.
pub async fn pages_hold_every_event_once_in_either_order<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let list = events(25);
    for chunk in list.chunks(10) {
        let receipt = post(world, &member, bytes(chunk)).await;
        settled(world, &member, &receipt).await;
    }
    let sent: BTreeSet<&str> = list.iter().filter_map(|e| e["id"].as_str()).collect();
    let mut walks = Vec::new();
    for order in ["oldest", "newest"] {
        let mut walked: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut call = Call::get("/events")
                .query("limit", "7")
                .token(&member.secret);
            call = match &cursor {
                None => call.query("order", order),
                Some(cursor) => call.query("cursor", cursor),
            };
            let page = world.call(call).await.json();
            let got = page["events"].as_array().cloned().unwrap_or_default();
            assert!((1..=7).contains(&got.len()), "{page}");
            assert_eq!(page["provisional"], true);
            assert!(page["live_through"].is_string());
            walked.extend(got);
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        let ids: Vec<String> = walked
            .iter()
            .filter_map(|e| Some(e["event"]["id"].as_str()?.to_owned()))
            .collect();
        assert_eq!(ids.len(), 25);
        assert_eq!(
            ids.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            sent
        );
        walks.push(ids);
    }
    walks[1].reverse();
    assert_eq!(walks[0], walks[1]);
}

/// By type, action, actor and section.
pub async fn filters_select_by_column<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut other = event();
    other["actor"]["id"] = json!("https://school.example/users/8");
    other["group"]["id"] = json!("https://school.example/sections/4");
    let receipt = post(world, &member, bytes(&[event(), other, event()])).await;
    settled(world, &member, &receipt).await;
    for (name, value, count) in [
        ("type", "NavigationEvent", 3),
        ("type", "ViewEvent", 0),
        ("action", "NavigatedTo", 3),
        ("actor", "https://school.example/users/8", 1),
        ("group", "https://school.example/sections/3", 2),
        ("sensor", "https://school.example/sensors/1", 3),
    ] {
        let page = world
            .call(
                Call::get("/events")
                    .query(name, value)
                    .token(&member.secret),
            )
            .await
            .json();
        assert_eq!(
            page["events"].as_array().map(Vec::len),
            Some(count),
            "{name}={value}: {page}"
        );
    }
}

/// The event comes back as it was sent, by an id with characters that a path must encode.
pub async fn an_event_is_found_by_its_id<W: World>(world: &W) {
    let member = world.tenant(Mode::Lenient, Profile::Generic).await;
    let mut odd = event();
    odd["id"] = json!("https://school.example/events/1?a=b&c=%20d#e");
    let plain = event();
    let receipt = post(world, &member, bytes(&[odd.clone(), plain.clone()])).await;
    settled(world, &member, &receipt).await;
    for sent in [plain] {
        let id = sent["id"].as_str().unwrap_or_default();
        let answer = world
            .call(Call::get("/events/{id}").id(id).token(&member.secret))
            .await;
        assert_eq!(
            answer.status,
            200,
            "{id}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        let found = answer.json();
        assert_eq!(found["event"], sent);
        assert_eq!(found["receipt"], receipt.as_str());
    }
    let by_parameter =
        Call::get("/events").query("id", "https://school.example/events/1?a=b&c=%20d#e");
    let page = world.call(by_parameter.token(&member.secret)).await.json();
    assert_eq!(page["events"][0]["event"], odd);
}

/// For load balancers and people.
pub async fn health_needs_no_token<W: World>(world: &W) {
    let answer = world.call(Call::get("/healthz")).await;
    assert_eq!(
        (answer.status, answer.json()["status"].as_str()),
        (200, Some("ok"))
    );
}
