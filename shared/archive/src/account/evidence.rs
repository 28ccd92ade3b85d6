//! The evidence of a window: its acknowledged receipts.

use super::table::{Cell, CellKind, Table};
use super::{BesideRow, bad, count, number, receipt, text};
use crate::Fault;
use crate::files::Ranges;
use crate::row::{Bytes, bad_leaf, receipt_from};
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

const DAY_TABLE: Table = Table(&[
    ("receipt", CellKind::Text),
    ("sensor", CellKind::Text),
    ("slices", CellKind::Number),
    ("events", CellKind::Number),
    ("rejected", CellKind::Number),
    ("bytes", CellKind::Number),
    ("digest", CellKind::Hash),
    ("seal", CellKind::Number),
]);

/// One acknowledged receipt, and what it acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The receipt that was acknowledged.
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

impl Evidence {
    fn read(table: &Table, cells: &[Cell]) -> Result<Self, Fault> {
        Ok(Self {
            receipt: receipt(table, cells, 0)?,
            sensor: text(table, cells, 1)?,
            slices: count(table, cells, 2)?,
            events: count(table, cells, 3)?,
            rejected: count(table, cells, 4)?,
            bytes: count(table, cells, 5)?,
            digest: Digest::from_bytes(cells[6].hash().ok_or_else(|| bad(table, 6))?),
        })
    }

    /// Reads what [`BesideRow::leaf`] wrote.
    ///
    /// # Errors
    /// When the bytes are no such leaf.
    pub(crate) fn from_leaf(leaf: &[u8]) -> Result<Self, Fault> {
        let mut from = Bytes(leaf);
        if from.array()? != [EVIDENCE_LEAF] {
            return Err(bad_leaf());
        }
        let receipt = receipt_from(from.array()?)?;
        let sensor = from.text()?.to_owned();
        let mut count = || Ok::<_, Fault>(u32::from_be_bytes(from.array()?));
        let (slices, events, rejected) = (count()?, count()?, count()?);
        Ok(Self {
            receipt,
            sensor,
            slices,
            events,
            rejected,
            bytes: u64::from_be_bytes(from.array()?),
            digest: Digest::from_bytes(from.array()?),
        })
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Text(self.receipt.to_string()),
            Cell::Text(self.sensor.clone()),
            number(self.slices),
            number(self.events),
            number(self.rejected),
            number(self.bytes),
            Cell::Hash(self.digest.to_bytes()),
        ]
    }
}

/// Evidence in a day's files: which seal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvidence {
    /// The evidence as the seal's window has it.
    pub evidence: Evidence,
    /// Sequence of the seal that has it.
    pub seal: u64,
}

impl BesideRow for SealedEvidence {
    const BESIDE: Beside = Beside::DayEvidence;

    fn for_each(
        file: &Arc<dyn Ranges>,
        mut each: impl FnMut(Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        DAY_TABLE.for_each(file, |cells| {
            each(Self {
                evidence: Evidence::read(&DAY_TABLE, cells)?,
                seal: count(&DAY_TABLE, cells, 7)?,
            })
        })
    }

    fn to_bytes(rows: &[Self]) -> Result<Vec<u8>, Fault> {
        DAY_TABLE.to_bytes(rows.iter().map(|row| {
            let mut cells = row.evidence.cells();
            cells.push(number(row.seal));
            cells
        }))
    }

    fn leaf(&self) -> Option<Vec<u8>> {
        None
    }
}

impl BesideRow for Evidence {
    const BESIDE: Beside = Beside::Evidence;

    fn for_each(
        file: &Arc<dyn Ranges>,
        mut each: impl FnMut(Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        TABLE.for_each(file, |cells| each(Self::read(&TABLE, cells)?))
    }

    fn to_bytes(rows: &[Self]) -> Result<Vec<u8>, Fault> {
        TABLE.to_bytes(rows.iter().map(Self::cells))
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
