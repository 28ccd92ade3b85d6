//! Planner, queue and workers over the fakes.

use super::sealing::{School, WORK};
use serde_json::json;
use std::collections::BTreeSet;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::playback_job::PlaybackState;
use vernier_ledger::ports::{Objects, Playbacks, PutOutcome};
use vernier_ledger::time::Millis;
use vernier_ledger::work::{
    Cause, DueItem, Expected, LONE_ITEM_SECONDS, Nonce, Nudge, Owner, WorkEntry, WorkKey, WorkLists,
};
use vernier_reconcile::planner::plan;
use vernier_reconcile::playbacks::begin;
use vernier_tests::envelopes::events;

impl School {
    pub(super) async fn plan(&self) -> vernier_reconcile::planner::Planned {
        let planned = plan(&self.stores, &self.process, self.clock.get()).await;
        planned.expect("the index is read")
    }

    /// Loses all entries of an owner.
    async fn lose_work(&self, owner: &Owner) {
        for entry in self.table.work(owner).await.expect("read") {
            assert_eq!(self.table.remove_work(owner, &entry).await, Ok(true));
        }
    }

    /// The tenant's items of the due index.
    fn own_due(&self) -> Vec<DueItem> {
        let mut due = self.table.all_due();
        due.retain(|item| item.owner == self.owner());
        due
    }

    async fn causes(&self, owner: &Owner) -> BTreeSet<Cause> {
        let entries = self.table.work(owner).await.expect("read");
        entries.into_iter().map(|entry| entry.key.cause).collect()
    }
}

#[tokio::test]
async fn whoever_has_something_due_is_nudged_once_and_nobody_else_is_looked_at() {
    let school = School::new().await;
    school.work().await;
    school.post(&events(2)).await;
    school.deliver().await;
    let early = school.plan().await;
    assert_eq!(early.owners, 0, "the window is not over");
    school.pass(95);
    let planned = school.plan().await;
    assert_eq!(
        (planned.owners, planned.sent),
        (2, 2),
        "the ledger lists commits each minute"
    );
    let again = school.plan().await;
    assert_eq!(again.sent, 2, "it is due still");
    assert_eq!(
        school.stores.queue.queued().len(),
        2,
        "and the queue knows it"
    );
    assert_eq!(school.work().await.sealed.events, 2);
    school.assert_sealed([2, 0, 0, 0]);
    let left = school.causes(&school.owner()).await;
    let follows = BTreeSet::from([Cause::Compact, Cause::Sweep]);
    assert!(left.is_superset(&follows), "{left:?}");
    let key = WorkKey::at(Cause::Close, super::sealing::BEGINNING);
    let first = school.table.work_entry(&school.owner(), &key).await;
    assert_eq!(first, Ok(None), "its work is done");
}

/// A ledger at rest, and then an event.
async fn with_one_event() -> School {
    let school = School::new().await;
    school.work().await;
    school.post(&events(1)).await;
    school.deliver().await;
    school
}

/// The planner says how long the oldest entry has waited.
#[tokio::test]
async fn the_oldest_entry_tells_how_far_work_is_behind() {
    let school = with_one_event().await;
    school.pass(600);
    // The ledger's own work is due each minute.
    let behind = school.plan().await.overdue_millis;
    assert!((505_000..=540_000).contains(&behind), "{behind}");
}

/// Lost nudges cost five minutes: the queue knows the nonce for so long.
#[tokio::test]
async fn a_lost_nudge_is_sent_again() {
    let school = with_one_event().await;
    school.pass(95);
    school.plan().await;
    school.stores.queue.lose();
    school.plan().await;
    assert_eq!(school.stores.queue.queued(), []);
    school.pass(300);
    assert_eq!(school.work().await.sealed.events, 1);
}

/// An entry that the index has lost is found by the daily audit.
#[tokio::test]
async fn an_entry_without_its_index_item_is_found_by_the_audit() {
    let school = School::new().await;
    school.work().await;
    school.post(&events(3)).await;
    school.deliver().await;
    for item in school.table.all_due() {
        if item.owner == school.owner() {
            school.table.remove_due(&item).await.expect("removed");
        }
    }
    school.pass(3_600);
    assert_eq!(school.work().await.sealed.sealed, 0, "nobody is nudged");
    school.pass(86_400);
    assert_eq!(school.work().await.sealed.events, 3);
    school.assert_sealed([3, 0, 0, 0]);
}

