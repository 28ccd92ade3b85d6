//! Sealing over the fakes: with a clock of its own, crashes, faults, two at once.

use super::compaction::COMPACTING;
use super::ends_within;
use super::sweeping::SWEEPING;
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;
use vernier_archive::files::Memory;
use vernier_archive::seal::Seal;
use vernier_archive::verify::{Options, Report, verify};
use vernier_fakes::{
    Fault, Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStores, MemoryStream, MemoryTable,
    MemoryTopic, Operation,
};
use vernier_intake::{OpenWindows, Outgoing, Sending, SpreadKeeper};
use vernier_ledger::access::{Identity, Tenant, TokenInfo};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::EnvelopeLines;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::CHUNK_LINES_BYTES;
use vernier_ledger::ports::{Administration, Chains, PortError};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Nonce, Owner};
use vernier_reconcile::ReceiptDays;
use vernier_reconcile::process::{Process, WorkSettings};
use vernier_reconcile::sealing::{SealSummary, SealingTimes, Workshop};
use vernier_reconcile::worker::Turn;
use vernier_stream::ProcessMemory;
use vernier_tests::envelopes::{bytes, event, event_with_id, events, invalid_event};
use vernier_tests::memory::{open_windows, stream_memory};
use vernier_tests::orchestra::{turn_of, work_until_rest};

pub(super) const BEGINNING: Millis = Millis(1_788_254_100_000);
pub(super) const HOLD_SECONDS: i64 = 3600;
pub(super) const SETTINGS: vernier_reconcile::Settings = vernier_reconcile::Settings {
    window_minutes: 1,
    grace_seconds: 30,
};
const BUDGET: Duration = Duration::from_secs(5);

/// A tenant's school over fakes, with a clock that only tests move.
pub(super) struct School {
    pub(super) faults: Faults,
    pub(super) bucket: MemoryBucket,
    pub(super) key: MemoryKey,
    pub(super) topic: MemoryTopic,
    pub(super) table: MemoryTable,
    pub(super) stream: MemoryStream,
    pub(super) stores: MemoryStores,
    pub(super) process: Process<MemoryTable>,
    pub(super) tenant: Tenant,
    pub(super) clock: Cell<Millis>,
    receipts: Cell<u8>,
    pub(super) windows: OpenWindows,
    pub(super) memory: ProcessMemory,
}

impl School {
    pub(super) async fn new() -> Self {
        Self::since(BEGINNING).await
    }

    /// Whose first window begins then.
    pub(super) async fn since(beginning: Millis) -> Self {
        let faults = Faults::default();
        let table = MemoryTable::new(faults.clone());
        let bucket = MemoryBucket::new(faults.clone());
        let topic = MemoryTopic::new(faults.clone());
        let key = MemoryKey::new(faults.clone());
        let stream = MemoryStream::new(1, faults.clone());
        let tenant = Tenant {
            created_at: beginning,
            ..tenant("school")
        };
        assert_eq!(table.create_tenant(&tenant).await, Ok(true));
        Self {
            stores: MemoryStores {
                table: table.clone(),
                objects: bucket.clone(),
                stream: stream.clone(),
                notices: topic.clone(),
                key: key.clone(),
                queue: MemoryQueue::new(faults.clone()),
            },
            process: process(&table),
            stream,
            faults,
            bucket,
            key,
            topic,
            table,
            tenant,
            clock: Cell::new(beginning),
            receipts: Cell::new(0),
            windows: open_windows(SETTINGS.window_minutes, SETTINGS.grace_seconds),
            memory: stream_memory(SETTINGS.window_minutes, SETTINGS.grace_seconds),
        }
    }

    pub(super) fn pass(&self, seconds: i64) {
        self.clock.set(self.clock.get().plus_seconds(seconds));
        self.bucket.set_clock(self.clock.get());
        self.stores.queue.set_clock(self.clock.get());
    }

    pub(super) fn identity(&self) -> Identity {
        identity(&self.tenant)
    }

