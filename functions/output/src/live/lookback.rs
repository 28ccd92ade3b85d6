//! How events of the live store ended: whether any of them was there before, which the filters of all blocks that were
//! committed since the look-back began are asked.

use super::pieces::{Piece, damaged, range_of};
use super::roll_ups::filters_of;
use crate::filter_memory::FilterMemory;
use crate::metered::Metered;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use vernier_ledger::chunks::id_key;
use vernier_ledger::disposition::Dispositions;
use vernier_ledger::id_filter::{self, BadFilter, IdKey};
use vernier_ledger::limits::{LIVE_READ_BYTES_MAX, READS_IN_FLIGHT_MAX, SEGMENTS_READ_MAX};
use vernier_ledger::line::{LineHead, Verdict, event_key};
use vernier_ledger::live::{LiveBlock, TextsWanted};
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::roll_up::{filter_in, make_filter};
use vernier_ledger::segment::BlockError;
use vernier_ledger::stores::Stores;

/// Compressed bytes of blocks that are read because an event of the answer may be there as well, bytes. Beyond it
/// the look-back ends, as it does for the filters beyond [`LIVE_READ_BYTES_MAX`].
const REPEATED_BYTES_MAX: u64 = LIVE_READ_BYTES_MAX / 2;

/// Lines whose dispositions are asked for.
pub(super) trait Lines {
    /// Calls `each` with every line: the number of its block, its head and its event.
    fn for_each(&self, each: &mut dyn FnMut(usize, &LineHead<'_>, &[u8])) -> Result<(), PortError>;
}

/// What is held of a block.
#[derive(Debug, Default)]
struct Held {
    /// The compressed block, where it was fetched as a whole and is kept.
    whole: Option<Arc<Vec<u8>>>,
    /// The block's filter, whose frame was checked against the hash that is known of it.
    filter: Option<Arc<[u8]>>,
}

/// The blocks in which first occurrences are looked for.
#[derive(Debug)]
pub(super) struct Lookback<'m> {
    /// The blocks since the look-back began, newest last.
    pub(super) blocks: Arc<[LiveBlock]>,
    held: Vec<Held>,
    memory: &'m FilterMemory,
    is_loaded: bool,
    /// Compressed bytes of the blocks that were opened since an event of an answer may be there as well.
    pub(super) opened_bytes: u64,
    /// What is known of all lines that were asked for, and of what may come before them.
    known: Dispositions,
    /// Identities of which the look-back has shown all that it has.
    settled: HashSet<IdKey>,
}

fn identity_of(head: &LineHead<'_>) -> IdKey {
    event_key(&head.kind, head.id.as_deref(), &head.fingerprint)
}

impl<'m> Lookback<'m> {
    pub(super) fn new(blocks: Vec<LiveBlock>, memory: &'m FilterMemory) -> Self {
        Self {
            memory,
            held: blocks.iter().map(|_| Held::default()).collect(),
            blocks: blocks.into(),
            is_loaded: false,
            opened_bytes: 0,
            known: Dispositions::default(),
            settled: HashSet::new(),
        }
    }

    /// Fetches a whole block, or gives the one that is held.
    pub(super) async fn whole<O: Objects>(
        &self,
        objects: &O,
        block: usize,
    ) -> Result<Arc<Vec<u8>>, PortError> {
        if let Some(bytes) = &self.held[block].whole {
            return Ok(Arc::clone(bytes));
        }
        let live = &self.blocks[block];
        let range = (live.block.offset, live.block.bytes);
        Ok(Arc::new(range_of(objects, live, range).await?))
    }

    /// Holds a block that was fetched whole and has no filter, so that it is not fetched twice.
    pub(super) fn keep(&mut self, piece: &Piece) {
        let has_filter = self.blocks[piece.block].block.index.is_some();
        if let Some(bytes) = piece.as_whole().filter(|_| !has_filter) {
            self.held[piece.block].whole = Some(Arc::clone(bytes));
        }
    }

