//! Derived state against a straight single pass over the stored events.
//!
//! Each check takes the truth, computes in the plainest way what a reader must be told, and compares
//! it with what the product's own code makes of the stores.

use super::losses::Losses;
use super::segments::Segments;
use super::spans::Spans;
use super::{Truth, Violation};
use crate::operations::kept_since;
use crate::script::EventSpec;
use crate::world::{RECONCILE, World};
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{WindowAccount, WindowState};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::segment::Place;
use vernier_ledger::time::{Millis, Window};

/// Invariant 3: the account of every window adds up, and says what the segments say; of a window with something lost
/// it does not, and names what is missing.
pub(super) async fn check_accounts(
    world: &World,
    (segments, spans): (&Segments, &Spans),
    losses: &Losses,
) -> Result<(), Violation> {
    let mut stored = stored_by_window(segments);
    let kept_since = kept_since(world.now());
    for identity in &world.identities {
        let tenant = &identity.tenant.id;
        for account in accounts_of(world, spans, &identity.tenant).await? {
            let key = (tenant.clone(), account.start.0);
            let truth = stored.remove(&key).unwrap_or_default();
            let missing = losses.owed_in(tenant, account.window());
            let named = |id: &ReceiptId| account.missing.iter().any(|m| m.receipt == *id);
            // Where receipts may have expired, evidence alone tells what was received.
            let adds_up = if account.start <= kept_since {
                true
            } else if missing.is_empty() {
                // That something of an envelope without an answer was lost may have shown since. A window at the
                // end of a history may not be over.
                let complete = account.state != WindowState::Incomplete;
                complete && account.received.tally == truth
                    || !losses.spare(tenant, account.window())
            } else {
                account.state != WindowState::Complete && missing.iter().all(named)
            };
            Violation::unless(
                account.stored_side == truth && adds_up,
                Invariant::Complete,
                || {
                    format!(
                        "the account of {} says {:?}, received {}, stored {}, missing {:?}; \
                         {} lie in segments, lost are {missing:?}",
                        account.start,
                        account.state,
                        account.received.tally.events,
                        account.stored_side.events,
                        account.missing,
                        truth.events
                    )
                },
            )?;
        }
    }
    Violation::unless(stored.is_empty(), Invariant::Complete, || {
        format!("windows without an account: {:?}", stored.keys())
    })
}

/// The accounts of all windows of a tenant in which there can be anything.
async fn accounts_of(
    world: &World,
    spans: &Spans,
    tenant: &Tenant,
) -> Result<Vec<WindowAccount>, Violation> {
    let (table, now) = (&world.functions.general.table, world.now());
    let mut accounts = Vec::new();
    for range in spans.of_tenant(&tenant.id) {
        let drawn_up = vernier_reconcile::accounts(table, RECONCILE, tenant, range, now).await;
        let drawn_up = drawn_up
            .map_err(|e| Violation::new(Invariant::Complete, format!("no accounts: {e}")))?;
        accounts.extend(drawn_up);
    }
    Ok(accounts)
}

/// What lies in segments, by tenant and the window's beginning.
fn stored_by_window(segments: &Segments) -> BTreeMap<(TenantId, i64), Tally> {
    let mut stored: BTreeMap<(TenantId, i64), Tally> = BTreeMap::new();
    for (receipt, tally) in &segments.tallies {
        if let Some(tenant) = segments.tenant_of(*receipt) {
            let key = (tenant.clone(), window_of(*receipt).start.0);
            stored.entry(key).or_default().merge(tally);
        }
    }
    stored
}

/// Invariant 3: the account that is kept of every window that is sealed whole says what the segments say.
pub(super) fn check_kept_accounts(
    world: &World,
    segments: &Segments,
    is_sealed_whole: impl Fn(&TenantId, Window) -> bool,
) -> Result<(), Violation> {
    for ((tenant, start), truth) in stored_by_window(segments) {
        let window = Window::containing(Millis(start), RECONCILE.window_minutes);
        if !is_sealed_whole(&tenant, window) {
            continue;
        }
        let accounts = world.table.all_accounts(&tenant);
        let kept = accounts.iter().find(|account| account.window() == window);
        let kept = kept.map(|account| account.stored_side);
        Violation::unless(kept == Some(truth), Invariant::Complete, || {
            let start = window.start.rfc3339();
            format!("{tenant}, {start}: its account says {kept:?}, {truth:?} lie in segments")
        })?;
    }
    Ok(())
}

