//! `Receipts`.

use super::{long_text, origin, shard, tally, tenant_id};
use futures::future::join_all;
use vernier_ledger::frame::{FRAME_VERSION, FrameHeader};
use vernier_ledger::ids::{Lane, ReceiptId, TenantId};
use vernier_ledger::ports::Receipts;
use vernier_ledger::receipt::{Acknowledgement, ClaimOutcome, ClaimRequest, Origin};
use vernier_ledger::time::Millis;

const AT: Millis = Millis(1_700_000_000_123);
const EXPIRES: Millis = Millis(4_102_444_800_000);

fn header(tenant: &TenantId, receipt: ReceiptId, slice: u32, attempt: u32) -> FrameHeader {
    FrameHeader {
        vernier_frame: FRAME_VERSION,
        receipt,
        tenant: tenant.clone(),
        sensor: long_text(200),
        slice,
        slices: slice + 1,
        attempt,
        slice_tally: tally(u64::from(slice) + 3),
        envelope_tally: tally(30),
    }
}

async fn claim(table: &impl Receipts, header: &FrameHeader, origin: &Origin) -> ClaimOutcome {
    let request = ClaimRequest {
        header,
        origin,
        expires: EXPIRES,
    };
    table.claim(request).await.expect("the table answers")
}

fn acknowledgement(tenant: &TenantId, receipt: ReceiptId, placed: Vec<Origin>) -> Acknowledgement {
    Acknowledgement {
        receipt,
        tenant: tenant.clone(),
        sensor: long_text(200),
        body_sha256: [7; 32],
        body_bytes: 16_777_216,
        tally: tally(30),
        placed,
        expires: EXPIRES,
    }
}

pub async fn what_nobody_wrote_is_not_there(table: &impl Receipts) {
    let (tenant, id) = (tenant_id(), ReceiptId::generate(AT, 3));
    assert_eq!(table.receipt(&tenant, id).await, Ok(None));
    assert_eq!(table.receipts_in(&tenant, AT.minute(), 3).await, Ok(vec![]));
}

pub async fn the_halves_come_in_either_order(table: &impl Receipts) {
    let (tenant, shard) = (tenant_id(), shard());
    for is_acknowledged_first in [true, false] {
        let id = ReceiptId::generate(AT, 0);
        let first = origin(&shard, 1);
        let ack = acknowledgement(&tenant, id, vec![first.clone(), origin(&shard, 2)]);
        if is_acknowledged_first {
            table.acknowledge(&ack).await.expect("written");
            let half = table
                .receipt(&tenant, id)
                .await
                .expect("read")
                .expect("there");
            assert!(half.claims.is_empty());
            assert_eq!(half.received(), ack.tally);
        }
        let header = header(&tenant, id, 0, 0);
        assert_eq!(claim(table, &header, &first).await, ClaimOutcome::Mine);
        if !is_acknowledged_first {
            let half = table
                .receipt(&tenant, id)
                .await
                .expect("read")
                .expect("there");
            assert_eq!((half.acknowledged, &half.body_sha256), (None, &None));
            assert_eq!(half.received(), header.slice_tally, "what arrived counts");
            table.acknowledge(&ack).await.expect("written");
        }
        let whole = table
            .receipt(&tenant, id)
            .await
            .expect("read")
            .expect("there");
        assert_eq!(whole.id, id);
        assert_eq!(whole.sensor, ack.sensor);
        assert_eq!(whole.acknowledged, Some((ack.tally, 2)));
        assert_eq!(whole.body_sha256, Some("07".repeat(32)));
        assert_eq!(whole.body_bytes, Some(16_777_216));
        let place = |o: &Origin| (o.shard.id.clone(), o.sequence.clone());
        assert_eq!(
            whole.placed,
            ack.placed.iter().map(place).collect::<Vec<_>>()
        );
        assert_eq!(whole.claims.len(), 1);
        let claim = &whole.claims[&0];
        assert_eq!(
            (&claim.origin, claim.attempt, claim.tally),
            (&first, 0, header.slice_tally)
        );
    }
}

pub async fn acknowledging_again_changes_nothing(table: &impl Receipts) {
    let (tenant, id, shard) = (tenant_id(), ReceiptId::generate(AT, 0), shard());
    let ack = acknowledgement(&tenant, id, vec![origin(&shard, 1)]);
    table.acknowledge(&ack).await.expect("written");
    claim(table, &header(&tenant, id, 0, 0), &origin(&shard, 1)).await;
    let before = table.receipt(&tenant, id).await;
    table.acknowledge(&ack).await.expect("written");
    assert_eq!(table.receipt(&tenant, id).await, before);
}

pub async fn a_claim_belongs_to_the_first_record(table: &impl Receipts) {
    let (tenant, id, shard) = (tenant_id(), ReceiptId::generate(AT, 0), shard());
    let header = header(&tenant, id, 0, 0);
    let (first, second) = (origin(&shard, 9), origin(&shard, 10));
    // The same sequence number on another shard is another record.
    let elsewhere = origin(&super::shard(), 9);
    for (origin, expected) in [
        (&first, ClaimOutcome::Mine),
        (&first, ClaimOutcome::Mine),
        (&second, ClaimOutcome::Copy),
        (&elsewhere, ClaimOutcome::Copy),
        (&first, ClaimOutcome::Mine),
    ] {
        assert_eq!(claim(table, &header, origin).await, expected, "{origin:?}");
    }
    let receipt = table
        .receipt(&tenant, id)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        receipt.claims[&0].origin, first,
        "a refused claim leaves no trace"
    );
}

