//! Files beside the rows: their bytes, their rows, their root.

use super::report::{Check, Finding};
use crate::Fault;
use crate::account::BesideRow;
use crate::files::{Ranges, Source, stream};
use crate::merkle::{Span, leaf_hash};
use crate::seal::{Hex32, Seal, SealedFile, beside_key};
use sha2::{Digest as _, Sha256};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a look at a file came to: what is wrong with it is the error.
pub(super) type Outcome<T> = Result<T, Box<Finding>>;

/// A file beside a seal's rows.
#[derive(Clone, Copy)]
pub(super) struct BesideFile<'a> {
    pub(super) seal: &'a Seal,
    pub(super) seal_key: &'a str,
    /// Which it is among the seal's files of its kind.
    pub(super) number: usize,
    pub(super) file: &'a SealedFile,
}

impl BesideFile<'_> {
    fn finding<T>(&self, check: Check, what: impl Into<String>) -> Outcome<T> {
        Err(Box::new(Finding::new(check, what).in_file(&self.file.key)))
    }

    /// Calls `each` with every row of the file, once its bytes are known to be the sealed ones.
    pub(super) fn for_each<R: BesideRow>(
        &self,
        source: &dyn Source,
        each: impl FnMut(R) -> Result<(), Fault>,
    ) -> Result<Outcome<()>, Fault> {
        let expected = beside_key(
            &self.seal.plan(),
            R::BESIDE,
            self.number,
            &self.file.sha256.0,
        );
        if self.file.key != expected {
            let what = "is not named after its seal, its place and its content";
            return Ok(self.finding(Check::FileKey, what));
        }
        let bytes = match source.open(&self.file.key) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(self.other_hash(Check::FileMissing, "is not there", "none"));
            }
            Err(e) => return Err(e.into()),
        };
        let found = hash_of(bytes.as_ref())?;
        if found != self.file.sha256 || bytes.size() != self.file.bytes {
            let what = "its bytes are not the sealed ones";
            return Ok(self.other_hash(Check::FileChanged, what, &found.to_string()));
        }
        Ok(self.read(&bytes, each))
    }

    fn other_hash(&self, check: Check, what: &str, found: &str) -> Outcome<()> {
        let finding = Finding::new(check, what).in_file(&self.file.key);
        Err(Box::new(finding.against(
            self.seal_key,
            "sha256",
            self.file.sha256,
            found,
        )))
    }

    fn read<R: BesideRow>(
        &self,
        bytes: &Arc<dyn Ranges>,
        mut each: impl FnMut(R) -> Result<(), Fault>,
    ) -> Outcome<()> {
        let (mut rows, mut leaves) = (0_u64, Some(Span::starting_at(0)));
        let read = catch_unwind(AssertUnwindSafe(|| {
            R::for_each(bytes, |row| {
                rows += 1;
                match (row.leaf(), &mut leaves) {
                    (Some(leaf), Some(leaves)) => leaves.push(leaf_hash(&leaf)),
                    _ => leaves = None,
                }
                each(row)
            })
        }));
        let gave_up = || Fault::Damaged("the reader of Parquet files gave up on it".to_owned());
        if let Err(why) = read.unwrap_or_else(|_| Err(gave_up())) {
            let what = format!("row {}: {why}", rows.saturating_sub(1));
            return self.finding(Check::FileForm, what);
        }
        if rows != self.file.rows {
            let what = format!("has {rows} rows instead of {}", self.file.rows);
            return self.finding(Check::Count, what);
        }
        let root = leaves.and_then(|leaves| leaves.root()).map(Hex32);
        if root.is_some_and(|root| root != self.file.merkle_root) {
            return self.finding(Check::MerkleRoot, "its rows do not lead to its root");
        }
        Ok(())
    }
}

fn hash_of(bytes: &dyn Ranges) -> Result<Hex32, Fault> {
    let mut hash = Sha256::new();
    stream(bytes, |piece| {
        hash.update(piece);
        Ok(())
    })?;
    Ok(Hex32(hash.finalize().into()))
}
