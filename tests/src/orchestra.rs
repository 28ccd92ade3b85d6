//! Planner, queue and workers over the pipeline tier's world.

pub use vernier_sim::orchestra::*;

use crate::memory::MemoryWorld;
use vernier_ledger::chain::day_of;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Playbacks, PortError};
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists};
use vernier_reconcile::compaction::{COMPACT_BYTES_MAX, CompactSummary, Compacting};
use vernier_reconcile::playbacks::{PlaybackSummary, go_on};
use vernier_reconcile::process::WorkSettings;
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
