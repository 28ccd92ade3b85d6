//! Loss drills on the deployed stack (invariants 3, 4 and 6): what is lost is named by receipt,
//! healed or held, and nothing is sealed wrong.

use super::invoke;
use rand::RngExt;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use vernier_aws::{Bucket, Table};
use vernier_intake::lines;
use vernier_ledger::access::Tenant;
use vernier_ledger::clock;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::frame;
use vernier_ledger::ids::{ReceiptId, Sequence, Shard};
use vernier_ledger::ports::{Directory, NewRecord, Objects, PutOutcome, Receipts, Removal};
use vernier_ledger::receipt::{Acknowledgement, Origin};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::spread::Spread;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_tests::bodies::sealing::sealed;
use vernier_tests::bodies::{post, settled};
use vernier_tests::deployed::{DeployedWorld, variable};
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::{stream_memory, trigger_event};
use vernier_tests::trigger::runtime::{Program, Sandbox};
use vernier_tests::world::eventually;
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Policy, Profile, read_envelope};

const SENSOR: &str = "https://school.example/sensors/1";

/// A tenant on the deployed stack, and a shard that no trigger reads.
struct Drill {
    world: DeployedWorld,
    table: Table,
    bucket: Bucket,
    member: Member,
    tenant: Tenant,
    shard: Shard,
    /// Sequence numbers that were given out.
    records: u64,
}

/// An envelope that is acknowledged and whose frame lies where nobody takes it.
struct Stranded {
    receipt: ReceiptId,
    sequence: Sequence,
    record: NewRecord,
}

impl Drill {
    async fn new() -> Self {
        let world = DeployedWorld::from_env().await;
        let member = world.tenant(Mode::Strict, Profile::Generic).await;
        let config = vernier_aws::config().await.expect("AWS_CA_BUNDLE is read");
        let table = Table::new(&config, variable("VERNIER_TABLE"));
        let id = member.tenant.parse().expect("a tenant's name");
        let tenant = table.tenant(&id).await.expect("read").expect("there");
        let stream = format!("drill-{}", uuid::Uuid::new_v4().simple());
        Self {
            bucket: Bucket::new(&config, variable("VERNIER_BUCKET")),
            shard: Shard::new(&stream, "shardId-000000000000").expect("names"),
            records: 0,
            world,
            table,
            member,
            tenant,
        }
    }

    /// Acknowledges an envelope as the input function does, but for the stream.
    async fn strand(&mut self, count: usize) -> Stranded {
        self.strand_at(clock::now(), count).await
    }

    /// The same, by a machine whose clock says `at`.
    async fn strand_at(&mut self, at: Millis, count: usize) -> Stranded {
        let body = bytes(&events(count));
        let receipt = Spread::of(&self.tenant, None).new_receipt(at);
        let policy = Policy::new(self.tenant.mode, self.tenant.profile);
        let envelope = read_envelope(&body, &policy).expect("an envelope");
        let key = SaltKey::random();
        let lines = lines::write(&envelope, receipt, key, &self.tenant.id, SENSOR);
        let (lines, _) = lines.expect("lines");
        let frames = frame::encode_envelope(receipt, &self.tenant.id, SENSOR, &lines);
        let (header, data) = frames.expect("fits").remove(0);
        self.records += 1;
        let sequence: Sequence = (49_000_000_000 + self.records)
            .to_string()
            .parse()
            .expect("a number");
        let acknowledgement = Acknowledgement {
            receipt,
            tenant: self.tenant.id.clone(),
            sensor: SENSOR.to_owned(),
            body_sha256: Sha256::digest(&body).into(),
            body_bytes: body.len() as u64,
            tally: header.envelope_tally,
            placed: vec![Origin {
                shard: self.shard.clone(),
                sequence: sequence.clone(),
            }],
            expires: clock::now().plus_seconds(86_400),
        };
        let done = self.table.acknowledge(&acknowledgement).await;
        done.expect("acknowledged");
        Stranded {
            receipt,
            sequence,
            record: NewRecord {
                partition_key: format!("{}/{}", self.tenant.id, receipt.lane()),
                data,
            },
        }
    }

    /// Waits until the accounts name a receipt as missing.
    async fn named(&self, receipt: ReceiptId) {
        let call = Call::get("/windows").token(&self.member.secret);
        let text = receipt.to_string();
        eventually(&self.world, call, |answer| {
            let json = answer.json();
            let windows = json["windows"].as_array().cloned().unwrap_or_default();
            let mut missing = windows
                .iter()
                .flat_map(|w| w["missing"].as_array().into_iter().flatten());
            missing.any(|m| m["receipt"] == text.as_str())
        })
        .await;
    }

