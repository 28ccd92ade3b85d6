//! `Sweeps`.

use super::unique;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Leftovers, Sweeps};
use vernier_ledger::sweep::{
    LeftDay, LeftSegment, Leftover, LeftoverKey, LeftoverKind, Sweep, SweepMark, SweepPlace,
    UnknownTime,
};
use vernier_ledger::time::Millis;

pub async fn the_last_mark_of_a_sweep_counts(table: &impl Sweeps) {
    let tenant = || -> TenantId { unique("sweep").parse().expect("a tenant's name") };
    let (tenant, other) = (tenant(), tenant());
    let sweep = Sweep::Parts(&tenant);
    assert_eq!(table.sweep_mark(sweep).await, Ok(None));
    let mut mark = SweepMark {
        through: Millis(3_600_000),
        looked_at: Some(key_of(0, LeftoverKind::Segments, &tenant)),
        ..SweepMark::default()
    };
    for n in 0..3 {
        mark.place = Some(SweepPlace::Segments {
            after: Some(format!("segments/{n}")),
        });
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

fn key_of(start: i64, kind: LeftoverKind, tenant: &TenantId) -> LeftoverKey {
    LeftoverKey {
        start: Millis(start),
        kind,
        tenant: Some(tenant.clone()),
    }
}

/// Other tests' leftovers may lie between them.
pub async fn leftovers_are_read_page_by_page_until_they_are_forgotten(table: &impl Leftovers) {
    let tenant: TenantId = unique("left").parse().expect("a tenant's name");
    let is_own = |left: &Leftover| left.key.tenant.as_ref() == Some(&tenant);
    let own = async || {
        let (mut own, mut after) = (Vec::new(), None);
        loop {
            let page = table.leftovers(after.as_ref(), 2).await.expect("reads");
            assert!(page.len() <= 2);
            let Some(last) = page.last() else {
                return own;
            };
            after = Some(last.key.clone());
            own.extend(page.into_iter().filter(is_own));
        }
    };
    let mut kept = Vec::new();
    for start in [7_200_000, 0, 3_600_000] {
        for kind in LeftoverKind::ALL {
            let mut left = Leftover {
                key: key_of(start, kind, &tenant),
                objects: 1,
                first: "segments/first".to_owned(),
            };
            assert_eq!(table.keep_leftover(&left).await, Ok(()));
            left.objects = 7;
            assert_eq!(table.keep_leftover(&left).await, Ok(()));
            kept.push(left);
        }
    }
    kept.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(own().await, kept);
    for left in kept {
        for _ in 0..2 {
            assert_eq!(table.forget_leftover(&left.key).await, Ok(()));
        }
    }
    assert_eq!(own().await, []);
}

/// One item for all of the table: whoever tests with a table of others leaves it as it was.
pub async fn the_time_without_knowledge_is_kept_until_it_is_over(table: &impl Sweeps) {
    let before = table.unknown_time().await.expect("reads");
    let unknown = UnknownTime {
        from: Millis(1),
        until: Millis(2),
    };
    for said in [Some(unknown), None, None] {
        assert_eq!(table.save_unknown_time(said).await, Ok(()));
        assert_eq!(table.unknown_time().await, Ok(said));
    }
    assert_eq!(table.save_unknown_time(before).await, Ok(()));
}
