//! Receipts that go from the table before a seal has them in its evidence.

use super::sealing::{HOLD_SECONDS, School};
use super::shortfalls::{assert_short, last, lost_for_good, missing, statement};
use vernier_archive::seal::{SealKind, Totals};
use vernier_ledger::ids::ReceiptId;
use vernier_tests::envelopes::events;

/// What the first window's last seal says is missing, by receipt.
fn named(school: &School) -> Vec<ReceiptId> {
    missing(school).iter().map(|row| row.receipt).collect()
}

fn totals(school: &School) -> Totals {
    statement(&last(school)).totals
}

/// Invariant 3: what was written down when a window was closed counts, whichever of its receipts is removed and
/// however soon after the closing that happens.
#[tokio::test]
async fn a_receipt_that_is_removed_after_closing_is_accounted_for() {
    for removed_count in 1..=2 {
        for after_seconds in [0, HOLD_SECONDS, 90_000] {
            for with_the_lost_one in [true, false] {
                let school = School::new().await;
                let lost = lost_for_good(&school).await;
                assert_eq!(school.seal().await.held, 1);
                school.pass(after_seconds);
                let receipts = school.table.all_receipts(&school.tenant.id);
                let (mut first, rest): (Vec<_>, Vec<_>) =
                    { receipts.iter() }.partition(|r| (r.id == lost) == with_the_lost_one);
                first.extend(rest);
                for receipt in first.iter().take(removed_count) {
                    school.table.forget_receipt(&school.tenant.id, receipt.id);
                }
                school.pass(HOLD_SECONDS);
                school.work().await;
                let what = format!("{removed_count} after {after_seconds} s, {with_the_lost_one}");
                let totals = totals(&school);
                let received = (totals.received.envelopes, totals.received.events);
                assert_eq!(received, (2, 5), "{what}");
                assert_eq!(totals.missing.events, 2, "{what}");
                assert_eq!(totals.unreceipted.envelopes, 0, "{what}");
                assert_eq!(named(&school), [lost], "{what}");
                assert_short(&school, 1);
            }
        }
    }
}

/// Invariant 3: a receipt that came after its window was sealed is written down as well, as long as no backfill may say
/// that its events are missing.
#[tokio::test]
async fn a_receipt_that_came_late_and_is_removed_is_accounted_for() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.deliver().await;
    school.pass(120);
    school.work().await;
    let late = school.post_late(&events(1)).await;
    let (shard, records) = school.stream.records().into_iter().next().expect("one");
    school.stream.trim(&shard, records.len());
    school.pass(600);
    assert_eq!(school.work().await.sealed.held, 1, "its hold lasts");
    assert_eq!(named(&school), []);
    school.table.forget_receipt(&school.tenant.id, late);
    school.pass(HOLD_SECONDS);
    school.work().await;
    assert_eq!(last(&school).kind, SealKind::Backfill);
    assert_eq!(totals(&school).received.envelopes, 2);
    assert_eq!(named(&school), [late]);
    assert_short(&school, 1);
    // The sweep knows that the backfill has it.
    let written = school.bucket.keys("evidence/").len();
    school.pass(7_200);
    school.work().await;
    assert_eq!(school.bucket.keys("evidence/").len(), written);
    assert_short(&school, 1);
}
