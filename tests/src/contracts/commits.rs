//! `Commits`.

use super::{sequence, shard, tally, tenant_id};
use futures::future::join_all;
use std::collections::BTreeSet;
use vernier_ledger::ids::Shard;
use vernier_ledger::ports::{CommitOutcome, Commits, Cursor};
use vernier_ledger::segment::{Block, MinuteTally, SEGMENT_VERSION, SegmentRecord};
use vernier_ledger::time::{Millis, Minute};

/// Long ago, where nothing else commits: 2001-09-09T01:46:40Z.
const AT: i64 = 1_000_000_000_000;

/// The record that follows a cursor.
pub(super) fn record_after(shard: &Shard, cursor: &Cursor, last: u64, at: i64) -> SegmentRecord {
    SegmentRecord {
        vernier_segment: SEGMENT_VERSION,
        shard: shard.clone(),
        first: sequence(last - 1),
        last: sequence(last),
        committed_at: Millis(at),
        position: cursor.next_position,
        previous: cursor.last_hash.clone(),
        object: Some("segments/ö \"x\"".to_owned()),
        blocks: vec![block(1)],
        copies: 2,
        quarantined: 3,
        listed: true,
    }
}

fn block(minutes: i64) -> Block {
    Block {
        tenant: tenant_id(),
        offset: 7,
        bytes: 1 << 40,
        lines_bytes: u64::from(u32::MAX),
        sha256: "0a".repeat(32),
        received_through: Millis(AT),
        minutes: (0..minutes)
            .map(|n| MinuteTally {
                minute: Minute(n),
                tally: tally(5),
            })
            .collect(),
    }
}

/// What the cursor is after a record.
pub(super) fn cursor_after(record: &SegmentRecord) -> Cursor {
    Cursor {
        sequence: Some(record.last.clone()),
        next_position: record.position + 1,
        last_hash: Some(record.hash()),
    }
}

/// The records of one shard, by position.
async fn of_shard(table: &impl Commits, shard: &Shard, from: i64, to: i64) -> Vec<SegmentRecord> {
    let mut records = table.records(Millis(from), Millis(to)).await.expect("read");
    records.retain(|r| r.shard == *shard);
    records.sort_by_key(|r| r.position);
    records
}

pub async fn a_new_shard_has_no_cursor(table: &impl Commits) {
    assert_eq!(table.cursor(&shard()).await, Ok(Cursor::default()));
}

pub async fn a_commit_moves_the_cursor_and_keeps_the_record(table: &impl Commits) {
    let shard = shard();
    let mut cursor = Cursor::default();
    let mut written = Vec::new();
    for n in 1..=5 {
        let record = record_after(&shard, &cursor, 10 * n, AT + i64::try_from(n).unwrap_or(0));
        assert_eq!(
            table.commit(&cursor, &record, &[]).await,
            Ok(CommitOutcome::Committed)
        );
        cursor = table.cursor(&shard).await.expect("read");
        assert_eq!(cursor, cursor_after(&record));
        written.push(record);
    }
    assert_eq!(of_shard(table, &shard, AT, AT + 10).await, written);
    let other = super::shard();
    assert_eq!(
        table.cursor(&other).await,
        Ok(Cursor::default()),
        "a cursor of its own"
    );
}

