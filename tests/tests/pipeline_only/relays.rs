//! Playbacks to the stream over the fakes: large events, crashes, events sealed long ago, and
//! batches that the trigger gave up.

use super::ends_within;
use serde_json::{Value, json};
use std::pin::pin;
use std::time::Duration;
use vernier_cli::generate::{Params, Semester};
use vernier_intake::SpreadKeeper;
use vernier_ledger::clock;
use vernier_ledger::playback_job::{PlaybackJob, PlaybackState};
use vernier_ledger::ports::{Objects, Playbacks, PutOutcome};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_reconcile::playbacks::begin;
use vernier_reconcile::process::Process;
use vernier_tests::bodies::post;
use vernier_tests::envelopes::{bytes, event, events, graded, invalid_event};
use vernier_tests::memory::{MemoryWorld, open_windows, trigger_event};
use vernier_tests::orchestra::{play_open, work_until_rest};
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Profile};

struct School {
    world: MemoryWorld,
    member: Member,
}

impl School {
    async fn new() -> Self {
        let world = MemoryWorld::new(1);
        let member = world.tenant(Mode::Strict, Profile::Generic).await;
        Self { world, member }
    }

    async fn send(&self, events: &[Value]) {
        post(&self.world, &self.member, bytes(events)).await;
    }

    async fn begin(&self, request: Value) -> PlaybackJob {
        let now = clock::now();
        let mut all = request;
        all["target"] = "stream".into();
        if all["source"] != "failures" {
            all["from"] = now.plus_seconds(-3600).rfc3339().into();
            all["to"] = now.plus_seconds(3600).rfc3339().into();
        }
        let request = serde_json::from_value(all).expect("a request");
        let tenant = self.member.tenant.parse().expect("a tenant's name");
        let job = begin(
            &self.world.table,
            &tenant,
            request,
            "t",
            Nonce::random(),
            now,
        )
        .await;
        job.expect("begun")
    }

    async fn run(&self) -> u32 {
        play_open(&self.world, clock::now, Millis(i64::MAX))
            .await
            .expect("listed")
    }

    async fn job(&self, begun: &PlaybackJob) -> PlaybackJob {
        let tenant = self.member.tenant.parse().expect("a tenant's name");
        let job = self.world.table.playback(&tenant, begun.id).await;
        job.expect("no faults").expect("it is there")
    }

    /// Received, stored, duplicate, conflict and rejected events of all seals.
    async fn sealed(&self) -> [u64; 5] {
        self.world.deliver().await.expect("taken");
        self.world.seal().await;
        let answer = self
            .world
            .call(Call::get("/seals").token(&self.member.secret));
        let answer = answer.await.json();
        let seals = answer["seals"].as_array().expect("seals");
        let mut sums = [0; 5];
        for seal in seals {
            let number = seal["sequence"].to_string();
            let call = Call::get("/seals/{sequence}").id(&number);
            let seal = self
                .world
                .call(call.token(&self.member.secret))
                .await
                .json();
            let names = ["stored", "duplicate", "conflict", "rejected"];
            for (at, name) in (1..).zip(names) {
                let count = seal["counts"][name].as_u64().expect("a count");
                sums[at] += count;
                sums[0] += count;
            }
        }
        sums
    }
}

