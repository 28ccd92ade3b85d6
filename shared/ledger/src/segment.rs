//! Segments: the live store. One object per committed batch, one zstd block per tenant in it.
//!
//! `zstd -dc` of a whole object gives all its lines; a block alone gives one tenant's, and the frames that it
//! consists of those of five minutes of received-at each. The segment record, written in the transaction that moves the cursor, is what makes an object
//! part of the ledger; an object that no record names is garbage.

use crate::digest::Fingerprint;
use crate::frame::{Frame, Tally};
use crate::ids::{ReceiptId, Sequence, Shard, TenantId};
use crate::limits;
use crate::line::{self, BadLine, LineHead};
use crate::time::{Millis, Minute, Slice, Window};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use zstd::bulk::Decompressor;

/// Version of the segment record's JSON.
pub const SEGMENT_VERSION: u32 = 1;

/// Compression level of blocks, which are read more often than frames and stay.
const ZSTD_LEVEL: i32 = 3;

/// One minute's events in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinuteTally {
    /// The minute of received-at.
    pub minute: Minute,
    /// Its events.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One tenant's part of a segment object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Whose.
    pub tenant: TenantId,
    /// First byte in the object.
    pub offset: u64,
    /// Compressed length, bytes.
    pub bytes: u64,
    /// Length before compression, bytes.
    pub lines_bytes: u64,
    /// SHA-256 of the compressed block, hexadecimal.
    pub sha256: String,
    /// Latest received-at in it.
    pub received_through: Millis,
    /// Counts and digests by minute.
    pub minutes: Vec<MinuteTally>,
}

impl Block {
    /// What it holds of a window.
    #[must_use]
    pub fn tally_in(&self, window: Window) -> Tally {
        let mut sum = Tally::default();
        for minute in self
            .minutes
            .iter()
            .filter(|m| window.contains(m.minute.start()))
        {
            sum.merge(&minute.tally);
        }
        sum
    }

    /// Whether it holds anything received in `[from, to)`, to the minute.
    #[must_use]
    pub fn touches(&self, from: Millis, to: Millis) -> bool {
        self.minutes
            .iter()
            .any(|m| m.minute.start() < to && Minute(m.minute.0 + 1).start() > from)
    }
}

/// The stored side of a window, by what a tenant's blocks say of their minutes.
#[must_use]
pub fn stored_in<'b>(window: Window, blocks: impl IntoIterator<Item = &'b Block>) -> Tally {
    let mut stored = Tally::default();
    for block in blocks {
        stored.merge(&block.tally_in(window));
    }
    stored
}

/// What one committed batch says of itself. Records of a shard form a chain: each names the hash
/// of the one before, the cursor holds the last, so that a dropped or changed record shows even
/// before its window is sealed (invariant 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// [`SEGMENT_VERSION`].
    pub vernier_segment: u32,
    /// The shard.
    pub shard: Shard,
    /// First sequence number that the batch took.
    pub first: Sequence,
    /// Last sequence number that the batch took; the cursor's new place.
    pub last: Sequence,
    /// When it was committed, by the committing function's clock.
    pub committed_at: Millis,
    /// Place in the shard's chain, from 0.
    pub position: u64,
    /// Hash of the record before, hexadecimal; none for the first.
    pub previous: Option<String>,
    /// The object; none when the batch held only copies or undecodable records.
    pub object: Option<String>,
    /// One per tenant.
    pub blocks: Vec<Block>,
    /// Records of the batch that were copies of claimed frames.
    pub copies: u32,
    /// Records of the batch that went to quarantine.
    pub quarantined: u32,
    /// Whether the commit wrote the blocks' items as well ([`crate::block_item`]): those of earlier versions did not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
}

impl SegmentRecord {
    /// The bytes that are stored and hashed.
    ///
    /// # Panics
    /// Never: the record is plain data with string keys.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data with string keys serialises")
    }

    /// SHA-256 of [`Self::to_json`], hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        Fingerprint::of(self.to_json().as_bytes()).hex()
    }

    /// The tenant's block, if it has one.
    #[must_use]
    pub fn block(&self, tenant: &TenantId) -> Option<&Block> {
        self.blocks.iter().find(|b| &b.tenant == tenant)
    }
}

/// Object bytes and their blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentObject {
    /// Key in the bucket.
    pub key: String,
    /// The object.
    pub bytes: Vec<u8>,
    /// Its blocks, one for each tenant.
    pub blocks: Vec<Block>,
    /// The same cut by slices of received-at, one for each tenant and [`Slice`]: each is a zstd frame, and a
    /// tenant's follow each other.
    pub slices: Vec<Block>,
}

