//! The scheduled run: reads what is due, and nudges those who have it.
//!
//! The planner looks at no tenant that has nothing due. It writes nothing but a checkpoint of the shards and the
//! ledger's own first entries: that the same nudge does not pile up is the queue's matter, which drops it for five
//! minutes by its nonce.

use crate::checkpoint::write_checkpoint;
use crate::process::Process;
use futures::stream::{self, StreamExt, TryStreamExt};
use vernier_ledger::limits::{READS_IN_FLIGHT_MAX, WORK_SLOTS};
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{
    AUDIT_DAILY, AUDIT_SEED, Cause, DueItem, Nudge, NudgeQueue, Owner, WorkEntry, WorkKey,
    WorkLists,
};

/// Seconds between two audits of all tenants' lists.
pub(crate) const AUDIT_SECONDS: i64 = 86_400;

/// What a run of the planner did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planned {
    /// Those who had something due.
    pub owners: u32,
    /// Nudges that the queue took.
    pub sent: u32,
    /// Nudges that it did not take; the next run sends them.
    pub failed: u32,
    /// How long the oldest entry has been due, milliseconds.
    pub overdue_millis: u64,
    /// Whether a checkpoint of the shards was written.
    pub is_checkpointed: bool,
}

/// Reads what is due, writes a checkpoint of the shards, and then nudges each owner of something due once: a seal names a
/// checkpoint that was written after its window's end, and whoever is nudged finds this run's.
///
/// # Errors
/// The table's, when the due index could not be read. A checkpoint that failed is the next run's.
pub async fn plan<S: ReconcileStores>(
    stores: &S,
    process: &Process<S::Table>,
    now: Millis,
) -> Result<Planned, PortError> {
    begin_audits(stores.table(), process.new_nonce, now).await?;
    let slots: Vec<Vec<DueItem>> = stream::iter(0..WORK_SLOTS)
        .map(|slot| stores.table().due_work(slot, now))
        .buffer_unordered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    let due = slots.into_iter().flatten();
    let nudges = Nudge::of_due(due.filter(|item| item.is_to_be_nudged(now)).collect());
    let mut planned = Planned {
        owners: u32::try_from(nudges.len()).unwrap_or(u32::MAX),
        ..Planned::default()
    };
    let oldest = nudges.first().map_or(now, |nudge| nudge.first.due);
    planned.overdue_millis = u64::try_from(now.0 - oldest.0).unwrap_or(0);
    match write_checkpoint(stores, now).await {
        Ok(_) => planned.is_checkpointed = true,
        Err(error) => tracing::error!(%error, "no checkpoint of the shards"),
    }
    for answer in stores.queue().send(&nudges).await {
        match answer {
            Ok(()) => planned.sent += 1,
            Err(error) => {
                planned.failed += 1;
                tracing::error!(%error, "not nudged");
            }
        }
    }
    Ok(planned)
}

/// Puts the ledger's own first entries, from which a worker puts the others, where there are none.
async fn begin_audits<T: WorkLists>(
    table: &T,
    new_nonce: fn() -> vernier_ledger::work::Nonce,
    now: Millis,
) -> Result<(), PortError> {
    let daily = WorkKey::of(Cause::Audit, AUDIT_DAILY);
    if table.work_entry(&Owner::Ledger, &daily).await?.is_some() {
        return Ok(());
    }
    let seed = WorkKey::of(Cause::Audit, AUDIT_SEED);
    // The daily one last: it says that the other was put.
    for (key, due) in [(seed, now), (daily, now.plus_seconds(AUDIT_SECONDS))] {
        let entry = WorkEntry::new(key, due, new_nonce());
        table.add_work(&Owner::Ledger, &entry).await?;
    }
    Ok(())
}