/// A worker that looks between the two writes of an entry leaves its index item, and is nudged again for it.
#[tokio::test]
async fn an_index_item_waits_for_an_entry_that_is_being_put() {
    let school = with_one_event().await;
    let owner = school.owner();
    let list = school.table.work(&owner).await.expect("read");
    school.lose_work(&owner).await;
    for entry in &list {
        school
            .table
            .put_due(&entry.due_item(&owner))
            .await
            .expect("put");
    }
    school.pass(95);
    assert_eq!(school.work().await.sealed.events, 0, "no entry yet");
    for entry in &list {
        let put = school.table.put_entry(&owner, entry, Expected::Nothing);
        assert_eq!(put.await, Ok(true));
    }
    school.pass(LONE_ITEM_SECONDS);
    assert_eq!(school.work().await.sealed.events, 1);
}

/// Index items without an entry go in one turn, however many there are, once no entry can follow them; nobody is nudged
/// for them until then.
#[tokio::test]
async fn index_items_without_an_entry_go_together() {
    let school = School::new().await;
    school.work().await;
    for n in 0..40 {
        let key = WorkKey::of(Cause::Sweep, format!("{n}"));
        let entry = WorkEntry::new(key, Millis(0), Nonce::random());
        school
            .table
            .put_due(&entry.due_item(&school.owner()))
            .await
            .expect("put");
    }
    school.work().await;
    school.pass(600);
    school.plan().await;
    let nudged = school.stores.queue.queued();
    let mut named = nudged.iter().flat_map(Nudge::items);
    assert!(named.all(|item| item.lone_since.is_none()), "{nudged:?}");
    let is_lone = |item: &DueItem| item.lone_since.is_some();
    assert_eq!(school.own_due().into_iter().filter(is_lone).count(), 40);
    school.pass(LONE_ITEM_SECONDS - 600);
    school.work().await;
    assert_eq!(school.own_due().into_iter().filter(is_lone).count(), 0);
}

/// What was received before there were work lists has no entries: the first audit puts them.
#[tokio::test]
async fn what_has_no_entry_after_an_upgrade_gets_one() {
    let school = School::new().await;
    school.three_windows().await;
    let owner = school.owner();
    school.lose_work(&owner).await;
    let sealed = school.work().await.sealed;
    assert_eq!((sealed.sealed, sealed.events), (3, 10));
    school.assert_sealed(super::sealing::THREE_WINDOWS);
    assert_eq!(school.table.is_seeded().await, Ok(true));
}

/// A window with something stored and no entry should not be; the daily audit finds it all the same.
#[tokio::test]
async fn a_lost_entry_is_put_again_by_the_daily_audit() {
    let school = School::new().await;
    school.work().await;
    school.post(&events(2)).await;
    school.deliver().await;
    school.lose_work(&school.owner()).await;
    school.pass(86_400);
    assert_eq!(school.work().await.sealed.events, 2);
}

/// The window at midnight begins when the day does: the day's entry is not the window's.
#[tokio::test]
async fn a_lost_entry_of_midnight_is_put_again_beside_its_days() {
    let midnight = vernier_ledger::chain::day_of(super::sealing::BEGINNING).end;
    let school = School::since(midnight).await;
    school.work().await;
    school.post(&events(2)).await;
    school.deliver().await;
    let owner = school.owner();
    school.lose_work(&owner).await;
    let day = WorkKey::at(Cause::Compact, midnight);
    let later = midnight.plus_seconds(7 * 86_400);
    let day = WorkEntry::new(day, later, Nonce::random());
    school.table.put_work(&owner, &day).await.expect("put");
    school.pass(86_400);
    assert_eq!(school.work().await.sealed.events, 2);
}

/// A ledger at rest, and something that nobody can read where the trigger leaves what it gave up.
async fn with_a_failed_batch() -> School {
    let school = School::new().await;
    school.work().await;
    let put = school
        .bucket
        .put_new("aws/lambda/mapping/x", b"no batch".to_vec(), None);
    assert_eq!(put.await, Ok(PutOutcome::Created));
    school
}

#[tokio::test]
async fn where_nothing_is_missing_failed_batches_are_looked_for_each_quarter_of_an_hour() {
    let school = with_a_failed_batch().await;
    for (minutes, unreadable) in [(2, 0), (12, 0), (1, 1), (1, 0)] {
        school.pass(minutes * 60);
        let turn = school.work().await;
        assert_eq!(
            turn.recovered.unreadable, unreadable,
            "{minutes} minutes on"
        );
    }
}

