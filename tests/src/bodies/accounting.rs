//! Invariants 1 to 5: what is acknowledged is accounted for.

use super::{balanced, post, settled};
use crate::envelopes::{bytes, event, event_with_id, events, invalid_event};
use crate::world::{Call, World, eventually};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use vernier_ledger::clock;
use vernier_ledger::frame::{self, FRAME_VERSION, FrameHeader, Tally};
use vernier_ledger::ids::ReceiptId;
use vernier_validation::{Mode, Profile};

/// Invariants 1 and 2.
pub async fn an_envelope_is_acknowledged_and_every_event_gets_its_disposition<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let answer = world
        .call(Call::post(bytes(&events(5))).token(&member.secret))
        .await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    let counts = ["vernier-received", "vernier-accepted", "vernier-rejected"]
        .map(|n| answer.header(n).to_owned());
    assert_eq!(counts, ["5", "5", "0"]);
    let receipt = settled(world, &member, answer.header("vernier-receipt")).await;
    assert_eq!(receipt["acknowledged"], true);
    assert_eq!(receipt["counts"]["stored"], 5);
    let indices: Vec<u64> = all(&receipt["events"])
        .iter()
        .filter_map(|e| e["index"].as_u64())
        .collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    assert_eq!(balanced(world, &member, 5).await, [5, 5, 0, 0, 0]);
}

fn all(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// The 1EdTech examples, read from beside the project; without them, says so and ends.
pub async fn the_official_example_envelopes_are_stored<W: World>(world: &W) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/caliper/valid/v1p2");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!(
            "SKIPPED: the 1EdTech examples are not beside the project ({})",
            folder.display()
        );
        return;
    };
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|p| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("caliperEnvelope"))
    });
    paths.sort();
    assert!(paths.len() >= 10, "the folder holds the example envelopes");
    let mut total = 0;
    for path in paths {
        let body = std::fs::read(&path).expect("a readable file");
        let envelope: Value = serde_json::from_slice(&body).expect("JSON");
        let count = all(&envelope["data"]).len() as u64;
        let receipt = post(world, &member, body).await;
        let receipt = settled(world, &member, &receipt).await;
        assert_eq!(receipt["counts"]["received"], count, "{}", path.display());
        assert_eq!(
            receipt["counts"]["rejected"],
            0,
            "{}: {receipt}",
            path.display()
        );
        total += count;
    }
    balanced(world, &member, total).await;
}

/// Invariant 4: the same bytes and the same events in another envelope.
pub async fn a_resent_envelope_becomes_duplicates<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let list = events(3);
    let first = post(world, &member, bytes(&list)).await;
    let again = post(world, &member, bytes(&list)).await;
    let mixed = post(world, &member, bytes(&[list[1].clone(), event()])).await;
    assert_eq!(settled(world, &member, &first).await["counts"]["stored"], 3);
    assert_eq!(
        settled(world, &member, &again).await["counts"]["duplicate"],
        3
    );
    let mixed = settled(world, &member, &mixed).await;
    let dispositions: Vec<&Value> = all(&mixed["events"])
        .iter()
        .map(|e| &e["disposition"])
        .collect();
    assert_eq!(dispositions, ["duplicate", "stored"]);
    assert_eq!(balanced(world, &member, 8).await, [8, 4, 4, 0, 0]);
}

/// Invariant 2.
pub async fn the_same_id_with_other_content_is_a_conflict<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let first = event();
    let mut second = first.clone();
    second["eventTime"] = json!("2026-11-20T11:00:00.000Z");
    post(world, &member, bytes(&[first])).await;
    let receipt = post(world, &member, bytes(&[second])).await;
    assert_eq!(
        settled(world, &member, &receipt).await["counts"]["conflict"],
        1
    );
    assert_eq!(balanced(world, &member, 2).await, [2, 1, 0, 1, 0]);
}

/// Invariant 5: one bad event never fails its envelope, and is kept with its reasons.
pub async fn rejected_events_travel_with_their_reasons<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let body = bytes(&[event(), invalid_event(), event()]);
    let call = Call::post(body)
        .token(&member.secret)
        .header("prefer", "return=representation");
    let answer = world.call(call).await;
    assert_eq!(answer.status, 200);
    let said = answer.json();
    assert_eq!(
        (&said["accepted"], &said["rejected"]),
        (&json!(2), &json!(1))
    );
    let problems = all(&said["events"][1]["problems"]);
    assert!(
        problems
            .iter()
            .any(|p| p["pointer"] == "/eventTime" && p["rule"].is_string()),
        "{said}"
    );
    let receipt = settled(world, &member, answer.header("vernier-receipt")).await;
    assert_eq!(receipt["events"][1]["disposition"], "rejected");
    assert_eq!(
        receipt["events"][1]["problems"],
        said["events"][1]["problems"]
    );
    let rejected = Call::get("/events")
        .query("disposition", "rejected")
        .token(&member.secret);
    let page = world.call(rejected).await.json();
    assert_eq!(
        page["events"][0]["event"]["eventTime"], "yesterday",
        "the raw event is kept"
    );
    assert_eq!(balanced(world, &member, 3).await, [3, 2, 0, 0, 1]);
}

