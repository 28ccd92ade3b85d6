//! A closed tenant: its sensors and administrators are out, and the operator reads.

use crate::bodies::{post, settled};
use crate::envelopes::{bytes, events};
use crate::world::{Call, World, eventually};
use serde_json::json;
use vernier_ledger::access::Scope;
use vernier_validation::{Mode, Profile};

/// Closing takes every token away; one that is issued later reads, and writes nothing whatever its scopes say.
pub async fn a_closed_tenant_is_read_and_not_written<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let neighbour = world.tenant(Mode::Strict, Profile::Generic).await;
    let receipt = post(world, &member, bytes(&events(2))).await;
    settled(world, &member, &receipt).await;
    world.close(&member).await;
    let write = Call::post(bytes(&events(1))).token(&member.secret);
    eventually(world, write, |answer| answer.status == 401).await;

    // One that was issued since reads, and writes nothing whatever its scopes say.
    let reader = world.token(&member.tenant, &Scope::ALL).await;
    let call = Call::get("/receipts/{id}")
        .id(&receipt)
        .token(&reader.secret);
    let read = world.call(call).await;
    assert_eq!(
        (read.status, read.json()["state"].clone()),
        (200, json!("complete"))
    );
    let schema = json!({ "schema": { "type": "object" } });
    let playback = json!({ "target": "stream", "source": "failures" });
    for call in [
        Call::post(bytes(&events(1))),
        Call::put("/schemas/{type+}", &schema).id("urn:closed:thing"),
        Call::post_to("/playbacks", &playback),
    ] {
        let answer = world.call(call.token(&reader.secret)).await;
        assert_eq!(answer.status, 403);
        assert!(answer.json()["detail"].to_string().contains("closed"));
    }
    post(world, &neighbour, bytes(&events(1))).await;
}

/// A tenant's use is what was taken, and no more.
pub async fn a_tenants_use_is_told_by_day<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let other = world.tenant(Mode::Strict, Profile::Generic).await;
    let body = bytes(&events(3));
    let sent = body.len() as u64;
    let receipt = post(world, &member, body).await;
    settled(world, &member, &receipt).await;
    let refused = world.call(Call::post("{").token(&member.secret)).await;
    assert_eq!(refused.status, 400);
    let call = Call::get("/reports/{report}").id("traffic");
    let of = |token: &str| call.clone().token(token);
    world.seal().await;
    let report = eventually(world, of(&member.secret), |answer| {
        answer.json()["days"]
            .as_array()
            .is_some_and(|days| days.iter().any(|day| day["events"] == 3))
    })
    .await
    .json();
    let days = report["days"].as_array().expect("days");
    let sum = |name: &str| {
        days.iter()
            .filter_map(|day| day[name].as_u64())
            .sum::<u64>()
    };
    assert_eq!(
        [
            sum("requests"),
            sum("events"),
            sum("rejected"),
            sum("bytes")
        ],
        [1, 3, 0, sent]
    );
    assert!((7..=8).contains(&days.len()), "{report}");
    assert_eq!(days.last().expect("today")["final"], false, "{report}");
    assert_eq!(report["provisional"], true);
    let csv = of(&member.secret).header("accept", "text/csv");
    let csv = String::from_utf8(world.call(csv).await.body).expect("text");
    assert!(
        csv.starts_with("date,requests,events,rejected,bytes,final\r\n"),
        "{csv}"
    );
    assert!(csv.contains(&format!(",1,3,0,{sent},false\r\n")), "{csv}");
    let others = world.call(of(&other.secret)).await.json();
    let others = others["days"].as_array().expect("days");
    assert!(others.iter().all(|day| day["events"] == 0));
    for (from, to) in [
        ("2026-13-01", "2026-12-01"),
        ("2026-09-02", "2026-09-01"),
        ("2026-01-01", "2026-09-01"),
    ] {
        let bad = of(&member.secret).query("from", from).query("to", to);
        assert_eq!(world.call(bad).await.status, 400, "{from} {to}");
    }
}
