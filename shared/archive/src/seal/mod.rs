//! Seals: what a window's files must be, signed, each naming the one before (docs/seal.md).
//!
//! [`Seal`] is one type for all versions; what version 4 says more is its [`Statement`].

mod document;
mod draft;
mod file_set;
mod key;
mod statement;
mod unsealed;

pub(crate) use document::{has_tables, is_plain};
pub use draft::{Draft, Written};
pub use file_set::{FileSet, ListFile, SetWriter, list_key};
pub(crate) use file_set::{list_entries, read_list};
pub use key::{Beside, SharePlace, beside_key, part_key, seal_key, share_key};
pub use statement::{
    EnvelopeTotals, ErasureStatement, HoldsMark, ReceivedTotals, Replacement, SealedTotals,
    Shortfall, ShortfallCause, Statement, StatementBody, Totals, WindowStatement,
};
pub use unsealed::Unsealed;
pub(crate) use unsealed::root_of;
pub use vernier_ledger::chain::SealKind;

use crate::Fault;
use crate::blocks::ActorTable;
use crate::canonical;
use crate::keys::{Algorithm, PublicKey};
use crate::merkle::Hash;
use crate::window::Plan;
use base64::Engine as _;
use document::Document;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use vernier_ledger::chain::{SealEntry, Sequences};
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::{Millis, Window};

/// Version of the seal's JSON, of the files' columns and of a leaf's bytes.
pub const SEAL_VERSION: u32 = 1;

/// Version of a day's seal and of its files: those of version 2 had no blocks of rows and no table of
/// actors. A reader of version 1 knows no days, and must not take a day's files for a window's.
pub const DAY_SEAL_VERSION: u32 = 3;

/// Version of seals with an account, whose leaves hide what is personal.
pub const SEAL_VERSION_4: u32 = 4;

/// Version of days without blocks, which are read as before.
const DAY_SEAL_VERSION_BEFORE: u32 = 2;

/// Versions that are read.
pub const SEAL_VERSIONS: [u32; 4] = [
    SEAL_VERSION,
    DAY_SEAL_VERSION_BEFORE,
    DAY_SEAL_VERSION,
    SEAL_VERSION_4,
];

/// 32 bytes, in JSON as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex32(pub Hash);

impl Hex32 {
    /// What stands for the root of a file that has none.
    pub const NONE: Self = Self([0; 32]);

    fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl From<Hash> for Hex32 {
    fn from(bytes: Hash) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hex32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let read = Fingerprint::from_hex(&text);
        read.map(|f| Self(f.0))
            .ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}

/// Version of such a seal where its chain has none of version 4.
const fn version_before_4(kind: SealKind) -> u32 {
    match kind {
        SealKind::Window | SealKind::Backfill => SEAL_VERSION,
        SealKind::Day => DAY_SEAL_VERSION,
        SealKind::Idle | SealKind::Erasure => SEAL_VERSION_4,
    }
}

/// A seal whose files' rows a day's files have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// Its place in the tenant's chain.
    pub sequence: u64,
    /// Its hash.
    pub sha256: Hex32,
}

/// Which of a window's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartClass {
    /// Stored events.
    Archive,
    /// Duplicates, conflicts and rejected events.
    Exceptions,
}

/// One file of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    /// Its key.
    pub key: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size, bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hex32,
    /// Root over its rows alone; [`Hex32::NONE`] of files of version 4 that have no root.
    #[serde(default = "no_root", skip_serializing_if = "Hex32::is_none")]
    pub merkle_root: Hex32,
    /// Of a day: where its table of actors lies. Other files do not have the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actors: Option<ActorTable>,
    /// Of a day of version 4: where its table of ids lies. Other files do not have the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<ActorTable>,
}

const fn no_root() -> Hex32 {
    Hex32::NONE
}

impl SealedFile {
    /// Which rows it has, by its key.
    #[must_use]
    pub fn class(&self) -> PartClass {
        let key = self.key.strip_prefix("days/").unwrap_or(&self.key);
        if key.starts_with("archive/") {
            PartClass::Archive
        } else {
            PartClass::Exceptions
        }
    }
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// How.
    pub algorithm: Algorithm,
    /// Id of the public key.
    pub key: String,
    /// The signature, base64; none while it is being made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
}