pub async fn a_stale_commit_writes_nothing(table: &impl Commits) {
    let shard = shard();
    let never = Cursor {
        sequence: Some(sequence(3)),
        next_position: 1,
        last_hash: Some("x".to_owned()),
    };
    let record = record_after(&shard, &never, 20, AT);
    assert_eq!(
        table.commit(&never, &record, &[]).await,
        Ok(CommitOutcome::Stale),
        "no cursor yet"
    );
    assert_eq!(table.cursor(&shard).await, Ok(Cursor::default()));

    let empty = Cursor::default();
    let first = record_after(&shard, &empty, 20, AT);
    assert_eq!(
        table.commit(&empty, &first, &[]).await,
        Ok(CommitOutcome::Committed)
    );
    let cursor = cursor_after(&first);
    let elsewhere = [
        ("the first commit again", empty),
        (
            "another sequence number",
            Cursor {
                sequence: Some(sequence(19)),
                ..cursor.clone()
            },
        ),
        (
            "another position",
            Cursor {
                next_position: 2,
                ..cursor.clone()
            },
        ),
    ];
    for (what, seen) in elsewhere {
        let record = record_after(&shard, &seen, 30, AT + 1);
        assert_eq!(
            table.commit(&seen, &record, &[]).await,
            Ok(CommitOutcome::Stale),
            "{what}"
        );
        assert_eq!(table.cursor(&shard).await, Ok(cursor.clone()), "{what}");
    }
    assert_eq!(of_shard(table, &shard, AT - 10, AT + 10).await, [first]);
}

pub async fn concurrent_commits_have_one_winner(table: &impl Commits) {
    let shard = shard();
    let empty = Cursor::default();
    let records: Vec<_> = (1..=8)
        .map(|n| record_after(&shard, &empty, 10 * n, AT))
        .collect();
    let outcomes = join_all(records.iter().map(|r| table.commit(&empty, r, &[]))).await;
    let committed = |o: &&Result<CommitOutcome, _>| **o == Ok(CommitOutcome::Committed);
    assert_eq!(outcomes.iter().filter(committed).count(), 1, "{outcomes:?}");
    assert_eq!(of_shard(table, &shard, AT, AT).await.len(), 1);
}

pub async fn records_are_listed_by_instant_of_commit(table: &impl Commits) {
    const HOUR: i64 = 3_600_000;
    let from = (AT / HOUR + 1) * HOUR - 2;
    let to = from + 2 * HOUR + 4;
    // At both ends, in the middle, at the turn of the hour; and just outside.
    let inside = [from, from + 1, from + 2, from + HOUR, to - 1, to];
    let instants = [&[from - 1][..], &inside, &[to + 1]].concat();
    let shards: BTreeSet<Shard> = (0..6).map(|_| shard()).collect();
    for shard in &shards {
        let mut cursor = Cursor::default();
        for (n, at) in (1..).zip(&instants) {
            let record = record_after(shard, &cursor, 10 * n, *at);
            assert_eq!(
                table.commit(&cursor, &record, &[]).await,
                Ok(CommitOutcome::Committed)
            );
            cursor = cursor_after(&record);
        }
    }
    for shard in &shards {
        let listed = of_shard(table, shard, from, to).await;
        let at: Vec<i64> = listed.iter().map(|r| r.committed_at.0).collect();
        assert_eq!(at, inside);
    }
}

pub async fn an_empty_range_has_no_records(table: &impl Commits) {
    let shard = shard();
    let empty = Cursor::default();
    let record = record_after(&shard, &empty, 10, AT);
    assert_eq!(
        table.commit(&empty, &record, &[]).await,
        Ok(CommitOutcome::Committed)
    );
    for (from, to) in [(AT + 1, AT - 1), (AT + 7_200_000, AT), (AT + 1, AT + 1)] {
        assert_eq!(
            of_shard(table, &shard, from, to).await,
            [],
            "{from} to {to}"
        );
    }
}

/// A page of a query is 1 MB; a record has 300 KB at most.
pub async fn more_records_than_one_page_holds(table: &impl Commits) {
    let shard = shard();
    let (mut cursor, mut written) = (Cursor::default(), Vec::new());
    for n in 1..=6 {
        let mut record = record_after(&shard, &cursor, 10 * n, AT + 86_400_000);
        record.blocks = (0..10).map(|_| block(200)).collect();
        assert!((200_000..300_000).contains(&record.to_json().len()));
        assert_eq!(
            table.commit(&cursor, &record, &[]).await,
            Ok(CommitOutcome::Committed)
        );
        cursor = cursor_after(&record);
        written.push(record);
    }
    assert_eq!(
        of_shard(table, &shard, AT + 86_400_000, AT + 86_400_000).await,
        written
    );
}
