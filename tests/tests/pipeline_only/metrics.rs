//! What the functions measure: one line for each invocation, each number that of the stores.

use super::sealing::{HOLD_SECONDS, School};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vernier_fakes::{Fault, Operation};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::metrics::{Metric, Metrics};
use vernier_reconcile::worker::Turn;
use vernier_tests::bodies::{post, settled};
use vernier_tests::envelopes::{bytes, event_with_id, events, invalid_event};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Call, World};
use vernier_validation::{Mode, Profile};

/// The lines so far, and the sums of their metrics by name.
fn read(world: &MemoryWorld) -> (Vec<Value>, BTreeMap<String, f64>) {
    let text = world.measured();
    let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let lines: Vec<Value> = text.lines().map(read).collect();
    let mut sums = BTreeMap::new();
    for line in &lines {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], Metrics::NAMESPACE);
        for metric in directive["Metrics"].as_array().expect("metrics") {
            let name = metric["Name"].as_str().expect("a name");
            let value = line[name].as_f64().expect("a number behind every name");
            *sums.entry(name.to_owned()).or_default() += value;
        }
    }
    (lines, sums)
}

/// Invariants 3 and 5: what stream commits and quarantines is counted, and how long it took.
#[tokio::test]
async fn stream_measures_what_it_commits_once_for_each_invocation() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut sent = events(4);
    sent.push(invalid_event());
    post(&world, &member, bytes(&sent)).await;
    world.put_record("x", b"no frame").await;
    world.deliver().await.expect("committed");
    let (lines, sums) = read(&world);
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(
        (line["message"].as_str(), line["frames"].as_u64()),
        (Some("batch committed"), Some(1))
    );
    assert_eq!(
        (sums["EventsCommitted"], sums["RecordsQuarantined"]),
        (5.0, 1.0)
    );
    assert!((0.0..60.0).contains(&sums["FreshnessSeconds"]), "{sums:?}");
    assert!((0.0..60.0).contains(&sums["ClockSkewSeconds"]), "{sums:?}");
    // A batch of a copy alone makes nothing readable: no freshness is made up for it.
    let (shard, records) = world.stream.records().into_iter().next().expect("a shard");
    let (sequence, copied) = records[0].clone();
    let again = (sequence.to_string() + "0")
        .parse()
        .expect("a later number");
    let event = vernier_tests::memory::trigger_event(&shard, &[(again, copied)]);
    world.invoke("stream", event).await.expect("committed");
    let (lines, _) = read(&world);
    assert_eq!((lines.len(), lines[1]["copies"].as_u64()), (2, Some(1)));
    assert_eq!(lines[1].get("FreshnessSeconds"), None);
}

/// A batch of which nothing was committed has no line: its next try counts.
#[tokio::test]
async fn a_failed_batch_is_counted_when_it_is_committed() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    post(&world, &member, bytes(&events(3))).await;
    world
        .faults
        .plan(|operation, _| (operation == Operation::Commit).then_some(Fault::Denied));
    world.deliver().await.expect_err("denied");
    assert_eq!(world.measured(), "");
    world.faults.clear();
    world.deliver().await.expect("committed");
    assert_eq!(read(&world).1["EventsCommitted"], 3.0);
}

/// A run of the planner that comes to its end has its line, and so has a turn; an answer says nothing. With the lines
/// that metric filters read, these are all metrics there are.
#[tokio::test]
async fn every_metric_is_measured() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let receipt = post(&world, &member, bytes(&events(1))).await;
    settled(&world, &member, &receipt).await;
    let before = read(&world).0.len();
    let windows = world
        .call(Call::get("/windows").token(&member.secret))
        .await;
    assert_eq!((windows.status, read(&world).0.len()), (200, before));
    let tick = json!({"source": "aws.events"});
    world.invoke("reconcile", tick).await.expect("a run");
    assert_eq!(read(&world).0.len(), before + 1);
    let clock = vernier_ledger::clock::now();
    let delivery = world.queue.receive(clock).expect("the ledger has work");
    let message = json!({"Records": [{
        "eventSource": "aws:sqs",
        "body": serde_json::to_string(&delivery.nudge).expect("JSON"),
    }]});
    world.invoke("reconcile", message).await.expect("a turn");
    let (lines, sums) = read(&world);
    assert_eq!(lines.len(), before + 2);
    let mut measured: BTreeSet<String> = sums.into_keys().collect();
    measured.extend(Turn::METRICS.map(Metric::name));
    let filtered = [
        Metric::EventsReceived,
        Metric::TimesUnreadable,
        Metric::UnknownTokensRefused,
        Metric::EnvelopesOverRate,
        Metric::EnvelopesUnchecked,
        Metric::SpreadsGrown,
    ];
    measured.extend(filtered.map(Metric::name));
    assert_eq!(measured, Metric::ALL.iter().map(|m| m.name()).collect());
    let text = world.measured();
    assert!(
        !text.contains(&member.tenant) && !text.contains(&receipt),
        "{text}"
    );
}

/// Invariants 2 and 3: what is sealed is counted by how it ended; what is not is held, then overdue, and
/// the chain's lag is that of the tenant furthest behind.
#[tokio::test]
async fn seals_are_measured_and_so_is_what_they_wait_for() {
    let school = School::new().await;
    school.three_windows().await;
    school.deliver().await;
    school.pass(60 + 35);
    let sealed = school.seal().await;
    let counts = DispositionCounts {
        stored: 5,
        duplicate: 3,
        conflict: 1,
        rejected: 1,
    };
    assert_eq!((sealed.counts, sealed.held), (counts, 0));
    assert_eq!((sealed.lag_millis, sealed.overdue), (0, 0));

    let id = "urn:uuid:00000000-0000-4000-8000-000000000002";
    school.post(&[event_with_id(id)]).await;
    school.pass(60 + 35);
    let sealed = school.seal().await;
    assert_eq!((sealed.held, sealed.overdue), (1, 0));
    assert_eq!(sealed.lag_millis, 0, "it holds nobody back");
    school.pass(HOLD_SECONDS);
    let sealed = school.seal().await;
    assert_eq!(sealed.overdue, 1, "{sealed:?}");
}
