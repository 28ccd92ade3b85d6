//! The check of the shards: what was removed or changed behind the ledger's back, and what was not.

use super::ends_within;
use super::sealing::School;
use serde_json::Value;
use std::pin::pin;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::checkpoint::ShardMarks;
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::ids::{ReceiptId, Shard};
use vernier_ledger::ports::{PortError, TenantSettings};
use vernier_ledger::segment::SegmentRecord;
use vernier_ledger::time::Millis;
use vernier_reconcile::shard_check::{CheckProgress, ShardSummary, check_shards};
use vernier_tests::envelopes::events;

impl School {
    /// A commit of two events, and a checkpoint behind it.
    async fn commit(&self) -> ReceiptId {
        self.pass(10);
        let receipt = self.post(&events(2)).await;
        self.deliver().await;
        self.plan().await;
        receipt
    }

    async fn try_check(&self) -> Result<ShardSummary, PortError> {
        let mut summary = ShardSummary::default();
        let clock = || self.clock.get();
        let checking = check_shards(&self.stores, None, clock, Millis(i64::MAX), &mut summary);
        assert_eq!(checking.await?, CheckProgress::Whole);
        Ok(summary)
    }

    async fn check(&self) -> ShardSummary {
        self.try_check().await.expect("no faults")
    }

    fn shard(&self) -> Shard {
        self.stream.shards()[0].shard.clone()
    }

    async fn checked_position(&self) -> Option<u64> {
        let mark = self.table.shard_mark(&self.shard()).await.expect("read");
        mark.map(|mark| mark.position)
    }

    /// What was announced of broken chains: shard and position of each notice's first fault, and how many it has.
    fn broken(&self) -> Vec<(String, u64, u64)> {
        let notices = self.topic.notices().into_iter();
        let broken = notices.filter(|n| n.0.contains("chain of a shard"));
        let read = |body: &str| {
            let body: Value = serde_json::from_str(body).expect("JSON");
            let first = &body["first_faults"][0];
            let position = first["position"].as_u64().expect("a number");
            let faults = body["faults"].as_u64().expect("a number");
            let shard = body["shard"].as_str().expect("a shard");
            (shard.to_owned(), position, faults)
        };
        broken.map(|notice| read(&notice.1)).collect()
    }

    fn assert_broken_at(&self, positions: &[u64], what: &str) {
        let broken = self.broken();
        let at: Vec<u64> = broken.iter().map(|(_, position, _)| *position).collect();
        assert_eq!(at, positions, "{what}: {broken:?}");
        let id = self.shard().id;
        assert!(
            broken.iter().all(|(shard, ..)| *shard == id),
            "{what}: {broken:?}"
        );
    }
}

/// A shard with five commits, of which the first two are checked.
async fn with_five_commits() -> School {
    let school = School::new().await;
    for _ in 0..2 {
        school.commit().await;
    }
    assert_eq!(school.check().await.faults, 0);
    for _ in 0..3 {
        school.commit().await;
    }
    school
}

#[tokio::test]
async fn a_sound_shard_is_walked_once() {
    let school = with_five_commits().await;
    assert_eq!(school.checked_position().await, Some(1));
    let checked = school.check().await;
    assert_eq!((checked.shards, checked.records, checked.faults), (1, 3, 0));
    assert_eq!(school.checked_position().await, Some(4));
    school.pass(60);
    school.plan().await;
    let again = school.check().await;
    assert_eq!((again.shards, again.records, again.faults), (1, 0, 0));
    school.commit().await;
    assert_eq!(school.check().await.records, 1);
    assert_eq!(school.broken(), []);
}

/// Invariant 6: the window adds up without the envelope, and the chain has a gap.
#[tokio::test]
async fn a_removed_envelope_leaves_a_gap() {
    let school = with_five_commits().await;
    let gone = school.commit().await;
    school.commit().await;
    let shard = school.shard();
    school.table.lose_receipt(&school.tenant.id, gone);
    school.table.lose_commit(&shard, 5);
    assert_eq!(school.check().await.faults, 1);
    school.assert_broken_at(&[5], "a gap");
    school.commit().await;
    assert_eq!(school.check().await.faults, 0, "it is announced once");
    // The same of the last record, whether the cursor stays where it is or is set back.
    for is_set_back in [false, true] {
        let school = with_five_commits().await;
        school.table.lose_commit(&shard, 4);
        if is_set_back {
            let record = school.table.all_records().pop().expect("four are left");
            school.table.set_cursor(&shard, 4, record.hash());
        }
        let faults = school.check().await.faults;
        assert_eq!(faults, 1, "set back: {is_set_back}");
        school.assert_broken_at(&[4], "the end");
        school.commit().await;
        let after = school.check().await.faults;
        assert_eq!(after, u64::from(is_set_back), "set back: {is_set_back}");
    }
}

