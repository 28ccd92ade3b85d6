//! What the stores hold of a stream, read back through the ports and judged from that alone.

use crate::trigger::{Answer, Invocation, Mapping, SimStream, Trigger, drive, in_process};
use std::collections::BTreeMap;
use vernier_fakes::{MemoryBucket, MemoryTable};
use vernier_ledger::digest::{BlindFingerprint, Fingerprint};
use vernier_ledger::disposition::{DispositionCounts, Dispositions};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::{ReceiptId, Sequence, Shard};
use vernier_ledger::line;
use vernier_ledger::ports::{Blocks, Commits, Objects};
use vernier_ledger::segment::{Block, Place, SegmentRecord, open_block};

/// Everything that is stored of a stream.
#[derive(Debug, Default)]
pub struct Stored {
    /// SHA-256 of each stored line by the event's place.
    pub lines: BTreeMap<Place, Fingerprint>,
    /// Counts and digests by receipt, summed from the lines.
    pub tallies: BTreeMap<ReceiptId, Tally>,
    /// How the events ended.
    pub dispositions: DispositionCounts,
    /// Segment records.
    pub segments: usize,
    /// Records of the stream whose frame another record had claimed.
    pub copies: u64,
    /// Records of the stream that went to quarantine.
    pub quarantined: u64,
}

impl Stored {
    /// Reads all segments that were committed for some shards.
    ///
    /// # Panics
    /// When a store does not answer; when a chain is broken or ranges overlap (invariants 4 and 6);
    /// when a record does not count its lines (3); when a place is stored twice (2).
    pub async fn read<T: Commits + Blocks, O: Objects>(
        table: &T,
        objects: &O,
        shards: &[Shard],
    ) -> Self {
        let records = all_records(table, shards).await;
        check_chains(&records);
        let mut stored = Self::default();
        let mut blocks = Vec::new();
        for record in &records {
            stored.segments += 1;
            stored.copies += u64::from(record.copies);
            stored.quarantined += u64::from(record.quarantined);
            let items = table.record_items(record).await.expect("the table answers");
            for (named, item) in record.items.iter().zip(items) {
                let item = item.expect("invariant 6: what a record names is there");
                assert_eq!(item.hash().as_ref(), Some(named), "invariant 6");
                let block = item.block;
                let range = Some((block.offset, block.bytes));
                let bytes = objects.get(&item.object, range).await;
                let bytes = bytes.expect("the bucket answers");
                let bytes = bytes.expect("invariant 4: a committed object is there");
                let text = open_block(&block, &bytes).expect("sound");
                let mut said = Tally::default();
                block.minutes.iter().for_each(|m| said.merge(&m.tally));
                assert_eq!(
                    stored.add(&text),
                    said,
                    "invariant 3: an item counts its lines"
                );
                blocks.push((block, bytes));
            }
        }
        stored.dispositions = dispositions(&blocks);
        stored
    }

    /// Adds the lines of a block; gives back their tally.
    fn add(&mut self, text: &[u8]) -> Tally {
        let mut sum = Tally::default();
        let mut scratch = Vec::new();
        for text in lines_of(text) {
            let event = line::split(text, &mut scratch).expect("a line");
            let head = line::read_head(&scratch).expect("a head");
            let fingerprint = match &head.event_ref {
                None => Fingerprint::of(event),
                Some(_) => Fingerprint::from_hex(&head.fingerprint).expect("a fingerprint"),
            };
            assert_eq!(
                fingerprint.hex(),
                head.fingerprint,
                "the event is the recorded one"
            );
            let blind = BlindFingerprint::of(head.salt(), &fingerprint);
            let before = self
                .lines
                .insert((head.receipt, head.index), Fingerprint::of(text));
            assert!(
                before.is_none(),
                "invariant 2: {} {} is stored twice",
                head.receipt,
                head.index
            );
            for tally in [&mut sum, self.tallies.entry(head.receipt).or_default()] {
                tally.add_event(head.receipt, head.index, &blind, head.verdict);
            }
        }
        sum
    }
}

fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty())
}

fn dispositions(blocks: &[(Block, Vec<u8>)]) -> DispositionCounts {
    let (mut known, mut counts) = (Dispositions::default(), DispositionCounts::default());
    let mut scratch = Vec::new();
    let mut each = |of: &mut dyn FnMut(&line::LineHead<'_>)| {
        for (block, bytes) in blocks {
            for text in lines_of(&open_block(block, bytes).expect("sound")) {
                line::split(text, &mut scratch).expect("a line");
                of(&line::read_head(&scratch).expect("a head"));
            }
        }
    };
    each(&mut |head| known.show(head));
    each(&mut |head| counts.add(known.of(head)));
    counts
}

/// Every record of some shards, by shard and in the order of its chain.
///
/// # Panics
/// When the table does not answer.
pub async fn all_records<T: Commits>(table: &T, shards: &[Shard]) -> Vec<SegmentRecord> {
    let mut all: Vec<SegmentRecord> = Vec::new();
    for shard in shards {
        let (mut from, mut seen) = (Sequence::smallest(), None);
        loop {
            let page = table.records_from(shard, &from, 100).await;
            let mut page = page.expect("the table answers");
            page.retain(|record| Some(&record.last) != seen.as_ref());
            let Some(last) = page.last().map(|record| record.last.clone()) else {
                break;
            };
            all.extend(page);
            (from, seen) = (last.clone(), Some(last));
        }
    }
    all
}

/// Each shard's records form one chain over ranges that do not overlap.
fn check_chains(records: &[SegmentRecord]) {
    let mut by_shard: BTreeMap<&Shard, Vec<&SegmentRecord>> = BTreeMap::new();
    for record in records {
        by_shard.entry(&record.shard).or_default().push(record);
    }
    for (shard, mut chain) in by_shard {
        chain.sort_by_key(|r| r.position);
        let mut before: Option<(&Sequence, String)> = None;
        for (position, record) in (0..).zip(chain) {
            assert_eq!(
                record.position, position,
                "invariant 6: {shard} has every link"
            );
            let hash = before.as_ref().map(|(_, hash)| hash);
            assert_eq!(
                record.previous.as_ref(),
                hash,
                "invariant 6: {shard}'s chain holds"
            );
            let follows = before
                .as_ref()
                .is_none_or(|(last, _)| **last < record.first);
            assert!(follows, "invariant 4: {shard}'s ranges do not overlap");
            before = Some((&record.last, record.hash()));
        }
    }
}

/// What a straight single pass over the stream stores, and the table it wrote: every record once, in
/// order, nothing fails.
/// Where several passes over the same records must agree, this is what they are held against.
///
/// # Panics
/// When the handler fails.
pub async fn straight_pass(stream: &SimStream) -> (Stored, MemoryTable) {
    let (table, bucket) = (MemoryTable::default(), MemoryBucket::default());
    let context = in_process::context(table.clone(), bucket.clone());
    let mapping = Mapping {
        batch_size: 1_000,
        ..Mapping::default()
    };
    let mut trigger = Trigger::new(stream.clone(), mapping);
    let function = async |invocation: &Invocation| {
        let answer = in_process::invoke(&context, invocation).await;
        assert_ne!(answer, Answer::FunctionError, "nothing fails here");
        answer
    };
    drive::run(&mut trigger, function, |_| {}).await;
    let shards = stream.shards();
    (Stored::read(&table, &bucket, &shards).await, table)
}
