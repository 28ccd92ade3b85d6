//! Results under faults, under a crowd, and from a whole semester.

use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vernier_cli::generate::{Params, Semester};
use vernier_fakes::{Fault, Operation};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::clock;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::{EnvelopeLines, NewLine, encode_envelope};
use vernier_ledger::ids::{ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::line::Verdict;
use vernier_ledger::ports::{NewRecord, Objects, Results};
use vernier_ledger::results::{Changes, Registers, ResultKey};
use vernier_ledger::segment;
use vernier_ledger::time::Millis;
use vernier_stream::{Committing, Record, Settings, process};
use vernier_tests::bodies::post;
use vernier_tests::envelopes::{assessed, bytes, graded};
use vernier_tests::memory::{MemoryWorld, stream_memory, trigger_event};
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Profile};

type State = BTreeMap<(TenantId, ResultKey), Registers>;

/// A straight single pass over all that the committed segments hold.
async fn straight(world: &MemoryWorld) -> State {
    let mut changes = Changes::default();
    for record in world.table.all_records() {
        for BlockItem { object, block, .. } in world.table.items_of_commit(&record) {
            let range = Some((block.offset, block.bytes));
            let bytes = world.bucket.get(&object, range).await.expect("no faults");
            let lines = segment::open_block(&block, &bytes.expect("it is there")).expect("sound");
            assert_eq!(changes.add_lines(&block.tenant, &lines), 0);
        }
    }
    let writes = changes.into_writes().into_iter();
    writes.map(|w| ((w.tenant, w.key), w.registers)).collect()
}

/// The last action and score of each learner, picked by hand from the stored lines: by time, then
/// id, then fingerprint.
async fn last_words(world: &MemoryWorld) -> BTreeMap<String, (Value, Value)> {
    let mut said: Vec<([String; 3], Value)> = Vec::new();
    for record in world.table.all_records() {
        let key = record.object.as_deref().expect("an object");
        let bytes = world.bucket.get(key, None).await.expect("no faults");
        let text = zstd::decode_all(&bytes.expect("it is there")[..]).expect("sound");
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let line: Value = serde_json::from_slice(line).expect("JSON");
            let text = |name: &str| line[name].as_str().expect("text").to_owned();
            said.push((["time", "id", "fingerprint"].map(text), line));
        }
    }
    said.sort_by(|a, b| a.0.cmp(&b.0));
    let mut last = BTreeMap::<String, (Value, Value)>::new();
    for (_, line) in said {
        let learner = line["result"]["learner"].as_str().expect("a learner");
        let words = last.entry(learner.to_owned()).or_default();
        words.0 = line["action"].clone();
        if line["result"]["given"].is_number() {
            words.1 = line["result"]["given"].clone();
        }
    }
    last
}

/// What can happen to results on their way.
#[derive(Debug, Clone)]
enum Step {
    /// An envelope with one event: learner, hour of its time, kind.
    Send(u8, u8, u8),
    /// The first envelope, sent again.
    Resend,
    /// The trigger delivers so many records from the shard's beginning on, some of them again.
    Deliver(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u8..3, 0u8..6, 0u8..4).prop_map(|(l, h, k)| Step::Send(l, h, k)),
        1 => Just(Step::Resend),
        4 => (1u8..30).prop_map(Step::Deliver),
    ]
}

fn event(learner: u8, hour: u8, kind: u8) -> Value {
    let (learner, at) = (
        format!("l{learner}"),
        format!("2026-11-20T{hour:02}:00:00.000Z"),
    );
    match kind {
        0 => assessed(&learner, "quiz", "Started", &at),
        1 => assessed(&learner, "quiz", "Submitted", &at),
        other => graded(&learner, "quiz", f64::from(other) + f64::from(hour), &at),
    }
}

async fn take(world: &MemoryWorld, member: &Member, step: &Step, first: &mut Option<Vec<u8>>) {
    match step {
        Step::Send(learner, hour, kind) => {
            let body = bytes(&[event(*learner, *hour, *kind)]);
            first.get_or_insert_with(|| body.clone());
            world.call(Call::post(body).token(&member.secret)).await;
        }
        Step::Resend => {
            if let Some(body) = first.clone() {
                world.call(Call::post(body).token(&member.secret)).await;
            }
        }
        Step::Deliver(records) => {
            let (shard, all) = shard_of(world);
            let some = &all[..usize::from(*records).min(all.len())];
            if !some.is_empty() {
                // It may fail: the last step delivers them again.
                let _ = world.invoke("stream", trigger_event(&shard, some)).await;
            }
        }
    }
}

