//! Days over the fakes: compacted, removed, and everything that reads sealed files afterwards.

use super::ends_within;
use super::playbacks::archive;
use super::sealing::{School, THREE_WINDOWS, WORK, process};
use serde_json::{Value, json};
use std::pin::pin;
use vernier_archive::seal::{Seal, SealKind, StatementBody};
use vernier_fakes::{Fault, Operation};
use vernier_ledger::ports::{Chains, Directory};
use vernier_ledger::time::Millis;
use vernier_reconcile::compaction::{COMPACT_BYTES_MAX, CompactSummary, Compacting};
use vernier_reconcile::process::WorkSettings;
use vernier_tests::bodies::post;
use vernier_tests::envelopes::{bytes, event, event_with_id, events, invalid_event};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::orchestra::{compact_today, turn_of};
use vernier_tests::{Call, World};
use vernier_validation::{Mode, Profile};

/// 2026-09-01T23:55:00Z.
pub(super) const EVENING: Millis = Millis(1_788_306_900_000);
pub(super) const COMPACTING: Compacting = Compacting {
    compact_after_seconds: 120,
    remove_after_seconds: 600,
    bytes_max: COMPACT_BYTES_MAX,
};

/// Three windows of a day that the chain has passed by far enough.
async fn school() -> School {
    let school = School::since(EVENING).await;
    school.three_windows().await;
    school.pass(600);
    assert_eq!(school.seal().await.sealed, 3);
    school
}

/// What a turn compacts: whatever is due by now.
async fn compact(school: &School) -> CompactSummary {
    let summary = school.turn().await.compacted;
    assert_eq!(summary.held, 0, "{summary:?}");
    summary
}

/// Compacted, and the windows' files gone.
async fn removed() -> School {
    let school = school().await;
    compact(&school).await;
    school.pass(600);
    assert!(compact(&school).await.removed > 3);
    school
}

fn days(school: &School) -> usize {
    let seals = school.seals().into_iter();
    seals.filter(|seal| seal.kind == SealKind::Day).count()
}

fn own_files(school: &School) -> usize {
    let classes = ["archive/", "exceptions/", "evidence/"];
    let files = classes.map(|class| school.bucket.keys(class).len());
    files.iter().sum()
}

/// Files of [`THREE_WINDOWS`]: rows of both classes, of one window of one, and evidence of each.
const OWN_FILES: usize = 8;

/// Files of their day: rows of both classes, and evidence.
const DAY_FILES: usize = 3;

#[tokio::test]
async fn a_day_is_compacted_when_the_chain_has_passed_it_and_its_windows_files_go_later() {
    let school = School::since(EVENING).await;
    school.three_windows().await;
    assert_eq!(school.seal().await.sealed, 3);
    assert_eq!(
        compact(&school).await,
        CompactSummary::default(),
        "not over"
    );
    school.pass(600);
    let files = own_files(&school);
    assert_eq!(files, OWN_FILES);
    let summary = compact(&school).await;
    assert_eq!((summary.days, summary.covered, summary.removed), (1, 3, 0));
    assert_eq!(school.bucket.keys("days/").len(), DAY_FILES);
    assert_eq!(own_files(&school), files, "they stay for a while");
    let seals = school.seals();
    let day = seals.last().expect("the day's");
    assert_eq!((day.vernier_seal, day.covers.len()), (4, 3));
    let statement = day.statement.as_ref().map(|statement| &statement.body);
    let Some(StatementBody::Day { parts, evidence }) = statement else {
        panic!("{statement:?}");
    };
    assert_eq!((parts.count(), evidence.count()), (2, 1));
    school.assert_sealed(THREE_WINDOWS);
    assert_eq!(compact(&school).await, CompactSummary::default(), "once");
    school.pass(600);
    let summary = compact(&school).await;
    assert_eq!((summary.days, summary.removed), (0, 8));
    assert_eq!(own_files(&school), 0);
    school.assert_sealed(THREE_WINDOWS);
    school.pass(600);
    assert_eq!(compact(&school).await, CompactSummary::default(), "once");
    // Sealing goes on behind it.
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(120);
    school.turn().await;
    let [stored, rest @ ..] = THREE_WINDOWS;
    school.assert_sealed([stored + 2, rest[0], rest[1], rest[2]]);
}

