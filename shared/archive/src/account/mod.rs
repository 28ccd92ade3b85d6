//! A window's account beside its rows: what was acknowledged, what is missing of it, and where rows were erased.
//! docs/seal.md has the columns.

mod evidence;
mod missing;
mod places;
mod table;

pub use evidence::{Evidence, SealedEvidence};
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
#[derive(Debug)]
pub struct RowsWriter<'a, R, S: Sink> {
    plan: &'a Plan,
    sink: &'a S,
    /// Rows of the file under way.
    rows: Vec<R>,
    files: Vec<SealedFile>,
}

impl<'a, R: BesideRow, S: Sink> RowsWriter<'a, R, S> {
    /// Begins a file set that has no rows yet.
    #[must_use]
    pub const fn new(plan: &'a Plan, sink: &'a S) -> Self {
        Self {
            plan,
            sink,
            rows: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Adds the next row.
    ///
    /// # Errors
    /// When a full file cannot be written.
    pub fn push(&mut self, row: R) -> Result<(), Fault> {
        self.rows.push(row);
        match self.rows.len() {
            BESIDE_ROWS_MAX => self.end_file(),
            _ => Ok(()),
        }
    }

    fn end_file(&mut self) -> Result<(), Fault> {
        let rows = std::mem::take(&mut self.rows);
        let bytes = R::to_bytes(&rows)?;
        let sha256 = Fingerprint::of(&bytes).0;
        let key = beside_key(self.plan, R::BESIDE, self.files.len(), &sha256);
        let mut file = self.sink.create()?;
        file.write_all(&bytes)?;
        self.sink.close(&key, file)?;
        self.files.push(SealedFile {
            key,
            rows: rows.len() as u64,
            bytes: bytes.len() as u64,
            sha256: sha256.into(),
            merkle_root: root_of(&rows).map_or(Hex32::NONE, Hex32),
            actors: None,
            ids: None,
        });
        Ok(())
    }

    /// Ends the last file, and gives the files as a seal names them.
    ///
    /// # Errors
    /// When the last one cannot be written.
    pub fn finish(mut self) -> Result<Vec<SealedFile>, Fault> {
        if !self.rows.is_empty() {
            self.end_file()?;
        }
        Ok(self.files)
    }
}

/// Writes rows that are in memory into as many files as they need, in their order.
///
/// # Errors
/// When they cannot be encoded or written.
pub fn write_rows<R: BesideRow, S: Sink>(
    plan: &Plan,
    rows: Vec<R>,
    sink: &S,
) -> Result<Vec<SealedFile>, Fault> {
    let mut writer = RowsWriter::new(plan, sink);
    for row in rows {
        writer.push(row)?;
    }
    writer.finish()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ranges;
    use proptest::prelude::*;
    use std::sync::Arc;
    use vernier_ledger::digest::Digest;
    use vernier_ledger::time::Millis;

    fn receipt(n: u16) -> ReceiptId {
        ReceiptId::from_parts(Millis(1_788_254_100_000 + i64::from(n)), 0, [7; 8])
    }

    fn assert_comes_back<R: BesideRow + PartialEq + std::fmt::Debug>(rows: &[R]) {
        let bytes = R::to_bytes(rows).expect("encodes");
        let file: Arc<dyn Ranges> = Arc::new(bytes::Bytes::from(bytes));
        let mut found = Vec::new();
        R::for_each(&file, |row| {
            found.push(row);
            Ok(())
        })
        .expect("reads");
        assert_eq!(found, rows);
    }

    proptest! {
        #[test]
        fn rows_beside_a_window_come_back(made in proptest::collection::vec((any::<u16>(), "\\PC{0,6}", any::<u32>(), any::<[u8; 32]>(), any::<bool>()), 0..9)) {
            let evidence: Vec<Evidence> = made.iter().map(|(n, sensor, count, digest, _)| Evidence {
                receipt: receipt(*n),
                sensor: sensor.clone(),
                slices: 1,
                events: *count,
                rejected: count / 2,
                bytes: u64::from(*count) * 7,
                digest: Digest::from_bytes(*digest),
            }).collect();
            assert_comes_back(&evidence);
            for row in &evidence {
                let leaf = row.leaf().expect("a leaf");
                prop_assert_eq!(&Evidence::from_leaf(&leaf).expect("reads"), row);
                for cut in 0..leaf.len() {
                    prop_assert!(Evidence::from_leaf(&leaf[..cut]).is_err());
                }
            }
            let sealed: Vec<SealedEvidence> = evidence.into_iter().map(|evidence| SealedEvidence { evidence, seal: 1 << 40 }).collect();
            assert_comes_back(&sealed);
            let missing: Vec<Missing> = made.iter().map(|(n, sensor, count, digest, again)| Missing {
                receipt: receipt(*n),
                sensor: sensor.clone(),
                slices: vec![*count, 0],
                events: *count,
                rejected: 0,
                digest: Digest::from_bytes(*digest),
                cause: MissingCause::Quarantined,
                sent_again: again.then(|| receipt(1)),
            }).collect();
            assert_comes_back(&missing);
            let places: Vec<ErasedPlace> = made.iter().map(|(n, _, count, ..)| ErasedPlace {
                seal: u64::from(*n),
                part: *count,
                receipt: receipt(*n),
                index: *count,
            }).collect();
            assert_comes_back(&places);
        }
    }

    #[test]
    fn a_file_of_other_rows_is_refused() {
        let places = ErasedPlace::to_bytes(&[]).expect("encodes");
        let file: Arc<dyn Ranges> = Arc::new(bytes::Bytes::from(places));
        assert!(Evidence::for_each(&file, |_| Ok(())).is_err());
        assert!(ErasedPlace::for_each(&file, |_| Ok(())).is_ok());
    }
}
