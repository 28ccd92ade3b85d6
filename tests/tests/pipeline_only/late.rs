//! Entries of work lists that the stream function puts: what comes for a window that is over is looked for again.

use super::ends_within;
use super::sealing::{BEGINNING, SETTINGS, School};
use std::time::Duration;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::closing::{LATE_SECONDS, WindowTimes};
use vernier_ledger::ports::PortError;
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, Owner, WorkEntry};
use vernier_stream::{Committing, Outcome, ProcessMemory, Record, Settings, process};
use vernier_tests::envelopes::events;
use vernier_tests::memory::stream_memory;

const BUDGET: Duration = Duration::from_secs(5);

fn a_process() -> ProcessMemory {
    stream_memory(SETTINGS.window_minutes, SETTINGS.grace_seconds)
}

fn times() -> WindowTimes {
    WindowTimes::new(SETTINGS.window_minutes, SETTINGS.grace_seconds)
}

fn window_of(at: Millis) -> Window {
    times().window(at)
}

/// The late entries of all lists, by their windows' beginnings.
fn late(school: &School) -> Vec<WorkEntry> {
    let owner = Owner::Tenant(school.tenant.id.clone());
    let of_cause = school.table.all_work().into_iter();
    let late = of_cause.filter(|(_, entry)| entry.key.cause == Cause::Late);
    late.map(|(of, entry)| {
        assert_eq!(of, owner);
        entry
    })
    .collect()
}

/// Takes the stream's frames, all in one batch, by a process with this memory.
async fn take(school: &School, memory: &ProcessMemory) -> Result<Outcome, PortError> {
    take_arrived(school, memory, None).await
}

/// The same of frames that arrived at an instant.
async fn take_arrived(
    school: &School,
    memory: &ProcessMemory,
    arrived_at: Option<Millis>,
) -> Result<Outcome, PortError> {
    let committing = Committing {
        settings: Settings::keeping(30),
        memory,
    };
    let (shard, records) = school.stream.records().pop_first().expect("a shard");
    let records = records.into_iter().map(|(sequence, record)| Record {
        sequence,
        data: record.data,
        arrived_at,
    });
    let clock = || school.clock.get();
    process(
        &school.stores,
        committing,
        &shard,
        records.collect(),
        clock,
        BUDGET,
    )
    .await
}

/// A school with an envelope of its first window on the stream, so long after the window's end.
async fn school_after(seconds: i64) -> School {
    let school = School::new().await;
    school.post(&events(2)).await;
    school
        .clock
        .set(window_of(BEGINNING).end.plus_seconds(seconds));
    school
}

#[tokio::test(start_paused = true)]
async fn what_comes_within_a_minute_of_its_windows_end_is_not_late() {
    for (seconds, entries) in [(-30, 0), (LATE_SECONDS, 0), (LATE_SECONDS + 1, 1)] {
        let school = school_after(seconds).await;
        take(&school, &a_process()).await.expect("committed");
        assert_eq!(late(&school).len(), entries, "{seconds} s after the end");
    }
}

/// Invariant 3: wherever the function is killed, what it committed late has its entry, which is due when the function's
/// time is over, by clocks that differ.
#[tokio::test(start_paused = true)]
async fn a_late_entry_is_there_before_the_commit_wherever_stream_is_killed() {
    let (mut polls, mut ahead) = (1_u32, 0);
    loop {
        let school = school_after(1_000).await;
        school.faults.interleave(u64::from(polls));
        let (process, began) = (a_process(), school.clock.get());
        let ended = {
            let mut taken = std::pin::pin!(take(&school, &process));
            let mut ended = false;
            for _ in 0..polls {
                // A second passes between two polls.
                ended = ends_within(taken.as_mut(), 1);
                if ended {
                    break;
                }
                school.clock.set(school.clock.get().plus_seconds(1));
            }
            ended
        };
        let (entries, commits) = (late(&school), school.table.all_records());
        if let [commit] = &commits[..] {
            let [entry] = &entries[..] else {
                panic!("after {polls} polls: {entries:?}");
            };
            assert_eq!(entry.key.start(), Some(window_of(BEGINNING).start));
            let over = began.plus_seconds(times().stream_timeout_seconds);
            let skew = 2 * times().skew_seconds;
            assert!(entry.due >= over.plus_seconds(skew), "after {polls} polls");
            assert!(entry.due > commit.committed_at.plus_seconds(skew));
            let due = school.table.all_due();
            assert!(due.contains(&entry.due_item(&Owner::Tenant(school.tenant.id.clone()))));
        }
        ahead += u32::from(entries.len() > commits.len());
        if ended {
            break;
        }
        polls += 1;
    }
    assert!(ahead > 0, "an entry is alone before its commit");
}