/// Wherever a run dies, the next ones end with one day of the same rows.
#[tokio::test]
async fn a_crash_in_the_middle_of_compaction_is_made_good() {
    let (mut polls, mut crashes) = (1, 0);
    loop {
        let school = school().await;
        school.faults.interleave(7);
        let ended = {
            let mut run = pin!(compact(&school));
            ends_within(run.as_mut(), polls)
        };
        if ended {
            break;
        }
        crashes += 1;
        // What began again is another process.
        let other = process(&school.table);
        for _ in 0..2 {
            let turn = school.turn_with(&other).await;
            assert_eq!(turn.map(|t| t.failed), Ok(0), "after {polls} polls");
        }
        assert_eq!(days(&school), 1, "after {polls} polls");
        assert_eq!(
            school.bucket.keys("days/").len(),
            DAY_FILES,
            "after {polls} polls"
        );
        school.assert_sealed(THREE_WINDOWS);
        polls += 1;
    }
    assert!(crashes > 20, "{crashes}");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_removal_is_made_good() {
    let (mut polls, mut crashes) = (1, 0);
    loop {
        let school = school().await;
        for _ in 0..2 {
            compact(&school).await;
        }
        school.pass(600);
        school.faults.interleave(11);
        let ended = {
            let mut run = pin!(compact(&school));
            ends_within(run.as_mut(), polls)
        };
        school.assert_sealed(THREE_WINDOWS);
        if ended {
            break;
        }
        crashes += 1;
        compact(&school).await;
        assert_eq!(own_files(&school), 0, "after {polls} polls");
        school.assert_sealed(THREE_WINDOWS);
        polls += 1;
    }
    assert!(crashes > 20, "{crashes}");
}

/// Every store fails at every call, before its effect and after it.
#[tokio::test]
async fn a_failing_store_delays_a_day_and_nothing_else() {
    let mut struck = 0;
    for operation in [
        Operation::Read,
        Operation::PutObject,
        Operation::MoveChain,
        Operation::Sign,
        Operation::RemoveObject,
    ] {
        for fault in [Fault::Before, Fault::After] {
            // Reads are many.
            let step = if operation == Operation::Read { 3 } else { 1 };
            for nth in (0..).step_by(step) {
                let school = school().await;
                school
                    .faults
                    .plan(move |o, n| (o == operation && n == nth).then_some(fault));
                let what = format!("{operation:?} {fault:?} {nth}");
                for _ in 0..2 {
                    // Its answer may be the failure.
                    let _ = school.turn_with(&school.process).await;
                    school.pass(600);
                }
                let calls = school.faults.calls(operation);
                school.faults.clear();
                for _ in 0..3 {
                    compact(&school).await;
                    school.pass(600);
                }
                school.assert_sealed(THREE_WINDOWS);
                assert_eq!((days(&school), own_files(&school)), (1, 0), "{what}");
                if calls <= nth {
                    break;
                }
                struck += 1;
            }
        }
    }
    assert!(struck > 50, "{struck}");
}

/// Invariant 4: three workers at once, their calls interleaved in many ways.
#[tokio::test]
async fn three_workers_at_once_compact_a_day_once() {
    for seed in 1..=20 {
        let school = school().await;
        school.post(&events(2)).await;
        school.deliver().await;
        school.pass(120);
        school.faults.interleave(seed);
        let (other, third) = (process(&school.table), process(&school.table));
        let (a, b, c) = futures::join!(
            school.turn_with(&school.process),
            school.turn_with(&other),
            school.turn_with(&third)
        );
        for turn in [a, b, c] {
            assert_eq!(turn.map(|t| t.failed), Ok(0), "seed {seed}");
        }
        compact(&school).await;
        assert_eq!(days(&school), 1, "seed {seed}");
        assert_eq!(school.bucket.keys("days/").len(), DAY_FILES, "seed {seed}");
        let [stored, rest @ ..] = THREE_WINDOWS;
        school.assert_sealed([stored + 2, rest[0], rest[1], rest[2]]);
    }
}

/// What one step cannot merge is merged by several, each closed by a seal; a window that is too large
/// by itself keeps its files.
#[tokio::test]
async fn a_large_day_takes_several_seals() {
    let school = School::since(EVENING).await;
    for minute in 0..5 {
        let count = if minute == 2 { 400 } else { 3 };
        school.post(&events(count)).await;
        if minute < 4 {
            school.pass(60);
        }
    }
    school.deliver().await;
    school.pass(600);
    assert_eq!(school.seal().await.sealed, 5);
    let bytes = |seal: &Seal| -> u64 {
        let window = seal.statement.as_ref().and_then(|s| s.window());
        let evidence = window.and_then(|window| window.evidence.inline());
        let files = seal.files.iter().chain(evidence.into_iter().flatten());
        files.map(|file| file.bytes).sum()
    };
    let mut sizes: Vec<u64> = school.seals().iter().map(bytes).collect();
    sizes.retain(|bytes| *bytes > 0);
    sizes.sort_unstable();
    let [.., large, largest] = sizes[..] else {
        panic!("{sizes:?}");
    };
    // Two of the small ones, and not three.
    let bytes_max = 2 * large + 100;
    assert!(sizes.len() == 5 && largest > bytes_max, "{sizes:?}");
    let settings = WorkSettings {
        compacting: Compacting {
            bytes_max,
            ..COMPACTING
        },
        ..WORK
    };
    let run = || async {
        let (stores, process, owner) = (&school.stores, &school.process, school.owner());
        let clock = || school.clock.get();
        let forever = Millis(i64::MAX);
        school.table.place_checkpoint(clock());
        let turn = turn_of(stores, process, &settings, &owner, &clock, forever);
        turn.await.expect("its list is read").compacted
    };
    let summary = run().await;
    assert_eq!((summary.days, summary.covered), (2, 4));
    school.assert_sealed([412, 0, 0, 0]);
    assert_eq!(run().await, CompactSummary::default(), "nothing is left");
    school.pass(600);
    assert_eq!(run().await.removed, 8);
    assert_eq!(own_files(&school), 2, "the large window's");
    school.assert_sealed([412, 0, 0, 0]);
    assert_eq!(days(&school), 2);
}

/// A window's file that is not what its seal says: the day is announced, and nothing removed.
#[tokio::test]
async fn a_damaged_file_is_announced_and_not_compacted() {
    let school = school().await;
    let key = school.bucket.keys("archive/").remove(0);
    school.bucket.lose(&key);
    for _ in 0..2 {
        let summary = school.turn().await.compacted;
        assert_eq!((summary.days, summary.held), (0, 1), "{summary:?}");
        school.pass(120);
    }
    let notices = school.topic.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].1.contains(&key), "{notices:?}");
}

