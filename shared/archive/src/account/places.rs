//! Places of erased rows.

use super::table::{Cell, CellKind, Table};
use super::{BesideRow, count, number, receipt};
use crate::Fault;
use crate::files::Ranges;
use crate::seal::Beside;
use std::sync::Arc;
use vernier_ledger::ids::ReceiptId;

const TABLE: Table = Table(&[
    ("seal", CellKind::Number),
    ("part", CellKind::Number),
    ("receipt", CellKind::Text),
    ("index", CellKind::Number),
]);

/// Where an erased row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErasedPlace {
    /// Sequence of the seal that sealed the row.
    pub seal: u64,
    /// Which of its parts has the row, from 0.
    pub part: u32,
    /// The receipt of the erased event's envelope.
    pub receipt: ReceiptId,
    /// Position in the envelope.
    pub index: u32,
}

impl BesideRow for ErasedPlace {
    const BESIDE: Beside = Beside::Places;

    fn for_each(
        file: &Arc<dyn Ranges>,
        mut each: impl FnMut(Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        TABLE.for_each(file, |cells| {
            each(Self {
                seal: count(&TABLE, cells, 0)?,
                part: count(&TABLE, cells, 1)?,
                receipt: receipt(&TABLE, cells, 2)?,
                index: count(&TABLE, cells, 3)?,
            })
        })
    }

    fn to_bytes(rows: &[Self]) -> Result<Vec<u8>, Fault> {
        TABLE.to_bytes(rows.iter().map(|row| {
            vec![
                number(row.seal),
                number(row.part),
                Cell::Text(row.receipt.to_string()),
                number(row.index),
            ]
        }))
    }

    fn leaf(&self) -> Option<Vec<u8>> {
        None
    }
}
