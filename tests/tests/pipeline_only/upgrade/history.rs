//! Three days and a morning of two tenants, at the end of which a ledger is in every state that it can be in.

use super::deployment::{COLLEGE, Deployment, SCHOOL};
use serde_json::{Value, json};
use vernier_fakes::ShardRecords;
use vernier_ledger::ports::{Administration, FrameStream, NewRecord, Objects};
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_reconcile::playbacks::begin;
use vernier_tests::envelopes::{event_with_id, graded, invalid_event};
use vernier_tests::memory::trigger_event;

/// The first day of the history, 2026-09-01T00:00:00Z.
pub(super) const DAY: Millis = Millis(1_788_220_800_000);

/// When the school was created.
pub(super) const OPENING: Millis = at(0, 8, 0);

/// When the college was created.
pub(super) const COLLEGE_OPENING: Millis = at(2, 8, 0);

/// An instant by day, hour and minute.
pub(super) const fn at(day: i64, hour: i64, minute: i64) -> Millis {
    Millis(DAY.0 + ((day * 24 + hour) * 60 + minute) * 60_000)
}

const STEP_SECONDS: i64 = 1_800;

fn id_of(number: u32) -> String {
    format!("urn:uuid:00000000-0000-4000-8000-{number:012}")
}

/// The event of a number, the same each time.
pub(super) fn event_of(number: u32) -> Value {
    event_with_id(&id_of(number))
}

/// A grade of a number, which is a result of one of three learners.
fn grade_of(number: u32) -> Value {
    let time = format!("2026-11-20T10:{:02}:00.000Z", number % 60);
    let learner = format!("l{}", number % 3);
    let mut event = graded(&learner, "a1", f64::from(number % 10), &time);
    event["id"] = id_of(number).into();
    event["generated"]["id"] = id_of(900_000 + number).into();
    event
}

/// An event of a number that no mode accepts.
fn invalid_of(number: u32) -> Value {
    let mut event = invalid_event();
    event["id"] = id_of(number).into();
    event
}

impl Deployment {
    /// Waits until an instant, and lets everybody go on meanwhile.
    async fn wait_until(&self, instant: Millis) {
        let seconds = (instant.0 - self.clock.get().0) / 1_000;
        self.pass(seconds, STEP_SECONDS).await;
    }

    async fn post_now(&self, tenant: &str, events: &[Value]) {
        self.post(tenant, self.clock.get(), events).await;
        self.deliver().await;
    }

    /// Sends an envelope whose records the trigger gives up: what it leaves at its failure destination is all there is.
    async fn post_lost(&self, tenant: &str, events: &[Value]) -> ShardRecords {
        self.deliver().await;
        self.lose_records();
        self.post(tenant, self.clock.get(), events).await;
        self.lose_records()
    }
}

/// What the trigger leaves of a batch that it gave up.
fn failed_batch(lost: [ShardRecords; 2]) -> Vec<u8> {
    let mut records = Vec::new();
    let mut shards = Vec::new();
    for (shard, more) in lost.into_iter().flatten() {
        records.extend(more);
        shards.push(shard);
    }
    let arn = "arn:aws:kinesis:us-east-1:123456789012:stream";
    let failure = json!({
        "KinesisBatchInfo": { "shardId": shards[0].id, "streamArn": format!("{arn}/{}", shards[0].stream) },
        "payload": trigger_event(&shards[0], &records).to_string(),
    });
    failure.to_string().into_bytes()
}

