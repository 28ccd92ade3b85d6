//! What sweeps leave behind, where they stand when they are cut off, and what a restored table does not know.

use super::sealing::{HOLD_SECONDS, School};
use super::shortfalls::{assert_short, damaged, last};
use super::sweeping::{GARBAGE_SECONDS, SWEEPING};
use std::cell::Cell;
use vernier_archive::seal::SealKind;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::ports::Sweeps;
use vernier_ledger::sweep::{
    LeftDay, LeftSegment, Leftover, Sweep, SweepMark, UnknownTime, all_leftovers,
};
use vernier_ledger::time::Millis;
use vernier_reconcile::sweeping::sweep_segments;
use vernier_tests::envelopes::{event, events};

/// Where the school's sweep of segments stands.
async fn mark_of(school: &School) -> SweepMark {
    let mark = school.table.sweep_mark(Sweep::Segments).await;
    mark.expect("read").expect("a mark")
}

/// However much is left behind, the mark stays as small, and what is sealed of the same hours goes.
#[tokio::test]
async fn trouble_stops_no_sweep_and_makes_no_item_grow() {
    let school = School::new().await;
    let mut waiting = Vec::new();
    for _ in 0..30 {
        school.post(&[event()]).await;
        school.deliver().await;
        school.pass(60);
        waiting.push(school.post(&[event(), event()]).await);
        // Half of the window comes: it does not add up.
        school.post(&[event()]).await;
        let lost = school
            .stream
            .records()
            .values()
            .map(Vec::len)
            .sum::<usize>()
            - 2;
        school.deliver_but(&[lost]).await;
        school.pass(3_600);
    }
    school.seal().await;
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    let swept = school.sweep().await;
    assert!(swept.left >= 20 && swept.segments >= 1, "{swept:?}");
    let mark = mark_of(&school).await;
    let text = serde_json::to_string(&mark).expect("plain data");
    assert!(text.len() < 300, "{text}");
    assert!(
        mark.through
            > school
                .clock
                .get()
                .plus_seconds(-SWEEPING.segment_seconds - 3_600)
    );
    let left = all_leftovers(&school.table).await.expect("read");
    assert!(left.len() as u64 >= 20, "{left:?}");
    let named = |left: &Leftover| left.key.tenant.as_ref() == Some(&school.tenant.id);
    assert!(left.iter().all(named), "{left:?}");
}

/// More than a page of objects, and a run that has time for one page: the next begins behind it.
#[tokio::test]
async fn a_sweep_that_is_cut_off_goes_on_where_it_was() {
    let school = School::new().await;
    school.three_windows().await;
    let segment = school.bucket.keys("segments/").remove(0);
    let folder = &segment[..segment.find("/hour=").expect("an hour") + 9];
    for n in 0..2_500 {
        let key = format!("{folder}stream/shard/{n}-{n}-00.jsonl.zst");
        school.put(&key).await;
    }
    school.seal().await;
    school.pass(GARBAGE_SECONDS);
    let mut runs = Vec::new();
    for _ in 0..20 {
        let calls = Cell::new(0);
        // A clock that stands still for one look.
        let clock = || {
            calls.set(calls.get() + 1);
            Millis(school.clock.get().0 + i64::from(calls.get() > 2))
        };
        let until = school.clock.get().plus_seconds(0).0 + 1;
        let run = sweep_segments(&school.stores, SWEEPING, clock, Millis(until));
        let run = run.await.expect("no faults");
        runs.push((
            run.unnamed + run.segments,
            run.is_behind,
            mark_of(&school).await.place.is_some(),
        ));
        if !run.is_behind {
            break;
        }
    }
    assert_eq!(runs[0], (1_000, true, true), "{runs:?}");
    assert_eq!(runs[1].0, 1_000, "{runs:?}");
    assert_eq!(runs.iter().map(|run| run.0).sum::<u64>(), 2_501);
    assert_eq!(school.count("segments/"), 0);
    // One request for each page, and not one for each object.
    let removals = school.faults.calls(Operation::RemoveObject);
    assert!(removals < 10, "{removals}");
}

/// A request removes some of its objects and fails for others: the page is taken again until none is left.
#[tokio::test]
async fn objects_that_a_request_did_not_remove_are_removed_by_the_next() {
    let school = School::new().await;
    school.three_windows().await;
    school.seal().await;
    let segments = school.count("segments/") as u64;
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    for fault in [Fault::Before, Fault::After] {
        school
            .faults
            .plan(move |op, at| (op == Operation::RemoveKey && at == 0).then_some(fault));
        let clock = || school.clock.get();
        let run = sweep_segments(&school.stores, SWEEPING, clock, Millis(i64::MAX));
        let failed = run.await;
        assert!(
            matches!(&failed, Err(error) if error.is_retryable()),
            "{failed:?}"
        );
        school.faults.clear();
    }
    assert!(segments > 0);
    school.sweep().await;
    assert_eq!(school.count("segments/"), 0);
    assert_eq!(school.report().findings, []);
}

