//! Seals on their way to their signatures.

use super::{Covered, Hex32, Seal, SealKind, SealedFile, Signature, version_before_4};
use crate::Fault;
use crate::keys::{PublicKey, Signer};
use crate::merkle::Hash;
use base64::Engine as _;
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::{Millis, Window};

/// A window's files, before they are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The tenant whose rows they are.
    pub tenant: TenantId,
    /// The time in which the rows were received.
    pub window: Window,
    /// The kind of seal that closes them.
    pub kind: SealKind,
    /// The seal's place in the tenant's chain.
    pub sequence: u64,
    /// How many events ended how.
    pub counts: DispositionCounts,
    /// Order-free digest over all of them.
    pub digest: Digest,
    /// Files in the order of their rows in the tree.
    pub files: Vec<SealedFile>,
    /// Root over all rows.
    pub merkle_root: Hash,
    /// Of a day: whose files' rows these are, in order of sequence. Else none.
    pub covers: Vec<Covered>,
}

impl Written {
    /// The seal over them, not signed yet. `previous` is the hash of the tenant's seal before
    /// ([`Seal::hash`]), none for the first.
    #[must_use]
    pub fn draft(self, previous: Option<Hash>, sealed_at: Millis, key: &PublicKey) -> Draft {
        Draft(Seal {
            vernier_seal: version_before_4(self.kind),
            tenant: self.tenant,
            sequence: self.sequence,
            kind: self.kind,
            start: self.window.start,
            end: self.window.end,
            counts: self.counts,
            digest: self.digest,
            files: self.files,
            merkle_root: self.merkle_root.into(),
            covers: self.covers,
            previous: previous.map(Hex32),
            sealed_at,
            signature: Signature::under_way(key),
            statement: None,
        })
    }
}

impl Signature {
    /// One that is being made.
    pub(super) fn under_way(key: &PublicKey) -> Self {
        Self {
            algorithm: key.algorithm(),
            key: key.id(),
            value: None,
        }
    }
}

/// A seal that still wants its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft(pub(super) Seal);

impl Draft {
    /// The bytes that the seal's signature is over.
    ///
    /// # Errors
    /// Never for a seal, which has only integers.
    pub fn message(&self) -> Result<Vec<u8>, Fault> {
        self.0.message()
    }

    /// The seal with a signature that was made over [`Self::message`] elsewhere.
    #[must_use]
    pub fn signed(mut self, signature: &[u8]) -> Seal {
        let text = base64::engine::general_purpose::STANDARD.encode(signature);
        self.0.signature.value = Some(text);
        self.0
    }

    /// Signs the draft, and so makes the seal.
    ///
    /// # Errors
    /// When the signer cannot.
    pub fn sign(self, signer: &dyn Signer) -> Result<Seal, Fault> {
        let signature = signer.sign(&self.message()?)?;
        Ok(self.signed(&signature))
    }
}
