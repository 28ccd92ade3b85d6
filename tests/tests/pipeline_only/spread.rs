//! Tenants that are throttled and are spread further by themselves; their neighbours, who are not.

use super::logs::Log;
use super::sealing::{BEGINNING, SETTINGS, identity, tenant};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;
use vernier_fakes::{Fault, Faults, MemoryBucket, MemoryStream, MemoryTable, Operation};
use vernier_intake::{OpenWindows, Sending, Settings, SpreadKeeper, accept};
use vernier_ledger::access::{Identity, Tenant};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{LANES_MAX, STREAM_KEYS_MAX};
use vernier_ledger::ports::Administration;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::spread::{GROW_SECONDS, GrownSpread, Spread, Spreads, lanes_of};
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::open_windows;

/// What sending may take: a few tries.
const BUDGET: Duration = Duration::from_millis(200);

/// Stores whose partitions are throttled, with two tenants.
struct Stand {
    stores: StoreSet<MemoryTable, MemoryBucket, MemoryStream>,
    faults: Faults,
    busy: Identity,
    neighbour: Identity,
    clock: Cell<Millis>,
}

/// A process that sends.
struct Process {
    windows: OpenWindows,
    spreads: SpreadKeeper,
}

impl Process {
    fn new() -> Self {
        Self {
            windows: open_windows(SETTINGS.window_minutes, SETTINGS.grace_seconds),
            spreads: SpreadKeeper::default(),
        }
    }
}

impl Stand {
    async fn new() -> Self {
        let faults = Faults::default();
        let table = MemoryTable::new(faults.clone());
        let [busy, neighbour] = ["busy", "neighbour"].map(tenant);
        for tenant in [&busy, &neighbour] {
            assert_eq!(table.create_tenant(tenant).await, Ok(true));
        }
        let stores = StoreSet::new(table, MemoryBucket::new(faults.clone()))
            .with_stream(MemoryStream::new(4, faults.clone()));
        faults.plan(|_, _| None);
        Self {
            stores,
            faults,
            busy: identity(&busy),
            neighbour: identity(&neighbour),
            clock: Cell::new(BEGINNING),
        }
    }

    /// One try to send an envelope of two events; its receipt if it is acknowledged.
    async fn send(&self, process: &Process, identity: &Identity) -> Option<ReceiptId> {
        let now = self.clock.get();
        let receipt = process.spreads.new_receipt(&identity.tenant, now);
        let sending = Sending {
            settings: Settings { receipt_days: 30 },
            windows: &process.windows,
            spreads: &process.spreads,
            new_salt_key: SaltKey::random,
            clock: || now,
            budget: BUDGET,
        };
        let body = bytes(&events(2));
        let sent = accept(&self.stores, sending, identity, None, &body, receipt).await;
        sent.is_ok().then_some(receipt)
    }

    /// A second is over: every partition takes as much again.
    fn cool(&self, seconds: i64) {
        self.clock.set(self.clock.get().plus_seconds(seconds));
        self.stores.table.heat.cool();
        self.stores.stream.heat.cool();
    }

    async fn grown(&self, tenant: &TenantId) -> Option<GrownSpread> {
        let grown = self.stores.table.grown_spread(tenant).await;
        grown.expect("no faults")
    }

    /// Twenty envelopes in each of some seconds, as many as one partition does not take; those that were acknowledged.
    async fn hurry(&self, process: &Process, seconds: i64) -> BTreeSet<ReceiptId> {
        let mut acknowledged = BTreeSet::new();
        for _ in 0..seconds {
            for _ in 0..20 {
                acknowledged.extend(self.send(process, &self.busy).await);
            }
            self.cool(1);
        }
        acknowledged
    }
}

async fn receipts_of(stand: &Stand, tenant: &Tenant) -> usize {
    let range = TimeRange {
        from: BEGINNING,
        to: stand.clock.get(),
    };
    let now = stand.clock.get();
    let table = &stand.stores.table;
    let accounts = vernier_reconcile::accounts(table, SETTINGS, tenant, range, now).await;
    let accounts = accounts.expect("no faults");
    let found = accounts.iter().map(|a| a.received.envelopes);
    usize::try_from(found.sum::<u64>()).expect("few")
}