    /// Sends an envelope under a receipt that does not depend on chance.
    pub(super) async fn post(&self, events: &[Value]) -> ReceiptId {
        self.post_at(self.clock.get(), events).await
    }

    /// Sends an envelope whose receipt is of the beginning: its window may be sealed.
    pub(super) async fn post_late(&self, events: &[Value]) -> ReceiptId {
        self.post_at(BEGINNING, events).await
    }

    pub(super) async fn post_at(&self, at: Millis, events: &[Value]) -> ReceiptId {
        let (receipt, accepted) = self.send_at(at, &bytes(events)).await;
        assert!(accepted, "acknowledged");
        receipt
    }

    /// Sends an envelope as it is.
    pub(super) async fn post_bytes(&self, body: &[u8]) -> ReceiptId {
        let (receipt, accepted) = self.send_at(self.clock.get(), body).await;
        assert!(accepted, "acknowledged");
        receipt
    }

    /// Sends an envelope that gets no answer.
    pub(super) async fn post_refused(&self, events: &[Value]) -> ReceiptId {
        let (receipt, accepted) = self.send_at(self.clock.get(), &bytes(events)).await;
        assert!(!accepted, "no answer");
        receipt
    }

    /// A receipt that no other envelope has.
    pub(super) fn new_receipt(&self, at: Millis) -> ReceiptId {
        self.receipts.set(self.receipts.get() + 1);
        ReceiptId::from_parts(at, 0, [self.receipts.get(); 8])
    }

    fn sending<'a>(&'a self, spreads: &'a SpreadKeeper) -> Sending<'a, impl Fn() -> Millis> {
        Sending {
            settings: vernier_intake::Settings { receipt_days: 30 },
            windows: &self.windows,
            spreads,
            new_salt_key: SaltKey::random,
            clock: || self.clock.get(),
            budget: BUDGET,
        }
    }

    /// Sends a body under a receipt of an instant; whether it was acknowledged.
    async fn send_at(&self, at: Millis, body: &[u8]) -> (ReceiptId, bool) {
        let receipt = self.new_receipt(at);
        let (stores, identity) = (&self.stores, identity(&self.tenant));
        let spreads = SpreadKeeper::default();
        let sending = self.sending(&spreads);
        let accepted = vernier_intake::accept(stores, sending, &identity, None, body, receipt);
        (receipt, accepted.await.is_ok())
    }

    /// Sends an envelope whose lines were made already.
    pub(super) async fn post_lines(&self, receipt: ReceiptId, lines: EnvelopeLines) {
        let spreads = SpreadKeeper::default();
        let outgoing = Outgoing {
            tenant: &self.tenant,
            sensor: "s",
            receipt,
            body_sha256: Fingerprint::of(&lines.text).0,
            body_bytes: lines.text.len() as u64,
            lines,
            oversize: Vec::new(),
        };
        let sent = vernier_intake::send(&self.stores, self.sending(&spreads), outgoing).await;
        sent.expect("acknowledged");
    }

    /// Lets the stream function take all records but some.
    pub(super) async fn deliver_but(&self, lost: &[usize]) {
        // Blocks in chunks and in one piece, as time goes by.
        let chunk_bytes = match self.clock.get().0 / 1_000 % 3 {
            0 => CHUNK_LINES_BYTES,
            _ => 1_024,
        };
        let committing = vernier_stream::Committing {
            settings: vernier_stream::Settings {
                receipt_days: 30,
                chunk_bytes,
            },
            memory: &self.memory,
        };
        for (shard, records) in self.stream.records() {
            let left = records.into_iter().enumerate();
            let left = left.filter(|(n, _)| !lost.contains(n));
            let records = left.map(|(_, (sequence, record))| vernier_stream::Record {
                sequence,
                data: record.data,
                arrived_at: None,
            });
            let records = records.collect();
            let clock = || self.clock.get();
            vernier_stream::process(&self.stores, committing, &shard, records, clock, BUDGET)
                .await
                .expect("committed");
        }
    }

