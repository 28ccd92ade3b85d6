//! Which columns files have, by kind and version. docs/seal.md lists them.

use crate::Fault;
use crate::leaf::{Erased, LeafForm};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::{Arc, LazyLock};
use vernier_ledger::salt::SALT_BYTES;

/// Bytes of a fingerprint column's value.
pub(crate) const FINGERPRINT_BYTES: i32 = 32;

/// Bytes of a value of the columns `salt` and `erased`.
pub(crate) const SALT_WIDTH: i32 = SALT_BYTES as i32;
pub(crate) const ERASED_WIDTH: i32 = Erased::BYTES as i32;

/// A column's type in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Time,
    Score,
    Fingerprint,
    Salt,
    Erased,
}

impl Kind {
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Number => DataType::Int64,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Score => DataType::Float64,
            Self::Fingerprint => DataType::FixedSizeBinary(FINGERPRINT_BYTES),
            Self::Salt => DataType::FixedSizeBinary(SALT_WIDTH),
            Self::Erased => DataType::FixedSizeBinary(ERASED_WIDTH),
        }
    }
}

/// Every column in order: name, type, whether it may be without a value.
const COLUMNS: [(&str, Kind, bool); 23] = [
    ("id", Kind::Text, true),
    ("type", Kind::Text, true),
    ("action", Kind::Text, true),
    ("actor", Kind::Text, true),
    ("object", Kind::Text, true),
    ("group", Kind::Text, true),
    ("event_time", Kind::Time, true),
    ("sensor", Kind::Text, false),
    ("kind", Kind::Text, false),
    ("strict", Kind::Text, false),
    ("receipt", Kind::Text, false),
    ("index", Kind::Number, false),
    ("received_at", Kind::Time, false),
    ("disposition", Kind::Text, false),
    ("first_receipt", Kind::Text, true),
    ("first_index", Kind::Number, true),
    ("problems", Kind::Text, true),
    ("deviations", Kind::Text, true),
    ("result", Kind::Text, true),
    ("score", Kind::Score, true),
    ("score_maximum", Kind::Score, true),
    ("fingerprint", Kind::Fingerprint, false),
    ("event", Kind::Text, true),
];

/// Columns that files have behind those: the salt and what stays of an erased row; which seal sealed the row, and
/// which of the seal's parts has it.
const SALT_COLUMN: (&str, Kind, bool) = ("salt", Kind::Salt, true);
const ERASED_COLUMN: (&str, Kind, bool) = ("erased", Kind::Erased, true);
pub(crate) const SEAL_COLUMN: (&str, Kind, bool) = ("seal", Kind::Number, false);
pub(crate) const PART_COLUMN: (&str, Kind, bool) = ("part", Kind::Number, false);

/// Which columns a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Those of a window's or backfill's files of version 1.
    Window,
    /// Those of a day's files of versions 2 and 3: one more, `seal`.
    Day,
    /// Those of a window's or backfill's files of version 4: with `salt` and `erased`.
    BlindWindow,
    /// Those of a day's files of version 4: with `salt`, `erased`, `seal` and `part`.
    BlindDay,
}

impl Layout {
    const ALL: [Self; 4] = [Self::Window, Self::Day, Self::BlindWindow, Self::BlindDay];

    /// Whether rows name the seals that sealed them.
    #[must_use]
    pub const fn is_day(self) -> bool {
        matches!(self, Self::Day | Self::BlindDay)
    }

    /// Whether rows may have salts, and may be erased.
    #[must_use]
    pub const fn is_blind(self) -> bool {
        matches!(self, Self::BlindWindow | Self::BlindDay)
    }

    /// How rows of a window's file become leaves. A day's rows do by the version of the seal that sealed them.
    pub(crate) const fn leaf_form(self) -> LeafForm {
        match self {
            Self::Window | Self::Day => LeafForm::Plain,
            Self::BlindWindow | Self::BlindDay => LeafForm::Blind,
        }
    }

    /// The version that the footer says.
    pub(crate) const fn version(self) -> u32 {
        match self {
            Self::Window => crate::seal::SEAL_VERSION,
            Self::Day => crate::seal::DAY_SEAL_VERSION,
            Self::BlindWindow | Self::BlindDay => crate::seal::SEAL_VERSION_4,
        }
    }

    fn columns(self) -> Vec<(&'static str, Kind, bool)> {
        let mut columns = COLUMNS.to_vec();
        if self.is_blind() {
            for column in &mut columns {
                column.2 |= column.1 == Kind::Fingerprint;
            }
            columns.extend([SALT_COLUMN, ERASED_COLUMN]);
        }
        if self.is_day() {
            columns.push(SEAL_COLUMN);
        }
        if self == Self::BlindDay {
            columns.push(PART_COLUMN);
        }
        columns
    }
}

/// Where a day's row was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedBy {
    /// Sequence of the seal.
    pub seal: u64,
    /// Which of the seal's parts has the row, from 0; none in days before version 4.
    pub part: Option<u32>,
}

/// Names of all columns of a window's files, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, ..)| *name)
}

/// Names of all columns of a day's files, in order.
pub fn day_names() -> impl Iterator<Item = &'static str> {
    names().chain([SEAL_COLUMN.0])
}

/// Names of all columns of files of this layout, in order.
pub fn names_of(layout: Layout) -> impl Iterator<Item = &'static str> {
    layout.columns().into_iter().map(|(name, ..)| name)
}

/// Where a column of a window's files is among all; a day's files have it at the same place.
pub(crate) fn position(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|(n, ..)| *n == name)
}

/// The schema of every part.
#[must_use]
pub fn schema(layout: Layout) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| {
        let field = |(name, kind, nullable): (&str, Kind, bool)| {
            Field::new(name, kind.data_type(), nullable)
        };
        Layout::ALL.map(|layout| {
            let fields: Vec<Field> = layout.columns().into_iter().map(field).collect();
            Arc::new(Schema::new(fields))
        })
    });
    Arc::clone(&SCHEMAS[layout as usize])
}

pub(crate) fn other_columns() -> Fault {
    Fault::Damaged("its columns are not those of the archive's files".to_owned())
}

/// Whether a file's columns are those of every part, and of which kind.
pub(crate) fn check_schema(found: &Schema) -> Result<Layout, Fault> {
    let same = |(a, b): (&Arc<Field>, &Arc<Field>)| {
        a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
    };
    let is = |layout: &Layout| {
        let wanted = schema(*layout);
        found.fields().len() == wanted.fields().len()
            && found.fields().iter().zip(wanted.fields()).all(same)
    };
    Layout::ALL.into_iter().find(is).ok_or_else(other_columns)
}
