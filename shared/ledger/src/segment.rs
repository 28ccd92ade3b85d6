//! Segments: the live store. One object per batch, one zstd block per commit, tenant and five minutes of received-at,
//! in [`chunks`] where it is large.
//!
//! `zstd -dc` of a whole object gives all its lines; a block alone gives those of its tenant and time. The segment
//! record, written in the transaction that moves the cursor, is what makes an object part of the ledger; an object
//! that no record names is garbage. A batch that takes several commits has one object, which each of them names.

use crate::chunks::{self, BlockTimes, IndexPlace};
use crate::digest::Fingerprint;
use crate::frame::{Frame, Tally};
use crate::ids::{ReceiptId, Sequence, Shard, TenantId};
use crate::line::{self, BadLine, LineHead};
use crate::time::{Millis, Minute, Slice, Window};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use zstd::bulk::Decompressor;

/// Version of the segment record's JSON.
pub const SEGMENT_VERSION: u32 = 2;

/// One minute's events in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinuteTally {
    /// The minute of received-at.
    pub minute: Minute,
    /// Its events.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One tenant's part of a segment object: its events of five minutes of received-at in a commit.
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
    /// First and last instants of its events; none of a block by an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<BlockTimes>,
    /// Where its filter and index lie; none of a block in one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexPlace>,
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

/// A block item that a commit wrote, and its hash: whose it is and under which five minutes it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemHash {
    /// The tenant that has the item.
    pub tenant: TenantId,
    /// The first of the item's five minutes of received-at.
    pub minute: Minute,
    /// SHA-256 of the item, hexadecimal.
    pub sha256: String,
}

/// What one commit says of itself. Records of a shard form a chain: each names the hash of the one before, the cursor
/// holds the last, checkpoints say where it stood, so that a dropped or changed record shows even before its
/// window is sealed (invariant 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// [`SEGMENT_VERSION`].
    pub vernier_segment: u32,
    /// The shard.
    pub shard: Shard,
    /// First sequence number that the commit took.
    pub first: Sequence,
    /// Last sequence number that the commit took; the cursor's new place.
    pub last: Sequence,
    /// When it was committed, by the committing function's clock.
    pub committed_at: Millis,
    /// Place in the shard's chain, from 0.
    pub position: u64,
    /// Hash of the record before, hexadecimal; none for the first.
    pub previous: Option<String>,
    /// The object; none when the commit held only copies or undecodable records.
    pub object: Option<String>,
    /// The block items that were written with the record.
    pub items: Vec<ItemHash>,
    /// Records of the stream that were copies of claimed frames.
    pub copies: u32,
    /// Records of the stream that went to quarantine.
    pub quarantined: u32,
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

    /// Whether the commit took this sequence number.
    #[must_use]
    pub fn covers(&self, sequence: &Sequence) -> bool {
        self.first <= *sequence && *sequence <= self.last
    }
}

/// Which records of a shard an object's batch consisted of: the end of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRange {
    /// The shard of the batch.
    pub shard: Shard,
    /// First sequence number of the batch.
    pub first: Sequence,
    /// Last sequence number of the batch.
    pub last: Sequence,
}

impl SegmentRange {
    /// The range that a segment object's key names; none of a key of another form.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let mut parts = key.rsplit('/');
        let (name, id, stream) = (parts.next()?, parts.next()?, parts.next()?);
        let mut numbers = name.strip_suffix(".jsonl.zst")?.split('-');
        Some(Self {
            shard: Shard::new(stream, id).ok()?,
            first: numbers.next()?.parse().ok()?,
            last: numbers.next()?.parse().ok()?,
        })
    }
}

/// Object bytes and their blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentObject {
    /// Key in the bucket.
    pub key: String,
    /// The object.
    pub bytes: Vec<u8>,
    /// The blocks of each commit, in the order of the commits: one for each tenant and [`Slice`].
    pub blocks: Vec<Vec<Block>>,
}