/// A mark of an earlier version has what was left in lists: it is looked at, and becomes leftovers or goes.
#[tokio::test]
async fn what_an_earlier_version_left_is_taken_over() {
    let school = School::new().await;
    school.three_windows().await;
    school.seal().await;
    school.post(&events(2)).await;
    school.deliver().await;
    let segments = school.bucket.keys("segments/");
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    let left = segments.iter().map(|object| LeftSegment {
        committed_at: Millis(0),
        object: object.clone(),
    });
    let mark = SweepMark {
        through: school.clock.get(),
        left: left.collect(),
        left_days: [LeftDay {
            start: Millis(0),
            tenant: school.tenant.id.clone(),
        }]
        .into(),
        ..SweepMark::default()
    };
    let saved = school.table.save_sweep_mark(Sweep::Segments, &mark).await;
    assert_eq!(saved, Ok(()));
    let swept = school.sweep().await;
    assert_eq!((school.count("segments/"), swept.left), (1, 1), "{swept:?}");
    let mark = mark_of(&school).await;
    assert!(
        mark.left.is_empty() && mark.left_days.is_empty(),
        "{mark:?}"
    );
    school.seal().await;
    school.sweep().await;
    assert_eq!(school.count("segments/"), 0);
}

/// A table that was restored to an earlier time knows nothing of the commits since: their segments look as if nothing
/// named them.
#[tokio::test]
async fn what_a_restored_table_does_not_know_stays_and_is_named() {
    let school = School::new().await;
    school.three_windows().await;
    school.seal().await;
    let segment = school.bucket.keys("segments/").remove(0);
    let folder = &segment[..segment.find("/hour=").expect("an hour") + 9];
    let before = format!("{folder}stream/shard/1-2-00.jsonl.zst");
    school.put(&before).await;
    school.pass(6 * 3_600);
    let from = school.clock.get();
    let (date, hour) = from.date_and_hour();
    let unknown = format!("segments/dt={date}/hour={hour}/stream/shard/3-4-00.jsonl.zst");
    school.put(&unknown).await;
    school.pass(3_600);
    let time = UnknownTime {
        from,
        until: school.clock.get(),
    };
    assert_eq!(school.table.save_unknown_time(Some(time)).await, Ok(()));
    school.pass(GARBAGE_SECONDS);
    let swept = school.sweep().await;
    assert!(swept.unnamed == 1 && swept.unknown >= 1, "{swept:?}");
    assert_eq!(
        school.bucket.keys("segments/"),
        std::slice::from_ref(&unknown)
    );
    let notices = school.topic.notices();
    let told = notices
        .iter()
        .any(|(subject, body)| subject.contains("does not know") && body.contains(&unknown));
    assert!(told, "{notices:?}");
    school.pass(GARBAGE_SECONDS);
    school.sweep().await;
    assert_eq!(school.bucket.keys("segments/"), [unknown], "however long");
    // An operator says that it is over.
    assert_eq!(school.table.save_unknown_time(None).await, Ok(()));
    let clock = || school.clock.get();
    let run = sweep_segments(&school.stores, SWEEPING, clock, Millis(i64::MAX));
    assert_eq!(run.await.map(|run| run.unnamed), Ok(1));
    assert_eq!(school.count("segments/"), 0);
}

/// What is missing of a window may be the same at the next try: a file of it goes a day later, unless a seal names it. What
/// lies under a sequence that a seal has taken goes at once.
#[tokio::test]
async fn what_is_missing_and_what_is_added_goes_where_no_seal_names_it() {
    let school = School::new().await;
    let start = school.clock.get();
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(120);
    school.seal().await;
    let (date, hour) = start.date_and_hour();
    let content = "00".repeat(16);
    let folder = format!("missing/tenant=school/dt={date}/hour={hour}");
    let of_window = |start: i64| format!("{folder}/{start:015}-0000-{content}.parquet");
    let sequence = |kind: &str, n: u64| format!("{kind}/tenant=school/{n:012}-0000-{content}.x");
    let stays = [
        of_window(start.0 + 600_000),
        sequence("deltas", 999),
        sequence("erasures", 999),
    ];
    let goes = [
        of_window(start.0),
        sequence("deltas", 0),
        sequence("erasures", 0),
    ];
    for key in stays.iter().chain(&goes) {
        school.put(key).await;
    }
    school.pass(3_700);
    assert_eq!(school.turn().await.swept.unnamed, 2);
    assert!(school.bucket.keys("missing/").contains(&goes[0]));
    school.pass(86_400);
    assert_eq!(school.turn().await.swept.unnamed, 1);
    let left = ["missing/", "deltas/", "erasures/"].map(|prefix| school.bucket.keys(prefix));
    assert_eq!(left.concat(), stays);
}

/// What is kept raw, and listed as missing, keeps no segment; what came later and is not sealed yet does.
#[tokio::test]
async fn segments_of_a_short_window_go_when_all_that_can_be_is_sealed() {
    let changed = |mut bytes: Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    };
    let (school, _) = damaged(changed).await;
    school.work().await;
    school.pass(HOLD_SECONDS + 60);
    school.work().await;
    assert_eq!(last(&school).counts.stored, 3);
    school.pass(3_600);
    school.post_late(&events(1)).await;
    school.deliver().await;
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    let swept = school.sweep().await;
    assert_eq!((swept.segments, swept.left), (2, 1), "{swept:?}");
    school.work().await;
    assert_eq!(last(&school).kind, SealKind::Backfill);
    let swept = school.sweep().await;
    assert_eq!(swept.left, 0, "{swept:?}");
    assert_eq!(school.bucket.keys("segments/"), Vec::<String>::new());
    assert_short(&school, 1);
}
