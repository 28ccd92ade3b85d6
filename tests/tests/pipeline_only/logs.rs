//! What the functions write to their log: enough to follow a receipt, and nothing of an event, a person
//! or a token.

use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::frame;
use vernier_tests::bodies::{post, settled};
use vernier_tests::envelopes::{bytes, envelope, event_with_id, events, graded, invalid_event};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Profile};

/// Stands in everything that a caller may choose: ids, actors, contents, headers, parameters.
const MARK: &str = "mark7391";

/// The log of this thread, in the form that Lambda's JSON format gives it, with every level.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    pub(super) fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_target(false)
            .without_time()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(self.clone())
            .json()
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("unpoisoned").clone()).expect("text")
    }

    /// The fields of all lines with a message.
    pub(super) fn with(&self, message: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|l| serde_json::from_str(l).expect("JSON"));
        lines
            .map(|mut line: Value| line["fields"].take())
            .filter(|fields| fields["message"] == message)
            .collect()
    }
}

/// Every word of an event marked.
fn marked_events() -> Vec<Value> {
    let mut navigated = event_with_id(&format!("https://school.example/events/{MARK}"));
    navigated["actor"]["id"] = json!(format!("https://school.example/users/{MARK}"));
    navigated["object"]["name"] = json!(MARK);
    navigated["extensions"] = json!({ MARK: MARK });
    let mut invalid = invalid_event();
    invalid["eventTime"] = json!(MARK);
    invalid["type"] = json!(MARK);
    invalid["action"] = json!(MARK);
    let score = graded(MARK, MARK, 7.0, "2026-11-20T10:15:00.000Z");
    vec![navigated, invalid, score, json!(MARK)]
}

fn marked_body() -> Vec<u8> {
    let mut body = envelope(&marked_events());
    body["sensor"] = json!(format!("https://school.example/sensors/{MARK}"));
    body.to_string().into_bytes()
}

/// Requests that are refused for something that the caller chose, and answers about marked things.
fn marked_calls(member: &Member) -> Vec<Call> {
    let iri = format!("https://school.example/{MARK}");
    let schema = json!({ "schema": { "type": MARK, MARK: [MARK] }, "columns": { MARK: MARK } });
    let playback = json!({ "source": MARK, "target": MARK, MARK: MARK });
    let calls = vec![
        Call::post(format!("{{\"{MARK}\": ")),
        Call::post(json!({ "sensor": MARK, "data": [], MARK: 1 }).to_string()),
        Call::post(marked_body()).header("content-type", MARK),
        Call::post(marked_body()).header("content-encoding", MARK),
        Call::post(marked_body()).header("content-encoding", "gzip"),
        Call::get("/events").query("actor", &iri),
        Call::get("/events")
            .query("group", &iri)
            .query("type", MARK),
        Call::get("/events").query("cursor", MARK),
        Call::get("/events").query("from", MARK),
        Call::get("/events").query(MARK, MARK),
        Call::get("/events/{id}").id(&iri),
        Call::get("/events/{id}/proof").id(&iri),
        Call::get("/receipts/{id}").id(MARK),
        Call::get("/seals/{sequence}").id(MARK),
        Call::get("/reports/{report}").id(MARK),
        Call::get("/reports/{report}")
            .id("assignments")
            .query("learner", &iri),
        Call::get("/reports/{report}")
            .id("grades")
            .query("section", &iri),
        Call::get("/reports/{report}")
            .id("history")
            .query("learner", &iri),
        Call::get("/quarantine").query("sensor", &iri),
        Call::get("/deviations").query("sensor", &iri),
        Call::get("/windows").query("from", MARK),
        Call::get("/schemas/{type+}").id(&iri),
        Call::put("/schemas/{type+}", &schema).id(&iri),
        Call::post_to("/playbacks", &playback),
        Call::get("/playbacks/{id}").id(MARK),
    ];
    let mut calls: Vec<Call> = calls.into_iter().map(|c| c.token(&member.secret)).collect();
    calls.push(Call::post(marked_body()).token(&format!("{}{MARK}", member.secret)));
    calls.push(Call::get("/events").token(MARK));
    calls
}

