//! What a tenant whose window never adds up costs everybody else: read units of a run beside fifty tenants that are busy,
//! on the first day of the trouble and a month later.
//!
//! `cargo bench -p vernier-tests --bench held -- --others=50 --days=30`. The function's own code over the SDK, against the
//! counting endpoints; the clock is the bench's, and goes on during a run as long as the run takes.
//!
//! Thirty days are played in coarse steps, or they would be five million commits. On the first day and on the last, the
//! hour of a window is played in full: two commits a second, of one tenant after the other, also of the one in trouble.
//! On the days between, each tenant commits once, so that its chain, its days and its lists go on. The planner and all
//! workers that it nudges run each hour from beginning to end, because a window that is held is tried once an hour, and so
//! whatever grows with the age of the trouble grows as it would in a real month.
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
use std::cell::Cell;
use std::time::{Duration, Instant};
use vernier_aws::{Bucket, Table};
use vernier_fakes::{Faults, MemoryKey, MemoryQueue, MemoryStream, MemoryTopic};
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::SealKind;
use vernier_ledger::holds::Holds as _;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::ports::{Administration as _, Chains as _};
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_reconcile::process::Process;
use vernier_reconcile::worker::Turn;
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::stream_memory;
use vernier_tests::orchestra::{begin_lists, work_until_rest};
use vernier_tests::stub::{self, Stub};

/// The bench's clock begins at 2026-09-01T00:00:00Z.
const BEGINNING: Millis = Millis(1_788_220_800_000);
const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;

/// Commits of all tenants together while a window is measured.
const COMMITS_PER_SECOND: i64 = 2;

/// The hour of the day in which a window is measured.
const MEASURED_HOUR: i64 = 22;

/// The hour of each day in which every tenant commits once.
const USUAL_HOUR: i64 = 9;

/// How far the second figure may be from the first.
const DEVIATION_MAX: f64 = 0.1;

type Stores = StoreSet<Table, Bucket, MemoryStream, MemoryTopic, MemoryKey, MemoryQueue>;

/// A ledger on counting endpoints. Its first tenant is the one in trouble.
struct Ledger {
    stub: Stub,
    stores: Stores,
    process: Process<Table>,
    tenants: Vec<TenantId>,
    /// The instant that the bench has come to.
    at: Cell<Millis>,
}

/// What a run after a measured window cost, and how late the others' seals were.
#[derive(Debug, Clone, Copy)]
struct Measured {
    read_units: u64,
    seal_lag_s: f64,
}

impl Ledger {
    async fn new(others: usize) -> Self {
        let stub = Stub::start([]);
        let config = stub::config_of(&stub).await;
        let faults = Faults::default();
        let stores = StoreSet {
            table: Table::new(&config, "bench"),
            objects: Bucket::new(&config, "bench"),
            stream: MemoryStream::new(1, faults.clone()),
            notices: MemoryTopic::new(faults.clone()),
            key: MemoryKey::new(faults.clone()),
            queue: MemoryQueue::new(faults),
        };
        // The hold does not end: that is the trouble.
        let mut process = process::process(stores.table.clone(), 400 * DAY_SECONDS);
        process.workshop.threads = 1;
        let tenants: Vec<TenantId> = (0..=others)
            .map(|n| format!("school-{n}").parse().expect("a name"))
            .collect();
        for id in &tenants {
            let tenant = Tenant::new(id.clone(), BEGINNING);
            assert_eq!(stores.table.create_tenant(&tenant).await, Ok(true));
        }
        begin_lists(&stores.table, BEGINNING, Nonce::random).await;
        Self {
            stub,
            stores,
            process,
            tenants,
            at: Cell::new(BEGINNING),
        }
    }

    async fn send(&self, id: &TenantId, at: Millis) {
        let body = bytes(&events(4));
        let receipt = ReceiptId::generate(at, 0);
        sending::send(&self.stores, id, receipt, RECEIPT_DAYS, &body).await;
    }

    /// The stream function takes what is on the stream a second later, and the stream forgets it.
    async fn take(&self, at: Millis) {
        let memory = stream_memory(WINDOW_MINUTES, GRACE_SECONDS);
        let committing = vernier_stream::Committing {
            settings: vernier_stream::Settings::keeping(RECEIPT_DAYS),
            memory: &memory,
        };
        let (shard, records) = self.stores.stream.records().pop_first().expect("a shard");
        let records = records
            .into_iter()
            .map(|(sequence, record)| vernier_stream::Record {
                sequence,
                data: record.data,
                arrived_at: None,
            });
        let (records, clock) = (records.collect(), || at.plus_seconds(1));
        let budget = Duration::from_secs(60);
        let done =
            vernier_stream::process(&self.stores, committing, &shard, records, clock, budget);
        done.await.expect("committed");
        self.forget();
    }

