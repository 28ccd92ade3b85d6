//! Receipts and claims: two halves of one item, written by different functions in either order.
//!
//! The input function writes the acknowledgement after the frames are on the stream; the stream
//! function claims each frame as it meets it, possibly before the acknowledgement is there. An
//! item with claims and no acknowledgement is an envelope whose sender got no answer.

use crate::frame::{FrameHeader, Tally};
use crate::ids::{ReceiptId, Sequence, Shard, TenantId};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a frame was put.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Its shard.
    pub shard: Shard,
    /// Its sequence number in the shard.
    pub sequence: Sequence,
}

/// What the input function vouches for with a 2xx (invariant 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The receipt's id.
    pub receipt: ReceiptId,
    /// Whose.
    pub tenant: TenantId,
    /// Which sensor sent it.
    pub sensor: String,
    /// SHA-256 of the body after decompression.
    pub body_sha256: [u8; 32],
    /// Length of the body after decompression.
    pub body_bytes: u64,
    /// The envelope's events.
    pub tally: Tally,
    /// Where each slice went, in order.
    pub placed: Vec<Origin>,
    /// When the item may expire.
    pub expires: Millis,
}

/// A stream function's claim on one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which record of which shard carries it.
    pub origin: Origin,
    /// 0 as sent; higher for a playback.
    pub attempt: u32,
    /// The slice's events.
    pub tally: Tally,
}

/// What a claim needs to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest<'f> {
    /// The frame's header.
    pub header: &'f FrameHeader,
    /// The record that carries it.
    pub origin: &'f Origin,
    /// When the item may expire.
    pub expires: Millis,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The frame is this record's: new, or claimed by a try that crashed before its commit.
    Mine,
    /// Another record carries the same frame; this one is a copy.
    Copy,
}

/// Both halves as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: ReceiptId,
    /// Which sensor sent it.
    pub sensor: String,
    /// The acknowledged events and how many slices they travel in; nothing when the sender got
    /// no answer.
    pub acknowledged: Option<(Tally, u32)>,
    /// SHA-256 of the body after decompression, hexadecimal.
    pub body_sha256: Option<String>,
    /// Length of the body after decompression; none where nothing was acknowledged, or before it was kept.
    pub body_bytes: Option<u64>,
    /// Where each slice of an acknowledged envelope was put, in order: shard and sequence number.
    pub placed: Vec<(String, Sequence)>,
    /// Claims by slice.
    pub claims: BTreeMap<u32, Claim>,
}

impl Receipt {
    /// The received side of the account: what was acknowledged; for an envelope without an
    /// answer, the slices that reached the stream function.
    #[must_use]
    pub fn received(&self) -> Tally {
        if let Some((tally, _)) = self.acknowledged {
            return tally;
        }
        let mut sum = Tally::default();
        for claim in self.claims.values() {
            sum.merge(&claim.tally);
        }
        sum
    }

    /// Slices that must be stored: all of an acknowledged envelope's, else those that were seen.
    pub fn expected_slices(&self) -> impl Iterator<Item = u32> + '_ {
        let acknowledged = self.acknowledged.map_or(0, |(_, slices)| slices);
        let seen_only = self
            .claims
            .keys()
            .copied()
            .filter(move |s| *s >= acknowledged);
        (0..acknowledged).chain(seen_only)
    }
}