/// A day with every disposition, a backfill, and a frame that nobody can read; two days more.
async fn play_days(deployment: &Deployment) {
    deployment.wait_until(at(0, 9, 5)).await;
    let first: Vec<Value> = (1..=4).map(event_of).collect();
    let events = [&first[..], &[invalid_of(5), event_of(1)]].concat();
    deployment.post_now(SCHOOL, &events).await;
    deployment.wait_until(at(0, 10, 20)).await;
    let mut other = event_of(2);
    other["eventTime"] = "2026-11-20T10:15:02.000Z".into();
    deployment
        .post_now(SCHOOL, &[event_of(11), event_of(12), event_of(1), other])
        .await;
    deployment.wait_until(at(0, 12, 50)).await;
    // Of a window that is sealed.
    let late = [event_of(21), event_of(1)];
    deployment.post(SCHOOL, at(0, 9, 6), &late).await;
    deployment.deliver().await;
    deployment.wait_until(at(0, 14, 5)).await;
    deployment
        .post_now(SCHOOL, &[grade_of(31), grade_of(32), grade_of(33)])
        .await;

    deployment.wait_until(at(1, 9, 5)).await;
    deployment
        .post_now(SCHOOL, &[event_of(41), event_of(42), grade_of(43)])
        .await;
    let undecodable = NewRecord {
        partition_key: format!("{SCHOOL}/0"),
        data: b"no frame".to_vec(),
    };
    for answer in deployment.stream.append(&[undecodable]).await {
        answer.expect("taken");
    }
    deployment.wait_until(at(1, 13, 0)).await;
    deployment
        .post_now(SCHOOL, &[grade_of(51), grade_of(52), invalid_of(53)])
        .await;

    deployment.wait_until(at(2, 9, 5)).await;
    deployment
        .post_now(SCHOOL, &[event_of(61), event_of(62), grade_of(63)])
        .await;
    deployment
        .post_now(COLLEGE, &[event_of(1), event_of(61), event_of(1)])
        .await;
    deployment.wait_until(at(2, 15, 35)).await;
    deployment
        .post_now(SCHOOL, &[event_of(70), event_of(71)])
        .await;
}

/// The last day until the dump: sealed, passed over, sealed behind it, held and open windows.
async fn play_last_morning(deployment: &Deployment) {
    deployment.wait_until(at(3, 0, 20)).await;
    deployment
        .post_now(SCHOOL, &[event_of(81), event_of(82), event_of(70)])
        .await;
    deployment.wait_until(at(3, 2, 35)).await;
    let passed_over = deployment
        .post_lost(SCHOOL, &[event_of(91), event_of(92)])
        .await;
    deployment.post_now(SCHOOL, &[event_of(93)]).await;
    deployment.wait_until(at(3, 4, 35)).await;
    deployment
        .post_now(SCHOOL, &[event_of(101), event_of(91)])
        .await;
    deployment.wait_until(at(3, 6, 20)).await;
    let held = deployment.post_lost(SCHOOL, &[event_of(111)]).await;
    deployment
        .post_now(SCHOOL, &[event_of(112), event_of(113)])
        .await;
    deployment.wait_until(at(3, 8, 10)).await;
    begin_playback(deployment).await;
    deployment
        .post_now(SCHOOL, &[event_of(121), event_of(122)])
        .await;
    // For so many seconds, so many events.
    deployment.set_clock(deployment.clock.get().plus_seconds(10));
    deployment.work().await;
    // On the stream, and taken by nobody yet.
    deployment
        .post(SCHOOL, deployment.clock.get(), &[event_of(123)])
        .await;
    let key = "aws/lambda/mapping/shardId-000000000000/2026/09/04/2026-09-04T08.10.00-batch";
    let put = deployment
        .bucket
        .put_new(key, failed_batch([passed_over, held]), None)
        .await;
    put.expect("the bucket takes it");
}

/// A playback of three days that takes one event in a second.
async fn begin_playback(deployment: &Deployment) {
    let request = json!({
        "from": at(0, 0, 0).rfc3339(), "to": at(3, 0, 0).rfc3339(), "target": "results", "rate": 1,
    });
    let tenant = deployment.tenant(SCHOOL);
    let request = serde_json::from_value(request).expect("a request");
    let (table, now) = (deployment.table(), deployment.clock.get());
    let begun = begin(table, &tenant.id, request, "t", Nonce([255; 16]), now).await;
    begun.expect("begun");
}

/// Plays all of it over empty stores.
pub(super) async fn play(deployment: &Deployment) {
    deployment.set_clock(OPENING);
    for tenant in deployment.tenants() {
        let created = deployment.table().create_tenant(&tenant).await;
        assert_eq!(created, Ok(true));
    }
    deployment.work().await;
    play_days(deployment).await;
    play_last_morning(deployment).await;
}
