//! One actor's rows, or those of one id, out of a part's blocks.

use super::{damaged, fetch};
use crate::Fault;
use crate::blocks::{self, ActorTable, BlockForm, Entry, TableEntry};
use crate::id_table::{IdEntry, id_hash};
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
    form: BlockForm,
    /// What a row takes on average, bytes before compression: known when it was scanned.
    row_bytes: OnceLock<u64>,
}

impl Block {
    const fn new(bytes: Bytes, form: BlockForm) -> Self {
        Self {
            bytes,
            form,
            row_bytes: OnceLock::new(),
        }
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
    /// It has no blocks, no table says where the wanted rows lie, or these are too many.
    No,
    /// The file is gone.
    Gone,
}

/// Fetches the blocks in which what a search wants lies, when that is of one id or of one actor: a stretch of the table, and
/// only where something lies there also the blocks.
pub(super) async fn blocks<O: Objects>(
    objects: &O,
    file: &SealedFile,
    wanted: &Search,
) -> Result<InBlocks, PortError> {
    let Some(wanted) = Wanted::of(file, wanted) else {
        return Ok(InBlocks::No);
    };
    let Some(mut places) = wanted.places(objects, file).await? else {
        return Ok(InBlocks::Gone);
    };
    places.sort_unstable();
    places.dedup();
    if places.iter().map(|(_, length)| length).sum::<u64>() > BLOCKS_READ_BYTES_MAX {
        return Ok(InBlocks::No);
    }
    let form = match file.ids {
        Some(_) => BlockForm::Blind,
        None => BlockForm::Plain,
    };
    let fetched: Vec<Option<Vec<Block>>> = stream::iter(joined(&places))
        .map(async |(range, places)| {
            let bytes = fetch(objects, file, range).await?;
            Ok::<_, PortError>(bytes.map(|bytes| cut(&bytes.into(), range.0, places, form)))
        })
        .buffered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    let all: Option<Vec<Vec<Block>>> = fetched.into_iter().collect();
    Ok(all.map_or(InBlocks::Gone, |all| {
        InBlocks::All(all.into_iter().flatten().collect())
    }))
}

/// What a table is asked for.
enum Wanted<'s> {
    Id(&'s ActorTable, &'s str),
    Actor {
        table: &'s ActorTable,
        actor: &'s str,
        group: Option<&'s str>,
    },
}

impl<'s> Wanted<'s> {
    /// An id names fewer rows than an actor does. Rows in blocks do not name their seals.
    fn of(file: &'s SealedFile, wanted: &'s Search) -> Option<Self> {
        if wanted.sealed_by.is_some() {
            return None;
        }
        if let (Some(table), Some(id)) = (&file.ids, wanted.value_of(Column::Id)) {
            return Some(Self::Id(table, id));
        }
        Some(Self::Actor {
            table: file.actors.as_ref()?,
            actor: wanted.value_of(Column::Actor)?,
            group: wanted.value_of(Column::Group),
        })
    }

    /// Where the blocks lie in which rows of it may be; none when the file is gone.
    async fn places<O: Objects>(
        &self,
        objects: &O,
        file: &SealedFile,
    ) -> Result<Option<Vec<Place>>, PortError> {
        match self {
            Self::Id(table, id) => {
                let found: Option<Vec<IdEntry>> =
                    entries(objects, file, table, id_hash(id)).await?;
                Ok(found.map(|found| found.iter().map(TableEntry::block).collect()))
            }
            Self::Actor {
                table,
                actor,
                group,
            } => {
                let hash = blocks::actor_hash(actor);
                let found: Option<Vec<Entry>> = entries(objects, file, table, hash).await?;
                let group = group.map(|group| blocks::hash(Some(group)));
                let of_group = |entry: &&Entry| group.is_none_or(|group| entry.group == group);
                Ok(found.map(|found| {
                    let found = found.iter().filter(of_group);
                    found.map(TableEntry::block).collect()
                }))
            }
        }
    }
}

/// The table's entries of a hash; none when the file is gone.
async fn entries<O: Objects, E: TableEntry>(
    objects: &O,
    file: &SealedFile,
    table: &ActorTable,
    hash: u64,
) -> Result<Option<Vec<E>>, PortError> {
    let mut near = table.near(hash);
    loop {
        let Some(bytes) = fetch(objects, file, table.place(&near)).await? else {
            return Ok(None);
        };
        let mut read: Vec<E> = blocks::entries(&bytes).map_err(|fault| damaged(file, &fault))?;
        if let Some(wider) = table.wider(&near, &read, hash) {
            near = wider;
            continue;
        }
        read.retain(|entry| entry.hash() == hash);
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

fn cut(bytes: &Bytes, start: u64, places: &[Place], form: BlockForm) -> Vec<Block> {
    let at = |place: u64| usize::try_from(place - start).unwrap_or(usize::MAX);
    let slice = |(offset, length): &Place| bytes.slice(at(*offset)..at(offset + length));
    let blocks = places.iter().map(slice);
    blocks.map(|bytes| Block::new(bytes, form)).collect()
}

/// A row that somebody wants: blocks of version 4 leave out the fingerprints of texts.
fn known(row: Row<'_>, form: BlockForm) -> Row<'_> {
    match form {
        BlockForm::Plain => row,
        BlockForm::Blind => row.with_fingerprint_of_text(),
    }
}

/// Calls `each` with every row that is wanted, in the file's order.
pub(super) fn scan_blocks(
    all: &[Block],
    wanted: &Search,
    mut each: impl FnMut(&Scanned<'_>),
) -> Result<(), Fault> {
    for (number, block) in all.iter().enumerate() {
        let text = blocks::text_of(&block.bytes)?;
        let rows = blocks::for_each_row(&text, block.form, |at, row| {
            if wanted.takes(&row) {
                let row = known(row, block.form);
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
        blocks::for_each_row(&text, block.form, |at, row| {
            if wanted.next_if_eq(&at).is_some() {
                read.push(each(&known(row, block.form)));
            }
            Ok(())
        })?;
    }
    Ok(read)
}
