//! `Sweeps`.

use super::unique;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::Sweeps;
use vernier_ledger::sweep::{LeftDay, LeftSegment, Sweep, SweepMark};
use vernier_ledger::time::Millis;

pub async fn the_last_mark_of_a_sweep_counts(table: &impl Sweeps) {
    let tenant = || -> TenantId { unique("sweep").parse().expect("a tenant's name") };
    let (tenant, other) = (tenant(), tenant());
    let sweep = Sweep::Parts(&tenant);
    assert_eq!(table.sweep_mark(sweep).await, Ok(None));
    let mut mark = SweepMark {
        through: Millis(3_600_000),
        ..SweepMark::default()
    };
    for n in 0..3 {
        mark.left.insert(LeftSegment {
            committed_at: Millis(n),
            object: format!("segments/{n}"),
        });
        mark.left_days.insert(LeftDay {
            start: Millis(n),
            tenant: tenant.clone(),
        });
        assert_eq!(table.save_sweep_mark(sweep, &mark).await, Ok(()));
        assert_eq!(table.sweep_mark(sweep).await, Ok(Some(mark.clone())));
    }
    assert_eq!(table.sweep_mark(Sweep::Parts(&other)).await, Ok(None));
}
