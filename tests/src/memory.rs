//! The handlers over the fakes, with a trigger that delivers everything in order.

use crate::orchestra::{put_in_place, work_until_rest};
use crate::world::{self, ALLOWED_ORIGIN, Answer, Call, Member, World, encoded};
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use aws_lambda_events::encodings::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_runtime::{Context as Invocation, LambdaEvent};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vernier_fakes::{
    Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStores, MemoryStream, MemoryTable,
    MemoryTopic,
};
use vernier_ledger::access::{Authenticator, LookUps, Scope};
use vernier_ledger::clock::StoreClock;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::metrics::Metrics;
use vernier_ledger::ports::{Directory, FrameStream, NewRecord, PortError, Results};
use vernier_ledger::rates::{RateKeeper, Rates};
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey};
use vernier_reconcile::Settings;
use vernier_reconcile::compaction::{COMPACT_BYTES_MAX, Compacting};
use vernier_reconcile::playbacks::Wires;
use vernier_reconcile::process::{Process, WorkSettings};
use vernier_reconcile::sealing::{SealingTimes, Workshop};
use vernier_reconcile::sweeping::Sweeping;
use vernier_reconcile::worker::Turn;
pub use vernier_sim::orchestra::{open_windows, stream_memory, trigger_event};
use vernier_validation::{Mode, Profile};
use vernier_web::AllowedOrigins;

const SEALING: SealingTimes = SealingTimes {
    lookback_seconds: 24 * 3600,
    hold_seconds: 3600,
};

/// Contexts of the four functions over one set of fakes.
#[derive(Debug)]
pub struct MemoryWorld {
    /// Shared by all fakes.
    pub faults: Faults,
    /// The stream.
    pub stream: MemoryStream,
    /// The table.
    pub table: MemoryTable,
    /// The bucket.
    pub bucket: MemoryBucket,
    /// The audit topic.
    pub topic: MemoryTopic,
    /// Signs seals.
    pub key: MemoryKey,
    /// Brings nudges from the planner to the workers.
    pub queue: MemoryQueue,
    /// How far input's clock is from the stores'.
    pub store_clock: StoreClock,
    input: vernier_input::context::Context<MemoryStores>,
    streaming: vernier_stream::context::Context<MemoryStores>,
    output: vernier_output::context::Context<MemoryStores>,
    /// The reconcile function.
    pub reconcile: vernier_reconcile::context::Context<MemoryStores>,
    delivered: Mutex<BTreeMap<Shard, Sequence>>,
    measured: Arc<Mutex<String>>,
}

impl Default for MemoryWorld {
    fn default() -> Self {
        Self::new(2)
    }
}

const SETTINGS: Settings = Settings {
    window_minutes: 1,
    grace_seconds: 0,
};

const SWEEPING: Sweeping = Sweeping {
    segment_seconds: 30 * 86_400,
    trigger_seconds: 2 * 86_400,
    failure_seconds: 90 * 86_400,
};

const COMPACTING: Compacting = Compacting {
    compact_after_seconds: 48 * 3600,
    remove_after_seconds: 168 * 3600,
    bytes_max: COMPACT_BYTES_MAX,
};

/// Metrics whose lines are kept here.
fn kept(lines: &Arc<Mutex<String>>) -> Metrics {
    let sink = Arc::clone(lines);
    Metrics::to(Metrics::NAMESPACE.to_owned(), move |line| {
        lock(&sink).push_str(line);
    })
}

/// The origin that samconfig.toml allows on the local stack.
fn origins() -> AllowedOrigins {
    AllowedOrigins::parse(ALLOWED_ORIGIN).expect("an origin")
}

