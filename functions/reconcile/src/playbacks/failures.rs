//! What the trigger gave up, brought back for one tenant at once. The ledger's own work does the same for
//! all tenants by itself ([`crate::recovery`]); this is for whoever does not want to wait for it, or
//! wants to know how much there is.

use super::Wires;
use crate::recovery::{bring_back, failed_batches, read_batch};
use vernier_ledger::frame;
use vernier_ledger::ids::TenantId;
use vernier_ledger::playback_job::{PlaybackJob, PlaybackState};
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// Failed batches of one step: at 6 MB and a few dozen claims each, a second or two.
const STEP_BATCHES: usize = 8;

/// Brings back the next batches; the job as it is behind them, done when there are no more.
///
/// # Errors
/// The stores'.
pub(super) async fn advance<S: ReconcileStores>(
    wires: Wires<'_, S>,
    tenant: &TenantId,
    mut next: PlaybackJob,
    now: Millis,
) -> Result<PlaybackJob, PortError> {
    let open = failed_batches(wires.stores.objects()).await?;
    let done = usize::try_from(next.position.row).unwrap_or(usize::MAX);
    let mut rest = open.iter().skip(done);
    let own = format!("{tenant}/");
    for key in rest.by_ref().take(STEP_BATCHES) {
        next.position.row += 1;
        let bytes = wires.stores.objects().get(key, None).await?;
        let Some((shard, mut batch)) = bytes.as_deref().and_then(read_batch) else {
            continue;
        };
        batch.retain(|(_, record)| record.partition_key.starts_with(&own));
        let frames = batch
            .iter()
            .filter_map(|(_, r)| frame::decode(&r.data).ok());
        let events: u64 = frames.map(|f| f.header.slice_tally.events).sum();
        next.progress.events += events;
        next.progress.events_passed += events;
        if batch.is_empty() || next.request.dry_run {
            continue;
        }
        let (days, new_nonce) = (wires.intake.receipt_days, wires.new_nonce);
        let brought = bring_back(wires.stores, &shard, &batch, days, new_nonce, || now).await?;
        next.progress.events_played += brought.events_played_back;
        next.progress.envelopes += brought.played_back;
        next.progress.writes += batch.len() as u64;
    }
    if rest.next().is_none() {
        next.state = PlaybackState::Done;
    }
    Ok(next)
}