/// Of a shard that nobody has checked yet: its chain begins at position 0.
#[tokio::test]
async fn the_first_records_of_a_shard_are_missed_too() {
    for commits in [1, 3] {
        let school = School::new().await;
        for _ in 0..commits {
            school.commit().await;
        }
        school.table.lose_commit(&school.shard(), 0);
        assert_eq!(school.check().await.faults, 1, "{commits}");
        school.assert_broken_at(&[0], "the beginning");
        assert_eq!(school.checked_position().await, Some(commits - 1));
    }
}

/// Invariant 6: records that were hashed anew do not lead to what checkpoints say.
#[tokio::test]
async fn records_that_were_hashed_anew_are_others() {
    let fewer = |record: &mut SegmentRecord| record.copies += 1;
    for (position, what) in [
        (0, "before the mark"),
        (1, "at the mark"),
        (2, "behind the mark"),
        (4, "the last one"),
    ] {
        let school = with_five_commits().await;
        school.table.hash_anew(&school.shard(), position, fewer);
        let faults = school.check().await.faults;
        assert!(faults > 0, "{what}");
        let first = school.broken()[0].1;
        assert_eq!(first, position.max(1), "{what}: {:?}", school.broken());
        // A checkpoint of what was made of it does not help.
        school.commit().await;
        let school = with_five_commits().await;
        school.table.hash_anew(&school.shard(), position, fewer);
        school.commit().await;
        assert!(
            school.check().await.faults > 0,
            "{what}, with a later checkpoint"
        );
    }
}

#[tokio::test]
async fn block_items_that_are_gone_or_changed_are_faults() {
    let school = with_five_commits().await;
    let shard = school.shard();
    school.table.change_items(&shard, 2, |items| items.clear());
    school.table.change_items(&shard, 3, |items| {
        items[0].block.minutes[0].tally.events -= 1;
    });
    assert_eq!(school.check().await.faults, 2);
    let notices = school.topic.notices();
    let body = &notices.last().expect("one was published").1;
    assert!(
        body.contains("is gone") && body.contains("is changed"),
        "{body}"
    );
    school.assert_broken_at(&[2], "items");
}

/// A tenant's items go with it.
#[tokio::test]
async fn items_of_a_removed_tenant_are_no_fault() {
    let school = with_five_commits().await;
    let removed = vernier_ledger::access::Tenant {
        closed_at: Some(school.clock.get()),
        removed_at: Some(school.clock.get()),
        ..school.tenant.clone()
    };
    let changed = school.table.change_tenant(&school.tenant, &removed).await;
    assert_eq!(changed, Ok(true));
    school
        .table
        .change_items(&school.shard(), 2, |items| items.clear());
    assert_eq!(school.check().await.faults, 0);
}

/// Invariant 6: a checkpoint cannot be changed so that it says what was made of the records.
#[tokio::test]
async fn a_changed_checkpoint_is_a_fault() {
    let school = with_five_commits().await;
    let key = school.bucket.keys("checkpoints/").pop().expect("one");
    let bytes = school.bucket.raw(&key).expect("it is there");
    let text = String::from_utf8(bytes).expect("text");
    school.bucket.lose(&key);
    let changed = text.replace("\"position\":4", "\"position\":3");
    assert_ne!(changed, text);
    school.bucket.place(&key, changed.into_bytes());
    assert_eq!(school.check().await.faults, 1);
}