/// A window, closed. In a file it is the canonical JSON of this, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The format's version, one of [`SEAL_VERSIONS`].
    pub vernier_seal: u32,
    /// Whose.
    pub tenant: TenantId,
    /// Place in the tenant's chain, from 0.
    pub sequence: u64,
    /// What is closed.
    pub kind: SealKind,
    /// The window's first instant.
    pub start: Millis,
    /// The first instant after it.
    pub end: Millis,
    /// How many events ended how.
    pub counts: DispositionCounts,
    /// Order-free digest over all of them.
    pub digest: Digest,
    /// Files in the order of their rows in the tree.
    pub files: Vec<SealedFile>,
    /// Root over all rows.
    pub merkle_root: Hex32,
    /// Of a day: whose files' rows these are, in order of sequence. Others do not have the field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<Covered>,
    /// Hash of the tenant's seal before.
    pub previous: Option<Hex32>,
    /// When it was sealed.
    pub sealed_at: Millis,
    /// Who signed.
    pub signature: Signature,
    /// What version 4 says more; none before. What is not there in a seal of that version (counts, digest or root of
    /// an idle run or an erasure) is zero here. Where the seal names lists, [`Self::files`]
    /// is empty until they are read.
    #[serde(skip)]
    pub statement: Option<Box<Statement>>,
}

