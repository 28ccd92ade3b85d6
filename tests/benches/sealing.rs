//! What sealing costs from segments to a seal: time, calls of each service, and dollars.
//!
//! `cargo bench -p vernier-tests --bench sealing`: the generator's reference mix through input,
//! stream and reconcile over stores in memory that count. The time is that of the function's own
//! code, encoding and hashing; the network is not in it.
#![allow(clippy::print_stdout)]

#[path = "support/figures.rs"]
mod figures;
#[path = "support/sending.rs"]
mod sending;
#[path = "support/settings.rs"]
mod settings;

use serde_json::{Value, json};
use settings::{RECEIPT_DAYS, WINDOW_MINUTES};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vernier_cli::generate::{Params, Semester};
use vernier_fakes::{
    Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStream, MemoryTable, MemoryTopic, Operation,
};
use vernier_intake::SpreadKeeper;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::day_of;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{
    Administration, Inventory, ListedObject, NotRemoved, Objects, PortError, PutOutcome, Removal,
};
use vernier_ledger::prices::{
    LAMBDA_GB_SECOND_USD, PRICES_AS_OF, S3_GET_USD, S3_PUT_USD, SIGNATURE_USD, WRITE_UNIT_USD,
};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists as _};
use vernier_reconcile::Settings;
use vernier_reconcile::compaction::Compacting;
use vernier_reconcile::process::{Process, WorkSettings};
use vernier_reconcile::sealing::{SealingTimes, Workshop};
use vernier_reconcile::worker::Turn;
use vernier_tests::memory::{open_windows, stream_memory};
use vernier_tests::orchestra::turn_of;

const BEGINNING: Millis = Millis(1_795_000_500_000);
/// The settings of workers, those of the template but for the time after which a day is compacted.
const WORK: WorkSettings = WorkSettings {
    windows: Settings {
        grace_seconds: 60,
        ..settings::WORK.windows
    },
    compacting: Compacting {
        compact_after_seconds: 3_600,
        ..settings::WORK.compacting
    },
    ..settings::WORK
};

const BUDGET: Duration = Duration::from_secs(60);
const WINDOWS: i64 = 3;
const WINDOW_MILLIS: i64 = WINDOW_MINUTES as i64 * 60_000;

/// Frames that one commit of the stream function takes.
const BATCH_FRAMES: usize = 100;

/// Memory of the reconcile function, GB.
const MEMORY_GB: f64 = 1.0;

/// What sealing wrote and read.
#[derive(Debug, Default)]
struct Counts {
    gets: AtomicU64,
    puts: AtomicU64,
    bytes: AtomicU64,
}

/// A bucket that counts.
struct Counting(MemoryBucket, Arc<Counts>);

impl Objects for Counting {
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        note: Option<&str>,
    ) -> Result<PutOutcome, PortError> {
        self.1.puts.fetch_add(1, Ordering::Relaxed);
        let length = bytes.len() as u64;
        self.1.bytes.fetch_add(length, Ordering::Relaxed);
        self.0.put_new(key, bytes, note).await
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        self.1.gets.fetch_add(1, Ordering::Relaxed);
        self.0.get(key, range).await
    }
}

impl Inventory for Counting {
    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, PortError> {
        self.0.listed(prefix, after).await
    }
}

impl Removal for Counting {
    async fn remove(&self, key: &str) -> Result<(), PortError> {
        self.0.remove(key).await
    }

    async fn remove_all(&self, keys: &[String]) -> Result<Vec<NotRemoved>, PortError> {
        self.0.remove_all(keys).await
    }
}

struct World {
    faults: Faults,
    table: MemoryTable,
    bucket: MemoryBucket,
    stream: MemoryStream,
    tenant: Tenant,
}

impl World {
    /// A world with a tenant that is named after its size: the process remembers which entries a tenant has.
    async fn new(events: u64) -> Self {
        let name = format!("school-{events}");
        let faults = Faults::default();
        let world = Self {
            table: MemoryTable::new(faults.clone()),
            bucket: MemoryBucket::new(faults.clone()),
            stream: MemoryStream::new(1, faults.clone()),
            tenant: Tenant::new(name.parse().expect("a name"), BEGINNING),
            faults,
        };
        assert_eq!(world.table.create_tenant(&world.tenant).await, Ok(true));
        world
    }

