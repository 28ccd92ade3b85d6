//! Batches that take several commits: one object, which each of them names.

use super::ends_within;
use super::sealing::{BEGINNING, School};
use super::sweeping::SWEEPING;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::limits::COMMIT_BLOCKS_MAX;
use vernier_ledger::ports::{NewRecord, PortError};
use vernier_ledger::time::Millis;
use vernier_stream::{Committing, Outcome, Record, Settings, process};
use vernier_tests::envelopes::events;
use vernier_tests::readback::Stored;

/// Envelopes, five minutes apart: more than a transaction has room for.
const ENVELOPES: i64 = COMMIT_BLOCKS_MAX as i64 + 22;

/// A school that was sent envelopes over ten hours, all of which wait on the stream.
async fn with_waiting_envelopes() -> (School, Vec<ReceiptId>) {
    let school = School::new().await;
    let mut receipts = Vec::new();
    for n in 0..ENVELOPES {
        let at = BEGINNING.plus_seconds(n * 300);
        receipts.push(school.post_at(at, &events(1)).await);
    }
    school.pass(ENVELOPES * 300 - 240);
    (school, receipts)
}

impl School {
    async fn take_all(&self) -> Result<Outcome, PortError> {
        let committing = Committing {
            settings: Settings {
                receipt_days: 30,
                chunk_bytes: 1_024,
            },
            memory: &self.memory,
        };
        let (shard, records) = self.stream.records().pop_first().expect("a shard");
        let record = |(sequence, record): (_, NewRecord)| Record {
            sequence,
            data: record.data,
            arrived_at: None,
        };
        let records = records.into_iter().map(record).collect();
        let (clock, budget) = (|| self.clock.get(), Duration::from_secs(5));
        process(&self.stores, committing, &shard, records, clock, budget).await
    }

    async fn stored(&self) -> Stored {
        let shards: Vec<_> = self.stream.shards().into_iter().map(|s| s.shard).collect();
        Stored::read(&self.table, &self.bucket, &shards).await
    }

    /// Objects that commits name, and all that there are.
    fn objects(&self) -> (usize, usize) {
        let records = self.table.all_records();
        let named: BTreeSet<_> = records.iter().filter_map(|r| r.object.clone()).collect();
        (named.len(), self.bucket.keys("segments/").len())
    }
}

#[tokio::test]
async fn a_batch_of_several_commits_has_one_object() {
    let (school, _) = with_waiting_envelopes().await;
    let outcome = school.take_all().await.expect("committed");
    assert_eq!((outcome.steps, outcome.frames), (2, 120));
    assert_eq!(school.objects(), (1, 1));
    let stored = school.stored().await;
    assert_eq!((stored.segments, stored.lines.len()), (2, 120));
    let most = school
        .table
        .all_records()
        .iter()
        .map(|r| r.items.len())
        .max();
    assert_eq!(most, Some(COMMIT_BLOCKS_MAX));
}

/// Wherever a batch dies or fails between its commits, the next try ends it, and each event is stored once.
#[tokio::test]
async fn a_batch_that_dies_between_its_commits_is_finished_by_the_next_try() {
    let mut crashes = 0;
    for polls in (1..).step_by(17) {
        let (school, _) = with_waiting_envelopes().await;
        school.faults.interleave(5);
        {
            let taking = school.take_all();
            let mut taking = pin!(taking);
            if ends_within(taking.as_mut(), polls) {
                break;
            }
        }
        crashes += 1;
        school.take_all().await.expect("committed");
        let stored = school.stored().await;
        assert_eq!(stored.lines.len(), 120, "after {polls} polls");
        assert!(school.objects().0 <= 2, "after {polls} polls");
    }
    assert!(crashes > 5, "{crashes}");
    for fault in [Fault::Before, Fault::After] {
        let (school, _) = with_waiting_envelopes().await;
        let plan = move |op, n| (op == Operation::Commit && n == 1).then_some(fault);
        school.faults.plan(plan);
        school.take_all().await.expect("tried again");
        let stored = school.stored().await;
        assert_eq!((stored.lines.len(), stored.segments), (120, 2), "{fault:?}");
    }
}

/// Each commit is looked up by its sequence numbers, whatever object it shares.
#[tokio::test]
async fn what_some_of_the_commits_of_a_batch_stored_is_not_sent_again() {
    let (school, _) = with_waiting_envelopes().await;
    let plan = |op, n| (op == Operation::Commit && n > 0).then_some(Fault::Denied);
    school.faults.plan(plan);
    assert!(school.take_all().await.is_err(), "the second commit fails");
    school.faults.clear();
    assert_eq!(school.stored().await.lines.len(), COMMIT_BLOCKS_MAX);
    let (shard, batch) = school.stream.records().pop_first().expect("a shard");
    let brought = school.bring_back(&shard, &batch).await;
    let brought = brought.expect("no faults");
    assert_eq!((brought.stored, brought.played_back), (98, 22));
    school.take_all().await.expect("committed");
    assert_eq!(school.stored().await.lines.len(), 120);
}

/// The records of a version before lie elsewhere: what they have stored is not sent again either.
#[tokio::test]
async fn what_an_earlier_version_committed_is_not_sent_again() {
    let (school, _) = with_waiting_envelopes().await;
    school.take_all().await.expect("committed");
    let (shard, batch) = school.stream.records().pop_first().expect("a shard");
    school.table.unlist_commits(0);
    school.post(&events(1)).await;
    school.take_all().await.expect("committed");
    let brought = school.bring_back(&shard, &batch).await;
    let brought = brought.expect("no faults");
    assert_eq!((brought.stored, brought.played_back), (120, 0));
}

/// Invariant 3: an object goes when what all of its commits hold is sealed.
#[tokio::test]
async fn an_object_stays_until_the_last_of_its_commits_is_sealed() {
    let (school, _) = with_waiting_envelopes().await;
    school.take_all().await.expect("committed");
    let sweep = async || {
        let clock = || school.clock.get();
        let forever = Millis(i64::MAX);
        let swept =
            vernier_reconcile::sweeping::sweep_segments(&school.stores, SWEEPING, clock, forever);
        swept.await.expect("no faults")
    };
    while school.seal().await.sealed > 0 {}
    let sealed: u64 = school.seals().iter().map(|s| s.counts.stored).sum();
    assert!(
        (98..120).contains(&sealed),
        "the last window is not over: {sealed}"
    );
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    let swept = sweep().await;
    assert_eq!((swept.segments, swept.left), (0, 1), "{swept:?}");
    while school.seal().await.sealed > 0 {}
    school.assert_sealed([120, 0, 0, 0]);
    let swept = sweep().await;
    assert_eq!((swept.segments, swept.left), (1, 0), "{swept:?}");
    assert_eq!(school.objects().1, 0);
}

/// The same of what an earlier version committed, whose records have the blocks themselves.
#[tokio::test]
async fn segments_of_an_earlier_version_go_when_they_are_sealed() {
    let school = School::new().await;
    school.three_windows().await;
    school.table.unlist_commits(0);
    let clock = || school.clock.get();
    let forever = Millis(i64::MAX);
    let sweep =
        || vernier_reconcile::sweeping::sweep_segments(&school.stores, SWEEPING, clock, forever);
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    let before = school.objects().1 as u64;
    let swept = sweep().await.expect("no faults");
    assert_eq!((swept.segments, swept.left), (0, before), "{swept:?}");
    while school.seal().await.sealed > 0 {}
    let swept = sweep().await.expect("no faults");
    assert_eq!((swept.segments, swept.left), (before, 0), "{swept:?}");
    assert_eq!(school.objects().1, 0);
}
