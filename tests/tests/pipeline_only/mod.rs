//! What only the fakes can show: trigger files in process, and faults at every call.

mod analysts;
mod batches;
mod checkpoints;
mod checks;
mod compaction;
mod damage;
mod evidence;
mod gateways;
mod late;
mod leftovers;
mod listing;
mod live_blocks;
mod live_reports;
mod logs;
mod metrics;
mod offboarding;
mod old_frames;
mod opening;
mod outage;
mod pausing;
mod playbacks;
mod queries;
mod rates;
mod recovery;
mod relays;
mod results;
mod roll_ups;
mod salts;
mod scaling;
mod scratch;
mod sealing;
mod shortfalls;
mod spread;
mod sweeping;
mod tokens;
mod upgrade;
mod version4;
mod versions;
mod whole_events;
mod work;

use serde_json::Value;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::access::{Scope, Tenant, TokenInfo, hash_token};
use vernier_ledger::ids::Sequence;
use vernier_ledger::ports::{Administration, NewRecord};
use vernier_ledger::time::Millis;
use vernier_tests::bodies::{balanced, post, settled};
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::files::{expected_status, files_of, files_secret, name_of, text_of};
use vernier_tests::memory::{MemoryWorld, trigger_event};
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Profile};

/// Polls a run so often by hand, so that it stands wherever the last poll left it; whether it has ended.
fn ends_within(mut run: Pin<&mut impl Future>, polls: u32) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).any(|_| run.as_mut().poll(&mut context).is_ready())
}

async fn world_of_the_files() -> MemoryWorld {
    let world = MemoryWorld::default();
    let tenant: Tenant = Tenant::new(
        "events-files".parse().expect("a tenant's name"),
        vernier_ledger::clock::now(),
    );
    assert_eq!(world.table.create_tenant(&tenant).await, Ok(true));
    let info = TokenInfo {
        token_id: "files".to_owned(),
        tenant: tenant.id,
        sensor: "https://school.example/sensors/files".to_owned(),
        scopes: Scope::ALL.to_vec(),
        learner: None,
        label: None,
        created_at: Millis(0),
        revoked_at: None,
    };
    world
        .table
        .put_token(&hash_token(&files_secret()), &info)
        .await
        .expect("a new token");
    world
}

#[tokio::test]
async fn every_trigger_file_is_taken_as_its_name_says() {
    for function in ["input", "output", "reconcile", "stream"] {
        let files = files_of(function);
        assert!(!files.is_empty(), "{function} has no trigger files");
        for file in files {
            let world = world_of_the_files().await;
            let text = text_of(&file);
            let event: Value = serde_json::from_str(&text).expect("JSON");
            let answer = world.invoke(function, event).await;
            let name = name_of(&file);
            let answer = answer.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            if let Some(status) = answer.get("statusCode") {
                assert_eq!(
                    status.as_u64(),
                    Some(u64::from(expected_status(&name))),
                    "{}: {answer}",
                    file.display()
                );
            }
        }
    }
}

#[tokio::test]
async fn the_frame_file_is_stored_and_the_undecodable_one_is_quarantined() {
    for (name, prefix) in [
        ("one_frame", "segments/"),
        ("undecodable", "quarantine/frames/"),
    ] {
        // Its own world: the cursor would drop the file with the lower sequence number.
        let world = world_of_the_files().await;
        let file = files_of("stream").into_iter().find(|f| name_of(f) == name);
        let text = text_of(&file.expect("the file is there"));
        world
            .invoke("stream", serde_json::from_str(&text).expect("JSON"))
            .await
            .expect("taken");
        assert_eq!(world.keys(prefix).await.len(), 1, "{name}");
    }
}

async fn faulty_world() -> (MemoryWorld, Member) {
    let world = MemoryWorld::default();
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    (world, member)
}

