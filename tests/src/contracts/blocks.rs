//! `Blocks` and `Listing`.

use super::commits::{cursor_after, record_after};
use super::{sequence, shard, tally, tenant_id};
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::clock;
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::COMMIT_BLOCKS_MAX;
use vernier_ledger::ports::{Blocks, CommitOutcome, Commits, Cursor};
use vernier_ledger::segment::{Block, ItemHash, MinuteTally, SegmentRecord};
use vernier_ledger::time::{Millis, Minute, TimeRange};

/// An hour's first minute: 2001-09-09T01:00Z.
const HOUR: i64 = 16_666_620;

fn at(minute: i64) -> Millis {
    Minute(HOUR + minute).start()
}

/// A tenant's block of some minutes of the hour.
fn block(tenant: &TenantId, minutes: &[i64]) -> Block {
    let of_minute = |minute: &i64| MinuteTally {
        minute: Minute(HOUR + minute),
        tally: tally(3),
    };
    Block {
        tenant: tenant.clone(),
        offset: 7,
        bytes: 11,
        lines_bytes: 13,
        sha256: "0a".repeat(32),
        received_through: at(minutes[minutes.len() - 1]),
        minutes: minutes.iter().map(of_minute).collect(),
        times: None,
        index: None,
    }
}

/// A tenant's items between two minutes, by position and first minute.
async fn listed(table: &impl Blocks, tenant: &TenantId, from: i64, to: i64) -> Vec<BlockItem> {
    let range = TimeRange {
        from: at(from),
        to: at(to),
    };
    let mut items = table.block_items(tenant, range).await.expect("read");
    items.sort_by_key(|i| (i.position, i.slice()));
    items
}

async fn commit(
    table: &impl Commits,
    seen: &Cursor,
    record: &SegmentRecord,
    blocks: Vec<Block>,
) -> (CommitOutcome, Vec<BlockItem>) {
    let items = BlockItem::of(record, blocks);
    let outcome = table.commit(seen, record, &items).await.expect("answers");
    (outcome, items)
}

pub async fn a_commits_items_are_listed_for_their_tenants(table: &(impl Commits + Blocks)) {
    let (shard, own, other) = (shard(), tenant_id(), tenant_id());
    let empty = Cursor::default();
    let first = record_after(&shard, &empty, 10, at(60).0);
    let blocks = vec![
        block(&own, &[3, 4]),
        block(&own, &[58]),
        block(&own, &[60, 61]),
        block(&other, &[3]),
    ];
    let (outcome, items) = commit(table, &empty, &first, blocks).await;
    assert_eq!(outcome, CommitOutcome::Committed);
    let cursor = cursor_after(&first);
    let second = record_after(&shard, &cursor, 20, at(61).0);
    let (outcome, later) = commit(table, &cursor, &second, vec![block(&own, &[4])]).await;
    assert_eq!(outcome, CommitOutcome::Committed);
    // Minute 4 lies in an item that begins with minute 3.
    let cases: [(i64, i64, Vec<&BlockItem>); 7] = [
        (0, 62, vec![&items[0], &items[1], &items[2], &later[0]]),
        (4, 5, vec![&items[0], &later[0]]),
        (3, 4, vec![&items[0]]),
        (5, 58, vec![]),
        (58, 60, vec![&items[1]]),
        (59, 61, vec![&items[2]]),
        (5, 3, vec![]),
    ];
    for (from, to, expected) in cases {
        let found = listed(table, &own, from, to).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{from} to {to}");
    }
    assert_eq!(listed(table, &other, 0, 62).await, [items[3].clone()]);
}

pub async fn a_stale_commit_lists_nothing(table: &(impl Commits + Blocks)) {
    let (shard, tenant) = (shard(), tenant_id());
    let never = Cursor {
        next_position: 1,
        ..Cursor::default()
    };
    let record = record_after(&shard, &never, 20, at(60).0);
    let seen = Cursor {
        sequence: Some(record.first.clone()),
        ..never
    };
    let (outcome, _) = commit(table, &seen, &record, vec![block(&tenant, &[3])]).await;
    assert_eq!(outcome, CommitOutcome::Stale);
    assert_eq!(listed(table, &tenant, 0, 60).await, []);
}