    /// The stream keeps nothing of what it has.
    fn forget(&self) {
        for description in self.stores.stream.shards() {
            let (shard, end) = (&description.shard, description.end);
            self.stores.stream.trim(shard, end);
        }
    }

    /// Every tenant commits once, in one batch, at an instant.
    async fn commit_each(&self, at: Millis) {
        for id in &self.tenants {
            self.send(id, at).await;
        }
        self.take(at).await;
    }

    /// Planner and workers, at an instant, until nothing is due.
    async fn run(&self, at: Millis) -> Turn {
        let started = Instant::now();
        let clock = || {
            let millis = i64::try_from(started.elapsed().as_millis()).unwrap_or(0);
            Millis(at.0 + millis)
        };
        self.at.set(at);
        let worked = work_until_rest(&self.stores, &self.process, &WORK, &clock).await;
        let turn = worked.expect("lists are read");
        assert_eq!(turn.failed, 0, "{turn:?}");
        turn
    }

    /// Runs each hour until an instant.
    async fn run_until(&self, end: Millis) {
        while self.at.get().plus_seconds(HOUR_SECONDS) <= end {
            self.run(self.at.get().plus_seconds(HOUR_SECONDS)).await;
        }
    }

    /// A window with commits for so many seconds, and what the run costs that seals it.
    async fn measured(&self, start: Millis, seconds: i64) -> Measured {
        let commits = seconds * COMMITS_PER_SECOND;
        let mut ids = self.tenants.iter().cycle();
        for commit in 0..commits {
            let at = Millis(start.0 + commit * 1_000 / COMMITS_PER_SECOND);
            let id = ids.next().expect("there are tenants");
            self.send(id, at).await;
            self.take(at).await;
        }
        let end = start.plus_seconds(i64::from(WINDOW_MINUTES) * 60);
        let _ = self.stub.take_counts();
        // Closings are spread over a minute.
        self.run(end.plus_seconds(GRACE_SECONDS + 61)).await;
        let read_units = self.stub.take_counts().read_units.values().sum();
        let mut seal_lag_s: f64 = 0.0;
        for id in &self.tenants[1..] {
            let seals = self.stores.table.seals(id, start, end).await.expect("read");
            let own = seals.iter().filter(|seal| seal.kind == SealKind::Window);
            let sealed = own.map(|seal| (seal.sealed_at.0 - end.0) as f64 / 1e3);
            seal_lag_s = sealed.fold(seal_lag_s, f64::max);
        }
        Measured {
            read_units,
            seal_lag_s,
        }
    }
}

fn option(name: &str, usual: i64) -> i64 {
    let given = std::env::args().find_map(|argument| argument.strip_prefix(name)?.parse().ok());
    given.unwrap_or(usual)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|a| a == "--bench");
    let usually = |of_bench, of_test| if is_bench { of_bench } else { of_test };
    let others = option("--others=", usually(50, 3));
    let days = option("--days=", usually(30, 3));
    let seconds = option("--seconds=", usually(i64::from(WINDOW_MINUTES) * 60, 20));
    let ledger = Ledger::new(usize::try_from(others).unwrap_or(1)).await;
    // What never adds up: the first envelope of the first tenant, which the stream forgets before anybody takes it.
    ledger.send(&ledger.tenants[0], BEGINNING).await;
    ledger.forget();
    let mut figures = Vec::new();
    for day in 0..days {
        let start = BEGINNING.plus_seconds(day * DAY_SECONDS);
        ledger
            .run_until(start.plus_seconds(USUAL_HOUR * HOUR_SECONDS))
            .await;
        ledger
            .commit_each(start.plus_seconds(USUAL_HOUR * HOUR_SECONDS + 60))
            .await;
        let hour = start.plus_seconds(MEASURED_HOUR * HOUR_SECONDS);
        ledger.run_until(hour).await;
        if day == 0 || day == days - 1 {
            figures.push(ledger.measured(hour, seconds).await);
        }
    }
    let trouble = &ledger.tenants[0];
    let held = ledger.stores.table.held_items(trouble).await.expect("read");
    assert_eq!(held.len(), 1, "its first window is held");
    let (first, last) = (figures[0], figures[figures.len() - 1]);
    let ratio = last.read_units as f64 / first.read_units as f64;
    println!(
        "one tenant in trouble beside {others}: {} read units a run on day 1 and {} on day {days} ({ratio:.3}); the others' last seal after {:.1} and {:.1} s",
        first.read_units, last.read_units, first.seal_lag_s, last.seal_lag_s
    );
    assert!((ratio - 1.0).abs() <= DEVIATION_MAX, "{ratio}");
    figures::write(
        "held",
        &json!({
            "others": others,
            "days": days,
            "units_per_run_day1": first.read_units,
            "units_per_run_day30": last.read_units,
            "seal_lag_day1_s": first.seal_lag_s,
            "seal_lag_day30_s": last.seal_lag_s,
        }),
    );
}
