//! How a claimed slice stands, and the fence that keeps late tries from committing.

use crate::account::Coverage;
use crate::committed::{Committed, Places, coverage_of};
use crate::frame::{self, Frame, FrameError};
use crate::ids::{ReceiptId, Sequence, Shard, TenantId};
use crate::live::{self, LiveBlock, ReadError};
use crate::ports::{Blocks as _, CommitOutcome, Commits, Cursor, NewRecord, PortError};
use crate::receipt::{Claim, Origin};
use crate::segment::{self, BlockError, SEGMENT_VERSION, SegmentRecord};
use crate::stores::Stores;
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
        /// How often the slice had been put on the stream again when it was claimed.
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

/// Lines of a tenant that a commit holds, by receipt and index.
type CommittedLines = BTreeSet<(ReceiptId, u32)>;

/// How far the shards of some claims are, and what of the claims is committed.
pub(super) struct Reached<'c, S> {
    stores: &'c S,
    cursors: BTreeMap<&'c Shard, Cursor>,
    committed: Committed,
    /// What selective commits hold, by shard, position and tenant, as far as it was asked for.
    lines: BTreeMap<(Shard, u64, TenantId), CommittedLines>,
}

impl<'c, S: Stores> Reached<'c, S> {
    /// Reads the cursors first: what they passed was committed before. Nothing that is
    /// claimed was received before `since`.
    pub(super) async fn by(
        stores: &'c S,
        claims: impl Iterator<Item = &'c Claim>,
        since: Millis,
        clock: impl Fn() -> Millis,
    ) -> Result<Self, PortError> {
        let table = stores.table();
        let (mut places, mut cursors) = (Places::new(), BTreeMap::new());
        for Claim { origin, .. } in claims {
            let of_shard = places.entry(&origin.shard).or_default();
            of_shard.insert(&origin.sequence);
        }
        for shard in places.keys() {
            cursors.insert(*shard, table.cursor(shard).await?);
        }
        let committed = coverage_of(table, &places, since, clock()).await?;
        Ok(Self {
            stores,
            cursors,
            committed,
            lines: BTreeMap::new(),
        })
    }

    /// How a frame stands by its claim. A commit that left out some of its records is asked for the frame's
    /// first line: its range alone does not say which it took.
    pub(super) async fn standing(
        &mut self,
        claim: &Claim,
        frame: &Frame,
    ) -> Result<Standing, PortError> {
        let never = Cursor::default();
        let cursor = self.cursors.get(&claim.origin.shard).unwrap_or(&never);
        let by_range = standing(claim, cursor, &self.committed.coverage);
        let (Standing::Stored, Some(record)) =
            (by_range, self.committed.selective_over(&claim.origin))
        else {
            return Ok(by_range);
        };
        let tenant = &frame.header.tenant;
        let key = (record.shard.clone(), record.position, tenant.clone());
        if !self.lines.contains_key(&key) {
            let lines = lines_of(self.stores, record, tenant).await?;
            self.lines.insert(key.clone(), lines);
        }
        let held = &self.lines[&key];
        let mut is_held = false;
        segment::for_each_line::<BlockError>(&frame.lines, |head, _| {
            is_held |= held.contains(&(head.receipt, head.index));
            Ok(())
        })
        .map_err(|e| PortError::Fatal(format!("playback: {e}")))?;
        Ok(match is_held || frame.lines.is_empty() {
            true => Standing::Stored,
            false => Standing::Lost {
                attempt: claim.attempt,
            },
        })
    }
}

/// The lines of a tenant that a commit holds.
async fn lines_of<S: Stores>(
    stores: &S,
    record: &SegmentRecord,
    tenant: &TenantId,
) -> Result<CommittedLines, PortError> {
    let items = stores.table().record_items(record).await?;
    let own = items
        .into_iter()
        .flatten()
        .filter(|item| item.block.tenant == *tenant);
    let mut lines = CommittedLines::new();
    for item in own {
        let block = vec![LiveBlock {
            object: item.object,
            block: item.block,
        }];
        let fetched = match live::fetch(stores.objects(), block).await {
            Ok(fetched) => fetched,
            Err(ReadError::Port(error)) => return Err(error),
            Err(error) => return Err(PortError::Fatal(error.to_string())),
        };
        for block in fetched {
            block.for_each_line(|head, _| {
                lines.insert((head.receipt, head.index));
            })?;
        }
    }
    Ok(lines)
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
