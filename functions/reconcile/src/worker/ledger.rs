//! The ledger's own work, for all tenants together: what lies in the shards' segments and at the trigger's failure
//! destination has no single owner.

use super::audit::{Audited, audit};
use super::{Next, Turn, Workplace, take_each};
use crate::listing::list_commits;
use crate::recovery::{QUARANTINE, QUARANTINE_SECONDS, Reread, find_batches, reread};
use crate::shard_check::{CheckProgress, check_shards};
use crate::sweeping::sweep_segments;
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Owner, WorkEntry};

/// Seconds between two looks for failed batches where no window misses anything.
const RECOVER_SECONDS: i64 = 15 * 60;

/// Seconds between two sweeps of segments.
const SWEEP_SECONDS: i64 = 15 * 60;

/// Seconds between two checks of the shards.
const CHECK_SECONDS: i64 = 15 * 60;

/// Seconds between two listings of earlier versions' commits.
const LIST_SECONDS: i64 = 60;

/// Takes the ledger's due entries; gives back the first for which the time did not suffice.
///
/// # Errors
/// The table's, when what became of an entry could not be written.
pub(super) async fn take<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    due: &[WorkEntry],
    turn: &mut Turn,
) -> Result<Option<WorkEntry>, PortError> {
    take_each(place, &Owner::Ledger, due, turn, async |entry, turn| {
        take_entry(place, entry, turn).await
    })
    .await
}

async fn take_entry<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    entry: &WorkEntry,
    turn: &mut Turn,
) -> Result<Next, PortError> {
    let again = |seconds| Next::At(place.now().plus_seconds(seconds));
    match entry.key.cause {
        Cause::List => {
            let listed = list_commits(
                place.stores.table(),
                place.settings,
                place.process,
                place.clock,
                place.until,
            )
            .await?;
            tracing::info!(
                commits = listed.commits,
                items = listed.items,
                complete = listed.complete,
                "blocks listed"
            );
            Ok(match listed.is_over {
                true => Next::Done,
                false => again(LIST_SECONDS),
            })
        }
        Cause::Recover if entry.key.subject == QUARANTINE => {
            reread_quarantine(place, entry, turn).await
        }
        Cause::Recover => {
            for (owner, key) in find_batches(place.stores, &mut turn.recovered).await? {
                place.add(&owner, key, place.now()).await?;
            }
            Ok(again(RECOVER_SECONDS))
        }
        Cause::SweepSegments if place.settings.paused => Ok(again(super::PAUSE_SECONDS)),
        Cause::SweepSegments => sweep(place, turn).await,
        Cause::CheckShards => {
            let (from, clock) = (entry.place.as_deref(), place.clock);
            let summary = &mut turn.checked;
            let checked = check_shards(place.stores, from, clock, place.until, summary).await?;
            Ok(match checked {
                CheckProgress::Whole => again(CHECK_SECONDS),
                CheckProgress::Behind => again(0),
                CheckProgress::Through(place) => Next::On(place),
            })
        }
        Cause::Audit => Ok(match audit(place, entry).await? {
            Audited::Whole => Next::Done,
            Audited::WholeUntil(at) => Next::At(at),
            Audited::Through(place) => Next::On(place),
        }),
        Cause::Late
        | Cause::Close
        | Cause::Compact
        | Cause::Recount
        | Cause::Playback
        | Cause::Sweep
        | Cause::RollUp => {
            let what = format!("work {} is a tenant's", entry.key);
            Err(PortError::Fatal(what))
        }
    }
}

/// Goes on with the sweep of segments, in half of the time that is left: the other half is for what stands behind it in the
/// list, however much there is to sweep.
async fn sweep<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    turn: &mut Turn,
) -> Result<Next, PortError> {
    let now = place.now();
    let until = Millis(now.0 + (place.until.0 - now.0) / 2);
    let sweeping = place.settings.sweeping;
    let swept = sweep_segments(place.stores, sweeping, place.clock, until).await?;
    if swept.left > 0 {
        tracing::warn!(left = swept.left, "unsealed past its time");
    }
    if swept.unknown > 0 {
        let unknown = swept.unknown;
        tracing::warn!(unknown, "segments that the table does not know");
    }
    turn.swept.add(&swept);
    Ok(match swept.is_behind {
        true => Next::Left,
        false => Next::At(now.plus_seconds(SWEEP_SECONDS)),
    })
}

async fn reread_quarantine<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    entry: &WorkEntry,
    turn: &mut Turn,
) -> Result<Next, PortError> {
    let (from, summary) = (entry.place.as_deref(), &mut turn.recovered);
    let read = reread(&place.recovery(), from, place.until, summary).await?;
    Ok(match read {
        Reread::Whole => Next::At(place.now().plus_seconds(QUARANTINE_SECONDS)),
        Reread::Through(key) => Next::On(key),
    })
}
