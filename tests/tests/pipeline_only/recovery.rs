//! What the trigger lost is brought back, shard by shard.

use super::sealing::{BEGINNING, HOLD_SECONDS, School, WORK};
use super::shortfalls::assert_short;
use std::cell::Cell;
use std::time::Duration;
use vernier_fakes::Fault;
use vernier_ledger::given_up::{BROUGHT_BACK_MAX, GivenUpSlices};
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{NewRecord, Objects, PortError, PutOutcome, Receipts};
use vernier_ledger::receipt::{ClaimOutcome, ClaimRequest, Origin};
use vernier_ledger::recovery::BroughtBack;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists};
use vernier_reconcile::recovery::{RecoverySummary, bring_back};
use vernier_tests::envelopes::{event, events};
use vernier_tests::memory::trigger_event;
use vernier_tests::orchestra::turn_of;

pub(super) const KEY: &str =
    "aws/lambda/mapping/shardId-000000000000/2026/09/01/2026-09-01T09.16.00-uuid";

impl School {
    /// A turn of the ledger, and one of each shard that has work, all with a minute.
    pub(super) async fn recover(&self) -> RecoverySummary {
        let clock = || self.clock.get();
        let forever = Millis(i64::MAX);
        let mut sum = self.find_failed().await;
        sum.add(&self.recover_shards(&clock, forever).await);
        sum
    }

    /// The ledger's turn that finds failed batches for their shards.
    async fn find_failed(&self) -> RecoverySummary {
        let find = WorkKey::of(Cause::Recover, "");
        let find = WorkEntry::new(find, self.clock.get(), Nonce::random());
        let put = self.table.put_work(&Owner::Ledger, &find).await;
        put.expect("put");
        let (stores, process, clock) = (&self.stores, &self.process, || self.clock.get());
        let forever = Millis(i64::MAX);
        let taking = turn_of(stores, process, &WORK, &Owner::Ledger, &clock, forever);
        taking.await.expect("its list is read").recovered
    }

    async fn recover_shards(
        &self,
        clock: &impl Fn() -> Millis,
        deadline: Millis,
    ) -> RecoverySummary {
        let mut sum = RecoverySummary::default();
        for description in self.stream.shards() {
            let owner = Owner::of_shard(&description.shard.id);
            let (stores, process) = (&self.stores, &self.process);
            let taking = turn_of(stores, process, &WORK, &owner, clock, deadline);
            let turn = taking.await.expect("its list is read");
            assert_eq!(turn.failed, 0, "{turn:?}");
            sum.add(&turn.recovered);
        }
        sum
    }

    /// Brings back records of a shard as an operator has it done.
    pub(super) async fn bring_back(
        &self,
        shard: &Shard,
        batch: &[(Sequence, NewRecord)],
    ) -> Result<BroughtBack, PortError> {
        let (stores, clock) = (&self.stores, || self.clock.get());
        bring_back(stores, shard, batch, 30, Nonce::random, clock).await
    }

    pub(super) async fn shard_work(&self) -> usize {
        let owner = Owner::of_shard("shardId-000000000000");
        self.table.work(&owner).await.expect("read").len()
    }

    pub(super) async fn put_failure(
        &self,
        key: &str,
        shard: &Shard,
        records: &[(Sequence, NewRecord)],
    ) {
        let stream = &shard.stream;
        let failure = serde_json::json!({
            "KinesisBatchInfo": {
                "shardId": shard.id,
                "streamArn": format!("arn:aws:kinesis:us-east-1:123456789012:stream/{stream}"),
            },
            "payload": trigger_event(shard, records).to_string(),
        });
        let put = self
            .bucket
            .put_new(key, failure.to_string().into_bytes(), None);
        assert_eq!(put.await, Ok(PutOutcome::Created));
    }

    pub(super) fn on_stream(&self) -> (Shard, Vec<(Sequence, NewRecord)>) {
        self.stream.records().pop_first().expect("a shard")
    }

