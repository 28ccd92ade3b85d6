//! Oversize events of a tenant's day. Each goes by itself: when its receipt is in the evidence of a seal that misses
//! nothing of it, or when so much time has passed that no commit can name it any more.

use super::leftovers::Found;
use super::segments::Run;
use crate::sealing::{AccountSoFar, missing_of};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use vernier_archive::stored::read_seal;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::holds::Holds;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::ports::{Chains, Directory, Inventory, Leftovers, ListedObject, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::sweep::{LeftoverKind, all_leftovers};
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
    if standing.is_removed() {
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
            let Some(settings) = &standing.settings else {
                return Err(PortError::Fatal(format!("there is no tenant {tenant}")));
            };
            let accounted = accounted_in(run.stores, settings, window, &seals).await?;
            place.insert(accounted)
        }
    };
    match accounted {
        Accounted::Some(receipts) if receipts.contains(&receipt) => Ok(Fate::Goes),
        Accounted::Some(_) => Ok(unclaimed()),
        // Nothing tells which of its commits are sealed, but that none was left.
        Accounted::All => {
            let has_left = match standing.has_left_segments {
                Some(has_left) => has_left,
                None => {
                    let has_left = has_left_segments(run.stores.table(), tenant).await?;
                    *standing.has_left_segments.insert(has_left)
                }
            };
            Ok(match has_left {
                true => Fate::Stays(LeftoverKind::Oversize),
                false => Fate::Goes,
            })
        }
    }
}

/// Where a tenant stands, and what was found of its windows.
struct Standing {
    /// The tenant's settings; none where there is no such tenant.
    settings: Option<Tenant>,
    /// All before this is closed but for what is held.
    through: Millis,
    held: Vec<Window>,
    /// The windows that were looked at, by their beginnings.
    windows: BTreeMap<Millis, Accounted>,
    /// Whether segments of the tenant were left behind, where somebody asked.
    has_left_segments: Option<bool>,
}

impl Standing {
    /// Whether the tenant was removed: nothing of it is written any more, and nobody may keep anything of it.
    fn is_removed(&self) -> bool {
        let settings = self.settings.as_ref();
        settings.is_some_and(|tenant| tenant.removed_at.is_some())
    }

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
    let mut standing = Standing {
        settings: table.tenant(tenant).await?,
        through: Millis(i64::MIN),
        held: Vec::new(),
        windows: BTreeMap::new(),
        has_left_segments: None,
    };
    if let Some(head) = table.chain(tenant).await? {
        standing.through = head.through;
        let held = table.held_windows(tenant, &head).await?;
        standing.held = held.into_iter().map(|held| held.window).collect();
    }
    Ok(standing)
}

/// The receipts that a window's seals so far account for, but for those of which the last one misses something.
async fn accounted_in<S: ReconcileStores>(
    stores: &S,
    tenant: &Tenant,
    window: Window,
    seals: &[SealEntry],
) -> Result<Accounted, PortError> {
    let objects = stores.objects();
    let (mut so_far, mut last) = (AccountSoFar::default(), None);
    for entry in seals_of_window(window, seals) {
        let seal = read_seal(objects, &tenant.id, entry).await?;
        so_far.take(stores, tenant, entry, &seal).await?;
        let statement = seal.statement.as_ref().and_then(|s| s.window());
        last = statement.map(|s| s.missing.clone()).or(last);
    }
    let Some(last) = last else {
        return Ok(without_evidence(window, seals));
    };
    let missing = missing_of(objects, &last).await?;
    let evident = so_far.into_evident().into_iter();
    Ok(Accounted::Some(
        evident.filter(|id| !missing.contains_key(id)).collect(),
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

/// Whether segments of a tenant were left behind.
async fn has_left_segments<T: Leftovers>(table: &T, tenant: &TenantId) -> Result<bool, PortError> {
    let left = all_leftovers(table).await?;
    let mut of_tenant = left.iter().map(|left| &left.key);
    Ok(of_tenant.any(|k| k.kind == LeftoverKind::Segments && k.tenant.as_ref() == Some(tenant)))
}
