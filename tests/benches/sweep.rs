//! What sweeping costs: how many commits' segments a second, and what a window of large events takes of the scratch
//! disk.
//!
//! `cargo bench -p vernier-tests --bench sweep`, with `-- --commits=20000` and `--large=700` events of 16 MB. Stores in
//! memory that count. The sweep's time is that of its own code and of its calls, one after the other but for those of
//! the commits' items, of which 16 are under way: each as long as `vernier cost` assumes (shared/cost/prices/assumptions.json), and a
//! quarter of a second for a request that removes up to 1,000 objects. Large events are made as they are read, and
//! parts are forgotten as they are written: only the disk is measured.
#![allow(clippy::print_stdout)]

#[path = "support/figures.rs"]
mod figures;
#[path = "support/process.rs"]
mod process;
#[path = "support/sending.rs"]
mod sending;
#[path = "support/settings.rs"]
mod settings;

use serde_json::{Value, json};
use settings::{GRACE_SECONDS, RECEIPT_DAYS, WINDOW_MINUTES, WORK};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vernier_cost::Rates;
use vernier_fakes::{
    Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStores, MemoryStream, MemoryTable,
    MemoryTopic, Operation,
};
use vernier_ledger::access::Tenant;
use vernier_ledger::block_item::{Listing as _, ListingMark};
use vernier_ledger::ids::{ReceiptId, Shard, TenantId};
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{
    Administration as _, Inventory, ListedObject, NotRemoved, Objects, PortError, PutOutcome,
    Removal,
};
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists as _};
use vernier_reconcile::process::Process;
use vernier_reconcile::scratch::{SCRATCH_BYTES_MAX, ScratchDisk};
use vernier_reconcile::sweeping::sweep_segments;
use vernier_tests::envelopes::{bytes, event, events};
use vernier_tests::memory::stream_memory;
use vernier_tests::orchestra::turn_of;

/// The bench's clock begins at 2026-09-01T00:00:00Z.
const BEGINNING: Millis = Millis(1_788_220_800_000);
const HOUR_MILLIS: i64 = 3_600_000;
const TENANTS: usize = 10;
const BUDGET: Duration = Duration::from_secs(60);

/// A request that removes many objects takes so long, seconds.
const REMOVAL_SECONDS: f64 = 0.25;

/// Text of a large event, bytes.
const LARGE_BYTES: usize = 16_000_000;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|a| a == "--bench");
    let given = |name: &str, usual: u64| {
        let of = format!("--{name}=");
        let found = std::env::args().find_map(|a| Some(a.strip_prefix(&of)?.to_owned()));
        found.map_or(usual, |text| text.parse().expect("a number"))
    };
    let commits = given("commits", if is_bench { 20_000 } else { 40 });
    let large = given("large", if is_bench { 700 } else { 2 });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let sweep = sweep(commits).await;
        let scratch = scratch(large).await;
        figures::write("sweep", &json!({ "sweep": sweep, "scratch": scratch }));
    });
}

/// A process and its stores.
struct World {
    faults: Faults,
    stores: MemoryStores,
    process: Process<MemoryTable>,
    tenants: Vec<TenantId>,
}

impl World {
    async fn new() -> Self {
        let faults = Faults::default();
        let stores = StoreSet {
            table: MemoryTable::new(faults.clone()),
            objects: MemoryBucket::new(faults.clone()),
            stream: MemoryStream::new(1, faults.clone()),
            notices: MemoryTopic::new(faults.clone()),
            key: MemoryKey::new(faults.clone()),
            queue: MemoryQueue::new(faults.clone()),
        };
        let tenants: Vec<TenantId> = (0..TENANTS)
            .map(|n| format!("school-{n}").parse().expect("a name"))
            .collect();
        for id in &tenants {
            let tenant = Tenant::new(id.clone(), BEGINNING);
            assert_eq!(stores.table.create_tenant(&tenant).await, Ok(true));
        }
        let mark = ListingMark {
            complete: true,
            seeded: true,
            ..ListingMark::beginning(BEGINNING)
        };
        let saved = stores.table.save_listing_mark(&mark).await;
        saved.expect("saved");
        let process = process::process(stores.table.clone(), 86_400);
        Self {
            faults,
            stores,
            process,
            tenants,
        }
    }