    /// The stream function takes records as they are handed in.
    async fn take(&self, records: Vec<(Sequence, Vec<u8>)>) {
        let committing = vernier_stream::Committing {
            settings: vernier_stream::Settings::keeping(30),
            memory: &self.memory,
        };
        let record = |(sequence, data)| vernier_stream::Record {
            sequence,
            data,
            arrived_at: None,
        };
        let records = records.into_iter().map(record).collect();
        let (shard, _) = self.on_stream();
        let (clock, budget) = (|| self.clock.get(), Duration::from_secs(5));
        let taken =
            vernier_stream::process(&self.stores, committing, &shard, records, clock, budget);
        taken.await.expect("committed");
    }
}

/// A batch that ran out of retries: its window is held back until the next run has brought it back.
#[tokio::test]
async fn a_failed_batch_is_brought_back_and_sealed() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.post(&events(3)).await;
    school.deliver_but(&[0]).await;
    let (shard, records) = school.on_stream();
    school.put_failure(KEY, &shard, &records[..1]).await;
    let other = ("aws/lambda/mapping/x", b"no batch".to_vec());
    let put = school.bucket.put_new(other.0, other.1, None).await;
    assert_eq!(put, Ok(PutOutcome::Created));
    school.pass(95);
    let recovered = school.work().await.recovered;
    assert_eq!(
        (recovered.settled, recovered.unsettled, recovered.sent_again),
        (1, 0, 1),
        "once, though the window misses it too: {recovered:?}"
    );
    assert!(recovered.unreadable > 0, "{recovered:?}");
    school.pass(16 * 60);
    let again = school.work().await.recovered;
    assert_eq!((again.settled, again.sent_again), (0, 0), "{again:?}");
    school.deliver().await;
    school.pass(3_600);
    assert!(school.work().await.sealed.sealed > 0);
    school.assert_sealed([5, 0, 0, 0]);
}

/// A record that the trigger went past and left nowhere: the stream still has it.
#[tokio::test]
async fn a_record_never_delivered_is_brought_back_from_the_stream() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.post(&events(1)).await;
    school.post(&events(3)).await;
    school.pass(95);
    school.turn().await;
    let early = school.recover().await;
    assert_eq!((early.sent_again, early.awaited), (0, 3), "all may come");
    school.deliver_but(&[0]).await;
    school.pass(3_600);
    let recovered = school.recover().await;
    assert_eq!((recovered.sent_again, recovered.gone), (1, 0));
    school.pass(3_600);
    let again = school.recover().await;
    assert_eq!(
        (again.sent_again, again.awaited),
        (0, 1),
        "it is on its way"
    );
    school.deliver().await;
    school.pass(3_600);
    school.recover().await;
    assert_eq!(school.shard_work().await, 0, "nothing is missing");
    assert_eq!(school.seal().await.sealed, 1);
    school.assert_sealed([6, 0, 0, 0]);
}

/// Invariant 7 within a tenant: what is gone for good keeps nothing else waiting.
#[tokio::test]
async fn what_is_gone_for_good_keeps_nobody_waiting() {
    let school = School::new().await;
    for _ in 0..130 {
        school.post(&events(1)).await;
    }
    for _ in 0..3 {
        school.post(&events(2)).await;
    }
    school.post(&events(1)).await;
    let all: Vec<usize> = (0..133).collect();
    school.deliver_but(&all).await;
    let (shard, _) = school.on_stream();
    school.stream.trim(&shard, 130);
    school.pass(95);
    school.turn().await;
    let recovered = school.recover().await;
    assert_eq!((recovered.sent_again, recovered.gone), (3, 130));
    school.deliver().await;
    school.pass(900);
    let recovered = school.recover().await;
    assert_eq!((recovered.sent_again, recovered.gone), (0, 130));
    assert_eq!(school.shard_work().await, 0, "the stream has no more of it");
}

