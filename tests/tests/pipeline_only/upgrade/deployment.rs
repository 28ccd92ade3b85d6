//! A deployment whose table is DynamoDB's, item by item, and whose other stores are fakes.

use super::history::{COLLEGE_OPENING, OPENING};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vernier_archive::files::{Memory, Ranges};
use vernier_archive::reader::Part;
use vernier_archive::verify::{Options, Report, verify};
use vernier_aws::Table;
use vernier_fakes::{
    Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStream, MemoryTopic, ShardRecords,
};
use vernier_intake::{OpenWindows, Sending, SpreadKeeper};
use vernier_ledger::access::{Identity, Tenant, TokenInfo};
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::NewRecord;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_reconcile::compaction::{COMPACT_BYTES_MAX, Compacting};
use vernier_reconcile::process::{Process, WorkSettings};
use vernier_reconcile::sealing::{SealingTimes, Workshop};
use vernier_reconcile::sweeping::Sweeping;
use vernier_reconcile::{ReceiptDays, Settings};
use vernier_stream::ProcessMemory;
use vernier_tests::envelopes::bytes;
use vernier_tests::orchestra::work_until_rest;
use vernier_tests::stub::{Stub, config_of};

pub(super) const SCHOOL: &str = "school";
pub(super) const COLLEGE: &str = "college";

const WINDOW_MINUTES: u32 = 120;
const GRACE_SECONDS: i64 = 300;
const RECEIPT_DAYS: u32 = 90;
const BUDGET: Duration = Duration::from_secs(5);

const WORK: WorkSettings = WorkSettings {
    windows: Settings {
        window_minutes: WINDOW_MINUTES,
        grace_seconds: GRACE_SECONDS,
    },
    receipt_days: ReceiptDays(RECEIPT_DAYS),
    compacting: Compacting {
        compact_after_seconds: 9 * 3_600,
        remove_after_seconds: 24 * 3_600,
        bytes_max: COMPACT_BYTES_MAX,
    },
    sweeping: Sweeping {
        segment_seconds: 10 * 86_400,
        trigger_seconds: 86_400,
        failure_seconds: 90 * 86_400,
    },
    paused: false,
};

const SEALING: SealingTimes = SealingTimes {
    lookback_seconds: 86_400,
    hold_seconds: 3_600,
};

type UpgradeStores =
    StoreSet<Table, MemoryBucket, MemoryStream, MemoryTopic, MemoryKey, MemoryQueue>;

/// An envelope that was acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) receipt: ReceiptId,
    pub(super) events: u32,
}

/// Stores, a process of each function, and a clock that only tests move.
pub(super) struct Deployment {
    pub(super) stub: Stub,
    pub(super) bucket: MemoryBucket,
    pub(super) stream: MemoryStream,
    pub(super) clock: Cell<Millis>,
    pub(super) sent: RefCell<Vec<Sent>>,
    stores: UpgradeStores,
    process: Process<Table>,
    windows: OpenWindows,
    memory: ProcessMemory,
}

