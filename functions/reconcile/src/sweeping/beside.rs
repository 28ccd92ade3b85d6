//! Evidence and lists that no seal names.

use crate::sealing::AccountSoFar;
use bytes::Bytes;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use vernier_archive::account::{BesideRow as _, Evidence};
use vernier_archive::files::Ranges;
use vernier_archive::part_name::{BesideName, PartOf};
use vernier_archive::seal::Seal;
use vernier_archive::stored::read_set;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::ports::{Inventory, Objects, PortError, Removal};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// A seal that an hour's list has.
pub(super) struct Listed<'a> {
    pub(super) entry: &'a SealEntry,
    pub(super) seal: Seal,
}

/// Removes files of evidence of an hour's sealed windows that no seal names and none can name any more: each of their
/// receipts is in evidence already, and a receipt is in one seal's evidence once for all. Their keys do not say which
/// seal they were written for, so that no other rule tells them from those of a backfill that is under way.
pub(super) async fn sweep_evidence<S: ReconcileStores>(
    stores: &S,
    tenant: &Tenant,
    prefix: &str,
    listed: &[Listed<'_>],
) -> Result<u64, PortError> {
    let objects = stores.objects();
    let mut named = BTreeSet::new();
    for Listed { seal, .. } in listed {
        if let Some(window) = seal.statement.as_ref().and_then(|s| s.window()) {
            let evidence = read_set(objects, &window.evidence).await?;
            named.extend(evidence.into_iter().map(|file| file.key));
        }
    }
    let found = objects.all_listed(prefix).await?;
    let unnamed = found
        .into_iter()
        .filter(|object| !named.contains(&object.key));
    let mut evident: BTreeMap<Millis, HashSet<ReceiptId>> = BTreeMap::new();
    let mut removed = 0;
    for object in unnamed {
        let Some(PartOf::Window(start)) = BesideName::read(&object.key).map(|name| name.of) else {
            continue;
        };
        let Some(bytes) = objects.get(&object.key, None).await? else {
            continue;
        };
        if let Entry::Vacant(place) = evident.entry(start) {
            let mut so_far = AccountSoFar::default();
            for Listed { entry, seal } in listed {
                if entry.kind.has_rows_of_window() && entry.window.start == start {
                    so_far.take(stores, tenant, entry, seal).await?;
                }
            }
            place.insert(so_far.into_evident());
        }
        if has_only(bytes, &evident[&start]) {
            objects.remove(&object.key).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a file of evidence has no receipt but these; not one that cannot be read.
fn has_only(bytes: Vec<u8>, evident: &HashSet<ReceiptId>) -> bool {
    let ranges: Arc<dyn Ranges> = Arc::new(Bytes::from(bytes));
    let mut has_only = true;
    let read = Evidence::for_each(&ranges, |row| {
        has_only &= evident.contains(&row.receipt);
        Ok(())
    });
    read.is_ok() && has_only
}

/// Removes lists under the sequences of some seals which these do not name: of somebody who wanted
/// to seal something else there.
pub(super) async fn sweep_lists<O: Inventory + Removal>(
    objects: &O,
    tenant: &TenantId,
    seals: &[Seal],
) -> Result<u64, PortError> {
    let sequences: BTreeSet<u64> = seals.iter().map(|seal| seal.sequence).collect();
    let (Some(first), Some(last)) = (sequences.first(), sequences.last()) else {
        return Ok(0);
    };
    let lists = seals
        .iter()
        .filter_map(|seal| Some(seal.statement.as_ref()?.lists()));
    let named: BTreeSet<&str> = lists.flatten().map(|list| list.key.as_str()).collect();
    let folder = format!("lists/tenant={tenant}/");
    let (mut after, end) = (
        format!("{folder}{first:012}"),
        format!("{folder}{:012}", last.saturating_add(1)),
    );
    let mut removed = 0;
    loop {
        let page = objects.listed(&folder, Some(&after)).await?;
        let Some(last_key) = page.last().map(|object| object.key.clone()) else {
            return Ok(removed);
        };
        for object in page.iter().filter(|object| object.key < end) {
            let sequence = object.key[folder.len()..].split('-').next();
            let sequence = sequence.and_then(|text| text.parse().ok());
            let is_taken = sequence.is_some_and(|sequence| sequences.contains(&sequence));
            if is_taken && !named.contains(object.key.as_str()) {
                objects.remove(&object.key).await?;
                removed += 1;
            }
        }
        if last_key >= end {
            return Ok(removed);
        }
        after = last_key;
    }
}
