//! Whether the table was restored to an earlier time: what the bucket has seen since, and the table does not know.
//!
//! A table that is restored knows nothing of the commits, seals and receipts of the time in between. Their objects lie
//! in the bucket and look as if nothing named them. The checkpoints of the shards tell: the planner writes one each minute,
//! and one that the table did not name says where the shards stood.

use crate::chain::ChainHead;
use crate::checkpoint::{Checkpoint, CheckpointMark, Checkpoints};
use crate::committed::records_of_object;
use crate::ids::{Shard, TenantId};
use crate::ports::{Chains, Commits, Directory, Inventory, Objects, PortError};
use crate::sweep::UnknownTime;
use crate::tenant_prefix::SEAL_PREFIX;
use crate::time::{Millis, Window};

/// Checkpoints that runs of the planner may have written without naming them in the table, though it was not restored:
/// each was cut off between the two.
const UNNAMED_MAX: u64 = 10;

const HOUR_SECONDS: i64 = 3_600;

/// Hours of segments that [`unknown_segments`] goes through, two weeks.
const HOURS_MAX: usize = 336;

/// A shard of which the bucket knows more than the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardBehind {
    /// The shard's id, as the stream names it.
    pub shard: String,
    /// Place of the last record that the table has in the shard's chain; none where it has none.
    pub known: Option<u64>,
    /// The same by the bucket's newest checkpoint.
    pub written: u64,
}

/// What says that a table was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// When the checkpoint was written that the table names; the beginning of time where it names none.
    pub known_at: Millis,
    /// When the bucket's newest checkpoint was written.
    pub written_at: Millis,
    /// Checkpoints in the bucket behind the one that the table names.
    pub checkpoints: u64,
    /// The shards that the table is behind with.
    pub behind: Vec<ShardBehind>,
}

/// Looks whether the bucket has checkpoints of a time that the table does not know; none where it was not restored, or
/// the planner has run since, which keeps what this finds.
///
/// # Errors
/// The stores'; fatal when the bucket's newest checkpoint is none.
pub async fn find_restore<T, O>(table: &T, objects: &O) -> Result<Option<Restored>, PortError>
where
    T: Checkpoints + Commits,
    O: Objects + Inventory,
{
    let known = table.newest_checkpoint().await?;
    let mut after = known.as_ref().map(CheckpointMark::key);
    let (mut checkpoints, mut newest) = (0, None);
    loop {
        let page = objects.listed("checkpoints/", after.as_deref()).await?;
        let Some(last) = page.last() else { break };
        checkpoints += page.len() as u64;
        newest = Some(last.key.clone());
        after.clone_from(&newest);
    }
    let Some(newest) = newest else {
        return Ok(None);
    };
    let bytes = objects.get(&newest, None).await?.unwrap_or_default();
    let checkpoint: Checkpoint = serde_json::from_slice(&bytes)
        .map_err(|e| PortError::Fatal(format!("{newest} is no checkpoint: {e}")))?;
    let behind = behind_of(table, &checkpoint).await?;
    let is_restored = !behind.is_empty() || checkpoints > UNNAMED_MAX;
    Ok(is_restored.then(|| Restored {
        known_at: known.map_or(Millis(0), |mark| mark.at),
        written_at: checkpoint.at,
        checkpoints,
        behind,
    }))
}

async fn behind_of<T: Commits>(
    table: &T,
    checkpoint: &Checkpoint,
) -> Result<Vec<ShardBehind>, PortError> {
    let mut behind = Vec::new();
    for position in &checkpoint.shards {
        let shard = Shard::new(&checkpoint.stream, &position.id)
            .map_err(|e| PortError::Fatal(format!("a checkpoint's shard: {e}")))?;
        let known = table.cursor(&shard).await?.next_position.checked_sub(1);
        if known.is_none_or(|known| known < position.position) {
            behind.push(ShardBehind {
                shard: position.id.clone(),
                known,
                written: position.position,
            });
        }
    }
    Ok(behind)
}

/// A tenant of which the bucket has seals that the table does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainBehind {
    /// The tenant whose chain it is.
    pub tenant: TenantId,
    /// The sequence of the next seal by the table.
    pub next_sequence: u64,
    /// Seals in the bucket from there on. Sealing takes them over, one after the other.
    pub seals: u64,
}

/// The tenants whose seals the table does not know to their end.
///
/// # Errors
/// Whatever error the stores give.
pub async fn chains_behind<T, O>(table: &T, objects: &O) -> Result<Vec<ChainBehind>, PortError>
where
    T: Directory + Chains,
    O: Inventory,
{
    let mut behind = Vec::new();
    for tenant in table.tenants().await? {
        let head: Option<ChainHead> = table.chain(&tenant).await?;
        let next_sequence = head.map_or(0, |head| head.sequence);
        let prefix = format!("{SEAL_PREFIX}tenant={tenant}/");
        let mut after = format!("{prefix}{next_sequence:012}");
        let mut seals = 0;
        loop {
            let page = objects.listed(&prefix, Some(&after)).await?;
            let Some(last) = page.last() else { break };
            seals += page.len() as u64;
            after.clone_from(&last.key);
        }
        if seals > 0 {
            behind.push(ChainBehind {
                tenant,
                next_sequence,
                seals,
            });
        }
    }
    Ok(behind)
}

/// Segments of a time that no commit of the table names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownSegments {
    /// How many there are.
    pub objects: u64,
    /// The bytes that they have together.
    pub bytes: u64,
    /// The keys of the first of them.
    pub first: Vec<String>,
    /// Whether the time was longer than is gone through, two weeks.
    pub is_cut: bool,
}

/// Keys that [`UnknownSegments`] names.
const FIRST_MAX: usize = 20;

/// Goes through the segments that were written in a time of which the table knows nothing.
///
/// # Errors
/// Whatever error the stores give.
pub async fn unknown_segments<T, O>(
    table: &T,
    objects: &O,
    time: UnknownTime,
) -> Result<UnknownSegments, PortError>
where
    T: Commits,
    O: Inventory,
{
    let mut found = UnknownSegments::default();
    let mut hour = Window::containing(time.from.plus_seconds(-HOUR_SECONDS), 60).start;
    let mut hours = 0;
    while hour <= time.until.plus_seconds(HOUR_SECONDS) {
        if hours == HOURS_MAX {
            found.is_cut = true;
            break;
        }
        let (date, number) = hour.date_and_hour();
        let folder = format!("segments/dt={date}/hour={number}/");
        for object in objects.all_listed(&folder).await? {
            let is_of_time = time.has(object.written_at);
            if is_of_time && records_of_object(table, &object.key).await?.is_empty() {
                found.objects += 1;
                found.bytes += object.bytes;
                if found.first.len() < FIRST_MAX {
                    found.first.push(object.key);
                }
            }
        }
        hour = hour.plus_seconds(HOUR_SECONDS);
        hours += 1;
    }
    Ok(found)
}