    /// What is fetched to know the filter of a block.
    async fn fetch<O: Objects>(&self, objects: &O, block: usize) -> Result<Held, PortError> {
        let live = &self.blocks[block];
        let bad = |e: BlockError| damaged(live, &e);
        let Some(place) = &live.block.index else {
            let bytes = self.whole(objects, block).await?;
            let frame = make_filter(&live.block, &bytes).map_err(bad)?;
            return Ok(Held {
                whole: Some(bytes),
                filter: Some(filter_in(&frame).into()),
            });
        };
        let frame = range_of(objects, live, place.filter_range(&live.block)).await?;
        let filter = place.open_filter(&frame).map_err(bad)?;
        Ok(Held {
            whole: None,
            filter: Some(filter.into()),
        })
    }

    /// Reads the filters once, from the newest block back, as far as that is not too much: those that the process does not
    /// remember, rolled up where they are, else from the blocks.
    pub(super) async fn load<S: Stores>(
        &mut self,
        stores: &Metered<'_, S>,
    ) -> Result<(), PortError> {
        if self.is_loaded {
            return Ok(());
        }
        let mut bytes = 0;
        let newest = (0..self.blocks.len()).rev().take(SEGMENTS_READ_MAX);
        let mut numbers: Vec<usize> = newest
            .take_while(|number| {
                let block = &self.blocks[*number].block;
                bytes += block.index.as_ref().map_or(block.bytes, |i| i.filter_bytes);
                bytes <= LIVE_READ_BYTES_MAX
            })
            .collect();
        for number in &numbers {
            self.held[*number].filter = self.memory.get(&self.blocks[*number].block);
        }
        numbers.retain(|number| self.held[*number].filter.is_none());
        // Of a block that is there whole nothing is read.
        let away = numbers.iter().copied();
        let away: Vec<usize> = away.filter(|n| self.held[*n].whole.is_none()).collect();
        for (number, filter) in filters_of(stores, &self.blocks, &away).await {
            self.memory.put(&self.blocks[number].block, &filter);
            self.held[number].filter = Some(filter);
        }
        numbers.retain(|number| self.held[*number].filter.is_none());
        let fetched: Vec<(usize, Held)> = stream::iter(numbers)
            .map(async |number| Ok::<_, PortError>((number, self.fetch(stores, number).await?)))
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        for (number, held) in fetched {
            if let Some(filter) = &held.filter {
                self.memory.put(&self.blocks[number].block, filter);
            }
            self.held[number] = held;
        }
        self.is_loaded = true;
        Ok(())
    }

    /// How often some keys, which are in order, may be in a block; none where its filter is not held.
    fn counts(&self, block: usize, keys: &[IdKey]) -> Result<Option<Vec<u32>>, PortError> {
        let Some(filter) = &self.held[block].filter else {
            return Ok(None);
        };
        let counts = id_filter::counts(filter, keys);
        let bad = |e: BadFilter| damaged(&self.blocks[block], &BlockError::Index(e.to_string()));
        counts.map(Some).map_err(bad)
    }

    /// Whether a block may have an event with this id.
    pub(super) fn may_have(&self, block: usize, id: &str) -> Result<bool, PortError> {
        let counts = self.counts(block, &[id_key(id)])?;
        Ok(counts.is_none_or(|counts| counts.iter().any(|count| *count > 0)))
    }