/// The first record of today names the last one of the version before.
#[tokio::test]
async fn a_chain_goes_on_from_the_records_of_an_earlier_version() {
    let earlier = |school: &School, position: u64, previous| EarlierRecord {
        vernier_segment: 1,
        shard: school.shard(),
        first: "3".parse().expect("digits"),
        last: "4".parse().expect("digits"),
        committed_at: school.clock.get(),
        position,
        previous,
        object: None,
        blocks: Vec::new(),
        copies: 1,
        quarantined: 0,
        listed: true,
    };
    let school = School::new().await;
    let first = earlier(&school, 0, None);
    let second = earlier(&school, 1, Some(first.hash()));
    school.table.set_cursor(&school.shard(), 2, second.hash());
    for record in [first, second] {
        school.table.add_earlier(record);
    }
    school.pass(3 * 3_600);
    school.plan().await;
    let checked = school.check().await;
    assert_eq!(
        (checked.faults, school.checked_position().await),
        (0, Some(1))
    );
    for _ in 0..2 {
        school.commit().await;
    }
    let checked = school.check().await;
    assert_eq!((checked.records, checked.faults), (2, 0));
    assert_eq!(school.checked_position().await, Some(3));
}

/// Wherever a check dies or fails, the next one ends it, and what is broken is announced at least once.
#[tokio::test]
async fn a_check_that_dies_is_ended_by_the_next() {
    let mut crashes = 0;
    for polls in (1..).step_by(3) {
        let school = with_five_commits().await;
        school.table.lose_commit(&school.shard(), 3);
        school.faults.interleave(3);
        {
            let checking = school.try_check();
            let mut checking = pin!(checking);
            if ends_within(checking.as_mut(), polls) {
                break;
            }
        }
        crashes += 1;
        school.check().await;
        assert!(!school.broken().is_empty(), "after {polls} polls");
        assert_eq!(
            school.checked_position().await,
            Some(4),
            "after {polls} polls"
        );
        assert_eq!(school.check().await.faults, 0, "after {polls} polls");
    }
    assert!(crashes > 5, "{crashes}");
    for operation in [
        Operation::Read,
        Operation::KeepCheckpoint,
        Operation::Publish,
    ] {
        for fault in [Fault::Before, Fault::After] {
            let school = with_five_commits().await;
            school.table.lose_commit(&school.shard(), 3);
            let plan = move |op, n| (op == operation && n == 0).then_some(fault);
            school.faults.plan(plan);
            assert!(school.try_check().await.is_err(), "{operation:?} {fault:?}");
            school.faults.clear();
            school.check().await;
            assert!(!school.broken().is_empty(), "{operation:?} {fault:?}");
            assert_eq!(school.checked_position().await, Some(4));
        }
    }
}

/// A check for which the time does not suffice goes on with the same checkpoints, behind the last shard.
#[tokio::test]
async fn a_check_goes_on_where_its_time_was_over() {
    let school = School::new().await;
    let parent = school.shard();
    for _ in 0..3 {
        school.commit().await;
    }
    assert!(school.stream.split(&parent));
    for _ in 0..5 {
        school.commit().await;
    }
    let mut place: Option<String> = None;
    let mut summary = ShardSummary::default();
    let mut turns = 0;
    loop {
        turns += 1;
        assert!(turns < 50, "it comes to its end");
        let looks = std::cell::Cell::new(0);
        let clock = || {
            looks.set(looks.get() + 1);
            Millis(school.clock.get().0 + i64::from(looks.get() > 3))
        };
        let until = Millis(school.clock.get().0 + 1);
        let checking = check_shards(&school.stores, place.as_deref(), clock, until, &mut summary);
        match checking.await.expect("no faults") {
            CheckProgress::Whole => break,
            CheckProgress::Behind => place = None,
            CheckProgress::Through(next) => place = Some(next),
        }
    }
    assert!(turns > 1, "{turns}");
    assert_eq!(summary.faults, 0);
    assert_eq!(summary.records, 8);
}

/// The ledger's own entry has it done.
#[tokio::test]
async fn workers_check_the_shards_every_quarter_of_an_hour() {
    let school = School::new().await;
    school.commit().await;
    school.work().await;
    assert_eq!(school.checked_position().await, Some(0));
    for _ in 0..3 {
        school.commit().await;
    }
    school.table.lose_commit(&school.shard(), 2);
    school.pass(960);
    let turn = school.work().await;
    assert_eq!(turn.checked.faults, 1, "{turn:?}");
    school.assert_broken_at(&[2], "by a worker");
    let line = turn.line(school.clock.get()).to_json("Vernier");
    assert_eq!(line["ShardFaults"], 1);
}
