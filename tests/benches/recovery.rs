//! How fast recovery brings back what the trigger went past, and the trigger catches up with an outage: over fakes, in
//! simulated time.
//!
//! `cargo bench -p vernier-tests --bench recovery -- --receipts=10000 --minutes=120`: so many receipts of three tenants miss
//! their slices on one shard, the older half of them gone for good; and so many minutes without the stream function, 500
//! frames of one event a second on a shard. The functions' own code; a call of the table counts as 5 ms, of the bucket and
//! the stream as 20, and those that the code makes side by side share it.
#![allow(clippy::print_stdout)]

#[path = "support/figures.rs"]
mod figures;
#[path = "support/process.rs"]
mod process;
#[path = "support/sending.rs"]
mod sending;
#[path = "support/settings.rs"]
mod settings;

use serde_json::json;
use settings::{GRACE_SECONDS, RECEIPT_DAYS, WINDOW_MINUTES, WORK};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use vernier_fakes::{
    Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStores, MemoryStream, MemoryTable,
    MemoryTopic, Operation,
};
use vernier_ledger::access::Tenant;
use vernier_ledger::ids::{ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::limits::CLAIMS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Administration as _, NewRecord};
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Nonce, Owner};
use vernier_reconcile::process::Process;
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::stream_memory;
use vernier_tests::orchestra::{begin_lists, turn_of};

/// The bench's clock begins at 2026-09-01T00:00:00Z.
const BEGINNING: Millis = Millis(1_788_220_800_000);
const TENANTS: usize = 3;

/// Frames that come in during an outage and after it.
const FRAMES_PER_SECOND: f64 = 500.0;

/// Records of one batch of the trigger.
const BATCH_RECORDS: usize = 10_000;

/// A worker's turn ends at half of this, seconds.
const TURN_SECONDS: i64 = 600;

const TABLE_MICROS: u64 = 5_000;
const OTHER_MICROS: u64 = 20_000;

/// A ledger in memory, and what its calls would have taken.
struct Ledger {
    stores: MemoryStores,
    process: Process<MemoryTable>,
    tenants: Vec<TenantId>,
    calls_micros: Arc<AtomicU64>,
    /// When something was put on the stream first, simulated microseconds since the ledger began; 0 before that.
    appended_micros: Arc<AtomicU64>,
    began: Instant,
}

/// What one call adds to the time that passes.
const fn micros_of(operation: Operation) -> u64 {
    match operation {
        Operation::Claim => TABLE_MICROS / CLAIMS_IN_FLIGHT_MAX as u64,
        Operation::Append => OTHER_MICROS / 500,
        Operation::PutObject => OTHER_MICROS,
        // Of receipts, 16 at a time.
        Operation::Read => TABLE_MICROS / 16,
        _ => TABLE_MICROS,
    }
}

impl Ledger {
    async fn new() -> Self {
        let faults = Faults::default();
        let calls_micros = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&calls_micros);
        let appended_micros = Arc::new(AtomicU64::new(0));
        let (first, began) = (Arc::clone(&appended_micros), Instant::now());
        let stores = StoreSet {
            table: MemoryTable::new(faults.clone()),
            objects: MemoryBucket::new(faults.clone()),
            stream: MemoryStream::new(1, faults.clone()),
            notices: MemoryTopic::new(faults.clone()),
            key: MemoryKey::fixed(faults.clone()),
            queue: MemoryQueue::new(faults.clone()),
        };
        let ledger = Self {
            process: process::process(stores.table.clone(), 86_400),
            tenants: (0..TENANTS)
                .map(|n| format!("school-{n}").parse().expect("a name"))
                .collect(),
            stores,
            calls_micros,
            appended_micros,
            began,
        };
        let table = &ledger.stores.table;
        for id in &ledger.tenants {
            let tenant = Tenant::new(id.clone(), BEGINNING);
            assert_eq!(table.create_tenant(&tenant).await, Ok(true));
        }
        begin_lists(table, BEGINNING, Nonce::random).await;
        faults.plan(move |operation, _| {
            let calls = sum.fetch_add(micros_of(operation), Ordering::Relaxed);
            if operation == Operation::Append && first.load(Ordering::Relaxed) == 0 {
                let elapsed = u64::try_from(began.elapsed().as_micros()).unwrap_or(0);
                first.store(elapsed + calls, Ordering::Relaxed);
            }
            None
        });
        ledger
    }

    /// Simulated seconds since the ledger began.
    fn seconds(&self) -> f64 {
        let calls = self.calls_micros.load(Ordering::Relaxed);
        self.began.elapsed().as_secs_f64() + calls as f64 / 1e6
    }

    fn now(&self, since: Millis) -> Millis {
        Millis(since.0 + (self.seconds() * 1e3) as i64)
    }

    fn shard_records(&self) -> (Shard, Vec<(Sequence, NewRecord)>) {
        self.stores.stream.records().pop_first().expect("a shard")
    }

    /// The stream function takes some records at an instant.
    async fn take(&self, shard: &Shard, records: Vec<(Sequence, NewRecord)>, at: Millis) -> u64 {
        let memory = stream_memory(WINDOW_MINUTES, GRACE_SECONDS);
        let committing = vernier_stream::Committing {
            settings: vernier_stream::Settings::keeping(RECEIPT_DAYS),
            memory: &memory,
        };
        let record = |(sequence, record): (_, NewRecord)| vernier_stream::Record {
            sequence,
            data: record.data,
            arrived_at: None,
        };
        let records = records.into_iter().map(record).collect();
        let budget = Duration::from_secs(60);
        let taken =
            vernier_stream::process(&self.stores, committing, shard, records, || at, budget);
        taken.await.expect("committed").events
    }

    async fn turn(&self, owner: &Owner, since: Millis) -> vernier_reconcile::worker::Turn {
        let clock = || self.now(since);
        let deadline = clock().plus_seconds(TURN_SECONDS);
        let (stores, process) = (&self.stores, &self.process);
        self.stores.table.place_checkpoint(clock());
        let taken = turn_of(stores, process, &WORK, owner, &clock, deadline).await;
        taken.expect("its list is read")
    }
}

