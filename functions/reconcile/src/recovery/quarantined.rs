//! Records that an earlier version could not read, and this one can: they are frames of a version that was newer then.

use super::{RecoverySummary, SealedMemory};
use vernier_ledger::frame::{self, FRAME_VERSION, FrameHeader};
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{Inventory as _, NewRecord, Objects as _, PortError};
use vernier_ledger::quarantine::FRAMES_PREFIX;
use vernier_ledger::recovery::Recovery;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// The subject of the ledger's entry that has them looked for.
pub(crate) const QUARANTINE: &str = "quarantine";

/// Seconds between two looks.
pub(crate) const QUARANTINE_SECONDS: i64 = 86_400;

/// How far back a look goes where a version has looked at all of them before, seconds.
const LOOK_BACK_SECONDS: i64 = 2 * QUARANTINE_SECONDS;

/// Where it is noted that this version has looked at all of them.
fn note_of_version() -> String {
    format!("failures/taken/quarantine-{FRAME_VERSION}")
}

/// How far a look is.
pub(crate) enum Reread {
    /// Through all of them.
    Whole,
    /// Through the object with this key: the time was over.
    Through(String),
}

/// The place of the stream that a key of quarantine names; none of another key.
fn place_of(key: &str) -> Option<(Shard, Sequence)> {
    let rest = key.strip_prefix(FRAMES_PREFIX)?;
    let mut parts = rest.split('/').skip(1);
    let shard = Shard::new(parts.next()?, parts.next()?).ok()?;
    Some((shard, parts.next()?.parse().ok()?))
}

/// Looks at quarantined records behind the object where the entry goes on, until `until`: what is a frame by now and lies
/// in no block is sent again. A version of frames looks at all of them once, and after that at those of the last two days.
///
/// # Errors
/// Whatever error the stores give.
pub(crate) async fn reread<S: ReconcileStores, C: Fn() -> Millis>(
    recovery: &Recovery<'_, S, SealedMemory<'_, S>, &C>,
    from: Option<&str>,
    until: Millis,
    summary: &mut RecoverySummary,
) -> Result<Reread, PortError> {
    let (objects, clock) = (recovery.stores.objects(), recovery.clock);
    let note = note_of_version();
    let mut after = from.map(str::to_owned);
    if after.is_none() && objects.get(&note, None).await?.is_some() {
        let (date, _) = clock().plus_seconds(-LOOK_BACK_SECONDS).date_and_hour();
        after = Some(format!("quarantine/frames/dt={date}"));
    }
    loop {
        let page = objects.listed(FRAMES_PREFIX, after.as_deref()).await?;
        if page.is_empty() {
            objects.put_new(&note, Vec::new(), None).await?;
            return Ok(Reread::Whole);
        }
        for object in page {
            if let Some((shard, sequence)) = place_of(&object.key)
                && let Some(data) = objects.get(&object.key, None).await?
                && let Ok(frame) = frame::decode(&data)
            {
                let FrameHeader { tenant, .. } = &frame.header;
                let record = NewRecord {
                    // Its key is not kept; any of the tenant's does.
                    partition_key: format!("{tenant}/0"),
                    data,
                };
                let batch = [(sequence, record)];
                let brought = recovery.bring_back(&shard, &batch).await?;
                tracing::info!(key = object.key, ?brought, "quarantined record");
                summary.count(&brought);
            }
            if clock() >= until {
                return Ok(Reread::Through(object.key));
            }
            after = Some(object.key);
        }
    }
}