/// 1,500 events are about 2.4 MB of lines: three frames, one receipt.
pub async fn an_envelope_over_one_frame_is_stored_whole<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let receipt = post(world, &member, bytes(&events(1_500))).await;
    let receipt = settled(world, &member, &receipt).await;
    assert_eq!(receipt["counts"]["stored"], 1_500);
    assert_eq!(
        balanced(world, &member, 1_500).await,
        [1_500, 1_500, 0, 0, 0]
    );
}

/// Invariant 8: larger than a frame is no reason to lose an event.
pub async fn an_event_over_one_frame_is_stored_by_reference<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut large = event();
    large["extensions"] = json!({ "transcript": "long ".repeat(260_000) });
    let id = large["id"].as_str().unwrap_or_default().to_owned();
    let receipt = post(world, &member, bytes(&[event(), large.clone()])).await;
    assert_eq!(
        settled(world, &member, &receipt).await["counts"]["stored"],
        2
    );
    let found = world
        .call(Call::get("/events/{id}").id(&id).token(&member.secret))
        .await;
    assert_eq!(found.json()["event"], large);
}

/// Invariant 5.
pub async fn an_undecodable_record_is_quarantined_and_holds_nothing_up<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let before = world.keys("quarantine/frames/").await.len();
    for lane in 0..4 {
        world
            .put_record(&format!("{}/{lane}", member.tenant), b"no frame at all")
            .await;
    }
    let receipt = post(world, &member, bytes(&events(2))).await;
    assert_eq!(
        settled(world, &member, &receipt).await["counts"]["stored"],
        2
    );
    let deadline = std::time::Instant::now() + W::PATIENCE;
    while world.keys("quarantine/frames/").await.len() < before + 4 {
        assert!(
            std::time::Instant::now() < deadline,
            "the raw records are in quarantine"
        );
        world.turn().await;
    }
}

/// Invariant 5: whatever a record's error quotes, it is kept and holds nothing up.
pub async fn an_error_that_quotes_a_line_feed_is_quarantined<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let before = world.keys("quarantine/frames/").await.len();
    let header = FrameHeader {
        vernier_frame: FRAME_VERSION,
        receipt: ReceiptId::generate(clock::now(), 0),
        tenant: member.tenant.parse().expect("a tenant's name"),
        sensor: "forged".to_owned(),
        slice: 0,
        slices: 1,
        attempt: 0,
        slice_tally: Tally::default(),
        envelope_tally: Tally::default(),
    };
    let line = format!(
        "{{\"receipt\":\"{}\",\"index\":0,\"verdict\":\"a\\nb\",\"event\":{{}}}}\n",
        header.receipt
    );
    let data = frame::encode(&header, line.as_bytes()).expect("it encodes");
    let error = frame::decode(&data)
        .expect_err("it is no frame")
        .to_string();
    assert!(error.contains('\n'), "{error}");
    // Before the envelope on every lane that it can take.
    for lane in 0..2 {
        world
            .put_record(&format!("{}/{lane}", member.tenant), &data)
            .await;
    }
    let receipt = post(world, &member, bytes(&events(2))).await;
    settled(world, &member, &receipt).await;
    assert!(world.keys("quarantine/frames/").await.len() >= before + 2);
}

/// gzip and zstd bodies arrive intact through the gateway.
pub async fn compressed_bodies_are_the_same_events<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let id = format!("urn:uuid:{}", uuid::Uuid::new_v4());
    let body = bytes(&[event_with_id(&id)]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&body).expect("writes to memory");
    let gzip = encoder.finish().expect("writes to memory");
    let zstd = zstd::bulk::compress(&body, 3).expect("compresses");
    for (encoding, body) in [("identity", body), ("gzip", gzip), ("zstd", zstd)] {
        let call = Call::post(body)
            .token(&member.secret)
            .header("content-encoding", encoding);
        let answer = world.call(call).await;
        assert_eq!(
            answer.status,
            200,
            "{encoding}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    assert_eq!(balanced(world, &member, 3).await, [3, 1, 2, 0, 0]);
    let call = Call::get("/events/{id}").id(&id).token(&member.secret);
    let found = eventually(world, call, |a| a.status == 200).await.json();
    assert_eq!(all(&found["occurrences"]).len(), 3);
}
