//! `Checkpoints`. There is one newest checkpoint in a table, and a planner may write beside these bodies: they begin
//! right behind the one that is there, and a later one of somebody else's is as good as theirs.

use super::{sequence, shard};
use futures::future::join_all;
use vernier_ledger::checkpoint::{CheckpointMark, Checkpoints, ShardMark, ShardMarks};
use vernier_ledger::time::Millis;

async fn is_newest(table: &impl Checkpoints, expected: CheckpointMark) {
    let newest = table.newest_checkpoint().await.expect("read");
    let newest = newest.expect("one was kept");
    let is_elsewhere = newest.at.0 > expected.at.0 + 1_000;
    assert!(
        newest == expected || is_elsewhere,
        "{newest:?} {expected:?}"
    );
}

pub async fn the_newest_checkpoint_never_goes_back(table: &impl Checkpoints) {
    let there = table.newest_checkpoint().await.expect("read");
    let at = there.map_or(1_000, |there| there.at.0 + 1);
    let mark = |after: i64, bytes: &[u8]| CheckpointMark::of(Millis(at + after), bytes);
    let first = mark(1, b"first");
    for (kept, newest) in [
        (first, first),
        (mark(0, b"older"), first),
        (mark(1, b"of the same instant"), first),
        (first, first),
        (mark(2, b"later"), mark(2, b"later")),
        (first, mark(2, b"later")),
    ] {
        assert_eq!(table.keep_checkpoint(&kept).await, Ok(()), "{kept:?}");
        is_newest(table, newest).await;
    }
    let at_once: Vec<CheckpointMark> = (3..11).map(|after| mark(after, b"at once")).collect();
    let keeping = at_once.iter().rev().map(|m| table.keep_checkpoint(m));
    let kept = join_all(keeping).await;
    assert!(kept.iter().all(Result::is_ok), "{kept:?}");
    is_newest(table, mark(10, b"at once")).await;
}

pub async fn how_far_a_shard_was_checked_is_kept(table: &impl ShardMarks) {
    let (shard, other) = (shard(), shard());
    assert_eq!(table.shard_mark(&shard).await, Ok(None));
    for n in 1..4 {
        let mark = ShardMark {
            shard: shard.clone(),
            position: n,
            hash: "0a".repeat(32),
            last: sequence(n),
            checked_at: vernier_ledger::clock::now(),
        };
        assert_eq!(table.save_shard_mark(&mark).await, Ok(()));
        assert_eq!(table.shard_mark(&shard).await, Ok(Some(mark)));
    }
    assert_eq!(table.shard_mark(&other).await, Ok(None));
    // A worker may be at it: what is saved is what was there, or a beginning.
    let through = table.checked_through().await.expect("read");
    let through = through.unwrap_or(Millis(1));
    assert_eq!(table.save_checked_through(through).await, Ok(()));
    let kept = table.checked_through().await.expect("read");
    assert!(kept >= Some(through), "{kept:?}");
}