impl Seal {
    /// Reads a seal's file.
    ///
    /// # Errors
    /// When it is no seal of any version that there is, or spelled in another way than the canonical one.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Version {
            vernier_seal: u32,
        }
        let bad = |e: serde_json::Error| Fault::Damaged(format!("not a seal: {e}"));
        let version: Version = serde_json::from_slice(bytes).map_err(bad)?;
        if !SEAL_VERSIONS.contains(&version.vernier_seal) {
            return Err(Fault::Damaged(format!(
                "a seal of version {}; this program reads versions {SEAL_VERSION} to {SEAL_VERSION_4}",
                version.vernier_seal
            )));
        }
        let seal: Self = match version.vernier_seal {
            SEAL_VERSION_4 => Document::read(bytes)?,
            _ => serde_json::from_slice(bytes).map_err(bad)?,
        };
        if seal.statement.is_none() && !seal.has_form() {
            return Err(Fault::Damaged(
                "not a seal: version, kind and what it covers contradict each other".to_owned(),
            ));
        }
        if seal.to_bytes()? != bytes {
            return Err(Fault::Damaged(
                "not the canonical spelling of a seal".to_owned(),
            ));
        }
        Ok(seal)
    }

    /// Whether version, kind and fields go together.
    fn has_form(&self) -> bool {
        let version = match self.kind {
            SealKind::Day if self.vernier_seal == DAY_SEAL_VERSION_BEFORE => self.vernier_seal,
            kind => version_before_4(kind),
        };
        let has_table = version == DAY_SEAL_VERSION;
        let has_fields = |file: &SealedFile| {
            file.actors.is_some() == has_table && file.ids.is_none() && !file.merkle_root.is_none()
        };
        let mut files = self.files.iter();
        self.vernier_seal == version
            && (self.kind == SealKind::Day) != self.covers.is_empty()
            && files.all(has_fields)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// Never for a seal, which has only integers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        match &self.statement {
            Some(statement) => canonical::to_bytes(&Document::of(self, statement)),
            None => canonical::to_bytes(self),
        }
    }

    /// SHA-256 of the file's bytes: what the next seal names.
    ///
    /// # Errors
    /// As for [`Self::to_bytes`].
    pub fn hash(&self) -> Result<Hash, Fault> {
        Ok(Fingerprint::of(&self.to_bytes()?).0)
    }

    /// What is signed: the canonical bytes without `signature.value`.
    ///
    /// # Errors
    /// As for [`Self::to_bytes`].
    pub fn message(&self) -> Result<Vec<u8>, Fault> {
        let mut unsigned = self.clone();
        unsigned.signature.value = None;
        unsigned.to_bytes()
    }

    /// Whether the key signed it.
    ///
    /// # Errors
    /// As for [`Self::to_bytes`].
    pub fn is_signed_by(&self, key: &PublicKey) -> Result<bool, Fault> {
        let text = self.signature.value.as_deref().unwrap_or_default();
        let signature = base64::engine::general_purpose::STANDARD.decode(text);
        Ok(self.signature.key == key.id()
            && self.signature.algorithm == key.algorithm()
            && signature
                .is_ok_and(|signature| self.message().is_ok_and(|m| key.verifies(&m, &signature))))
    }

    /// What the tenant's chain lists of the seal; no erasure has replaced files of it yet.
    ///
    /// # Errors
    /// The same as of [`Self::to_bytes`].
    pub fn entry(&self) -> Result<SealEntry, Fault> {
        let windows = match self.statement.as_ref().map(|statement| &statement.body) {
            Some(StatementBody::Idle { windows }) => *windows,
            _ => 1,
        };
        Ok(SealEntry {
            sequence: self.sequence,
            version: self.vernier_seal,
            kind: self.kind,
            window: self.window(),
            windows,
            hash: hex::encode(self.hash()?),
            tally: Tally {
                events: self.counts.total(),
                rejected: self.counts.rejected,
                digest: self.digest,
            },
            sealed_at: self.sealed_at,
            missing: { self.statement.as_ref() }
                .and_then(|statement| statement.window())
                .map_or(0, |window| window.totals.missing.envelopes),
            covers: self.covers.iter().map(|c| c.sequence).collect(),
            erasures: Sequences::default(),
        })
    }

    /// What it closes.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan {
            tenant: self.tenant.clone(),
            window: self.window(),
            kind: self.kind,
            sequence: match self.covers.first() {
                Some(first) => first.sequence,
                None => self.sequence,
            },
        }
    }

    /// The files of one class, in order.
    pub fn files_of(&self, class: PartClass) -> impl Iterator<Item = &SealedFile> {
        let files = self.files.iter();
        files.filter(move |file| file.class() == class)
    }

    /// By how many shares of identities its parts are divided; 1 before version 4.
    #[must_use]
    pub fn shares(&self) -> u64 {
        let window = self.statement.as_ref().and_then(|s| s.window());
        window.map_or(1, |window| window.shares)
    }

    /// When its events were received.
    #[must_use]
    pub const fn window(&self) -> Window {
        Window {
            start: self.start,
            end: self.end,
        }
    }

    /// Its file's key.
    #[must_use]
    pub fn key(&self) -> String {
        seal_key(&self.tenant, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeyFile, Signer as _};

    fn seal(key: &KeyFile) -> Seal {
        let written = Written {
            tenant: "school".parse().expect("a name"),
            window: Window {
                start: Millis(1_788_254_100_000),
                end: Millis(1_788_255_000_000),
            },
            kind: SealKind::Window,
            sequence: 7,
            counts: DispositionCounts::default(),
            digest: Digest::EMPTY,
            files: Vec::new(),
            merkle_root: crate::merkle::empty_root(),
            covers: Vec::new(),
        };
        let draft = written.draft(Some([1; 32]), Millis(1_788_255_100_000), key.public_key());
        draft.sign(key).expect("signs")
    }

    #[test]
    fn a_seal_comes_back_and_names_its_key() {
        for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519Sha256] {
            let make =
                || KeyFile::read(&KeyFile::generate(algorithm).expect("a key")).expect("reads");
            let (key, other) = (make(), make());
            let seal = seal(&key);
            let bytes = seal.to_bytes().expect("integers");
            assert_eq!(Seal::read(&bytes).expect("a seal"), seal);
            assert!(seal.is_signed_by(key.public_key()).expect("integers"));
            assert!(!seal.is_signed_by(other.public_key()).expect("integers"));
            let mut changed = seal.clone();
            changed.counts.stored += 1;
            assert!(!changed.is_signed_by(key.public_key()).expect("integers"));
            let mut changed = seal.clone();
            changed.signature.key = other.public_key().id();
            assert!(!changed.is_signed_by(other.public_key()).expect("integers"));
        }
    }

    #[test]
    fn another_spelling_is_no_seal() {
        let key = KeyFile::generate(Algorithm::Ed25519Sha256).expect("a key");
        let bytes = seal(&KeyFile::read(&key).expect("reads"))
            .to_bytes()
            .expect("integers");
        let text = String::from_utf8(bytes).expect("UTF-8");
        for other in [
            format!("{text}\n"),
            text.replace("\"sequence\":7", "\"sequence\": 7"),
            text.replace("\"sequence\":7", "\"sequence\":7,\"unknown\":1"),
            text.replace("\"vernier_seal\":1", "\"vernier_seal\":2"),
            text.replace("\"kind\":\"window\"", "\"kind\":\"day\""),
            text.replace("\"counts\":", "\"covers\":[],\"counts\":"),
        ] {
            assert_ne!(other, text);
            assert!(Seal::read(other.as_bytes()).is_err(), "{other}");
        }
    }
}
