//! Checkpoints of the shards: the planner's part.

use super::sealing::School;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use vernier_archive::canonical;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::checkpoint::{Checkpoint, CheckpointMark, Checkpoints};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ports::Sweeps;
use vernier_ledger::restore::find_restore;
use vernier_ledger::sweep::UnknownTime;
use vernier_tests::envelopes::events;

impl School {
    async fn newest_mark(&self) -> Option<CheckpointMark> {
        let newest = self.table.newest_checkpoint().await;
        newest.expect("no faults")
    }

    /// What the newest checkpoint says, after a look at its bytes.
    async fn newest_checkpoint(&self) -> Checkpoint {
        let mark = self.newest_mark().await.expect("a run wrote one");
        let bytes = self.bucket.raw(&mark.key()).expect("its object is there");
        assert_eq!(Fingerprint::of(&bytes), mark.sha256);
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        let spelling = canonical::to_bytes(&value).expect("integers");
        assert_eq!(spelling, bytes, "there is one spelling");
        let checkpoint: Checkpoint = serde_json::from_slice(&bytes).expect("a checkpoint");
        assert_eq!(checkpoint.at, mark.at);
        checkpoint
    }
}

#[tokio::test]
async fn every_run_of_the_planner_says_where_the_shards_stand() {
    let school = School::new().await;
    assert!(school.plan().await.is_checkpointed);
    assert_eq!(school.newest_checkpoint().await.shards, [], "no record yet");
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(1);
    assert!(school.plan().await.is_checkpointed);
    let first = school.newest_checkpoint().await;
    let [shard] = &first.shards[..] else {
        panic!("{first:?}")
    };
    let record = school.table.all_records().pop().expect("one was committed");
    assert_eq!(
        (&first.stream, &shard.id),
        (&record.shard.stream, &record.shard.id)
    );
    assert_eq!((shard.position, shard.hash.hex()), (0, record.hash()));
    school.pass(1);
    school.plan().await;
    let again = school.newest_checkpoint().await;
    assert_eq!(again.shards, first.shards, "whether anything moved or not");
    assert!(again.at > first.at);
}

/// Shards that the stream has forgotten are left out; closed ones are not before.
#[tokio::test]
async fn a_closed_shard_is_in_checkpoints_until_the_stream_forgets_it() {
    let school = School::new().await;
    school.post(&events(1)).await;
    school.deliver().await;
    let parent = school.stream.shards()[0].clone();
    assert!(school.stream.split(&parent.shard));
    school.pass(1);
    school.plan().await;
    let ids = |checkpoint: &Checkpoint| -> Vec<String> {
        checkpoint.shards.iter().map(|s| s.id.clone()).collect()
    };
    assert_eq!(
        ids(&school.newest_checkpoint().await),
        std::slice::from_ref(&parent.shard.id)
    );
    school.stream.trim(&parent.shard, usize::MAX);
    school.pass(1);
    school.plan().await;
    assert_eq!(school.newest_checkpoint().await.shards, []);
}

/// What fails between object and item leaves the newest one as it was, and nudges nobody less.
#[tokio::test]
async fn a_run_that_cannot_write_a_checkpoint_nudges_all_the_same() {
    let school = School::new().await;
    school.work().await;
    school.post(&events(2)).await;
    school.deliver().await;
    school.plan().await;
    let before = school.newest_mark().await;
    school.pass(95);
    for operation in [Operation::PutObject, Operation::KeepCheckpoint] {
        for fault in [Fault::Before, Fault::Denied] {
            let plan = move |o, _| (o == operation).then_some(fault);
            school.faults.plan(plan);
            let planned = school.plan().await;
            school.faults.clear();
            assert_eq!((planned.owners, planned.sent), (2, 2), "{operation:?}");
            assert!(!planned.is_checkpointed, "{operation:?} {fault:?}");
            assert_eq!(
                school.newest_mark().await,
                before,
                "{operation:?} {fault:?}"
            );
        }
    }
    assert!(school.plan().await.is_checkpointed, "the next run does it");
    assert_eq!(school.newest_checkpoint().await.shards.len(), 1);
}

