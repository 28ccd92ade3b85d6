//! Parts that no seal names.

use super::{SweepSummary, remove_where};
use std::collections::BTreeSet;
use vernier_archive::part_name::{PartName, PartOf};
use vernier_archive::stored::read_seal;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{LIVE_SECONDS_MAX, WINDOW_SECONDS_MAX};
use vernier_ledger::ports::{Chains, Directory, PortError, Sweeps};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::sweep::{Sweep, SweepMark};
use vernier_ledger::time::Millis;

/// Seals are followed so long after they were made, seconds: those of an hour are followed together.
const AFTER_SECONDS: i64 = 3_600;

/// How far back a window may lie whose seal is new, seconds: a window that was held back, or a
/// backfill.
const REACH_SECONDS: i64 = LIVE_SECONDS_MAX + 2 * WINDOW_SECONDS_MAX;

/// Hours of one tenant in a run.
const HOURS_MAX: usize = 24;

/// Sweeps after the new seals of all tenants until `deadline`.
///
/// # Errors
/// When the tenants cannot be listed. One tenant's failure does not hold up the others.
pub async fn sweep_parts<S: ReconcileStores>(
    stores: &S,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<SweepSummary, PortError> {
    let mut summary = SweepSummary::default();
    for tenant in stores.table().tenants().await? {
        if clock() >= deadline {
            break;
        }
        match sweep_tenant(stores, &tenant, clock()).await {
            Ok(removed) => summary.unnamed += removed,
            Err(error) => {
                summary.failed += 1;
                tracing::error!(%tenant, %error, "parts not swept");
            }
        }
    }
    Ok(summary)
}

async fn sweep_tenant<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    now: Millis,
) -> Result<u64, PortError> {
    let table = stores.table();
    let sweep = Sweep::Parts(tenant);
    let mark = table.sweep_mark(sweep).await?.unwrap_or_default();
    let to = now.plus_seconds(-AFTER_SECONDS);
    let Some(head) = table.chain(tenant).await? else {
        return Ok(0);
    };
    let from = head.through.plus_seconds(-REACH_SECONDS);
    let seals = table.seals(tenant, from, now).await?;
    let mut fresh: Vec<&SealEntry> = seals
        .iter()
        .filter(|s| mark.through < s.sealed_at && s.sealed_at <= to)
        .collect();
    fresh.sort_by_key(|s| s.sealed_at);
    let (mut hours, mut through) = (BTreeSet::new(), mark.through);
    for seal in fresh {
        let hour = hour_start(seal.window.start);
        if hours.len() == HOURS_MAX && !hours.contains(&hour) {
            break;
        }
        hours.insert(hour);
        through = seal.sealed_at;
    }
    let mut removed = 0;
    for hour in &hours {
        removed += sweep_hour(stores, tenant, *hour, head.sequence).await?;
    }
    if through > mark.through {
        let mark = SweepMark { through, ..mark };
        table.save_sweep_mark(sweep, &mark).await?;
    }
    Ok(removed)
}

fn hour_start(at: Millis) -> Millis {
    Millis(at.0 - at.0.rem_euclid(3_600_000))
}

/// Removes what no seal names of the windows that begin in an hour.
async fn sweep_hour<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    hour: Millis,
    next_sequence: u64,
) -> Result<u64, PortError> {
    let objects = stores.objects();
    let seals = stores
        .table()
        .seals(tenant, hour, hour.plus_seconds(3_600))
        .await?;
    let sealed: BTreeSet<Millis> = seals
        .iter()
        .filter(|s| !s.backfill)
        .map(|s| s.window.start)
        .collect();
    let mut named = BTreeSet::new();
    for entry in &seals {
        let seal = read_seal(objects, tenant, entry).await?;
        named.extend(seal.files.into_iter().map(|file| file.key));
    }
    let goes = |key: &str, _: Millis| {
        !named.contains(key)
            && match PartName::read(key).map(|name| name.of) {
                Some(PartOf::Window(start)) => sealed.contains(&start),
                // A seal that this list does not have may have been made since.
                Some(PartOf::Backfill { sequence, .. }) => sequence < next_sequence,
                Some(PartOf::Day { .. }) | None => false,
            }
    };
    let (date, hour) = hour.date_and_hour();
    let archive = format!("archive/tenant={tenant}/dt={date}/hour={hour}/");
    let exceptions = format!("exceptions/tenant={tenant}/dt={date}/hour={hour}/");
    let mut removed = 0;
    for prefix in [archive, exceptions] {
        removed += remove_where(objects, &prefix, goes).await?;
    }
    Ok(removed)
}