/// A failed batch that a turn has no time for goes on where it was.
#[tokio::test]
async fn a_batch_that_is_larger_than_a_turn_is_done_over_several() {
    let school = School::new().await;
    school.post(&events(1)).await;
    let (shard, records) = school.on_stream();
    let (_, sound) = &records[0];
    let record = |n: u64| {
        let sequence: Sequence = (1_000_000 + n).to_string().parse().expect("digits");
        let data = format!("no frame {n}").into_bytes();
        let partition_key = sound.partition_key.clone();
        (
            sequence,
            NewRecord {
                partition_key,
                data,
            },
        )
    };
    let mut batch = vec![records[0].clone()];
    batch.extend((0..1_700).map(record));
    school.put_failure(KEY, &shard, &batch).await;
    school.find_failed().await;
    let kept = || school.bucket.keys("quarantine/frames/").len();
    let (mut turns, mut sum) = (0, RecoverySummary::default());
    while sum.settled == 0 {
        // Each look at the clock is a second, and a turn has time for a step or two.
        let clock = Cell::new(school.clock.get());
        let looks = || {
            clock.set(clock.get().plus_seconds(1));
            clock.get()
        };
        let before = kept();
        let deadline = school.clock.get().plus_seconds(8);
        let recovered = school.recover_shards(&looks, deadline).await;
        assert!(kept() - before <= 1_000, "{} at once", kept() - before);
        sum.add(&recovered);
        school.pass(3_600);
        turns += 1;
        assert!(turns < 20, "it does not come to an end: {sum:?}");
    }
    assert!(turns > 2, "{turns}");
    assert_eq!((kept(), sum.sent_again, sum.unsettled), (1_700, 1, 0));
    school.pass(3_600);
    school.recover().await;
    let owner = Owner::of_shard("shardId-000000000000");
    let left = school.table.work(&owner).await.expect("read");
    let of_batches = |entry: &&WorkEntry| entry.key.subject.starts_with("aws/");
    assert_eq!(left.iter().filter(of_batches).count(), 0, "{left:?}");
}

/// A window was sealed short, and nobody waits for it: what was sent again and is lost once more comes back nonetheless.
#[tokio::test]
async fn what_was_sent_again_after_a_shortfall_is_looked_for() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.pass(60);
    school.post(&events(3)).await;
    let (shard, records) = school.on_stream();
    school.deliver_but(&[0]).await;
    school.stream.trim(&shard, 1);
    school.pass(120);
    school.work().await;
    school.pass(HOLD_SECONDS + 60);
    school.work().await;
    school.recover().await;
    assert_short(&school, 1);
    assert_eq!(school.shard_work().await, 0, "its entries are done");

    let brought = school.bring_back(&shard, &records[..1]);
    assert_eq!(brought.await.expect("brought back").played_back, 1);
    school.post(&events(1)).await;
    let lost = school.on_stream().1.len() - 2;
    school.deliver_but(&[lost]).await;
    school.pass(900);
    assert_eq!(school.recover().await.sent_again, 1);
    school.deliver().await;
    school.pass(900);
    school.recover().await;
    school.work().await;
    assert_short(&school, 0);
    assert_eq!(school.shard_work().await, 0, "it was found");
}

/// A frame that the stream function never gets stored is tried three times, then kept raw, and its window knows.
#[tokio::test]
async fn a_slice_that_fails_three_times_is_kept_in_quarantine() {
    let school = School::new().await;
    let poison = school.post(&[event()]).await;
    school.post(&events(1)).await;
    let is_poison = |record: &NewRecord| {
        let frame = vernier_ledger::frame::decode(&record.data);
        frame.is_ok_and(|frame| frame.header.receipt == poison)
    };
    let mut sum = RecoverySummary::default();
    for _ in 0..8 {
        // The trigger goes past it each time.
        school.post(&events(1)).await;
        let (_, records) = school.on_stream();
        let poisoned = records.iter().enumerate();
        let poisoned = poisoned.filter(|(_, (_, record))| is_poison(record));
        let places: Vec<usize> = poisoned.map(|(n, _)| n).collect();
        school.deliver_but(&places).await;
        school.pass(3_600);
        school.turn_with(&school.process).await.expect("read");
        sum.add(&school.recover().await);
    }
    assert_eq!(sum.sent_again, u64::from(BROUGHT_BACK_MAX));
    assert_eq!(sum.given_up, 1, "it is said once");
    let range = TimeRange {
        from: BEGINNING,
        to: BEGINNING.plus_seconds(60),
    };
    let given_up = school.table.given_up_slices(&school.tenant.id, range).await;
    let given_up = given_up.expect("read");
    assert_eq!(given_up.len(), 1);
    assert_eq!((given_up[0].receipt, given_up[0].slice), (poison, 0));
    let raw = school.bucket.raw(&given_up[0].object).expect("kept raw");
    let (_, records) = school.on_stream();
    assert!(records.iter().any(|(_, record)| record.data == raw));
    let copies = records.iter().filter(|(_, record)| is_poison(record));
    assert_eq!(copies.count(), 1 + sum.sent_again as usize);
}