    /// Lets the stream function take what was sent since the last time, as one commit.
    async fn commit(&self, taken: &mut usize, at: Millis) {
        let memory = stream_memory(WINDOW_MINUTES, GRACE_SECONDS);
        let committing = vernier_stream::Committing {
            settings: vernier_stream::Settings::keeping(RECEIPT_DAYS),
            memory: &memory,
        };
        for (shard, records) in self.stores.stream.records() {
            let all = records.len();
            let new = records.into_iter().skip(*taken);
            let new = new.map(|(sequence, record)| vernier_stream::Record {
                sequence,
                data: record.data,
                arrived_at: None,
            });
            let (new, clock) = (new.collect(), || at.plus_seconds(1));
            let shard: &Shard = &shard;
            let done = vernier_stream::process(&self.stores, committing, shard, new, clock, BUDGET);
            done.await.expect("committed");
            *taken = all;
        }
    }
}

/// An hour of commits of ten tenants, two in each, all sealed, and then swept.
async fn sweep(commits: u64) -> Value {
    let world = World::new().await;
    let mut taken = 0;
    for n in 0..commits {
        let at = BEGINNING.0 + i64::try_from(n * HOUR_MILLIS.unsigned_abs() / commits).unwrap_or(0);
        world.stores.objects.set_clock(Millis(at));
        for of in 0..2 {
            let id = &world.tenants[(n as usize + of) % TENANTS];
            let receipt = ReceiptId::generate(Millis(at), 0);
            sending::send(&world.stores, id, receipt, RECEIPT_DAYS, &bytes(&events(1))).await;
        }
        world.commit(&mut taken, Millis(at)).await;
    }
    let sealed_at = Millis(BEGINNING.0 + 2 * HOUR_MILLIS);
    world.stores.table.place_checkpoint(sealed_at);
    for id in &world.tenants {
        let owner = Owner::Tenant(id.clone());
        let (stores, process) = (&world.stores, &world.process);
        let forever = Millis(i64::MAX);
        let turn = turn_of(stores, process, &WORK, &owner, &|| sealed_at, forever).await;
        assert_eq!(turn.map(|turn| (turn.failed, turn.left)), Ok((0, 0)));
    }
    let now = BEGINNING.plus_seconds(WORK.sweeping.segment_seconds + 2 * 3_600);
    world.faults.plan(|_, _| None);
    let started = Instant::now();
    let forever = Millis(i64::MAX);
    let swept = sweep_segments(&world.stores, WORK.sweeping, || now, forever).await;
    let own_seconds = started.elapsed().as_secs_f64();
    let swept = swept.expect("nothing fails");
    assert_eq!((swept.segments, swept.left), (commits, 0), "{swept:?}");
    let called = |operation| world.faults.calls(operation) as f64;
    let assumed = Rates::built_in().expect("sound").assumed;
    let wait_seconds = assumed.dynamodb_wait_ms.value.max(assumed.s3_wait_ms.value) / 1e3;
    let (reads, items) = (called(Operation::Read), commits as f64);
    let in_a_row = reads - items + items / READS_IN_FLIGHT_MAX as f64;
    let removals = called(Operation::RemoveObject);
    let seconds = own_seconds
        + (in_a_row + called(Operation::SaveSweep)) * wait_seconds
        + removals * REMOVAL_SECONDS;
    let rate = commits as f64 / seconds;
    println!(
        "sweeping {commits} commits: {reads} reads, {removals} removals, {own_seconds:.2} s of its own, {seconds:.1} s in all: {rate:.0} commits/s"
    );
    json!({
        "commits_per_s": rate,
        "own_us_per_commit": own_seconds * 1e6 / commits as f64,
        "reads_per_commit": reads / commits as f64,
        "removals": removals,
    })
}

/// Large events that are made as they are read, and parts that are forgotten as they are written; all else lies in memory.
#[derive(Clone)]
struct Endless {
    inner: MemoryBucket,
    /// By the key of a large event: its number.
    large: Arc<Mutex<HashMap<String, u64>>>,
    written: Arc<Mutex<u64>>,
}

impl Endless {
    /// Makes the large event of a number under a key from now on.
    fn expect(&self, key: String, number: u64) {
        let mut large = self.large.lock().expect("one thread");
        large.insert(key, number);
    }
}

