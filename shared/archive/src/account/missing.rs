//! Receipts of which something is missing.

use super::table::{Cell, CellKind, Table};
use super::{BesideRow, bad, count, number, receipt, text};
use crate::Fault;
use crate::files::Ranges;
use crate::seal::Beside;
use std::sync::Arc;
pub use vernier_ledger::account::MissingCause;
use vernier_ledger::account::MissingReceipt;
use vernier_ledger::digest::Digest;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::ReceiptId;

const TABLE: Table = Table(&[
    ("receipt", CellKind::Text),
    ("sensor", CellKind::Text),
    ("slices", CellKind::Text),
    ("events", CellKind::Number),
    ("rejected", CellKind::Number),
    ("digest", CellKind::Hash),
    ("cause", CellKind::Text),
    ("sent_again", CellKind::OptionalText),
]);

/// A receipt of which something is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The receipt of which something is missing.
    pub receipt: ReceiptId,
    /// The sensor that the token named.
    pub sensor: String,
    /// Numbers of the missing slices.
    pub slices: Vec<u32>,
    /// Events that are missing.
    pub events: u32,
    /// Those of them that were rejected.
    pub rejected: u32,
    /// The digest over what is missing.
    pub digest: Digest,
    /// Why what is missing cannot be had.
    pub cause: MissingCause,
    /// The receipt under which the same body came again.
    pub sent_again: Option<ReceiptId>,
}

impl Missing {
    /// The receipt as accounts and answers name it.
    #[must_use]
    pub fn receipt(&self) -> MissingReceipt {
        MissingReceipt {
            receipt: self.receipt,
            slices: self.slices.clone(),
            cause: self.cause,
            sensor: Some(self.sensor.clone()),
            events: Some(u64::from(self.events)),
            sent_again: self.sent_again,
        }
    }

    /// How much is missing.
    #[must_use]
    pub fn lack(&self) -> Tally {
        Tally {
            events: u64::from(self.events),
            rejected: u64::from(self.rejected),
            digest: self.digest,
        }
    }

    /// The row with so much missing; a receipt has at most as many events as a body may have.
    #[must_use]
    pub fn with(&self, lack: &Tally) -> Self {
        Self {
            events: u32::try_from(lack.events).unwrap_or(u32::MAX),
            rejected: u32::try_from(lack.rejected).unwrap_or(u32::MAX),
            digest: lack.digest,
            ..self.clone()
        }
    }
}

impl BesideRow for Missing {
    const BESIDE: Beside = Beside::Missing;

    fn for_each(
        file: &Arc<dyn Ranges>,
        mut each: impl FnMut(Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        TABLE.for_each(file, |cells| {
            let slices = text(&TABLE, cells, 2)?;
            let cause = text(&TABLE, cells, 6)?;
            let cause = MissingCause::ALL.into_iter().find(|c| c.word() == cause);
            each(Self {
                receipt: receipt(&TABLE, cells, 0)?,
                sensor: text(&TABLE, cells, 1)?,
                slices: serde_json::from_str(&slices).map_err(|_| bad(&TABLE, 2))?,
                events: count(&TABLE, cells, 3)?,
                rejected: count(&TABLE, cells, 4)?,
                digest: Digest::from_bytes(cells[5].hash().ok_or_else(|| bad(&TABLE, 5))?),
                cause: cause.ok_or_else(|| bad(&TABLE, 6))?,
                sent_again: match cells[7].text() {
                    Some(_) => Some(receipt(&TABLE, cells, 7)?),
                    None => None,
                },
            })
        })
    }

    fn to_bytes(rows: &[Self]) -> Result<Vec<u8>, Fault> {
        TABLE.to_bytes(rows.iter().map(|row| {
            let slices: Vec<String> = row.slices.iter().map(u32::to_string).collect();
            vec![
                Cell::Text(row.receipt.to_string()),
                Cell::Text(row.sensor.clone()),
                Cell::Text(format!("[{}]", slices.join(","))),
                number(row.events),
                number(row.rejected),
                Cell::Hash(row.digest.to_bytes()),
                Cell::Text(row.cause.word().to_owned()),
                row.sent_again
                    .map_or(Cell::None, |id| Cell::Text(id.to_string())),
            ]
        }))
    }

    fn leaf(&self) -> Option<Vec<u8>> {
        None
    }
}