/// 100,000 archived events into empty results are the live results; sent onto the stream they change
/// nothing. Smaller where tests are not optimised.
#[tokio::test]
async fn an_archive_plays_back_into_results_and_onto_the_stream() {
    let count = std::env::var("VERNIER_PLAYBACK_EVENTS").ok();
    let count: u64 = count.map_or(5_000, |text| text.parse().expect("a number"));
    let mut params = Params::new(11, count);
    params.envelope_events = 500;
    let semester = Semester::new(params).expect("a semester");
    let school = School::new().await;
    let mut sent = 0_u64;
    for envelope in semester.envelopes() {
        sent += post_counted(&school, envelope.body).await;
    }
    let before = school.sealed().await;
    assert_eq!(before[0], sent);
    let live = school.world.table.all_results();
    assert!(!live.is_empty());

    school.world.table.wipe_results();
    let now = clock::now();
    let request = json!({
        "from": now.plus_seconds(-7200).rfc3339(), "to": now.plus_seconds(7200).rfc3339(),
        "target": "results",
    });
    let tenant = school.member.tenant.parse().expect("a tenant's name");
    let request = serde_json::from_value(request).expect("a request");
    let job = begin(
        &school.world.table,
        &tenant,
        request,
        "t",
        Nonce::random(),
        now,
    )
    .await;
    let job = job.expect("begun");
    assert_eq!(school.run().await, 0);
    let job = school.job(&job).await;
    assert_eq!(
        (job.state, job.progress.events_played),
        (PlaybackState::Done, before[1])
    );
    assert_eq!(school.world.table.all_results(), live);

    let job = school.begin(json!({})).await;
    assert_eq!(school.run().await, 0);
    let job = school.job(&job).await;
    assert_eq!(
        (job.state, job.progress.events_played),
        (PlaybackState::Done, before[1])
    );
    let after = school.sealed().await;
    let [received, stored, duplicate, conflict, rejected] = before;
    let twice = [
        received + stored,
        stored,
        duplicate + stored,
        conflict,
        rejected,
    ];
    assert_eq!(after, twice);
    assert_eq!(school.world.table.all_results(), live);
}

/// What the table has lost comes back from the stream as well, though the process that takes it has merged it before.
#[tokio::test]
async fn results_that_were_lost_come_back_over_the_stream() {
    let school = School::new().await;
    for (score, hour) in [(7.0, 9), (8.0, 8)] {
        let at = format!("2026-11-20T{hour:02}:00:00.000Z");
        school.send(&[graded("l1", "quiz", score, &at)]).await;
    }
    assert_eq!(school.sealed().await, [2, 2, 0, 0, 0]);
    let live = school.world.table.all_results();
    assert_eq!(live.len(), 1);
    school.world.table.wipe_results();
    school.begin(json!({})).await;
    assert_eq!(school.run().await, 0);
    assert_eq!(school.sealed().await, [4, 2, 2, 0, 0]);
    assert_eq!(school.world.table.all_results(), live);
}

async fn post_counted(school: &School, body: String) -> u64 {
    let call = Call::post(body.into_bytes()).token(&school.member.secret);
    let answer = school.world.call(call).await;
    answer.header("vernier-received").parse().expect("a count")
}

/// Events of megabytes, some over a frame, in parts of memory's size.
#[tokio::test]
async fn large_events_are_sent_again_whole() {
    let school = School::new().await;
    for n in 0..12 {
        let mut large = event();
        // Every third is over a frame.
        let letters = if n % 3 == 0 { 1_200_000 } else { 900_000 };
        large["extensions"] = json!({ "text": "x".repeat(letters) });
        school.send(&[large.clone(), event()]).await;
        let mut other = large;
        other["id"] = format!("urn:uuid:{}", uuid::Uuid::new_v4()).into();
        school.send(&[other]).await;
    }
    assert_eq!(school.sealed().await, [36, 36, 0, 0, 0]);
    let job = school.begin(json!({})).await;
    assert_eq!(school.run().await, 0);
    let job = school.job(&job).await;
    assert_eq!(
        (job.state, job.progress.events_played),
        (PlaybackState::Done, 36)
    );
    assert!(job.progress.envelopes > 5, "{:?}", job.progress);
    // Its first revision began it, each other one ended a step: no step held all of it in memory.
    assert!(job.revision > 2, "{} revisions", job.revision);
    assert_eq!(school.sealed().await, [72, 36, 36, 0, 0]);
}

