//! The rows of a day's part once more, in its blocks, and its table of actors: they must be those of the
//! columns.

use crate::Fault;
use crate::blocks::{self, ActorTable, Entry, TableEntry as _};
use crate::files::Ranges;
use crate::id_table::{self, IdEntry};
use crate::row::Row;
use std::sync::Arc;

/// Reads the blocks as the rows come.
pub(super) struct Beside {
    file: Arc<dyn Ranges>,
    /// The table as it lies in the file.
    sealed: Result<Vec<Entry>, Fault>,
    places: std::vec::IntoIter<(u64, u64)>,
    place: (u64, u64),
    text: Vec<u8>,
    /// How far the text is taken.
    at: usize,
    record: Vec<u8>,
    found: Vec<Entry>,
    /// Of version 4: the table of ids as it lies in the file, and that of the blocks.
    ids: Option<Result<Vec<IdEntry>, Fault>>,
    found_ids: Vec<IdEntry>,
    /// After the first difference the others say nothing.
    is_lost: bool,
}

fn fault(what: &str) -> Fault {
    Fault::Damaged(what.to_owned())
}

fn read(file: &dyn Ranges, (offset, length): (u64, u64)) -> Result<bytes::Bytes, Fault> {
    let length = usize::try_from(length).map_err(|_| fault("a block that is too large"))?;
    Ok(file.read(offset, length)?)
}

impl Beside {
    /// With the tables of the part that has `ids` in version 4.
    pub(super) fn open(file: &Arc<dyn Ranges>, table: ActorTable, ids: Option<ActorTable>) -> Self {
        let ids = ids.map(|table| {
            let bytes = read(file.as_ref(), table.place(&(0..table.entries)));
            bytes.and_then(|bytes| blocks::entries(&bytes))
        });
        let sealed = read(file.as_ref(), table.place(&(0..table.entries)));
        let sealed: Result<Vec<Entry>, Fault> = sealed.and_then(|bytes| blocks::entries(&bytes));
        let mut places: Vec<(u64, u64)> = sealed.iter().flatten().map(Entry::block).collect();
        places.sort_unstable();
        places.dedup();
        Self {
            file: Arc::clone(file),
            sealed,
            places: places.into_iter(),
            place: (0, 0),
            text: Vec::new(),
            at: 0,
            record: Vec::new(),
            found: Vec::new(),
            ids,
            found_ids: Vec::new(),
            is_lost: false,
        }
    }

    /// Holds the next row of the columns, and its leaf, against the next one of the blocks.
    ///
    /// # Errors
    /// Once, when it is another one.
    pub(super) fn take(&mut self, row: &Row<'_>, leaf: &[u8]) -> Result<(), Fault> {
        // Of an erased row there is nothing in the blocks.
        if self.is_lost || self.sealed.is_err() || row.erased.is_some() {
            return Ok(());
        }
        let same = self.is_next(row, leaf);
        self.is_lost = !matches!(same, Ok(true));
        if same? {
            Ok(())
        } else {
            Err(fault("is another row in its block than in its columns"))
        }
    }

    fn is_next(&mut self, row: &Row<'_>, leaf: &[u8]) -> Result<bool, Fault> {
        if self.at == self.text.len() {
            let Some(place) = self.places.next() else {
                return Err(fault("is in no block"));
            };
            self.text = blocks::text_of(&read(self.file.as_ref(), place)?)?;
            (self.place, self.at) = (place, 0);
        }
        self.record.clear();
        match &self.ids {
            Some(_) => blocks::write_blind_record(row, &mut self.record),
            None => blocks::write_record(leaf, row.event, &mut self.record),
        }
        if !self.text[self.at..].starts_with(&self.record) {
            return Ok(false);
        }
        self.at += self.record.len();
        let (offset, length) = self.place;
        let entry = Entry {
            actor: blocks::hash(row.actor),
            group: blocks::hash(row.group),
            offset,
            bytes: u32::try_from(length).unwrap_or(u32::MAX),
        };
        if self.found.last() != Some(&entry) {
            self.found.push(entry);
        }
        if self.ids.is_some() {
            self.found_ids.push(IdEntry {
                id: id_table::hash(row),
                offset,
                bytes: entry.bytes,
            });
        }
        Ok(true)
    }

    /// After the last row.
    ///
    /// # Errors
    /// When the blocks have more rows, or the table says something else than they.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        let sealed = self.sealed?;
        if self.is_lost {
            return Ok(());
        }
        if self.at < self.text.len() || self.places.next().is_some() {
            return Err(fault("its blocks have more rows than its columns"));
        }
        self.found.sort_unstable();
        self.found.dedup();
        if self.found != sealed {
            return Err(fault("its table of actors is not that of its blocks"));
        }
        if let Some(sealed) = self.ids.transpose()? {
            self.found_ids.sort_unstable();
            self.found_ids.dedup();
            if self.found_ids != sealed {
                return Err(fault("its table of ids is not that of its blocks"));
            }
        }
        Ok(())
    }
}
