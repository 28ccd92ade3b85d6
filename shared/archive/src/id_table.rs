//! Which block has the rows with an id: the table behind that of actors in a day's part of version 4.

use crate::blocks::{ActorTable, TableEntry};
use crate::row::Row;
use sha2::{Digest as _, Sha256};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::event_id::EventId;

/// What an entry takes, bytes.
pub(crate) const ENTRY_BYTES: usize = 20;

/// Which block has rows of an id. In the table by id and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IdEntry {
    pub(crate) id: u64,
    /// Where the block lies in the file.
    pub(crate) offset: u64,
    /// The size of the block, bytes.
    pub(crate) bytes: u32,
}

/// What stands for a row's id in the table: the first eight bytes of the SHA-256 of the id, UUIDs in small letters; of
/// the fingerprint's hexadecimal text where there is none.
pub(crate) fn hash(row: &Row<'_>) -> u64 {
    match row.id {
        Some(id) => id_hash(id),
        None => beginning(Sha256::digest(Fingerprint(row.fingerprint).hex()).into()),
    }
}

/// What stands for an id, whatever its spelling.
pub(crate) fn id_hash(id: &str) -> u64 {
    beginning(EventId(id).with_folded(|id| Sha256::digest(id).into()))
}

const fn beginning([a, b, c, d, e, f, g, h, ..]: [u8; 32]) -> u64 {
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The bytes of a table, its entries put in order.
pub(crate) fn table(mut entries: Vec<IdEntry>) -> Vec<u8> {
    entries.sort_unstable();
    entries.dedup();
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in &entries {
        bytes.extend_from_slice(&entry.id.to_be_bytes());
        bytes.extend_from_slice(&entry.offset.to_be_bytes());
        bytes.extend_from_slice(&entry.bytes.to_be_bytes());
    }
    bytes
}

/// Where a table lies whose bytes are these.
pub(crate) fn place(offset: u64, table: &[u8]) -> ActorTable {
    let entries = (table.len() / ENTRY_BYTES) as u64;
    ActorTable { offset, entries }
}

impl TableEntry for IdEntry {
    fn hash(&self) -> u64 {
        self.id
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        Some(Self {
            id: u64::from_be_bytes(*id),
            offset: u64::from_be_bytes(*offset),
            bytes: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }

    fn block(&self) -> (u64, u64) {
        (self.offset, u64::from(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::entries;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_back_in_the_order_of_their_bytes(made in proptest::collection::vec((any::<u64>(), 0u64..9, 0u32..3), 0..40)) {
            let mut wanted: Vec<IdEntry> = made.iter().map(|(id, offset, bytes)| IdEntry { id: *id, offset: *offset, bytes: *bytes }).collect();
            let bytes = table(wanted.clone());
            prop_assert!(bytes.chunks(ENTRY_BYTES).is_sorted());
            wanted.sort_unstable();
            wanted.dedup();
            prop_assert_eq!(entries::<IdEntry>(&bytes).expect("entries"), wanted);
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert!(entries::<IdEntry>(&[0; 19]).is_err());
        assert!(entries::<IdEntry>(&[0; 21]).is_err());
    }
}
