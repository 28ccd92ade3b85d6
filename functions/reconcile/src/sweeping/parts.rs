//! Parts that no seal names.

use super::remove_where;
use std::collections::BTreeSet;
use vernier_archive::part_name::{PartName, PartOf};
use vernier_archive::stored::read_seal;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Chains, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// Parts that no seal names are looked for so long after a window or backfill of their hour was sealed, seconds: a
/// worker that still writes them has ended by then.
pub(crate) const SWEEP_AFTER_SECONDS: i64 = 3_600;

/// The beginning of the hour of an instant.
pub(crate) const fn hour_start(at: Millis) -> Millis {
    Millis(at.0 - at.0.rem_euclid(3_600_000))
}

/// Removes what no seal names of a tenant's windows that begin in an hour; answers how many files these were.
///
/// # Errors
/// Whatever error the stores give.
pub async fn sweep_parts<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    hour: Millis,
) -> Result<u64, PortError> {
    let head = stores.table().chain(tenant).await?;
    // Before the first seal every part may be named by it.
    let Some(next_sequence) = head.map(|head| head.sequence) else {
        return Ok(0);
    };
    let objects = stores.objects();
    let seals = stores
        .table()
        .seals(tenant, hour, hour.plus_seconds(3_600))
        .await?;
    let sealed: BTreeSet<Millis> = seals
        .iter()
        .filter(|s| s.kind.closes())
        .flat_map(SealEntry::closed_windows)
        .map(|window| window.start)
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
