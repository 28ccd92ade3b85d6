//! Holds that end: windows that are sealed with something missing, by time or by an operator, and what comes back then.

use super::sealing::{BEGINNING, HOLD_SECONDS, SETTINGS, School};
use std::collections::BTreeSet;
use vernier_archive::account::{BesideRow as _, Missing, MissingCause};
use vernier_archive::files::Source as _;
use vernier_archive::seal::{
    EnvelopeTotals, FileSet, Seal, SealKind, ShortfallCause, WindowStatement,
};
use vernier_archive::verify::{Options, verify};
use vernier_ledger::account::WindowState;
use vernier_ledger::given_up::BROUGHT_BACK_MAX;
use vernier_ledger::holds::{HeldWindow, Holds};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::limits::MISSING_NAMED_MAX;
use vernier_ledger::ports::{Accounts, Objects, PutOutcome};
use vernier_ledger::time::{Millis, TimeRange, Window};
use vernier_ledger::work::{Cause, WorkKey, WorkLists as _};
use vernier_reconcile::accounts;
use vernier_reconcile::shortfalls::add_shortfalls;
use vernier_tests::bodies::post;
use vernier_tests::envelopes::{bytes, event, events};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Call, World};
use vernier_validation::{Mode, Profile};

fn window(n: i64) -> Window {
    let start = BEGINNING.plus_seconds(60 * n);
    Window {
        start,
        end: start.plus_seconds(60),
    }
}

pub(super) fn statement(seal: &Seal) -> &WindowStatement {
    let statement = seal.statement.as_ref().expect("version 4");
    statement.window().expect("of a window")
}

/// The last seal of the first window.
pub(super) fn last(school: &School) -> Seal {
    let mut of_window = { school.seals().into_iter() }.filter(|seal| seal.window() == window(0));
    of_window.next_back().expect("it is sealed")
}

/// Whether a seal closes the first window.
fn is_sealed(school: &School) -> bool {
    let mut seals = school.seals().into_iter();
    seals.any(|seal| seal.window() == window(0))
}

/// What the first window's last seal lists as missing.
pub(super) fn missing(school: &School) -> Vec<Missing> {
    let files = school.archive();
    let mut rows = Vec::new();
    for file in statement(&last(school)).missing.inline().expect("few") {
        let file = files.open(&file.key).expect("it is there");
        Missing::for_each(&file, |row| {
            rows.push(row);
            Ok(())
        })
        .expect("reads");
    }
    rows
}

/// One window with an envelope of two events that is lost for good, and another of three that is not. The stream forgets
/// the records of both.
pub(super) async fn lost_for_good(school: &School) -> ReceiptId {
    let lost = school.post(&events(2)).await;
    school.post(&events(3)).await;
    school.deliver_but(&[0]).await;
    let (shard, records) = school.stream.records().into_iter().next().expect("one");
    school.stream.trim(&shard, records.len());
    school.pass(120);
    lost
}

/// Sound, with so many windows that something is missing of.
pub(super) fn assert_short(school: &School, windows: usize) {
    let report = school.report();
    assert_eq!(report.findings, []);
    assert_eq!(report.shortfalls.len(), windows);
    let keys = [school.key.public().clone()];
    let options = Options {
        all: true,
        no_shortfall: true,
        ..Options::default()
    };
    let strict = verify(&school.archive(), &keys, &options, &|_| {}).expect("reads");
    assert_eq!(strict.findings.len(), windows, "{:?}", strict.findings);
}