/// An entry that was put is good for other batches as long as their commits land before it is due.
#[tokio::test(start_paused = true)]
async fn a_late_entry_is_put_again_after_a_minute() {
    let school = school_after(1_000).await;
    let process = a_process();
    take(&school, &process).await.expect("committed");
    let first = late(&school).remove(0);
    let put_at = school.clock.get();
    for (seconds, is_new) in [(1, false), (LATE_SECONDS, false), (LATE_SECONDS + 1, true)] {
        school.post_late(&events(1)).await;
        school.clock.set(put_at.plus_seconds(seconds));
        let outcome = take(&school, &process).await.expect("committed");
        assert_eq!(outcome.frames, 1);
        let entry = late(&school).remove(0);
        assert_eq!(entry != first, is_new, "after {seconds} s");
        // A batch's last moment, by a worker's clock that is as far ahead as two can be of a third.
        let lands = school
            .clock
            .get()
            .plus_seconds(times().stream_timeout_seconds);
        assert!(entry.due >= lands.plus_seconds(2 * times().skew_seconds));
    }
    // Another process knows nothing of it.
    school.post_late(&events(1)).await;
    let before = late(&school);
    take(&school, &a_process()).await.expect("committed");
    assert_ne!(late(&school), before);
    assert_eq!(late(&school).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_late_window_of_a_batch_has_its_entry() {
    let school = School::new().await;
    let length = 60 * i64::from(SETTINGS.window_minutes);
    for n in 0..3 {
        school
            .post_at(BEGINNING.plus_seconds(n * length), &events(1))
            .await;
        school
            .post_at(BEGINNING.plus_seconds(n * length + 1), &events(1))
            .await;
    }
    // Of the last one it is not late.
    let last = window_of(BEGINNING.plus_seconds(2 * length));
    school.clock.set(last.end.plus_seconds(1));
    take(&school, &a_process()).await.expect("committed");
    let starts: Vec<Option<Millis>> = late(&school).iter().map(|e| e.key.start()).collect();
    let wanted = [0, 1].map(|n| Some(window_of(BEGINNING.plus_seconds(n * length)).start));
    assert_eq!(starts, wanted);
}

/// A table that takes no entry gets no late commit, and the trigger tries the batch again.
#[tokio::test(start_paused = true)]
async fn without_its_entry_nothing_late_is_committed() {
    for operation in [Operation::PutIndex, Operation::PutWork] {
        for fault in Fault::ALL {
            let school = school_after(1_000).await;
            let process = a_process();
            school
                .faults
                .plan(move |of, _| (of == operation).then_some(fault));
            assert!(
                take(&school, &process).await.is_err(),
                "{operation:?} {fault:?}"
            );
            assert_eq!(school.table.all_records(), [], "{operation:?} {fault:?}");
            school.faults.clear();
            take(&school, &process).await.expect("committed");
            assert_eq!(late(&school).len(), 1, "{operation:?} {fault:?}");
        }
    }
}

/// The stream's clock against input's, whichever is ahead.
#[tokio::test(start_paused = true)]
async fn receipt_and_arrival_are_held_against_each_other() {
    for (arrived_seconds, apart_millis) in [(70, 70_000), (-70, 70_000), (0, 0)] {
        let school = school_after(0).await;
        let arrived_at = Some(BEGINNING.plus_seconds(arrived_seconds));
        let outcome = take_arrived(&school, &a_process(), arrived_at).await;
        let outcome = outcome.expect("committed");
        assert_eq!(outcome.skew_millis_max, Some(apart_millis));
    }
    let school = school_after(0).await;
    let outcome = take(&school, &a_process()).await.expect("committed");
    assert_eq!(outcome.skew_millis_max, None);
}