/// A day's file that is gone: what it covers stays.
#[tokio::test]
async fn nothing_is_removed_without_its_day() {
    let school = school().await;
    compact(&school).await;
    compact(&school).await;
    let key = school.bucket.keys("days/").remove(0);
    school.bucket.lose(&key);
    school.pass(600);
    let summary = school.turn().await.compacted;
    assert_eq!((summary.removed, summary.held), (0, 1), "{summary:?}");
    assert_eq!(own_files(&school), OWN_FILES);
    assert!(school.topic.notices()[0].1.contains(&key));
}

/// What a late envelope repeats, and what of its window is sealed, is in the day's files by then.
#[tokio::test]
async fn late_events_are_sealed_after_their_windows_files_are_gone() {
    let school = removed().await;
    let now = school.clock.get();
    school.clock.set(EVENING.plus_seconds(30));
    let known = event_with_id("urn:uuid:00000000-0000-4000-8000-000000000001");
    school.post(&[event(), known]).await;
    school.clock.set(now);
    school.deliver().await;
    // With the filters that the process kept, and without.
    let fresh = process(&school.table);
    let turn = school.turn_with(&fresh).await.expect("its list is read");
    assert_eq!((turn.failed, turn.sealed.backfills), (0, 1), "{turn:?}");
    let [stored, duplicates, conflicts, rejected] = THREE_WINDOWS;
    school.assert_sealed([stored + 1, duplicates + 1, conflicts, rejected]);
}

/// Seals a backfill of one of the windows of [`THREE_WINDOWS`], whose day may be over.
async fn seal_late(school: &School, minute: i64) {
    let now = school.clock.get();
    let at = EVENING.plus_seconds(60 * minute + 30);
    school.clock.set(at.plus_seconds(60));
    school.post_at(at, &events(2)).await;
    school.clock.set(now);
    school.deliver().await;
    assert_eq!(school.seal().await.backfills, 1);
}

/// What [`THREE_WINDOWS`] and so many backfills of two events come to.
fn with_late(backfills: u64) -> [u64; 4] {
    let [stored, rest @ ..] = THREE_WINDOWS;
    [stored + 2 * backfills, rest[0], rest[1], rest[2]]
}