    pub(super) async fn deliver(&self) {
        self.deliver_but(&[]).await;
    }

    pub(super) fn owner(&self) -> Owner {
        Owner::Tenant(self.tenant.id.clone())
    }

    /// One turn of the tenant's, by a process.
    pub(super) async fn turn_with(
        &self,
        process: &Process<MemoryTable>,
    ) -> Result<Turn, PortError> {
        let (stores, clock) = (&self.stores, || self.clock.get());
        let (owner, forever) = (self.owner(), Millis(i64::MAX));
        // The planner writes one each minute.
        self.table.place_checkpoint(self.clock.get());
        turn_of(stores, process, &WORK, &owner, &clock, forever).await
    }

    /// One turn of the tenant's, in which nothing fails.
    pub(super) async fn turn(&self) -> Turn {
        let turn = self
            .turn_with(&self.process)
            .await
            .expect("its list is read");
        assert_eq!((turn.failed, turn.left), (0, 0), "{turn:?}");
        turn
    }

    /// One turn of the tenant's filters, whatever comes of it.
    pub(super) async fn turn_of_filters(&self) -> Turn {
        let (stores, process) = (&self.stores, &self.process);
        let owner = Owner::of_filters(&self.tenant.id);
        let (clock, forever) = (|| self.clock.get(), Millis(i64::MAX));
        let turn = turn_of(stores, process, &WORK, &owner, &clock, forever).await;
        turn.expect("its list is read")
    }

    /// One turn of the tenant's filters, in which nothing fails.
    pub(super) async fn roll_up(&self) -> Turn {
        let turn = self.turn_of_filters().await;
        assert_eq!((turn.failed, turn.left), (0, 0), "{turn:?}");
        turn
    }

    /// What one turn seals.
    pub(super) async fn seal(&self) -> SealSummary {
        self.turn().await.sealed
    }

    /// Planner and workers, until nothing is due.
    pub(super) async fn work(&self) -> Turn {
        let clock = || self.clock.get();
        let worked = work_until_rest(&self.stores, &self.process, &WORK, &clock).await;
        worked.expect("lists are read")
    }

    pub(super) fn archive(&self) -> Memory {
        let memory = Memory::default();
        for prefix in [
            "archive/",
            "exceptions/",
            "evidence/",
            "missing/",
            "days/",
            "lists/",
            "seals/",
        ] {
            for key in self.bucket.keys(prefix) {
                let bytes = self.bucket.raw(&key).expect("listed");
                memory.put(key, bytes);
            }
        }
        memory
    }

    pub(super) fn report(&self) -> Report {
        let keys = [self.key.public().clone()];
        let options = Options {
            all: true,
            ..Options::default()
        };
        verify(&self.archive(), &keys, &options, &|_| {}).expect("reads")
    }

    /// Sound, and this many stored, duplicate, conflict and rejected.
    pub(super) fn assert_sealed(&self, counts: [u64; 4]) {
        let report = self.report();
        assert_eq!(report.findings, []);
        let c = report.counts;
        assert_eq!([c.stored, c.duplicate, c.conflict, c.rejected], counts);
    }

    pub(super) fn seals(&self) -> Vec<Seal> {
        let keys = self.bucket.keys("seals/");
        let read = |key: &String| Seal::read(&self.bucket.raw(key).expect("listed"));
        keys.iter().map(|k| read(k).expect("a seal")).collect()
    }

    /// Three minutes: every disposition, two of them against an earlier window.
    pub(super) async fn three_windows(&self) {
        let again = event_with_id("urn:uuid:00000000-0000-4000-8000-000000000001");
        let mut other = again.clone();
        other["eventTime"] = "2026-11-20T10:15:02.000Z".into();
        let mut first = events(3);
        first.extend([again.clone(), invalid_event(), again.clone()]);
        self.post(&first).await;
        self.pass(60);
        self.post(&[event(), again.clone(), other]).await;
        self.pass(60);
        self.post(&[again]).await;
        self.deliver().await;
        self.pass(120);
    }
}

