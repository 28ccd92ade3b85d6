//! Oversize events of a tenant's day. Each goes by itself: when its receipt is in the evidence of a seal that misses
//! nothing of it, or when so much time has passed that no commit can name it any more.

use super::leftovers::Found;
use super::segments::Run;
use crate::sealing::AccountSoFar;
use bytes::Bytes;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use vernier_archive::account::{BesideRow as _, Missing};
use vernier_archive::files::Ranges;
use vernier_archive::stored::{read_seal, read_set};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::holds::Holds;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::ports::{
    Chains, Directory, Inventory, Leftovers, ListedObject, Objects, PortError,
};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::sweep::{LeftoverKey, LeftoverKind};
use vernier_ledger::time::{Millis, Window};

/// Which receipts of a window the window's seals account for.
enum Accounted {
    /// Earlier versions sealed it, which keep no evidence: all that were received.
    All,
    /// Those that are evident, without those of which something is missing.
    Some(HashSet<ReceiptId>),
}

/// What becomes of one oversize event.
enum Fate {
    Goes,
    Stays(LeftoverKind),
}

/// Removes what may go of a tenant's oversize events of a day. What cannot be read of one tenant's seals keeps that tenant's
/// events, and nobody else's.
pub(super) async fn sweep_day<S: ReconcileStores>(
    run: &mut Run<'_, S>,
    tenant: &TenantId,
    day: Window,
) -> Result<(), PortError> {
    let (date, _) = day.start.date_and_hour();
    let prefix = format!("oversize/dt={date}/{tenant}/");
    let mut after: Option<String> = None;
    let mut standing: Option<Standing> = None;
    loop {
        let objects = run.stores.objects();
        let page = objects.listed(&prefix, after.as_deref()).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.key.clone());
        let standing = match &mut standing {
            Some(standing) => standing,
            None => standing.insert(standing_of(run.stores, tenant).await?),
        };
        let mut found = Found::of_hour(day.start);
        for object in page {
            match fate_of(run, tenant, day, &object, standing).await {
                Ok(Fate::Goes) => found.oversize.push(object.key),
                Ok(Fate::Stays(kind)) => found.leave(kind, Some(tenant.clone()), &object.key),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::error!(%tenant, %date, %error, "oversize events not judged");
                    found.leave(LeftoverKind::Oversize, Some(tenant.clone()), &object.key);
                }
            }
        }
        run.settle(found).await?;
    }
}

async fn fate_of<S: ReconcileStores>(
    run: &mut Run<'_, S>,
    tenant: &TenantId,
    day: Window,
    object: &ListedObject,
    standing: &mut Standing,
) -> Result<Fate, PortError> {
    if standing.is_removed {
        return Ok(Fate::Goes);
    }
    let unclaimed = || {
        let until = object.written_at.plus_seconds(run.settings.named_seconds());
        match until < run.now {
            true => Fate::Goes,
            false => Fate::Stays(LeftoverKind::Unclaimed),
        }
    };
    let mut steps = object.key.rsplit('/').skip(1);
    let Some(receipt) = steps.next().and_then(|id| id.parse::<ReceiptId>().ok()) else {
        return Ok(unclaimed());
    };
    let at = receipt.received_at();
    if !standing.is_closed(at) {
        return Ok(Fate::Stays(LeftoverKind::Oversize));
    }
    let seals = run.judge.seals_of(tenant, day).await?;
    let mut closing = seals.iter().filter(|seal| seal.kind.closes());
    let Some(window) = closing.find_map(|seal| seal.window_of(at)) else {
        return Ok(Fate::Stays(LeftoverKind::Oversize));
    };
    let accounted = match standing.windows.entry(window.start) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => {
            let accounted = accounted_in(run.stores, tenant, window, &seals).await?;
            place.insert(accounted)
        }
    };
    match accounted {
        Accounted::Some(receipts) if receipts.contains(&receipt) => Ok(Fate::Goes),
        Accounted::Some(_) => Ok(unclaimed()),
        // Nothing tells which of its commits are sealed, but that none was left.
        Accounted::All if has_left_segments(run.stores.table(), tenant).await? => {
            Ok(Fate::Stays(LeftoverKind::Oversize))
        }
        Accounted::All => Ok(Fate::Goes),
    }
}

