//! Segment records of earlier versions, which are read as long as their segments live.
//!
//! They lie together by their instant of commit, and have the blocks themselves, one for each tenant, where records of
//! today name block items by their hashes. Nothing writes them any more. A shard's chain goes on over both: the first
//! record of today names the last one of these.

use crate::block_item::BlockItem;
use crate::digest::Fingerprint;
use crate::ids::{Sequence, Shard, TenantId};
use crate::segment::Block;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// What a batch that an earlier version committed says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierRecord {
    /// The version of this JSON: 1.
    pub vernier_segment: u32,
    /// The shard of the batch.
    pub shard: Shard,
    /// First sequence number that the batch took.
    pub first: Sequence,
    /// Last sequence number that the batch took.
    pub last: Sequence,
    /// When the batch was committed, by the committing function's clock.
    pub committed_at: Millis,
    /// Place in the shard's chain, from 0.
    pub position: u64,
    /// Hash of the record before, hexadecimal; none for the first.
    pub previous: Option<String>,
    /// The key of the segment object; none where the batch stored nothing.
    pub object: Option<String>,
    /// What lies in the object, by tenant.
    pub blocks: Vec<Block>,
    /// Records of the batch that were copies of claimed frames.
    pub copies: u32,
    /// Records of the batch that went to quarantine.
    pub quarantined: u32,
    /// Whether the commit wrote the blocks' items as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
}

impl EarlierRecord {
    /// SHA-256 of the record as it is stored, hexadecimal: what the record behind it names.
    ///
    /// # Panics
    /// Never: the record is plain data with string keys.
    #[must_use]
    pub fn hash(&self) -> String {
        let json = serde_json::to_vec(self).expect("plain data with string keys serialises");
        Fingerprint::of(&json).hex()
    }

    /// A tenant's blocks in the record.
    pub fn blocks_of(&self, tenant: &TenantId) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |b| b.tenant == *tenant)
    }

    /// The item that stands for one of the record's blocks; none where the record has no object.
    #[must_use]
    pub fn item(&self, block: Block) -> Option<BlockItem> {
        Some(BlockItem {
            shard: self.shard.clone(),
            position: self.position,
            first: self.first.clone(),
            last: self.last.clone(),
            committed_at: self.committed_at,
            object: self.object.clone()?,
            block,
        })
    }
}