/// The schedule's event.
fn tick() -> Value {
    json!({"source": "aws.events"})
}

/// A marked envelope on its way through all functions, however far it comes.
async fn go_through(world: &MemoryWorld, member: &Member) {
    world
        .answer(Call::post(marked_body()).token(&member.secret))
        .await;
    let _ = world.deliver().await;
    let _ = world.invoke("reconcile", tick()).await;
    take_turns(world).await;
}

/// Gives the queue's nudges to workers, as its trigger does; what fails comes again.
async fn take_turns(world: &MemoryWorld) {
    let now = vernier_ledger::clock::now();
    while let Some(delivery) = world.queue.receive(now) {
        let body = serde_json::to_string(&delivery.nudge).expect("JSON");
        let message = json!({"Records": [{"eventSource": "aws:sqs", "body": body}]});
        if world.invoke("reconcile", message).await.is_ok() {
            world.queue.delete(delivery.handle);
        }
    }
}

/// Everything that can go wrong with marked things, one after the other.
async fn everything(world: &MemoryWorld, member: &Member) {
    let receipt = post(world, member, marked_body()).await;
    settled(world, member, &receipt).await;
    post(world, member, marked_body()).await;
    world
        .put_record(MARK, format!("no frame: {MARK}").as_bytes())
        .await;
    // A frame whose lines are none, so that their error might quote them.
    let id = member.tenant.parse().expect("a tenant's name");
    let lines = vernier_tests::envelopes::bytes(&marked_events());
    let header = world.stream.records().into_iter().find_map(|(_, records)| {
        let frame = frame::decode(&records.first()?.1.data).ok()?;
        Some(frame.header)
    });
    let mut header = header.expect("a frame");
    header.tenant = id;
    let frame = frame::encode(&header, &lines).expect("encodes");
    world.put_record(MARK, &frame).await;
    let _ = world.deliver().await;
    for call in marked_calls(member) {
        world.answer(call).await;
    }
    world.invoke("reconcile", tick()).await.expect("a run");
    take_turns(world).await;
    for fault in [Fault::Denied, Fault::Before] {
        world.faults.plan(move |_, _| Some(fault));
        for call in marked_calls(member) {
            world.answer(call).await;
        }
        go_through(world, member).await;
        world.faults.clear();
        // Those alone that come after the token is known.
        for operation in Operation::ALL {
            world
                .faults
                .plan(move |o, _| (o == operation).then_some(fault));
            go_through(world, member).await;
            world.faults.clear();
        }
    }
}

/// Invariant 7 and the rules for the log: neither bodies nor ids of people nor tokens, whatever happens,
/// with the log's filter wide open.
#[tokio::test(start_paused = true)]
async fn no_line_holds_what_a_caller_chose() {
    let log = Log::default();
    let guard = log.begin();
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Lenient, Profile::Generic).await;
    everything(&world, &member).await;
    drop(guard);
    for message in [
        "envelope acknowledged",
        "envelope not acknowledged",
        "refused",
        "frame claimed",
        "record quarantined",
        "batch not committed",
        "a dependency refused",
        "a dependency did not answer",
        "blocks listed",
    ] {
        assert!(!log.with(message).is_empty(), "nothing says {message:?}");
    }
    let text = log.text() + &world.measured();
    let bad = marked(&text, &member.secret);
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Lines with something that a caller chose, or its token.
fn marked<'t>(text: &'t str, secret: &str) -> Vec<&'t str> {
    let lines = text.lines();
    lines
        .filter(|l| l.contains(MARK) || l.contains(secret))
        .collect()
}

#[test]
fn a_planted_mark_is_found() {
    let log = Log::default();
    let guard = log.begin();
    tracing::trace!(actor = MARK, "planted");
    tracing::info!("a token: secret");
    tracing::info!("nothing");
    drop(guard);
    assert_eq!(marked(&log.text(), "secret").len(), 2, "{}", log.text());
}