/// Where a tenant stands, and what was found of its windows.
struct Standing {
    /// Nothing of it is written any more, and nobody may keep anything of it.
    is_removed: bool,
    /// All before this is closed but for what is held.
    through: Millis,
    held: Vec<Window>,
    /// By their beginnings.
    windows: BTreeMap<Millis, Accounted>,
}

impl Standing {
    /// Whether the window of an instant is closed.
    fn is_closed(&self, at: Millis) -> bool {
        at < self.through && !self.held.iter().any(|window| window.contains(at))
    }
}

async fn standing_of<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
) -> Result<Standing, PortError> {
    let table = stores.table();
    let settings = table.tenant(tenant).await?;
    let mut standing = Standing {
        is_removed: settings.is_some_and(|tenant| tenant.removed_at.is_some()),
        through: Millis(i64::MIN),
        held: Vec::new(),
        windows: BTreeMap::new(),
    };
    if let Some(head) = table.chain(tenant).await? {
        standing.through = head.through;
        standing.held = table.held_windows(tenant, &head).await?;
    }
    Ok(standing)
}

/// The receipts that a window's seals so far account for.
async fn accounted_in<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    window: Window,
    seals: &[SealEntry],
) -> Result<Accounted, PortError> {
    let (table, objects) = (stores.table(), stores.objects());
    let Some(settings) = table.tenant(tenant).await? else {
        return Err(PortError::Fatal(format!("there is no tenant {tenant}")));
    };
    let (mut so_far, mut missing) = (AccountSoFar::default(), HashSet::new());
    let mut is_evident = false;
    for entry in seals_of_window(window, seals) {
        let seal = read_seal(objects, tenant, entry).await?;
        if let Some(statement) = seal.statement.as_ref().and_then(|s| s.window()) {
            is_evident = true;
            // What the last one misses counts.
            missing.clear();
            for file in read_set(objects, &statement.missing).await? {
                read_missing(objects, &file.key, &mut missing).await?;
            }
        }
        so_far.take(stores, &settings, entry, &seal).await?;
    }
    if !is_evident {
        return Ok(without_evidence(window, seals));
    }
    let evident = so_far.into_evident().into_iter();
    Ok(Accounted::Some(
        evident.filter(|id| !missing.contains(id)).collect(),
    ))
}

fn seals_of_window(window: Window, seals: &[SealEntry]) -> impl Iterator<Item = &SealEntry> {
    let of_window = move |entry: &&SealEntry| entry.window == window;
    let with_rows = |entry: &&SealEntry| entry.kind.has_rows_of_window();
    seals.iter().filter(with_rows).filter(of_window)
}

/// A window without rows in any seal accounts for none; one of earlier versions for all.
fn without_evidence(window: Window, seals: &[SealEntry]) -> Accounted {
    match seals_of_window(window, seals).next() {
        Some(_) => Accounted::All,
        None => Accounted::Some(HashSet::new()),
    }
}

async fn read_missing<O: Objects>(
    objects: &O,
    key: &str,
    missing: &mut HashSet<ReceiptId>,
) -> Result<(), PortError> {
    let bytes = objects.get(key, None).await?;
    let bytes = bytes.ok_or_else(|| PortError::Fatal(format!("{key} is gone")))?;
    let ranges: Arc<dyn Ranges> = Arc::new(Bytes::from(bytes));
    Missing::for_each(&ranges, |row| {
        missing.insert(row.receipt);
        Ok(())
    })
    .map_err(|fault| PortError::Fatal(format!("{key}: {fault}")))
}

/// Whether segments of a tenant were left behind.
async fn has_left_segments<T: Leftovers>(table: &T, tenant: &TenantId) -> Result<bool, PortError> {
    let mut after: Option<LeftoverKey> = None;
    loop {
        let page = table.leftovers(after.as_ref(), 100).await?;
        let Some(last) = page.last() else {
            return Ok(false);
        };
        after = Some(last.key.clone());
        let mut of_tenant = page.iter().map(|left| &left.key);
        if of_tenant.any(|k| k.kind == LeftoverKind::Segments && k.tenant.as_ref() == Some(tenant))
        {
            return Ok(true);
        }
    }
}