/// Builds the object of a batch from its claimed frames; none when there are none.
///
/// The key ends in the content's hash: a retry that decided otherwise (a claim was taken by a
/// playback in the meantime) makes another object instead of finding the old one in its place.
///
/// # Errors
/// When zstd fails, which it does only without memory.
pub fn build(
    shard: &Shard,
    first: &Sequence,
    last: &Sequence,
    frames: &[&Frame],
) -> std::io::Result<Option<SegmentObject>> {
    let mut tenants: BTreeMap<&TenantId, BTreeMap<Slice, Vec<&Frame>>> = BTreeMap::new();
    for frame in frames {
        let slices = tenants.entry(&frame.header.tenant).or_default();
        let slice = Slice::containing(frame.header.receipt.minute());
        slices.entry(slice).or_default().push(frame);
    }
    let Some(oldest) = frames.iter().map(|f| f.header.receipt.received_at()).min() else {
        return Ok(None);
    };
    let mut object = SegmentObject {
        key: String::new(),
        bytes: Vec::new(),
        blocks: Vec::with_capacity(tenants.len()),
        slices: Vec::with_capacity(tenants.len()),
    };
    for (tenant, slices) in tenants {
        let (start, first) = (object.bytes.len(), object.slices.len());
        for frames in slices.values() {
            let (block, compressed) = build_block(tenant, frames, object.bytes.len() as u64)?;
            object.slices.push(block);
            object.bytes.extend_from_slice(&compressed);
        }
        let whole = joined(&object.slices[first..], &object.bytes[start..]);
        object.blocks.extend(whole);
    }
    let (date, hour) = oldest.date_and_hour();
    let hash = Fingerprint::of(&object.bytes).hex();
    object.key = format!(
        "segments/dt={date}/hour={hour}/{}/{}/{}-{}-{}.jsonl.zst",
        shard.stream,
        shard.id,
        first.padded(),
        last.padded(),
        &hash[..16],
    );
    Ok(Some(object))
}

/// A tenant's whole block of its slices, which follow each other in `bytes`; none of no slices.
fn joined(slices: &[Block], bytes: &[u8]) -> Option<Block> {
    let (first, rest) = slices.split_first()?;
    let mut whole = first.clone();
    for slice in rest {
        whole.bytes += slice.bytes;
        whole.lines_bytes += slice.lines_bytes;
        whole.received_through = whole.received_through.max(slice.received_through);
        whole.minutes.extend_from_slice(&slice.minutes);
    }
    if !rest.is_empty() {
        whole.sha256 = Fingerprint::of(bytes).hex();
    }
    Some(whole)
}

fn build_block(
    tenant: &TenantId,
    frames: &[&Frame],
    offset: u64,
) -> std::io::Result<(Block, Vec<u8>)> {
    let mut minutes: BTreeMap<Minute, Tally> = BTreeMap::new();
    let mut received_through = Millis(i64::MIN);
    let lines_bytes = frames.iter().map(|f| f.lines.len() as u64).sum();
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    // Told the length, zstd takes no larger tables than it needs: most blocks are small.
    encoder.set_pledged_src_size(Some(lines_bytes))?;
    for frame in frames {
        std::io::Write::write_all(&mut encoder, &frame.lines)?;
        let received_at = frame.header.receipt.received_at();
        received_through = received_through.max(received_at);
        minutes
            .entry(received_at.minute())
            .or_default()
            .merge(&frame.header.slice_tally);
    }
    let compressed = encoder.finish()?;
    let block = Block {
        tenant: tenant.clone(),
        offset,
        bytes: compressed.len() as u64,
        lines_bytes,
        sha256: Fingerprint::of(&compressed).hex(),
        received_through,
        minutes: minutes
            .into_iter()
            .map(|(minute, tally)| MinuteTally { minute, tally })
            .collect(),
    };
    Ok((block, compressed))
}

/// An upper bound of what a frame adds to its batch's segment record, bytes: a block for its
/// tenant (350 with a 63-byte name) and a minute in it (150).
pub const RECORD_BYTES_PER_FRAME_MAX: usize = 512;

/// Whether a batch with so many distinct (tenant, minute) pairs fits its segment record.
#[must_use]
pub const fn record_fits(pairs: usize) -> bool {
    1_024 + pairs * RECORD_BYTES_PER_FRAME_MAX <= limits::SEGMENT_RECORD_BYTES_MAX
}

/// Why a block could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bytes are not those that the record names.
    #[error("the block's SHA-256 is not its record's")]
    Changed,
    /// It does not decompress.
    #[error("does not decompress: {0}")]
    Compression(String),
    /// A line in it is damaged.
    #[error(transparent)]
    Line(#[from] BadLine),
}

thread_local! {
    /// One for all blocks: making one costs more than reading a small block.
    static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::default();
}

/// Decompresses a block after checking its hash.
///
/// # Errors
/// When the bytes are not the recorded ones or do not decompress.
pub fn open_block(block: &Block, bytes: &[u8]) -> Result<Vec<u8>, BlockError> {
    if Fingerprint::of(bytes).hex() != block.sha256 {
        return Err(BlockError::Changed);
    }
    let length = usize::try_from(block.lines_bytes).unwrap_or(usize::MAX);
    let lines = DECOMPRESSOR.with_borrow_mut(|d| d.decompress(bytes, length));
    lines.map_err(|e| BlockError::Compression(e.to_string()))
}

/// Calls `each` with every line of an open block: its head, and the event's bytes.
///
/// # Errors
/// The first damaged line, or what `each` answers.
pub fn for_each_line<E: From<BadLine>>(
    lines: &[u8],
    mut each: impl FnMut(LineHead<'_>, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut head = Vec::with_capacity(1_024);
    for text in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let event = line::split(text, &mut head)?;
        each(line::read_head(&head)?, event)?;
    }
    Ok(())
}

/// An event's place among all: the order in which "first" is decided.
pub type Place = (ReceiptId, u32);
