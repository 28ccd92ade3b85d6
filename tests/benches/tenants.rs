//! What the number of tenants costs: a run of the planner, the window of one tenant, and a query of one tenant beside
//! others that are busy.
//!
//! `cargo bench -p vernier-tests --bench tenants`, and with `-- --tenants=10,100,1000,10000` as many tenants. The
//! function's own code over the SDK, against the counting endpoints; the clock is the bench's. Everybody's batches lie
//! on four shards. A call of the queue, which is in memory here, is counted as 15 ms, 16 of them at a time.
#![allow(clippy::print_stdout)]

#[path = "support/committing.rs"]
mod committing;
#[path = "support/figures.rs"]
mod figures;
#[path = "support/process.rs"]
mod process;
#[path = "support/sending.rs"]
mod sending;
#[path = "support/settings.rs"]
mod settings;

use serde_json::{Map, Value, json};
use settings::{GRACE_SECONDS, RECEIPT_DAYS, WINDOW_MINUTES, WORK};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use vernier_aws::{Bucket, KinesisStream, Table};
use vernier_fakes::{Faults, MemoryKey, MemoryQueue, MemoryTopic};
use vernier_ledger::access::Tenant;
use vernier_ledger::block_item::{Listing as _, ListingMark};
use vernier_ledger::ids::{ReceiptId, Shard, TenantId};
use vernier_ledger::ports::Administration as _;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_ledger::work::{AUDIT_DAILY, Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists as _};
use vernier_output::events::{Paging, page};
use vernier_output::filter_memory::FilterMemory;
use vernier_output::query::EventQuery;
use vernier_reconcile::planner::plan;
use vernier_reconcile::process::Process;
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::orchestra::turn_of;
use vernier_tests::stub::{self, Counts, Stub};

/// The bench's clock begins at 2026-09-01T00:00:00Z.
const BEGINNING: Millis = Millis(1_788_220_800_000);
const SHARDS: u64 = 4;

/// Tenants whose turns are measured, of those that are active.
const TURNS_MAX: usize = 20;

/// Envelopes of one batch, and so blocks of one commit.
const BATCH: usize = 90;

/// A call of the queue takes so long, milliseconds, and sends ten nudges.
const SEND_MILLIS: f64 = 15.0;
const SENDS_IN_FLIGHT: f64 = 16.0;

/// Seconds of traffic beside a query, with ten commits of others in each.
const BESIDE_SECONDS: i64 = 90;

/// Of receipts and blocks as they are deployed.
const SETTINGS: vernier_stream::Settings = vernier_stream::Settings::keeping(RECEIPT_DAYS);

/// How many ledgers there were.
static LEDGERS: AtomicU64 = AtomicU64::new(0);

type Stores = StoreSet<Table, Bucket, KinesisStream, MemoryTopic, MemoryKey, MemoryQueue>;

/// A ledger of some tenants on counting endpoints.
struct Ledger {
    stub: Stub,
    stores: Stores,
    process: Process<Table>,
    tenants: Vec<TenantId>,
    batches: u64,
}

fn tenant(id: TenantId) -> Tenant {
    Tenant::new(id, BEGINNING)
}

impl Ledger {
    async fn new(count: usize) -> Self {
        // The bench's process remembers windows by their tenants' names.
        let number = LEDGERS.fetch_add(1, Ordering::Relaxed);
        let stub = Stub::start([]);
        let config = stub::config_of(&stub).await;
        let faults = Faults::default();
        let stores = StoreSet {
            table: Table::new(&config, "bench"),
            objects: Bucket::new(&config, "bench"),
            stream: KinesisStream::new(&config, "bench"),
            notices: MemoryTopic::new(faults.clone()),
            key: MemoryKey::new(faults.clone()),
            queue: MemoryQueue::new(faults),
        };
        let mut process = process::process(stores.table.clone(), 86_400);
        process.workshop.threads = 1;
        let ledger = Self {
            process,
            stub,
            stores,
            tenants: (0..count)
                .map(|n| format!("school-{number}-{n}").parse().expect("a name"))
                .collect(),
            batches: 0,
        };
        ledger.begin().await;
        ledger
    }

    /// As a ledger that has been running: its lists are seeded, and the audit of the day is made.
    async fn begin(&self) {
        let table = &self.stores.table;
        for id in &self.tenants {
            let created = table.create_tenant(&tenant(id.clone())).await;
            assert_eq!(created, Ok(true));
        }
        let mark = ListingMark {
            complete: true,
            seeded: true,
            ..ListingMark::beginning(BEGINNING)
        };
        table.save_listing_mark(&mark).await.expect("saved");
        let key = WorkKey::of(Cause::Audit, AUDIT_DAILY);
        let tomorrow = BEGINNING.plus_seconds(86_400);
        let entry = WorkEntry::new(key, tomorrow, Nonce::random());
        let put = table.put_work(&Owner::Ledger, &entry).await;
        put.expect("put");
    }

