//! One actor's rows out of a part's blocks.

use super::{damaged, fetch};
use crate::Fault;
use crate::blocks::{self, ActorTable, Entry};
use crate::limits::{BLOCK_TEXT_BYTES, BLOCKS_READ_BYTES_MAX};
use crate::row::Row;
use crate::seal::SealedFile;
use crate::search::{Column, Hit, Scanned, Search};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::OnceLock;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Objects, PortError};

/// Rows one after the other.
#[derive(Debug)]
pub(super) struct Block {
    /// Compressed.
    bytes: Bytes,
    /// What a row takes on average, bytes before compression: known when it was scanned.
    row_bytes: OnceLock<u64>,
}

impl Block {
    const fn new(bytes: Bytes) -> Self {
        let row_bytes = OnceLock::new();
        Self { bytes, row_bytes }
    }

    /// What a row of it takes on average, bytes before compression.
    pub(super) fn row_bytes(&self) -> u64 {
        let known = self.row_bytes.get();
        known.copied().unwrap_or(BLOCK_TEXT_BYTES as u64)
    }
}

/// What a file's blocks have of a search.
pub(super) enum InBlocks {
    /// Everything that it wants, and more.
    All(Vec<Block>),
    /// It has no blocks, the search names no actor, or the actor has too much there.
    No,
    /// The file is gone.
    Gone,
}

/// Fetches the blocks in which what a search wants lies, when it is one actor's.
pub(super) async fn blocks<O: Objects>(
    objects: &O,
    file: &SealedFile,
    wanted: &Search,
) -> Result<InBlocks, PortError> {
    let (Some(table), Some(actor)) = (&file.actors, wanted.value_of(Column::Actor)) else {
        return Ok(InBlocks::No);
    };
    let Some(mut found) = entries(objects, file, table, actor).await? else {
        return Ok(InBlocks::Gone);
    };
    if let Some(group) = wanted.value_of(Column::Group) {
        let group = blocks::hash(Some(group));
        found.retain(|entry| entry.group == group);
    }
    let mut places: Vec<Place> = found.iter().map(Entry::block).collect();
    places.sort_unstable();
    places.dedup();
    if places.iter().map(|(_, length)| length).sum::<u64>() > BLOCKS_READ_BYTES_MAX {
        return Ok(InBlocks::No);
    }
    let fetched: Vec<Option<Vec<Block>>> = stream::iter(joined(&places))
        .map(async |(range, places)| {
            let bytes = fetch(objects, file, range).await?;
            Ok::<_, PortError>(bytes.map(|bytes| cut(&bytes.into(), range.0, places)))
        })
        .buffered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    let all: Option<Vec<Vec<Block>>> = fetched.into_iter().collect();
    Ok(all.map_or(InBlocks::Gone, |all| {
        InBlocks::All(all.into_iter().flatten().collect())
    }))
}

/// An actor's entries of the table, and those of others with the same hash; none when the file is gone.
async fn entries<O: Objects>(
    objects: &O,
    file: &SealedFile,
    table: &ActorTable,
    actor: &str,
) -> Result<Option<Vec<Entry>>, PortError> {
    let actor = blocks::hash(Some(actor));
    let mut near = table.near(actor);
    loop {
        let Some(bytes) = fetch(objects, file, table.place(&near)).await? else {
            return Ok(None);
        };
        let mut read = blocks::entries(&bytes).map_err(|fault| damaged(file, &fault))?;
        if let Some(wider) = table.wider(&near, &read, actor) {
            near = wider;
            continue;
        }
        read.retain(|entry| entry.actor == actor);
        return Ok(Some(read));
    }
}

/// Where something lies: offset and length.
type Place = (u64, u64);

/// Blocks that follow each other are fetched together: the ranges, and the blocks in each.
fn joined(places: &[Place]) -> Vec<(Place, &[Place])> {
    let touching = places.chunk_by(|(offset, length), (next, _)| offset + length == *next);
    touching
        .map(|places| {
            let start = places.first().map_or(0, |(offset, _)| *offset);
            let length = places.iter().map(|(_, length)| length).sum();
            ((start, length), places)
        })
        .collect()
}

fn cut(bytes: &Bytes, start: u64, places: &[Place]) -> Vec<Block> {
    let at = |place: u64| usize::try_from(place - start).unwrap_or(usize::MAX);
    let slice = |(offset, length): &Place| bytes.slice(at(*offset)..at(offset + length));
    places.iter().map(slice).map(Block::new).collect()
}

/// Calls `each` with every row that is wanted, in the file's order.
pub(super) fn scan_blocks(
    all: &[Block],
    wanted: &Search,
    mut each: impl FnMut(&Scanned<'_>),
) -> Result<(), Fault> {
    for (number, block) in all.iter().enumerate() {
        let text = blocks::text_of(&block.bytes)?;
        let rows = blocks::for_each_row(&text, |at, row| {
            if wanted.takes(&row) {
                let hit = Hit {
                    place: row.place(),
                    event_time: row.event_time,
                    group: number,
                    row: at,
                };
                each(&Scanned::of_row(hit, &row));
            }
            Ok(())
        })?;
        let average = text.len() / rows.max(1);
        block.row_bytes.get_or_init(|| average as u64);
    }
    Ok(())
}

/// Some rows, as (block, number in it), in order and each once.
pub(super) fn rows_of_blocks<R>(
    all: &[Block],
    rows: &[(usize, usize)],
    mut each: impl FnMut(&Row<'_>) -> R,
) -> Result<Vec<R>, Fault> {
    let mut read = Vec::with_capacity(rows.len());
    for rows in rows.chunk_by(|a, b| a.0 == b.0) {
        let Some(block) = all.get(rows[0].0) else {
            continue;
        };
        let text = blocks::text_of(&block.bytes)?;
        let mut wanted = rows.iter().map(|(_, at)| *at).peekable();
        blocks::for_each_row(&text, |at, row| {
            if wanted.next_if_eq(&at).is_some() {
                read.push(each(&row));
            }
            Ok(())
        })?;
    }
    Ok(read)
}
