//! What questions cost over what a tenant with 10,000 events a second has not sealed yet: requests to the object
//! store, bytes, time and memory of each.
//!
//! `cargo bench --workspace --bench live -- --seconds=960`. A semester of so many events goes through validation and the
//! stream function's own code: envelopes of 100, three shards, batches of five seconds. Every question then goes through
//! the output function's handler, once as it is and once with [`LATENCY`] for each request to the object store, as S3 has it.
//! A worker rolls the filters up every minute.
//! The table has the block items of a hundred other tenants of the same load when the questions are asked again.
#![allow(clippy::print_stdout)]

#[path = "support/figures.rs"]
mod figures;
#[path = "support/process.rs"]
mod process;
#[path = "support/settings.rs"]
mod settings;

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use lambda_runtime::{Context as Invocation, LambdaEvent};
use peak_alloc::PeakAlloc;
use serde_json::{Map, Value, json};
use settings::WORK;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vernier_cli::generate::{Params, SENSOR, Semester};
use vernier_fakes::{
    Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStream, MemoryTable, MemoryTopic,
};
use vernier_intake::lines;
use vernier_ledger::access::{Authenticator, LookUps, Scope, Tenant};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::clock;
use vernier_ledger::frame::encode_envelope;
use vernier_ledger::ids::{ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::ports::{
    Administration as _, Blocks as _, Commits as _, Cursor, Objects, PortError, PutOutcome,
};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::segment::{SEGMENT_VERSION, SegmentRecord};
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_ledger::work::Owner;
use vernier_output::context::Context;
use vernier_output::filter_memory::FilterMemory;
use vernier_output::insights::Insights;
use vernier_reconcile::process::Process;
use vernier_stream::{Committing, ProcessMemory, Record, Settings};
use vernier_tests::memory::{proxy_event, stream_memory};
use vernier_tests::orchestra::turn_of;
use vernier_tests::world::{Call, issue_token};
use vernier_validation::{Mode, Policy, Profile, read_envelope};
use vernier_web::AllowedOrigins;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const EVENTS_PER_SECOND: u64 = 10_000;
const EVENTS_PER_ENVELOPE: u64 = 100;
const SHARDS: u64 = 3;
const BATCH_SECONDS: u64 = 5;
const OTHER_TENANTS: usize = 100;

/// How often filters are rolled up, seconds.
const ROLL_UP_SECONDS: i64 = 60;

/// What a request to the object store takes.
const LATENCY: Duration = Duration::from_millis(15);

/// What a batch may take.
const BUDGET: Duration = Duration::from_secs(600);

/// An object store that takes its time when it is told to.
#[derive(Debug, Clone)]
struct Far {
    bucket: MemoryBucket,
    is_far: Arc<AtomicBool>,
}

impl Objects for Far {
    async fn put_new(&self, _: &str, _: Vec<u8>, _: Option<&str>) -> Result<PutOutcome, PortError> {
        Err(PortError::Fatal("only read".to_owned()))
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        if self.is_far.load(Ordering::Relaxed) {
            tokio::time::sleep(LATENCY).await;
        }
        self.bucket.get(key, range).await
    }
}

/// What the functions write to.
type Written =
    StoreSet<MemoryTable, MemoryBucket, MemoryStream, MemoryTopic, MemoryKey, MemoryQueue>;

/// What questions are asked of.
type Stores = StoreSet<MemoryTable, Far>;

/// A tenant's live store, and somebody who asks.
struct Live {
    stores: Written,
    process: Process<MemoryTable>,
    memory: ProcessMemory,
    context: Context<Stores>,
    tenant: TenantId,
    secret: String,
    range: TimeRange,
    events: u64,
}

/// What is asked for: things that there are.
#[derive(Debug, Clone, Default)]
struct Sample {
    id: String,
    actor: String,
    group: String,
}

/// A question to the API.
struct Question {
    name: &'static str,
    route: &'static str,
    id: Option<String>,
    query: Vec<(&'static str, String)>,
}

/// What an answer cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    status: i64,
    requests: u64,
    bytes: u64,
    took: Duration,
    peak_mb: f64,
}

fn shard(number: u64) -> Shard {
    Shard::new("bench", &format!("shardId-{number:012}")).expect("a shard")
}

fn sequence(number: u64) -> Sequence {
    number.to_string().parse().expect("digits")
}

impl Live {
    async fn empty(begin: Millis, seconds: u64) -> Self {
        let table = MemoryTable::new(Faults::default());
        let tenant: TenantId = "school".parse().expect("a name");
        let settings = Tenant::new(tenant.clone(), begin);
        assert_eq!(table.create_tenant(&settings).await, Ok(true));
        let scopes = [Scope::EventsRead, Scope::ReportsRead];
        let member = issue_token(&table, tenant.as_str(), None, &scopes).await;
        let faults = Faults::default();
        let stores = StoreSet {
            table: table.clone(),
            objects: MemoryBucket::new(faults.clone()),
            stream: MemoryStream::new(1, faults.clone()),
            notices: MemoryTopic::new(faults.clone()),
            key: MemoryKey::new(faults.clone()),
            queue: MemoryQueue::new(faults),
        };
        let far = Far {
            bucket: stores.objects.clone(),
            is_far: Arc::default(),
        };
        let trusted = LookUps::trusting(Duration::from_secs(900));
        let context = Context {
            stores: StoreSet::new(table.clone(), far),
            authenticator: Authenticator::new(table.clone(), trusted),
            insights: Insights::new("", []),
            origins: AllowedOrigins::parse("").expect("none"),
            filters: FilterMemory::default(),
        };
        Self {
            stores,
            process: process::process(table, 86_400),
            memory: stream_memory(15, 300),
            context,
            tenant,
            secret: member.secret,
            range: TimeRange {
                from: begin,
                to: begin.plus_seconds(i64::try_from(seconds).expect("few")),
            },
            events: 0,
        }
    }

    /// Takes a semester, second by second. Answers what of it is asked for: an event from the middle.
    async fn fill(&mut self, seconds: u64) -> Sample {
        let events = seconds * EVENTS_PER_SECOND;
        let semester = Semester::new(Params::new(7, events)).expect("within bounds");
        let mut envelopes = semester.envelopes();
        let per_batch = BATCH_SECONDS * EVENTS_PER_SECOND / EVENTS_PER_ENVELOPE;
        let (mut number, mut sample) = (0_u64, Sample::default());
        let middle = events / EVENTS_PER_ENVELOPE / 2;
        for batch in 0..seconds.div_ceil(BATCH_SECONDS) {
            let mut shards = vec![Vec::new(); usize::try_from(SHARDS).expect("few")];
            for envelope in envelopes
                .by_ref()
                .take(usize::try_from(per_batch).expect("few"))
            {
                let millis = number * 1_000 * EVENTS_PER_ENVELOPE / EVENTS_PER_SECOND;
                let at = Millis(self.range.from.0 + i64::try_from(millis).expect("few"));
                let of = usize::try_from(number % SHARDS).expect("few");
                shards[of].push(self.record(number, at, &envelope.body));
                if number == middle {
                    sample = sample_of(&envelope.body);
                }
                number += 1;
            }
            let end = i64::try_from((batch + 1) * BATCH_SECONDS).expect("few");
            let now = self.range.from.plus_seconds(end);
            self.commit(shards, now).await;
            if end % ROLL_UP_SECONDS == 0 {
                self.roll_up(now).await;
            }
        }
        self.events = number * EVENTS_PER_ENVELOPE;
        sample
    }

    /// The record that the input function makes of an envelope.
    fn record(&self, number: u64, at: Millis, body: &str) -> Record {
        let policy = Policy::new(Mode::Strict, Profile::Generic);
        let envelope = read_envelope(body.as_bytes(), &policy).expect("an envelope");
        let receipt = ReceiptId::generate(at, 0);
        let salt = SaltKey::random();
        let (lines, _) =
            lines::write(&envelope, receipt, salt, &self.tenant, SENSOR).expect("lines");
        let frames = encode_envelope(receipt, &self.tenant, SENSOR, &lines).expect("frames");
        let mut frames = frames.into_iter();
        let (Some((_, data)), None) = (frames.next(), frames.next()) else {
            panic!("an envelope of 100 events is one frame");
        };
        Record {
            sequence: sequence(number + 1),
            data,
            arrived_at: None,
        }
    }

    async fn commit(&self, shards: Vec<Vec<Record>>, now: Millis) {
        for (number, records) in (0..).zip(shards) {
            let committing = Committing {
                settings: Settings::keeping(30),
                memory: &self.memory,
            };
            let shard = shard(number);
            let done =
                vernier_stream::process(&self.stores, committing, &shard, records, || now, BUDGET);
            done.await.expect("committed");
        }
    }

    /// The turn of the worker of the tenant's filters, which the planner nudges every minute.
    async fn roll_up(&self, now: Millis) {
        let owner = Owner::of_filters(&self.tenant);
        let (clock, deadline) = (|| now, now.plus_seconds(60));
        let turn = turn_of(&self.stores, &self.process, &WORK, &owner, &clock, deadline);
        let turn = turn.await.expect("the list is read");
        assert_eq!(turn.failed, 0, "{turn:?}");
    }

    /// Puts the block items of other tenants beside this one's.
    async fn add_others(&self) {
        let own = self
            .stores
            .table
            .block_items(&self.tenant, self.range)
            .await;
        let own = own.expect("read");
        for other in 0..OTHER_TENANTS {
            let tenant: TenantId = format!("other-{other}").parse().expect("a name");
            let shard = shard(u64::try_from(other).expect("few") + SHARDS);
            let mut cursor = Cursor::default();
            for item in &own {
                let mut block = item.block.clone();
                block.tenant = tenant.clone();
                let mut record = SegmentRecord {
                    vernier_segment: SEGMENT_VERSION,
                    shard: shard.clone(),
                    first: sequence(cursor.next_position + 1),
                    last: sequence(cursor.next_position + 1),
                    committed_at: item.committed_at,
                    position: cursor.next_position,
                    previous: cursor.last_hash.clone(),
                    object: Some(item.object.clone()),
                    items: Vec::new(),
                    copies: 0,
                    quarantined: 0,
                };
                let items = BlockItem::of(&record, vec![block]);
                record.items = items.iter().filter_map(BlockItem::hash).collect();
                let committed = self.stores.table.commit(&cursor, &record, &items).await;
                committed.expect("committed");
                cursor = Cursor {
                    sequence: Some(record.last.clone()),
                    next_position: record.position + 1,
                    last_hash: Some(record.hash()),
                };
            }
        }
    }

    fn question(
        &self,
        name: &'static str,
        route: &'static str,
        query: &[(&'static str, &str)],
    ) -> Question {
        let range = [("from", self.range.from), ("to", self.range.to)];
        let range = range.map(|(name, at)| (name, at.rfc3339()));
        let own = query
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Question {
            name,
            route,
            id: None,
            query: range.into_iter().chain(own).collect(),
        }
    }

    /// Asks, and answers what it cost and said.
    async fn ask(&self, question: &Question, is_far: bool) -> (Cost, Value) {
        let far = &self.context.stores.objects;
        far.is_far.store(is_far, Ordering::Relaxed);
        let mut call = Call::get(question.route);
        call.id.clone_from(&question.id);
        let named = |(name, value): &(&'static str, String)| ((*name).to_owned(), value.clone());
        call.query = question.query.iter().map(named).collect();
        let bearer = format!("Bearer {}", self.secret);
        let event = proxy_event(&call.header("authorization", &bearer));
        let event = serde_json::from_value(event).expect("a request");
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage_as_mb();
        let started = Instant::now();
        let event = LambdaEvent::new(event, Invocation::default());
        let answer = vernier_output::handler::handle(&self.context, event).await;
        let took = started.elapsed();
        let peak_mb = f64::from(MEMORY.peak_usage_as_mb() - before);
        let answer = answer.expect("every failure is an answer");
        let (requests, bytes) = reads_of(&answer);
        let cost = Cost {
            status: answer.status_code,
            requests,
            bytes,
            took,
            peak_mb,
        };
        (cost, body_of(&answer))
    }

    /// Asks near and far by processes that remember nothing and once more by one that does, prints what it cost, and answers
    /// the figures and where the page goes on.
    async fn measure(&mut self, name: &str, question: &Question) -> (Value, Option<String>) {
        self.context.filters = FilterMemory::default();
        let (near, answer) = self.ask(question, false).await;
        let (again, _) = self.ask(question, false).await;
        self.context.filters = FilterMemory::default();
        let (far, _) = self.ask(question, true).await;
        let mb = near.bytes as f64 / 1e6;
        let millis = |took: Duration| took.as_secs_f64() * 1e3;
        println!(
            "  {name:28} {:3} {:5} requests, {:4} again {mb:8.2} MB {:8.1} ms, with S3 {:8.1} ms, {:6.1} MB at most",
            near.status,
            near.requests,
            again.requests,
            millis(near.took),
            millis(far.took),
            near.peak_mb,
        );
        let figures = json!({
            "status": near.status,
            "requests": near.requests,
            "requests_again": again.requests,
            "mb": mb,
            "ms": millis(near.took),
            "far_ms": millis(far.took),
            "peak_mb": near.peak_mb,
        });
        let next = answer["next_cursor"].as_str().map(str::to_owned);
        (figures, next)
    }
}

/// Requests and bytes of an answer, as it says itself.
fn reads_of(answer: &ApiGatewayProxyResponse) -> (u64, u64) {
    let said = answer.headers.get("vernier-reads");
    let said = said.and_then(|value| value.to_str().ok()).unwrap_or("");
    let figure = |name: &str| {
        let mut parts = said.split(", ");
        let found = parts.find_map(|part| part.strip_prefix(name));
        found.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    (figure("gets="), figure("bytes="))
}

fn body_of(answer: &ApiGatewayProxyResponse) -> Value {
    match &answer.body {
        Some(Body::Text(text)) => serde_json::from_str(text).unwrap_or_default(),
        _ => Value::Null,
    }
}

/// The last event of an envelope that has what is asked for.
fn sample_of(body: &str) -> Sample {
    let policy = Policy::new(Mode::Strict, Profile::Generic);
    let envelope = read_envelope(body.as_bytes(), &policy).expect("an envelope");
    let columns = envelope.items.iter().rev().map(|item| &item.columns);
    let mut whole = columns.filter_map(|columns| {
        Some(Sample {
            id: columns.id.clone()?.into_owned(),
            actor: columns.actor.clone()?.into_owned(),
            group: columns.group.clone()?.into_owned(),
        })
    });
    whole.next().expect("an event of a section")
}

/// The questions, whose names are those of the report.
fn questions(live: &Live, sample: &Sample) -> Vec<Question> {
    let Sample { id, actor, group } = sample;
    let of_events = |name, query: &[(&'static str, &str)]| live.question(name, "/events", query);
    let by_id = |name, id: &str| Question {
        id: Some(id.to_owned()),
        ..live.question(name, "/events/{id}", &[])
    };
    let newest = ("order", "newest");
    vec![
        of_events("newest", &[newest]),
        of_events("oldest", &[("order", "oldest")]),
        of_events("learner", &[newest, ("actor", actor)]),
        of_events(
            "learner_in_section",
            &[newest, ("actor", actor), ("group", group)],
        ),
        of_events("section", &[newest, ("group", group)]),
        of_events("type", &[newest, ("type", "GradeEvent")]),
        of_events("nobody", &[newest, ("actor", "urn:nobody")]),
        of_events("duplicates", &[newest, ("disposition", "duplicate")]),
        of_events("filter_id", &[("id", id)]),
        by_id("id", id),
        by_id(
            "id_not_there",
            "urn:uuid:00000000-0000-4000-8000-000000000000",
        ),
        live.question(
            "activity_of_section",
            "/reports/activity",
            &[("section", group)],
        ),
        live.question(
            "activity_of_learner",
            "/reports/activity",
            &[("learner", actor)],
        ),
        live.question("usage", "/reports/usage", &[("bucket", "hour")]),
        live.question("sections", "/reports/sections", &[]),
    ]
}

/// Asks everything, and the second page of what has one.
async fn ask_all(live: &mut Live, questions: &[Question]) -> Map<String, Value> {
    let mut asked = Map::new();
    for question in questions {
        let (figures, next) = live.measure(question.name, question).await;
        asked.insert(question.name.to_owned(), figures);
        if let Some(cursor) = next {
            let name = format!("{}_page_2", question.name);
            let mut query = question.query.clone();
            query.push(("cursor", cursor));
            let second = Question {
                query,
                id: question.id.clone(),
                ..*question
            };
            let (figures, _) = live.measure(&name, &second).await;
            asked.insert(name, figures);
        }
    }
    asked
}

fn seconds() -> u64 {
    // `cargo test --benches` only wants to know that it runs.
    let usual = if std::env::args().any(|a| a == "--bench") {
        960
    } else {
        5
    };
    let mut given = std::env::args();
    let given = given.find_map(|a| a.strip_prefix("--seconds=")?.parse().ok());
    given.unwrap_or(usual)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let seconds = seconds();
    let begin = clock::now().plus_seconds(-i64::try_from(seconds).expect("few"));
    let mut live = Live::empty(begin, seconds).await;
    let started = Instant::now();
    let sample = live.fill(seconds).await;
    let segments = live.stores.objects.keys("segments/").into_iter();
    let bytes = segments.filter_map(|key| Some(live.stores.objects.raw(&key)?.len()));
    let bytes_per_event = bytes.sum::<usize>() as f64 / live.events as f64;
    println!(
        "{} events of {seconds} seconds, {bytes_per_event:.1} bytes each in segments, made in {:.0} s",
        live.events,
        started.elapsed().as_secs_f64()
    );
    let questions = questions(&live, &sample);
    let alone = ask_all(&mut live, &questions).await;
    live.add_others().await;
    println!("beside {OTHER_TENANTS} other tenants of that load:");
    let beside = ask_all(&mut live, &questions).await;
    let mut figures = alone;
    figures.extend([
        ("seconds".to_owned(), json!(seconds)),
        ("events".to_owned(), json!(live.events)),
        ("bytes_per_event".to_owned(), json!(bytes_per_event)),
        ("beside_others".to_owned(), Value::Object(beside)),
    ]);
    figures::write("live", &Value::Object(figures));
}
