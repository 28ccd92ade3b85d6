//! Seals and parts as they lie in a store that is waited for.

mod beside;
mod covered;
mod signed;

pub use covered::{
    CoveredPart, covered_bytes, covering, covering_gone, find_rows, for_each_covered,
    for_each_covered_part, row_bytes,
};
pub use signed::{read_seal, read_set};

use crate::Fault;
use crate::files::Ranges;
use crate::pieces::Pieces;
use crate::reader::Part;
use crate::row::Row;
use crate::seal::SealedFile;
use crate::search::{Column, Hit, Scanned, Search};
use beside::{Block, InBlocks, blocks, rows_of_blocks, scan_blocks};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Objects, PortError};

/// Reads from a sealed file by ranges. `read` may be called several times.
///
/// # Errors
/// The store's; fatal when the file is gone or is not what it should be.
pub async fn read_file<O: Objects, R>(
    objects: &O,
    file: &SealedFile,
    read: impl FnMut(Arc<dyn Ranges>) -> Result<R, Fault>,
) -> Result<R, PortError> {
    let found = find_file(objects, file, read).await?;
    found.ok_or_else(|| gone(file))
}

/// As [`read_file`]; none when the file is gone: it may have been compacted ([`covering`]).
///
/// # Errors
/// The store's; fatal when the file is not what it should be.
pub async fn find_file<O: Objects, R>(
    objects: &O,
    file: &SealedFile,
    read: impl FnMut(Arc<dyn Ranges>) -> Result<R, Fault>,
) -> Result<Option<R>, PortError> {
    read_pieces(objects, file, &Arc::new(Pieces::of(file.bytes)), read).await
}

/// Reads what is here of a file; what is missing is fetched, and `read` called again.
async fn read_pieces<O: Objects, R>(
    objects: &O,
    file: &SealedFile,
    pieces: &Arc<Pieces>,
    mut read: impl FnMut(Arc<dyn Ranges>) -> Result<R, Fault>,
) -> Result<Option<R>, PortError> {
    loop {
        let ranges: Arc<dyn Ranges> = Arc::<Pieces>::clone(pieces);
        let fault = match read(ranges) {
            Ok(found) => return Ok(Some(found)),
            Err(fault) => fault,
        };
        let missing = pieces.missing();
        if missing.is_empty() {
            return Err(damaged(file, &fault));
        }
        let fetched = stream::iter(missing)
            .map(async |range| Ok::<_, PortError>((range.0, fetch(objects, file, range).await?)))
            .buffered(READS_IN_FLIGHT_MAX);
        let fetched: Vec<(u64, Option<Vec<u8>>)> = fetched.try_collect().await?;
        for (offset, bytes) in fetched {
            let Some(bytes) = bytes else {
                return Ok(None);
            };
            pieces.put(offset, bytes);
        }
    }
}

/// Rows that were found in one file, by their keys alone.
#[derive(Debug)]
pub struct Found {
    file: SealedFile,
    rows: Rows,
    /// They, in the file's order.
    pub hits: Vec<Hit>,
}

/// A file of which everything is here that a search wants.
#[derive(Debug)]
pub struct Ready {
    file: SealedFile,
    rows: Rows,
}

/// What of a file's rows is read.
#[derive(Debug)]
enum Rows {
    /// Columns of these row groups, and afterwards the rows that were found.
    Columns(Part, Vec<usize>),
    /// Whole rows.
    Blocks(Vec<Block>),
}

/// Fetches what a search wants of a file, as little as its indexes allow, with some columns of the
/// rows; none when the file is gone: it may have been compacted ([`covering`]).
///
/// # Errors
/// The store's; fatal when the file is not what it should be.
pub async fn ready<O: Objects>(
    objects: &O,
    file: &SealedFile,
    wanted: &Search,
    columns: &[Column],
) -> Result<Option<Ready>, PortError> {
    match blocks(objects, file, wanted).await? {
        InBlocks::All(blocks) => {
            return Ok(Some(Ready {
                file: file.clone(),
                rows: Rows::Blocks(blocks),
            }));
        }
        InBlocks::Gone => return Ok(None),
        InBlocks::No => {}
    }
    let pieces = Arc::new(Pieces::sparse(file.bytes));
    let part = read_pieces(objects, file, &pieces, Part::open_footer).await?;
    let Some(mut part) = part else {
        return Ok(None);
    };
    let groups = read_pieces(objects, file, &pieces, |_| part.groups_where(wanted)).await?;
    let groups = groups.ok_or_else(|| gone(file))?;
    if !groups.is_empty() {
        let whole = read_pieces(objects, file, &pieces, Part::open).await?;
        part = whole.ok_or_else(|| gone(file))?;
        let fetched = read_pieces(objects, file, &pieces, |_| {
            part.want_search(wanted, &groups, columns)
        });
        fetched.await?.ok_or_else(|| gone(file))?;
    }
    Ok(Some(Ready {
        file: file.clone(),
        rows: Rows::Columns(part, groups),
    }))
}

