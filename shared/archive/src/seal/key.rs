//! Where seals and their files lie.

use super::{PartClass, SealKind};
use crate::merkle::Hash;
use crate::window::Plan;
use vernier_ledger::ids::TenantId;

/// Where the tenant's seal of this sequence lies.
#[must_use]
pub fn seal_key(tenant: &TenantId, sequence: u64) -> String {
    format!("seals/tenant={tenant}/{sequence:012}.json")
}

/// Where a part lies: under the date and hour (UTC) in which its window begins, named after the
/// window's first instant, for a backfill also after its seal, and after the first half of its
/// SHA-256: two that seal the same window at once never write different bytes to the same place. A
/// day's parts lie under their date, named after the first sequence that the day's seal covers.
#[must_use]
pub fn part_key(plan: &Plan, class: PartClass, part: usize, sha256: &Hash) -> String {
    let content = hex::encode(&sha256[..16]);
    let start = plan.window.start.0;
    let name = match plan.kind {
        SealKind::Window => format!("{start:015}-{part:04}-{content}.parquet"),
        SealKind::Backfill => {
            format!(
                "{start:015}-b{:012}-{part:04}-{content}.parquet",
                plan.sequence
            )
        }
        SealKind::Day | SealKind::Idle | SealKind::Erasure => {
            format!("{:012}-{part:04}-{content}.parquet", plan.sequence)
        }
    };
    in_folder(plan, class, &name)
}

/// Where a part of version 4 lies: as [`part_key`] says, with the number of its share before
/// its own in class and share.
#[must_use]
pub fn share_key(plan: &Plan, class: PartClass, place: SharePlace, sha256: &Hash) -> String {
    let content = hex::encode(&sha256[..16]);
    let start = plan.window.start.0;
    let SharePlace { share, number } = place;
    let backfill = match plan.kind {
        SealKind::Backfill => format!("b{:012}-", plan.sequence),
        _ => String::new(),
    };
    let name = format!("{start:015}-{backfill}{share:04}{number:04}-{content}.parquet");
    in_folder(plan, class, &name)
}

/// Where a part of version 4 stands in its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharePlace {
    /// The share of identities, from 0.
    pub share: u64,
    /// The part's number in its class and share, from 0, at most 9,999.
    pub number: u64,
}

/// What lies beside the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Acknowledged receipts of a window.
    Evidence,
    /// What is missing of a window.
    Missing,
    /// Acknowledged receipts of a day's seals.
    DayEvidence,
    /// Places of erased rows.
    Places,
}

/// Where a file beside the rows lies: of a window under its date and hour, named after its first instant; of a day
/// under its date, named after the first sequence that the day covers; of an erasure named after its sequence.
#[must_use]
pub fn beside_key(plan: &Plan, beside: Beside, number: usize, sha256: &Hash) -> String {
    let content = hex::encode(&sha256[..16]);
    let (date, hour) = plan.window.start.date_and_hour();
    let (tenant, start, sequence) = (&plan.tenant, plan.window.start.0, plan.sequence);
    let end = format!("{number:04}-{content}.parquet");
    match beside {
        Beside::Evidence => {
            format!("evidence/tenant={tenant}/dt={date}/hour={hour}/{start:015}-{end}")
        }
        Beside::Missing => {
            format!("missing/tenant={tenant}/dt={date}/hour={hour}/{start:015}-{end}")
        }
        Beside::DayEvidence => {
            format!("days/evidence/tenant={tenant}/dt={date}/{sequence:012}-{end}")
        }
        Beside::Places => format!("erasures/tenant={tenant}/{sequence:012}-{end}"),
    }
}

fn in_folder(plan: &Plan, class: PartClass, name: &str) -> String {
    let (date, hour) = plan.window.start.date_and_hour();
    let tenant = &plan.tenant;
    match (class, plan.kind) {
        (PartClass::Archive, SealKind::Day) => {
            format!("days/archive/tenant={tenant}/dt={date}/{name}")
        }
        (PartClass::Exceptions, SealKind::Day) => {
            format!("days/exceptions/tenant={tenant}/dt={date}/{name}")
        }
        (PartClass::Archive, _) => {
            format!("archive/tenant={tenant}/dt={date}/hour={hour}/{name}")
        }
        (PartClass::Exceptions, _) => {
            format!("exceptions/tenant={tenant}/dt={date}/hour={hour}/{name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::list_key;
    use vernier_ledger::tenant_prefix::prefixes_of;
    use vernier_ledger::time::{Millis, Window};

    /// Whoever lists or removes a tenant's objects knows them by their prefixes.
    #[test]
    fn every_key_is_under_one_of_the_tenants_prefixes() {
        let tenant: TenantId = "school".parse().expect("a name");
        let (sha256, mut keys) = (
            [7; 32],
            vec![seal_key(&tenant, 3), list_key(&tenant, 3, 0, &[7; 32])],
        );
        for kind in [SealKind::Window, SealKind::Backfill, SealKind::Day] {
            let plan = Plan {
                tenant: tenant.clone(),
                window: Window {
                    start: Millis(1_788_254_100_000),
                    end: Millis(1_788_255_000_000),
                },
                kind,
                sequence: 3,
            };
            for class in [PartClass::Archive, PartClass::Exceptions] {
                let place = SharePlace {
                    share: 1,
                    number: 2,
                };
                keys.push(part_key(&plan, class, 0, &sha256));
                keys.push(share_key(&plan, class, place, &sha256));
            }
            let all = [
                Beside::Evidence,
                Beside::Missing,
                Beside::DayEvidence,
                Beside::Places,
            ];
            keys.extend(all.map(|beside| beside_key(&plan, beside, 0, &sha256)));
        }
        let prefixes: Vec<String> = prefixes_of(&tenant).collect();
        for key in &keys {
            let under = prefixes.iter().filter(|prefix| key.starts_with(*prefix));
            assert_eq!(under.count(), 1, "{key}");
        }
        // Nothing makes a key of deltas yet, and slices, damaged blocks and filters are no seal's.
        let used = |prefix: &&String| keys.iter().any(|key| key.starts_with(*prefix));
        let unused: Vec<&String> = prefixes.iter().filter(|prefix| !used(prefix)).collect();
        assert_eq!(
            unused,
            [
                "deltas/tenant=school/",
                "quarantine/slices/tenant=school/",
                "quarantine/blocks/tenant=school/",
                "filters/tenant=school/"
            ]
        );
    }

    #[test]
    fn keys_hold_tenant_date_hour_and_window() {
        let plan = Plan {
            tenant: "school".parse().expect("a name"),
            window: Window {
                start: Millis(1_788_254_100_000),
                end: Millis(1_788_255_000_000),
            },
            kind: SealKind::Window,
            sequence: 7,
        };
        assert_eq!(
            part_key(&plan, PartClass::Archive, 3, &[0xAB; 32]),
            "archive/tenant=school/dt=2026-09-01/hour=09/001788254100000-0003-abababababababababababababababab.parquet"
        );
        let late = Plan {
            kind: SealKind::Backfill,
            ..plan
        };
        assert_eq!(
            part_key(&late, PartClass::Exceptions, 0, &[1; 32]),
            "exceptions/tenant=school/dt=2026-09-01/hour=09/001788254100000-b000000000007-0000-01010101010101010101010101010101.parquet"
        );
        assert_eq!(
            seal_key(&late.tenant, 7),
            "seals/tenant=school/000000000007.json"
        );
    }
}