/// Of two runs at once either is true, and the later instant stays.
#[tokio::test]
async fn two_planners_at_once_never_set_the_newest_checkpoint_back() {
    let school = School::new().await;
    let late = school.clock.get();
    school.pass(1);
    school.plan().await;
    let newest = school.newest_mark().await;
    let (stores, process) = (&school.stores, &school.process);
    let planned = vernier_reconcile::planner::plan(stores, process, late).await;
    assert!(planned.expect("the index is read").is_checkpointed);
    assert_eq!(school.newest_mark().await, newest);
}

/// Whoever is nudged finds the checkpoint of the run that nudged: one from before would be older than the end of a window
/// that is due, and the window would wait for another run.
#[tokio::test]
async fn a_run_writes_its_checkpoint_before_it_nudges() {
    let school = School::new().await;
    school.post(&events(1)).await;
    school.deliver().await;
    school.pass(120);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    school.faults.plan(move |operation, _| {
        seen.lock().expect("no panic").push(operation);
        None
    });
    assert_eq!(school.plan().await.sent, 2);
    let calls = calls.lock().expect("no panic");
    let first = |wanted| calls.iter().position(|operation| *operation == wanted);
    let (kept, nudged) = (
        first(Operation::KeepCheckpoint),
        first(Operation::SendNudge),
    );
    assert!(kept.is_some() && kept < nudged, "{calls:?}");
}

/// A table that was restored to an earlier time has a checkpoint of then, and its bucket those since.
#[tokio::test]
async fn a_restored_table_is_noticed_before_its_checkpoint_is_the_newest() {
    let (lived, restored) = (School::new().await, School::new().await);
    for school in [&lived, &restored] {
        school.post(&events(2)).await;
        school.deliver().await;
        school.pass(60);
        assert!(school.plan().await.is_checkpointed);
    }
    let known = restored.newest_mark().await.expect("written").at;
    for _ in 0..3 {
        lived.pass(60);
        lived.post(&events(1)).await;
        lived.deliver().await;
        assert!(lived.plan().await.is_checkpointed);
    }
    // The first one is of both lives.
    for key in lived.bucket.keys("checkpoints/").into_iter().skip(1) {
        restored
            .bucket
            .place(&key, lived.bucket.raw(&key).expect("listed"));
    }
    restored.pass(1_800);
    let found = find_restore(&restored.table, &restored.bucket).await;
    let found = found.expect("reads").expect("it was restored");
    assert_eq!((found.known_at, found.checkpoints), (known, 3));
    assert_eq!(found.behind.len(), 1);
    assert_eq!(
        (found.behind[0].known, found.behind[0].written),
        (Some(0), 3)
    );
    // A store that fails lets nothing be checkpointed: the next run notices it.
    restored
        .faults
        .plan(|op, at| (op == Operation::SaveSweep && at == 0).then_some(Fault::Before));
    assert!(!restored.plan().await.is_checkpointed);
    restored.faults.clear();
    assert!(restored.plan().await.is_checkpointed);
    let time = UnknownTime {
        from: known,
        until: restored.clock.get(),
    };
    assert_eq!(restored.table.unknown_time().await, Ok(Some(time)));
    let notices = restored.topic.notices();
    assert!(
        notices
            .iter()
            .any(|(subject, _)| subject.contains("was restored")),
        "{notices:?}"
    );
    // From then on its own checkpoints are the newest.
    restored.pass(600);
    assert!(restored.plan().await.is_checkpointed);
    assert_eq!(restored.table.unknown_time().await, Ok(Some(time)));
}

/// A planner that was away, or died between a checkpoint's object and the table, restored nothing.
#[tokio::test]
async fn a_planner_that_was_away_is_no_restore() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.deliver().await;
    school.plan().await;
    school.pass(60);
    let keeps = |op: Operation, _: u64| (op == Operation::KeepCheckpoint).then_some(Fault::Before);
    school.faults.plan(keeps);
    assert!(!school.plan().await.is_checkpointed);
    school.faults.clear();
    school.pass(86_400);
    assert!(school.plan().await.is_checkpointed);
    assert_eq!(school.table.unknown_time().await, Ok(None));
}