/// What [`School::three_windows`] comes to.
pub(super) const THREE_WINDOWS: [u64; 4] = [5, 3, 1, 1];

pub(super) fn tenant(name: &str) -> Tenant {
    Tenant::new(name.parse().expect("a tenant's name"), BEGINNING)
}

pub(super) fn identity(tenant: &Tenant) -> Identity {
    Identity {
        token: TokenInfo {
            token_id: "000000000000".into(),
            tenant: tenant.id.clone(),
            sensor: "https://school.example/sensors/1".into(),
            scopes: Vec::new(),
            learner: None,
            label: None,
            created_at: BEGINNING,
            revoked_at: None,
        },
        tenant: tenant.clone(),
        signing_key: [0; 32],
    }
}

/// Settings of planner and workers.
pub(super) const WORK: WorkSettings = WorkSettings {
    windows: SETTINGS,
    receipt_days: ReceiptDays(30),
    compacting: COMPACTING,
    sweeping: SWEEPING,
    paused: false,
};

/// A process that knows nothing yet.
pub(super) fn process(table: &MemoryTable) -> Process<MemoryTable> {
    let times = SealingTimes {
        lookback_seconds: 24 * 3600,
        hold_seconds: HOLD_SECONDS,
    };
    Process {
        workshop: Workshop::new(std::env::temp_dir(), times),
        schemas: SchemaCache::new(table.clone(), Duration::ZERO),
        new_receipt: Spread::new_receipt,
        new_salt_key: SaltKey::random,
        spreads: SpreadKeeper::default(),
        new_nonce: Nonce::random,
        windows: open_windows(SETTINGS.window_minutes, SETTINGS.grace_seconds),
    }
}

#[tokio::test]
async fn windows_that_add_up_are_sealed_in_order() {
    let school = School::new().await;
    school.three_windows().await;
    let summary = school.seal().await;
    assert_eq!((summary.sealed, summary.events), (3, 10), "{summary:?}");
    assert_eq!(summary.held, 0);
    school.assert_sealed(THREE_WINDOWS);
    let again = school.seal().await;
    assert_eq!((again.sealed, again.backfills), (0, 0));
    let id: TenantId = school.tenant.id.clone();
    let head = school.table.chain(&id).await.expect("reads").expect("one");
    assert_eq!(head.sequence, 3);
    let entries = school.table.seals(&id, Millis(0), Millis(i64::MAX)).await;
    assert_eq!(entries.expect("reads").len(), 3);
}

#[tokio::test]
async fn a_window_is_not_sealed_before_its_grace_is_over() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(89);
    assert_eq!(school.seal().await.sealed, 0);
    // Closings are spread over a fifteenth of the window.
    school.pass(5);
    assert_eq!(school.seal().await.sealed, 1);
    school.assert_sealed([2, 0, 0, 0]);
}

#[tokio::test]
async fn an_event_over_one_frame_is_sealed_with_its_text() {
    let school = School::new().await;
    let mut large = event();
    large["extensions"] = serde_json::json!({ "text": "x".repeat(1_200_000) });
    school.post(&[large, event()]).await;
    school.deliver().await;
    school.pass(95);
    assert_eq!(school.seal().await.sealed, 1);
    school.assert_sealed([2, 0, 0, 0]);
    assert!(school.seals()[0].files[0].rows == 2);
}

/// Invariant 4: two workers of one tenant at once, their calls interleaved in many ways, seal each window once.
#[tokio::test]
async fn two_workers_at_once_do_no_harm() {
    for seed in 1..=20 {
        let school = School::new().await;
        school.three_windows().await;
        school.faults.interleave(seed);
        let other = process(&school.table);
        let both = futures::join!(school.turn(), school.turn_with(&other));
        let (a, b) = (both.0, both.1.expect("its list is read"));
        assert_eq!((a.failed, b.failed), (0, 0), "seed {seed}");
        let sealed = a.sealed.sealed + b.sealed.sealed;
        assert_eq!(sealed, 3, "seed {seed}: {a:?} {b:?}");
        school.assert_sealed(THREE_WINDOWS);
    }
}

