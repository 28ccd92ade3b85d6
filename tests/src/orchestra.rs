//! Planner, queue and workers over fakes: what the schedule and the queue's trigger do on AWS.

use crate::memory::MemoryWorld;
use vernier_fakes::MemoryQueue;
use vernier_intake::OpenWindows;
use vernier_ledger::block_item::{Listing, ListingMark};
use vernier_ledger::chain::day_of;
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Playbacks, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{
    AUDIT_DAILY, Cause, DueItem, Nonce, Nudge, Owner, WorkEntry, WorkKey, WorkLists,
};
use vernier_reconcile::compaction::{COMPACT_BYTES_MAX, CompactSummary, Compacting};
use vernier_reconcile::planner::plan;
use vernier_reconcile::playbacks::{PlaybackSummary, go_on};
use vernier_reconcile::process::{Process, WorkSettings};
use vernier_reconcile::worker::{Turn, turn};
use vernier_stream::EntryMemory;

/// A process of input's memory: none yet, of windows of so many minutes.
#[must_use]
pub fn open_windows(window_minutes: u32, grace_seconds: i64) -> OpenWindows {
    let times = WindowTimes::new(window_minutes, grace_seconds);
    OpenWindows::new(times, Nonce::random)
}

/// A process of the stream function's memory: it has put no late entry.
#[must_use]
pub fn entry_memory(window_minutes: u32, grace_seconds: i64) -> EntryMemory {
    let times = WindowTimes::new(window_minutes, grace_seconds);
    EntryMemory::new(times, Nonce::random)
}

/// Puts the ledger's own entries as they are at an instant on a stack that has been running for days: nothing is left of an
/// upgrade, and the audit of the day was just made, so that nothing but its own entry has a window sealed.
///
/// # Panics
/// When the table does not take them.
pub async fn begin_lists<T: Listing + WorkLists>(
    table: &T,
    at: Millis,
    mut new_nonce: impl FnMut() -> Nonce,
) {
    let mark = ListingMark {
        complete: true,
        seeded: true,
        ..ListingMark::beginning(at)
    };
    let saved = table.save_listing_mark(&mark).await;
    saved.expect("the table takes the mark");
    for (cause, subject, due) in [
        (Cause::Audit, AUDIT_DAILY, at.plus_seconds(86_400)),
        (Cause::Recover, "", at),
        (Cause::SweepSegments, "", at),
        (Cause::CheckShards, "", at),
    ] {
        let entry = WorkEntry::new(WorkKey::of(cause, subject), due, new_nonce());
        let put = table.put_work(&Owner::Ledger, &entry).await;
        put.expect("the table takes the entry");
    }
}

/// Puts an entry, in the place of one that may be there, whose index item goes as well.
///
/// # Panics
/// When the table does not take it.
pub async fn put_in_place<T: WorkLists>(table: &T, owner: &Owner, entry: &WorkEntry) {
    let seen = table.work_entry(owner, &entry.key).await;
    let put = match seen.expect("the table answers") {
        Some(seen) => table.move_work(owner, &seen, entry).await,
        None => table.add_work(owner, entry).await,
    };
    put.expect("the table takes it");
}

/// Rounds of planning after which work that does not come to rest is a fault.
const ROUNDS_MAX: u32 = 1_000;

/// A worker's time, seconds.
const TURN_SECONDS: i64 = 120;

/// Plans and takes turns until nothing is due by the clock; answers the sum of the turns.
///
/// # Errors
/// The first error of planner or worker: its message stays in the queue, as on AWS.
///
/// # Panics
/// When the work does not come to rest.
pub async fn work_until_rest<S: ReconcileStores<Queue = MemoryQueue>>(
    stores: &S,
    process: &Process<S::Table>,
    settings: &WorkSettings,
    clock: &impl Fn() -> Millis,
) -> Result<Turn, PortError> {
    let (queue, mut sum) = (stores.queue(), Turn::default());
    for _ in 0..ROUNDS_MAX {
        let now = clock();
        queue.set_clock(now);
        plan(stores, process, now).await?;
        let mut is_at_rest = true;
        while let Some(delivery) = queue.receive(clock()) {
            is_at_rest = false;
            let deadline = clock().plus_seconds(TURN_SECONDS);
            let taking = turn(stores, process, settings, &delivery.nudge, clock, deadline);
            sum.add(&taking.await?);
            queue.delete(delivery.handle);
        }
        if is_at_rest {
            return Ok(sum);
        }
    }
    panic!("the work does not come to rest: {sum:?}");
}

/// Takes one turn of an owner whose nudge came twice, or late: its entry may be done.
///
/// # Errors
/// Whatever error the table gives.
pub async fn turn_of<S: ReconcileStores>(
    stores: &S,
    process: &Process<S::Table>,
    settings: &WorkSettings,
    owner: &Owner,
    clock: &impl Fn() -> Millis,
    deadline: Millis,
) -> Result<Turn, PortError> {
    let nudge = Nudge::from(DueItem {
        due: Millis(0),
        owner: owner.clone(),
        nonce: Nonce([0; 16]),
        lone_since: None,
    });
    turn(stores, process, settings, &nudge, clock, deadline).await
}

/// Compacts what a tenant has sealed, though its day is not over, and removes the windows' files so many seconds later.
///
/// # Panics
/// When some part of the turn fails.
pub async fn compact_today(
    world: &MemoryWorld,
    tenant: &TenantId,
    remove_after_seconds: i64,
) -> CompactSummary {
    let clock = || vernier_ledger::clock::now().plus_seconds(120);
    let settings = WorkSettings {
        compacting: Compacting {
            compact_after_seconds: -2 * 86_400,
            remove_after_seconds,
            bytes_max: COMPACT_BYTES_MAX,
        },
        ..world.reconcile.settings
    };
    let owner = Owner::Tenant(tenant.clone());
    let day = day_of(clock());
    let key = WorkKey::at(Cause::Compact, day.start);
    // A day's seal names a checkpoint that was written when the day was over.
    world.table.place_checkpoint(day.end);
    let entry = WorkEntry::new(key, Millis(0), Nonce::random());
    let put = world.table.put_work(&owner, &entry).await;
    put.expect("the table takes it");
    let (stores, process) = (&world.reconcile.stores, &world.reconcile.process);
    let forever = Millis(i64::MAX);
    let turn = turn_of(stores, process, &settings, &owner, &clock, forever).await;
    let turn = turn.expect("its list is read");
    assert_eq!((turn.failed, turn.compacted.held), (0, 0), "{turn:?}");
    turn.compacted
}

/// Goes on with every open playback, the oldest of each tenant first; answers how many failed.
///
/// # Errors
/// The table's, when they could not be listed.
pub async fn play_open(
    world: &MemoryWorld,
    clock: impl Fn() -> Millis,
    until: Millis,
) -> Result<u32, PortError> {
    let mut failed = 0;
    for (tenant, id) in world.table.open_playbacks().await? {
        let mut summary = PlaybackSummary::default();
        let played = go_on(world.wires(), &tenant, id, &clock, until, &mut summary).await;
        failed += u32::from(played.is_err());
    }
    Ok(failed)
}
