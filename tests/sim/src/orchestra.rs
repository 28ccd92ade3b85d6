//! Planner, queue and workers over fakes: what the schedule and the queue's trigger do on AWS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::Duration;
use vernier_fakes::MemoryQueue;
use vernier_intake::OpenWindows;
use vernier_ledger::block_item::{Listing, ListingMark};
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{NewRecord, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{
    AUDIT_DAILY, Cause, DueItem, Nonce, Nudge, Owner, WorkEntry, WorkKey, WorkLists,
};
use vernier_reconcile::planner::plan;
use vernier_reconcile::process::{Process, WorkSettings};
use vernier_reconcile::worker::{Turn, turn};
use vernier_stream::ProcessMemory;

/// A process of input's memory: none yet, of windows of so many minutes.
#[must_use]
pub fn open_windows(window_minutes: u32, grace_seconds: i64) -> OpenWindows {
    let times = WindowTimes::new(window_minutes, grace_seconds);
    OpenWindows::new(times, Nonce::random)
}

/// A process of the stream function's memory: it has put no late entry.
#[must_use]
pub fn stream_memory(window_minutes: u32, grace_seconds: i64) -> ProcessMemory {
    let times = WindowTimes::new(window_minutes, grace_seconds);
    ProcessMemory::new(times, Nonce::random)
}

/// Puts the ledger's own entries as they are at an instant on a stack that has been running for days: nothing is left of an
/// upgrade, and the audit of the day was just made, so that nothing but its own entry has a window sealed.
///
/// # Panics
/// When the table does not take them.
pub async fn begin_lists<T: Listing + WorkLists>(
    table: &T,
    at: Millis,
    mut new_nonce: impl FnMut() -> Nonce,
) {
    let mark = ListingMark {
        complete: true,
        seeded: true,
        ..ListingMark::beginning(at)
    };
    let saved = table.save_listing_mark(&mark).await;
    saved.expect("the table takes the mark");
    for (cause, subject, due) in [
        (Cause::Audit, AUDIT_DAILY, at.plus_seconds(86_400)),
        (Cause::Recover, "", at),
        (Cause::SweepSegments, "", at),
        (Cause::CheckShards, "", at),
    ] {
        let entry = WorkEntry::new(WorkKey::of(cause, subject), due, new_nonce());
        let put = table.put_work(&Owner::Ledger, &entry).await;
        put.expect("the table takes the entry");
    }
}

/// Puts an entry, in the place of one that may be there, whose index item goes as well.
///
/// # Panics
/// When the table does not take it.
pub async fn put_in_place<T: WorkLists>(table: &T, owner: &Owner, entry: &WorkEntry) {
    let seen = table.work_entry(owner, &entry.key).await;
    let put = match seen.expect("the table answers") {
        Some(seen) => table.move_work(owner, &seen, entry).await,
        None => table.add_work(owner, entry).await,
    };
    put.expect("the table takes it");
}

/// Rounds of planning after which work that does not come to rest is a fault.
const ROUNDS_MAX: u32 = 1_000;

/// A worker's time, seconds.
const TURN_SECONDS: i64 = 120;

/// Plans and takes turns until nothing is due by the clock; answers the sum of the turns.
///
/// # Errors
/// The first error of planner or worker: its message stays in the queue, as on AWS.
///
/// # Panics
/// When the work does not come to rest.
pub async fn work_until_rest<S: ReconcileStores<Queue = MemoryQueue>>(
    stores: &S,
    process: &Process<S::Table>,
    settings: &WorkSettings,
    clock: &impl Fn() -> Millis,
) -> Result<Turn, PortError> {
    let (queue, mut sum) = (stores.queue(), Turn::default());
    for _ in 0..ROUNDS_MAX {
        let now = clock();
        queue.set_clock(now);
        plan(stores, process, now).await?;
        let mut is_at_rest = true;
        while let Some(delivery) = queue.receive(clock()) {
            is_at_rest = false;
            let deadline = clock().plus_seconds(TURN_SECONDS);
            let taking = turn(stores, process, settings, &delivery.nudge, clock, deadline);
            sum.add(&taking.await?);
            queue.delete(delivery.handle);
        }
        if is_at_rest {
            return Ok(sum);
        }
    }
    panic!("the work does not come to rest: {sum:?}");
}

/// Takes one turn of an owner whose nudge came twice, or late: its entry may be done.
///
/// # Errors
/// Whatever error the table gives.
pub async fn turn_of<S: ReconcileStores>(
    stores: &S,
    process: &Process<S::Table>,
    settings: &WorkSettings,
    owner: &Owner,
    clock: &impl Fn() -> Millis,
    deadline: Millis,
) -> Result<Turn, PortError> {
    let nudge = Nudge::from(DueItem {
        due: Millis(0),
        owner: owner.clone(),
        nonce: Nonce([0; 16]),
        lone_since: None,
    });
    turn(stores, process, settings, &nudge, clock, deadline).await
}

/// A Kinesis trigger event of one shard.
#[must_use]
pub fn trigger_event(shard: &Shard, records: &[(Sequence, NewRecord)]) -> Value {
    let arrived_at =
        Duration::from_millis(vernier_ledger::clock::now().0.unsigned_abs()).as_secs_f64();
    let record = |(sequence, record): &(Sequence, NewRecord)| {
        json!({
            "eventID": format!("{}:{sequence}", shard.id),
            "eventName": "aws:kinesis:record",
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "awsRegion": "us-east-1",
            "eventSourceARN": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", shard.stream),
            "kinesis": {
                "approximateArrivalTimestamp": arrived_at,
                "data": STANDARD.encode(&record.data),
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.partition_key,
                "sequenceNumber": sequence.as_str(),
            }
        })
    };
    json!({ "Records": records.iter().map(record).collect::<Vec<_>>() })
}
