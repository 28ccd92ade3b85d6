//! The rows of windows and backfills out of the files of the day that covers their seals.

use super::{damaged, fetch, find_file, gone};
use crate::Fault;
use crate::columns::SealedBy;
use crate::pieces::Pieces;
use crate::reader::{Part, Reading};
use crate::row::Row;
use crate::seal::{PartClass, Seal, SealKind, SealedFile};
use std::sync::Arc;
use vernier_ledger::chain::{SealEntry, day_of};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Chains, Objects, PortError};

/// The seal of the day that covers a window's or backfill's seal; none when
/// it has not been compacted.
///
/// # Errors
/// Whatever error the stores give.
pub async fn covering<T: Chains, O: Objects>(
    table: &T,
    objects: &O,
    tenant: &TenantId,
    entry: &SealEntry,
) -> Result<Option<Seal>, PortError> {
    let day = day_of(entry.window.start);
    let days = table.days(tenant, day.start, day.end).await?;
    let Some(day) = days.iter().find(|d| d.covers.contains(entry.sequence)) else {
        return Ok(None);
    };
    super::read_seal(objects, tenant, day).await.map(Some)
}

/// As [`covering`] where a file of the seal is gone.
///
/// # Errors
/// The store's; fatal when no day covers the seal: then its file is lost.
pub async fn covering_gone<T: Chains, O: Objects>(
    table: &T,
    objects: &O,
    tenant: &TenantId,
    entry: &SealEntry,
    file: &SealedFile,
) -> Result<Seal, PortError> {
    let day = covering(table, objects, tenant, entry).await?;
    day.ok_or_else(|| gone(file))
}

/// Calls `each` with the rows of one seal, of one class and in their order, from the files of the day
/// that covers it. One row group is in memory at a time.
///
/// # Errors
/// The store's; fatal when a file is gone or is not what it should be, and what `each` answers.
pub async fn for_each_covered<O: Objects>(
    objects: &O,
    day: &Seal,
    (sequence, class): (u64, PartClass),
    reading: Reading,
    mut each: impl FnMut(Row<'_>) -> Result<(), Fault>,
) -> Result<(), PortError> {
    let files = day.files_of(class);
    for_each_of_day(objects, day, files, reading, |row, by| {
        if by.seal == sequence {
            each(row)?;
        }
        Ok(())
    })
    .await
}

/// A part of a covered seal of version 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoveredPart {
    /// Sequence of the seal.
    pub sequence: u64,
    /// Which of the seal's files it is, from 0.
    pub number: u32,
    /// Which rows it has.
    pub class: PartClass,
}

/// As [`for_each_covered`] of one part, in the part's order: only days of version 4 tell parts apart.
///
/// # Errors
/// The same as of [`for_each_covered`].
pub async fn for_each_covered_part<O: Objects>(
    objects: &O,
    day: &Seal,
    part: CoveredPart,
    reading: Reading,
    mut each: impl FnMut(Row<'_>) -> Result<(), Fault>,
) -> Result<(), PortError> {
    let wanted = SealedBy {
        seal: part.sequence,
        part: Some(part.number),
    };
    let files = day.files_of(part.class);
    for_each_of_day(objects, day, files, reading, |row, by| {
        if by == wanted {
            each(row)?;
        }
        Ok(())
    })
    .await
}

async fn for_each_of_day<'s, O: Objects>(
    objects: &O,
    day: &Seal,
    files: impl Iterator<Item = &'s SealedFile>,
    reading: Reading,
    mut each: impl FnMut(Row<'_>, SealedBy) -> Result<(), Fault>,
) -> Result<(), PortError> {
    debug_assert_eq!(day.kind, SealKind::Day);
    for file in files {
        let read = find_rows(objects, file, reading, |row, by| match by {
            Some(by) => each(row, by),
            None => Ok(()),
        });
        read.await?.ok_or_else(|| gone(file))?;
    }
    Ok(())
}

/// Calls `each` with the rows of a file in their order, one row group in memory at a time, and where each was sealed when
/// the file is a day's; none when the file is gone: some of its rows may have been shown by then.
///
/// # Errors
/// The store's; fatal when the file is not what it should be, and what `each` answers.
pub async fn find_rows<O: Objects>(
    objects: &O,
    file: &SealedFile,
    reading: Reading,
    mut each: impl FnMut(Row<'_>, Option<SealedBy>) -> Result<(), Fault>,
) -> Result<Option<()>, PortError> {
    let Some(part) = find_file(objects, file, Part::open).await? else {
        return Ok(None);
    };
    for group in 0..part.groups() {
        let pieces = Arc::new(Pieces::of(file.bytes));
        for range in part.ranges(group, reading) {
            let Some(bytes) = fetch(objects, file, range).await? else {
                return Ok(None);
            };
            pieces.put(range.0, bytes);
        }
        let here = part.over(pieces);
        let read = here.for_each_sealed_by(group, reading, &mut each);
        read.map_err(|fault| damaged(file, &fault))?;
    }
    Ok(Some(()))
}

/// Bytes that [`find_rows`] reads of a file's columns; none when the file is gone.
///
/// # Errors
/// The store's; fatal when the file is not what it should be.
pub async fn row_bytes<O: Objects>(
    objects: &O,
    file: &SealedFile,
    reading: Reading,
) -> Result<Option<u64>, PortError> {
    let found = find_file(objects, file, |ranges| {
        let part = Part::open(ranges)?;
        let ranges = (0..part.groups()).flat_map(|group| part.ranges(group, reading));
        Ok(ranges.map(|(_, length)| length).sum())
    });
    found.await
}

/// Bytes that reading the rows of some classes takes of a day.
///
/// # Errors
/// The store's; fatal when a file is gone or is not what it should be.
pub async fn covered_bytes<O: Objects>(
    objects: &O,
    day: &Seal,
    classes: &[PartClass],
    reading: Reading,
) -> Result<u64, PortError> {
    let mut bytes = 0;
    for file in classes.iter().flat_map(|class| day.files_of(*class)) {
        let found = row_bytes(objects, file, reading).await?;
        bytes += found.ok_or_else(|| gone(file))?;
    }
    Ok(bytes)
}