/// A receipt is followed from its answer through both functions; input's line has what the template's
/// metric filter reads.
#[tokio::test]
async fn a_receipt_is_in_every_line_about_its_envelope() {
    let log = Log::default();
    let guard = log.begin();
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut sent = events(2);
    sent.push(invalid_event());
    let receipt = post(&world, &member, bytes(&sent)).await;
    world.deliver().await.expect("committed");
    world
        .faults
        .plan(|o, n| (o == Operation::Acknowledge && n < 3).then_some(Fault::Denied));
    let answer = world
        .answer(Call::post(bytes(&sent)).token(&member.secret))
        .await;
    assert_eq!(answer.status, 500);
    drop(guard);
    let [acknowledged] = &log.with("envelope acknowledged")[..] else {
        panic!("{}", log.text())
    };
    assert_eq!(acknowledged["receipt"], receipt.as_str());
    assert_eq!(
        (
            acknowledged["received"].as_u64(),
            acknowledged["rejected"].as_u64()
        ),
        (Some(3), Some(1))
    );
    let claimed = log.with("frame claimed");
    assert!(
        claimed.iter().any(|c| c["receipt"] == receipt.as_str()),
        "{claimed:?}"
    );
    // Of an envelope without an answer frames may be on the stream: its receipt says which.
    let [failed] = &log.with("envelope not acknowledged")[..] else {
        panic!("{}", log.text())
    };
    assert!(failed["receipt"].is_string() && failed["receipt"] != receipt.as_str());
}

/// A refused envelope's line says whose it was and which rules it broke, and nothing of what it held; an answer
/// does not depend on whether it could be counted.
#[tokio::test]
async fn a_refused_envelope_is_logged_with_tenant_sensor_and_rules() {
    let log = Log::default();
    let guard = log.begin();
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut body = envelope(&marked_events());
    body["sendTime"] = json!("2026-11-27T03:22:39.920+0000");
    body["sensor"] = json!(format!("https://school.example/sensors/{MARK}"));
    body[MARK] = json!(MARK);
    world
        .faults
        .plan(|o, _| (o == Operation::CountRefused).then_some(Fault::Denied));
    let answer = world
        .answer(Call::post(body.to_string()).token(&member.secret))
        .await;
    assert_eq!(answer.status, 400);
    drop(guard);
    let [refused] = &log.with("envelope refused")[..] else {
        panic!("{}", log.text())
    };
    assert_eq!(refused["tenant"], member.tenant.to_string());
    assert!(refused["sensor"].as_str().is_some_and(|s| !s.is_empty()));
    assert_eq!(
        refused["rules"],
        "envelope.custom-property envelope.send-time"
    );
    assert_eq!(log.with("refused envelopes not counted").len(), 2);
    let text = log.text();
    assert!(marked(&text, &member.secret).is_empty(), "{text}");
}

/// Of events with a time that nobody can read the log says how many and whose, once for their envelope.
#[tokio::test]
async fn unreadable_times_are_logged_with_tenant_and_sensor() {
    let log = Log::default();
    let guard = log.begin();
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let proposal = json!({"schema": {"type": "object"}, "columns": {"eventTime": "/at"}});
    let put = Call::put("/schemas/{type+}", &proposal).id("Door");
    let answer = world.call(put.token(&member.secret)).await;
    assert_eq!(answer.status, 201);
    let door = |at: &str| json!({"type": "Door", "at": at, MARK: MARK});
    let sent = [door(MARK), door("2026-11-20T10:15:00Z"), door("")];
    let receipt = post(&world, &member, bytes(&sent)).await;
    post(&world, &member, bytes(&events(1))).await;
    drop(guard);
    let [unreadable] = &log.with("times cannot be read")[..] else {
        panic!("{}", log.text())
    };
    assert_eq!(unreadable["tenant"], member.tenant.as_str());
    assert_eq!(unreadable["receipt"], receipt.as_str());
    assert_eq!(unreadable["sensor"], "https://school.example/sensors/1");
    assert_eq!(unreadable["events"], 2);
    let text = log.text();
    assert!(marked(&text, &member.secret).is_empty(), "{text}");
}
