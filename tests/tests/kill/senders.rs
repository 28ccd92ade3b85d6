//! Sensors that post a semester through the input's own path, over throttled stores, to a stream
//! that is split and merged meanwhile.

use crate::environment::Environment;
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;
use vernier_cli::generate::{Params, Semester};
use vernier_intake::{NotAccepted, OpenWindows, Sending, Settings, SpreadKeeper, accept};
use vernier_ledger::clock;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::NewRecord;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::spread::Spread;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_tests::memory::open_windows;

/// Sizes of envelopes, and for how many of 100 events each is used.
const MIX: [(usize, u64); 4] = [(100, 70), (20, 27), (3, 2), (1, 1)];

/// Envelopes under way at once.
const SENSORS: usize = 12;

/// What was sent.
pub(crate) struct Sent {
    /// The receipts of acknowledged envelopes, with what was acknowledged.
    pub(crate) acknowledged: BTreeMap<ReceiptId, Tally>,
    /// Envelopes that got no answer and were sent again.
    pub(crate) refused: u64,
    pub(crate) first_at: Millis,
    pub(crate) last_at: Millis,
}

fn semesters(events: u64, seed: u64) -> Vec<Semester> {
    let parts = (0..).zip(MIX).map(|(n, (envelope_events, share))| {
        // What the division leaves goes to the first part.
        let rest = if n == 0 {
            events - MIX.iter().map(|m| events * m.1 / 100).sum::<u64>()
        } else {
            0
        };
        let params = Params {
            envelope_events,
            ..Params::new(seed.wrapping_add(n), events * share / 100 + rest)
        };
        Semester::new(params).expect("sizes are within their bounds")
    });
    parts.collect()
}

/// Sends so many distinct events; one envelope of 50 twice, one frame of 50 stands twice on the
/// stream, as after a time-out of the producer that wrote.
pub(crate) async fn send(environment: &Environment, events: u64, seed: u64) -> Sent {
    let semesters = semesters(events, seed);
    let bodies = semesters.iter().flat_map(|s| s.envelopes().map(|e| e.body));
    let mut random = StdRng::seed_from_u64(seed + 2);
    let bodies = bodies.flat_map(|body| {
        let times = 1 + usize::from(random.random_ratio(1, 50));
        std::iter::repeat_n(body, times)
    });
    let first_at = clock::now();
    let total = events as f64;
    let (mut acknowledged, mut refused, mut events_so_far) = (BTreeMap::new(), 0, 0);
    let mut posted = futures::stream::iter(bodies)
        .map(|body| post(environment, body))
        .buffer_unordered(SENSORS);
    let mut random = StdRng::seed_from_u64(seed + 3);
    while let Some((receipt, tally, refusals)) = posted.next().await {
        let before = f64::from(u32::try_from(events_so_far).unwrap_or(u32::MAX)) / total;
        events_so_far += tally.events;
        let after = f64::from(u32::try_from(events_so_far).unwrap_or(u32::MAX)) / total;
        reshard(environment, before, after);
        acknowledged.insert(receipt, tally);
        refused += refusals;
        environment.stream.advance(Duration::from_millis(10));
        if random.random_ratio(1, 50) {
            copy_a_frame(environment, &mut random);
        }
    }
    Sent {
        acknowledged,
        refused,
        first_at,
        last_at: clock::now(),
    }
}

/// The windows that the senders have opened.
static WINDOWS: LazyLock<OpenWindows> = LazyLock::new(|| open_windows(15, 300));

/// Posts like a sensor, until there is an answer: the receipt, what it is for, and how often there
/// was none.
async fn post(environment: &Environment, body: String) -> (ReceiptId, Tally, u64) {
    let (table, bucket) = (&environment.throttled_table, &environment.throttled_bucket);
    let stores =
        StoreSet::new(table.clone(), bucket.clone()).with_stream(environment.stream.clone());
    let sending = Sending {
        settings: Settings { receipt_days: 30 },
        windows: &WINDOWS,
        spreads: &SpreadKeeper::default(),
        new_salt_key: SaltKey::random,
        clock: clock::now,
        budget: Duration::from_secs(20),
    };
    let mut refused = 0;
    loop {
        let receipt = Spread::of(&environment.identity.tenant, None).new_receipt(clock::now());
        let (sender, body) = (&environment.identity, body.as_bytes());
        match accept(&stores, sending, sender, None, body, receipt).await {
            Ok(accepted) => return (accepted.receipt, accepted.tally, refused),
            Err(NotAccepted::Refused(refusal)) => panic!("{refusal}"),
            Err(NotAccepted::Port(_)) => refused += 1,
        }
    }
}

/// After a third of the events a shard is split, after two thirds the halves are merged again.
fn reshard(environment: &Environment, before: f64, after: f64) {
    let passes = |part: f64| before < part && part <= after;
    let stream = &environment.stream;
    let open = stream.open_shards();
    if passes(0.33) {
        stream.split(&open[0]);
    } else if passes(0.66) {
        let [.., low, high] = &open[..] else { return };
        stream.merge(low, high);
    }
}

fn copy_a_frame(environment: &Environment, random: &mut StdRng) {
    let open = environment.stream.open_shards();
    let shard = &open[random.random_range(0..open.len())];
    let count = environment.stream.len(shard);
    if count > 0 {
        let at = random.random_range(0..count);
        for record in environment.stream.range(shard, at..at + 1) {
            environment.stream.put(&NewRecord {
                partition_key: record.partition_key,
                data: record.data.to_vec(),
            });
        }
    }
}
