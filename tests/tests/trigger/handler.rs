//! The real stream handler under the trigger, over the fakes.

use crate::script::START;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;
use vernier_fakes::{Fault, Faults, MemoryBucket, MemoryTable, Operation};
use vernier_intake::{Sending, SpreadKeeper};
use vernier_ledger::access::{Identity, Scope, Tenant, TokenInfo};
use vernier_ledger::account::WindowState;
use vernier_ledger::frame;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{NewRecord, Receipts};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::spread::Spread;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::TimeRange;
use vernier_tests::envelopes::{bytes, event, event_with_id, invalid_event};
use vernier_tests::memory::open_windows;
use vernier_tests::readback::{Stored, straight_pass};
use vernier_tests::trigger::event::kinesis_event;
use vernier_tests::trigger::{Answer, Invocation, Mapping, SimStream, Trigger, drive, in_process};

struct World {
    stream: SimStream,
    faults: Faults,
    table: MemoryTable,
    bucket: MemoryBucket,
    identity: Identity,
    acknowledged: BTreeMap<ReceiptId, u64>,
}

pub(crate) fn identity() -> Identity {
    let tenant = Tenant {
        lanes: 8,
        ..Tenant::new("school".parse().expect("a tenant's name"), START)
    };
    let token = TokenInfo {
        token_id: "t".to_owned(),
        tenant: tenant.id.clone(),
        sensor: "https://school.example/sensors/1".to_owned(),
        scopes: Scope::ALL.to_vec(),
        learner: None,
        label: None,
        created_at: START,
        revoked_at: None,
    };
    Identity {
        tenant,
        token,
        signing_key: [0; 32],
    }
}

impl World {
    fn new(shards: u64) -> Self {
        let faults = Faults::default();
        Self {
            stream: SimStream::new("frames", shards, START),
            table: MemoryTable::new(faults.clone()),
            bucket: MemoryBucket::new(faults.clone()),
            faults,
            identity: identity(),
            acknowledged: BTreeMap::new(),
        }
    }

    async fn post(&mut self, body: &[u8], events: u64) -> ReceiptId {
        let stores =
            StoreSet::new(self.table.clone(), self.bucket.clone()).with_stream(self.stream.clone());
        let windows = open_windows(15, 300);
        let sending = Sending {
            settings: vernier_intake::Settings { receipt_days: 90 },
            windows: &windows,
            spreads: &SpreadKeeper::default(),
            new_salt_key: SaltKey::random,
            clock: || self.stream.now(),
            budget: Duration::from_secs(20),
        };
        let accepted = vernier_intake::accept(
            &stores,
            sending,
            &self.identity,
            None,
            body,
            Spread::of(&self.identity.tenant, None).new_receipt(self.stream.now()),
        );
        let receipt = accepted.await.expect("acknowledged").receipt;
        self.acknowledged.insert(receipt, events);
        receipt
    }

    /// Every acknowledged event is stored once, and each window adds up.
    async fn check(&self) -> Stored {
        let stored = Stored::read(&self.table, &self.bucket, &self.stream.shards()).await;
        for (receipt, events) in &self.acknowledged {
            let tally = stored.tallies.get(receipt);
            let kept = self.table.receipt(&self.identity.tenant.id, *receipt).await;
            let kept = kept
                .expect("no faults")
                .expect("invariant 1: its receipt is there");
            assert_eq!(
                tally,
                Some(&kept.received()),
                "invariant 3, receipt by receipt"
            );
            assert_eq!(tally.map(|t| t.events), Some(*events));
        }
        assert_eq!(
            stored.tallies.len(),
            self.acknowledged.len(),
            "nothing else is stored"
        );
        for account in self.accounts().await {
            assert_eq!(
                account.state,
                WindowState::Complete,
                "invariant 3: {account:?}"
            );
        }
        stored
    }

    async fn accounts(&self) -> Vec<vernier_ledger::account::WindowAccount> {
        let settings = vernier_reconcile::Settings {
            window_minutes: 15,
            grace_seconds: 0,
        };
        // Segments are committed by the machine's clock.
        let now = vernier_ledger::clock::now().max(self.stream.now());
        let range = TimeRange {
            from: START,
            to: self.stream.now().plus_seconds(1),
        };
        vernier_reconcile::accounts(
            &self.table,
            settings,
            &self.identity.tenant,
            range,
            now.plus_seconds(3_600),
        )
        .await
        .expect("the table answers")
    }
}

fn some_fault(random: &mut StdRng) -> Option<Fault> {
    match random.random_range(0..20) {
        0 => Some(Fault::Before),
        1 => Some(Fault::After),
        _ => None,
    }
}

/// What may happen between two batches.
fn interfere(trigger: &mut Trigger, random: &mut StdRng) {
    let shards = trigger.stream().shards();
    let shard = &shards[random.random_range(0..shards.len())];
    match random.random_range(0..10) {
        0 => trigger.rewind(shard, random.random_range(1..20)),
        1 if shards.len() < 6 => trigger.stream().split(shard),
        2 => {
            // A producer's time-out had written: the same frame again, as another record.
            let records = trigger
                .stream()
                .range(shard, 0..trigger.stream().len(shard));
            if let Some(record) = records.get(random.random_range(0..records.len().max(1)))
                && records.len() < 60
            {
                trigger.stream().put(&NewRecord {
                    partition_key: record.partition_key.clone(),
                    data: record.data.to_vec(),
                });
            }
        }
        _ => {}
    }
}

