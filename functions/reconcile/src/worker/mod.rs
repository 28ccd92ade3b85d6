//! A worker's turn: what one owner's list says is due, in the order of causes and windows.
//!
//! The list is the truth. A nudge only says whose list is worth reading; lost, doubled and late nudges and two workers
//! of one owner change nothing. A turn reads the list once, before anything else, and removes or moves an entry only on
//! condition of the nonce that it saw then: what was put meanwhile stays, and is the next turn's.

mod audit;
mod filters;
mod ledger;
mod shard;
mod tenant;

use crate::compaction::CompactSummary;
use crate::playbacks::PlaybackSummary;
use crate::process::{Process, WorkSettings};
use crate::recovery::{RecoverySummary, SealedMemory};
use crate::roll_up::RollUpSummary;
use crate::sealing::SealSummary;
use crate::shard_check::ShardSummary;
use crate::sweeping::SweepSummary;
use std::collections::BTreeSet;
use vernier_ledger::ports::{Directory, PortError};
use vernier_ledger::recovery::Recovery;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{
    Nonce, Nudge, NudgeQueue, Owner, WorkEntry, WorkKey, WorkLists, put_if_absent, settle_lone,
};

/// What an entry that failed or is held waits at first, seconds; twice as long each time.
const BACK_OFF_SECONDS_MIN: i64 = 60;

/// What such an entry waits at most, seconds.
pub const BACK_OFF_SECONDS_MAX: i64 = 3_600;

/// How long work waits while it is paused, seconds.
const PAUSE_SECONDS: i64 = 300;

/// What a turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    /// Entries that were due.
    pub due: u32,
    /// Entries whose work is done.
    pub done: u32,
    /// Entries that wait for something.
    pub moved: u32,
    /// Entries whose stores failed; they are tried again.
    pub failed: u32,
    /// Entries for which the time did not suffice.
    pub left: u32,
    /// Windows and their seals.
    pub sealed: SealSummary,
    /// What was brought back of what the trigger lost.
    pub recovered: RecoverySummary,
    /// What became of days and their windows' files.
    pub compacted: CompactSummary,
    /// What was done of playbacks.
    pub played: PlaybackSummary,
    /// What is not needed any more.
    pub swept: SweepSummary,
    /// What the check of the shards found.
    pub checked: ShardSummary,
    /// Filters that were rolled up.
    pub rolled_up: RollUpSummary,
}

impl Turn {
    /// Adds what another turn did.
    pub fn add(&mut self, other: &Self) {
        self.due += other.due;
        self.done += other.done;
        self.moved += other.moved;
        self.failed += other.failed;
        self.left += other.left;
        self.sealed.add(&other.sealed);
        self.recovered.add(&other.recovered);
        self.compacted.add(&other.compacted);
        self.played.add(&other.played);
        self.swept.add(&other.swept);
        self.checked.add(&other.checked);
        self.rolled_up.add(&other.rolled_up);
    }
}

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// Its work is done.
    Done,
    /// It is due again then; its tries do not count.
    At(Millis),
    /// It goes on there, at once.
    On(String),
    /// It was tried in vain and waits, at most until an instant if there is one.
    Tried(Option<Millis>),
    /// The time was over before its work was done.
    Left,
}

/// What every part of a turn needs.
struct Workplace<'a, S: ReconcileStores, C> {
    stores: &'a S,
    process: &'a Process<S::Table>,
    settings: &'a WorkSettings,
    clock: &'a C,
    /// When nothing more is begun.
    until: Millis,
}