/// Files of a backfill: rows of one class, and evidence.
const BACKFILL_FILES: usize = 2;

/// What was sealed after its day was merged is merged by another seal of the day; one seal alone is not.
#[tokio::test]
async fn late_seals_of_a_compacted_day_are_merged() {
    let school = removed().await;
    seal_late(&school, 0).await;
    school.pass(1_000);
    assert_eq!(compact(&school).await, CompactSummary::default(), "alone");
    assert_eq!((days(&school), own_files(&school)), (1, BACKFILL_FILES));
    school.assert_sealed(with_late(1));

    seal_late(&school, 1).await;
    let summary = compact(&school).await;
    assert_eq!((summary.days, summary.covered, summary.removed), (1, 2, 0));
    assert_eq!(own_files(&school), 2 * BACKFILL_FILES, "they stay a while");
    school.assert_sealed(with_late(2));
    school.pass(600);
    assert_eq!(compact(&school).await.removed, 4);
    assert_eq!((days(&school), own_files(&school)), (2, 0));
    school.assert_sealed(with_late(2));
    school.pass(600);
    assert_eq!(compact(&school).await, CompactSummary::default(), "once");

    // Two that come soon after each other wait for what comes with them.
    seal_late(&school, 2).await;
    seal_late(&school, 2).await;
    assert_eq!(compact(&school).await, CompactSummary::default(), "early");
    seal_late(&school, 1).await;
    school.pass(120);
    let summary = compact(&school).await;
    assert_eq!((summary.days, summary.covered), (1, 3));
    school.pass(600);
    assert_eq!(compact(&school).await.removed, 6);
    school.assert_sealed(with_late(5));
    // What repeats an event of theirs is known for that.
    let known = event_with_id("urn:uuid:00000000-0000-4000-8000-000000000001");
    school.post(&[known]).await;
    school.deliver().await;
    school.pass(120);
    assert_eq!(school.seal().await.counts.duplicate, 1);
}

/// Wherever a run dies that merges late seals, or removes their files, the next ones end with one more seal of the day.
#[tokio::test]
async fn a_crash_while_late_seals_are_merged_is_made_good() {
    for is_merged in [false, true] {
        let (mut polls, mut crashes) = (1, 0);
        loop {
            let school = removed().await;
            seal_late(&school, 0).await;
            seal_late(&school, 1).await;
            school.pass(120);
            if is_merged {
                assert_eq!(compact(&school).await.days, 1);
                school.pass(600);
            }
            school.faults.interleave(13);
            let ended = {
                let mut run = pin!(compact(&school));
                ends_within(run.as_mut(), polls)
            };
            let what = format!("after {polls} polls, {is_merged}");
            school.assert_sealed(with_late(2));
            let other = process(&school.table);
            for _ in 0..3 {
                let turn = school.turn_with(&other).await;
                assert_eq!(turn.map(|turn| turn.failed), Ok(0), "{what}");
                school.pass(600);
            }
            assert_eq!((days(&school), own_files(&school)), (2, 0), "{what}");
            school.assert_sealed(with_late(2));
            if ended {
                break;
            }
            crashes += 1;
            // Calls are many.
            polls += 5;
        }
        assert!(crashes > 10, "{crashes}");
    }
}

/// A later window's event that repeats one of the day, by filters that were read before the removal
/// and after it.
#[tokio::test]
async fn events_that_repeat_a_compacted_day_are_known() {
    let again = || event_with_id("urn:uuid:00000000-0000-4000-8000-000000000001");
    for same_process in [true, false] {
        let school = removed().await;
        school.post(&[again(), event()]).await;
        school.deliver().await;
        school.pass(120);
        let other = process(&school.table);
        let process = if same_process {
            &school.process
        } else {
            &other
        };
        let turn = school.turn_with(process).await.expect("its list is read");
        assert_eq!((turn.failed, turn.sealed.held), (0, 0), "{turn:?}");
        let [stored, duplicates, conflicts, rejected] = THREE_WINDOWS;
        school.assert_sealed([stored + 1, duplicates + 1, conflicts, rejected]);
    }
}

/// Compacts and removes what is there, though its day is not over.
async fn compact_now(world: &MemoryWorld) {
    let (mut days, mut removed) = (0, 0);
    for tenant in world.table.tenants().await.expect("listed") {
        let summary = compact_today(world, &tenant, -2 * 86_400).await;
        days += summary.days;
        removed += summary.removed;
    }
    assert!(days > 0 && removed > 1, "{days} {removed}");
    assert!(world.keys("archive/").await.is_empty());
}