#[tokio::test]
async fn a_hold_ends_in_a_signed_shortfall() {
    let school = School::new().await;
    let lost = lost_for_good(&school).await;
    assert_eq!(school.seal().await.held, 1);
    let since = school.clock.get();
    let held = school.table.raw_held(&school.tenant.id);
    assert_eq!(held, [HeldWindow::of(window(0)).started(since)]);
    school.pass(HOLD_SECONDS - 1);
    school.work().await;
    assert!(!is_sealed(&school), "a second early");
    school.pass(1);
    assert_eq!(school.work().await.sealed.short, 1);

    let seal = last(&school);
    let said = statement(&seal);
    let shortfall = said.shortfall.as_ref().expect("it says so");
    assert_eq!(
        (shortfall.cause, shortfall.since),
        (ShortfallCause::Time, Some(since))
    );
    assert_eq!(
        (said.totals.received.envelopes, said.totals.received.events),
        (2, 5)
    );
    assert_eq!(
        (said.totals.missing.envelopes, said.totals.missing.events),
        (1, 2)
    );
    assert_eq!(seal.counts.stored, 3);
    let missing = missing(&school);
    assert_eq!(missing.len(), 1);
    assert_eq!(
        (missing[0].receipt, missing[0].slices.as_slice()),
        (lost, &[0][..])
    );
    assert_eq!(
        (missing[0].events, missing[0].cause),
        (2, MissingCause::Unclaimed)
    );
    assert_short(&school, 1);
    assert!(school.table.raw_held(&school.tenant.id).is_empty());
    let account = school.table.account(&school.tenant.id, window(0)).await;
    let account = account.expect("reads").expect("it is kept");
    assert_eq!(
        (account.state, account.missing_count),
        (WindowState::Short, 1)
    );
    let notices = school.topic.notices();
    let told = notices
        .iter()
        .find(|n| n.0.contains("shortfall"))
        .expect("told");
    assert!(told.1.contains("\"missing_events\":2"), "{}", told.1);

    // Nothing more is to be done of it.
    school.pass(86_400);
    school.work().await;
    assert_eq!(last(&school).sequence, seal.sequence);
    assert_short(&school, 1);
}

/// Invariant 3: a window that lost everything is not one that received nothing.
#[tokio::test]
async fn a_window_that_lost_everything_says_so() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.pass(60);
    school.post(&events(1)).await;
    school.deliver_but(&[0]).await;
    let (shard, _) = school.stream.records().into_iter().next().expect("one");
    school.stream.trim(&shard, 1);
    school.pass(120);
    school.work().await;
    school.pass(2 * HOLD_SECONDS);
    school.work().await;
    let seal = last(&school);
    let said = statement(&seal);
    assert_eq!((seal.kind, seal.counts.total()), (SealKind::Window, 0));
    assert_eq!(
        (said.totals.received.events, said.totals.missing.events),
        (2, 2)
    );
    assert_eq!(said.evidence.count(), 1);
    assert_short(&school, 1);
}

/// Invariant 3: what was received of a window is in its evidence, whatever the receipts' TTL has taken since.
#[tokio::test]
async fn a_receipt_that_expired_is_not_one_that_never_was() {
    let school = School::new().await;
    let lost = school.post(&events(2)).await;
    school.post(&events(3)).await;
    // An outage for longer than receipts live: nothing is delivered, so that no clock starts.
    school.pass(120);
    assert_eq!(school.seal().await.held, 1);
    assert_eq!(school.table.raw_held(&school.tenant.id)[0].since, None);
    school.pass(31 * 86_400);
    assert_eq!(school.table.expire_receipts(school.clock.get()), 2);
    school.deliver_but(&[0]).await;
    let (shard, _) = school.stream.records().into_iter().next().expect("one");
    school.stream.trim(&shard, 1);
    school.pass(3_600);
    school.turn().await;
    school.pass(HOLD_SECONDS + 3_600);
    school.turn().await;
    let seal = last(&school);
    let totals = statement(&seal).totals;
    assert_eq!((totals.received.envelopes, totals.received.events), (2, 5));
    assert_eq!((totals.missing.events, seal.counts.stored), (2, 3));
    let named: Vec<ReceiptId> = missing(&school).iter().map(|row| row.receipt).collect();
    assert_eq!(named, [lost]);
    assert_short(&school, 1);
}

