//! The live store of a range: what is committed and not sealed, read as far as a question needs it.
//!
//! Blocks are passed over by what their items say, chunks by their block's index, and dispositions are decided for the
//! events of the answer alone ([`lookback`]).

mod lookback;
mod pieces;
mod roll_ups;
mod scan;

use crate::events::EventView;
use crate::extent::Extent;
use crate::filter_memory::FilterMemory;
use crate::metered::Metered;
use crate::page::Gathering;
use crate::query::{EventQuery, Key, Order, Sort};
use futures::stream::{self, StreamExt, TryStreamExt};
use lookback::{Lines, Lookback};
use pieces::{LinePlace, Piece, damaged, index_of};
pub(crate) use scan::Sink;
use std::sync::Arc;
use vernier_ledger::chunks::{BlockIndex, Wanted, mark_of};
use vernier_ledger::disposition::{Disposition, Dispositions};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::line::{self, BadLine, LineHead};
use vernier_ledger::live::LiveBlock;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::segment::Block;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::Millis;

/// Blocks that a page reads at a time: first as many as a handful of shards commit side by side, which may fill it.
const BLOCKS_AT_A_TIME: [usize; 2] = [4, 8];

/// Text of the lines whose dispositions are decided at a time, bytes, and at least one line.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Lines whose dispositions are decided at a time where few of them will do.
const BATCH_LINES: usize = 4_096;

/// What of a tenant's live store a question is asked of.
pub(crate) struct Live<'e> {
    extent: &'e Extent,
    /// Blocks of the range with something that is not sealed, by their numbers in the look-back.
    unsealed: Vec<usize>,
    lookback: Lookback<'e>,
}

/// A line that a page may take.
struct Candidate {
    key: Key,
    /// Which of the pieces has it.
    piece: usize,
    place: LinePlace,
}

/// The key before all of an instant.
fn before(at: Millis) -> Key {
    (at, (ReceiptId::from_parts(Millis(0), 0, [0; 8]), 0))
}

/// The first and the last instant of what orders a block's events, as far as its item says.
fn span(block: &Block, sort: Sort) -> (Millis, Millis) {
    let first_minute = block.minutes.first().map(|m| m.minute.start());
    match (sort, &block.times) {
        (Sort::ReceivedAt, Some(times)) => (times.received_from, block.received_through),
        (Sort::ReceivedAt, None) => (
            first_minute.unwrap_or(Millis(i64::MIN)),
            block.received_through,
        ),
        (Sort::EventTime, Some(times)) => (times.happened_from, times.happened_through),
        (Sort::EventTime, None) => (Millis(i64::MIN), Millis(i64::MAX)),
    }
}

/// The keys between which a block's lie in the query's order: none comes before the first, all come before the second.
fn edges(query: &EventQuery, block: &Block) -> (Key, Key) {
    let (first, last) = span(block, query.sort);
    let after = before(Millis(last.0.saturating_add(1)));
    match query.order {
        Order::Oldest => (before(first), after),
        Order::Newest => (after, before(first)),
    }
}

/// What of a query an index can tell.
fn wanted_of(query: &EventQuery) -> Wanted {
    let mark = |wanted: &str| {
        let mut filters = query.filters.iter();
        let (_, value) = filters.find(|(name, _)| name == wanted)?;
        Some(mark_of(value))
    };
    Wanted {
        actor: mark("actor"),
        section: mark("group"),
        type_name: mark("type"),
        sensor: mark("sensor"),
        received: Some((query.from, query.to)),
        happened: query.event_time,
        rejected: query.disposition == Some(Disposition::Rejected),
    }
}

/// Some lines with the numbers of their blocks.
struct Batch {
    blocks: Arc<[LiveBlock]>,
    lines: Vec<(usize, Vec<u8>)>,
}

impl Lines for Batch {
    fn for_each(&self, each: &mut dyn FnMut(usize, &LineHead<'_>, &[u8])) -> Result<(), PortError> {
        let mut head = Vec::with_capacity(1_024);
        for (block, text) in &self.lines {
            let mut read = || {
                let event = line::split(text, &mut head)?;
                each(*block, &line::read_head(&head)?, event);
                Ok(())
            };
            read().map_err(|e: BadLine| damaged(&self.blocks[*block], &e.into()))?;
        }
        Ok(())
    }
}

/// The lines of pieces that pass, with the numbers of their blocks.
struct Passing<'p, P> {
    blocks: Arc<[LiveBlock]>,
    pieces: &'p [Piece],
    passes: P,
}

