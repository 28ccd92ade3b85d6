//! What no seal names of windows and backfills.

use super::beside::{HourSwept, Listed, sweep_evidence, sweep_lists, sweep_missing};
use super::{is_being_erased, remove_where};
use std::collections::BTreeSet;
use vernier_archive::part_name::{PartName, PartOf};
use vernier_archive::seal::Seal;
use vernier_archive::stored::read_seal;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ports::{Chains, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// What no seal names is looked for so long after a window or backfill of their hour was sealed, seconds: a
/// worker that still writes it has ended by then.
pub(crate) const SWEEP_AFTER_SECONDS: i64 = 3_600;

/// The beginning of the hour of an instant.
pub(crate) const fn hour_start(at: Millis) -> Millis {
    Millis(at.0 - at.0.rem_euclid(3_600_000))
}

/// Removes what no seal names of a tenant's windows that begin in an hour; answers how many files these were, and whether
/// it is to be done again in a day.
///
/// # Errors
/// Whatever error the stores give.
pub async fn sweep_hour<S: ReconcileStores>(
    stores: &S,
    settings: &Tenant,
    hour: Millis,
    now: Millis,
) -> Result<HourSwept, PortError> {
    let tenant = &settings.id;
    let head = stores.table().chain(tenant).await?;
    // Before the first seal every part may be named by it.
    let Some(next_sequence) = head.map(|head| head.sequence) else {
        return Ok(HourSwept::default());
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
    if is_being_erased(&seals, next_sequence) {
        return Ok(HourSwept::default());
    }
    let (mut named, mut listed) = (BTreeSet::new(), Vec::with_capacity(seals.len()));
    for entry in &seals {
        let seal = read_seal(objects, tenant, entry).await?;
        named.extend(seal.files.iter().map(|file| file.key.clone()));
        listed.push(Listed { entry, seal });
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
    let mut removed = 0;
    for prefix in [
        format!("archive/tenant={tenant}/dt={date}/hour={hour}/"),
        format!("exceptions/tenant={tenant}/dt={date}/hour={hour}/"),
    ] {
        removed += remove_where(objects, &prefix, goes).await?;
    }
    let evidence = format!("evidence/tenant={tenant}/dt={date}/hour={hour}/");
    removed += sweep_evidence(stores, settings, &evidence, &listed).await?;
    let missing = format!("missing/tenant={tenant}/dt={date}/hour={hour}/");
    let mut swept = sweep_missing(objects, &missing, &listed, now).await?;
    let seals: Vec<Seal> = listed.into_iter().map(|listed| listed.seal).collect();
    removed += sweep_lists(objects, tenant, &seals).await?;
    swept.removed += removed;
    Ok(swept)
}
