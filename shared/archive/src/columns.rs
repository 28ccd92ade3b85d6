//! Rows as Arrow columns, in and out. docs/seal.md lists the columns.

use crate::Fault;
use crate::row::{Row, disposition_from, disposition_word};
use arrow_array::builder::{
    FixedSizeBinaryBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::{Arc, LazyLock};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::time::Millis;

/// Bytes of a fingerprint column's value.
const FINGERPRINT_BYTES: i32 = 32;

/// A column's type in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Time,
    Score,
    Fingerprint,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Number => DataType::Int64,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Score => DataType::Float64,
            Self::Fingerprint => DataType::FixedSizeBinary(FINGERPRINT_BYTES),
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

/// The column that a day's files have behind all others: which seal sealed the row.
const SEAL_COLUMN: &str = "seal";

/// Which columns a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Those of a window's or backfill's files.
    Window,
    /// Those of a day's files: one more, `seal`.
    Day,
}

/// Names of all columns of a window's files, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, ..)| *name)
}

/// Names of all columns of a day's files, in order.
pub fn day_names() -> impl Iterator<Item = &'static str> {
    names().chain([SEAL_COLUMN])
}

/// Where a column of a window's files is among all; a day's files have it at the same place.
pub(crate) fn position(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|(n, ..)| *n == name)
}

/// The schema of every part.
#[must_use]
pub fn schema(layout: Layout) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; 2]> = LazyLock::new(|| {
        let field = |(name, kind, nullable): (&str, Kind, bool)| {
            Field::new(name, kind.data_type(), nullable)
        };
        let mut fields = COLUMNS.map(field).to_vec();
        let window = Arc::new(Schema::new(fields.clone()));
        fields.push(field((SEAL_COLUMN, Kind::Number, false)));
        [window, Arc::new(Schema::new(fields))]
    });
    Arc::clone(&SCHEMAS[usize::from(layout == Layout::Day)])
}

/// Rows on their way into a batch.
#[derive(Debug)]
pub(crate) struct RowsBuilder {
    id: StringBuilder,
    type_name: StringBuilder,
    action: StringBuilder,
    actor: StringBuilder,
    object: StringBuilder,
    group: StringBuilder,
    event_time: TimestampMillisecondBuilder,
    sensor: StringBuilder,
    kind: StringBuilder,
    strict: StringBuilder,
    receipt: StringBuilder,
    index: Int64Builder,
    received_at: TimestampMillisecondBuilder,
    disposition: StringBuilder,
    first_receipt: StringBuilder,
    first_index: Int64Builder,
    problems: StringBuilder,
    deviations: StringBuilder,
    result: StringBuilder,
    score: Float64Builder,
    score_maximum: Float64Builder,
    fingerprint: FixedSizeBinaryBuilder,
    event: StringBuilder,
    seal: Option<Int64Builder>,
    rows: usize,
}