fn shard_of(world: &MemoryWorld) -> (Shard, Vec<(Sequence, NewRecord)>) {
    world.stream.records().into_iter().next().expect("a shard")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    /// Invariant 4: results are those of a straight single pass over what is stored, whatever
    /// failed on the way, before or after its effect.
    #[test]
    fn results_are_those_of_a_straight_pass(
        steps in proptest::collection::vec(step(), 1..30),
        faults in proptest::collection::btree_map(0u64..40, any::<bool>(), 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let world = MemoryWorld::new(1);
            let member = world.tenant(Mode::Strict, Profile::Generic).await;
            world.faults.plan(move |operation, n| {
                let strikes = matches!(operation, Operation::MergeResult | Operation::Commit);
                let after = faults.get(&n).filter(|_| strikes)?;
                Some(if *after { Fault::After } else { Fault::Before })
            });
            let mut first = None;
            for step in &steps {
                take(&world, &member, step, &mut first).await;
            }
            world.faults.clear();
            take(&world, &member, &Step::Deliver(u8::MAX), &mut first).await;
            let expected = straight(&world).await;
            let sent = steps.iter().any(|s| matches!(s, Step::Send(..)));
            assert_eq!(!expected.is_empty(), sent);
            let found = world.table.all_results();
            assert_eq!(found, expected);
            let words = found.into_iter().map(|((_, key), all)| {
                let action = all.status.map_or(Value::Null, |s| s.value.action.into());
                let given = all.score.map_or(Value::Null, |s| s.value.given.into());
                (key.learner, (action, given))
            });
            assert_eq!(words.collect::<BTreeMap<_, _>>(), last_words(&world).await);
        });
    }
}

/// A fatal failure is not waited for, and leaves the batch to the trigger.
#[tokio::test(start_paused = true)]
async fn a_denied_table_fails_the_batch_and_loses_nothing() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    post(&world, &member, bytes(&[event(0, 0, 2)])).await;
    world
        .faults
        .plan(|op, _| (op == Operation::MergeResult).then_some(Fault::Denied));
    assert!(world.deliver().await.is_err());
    assert_eq!(world.table.all_records(), [], "not committed");
    world.faults.clear();
    assert_eq!(world.deliver().await, Ok(()));
    assert_eq!(world.table.all_results(), straight(&world).await);
    assert_eq!(world.table.all_results().len(), 1);
}

/// Calls of each kind since the last plan.
fn calls(world: &MemoryWorld) -> [u64; 4] {
    [
        Operation::Claim,
        Operation::PutObject,
        Operation::Commit,
        Operation::MergeResult,
    ]
    .map(|operation| world.faults.calls(operation))
}

/// A frame of one envelope in which so many learners submit an exam.
fn crowd(tenant: &TenantId, learners: std::ops::Range<u64>) -> Vec<u8> {
    let receipt = ReceiptId::from_parts(Millis(1_764_000_000_000), 0, learners.start.to_be_bytes());
    let at = "2025-11-24T16:00:00.000Z";
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    for (index, learner) in (0..).zip(learners) {
        let event = format!(r#"{{"learner":{learner}}}"#);
        let fingerprint = Fingerprint::of(event.as_bytes());
        let hex = fingerprint.hex();
        // Written by hand: a hundred thousand heads take a while to serialise without optimisation.
        let line = format!(
            r#"{{"receipt":"{receipt}","index":{index},"received_at":"{at}","sensor":"s","verdict":"accepted","strict":"accepted","kind":"event","id":"urn:uuid:00000000-0000-4000-8000-{learner:012}","action":"Submitted","group":"section","time":"{at}","result":{{"assignment":"exam","learner":"learner-{learner}","submitted_at":"{at}"}},"fingerprint":"{hex}","event":{event}}}"#
        );
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
        let (end, verdict) = (text.len(), Verdict::Accepted);
        lines.push(NewLine {
            end,
            index,
            fingerprint,
            verdict,
        });
    }
    let lines = EnvelopeLines {
        text,
        lines,
        salt_key: None,
    };
    let mut frames = encode_envelope(receipt, tenant, "s", &lines).expect("encodes");
    assert_eq!(frames.len(), 1);
    frames.remove(0).1
}

/// One assignment and a crowd of learners at once: a write for each result, and nothing else that
/// grows with the events.
#[tokio::test]
async fn a_crowd_at_one_assignment_costs_a_write_each() {
    const LEARNERS: u64 = 100_000;
    const FRAME: u64 = 1_000;
    let world = MemoryWorld::new(1);
    let tenant: TenantId = "school".parse().expect("a tenant's name");
    let frames = (0..LEARNERS / FRAME).map(|n| crowd(&tenant, n * FRAME..(n + 1) * FRAME));
    let records: Vec<Record> = (1_000..)
        .zip(frames)
        .map(|(number, data): (u64, _)| {
            let sequence = number.to_string().parse().expect("digits");
            Record {
                sequence,
                data,
                arrived_at: None,
            }
        })
        .collect();
    let stores = &world.reconcile.stores;
    let memory = stream_memory(15, 300);
    let committing = Committing {
        settings: Settings {
            receipt_days: 90,
            chunk_bytes: 1_024,
        },
        memory: &memory,
    };
    let (shard, _) = shard_of(&world);
    let budget = Duration::from_secs(600);
    let outcome = process(stores, committing, &shard, records, clock::now, budget).await;
    let outcome = outcome.expect("taken");
    assert_eq!((outcome.events, outcome.results), (LEARNERS, LEARNERS));
    let [claims, objects, commits, merges] = calls(&world);
    assert_eq!((claims, merges), (LEARNERS / FRAME, LEARNERS));
    assert_eq!(objects, commits);
    assert!(commits < 10, "a step holds 24 MiB of lines: {commits}");
    assert_eq!(world.table.all_results().len() as u64, LEARNERS);
    let list = world.table.of_section(&tenant, Some("section")).await;
    assert!(
        list.expect("reads").more,
        "invariant 8: one read has its bound"
    );
}

/// One learner with thousands of events: a write for each result and step, not for each event.
#[tokio::test]
async fn one_busy_learner_costs_a_write_for_each_result() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut batches = Vec::new();
    for hour in 0..10 {
        let at = |n: usize| format!("2026-11-20T{hour:02}:{:02}:{:02}.000Z", n / 60 % 60, n % 60);
        let event = |n: usize| match n % 5 {
            0 => graded("jane", "essay", n as f64, &at(n)),
            _ => assessed("jane", "exam", "Paused", &at(n)),
        };
        batches.push((0..500).map(event).collect::<Vec<_>>());
    }
    for events in &batches {
        post(&world, &member, bytes(events)).await;
    }
    world.faults.plan(|_, _| None);
    let (shard, records) = shard_of(&world);
    let event = trigger_event(&shard, &records);
    world.invoke("stream", event).await.expect("taken");
    let [_, _, commits, merges] = calls(&world);
    assert_eq!((commits, merges), (1, 2), "5,000 events, 2 results, 1 step");
    assert_eq!(world.table.all_results(), straight(&world).await);
}