/// A crash between sending a frame again and claiming it: it is sent once more, and stored once.
#[tokio::test]
async fn a_frame_whose_claim_failed_is_stored_once() {
    for fault in [Fault::Before, Fault::After] {
        let school = School::new().await;
        school.post(&events(2)).await;
        school.post(&events(1)).await;
        school.deliver_but(&[0]).await;
        let (shard, records) = school.on_stream();
        let plan = move |op, n| (op == vernier_fakes::Operation::Claim && n == 1).then_some(fault);
        school.faults.plan(plan);
        let bring = || school.bring_back(&shard, &records[..1]);
        assert!(bring().await.is_err(), "{fault:?}");
        school.faults.clear();
        bring().await.expect("no faults");
        school.deliver().await;
        school.pass(95);
        assert_eq!(school.seal().await.sealed, 1);
        school.assert_sealed([3, 0, 0, 0]);
    }
}

/// A record that was claimed, and that the version which committed its batch could not read: the range of the commit
/// has it, no block does.
#[tokio::test]
async fn what_was_claimed_and_lies_in_no_block_is_found_by_what_is_committed() {
    let school = School::new().await;
    let lost = school.post(&events(2)).await;
    school.post(&events(1)).await;
    let (shard, records) = school.on_stream();
    let frame = vernier_ledger::frame::decode(&records[0].1.data).expect("a frame");
    let origin = Origin {
        shard,
        sequence: records[0].0.clone(),
    };
    let request = ClaimRequest {
        header: &frame.header,
        origin: &origin,
        expires: Millis(i64::MAX),
    };
    assert_eq!(school.table.claim(request).await, Ok(ClaimOutcome::Mine));
    let unreadable = (records[0].0.clone(), b"of a version to come".to_vec());
    let readable = (records[1].0.clone(), records[1].1.data.clone());
    school.take(vec![unreadable, readable]).await;
    school.pass(95);
    assert_eq!(school.seal().await.sealed, 0, "it misses {lost}");
    let recovered = school.recover().await;
    assert_eq!(recovered.sent_again, 1, "{recovered:?}");
    school.deliver().await;
    school.pass(120);
    assert_eq!(school.seal().await.sealed, 1);
    school.assert_sealed([3, 0, 0, 0]);
}

/// A frame of a version that was to come when its batch was committed: after the upgrade it is brought back from quarantine.
#[tokio::test]
async fn what_this_version_can_read_comes_back_from_quarantine() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.post(&events(1)).await;
    let (shard, records) = school.on_stream();
    let unreadable = (records[0].0.clone(), b"of a version to come".to_vec());
    let readable = (records[1].0.clone(), records[1].1.data.clone());
    school.take(vec![unreadable, readable]).await;
    school.stream.trim(&shard, 2);
    let kept = school.bucket.keys("quarantine/frames/").remove(0);
    school.bucket.lose(&kept);
    school.bucket.place(&kept, records[0].1.data.clone());
    let key = WorkKey::of(Cause::Recover, "quarantine");
    let entry = WorkEntry::new(key, school.clock.get(), Nonce::random());
    let put = school.table.put_work(&Owner::Ledger, &entry).await;
    put.expect("put");
    let first = school.find_failed().await;
    assert_eq!(first.sent_again, 1, "{first:?}");
    school.deliver().await;
    school.pass(86_400);
    assert_eq!(school.find_failed().await.sent_again, 0, "it is stored");
    assert_eq!(school.turn().await.sealed.events, 3);
    school.assert_sealed([3, 0, 0, 0]);
}