/// Nonces in their order, so that two runs write the same.
fn next_nonce() -> Nonce {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut nonce = [0; 16];
    nonce[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Nonce(nonce)
}

fn times() -> WindowTimes {
    WindowTimes::new(WINDOW_MINUTES, GRACE_SECONDS)
}

/// The salt key of every envelope, so that a dump is the same each time.
const fn fixed_salt_key() -> SaltKey {
    SaltKey::from_bytes([7; 16])
}

impl Deployment {
    /// Begins with these items, an empty bucket and an empty stream.
    pub(super) async fn new(items: Vec<Value>, now: Millis) -> Self {
        let stub = Stub::start(items);
        let table = Table::new(&config_of(&stub).await, "ledger");
        let faults = Faults::default();
        let (bucket, stream) = (
            MemoryBucket::new(faults.clone()),
            MemoryStream::new(1, faults.clone()),
        );
        let process = Process {
            workshop: Workshop::new(std::env::temp_dir(), SEALING),
            schemas: SchemaCache::new(table.clone(), Duration::ZERO),
            new_receipt: Spread::new_receipt,
            new_salt_key: fixed_salt_key,
            spreads: SpreadKeeper::default(),
            new_nonce: next_nonce,
            windows: OpenWindows::new(times(), next_nonce),
        };
        let stores = StoreSet {
            table,
            objects: bucket.clone(),
            stream: stream.clone(),
            notices: MemoryTopic::new(faults.clone()),
            key: MemoryKey::fixed(faults.clone()),
            queue: MemoryQueue::new(faults),
        };
        let deployment = Self {
            stub,
            bucket,
            stream,
            clock: Cell::new(now),
            sent: RefCell::default(),
            stores,
            process,
            windows: OpenWindows::new(times(), next_nonce),
            memory: ProcessMemory::new(times(), next_nonce),
        };
        deployment.set_clock(now);
        deployment
    }

    pub(super) const fn table(&self) -> &Table {
        &self.stores.table
    }

    pub(super) fn tenants(&self) -> [Tenant; 2] {
        [SCHOOL, COLLEGE].map(|name| self.tenant(name))
    }

    // Its settings do not change, so that nothing of them is read.
    #[allow(clippy::unused_self)]
    pub(super) fn tenant(&self, name: &str) -> Tenant {
        Tenant::new(
            name.parse().expect("a tenant's name"),
            match name {
                COLLEGE => COLLEGE_OPENING,
                _ => OPENING,
            },
        )
    }

    pub(super) fn set_clock(&self, now: Millis) {
        self.clock.set(now);
        self.bucket.set_clock(now);
        self.stores.queue.set_clock(now);
    }

    /// Sends an envelope under a receipt of an instant; how many were sent before makes it another one.
    pub(super) async fn post(&self, tenant: &str, at: Millis, events: &[Value]) {
        let number = u64::try_from(self.sent.borrow().len()).unwrap_or(u64::MAX);
        let receipt = ReceiptId::from_parts(at, 0, number.to_be_bytes());
        let tenant = self.tenant(tenant);
        let identity = Identity {
            token: TokenInfo {
                token_id: "000000000000".to_owned(),
                tenant: tenant.id.clone(),
                sensor: "https://school.example/sensors/1".to_owned(),
                scopes: Vec::new(),
                learner: None,
                label: None,
                created_at: tenant.created_at,
                revoked_at: None,
            },
            tenant,
            signing_key: [0; 32],
        };
        let sending = Sending {
            settings: vernier_intake::Settings {
                receipt_days: RECEIPT_DAYS,
            },
            windows: &self.windows,
            spreads: &SpreadKeeper::default(),
            new_salt_key: fixed_salt_key,
            clock: || self.clock.get(),
            budget: BUDGET,
        };
        let body = bytes(events);
        let accepted =
            vernier_intake::accept(&self.stores, sending, &identity, None, &body, receipt);
        accepted.await.expect("acknowledged");
        self.sent.borrow_mut().push(Sent {
            receipt,
            events: u32::try_from(events.len()).unwrap_or(u32::MAX),
        });
    }

    /// The trigger goes past what is on the stream, and the stream forgets it: whoever calls has all that is left of it.
    pub(super) fn lose_records(&self) -> ShardRecords {
        let lost = self.stream.records();
        for shard in self.stream.shards() {
            self.stream.trim(&shard.shard, shard.end);
        }
        lost
    }

    /// Lets the stream function take what is on the stream.
    pub(super) async fn deliver(&self) {
        let committing = vernier_stream::Committing {
            settings: vernier_stream::Settings {
                receipt_days: RECEIPT_DAYS,
                chunk_bytes: 1_024,
            },
            memory: &self.memory,
        };
        for (shard, records) in self.stream.records() {
            let record = |(sequence, record): (_, NewRecord)| vernier_stream::Record {
                sequence,
                data: record.data,
                arrived_at: None,
            };
            let records = records.into_iter().map(record).collect();
            let clock = || self.clock.get();
            vernier_stream::process(&self.stores, committing, &shard, records, clock, BUDGET)
                .await
                .expect("committed");
        }
    }

    /// Planner and workers, until nothing is due.
    pub(super) async fn work(&self) {
        let clock = || self.clock.get();
        let worked = work_until_rest(&self.stores, &self.process, &WORK, &clock).await;
        let turn = worked.expect("lists are read");
        assert_eq!(turn.failed, 0, "{turn:?}");
    }

    /// The stream function and the workers, once.
    pub(super) async fn go_on(&self) {
        self.deliver().await;
        self.work().await;
    }

    /// Lets time pass in steps, after each of which everybody goes on.
    pub(super) async fn pass(&self, seconds: i64, step_seconds: i64) {
        let end = self.clock.get().plus_seconds(seconds);
        while self.clock.get() < end {
            let next = self.clock.get().plus_seconds(step_seconds).min(end);
            self.set_clock(next);
            self.go_on().await;
        }
    }

    /// How often each event's place is a row of windows' files, and how often of days' files.
    pub(super) fn rows(&self) -> BTreeMap<(ReceiptId, u32), [usize; 2]> {
        let mut rows: BTreeMap<_, [usize; 2]> = BTreeMap::new();
        let classes = [
            ("archive/", 0),
            ("exceptions/", 0),
            ("days/archive/", 1),
            ("days/exceptions/", 1),
        ];
        for (class, of) in classes {
            for key in self.bucket.keys(class) {
                let bytes = Bytes::from(self.bucket.raw(&key).expect("listed"));
                let part = Part::open(Arc::new(bytes) as Arc<dyn Ranges>).expect("a part");
                let read = part.for_each(|row| {
                    rows.entry((row.receipt, row.index)).or_default()[of] += 1;
                    Ok(())
                });
                read.expect("its rows are read");
            }
        }
        rows
    }

    /// What `vernier verify` says of the bucket.
    pub(super) fn report(&self) -> Report {
        let memory = Memory::default();
        for key in self.bucket.keys("") {
            let bytes = self.bucket.raw(&key).expect("listed");
            memory.put(key, bytes);
        }
        let options = Options {
            all: true,
            ..Options::default()
        };
        let keys = [self.stores.key.public().clone()];
        verify(&memory, &keys, &options, &|_| {}).expect("reads")
    }
}
