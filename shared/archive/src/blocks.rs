//! Rows one after the other: beside its columns a day's part has each row whole, in blocks, and a table
//! that says in which blocks an actor's rows lie. Who wants what one actor did reads a stretch of the
//! table and those blocks, where the columns would take a page of each. docs/seal.md has the bytes.

use crate::Fault;
use crate::id_table::{self, IdEntry};
use crate::limits;
use crate::row::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use vernier_ledger::compression;

/// What an entry of the table takes, bytes.
const ENTRY_BYTES: usize = 20;

/// How far from where its hash says an actor's entries are looked for, in square roots of the number
/// of entries: a hash among n evenly spread ones is half a root off (one standard deviation at most).
const REACH_ROOTS: u64 = 4;

/// Where a part's table of actors lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorTable {
    /// Offset of its first entry in the file, bytes.
    pub offset: u64,
    /// Entries in it, 20 bytes each.
    pub entries: u64,
}

/// Which block has rows of an actor in a group. In the table by actor, group and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) actor: u32,
    pub(crate) group: u32,
    /// Where the block lies in the file.
    pub(crate) offset: u64,
    /// Its size, bytes.
    pub(crate) bytes: u32,
}

/// What stands for a text in the table: the first four bytes of its SHA-256; none is as the empty text.
pub(crate) fn hash(text: Option<&str>) -> u32 {
    let hash: [u8; 32] = Sha256::digest(text.unwrap_or_default()).into();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

fn bad_table() -> Fault {
    Fault::Damaged("a table of actors or ids that is none".to_owned())
}

fn bad_block() -> Fault {
    Fault::Damaged("a block of rows that is none".to_owned())
}

impl Entry {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.actor.to_be_bytes());
        out.extend_from_slice(&self.group.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
    }
}

/// An entry of a table beside a part's rows: which block has rows of what its hash stands for.
pub(crate) trait TableEntry: Sized {
    /// What the table is sorted by first, of 2^64.
    fn hash(&self) -> u64;

    /// Reads the bytes of one entry; none when they are none.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// Where the block lies, as offset and length.
    fn block(&self) -> (u64, u64);
}

/// What stands for an actor's id, spread over 2^64.
pub(crate) fn actor_hash(actor: &str) -> u64 {
    u64::from(hash(Some(actor))) << u32::BITS
}

