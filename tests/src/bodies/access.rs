//! Invariant 7: tenants are walls, and tokens do what they say.

use super::{post, settled};
use crate::envelopes::{bytes, events};
use crate::world::{Call, World, eventually};
use vernier_ledger::access::Scope;
use vernier_validation::{Mode, Profile};

/// Another tenant's receipt, event, cursor and windows are as if they were not.
pub async fn tenants_are_walls<W: World>(world: &W) {
    let owner = world.tenant(Mode::Strict, Profile::Generic).await;
    let stranger = world.tenant(Mode::Strict, Profile::Generic).await;
    let list = events(3);
    let receipt = post(world, &owner, bytes(&list)).await;
    settled(world, &owner, &receipt).await;

    let answer = world
        .call(
            Call::get("/receipts/{id}")
                .id(&receipt)
                .token(&stranger.secret),
        )
        .await;
    assert_eq!(answer.status, 404, "a receipt");
    let id = list[0]["id"].as_str().unwrap_or_default();
    let answer = world
        .call(Call::get("/events/{id}").id(id).token(&stranger.secret))
        .await;
    assert_eq!(answer.status, 404, "an event");
    let page = world
        .call(Call::get("/events").token(&stranger.secret))
        .await
        .json();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(0), "a list");
    let windows = world
        .call(Call::get("/windows").token(&stranger.secret))
        .await
        .json();
    let received = windows["windows"]
        .as_array()
        .expect("windows")
        .iter()
        .map(|w| &w["received"]["events"]);
    assert!(received.into_iter().all(|n| n == 0), "windows");

    let page = world
        .call(
            Call::get("/events")
                .query("limit", "1")
                .token(&owner.secret),
        )
        .await
        .json();
    let cursor = page["next_cursor"].as_str().expect("another page");
    let answer = world
        .call(
            Call::get("/events")
                .query("cursor", cursor)
                .token(&stranger.secret),
        )
        .await;
    assert_eq!(answer.status, 400, "a cursor");
}

/// Within the cache's stated time.
pub async fn a_revoked_token_stops_working<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let other = world.token(&member.tenant, &Scope::ALL).await;
    post(world, &member, bytes(&events(1))).await;
    world.revoke(&member).await;
    let call = Call::get("/caliper").token(&member.secret);
    let answer = eventually(world, call, |a| a.status == 401).await;
    assert!(
        answer.json()["detail"]
            .as_str()
            .is_some_and(|d| d.contains("revoked"))
    );
    post(world, &other, bytes(&events(1))).await;
}

/// A scope for each route.
pub async fn a_token_does_only_what_its_scopes_say<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let writer = world.token(&member.tenant, &[Scope::EventsWrite]).await;
    let reader = world.token(&member.tenant, &[Scope::EventsRead]).await;
    post(world, &writer, bytes(&events(1))).await;
    for (call, member, status) in [
        (Call::post(bytes(&events(1))), &reader, 403),
        (Call::get("/events"), &writer, 403),
        (Call::get("/windows"), &reader, 403),
        (Call::get("/events"), &reader, 200),
    ] {
        let route = call.route;
        let answer = world.call(call.token(&member.secret)).await;
        assert_eq!(
            answer.status,
            status,
            "{route}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    }
}

/// Caliper 1.2: GET answers the configuration, or 401. Older sensors send the bare key.
pub async fn the_endpoint_configuration_needs_a_token<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    assert_eq!(world.call(Call::get("/caliper")).await.status, 401);
    let answer = world
        .call(Call::get("/caliper").header("authorization", &member.secret))
        .await;
    assert_eq!(answer.status, 200);
    let versions = answer.json()["caliper_supported_versions"]
        .as_array()
        .map(Vec::len);
    assert!(versions.is_some_and(|n| n >= 2));
    assert!(
        answer.json()["caliper_maximum_payload_size"]
            .as_u64()
            .is_some_and(|kilobytes| kilobytes > 500)
    );
}