impl RowsBuilder {
    pub(crate) fn new(layout: Layout) -> Self {
        let text = StringBuilder::new;
        let time = || TimestampMillisecondBuilder::new().with_timezone("UTC");
        Self {
            id: text(),
            type_name: text(),
            action: text(),
            actor: text(),
            object: text(),
            group: text(),
            event_time: time(),
            sensor: text(),
            kind: text(),
            strict: text(),
            receipt: text(),
            index: Int64Builder::new(),
            received_at: time(),
            disposition: text(),
            first_receipt: text(),
            first_index: Int64Builder::new(),
            problems: text(),
            deviations: text(),
            result: text(),
            score: Float64Builder::new(),
            score_maximum: Float64Builder::new(),
            fingerprint: FixedSizeBinaryBuilder::new(FINGERPRINT_BYTES),
            event: text(),
            seal: (layout == Layout::Day).then(Int64Builder::new),
            rows: 0,
        }
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row; `seal` goes into a day's files alone.
    pub(crate) fn push(&mut self, row: &Row<'_>, seal: u64) -> Result<(), Fault> {
        self.id.append_option(row.id);
        self.type_name.append_option(row.type_name);
        self.action.append_option(row.action);
        self.actor.append_option(row.actor);
        self.object.append_option(row.object);
        self.group.append_option(row.group);
        self.event_time.append_option(row.event_time.map(|t| t.0));
        self.sensor.append_value(row.sensor);
        self.kind.append_value(row.kind);
        self.strict.append_value(row.strict);
        self.receipt.append_value(row.receipt.to_string());
        self.index.append_value(i64::from(row.index));
        self.received_at.append_value(row.received_at.0);
        self.disposition
            .append_value(disposition_word(row.disposition));
        self.first_receipt
            .append_option(row.first.map(|(receipt, _)| receipt.to_string()));
        self.first_index
            .append_option(row.first.map(|(_, index)| i64::from(index)));
        self.problems.append_option(row.problems);
        self.deviations.append_option(row.deviations);
        self.result.append_option(row.result);
        self.score.append_option(row.score);
        self.score_maximum.append_option(row.score_maximum);
        self.fingerprint
            .append_value(row.fingerprint)
            .map_err(|e| Fault::Damaged(e.to_string()))?;
        self.event.append_option(row.event);
        if let Some(seals) = &mut self.seal {
            let number = i64::try_from(seal);
            seals.append_value(number.map_err(|_| bad(SEAL_COLUMN, &seal.to_string()))?);
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far; the builder is empty afterwards.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, Fault> {
        self.rows = 0;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.id.finish()),
            Arc::new(self.type_name.finish()),
            Arc::new(self.action.finish()),
            Arc::new(self.actor.finish()),
            Arc::new(self.object.finish()),
            Arc::new(self.group.finish()),
            Arc::new(self.event_time.finish()),
            Arc::new(self.sensor.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.strict.finish()),
            Arc::new(self.receipt.finish()),
            Arc::new(self.index.finish()),
            Arc::new(self.received_at.finish()),
            Arc::new(self.disposition.finish()),
            Arc::new(self.first_receipt.finish()),
            Arc::new(self.first_index.finish()),
            Arc::new(self.problems.finish()),
            Arc::new(self.deviations.finish()),
            Arc::new(self.result.finish()),
            Arc::new(self.score.finish()),
            Arc::new(self.score_maximum.finish()),
            Arc::new(self.fingerprint.finish()),
            Arc::new(self.event.finish()),
        ];
        let layout = self.seal.as_ref().map_or(Layout::Window, |_| Layout::Day);
        if let Some(seals) = &mut self.seal {
            columns.push(Arc::new(seals.finish()));
        }
        RecordBatch::try_new(schema(layout), columns).map_err(|e| Fault::Damaged(e.to_string()))
    }
}

/// A batch that has the files' schema, read row by row.
#[derive(Debug)]
pub struct Rows<'a> {
    id: &'a StringArray,
    type_name: &'a StringArray,
    action: &'a StringArray,
    actor: &'a StringArray,
    object: &'a StringArray,
    group: &'a StringArray,
    event_time: &'a TimestampMillisecondArray,
    sensor: &'a StringArray,
    kind: &'a StringArray,
    strict: &'a StringArray,
    receipt: &'a StringArray,
    index: &'a Int64Array,
    received_at: &'a TimestampMillisecondArray,
    disposition: &'a StringArray,
    first_receipt: &'a StringArray,
    first_index: &'a Int64Array,
    problems: &'a StringArray,
    deviations: &'a StringArray,
    result: &'a StringArray,
    score: &'a Float64Array,
    score_maximum: &'a Float64Array,
    fingerprint: &'a FixedSizeBinaryArray,
    event: &'a StringArray,
    seal: Option<&'a Int64Array>,
    count: usize,
}

