//! Acknowledged receipts.

use super::table::{Cell, CellKind, Table};
use super::{BesideRow, bad, count, number, receipt, text};
use crate::Fault;
use crate::files::Ranges;
use crate::seal::Beside;
use std::sync::Arc;
use vernier_ledger::digest::Digest;
use vernier_ledger::ids::ReceiptId;

/// What a leaf of evidence begins with.
const EVIDENCE_LEAF: u8 = 0x06;

const TABLE: Table = Table(&[
    ("receipt", CellKind::Text),
    ("sensor", CellKind::Text),
    ("slices", CellKind::Number),
    ("events", CellKind::Number),
    ("rejected", CellKind::Number),
    ("bytes", CellKind::Number),
    ("digest", CellKind::Hash),
]);

/// One acknowledged receipt, and what it acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The receipt.
    pub receipt: ReceiptId,
    /// The sensor that the token named.
    pub sensor: String,
    /// Slices of the envelope.
    pub slices: u32,
    /// Its events, whatever became of them.
    pub events: u32,
    /// Those of them that were rejected.
    pub rejected: u32,
    /// Size of its body, bytes.
    pub bytes: u64,
    /// The digest over its events.
    pub digest: Digest,
}

impl BesideRow for Evidence {
    const BESIDE: Beside = Beside::Evidence;

    fn for_each(
        file: &Arc<dyn Ranges>,
        mut each: impl FnMut(Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        TABLE.for_each(file, |cells| {
            each(Self {
                receipt: receipt(&TABLE, cells, 0)?,
                sensor: text(&TABLE, cells, 1)?,
                slices: count(&TABLE, cells, 2)?,
                events: count(&TABLE, cells, 3)?,
                rejected: count(&TABLE, cells, 4)?,
                bytes: count(&TABLE, cells, 5)?,
                digest: Digest::from_bytes(cells[6].hash().ok_or_else(|| bad(&TABLE, 6))?),
            })
        })
    }

    fn to_bytes(rows: &[Self]) -> Result<Vec<u8>, Fault> {
        TABLE.to_bytes(rows.iter().map(|row| {
            vec![
                Cell::Text(row.receipt.to_string()),
                Cell::Text(row.sensor.clone()),
                number(row.slices),
                number(row.events),
                number(row.rejected),
                number(row.bytes),
                Cell::Hash(row.digest.to_bytes()),
            ]
        }))
    }

    fn leaf(&self) -> Option<Vec<u8>> {
        let mut leaf = vec![EVIDENCE_LEAF];
        leaf.extend_from_slice(self.receipt.as_bytes());
        crate::row::write_text(&mut leaf, &self.sensor);
        for count in [self.slices, self.events, self.rejected] {
            leaf.extend_from_slice(&count.to_be_bytes());
        }
        leaf.extend_from_slice(&self.bytes.to_be_bytes());
        leaf.extend_from_slice(&self.digest.to_bytes());
        Some(leaf)
    }
}
