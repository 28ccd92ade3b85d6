//! What readers of live blocks rely on, with a place for a bug: as if the stream function had built blocks like that, and had
//! said so in their items.

use super::{Bucket, Bug, Table};
use serde_json::Value;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::PortError;
use vernier_ledger::roll_up::{RollUp, RollUps};
use vernier_ledger::time::TimeRange;

/// How much older a block is taken for with its bug, seconds.
const OLDER_SECONDS: i64 = 600;

/// Bytes of a skippable frame before its content.
const HEAD_BYTES: usize = 8;

/// What the frames of filters and indexes begin with (docs/segment.md).
const FILTER: [u8; 4] = [0x50, 0x2A, 0x4D, 0x18];
const INDEX: [u8; 4] = [0x51, 0x2A, 0x4D, 0x18];

/// An index's content without any actor.
fn without_actors(content: &[u8]) -> Option<Vec<u8>> {
    let json = zstd::decode_all(content).ok()?;
    let mut index: Value = serde_json::from_slice(&json).ok()?;
    for chunk in index["chunks"].as_array_mut()? {
        chunk["actors"] = Value::String(String::new());
    }
    zstd::encode_all(&index.to_string().into_bytes()[..], 1).ok()
}

/// A frame as a bug has it: a filter without a key, an index without an actor.
pub(super) fn changed_frame(bug: Option<Bug>, mut bytes: Vec<u8>) -> Vec<u8> {
    match bug {
        Some(Bug::DenyIdentities) if bytes.starts_with(&FILTER) => {
            bytes[HEAD_BYTES..HEAD_BYTES + 4].fill(0);
        }
        Some(Bug::LeaveActorsOut) if bytes.starts_with(&INDEX) => {
            let content = without_actors(&bytes[HEAD_BYTES..]);
            bytes.truncate(HEAD_BYTES);
            bytes.extend(content.unwrap_or_default());
        }
        _ => {}
    }
    bytes
}

/// A part of an object.
fn part(bytes: &[u8], (start, length): (u64, u64)) -> Option<Vec<u8>> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(start..end).map(<[u8]>::to_vec)
}

impl Table {
    /// Changes an item as the bug would have written it.
    pub(super) fn change_item(&self, item: &mut BlockItem) {
        if self.bug == Some(Bug::EndPagesEarly) {
            let block = &mut item.block;
            block.received_through = block.received_through.plus_seconds(-OLDER_SECONDS);
        }
        let is_of_frames = matches!(self.bug, Some(Bug::DenyIdentities | Bug::LeaveActorsOut));
        let object = self.bucket.raw(&item.object).filter(|_| is_of_frames);
        let place = item.block.index.as_ref();
        let Some((object, place)) = object.as_deref().zip(place) else {
            return;
        };
        let changed = |range| {
            let frame = changed_frame(self.bug, part(object, range)?);
            Some(Fingerprint::of(&frame).hex())
        };
        let filter = changed(place.filter_range(&item.block));
        let index = changed(place.index_range(&item.block));
        if let (Some(filter), Some(index), Some(place)) = (filter, index, &mut item.block.index) {
            (place.filter_sha256, place.sha256) = (filter, index);
        }
    }
}

impl Bucket {
    /// An object of filters as a bug would have written it.
    pub(super) fn changed_roll_up(&self, key: &str, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.bug != Some(Bug::RollUpDenials) || !key.starts_with("filters/") {
            return bytes;
        }
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + HEAD_BYTES) {
            let length = head[4..].try_into().map_or(0, u32::from_le_bytes);
            let start = at + HEAD_BYTES;
            bytes[start..start + 4].fill(0);
            at = start + length as usize;
        }
        bytes
    }
}

impl RollUps for Table {
    async fn roll_ups(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<RollUp>, PortError> {
        if self.hides_roll_ups {
            return Ok(Vec::new());
        }
        self.inner.roll_ups(tenant, range).await
    }

    async fn keep_roll_up(&self, tenant: &TenantId, roll_up: &RollUp) -> Result<(), PortError> {
        self.inner.keep_roll_up(tenant, roll_up).await
    }
}