/// An outage is no loss: the clock stands while the trigger has not come to what is missing, and the stream has it.
#[tokio::test]
async fn a_clock_waits_for_the_trigger_and_is_never_reset() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.pass(2 * HOLD_SECONDS);
    let summary = school.seal().await;
    assert_eq!((summary.held, summary.overdue), (1, 1));
    school.pass(86_400);
    assert_eq!(school.seal().await.held, 1);
    let clock = || school.table.raw_held(&school.tenant.id)[0].since;
    assert_eq!(clock(), None);
    // The trigger goes past it without storing it.
    school.post(&events(1)).await;
    school.deliver_but(&[0]).await;
    school.pass(3_600);
    school.turn().await;
    let since = school.clock.get();
    let recovered = school.recover().await;
    assert_eq!((recovered.sent_again, clock()), (1, Some(since)));
    // What was brought back is lost again and again, until it is given up.
    let mut given_up = 0;
    for attempt in 1..=BROUGHT_BACK_MAX {
        school.post(&events(1)).await;
        let (_, records) = school.on_stream();
        school.deliver_but(&[records.len() - 2]).await;
        school.pass(900);
        school.turn().await;
        given_up += school.recover().await.given_up;
        assert_eq!(clock(), Some(since), "attempt {attempt}");
    }
    assert_eq!(given_up, 1);
    school.pass(HOLD_SECONDS);
    school.work().await;
    let said = last(&school);
    let shortfall = statement(&said).shortfall.clone().expect("it says so");
    assert_eq!(shortfall.since, Some(since));
    assert_eq!(missing(&school)[0].cause, MissingCause::Quarantined);
}

/// What comes back after a shortfall is a backfill with new totals; what remains stays named.
#[tokio::test]
async fn a_backfill_takes_away_what_came_back_and_nothing_else() {
    let school = School::new().await;
    let known = event();
    let first = school.post(&[known.clone(), event()]).await;
    let second = school.post(&events(3)).await;
    school.pass(60);
    school.post(&[known, event()]).await;
    let (shard, records) = school.stream.records().into_iter().next().expect("one");
    school.deliver_but(&[0, 1]).await;
    school.stream.trim(&shard, 2);
    school.pass(120);
    school.work().await;
    school.pass(HOLD_SECONDS + 60);
    school.work().await;
    let named = || -> Vec<ReceiptId> { missing(&school).iter().map(|row| row.receipt).collect() };
    assert_eq!(named(), [first, second]);
    let shortfall = statement(&last(&school)).shortfall.clone();

    // Their records are found elsewhere, one after the other.
    let brought = school.bring_back(&shard, &records[..1]);
    assert_eq!(brought.await.expect("brought back").played_back, 1);
    school.deliver().await;
    school.pass(600);
    school.work().await;
    let seal = last(&school);
    assert_eq!((seal.kind, named()), (SealKind::Backfill, vec![second]));
    assert_eq!(statement(&seal).shortfall, shortfall);
    // Its event had been sealed meanwhile: the first that is sealed is the stored one.
    assert_eq!((seal.counts.stored, seal.counts.duplicate), (1, 1));
    assert_short(&school, 1);

    let brought = school.bring_back(&shard, &records[1..2]);
    assert_eq!(brought.await.expect("brought back").played_back, 1);
    school.deliver().await;
    school.pass(600);
    school.work().await;
    let seal = last(&school);
    let said = statement(&seal);
    assert_eq!((seal.counts.stored, &said.missing), (3, &FileSet::EMPTY));
    assert_eq!(
        (said.totals.missing, &said.shortfall),
        (EnvelopeTotals::default(), &None)
    );
    let account = school.table.account(&school.tenant.id, window(0)).await;
    let state = account.expect("reads").map(|account| account.state);
    assert_eq!(state, Some(WindowState::Complete));
    assert_short(&school, 0);
    school.assert_sealed([6, 1, 0, 0]);
}

/// An operator ends a hold that could go on, and the reason is signed.
#[tokio::test]
async fn an_operator_ends_a_hold() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.pass(120);
    assert_eq!(school.seal().await.held, 1, "nothing is delivered");
    let held = school.table.raw_held(&school.tenant.id).remove(0);
    let ended = held.ended("the stream was deleted by mistake".to_owned());
    let changed = school.table.change_held(&school.tenant.id, &held, &ended);
    assert_eq!(changed.await, Ok(true));
    school.pass(3_600);
    assert_eq!(school.work().await.sealed.short, 1);
    let shortfall = statement(&last(&school))
        .shortfall
        .clone()
        .expect("it says so");
    assert_eq!(
        (shortfall.cause, shortfall.since),
        (ShortfallCause::Operator, None)
    );
    assert_eq!(shortfall.reason, "the stream was deleted by mistake");
    let notices = school.topic.notices();
    assert!(
        notices.iter().any(|n| n.1.contains("deleted by mistake")),
        "{notices:?}"
    );
    assert_short(&school, 1);
    // It comes all the same.
    school.deliver().await;
    school.pass(600);
    school.work().await;
    school.assert_sealed([2, 0, 0, 0]);
    assert_short(&school, 0);
}

