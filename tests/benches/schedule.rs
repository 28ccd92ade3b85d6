//! What reconcile's schedule costs where nothing is wrong: requests and units of each minute's planner and of the
//! workers that it nudges, with as many commits as the stream function makes at its batch
//! window, however few events they hold.
//!
//! `cargo bench -p vernier-tests --bench schedule`, and with `-- --hours=8` as many hours. The function's
//! own code over the SDK, against the counting endpoints; the clock is the bench's. Playbacks are left
//! out: one read unit a run where there is none.
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
use settings::RECEIPT_DAYS;
use std::collections::BTreeMap;
use vernier_aws::{Bucket, KinesisStream, Table};
use vernier_fakes::{Faults, MemoryKey, MemoryQueue, MemoryTopic, Operation};
use vernier_ledger::access::Tenant;
use vernier_ledger::ids::{Lane, ReceiptId, Shard};
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::Administration as _;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_reconcile::compaction::Compacting;
use vernier_reconcile::process::{Process, WorkSettings};
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::orchestra::{begin_lists, work_until_rest};
use vernier_tests::stub::{self, Counts, Stub, load};

/// 2026-09-01T00:00:00Z.
const BEGINNING: Millis = Millis(1_788_220_800_000);

const WORK: WorkSettings = WorkSettings {
    compacting: Compacting {
        compact_after_seconds: 6 * 3_600,
        ..settings::WORK.compacting
    },
    ..settings::WORK
};

/// Parts are swept an hour after their seals: from here on all hours are alike.
const HOURS_UNTIL_STEADY: u32 = 2;

const LANES: u16 = 4;
const EVENTS_PER_COMMIT: usize = 4;

/// So that blocks of so few events have a filter each, as those of the reference load have.
const SETTINGS: vernier_stream::Settings = vernier_stream::Settings {
    receipt_days: RECEIPT_DAYS,
    chunk_bytes: 1_024,
};

struct School {
    stub: Stub,
    table: Table,
    bucket: Bucket,
    stream: KinesisStream,
    tenant: Tenant,
    shard: Shard,
    commits: u64,
}

impl School {
    async fn new() -> Self {
        let stub = Stub::start([]);
        let config = stub::config_of(&stub).await;
        let school = Self {
            table: Table::new(&config, "bench"),
            bucket: Bucket::new(&config, "bench"),
            stream: KinesisStream::new(&config, "bench"),
            tenant: Tenant {
                lanes: LANES,
                ..Tenant::new("school".parse().expect("a name"), BEGINNING)
            },
            shard: Shard::new("bench", "shardId-000000000000").expect("a shard's name"),
            stub,
            commits: 0,
        };
        let created = school.table.create_tenant(&school.tenant).await;
        assert_eq!(created, Ok(true));
        begin_lists(&school.table, BEGINNING, Nonce::random).await;
        school
    }

    /// One envelope, and the batch that commits it a moment later.
    async fn commit(&mut self, at: Millis) {
        let lane = u8::try_from(self.commits % u64::from(LANES)).expect("a byte");
        let receipt = ReceiptId::generate(at, Lane::from(lane));
        self.commits += 1;
        let body = bytes(&events(EVENTS_PER_COMMIT));
        let stores =
            StoreSet::new(self.table.clone(), self.bucket.clone()).with_stream(self.stream.clone());
        sending::send(&stores, &self.tenant.id, receipt, RECEIPT_DAYS, &body).await;
        committing::commit(&self.stub, &stores, &self.shard, SETTINGS, at).await;
    }

    /// What planner and workers do each minute.
    async fn run(
        &self,
        stores: &StoreSet<Table, Bucket, KinesisStream, MemoryTopic, MemoryKey, MemoryQueue>,
        process: &Process<Table>,
        now: Millis,
    ) -> u32 {
        let turn = work_until_rest(stores, process, &WORK, &|| now).await;
        let turn = turn.expect("lists are read");
        assert_eq!((turn.failed, turn.sealed.held), (0, 0), "{turn:?}");
        turn.sealed.sealed
    }
}