impl<P: Fn(&LineHead<'_>) -> bool> Lines for Passing<'_, P> {
    fn for_each(&self, each: &mut dyn FnMut(usize, &LineHead<'_>, &[u8])) -> Result<(), PortError> {
        for piece in self.pieces {
            piece.for_each_line(&self.blocks[piece.block], |_, head, event| {
                if (self.passes)(head) {
                    each(piece.block, head, event);
                }
            })?;
        }
        Ok(())
    }
}

impl<'e> Live<'e> {
    /// `blocks` are those since the look-back began, `unsealed` the numbers of those that are asked.
    pub(crate) fn new(
        extent: &'e Extent,
        blocks: Vec<LiveBlock>,
        unsealed: Vec<usize>,
        filters: &'e FilterMemory,
    ) -> Self {
        Self {
            extent,
            unsealed,
            lookback: Lookback::new(blocks, filters),
        }
    }

    fn block(&self, number: usize) -> &Block {
        &self.lookback.blocks[number].block
    }

    /// Offers a page what the live store has of its query, until it is full or `bytes_max` were read.
    ///
    /// # Errors
    /// Whatever error the bucket gives; fatal when a block is damaged.
    pub(crate) async fn gather<S: Stores>(
        &mut self,
        stores: &Metered<'_, S>,
        gathering: &mut Gathering<'_>,
        bytes_max: u64,
    ) -> Result<(), PortError> {
        let query = gathering.query();
        let mut numbers = self.unsealed.clone();
        numbers.retain(|number| !gathering.is_behind(edges(query, self.block(*number)).1));
        numbers.sort_by_key(|number| edges(query, self.block(*number)).0);
        if query.order == Order::Newest {
            numbers.reverse();
        }
        if let Some((_, id)) = query.filters.iter().find(|(name, _)| name == "id") {
            self.lookback.load(stores).await?;
            let mut kept = Vec::new();
            for number in numbers {
                if self.lookback.may_have(number, id)? {
                    kept.push(number);
                }
            }
            numbers = kept;
        }
        let (mut left, mut bytes) = (numbers.as_slice(), 0);
        let sizes = BLOCKS_AT_A_TIME.into_iter();
        for at_a_time in sizes.chain(std::iter::repeat(READS_IN_FLIGHT_MAX)) {
            let (now, later) = left.split_at(at_a_time.min(left.len()));
            let Some(first) = now.first() else { break };
            if gathering.is_full_before(edges(query, self.block(*first)).0) {
                break;
            }
            let blocks = now.iter().map(|number| (*number, None)).collect();
            let pieces = self.fetch(stores, blocks, &wanted_of(query)).await?;
            bytes += pieces.iter().map(Piece::bytes).sum::<u64>();
            left = later;
            let next = left.first().map(|next| edges(query, self.block(*next)).0);
            self.offer(stores, &pieces, gathering, next, bytes_max)
                .await?;
            let taken = bytes.saturating_add(self.lookback.opened_bytes);
            if let Some(edge) = next.filter(|_| taken > bytes_max) {
                // The next page begins there. Where that is where this one began, there is no end yet.
                if !gathering.is_behind(edge) {
                    gathering.end_at(edge);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Fetches what of some blocks may have what is wanted, several at once, in their order; an index that was not read
    /// yet is fetched first.
    async fn fetch<O: Objects>(
        &mut self,
        objects: &O,
        blocks: Vec<(usize, Option<BlockIndex>)>,
        wanted: &Wanted,
    ) -> Result<Vec<Piece>, PortError> {
        let lookback = &self.lookback;
        let pieces: Vec<Piece> = stream::iter(blocks)
            .map(async |(number, index)| {
                let live = &lookback.blocks[number];
                let place = live.block.index.as_ref();
                let Some(place) = place.filter(|_| wanted.is_selective()) else {
                    return Ok(Piece::whole(number, lookback.whole(objects, number).await?));
                };
                let index = match index {
                    Some(index) => index,
                    None => index_of(objects, live, place).await?,
                };
                Piece::of_index(objects, number, live, index, wanted).await
            })
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        for piece in &pieces {
            self.lookback.keep(piece);
        }
        Ok(pieces)
    }

    /// Offers a page those lines of some pieces that belong to it. Where more than `bytes_max` of other blocks were opened to
    /// decide what became of them, the page ends before `next`, where the blocks begin that are not read yet.
    async fn offer<S: Stores>(
        &mut self,
        stores: &Metered<'_, S>,
        pieces: &[Piece],
        gathering: &mut Gathering<'_>,
        next: Option<Key>,
        bytes_max: u64,
    ) -> Result<(), PortError> {
        let query = gathering.query();
        let mut candidates = Vec::new();
        for (nth, piece) in pieces.iter().enumerate() {
            let live = &self.lookback.blocks[piece.block];
            piece.for_each_line(live, |place, head, _| {
                let key = query.matches(head).filter(|key| gathering.takes(*key));
                if let Some(key) = key.filter(|key| self.extent.is_live(key.1.0.received_at())) {
                    candidates.push(Candidate {
                        key,
                        piece: nth,
                        place,
                    });
                }
            })?;
        }
        candidates.sort_by_key(|candidate| candidate.key);
        if query.order == Order::Newest {
            candidates.reverse();
        }
        let mut left = candidates.as_slice();
        while let Some(first) = left.first() {
            if gathering.is_full_before(first.key) {
                break;
            }
            let (now, later) = left.split_at(batch_length(left, gathering));
            left = later;
            let lines = self.lines_of(pieces, now)?;
            self.decide(stores, lines, gathering).await?;
            let last = now.last().map(|candidate| candidate.key);
            if self.lookback.opened_bytes > bytes_max
                && let Some(last) = last.filter(|_| !left.is_empty())
                && next.is_none_or(|next| gathering.precedes(last, next))
            {
                gathering.end_at(last);
                break;
            }
        }
        Ok(())
    }

    /// Offers a page the lines that end as its query asks.
    async fn decide<S: Stores>(
        &mut self,
        stores: &Metered<'_, S>,
        lines: Vec<(usize, Vec<u8>)>,
        gathering: &mut Gathering<'_>,
    ) -> Result<(), PortError> {
        let query = gathering.query();
        let batch = Batch {
            blocks: Arc::clone(&self.lookback.blocks),
            lines,
        };
        // Which events are rejected is known without the others.
        let nothing = Dispositions::default();
        let known = match query.disposition {
            Some(Disposition::Rejected) => &nothing,
            _ => self.lookback.dispositions(stores, &batch).await?,
        };
        batch.for_each(&mut |_, head, event| {
            let disposition = known.of(head);
            if let Some(key) = query.matches(head)
                && query.disposition.is_none_or(|d| d == disposition)
                && gathering.takes(key)
                && let Some(view) = EventView::new(head, event, disposition)
            {
                gathering.offer(key, view);
            }
        })
    }

    /// The texts of candidates.
    fn lines_of(
        &self,
        pieces: &[Piece],
        candidates: &[Candidate],
    ) -> Result<Vec<(usize, Vec<u8>)>, PortError> {
        let mut lines = Vec::with_capacity(candidates.len());
        for (nth, piece) in pieces.iter().enumerate() {
            let own = candidates.iter().filter(|c| c.piece == nth);
            let mut places: Vec<LinePlace> = own.map(|c| c.place.clone()).collect();
            places.sort_by_key(LinePlace::order);
            let texts = piece.lines_at(&self.lookback.blocks[piece.block], &places)?;
            lines.extend(texts.into_iter().map(|text| (piece.block, text)));
        }
        Ok(lines)
    }
}

/// How many of the candidates are decided at a time: as many as fill the page, and a quarter more, since some of them
/// will end in another way than the query asks.
fn batch_length(candidates: &[Candidate], gathering: &Gathering<'_>) -> usize {
    let most = match gathering.query().disposition {
        Some(Disposition::Duplicate | Disposition::Conflict) => BATCH_LINES,
        _ => gathering.size() + gathering.size() / 4 + 16,
    };
    let mut bytes = 0;
    let fits = |candidate: &&Candidate| {
        bytes += candidate.place.bytes();
        bytes <= BATCH_BYTES_MAX
    };
    let fitting = candidates.iter().take(most).take_while(fits);
    fitting.count().max(1)
}
