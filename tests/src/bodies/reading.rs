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

/// A retry whose UUID is in capitals is the same event, and either spelling finds both.
pub async fn one_uuid_is_one_event_in_any_spelling<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let small = event();
    let id = small["id"].as_str().unwrap_or_default();
    let capitals = format!("urn:uuid:{}", id["urn:uuid:".len()..].to_uppercase());
    let mut again = small.clone();
    again["id"] = json!(capitals);
    for sent in [&small, &again] {
        let receipt = post(world, &member, bytes(std::slice::from_ref(sent))).await;
        settled(world, &member, &receipt).await;
    }
    for asked in [id, &capitals, &id.to_uppercase()] {
        let call = Call::get("/events").query("id", asked);
        let call = call.query("disposition", "all").query("order", "oldest");
        let page = world.call(call.token(&member.secret)).await.json();
        let ends: Vec<&Value> = [0, 1]
            .iter()
            .map(|n| &page["events"][n]["disposition"])
            .collect();
        assert_eq!(ends, ["stored", "duplicate"], "{asked}: {page}");
        assert_eq!(page["events"][1]["event"]["id"], capitals.as_str());
        let call = Call::get("/events/{id}").id(asked).token(&member.secret);
        let found = world.call(call).await.json();
        assert_eq!(found["event"], small, "{asked}");
    }
}

/// Numbers that a double only rounds come back as sent; one beyond its range rejects its event alone.
pub async fn numbers_come_back_digit_by_digit<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let with = |number: &str| {
        let mut event = event();
        event["extensions"] = json!({ "number": "here" });
        let envelope = String::from_utf8(bytes(&[event])).expect("JSON");
        envelope.replacen("\"here\"", number, 1).into_bytes()
    };
    for (number, disposition) in [
        ("12345678901234567890123", "stored"),
        ("0.1234567890123456789012", "stored"),
        ("1.0e400", "rejected"),
    ] {
        let receipt = post(world, &member, with(number)).await;
        settled(world, &member, &receipt).await;
        let call = Call::get("/events").query("disposition", disposition);
        let answer = world
            .call(call.query("limit", "1").token(&member.secret))
            .await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains(&format!("{{\"number\":{number}}}")), "{text}");
        assert_eq!(
            text.contains("json.number"),
            disposition == "rejected",
            "{text}"
        );
    }
}

/// For load balancers and people.
pub async fn health_needs_no_token<W: World>(world: &W) {
    let answer = world.call(Call::get("/healthz")).await;
    assert_eq!(
        (answer.status, answer.json()["status"].as_str()),
        (200, Some("ok"))
    );
}

/// The document and the page: compressed for whoever takes it, and sent once to whoever keeps it.
pub async fn what_needs_no_token_is_compressed_and_sent_once<W: World>(world: &W) {
    let asking = |route, encoding: &str| {
        let call = Call::get(route).header("accept", "*/*");
        call.header("accept-encoding", encoding)
    };
    let gzip = world.call(asking("/openapi.json", "gzip, br")).await;
    let plain = world.call(asking("/openapi.json", "identity")).await;
    // A client that unpacks the body takes `Content-Encoding` away with it; the tag tells the form.
    assert!(gzip.header("etag").ends_with("-gzip\""), "{gzip:?}");
    assert!(!plain.header("etag").ends_with("-gzip\""), "{plain:?}");
    assert_eq!(plain.body, gzip.body);
    for (route, encoding) in [
        ("/openapi.json", "gzip"),
        ("/openapi.json", "identity"),
        ("/insights", "gzip"),
    ] {
        let first = world.call(asking(route, encoding)).await;
        assert_eq!(first.status, 200, "{route}");
        assert!(first.header("vary").contains("Accept-Encoding"), "{route}");
        assert_eq!(first.header("cache-control"), "public, max-age=60");
        let tag = first.header("etag");
        let call = asking(route, encoding).header("if-none-match", tag);
        let again = world.call(call).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{route}");
        assert_eq!(again.header("etag"), tag);
    }
}

/// Whatever a token shows is nobody's to keep, refusals included.
pub async fn nothing_behind_a_token_is_stored_on_its_way<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for (call, status) in [
        (Call::post(bytes(&events(1))), 200),
        (Call::get("/me"), 200),
        (Call::get("/events"), 200),
        (Call::get("/windows"), 200),
        (Call::get("/receipts/{id}").id("none"), 400),
    ] {
        let route = call.route;
        let answer = world.call(call.token(&member.secret)).await;
        assert_eq!(answer.status, status, "{route}");
        assert_eq!(answer.header("cache-control"), "no-store", "{route}");
    }
    let unknown = world.call(Call::get("/me").token("vrn_nobodys")).await;
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.header("cache-control"), "no-store");
}
