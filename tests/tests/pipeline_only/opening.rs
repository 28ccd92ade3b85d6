//! Entries of work lists that input puts: before a window has anything, its tenant's list says so.

use super::ends_within;
use super::sealing::{SETTINGS, School};
use std::cell::Cell;
use std::time::Duration;
use vernier_fakes::{Fault, Operation};
use vernier_intake::{NotAccepted, OpenWindows, Sending, SpreadKeeper};
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists};
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::{MemoryWorld, open_windows};
use vernier_tests::{Call, World};
use vernier_validation::{Mode, Profile};

const BUDGET: Duration = Duration::from_secs(5);

fn process() -> OpenWindows {
    open_windows(SETTINGS.window_minutes, SETTINGS.grace_seconds)
}

fn owner(school: &School) -> Owner {
    Owner::Tenant(school.tenant.id.clone())
}

fn window_of(at: Millis) -> Window {
    Window::containing(at, SETTINGS.window_minutes)
}

fn due_of(school: &School, window: Window) -> Millis {
    let times = WindowTimes::new(SETTINGS.window_minutes, SETTINGS.grace_seconds);
    times.close_due(&school.tenant.id, window)
}

/// The entry of the window that an instant lies in.
async fn entry_at(school: &School, at: Millis) -> Option<WorkEntry> {
    let key = WorkKey::at(Cause::Close, window_of(at).start);
    let entry = school.table.work_entry(&owner(school), &key).await;
    entry.expect("no faults")
}

/// How many frames are on the stream.
fn frames(school: &School) -> usize {
    school.stream.records().values().map(Vec::len).sum()
}

/// Sends an envelope that was received at an instant, by a process with this memory.
async fn send(
    school: &School,
    process: &OpenWindows,
    at: Millis,
    n: u8,
) -> Result<(), NotAccepted> {
    let receipt = ReceiptId::from_parts(at, 0, [n; 8]);
    let sending = Sending {
        settings: vernier_intake::Settings { receipt_days: 30 },
        windows: process,
        spreads: &SpreadKeeper::default(),
        new_salt_key: SaltKey::random,
        clock: || school.clock.get(),
        budget: BUDGET,
    };
    let (identity, body) = (school.identity(), bytes(&events(2)));
    let sent = vernier_intake::accept(&school.stores, sending, &identity, None, &body, receipt);
    sent.await.map(|_| ())
}

/// Calls of the table since the last count: reads and puts.
fn calls(school: &School) -> (u64, u64) {
    let counts = [Operation::Read, Operation::PutWork].map(|of| school.faults.calls(of));
    school.faults.plan(|_, _| None);
    (counts[0], counts[1])
}

/// Invariant 3: wherever an envelope is cut off, what is on the stream has its entry.
#[tokio::test(start_paused = true)]
async fn an_entry_is_there_before_the_first_frame_wherever_input_is_killed() {
    let (mut polls, mut lone, mut cut) = (1, 0, 0);
    loop {
        let school = School::new().await;
        school.faults.interleave(u64::from(polls));
        let (process, now) = (process(), school.clock.get());
        let ended = {
            let mut sent = std::pin::pin!(send(&school, &process, now, 1));
            ends_within(sent.as_mut(), polls)
        };
        let entries = school.table.all_work();
        let due = school.table.all_due();
        assert!(
            entries.len() <= due.len(),
            "an entry has its index item, after {polls} polls"
        );
        if frames(&school) > 0 {
            let [(of, entry)] = &entries[..] else {
                panic!("after {polls} polls: {entries:?}");
            };
            assert_eq!(
                (of, entry.due),
                (&owner(&school), due_of(&school, window_of(now)))
            );
            assert_eq!(due, [entry.due_item(of)]);
        }
        lone += u32::from(due.len() > entries.len());
        cut += u32::from(!ended);
        if ended {
            break;
        }
        polls += 1;
    }
    assert!(
        lone > 0 && cut > 8,
        "{lone} index items stood alone in {cut} kills"
    );
}

#[tokio::test(start_paused = true)]
async fn a_window_is_asked_for_once_by_each_process() {
    let school = School::new().await;
    let (one, other) = (process(), process());
    let now = school.clock.get();
    calls(&school);
    send(&school, &one, now, 1).await.expect("sent");
    assert_eq!(calls(&school), (1, 1));
    let first = entry_at(&school, now).await.expect("an entry");
    calls(&school);
    send(&school, &one, now, 2).await.expect("sent");
    assert_eq!(calls(&school), (0, 0));
    send(&school, &other, now, 3).await.expect("sent");
    assert_eq!(calls(&school), (1, 0), "it is there already");
    assert_eq!(entry_at(&school, now).await, Some(first));
    // The next window is another one.
    school.pass(60);
    calls(&school);
    send(&school, &one, school.clock.get(), 4)
        .await
        .expect("sent");
    assert_eq!(calls(&school), (1, 1));
}

thread_local! {
    /// What the next nonces begin with.
    static DRAWN: Cell<u8> = const { Cell::new(0) };
}

/// Nonces whose moment is the last one of a window's last third.
fn last_moment() -> Nonce {
    DRAWN.set(DRAWN.get() + 1);
    let mut nonce = [0; 16];
    nonce[15] = DRAWN.get();
    Nonce(nonce)
}

