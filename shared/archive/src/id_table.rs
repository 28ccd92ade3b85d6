//! Which block has the rows with an id: the table behind that of actors in a day's part of version 4.

use crate::Fault;
use crate::blocks::ActorTable;
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
    let hash: [u8; 32] = match row.id {
        Some(id) => EventId(id).with_folded(|id| Sha256::digest(id).into()),
        None => Sha256::digest(Fingerprint(row.fingerprint).hex()).into(),
    };
    let [a, b, c, d, e, f, g, h, ..] = hash;
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

/// The entries of a stretch of a table.
///
/// # Errors
/// When the bytes are none.
pub(crate) fn entries(bytes: &[u8]) -> Result<Vec<IdEntry>, Fault> {
    let read = |bytes: &[u8]| {
        let (id, rest) = bytes.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        Some(IdEntry {
            id: u64::from_be_bytes(*id),
            offset: u64::from_be_bytes(*offset),
            bytes: u32::from_be_bytes(rest.try_into().ok()?),
        })
    };
    let all: Option<_> = bytes.chunks(ENTRY_BYTES).map(read).collect();
    all.ok_or_else(|| Fault::Damaged("a table of ids that is none".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_back_in_the_order_of_their_bytes(made in proptest::collection::vec((any::<u64>(), 0u64..9, 0u32..3), 0..40)) {
            let mut wanted: Vec<IdEntry> = made.iter().map(|(id, offset, bytes)| IdEntry { id: *id, offset: *offset, bytes: *bytes }).collect();
            let bytes = table(wanted.clone());
            prop_assert!(bytes.chunks(ENTRY_BYTES).is_sorted());
            wanted.sort_unstable();
            wanted.dedup();
            prop_assert_eq!(entries(&bytes).expect("entries"), wanted);
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert!(entries(&[0; 19]).is_err());
        assert!(entries(&[0; 21]).is_err());
    }
}