    async fn sealed_windows(&self) -> Vec<Value> {
        let call = Call::get("/seals").token(&self.member.secret);
        let answer = self.world.call(call).await.json();
        answer["seals"].as_array().cloned().unwrap_or_default()
    }
}

/// Waits until so many seconds after the window of an instant was over: it has a grace of fifteen, and
/// the planner comes each minute.
async fn after_window_of(at: Millis, seconds: i64) {
    let then = Millis((at.minute().0 + 1) * 60_000).plus_seconds(seconds);
    let left = u64::try_from(then.0 - clock::now().0).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(left)).await;
}

fn stored(events: u64) -> DispositionCounts {
    DispositionCounts {
        stored: events,
        ..DispositionCounts::default()
    }
}

/// A batch that ran out of retries: a worker finds it at Lambda's failure destination and
/// brings it back; its window is sealed with it.
#[tokio::test]
async fn a_batch_that_ran_out_of_retries_is_brought_back() {
    let mut drill = Drill::new().await;
    let other = post(&drill.world, &drill.member, bytes(&events(3))).await;
    let lost = drill.strand(4).await;
    settled(&drill.world, &drill.member, &other).await;
    after_window_of(lost.receipt.received_at(), 10).await;
    drill.named(lost.receipt).await;
    let failure = json!({
        "KinesisBatchInfo": {
            "shardId": drill.shard.id,
            "streamArn": format!("arn:aws:kinesis:us-east-1:123456789012:stream/{}", drill.shard.stream),
        },
        "payload": trigger_event(&drill.shard, &[(lost.sequence, lost.record)]).to_string(),
    });
    let key = format!(
        "aws/lambda/{}/shardId-000000000000/2026/11/21/x",
        drill.shard.stream
    );
    let put = drill
        .bucket
        .put_new(&key, failure.to_string().into_bytes(), None);
    assert_eq!(put.await, Ok(PutOutcome::Created));
    let report = sealed(&drill.world, &drill.member, 7).await;
    assert_eq!((report.findings, report.counts), (vec![], stored(7)));
}

/// A record that nobody delivers and the stream does not keep: its receipt stays named, its window is
/// not sealed; when the sender sends the frame after all it is.
#[tokio::test]
async fn a_record_that_was_never_delivered_holds_its_window() {
    let mut drill = Drill::new().await;
    let lost = drill.strand(2).await;
    after_window_of(lost.receipt.received_at(), 85).await;
    drill.named(lost.receipt).await;
    let windows = drill.sealed_windows().await;
    let at = lost.receipt.received_at().rfc3339();
    let holds =
        |seal: &Value| seal["start"].as_str() <= Some(&*at) && Some(&*at) < seal["end"].as_str();
    assert!(!windows.iter().any(holds), "{windows:?}");
    let NewRecord {
        partition_key,
        data,
    } = &lost.record;
    drill.world.put_record(partition_key, data).await;
    let report = sealed(&drill.world, &drill.member, 2).await;
    assert_eq!((report.findings, report.counts), (vec![], stored(2)));
}

/// A segment that is gone: its window adds up and is not sealed; when the object is back it is.
#[tokio::test]
async fn a_segment_that_is_gone_holds_its_window() {
    let mut drill = Drill::new().await;
    let sent = drill.strand(5).await;
    let stores = StoreSet::new(drill.table.clone(), drill.bucket.clone());
    let memory = stream_memory(1, 0);
    let committing = vernier_stream::Committing {
        settings: vernier_stream::Settings::keeping(1),
        memory: &memory,
    };
    let record = vernier_stream::Record {
        sequence: sent.sequence,
        data: sent.record.data,
        arrived_at: None,
    };
    let budget = Duration::from_secs(30);
    let taken = vernier_stream::process(
        &stores,
        committing,
        &drill.shard,
        vec![record],
        clock::now,
        budget,
    );
    taken.await.expect("committed");
    let (date, hour) = clock::now().date_and_hour();
    let prefix = format!("segments/dt={date}/hour={hour}/{}/", drill.shard.stream);
    let segment = drill.world.keys(&prefix).await.remove(0);
    let content = drill.world.object(&segment).await;
    drill.bucket.remove(&segment).await.expect("removed");
    after_window_of(sent.receipt.received_at(), 85).await;
    let windows = drill.sealed_windows().await;
    assert!(
        windows.iter().all(|seal| seal["events"] == 0),
        "{windows:?}"
    );
    let put = drill.bucket.put_new(&segment, content, None).await;
    assert_eq!(put, Ok(PutOutcome::Created));
    let report = sealed(&drill.world, &drill.member, 5).await;
    assert_eq!((report.findings, report.counts), (vec![], stored(5)));
}

