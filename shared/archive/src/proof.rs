//! Inclusion proofs: that an event is in a sealed window, for whoever has the seal and not the files.

use crate::Fault;
use crate::files::Source;
use crate::merkle::{Hash, PathBuilder, leaf_hash, root_from_path};
use crate::reader::Part;
use crate::row::Row;
use crate::seal::{Hex32, Seal};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use vernier_ledger::ids::TenantId;
use vernier_ledger::segment::Place;

/// Version of the proof's JSON.
pub const PROOF_VERSION: u32 = 1;

/// The way from one row to its seal's root (RFC 6962, section 2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// [`PROOF_VERSION`].
    pub vernier_proof: u32,
    /// Whose.
    pub tenant: TenantId,
    /// The seal's place in the tenant's chain.
    pub sequence: u64,
    /// The seal's hash.
    pub seal: Hex32,
    /// The row's number among all rows of the seal's files, from 0.
    pub row: u64,
    /// How many rows there are.
    pub rows: u64,
    /// The row's canonical bytes, base64. They hold its columns and the event's fingerprint.
    pub leaf: String,
    /// Hashes beside the way, from the leaf upwards.
    pub path: Vec<Hex32>,
}

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(Vec<u8>);

impl Shown {
    /// The row, without its event's text.
    ///
    /// # Errors
    /// When the leaf is no row's canonical bytes.
    pub fn row(&self) -> Result<Row<'_>, Fault> {
        match Row::read_leaf(&self.0)? {
            (row, []) => Ok(row),
            _ => Err(Fault::Damaged("bytes after the row".to_owned())),
        }
    }
}

impl InclusionProof {
    /// What it shows, if it leads to the seal's root. Whether the seal is signed and in its chain is
    /// the seal's matter.
    ///
    /// # Errors
    /// Where it does not lead there.
    pub fn verify(&self, seal: &Seal) -> Result<Shown, Fault> {
        let wrong = |what: &str| Fault::Damaged(format!("the proof {what}"));
        if self.vernier_proof != PROOF_VERSION || seal.statement.is_some() {
            return Err(wrong("has another version"));
        }
        let same = (&self.tenant, self.sequence) == (&seal.tenant, seal.sequence);
        if !same || self.seal.0 != seal.hash()? {
            return Err(wrong("is for another seal"));
        }
        if self.rows != seal.files.iter().map(|file| file.rows).sum::<u64>() {
            return Err(wrong("is for another number of rows"));
        }
        let leaf = base64::engine::general_purpose::STANDARD
            .decode(&self.leaf)
            .map_err(|_| wrong("has a leaf that is no base64"))?;
        let path: Vec<_> = self.path.iter().map(|hash| hash.0).collect();
        let root = root_from_path(leaf_hash(&leaf), self.row, self.rows, &path);
        if root != Some(seal.merkle_root.0) {
            return Err(wrong("leads to another root"));
        }
        let shown = Shown(leaf);
        shown.row()?;
        Ok(shown)
    }
}

/// Gathers what the proof for one event needs of its seal's rows.
#[derive(Debug)]
pub struct Prover<'a> {
    seal: &'a Seal,
    place: Place,
    /// 32 bytes a row.
    leaves: Vec<Hash>,
    found: Option<(u64, Vec<u8>)>,
    scratch: Vec<u8>,
}

impl<'a> Prover<'a> {
    /// For the event at a place.
    #[must_use]
    pub fn new(seal: &'a Seal, place: Place) -> Self {
        Self {
            seal,
            place,
            leaves: Vec::new(),
            found: None,
            scratch: Vec::with_capacity(1_024),
        }
    }

    /// The seal.
    #[must_use]
    pub const fn seal(&self) -> &'a Seal {
        self.seal
    }

    /// Shows it the seal's next row: those of `archive/` before those of `exceptions/`, each class in
    /// its order, from the seal's own files or from the day's that has them too.
    pub fn show(&mut self, row: &Row<'_>) {
        self.scratch.clear();
        row.write_leaf(&mut self.scratch);
        if row.place() == self.place {
            let number = self.leaves.len() as u64;
            self.found = Some((number, self.scratch.clone()));
        }
        self.leaves.push(leaf_hash(&self.scratch));
    }

    /// The proof, once all rows were shown; none when the event is not among them.
    ///
    /// # Errors
    /// When the rows do not lead to the seal's root.
    pub fn finish(self) -> Result<Option<InclusionProof>, Fault> {
        let Some((number, leaf)) = self.found else {
            return Ok(None);
        };
        let seal = self.seal;
        let rows = seal.files.iter().map(|file| file.rows).sum();
        let other = || Fault::Damaged("the files have another number of rows".to_owned());
        let mut path = PathBuilder::new(number, rows).ok_or_else(other)?;
        self.leaves.into_iter().for_each(|leaf| path.push(leaf));
        let path = path.finish().ok_or_else(other)?;
        let proof = InclusionProof {
            vernier_proof: PROOF_VERSION,
            tenant: seal.tenant.clone(),
            sequence: seal.sequence,
            seal: seal.hash()?.into(),
            row: number,
            rows,
            leaf: base64::engine::general_purpose::STANDARD.encode(leaf),
            path: path.into_iter().map(Hex32).collect(),
        };
        proof.verify(seal)?;
        Ok(Some(proof))
    }
}

/// The proof for the event at a place, from the seal's files; none when they do not hold it. Of the
/// rows their hashes are kept, 32 bytes each.
///
/// # Errors
/// When a file cannot be read, or its rows do not lead to the seal's root.
pub fn prove(
    source: &dyn Source,
    seal: &Seal,
    place: Place,
) -> Result<Option<InclusionProof>, Fault> {
    let mut prover = Prover::new(seal, place);
    for file in &seal.files {
        let part = Part::open(source.open(&file.key)?)?;
        part.for_each(|row| {
            prover.show(&row);
            Ok(())
        })?;
    }
    prover.finish()
}
