//! Sending frames through again without storing any of them twice (invariant 4).
//!
//! A frame may be played back only when no segment holds it and none ever will. Three steps make
//! that certain, in this order and each durable before the next:
//!
//! 1. [`fence`] moves the shard's cursor behind the records that the trigger gave up, so that no
//!    late try can commit them any more;
//! 2. each frame is claimed for its own record, so that no copy of it can be claimed at the same
//!    attempt from here on;
//! 3. whose the claim is, where that record's shard stands, and which records are committed is read
//!    ([`standing`]); a frame that is lost goes onto the stream with a higher attempt ([`raised`]).
//!
//! [`bring_back`] is all three for one batch.

use crate::account::Coverage;
use crate::block_item::Listing;
use crate::committed::{Places, coverage_of};
use crate::frame::{self, Frame, FrameError};
use crate::ids::{ReceiptId, Sequence, Shard, TenantId};
use crate::ports::{CommitOutcome, Commits, Cursor, FrameStream, NewRecord, PortError, Receipts};
use crate::receipt::{Claim, ClaimOutcome, ClaimRequest, Origin};
use crate::segment::{SEGMENT_VERSION, SegmentRecord};
use crate::stores::IntakeStores;
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// How often [`fence`] meets a cursor that moved before it leaves the rest to the next run.
const FENCE_TRIES_MAX: u32 = 8;

/// How a claimed slice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A segment holds it.
    Stored,
    /// The record that claimed it may still be committed: leave it alone.
    Pending,
    /// No segment holds it and none will: play it back over this attempt.
    Lost {
        /// The claim's.
        attempt: u32,
    },
}

/// How a slice stands by its claim, the cursor of the claim's shard **read after the claim**, and
/// the committed records **read after the cursor**: in that order nothing can be committed between
/// the reads and missed.
#[must_use]
pub fn standing(claim: &Claim, cursor: &Cursor, committed: &Coverage) -> Standing {
    let Origin { shard, sequence } = &claim.origin;
    if committed.contains(shard, sequence) {
        Standing::Stored
    } else if cursor.sequence.as_ref().is_some_and(|c| c >= sequence) {
        Standing::Lost {
            attempt: claim.attempt,
        }
    } else {
        Standing::Pending
    }
}

/// The same frame with a higher attempt than the one it is played back over.
///
/// # Errors
/// When the header no longer fits into its budget.
pub fn raised(frame: &Frame, over: u32) -> Result<Vec<u8>, FrameError> {
    let mut header = frame.header.clone();
    header.attempt = over.saturating_add(1);
    frame::encode(&header, &frame.lines)
}

/// Moves a shard's cursor behind a batch, unless it stands there, by a record that holds nothing: no
/// try that still has one of these records can commit it afterwards. Only for what the trigger will
/// not deliver again: the stream function drops it from here on.
///
/// # Errors
/// The store's; retryable when the cursor kept moving.
pub async fn fence<C: Commits>(
    commits: &C,
    shard: &Shard,
    batch: &[(Sequence, NewRecord)],
    now: Millis,
) -> Result<(), PortError> {
    for _ in 0..FENCE_TRIES_MAX {
        let cursor = commits.cursor(shard).await?;
        let done = cursor.sequence.as_ref();
        let mut open = batch
            .iter()
            .map(|(s, _)| s)
            .filter(|s| done.is_none_or(|d| *s > d));
        let Some(first) = open.next() else {
            return Ok(());
        };
        let last = open.next_back().unwrap_or(first);
        let record = SegmentRecord {
            vernier_segment: SEGMENT_VERSION,
            shard: shard.clone(),
            first: first.clone(),
            last: last.clone(),
            committed_at: now,
            position: cursor.next_position,
            previous: cursor.last_hash.clone(),
            object: None,
            items: Vec::new(),
            copies: 0,
            quarantined: 0,
        };
        if commits.commit(&cursor, &record, &[]).await? == CommitOutcome::Committed {
            return Ok(());
        }
    }
    Err(PortError::Retryable("the cursor kept moving".into()))
}

/// What became of a batch that was to be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BroughtBack {
    /// Frames that a segment holds.
    pub stored: u64,
    /// Frames that another record may still bring.
    pub pending: u64,
    /// Frames that were put on the stream again.
    pub played_back: u64,
    /// Events in those.
    pub events_played_back: u64,
    /// Records that are no frames, put on the stream again as they were: the stream function
    /// quarantines them.
    pub undecodable: u64,
}

/// Brings back a batch that the trigger gave up, in its order: what no segment holds goes onto the stream again.
/// It may be called again with the same batch, also after it failed half-way or while it runs
/// elsewhere: what is played back twice is claimed once.
///
/// # Errors
/// The store's first error.
pub async fn bring_back<S: IntakeStores>(
    stores: &S,
    shard: &Shard,
    batch: &[(Sequence, NewRecord)],
    receipt_days: u32,
    clock: impl Fn() -> Millis,
) -> Result<BroughtBack, PortError> {
    let (table, stream) = (stores.table(), stores.stream());
    let mut outcome = BroughtBack::default();
    let mut again = Vec::new();
    let mut frames = Vec::new();
    for (sequence, record) in batch {
        match frame::decode(&record.data) {
            Ok(frame) => frames.push((sequence, record, frame)),
            Err(_) => {
                outcome.undecodable += 1;
                again.push(record.clone());
            }
        }
    }
    fence(table, shard, batch, clock()).await?;
    let expires = clock().plus_seconds(i64::from(receipt_days) * 86_400);
    let claims = claims_of(table, shard, &frames, expires).await?;
    let received = frames.iter().map(|f| f.2.header.receipt.received_at());
    let since = received.min().unwrap_or_default();
    let reached = Reached::by(table, claims.values(), since, &clock).await?;
    let mut seen = BTreeSet::new();
    for (_, record, frame) in &frames {
        let key = slice_of(frame);
        let Some(claim) = claims.get(&key).filter(|_| seen.insert(key)) else {
            continue;
        };
        match reached.standing(claim) {
            Standing::Stored => outcome.stored += 1,
            Standing::Pending => outcome.pending += 1,
            Standing::Lost { attempt } => {
                let data = raised(frame, attempt)
                    .map_err(|e| PortError::Fatal(format!("playback: {e}")))?;
                outcome.played_back += 1;
                outcome.events_played_back += frame.header.slice_tally.events;
                again.push(NewRecord {
                    partition_key: record.partition_key.clone(),
                    data,
                });
            }
        }
    }
    if !again.is_empty() {
        let placed = stream.append(&again).await;
        placed.into_iter().collect::<Result<Vec<Origin>, _>>()?;
    }
    Ok(outcome)
}