/// Two commits of one window, a block of which is damaged in one of several ways; which receipt misses what.
pub(super) async fn damaged(damage: impl Fn(Vec<u8>) -> Option<Vec<u8>>) -> (School, ReceiptId) {
    let school = School::new().await;
    let hurt = school.post(&events(2)).await;
    school.deliver().await;
    let segment = school.bucket.keys("segments/").remove(0);
    school.post(&events(3)).await;
    school.deliver().await;
    let bytes = school.bucket.raw(&segment).expect("it is there");
    school.bucket.lose(&segment);
    if let Some(changed) = damage(bytes) {
        let put = school.bucket.put_new(&segment, changed, None).await;
        assert_eq!(put, Ok(PutOutcome::Created));
    }
    school.pass(120);
    (school, hurt)
}

/// Invariant 5: what cannot be read is missing for its own receipts alone, and is kept as it is.
#[tokio::test]
async fn a_damaged_block_is_missing_and_no_other() {
    let gone: fn(Vec<u8>) -> Option<Vec<u8>> = |_| None;
    let changed: fn(Vec<u8>) -> Option<Vec<u8>> = |mut bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    };
    let cut: fn(Vec<u8>) -> Option<Vec<u8>> = |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        Some(bytes)
    };
    let empty: fn(Vec<u8>) -> Option<Vec<u8>> = |_| Some(Vec::new());
    for (damage, kept) in [(gone, 0), (changed, 1), (cut, 1), (empty, 1)] {
        let (school, hurt) = damaged(damage).await;
        let summary = school.seal().await;
        assert_eq!((summary.sealed, summary.held), (0, 1), "{summary:?}");
        let segment = school.topic.notices()[0].1.contains("segments/");
        assert!(segment, "{:?}", school.topic.notices());
        school.pass(HOLD_SECONDS + 60);
        school.work().await;
        let missing = missing(&school);
        assert_eq!((missing.len(), missing[0].receipt), (1, hurt));
        assert_eq!(
            (missing[0].events, missing[0].cause),
            (2, MissingCause::Damaged)
        );
        assert_eq!(last(&school).counts.stored, 3);
        assert_eq!(school.bucket.keys("quarantine/blocks/").len(), kept);
        assert_short(&school, 1);
    }
}

/// A resend under another receipt is named beside what it replaces.
#[tokio::test]
async fn what_was_sent_again_is_shown_beside_what_is_missing() {
    let school = School::new().await;
    let body = bytes(&events(2));
    let lost = school.post_bytes(&body).await;
    school.pass(1);
    let again = school.post_bytes(&body).await;
    school.deliver_but(&[0]).await;
    let (shard, _) = school.stream.records().into_iter().next().expect("one");
    school.stream.trim(&shard, 1);
    school.pass(120);
    school.work().await;
    school.pass(HOLD_SECONDS + 60);
    school.work().await;
    let missing = missing(&school);
    assert_eq!(
        (missing[0].receipt, missing[0].sent_again),
        (lost, Some(again))
    );
    // Whoever asks for the window's account is told the same.
    let range = TimeRange {
        from: BEGINNING,
        to: window(0).end,
    };
    let now = school.clock.get();
    let mut told = accounts(&school.table, SETTINGS, &school.tenant, range, now)
        .await
        .expect("reads");
    let id = &school.tenant.id;
    let shortfalls = add_shortfalls(&school.stores, id, &mut told)
        .await
        .expect("reads");
    assert_eq!(
        (told[0].state, told[0].missing_count),
        (WindowState::Short, 1)
    );
    let row = &told[0].missing[0];
    assert_eq!(
        (row.receipt, row.events, row.sent_again),
        (lost, Some(2), Some(again))
    );
    assert_eq!(
        row.sensor.as_deref(),
        Some("https://school.example/sensors/1")
    );
    let cause = shortfalls.get(&window(0).start).map(|s| s.cause);
    assert_eq!(cause, Some(ShortfallCause::Time));
    assert_short(&school, 1);
}

