//! The parts of one commit step.

use crate::{Record, Undecodable};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::frame::{self, Frame};
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::limits;
use vernier_ledger::ports::{Cursor, Objects, PortError, Receipts};
use vernier_ledger::quarantine::keep_record;
use vernier_ledger::receipt::{ClaimOutcome, ClaimRequest, Origin};
use vernier_ledger::segment::{
    self, Block, SEGMENT_VERSION, SegmentObject, SegmentRange, SegmentRecord,
};
use vernier_ledger::time::{Millis, Slice};

/// What one transaction commits of the batch, decoded.
pub(crate) struct Step {
    /// How many records it takes.
    pub(crate) taken: usize,
    pub(crate) first: Sequence,
    pub(crate) last: Sequence,
    pub(crate) frames: Vec<(Sequence, Frame)>,
    pub(crate) undecodable: Vec<Undecodable>,
    /// How far receipt and arrival of a frame are apart at most, milliseconds.
    pub(crate) skew_millis_max: Option<u64>,
}

impl Step {
    fn beginning(record: &Record) -> Self {
        Self {
            taken: 0,
            first: record.sequence.clone(),
            last: record.sequence.clone(),
            frames: Vec::new(),
            undecodable: Vec::new(),
            skew_millis_max: None,
        }
    }
}

/// Decodes the longest prefix that stays within a function's memory, at least one record, in steps that stay within a
/// transaction's items (invariant 8). `records` is not empty.
pub(crate) fn take(records: &[Record]) -> Vec<Step> {
    let mut steps = vec![Step::beginning(&records[0])];
    let (mut bytes, mut slices) = (0, BTreeSet::new());
    for (nth, record) in records.iter().enumerate() {
        let decoded = frame::decode(&record.data);
        if let Ok(frame) = &decoded {
            bytes += frame.lines.len();
            if nth > 0 && bytes > limits::STEP_LINES_BYTES_MAX {
                break;
            }
            let slice = Slice::containing(frame.header.receipt.minute());
            slices.insert((frame.header.tenant.clone(), slice));
            if slices.len() > limits::COMMIT_BLOCKS_MAX {
                slices = BTreeSet::from([(frame.header.tenant.clone(), slice)]);
                steps.push(Step::beginning(record));
            }
        }
        let Some(step) = steps.last_mut() else { break };
        match decoded {
            Ok(frame) => {
                step.skew_millis_max = step.skew_millis_max.max(skew_millis(record, &frame));
                step.frames.push((record.sequence.clone(), frame));
            }
            Err(error) => step.undecodable.push(Undecodable {
                record: record.clone(),
                error,
            }),
        }
        step.taken += 1;
        step.last = record.sequence.clone();
    }
    steps
}

/// How far a frame's receipt, by input's clock, and its arrival, by the stream's, are apart. One that was brought back
/// arrives long after its receipt, and says nothing of clocks.
fn skew_millis(record: &Record, frame: &Frame) -> Option<u64> {
    let arrived_at = record.arrived_at.filter(|_| frame.header.attempt == 0)?;
    let received_at = frame.header.receipt.received_at();
    Some(arrived_at.0.abs_diff(received_at.0))
}

/// Keeps undecodable records raw, with their reason (invariant 5).
pub(crate) async fn quarantine<O: Objects>(
    objects: &O,
    shard: &Shard,
    undecodable: &[Undecodable],
    now: Millis,
) -> Result<(), PortError> {
    for Undecodable { record, error } in undecodable {
        keep_record(objects, shard, &record.sequence, &record.data, error, now).await?;
    }
    Ok(())
}

/// Claims every frame; gives back those that are this batch's, in order.
pub(crate) async fn claim<'s, R: Receipts>(
    receipts: &R,
    shard: &Shard,
    frames: &'s [(Sequence, Frame)],
    expires: Millis,
) -> Result<Vec<&'s Frame>, PortError> {
    let claimed: Vec<Option<&Frame>> = stream::iter(frames)
        .map(|(sequence, frame)| async move {
            let origin = Origin {
                shard: shard.clone(),
                sequence: sequence.clone(),
            };
            let request = ClaimRequest {
                header: &frame.header,
                origin: &origin,
                expires,
            };
            let outcome = receipts.claim(request).await?;
            // What one receipt went through, where the log's filter asks for it.
            tracing::debug!(
                receipt = %frame.header.receipt,
                tenant = %frame.header.tenant,
                shard = shard.id,
                sequence = sequence.as_str(),
                ?outcome,
                "frame claimed"
            );
            Ok::<_, PortError>((outcome == ClaimOutcome::Mine).then_some(frame))
        })
        .buffered(limits::CLAIMS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok(claimed.into_iter().flatten().collect())
}

/// When the first of these frames was received.
pub(crate) fn oldest(claimed: &[&Frame]) -> Option<Millis> {
    let received = claimed.iter().map(|f| f.header.receipt.received_at());
    received.min()
}

/// What lies in the bucket of some steps: nothing when nothing was claimed.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The key of the object; none where nothing was claimed.
    pub(crate) object: Option<String>,
    /// The blocks of each step, in the steps' order.
    blocks: Vec<Vec<Block>>,
}

/// Builds the one object of all steps: `claimed` are the frames of each that are this batch's; none where there are none.
pub(crate) fn build(
    shard: &Shard,
    steps: &[Step],
    claimed: &[Vec<&Frame>],
    chunk_bytes: usize,
    now: Millis,
) -> Result<Option<SegmentObject>, PortError> {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else {
        return Ok(None);
    };
    let range = SegmentRange {
        shard: shard.clone(),
        first: first.first.clone(),
        last: last.last.clone(),
    };
    segment::build(&range, now, claimed, chunk_bytes)
        .map_err(|e| PortError::Fatal(format!("segment: {e}")))
}

/// Writes the object of all steps, if there is one.
pub(crate) async fn write<O: Objects>(
    objects: &O,
    built: Option<SegmentObject>,
) -> Result<Written, PortError> {
    let Some(built) = built else {
        return Ok(Written::default());
    };
    // The key ends in the content's hash: an object in its place is the same object.
    objects.put_new(&built.key, built.bytes, None).await?;
    Ok(Written {
        object: Some(built.key),
        blocks: built.blocks,
    })
}

/// What will commit a step.
pub(crate) struct StepCommit {
    pub(crate) record: SegmentRecord,
    /// The items of the record's blocks.
    pub(crate) items: Vec<BlockItem>,
}

impl Written {
    /// The record that will commit a step, the nth of those that were written, with the items of its blocks.
    pub(crate) fn commit(
        &mut self,
        nth: usize,
        step: &Step,
        claimed: usize,
        shard: &Shard,
        cursor: &Cursor,
        committed_at: Millis,
    ) -> StepCommit {
        let blocks = self.blocks.get_mut(nth).map(std::mem::take);
        let blocks = blocks.unwrap_or_default();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut record = SegmentRecord {
            vernier_segment: SEGMENT_VERSION,
            shard: shard.clone(),
            first: step.first.clone(),
            last: step.last.clone(),
            committed_at,
            position: cursor.next_position,
            previous: cursor.last_hash.clone(),
            object: self.object.clone().filter(|_| !blocks.is_empty()),
            items: Vec::new(),
            copies: count(step.frames.len() - claimed),
            quarantined: count(step.undecodable.len()),
        };
        let items = BlockItem::of(&record, blocks);
        record.items = items.iter().filter_map(BlockItem::hash).collect();
        StepCommit { record, items }
    }
}
