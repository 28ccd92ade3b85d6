//! Batches of shapes that a calm day never makes: each is committed in steps within the limits.

use crate::handler::identity;
use crate::script::START;
use std::collections::BTreeMap;
use std::time::Duration;
use vernier_fakes::{Faults, MemoryBucket, MemoryTable};
use vernier_intake::{Sending, SpreadKeeper};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{COMMIT_BLOCKS_MAX, FRAME_LINES_BYTES_MAX, SEGMENT_RECORD_BYTES_MAX};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_tests::envelopes::{bytes, event};
use vernier_tests::memory::open_windows;
use vernier_tests::readback::Stored;
use vernier_tests::trigger::{Invocation, Mapping, SimStream, Trigger, drive, in_process};

/// One envelope: whose it is, when it is received, and its body.
struct Envelope {
    tenant: TenantId,
    received_at: Millis,
    body: Vec<u8>,
}

fn envelope(tenant: &str, received_at: Millis) -> Envelope {
    Envelope {
        tenant: tenant.parse().expect("a name"),
        received_at,
        body: bytes(&[event()]),
    }
}

/// Puts all envelopes on one shard, delivers them in batches that are as large as they get, and all
/// of them again in batches of 700; gives back what is stored.
async fn deliver(envelopes: Vec<Envelope>) -> Stored {
    let stream = SimStream::new("frames", 1, START);
    let faults = Faults::default();
    let table = MemoryTable::new(faults.clone());
    let bucket = MemoryBucket::new(faults);
    let mut sent: BTreeMap<ReceiptId, u64> = BTreeMap::new();
    let windows = open_windows(15, 300);
    let spreads = SpreadKeeper::default();
    for envelope in envelopes {
        let mut sender = identity();
        sender.tenant.id = envelope.tenant;
        let stores = StoreSet::new(table.clone(), bucket.clone()).with_stream(stream.clone());
        let accepted = vernier_intake::accept(
            &stores,
            Sending {
                settings: vernier_intake::Settings { receipt_days: 90 },
                windows: &windows,
                spreads: &spreads,
                new_salt_key: SaltKey::random,
                clock: || envelope.received_at,
                budget: Duration::from_secs(20),
            },
            &sender,
            None,
            &envelope.body,
            ReceiptId::generate(envelope.received_at, 0),
        );
        let accepted = accepted.await.expect("acknowledged");
        sent.insert(accepted.receipt, accepted.tally.events);
    }
    let context = in_process::context(table.clone(), bucket.clone());
    let function = async |invocation: &Invocation| in_process::invoke(&context, invocation).await;
    for batch_size in [10_000, 700] {
        let mapping = Mapping {
            batch_size,
            maximum_batching_window_seconds: 1,
            ..Mapping::default()
        };
        let mut trigger = Trigger::new(stream.clone(), mapping);
        drive::run(&mut trigger, function, |_| {}).await;
        assert_eq!(trigger.discarded(), []);
    }
    for record in table.all_records() {
        let text = serde_json::to_vec(&record).expect("serialises");
        assert!(text.len() <= SEGMENT_RECORD_BYTES_MAX, "{}", text.len());
    }
    let stored = Stored::read(&table, &bucket, &stream.shards()).await;
    let found: BTreeMap<ReceiptId, u64> = stored
        .tallies
        .iter()
        .map(|(receipt, tally)| (*receipt, tally.events))
        .collect();
    assert!(found == sent, "invariant 2: each envelope is stored once");
    assert_eq!((stored.copies, stored.quarantined), (0, 0));
    stored
}

/// As many records as a batch can have, each with one event.
#[tokio::test(start_paused = true)]
async fn ten_thousand_frames_of_one_event() {
    let envelopes = (0..10_000).map(|_| envelope("school", START)).collect();
    let stored = deliver(envelopes).await;
    assert_eq!(stored.lines.len(), 10_000);
    assert!(stored.segments <= 3, "{} commits", stored.segments);
}

/// A transaction has room for 98 tenants: the rest is committed by the next steps.
#[tokio::test(start_paused = true)]
async fn a_thousand_tenants_in_one_batch() {
    let of = |n| envelope(&format!("school-{n}"), START);
    let stored = deliver((0..1_000).map(of).collect()).await;
    let steps = 1_000_usize.div_ceil(COMMIT_BLOCKS_MAX);
    assert_eq!((stored.lines.len(), stored.segments), (1_000, steps));
}

/// What lay at a sensor for years comes in one batch: two minutes of every day.
#[tokio::test(start_paused = true)]
async fn a_batch_from_a_thousand_minutes_of_the_past() {
    let of = |n: i64| envelope("school", START.plus_seconds(-n * 43_200));
    let stored = deliver((0..1_500).map(of).collect()).await;
    let steps = 1_500_usize.div_ceil(COMMIT_BLOCKS_MAX);
    assert_eq!((stored.lines.len(), stored.segments), (1_500, steps));
}

/// Frames as large as they get, between small ones.
#[tokio::test(start_paused = true)]
async fn frames_as_large_as_they_get() {
    let large = |n: u64| {
        // Text that hardly shrinks.
        let hash = |k| Fingerprint::of(&u64::to_le_bytes(n * 1_000_000 + k)).hex();
        let text: String = (0..FRAME_LINES_BYTES_MAX as u64 / 64 - 64)
            .map(hash)
            .collect();
        let mut event = event();
        event["extensions"] = serde_json::json!({"text": text});
        Envelope {
            body: bytes(&[event]),
            ..envelope("school", START)
        }
    };
    let envelopes = (0..30).map(|n| match n % 3 {
        0 => large(n),
        _ => envelope("school", START),
    });
    let stored = deliver(envelopes.collect()).await;
    assert_eq!(stored.lines.len(), 30);
}