/// How far the shards of some claims are, and what of the claims is committed.
struct Reached<'c> {
    cursors: BTreeMap<&'c Shard, Cursor>,
    committed: Coverage,
}

impl<'c> Reached<'c> {
    /// Reads the cursors first: what they passed was committed before. Nothing that is
    /// claimed was received before `since`.
    async fn by<T: Commits + Listing>(
        table: &T,
        claims: impl Iterator<Item = &'c Claim>,
        since: Millis,
        clock: impl Fn() -> Millis,
    ) -> Result<Self, PortError> {
        let (mut places, mut cursors) = (Places::new(), BTreeMap::new());
        for Claim { origin, .. } in claims {
            let of_shard = places.entry(&origin.shard).or_default();
            of_shard.insert(&origin.sequence);
        }
        for shard in places.keys() {
            cursors.insert(*shard, table.cursor(shard).await?);
        }
        let committed = coverage_of(table, &places, since, clock()).await?;
        Ok(Self { cursors, committed })
    }

    fn standing(&self, claim: &Claim) -> Standing {
        let never = Cursor::default();
        let cursor = self.cursors.get(&claim.origin.shard).unwrap_or(&never);
        standing(claim, cursor, &self.committed)
    }
}

type SliceKey<'f> = (&'f TenantId, ReceiptId, u32);

fn slice_of(frame: &Frame) -> SliceKey<'_> {
    let header = &frame.header;
    (&header.tenant, header.receipt, header.slice)
}

/// Who holds the claim of each slice, after claiming what nobody had.
async fn claims_of<'f, T: Receipts>(
    table: &T,
    shard: &Shard,
    frames: &'f [(&Sequence, &NewRecord, Frame)],
    expires: Millis,
) -> Result<BTreeMap<SliceKey<'f>, Claim>, PortError> {
    let mut claims = BTreeMap::new();
    for (sequence, _, frame) in frames {
        let header = &frame.header;
        let origin = Origin {
            shard: shard.clone(),
            sequence: (*sequence).clone(),
        };
        let request = ClaimRequest {
            header,
            origin: &origin,
            expires,
        };
        let claim = match table.claim(request).await? {
            ClaimOutcome::Mine => Claim {
                origin,
                attempt: header.attempt,
                tally: header.slice_tally,
            },
            ClaimOutcome::Copy => {
                let receipt = table.receipt(&header.tenant, header.receipt).await?;
                let claim = receipt.and_then(|mut r| r.claims.remove(&header.slice));
                claim
                    .ok_or_else(|| PortError::Retryable("a claim that was there is gone".into()))?
            }
        };
        claims.insert(slice_of(frame), claim);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FRAME_VERSION, FrameHeader, Tally};

    fn shard() -> Shard {
        Shard::new("frames", "shardId-000000000000").expect("a shard")
    }

    fn sequence(n: u64) -> Sequence {
        n.to_string().parse().expect("digits")
    }

    fn claim(n: u64, attempt: u32) -> Claim {
        Claim {
            origin: Origin {
                shard: shard(),
                sequence: sequence(n),
            },
            attempt,
            tally: Tally::default(),
        }
    }

    fn cursor(n: Option<u64>) -> Cursor {
        Cursor {
            sequence: n.map(sequence),
            ..Cursor::default()
        }
    }

    #[test]
    fn a_slice_is_lost_only_when_the_cursor_passed_its_record_and_no_segment_holds_it() {
        let none = Coverage::default();
        assert_eq!(
            standing(&claim(5, 0), &cursor(None), &none),
            Standing::Pending
        );
        assert_eq!(
            standing(&claim(5, 0), &cursor(Some(4)), &none),
            Standing::Pending
        );
        assert_eq!(
            standing(&claim(5, 2), &cursor(Some(5)), &none),
            Standing::Lost { attempt: 2 }
        );
    }

    #[test]
    fn a_raised_frame_differs_in_its_attempt_alone() {
        let header = FrameHeader {
            vernier_frame: FRAME_VERSION,
            receipt: ReceiptId::from_parts(Millis(60_001), 3, [1; 8]),
            tenant: "school-7".parse().expect("a tenant"),
            sensor: "https://school.example/sensors/1".into(),
            slice: 0,
            slices: 1,
            attempt: 0,
            slice_tally: Tally::default(),
            envelope_tally: Tally::default(),
        };
        let bytes = frame::encode(&header, b"").expect("a frame");
        let frame = frame::decode(&bytes).expect("a frame");
        let again = frame::decode(&raised(&frame, 4).expect("a frame")).expect("a frame");
        assert_eq!(again.header.attempt, 5);
        let back = FrameHeader {
            attempt: 0,
            ..again.header
        };
        assert_eq!((back, again.lines), (frame.header, frame.lines));
    }
}
