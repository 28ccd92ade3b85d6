use super::*;
use vernier_ledger::digest::BlindFingerprint;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::receipt::Claim;
use vernier_ledger::time::Millis;

fn id(n: u8) -> ReceiptId {
    ReceiptId::from_parts(Millis(60_000 + i64::from(n)), 0, [n; 8])
}

fn tally(n: u8, events: std::ops::Range<u32>) -> Tally {
    let mut tally = Tally::default();
    for index in events {
        tally.add_event(id(n), index, &BlindFingerprint([n; 32]), Verdict::Accepted);
    }
    tally
}

fn receipt(n: u8, events: u32, is_acknowledged: bool) -> Receipt {
    let shard = Shard::new("frames", "shardId-000000000000").expect("a shard");
    let sequence: Sequence = "1".parse().expect("digits");
    let claim = Claim {
        origin: Origin { shard, sequence },
        attempt: 0,
        tally: tally(n, 0..events),
    };
    Receipt {
        id: id(n),
        sensor: "s".into(),
        acknowledged: is_acknowledged.then(|| (tally(n, 0..events), 1)),
        body_sha256: None,
        body_bytes: is_acknowledged.then_some(100),
        placed: Vec::new(),
        claims: BTreeMap::from([(0, claim)]),
    }
}

fn found(of: &[(u8, std::ops::Range<u32>)]) -> Found {
    let sums = { of.iter() }.map(|(n, events)| (id(*n), tally(*n, events.clone())));
    Found {
        sums: sums.collect(),
        ..Found::default()
    }
}

/// The account after one more seal with these rows, and its totals.
fn sealed(
    so_far: &AccountSoFar,
    receipts: &[Receipt],
    found: &Found,
) -> Result<(NextAccount, Option<Totals>), Trouble> {
    let mut all = Tally::default();
    found.sums.values().for_each(|sum| all.merge(sum));
    let counts = DispositionCounts {
        stored: all.events,
        ..DispositionCounts::default()
    };
    let next = so_far.next(receipts, found)?;
    let totals = so_far.totals(&next, &counts, &all.digest);
    Ok((next, totals))
}

/// What the seals so far say when this was the last one.
fn behind(before: AccountSoFar, next: &NextAccount, totals: Totals) -> AccountSoFar {
    let mut evident = before.evident;
    evident.extend(next.evidence.iter().map(|row| row.receipt));
    AccountSoFar {
        last: totals,
        sealed: totals.sealed,
        evident,
        missing: { next.missing.iter().cloned() }
            .map(|row| (row.receipt, row))
            .collect(),
        ..AccountSoFar::default()
    }
}

#[test]
fn what_was_not_acknowledged_is_unreceipted_until_it_is() {
    let receipts = [receipt(2, 2, false), receipt(1, 3, true)];
    let rows = found(&[(1, 0..3), (2, 0..2)]);
    let (next, totals) = sealed(&AccountSoFar::default(), &receipts, &rows).expect("sound");
    let totals = totals.expect("adds up");
    assert!(totals.is_balanced() && next.missing.is_empty());
    let left = totals.unreceipted;
    assert_eq!(
        (totals.received.events, left.events, left.envelopes),
        (3, 2, 1)
    );
    // The next seal of the window: one envelope more, and the acknowledgement that came late.
    let mut so_far = behind(AccountSoFar::default(), &next, totals);
    so_far.unreceipted = rows.sums;
    so_far.unreceipted.remove(&id(1));
    let receipts = [
        receipt(3, 1, true),
        receipt(2, 2, true),
        receipt(1, 3, true),
    ];
    let (next, totals) = sealed(&so_far, &receipts, &found(&[(3, 0..1)])).expect("sound");
    let totals = totals.expect("adds up");
    let evident: Vec<ReceiptId> = next.evidence.iter().map(|row| row.receipt).collect();
    assert_eq!(evident, [id(2), id(3)]);
    assert_eq!((totals.received.envelopes, next.missing.len()), (3, 0));
    assert_eq!(totals.unreceipted, EnvelopeTotals::default());
    assert_eq!(totals.sealed.events(), 6);
}