/// A large event, the same for its number each time.
fn large_event(number: u64) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let text: String = (0..LARGE_BYTES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(LETTERS[(state >> 58) as usize])
        })
        .collect();
    let mut large = event();
    large["id"] = format!("urn:uuid:00000000-0000-4000-8000-{number:012}").into();
    large["extensions"] = json!({ "text": text });
    serde_json::to_vec(&large).expect("plain data")
}

/// The bytes of a range, offset and length; all where none is given.
fn part_of(mut bytes: Vec<u8>, range: Option<(u64, u64)>) -> Vec<u8> {
    if let Some((offset, length)) = range {
        let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
        let (start, end) = (place(offset), place(offset.saturating_add(length)));
        bytes = bytes[start..end].to_vec();
    }
    bytes
}

impl Objects for Endless {
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        note: Option<&str>,
    ) -> Result<PutOutcome, PortError> {
        let is_large = self.large.lock().expect("one thread").contains_key(key);
        if is_large || key.starts_with("archive/") {
            *self.written.lock().expect("one thread") += bytes.len() as u64;
            return Ok(PutOutcome::Created);
        }
        self.inner.put_new(key, bytes, note).await
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        let number = self.large.lock().expect("one thread").get(key).copied();
        match number {
            Some(number) => Ok(Some(part_of(large_event(number), range))),
            None => self.inner.get(key, range).await,
        }
    }
}

impl Inventory for Endless {
    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, PortError> {
        self.inner.listed(prefix, after).await
    }
}

impl Removal for Endless {
    async fn remove(&self, key: &str) -> Result<(), PortError> {
        self.inner.remove(key).await
    }

    async fn remove_all(&self, keys: &[String]) -> Result<Vec<NotRemoved>, PortError> {
        self.inner.remove_all(keys).await
    }
}

/// A window of so many large events, sealed on the template's disk.
async fn scratch(large: u64) -> Value {
    let world = World::new().await;
    let written = Arc::new(Mutex::new(0));
    let objects = Endless {
        inner: world.stores.objects.clone(),
        large: Arc::default(),
        written: Arc::clone(&written),
    };
    let stores = StoreSet {
        table: world.stores.table.clone(),
        objects: objects.clone(),
        stream: world.stores.stream.clone(),
        notices: world.stores.notices.clone(),
        key: world.stores.key.clone(),
        queue: world.stores.queue.clone(),
    };
    let id = &world.tenants[0];
    let (date, _) = BEGINNING.date_and_hour();
    for number in 0..large {
        let receipt = ReceiptId::generate(BEGINNING, 0);
        let key = format!("oversize/dt={date}/{id}/{receipt}/0.json");
        objects.expect(key, number);
        let event = serde_json::from_slice(&large_event(number)).expect("JSON");
        sending::send(&stores, id, receipt, RECEIPT_DAYS, &bytes(&[event])).await;
    }
    *written.lock().expect("one thread") = 0;
    world.commit(&mut 0, BEGINNING.plus_seconds(60)).await;
    let mut process = world.process;
    let disk = ScratchDisk::new(std::env::temp_dir(), SCRATCH_BYTES_MAX);
    process.workshop.scratch = disk;
    let now = BEGINNING.plus_seconds(3_600);
    stores.table.place_checkpoint(now);
    let owner = Owner::Tenant(id.clone());
    let key = WorkKey::at(Cause::Close, BEGINNING);
    let entry = WorkEntry::new(key, BEGINNING, Nonce::random());
    stores.table.put_work(&owner, &entry).await.expect("put");
    let started = Instant::now();
    let forever = Millis(i64::MAX);
    let turn = turn_of(&stores, &process, &WORK, &owner, &|| now, forever).await;
    let seconds = started.elapsed().as_secs_f64();
    let turn = turn.expect("its list is read");
    assert_eq!((turn.sealed.events, turn.failed), (large, 0), "{turn:?}");
    let peak = process.workshop.scratch.bytes().peak_bytes();
    let archived = *written.lock().expect("one thread");
    println!(
        "sealing {large} events of 16 MB: {:.1} MiB of scratch at most, {:.0} MiB of parts, {seconds:.1} s",
        mib(peak),
        mib(archived)
    );
    json!({ "events": large, "peak_mib": mib(peak), "parts_mib": mib(archived), "seconds": seconds })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