#[tokio::test(start_paused = true)]
async fn the_next_windows_entry_is_put_in_the_last_third() {
    let school = School::new().await;
    let times = WindowTimes::new(SETTINGS.window_minutes, SETTINGS.grace_seconds);
    let process = OpenWindows::new(times, last_moment);
    let window = window_of(school.clock.get());
    send(&school, &process, window.start, 1)
        .await
        .expect("sent");
    school.clock.set(Millis(window.end.0 - 2));
    send(&school, &process, school.clock.get(), 2)
        .await
        .expect("sent");
    assert_eq!(entry_at(&school, window.end).await, None, "not yet");
    school.clock.set(Millis(window.end.0 - 1));
    // The table does not take it: the envelope is not held up, and nobody tries again.
    school
        .faults
        .plan(|operation, _| (operation == Operation::PutWork).then_some(Fault::Before));
    for n in [3, 4] {
        send(&school, &process, school.clock.get(), n)
            .await
            .expect("sent");
    }
    assert_eq!(school.faults.calls(Operation::PutWork), 1);
    school.faults.clear();
    let sure = OpenWindows::new(times, last_moment);
    for n in [5, 6] {
        send(&school, &sure, school.clock.get(), n)
            .await
            .expect("sent");
    }
    let next = entry_at(&school, window.end).await.expect("an entry");
    assert_eq!(next.due, due_of(&school, window_of(window.end)));
    // Whoever put it need not ask when the window begins.
    school.clock.set(window.end);
    calls(&school);
    send(&school, &sure, window.end, 7).await.expect("sent");
    assert_eq!(calls(&school), (0, 0));
    assert_eq!(school.table.all_work().len(), 2);
}

/// A worker that read the old entry before the envelope came does not remove the new one.
#[tokio::test(start_paused = true)]
async fn after_its_end_a_windows_entry_gets_a_new_nonce() {
    let school = School::new().await;
    let (process, received_at) = (process(), school.clock.get());
    send(&school, &process, received_at, 1).await.expect("sent");
    let seen = entry_at(&school, received_at).await.expect("an entry");
    let window = window_of(received_at);
    school.clock.set(window.end);
    for n in [2, 3] {
        let before = entry_at(&school, received_at).await.expect("an entry");
        send(&school, &process, received_at, n).await.expect("sent");
        let after = entry_at(&school, received_at).await.expect("an entry");
        assert_ne!(before.nonce, after.nonce);
        // When it is due, the envelope is there or never will be, by any clock.
        let skew = WindowTimes::new(1, 0).skew_seconds;
        let sent = window.end.plus_seconds(skew + 5);
        assert_eq!(after.due, due_of(&school, window).max(sent));
    }
    let removed = school.table.remove_work(&owner(&school), &seen).await;
    assert_eq!(removed, Ok(false));
    assert!(entry_at(&school, received_at).await.is_some());
}

/// Whatever a process remembers, an entry that was removed after its window's end is put again.
#[tokio::test(start_paused = true)]
async fn a_removed_windows_entry_is_put_again_by_any_process() {
    for is_new in [false, true] {
        let school = School::new().await;
        let (first, received_at) = (process(), school.clock.get());
        send(&school, &first, received_at, 1).await.expect("sent");
        let entry = entry_at(&school, received_at).await.expect("an entry");
        school
            .clock
            .set(window_of(received_at).end.plus_seconds(40));
        let removed = school.table.remove_work(&owner(&school), &entry).await;
        assert_eq!(removed, Ok(true));
        let sender = if is_new { process() } else { first };
        send(&school, &sender, received_at, 2).await.expect("sent");
        let again = entry_at(&school, received_at).await.expect("an entry");
        assert_eq!(school.table.all_due(), [again.due_item(&owner(&school))]);
    }
}

/// Invariant 1: a table that takes no entry gets no frame onto the stream, and the sensor is told.
#[tokio::test(start_paused = true)]
async fn without_an_entry_nothing_is_appended() {
    for operation in [Operation::PutIndex, Operation::PutWork] {
        for fault in [Fault::Before, Fault::Denied] {
            let school = School::new().await;
            let process = process();
            school
                .faults
                .plan(move |of, _| (of == operation).then_some(fault));
            let now = school.clock.get();
            let sent = send(&school, &process, now, 1).await;
            assert!(
                matches!(sent, Err(NotAccepted::Port(_))),
                "{operation:?} {fault:?}"
            );
            assert_eq!(frames(&school), 0, "{operation:?} {fault:?}");
            school.faults.clear();
            send(&school, &process, now, 2).await.expect("sent");
            assert!(entry_at(&school, now).await.is_some());
        }
    }
}

/// A machine whose clock is wrong would receive into another window, which may be closed: it takes nothing.
#[tokio::test]
async fn an_input_function_with_a_wrong_clock_takes_nothing() {
    let world = MemoryWorld::default();
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let post = || Call::post(bytes(&events(1))).token(&member.secret);
    let store = vernier_ledger::clock::now();
    for ahead_seconds in [60, -60] {
        world
            .store_clock
            .observe(store, store.plus_seconds(ahead_seconds));
        let answer = world.call(post()).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "2");
        let told = answer.json()["detail"].to_string();
        assert!(told.contains(&format!("{ahead_seconds} s ahead")), "{told}");
    }
    assert!(world.stream.records().values().all(Vec::is_empty));
    assert_eq!(world.table.all_work(), []);
    // The next answer of a store is of the right time.
    world.store_clock.observe(store, store.plus_seconds(1));
    assert_eq!(world.call(post()).await.status, 200);
}
