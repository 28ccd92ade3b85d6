//! How a bench commits what it sent to the counting endpoints: as the stream function does, a moment later.

use std::time::Duration;
use vernier_ledger::ids::Shard;
use vernier_ledger::stores::IntakeStores;
use vernier_ledger::time::Millis;
use vernier_stream::Settings;
use vernier_tests::memory::stream_memory;
use vernier_tests::stub::Stub;

/// What a batch may take.
const BUDGET: Duration = Duration::from_secs(60);

/// Takes the records that the endpoints were given since the last time as one batch of a shard; blocks of more than
/// the settings' `chunk_bytes` of lines have a filter, which workers roll up.
pub(crate) async fn commit<S: IntakeStores>(
    stub: &Stub,
    stores: &S,
    shard: &Shard,
    settings: Settings,
    at: Millis,
) {
    let records = stub.take_records().into_iter();
    let records = records.map(|record| vernier_stream::Record {
        sequence: record.sequence.parse().expect("digits"),
        data: record.data,
        arrived_at: None,
    });
    let memory = stream_memory(15, 300);
    let committing = vernier_stream::Committing {
        settings,
        memory: &memory,
    };
    let clock = || at.plus_seconds(1);
    let records = records.collect();
    let done = vernier_stream::process(stores, committing, shard, records, clock, BUDGET);
    done.await.expect("committed");
}