    /// What is known of some lines' events: each is shown, and whatever may come before it. What was known of others stays.
    ///
    /// A block is read only if its filter counts one of their identities more often than these lines have it.
    pub(super) async fn dispositions<S: Stores>(
        &mut self,
        stores: &Metered<'_, S>,
        lines: &impl Lines,
    ) -> Result<&Dispositions, PortError> {
        let mut seen: HashMap<(IdKey, usize), u32> = HashMap::new();
        let (held, settled, known) = (&self.held, &self.settled, &mut self.known);
        lines.for_each(&mut |block, head, _| {
            let identity = identity_of(head);
            let is_settled = settled.contains(&identity) && held[block].filter.is_some();
            if head.verdict != Verdict::Rejected && !is_settled {
                known.show(head);
                *seen.entry((identity, block)).or_default() += 1;
            }
        })?;
        let keys: BTreeSet<IdKey> = seen.keys().map(|(key, _)| *key).collect();
        if keys.is_empty() {
            return Ok(&self.known);
        }
        self.load(stores).await?;
        let keys: Vec<IdKey> = keys.into_iter().collect();
        let others = self.others(&keys, &seen)?;
        let pieces = self.open(stores, &others.numbers).await?;
        self.opened_bytes += pieces.iter().map(Piece::bytes).sum::<u64>();
        let blocks = Arc::clone(&self.blocks);
        let known = &mut self.known;
        show(&blocks, &pieces, &keys, &mut |head, _| known.show(head))?;
        if known.wants_texts() {
            let mut texts = TextsWanted::default();
            lines.for_each(&mut |_, head, event| texts.read(known, head, event))?;
            show(&blocks, &pieces, &keys, &mut |head, event| {
                texts.read(known, head, event);
            })?;
            texts.fetch(stores, known).await?;
        }
        if others.are_all {
            self.settled.extend(keys);
        }
        Ok(&self.known)
    }

    /// Blocks that may have more of some identities than was seen of them, the oldest first.
    fn others(
        &self,
        keys: &[IdKey],
        seen: &HashMap<(IdKey, usize), u32>,
    ) -> Result<Others, PortError> {
        let (mut others, mut bytes) = (Others::default(), 0);
        for number in 0..self.blocks.len() {
            let Some(counts) = self.counts(number, keys)? else {
                continue;
            };
            let mut pairs = keys.iter().zip(counts);
            let is_more = |(key, count): (&IdKey, u32)| {
                count > seen.get(&(*key, number)).copied().unwrap_or_default()
            };
            if pairs.any(is_more) {
                let block = &self.blocks[number].block;
                // Those without an index are few enough, since all of them may be read for their filters.
                bytes += block.index.as_ref().map_or(0, |_| block.bytes);
                if bytes > REPEATED_BYTES_MAX {
                    return Ok(others);
                }
                others.numbers.push(number);
            }
        }
        others.are_all = true;
        Ok(others)
    }

    /// Gives some blocks whole, those that are not held from the bucket. They are held from now on, and those with an index that
    /// were held before no longer.
    async fn open<O: Objects>(
        &mut self,
        objects: &O,
        numbers: &[usize],
    ) -> Result<Vec<Piece>, PortError> {
        let opened: Vec<(usize, Arc<Vec<u8>>)> = stream::iter(numbers)
            .map(async |number| Ok::<_, PortError>((*number, self.whole(objects, *number).await?)))
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        for (live, held) in self.blocks.iter().zip(&mut self.held) {
            held.whole.take_if(|_| live.block.index.is_some());
        }
        let piece = |(number, bytes): (usize, Arc<Vec<u8>>)| {
            self.held[number].whole = Some(Arc::clone(&bytes));
            Piece::whole(number, bytes)
        };
        Ok(opened.into_iter().map(piece).collect())
    }
}

/// Blocks that may have more of what is asked for.
#[derive(Debug, Default)]
struct Others {
    numbers: Vec<usize>,
    /// Whether these are all, and not as many as may be read.
    are_all: bool,
}

/// Calls `each` with the lines of blocks whose identities are among some.
fn show(
    blocks: &[LiveBlock],
    pieces: &[Piece],
    keys: &[IdKey],
    each: &mut dyn FnMut(&LineHead<'_>, &[u8]),
) -> Result<(), PortError> {
    for piece in pieces {
        piece.for_each_line(&blocks[piece.block], |_, head, event| {
            if keys.binary_search(&identity_of(head)).is_ok() {
                each(head, event);
            }
        })?;
    }
    Ok(())
}