    /// Sends a window's events; answers their bytes as sent.
    async fn send(&self, window: i64, events: u64) -> u64 {
        let mut params = Params::new(7 + window.unsigned_abs(), events);
        params.envelope_events = 100;
        let semester = Semester::new(params).expect("within bounds");
        let bodies: Vec<String> = semester.envelopes().map(|e| e.body).collect();
        let count = i64::try_from(bodies.len()).expect("small");
        let stores = self.stores(self.bucket.clone());
        let mut raw = 0;
        for (number, body) in (0..).zip(&bodies) {
            raw += body.len() as u64;
            let at = BEGINNING.0 + window * WINDOW_MILLIS + number * WINDOW_MILLIS / count;
            let receipt = ReceiptId::generate(Millis(at), 0);
            sending::send(
                &stores,
                &self.tenant.id,
                receipt,
                RECEIPT_DAYS,
                body.as_bytes(),
            )
            .await;
        }
        raw
    }

    /// Lets the stream function take all that was sent, at the end of a window.
    async fn deliver(&self, window: i64) {
        let stores = self.stores(self.bucket.clone());
        let memory = stream_memory(15, 300);
        let committing = vernier_stream::Committing {
            settings: vernier_stream::Settings::keeping(RECEIPT_DAYS),
            memory: &memory,
        };
        let clock = || Millis(BEGINNING.0 + (window + 1) * WINDOW_MILLIS);
        for (shard, records) in self.stream.records() {
            let cursor = self.table.cursors().remove(&shard);
            let done = cursor.and_then(|cursor| cursor.sequence);
            let left = records.into_iter().filter(|(s, _)| Some(s) > done.as_ref());
            let left: Vec<vernier_stream::Record> = left
                .map(|(sequence, record)| vernier_stream::Record {
                    sequence,
                    data: record.data,
                    arrived_at: None,
                })
                .collect();
            for batch in left.chunks(BATCH_FRAMES) {
                vernier_stream::process(&stores, committing, &shard, batch.to_vec(), clock, BUDGET)
                    .await
                    .expect("committed");
            }
        }
    }

    /// The stores, with this bucket.
    fn stores<O>(
        &self,
        objects: O,
    ) -> StoreSet<MemoryTable, O, MemoryStream, MemoryTopic, MemoryKey, MemoryQueue> {
        StoreSet {
            table: self.table.clone(),
            objects,
            stream: self.stream.clone(),
            notices: MemoryTopic::new(self.faults.clone()),
            key: MemoryKey::new(self.faults.clone()),
            queue: MemoryQueue::new(self.faults.clone()),
        }
    }

    fn segment_bytes(&self) -> usize {
        let keys = self.bucket.keys("segments/").into_iter();
        keys.filter_map(|key| self.bucket.raw(&key))
            .map(|o| o.len())
            .sum()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|a| a == "--bench");
    let sizes: &[u64] = if is_bench { &[1_000, 100_000] } else { &[100] };
    let mut all = Vec::new();
    for events in sizes {
        all.push(measure(*events).await);
    }
    figures::write("sealing", &Value::Array(all));
}

