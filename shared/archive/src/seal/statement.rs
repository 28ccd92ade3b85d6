//! What seals of version 4 say beside what those before said: the account of the window, where the shards stood, and
//! what is not closed yet.

use super::{FileSet, Hex32, ListFile, SealedFile};
use serde::{Deserialize, Serialize};
use vernier_ledger::checkpoint::CheckpointMark;
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::time::Millis;

/// Which times no seal of the chain closes yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldsMark {
    /// How many there are.
    pub ranges: u64,
    /// SHA-256 of their canonical JSON.
    pub sha256: Hex32,
}

/// Envelopes and what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeTotals {
    /// How many envelopes these are.
    pub envelopes: u64,
    /// Their events, whatever became of them.
    pub events: u64,
    /// Those of them that were rejected.
    pub rejected: u64,
    /// The digest over all of them.
    pub digest: Digest,
}

/// What sensors were told is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceivedTotals {
    /// Size of the envelopes' bodies, bytes.
    pub bytes: u64,
    /// How many envelopes were acknowledged.
    pub envelopes: u64,
    /// Their events, whatever became of them.
    pub events: u64,
    /// Those of them that were rejected.
    pub rejected: u64,
    /// The digest over all of them.
    pub digest: Digest,
}

/// What the window's seals hold so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedTotals {
    /// First of its id.
    pub stored: u64,
    /// The same event again.
    pub duplicate: u64,
    /// The same id with other content.
    pub conflict: u64,
    /// Not valid in the tenant's mode.
    pub rejected: u64,
    /// The digest over all of them.
    pub digest: Digest,
}

impl SealedTotals {
    /// Adds what a seal has.
    pub fn add(&mut self, counts: &DispositionCounts, digest: &Digest) {
        self.stored = self.stored.saturating_add(counts.stored);
        self.duplicate = self.duplicate.saturating_add(counts.duplicate);
        self.conflict = self.conflict.saturating_add(counts.conflict);
        self.rejected = self.rejected.saturating_add(counts.rejected);
        self.digest.merge(digest);
    }

    /// The events of all dispositions together.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.stored
            .saturating_add(self.duplicate)
            .saturating_add(self.conflict)
            .saturating_add(self.rejected)
    }
}

/// A window's account after one of its seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// All evidence of the window's seals so far.
    pub received: ReceivedTotals,
    /// Rows whose receipt is in no evidence.
    pub unreceipted: EnvelopeTotals,
    /// All rows of the window's seals so far.
    pub sealed: SealedTotals,
    /// What evidence has and no row does.
    pub missing: EnvelopeTotals,
}

impl Totals {
    /// The account of what was received, sealed and is missing. Unreceipted are the rows that are left, which come from
    /// so many envelopes; none when more was received than that comes to.
    #[must_use]
    pub fn of(
        received: ReceivedTotals,
        sealed: SealedTotals,
        missing: EnvelopeTotals,
        unreceipted_envelopes: u64,
    ) -> Option<Self> {
        let mut digest = sealed.digest;
        digest.merge(&missing.digest);
        digest.remove(&received.digest);
        let events = sealed.events().checked_add(missing.events)?;
        let rejected = sealed.rejected.checked_add(missing.rejected)?;
        Some(Self {
            received,
            unreceipted: EnvelopeTotals {
                envelopes: unreceipted_envelopes,
                events: events.checked_sub(received.events)?,
                rejected: rejected.checked_sub(received.rejected)?,
                digest,
            },
            sealed,
            missing,
        })
    }

    /// Whether what was received and is unreceipted is what was sealed and is missing.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let (mut one, mut other) = (self.received.digest, self.sealed.digest);
        one.merge(&self.unreceipted.digest);
        other.merge(&self.missing.digest);
        let sum = |a: u64, b: u64| u128::from(a) + u128::from(b);
        let events = sum(self.received.events, self.unreceipted.events)
            == sum(self.sealed.events(), self.missing.events);
        let rejected = sum(self.received.rejected, self.unreceipted.rejected)
            == sum(self.sealed.rejected, self.missing.rejected);
        events && rejected && one == other
    }
}