impl TableEntry for Entry {
    fn hash(&self) -> u64 {
        u64::from(self.actor) << u32::BITS
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (actor, rest) = bytes.split_first_chunk()?;
        let (group, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        Some(Self {
            actor: u32::from_be_bytes(*actor),
            group: u32::from_be_bytes(*group),
            offset: u64::from_be_bytes(*offset),
            bytes: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }

    fn block(&self) -> (u64, u64) {
        (self.offset, u64::from(self.bytes))
    }
}

/// The bytes of a table, its entries put in order.
pub(crate) fn table(mut entries: Vec<Entry>) -> Vec<u8> {
    entries.sort_unstable();
    entries.dedup();
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in &entries {
        entry.write(&mut bytes);
    }
    bytes
}

/// The entries of a stretch of a table.
///
/// # Errors
/// When the bytes are none.
pub(crate) fn entries<E: TableEntry>(bytes: &[u8]) -> Result<Vec<E>, Fault> {
    let read = bytes.chunks(ENTRY_BYTES).map(E::read);
    read.collect::<Option<_>>().ok_or_else(bad_table)
}

impl ActorTable {
    pub(crate) fn of(offset: u64, table: &[u8]) -> Self {
        let entries = (table.len() / ENTRY_BYTES) as u64;
        Self { offset, entries }
    }

    /// The entries, by number, among which those of a hash are in all likelihood.
    pub(crate) fn near(&self, hash: u64) -> Range<u64> {
        let middle = (u128::from(hash) * u128::from(self.entries)) >> u64::BITS;
        let middle = u64::try_from(middle).unwrap_or(self.entries);
        let reach = REACH_ROOTS * self.entries.isqrt() + 1;
        middle.saturating_sub(reach)..middle.saturating_add(reach).min(self.entries)
    }

    /// Where entries lie, as offset and length.
    pub(crate) const fn place(&self, entries: &Range<u64>) -> (u64, u64) {
        let bytes = ENTRY_BYTES as u64;
        let start = self.offset.saturating_add(entries.start * bytes);
        (start, (entries.end - entries.start) * bytes)
    }

    /// The stretch to read instead when entries of the hash may go on beyond the one that was read;
    /// none when they do not.
    pub(crate) fn wider<E: TableEntry>(
        &self,
        read: &Range<u64>,
        entries: &[E],
        hash: u64,
    ) -> Option<Range<u64>> {
        let before = read.start > 0 && entries.first().is_none_or(|e| e.hash() >= hash);
        let after = read.end < self.entries && entries.last().is_none_or(|e| e.hash() <= hash);
        let more = 4 * (read.end - read.start) + 1;
        let start = read.start.saturating_sub(if before { more } else { 0 });
        let end = read.end.saturating_add(if after { more } else { 0 });
        (before || after).then_some(start..end.min(self.entries))
    }
}

/// The blocks of a row group, and what they have, offsets from the first one.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    /// The table of ids that days of version 4 have.
    pub(crate) ids: Vec<IdEntry>,
}

/// Actor and group of a row, and what stands for them.
type Whose = ((Option<String>, Option<String>), (u32, u32));

/// Puts rows into blocks.
#[derive(Debug, Default)]
pub(crate) struct BlocksWriter {
    text: Vec<u8>,
    here: Vec<(u32, u32)>,
    ids_here: Vec<u64>,
    last: Option<Whose>,
    done: Blocks,
}

impl BlocksWriter {
    /// Adds a row, whose leaf it is given.
    pub(crate) fn push(&mut self, leaf: &[u8], row: &Row<'_>) -> Result<(), Fault> {
        let whose = self.whose(row);
        if self.here.last() != Some(&whose) {
            self.here.push(whose);
        }
        write_record(leaf, row.event, &mut self.text);
        self.end_full_block()
    }

    /// Adds a row to blocks of version 4, which have no erased rows.
    pub(crate) fn push_blind(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        if row.erased.is_some() {
            return Ok(());
        }
        let whose = self.whose(row);
        if self.here.last() != Some(&whose) {
            self.here.push(whose);
        }
        self.ids_here.push(id_table::hash(row));
        write_blind_record(row, &mut self.text);
        self.end_full_block()
    }

    fn end_full_block(&mut self) -> Result<(), Fault> {
        if self.text.len() >= limits::BLOCK_TEXT_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    /// Rows of one actor and group follow each other: they are hashed once.
    fn whose(&mut self, row: &Row<'_>) -> (u32, u32) {
        if let Some(((actor, group), hashes)) = &self.last
            && (actor.as_deref(), group.as_deref()) == (row.actor, row.group)
        {
            return *hashes;
        }
        let hashes = (hash(row.actor), hash(row.group));
        let texts = (row.actor.map(str::to_owned), row.group.map(str::to_owned));
        self.last = Some((texts, hashes));
        hashes
    }

    fn end_block(&mut self) -> Result<(), Fault> {
        let block = compression::compress(&self.text, limits::BLOCK_ZSTD_LEVEL)?;
        self.text.clear();
        let offset = self.done.bytes.len() as u64;
        let bytes = u32::try_from(block.len()).map_err(|_| bad_block())?;
        self.done.bytes.extend_from_slice(&block);
        let entry = |(actor, group)| Entry {
            actor,
            group,
            offset,
            bytes,
        };
        self.done.entries.extend(self.here.drain(..).map(entry));
        let id_entry = |id| IdEntry { id, offset, bytes };
        self.done.ids.extend(self.ids_here.drain(..).map(id_entry));
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Blocks, Fault> {
        if !self.text.is_empty() {
            self.end_block()?;
        }
        Ok(self.done)
    }
}

/// A row in a block: its leaf, and its event behind a 1 and its length, or a 0.
pub(crate) fn write_record(leaf: &[u8], event: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(leaf);
    out.push(u8::from(event.is_some()));
    if let Some(event) = event {
        // An event has at most 16 MiB.
        let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(event.as_bytes());
    }
}

/// A row in a block of version 4: its halves, and its event behind its length where it
/// has a text, else its fingerprint.
pub(crate) fn write_blind_record(row: &Row<'_>, out: &mut Vec<u8>) {
    row.write_public_half(out);
    row.write_personal_half(out);
    match row.event {
        Some(event) => {
            // An event has at most 16 MiB.
            let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(event.as_bytes());
        }
        None => out.extend_from_slice(&row.fingerprint),
    }
}

/// What a block has before compression.
///
/// # Errors
/// When it is none.
pub(crate) fn text_of(block: &[u8]) -> Result<Vec<u8>, Fault> {
    let text = compression::decompress(block, limits::BLOCK_TEXT_BYTES_MAX)?;
    if text.len() > limits::BLOCK_TEXT_BYTES_MAX {
        return Err(bad_block());
    }
    Ok(text)
}

/// How the rows of a block are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockForm {
    /// Each row's leaf of version 1, and its event.
    Plain,
    /// Of version 4: each row's halves, and its event or its fingerprint.
    Blind,
}

/// Calls `each` with the rows of a block's text, in the file's order, with their numbers in it. A row of version 4 that
/// has a text comes without its fingerprint ([`Row::with_fingerprint_of_text`]), and all of them without their salts.
///
/// # Errors
/// When they are none, or what `each` answers.
pub(crate) fn for_each_row<'t>(
    text: &'t [u8],
    form: BlockForm,
    mut each: impl FnMut(usize, Row<'t>) -> Result<(), Fault>,
) -> Result<usize, Fault> {
    let (mut rest, mut rows) = (text, 0);
    while !rest.is_empty() {
        let (row, after) = match form {
            BlockForm::Plain => {
                let (mut row, event) = Row::read_leaf(rest)?;
                let (text, after) = read_event(event)?;
                row.event = text;
                (row, after)
            }
            BlockForm::Blind => read_blind_record(rest)?,
        };
        rest = after;
        each(rows, row)?;
        rows += 1;
    }
    Ok(rows)
}

/// A row of a block of version 4, and the bytes that follow it.
fn read_blind_record(bytes: &[u8]) -> Result<(Row<'_>, &[u8]), Fault> {
    let (mut row, rest) = Row::read_public_half(bytes)?;
    let (has_text, rest) = row.read_personal_half(rest)?;
    if has_text {
        let (text, rest) = read_text(rest)?;
        row.event = Some(text);
        return Ok((row, rest));
    }
    let (fingerprint, rest) = rest.split_first_chunk().ok_or_else(bad_block)?;
    row.fingerprint = *fingerprint;
    Ok((row, rest))
}

fn read_event(bytes: &[u8]) -> Result<(Option<&str>, &[u8]), Fault> {
    match bytes.split_first() {
        Some((0, rest)) => Ok((None, rest)),
        Some((1, rest)) => {
            let (event, rest) = read_text(rest)?;
            Ok((Some(event), rest))
        }
        _ => Err(bad_block()),
    }
}

/// A text behind its length in 4 bytes, and the bytes that follow it.
fn read_text(bytes: &[u8]) -> Result<(&str, &[u8]), Fault> {
    let (length, rest) = bytes.split_first_chunk().ok_or_else(bad_block)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (text, rest) = rest.split_at_checked(length).ok_or_else(bad_block)?;
    let text = std::str::from_utf8(text).map_err(|_| bad_block())?;
    Ok((text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the hashes, stretches that widen find every entry of an actor, and soon.
        #[test]
        fn a_table_is_searched_by_stretches(
            actors in proptest::collection::vec(prop_oneof![any::<u32>(), 0_u32..50], 0..2_000),
            wanted in prop_oneof![any::<u32>(), 0_u32..50],
        ) {
            let entry = |(n, actor): (usize, &u32)| Entry {
                actor: *actor,
                group: 7,
                offset: n as u64,
                bytes: 1,
            };
            let all: Vec<Entry> = actors.iter().enumerate().map(entry).collect();
            let bytes = table(all.clone());
            let table = ActorTable::of(1_000, &bytes);
            prop_assert_eq!(table.entries, all.len() as u64);
            let hash = u64::from(wanted) << 32;
            let (mut near, mut turns) = (table.near(hash), 0);
            let found = loop {
                let (start, length) = table.place(&near);
                let at = |place: u64| usize::try_from(place - 1_000).expect("small");
                let read = entries::<Entry>(&bytes[at(start)..at(start + length)]).expect("entries");
                match table.wider(&near, &read, hash) {
                    Some(wider) => near = wider,
                    None => break read,
                }
                turns += 1;
                prop_assert!(turns < 10, "ends");
            };
            let mut expected: Vec<Entry> = all.into_iter().filter(|e| e.actor == wanted).collect();
            expected.sort_unstable();
            let found: Vec<Entry> = found.into_iter().filter(|e| e.actor == wanted).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn evenly_spread_hashes_are_found_at_once() {
        let names: Vec<String> = (0..20_000).map(|n| format!("urn:learner:{n}")).collect();
        let entry = |name: &String| Entry {
            actor: hash(Some(name)),
            group: 0,
            offset: 0,
            bytes: 0,
        };
        let bytes = table(names.iter().map(entry).collect());
        let table = ActorTable::of(0, &bytes);
        // The table has all of them; of like hashes, every tenth is looked for.
        let again = names.iter().step_by(10).filter(|name| {
            let actor = actor_hash(name);
            let near = table.near(actor);
            assert!(near.end - near.start < 1_200, "of 20,000");
            let (start, length) = table.place(&near);
            let at = |place: u64| usize::try_from(place).expect("small");
            let read = entries::<Entry>(&bytes[at(start)..at(start + length)]).expect("entries");
            table.wider(&near, &read, actor).is_some()
        });
        assert_eq!(again.count(), 0);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        assert!(text_of(b"no frame").is_err());
        for bytes in [&b"no row"[..], &[0], &[0; 200]] {
            for form in [BlockForm::Plain, BlockForm::Blind] {
                assert!(for_each_row(bytes, form, |_, _| Ok(())).is_err());
            }
        }
        assert!(entries::<Entry>(&[0; 19]).is_err());
    }
}
