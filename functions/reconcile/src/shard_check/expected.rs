//! What the checkpoints since the last check say of the shards.

use super::Fault;
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::checkpoint::{Checkpoint, CheckpointMark, ShardMarks};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::Shard;
use vernier_ledger::ports::{Inventory, Objects, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// Checkpoints that one check compares: an hour of them, 36 MB of 4,400 shards' positions.
const CHECKPOINTS_MAX: usize = 60;

/// The hashes that checkpoints have of a shard's records, by position.
pub(super) type Positions = BTreeMap<u64, BTreeSet<Fingerprint>>;

/// What some checkpoints say.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// The instant of the last of them.
    pub(super) at: Millis,
    pub(super) shards: BTreeMap<Shard, Positions>,
    /// Checkpoints that are not what their keys say.
    pub(super) faults: Vec<Fault>,
}

/// Reads the checkpoints behind those that were compared, through `to` or as many as one check compares. Before the
/// first check that is the one of `to` alone.
pub(super) async fn expected_through<S: ReconcileStores>(
    stores: &S,
    to: Millis,
) -> Result<Expected, PortError> {
    let checked = stores.table().checked_through().await?;
    let after = checked.unwrap_or(Millis(to.0 - 1)).min(to);
    let mut expected = Expected {
        at: after,
        ..Expected::default()
    };
    let mut last = CheckpointMark::key_before(Millis(after.0 + 1));
    let end = CheckpointMark::key_before(Millis(to.0 + 1));
    let mut count = 0;
    loop {
        let page = stores.objects().listed("checkpoints/", Some(&last)).await?;
        let keys = page.into_iter().map(|object| object.key);
        let keys: Vec<String> = keys.take_while(|key| *key < end).collect();
        if keys.is_empty() {
            expected.at = to;
            return Ok(expected);
        }
        for key in keys {
            if count == CHECKPOINTS_MAX {
                return Ok(expected);
            }
            count += 1;
            expected.add(&key, stores.objects().get(&key, None).await?);
            last = key;
        }
    }
}

impl Expected {
    fn add(&mut self, key: &str, bytes: Option<Vec<u8>>) {
        // One that the bucket's lifecycle has just removed says nothing.
        let Some(bytes) = bytes else { return };
        let read: Option<Checkpoint> = serde_json::from_slice(&bytes).ok();
        let sound = read.filter(|c| CheckpointMark::of(c.at, &bytes).key() == key);
        let Some(checkpoint) = sound else {
            return self.faults.push(Fault {
                shard: String::new(),
                position: 0,
                what: format!("{key} is not the checkpoint that its key says"),
            });
        };
        self.at = checkpoint.at;
        for stood in checkpoint.shards {
            let Ok(shard) = Shard::new(&checkpoint.stream, &stood.id) else {
                continue;
            };
            let positions = self.shards.entry(shard).or_default();
            let hashes = positions.entry(stood.position).or_default();
            hashes.insert(stood.hash);
        }
    }
}
