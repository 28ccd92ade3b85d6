//! A window's account beside its rows: what was acknowledged, what is missing of it, and where rows were erased.
//! docs/seal.md has the columns.

mod evidence;
mod missing;
mod places;
mod table;

pub use evidence::Evidence;
pub use missing::{Missing, MissingCause};
pub use places::ErasedPlace;

use crate::Fault;
use crate::files::Sink;
use crate::limits::BESIDE_ROWS_MAX;
use crate::merkle::{Hash, Span, leaf_hash};
use crate::seal::{Beside, Hex32, SealedFile, beside_key};
use crate::window::Plan;
use std::io::Write as _;
use table::{Cell, Table};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::ReceiptId;

/// Rows of one of the files beside a window's rows.
pub trait BesideRow: Sized {
    /// Which file it is of.
    const BESIDE: Beside;

    /// Calls `each` with every row of a file, in order.
    ///
    /// # Errors
    /// When the file is none of such rows, or what `each` answers.
    fn for_each(
        file: &std::sync::Arc<dyn crate::files::Ranges>,
        each: impl FnMut(Self) -> Result<(), Fault>,
    ) -> Result<(), Fault>;

    /// The bytes of a file of these rows.
    ///
    /// # Errors
    /// When they cannot be encoded.
    fn to_bytes(rows: &[Self]) -> Result<Vec<u8>, Fault>;

    /// The row's data in its file's Merkle tree; none where such files have no root.
    fn leaf(&self) -> Option<Vec<u8>>;
}

/// Writes rows into as many files as they need, in their order.
///
/// # Errors
/// When they cannot be encoded or written.
pub fn write_rows<R: BesideRow, S: Sink>(
    plan: &Plan,
    rows: &[R],
    sink: &S,
) -> Result<Vec<SealedFile>, Fault> {
    let mut files = Vec::new();
    for (number, rows) in rows.chunks(BESIDE_ROWS_MAX).enumerate() {
        let bytes = R::to_bytes(rows)?;
        let sha256 = Fingerprint::of(&bytes).0;
        let key = beside_key(plan, R::BESIDE, number, &sha256);
        let mut file = sink.create()?;
        file.write_all(&bytes)?;
        sink.close(&key, file)?;
        files.push(SealedFile {
            key,
            rows: rows.len() as u64,
            bytes: bytes.len() as u64,
            sha256: sha256.into(),
            merkle_root: root_of(rows).map_or(Hex32::NONE, Hex32),
            actors: None,
            ids: None,
        });
    }
    Ok(files)
}

fn root_of<R: BesideRow>(rows: &[R]) -> Option<Hash> {
    let mut leaves = Span::starting_at(0);
    for row in rows {
        leaves.push(leaf_hash(&row.leaf()?));
    }
    leaves.root()
}

fn bad(table: &Table, column: usize) -> Fault {
    Fault::Damaged(format!("column {}", table.name(column)))
}

/// A number that is 0 or more.
fn count<N: TryFrom<i64>>(table: &Table, cells: &[Cell], column: usize) -> Result<N, Fault> {
    let number = cells[column].number().and_then(|n| N::try_from(n).ok());
    number.ok_or_else(|| bad(table, column))
}

fn receipt(table: &Table, cells: &[Cell], column: usize) -> Result<ReceiptId, Fault> {
    let text = cells[column].text().ok_or_else(|| bad(table, column))?;
    crate::columns::receipt(table.name(column), text)
}

fn text(table: &Table, cells: &[Cell], column: usize) -> Result<String, Fault> {
    let text = cells[column].text().ok_or_else(|| bad(table, column))?;
    Ok(text.to_owned())
}

/// A number as the files keep it; all counts here are far below 2^63.
fn number(value: impl TryInto<i64>) -> Cell {
    Cell::Number(value.try_into().unwrap_or(i64::MAX))
}
