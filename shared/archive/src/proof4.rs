//! Inclusion proofs against seals of version 4: of a row's public half alone, or of what the event said too.

use crate::Fault;
use crate::files::Source;
use crate::leaf::LeafForm;
use crate::merkle::{Hash, PartRoot, PathBuilder, leaf_hash, root_from_path};
use crate::reader::Part;
use crate::row::Row;
use crate::seal::{Hex32, Seal, SealedFile};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use vernier_ledger::digest::BlindFingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::salt::{SALT_BYTES, Salt};
use vernier_ledger::segment::Place;

/// Version of the proof's JSON.
pub const BLIND_PROOF_VERSION: u32 = 2;

/// What shows the personal half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalProof {
    /// The row's salt, base64; none where it has none.
    pub salt: Option<String>,
    /// The personal half, base64.
    pub half: String,
    /// The fingerprint of the event's text.
    pub fingerprint: Hex32,
}

/// The way from one row to its part's root, and from there to its seal's (RFC 6962, section 2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlindProof {
    /// The version of the proof: [`BLIND_PROOF_VERSION`].
    pub vernier_proof: u32,
    /// The tenant whose event it is.
    pub tenant: TenantId,
    /// The seal's place in the tenant's chain.
    pub sequence: u64,
    /// The hash of the seal's bytes.
    pub seal: Hex32,
    /// How many parts the seal has.
    pub parts: u64,
    /// Which of them has the row, from 0.
    pub part: u64,
    /// How many rows that part has.
    pub rows: u64,
    /// Which of them it is, from 0.
    pub row: u64,
    /// The public half, base64.
    pub public: String,
    /// What stands for the fingerprint.
    pub blind_fingerprint: Hex32,
    /// What stands for the personal half.
    pub personal_hash: Hex32,
    /// Hashes beside the way within the part, from the leaf upwards.
    pub path: Vec<Hex32>,
    /// Hashes beside the way within the seal, from the part upwards.
    pub part_path: Vec<Hex32>,
    /// What the event said; none where that is not to be shown, or is erased.
    pub personal: Option<PersonalProof>,
}

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindShown {
    public: Vec<u8>,
    personal: Option<(Vec<u8>, Hex32)>,
}

impl BlindShown {
    /// The row without its text; where the proof does not show what the event said, without all that either.
    ///
    /// # Errors
    /// When the halves are none.
    pub fn row(&self) -> Result<Row<'_>, Fault> {
        let after = || wrong("has bytes after a half");
        let (mut row, rest) = Row::read_public_half(&self.public)?;
        if !rest.is_empty() {
            return Err(after());
        }
        if let Some((half, fingerprint)) = &self.personal {
            row.fingerprint = fingerprint.0;
            match row.read_personal_half(half)? {
                (_, []) => {}
                _ => return Err(after()),
            }
        }
        Ok(row)
    }

    /// Whether it shows what the event said.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.personal.is_some()
    }
}

fn wrong(what: &str) -> Fault {
    Fault::Damaged(format!("the proof {what}"))
}

fn decoded(text: &str) -> Result<Vec<u8>, Fault> {
    STANDARD
        .decode(text)
        .map_err(|_| wrong("has text that is no base64"))
}

fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn hashes(path: &[Hex32]) -> Vec<Hash> {
    path.iter().map(|hash| hash.0).collect()
}

impl BlindProof {
    /// What it shows, if it leads to the seal's root. Whether the seal is signed and in its chain is the seal's
    /// matter; the seal's files need not be at hand.
    ///
    /// # Errors
    /// Where it does not lead there.
    pub fn verify(&self, seal: &Seal) -> Result<BlindShown, Fault> {
        if self.vernier_proof != BLIND_PROOF_VERSION {
            return Err(wrong("has another version"));
        }
        let same = (&self.tenant, self.sequence) == (&seal.tenant, seal.sequence);
        let window = seal.statement.as_ref().and_then(|s| s.window());
        let parts = window.map(|window| window.parts.count());
        if !same || parts.is_none() || self.seal.0 != seal.hash()? {
            return Err(wrong("is for another seal"));
        }
        if parts != Some(self.parts) {
            return Err(wrong("is for another number of parts"));
        }
        let personal = self.personal()?;
        let mut leaf = vec![crate::leaf::BLIND_LEAF];
        leaf.extend(decoded(&self.public)?);
        leaf.extend_from_slice(&self.blind_fingerprint.0);
        leaf.extend_from_slice(&self.personal_hash.0);
        let root = root_from_path(leaf_hash(&leaf), self.row, self.rows, &hashes(&self.path));
        let part = PartRoot {
            rows: self.rows,
            root: root.ok_or_else(|| wrong("has another path than its part"))?,
        };
        let root = root_from_path(
            part.leaf_hash(),
            self.part,
            self.parts,
            &hashes(&self.part_path),
        );
        if root != Some(seal.merkle_root.0) {
            return Err(wrong("leads to another root"));
        }
        let shown = BlindShown {
            public: decoded(&self.public)?,
            personal,
        };
        shown.row()?;
        Ok(shown)
    }

