//! Rows as Arrow columns, in and out. docs/seal.md lists the columns.

use crate::Fault;
use crate::layout::{
    ERASED_WIDTH, FINGERPRINT_BYTES, PART_COLUMN, SALT_WIDTH, SEAL_COLUMN, other_columns,
};
pub use crate::layout::{Layout, SealedBy, day_names, names, names_of, schema};
pub(crate) use crate::layout::{check_schema, position};
use crate::leaf::Erased;
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
use std::sync::Arc;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::salt::Salt;
use vernier_ledger::time::Millis;

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
    salt: FixedSizeBinaryBuilder,
    erased: FixedSizeBinaryBuilder,
    seal: Int64Builder,
    part: Int64Builder,
    layout: Layout,
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
            salt: FixedSizeBinaryBuilder::new(SALT_WIDTH),
            erased: FixedSizeBinaryBuilder::new(ERASED_WIDTH),
            seal: Int64Builder::new(),
            part: Int64Builder::new(),
            layout,
            rows: 0,
        }
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row; where it was sealed goes into a day's files alone.
    pub(crate) fn push(&mut self, row: &Row<'_>, sealed_by: SealedBy) -> Result<(), Fault> {
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
        let fingerprint = row.erased.is_none().then_some(&row.fingerprint[..]);
        append_bytes(&mut self.fingerprint, fingerprint)?;
        self.event.append_option(row.event);
        if self.layout.is_blind() {
            append_bytes(&mut self.salt, row.salt.as_ref().map(|salt| &salt.0[..]))?;
            let erased = row.erased.map(Erased::to_bytes);
            append_bytes(&mut self.erased, erased.as_ref().map(|bytes| &bytes[..]))?;
        } else if row.salt.is_some() || row.erased.is_some() {
            return Err(other_columns());
        }
        if self.layout.is_day() {
            let SealedBy { seal, part } = sealed_by;
            let number = i64::try_from(seal);
            let number = number.map_err(|_| bad(SEAL_COLUMN.0, &seal.to_string()))?;
            self.seal.append_value(number);
            self.part.append_value(i64::from(part.unwrap_or(0)));
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
        if self.layout.is_blind() {
            columns.push(Arc::new(self.salt.finish()));
            columns.push(Arc::new(self.erased.finish()));
        }
        let (seals, parts) = (self.seal.finish(), self.part.finish());
        if self.layout.is_day() {
            columns.push(Arc::new(seals));
        }
        if self.layout == Layout::BlindDay {
            columns.push(Arc::new(parts));
        }
        let batch = RecordBatch::try_new(schema(self.layout), columns);
        batch.map_err(|e| Fault::Damaged(e.to_string()))
    }
}

fn append_bytes(to: &mut FixedSizeBinaryBuilder, bytes: Option<&[u8]>) -> Result<(), Fault> {
    match bytes {
        Some(bytes) => to
            .append_value(bytes)
            .map_err(|e| Fault::Damaged(e.to_string())),
        None => {
            to.append_null();
            Ok(())
        }
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
    salt: Option<&'a FixedSizeBinaryArray>,
    erased: Option<&'a FixedSizeBinaryArray>,
    seal: Option<&'a Int64Array>,
    part: Option<&'a Int64Array>,
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
        let bytes = |column: &'a ArrayRef| {
            let values = column.as_fixed_size_binary_opt();
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
            fingerprint: bytes(next()?)?,
            event: text(next()?)?,
            salt: when(layout.is_blind(), || bytes(next()?))?,
            erased: when(layout.is_blind(), || bytes(next()?))?,
            seal: when(layout.is_day(), || number(next()?))?,
            part: when(layout == Layout::BlindDay, || number(next()?))?,
            count: batch.num_rows(),
        })
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Where a row was sealed; none in a window's files.
    ///
    /// # Errors
    /// When it is nothing that a day's row can have.
    pub fn sealed_by(&self, at: usize) -> Result<Option<SealedBy>, Fault> {
        let Some(seals) = self.seal else {
            return Ok(None);
        };
        let part = self.part.map(|parts| index(PART_COLUMN.0, parts.value(at)));
        Ok(Some(SealedBy {
            seal: sequence(seals.value(at))?,
            part: part.transpose()?,
        }))
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
        let erased = bytes_at(self.erased, at).map(Erased::from_bytes);
        let erased = erased.map(|read| read.ok_or_else(|| bad("erased", "not 64 bytes")));
        let fingerprint = match (bytes_at(Some(self.fingerprint), at), &erased) {
            (Some(bytes), None) => bytes.try_into(),
            (None, Some(_)) => Ok([0; 32]),
            _ => return Err(bad("fingerprint", "with erased, or neither of them")),
        };
        let salt = bytes_at(self.salt, at).map(|bytes| bytes.try_into().map(Salt));
        let salt = salt.map(|read| read.map_err(|_| bad("salt", "not 16 bytes")));
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
            salt: salt.transpose()?,
            erased: erased.transpose()?,
        })
    }
}

/// Asks for a value where there is one.
fn when<T>(is_there: bool, ask: impl FnOnce() -> Result<T, Fault>) -> Result<Option<T>, Fault> {
    is_there.then(ask).transpose()
}

fn bytes_at(values: Option<&FixedSizeBinaryArray>, at: usize) -> Option<&[u8]> {
    let values = values.filter(|values| values.is_valid(at))?;
    Some(values.value(at))
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
    u64::try_from(value).map_err(|_| bad(SEAL_COLUMN.0, &value.to_string()))
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