/// Wherever a run dies, what it sent twice is a duplicate twice.
#[tokio::test]
async fn a_crash_sends_a_step_twice_at_most() {
    let mut crashes = 0;
    for polls in (1..).step_by(2) {
        let school = School::new().await;
        school.send(&events(9)).await;
        school.send(&[event(), invalid_event()]).await;
        assert_eq!(school.sealed().await, [11, 10, 0, 0, 1]);
        let job = school.begin(json!({})).await;
        school.world.faults.interleave(7);
        {
            let mut run = pin!(school.run());
            if ends_within(run.as_mut(), polls) {
                break;
            }
        }
        crashes += 1;
        assert_eq!(school.run().await, 0);
        assert_eq!(school.job(&job).await.state, PlaybackState::Done);
        let sums = school.sealed().await;
        assert_eq!(
            (sums[1], sums[3], sums[4]),
            (10, 0, 1),
            "after {polls} polls"
        );
        assert!([10, 20].contains(&sums[2]), "after {polls} polls: {sums:?}");
    }
    assert!(crashes > 5, "{crashes}");
}

/// However long ago an event was sealed, a playback knows what it repeats: no look-back finds it.
#[tokio::test]
async fn an_event_sealed_before_the_look_back_is_a_duplicate() {
    let school = School::new().await;
    school.send(&events(3)).await;
    assert_eq!(school.sealed().await, [3, 3, 0, 0, 0]);
    let job = school.begin(json!({})).await;
    assert_eq!(school.run().await, 0);
    assert_eq!(school.job(&job).await.state, PlaybackState::Done);
    school.world.deliver().await.expect("taken");
    let reconcile = &school.world.reconcile;
    let process = Process {
        workshop: school.world.without_look_back(),
        schemas: SchemaCache::new(school.world.table.clone(), Duration::ZERO),
        new_receipt: Spread::new_receipt,
        new_salt_key: SaltKey::random,
        spreads: SpreadKeeper::default(),
        new_nonce: Nonce::random,
        windows: open_windows(1, 0),
    };
    let clock = || clock::now().plus_seconds(120);
    let (stores, settings) = (&reconcile.stores, &reconcile.settings);
    let worked = work_until_rest(stores, &process, settings, &clock).await;
    assert_eq!(worked.expect("lists are read").failed, 0);
    assert_eq!(school.sealed().await, [6, 3, 3, 0, 0]);
}

/// Batches that the trigger gave up: counted by a dry run, brought back by a playback, of one tenant.
#[tokio::test]
async fn failures_of_one_tenant_are_counted_and_brought_back() {
    let school = School::new().await;
    let other = school.world.tenant(Mode::Strict, Profile::Generic).await;
    school.send(&events(4)).await;
    post(&school.world, &other, bytes(&events(2))).await;
    let (shard, records) = school
        .world
        .stream
        .records()
        .into_iter()
        .next()
        .expect("one");
    let failure = json!({
        "KinesisBatchInfo": {
            "shardId": shard.id,
            "streamArn": format!("arn:aws:kinesis:us-east-1:123456789012:stream/{}", shard.stream),
        },
        "payload": trigger_event(&shard, &records).to_string(),
    });
    let key = "aws/lambda/mapping/shardId-000000000000/2026/09/01/2026-09-01T09.16.00-uuid";
    let put = school
        .world
        .bucket
        .put_new(key, failure.to_string().into_bytes(), None);
    assert_eq!(put.await, Ok(PutOutcome::Created));
    let count = |job: &PlaybackJob| (job.state, job.progress.events, job.progress.events_played);
    let dry = school
        .begin(json!({"source": "failures", "dry_run": true}))
        .await;
    assert_eq!(school.run().await, 0);
    assert_eq!(count(&school.job(&dry).await), (PlaybackState::Done, 4, 0));
    let records_before = school
        .world
        .stream
        .records()
        .into_iter()
        .next()
        .expect("one")
        .1
        .len();
    assert_eq!(records_before, 2);
    let job = school.begin(json!({"source": "failures"})).await;
    assert_eq!(school.run().await, 0);
    assert_eq!(count(&school.job(&job).await), (PlaybackState::Done, 4, 4));
    let records = school
        .world
        .stream
        .records()
        .into_iter()
        .next()
        .expect("one")
        .1;
    assert_eq!(
        records.len(),
        3,
        "the other tenant's frame stays where it is"
    );
    assert!(
        records[2]
            .1
            .partition_key
            .starts_with(&school.member.tenant)
    );
    assert_eq!(school.sealed().await, [4, 4, 0, 0, 0]);
}
