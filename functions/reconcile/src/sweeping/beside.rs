//! Evidence, what is missing, and lists that no seal names.

use super::{remove, remove_where};
use crate::sealing::{AccountSoFar, for_each_row};
use std::cell::Cell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use vernier_archive::account::Evidence;
use vernier_archive::part_name::{BesideName, PartOf};
use vernier_archive::seal::{Seal, SealKind};
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
        if has_only(&object.key, bytes, &evident[&start]) {
            objects.remove(&object.key).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a file of evidence has no receipt but these; not one that cannot be read.
fn has_only(key: &str, bytes: Vec<u8>, evident: &HashSet<ReceiptId>) -> bool {
    let mut has_only = true;
    let read = for_each_row(key, bytes, |row: Evidence| {
        has_only &= evident.contains(&row.receipt);
    });
    read.is_ok() && has_only
}

/// What no seal names of what is missing of a window may be named by the next one, if it misses the same: so long after it
/// was written whoever wrote it has ended, seconds.
pub(crate) const MISSING_SECONDS: i64 = 86_400;

/// Files that were removed, and whether some are so young that they stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HourSwept {
    /// Files that no seal names and none can name any more.
    pub removed: u64,
    /// Whether files are left that a seal may still name, for another day.
    pub is_young: bool,
}

/// Removes files of what is missing of an hour's sealed windows that no seal names, when they are a day old.
pub(super) async fn sweep_missing<O: Objects + Inventory + Removal>(
    objects: &O,
    prefix: &str,
    listed: &[Listed<'_>],
    now: Millis,
) -> Result<HourSwept, PortError> {
    let mut named = BTreeSet::new();
    let mut sealed = BTreeSet::new();
    for Listed { entry, seal } in listed {
        if let Some(window) = seal.statement.as_ref().and_then(|s| s.window()) {
            sealed.insert(entry.window.start);
            let missing = read_set(objects, &window.missing).await?;
            named.extend(missing.into_iter().map(|file| file.key));
        }
    }
    let old = now.plus_seconds(-MISSING_SECONDS);
    let is_young = Cell::new(false);
    let goes = |key: &str, written_at: Millis| {
        let name = key
            .rsplit('/')
            .next()
            .and_then(|name| name.split('-').next());
        let start = name.and_then(|word| word.parse().ok()).map(Millis);
        let is_unnamed = start.is_some_and(|start| sealed.contains(&start)) && !named.contains(key);
        is_young.set(is_young.get() || is_unnamed && written_at >= old);
        is_unnamed && written_at < old
    };
    let removed = remove_where(objects, prefix, goes).await?;
    let is_young = is_young.get();
    Ok(HourSwept { removed, is_young })
}

/// Folders of what seals name by their own sequence.
const SEQUENCE_FOLDERS: [&str; 3] = ["lists", "deltas", "erasures"];

/// Removes lists, deltas and places of erased rows under the sequences of some seals which these do not name: of somebody
/// who wanted to seal something else there.
pub(super) async fn sweep_lists<O: Inventory + Removal>(
    objects: &O,
    tenant: &TenantId,
    seals: &[Seal],
) -> Result<u64, PortError> {
    let mut removed = 0;
    for folder in SEQUENCE_FOLDERS {
        let folder = format!("{folder}/tenant={tenant}/");
        removed += sweep_folder(objects, &folder, seals).await?;
    }
    Ok(removed)
}

/// Removes what no seal names under the sequences of some seals, but for those of erasures, in one folder.
async fn sweep_folder<O: Inventory + Removal>(
    objects: &O,
    folder: &str,
    seals: &[Seal],
) -> Result<u64, PortError> {
    let seals = seals.iter().filter(|seal| seal.kind != SealKind::Erasure);
    let sequences: BTreeSet<u64> = seals.clone().map(|seal| seal.sequence).collect();
    let (Some(first), Some(last)) = (sequences.first(), sequences.last()) else {
        return Ok(0);
    };
    let lists = seals.filter_map(|seal| Some(seal.statement.as_ref()?.lists()));
    let named: BTreeSet<&str> = lists.flatten().map(|list| list.key.as_str()).collect();
    let (mut after, end) = (
        format!("{folder}{first:012}"),
        format!("{folder}{:012}", last.saturating_add(1)),
    );
    let mut removed = 0;
    loop {
        let page = objects.listed(folder, Some(&after)).await?;
        let Some(last_key) = page.last().map(|object| object.key.clone()) else {
            return Ok(removed);
        };
        let mut goes = Vec::new();
        for object in page.into_iter().filter(|object| object.key < end) {
            let sequence = object.key[folder.len()..].split('-').next();
            let sequence = sequence.and_then(|text| text.parse().ok());
            let is_taken = sequence.is_some_and(|sequence| sequences.contains(&sequence));
            if is_taken && !named.contains(object.key.as_str()) {
                goes.push(object.key);
            }
        }
        removed += remove(objects, &goes).await?;
        if last_key >= end {
            return Ok(removed);
        }
        after = last_key;
    }
}
