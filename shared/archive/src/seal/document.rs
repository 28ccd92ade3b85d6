//! The JSON of a seal of version 4, and which fields each kind has.

use super::statement::{
    ErasureStatement, HoldsMark, Replacement, Shortfall, Statement, StatementBody, Totals,
    WindowStatement,
};
use super::{Covered, FileSet, Hex32, ListFile, Seal, SealKind, SealedFile, Signature};
use crate::Fault;
use crate::limits::{COVERS_MAX, REASON_BYTES_MAX, REPLACES_MAX, SHARES_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vernier_ledger::checkpoint::CheckpointMark;
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::Millis;

/// The largest number that every reader of JSON takes as it is.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A seal as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Document {
    vernier_seal: u32,
    tenant: TenantId,
    sequence: u64,
    kind: SealKind,
    start: Millis,
    end: Millis,
    previous: Option<Hex32>,
    sealed_at: Millis,
    signature: Signature,
    checkpoint: CheckpointMark,
    holds: HoldsMark,
    #[serde(flatten)]
    own: OwnFields,
}

macro_rules! fields {
    ($($name:ident: $type:ty),* $(,)?) => {
        /// Fields that some kinds have.
        #[derive(Debug, Default, Serialize, Deserialize)]
        pub(super) struct OwnFields {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $name: Option<$type>,)*
        }

        impl OwnFields {
            /// Names of the fields that are there.
            fn names(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$name.is_some() { names.push(stringify!($name)); })*
                names
            }
        }
    };
}

fields! {
    counts: DispositionCounts,
    covers: Vec<Covered>,
    digest: Digest,
    evidence: FileSet,
    merkle_root: Hex32,
    missing: FileSet,
    parts: FileSet,
    places: FileSet,
    projections: ListFile,
    reason: String,
    replaces: Vec<Replacement>,
    rows: u64,
    shares: u64,
    shortfall: Shortfall,
    totals: Totals,
    windows: u64,
}

fn wrong(what: impl Into<String>) -> Fault {
    Fault::Damaged(format!("not a seal: {}", what.into()))
}

/// A field that the kind must have.
fn must<T>(name: &str, field: Option<T>) -> Result<T, Fault> {
    field.ok_or_else(|| wrong(format!("a seal of its kind has the field {name}")))
}