/// Invariant 4: wherever another run overtakes one, both write the same files, and the seals name all of them.
#[tokio::test]
async fn a_run_that_is_overtaken_leaves_no_file_that_no_seal_names() {
    let (mut polls, mut overtaken) = (1, 0);
    loop {
        let school = School::new().await;
        school.three_windows().await;
        school.faults.interleave(7);
        let mut run = pin!(school.turn());
        let ended = ends_within(run.as_mut(), polls);
        if ended {
            break;
        }
        overtaken += 1;
        let other = school.turn_with(&process(&school.table)).await;
        assert_eq!(other.map(|s| s.failed), Ok(0), "after {polls} polls");
        assert_eq!(run.await.failed, 0, "after {polls} polls");
        let seals = school.seals();
        let named: BTreeSet<&str> = seals
            .iter()
            .flat_map(|seal| &seal.files)
            .map(|file| file.key.as_str())
            .collect();
        let mut written = school.bucket.keys("archive/");
        written.extend(school.bucket.keys("exceptions/"));
        let unnamed: Vec<_> = written
            .iter()
            .filter(|key| !named.contains(key.as_str()))
            .collect();
        assert!(unnamed.is_empty(), "after {polls} polls: {unnamed:?}");
        school.assert_sealed(THREE_WINDOWS);
        polls += 2;
    }
    assert!(overtaken > 30, "{overtaken}");
}

/// Wherever a run dies, the next one ends with the same rows.
#[tokio::test]
async fn a_crash_in_the_middle_of_sealing_is_made_good() {
    let clean = School::new().await;
    clean.three_windows().await;
    clean.seal().await;
    let shape = |school: &School| -> Vec<_> {
        let seals = school.seals().into_iter();
        seals.map(|s| (s.sequence, s.start, s.counts)).collect()
    };
    let (wanted, mut polls, mut crashes) = (shape(&clean), 1, 0);
    loop {
        let school = School::new().await;
        school.three_windows().await;
        school.faults.interleave(7);
        {
            let mut run = pin!(school.seal());
            let ended = ends_within(run.as_mut(), polls);
            if ended {
                break;
            }
        }
        crashes += 1;
        // What began again is another process.
        let turn = school.turn_with(&process(&school.table)).await;
        assert_eq!(turn.map(|t| t.failed), Ok(0), "after {polls} polls");
        assert_eq!(shape(&school), wanted, "after {polls} polls");
        school.assert_sealed(THREE_WINDOWS);
        polls += 3;
    }
    assert!(crashes > 20, "{crashes}");
}

/// Every store fails at every call, before its effect and after it.
#[tokio::test]
async fn a_failing_store_delays_a_seal_and_nothing_else() {
    for operation in [
        Operation::Read,
        Operation::PutObject,
        Operation::MoveChain,
        Operation::Sign,
    ] {
        for fault in [Fault::Before, Fault::After] {
            for nth in 0..8 {
                let school = School::new().await;
                school.three_windows().await;
                school
                    .faults
                    .plan(move |o, n| (o == operation && n == nth).then_some(fault));
                // Its answer may be the failure.
                let _ = school.turn_with(&school.process).await;
                school.faults.clear();
                school.pass(120);
                school.turn().await;
                school.assert_sealed(THREE_WINDOWS);
                assert_eq!(school.seals().len(), 3, "{operation:?} {fault:?} {nth}");
            }
        }
    }
}

