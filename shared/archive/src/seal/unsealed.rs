//! A seal of version 4 before it is signed.

use super::{
    Covered, Draft, Hex32, SEAL_VERSION_4, Seal, SealKind, SealedFile, Signature, Statement,
    StatementBody,
};
use crate::keys::PublicKey;
use crate::merkle::{Hash, PartRoot, root_over_parts};
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::{Millis, Window};

/// What a seal of version 4 will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsealed {
    /// The tenant whose seal it is to be.
    pub tenant: TenantId,
    /// What time it is of.
    pub window: Window,
    /// The kind of seal that it is to be.
    pub kind: SealKind,
    /// The seal's place in the tenant's chain.
    pub sequence: u64,
    /// How many events ended how; of no events where the kind has no rows.
    pub counts: DispositionCounts,
    /// The digest over all of them.
    pub digest: Digest,
    /// The files with the rows, whether the seal has them itself or in lists.
    pub files: Vec<SealedFile>,
    /// Of a day: whose rows these are, in order of sequence. Else none.
    pub covers: Vec<Covered>,
    /// What the seal states besides.
    pub statement: Statement,
}

impl Unsealed {
    /// The seal, not signed yet, whose root is that over its parts. `previous` is the hash of the tenant's seal
    /// before, none for the first.
    #[must_use]
    pub fn draft(self, previous: Option<Hash>, sealed_at: Millis, key: &PublicKey) -> Draft {
        let merkle_root = match &self.statement.body {
            StatementBody::Window(_) => Hex32(root_of(&self.files)),
            _ => Hex32::NONE,
        };
        Draft(Seal {
            vernier_seal: SEAL_VERSION_4,
            tenant: self.tenant,
            sequence: self.sequence,
            kind: self.kind,
            start: self.window.start,
            end: self.window.end,
            counts: self.counts,
            digest: self.digest,
            files: self.files,
            merkle_root,
            covers: self.covers,
            previous: previous.map(Hex32),
            sealed_at,
            signature: Signature::under_way(key),
            statement: Some(Box::new(self.statement)),
        })
    }
}

/// The root over parts, of each of which its seal says rows and root.
pub(crate) fn root_of(files: &[SealedFile]) -> Hash {
    root_over_parts(files.iter().map(|file| PartRoot {
        rows: file.rows,
        root: file.merkle_root.0,
    }))
}
