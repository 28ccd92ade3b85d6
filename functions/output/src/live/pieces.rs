//! What is fetched of a block: all of it, or the chunks that may have what is asked for.

use futures::stream::{self, StreamExt, TryStreamExt};
use std::ops::Range;
use std::sync::Arc;
use vernier_ledger::chunks::{BlockIndex, Chunk, IndexPlace, Wanted};
use vernier_ledger::line::{self, BadLine, LineHead};
use vernier_ledger::live::LiveBlock;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::segment::{BlockError, open_block};

/// Bytes between two wanted chunks that are read along rather than asked around.
const GAP_BYTES_MAX: u64 = 64 * 1024;

/// Ranges of one block that are fetched at once.
const RANGES_IN_FLIGHT_MAX: usize = 4;

/// Compressed bytes of a block.
#[derive(Debug)]
enum Content {
    Whole(Arc<Vec<u8>>),
    Chunks(Vec<(Chunk, Vec<u8>)>),
}

/// What was fetched of one block of the lookback.
#[derive(Debug)]
pub(super) struct Piece {
    /// The block's number in the lookback.
    pub(super) block: usize,
    content: Content,
}

/// Where a line lies in a piece.
#[derive(Debug, Clone)]
pub(super) struct LinePlace {
    /// Which of the piece's texts it is in.
    text: usize,
    /// The line in that text, without its line feed.
    range: Range<usize>,
}

impl LinePlace {
    /// Sorts places by text and line.
    pub(super) const fn order(&self) -> (usize, usize) {
        (self.text, self.range.start)
    }

    /// Length of the line, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.range.len()
    }
}

/// An error that says which segment is damaged.
pub(super) fn damaged(live: &LiveBlock, error: &BlockError) -> PortError {
    PortError::Fatal(format!("segment {}: {error}", live.object))
}

/// Fetches a range of a segment that has to be there.
pub(super) async fn range_of<O: Objects>(
    objects: &O,
    live: &LiveBlock,
    range: (u64, u64),
) -> Result<Vec<u8>, PortError> {
    let bytes = objects.get(&live.object, Some(range)).await?;
    bytes.ok_or_else(|| PortError::Fatal(format!("segment {} is gone", live.object)))
}

/// Fetches the index of a block.
pub(super) async fn index_of<O: Objects>(
    objects: &O,
    live: &LiveBlock,
    place: &IndexPlace,
) -> Result<BlockIndex, PortError> {
    let bytes = range_of(objects, live, place.index_range(&live.block)).await?;
    place.open_index(&bytes).map_err(|e| damaged(live, &e))
}

/// Compressed bytes of a block's chunks that may have what is wanted.
pub(super) fn selected_bytes(index: &BlockIndex, wanted: &Wanted) -> u64 {
    let chunks = index.chunks.iter();
    let selected = chunks.filter(|chunk| wanted.may_lie_in(chunk));
    selected.map(|chunk| chunk.bytes).sum()
}

impl Piece {
    /// A block that is there whole.
    pub(super) const fn whole(block: usize, bytes: Arc<Vec<u8>>) -> Self {
        Self {
            block,
            content: Content::Whole(bytes),
        }
    }

