//! A shard's own work: what the trigger went past there is brought back, in turns among the tenants.

use super::{Next, Turn, Workplace, close_entry};
use crate::recovery::{Course, Pace, Site, Stepped};
use std::collections::VecDeque;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{FrameRecords as _, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Owner, WorkEntry};

/// How long a course that came to its end and is to be looked at again waits at most, seconds. A window that misses
/// something is held for longer.
const AWAIT_SECONDS_MAX: i64 = 300;

/// The courses of one tenant, or those of failed batches.
struct Party {
    tenant: Option<TenantId>,
    courses: VecDeque<Course>,
}

/// Takes a shard's due entries: a step of each tenant's first, and of the failed batches', in turns, beginning with those
/// that have waited longest. Gives back the first for which the time did not suffice.
///
/// # Errors
/// The table's, when what became of an entry could not be written.
pub(super) async fn take<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    owner: &Owner,
    shard_id: &str,
    due: &[WorkEntry],
    turn: &mut Turn,
) -> Result<Option<WorkEntry>, PortError> {
    let shard = place.stores.stream().shard(shard_id)?;
    let site = Site {
        shard: &shard,
        recovery: place.recovery(),
        until: place.until,
        pace: &Pace::new(),
    };
    let mut parties = VecDeque::new();
    let mut due: Vec<&WorkEntry> = due.iter().collect();
    due.sort_by_key(|entry| entry.due);
    for entry in due {
        match Course::of(entry) {
            Ok(course) => add(&mut parties, course),
            Err(error) => {
                close_entry(place, owner, entry, Err(error), turn).await?;
            }
        }
    }
    while let Some(mut party) = parties.pop_front() {
        let Some(course) = party.courses.front_mut() else {
            continue;
        };
        if place.is_over() {
            parties.push_front(party);
            break;
        }
        let next = match course.step(&site, &mut turn.recovered).await {
            Ok(Stepped::On) => None,
            Ok(Stepped::Ended) => Some(Ok(Next::Done)),
            Ok(Stepped::Again) => {
                let at_most = place.now().plus_seconds(AWAIT_SECONDS_MAX);
                Some(Ok(Next::Tried(Some(at_most))))
            }
            Err(error) => Some(Err(error)),
        };
        if let Some(next) = next {
            close_entry(place, owner, &course.entry, next, turn).await?;
            party.courses.pop_front();
        }
        parties.push_back(party);
    }
    leave(place, owner, parties, turn).await
}

fn add(parties: &mut VecDeque<Party>, course: Course) {
    let own = parties
        .iter_mut()
        .find(|party| party.tenant.as_ref() == course.tenant());
    match own {
        Some(party) => party.courses.push_back(course),
        None => parties.push_back(Party {
            tenant: course.tenant().cloned(),
            courses: VecDeque::from([course]),
        }),
    }
}

/// Keeps how far the courses are that have not come to their end, behind those that were not begun.
async fn leave<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    owner: &Owner,
    parties: VecDeque<Party>,
    turn: &mut Turn,
) -> Result<Option<WorkEntry>, PortError> {
    let mut left = None;
    for course in parties.into_iter().flat_map(|party| party.courses) {
        turn.left += 1;
        if left.is_none() {
            left = Some(course.entry);
        } else if course.is_begun {
            place.keep(owner, &course.entry).await?;
        }
    }
    Ok(left)
}
