//! Chunks: what a large block consists of, and the index that says what lies in which (docs/segment.md).
//!
//! A block of more lines than one chunk takes is a row of zstd frames, the chunks, in the order of section, learner
//! and receipt, followed by two skippable frames: the filter of identities and the index. Whoever decompresses the
//! block as a whole sees nothing of that; whoever looks for something reads the index, and then few chunks.

mod build;
mod counts;

pub(crate) use build::build;
pub use build::id_key;
pub use counts::{Counted, Counts, SectionCounts};

use crate::digest::Fingerprint;
use crate::segment::{Block, BlockError, decompress};
use crate::time::Millis;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// Version of the index's JSON, and of the blocks that have one.
pub const BLOCK_VERSION: u32 = 2;

/// Skippable frames of zstd (RFC 8878) begin with a magic number and their content's length, four bytes each.
pub(crate) const SKIPPABLE_HEAD_BYTES: usize = 8;

/// The magic number of the frame that has the filter of identities.
pub(crate) const FILTER_MAGIC: u32 = 0x184D_2A50;

/// The magic number of the frame that has the index.
const INDEX_MAGIC: u32 = 0x184D_2A51;

/// An index before compression, bytes: a block of 24 MiB of lines has 96 chunks of 256 KiB, each of at most 2,000 events
/// with four marks of four characters each, 32 KB; and counts of its sections and types, whose names are in its lines.
const INDEX_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where a block's filter and index lie: at the block's end, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPlace {
    /// Length of the filter's frame, bytes.
    pub filter_bytes: u64,
    /// SHA-256 of the filter's frame, hexadecimal.
    pub filter_sha256: String,
    /// Length of the index's frame, bytes.
    pub bytes: u64,
    /// SHA-256 of the index's frame, hexadecimal.
    pub sha256: String,
}

/// First and last instants of a block's events. An event that does not say when it happened counts as having
/// happened when it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockTimes {
    /// The earliest received-at of its events.
    pub received_from: Millis,
    /// The earliest event time of its events.
    pub happened_from: Millis,
    /// The latest event time of its events.
    pub happened_through: Millis,
}

/// What a block's index says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIndex {
    /// The version of the block's form, [`BLOCK_VERSION`].
    pub vernier_block: u32,
    /// The chunks, in the order in which they lie in the block, the first at its beginning.
    pub chunks: Vec<Chunk>,
    /// What reports need of its events.
    pub counts: Counts,
}

/// One chunk, and what may lie in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Length after compression, bytes.
    pub bytes: u64,
    /// Length before compression, bytes.
    pub lines_bytes: u64,
    /// SHA-256 of the compressed chunk, hexadecimal.
    pub sha256: String,
    /// How many events it has.
    pub events: u64,
    /// Those of them that were rejected.
    pub rejected: u64,
    /// The earliest and the latest received-at.
    pub received: (Millis, Millis),
    /// The earliest and the latest event time, else received-at.
    pub happened: (Millis, Millis),
    /// The marks of its actors.
    pub actors: Marks,
    /// The marks of its sections.
    pub sections: Marks,
    /// The marks of its events' types.
    pub types: Marks,
    /// The marks of its sensors.
    pub sensors: Marks,
}

/// The first bytes of the SHA-256 of a column's value: of 10,000 actors in a block, one query in 1,700 meets another's.
pub type Mark = [u8; 3];

/// The mark of a column's value.
#[must_use]
pub fn mark_of(value: &str) -> Mark {
    let [a, b, c, ..] = Fingerprint::of(value.as_bytes()).0;
    [a, b, c]
}

/// The marks of a column's values in a chunk: in order and each once, as base64 without padding, four characters each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marks(String);

impl Marks {
    pub(crate) fn of(mut marks: Vec<Mark>) -> Self {
        marks.sort_unstable();
        marks.dedup();
        Self(STANDARD_NO_PAD.encode(marks.as_flattened()))
    }

    /// Every mark, in order; none where the text is not one of marks.
    #[must_use]
    pub fn decoded(&self) -> Vec<Mark> {
        let bytes = STANDARD_NO_PAD.decode(&self.0).unwrap_or_default();
        bytes.as_chunks().0.to_vec()
    }

    /// How many marks there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether a value with this mark may be there.
    #[must_use]
    pub fn may_have(&self, mark: Mark) -> bool {
        let wanted = STANDARD_NO_PAD.encode(mark);
        let mut marks = self.0.as_bytes().chunks(4);
        marks.any(|own| own == wanted.as_bytes())
    }
}

