//! Files of compacted days that no seal names: a compaction that died, or was overtaken, left them.

use super::beside::sweep_lists;
use super::{is_being_erased, remove_where};
use std::collections::BTreeSet;
use vernier_archive::part_name::{BesideName, PartName, PartOf};
use vernier_archive::seal::StatementBody;
use vernier_archive::stored::{read_seal, read_set};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Chains, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

/// Removes what no seal names of a tenant's compacted day; answers how many files these were. A file is named after the
/// first seal that its day covers: once a day's seal covers that one, no other day's seal ever will.
///
/// # Errors
/// Whatever error the stores give.
pub async fn sweep_day<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    day: Window,
) -> Result<u64, PortError> {
    let (table, objects) = (stores.table(), stores.objects());
    let head = table.chain(tenant).await?;
    let next_sequence = head.map_or(0, |head| head.sequence);
    let days = table.days(tenant, day.start, day.end).await?;
    if days.is_empty() || is_being_erased(&days, next_sequence) {
        return Ok(0);
    }
    let (mut named, mut seals) = (BTreeSet::new(), Vec::with_capacity(days.len()));
    for entry in &days {
        let seal = read_seal(objects, tenant, entry).await?;
        named.extend(seal.files.iter().map(|file| file.key.clone()));
        if let Some(StatementBody::Day { evidence, .. }) = seal.statement.as_ref().map(|s| &s.body)
        {
            let evidence = read_set(objects, evidence).await?;
            named.extend(evidence.into_iter().map(|file| file.key));
        }
        seals.push(seal);
    }
    let goes = |key: &str, _: Millis| {
        let part = PartName::read(key).map(|name| name.of);
        let of = part.or_else(|| BesideName::read(key).map(|name| name.of));
        !named.contains(key)
            && matches!(of, Some(PartOf::Day { first, .. }) if days.iter().any(|d| d.covers.contains(first)))
    };
    let (date, _) = day.start.date_and_hour();
    let mut removed = sweep_lists(objects, tenant, &seals).await?;
    for prefix in [
        format!("days/archive/tenant={tenant}/dt={date}/"),
        format!("days/exceptions/tenant={tenant}/dt={date}/"),
        format!("days/evidence/tenant={tenant}/dt={date}/"),
    ] {
        removed += remove_where(objects, &prefix, goes).await?;
    }
    Ok(removed)
}
