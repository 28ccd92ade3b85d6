//! `Commits`.

use super::{sequence, shard, tenant_id};
use futures::future::join_all;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::limits::SEGMENT_RECORD_BYTES_MAX;
use vernier_ledger::ports::{CommitOutcome, Commits, Cursor};
use vernier_ledger::segment::{ItemHash, SEGMENT_VERSION, SegmentRecord};
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
        items: vec![item(0)],
        copies: 2,
        quarantined: 3,
    }
}

fn item(minute: i64) -> ItemHash {
    ItemHash {
        tenant: tenant_id(),
        minute: Minute(minute),
        sha256: "0a".repeat(32),
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

/// All records of one shard, in order.
async fn of_shard(table: &impl Commits, shard: &Shard) -> Vec<SegmentRecord> {
    let smallest = Sequence::smallest();
    let records = table.records_from(shard, &smallest, 100).await;
    records.expect("read")
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
    assert_eq!(of_shard(table, &shard).await, written);
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
    assert_eq!(of_shard(table, &shard).await, [first]);
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
    assert_eq!(of_shard(table, &shard).await.len(), 1);
}

pub async fn a_shards_records_are_found_by_sequence_number(table: &impl Commits) {
    let (shard, other) = (shard(), shard());
    let mut written = Vec::new();
    for of in [&shard, &other] {
        let mut cursor = Cursor::default();
        for n in 1..=5 {
            let record = record_after(of, &cursor, 10 * n, AT);
            assert_eq!(
                table.commit(&cursor, &record, &[]).await,
                Ok(CommitOutcome::Committed)
            );
            cursor = cursor_after(&record);
            written.push(record);
        }
    }
    for (from, count_max, expected) in [
        (0, 100, 0..5),
        (0, 2, 0..2),
        (9, 1, 0..1),
        (10, 1, 0..1),
        (11, 1, 1..2),
        (31, 100, 3..5),
        (50, 100, 4..5),
        (51, 100, 5..5),
    ] {
        let found = table.records_from(&shard, &sequence(from), count_max).await;
        assert_eq!(
            found,
            Ok(written[expected].to_vec()),
            "{count_max} from {from}"
        );
    }
    assert_eq!(of_shard(table, &other).await, written[5..]);
    assert_eq!(of_shard(table, &super::shard()).await, []);
}

/// A page of a query is 1 MB; a record has 20 KB at most.
pub async fn more_records_than_one_page_holds(table: &impl Commits) {
    let shard = shard();
    let (mut cursor, mut written) = (Cursor::default(), Vec::new());
    for n in 1..=80 {
        let mut record = record_after(&shard, &cursor, 10 * n, AT);
        record.items = (0..98).map(item).collect();
        assert!((13_000..SEGMENT_RECORD_BYTES_MAX).contains(&record.to_json().len()));
        assert_eq!(
            table.commit(&cursor, &record, &[]).await,
            Ok(CommitOutcome::Committed)
        );
        cursor = cursor_after(&record);
        written.push(record);
    }
    assert_eq!(of_shard(table, &shard).await, written);
}