#[tokio::test(start_paused = true)]
async fn a_throttled_tenant_grows_its_neighbour_does_not_and_all_receipts_are_found() {
    let stand = Stand::new().await;
    stand.stores.table.heat.limit(8);
    let process = Process::new();
    let mut acknowledged = BTreeSet::new();
    for _ in 0..4 {
        acknowledged.extend(stand.hurry(&process, 2).await);
        assert!(stand.send(&process, &stand.neighbour).await.is_some());
        stand.cool(GROW_SECONDS);
    }
    let grown = stand.grown(&stand.busy.tenant.id).await.expect("it grew");
    // Two lanes take sixteen of a second's twenty; four take all, unless chance has many of them in one.
    assert!((4..=16).contains(&grown.spread.lanes), "{grown:?}");
    assert_eq!(grown.spread.stream_keys, 1, "the stream throttled nothing");
    assert_eq!(stand.grown(&stand.neighbour.tenant.id).await, None);
    let lanes: BTreeSet<u8> = acknowledged.iter().map(ReceiptId::lane).collect();
    assert!(lanes.len() >= 4, "{lanes:?}");
    // By settings from before it grew, as a process has them.
    let listed = lanes_of(&stand.stores.table, &stand.busy.tenant).await;
    assert_eq!(listed.map(|l| l.len()), Ok(grown.spread.lanes.into()));
    let found = receipts_of(&stand, &stand.busy.tenant).await;
    assert_eq!(found, acknowledged.len(), "in old lanes and new ones");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_shard_is_full_gets_more_keys_on_the_stream() {
    let log = Log::default();
    let guard = log.begin();
    let stand = Stand::new().await;
    stand.stores.stream.heat.limit(8);
    let process = Process::new();
    for _ in 0..5 {
        stand.hurry(&process, 1).await;
        stand.cool(GROW_SECONDS);
    }
    drop(guard);
    let grown = stand.grown(&stand.busy.tenant.id).await.expect("it grew");
    assert_eq!(grown.spread.lanes, 1, "no receipt was throttled");
    assert!(grown.spread.stream_keys >= 4, "{grown:?}");
    let records = stand.stores.stream.records();
    let keys = records.values().flatten().map(|(_, r)| &r.partition_key);
    assert!(keys.collect::<BTreeSet<_>>().len() >= 4);
    let lines = log.with("spread grown");
    assert!(lines.len() >= 2, "{lines:?}");
    assert_eq!(
        (lines[0]["tenant"].as_str(), lines[0]["grown"].as_u64()),
        (Some("busy"), Some(1))
    );
    assert_eq!(
        (lines[0]["lanes"].as_u64(), lines[0]["stream_keys"].as_u64()),
        (Some(1), Some(2))
    );
}

#[tokio::test(start_paused = true)]
async fn processes_that_are_throttled_at_once_double_once_and_learn_of_it() {
    let stand = Stand::new().await;
    stand.stores.table.heat.limit(0);
    stand.faults.interleave(7);
    let processes: Vec<Process> = (0..6).map(|_| Process::new()).collect();
    let sends = processes.iter().map(|p| stand.send(p, &stand.busy));
    let sent = futures::future::join_all(sends).await;
    assert!(sent.iter().all(Option::is_none));
    let grown = stand.grown(&stand.busy.tenant.id).await.expect("it grew");
    assert_eq!(grown.spread.lanes, 2);
    let twice = Spread {
        lanes: 2,
        stream_keys: 1,
    };
    for process in &processes {
        assert_eq!(process.spreads.of(&stand.busy.tenant), twice);
    }
    // One that has seen nothing takes up what the others did.
    let late = Process::new();
    assert_eq!(late.spreads.of(&stand.busy.tenant).lanes, 1);
    stand.cool(GROW_SECONDS);
    stand.send(&late, &stand.busy).await;
    assert_eq!(late.spreads.of(&stand.busy.tenant), twice);
}

/// The stores do not go on growing however long they are asked to.
#[tokio::test(start_paused = true)]
async fn growth_is_bounded_and_a_minute_has_one_of_it() {
    let stand = Stand::new().await;
    stand.stores.table.heat.limit(0);
    let process = Process::new();
    let busy = &stand.busy.tenant.id;
    for second in 0..30 {
        stand.send(&process, &stand.busy).await;
        stand.cool(1);
        let lanes = stand.grown(busy).await.map(|g| g.spread.lanes);
        assert_eq!(lanes, Some(2), "after {second} s");
    }
    for _ in 0..12 {
        stand.cool(GROW_SECONDS);
        stand.send(&process, &stand.busy).await;
    }
    let most = stand.grown(busy).await.expect("it grew");
    assert_eq!(most.spread.lanes, LANES_MAX);
    stand.stores.table.heat.limit(u64::MAX);
    stand.stores.stream.heat.limit(0);
    for _ in 0..24 {
        stand.cool(GROW_SECONDS);
        stand.send(&process, &stand.busy).await;
    }
    let most = stand.grown(busy).await.expect("it grew");
    let spread = most.spread;
    assert_eq!(
        (spread.lanes, spread.stream_keys),
        (LANES_MAX, STREAM_KEYS_MAX)
    );
}

/// Nothing is asked for that nobody needs, and a store that does not answer keeps no envelope from its answer.
#[tokio::test(start_paused = true)]
async fn an_envelope_that_is_not_throttled_costs_no_call() {
    let stand = Stand::new().await;
    let process = Process::new();
    stand.send(&process, &stand.busy).await.expect("sent");
    stand.faults.plan(|_, _| None);
    stand.send(&process, &stand.busy).await.expect("sent");
    assert_eq!(stand.faults.calls(Operation::Read), 0);
    // One that is throttled once is acknowledged whatever becomes of the growth.
    stand.stores.stream.heat.limit(0);
    let failed = stand.send(&process, &stand.busy).await;
    assert_eq!(failed, None);
    assert_eq!(stand.faults.calls(Operation::GrowSpread), 1);
    stand.cool(GROW_SECONDS);
    stand
        .faults
        .plan(|o, _| (o == Operation::GrowSpread).then_some(Fault::Denied));
    stand.send(&process, &stand.busy).await;
    let grown = stand.grown(&stand.busy.tenant.id).await.expect("it grew");
    assert_eq!(grown.spread.stream_keys, 2, "the second growth was refused");
    stand.faults.plan(|_, _| None);
    stand.send(&process, &stand.busy).await;
    let grown = stand.grown(&stand.busy.tenant.id).await.expect("it grew");
    assert_eq!(
        grown.spread.stream_keys, 4,
        "and is tried at the next throttling"
    );
}
