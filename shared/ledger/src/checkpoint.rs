//! Checkpoints of the shards: where every shard's chain of segment records stood at an instant.
//!
//! The planner writes one in every run, for all tenants, and every seal names the newest one that is there when it is
//! signed. So whoever removes a receipt, its block items and its segment record, or hashes a shard's records anew from
//! there on, meets the hash of the shard's later record in every tenant's chain of seals (invariant 6).

use crate::digest::Fingerprint;
use crate::ids::{Sequence, Shard};
use crate::ports::PortError;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// Version of a checkpoint's JSON.
pub const CHECKPOINT_VERSION: u32 = 1;

/// Where one shard's chain of segment records stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPosition {
    /// The shard's id; the checkpoint says of which stream.
    pub id: String,
    /// Place of the shard's last segment record in its chain.
    pub position: u64,
    /// SHA-256 of that record.
    pub hash: Fingerprint,
}

/// What a checkpoint's object says, as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version of this JSON: [`CHECKPOINT_VERSION`].
    pub vernier_checkpoint: u32,
    /// When it was written, by the planner's clock. The shards were read after that.
    pub at: Millis,
    /// The name of the stream that has the shards.
    pub stream: String,
    /// Every shard that the stream still lists and that has a segment record, by id.
    pub shards: Vec<ShardPosition>,
}

/// Which checkpoint of the shards it was: all that seals say of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointMark {
    /// When it was written.
    pub at: Millis,
    /// SHA-256 of its bytes.
    pub sha256: Fingerprint,
}

impl CheckpointMark {
    /// Makes the mark of a checkpoint of this instant with these bytes.
    #[must_use]
    pub fn of(at: Millis, bytes: &[u8]) -> Self {
        Self {
            at,
            sha256: Fingerprint::of(bytes),
        }
    }

    /// What sorts before the keys of all checkpoints of an instant and of later ones, and behind those of earlier ones.
    #[must_use]
    pub fn key_before(at: Millis) -> String {
        let (date, hour) = at.date_and_hour();
        format!("checkpoints/dt={date}/hour={hour}/{:015}", at.0)
    }

    /// The key of the checkpoint's object: instant and content name it, so that of two runs at one
    /// instant each has its own.
    #[must_use]
    pub fn key(&self) -> String {
        let (before, content) = (Self::key_before(self.at), self.sha256.hex());
        format!("{before}-{}.json", &content[..16])
    }
}

/// Which checkpoint is the newest one.
#[allow(async_fn_in_trait)]
pub trait Checkpoints {
    /// The mark of the newest checkpoint, read consistently; none before the planner wrote the first
    /// one. Its object is there.
    async fn newest_checkpoint(&self) -> Result<Option<CheckpointMark>, PortError>;

    /// Makes a checkpoint whose object is there the newest one, unless one of the same instant or a later one is:
    /// what seals name never goes back, whoever of several planners writes last. Durable on return.
    async fn keep_checkpoint(&self, mark: &CheckpointMark) -> Result<(), PortError>;
}

/// How far a shard's records were checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMark {
    /// The shard that was checked.
    pub shard: Shard,
    /// Place of the last record that was checked in the shard's chain.
    pub position: u64,
    /// SHA-256 of that record, hexadecimal.
    pub hash: String,
    /// Last sequence number that the record took: the next one is behind it.
    pub last: Sequence,
    /// When the mark was written.
    pub checked_at: Millis,
}

/// How far the shards were checked.
#[allow(async_fn_in_trait)]
pub trait ShardMarks {
    /// A shard's mark, read consistently; none before its first check.
    async fn shard_mark(&self, shard: &Shard) -> Result<Option<ShardMark>, PortError>;

    /// Saves a mark over the one before.
    async fn save_shard_mark(&self, mark: &ShardMark) -> Result<(), PortError>;

    /// The instant of the last checkpoint that every shard was compared with; none before the first check.
    async fn checked_through(&self) -> Result<Option<Millis>, PortError>;

    /// Saves that instant over the one before.
    async fn save_checked_through(&self, at: Millis) -> Result<(), PortError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoints_key_has_its_hour_its_instant_and_its_content() {
        let mark = CheckpointMark::of(Millis(1_700_000_000_123), b"{}");
        assert_eq!(
            mark.key(),
            "checkpoints/dt=2023-11-14/hour=22/001700000000123-44136fa355b3678a.json"
        );
    }

    #[test]
    fn a_mark_is_what_seals_say_of_a_checkpoint() {
        let mark = CheckpointMark::of(Millis(7), b"{}");
        let text = serde_json::to_string(&mark).expect("plain data");
        let sha256 = Fingerprint::of(b"{}").hex();
        assert_eq!(text, format!(r#"{{"at":7,"sha256":"{sha256}"}}"#));
        assert_eq!(
            serde_json::from_str::<CheckpointMark>(&text).ok(),
            Some(mark)
        );
        for bad in [r#"{"at":7,"sha256":"0"}"#, r#"{"at":7}"#] {
            assert!(
                serde_json::from_str::<CheckpointMark>(bad).is_err(),
                "{bad}"
            );
        }
    }
}