async fn measure(events: u64) -> Value {
    let world = World::new(events).await;
    let mut raw = 0;
    for window in 0..WINDOWS {
        raw += world.send(window, events).await;
        world.deliver(window).await;
    }
    let counts = Arc::new(Counts::default());
    let stores = world.stores(Counting(world.bucket.clone(), Arc::clone(&counts)));
    let times = SealingTimes {
        lookback_seconds: 86_400,
        hold_seconds: 86_400,
    };
    let process = Process {
        workshop: Workshop::new(std::env::temp_dir(), times),
        schemas: SchemaCache::new(world.table.clone(), Duration::ZERO),
        new_receipt: Spread::new_receipt,
        new_salt_key: SaltKey::random,
        spreads: SpreadKeeper::default(),
        new_nonce: Nonce::random,
        windows: open_windows(WINDOW_MINUTES, 60),
    };
    let owner = Owner::Tenant(world.tenant.id.clone());
    // The last window's entry is due after input's grace and a minute at most.
    let now = Millis(BEGINNING.0 + WINDOWS * WINDOW_MILLIS + 400_000);
    let called = |operation| world.faults.calls(operation);
    let before = [Operation::MoveChain, Operation::Sign].map(called);
    let started = Instant::now();
    let sealed = take_turn(&stores, &process, &owner, now).await.sealed;
    let seconds = started.elapsed().as_secs_f64();
    let total = events * WINDOWS.unsigned_abs();
    assert_eq!(sealed.events, total, "{sealed:?}");
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    let moves = (called(Operation::MoveChain) - before[0]) as f64;
    let signatures = (called(Operation::Sign) - before[1]) as f64;
    let archived = read(&counts.bytes);
    let events = total as f64;
    println!("{WINDOWS} windows, {} events in all", total);
    println!(
        "  time                   {:10.2} µs/event, {:.0} events/s of one process",
        seconds * 1e6 / events,
        events / seconds
    );
    println!(
        "  bytes an event         {:10.1} raw, {:.1} in segments, {:.1} archived; raw / archived {:.1}",
        raw as f64 / events,
        world.segment_bytes() as f64 / events,
        archived / events,
        raw as f64 / archived
    );
    let rows = [
        ("S3 GET", read(&counts.gets), S3_GET_USD),
        ("S3 PUT", read(&counts.puts), S3_PUT_USD),
        ("KMS signatures", signatures, SIGNATURE_USD),
        // A transaction of two small items.
        ("DynamoDB write units", moves * 4.0, WRITE_UNIT_USD),
        (
            "Lambda GB-seconds",
            seconds * MEMORY_GB,
            LAMBDA_GB_SECOND_USD,
        ),
    ];
    show(&rows, events);
    let compacted = compact(&stores, &process, &owner, events).await;
    json!({
        "compaction": compacted,
        "events": events,
        "us_per_event": seconds * 1e6 / events,
        "raw_bytes_per_event": raw as f64 / events,
        "segment_bytes_per_event": world.segment_bytes() as f64 / events,
        "archive_bytes_per_event": archived / events,
        "gets": read(&counts.gets),
        "puts": read(&counts.puts),
        "signatures": signatures,
        "write_units": moves * 4.0,
    })
}

/// The stores of this bench.
type Stores = StoreSet<MemoryTable, Counting, MemoryStream, MemoryTopic, MemoryKey, MemoryQueue>;

/// One turn of the tenant's.
async fn take_turn(
    stores: &Stores,
    process: &Process<MemoryTable>,
    owner: &Owner,
    now: Millis,
) -> Turn {
    let forever = Millis(i64::MAX);
    stores.table.place_checkpoint(now);
    let turn = turn_of(stores, process, &WORK, owner, &|| now, forever).await;
    let turn = turn.expect("its list is read");
    assert_eq!((turn.failed, turn.compacted.held), (0, 0), "{turn:?}");
    turn
}

/// Merges the day's windows, when the chain has passed it: time, requests and bytes.
async fn compact(
    stores: &Stores,
    process: &Process<MemoryTable>,
    owner: &Owner,
    events: f64,
) -> Value {
    let counts = Arc::clone(&stores.objects.1);
    let read = || {
        [&counts.gets, &counts.puts, &counts.bytes]
            .map(|count| count.load(Ordering::Relaxed) as f64)
    };
    let end = day_of(BEGINNING).end;
    // The rest of the day, which received nothing, is sealed before.
    let key = WorkKey::at(Cause::Close, Millis(end.0 - 1));
    let rest = WorkEntry::new(key, Millis(0), Nonce::random());
    stores.table.put_work(owner, &rest).await.expect("put");
    take_turn(stores, process, owner, Millis(end.0 + 120_000)).await;
    let before = read();
    let started = Instant::now();
    let done = take_turn(stores, process, owner, end.plus_seconds(86_400)).await;
    assert_eq!(done.compacted.days, 1, "{done:?}");
    let micros = started.elapsed().as_secs_f64() * 1e6 / events;
    let after = read();
    let [gets, puts, bytes] = [0, 1, 2].map(|i: usize| after[i] - before[i]);
    println!(
        "  compacting the day     {micros:10.2} µs/event, {:.1} bytes/event in {puts} objects, {gets} GETs",
        bytes / events
    );
    json!({ "us_per_event": micros, "gets": gets, "puts": puts, "bytes_per_event": bytes / events })
}

/// What was called and what it costs, for a million events.
fn show(rows: &[(&str, f64, f64)], events: f64) {
    let mut sum = 0.0;
    for (what, count, price) in rows {
        let of_million = count * 1e6 / events;
        sum += of_million * price;
        println!(
            "  {what:22} {of_million:10.1} for a million events, ${:.6}",
            of_million * price
        );
    }
    println!("  together               ${sum:.4} for a million events, prices of {PRICES_AS_OF}");
}