/// Builds the object of a batch from the claimed frames of each of its commits; none when there are none at all. It
/// lies under the hour of `written_at`. A block's lines are cut into chunks of `chunk_bytes` before compression.
///
/// The key ends in the content's hash: a retry that decided otherwise (a claim was taken by a
/// playback in the meantime) makes another object instead of finding the old one in its place.
///
/// # Errors
/// When zstd fails, which it does only without memory.
pub fn build(
    range: &SegmentRange,
    written_at: Millis,
    commits: &[Vec<&Frame>],
    chunk_bytes: usize,
) -> std::io::Result<Option<SegmentObject>> {
    if commits.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let (mut bytes, mut blocks) = (Vec::new(), Vec::with_capacity(commits.len()));
    for frames in commits {
        let mut slices: BTreeMap<(&TenantId, Slice), Vec<&Frame>> = BTreeMap::new();
        for frame in frames {
            let slice = Slice::containing(frame.header.receipt.minute());
            let of_slice = slices.entry((&frame.header.tenant, slice)).or_default();
            of_slice.push(frame);
        }
        let mut of_commit = Vec::with_capacity(slices.len());
        for ((tenant, _), frames) in slices {
            let built = chunks::build(&frames, chunk_bytes)?;
            let minutes = minutes_of(&frames);
            let received = frames.iter().map(|f| f.header.receipt.received_at());
            of_commit.push(Block {
                tenant: tenant.clone(),
                offset: bytes.len() as u64,
                bytes: built.bytes.len() as u64,
                lines_bytes: frames.iter().map(|f| f.lines.len() as u64).sum(),
                sha256: Fingerprint::of(&built.bytes).hex(),
                received_through: received.max().unwrap_or(Millis(i64::MIN)),
                minutes,
                times: built.times,
                index: built.index,
            });
            bytes.extend_from_slice(&built.bytes);
        }
        blocks.push(of_commit);
    }
    let (date, hour) = written_at.date_and_hour();
    let SegmentRange { shard, first, last } = range;
    let (first, last) = (first.padded(), last.padded());
    let hash = Fingerprint::of(&bytes).hex();
    let key = format!(
        "segments/dt={date}/hour={hour}/{}/{}/{first}-{last}-{}.jsonl.zst",
        shard.stream,
        shard.id,
        &hash[..16],
    );
    Ok(Some(SegmentObject { key, bytes, blocks }))
}

fn minutes_of(frames: &[&Frame]) -> Vec<MinuteTally> {
    let mut minutes: BTreeMap<Minute, Tally> = BTreeMap::new();
    for frame in frames {
        let minute = frame.header.receipt.minute();
        let tally = minutes.entry(minute).or_default();
        tally.merge(&frame.header.slice_tally);
    }
    let tallies = minutes.into_iter();
    tallies
        .map(|(minute, tally)| MinuteTally { minute, tally })
        .collect()
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
    /// Its index or its filter is none.
    #[error("its index cannot be read: {0}")]
    Index(String),
    /// A line in it is damaged.
    #[error(transparent)]
    Line(#[from] BadLine),
}

thread_local! {
    /// One for all blocks: making one costs more than reading a small block.
    static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::default();
}

/// Decompresses a block after checking its hash. Lines of one in chunks come in the order of these.
///
/// # Errors
/// When the bytes are not the recorded ones or do not decompress.
pub fn open_block(block: &Block, bytes: &[u8]) -> Result<Vec<u8>, BlockError> {
    if Fingerprint::of(bytes).hex() != block.sha256 {
        return Err(BlockError::Changed);
    }
    let length = usize::try_from(block.lines_bytes).unwrap_or(usize::MAX);
    decompress(bytes, length)
}

/// Decompresses zstd frames that hold at most so many bytes together; skippable ones hold none.
pub(crate) fn decompress(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, BlockError> {
    let content = DECOMPRESSOR.with_borrow_mut(|d| d.decompress(bytes, bytes_max));
    content.map_err(|e| BlockError::Compression(e.to_string()))
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