    /// An envelope of each of these tenants, and the batches that commit them a moment later.
    async fn commit(&mut self, tenants: &[TenantId], at: Millis) {
        for batch in tenants.chunks(BATCH) {
            for id in batch {
                let receipt = ReceiptId::generate(at, 0);
                let body = bytes(&events(4));
                sending::send(&self.stores, id, receipt, RECEIPT_DAYS, &body).await;
            }
            let number = self.batches % SHARDS;
            self.batches += 1;
            let shard = Shard::new("bench", &format!("shardId-{number:012}"));
            let shard = shard.expect("a shard's name");
            committing::commit(&self.stub, &self.stores, &shard, SETTINGS, at).await;
        }
    }

    /// What a run of the planner and the turns of active tenants cost, when a window of all these is due.
    async fn window(&mut self, active: usize) -> Value {
        let active: Vec<TenantId> = self.tenants.iter().take(active).cloned().collect();
        self.commit(&active, BEGINNING.plus_seconds(60)).await;
        let end = BEGINNING.plus_seconds(i64::from(WINDOW_MINUTES) * 60);
        let now = end.plus_seconds(GRACE_SECONDS + 61);
        self.stores.queue.set_clock(now);
        let _ = self.stub.take_counts();
        let started = Instant::now();
        let planned = plan(&self.stores, &self.process, now).await;
        let planned = planned.expect("the index is read");
        let seconds = started.elapsed().as_secs_f64();
        assert_eq!(planned.sent as usize, active.len());
        let sends = (f64::from(planned.sent) / 10.0).ceil();
        let planner_ms = seconds * 1e3 + (sends / SENDS_IN_FLIGHT).ceil() * SEND_MILLIS;
        let planner = self.stub.take_counts();
        let turns = active.len().min(TURNS_MAX);
        for id in active.iter().take(turns) {
            let owner = Owner::Tenant(id.clone());
            let (stores, process) = (&self.stores, &self.process);
            let deadline = now.plus_seconds(600);
            let turn = turn_of(stores, process, &WORK, &owner, &|| now, deadline).await;
            let turn = turn.expect("its list is read");
            assert_eq!((turn.sealed.sealed, turn.failed), (1, 0), "{turn:?}");
        }
        let worker = self.stub.take_counts();
        let per_turn = |n: u64| n as f64 / turns as f64;
        json!({
            "active": active.len(),
            "planner_ms": planner_ms,
            "planner_read_units": read_units(&planner),
            "worker_calls_per_window": per_turn(worker.calls.values().sum()),
            "worker_read_units_per_window": per_turn(read_units(&worker)),
        })
    }
}

fn read_units(counts: &Counts) -> u64 {
    counts.read_units.values().sum()
}

/// Read units and milliseconds of a query of one tenant, with others beside it that commit ten times a second.
async fn beside(others: usize) -> Value {
    let mut ledger = Ledger::new(others + 1).await;
    let own = ledger.tenants[others].clone();
    for second in 0..BESIDE_SECONDS {
        let at = BEGINNING.plus_seconds(second);
        for n in 0..10 {
            let other = usize::try_from(second).unwrap_or(0) * 10 + n;
            let other = ledger.tenants[other % others].clone();
            ledger.commit(&[other], at).await;
        }
        if second % 10 == 0 {
            ledger.commit(std::slice::from_ref(&own), at).await;
        }
    }
    let now = BEGINNING.plus_seconds(BESIDE_SECONDS);
    let query = EventQuery::between(TimeRange {
        from: BEGINNING,
        to: now,
    });
    let mut millis = Vec::new();
    let _ = ledger.stub.take_counts();
    const TIMES: u64 = 21;
    for _ in 0..TIMES {
        let started = Instant::now();
        let paging = Paging {
            after: None,
            limit: 100,
            now,
            signing_key: &[0; 32],
            filters: &FilterMemory::default(),
            live_bytes_max: u64::MAX,
        };
        let found = page(&ledger.stores, &own, &query, paging).await;
        let (found, _) = found.expect("answered");
        assert_eq!(found.events.len(), 36);
        millis.push(started.elapsed().as_secs_f64() * 1e3);
    }
    millis.sort_by(f64::total_cmp);
    let units = read_units(&ledger.stub.take_counts()) as f64 / TIMES as f64;
    json!({ "read_units": units, "ms": millis[millis.len() / 2] })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|a| a == "--bench");
    let asked = std::env::args().find_map(|a| Some(a.strip_prefix("--tenants=")?.to_owned()));
    let asked = asked.unwrap_or_else(|| "10,100,1000,10000".to_owned());
    let counts: Vec<usize> = match is_bench {
        true => asked.split(',').filter_map(|n| n.parse().ok()).collect(),
        false => vec![3],
    };
    let mut all = Map::new();
    for count in counts {
        let mut figures = Ledger::new(count).await.window(count).await;
        let few = Ledger::new(count).await.window(count.div_ceil(100)).await;
        println!("{count} tenants, all active: {figures}");
        println!("{count} tenants, one in a hundred active: {few}");
        figures["one_percent"] = few;
        all.insert(count.to_string(), figures);
    }
    for others in if is_bench { vec![1, 1_000] } else { vec![1] } {
        let asked = beside(others).await;
        println!("a query beside {others} others: {asked}");
        all.insert(format!("query_beside_{others}"), asked);
    }
    figures::write("tenants", &Value::Object(all));
}