impl<S: ReconcileStores, C: Fn() -> Millis> Workplace<'_, S, C> {
    fn now(&self) -> Millis {
        (self.clock)()
    }

    fn is_over(&self) -> bool {
        self.now() >= self.until
    }

    fn entry(&self, key: WorkKey, due: Millis) -> WorkEntry {
        WorkEntry::new(key, due, (self.process.new_nonce)())
    }

    fn recovery(&self) -> Recovery<'_, S, SealedMemory<'_, S>, &C> {
        Recovery {
            stores: self.stores,
            memory: SealedMemory::new(self.stores),
            receipt_days: self.settings.receipt_days.0,
            clock: self.clock,
            new_nonce: self.process.new_nonce,
        }
    }

    /// Puts an entry unless there is one.
    async fn add(&self, owner: &Owner, key: WorkKey, due: Millis) -> Result<(), PortError> {
        put_if_absent(self.stores.table(), owner, &self.entry(key, due)).await
    }

    /// Does to an entry what its work came to.
    async fn apply(&self, owner: &Owner, entry: &WorkEntry, next: &Next) -> Result<(), PortError> {
        let table = self.stores.table();
        let mut moved = WorkEntry {
            nonce: (self.process.new_nonce)(),
            ..entry.clone()
        };
        match next {
            Next::Done => return table.remove_work(owner, entry).await.map(|_| ()),
            Next::Left => return Ok(()),
            Next::On(place) => return self.go_on(owner, entry, Some(place.clone())).await,
            Next::At(due) => (moved.due, moved.tries, moved.place) = (*due, 0, None),
            Next::Tried(at_most) => {
                moved.tries = entry.tries.saturating_add(1);
                let wait_seconds = back_off_seconds(entry.tries);
                moved.due = self.now().plus_seconds(wait_seconds);
                if let Some(at_most) = at_most.filter(|at| *at > self.now()) {
                    moved.due = moved.due.min(at_most);
                }
            }
        }
        table.move_work(owner, entry, &moved).await.map(|_| ())
    }

    /// An entry that is due again at once, under another nonce.
    fn again(&self, entry: &WorkEntry) -> WorkEntry {
        WorkEntry {
            due: self.now(),
            nonce: (self.process.new_nonce)(),
            ..entry.clone()
        }
    }

    /// Keeps how far an entry's work is that goes on in this owner's next turn. The entry is due again, and what has waited
    /// for longer is taken before it.
    async fn keep(&self, owner: &Owner, entry: &WorkEntry) -> Result<(), PortError> {
        let (table, next) = (self.stores.table(), self.again(entry));
        table.move_work(owner, entry, &next).await.map(|_| ())
    }

    /// Gives an entry whose work goes on another nonce, since the queue knows the one before, and nudges at once.
    async fn go_on(
        &self,
        owner: &Owner,
        entry: &WorkEntry,
        place: Option<String>,
    ) -> Result<(), PortError> {
        let mut next = self.again(entry);
        next.place = place.or(next.place);
        if self.stores.table().move_work(owner, entry, &next).await? {
            for answer in self
                .stores
                .queue()
                .send(&[next.due_item(owner).into()])
                .await
            {
                if let Err(error) = answer {
                    // The planner sends it.
                    tracing::info!(%owner, %error, "not nudged at once");
                }
            }
        }
        Ok(())
    }
}

/// How long an entry waits that was tried so often before, seconds.
const fn back_off_seconds(tries: u32) -> i64 {
    let doubled = BACK_OFF_SECONDS_MIN << if tries < 6 { tries } else { 6 };
    if doubled < BACK_OFF_SECONDS_MAX {
        doubled
    } else {
        BACK_OFF_SECONDS_MAX
    }
}

