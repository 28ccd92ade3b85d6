//! How events of the live store ended: whether any of them was there before, which the filters of all blocks that were
//! committed since the look-back began are asked.

use super::pieces::{Piece, damaged, range_of};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use vernier_ledger::chunks::id_key;
use vernier_ledger::disposition::Dispositions;
use vernier_ledger::id_filter::{self, IdKey};
use vernier_ledger::limits::{LIVE_READ_BYTES_MAX, READS_IN_FLIGHT_MAX, SEGMENTS_READ_MAX};
use vernier_ledger::line::{LineHead, Verdict, event_key};
use vernier_ledger::live::{LiveBlock, TextsWanted};
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::segment::{BlockError, for_each_line, open_block};

/// Compressed bytes of blocks that are read because an event of the answer may be there as well, bytes. Beyond it
/// the look-back ends, as it does for the filters beyond [`LIVE_READ_BYTES_MAX`].
const REPEATED_BYTES_MAX: u64 = LIVE_READ_BYTES_MAX / 2;

/// Lines whose dispositions are asked for.
pub(super) trait Lines {
    /// Calls `each` with every line: the number of its block, its head and its event.
    fn for_each(&self, each: &mut dyn FnMut(usize, &LineHead<'_>, &[u8])) -> Result<(), PortError>;
}

/// What is held of a block.
#[derive(Debug)]
enum Held {
    Nothing,
    /// A block without a filter.
    Unread(Arc<Vec<u8>>),
    /// The frame of a block's filter.
    Filter(Vec<u8>),
    /// A block without a filter, and the filter of its lines.
    Whole {
        bytes: Arc<Vec<u8>>,
        filter: Vec<u8>,
    },
}

/// The blocks in which first occurrences are looked for.
#[derive(Debug)]
pub(super) struct Lookback {
    /// The blocks since the look-back began, newest last.
    pub(super) blocks: Arc<[LiveBlock]>,
    held: Vec<Held>,
    is_loaded: bool,
    /// What is known of the events that were asked for so far.
    known: Dispositions,
    /// Identities of which all that the blocks have was shown to `known`.
    settled: BTreeSet<IdKey>,
}

/// What a line is found by in a filter: its identity, and its id where that is another key.
fn keys_of(head: &LineHead<'_>) -> impl Iterator<Item = IdKey> {
    let identity = identity_of(head);
    let own = head.id.as_deref().map(id_key);
    std::iter::once(identity).chain(own.filter(move |own| *own != identity))
}

fn identity_of(head: &LineHead<'_>) -> IdKey {
    event_key(&head.kind, head.id.as_deref(), &head.fingerprint)
}

/// The filter of a block that was made without one.
fn filter_of(live: &LiveBlock, bytes: &[u8]) -> Result<Vec<u8>, PortError> {
    let lines = open_block(&live.block, bytes).map_err(|e| damaged(live, &e))?;
    let mut keys = Vec::new();
    let read = for_each_line::<BlockError>(&lines, |head, _| {
        keys.extend(keys_of(&head));
        Ok(())
    });
    read.map_err(|e| damaged(live, &e))?;
    Ok(id_filter::encode(&keys))
}

impl Lookback {
    pub(super) fn new(blocks: Vec<LiveBlock>) -> Self {
        Self {
            held: blocks.iter().map(|_| Held::Nothing).collect(),
            blocks: blocks.into(),
            is_loaded: false,
            known: Dispositions::default(),
            settled: BTreeSet::new(),
        }
    }

    /// Fetches a whole block, or gives the one that is held.
    pub(super) async fn whole<O: Objects>(
        &self,
        objects: &O,
        block: usize,
    ) -> Result<Arc<Vec<u8>>, PortError> {
        if let Held::Whole { bytes, .. } | Held::Unread(bytes) = &self.held[block] {
            return Ok(Arc::clone(bytes));
        }
        let live = &self.blocks[block];
        let range = (live.block.offset, live.block.bytes);
        Ok(Arc::new(range_of(objects, live, range).await?))
    }

    /// Holds a block that was fetched whole and has no filter, so that it is not fetched twice.
    pub(super) fn keep(&mut self, piece: &Piece) {
        let number = piece.block;
        let is_new = matches!(self.held[number], Held::Nothing);
        let has_filter = self.blocks[number].block.index.is_some();
        if let Some(bytes) = piece.as_whole().filter(|_| is_new && !has_filter) {
            self.held[number] = Held::Unread(Arc::clone(bytes));
        }
    }

    /// What is fetched to know the filter of a block.
    async fn fetch<O: Objects>(&self, objects: &O, block: usize) -> Result<Held, PortError> {
        let live = &self.blocks[block];
        let Some(place) = &live.block.index else {
            let bytes = self.whole(objects, block).await?;
            let filter = filter_of(live, &bytes)?;
            return Ok(Held::Whole { bytes, filter });
        };
        let frame = range_of(objects, live, place.filter_range(&live.block)).await?;
        place.open_filter(&frame).map_err(|e| damaged(live, &e))?;
        Ok(Held::Filter(frame))
    }

    /// Fetches the filters once, from the newest block back, as far as that is not too much.
    pub(super) async fn load<O: Objects>(&mut self, objects: &O) -> Result<(), PortError> {
        if self.is_loaded {
            return Ok(());
        }
        let mut bytes = 0;
        let newest = (0..self.blocks.len()).rev().take(SEGMENTS_READ_MAX);
        let numbers: Vec<usize> = newest
            .take_while(|number| {
                let block = &self.blocks[*number].block;
                bytes += block.index.as_ref().map_or(block.bytes, |i| i.filter_bytes);
                bytes <= LIVE_READ_BYTES_MAX
            })
            .collect();
        let fetched: Vec<(usize, Held)> = stream::iter(numbers)
            .map(async |number| Ok::<_, PortError>((number, self.fetch(objects, number).await?)))
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        for (number, held) in fetched {
            self.held[number] = held;
        }
        self.is_loaded = true;
        Ok(())
    }

    /// How often some keys, which are in order, may be in a block; none where its filter is not held.
    fn counts(&self, block: usize, keys: &[IdKey]) -> Result<Option<Vec<u32>>, PortError> {
        let live = &self.blocks[block];
        let bad = |e: BlockError| damaged(live, &e);
        let filter = match (&self.held[block], &live.block.index) {
            (Held::Filter(frame), Some(place)) => place.open_filter(frame).map_err(bad)?,
            (Held::Whole { filter, .. }, _) => filter,
            _ => return Ok(None),
        };
        let counts = id_filter::counts(filter, keys);
        let counts = counts.map_err(|e| bad(BlockError::Index(e.to_string())))?;
        Ok(Some(counts))
    }

    /// Whether a block may have an event with this id.
    pub(super) fn may_have(&self, block: usize, id: &str) -> Result<bool, PortError> {
        let counts = self.counts(block, &[id_key(id)])?;
        Ok(counts.is_none_or(|counts| counts.iter().any(|count| *count > 0)))
    }

    /// What is known of some lines' events, beside those that were asked for before: each is shown, and whatever may
    /// come before it.
    ///
    /// A block is read only if its filter counts one of their identities more often than these lines have it, and for an
    /// identity once.
    pub(super) async fn dispositions<O: Objects>(
        &mut self,
        objects: &O,
        lines: &impl Lines,
    ) -> Result<&Dispositions, PortError> {
        let mut seen: HashMap<(IdKey, usize), u32> = HashMap::new();
        let (known, settled) = (&mut self.known, &self.settled);
        lines.for_each(&mut |block, head, _| {
            known.show(head);
            let identity = identity_of(head);
            if head.verdict != Verdict::Rejected && !settled.contains(&identity) {
                *seen.entry((identity, block)).or_default() += 1;
            }
        })?;
        let keys: BTreeSet<IdKey> = seen.keys().map(|(key, _)| *key).collect();
        let keys: Vec<IdKey> = keys.into_iter().collect();
        let mut others = Vec::new();
        if !keys.is_empty() {
            self.load(objects).await?;
            others = self.others(objects, &keys, &seen).await?;
        }
        let mut known = std::mem::take(&mut self.known);
        self.show(&others, &keys, &mut |head, _| known.show(head))?;
        if known.wants_texts() {
            let mut texts = TextsWanted::default();
            lines.for_each(&mut |_, head, event| texts.read(&mut known, head, event))?;
            self.show(&others, &keys, &mut |head, event| {
                texts.read(&mut known, head, event);
            })?;
            texts.fetch(objects, &mut known).await?;
        }
        self.known = known;
        self.settled.extend(keys);
        Ok(&self.known)
    }

    /// Blocks that may have more of some identities than was seen of them, the oldest first.
    async fn others<O: Objects>(
        &self,
        objects: &O,
        keys: &[IdKey],
        seen: &HashMap<(IdKey, usize), u32>,
    ) -> Result<Vec<Piece>, PortError> {
        let (mut numbers, mut bytes) = (Vec::new(), 0);
        for number in 0..self.blocks.len() {
            let Some(counts) = self.counts(number, keys)? else {
                continue;
            };
            let mut pairs = keys.iter().zip(counts);
            let is_more = |(key, count): (&IdKey, u32)| {
                count > seen.get(&(*key, number)).copied().unwrap_or_default()
            };
            if pairs.any(is_more) {
                if !matches!(self.held[number], Held::Whole { .. }) {
                    bytes += self.blocks[number].block.bytes;
                }
                if bytes > REPEATED_BYTES_MAX {
                    break;
                }
                numbers.push(number);
            }
        }
        stream::iter(numbers)
            .map(async |number| Ok(Piece::whole(number, self.whole(objects, number).await?)))
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await
    }

    /// Calls `each` with the lines of blocks whose identities are among some.
    fn show(
        &self,
        pieces: &[Piece],
        keys: &[IdKey],
        each: &mut dyn FnMut(&LineHead<'_>, &[u8]),
    ) -> Result<(), PortError> {
        for piece in pieces {
            piece.for_each_line(&self.blocks[piece.block], |_, head, event| {
                if keys.binary_search(&identity_of(head)).is_ok() {
                    each(head, event);
                }
            })?;
        }
        Ok(())
    }
}
