//! Roll-ups: the filters of many blocks in few objects, so that a reader of filters needs few requests (docs/segment.md).
//!
//! A worker writes the frames of a tenant's filters of one [`Slice`] one after the other into an object, and keeps an item
//! that names the object. A roll-up decides nothing: a frame is known by its SHA-256, which the block's own item has, and
//! whoever does not find a block's filter in a roll-up reads it from the block. So a roll-up may be lost, old or doubled.

use crate::chunks::{FILTER_MAGIC, Mark, Marks, SKIPPABLE_HEAD_BYTES, id_key, skippable};
use crate::digest::Fingerprint;
use crate::id_filter::{self, IdKey};
use crate::ids::TenantId;
use crate::line::{LineHead, event_key, is_known_by_id};
use crate::ports::PortError;
use crate::segment::{Block, BlockError, for_each_line, open_block};
use crate::time::{Millis, Minute, Slice, TimeRange};
use serde::{Deserialize, Serialize};

/// What is rolled up of a tenant's five minutes of received-at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollUp {
    /// The minute that the slice begins with.
    pub first_minute: Minute,
    /// The objects in the order in which they were begun. The last one is written anew while it is small.
    pub objects: Vec<FilterObject>,
    /// Filters that the worker made of blocks that have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<MadeFilter>,
    /// When it was written last, by the worker's clock.
    pub rolled_at: Millis,
}

/// An object with filters, and which these may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterObject {
    /// The object's key in the bucket.
    pub key: String,
    /// The object's length, bytes.
    pub bytes: u64,
    /// Marks of the hashes of the frames in it.
    pub frames: Marks,
}

/// The filter of a block in one piece. The item alone says which frame it is: a table that lies about it could as
/// well leave out the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeFilter {
    /// SHA-256 of the block.
    pub block: Fingerprint,
    /// SHA-256 of the frame of the block's filter.
    pub frame: Fingerprint,
}

const fn mark_of_hash(hash: &Fingerprint) -> Mark {
    let [a, b, c, ..] = hash.0;
    [a, b, c]
}

impl FilterObject {
    /// Puts frames one after the other; gives the object and its bytes.
    #[must_use]
    pub fn of(tenant: &TenantId, slice: Slice, frames: &[Vec<u8>]) -> (Self, Vec<u8>) {
        let marks = frames.iter().map(|f| mark_of_hash(&Fingerprint::of(f)));
        let frames_marks = Marks::of(marks.collect());
        let bytes = frames.concat();
        let start = slice.first_minute().start();
        let (date, _) = start.date_and_hour();
        let content = Fingerprint::of(&bytes).hex();
        let key = format!(
            "filters/tenant={tenant}/dt={date}/{:015}-{}",
            start.0.max(0),
            &content[..32],
        );
        let object = Self {
            key,
            bytes: bytes.len() as u64,
            frames: frames_marks,
        };
        (object, bytes)
    }

    /// Whether the frame with this hash may be in the object.
    #[must_use]
    pub fn may_have(&self, frame: &Fingerprint) -> bool {
        self.frames.may_have(mark_of_hash(frame))
    }
}

impl RollUp {
    /// The slice that it is of.
    #[must_use]
    pub const fn slice(&self) -> Slice {
        Slice::containing(self.first_minute)
    }

    /// The hash of the frame that has a block's filter: by the block's own item, or by this roll-up where the block has
    /// none; none where nobody knows it.
    #[must_use]
    pub fn frame_of(&self, block: &Block) -> Option<Fingerprint> {
        if let Some(index) = &block.index {
            return Fingerprint::from_hex(&index.filter_sha256);
        }
        let own = Fingerprint::from_hex(&block.sha256)?;
        let made = self.made.iter().find(|made| made.block == own);
        made.map(|made| made.frame)
    }

    /// The object that may have a frame.
    #[must_use]
    pub fn object_of(&self, frame: &Fingerprint) -> Option<&FilterObject> {
        self.objects.iter().find(|object| object.may_have(frame))
    }
}