/// Does what is due of the nudged owner's list, in half of what is left until `deadline`, when the process may be
/// killed: half is enough to end what was begun. A turn that is killed leaves nothing that
/// the next one does not repair.
///
/// # Errors
/// The table's, when the list could not be read. An entry whose work fails is tried again later.
pub async fn turn<S: ReconcileStores>(
    stores: &S,
    process: &Process<S::Table>,
    settings: &WorkSettings,
    nudge: &Nudge,
    clock: &impl Fn() -> Millis,
    deadline: Millis,
) -> Result<Turn, PortError> {
    match process.workshop.scratch.clear() {
        Ok(0) => {}
        Ok(cleared) => tracing::warn!(cleared, "scratch folders of killed runs removed"),
        Err(error) => tracing::warn!(%error, "scratch disk not cleared"),
    }
    let now = clock();
    let place = Workplace {
        stores,
        process,
        settings,
        clock,
        until: Millis(now.0 + deadline.0.saturating_sub(now.0) / 2),
    };
    let (table, owner) = (stores.table(), nudge.owner());
    let entries = table.work(owner).await?;
    let nonces: BTreeSet<Nonce> = entries.iter().map(|entry| entry.nonce).collect();
    for item in nudge.items().filter(|item| !nonces.contains(&item.nonce)) {
        // Its entry is done, was put again under another nonce, or is about to be put.
        settle_lone(table, item, now).await?;
    }
    let mut due = entries.clone();
    due.retain(|entry| entry.due <= now);
    let mut turn = Turn {
        due: count(due.len()),
        ..Turn::default()
    };
    let left = match owner {
        Owner::Ledger => ledger::take(&place, &due, &mut turn).await?,
        Owner::Shard(list) => shard::take(&place, owner, list.shard_id(), &due, &mut turn).await?,
        Owner::Tenant(id) => match table.tenant(id).await? {
            Some(tenant) => tenant::take(&place, &tenant, &entries, &due, &mut turn).await?,
            None => forget(table, owner, &due).await?,
        },
        Owner::Filters(list) => match table.tenant(list.tenant()).await? {
            Some(tenant) => filters::take(&place, owner, &tenant.id, &due, &mut turn).await?,
            None => forget(table, owner, &due).await?,
        },
    };
    if let Some(entry) = left {
        place.go_on(owner, &entry, None).await?;
    }
    Ok(turn)
}

/// Removes what is due of a tenant that was removed: nothing is to be done any more, and nothing is left.
async fn forget<T: WorkLists>(
    table: &T,
    owner: &Owner,
    due: &[WorkEntry],
) -> Result<Option<WorkEntry>, PortError> {
    for entry in due {
        table.remove_work(owner, entry).await?;
    }
    Ok(None)
}

/// Takes due entries one after the other; gives back the first for which the time did not suffice.
async fn take_each<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    owner: &Owner,
    due: &[WorkEntry],
    turn: &mut Turn,
    mut take: impl AsyncFnMut(&WorkEntry, &mut Turn) -> Result<Next, PortError>,
) -> Result<Option<WorkEntry>, PortError> {
    let mut left = None;
    for entry in due {
        if place.is_over() {
            turn.left += 1;
            left.get_or_insert_with(|| entry.clone());
            continue;
        }
        let came_to = take(entry, turn).await;
        if close_entry(place, owner, entry, came_to, turn).await? {
            left.get_or_insert_with(|| entry.clone());
        }
    }
    Ok(left)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Logs and counts what became of an entry, and does it to the entry.
async fn close_entry<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    owner: &Owner,
    entry: &WorkEntry,
    came_to: Result<Next, PortError>,
    turn: &mut Turn,
) -> Result<bool, PortError> {
    let next = came_to.unwrap_or_else(|error| {
        turn.failed += 1;
        tracing::error!(%owner, work = %entry.key, tries = entry.tries, %error, "work not done");
        Next::Tried(None)
    });
    match next {
        Next::Done => turn.done += 1,
        Next::Left => turn.left += 1,
        Next::At(_) | Next::On(_) | Next::Tried(_) => turn.moved += 1,
    }
    place.apply(owner, entry, &next).await?;
    Ok(next == Next::Left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_waits_twice_as_long_each_time_and_an_hour_at_most() {
        let waits: Vec<i64> = (0..9).map(back_off_seconds).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
        assert_eq!(back_off_seconds(u32::MAX), BACK_OFF_SECONDS_MAX);
    }
}