/// A shortfall names neither too much nor too little, and what comes back takes its own part away and nothing else.
#[test]
fn what_is_missing_is_what_was_acknowledged_less_what_is_there() {
    let receipts = [1, 2, 3, 4].map(|n| receipt(n, 3, true));
    let rows = found(&[(1, 0..3), (2, 0..1), (4, 0..3)]);
    let (next, totals) = sealed(&AccountSoFar::default(), &receipts, &rows).expect("sound");
    let totals = totals.expect("adds up");
    assert!(totals.is_balanced());
    let named = |next: &NextAccount| -> Vec<(ReceiptId, u32)> {
        let missing = next.missing.iter();
        missing.map(|row| (row.receipt, row.events)).collect()
    };
    assert_eq!(named(&next), [(id(2), 2), (id(3), 3)]);
    assert_eq!((totals.missing.envelopes, totals.missing.events), (2, 5));
    assert_eq!(next.missing[0].digest, tally(2, 1..3).digest);

    let so_far = behind(AccountSoFar::default(), &next, totals);
    assert!(!so_far.wants(id(1)) && so_far.wants(id(3)));
    // The receipts have expired by now.
    let (next, totals) = sealed(&so_far, &[], &found(&[(3, 0..2)])).expect("sound");
    let totals = totals.expect("adds up");
    assert_eq!(named(&next), [(id(2), 2), (id(3), 1)]);
    assert!(totals.is_balanced() && !so_far.says(&totals));
    let so_far = behind(so_far, &next, totals);
    let (next, totals) = sealed(&so_far, &[], &Found::default()).expect("sound");
    assert!(so_far.says(&totals.expect("adds up")), "nothing came");
    assert_eq!(next.evidence, []);
    let rows = found(&[(2, 1..3), (3, 2..3)]);
    let (next, totals) = sealed(&so_far, &[], &rows).expect("sound");
    assert_eq!(named(&next), []);
    assert_eq!(totals.expect("adds up").missing, EnvelopeTotals::default());
}

#[test]
fn a_window_that_lost_everything_has_all_of_it_missing() {
    let receipts = [receipt(1, 4, true), receipt(2, 2, false)];
    let (next, totals) =
        sealed(&AccountSoFar::default(), &receipts, &Found::default()).expect("sound");
    let totals = totals.expect("adds up");
    assert_eq!(totals.received.events, 4);
    assert_eq!((next.missing.len(), totals.missing.events), (1, 4));
    assert_eq!(next.missing[0].cause, MissingCause::Uncommitted);
    assert_eq!(next.missing[0].slices, [0]);
}

#[test]
fn a_receipt_with_other_rows_than_it_acknowledged_shows_by_its_digest_alone() {
    let mut other = receipt(1, 3, true);
    other.acknowledged = Some((tally(1, 1..4), 1));
    let (next, totals) =
        sealed(&AccountSoFar::default(), &[other], &found(&[(1, 0..3)])).expect("sound");
    assert_eq!((next.missing.len(), next.missing[0].events), (1, 0));
    assert!(totals.expect("adds up").is_balanced());
}

/// So that the window can end.
#[test]
fn a_receipt_with_more_rows_than_it_acknowledged_is_in_no_evidence() {
    let receipts = [receipt(1, 2, true), receipt(2, 1, true)];
    let rows = found(&[(1, 0..3), (2, 0..1)]);
    let (next, totals) = sealed(&AccountSoFar::default(), &receipts, &rows).expect("sound");
    assert_eq!(
        (next.surplus.as_slice(), next.evidence.len()),
        (&[id(1)][..], 1)
    );
    let totals = totals.expect("adds up");
    assert_eq!(
        (totals.unreceipted.envelopes, totals.unreceipted.events),
        (1, 3)
    );
    assert!(totals.is_balanced());
    // One that is in evidence already cannot get more.
    let mut so_far = behind(AccountSoFar::default(), &next, totals);
    let lost = sealed(&AccountSoFar::default(), &receipts, &found(&[(2, 0..1)]))
        .expect("sound")
        .0;
    so_far.missing = BTreeMap::from([(id(1), lost.missing[0].clone())]);
    assert!(matches!(
        so_far.next(&receipts, &rows),
        Err(Trouble::Held(_))
    ));
}

#[test]
fn rows_of_no_receipt_are_unreceipted() {
    let (next, totals) =
        sealed(&AccountSoFar::default(), &[], &found(&[(1, 0..3)])).expect("sound");
    let totals = totals.expect("adds up");
    assert_eq!((next.evidence.len(), totals.unreceipted.envelopes), (0, 1));
    assert!(totals.is_balanced());
}

#[test]
fn what_version_1_sealed_comes_into_evidence_later() {
    let rows = found(&[(1, 0..3)]);
    let (counts, digest) = (
        DispositionCounts {
            stored: 3,
            ..DispositionCounts::default()
        },
        rows.sums[&id(1)].digest,
    );
    let mut so_far = AccountSoFar::default();
    so_far.sealed.add(&counts, &digest);
    so_far.unreceipted = rows.sums;
    let receipts = [receipt(1, 3, true), receipt(2, 2, true)];
    let (next, totals) = sealed(&so_far, &receipts, &found(&[(2, 0..2)])).expect("sound");
    let totals = totals.expect("adds up");
    assert_eq!((next.evidence.len(), totals.sealed.events()), (2, 5));
    assert_eq!(totals.unreceipted, EnvelopeTotals::default());
}
