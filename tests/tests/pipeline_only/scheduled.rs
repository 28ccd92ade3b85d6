//! The scheduled run as a function of stores, settings, clock and deadline.

use super::compaction::COMPACTING;
use super::sealing::{SETTINGS, School, workshop};
use super::sweeping::SWEEPING;
use std::cell::Cell;
use std::time::Duration;
use vernier_ledger::ports::{Objects, PutOutcome};
use vernier_ledger::schema::SchemaCache;
use vernier_reconcile::ReceiptDays;
use vernier_reconcile::measured::Done;
use vernier_reconcile::scheduled::{Process, RunSettings, run};
use vernier_tests::envelopes::events;
use vernier_tests::memory::open_windows;

/// A run of a process that knows nothing yet; each look at the clock takes it a second.
async fn run_for(school: &School, seconds: i64) -> Done {
    let process = Process {
        workshop: workshop(),
        schemas: SchemaCache::new(school.table.clone(), Duration::ZERO),
        new_receipt: vernier_intake::new_receipt,
        windows: open_windows(SETTINGS.window_minutes, SETTINGS.grace_seconds),
    };
    let settings = RunSettings {
        windows: SETTINGS,
        receipt_days: ReceiptDays(30),
        compacting: COMPACTING,
        sweeping: SWEEPING,
    };
    let clock = Cell::new(school.clock.get());
    let tick = || {
        clock.set(clock.get().plus_seconds(1));
        clock.get()
    };
    let deadline = clock.get().plus_seconds(seconds);
    let done = run(&school.stores, &process, &settings, tick, deadline).await;
    let done = done.expect("tenants are listed");
    assert_eq!(done.failed(), 0, "{done:?}");
    done
}

#[tokio::test]
async fn a_run_begins_nothing_for_which_its_deadline_leaves_no_time() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(120);
    let short = run_for(&school, 1).await;
    assert_eq!((short.surveyed.completed, short.sealed.sealed), (2, 0));
    assert_eq!((short.sealed.left, short.compacted.left), (1, 1));
    let long = run_for(&school, 600).await;
    assert_eq!((long.sealed.events, long.sealed.left), (2, 0));
    school.assert_sealed([2, 0, 0, 0]);
}

#[tokio::test]
async fn where_nothing_is_missing_failed_batches_are_looked_for_each_quarter_of_an_hour() {
    let school = School::new().await;
    let put = school
        .bucket
        .put_new("aws/lambda/mapping/x", b"no batch".to_vec(), None);
    assert_eq!(put.await, Ok(PutOutcome::Created));
    for (minutes, unreadable) in [(2, 0), (12, 0), (1, 1), (1, 0)] {
        school.pass(minutes * 60);
        let done = run_for(&school, 600).await;
        assert_eq!(done.healed.unreadable, unreadable, "{minutes} minutes on");
    }
}