/// Posts like a sensor: until a 2xx.
async fn post_until_acknowledged(
    world: &MemoryWorld,
    member: &Member,
    body: &[u8],
) -> (String, u64) {
    let mut refused = 0;
    loop {
        let answer = world.call(Call::post(body).token(&member.secret)).await;
        match answer.status {
            200 => return (answer.header("vernier-receipt").to_owned(), refused),
            503 | 500 => refused += 1,
            other => panic!("{other}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }
}

/// Invariants 1, 2 and 4: every third call of one kind fails, before or after its effect.
#[tokio::test(start_paused = true)]
async fn each_call_may_fail_before_or_after_its_effect() {
    for operation in [
        Operation::Append,
        Operation::Acknowledge,
        Operation::Claim,
        Operation::Commit,
        Operation::PutObject,
    ] {
        for fault in [Fault::Before, Fault::After] {
            let (world, member) = faulty_world().await;
            world
                .faults
                .plan(move |op, n| (op == operation && n % 3 == 0).then_some(fault));
            let mut sent = 0;
            for _ in 0..6 {
                post_until_acknowledged(&world, &member, &bytes(&events(4))).await;
                sent += 4;
                let _ = world.deliver().await;
            }
            assert!(
                world.faults.calls(operation) > 1,
                "{operation:?} is on the way"
            );
            world.faults.clear();
            let sums = balanced(&world, &member, sent).await;
            assert_eq!(sums, [sent, sent, 0, 0, 0], "{operation:?} {fault:?}");
        }
    }
}

/// Invariant 1: no acknowledgement without a receipt; what reached the stream is accounted for
/// as an envelope without an answer, and the sensor's retry makes duplicates of it.
#[tokio::test(start_paused = true)]
async fn a_receipt_that_cannot_be_written_is_no_acknowledgement() {
    let (world, member) = faulty_world().await;
    world
        .faults
        .plan(|op, _| (op == Operation::Acknowledge).then_some(Fault::Before));
    let body = bytes(&events(3));
    let answer = world
        .call(Call::post(body.clone()).token(&member.secret))
        .await;
    assert_eq!(answer.status, 503);
    assert!(!answer.header("retry-after").is_empty());
    world.faults.clear();
    let receipt = post(&world, &member, body).await;
    assert_eq!(
        settled(&world, &member, &receipt).await["counts"]["duplicate"],
        3
    );
    assert_eq!(balanced(&world, &member, 6).await, [6, 3, 3, 0, 0]);
    let windows = world
        .call(Call::get("/windows").token(&member.secret))
        .await
        .json();
    let unacknowledged = windows["windows"].as_array().expect("windows").iter();
    assert_eq!(
        unacknowledged
            .filter_map(|w| w["received"]["unacknowledged"].as_u64())
            .sum::<u64>(),
        1
    );
}

/// Invariant 1: a denied stream is a fault of ours at once, not a wait.
#[tokio::test(start_paused = true)]
async fn a_denied_stream_is_not_tried_again() {
    let (world, member) = faulty_world().await;
    world
        .faults
        .plan(|op, _| (op == Operation::Append).then_some(Fault::Denied));
    let before = tokio::time::Instant::now();
    let answer = world
        .call(Call::post(bytes(&events(1))).token(&member.secret))
        .await;
    assert_eq!(answer.status, 500);
    assert!(before.elapsed() < Duration::from_secs(1));
    assert!(
        world
            .table
            .all_receipts(&member.tenant.parse().expect("a name"))
            .is_empty()
    );
}

/// Invariant 4: any redelivery with any bounds changes nothing.
#[tokio::test]
async fn redelivery_with_other_bounds_changes_nothing() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for _ in 0..5 {
        post(&world, &member, bytes(&events(2))).await;
    }
    let (shard, records) = world.stream.records().into_iter().next().expect("a shard");
    for (from, to) in [(0, 2), (1, 3), (0, 3), (2, 5), (0, 5), (4, 5)] {
        world
            .invoke("stream", trigger_event(&shard, &records[from..to]))
            .await
            .expect("taken");
    }
    assert_eq!(balanced(&world, &member, 10).await, [10, 10, 0, 0, 0]);
    let chain = world.table.all_records();
    for pair in chain.windows(2) {
        assert_eq!(pair[1].previous.as_deref(), Some(pair[0].hash().as_str()));
        assert_eq!(pair[1].position, pair[0].position + 1);
        assert!(pair[0].last < pair[1].first);
    }
}

/// Invariant 4: a producer's time-out that wrote anyway puts the same frame on the stream twice.
#[tokio::test]
async fn a_frame_that_is_on_the_stream_twice_is_stored_once() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    post(&world, &member, bytes(&events(3))).await;
    let (_, records) = world.stream.records().into_iter().next().expect("a shard");
    let (
        _,
        NewRecord {
            partition_key,
            data,
        },
    ) = &records[0];
    world.put_record(partition_key, data).await;
    assert_eq!(balanced(&world, &member, 3).await, [3, 3, 0, 0, 0]);
    let copies: u32 = world.table.all_records().iter().map(|r| r.copies).sum();
    assert_eq!(copies, 1);
}

/// Invariant 3: a record that never comes is named by its receipt and announced once.
#[tokio::test]
async fn a_lost_record_is_named_and_announced() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let lost = post(&world, &member, bytes(&events(3))).await;
    post(&world, &member, bytes(&events(1))).await;
    let (shard, records) = world.stream.records().into_iter().next().expect("a shard");
    world
        .invoke("stream", trigger_event(&shard, &records[1..]))
        .await
        .expect("taken");

    let windows = world
        .call(Call::get("/windows").token(&member.secret))
        .await
        .json();
    let incomplete: Vec<&Value> = windows["windows"]
        .as_array()
        .expect("windows")
        .iter()
        .filter(|w| w["complete"] == false)
        .collect();
    assert_eq!(incomplete.len(), 1);
    assert_eq!(incomplete[0]["missing"][0]["receipt"], lost.as_str());
    assert_eq!(incomplete[0]["missing"][0]["cause"], "unclaimed");

    for seconds in [120, 400] {
        let later = vernier_ledger::clock::now().plus_seconds(seconds);
        let turn = world.work(&|| later).await.expect("lists are read");
        assert!(turn.sealed.incomplete > 0 && turn.failed == 0, "{turn:?}");
    }
    let notices = world.topic.notices();
    assert_eq!(
        notices.len(),
        1,
        "announced when first found, not at every run"
    );
    assert!(notices[0].1.contains(&lost));
}

/// The trigger file of one real frame, written anew when the format changes.
#[tokio::test]
async fn the_frame_file_holds_a_frame_of_this_version() {
    let file = files_of("stream")
        .into_iter()
        .find(|f| f.ends_with("one_frame.json"))
        .expect("the file is there");
    let event: Value = serde_json::from_str(&text_of(&file)).expect("JSON");
    let record = &event["Records"][0]["kinesis"];
    let data = record["data"].as_str().expect("base64");
    let bytes =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).expect("base64");
    let frame = vernier_ledger::frame::decode(&bytes).expect("a frame");
    assert!(frame.header.slice_tally.events > 0);
    assert!(
        record["sequenceNumber"]
            .as_str()
            .is_some_and(|s| s.parse::<Sequence>().is_ok())
    );
}