/// What a semester says of one attempt, worked out from its JSON.
#[derive(Debug, Default, PartialEq)]
struct Standing {
    started: Option<String>,
    submitted: Option<String>,
    score: Option<(String, f64)>,
}

/// Invariant 4: the demo's semester gives the results that its events say, in whatever order
/// its envelopes come.
#[tokio::test]
async fn a_semester_has_its_results() {
    let mut params = Params::new(7, 6_000);
    params.envelope_events = 250;
    let semester = Semester::new(params).expect("a semester");
    let mut expected = BTreeMap::<(String, String, String), Standing>::new();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for envelope in semester.envelopes() {
        let envelope: Value = serde_json::from_str(&envelope.body).expect("JSON");
        for event in envelope["data"].as_array().expect("events") {
            let (attempt, graded) = match event["type"].as_str() {
                Some("GradeEvent") => (&event["object"], true),
                Some("AssessmentEvent") => (&event["generated"], false),
                _ => continue,
            };
            let place = ["assignable", "assignee", "id"].map(|name| text(&attempt[name]));
            let standing = expected.entry(place.into()).or_default();
            standing.started = attempt["startedAtTime"].as_str().map(str::to_owned);
            let ended = attempt["endedAtTime"].as_str().map(str::to_owned);
            standing.submitted = ended.or(standing.submitted.take());
            if graded {
                let given = event["generated"]["scoreGiven"].as_f64().expect("a number");
                let id = text(&event["id"]);
                standing.score = Some((id, given));
            }
        }
        bodies.push(envelope.to_string().into_bytes());
    }
    let world = MemoryWorld::new(2);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let (mut early, late) = (bodies.split_off(bodies.len() / 2), bodies);
    early.extend(late);
    for body in early {
        post(&world, &member, body).await;
    }
    world.deliver().await.expect("taken");
    let mut sections = BTreeSet::new();
    let found: BTreeMap<_, _> = world
        .table
        .all_results()
        .into_iter()
        .map(|((_, key), all)| {
            sections.insert(key.section.expect("a section"));
            let place = (
                key.assignment.expect("an assignment"),
                key.learner,
                key.attempt.expect("an attempt"),
            );
            let standing = Standing {
                started: all.started.map(|s| s.value.at.rfc3339()),
                submitted: all
                    .submitted
                    .and_then(|s| s.value.at)
                    .map(|at| at.rfc3339()),
                score: all.score.map(|s| {
                    (
                        s.cause.event_id().expect("an id"),
                        s.value.given.expect("a score"),
                    )
                }),
            };
            (place, standing)
        })
        .collect();
    assert!(
        expected.len() > 100 && sections.len() > 1,
        "{}",
        expected.len()
    );
    assert_eq!(found, expected);
}