/// What a reader wants of a block; a column of which it wants no value in particular has none here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The mark of the only actor that is wanted.
    pub actor: Option<Mark>,
    /// The mark of the only section that is wanted.
    pub section: Option<Mark>,
    /// The mark of the only type that is wanted.
    pub type_name: Option<Mark>,
    /// The mark of the only sensor that is wanted.
    pub sensor: Option<Mark>,
    /// The first instant of received-at, and the first after it.
    pub received: Option<(Millis, Millis)>,
    /// The first instant of event time, and the first after it.
    pub happened: Option<(Millis, Millis)>,
    /// Whether rejected events alone are wanted.
    pub rejected: bool,
}

impl Wanted {
    /// Whether some chunks of a block may have nothing of it: then its index is worth a request.
    #[must_use]
    pub const fn is_selective(&self) -> bool {
        let columns = self.actor.is_some() || self.section.is_some() || self.type_name.is_some();
        columns || self.sensor.is_some() || self.happened.is_some() || self.rejected
    }

    /// Whether a chunk may have something of it.
    #[must_use]
    pub fn may_lie_in(&self, chunk: &Chunk) -> bool {
        let passes = |mark: Option<Mark>, marks: &Marks| mark.is_none_or(|m| marks.may_have(m));
        let meets = |range: Option<(Millis, Millis)>, (first, last): (Millis, Millis)| {
            range.is_none_or(|(from, to)| first < to && from <= last)
        };
        meets(self.received, chunk.received)
            && meets(self.happened, chunk.happened)
            && (!self.rejected || chunk.rejected > 0)
            && passes(self.actor, &chunk.actors)
            && passes(self.section, &chunk.sections)
            && passes(self.type_name, &chunk.types)
            && passes(self.sensor, &chunk.sensors)
    }
}

impl IndexPlace {
    /// First byte of the index's frame in the object, and its length.
    #[must_use]
    pub const fn index_range(&self, block: &Block) -> (u64, u64) {
        let end = block.offset + block.bytes;
        (end.saturating_sub(self.bytes), self.bytes)
    }

    /// First byte of the filter's frame in the object, and its length.
    #[must_use]
    pub const fn filter_range(&self, block: &Block) -> (u64, u64) {
        let (end, _) = self.index_range(block);
        (end.saturating_sub(self.filter_bytes), self.filter_bytes)
    }

    /// Gives the filter that lies in its frame.
    ///
    /// # Errors
    /// When the bytes are not those that the block's item names.
    pub fn open_filter<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], BlockError> {
        content(bytes, &self.filter_sha256, FILTER_MAGIC)
    }

    /// Reads the index that lies in its frame.
    ///
    /// # Errors
    /// When the bytes are not those that the block's item names, or no index.
    pub fn open_index(&self, bytes: &[u8]) -> Result<BlockIndex, BlockError> {
        let compressed = content(bytes, &self.sha256, INDEX_MAGIC)?;
        let json = decompress(compressed, INDEX_BYTES_MAX)?;
        let index: BlockIndex =
            serde_json::from_slice(&json).map_err(|e| BlockError::Index(e.to_string()))?;
        match index.vernier_block {
            BLOCK_VERSION => Ok(index),
            other => Err(BlockError::Index(format!("version {other}"))),
        }
    }
}

impl Chunk {
    /// Decompresses the chunk's lines.
    ///
    /// # Errors
    /// When the bytes are not those that the index names, or do not decompress.
    pub fn open(&self, bytes: &[u8]) -> Result<Vec<u8>, BlockError> {
        if Fingerprint::of(bytes).hex() != self.sha256 {
            return Err(BlockError::Changed);
        }
        decompress(
            bytes,
            usize::try_from(self.lines_bytes).unwrap_or(usize::MAX),
        )
    }
}

/// What a skippable frame holds, after a look at the frame's hash.
fn content<'b>(frame: &'b [u8], sha256: &str, magic: u32) -> Result<&'b [u8], BlockError> {
    if Fingerprint::of(frame).hex() != sha256 {
        return Err(BlockError::Changed);
    }
    let begins = frame.starts_with(&magic.to_le_bytes());
    let content = frame.get(SKIPPABLE_HEAD_BYTES..).filter(|_| begins);
    content.ok_or_else(|| BlockError::Index("not the frame of one".to_owned()))
}

pub(crate) fn skippable(magic: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(SKIPPABLE_HEAD_BYTES + content.len());
    frame.extend_from_slice(&magic.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(content);
    frame
}

#[cfg(test)]
mod tests;
