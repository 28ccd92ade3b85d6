//! The planner's checkpoint of the shards: where every chain of segment records stands, for all tenants.

use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use vernier_archive::canonical;
use vernier_ledger::Invariant;
use vernier_ledger::checkpoint::{
    CHECKPOINT_VERSION, Checkpoint, CheckpointMark, Checkpoints, ShardPosition,
};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::Shard;
use vernier_ledger::limits::{CHECKPOINT_BYTES_MAX, CURSORS_IN_FLIGHT_MAX};
use vernier_ledger::ports::{Commits, FrameRecords, Notices, Objects, PortError, Sweeps};
use vernier_ledger::restore::find_restore;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::sweep::UnknownTime;
use vernier_ledger::time::Millis;

/// A checkpoint that is older was not followed by the runs that are due each minute, seconds: the planner did not run, or
/// the table was restored. Restoring takes longer.
const MISSED_SECONDS: i64 = 180;

/// Looks whether the table was restored to an earlier time, before this run's checkpoint is the newest one, and keeps
/// since when it knows nothing: what it does not know is then not swept.
///
/// # Errors
/// The stores'. Nothing is checkpointed then, so that the next run looks again.
async fn note_restore<S: ReconcileStores>(stores: &S, now: Millis) -> Result<(), PortError> {
    let (table, objects) = (stores.table(), stores.objects());
    let newest = table.newest_checkpoint().await?;
    if newest.is_some_and(|mark| mark.at.plus_seconds(MISSED_SECONDS) > now) {
        return Ok(());
    }
    let Some(restored) = find_restore(table, objects).await? else {
        return Ok(());
    };
    let time = UnknownTime {
        from: restored.known_at,
        until: now,
    };
    let before = table.unknown_time().await?;
    let time = before.map_or(time, |before| before.with(time));
    table.save_unknown_time(Some(time)).await?;
    let (from, until) = (time.from.rfc3339(), time.until.rfc3339());
    tracing::error!(from, until, "the table was restored to an earlier time");
    let body = json!({
        "from": from,
        "until": until,
        "checkpoints": restored.checkpoints,
        "shards_behind": restored.behind.len(),
        "why": "the bucket has checkpoints that the table does not know; segments of that time are not swept",
        "invariant": Invariant::Complete.number(),
    });
    let subject = "Vernier: the table was restored to an earlier time";
    stores.notices().publish(subject, &body.to_string()).await
}

/// Writes a checkpoint of every shard that the stream still lists: the object first, then that it is the newest one.
/// A crash in between leaves an object that nothing names, and two runs at once do no harm: what each says is true.
///
/// # Errors
/// The stores'; fatal when the stream has more shards than one checkpoint may name. The next run writes one.
pub(crate) async fn write_checkpoint<S: ReconcileStores>(
    stores: &S,
    now: Millis,
) -> Result<CheckpointMark, PortError> {
    note_restore(stores, now).await?;
    let (table, objects) = (stores.table(), stores.objects());
    let checkpoint = checkpoint_of(stores, now).await?;
    let bytes = canonical::to_bytes(&checkpoint);
    let bytes = bytes.map_err(|e| PortError::Fatal(format!("checkpoint: {e}")))?;
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        let what = format!("a checkpoint of {} bytes", bytes.len());
        return Err(PortError::Fatal(what));
    }
    let mark = CheckpointMark::of(now, &bytes);
    objects.put_new(&mark.key(), bytes, None).await?;
    table.keep_checkpoint(&mark).await?;
    Ok(mark)
}

async fn checkpoint_of<S: ReconcileStores>(
    stores: &S,
    now: Millis,
) -> Result<Checkpoint, PortError> {
    let table = stores.table();
    let listed = stores.stream().listed_shards().await?;
    let name = listed.first().map(|shard| shard.stream.clone());
    let shards: Vec<Option<ShardPosition>> = stream::iter(listed)
        .map(|shard| position_of(table, shard))
        .buffered(CURSORS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok(Checkpoint {
        vernier_checkpoint: CHECKPOINT_VERSION,
        at: now,
        stream: name.unwrap_or_default(),
        shards: shards.into_iter().flatten().collect(),
    })
}

/// Where a shard stands; none before its first record.
async fn position_of<T: Commits>(
    table: &T,
    shard: Shard,
) -> Result<Option<ShardPosition>, PortError> {
    let cursor = table.cursor(&shard).await?;
    let (Some(position), Some(hash)) = (cursor.next_position.checked_sub(1), cursor.last_hash)
    else {
        return Ok(None);
    };
    let hash = Fingerprint::from_hex(&hash)
        .ok_or_else(|| PortError::Fatal(format!("the cursor of {shard} has no hash")))?;
    Ok(Some(ShardPosition {
        id: shard.id,
        position,
        hash,
    }))
}