/// The frames that lie one after the other in an object of filters, each with its hash. What is no frame of a filter ends
/// the list, and nothing behind it is read.
pub fn frames_in(mut bytes: &[u8]) -> impl Iterator<Item = (Fingerprint, &[u8])> {
    std::iter::from_fn(move || {
        let (head, _) = bytes.split_first_chunk::<SKIPPABLE_HEAD_BYTES>()?;
        let (magic, length) = head.split_at(4);
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let end = SKIPPABLE_HEAD_BYTES.checked_add(usize::try_from(length).ok()?)?;
        let is_filter = magic == FILTER_MAGIC.to_le_bytes();
        let frame = bytes.get(..end).filter(|_| is_filter)?;
        bytes = &bytes[end..];
        Some((Fingerprint::of(frame), frame))
    })
}

/// The filter in a frame whose hash was looked at.
#[must_use]
pub fn filter_in(frame: &[u8]) -> &[u8] {
    frame.get(SKIPPABLE_HEAD_BYTES..).unwrap_or_default()
}

/// What a line is found by in a filter: its identity, and its id where that is another key.
fn keys_of(head: &LineHead<'_>) -> impl Iterator<Item = IdKey> {
    let identity = event_key(&head.kind, head.id.as_deref(), &head.fingerprint);
    let own = head.id.as_deref().filter(|_| !is_known_by_id(&head.kind));
    std::iter::once(identity).chain(own.map(id_key))
}

/// Makes the filter, in its frame, of a block that has none.
///
/// # Errors
/// When the bytes are not those that the block's item names, or hold no lines.
pub fn make_filter(block: &Block, bytes: &[u8]) -> Result<Vec<u8>, BlockError> {
    let lines = open_block(block, bytes)?;
    let mut keys = Vec::new();
    for_each_line::<BlockError>(&lines, |head, _| {
        keys.extend(keys_of(&head));
        Ok(())
    })?;
    Ok(skippable(FILTER_MAGIC, &id_filter::encode(&keys)))
}

/// Which filters of a tenant are rolled up, and where.
#[allow(async_fn_in_trait)]
pub trait RollUps {
    /// A tenant's roll-ups of the slices that touch a range of received-at, by slice, read consistently.
    async fn roll_ups(&self, tenant: &TenantId, range: TimeRange)
    -> Result<Vec<RollUp>, PortError>;

    /// Keeps a roll-up in the place of its slice's last one. Durable on return. Of two that are kept at once either stays:
    /// what it does not have is read from the blocks.
    async fn keep_roll_up(&self, tenant: &TenantId, roll_up: &RollUp) -> Result<(), PortError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(keys: u8) -> Vec<u8> {
        let keys: Vec<IdKey> = (0..keys).map(|n| Fingerprint::of(&[n]).0).collect();
        skippable(FILTER_MAGIC, &id_filter::encode(&keys))
    }

    proptest! {
        /// Invariant 4: a frame that is found under a hash has it, whatever the object's bytes are.
        #[test]
        fn what_is_found_under_a_hash_has_it(
            counts in proptest::collection::vec(0_u8..9, 0..6),
            cut in 0_usize..400,
            changed in proptest::option::of((0_usize..400, 1_u8..)),
        ) {
            let frames: Vec<Vec<u8>> = counts.iter().map(|keys| frame(*keys)).collect();
            let tenant = "school".parse().expect("a tenant");
            let slice = Slice::containing(Minute(29_000_000));
            let (object, mut bytes) = FilterObject::of(&tenant, slice, &frames);
            let prefix = format!("{}tenant=school/", crate::tenant_prefix::FILTERS_PREFIX);
            prop_assert!(object.key.starts_with(&prefix));
            prop_assert_eq!(object.bytes, bytes.len() as u64);
            let whole: Vec<Vec<u8>> = frames_in(&bytes).map(|(_, frame)| frame.to_vec()).collect();
            prop_assert_eq!(&whole, &frames);
            for frame in &frames {
                prop_assert!(object.may_have(&Fingerprint::of(frame)));
            }
            bytes.truncate(cut.max(1));
            if let Some((at, by)) = changed.filter(|(at, _)| *at < bytes.len()) {
                bytes[at] ^= by;
            }
            for (hash, frame) in frames_in(&bytes) {
                prop_assert_eq!(hash, Fingerprint::of(frame));
            }
        }

        #[test]
        fn no_bytes_make_a_walk_panic_or_go_on_for_ever(bytes: Vec<u8>) {
            prop_assert!(frames_in(&bytes).count() * SKIPPABLE_HEAD_BYTES <= bytes.len());
        }
    }
}
