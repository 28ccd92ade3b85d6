//! What every `RateCounters` does.

use super::tenant_id;
use vernier_ledger::ids::TenantId;
use vernier_ledger::rates::{Charge, Move, RateCounters, RateUnit, SpendOutcome, Spending};
use vernier_ledger::time::Millis;

/// An instant in microseconds, of 2026 as real ones are.
const NOW: i64 = 1_780_000_000_000_000;

fn spending(now_micros: i64, charges: &[Charge]) -> Spending {
    Spending {
        ceiling_micros: now_micros,
        floor_micros: now_micros - 1_000_000,
        charges: charges.to_vec(),
        // Far in the future, so that no store has forgotten it.
        expires: Millis(4_000_000_000_000),
    }
}

const fn to(unit: RateUnit, micros: i64) -> Charge {
    Charge {
        unit,
        by: Move::To(micros),
    }
}

const fn by(unit: RateUnit, micros: i64) -> Charge {
    Charge {
        unit,
        by: Move::By(micros),
    }
}

async fn stored(table: &impl RateCounters, tenant: &TenantId) -> [Option<i64>; 3] {
    // Nothing lies before a floor so early: every unit that is there keeps the charge from being made.
    let never = RateUnit::ALL.map(|unit| by(unit, 1));
    match table.spend(tenant, &spending(1_000_001, &never)).await {
        Ok(SpendOutcome::Kept(until)) => RateUnit::ALL.map(|unit| until.of(unit)),
        other => panic!("{other:?}"),
    }
}

pub async fn rates_are_charged_on_condition_and_together(table: &impl RateCounters) {
    use RateUnit::{Bytes, Events};
    let (tenant, other) = (tenant_id(), tenant_id());
    let spend = async |spending: Spending| table.spend(&tenant, &spending).await;
    // Nothing is there to move by.
    let kept = spend(spending(NOW, &[by(Events, 1)])).await;
    assert!(matches!(kept, Ok(SpendOutcome::Kept(_))), "{kept:?}");
    let first = spending(NOW, &[to(Events, NOW - 900_000), to(Bytes, NOW - 5)]);
    assert_eq!(spend(first.clone()).await, Ok(SpendOutcome::Spent));
    // It does not lie before the floor any more.
    let kept = spend(first).await;
    assert!(matches!(kept, Ok(SpendOutcome::Kept(_))), "{kept:?}");
    let more = spending(NOW, &[by(Events, 1_500_000), by(Bytes, 1)]);
    assert_eq!(spend(more).await, Ok(SpendOutcome::Spent));
    // Events are spent: bytes do not move alone.
    let Ok(SpendOutcome::Kept(until)) = spend(spending(NOW, &[by(Bytes, 1), by(Events, 1)])).await
    else {
        panic!("spent");
    };
    assert_eq!(until.of(Events), Some(NOW + 600_000));
    assert_eq!(until.of(Bytes), Some(NOW - 4));
    assert_eq!(
        stored(table, &tenant).await,
        [None, Some(NOW + 600_000), Some(NOW - 4)]
    );
    assert_eq!(stored(table, &other).await, [None; 3]);
    // A second later there is a rate again; two seconds later the floor has passed the instant.
    let later = spending(NOW + 600_000, &[by(Events, 10)]);
    assert_eq!(spend(later).await, Ok(SpendOutcome::Spent));
    let anew = spending(NOW + 2_000_000, &[to(Events, NOW + 1_000_007)]);
    assert_eq!(spend(anew).await, Ok(SpendOutcome::Spent));
    assert_eq!(table.forget_spent(&tenant).await, Ok(()));
    assert_eq!(table.forget_spent(&tenant).await, Ok(()));
    assert_eq!(stored(table, &tenant).await, [None; 3]);
}

pub async fn of_concurrent_charges_each_counts(table: &impl RateCounters) {
    let tenant = tenant_id();
    let unit = RateUnit::Requests;
    let first = spending(NOW, &[to(unit, NOW - 1_000_000)]);
    assert_eq!(table.spend(&tenant, &first).await, Ok(SpendOutcome::Spent));
    let charge = spending(NOW, &[by(unit, 100_000)]);
    let all = (0..20).map(|_| table.spend(&tenant, &charge));
    let outcomes = futures::future::join_all(all).await;
    let spent = outcomes.iter().filter(|o| **o == Ok(SpendOutcome::Spent));
    assert_eq!(spent.count(), 11, "{outcomes:?}");
    assert_eq!(
        stored(table, &tenant).await,
        [Some(NOW + 100_000), None, None]
    );
}