/// Whether every number is an integer that all readers take as it is.
fn check_numbers(value: &Value) -> Result<(), Fault> {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => open.extend(members.values()),
            Value::Number(number) if number.as_u64().is_none_or(|n| n > NUMBER_MAX) => {
                return Err(wrong(format!(
                    "the number {number} is none from 0 to 2^53 - 1"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Document {
    /// Reads the JSON of a seal of version 4.
    pub(super) fn read(bytes: &[u8]) -> Result<Seal, Fault> {
        let bad = |e: serde_json::Error| wrong(e.to_string());
        check_numbers(&serde_json::from_slice(bytes).map_err(bad)?)?;
        let document: Self = serde_json::from_slice(bytes).map_err(bad)?;
        document.into_seal()
    }

    fn into_seal(self) -> Result<Seal, Fault> {
        let names = self.own.names();
        let mut own = self.own;
        let (allowed, body): (&[&str], _) = match self.kind {
            SealKind::Window | SealKind::Backfill => (&WINDOW_FIELDS, window(&mut own)?),
            SealKind::Idle => (&["windows"], idle(&mut own)?),
            SealKind::Day => (&DAY_FIELDS, day(&mut own)?),
            SealKind::Erasure => (&ERASURE_FIELDS, erasure(&mut own)?),
        };
        if let Some(name) = names.into_iter().find(|name| !allowed.contains(name)) {
            return Err(wrong(format!("a seal of its kind has no field {name}")));
        }
        let statement = Statement {
            checkpoint: self.checkpoint,
            holds: self.holds,
            body,
        };
        let has_rows = statement.parts().is_some();
        let files = statement.parts().and_then(FileSet::inline);
        let files = files.unwrap_or_default().to_vec();
        let (counts, digest) = match has_rows {
            true => (must("counts", own.counts)?, must("digest", own.digest)?),
            false => Default::default(),
        };
        let merkle_root = match statement.window() {
            Some(_) => must("merkle_root", own.merkle_root)?,
            None => Hex32::NONE,
        };
        let seal = Seal {
            vernier_seal: self.vernier_seal,
            tenant: self.tenant,
            sequence: self.sequence,
            kind: self.kind,
            start: self.start,
            end: self.end,
            counts,
            digest,
            files,
            merkle_root,
            covers: own.covers.unwrap_or_default(),
            previous: self.previous,
            sealed_at: self.sealed_at,
            signature: self.signature,
            statement: Some(Box::new(statement)),
        };
        check_bounds(&seal)?;
        Ok(seal)
    }

    /// The JSON of a seal of version 4.
    pub(super) fn of(seal: &Seal, statement: &Statement) -> Self {
        let mut own = OwnFields::default();
        if statement.parts().is_some() {
            own.counts = Some(seal.counts);
            own.digest = Some(seal.digest);
            own.parts = statement.parts().cloned();
        }
        match statement.body.clone() {
            StatementBody::Window(window) => {
                own.merkle_root = Some(seal.merkle_root);
                own.shares = Some(window.shares);
                own.evidence = Some(window.evidence);
                own.missing = Some(window.missing);
                own.totals = Some(window.totals);
                own.shortfall = window.shortfall;
                own.projections = window.projections;
            }
            StatementBody::Idle { windows } => own.windows = Some(windows),
            StatementBody::Day { evidence, .. } => {
                own.evidence = Some(evidence);
                own.covers = Some(seal.covers.clone());
            }
            StatementBody::Erasure(erasure) => {
                own.replaces = Some(erasure.replaces);
                own.places = Some(erasure.places);
                own.rows = Some(erasure.rows);
                own.reason = Some(erasure.reason);
            }
        }
        Self {
            vernier_seal: seal.vernier_seal,
            tenant: seal.tenant.clone(),
            sequence: seal.sequence,
            kind: seal.kind,
            start: seal.start,
            end: seal.end,
            previous: seal.previous,
            sealed_at: seal.sealed_at,
            signature: seal.signature.clone(),
            checkpoint: statement.checkpoint,
            holds: statement.holds,
            own,
        }
    }
}

const WINDOW_FIELDS: [&str; 10] = [
    "counts",
    "digest",
    "parts",
    "merkle_root",
    "shares",
    "evidence",
    "missing",
    "totals",
    "shortfall",
    "projections",
];
const DAY_FIELDS: [&str; 5] = ["counts", "digest", "parts", "evidence", "covers"];
const ERASURE_FIELDS: [&str; 4] = ["replaces", "places", "rows", "reason"];

fn window(own: &mut OwnFields) -> Result<StatementBody, Fault> {
    Ok(StatementBody::Window(Box::new(WindowStatement {
        parts: must("parts", own.parts.take())?,
        shares: must("shares", own.shares)?,
        evidence: must("evidence", own.evidence.take())?,
        missing: must("missing", own.missing.take())?,
        totals: must("totals", own.totals)?,
        shortfall: own.shortfall.take(),
        projections: own.projections.take(),
    })))
}

fn idle(own: &mut OwnFields) -> Result<StatementBody, Fault> {
    let windows = must("windows", own.windows)?;
    Ok(StatementBody::Idle { windows })
}

fn day(own: &mut OwnFields) -> Result<StatementBody, Fault> {
    Ok(StatementBody::Day {
        parts: must("parts", own.parts.take())?,
        evidence: must("evidence", own.evidence.take())?,
    })
}

fn erasure(own: &mut OwnFields) -> Result<StatementBody, Fault> {
    Ok(StatementBody::Erasure(Box::new(ErasureStatement {
        replaces: must("replaces", own.replaces.take())?,
        places: must("places", own.places.take())?,
        rows: must("rows", own.rows)?,
        reason: must("reason", own.reason.take())?,
    })))
}

/// Bounds of lengths, and which fields files have.
fn check_bounds(seal: &Seal) -> Result<(), Fault> {
    let Some(statement) = &seal.statement else {
        return Ok(());
    };
    let within = |is: bool, what: &str| is.then_some(()).ok_or_else(|| wrong(what));
    let rooted = |set: &FileSet, has_root| check_set(set, |file| is_plain(file, has_root));
    match &statement.body {
        StatementBody::Window(window) => {
            within(
                (1..=SHARES_MAX).contains(&window.shares),
                "shares is none from 1 to 4,096",
            )?;
            within(
                window.shares == 1 || window.parts.count() > 0,
                "no parts are divided by more than 1 share",
            )?;
            rooted(&window.parts, true)?;
            rooted(&window.evidence, true)?;
            rooted(&window.missing, false)?;
            let is_missing = window.totals.missing.envelopes > 0;
            within(
                is_missing == window.shortfall.is_some(),
                "there is a shortfall where something is missing, and only there",
            )?;
            let reason = window
                .shortfall
                .iter()
                .map(|shortfall| shortfall.reason.len());
            within(
                reason.sum::<usize>() <= REASON_BYTES_MAX,
                "a reason is too long",
            )
        }
        StatementBody::Idle { windows } => within(*windows > 0, "an idle run has no windows"),
        StatementBody::Day { parts, evidence } => {
            let count = seal.covers.len();
            within(
                (1..=COVERS_MAX).contains(&count),
                "covers has none, or more than 8,192",
            )?;
            check_set(parts, has_tables)?;
            rooted(evidence, false)
        }
        StatementBody::Erasure(erasure) => {
            let count = erasure.replaces.len();
            within(
                (1..=REPLACES_MAX).contains(&count),
                "replaces has none, or more than 4,096",
            )?;
            within(erasure.rows > 0, "an erasure of no rows")?;
            within(
                erasure.reason.len() <= REASON_BYTES_MAX,
                "a reason is too long",
            )?;
            rooted(&erasure.places, false)
        }
    }
}

fn check_set(set: &FileSet, has_form: impl Fn(&SealedFile) -> bool) -> Result<(), Fault> {
    if !set.is_within_bounds() {
        return Err(wrong(
            "a file set has more files or lists than a seal may name",
        ));
    }
    match set
        .inline()
        .unwrap_or_default()
        .iter()
        .find(|file| !has_form(file))
    {
        Some(file) => Err(wrong(format!(
            "{} has other fields than such a file",
            file.key
        ))),
        None => Ok(()),
    }
}

/// Whether a file has a root or none, and no tables.
pub(crate) fn is_plain(file: &SealedFile, has_root: bool) -> bool {
    (file.merkle_root != Hex32::NONE) == has_root && file.actors.is_none() && file.ids.is_none()
}

/// Whether a file has the fields of a day's part.
pub(crate) fn has_tables(file: &SealedFile) -> bool {
    file.merkle_root == Hex32::NONE && file.actors.is_some() && file.ids.is_some()
}