pub async fn a_higher_attempt_takes_a_claim_over(table: &impl Receipts) {
    let (tenant, id, shard) = (tenant_id(), ReceiptId::generate(AT, 0), shard());
    for (place, attempt, expected) in [
        (1, 0, ClaimOutcome::Mine),
        (2, 0, ClaimOutcome::Copy),
        (3, 2, ClaimOutcome::Mine),
        (1, 0, ClaimOutcome::Copy),
        (4, 1, ClaimOutcome::Copy),
        (5, 2, ClaimOutcome::Copy),
        (3, 2, ClaimOutcome::Mine),
        (6, 10, ClaimOutcome::Mine),
        (7, 9, ClaimOutcome::Copy),
    ] {
        let outcome = claim(
            table,
            &header(&tenant, id, 0, attempt),
            &origin(&shard, place),
        )
        .await;
        assert_eq!(outcome, expected, "record {place}, attempt {attempt}");
    }
    let receipt = table
        .receipt(&tenant, id)
        .await
        .expect("read")
        .expect("there");
    let claim = &receipt.claims[&0];
    assert_eq!((&claim.origin, claim.attempt), (&origin(&shard, 6), 10));
}

pub async fn slices_are_claimed_one_by_one(table: &impl Receipts) {
    const SLICES: u32 = 130;
    let (tenant, id, shard) = (tenant_id(), ReceiptId::generate(AT, 0), shard());
    for slice in 0..SLICES {
        let header = header(&tenant, id, slice, 0);
        let outcome = claim(table, &header, &origin(&shard, u64::from(slice))).await;
        assert_eq!(outcome, ClaimOutcome::Mine);
        let other = claim(table, &header, &origin(&shard, 1_000)).await;
        assert_eq!(other, ClaimOutcome::Copy);
    }
    let receipt = table
        .receipt(&tenant, id)
        .await
        .expect("read")
        .expect("there");
    assert!(receipt.claims.keys().copied().eq(0..SLICES));
    for (slice, claim) in &receipt.claims {
        assert_eq!(claim.tally, tally(u64::from(*slice) + 3));
    }
}

pub async fn concurrent_claims_have_one_winner(table: &impl Receipts) {
    let (tenant, id, shard) = (tenant_id(), ReceiptId::generate(AT, 0), shard());
    let header = header(&tenant, id, 0, 0);
    let origins: Vec<Origin> = (0..12).map(|n| origin(&shard, n)).collect();
    let outcomes = join_all(origins.iter().map(|o| claim(table, &header, o))).await;
    let mine = |o: &&ClaimOutcome| **o == ClaimOutcome::Mine;
    assert_eq!(outcomes.iter().filter(mine).count(), 1);
    let winner = outcomes
        .iter()
        .position(|o| *o == ClaimOutcome::Mine)
        .expect("one");
    let receipt = table
        .receipt(&tenant, id)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(receipt.claims[&0].origin, origins[winner]);
}

pub async fn a_receipt_is_its_tenants_alone(table: &impl Receipts) {
    let (tenant, other, id) = (tenant_id(), tenant_id(), ReceiptId::generate(AT, 0));
    let ack = acknowledgement(&tenant, id, vec![]);
    table.acknowledge(&ack).await.expect("written");
    assert_eq!(table.receipt(&other, id).await, Ok(None));
    assert_eq!(table.receipts_in(&other, AT.minute(), 0).await, Ok(vec![]));
}

async fn acknowledge_at(
    table: &impl Receipts,
    tenant: &TenantId,
    at: i64,
    lane: Lane,
) -> ReceiptId {
    let id = ReceiptId::generate(Millis(at), lane);
    let ack = acknowledgement(tenant, id, vec![]);
    table.acknowledge(&ack).await.expect("written");
    id
}

pub async fn a_minute_and_lane_list_their_receipts_oldest_first(table: &impl Receipts) {
    let tenant = tenant_id();
    let minute = AT.minute();
    let start = minute.start().0;
    let mut expected = Vec::new();
    for at in (0..120).rev() {
        expected.push(acknowledge_at(table, &tenant, start + at * 499, 255).await);
    }
    expected.reverse();
    for (at, lane) in [
        (start - 1, 255),
        (start + 60_000, 255),
        (start, 254),
        (start, 0),
    ] {
        acknowledge_at(table, &tenant, at, lane).await;
    }
    let listed = table.receipts_in(&tenant, minute, 255).await.expect("read");
    assert_eq!(listed.iter().map(|r| r.id).collect::<Vec<_>>(), expected);
}

/// A page of a query is 1 MB.
pub async fn more_receipts_than_one_page_holds(table: &impl Receipts) {
    let (tenant, start) = (tenant_id(), AT.minute().start().0);
    let mut expected = Vec::new();
    for at in 0..15 {
        let id = ReceiptId::generate(Millis(start + at), 0);
        let mut ack = acknowledgement(&tenant, id, vec![]);
        ack.sensor = long_text(200_000);
        table.acknowledge(&ack).await.expect("written");
        expected.push(id);
    }
    let listed = table
        .receipts_in(&tenant, AT.minute(), 0)
        .await
        .expect("read");
    assert_eq!(listed.iter().map(|r| r.id).collect::<Vec<_>>(), expected);
    assert!(listed.iter().all(|r| r.sensor == long_text(200_000)));
}