async fn history(seed: u64) -> (Stored, Stored) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new(2);
    for n in 0..40 {
        world
            .stream
            .advance(Duration::from_secs(random.random_range(0..90)));
        let events: Vec<_> = match n % 8 {
            0 => vec![event_with_id(
                "urn:uuid:00000000-0000-4000-8000-000000000001",
            )],
            1 => vec![event(), invalid_event()],
            _ => (0..random.random_range(1..6)).map(|_| event()).collect(),
        };
        world.post(&bytes(&events), events.len() as u64).await;
        if n % 10 == 0 {
            let data = format!("no frame {n}").into_bytes();
            let partition_key = format!("x/{n}");
            world.stream.put(&NewRecord {
                partition_key,
                data,
            });
        }
    }
    let mapping = Mapping {
        batch_size: random.random_range(1..12),
        bisect_batch_on_function_error: random.random_bool(0.5),
        ..Mapping::default()
    };
    let mut trigger = Trigger::new(world.stream.clone(), mapping);
    let context = in_process::context(world.table.clone(), world.bucket.clone());
    let mut faults = StdRng::seed_from_u64(seed + 1);
    world
        .faults
        .plan(move |_: Operation, _| some_fault(&mut faults));
    let random = RefCell::new(random);
    drive::run(
        &mut trigger,
        async |invocation: &Invocation| {
            let first = in_process::invoke(&context, invocation);
            if random.borrow_mut().random_ratio(9, 10) {
                return first.await;
            }
            // The service hands its shard over and invokes twice, side by side.
            let second = in_process::invoke(&context, invocation);
            let (first, second) = tokio::join!(first, second);
            if first == Answer::FunctionError {
                first
            } else {
                second
            }
        },
        |trigger| interfere(trigger, &mut random.borrow_mut()),
    )
    .await;
    world.faults.clear();
    (world.check().await, straight_pass(&world.stream).await.0)
}

/// Invariants 2, 3, 4 and 5: faults before and after every effect, splits, copies, garbage, reading
/// again from earlier places, two calls at once; then what is stored is what a straight pass stores.
#[tokio::test(start_paused = true)]
async fn whatever_the_trigger_does_each_event_is_stored_once() {
    for seed in 0..40 {
        let (stored, straight) = history(seed).await;
        assert_eq!(stored.lines, straight.lines, "seed {seed}");
        assert_eq!(stored.dispositions, straight.dispositions, "seed {seed}");
        assert!(stored.quarantined >= 4, "seed {seed}");
        assert_eq!(stored.quarantined, straight.quarantined, "seed {seed}");
        assert!(stored.dispositions.duplicate > 0 && stored.dispositions.rejected > 0);
    }
}

/// Invariants 3 and 5: a batch that ran out of retries does not hold up the rest; its receipts are
/// missing by name, its frames lie whole at the destination, and played back with a higher attempt
/// they are stored once.
#[tokio::test(start_paused = true)]
async fn a_batch_that_was_given_up_is_named_and_can_be_brought_back() {
    let mut world = World::new(1);
    for _ in 0..9 {
        world.post(&bytes(&[event(), event()]), 2).await;
    }
    let mapping = Mapping {
        batch_size: 3,
        maximum_retry_attempts: Some(2),
        ..Mapping::default()
    };
    let mut trigger = Trigger::new(world.stream.clone(), mapping);
    let context = in_process::context(world.table.clone(), world.bucket.clone());
    world
        .faults
        .plan(|operation, n| (operation == Operation::Commit && n < 3).then_some(Fault::Denied));
    let handler = async |invocation: &Invocation| in_process::invoke(&context, invocation).await;
    drive::run(&mut trigger, handler, |_| {}).await;
    world.faults.clear();

    let [discarded] = trigger.discarded() else {
        panic!("one batch is given up")
    };
    let shard = &world.stream.shards()[0];
    let lost = world.stream.range(shard, 0..3);
    let payload: serde_json::Value =
        serde_json::from_str(discarded.record["payload"].as_str().expect("text")).expect("JSON");
    assert_eq!(payload, kinesis_event(shard, &lost));
    let accounts = world.accounts().await;
    let mut missing: Vec<ReceiptId> = accounts
        .iter()
        .flat_map(|a| &a.missing)
        .map(|m| m.receipt)
        .collect();
    let mut expected: Vec<ReceiptId> = Vec::new();
    for record in &lost {
        let mut frame = frame::decode(&record.data).expect("a frame");
        expected.push(frame.header.receipt);
        frame.header.attempt += 1;
        let data = frame::encode(&frame.header, &frame.lines).expect("a frame");
        let partition_key = record.partition_key.clone();
        world.stream.put(&NewRecord {
            partition_key,
            data,
        });
    }
    expected.sort();
    missing.sort();
    assert_eq!(missing, expected);
    drive::run(&mut trigger, handler, |_| {}).await;
    let stored = world.check().await;
    assert_eq!(stored.lines.len(), 18);
}