impl<'a> Rows<'a> {
    /// Looks at a batch.
    ///
    /// # Errors
    /// When its columns are not those of [`schema`].
    pub fn new(batch: &'a RecordBatch) -> Result<Self, Fault> {
        let layout = check_schema(&batch.schema())?;
        let mut columns = batch.columns().iter();
        let mut next = || columns.next().ok_or_else(other_columns);
        let text = |column: &'a ArrayRef| column.as_string_opt::<i32>().ok_or_else(other_columns);
        let number = |column: &'a ArrayRef| {
            let values = column.as_primitive_opt::<Int64Type>();
            values.ok_or_else(other_columns)
        };
        let float = |column: &'a ArrayRef| {
            let values = column.as_primitive_opt::<Float64Type>();
            values.ok_or_else(other_columns)
        };
        let time = |column: &'a ArrayRef| {
            let values = column.as_primitive_opt::<TimestampMillisecondType>();
            values.ok_or_else(other_columns)
        };
        Ok(Self {
            id: text(next()?)?,
            type_name: text(next()?)?,
            action: text(next()?)?,
            actor: text(next()?)?,
            object: text(next()?)?,
            group: text(next()?)?,
            event_time: time(next()?)?,
            sensor: text(next()?)?,
            kind: text(next()?)?,
            strict: text(next()?)?,
            receipt: text(next()?)?,
            index: number(next()?)?,
            received_at: time(next()?)?,
            disposition: text(next()?)?,
            first_receipt: text(next()?)?,
            first_index: number(next()?)?,
            problems: text(next()?)?,
            deviations: text(next()?)?,
            result: text(next()?)?,
            score: float(next()?)?,
            score_maximum: float(next()?)?,
            fingerprint: next()?
                .as_fixed_size_binary_opt()
                .ok_or_else(other_columns)?,
            event: text(next()?)?,
            seal: match layout {
                Layout::Window => None,
                Layout::Day => Some(number(next()?)?),
            },
            count: batch.num_rows(),
        })
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The sequence of the seal that sealed a row; none in a window's files.
    ///
    /// # Errors
    /// When it is none that a seal can have.
    pub fn seal(&self, at: usize) -> Result<Option<u64>, Fault> {
        let Some(seals) = self.seal else {
            return Ok(None);
        };
        sequence(seals.value(at)).map(Some)
    }

    /// One row.
    ///
    /// # Errors
    /// When a value is none that its column may have.
    pub fn row(&self, at: usize) -> Result<Row<'a>, Fault> {
        let first_index = self.first_index.is_valid(at);
        let first = match text_at(self.first_receipt, at) {
            Some(text) if first_index => Some((
                receipt("first_receipt", text)?,
                index("first_index", self.first_index.value(at))?,
            )),
            None if !first_index => None,
            _ => return Err(bad("first_receipt", "without first_index, or the reverse")),
        };
        let disposition = self.disposition.value(at);
        let fingerprint = self.fingerprint.value(at).try_into();
        Ok(Row {
            id: text_at(self.id, at),
            type_name: text_at(self.type_name, at),
            action: text_at(self.action, at),
            actor: text_at(self.actor, at),
            object: text_at(self.object, at),
            group: text_at(self.group, at),
            event_time: self
                .event_time
                .is_valid(at)
                .then(|| Millis(self.event_time.value(at))),
            sensor: self.sensor.value(at),
            kind: self.kind.value(at),
            strict: self.strict.value(at),
            receipt: receipt("receipt", self.receipt.value(at))?,
            index: index("index", self.index.value(at))?,
            received_at: Millis(self.received_at.value(at)),
            disposition: disposition_from(disposition)
                .ok_or_else(|| bad("disposition", disposition))?,
            first,
            problems: text_at(self.problems, at),
            deviations: text_at(self.deviations, at),
            result: text_at(self.result, at),
            score: float_at(self.score, at),
            score_maximum: float_at(self.score_maximum, at),
            fingerprint: fingerprint.map_err(|_| bad("fingerprint", "not 32 bytes"))?,
            event: text_at(self.event, at),
        })
    }
}

fn text_at(values: &StringArray, at: usize) -> Option<&str> {
    values.is_valid(at).then(|| values.value(at))
}

fn float_at(values: &Float64Array, at: usize) -> Option<f64> {
    values.is_valid(at).then(|| values.value(at))
}

pub(crate) fn index(column: &str, value: i64) -> Result<u32, Fault> {
    u32::try_from(value).map_err(|_| bad(column, &value.to_string()))
}

pub(crate) fn sequence(value: i64) -> Result<u64, Fault> {
    u64::try_from(value).map_err(|_| bad(SEAL_COLUMN, &value.to_string()))
}

fn other_columns() -> Fault {
    Fault::Damaged("its columns are not those of the archive's files".to_owned())
}

/// Whether a file's columns are those of every part, and of which kind.
pub(crate) fn check_schema(found: &Schema) -> Result<Layout, Fault> {
    let same = |(a, b): (&Arc<Field>, &Arc<Field>)| {
        a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
    };
    let layout = if found.fields().len() > COLUMNS.len() {
        Layout::Day
    } else {
        Layout::Window
    };
    let wanted = schema(layout);
    if found.fields().len() == wanted.fields().len()
        && found.fields().iter().zip(wanted.fields()).all(same)
    {
        return Ok(layout);
    }
    Err(other_columns())
}

pub(crate) fn receipt(column: &str, text: &str) -> Result<ReceiptId, Fault> {
    // One spelling only: the row's canonical bytes have no case.
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    match text.parse() {
        Ok(id) if lower => Ok(id),
        _ => Err(bad(column, text)),
    }
}

fn bad(column: &str, value: &str) -> Fault {
    let shown: String = value.chars().take(80).collect();
    Fault::Damaged(format!("column {column}: {shown}"))
}