pub async fn a_commit_has_as_many_items_as_it_may(table: &(impl Commits + Blocks)) {
    let (shard, empty) = (shard(), Cursor::default());
    let tenants: Vec<TenantId> = (0..COMMIT_BLOCKS_MAX).map(|_| tenant_id()).collect();
    let record = record_after(&shard, &empty, 20, at(60).0);
    let blocks = tenants.iter().map(|t| block(t, &[0, 1, 2, 3, 4])).collect();
    let (outcome, items) = commit(table, &empty, &record, blocks).await;
    assert_eq!(outcome, CommitOutcome::Committed);
    for (tenant, item) in tenants.iter().zip(items).step_by(16) {
        assert_eq!(listed(table, tenant, 4, 5).await, [item]);
    }
}

pub async fn a_records_items_are_found_by_what_it_says_of_them(table: &(impl Commits + Blocks)) {
    let (shard, own, other) = (shard(), tenant_id(), tenant_id());
    let empty = Cursor::default();
    let mut record = record_after(&shard, &empty, 10, at(60).0);
    let blocks = vec![
        block(&own, &[3, 4]),
        block(&own, &[58]),
        block(&other, &[3]),
    ];
    let items = BlockItem::of(&record, blocks);
    record.items = items.iter().filter_map(BlockItem::hash).collect();
    let committed = table.commit(&empty, &record, &items).await;
    assert_eq!(committed, Ok(CommitOutcome::Committed));
    let there: Vec<_> = items.iter().cloned().map(Some).collect();
    assert_eq!(table.record_items(&record).await, Ok(there.clone()));
    let mut more = record.clone();
    more.items.insert(
        1,
        ItemHash {
            tenant: tenant_id(),
            ..record.items[0].clone()
        },
    );
    let found = table.record_items(&more).await.expect("read");
    assert_eq!(
        (&found[0], &found[1], &found[2..]),
        (&there[0], &None, &there[1..])
    );
    more.position += 1;
    assert_eq!(table.record_items(&more).await, Ok(vec![None; 4]));
}

pub async fn listing_again_changes_nothing(table: &(impl Commits + Blocks + Listing)) {
    let (shard, tenant) = (shard(), tenant_id());
    let mut record = EarlierRecord {
        vernier_segment: 1,
        shard,
        first: sequence(19),
        last: sequence(20),
        committed_at: at(60),
        position: 0,
        previous: None,
        object: Some("segments/1".to_owned()),
        blocks: Vec::new(),
        copies: 0,
        quarantined: 0,
        listed: false,
    };
    record.blocks = vec![block(&tenant, &(0..60).collect::<Vec<_>>())];
    let items = BlockItem::listing(&record);
    assert_eq!(items.len(), 12);
    // More than one call takes.
    let many: Vec<BlockItem> = [items.clone(), items.clone(), items.clone()].concat();
    for _ in 0..2 {
        for items in many.chunks(12) {
            table.list_blocks(items).await.expect("listed");
        }
        assert_eq!(listed(table, &tenant, 0, 60).await, items);
    }
    let tenants: Vec<TenantId> = (0..60).map(|_| tenant_id()).collect();
    record.blocks = tenants.iter().map(|t| block(t, &[59])).collect();
    let items = BlockItem::listing(&record);
    table
        .list_blocks(&items)
        .await
        .expect("more than one call takes");
    for (tenant, item) in tenants.iter().zip(items) {
        assert_eq!(listed(table, tenant, 59, 60).await, [item]);
    }
}

pub async fn how_far_the_listing_is_is_kept(table: &(impl Blocks + Listing)) {
    let before = table.listing_mark().await.expect("read");
    // Another process may be at it and go on from what is saved here: it is what was there, or a beginning.
    let now = clock::now();
    let mark = before.unwrap_or_else(|| ListingMark::beginning(now));
    table.save_listing_mark(&mark).await.expect("saved");
    let kept = table.listing_mark().await.expect("read").expect("one");
    assert_eq!(kept.back_to.min(mark.back_to), kept.back_to);
    let listed = table.are_blocks_listed().await.expect("read");
    assert!(listed || !kept.complete, "{kept:?}");
}