/// A window that does not add up is not sealed, and holds nobody back.
#[tokio::test]
async fn a_lost_record_holds_its_window_and_no_other() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.pass(60);
    school.post(&events(3)).await;
    school.deliver_but(&[0]).await;
    school.pass(120);
    let summary = school.seal().await;
    assert_eq!((summary.sealed, summary.held), (1, 1), "{summary:?}");
    assert_eq!((summary.events, summary.lag_millis), (3, 0), "{summary:?}");
    let notices = school.topic.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].0.contains("does not add up"), "{notices:?}");

    // Its record is brought back: the window is sealed though later ones are.
    let (shard, records) = school.stream.records().into_iter().next().expect("one");
    let brought = school.bring_back(&shard, &records[..1]);
    assert_eq!(brought.await.expect("brought back").played_back, 1);
    school.deliver().await;
    school.pass(3_600);
    let summary = school.seal().await;
    assert_eq!((summary.sealed, summary.events), (1, 2), "{summary:?}");
    school.assert_sealed([5, 0, 0, 0]);
}

/// What is stored after its window was sealed gets a seal of its own.
#[tokio::test]
async fn late_events_are_sealed_as_a_backfill() {
    let school = School::new().await;
    let known = event();
    school.post(&[known.clone(), event()]).await;
    school.deliver().await;
    school.pass(95);
    assert_eq!(school.seal().await.sealed, 1);
    school.post_late(&[event(), known]).await;
    school.deliver().await;
    school.pass(120);
    let summary = school.seal().await;
    assert_eq!(summary.backfills, 1, "{summary:?}");
    assert_eq!(school.seal().await.backfills, 0, "once");
    school.assert_sealed([3, 1, 0, 0]);
}

/// However long nothing ran in between: late events are looked for since the last run's end, not since
/// this one's.
#[tokio::test]
async fn what_came_late_during_an_outage_is_sealed_too() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(95);
    assert_eq!(school.seal().await.sealed, 1);
    school.pass(200);
    school.post_late(&events(3)).await;
    school.deliver().await;
    school.pass(1_800);
    let summary = school.seal().await;
    assert_eq!((summary.sealed, summary.backfills), (0, 1), "{summary:?}");
    school.assert_sealed([5, 0, 0, 0]);
}

/// A segment that is gone is told, and its window is not sealed without it while it is held.
#[tokio::test]
async fn a_deleted_segment_is_announced_and_not_sealed_over() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.deliver().await;
    let segment = school.bucket.keys("segments/").remove(0);
    school.bucket.lose(&segment);
    school.pass(95);
    for _ in 0..2 {
        let summary = school.seal().await;
        assert_eq!((summary.sealed, summary.held), (0, 1), "{summary:?}");
        school.pass(600);
    }
    let notices = school.topic.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].1.contains(&segment));
    assert!(school.bucket.keys("seals/").is_empty());
}

/// What the time of a turn does not suffice for is another turn's, which is nudged at once.
#[tokio::test]
async fn what_the_time_does_not_suffice_for_is_left_for_the_next_turn() {
    let school = School::new().await;
    for _ in 0..10 {
        school.post(&events(1)).await;
        school.pass(60);
    }
    school.deliver().await;
    school.pass(120);
    let clock = Cell::new(school.clock.get());
    // Each look at the clock is a second.
    let tick = || {
        clock.set(clock.get().plus_seconds(1));
        clock.get()
    };
    let (stores, process, owner) = (&school.stores, &school.process, school.owner());
    let deadline = clock.get().plus_seconds(60);
    school.table.place_checkpoint(clock.get());
    let turn = turn_of(stores, process, &WORK, &owner, &tick, deadline).await;
    let turn = turn.expect("its list is read");
    let sealed = turn.sealed.sealed;
    assert!((1..10).contains(&sealed) && turn.left > 0, "{turn:?}");
    school.pass(60);
    let left = school.stores.queue.receive(school.clock.get());
    assert_eq!(left.map(|delivery| delivery.nudge.first.owner), Some(owner));
    assert_eq!(school.seal().await.sealed, 10 - sealed);
    school.assert_sealed([10, 0, 0, 0]);
}