/// An input function whose clock is minutes behind: its receipts are of a window that is sealed by now.
/// What they stand for is stored, and sealed as a backfill.
#[tokio::test]
async fn a_clock_that_was_behind_makes_a_backfill() {
    let mut drill = Drill::new().await;
    let first = post(&drill.world, &drill.member, bytes(&events(3))).await;
    sealed(&drill.world, &drill.member, 3).await;
    let first: ReceiptId = first.parse().expect("a receipt's id");
    let late = drill.strand_at(first.received_at(), 2).await;
    let NewRecord {
        partition_key,
        data,
    } = &late.record;
    drill.world.put_record(partition_key, data).await;
    let report = sealed(&drill.world, &drill.member, 5).await;
    assert_eq!((report.findings, report.counts), (vec![], stored(5)));
    let windows = drill.sealed_windows().await;
    let backfills = windows.iter().filter(|seal| seal["kind"] == "backfill");
    assert_eq!(backfills.count(), 1, "{windows:?}");
}

/// The built reconcile function with the deployed one's settings and permissions.
fn reconcile() -> Sandbox {
    let variables = variable("VERNIER_RECONCILE_VARIABLES");
    let mut environment: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&variables).expect("variables");
    let credentials = variable("VERNIER_RECONCILE_CREDENTIALS");
    let [key, secret, token] = credentials.split(' ').collect::<Vec<_>>()[..] else {
        panic!("VERNIER_RECONCILE_CREDENTIALS is not a key, a secret and a token");
    };
    for (name, value) in [
        ("AWS_ENDPOINT_URL", variable("AWS_ENDPOINT_URL")),
        ("AWS_REGION", variable("AWS_REGION")),
        ("AWS_ACCESS_KEY_ID", key.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_SESSION_TOKEN", token.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    Sandbox::new(Program {
        path: variable("VERNIER_RECONCILE_BINARY").into(),
        name: "vernier-reconcile".to_owned(),
        environment,
        timeout: Duration::from_secs(60),
    })
}

/// Workers of the built function that are killed in the middle, beside the deployed one's, two of which
/// begin at once for one tenant, as when a nudge came twice: each window has one seal, and all of it is in the files.
#[tokio::test]
async fn killed_sealings_and_two_at_once_seal_once() {
    let drill = Drill::new().await;
    let mut sent = 0;
    for _ in 0..3 {
        let receipt = post(&drill.world, &drill.member, bytes(&events(40))).await;
        settled(&drill.world, &drill.member, &receipt).await;
        sent += 40;
    }
    let body = json!({"owner": drill.member.tenant, "due": 0, "nonce": "0".repeat(32)});
    let nudge = json!({"Records": [{"eventSource": "aws:sqs", "body": body.to_string()}]});
    let (mut killed, mut rounds) = (0, 0);
    let end = Millis((clock::now().minute().0 + 1) * 60_000).plus_seconds(70);
    // Where others keep the function busy, a round takes longer: there are as many as it needs.
    while clock::now() < end || killed <= 3 && rounds < 40 {
        rounds += 1;
        let mut sandbox = reconcile();
        let after = Duration::from_millis(rand::rng().random_range(5..120));
        killed += u32::from(sandbox.invoke(&nudge, Some(after)).await.is_err());
        sandbox.kill().await;
        let both = (0..2).map(|_| {
            let (function, event) = (variable("VERNIER_RECONCILE_FUNCTION"), nudge.to_string());
            tokio::task::spawn_blocking(move || invoke(&function, event.as_bytes()))
        });
        for run in futures::future::join_all(both).await {
            let (status, error, answer) = run.expect("the thread ends");
            assert_eq!((status, error), (200, None), "{answer}");
        }
    }
    assert!(killed > 3, "{killed} of {rounds}");
    let report = sealed(&drill.world, &drill.member, sent).await;
    assert_eq!((report.findings, report.counts), (vec![], stored(sent)));
    let windows = drill.sealed_windows().await;
    let mut starts: Vec<&str> = windows.iter().filter_map(|s| s["start"].as_str()).collect();
    starts.dedup();
    assert_eq!(starts.len(), windows.len(), "a window has one seal");
}
