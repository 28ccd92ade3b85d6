//! What a check found.

use crate::files::Entry;
use crate::seal::Hex32;
use serde::Serialize;
use std::fmt;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::Millis;

/// What was checked and found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// There is nothing to check.
    NoSeals,
    /// A seal's file is no seal, or lies under another seal's key.
    SealForm,
    /// A seal is not signed by the given key.
    Signature,
    /// A seal is missing, or does not name the one before.
    Chain,
    /// Two windows overlap, time between two of them is in no window, or a backfill has none.
    Coverage,
    /// A file that a seal names is not there.
    FileMissing,
    /// A file's bytes are not the sealed ones.
    FileChanged,
    /// A file lies under a key that it must not have.
    FileKey,
    /// A file that no seal names, and none to come can name.
    FileExtra,
    /// A file cannot be read as rows.
    FileForm,
    /// A row cannot be: its columns contradict each other, its file or its window.
    Row,
    /// An event's text is not what its fingerprint says.
    Fingerprint,
    /// A row is not in its place.
    Order,
    /// Rows are not as many as the seal says.
    Count,
    /// Rows do not lead to the sealed root.
    MerkleRoot,
    /// Rows do not add up to the sealed digest.
    Digest,
    /// An id is stored twice, or a duplicate or conflict is none.
    Disposition,
    /// A window's account does not add up, or is not that of its seals.
    Account,
    /// What a seal says of open times is not what its chain says.
    Holds,
    /// Something is missing in a window, which is wrong only where it was asked for.
    Shortfall,
    /// A row is erased and no erasure names it, or the reverse.
    Erasure,
}

impl Check {
    /// Whether a file's rows could not be had.
    pub(super) const fn is_unread(self) -> bool {
        matches!(
            self,
            Self::FileMissing
                | Self::FileChanged
                | Self::FileForm
                | Self::Signature
                | Self::SealForm
        )
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// Key of the file that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Row of that file, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Key of the seal that says otherwise, where the file itself is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
    /// The seal's field, e.g. `files[0].sha256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// In words.
    pub what: String,
}

impl Finding {
    pub(super) fn new(check: Check, what: impl Into<String>) -> Self {
        Self {
            check,
            file: None,
            row: None,
            seal: None,
            field: None,
            expected: None,
            found: None,
            what: what.into(),
        }
    }

    pub(super) fn in_file(mut self, key: &str) -> Self {
        self.file = Some(key.to_owned());
        self
    }

    pub(super) fn at_row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }

    /// What a seal's field says, and what is there.
    pub(super) fn against(
        mut self,
        seal: &str,
        field: impl Into<String>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        self.seal = Some(seal.to_owned());
        self.field = Some(field.into());
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, &self.seal) {
            (Some(place), _) | (None, Some(place)) => f.write_str(place)?,
            (None, None) => f.write_str("archive")?,
        }
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        write!(f, ": {}", self.what)?;
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            let field = self.field.as_deref().unwrap_or("seal");
            write!(f, " ({field} says {expected}, found {found}")?;
            match &self.seal {
                Some(seal) if self.file.as_ref() != Some(seal) => write!(f, "; {seal})")?,
                _ => f.write_str(")")?,
            }
        }
        Ok(())
    }
}

/// One tenant's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Whose.
    pub tenant: TenantId,
    /// Seals that were read.
    pub seals: u64,
    /// Sequence of the last one.
    pub last: u64,
    /// Hash of the last one: note it, and a chain that is cut short later will show.
    pub head: Hex32,
    /// First instant of the first sealed window.
    pub from: Option<Millis>,
    /// First instant after the last one.
    pub through: Option<Millis>,
}

/// A window in which something that was acknowledged is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShortfallFound {
    /// The tenant whose window it is.
    pub tenant: TenantId,
    /// The window's first instant.
    pub start: Millis,
    /// The first instant after it.
    pub end: Millis,
    /// Envelopes of which something is missing.
    pub envelopes: u64,
    /// Events that are missing.
    pub events: u64,
}

/// Times of a tenant that no seal closes yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HoldFound {
    /// The tenant whose times these are.
    pub tenant: TenantId,
    /// The first instant that is not closed.
    pub start: Millis,
    /// The first instant after it.
    pub end: Millis,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Each tenant's chain.
    pub chains: Vec<Chain>,
    /// Files that were read whole.
    pub files: u64,
    /// Their size, bytes.
    pub bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// By disposition.
    pub counts: DispositionCounts,
    /// Files that the chain's next seals may name: of what is being sealed. Nothing is said of them.
    pub pending: Vec<Entry>,
    /// Files beside the rows that no seal names yet, and files that an erasure replaced and nobody removed yet.
    pub waiting: Vec<Entry>,
    /// Windows in which something is missing, as their last seals say.
    pub shortfalls: Vec<ShortfallFound>,
    /// Times that no seal closes yet, as seals of version 4 say.
    pub holds: Vec<HoldFound>,
    /// Rows whose receipts are in no evidence, as the windows' last seals say.
    pub unreceipted: u64,
    /// Rows that are erased.
    pub erased: u64,
    /// Rows of version 4 whose hashes no salt blinds.
    pub unsalted: u64,
    /// Receipts whose rows were held against their evidence; none where nobody asked, or files could not be read.
    pub receipts: Option<u64>,
    /// What is wrong, in the order of seals and files; without `all`, the first alone.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files done.
    pub files: u64,
    /// Files in all.
    pub files_total: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes in all, as the seals say.
    pub bytes_total: u64,
}