    /// Fetches the chunks that may have what is wanted of a block whose index this is.
    pub(super) async fn of_index<O: Objects>(
        objects: &O,
        block: usize,
        live: &LiveBlock,
        index: BlockIndex,
        wanted: &Wanted,
    ) -> Result<Self, PortError> {
        let mut start = live.block.offset;
        let mut runs: Vec<(u64, Vec<(u64, Chunk)>)> = Vec::new();
        for chunk in index.chunks {
            let at = start;
            start = start.saturating_add(chunk.bytes);
            if !wanted.may_lie_in(&chunk) {
                continue;
            }
            match runs.last_mut() {
                Some((end, run)) if at - *end <= GAP_BYTES_MAX => {
                    *end = start;
                    run.push((at, chunk));
                }
                _ => runs.push((start, vec![(at, chunk)])),
            }
        }
        let fetched: Vec<Vec<(Chunk, Vec<u8>)>> = stream::iter(runs)
            .map(|(end, run)| run_of(objects, live, end, run))
            .buffered(RANGES_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        Ok(Self {
            block,
            content: Content::Chunks(fetched.into_iter().flatten().collect()),
        })
    }

    /// The whole block; none where it is some chunks.
    pub(super) const fn as_whole(&self) -> Option<&Arc<Vec<u8>>> {
        match &self.content {
            Content::Whole(bytes) => Some(bytes),
            Content::Chunks(_) => None,
        }
    }

    /// Compressed bytes that it holds.
    pub(super) fn bytes(&self) -> u64 {
        match &self.content {
            Content::Whole(bytes) => bytes.len() as u64,
            Content::Chunks(chunks) => chunks.iter().map(|(chunk, _)| chunk.bytes).sum(),
        }
    }

    fn texts(&self) -> usize {
        match &self.content {
            Content::Whole(_) => 1,
            Content::Chunks(chunks) => chunks.len(),
        }
    }

    /// The lines of one of its texts, checked against the hash that the block's item or index has.
    fn text(&self, live: &LiveBlock, number: usize) -> Result<Vec<u8>, PortError> {
        let opened = match &self.content {
            Content::Whole(bytes) => open_block(&live.block, bytes),
            Content::Chunks(chunks) => {
                let (chunk, bytes) = &chunks[number];
                chunk.open(bytes)
            }
        };
        opened.map_err(|e| damaged(live, &e))
    }

    /// Calls `each` with every line of it.
    ///
    /// # Errors
    /// Fatal when the bytes are not those that were committed.
    pub(super) fn for_each_line(
        &self,
        live: &LiveBlock,
        mut each: impl FnMut(LinePlace, &LineHead<'_>, &[u8]),
    ) -> Result<(), PortError> {
        let mut head = Vec::with_capacity(1_024);
        for number in 0..self.texts() {
            let text = self.text(live, number)?;
            let mut start = 0;
            for line in text.split(|b| *b == b'\n') {
                let range = start..start + line.len();
                start = range.end + 1;
                if line.is_empty() {
                    continue;
                }
                let mut read = || {
                    let event = line::split(line, &mut head)?;
                    let place = LinePlace {
                        text: number,
                        range: range.clone(),
                    };
                    each(place, &line::read_head(&head)?, event);
                    Ok(())
                };
                read().map_err(|e: BadLine| damaged(live, &e.into()))?;
            }
        }
        Ok(())
    }

    /// The lines at some places, which are sorted by text.
    ///
    /// # Errors
    /// Fatal when the block's bytes are not what its item says, or hold no lines.
    pub(super) fn lines_at(
        &self,
        live: &LiveBlock,
        places: &[LinePlace],
    ) -> Result<Vec<Vec<u8>>, PortError> {
        let (mut lines, mut opened) = (Vec::with_capacity(places.len()), None);
        for place in places {
            if opened
                .as_ref()
                .is_none_or(|(number, _)| *number != place.text)
            {
                opened = Some((place.text, self.text(live, place.text)?));
            }
            if let Some((_, text)) = &opened {
                lines.push(text[place.range.clone()].to_vec());
            }
        }
        Ok(lines)
    }
}

/// Fetches chunks that lie side by side, up to `end`, with one request.
async fn run_of<O: Objects>(
    objects: &O,
    live: &LiveBlock,
    end: u64,
    run: Vec<(u64, Chunk)>,
) -> Result<Vec<(Chunk, Vec<u8>)>, PortError> {
    let Some((begin, _)) = run.first() else {
        return Ok(Vec::new());
    };
    let begin = *begin;
    let bytes = range_of(objects, live, (begin, end - begin)).await?;
    let cut = run.into_iter().map(|(at, chunk)| {
        let start = usize::try_from(at - begin).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(chunk.bytes).unwrap_or(usize::MAX));
        let own = bytes.get(start..end);
        let own = own.ok_or_else(|| damaged(live, &BlockError::Changed))?;
        Ok((chunk, own.to_vec()))
    });
    cut.collect()
}
