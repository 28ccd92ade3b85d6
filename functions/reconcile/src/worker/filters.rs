//! The work of a tenant's filters: those of each five minutes are rolled up while blocks with an index come.

use super::{Next, Turn, Workplace, take_each};
use crate::roll_up::{Rolled, roll_up};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Slice};
use vernier_ledger::work::{Cause, Owner, WorkEntry};

/// Seconds after a turn in which its slice is looked at again: half of the time between two runs of the planner, so that
/// each of these finds the entry due.
const AGAIN_SECONDS: i64 = 30;

/// Takes the due entries of a tenant's filters; gives back the first for which the time did not suffice.
///
/// # Errors
/// The table's, when what became of an entry could not be written.
pub(super) async fn take<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    owner: &Owner,
    tenant: &TenantId,
    due: &[WorkEntry],
    turn: &mut Turn,
) -> Result<Option<WorkEntry>, PortError> {
    take_each(place, owner, due, turn, async |entry, turn| {
        let start = entry
            .key
            .start()
            .filter(|_| entry.key.cause == Cause::RollUp);
        let Some(start) = start else {
            let what = format!("work {} is not of filters", entry.key);
            return Err(PortError::Fatal(what));
        };
        let slice = Slice::containing(start.minute());
        let (stores, clock) = (place.stores, place.clock);
        let summary = &mut turn.rolled_up;
        let rolled = roll_up(stores, tenant, slice, clock, place.until, summary).await?;
        Ok(match rolled {
            // The stream function puts it again when something comes.
            Rolled::Nothing => Next::Done,
            Rolled::Whole => Next::At(place.now().plus_seconds(AGAIN_SECONDS)),
            Rolled::Left => Next::Left,
        })
    })
    .await
}