/// Invariant 3: a receipt that comes after its window was closed is found before it expires, though nothing else of it came.
#[tokio::test]
async fn a_receipt_that_came_after_closing_is_counted_before_it_expires() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(120);
    school.work().await;
    let sealed = last(&school);
    // Its envelope is acknowledged long after, and lost.
    let late = school.post_late(&events(1)).await;
    let (shard, records) = school.stream.records().into_iter().next().expect("one");
    school.stream.trim(&shard, records.len());
    school.pass(60);
    // Whoever put the entry was told nothing of the envelope's fate.
    let (table, owner) = (&school.table, school.owner());
    for entry in table.work(&owner).await.expect("reads") {
        if entry.key == WorkKey::at(Cause::Close, BEGINNING) {
            assert_eq!(table.remove_work(&owner, &entry).await, Ok(true));
        }
    }
    for _ in 0..31 {
        school.pass(86_400);
        school.post(&events(1)).await;
        school.deliver().await;
        school.pass(120);
        school.work().await;
        school.table.expire_receipts(school.clock.get());
    }
    let seal = last(&school);
    assert!(seal.sequence > sealed.sequence, "it was not counted");
    let said = statement(&seal);
    assert_eq!((seal.kind, seal.counts.total()), (SealKind::Backfill, 0));
    assert_eq!(
        (said.totals.received.envelopes, said.totals.missing.events),
        (2, 1)
    );
    assert_eq!(missing(&school)[0].receipt, late);
    assert_short(&school, 1);
}

/// A claim gives its receipt its whole time again.
#[tokio::test]
async fn a_claim_raises_the_receipts_time() {
    let school = School::new().await;
    school.post(&events(1)).await;
    school.pass(20 * 86_400);
    school.deliver().await;
    school.pass(20 * 86_400);
    assert_eq!(school.table.expire_receipts(school.clock.get()), 0);
    school.pass(10 * 86_400);
    assert_eq!(school.table.expire_receipts(school.clock.get()), 1);
    assert!(school.clock.get() > Millis(0));
}

/// Whoever pages through what is missing finds all of it, each once and in order.
#[tokio::test]
async fn all_that_is_missing_is_named_page_by_page() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut sent = BTreeSet::new();
    for _ in 0..MISSING_NAMED_MAX * 2 + 7 {
        sent.insert(post(&world, &member, bytes(&events(1))).await);
    }
    let windows = async |query: &[(&str, &str)]| {
        let mut call = Call::get("/windows").token(&member.secret);
        for (name, value) in query {
            call = call.query(name, value);
        }
        let answer = world.call(call).await.json();
        answer["windows"].as_array().cloned().expect("windows")
    };
    let (mut named, mut pages) = (Vec::new(), 0);
    for window in windows(&[]).await {
        let text = |name: &str| window[name].as_str().expect("an instant").to_owned();
        let (start, end) = (text("start"), text("end"));
        let mut after = "00000000-0000-7000-8000-000000000000".to_owned();
        loop {
            let query = [
                ("from", start.as_str()),
                ("to", end.as_str()),
                ("missing_after", after.as_str()),
            ];
            let told = windows(&query).await.remove(0);
            assert_eq!(told["missing_count"], window["missing_count"]);
            let page = told["missing"].as_array().cloned().expect("a list");
            let ids = page
                .iter()
                .map(|row| row["receipt"].as_str().expect("an id"));
            let ids: Vec<String> = ids.map(str::to_owned).collect();
            let Some(last) = ids.last() else {
                break;
            };
            after.clone_from(last);
            named.extend(ids);
            pages += 1;
        }
    }
    assert!(pages > 2, "{pages}");
    assert!(named.iter().eq(&sent), "{} of {}", named.len(), sent.len());
}