/// Processor time of this thread, on which all of the function's code runs, seconds.
fn thread_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|a| a == "--bench");
    let asked = std::env::args().find_map(|a| a.strip_prefix("--hours=")?.parse::<u32>().ok());
    let (steady, hours) = match is_bench {
        true => (
            HOURS_UNTIL_STEADY,
            asked.unwrap_or(6).max(HOURS_UNTIL_STEADY + 1),
        ),
        false => (0, 1),
    };
    let mut school = School::new().await;
    let faults = Faults::default();
    let stores = StoreSet {
        table: school.table.clone(),
        objects: school.bucket.clone(),
        stream: school.stream.clone(),
        notices: MemoryTopic::new(faults.clone()),
        key: MemoryKey::new(faults.clone()),
        queue: MemoryQueue::new(faults.clone()),
    };
    let mut process = process::process(school.table.clone(), 86_400);
    process.workshop.threads = 1;
    let step = load::BATCH_WINDOW_SECONDS as i64;
    let (mut counts, mut commits) = (Counts::default(), Counts::default());
    let (mut seconds, mut seals, mut signatures, mut nudges) = (0.0, 0, 0, 0);
    for minute in 0..i64::from(hours) * 60 {
        let start = BEGINNING.plus_seconds(minute * 60);
        for second in (0..60).step_by(usize::try_from(step).unwrap_or(5)) {
            school.commit(start.plus_seconds(second)).await;
        }
        let is_measured = minute >= i64::from(steady) * 60;
        let committed = school.stub.take_counts();
        let signed = faults.calls(Operation::Sign);
        let nudged = faults.calls(Operation::SendNudge);
        let before = thread_seconds();
        let sealed = school.run(&stores, &process, start.plus_seconds(60)).await;
        if is_measured {
            seconds += thread_seconds() - before;
            seals += sealed;
            signatures += faults.calls(Operation::Sign) - signed;
            nudges += faults.calls(Operation::SendNudge) - nudged;
            counts.add(&school.stub.take_counts());
            commits.add(&committed);
        }
    }
    let runs = f64::from((hours - steady) * 60);
    show(&counts, runs, seconds, seals);
    let mut figures = result(&counts, runs, seconds, seals, signatures);
    figures["turns_per_run"] = json!(nudges as f64 / runs);
    figures["commit"] = of_commits(&commits);
    println!("  a commit: {}", figures["commit"]);
    figures::write("schedule", &figures);
}

/// Units of one commit, whatever it holds: the transaction's items, and the cursor that is read before it.
fn of_commits(counts: &Counts) -> Value {
    let commits = counts.calls("GetItem", "cursor").max(1) as f64;
    let sum = |units: &BTreeMap<String, u64>| {
        let of = ["cursor", "records", "blocks"];
        let units = of.map(|family| units.get(family).copied().unwrap_or(0));
        units.iter().sum::<u64>() as f64 / commits
    };
    json!({
        "write_units": sum(&counts.write_units),
        "read_units": sum(&counts.read_units),
    })
}

fn show(counts: &Counts, runs: f64, seconds: f64, seals: u32) {
    println!("{runs} runs, one a minute, {seals} windows sealed in them");
    println!("  {:8.2} ms of processor time a run", seconds * 1e3 / runs);
    for (kind, n) in &counts.calls {
        let what = format!("{} {}", kind.operation, kind.of);
        println!("  {what:36} {:8.2} a run", *n as f64 / runs);
    }
}

/// Units and requests of a run; of receipts how often each is read, since a run's units depend on how
/// many there are.
fn result(counts: &Counts, runs: f64, seconds: f64, seals: u32, signatures: u64) -> Value {
    let per_run = |n: u64| n as f64 / runs;
    let receipts = counts.calls("Query", "receipts");
    let other_reads = |(of, _): &(&String, &u64)| of.as_str() != "receipts";
    let read: u64 = counts
        .read_units
        .iter()
        .filter(other_reads)
        .map(|(_, n)| n)
        .sum();
    // Queries, and the items that the check of the shards looks at, are asked for at the same time.
    let items = counts.calls("GetItem", "blocks");
    let at_once = counts.calls("Query", "") + items;
    let table_waits = at_once as f64 / READS_IN_FLIGHT_MAX as f64
        + (counts.calls("GetItem", "") - items + counts.calls("PutItem", "")) as f64
        + (counts.calls("DeleteItem", "") + counts.calls("TransactWriteItems", "")) as f64;
    let bucket_waits = counts.gets as f64 / READS_IN_FLIGHT_MAX as f64 + counts.puts as f64;
    let calls: Map<String, Value> = counts
        .calls
        .iter()
        .map(|(kind, n)| {
            (
                format!("{} {}", kind.operation, kind.of),
                json!(per_run(*n)),
            )
        })
        .collect();
    json!({
        "runs": runs,
        "cpu_ms_per_run": seconds * 1e3 / runs,
        "windows_sealed_per_run": f64::from(seals) / runs,
        "signatures_per_run": per_run(signatures),
        "calls_per_run": calls,
        "read_units_per_run": per_run(read),
        "read_units_of": counts.read_units,
        "receipt_queries_per_run": per_run(receipts),
        // One query for each minute and lane is one pass.
        "receipt_passes": per_run(receipts) / f64::from(LANES),
        "write_units_per_run": per_run(counts.write_units.values().sum()),
        "gets_per_run": per_run(counts.gets),
        "puts_per_run": per_run(counts.puts),
        "io_waits_per_run": { "dynamodb": table_waits / runs, "s3": bucket_waits / runs, "kms": per_run(signatures) },
    })
}