/// Windows of a minute: the next one begins with the next call.
async fn next_window(world: &MemoryWorld) {
    world.deliver().await.expect("taken");
    world.seal().await;
}

/// The proof of an event is the same document before and after.
#[tokio::test]
async fn a_proof_stays_the_same_when_its_window_is_compacted() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let wanted = event();
    let id = wanted["id"].as_str().expect("an id").to_owned();
    let mut first = events(20);
    first.extend([wanted.clone(), wanted]);
    post(&world, &member, bytes(&first)).await;
    next_window(&world).await;
    // What comes late makes a second seal.
    post(&world, &member, bytes(&events(5))).await;
    next_window(&world).await;
    let proof = || {
        let call = Call::get("/events/{id}/proof").id(&id);
        world.call(call.token(&member.secret))
    };
    let before = proof().await;
    assert_eq!(before.status, 200, "{}", before.json());
    compact_now(&world).await;
    let after = proof().await;
    assert_eq!(after.status, 200, "{}", after.json());
    assert_eq!(after.json()["proof"], before.json()["proof"]);
    assert_eq!(after.json()["seal"], before.json()["seal"]);
    let call = Call::get("/events/{id}/proof").id("urn:uuid:none");
    let none = world.call(call.token(&member.secret)).await;
    assert_eq!(none.status, 404);
    let list = world.call(Call::get("/seals").token(&member.secret)).await;
    let kinds: Vec<Value> = list.json()["seals"]
        .as_array()
        .expect("seals")
        .iter()
        .map(|seal| seal["kind"].clone())
        .collect();
    assert_eq!(kinds.last(), Some(&json!("day")), "{kinds:?}");
    let tenant = member.tenant.parse().expect("a name");
    let head = world.table.chain(&tenant).await.expect("reads");
    assert!(head.is_some_and(|head| head.compacted.is_some()));
}

/// A job that began on the windows' files ends on the day's, with every event counted once.
#[tokio::test]
async fn a_playback_goes_on_when_its_files_are_compacted() {
    let school = archive().await;
    let world = &school.world;
    let id = school.begin(json!({"rate": 25})).await;
    assert_eq!(school.run().await, Ok(0));
    assert_eq!(school.job(id).await.progress.events_played, 25);
    // One more seal, which is no part of the job.
    post(world, &school.member, bytes(&events(1))).await;
    next_window(world).await;
    compact_now(world).await;
    for _ in 0..3 {
        assert_eq!(school.run().await, Ok(0));
    }
    school.assert_done(id, "from the day's files").await;
}

/// Lists, reports and playbacks onto the stream read a compacted day as they read its windows.
#[tokio::test]
async fn the_quarantine_and_playbacks_read_a_compacted_day() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut first = events(8);
    first.extend([invalid_event(), invalid_event()]);
    post(&world, &member, bytes(&first)).await;
    next_window(&world).await;
    post(&world, &member, bytes(&[event(), invalid_event()])).await;
    next_window(&world).await;
    let read = async || {
        let get = |route| world.call(Call::get(route).token(&member.secret));
        let (list, report) = (get("/quarantine").await, get("/deviations").await);
        let mut played = Vec::new();
        for source in ["archive", "quarantine"] {
            let now = vernier_ledger::clock::now();
            let request = json!({
                "from": now.plus_seconds(-3600).rfc3339(), "to": now.plus_seconds(3600).rfc3339(),
                "source": source, "target": "stream", "dry_run": true,
            });
            let call = Call::post_to("/playbacks", &request).token(&member.secret);
            let playback = world.call(call).await.json();
            assert_eq!(playback["state"], "done", "{playback}");
            let counts = ["events_played", "rejected_again", "envelopes"];
            played.extend(counts.map(|name| playback["progress"][name].clone()));
        }
        let found = list.json()["events"].clone();
        (found, report.json()["sensors"].clone(), played)
    };
    let before = read().await;
    assert_eq!(before.0.as_array().map(Vec::len), Some(3), "{before:?}");
    assert_eq!(before.1[0]["events"], 12);
    assert_eq!(before.2, [9, 0, 1, 0, 3, 0].map(Value::from));
    compact_now(&world).await;
    assert_eq!(read().await, before);
}