    /// The personal half and the fingerprint, if they have the two hashes.
    fn personal(&self) -> Result<Option<(Vec<u8>, Hex32)>, Fault> {
        let Some(personal) = &self.personal else {
            return Ok(None);
        };
        let salt = personal.salt.as_deref().map(decoded).transpose()?;
        let salt = salt.map(|bytes| <[u8; SALT_BYTES]>::try_from(bytes).map(Salt));
        let salt = salt
            .transpose()
            .map_err(|_| wrong("has a salt of another length"))?;
        let half = decoded(&personal.half)?;
        let fingerprint = personal.fingerprint;
        let blind = BlindFingerprint::of(salt, &vernier_ledger::digest::Fingerprint(fingerprint.0));
        let hash = crate::leaf::personal_hash(salt, &half);
        if blind.0 != self.blind_fingerprint.0 || hash != self.personal_hash.0 {
            return Err(wrong("says something that its hashes do not"));
        }
        Ok(Some((half, fingerprint)))
    }
}

/// Whether a proof shows what the event said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Showing {
    /// It does, where the row is not erased.
    Whole,
    /// It shows the public half alone.
    PublicHalf,
}

/// The proof for the event at a place, from the files of a window's or backfill's seal whose lists are read; none
/// when they do not hold it. Of one part the rows' hashes are kept, 32 bytes each.
///
/// # Errors
/// When a file cannot be read, or its rows do not lead to the seal's root.
pub fn prove_blind(
    source: &dyn Source,
    seal: &Seal,
    place: Place,
    showing: Showing,
) -> Result<Option<BlindProof>, Fault> {
    for (number, file) in (0..).zip(&seal.files) {
        let part = Part::open(source.open(&file.key)?)?;
        if part.rows_at(|at| at == place)?.is_empty() {
            continue;
        }
        let mut prover = BlindProver::new(seal, number, place, showing);
        part.for_each(|row| {
            prover.show(&row);
            Ok(())
        })?;
        return prover.finish();
    }
    Ok(None)
}

/// Gathers what the proof for one event needs of its part's rows.
#[derive(Debug)]
pub struct BlindProver<'a> {
    seal: &'a Seal,
    part: u64,
    place: Place,
    showing: Showing,
    leaves: Vec<Hash>,
    found: Option<(u64, Halves)>,
    scratch: Vec<u8>,
}

/// A row's halves as a proof has them.
#[derive(Debug)]
struct Halves {
    public: String,
    blind_fingerprint: Hex32,
    personal_hash: Hex32,
    personal: Option<PersonalProof>,
}

impl Halves {
    fn of(row: &Row<'_>, showing: Showing) -> Self {
        let (mut public, mut half) = (Vec::new(), Vec::new());
        row.write_public_half(&mut public);
        let is_whole = showing == Showing::Whole && row.erased.is_none();
        let personal = is_whole.then(|| {
            row.write_personal_half(&mut half);
            PersonalProof {
                salt: row.salt.map(|salt| encoded(&salt.0)),
                half: encoded(&half),
                fingerprint: row.fingerprint.into(),
            }
        });
        Self {
            public: encoded(&public),
            blind_fingerprint: row.blind_fingerprint().0.into(),
            personal_hash: row.personal_hash().into(),
            personal,
        }
    }
}

impl<'a> BlindProver<'a> {
    /// For the event at a place of a part, which counts from 0 in the order of the seal.
    #[must_use]
    pub fn new(seal: &'a Seal, part: u64, place: Place, showing: Showing) -> Self {
        Self {
            seal,
            part,
            place,
            showing,
            leaves: Vec::new(),
            found: None,
            scratch: Vec::with_capacity(256),
        }
    }

    /// Shows it the part's next row, with its text.
    pub fn show(&mut self, row: &Row<'_>) {
        self.scratch.clear();
        row.write_leaf_in(LeafForm::Blind, &mut self.scratch);
        if row.place() == self.place {
            let number = self.leaves.len() as u64;
            self.found = Some((number, Halves::of(row, self.showing)));
        }
        self.leaves.push(leaf_hash(&self.scratch));
    }

    /// The proof, once all rows of the part were shown; none when the event is not among them.
    ///
    /// # Errors
    /// When the rows do not lead to the seal's root.
    pub fn finish(self) -> Result<Option<BlindProof>, Fault> {
        let Some((row, halves)) = self.found else {
            return Ok(None);
        };
        let other = || Fault::Damaged("the files have another number of rows".to_owned());
        let path = path_of(row, self.leaves).ok_or_else(other)?;
        let parts = &self.seal.files;
        let roots = parts.iter().map(|file: &SealedFile| {
            let (rows, root) = (file.rows, file.merkle_root.0);
            PartRoot { rows, root }.leaf_hash()
        });
        let part_path = path_of(self.part, roots.collect()).ok_or_else(other)?;
        let at = usize::try_from(self.part).ok().and_then(|at| parts.get(at));
        let proof = BlindProof {
            vernier_proof: BLIND_PROOF_VERSION,
            tenant: self.seal.tenant.clone(),
            sequence: self.seal.sequence,
            seal: self.seal.hash()?.into(),
            parts: parts.len() as u64,
            part: self.part,
            rows: at.ok_or_else(other)?.rows,
            row,
            public: halves.public,
            blind_fingerprint: halves.blind_fingerprint,
            personal_hash: halves.personal_hash,
            path,
            part_path,
            personal: halves.personal,
        };
        proof.verify(self.seal)?;
        Ok(Some(proof))
    }
}

fn path_of(index: u64, leaves: Vec<Hash>) -> Option<Vec<Hex32>> {
    let mut path = PathBuilder::new(index, leaves.len() as u64)?;
    leaves.into_iter().for_each(|leaf| path.push(leaf));
    Some(path.finish()?.into_iter().map(Hex32).collect())
}
