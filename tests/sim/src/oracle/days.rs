//! Whether days are merged.

use super::Violation;
use super::seals::Seals;
use crate::world::World;
use std::collections::BTreeMap;
use vernier_ledger::Invariant;
use vernier_ledger::chain::{SealEntry, SealKind, day_of};
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::Millis;

/// Invariant 5: a day (UTC) with two seals that have events is merged, so that none of its windows' own files
/// are left. A day with one such seal may stay as it is, and so may one seal that came after the day was merged.
pub(super) fn check_merged(seals: &Seals, world: &World) -> Result<(), Violation> {
    for tenant in seals.tenants() {
        let mut days: BTreeMap<Millis, Vec<SealEntry>> = BTreeMap::new();
        for entry in world.table.seals_from(tenant, 0) {
            let day = day_of(entry.window.start).start;
            days.entry(day).or_default().push(entry);
        }
        for (day, seals) in days {
            let of_windows = seals.iter().filter(|entry| entry.kind != SealKind::Day);
            if of_windows.filter(|entry| entry.tally.events > 0).count() > 1 {
                check_day_merged(world, tenant, (day, &seals))?;
            }
        }
    }
    Ok(())
}

fn check_day_merged(
    world: &World,
    tenant: &TenantId,
    (day, seals): (Millis, &[SealEntry]),
) -> Result<(), Violation> {
    let date = &day.to_string()[..10];
    let files = |class: &str| -> Vec<String> {
        let mut of_tenant = world.bucket.keys(&format!("{class}/tenant={tenant}/"));
        of_tenant.retain(|key| key.contains(date));
        of_tenant
    };
    let mut own = ["archive", "exceptions", "evidence"].map(files).concat();
    // What is written down of a window that is held waits for its seal.
    let held = world.table.raw_held(tenant).into_iter();
    let held: Vec<String> = { held.map(|held| format!("/{:015}-", held.window.start.0)) }.collect();
    own.retain(|key| !held.iter().any(|start| key.contains(start)));
    let is_covered = |entry: &SealEntry| seals.iter().any(|d| d.covers.contains(entry.sequence));
    let is_of = |entry: &SealEntry, key: &String| {
        let (start, sequence) = (entry.window.start.0, entry.sequence);
        match entry.is_backfill() {
            true => key.contains(&format!("/{start:015}-b{sequence:012}-")),
            false => {
                key.contains(&format!("/{start:015}-")) && !key.contains(&format!("/{start:015}-b"))
            }
        }
    };
    let loose = seals
        .iter()
        .filter(|s| s.kind != SealKind::Day && !is_covered(s));
    let loose: Vec<&SealEntry> =
        { loose.filter(|s| own.iter().any(|key| is_of(s, key))) }.collect();
    if let [alone] = loose.as_slice() {
        own.retain(|key| !is_of(alone, key));
    }
    let merged = files("days/archive").len() + files("days/exceptions").len();
    Violation::unless(
        own.is_empty() && merged > 0,
        Invariant::NothingUnreadable,
        || {
            let count = seals.len();
            format!(
                "{count} seals of {tenant} of {date} are not merged: {own:?} are of windows, {merged} files of days"
            )
        },
    )
}