/// The reconcile function's context over these stores.
fn reconcile(
    stores: &MemoryStores,
    ttl: Duration,
    measured: &Arc<Mutex<String>>,
) -> vernier_reconcile::context::Context<MemoryStores> {
    vernier_reconcile::context::Context {
        stores: stores.clone(),
        authenticator: Authenticator::new(stores.table.clone(), LookUps::trusting(ttl)),
        process: Process {
            workshop: Workshop::new(std::env::temp_dir(), SEALING),
            schemas: SchemaCache::new(stores.table.clone(), ttl),
            new_receipt: vernier_ledger::spread::Spread::new_receipt,
            new_salt_key: vernier_ledger::salt::SaltKey::random,
            spreads: vernier_intake::SpreadKeeper::default(),
            new_nonce: Nonce::random,
            windows: open_windows(SETTINGS.window_minutes, SETTINGS.grace_seconds),
        },
        settings: WorkSettings {
            windows: SETTINGS,
            receipt_days: vernier_reconcile::ReceiptDays(90),
            compacting: COMPACTING,
            sweeping: SWEEPING,
            paused: false,
        },
        metrics: kept(measured),
        origins: origins(),
    }
}

impl MemoryWorld {
    /// What playbacks read and write.
    #[must_use]
    pub const fn wires(&self) -> Wires<'_, MemoryStores> {
        self.reconcile.wires()
    }

    /// Plans and takes turns until nothing is due by a clock.
    ///
    /// # Errors
    /// The first error of planner or worker.
    pub async fn work(&self, clock: &impl Fn() -> Millis) -> Result<Turn, PortError> {
        let vernier_reconcile::context::Context {
            stores,
            process,
            settings,
            ..
        } = &self.reconcile;
        work_until_rest(stores, process, settings, clock).await
    }

    /// A workshop whose sealing looks back on nothing.
    #[must_use]
    pub fn without_look_back(&self) -> Workshop {
        let times = SealingTimes {
            lookback_seconds: 0,
            ..SEALING
        };
        Workshop::new(std::env::temp_dir(), times)
    }

    /// With so many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let faults = Faults::default();
        let stream = MemoryStream::new(shards, faults.clone());
        let table = MemoryTable::new(faults.clone());
        let bucket = MemoryBucket::new(faults.clone());
        let topic = MemoryTopic::default();
        let key = MemoryKey::new(faults.clone());
        let queue = MemoryQueue::new(faults.clone());
        let ttl = Duration::from_millis(50);
        let measured = Arc::<Mutex<String>>::default();
        let store_clock = StoreClock::default();
        let stores = MemoryStores {
            table: table.clone(),
            objects: bucket.clone(),
            stream: stream.clone(),
            notices: topic.clone(),
            key: key.clone(),
            queue: queue.clone(),
        };
        let authenticator = || Authenticator::new(table.clone(), LookUps::trusting(ttl));
        Self {
            input: vernier_input::context::Context {
                stores: stores.clone(),
                authenticator: authenticator(),
                schemas: SchemaCache::new(table.clone(), ttl),
                rates: RateKeeper::default(),
                refused: vernier_ledger::refused::RefusedTally::default(),
                settings: vernier_intake::Settings { receipt_days: 90 },
                windows: open_windows(SETTINGS.window_minutes, SETTINGS.grace_seconds),
                spreads: vernier_intake::SpreadKeeper::default(),
                store_clock: store_clock.clone(),
                origins: origins(),
            },
            streaming: vernier_stream::context::Context {
                stores: stores.clone(),
                settings: vernier_stream::Settings::keeping(90),
                memory: stream_memory(SETTINGS.window_minutes, SETTINGS.grace_seconds),
                metrics: kept(&measured),
            },
            output: vernier_output::context::Context {
                stores: stores.clone(),
                authenticator: authenticator(),
                insights: vernier_output::insights::Insights::new("<!doctype html>", []),
                origins: origins(),
                filters: vernier_output::filter_memory::FilterMemory::default(),
            },
            reconcile: reconcile(&stores, ttl, &measured),
            faults,
            stream,
            table,
            bucket,
            topic,
            key,
            queue,
            store_clock,
            delivered: Mutex::default(),
            measured,
        }
    }

    /// The lines of metrics that the functions wrote so far.
    #[must_use]
    pub fn measured(&self) -> String {
        lock(&self.measured).clone()
    }

    /// Runs the function behind a route on a trigger event, as `sam local invoke` would.
    ///
    /// # Errors
    /// What the function answers the runtime with.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, String> {
        let shown = |e: lambda_runtime::Error| e.to_string();
        match function {
            "input" => {
                let event = LambdaEvent::new(typed(event)?, invocation());
                let answer = vernier_input::handler::handle(&self.input, event)
                    .await
                    .map_err(shown)?;
                serde_json::to_value(answer).map_err(|e| e.to_string())
            }
            "output" => {
                let event = LambdaEvent::new(typed(event)?, invocation());
                let answer = vernier_output::handler::handle(&self.output, event)
                    .await
                    .map_err(shown)?;
                serde_json::to_value(answer).map_err(|e| e.to_string())
            }
            "stream" => {
                let event = LambdaEvent::new(typed(event)?, invocation());
                vernier_stream::handler::handle(&self.streaming, event)
                    .await
                    .map_err(shown)?;
                Ok(Value::Null)
            }
            "reconcile" => {
                let event = LambdaEvent::new(event, invocation());
                vernier_reconcile::handler::handle(&self.reconcile, event)
                    .await
                    .map_err(shown)
            }
            other => Err(format!("no function {other}")),
        }
    }

    /// Delivers what is new on every shard, a batch each; a failed batch is left for the next
    /// call, as the trigger would.
    ///
    /// # Errors
    /// The first failed batch's answer; the others are delivered all the same.
    pub async fn deliver(&self) -> Result<(), String> {
        let mut failed = None;
        for (shard, records) in self.stream.records() {
            let after = lock(&self.delivered).get(&shard).cloned();
            let new: Vec<_> = records
                .into_iter()
                .filter(|(s, _)| after.as_ref().is_none_or(|a| s > a))
                .collect();
            let Some((last, _)) = new.last() else {
                continue;
            };
            let last = last.clone();
            match self.invoke("stream", trigger_event(&shard, &new)).await {
                Ok(_) => {
                    lock(&self.delivered).insert(shard, last);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn typed<T: serde::de::DeserializeOwned>(event: Value) -> Result<T, String> {
    serde_json::from_value(event).map_err(|e| e.to_string())
}

/// The invocation's context: 20 seconds to the deadline.
fn invocation() -> Invocation {
    let mut context = Invocation::default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let deadline = now.unwrap_or_default() + Duration::from_secs(20);
    context.deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    context
}

/// The proxy request that API Gateway would make of a call.
#[must_use]
pub fn proxy_event(call: &Call) -> Value {
    let several: BTreeMap<&str, Vec<&str>> =
        call.query
            .iter()
            .fold(BTreeMap::new(), |mut all, (name, value)| {
                all.entry(name).or_default().push(value);
                all
            });
    let single: BTreeMap<&str, &str> = call
        .query
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, line) in call.header_lines() {
        lines.entry(name).or_default().push(line);
    }
    let last: BTreeMap<&str, &&str> = lines
        .iter()
        .filter_map(|(name, lines)| Some((*name, lines.last()?)))
        .collect();
    json!({
        "resource": call.route,
        "path": call.path(),
        "httpMethod": call.method,
        "headers": last,
        "multiValueHeaders": lines,
        "queryStringParameters": single,
        "multiValueQueryStringParameters": several,
        "pathParameters": call.id.iter().map(|id| (call.parameter(), encoded(id))).collect::<BTreeMap<_, _>>(),
        "requestContext": { "stage": "v1", "resourcePath": call.route, "httpMethod": call.method },
        "body": STANDARD.encode(&call.body),
        "isBase64Encoded": true,
    })
}

fn answer_of(response: &ApiGatewayProxyResponse) -> Answer {
    let mut body = match (&response.body, response.is_base64_encoded) {
        (Some(Body::Text(text)), true) => STANDARD.decode(text).expect("base64"),
        (Some(Body::Text(text)), false) => text.clone().into_bytes(),
        (Some(Body::Binary(bytes)), _) => bytes.clone(),
        _ => Vec::new(),
    };
    // As a client does that takes what is compressed.
    if response.headers.get("content-encoding").is_some() {
        let packed = std::mem::take(&mut body);
        let read = flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut body);
        read.expect("it is gzip");
    }
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    Answer {
        status: u16::try_from(response.status_code).unwrap_or(0),
        headers: response
            .headers
            .iter()
            .map(|(n, v)| (n.as_str().to_owned(), text(v)))
            .collect(),
        body,
    }
}

impl World for MemoryWorld {
    const PATIENCE: Duration = Duration::from_secs(5);

    const SEAL_PATIENCE: Duration = Duration::from_secs(20);

    const STRIDE: usize = 1;

    async fn tenant(&self, mode: Mode, profile: Profile) -> Member {
        let tenant = world::create_tenant(&self.table, mode, profile).await;
        self.token(&tenant, &Scope::ALL).await
    }

    async fn token(&self, tenant: &str, scopes: &[Scope]) -> Member {
        world::issue_token(&self.table, tenant, None, scopes).await
    }

    async fn learner_token(&self, tenant: &str, learner: &str, scopes: &[Scope]) -> Member {
        world::issue_token(&self.table, tenant, Some(learner), scopes).await
    }

    async fn set_rates(&self, member: &Member, rates: Rates) {
        world::set_rates(&self.table, member, rates).await;
    }

    async fn close(&self, member: &Member) {
        world::close(&self.table, member).await;
    }

    async fn revoke(&self, member: &Member) {
        world::revoke_token(&self.table, member).await;
    }

    async fn answer(&self, call: Call) -> Answer {
        let function = match call.route {
            "/caliper" | "/schemas" | "/schemas/{type+}" => "input",
            "/windows" => "reconcile",
            route if route.starts_with("/playbacks") => "reconcile",
            _ => "output",
        };
        // Through JSON both ways, as between the gateway and the function.
        let event: ApiGatewayProxyRequest = typed(proxy_event(&call)).expect("a proxy request");
        let event = serde_json::to_value(event).expect("serialises");
        let answer = self.invoke(function, event).await.expect("handlers answer");
        answer_of(&serde_json::from_value(answer).expect("a proxy response"))
    }

    async fn put_record(&self, partition_key: &str, data: &[u8]) {
        let record = NewRecord {
            partition_key: partition_key.to_owned(),
            data: data.to_vec(),
        };
        for answer in self.stream.append(&[record]).await {
            answer.expect("the stream takes it");
        }
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        self.bucket.keys(prefix)
    }

    async fn object(&self, key: &str) -> Vec<u8> {
        self.bucket.raw(key).expect("it is there")
    }

    async fn seal(&self) {
        // As if the window had ended two minutes ago. To input it has not, so that what input sends into it after an
        // earlier call has an entry by another process. A playback that went on over a window's end has put one that is
        // due only when all that it may still send is there: it is due now, too.
        let now = vernier_ledger::clock::now();
        for tenant in self.table.tenants().await.expect("listed") {
            let owner = Owner::Tenant(tenant);
            for at in [now.plus_seconds(-60), now] {
                let window = Window::containing(at, SETTINGS.window_minutes);
                let key = WorkKey::at(Cause::Close, window.start);
                let entry = WorkEntry::new(key, window.end, Nonce::random());
                put_in_place(&self.table, &owner, &entry).await;
            }
        }
        let clock = || vernier_ledger::clock::now().plus_seconds(120);
        let worked = self.work(&clock).await;
        assert_eq!(worked.expect("lists are read").failed, 0);
    }

    fn results(&self) -> &impl Results {
        &self.table
    }

    async fn turn(&self) {
        // A failed batch stays for the next turn.
        let _ = self.deliver().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