fn option(name: &str) -> Option<u32> {
    std::env::args().find_map(|argument| argument.strip_prefix(name)?.parse().ok())
}

/// Receipts of all tenants that miss their slices, the older half gone; figures of bringing the others back.
async fn missing_receipts(count: u32) -> serde_json::Value {
    let ledger = Ledger::new().await;
    let body = bytes(&events(1));
    for n in 0..count {
        let id = &ledger.tenants[n as usize % TENANTS];
        let at = Millis(BEGINNING.0 + i64::from(n) * 60);
        let receipt = ReceiptId::generate(at, 0);
        sending::send(&ledger.stores, id, receipt, RECEIPT_DAYS, &body).await;
    }
    // One more, which the stream function takes: its cursor is behind all others.
    let at = Millis(BEGINNING.0 + i64::from(count) * 60);
    let receipt = ReceiptId::generate(at, 0);
    sending::send(
        &ledger.stores,
        &ledger.tenants[0],
        receipt,
        RECEIPT_DAYS,
        &body,
    )
    .await;
    let (shard, mut records) = ledger.shard_records();
    let last = records.split_off(count as usize);
    ledger.take(&shard, last, at).await;
    let gone = count as usize / 2;
    ledger.stores.stream.trim(&shard, gone);
    let over = BEGINNING.plus_seconds(i64::from(WINDOW_MINUTES) * 60 + GRACE_SECONDS + 61);
    for id in &ledger.tenants {
        ledger.turn(&Owner::Tenant(id.clone()), over).await;
    }
    let before = ledger.seconds();
    ledger.appended_micros.store(0, Ordering::Relaxed);
    let (mut sent, mut passed) = (0, 0);
    while sent + passed < u64::from(count) {
        let turn = ledger.turn(&Owner::of_shard(&shard.id), over).await;
        let recovered = turn.recovered;
        assert!(recovered.sent_again + recovered.gone > 0, "{turn:?}");
        sent += recovered.sent_again;
        passed += recovered.gone;
    }
    assert_eq!(
        (sent, passed),
        (u64::from(count) - gone as u64, gone as u64)
    );
    let seconds = ledger.seconds() - before;
    let delay = ledger.appended_micros.load(Ordering::Relaxed) as f64 / 1e6 - before;
    let receipts_per_s = f64::from(count) / seconds;
    println!(
        "  {count} receipts of {TENANTS} tenants, {gone} gone for good in front: {sent} sent again in {seconds:.0} s ({receipts_per_s:.0} receipts/s), the first after {delay:.1} s"
    );
    json!({
        "receipts": count,
        "receipts_per_s": receipts_per_s,
        "gone_in_front_delay_s": delay,
    })
}

/// How long the stream function takes to catch up after so many minutes, seconds, with nothing lost.
async fn catch_up(minutes: u32) -> f64 {
    let ledger = Ledger::new().await;
    let away_seconds = f64::from(minutes) * 60.0;
    let (mut arrived, mut taken, mut stored) = (away_seconds * FRAMES_PER_SECOND, 0_u64, 0);
    let mut passed = 0.0;
    let body = bytes(&events(1));
    while arrived - taken as f64 >= FRAMES_PER_SECOND {
        let count = BATCH_RECORDS.min((arrived - taken as f64) as usize);
        for n in 0..count {
            let number = taken + n as u64;
            let at = Millis(BEGINNING.0 + (number as f64 / FRAMES_PER_SECOND * 1e3) as i64);
            let receipt = ReceiptId::generate(at, 0);
            let id = &ledger.tenants[n % TENANTS];
            sending::send(&ledger.stores, id, receipt, RECEIPT_DAYS, &body).await;
        }
        let (shard, records) = ledger.shard_records();
        let before = ledger.calls_micros.load(Ordering::Relaxed);
        let started = std::time::Instant::now();
        let at = BEGINNING.plus_seconds((away_seconds + passed) as i64);
        stored += ledger.take(&shard, records, at).await;
        let calls = ledger.calls_micros.load(Ordering::Relaxed) - before;
        let seconds = started.elapsed().as_secs_f64() + calls as f64 / 1e6;
        passed += seconds;
        arrived += seconds * FRAMES_PER_SECOND;
        taken += count as u64;
        // What is through is not kept in memory here.
        for description in ledger.stores.stream.shards() {
            ledger
                .stores
                .stream
                .trim(&description.shard, description.end);
        }
        ledger.stores.table.forget_receipts();
    }
    assert_eq!(stored, taken, "nothing is lost");
    println!(
        "  {minutes} minutes without the stream function at {FRAMES_PER_SECOND:.0} frames/s: caught up in {passed:.0} s, {stored} stored"
    );
    passed
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let Some(receipts) = option("--receipts=") else {
        println!("left out: --receipts says how many are missing");
        return;
    };
    let minutes = option("--minutes=").unwrap_or(120);
    let mut figures = missing_receipts(receipts).await;
    figures["away_minutes"] = json!(minutes);
    figures["catch_up_s"] = json!(catch_up(minutes).await);
    figures::write("recovery", &figures);
}