/// Why a window was sealed while something was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShortfallCause {
    /// It was held for as long as windows are.
    Time,
    /// The operator said so.
    Operator,
}

/// What is said of a window in which something is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortfall {
    /// Why it was sealed all the same.
    pub cause: ShortfallCause,
    /// When the clock of its hold started; none where it had not.
    pub since: Option<Millis>,
    /// The operator's words, at most [`crate::limits::REASON_BYTES_MAX`] bytes; empty where time was the cause.
    pub reason: String,
}

/// What the seal of a window or backfill says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowStatement {
    /// The files with the rows.
    pub parts: FileSet,
    /// By how many shares of identities the parts are divided.
    pub shares: u64,
    /// Acknowledged receipts that no earlier seal has.
    pub evidence: FileSet,
    /// What is missing after this seal, whole.
    pub missing: FileSet,
    /// The window's account after this seal.
    pub totals: Totals,
    /// Only where envelopes are missing.
    pub shortfall: Option<Shortfall>,
    /// What the seal adds to the tenant's projections, as a list; none where the tenant has none.
    pub projections: Option<ListFile>,
}

/// A file that another one with erased rows takes the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// Sequence of the seal that names the file.
    pub sequence: u64,
    /// SHA-256 of the file that counted until now.
    pub sha256: Hex32,
    /// The file that counts from now on.
    pub file: SealedFile,
}

/// What the seal of an erasure says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureStatement {
    /// The files that were replaced.
    pub replaces: Vec<Replacement>,
    /// Where the erased rows are.
    pub places: FileSet,
    /// How many these are.
    pub rows: u64,
    /// The operator's words, at most [`crate::limits::REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

/// What a seal of version 4 says by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementBody {
    /// Of a window or backfill.
    Window(Box<WindowStatement>),
    /// Of a run of windows in which nothing was received.
    Idle {
        /// How many there are.
        windows: u64,
    },
    /// What the seal of a day states.
    Day {
        /// The files with the rows.
        parts: FileSet,
        /// Evidence of the covered seals.
        evidence: FileSet,
    },
    /// What the seal of an erasure states.
    Erasure(Box<ErasureStatement>),
}

/// What a seal of version 4 says beside what those before said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Where the shards stood.
    pub checkpoint: CheckpointMark,
    /// What is not closed yet.
    pub holds: HoldsMark,
    /// What its kind says.
    pub body: StatementBody,
}

impl Statement {
    /// The files with the rows; none where the kind has no rows.
    #[must_use]
    pub fn parts(&self) -> Option<&FileSet> {
        match &self.body {
            StatementBody::Window(window) => Some(&window.parts),
            StatementBody::Day { parts, .. } => Some(parts),
            StatementBody::Idle { .. } | StatementBody::Erasure(_) => None,
        }
    }

    /// What a window's or backfill's seal says.
    #[must_use]
    pub const fn window(&self) -> Option<&WindowStatement> {
        match &self.body {
            StatementBody::Window(window) => Some(window),
            _ => None,
        }
    }

    /// What an erasure's seal says.
    #[must_use]
    pub const fn erasure(&self) -> Option<&ErasureStatement> {
        match &self.body {
            StatementBody::Erasure(erasure) => Some(erasure),
            _ => None,
        }
    }

    /// All lists that the seal names.
    pub fn lists(&self) -> Vec<&ListFile> {
        let (sets, more) = match &self.body {
            StatementBody::Window(window) => (
                vec![&window.parts, &window.evidence, &window.missing],
                window.projections.as_ref(),
            ),
            StatementBody::Day { parts, evidence } => (vec![parts, evidence], None),
            StatementBody::Erasure(erasure) => (vec![&erasure.places], None),
            StatementBody::Idle { .. } => (Vec::new(), None),
        };
        sets.into_iter()
            .flat_map(FileSet::lists)
            .chain(more)
            .collect()
    }
}