/// A window that misses something has failed batches looked for at once.
#[tokio::test]
async fn where_something_is_missing_failed_batches_are_looked_for_at_once() {
    let school = with_a_failed_batch().await;
    school.post(&events(2)).await;
    school.pass(95);
    let turn = school.work().await;
    assert_eq!(
        (turn.sealed.held, turn.recovered.unreadable),
        (1, 1),
        "{turn:?}"
    );
}

/// While sealing is paused nothing is sealed, compacted or swept, and all of it is afterwards.
#[tokio::test]
async fn paused_work_waits_and_is_done_afterwards() {
    let school = School::new().await;
    school.three_windows().await;
    let paused = vernier_reconcile::process::WorkSettings {
        paused: true,
        ..WORK
    };
    let clock = || school.clock.get();
    let (stores, process, owner) = (&school.stores, &school.process, school.owner());
    let taking = vernier_tests::orchestra::turn_of(
        stores,
        process,
        &paused,
        &owner,
        &clock,
        Millis(i64::MAX),
    );
    let turn = taking.await.expect("its list is read");
    assert_eq!((turn.sealed.sealed, turn.moved), (0, 3), "{turn:?}");
    assert_eq!(school.seal().await.sealed, 0, "not due");
    school.pass(300);
    assert_eq!(school.seal().await.sealed, 3);
    school.assert_sealed(super::sealing::THREE_WINDOWS);
}

/// A tenant whose store fails waits a little longer each time, and others do not wait for it.
#[tokio::test]
async fn work_that_fails_is_tried_again_later() {
    let school = School::new().await;
    school.three_windows().await;
    let down = |operation, _| (operation == Operation::Sign).then_some(Fault::Before);
    school.faults.plan(down);
    for waits_seconds in [60, 120, 240] {
        let turn = school.turn_with(&school.process).await;
        let turn = turn.expect("its list is read");
        assert_eq!((turn.sealed.sealed, turn.failed), (0, 3), "{turn:?}");
        school.pass(waits_seconds - 1);
        let turn = school.turn_with(&school.process).await;
        assert_eq!(turn.expect("read").due, 0, "before {waits_seconds} s");
        school.pass(1);
    }
    school.faults.clear();
    assert_eq!(school.seal().await.sealed, 3);
}

/// What an earlier version left: windows that are sealed, late, held and open, a playback under way, commits without
/// block items, and no list of anything.
#[tokio::test]
async fn a_ledger_of_an_earlier_version_is_taken_up_in_every_state() {
    let school = School::new().await;
    school.three_windows().await;
    assert_eq!(school.seal().await.sealed, 3);
    let lost = school.stream.records().values().map(Vec::len).sum();
    school.post(&events(1)).await;
    school.post_late(&events(2)).await;
    school.post(&events(2)).await;
    school.deliver_but(&[lost]).await;
    let request = json!({
        "from": super::sealing::BEGINNING.rfc3339(),
        "to": school.clock.get().rfc3339(),
        "target": "results",
    });
    let request = serde_json::from_value(request).expect("a request");
    let (table, tenant, now) = (&school.table, &school.tenant.id, school.clock.get());
    let begun = begin(table, tenant, request, "t", Nonce::random(), now).await;
    let playback = begun.expect("begun").id;
    table.unlist_commits(0);
    for owner in [school.owner(), Owner::Ledger] {
        school.lose_work(&owner).await;
    }

    school.pass(600);
    let turn = school.work().await;
    assert_eq!((turn.sealed.backfills, turn.failed), (1, 0), "{turn:?}");
    assert_eq!(turn.played.ended, 1, "{turn:?}");
    assert!(
        turn.sealed.incomplete > 0 && turn.recovered.sent_again > 0,
        "{turn:?}"
    );
    let job = table.playback(tenant, playback).await.expect("read");
    assert_eq!(job.map(|job| job.state), Some(PlaybackState::Done));
    school.deliver().await;
    school.pass(3_600);
    school.work().await;
    let [stored, rest @ ..] = super::sealing::THREE_WINDOWS;
    school.assert_sealed([stored + 5, rest[0], rest[1], rest[2]]);
    // What is received from now on has its entries.
    school.post(&events(4)).await;
    school.deliver().await;
    school.pass(95);
    assert_eq!(school.work().await.sealed.events, 4);
}