/// The window of a receipt.
pub(super) fn window_of(receipt: ReceiptId) -> Window {
    Window::containing(receipt.received_at(), RECONCILE.window_minutes)
}

/// How each of a tenant's events ends: the first by receipt id and index is stored, the same content later is a duplicate,
/// other content a conflict.
pub(super) fn dispositions_of(
    truth: &Truth,
    number: usize,
) -> BTreeMap<Place, (EventSpec, Disposition)> {
    let mut first: BTreeMap<u8, EventSpec> = BTreeMap::new();
    let own = truth.events.iter().filter(|(_, e)| e.tenant == number);
    let decided = own.map(|(place, event)| {
        let spec = event.spec;
        let disposition = match first.get(&spec.id) {
            _ if !spec.is_accepted() => Disposition::Rejected,
            None => {
                first.insert(spec.id, spec);
                Disposition::Stored
            }
            Some(first) if first.plain() == spec.plain() => Disposition::Duplicate,
            Some(_) => Disposition::Conflict,
        };
        (*place, (spec, disposition))
    });
    decided.collect()
}

/// Invariants 2 and 3: what the account counts is how each event ends.
pub(super) async fn check_dispositions(
    world: &World,
    spans: &Spans,
    truth: &Truth,
) -> Result<(), Violation> {
    for (number, identity) in world.identities.iter().enumerate() {
        let mut expected = DispositionCounts::default();
        for (_, disposition) in dispositions_of(truth, number).into_values() {
            expected.add(disposition);
        }
        // What repeats something is known where what it repeats is read with it.
        let Some(range) = spans.whole(&identity.tenant.id) else {
            continue;
        };
        let stores = &world.functions.general;
        let tenant = &identity.tenant;
        let accounts =
            vernier_reconcile::counted_accounts(stores, RECONCILE, tenant, range, world.now())
                .await;
        let accounts = accounts
            .map_err(|e| Violation::new(Invariant::Complete, format!("no accounts: {e}")))?;
        let mut found = DispositionCounts::default();
        for counts in accounts.iter().filter_map(|a| a.dispositions) {
            found.stored += counts.stored;
            found.duplicate += counts.duplicate;
            found.conflict += counts.conflict;
            found.rejected += counts.rejected;
        }
        Violation::unless(found == expected, Invariant::OneDispositionEach, || {
            format!("{}: {found:?}, a single pass says {expected:?}", tenant.id)
        })?;
    }
    Ok(())
}

/// Invariant 4: where each learner stands is what the last of the stored grades says, by time, then id,
/// then content, whatever order they came in and how often. Learners of whom something was lost are left out.
pub(super) fn check_results(
    world: &World,
    truth: &Truth,
    lost: &BTreeSet<(TenantId, String)>,
    takes_part: impl Fn(&Place) -> bool,
) -> Result<(), Violation> {
    type Rank = (String, String, Fingerprint);
    let mut last: BTreeMap<(TenantId, String), (Rank, u8)> = BTreeMap::new();
    for (_, event) in truth.events.iter().filter(|(place, _)| takes_part(place)) {
        let Some(score) = event.spec.score() else {
            continue;
        };
        let spec = event.spec;
        let content = Fingerprint::of(spec.compact().as_bytes());
        let rank = (spec.time(), spec.event_id(), content);
        let tenant = world.identities[event.tenant].tenant.id.clone();
        let best = last.entry((tenant, spec.learner()));
        let best = best.or_insert_with(|| (rank.clone(), score));
        if best.0 < rank {
            *best = (rank, score);
        }
    }
    let mut results = world.table.all_results();
    results.retain(|(tenant, key), _| !lost.contains(&(tenant.clone(), key.learner.clone())));
    last.retain(|key, _| !lost.contains(key));
    Violation::unless(
        results.len() == last.len(),
        Invariant::ExactlyOnceEffects,
        || {
            format!(
                "{} results, a single pass finds {}",
                results.len(),
                last.len()
            )
        },
    )?;
    for ((tenant, key), registers) in results {
        let expected = last.get(&(tenant.clone(), key.learner.clone()));
        let expected =
            expected.map(|((_, id, _), score)| (Some(f64::from(*score)), Some(id.clone())));
        let found = registers.score.map(|s| (s.value.given, s.cause.event_id()));
        Violation::unless(found == expected, Invariant::ExactlyOnceEffects, || {
            let learner = &key.learner;
            format!("{tenant}, {learner}: {found:?}, a single pass says {expected:?}")
        })?;
    }
    Ok(())
}