impl Ready {
    /// Calls `each` with every row that is wanted; search and columns are those that it was made ready
    /// for.
    ///
    /// # Errors
    /// Fatal when the file is not what it should be.
    pub fn scan(
        &self,
        wanted: &Search,
        columns: &[Column],
        each: impl FnMut(&Scanned<'_>),
    ) -> Result<(), PortError> {
        let scanned = match &self.rows {
            Rows::Columns(part, groups) => part.search(wanted, groups, columns, each),
            Rows::Blocks(blocks) => scan_blocks(blocks, wanted, each),
        };
        scanned.map_err(|fault| damaged(&self.file, &fault))
    }

    /// The rows that are wanted, where they lie; what decided goes.
    ///
    /// # Errors
    /// As for [`Self::scan`].
    pub fn found(self, wanted: &Search, columns: &[Column]) -> Result<Found, PortError> {
        let mut hits = Vec::new();
        self.scan(wanted, columns, |row| hits.push(row.hit))?;
        let Self { file, mut rows } = self;
        if let Rows::Columns(part, groups) = rows {
            rows = Rows::Columns(part.over(Arc::new(Pieces::sparse(file.bytes))), groups);
        }
        Ok(Found { file, rows, hits })
    }
}

impl Found {
    /// What a row of a hit's row group or block takes on average, bytes before compression.
    #[must_use]
    pub fn row_bytes(&self, hit: &Hit) -> u64 {
        match &self.rows {
            Rows::Columns(part, _) => part.row_bytes(hit.group),
            Rows::Blocks(blocks) => blocks.get(hit.group).map_or(0, Block::row_bytes),
        }
    }

    /// Calls `each` with some of the rows, whole; `hits` in the file's order and each once. It may be
    /// called again from the first.
    ///
    /// # Errors
    /// The store's; fatal when the file is gone or is not what it should be.
    pub async fn rows<O: Objects, R>(
        &self,
        objects: &O,
        hits: &[Hit],
        mut each: impl FnMut(&Row<'_>) -> R,
    ) -> Result<Vec<R>, PortError> {
        let rows: Vec<(usize, usize)> = hits.iter().map(|hit| (hit.group, hit.row)).collect();
        let part = match &self.rows {
            Rows::Columns(part, _) => part,
            Rows::Blocks(blocks) => {
                let read = rows_of_blocks(blocks, &rows, each);
                return read.map_err(|fault| damaged(&self.file, &fault));
            }
        };
        let pieces = Arc::new(Pieces::sparse(self.file.bytes));
        let read = read_pieces(objects, &self.file, &pieces, |ranges| {
            let mut read = Vec::with_capacity(rows.len());
            part.over(ranges).for_each_of(&rows, |row| {
                read.push(each(&row));
                Ok(())
            })?;
            Ok(read)
        });
        read.await?.ok_or_else(|| gone(&self.file))
    }
}

fn damaged(file: &SealedFile, fault: &Fault) -> PortError {
    PortError::Fatal(format!("{}: {fault}", file.key))
}

fn gone(file: &SealedFile) -> PortError {
    PortError::Fatal(format!("{} is gone", file.key))
}

async fn fetch<O: Objects>(
    objects: &O,
    file: &SealedFile,
    (start, length): (u64, u64),
) -> Result<Option<Vec<u8>>, PortError> {
    let Some(bytes) = objects.get(&file.key, Some((start, length))).await? else {
        return Ok(None);
    };
    if bytes.len() as u64 == length {
        Ok(Some(bytes))
    } else {
        Err(PortError::Fatal(format!("{} is cut short", file.key)))
    }
}
