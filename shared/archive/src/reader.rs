//! Parts read back: whole, or only where an event may lie.

use crate::Fault;
use crate::columns::{Layout, Rows, SealedBy, check_schema, receipt, schema};
use crate::files::{Chunks, Ranges};
pub use crate::firsts::{PartFilters, PreviousParts, earlier};
use crate::part::UNUSUAL_IDS;
use crate::row::Row;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray, new_null_array};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::PageIndexPolicy;
use std::ops::ControlFlow;
use std::sync::Arc;
use vernier_ledger::event_id::EventId;
use vernier_ledger::ids::ReceiptId;

/// Rows of a batch that is read.
const READ_ROWS_MAX: usize = 4_096;

/// Text that a batch should hold, bytes.
const READ_BYTES: u64 = 64 * 1024 * 1024;

/// Row groups with more text than this are read few rows at a time: a text column of one batch
/// reaches 2 GiB, and an event has at most 16 MiB.
const LARGE_GROUP_BYTES: u64 = 1_500_000_000;
const LARGE_GROUP_READ_ROWS: usize = 64;

/// What a row says of the rules: why it was rejected, what was let pass.
#[derive(Debug, Clone, Copy)]
pub struct Verdicts<'a> {
    /// The envelope's receipt.
    pub receipt: ReceiptId,
    /// The sensor that the token named.
    pub sensor: &'a str,
    /// The specification's verdict, `accepted` or `rejected`.
    pub strict: &'a str,
    /// How the event ended, `stored`, `duplicate`, `conflict` or `rejected`.
    pub disposition: &'a str,
    /// Why it was rejected, JSON.
    pub problems: Option<&'a str>,
    /// What lenient mode let pass, JSON.
    pub deviations: Option<&'a str>,
}

/// The columns of [`Verdicts`], in the file's order.
const VERDICT_COLUMNS: [&str; 6] = [
    "sensor",
    "strict",
    "receipt",
    "disposition",
    "problems",
    "deviations",
];

/// A part of the archive.
pub struct Part {
    pub(crate) chunks: Chunks,
    pub(crate) metadata: ArrowReaderMetadata,
    layout: Layout,
}

/// Which columns of the rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All of them.
    Whole,
    /// All but `event`, which is most of a file's bytes: enough for results, and for leaves but those of
    /// duplicates of version 4, which say whether there is a text.
    WithoutEvents,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

/// Which rows a look-up wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter<'a> {
    /// With this id.
    Id(&'a str),
    /// With this actor.
    Actor(&'a str),
    /// With this fingerprint.
    Fingerprint(&'a [u8; 32]),
}

impl Filter<'_> {
    const fn column(&self) -> &'static str {
        match self {
            Self::Id(_) => "id",
            Self::Actor(_) => "actor",
            Self::Fingerprint(_) => "fingerprint",
        }
    }

    fn may_lie_by(&self, filter: &Sbbf) -> bool {
        match self {
            Self::Id(id) => EventId(id).any_spelling(|id| filter.check(id)),
            Self::Actor(text) => filter.check(*text),
            Self::Fingerprint(bytes) => filter.check(&bytes[..]),
        }
    }

    fn takes(&self, values: &dyn Array, at: usize) -> bool {
        if values.is_null(at) {
            return false;
        }
        let text = || Some(values.as_string_opt::<i32>()?.value(at));
        match self {
            Self::Id(id) => text().is_some_and(|text| EventId(text) == EventId(id)),
            Self::Actor(actor) => text() == Some(*actor),
            Self::Fingerprint(wanted) => values
                .as_fixed_size_binary_opt()
                .is_some_and(|bytes| bytes.value(at) == *wanted),
        }
    }
}

impl Part {
    /// Reads footer and page index.
    ///
    /// # Errors
    /// When it is no part of an archive.
    pub fn open(file: Arc<dyn Ranges>) -> Result<Self, Fault> {
        Self::open_with(file, PageIndexPolicy::Optional)
    }

    /// Reads the footer alone: enough to know which row groups to look at.
    ///
    /// # Errors
    /// When it is no part of an archive.
    pub fn open_footer(file: Arc<dyn Ranges>) -> Result<Self, Fault> {
        Self::open_with(file, PageIndexPolicy::Skip)
    }

    fn open_with(file: Arc<dyn Ranges>, index: PageIndexPolicy) -> Result<Self, Fault> {
        let chunks = Chunks(file);
        let options = ArrowReaderOptions::new().with_page_index_policy(index);
        let metadata = ArrowReaderMetadata::load(&chunks, options)?;
        let layout = check_schema(metadata.schema())?;
        Ok(Self {
            chunks,
            metadata,
            layout,
        })
    }

    /// The same part, its rows read from elsewhere: where only some of its bytes are.
    #[must_use]
    pub fn over(&self, file: Arc<dyn Ranges>) -> Self {
        Self {
            chunks: Chunks(file),
            metadata: self.metadata.clone(),
            layout: self.layout,
        }
    }

    /// Which columns it has.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Where the bytes of a row group's columns lie, as offset and length, in order and joined.
    #[must_use]
    pub fn ranges(&self, group: usize, reading: Reading) -> Vec<(u64, u64)> {
        let group = self.metadata.metadata().row_group(group);
        let event = crate::columns::position("event");
        let columns = group.columns().iter().enumerate();
        let mut ranges: Vec<(u64, u64)> = columns
            .filter(|(at, _)| reading == Reading::Whole || Some(*at) != event)
            .map(|(_, column)| column.byte_range())
            .collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let touches = before.0 + before.1 == next.0;
            if touches {
                before.1 += next.1;
            }
            touches
        });
        ranges
    }

    /// Rows in it.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let rows = self.metadata.metadata().file_metadata().num_rows();
        u64::try_from(rows).unwrap_or(0)
    }

    /// Row groups in it.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    pub(crate) fn builder(&self, group: usize) -> ParquetRecordBatchReaderBuilder<Chunks> {
        let metadata = self.metadata.clone();
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), metadata)
            .with_row_groups(vec![group])
            .with_batch_size(self.batch_rows(group))
    }

    /// What a row of a row group takes on average, bytes before compression.
    #[must_use]
    pub fn row_bytes(&self, group: usize) -> u64 {
        let group = self.metadata.metadata().row_group(group);
        let bytes = u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX);
        bytes / u64::try_from(group.num_rows()).unwrap_or(1).max(1)
    }

    fn batch_rows(&self, group: usize) -> usize {
        let bytes = self.metadata.metadata().row_group(group).total_byte_size();
        if u64::try_from(bytes).unwrap_or(u64::MAX) > LARGE_GROUP_BYTES {
            return LARGE_GROUP_READ_ROWS;
        }
        let fit = READ_BYTES / self.row_bytes(group).max(1);
        usize::try_from(fit).map_or(READ_ROWS_MAX, |rows| rows.clamp(1, READ_ROWS_MAX))
    }

    /// Calls `each` with every row, in order.
    ///
    /// # Errors
    /// When a row cannot be read, or what `each` answers.
    pub fn for_each(
        &self,
        mut each: impl FnMut(Row<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.for_each_sealed(|row, _| each(row))
    }

    /// Calls `each` with the rows from a number on, in order, until it breaks.
    ///
    /// # Errors
    /// When a row cannot be read, or what `each` answers.
    pub fn for_each_from(
        &self,
        first: u64,
        mut each: impl FnMut(Row<'_>) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let mut before = usize::try_from(first).unwrap_or(usize::MAX);
        for group in 0..self.groups() {
            let rows = self.metadata.metadata().row_group(group).num_rows();
            let rows = usize::try_from(rows).unwrap_or(0);
            if before >= rows {
                before -= rows;
                continue;
            }
            let rest = RowSelection::from_consecutive_ranges(std::iter::once(before..rows), rows);
            before = 0;
            for batch in self.builder(group).with_row_selection(rest).build()? {
                let batch = batch.map_err(unreadable)?;
                let rows = Rows::new(&batch)?;
                for at in 0..rows.count() {
                    if each(rows.row(at)?)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// As [`Self::for_each`], with the sequence of the seal that sealed the row where the part is a
    /// day's.
    ///
    /// # Errors
    /// As for [`Self::for_each`].
    pub fn for_each_sealed(
        &self,
        mut each: impl FnMut(Row<'_>, Option<u64>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for group in 0..self.groups() {
            self.for_each_of_group(group, Reading::Whole, &mut each)?;
        }
        Ok(())
    }

    /// As [`Self::for_each_sealed`] for one row group.
    ///
    /// # Errors
    /// As for [`Self::for_each`].
    pub fn for_each_of_group(
        &self,
        group: usize,
        reading: Reading,
        mut each: impl FnMut(Row<'_>, Option<u64>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.for_each_sealed_by(group, reading, |row, by| each(row, by.map(|by| by.seal)))
    }

    /// As [`Self::for_each_of_group`], with the seal's part too where the file says it.
    ///
    /// # Errors
    /// The same as of [`Self::for_each`].
    pub fn for_each_sealed_by(
        &self,
        group: usize,
        reading: Reading,
        mut each: impl FnMut(Row<'_>, Option<SealedBy>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut builder = self.builder(group);
        if reading == Reading::WithoutEvents {
            let parquet = self.metadata.parquet_schema();
            let names = schema(self.layout);
            let names = names.fields().iter().map(|field| field.name().as_str());
            let mask = ProjectionMask::columns(parquet, names.filter(|name| *name != "event"));
            builder = builder.with_projection(mask).with_batch_size(READ_ROWS_MAX);
        }
        for batch in builder.build()? {
            let mut batch = batch.map_err(unreadable)?;
            if reading == Reading::WithoutEvents {
                batch = self.without_events(&batch)?;
            }
            let rows = Rows::new(&batch)?;
            for at in 0..rows.count() {
                each(rows.row(at)?, rows.sealed_by(at)?)?;
            }
        }
        Ok(())
    }

    /// Calls `each` with what every row says of the rules. No other column is read.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn for_each_verdicts(&self, mut each: impl FnMut(Verdicts<'_>)) -> Result<(), Fault> {
        for group in 0..self.groups() {
            self.columns(group, &VERDICT_COLUMNS, |batch| {
                let text = |name: &str| {
                    let column = batch.column_by_name(name);
                    let texts = column.and_then(|c| c.as_string_opt::<i32>());
                    texts.ok_or_else(|| Fault::Damaged(format!("column {name}")))
                };
                let [sensor, strict, receipts] =
                    [text("sensor")?, text("strict")?, text("receipt")?];
                let [ended, problems, deviations] =
                    [text("disposition")?, text("problems")?, text("deviations")?];
                let some = |column: &StringArray, at| column.is_valid(at).then_some(at);
                for at in 0..batch.num_rows() {
                    each(Verdicts {
                        receipt: receipt("receipt", receipts.value(at))?,
                        sensor: sensor.value(at),
                        strict: strict.value(at),
                        disposition: ended.value(at),
                        problems: some(problems, at).map(|at| problems.value(at)),
                        deviations: some(deviations, at).map(|at| deviations.value(at)),
                    });
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The batch with an empty `event` in its place.
    fn without_events(&self, batch: &RecordBatch) -> Result<RecordBatch, Fault> {
        let mut columns = batch.columns().to_vec();
        let at = crate::columns::position("event").unwrap_or(columns.len());
        columns.insert(at, new_null_array(&DataType::Utf8, batch.num_rows()));
        RecordBatch::try_new(schema(self.layout), columns).map_err(unreadable)
    }

    pub(crate) fn filter(&self, group: usize, column: &str) -> Result<Option<Sbbf>, Fault> {
        let Some(at) = crate::columns::position(column) else {
            return Ok(None);
        };
        Ok(self
            .builder(group)
            .get_row_group_column_bloom_filter(group, at)?)
    }

    /// Whether a UUID lies here in a spelling that [`EventId::any_spelling`] may not try: then neither filters nor
    /// bounds of ids leave anything out.
    pub(crate) fn has_unusual_ids(&self) -> bool {
        let metadata = self.metadata.metadata().file_metadata();
        let pairs = metadata.key_value_metadata();
        pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == UNUSUAL_IDS))
    }

    /// Row groups in which such rows may lie, by their bloom filters.
    ///
    /// # Errors
    /// When a filter cannot be read.
    pub fn candidates(&self, wanted: Filter<'_>) -> Result<Vec<usize>, Fault> {
        if matches!(wanted, Filter::Id(_)) && self.has_unusual_ids() {
            return Ok((0..self.groups()).collect());
        }
        let mut found = Vec::new();
        for group in 0..self.groups() {
            let filter = self.filter(group, wanted.column())?;
            if filter.is_none_or(|filter| wanted.may_lie_by(&filter)) {
                found.push(group);
            }
        }
        Ok(found)
    }

    /// Calls `each` with exactly the rows that are wanted. Where the bloom filter lets a row group
    /// pass, its one column is read; all columns only of the pages in which a row was found.
    ///
    /// # Errors
    /// When the part cannot be read, or what `each` answers.
    pub fn find(
        &self,
        wanted: Filter<'_>,
        mut each: impl FnMut(Row<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.find_sealed(wanted, |row, _| each(row))
    }

    /// As [`Self::find`], with where the row was sealed when the part is a day's.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub fn find_sealed(
        &self,
        wanted: Filter<'_>,
        mut each: impl FnMut(Row<'_>, Option<SealedBy>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for group in self.candidates(wanted)? {
            let rows = self.rows_where(group, wanted)?;
            if rows.is_empty() {
                continue;
            }
            let total = self.metadata.metadata().row_group(group).num_rows();
            let total = usize::try_from(total).unwrap_or(0);
            let ranges = rows.into_iter().map(|at| at..at + 1);
            let selection = RowSelection::from_consecutive_ranges(ranges, total);
            for batch in self.builder(group).with_row_selection(selection).build()? {
                let batch = batch.map_err(unreadable)?;
                let rows = Rows::new(&batch)?;
                for at in 0..rows.count() {
                    each(rows.row(at)?, rows.sealed_by(at)?)?;
                }
            }
        }
        Ok(())
    }

    /// Numbers of a row group's rows that are wanted.
    fn rows_where(&self, group: usize, wanted: Filter<'_>) -> Result<Vec<usize>, Fault> {
        let (mut found, mut from) = (Vec::new(), 0);
        self.columns(group, &[wanted.column()], |batch| {
            let values = batch.column(0);
            let here = (0..batch.num_rows()).filter(|at| wanted.takes(values, *at));
            found.extend(here.map(|at| from + at));
            from += batch.num_rows();
            Ok(())
        })?;
        Ok(found)
    }

    /// Some columns of a row group, in the files' order.
    pub(crate) fn columns(
        &self,
        group: usize,
        names: &[&str],
        mut each: impl FnMut(&RecordBatch) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mask = ProjectionMask::columns(self.metadata.parquet_schema(), names.iter().copied());
        let reader = self
            .builder(group)
            .with_batch_size(READ_ROWS_MAX)
            .with_projection(mask)
            .build()?;
        for batch in reader {
            each(&batch.map_err(unreadable)?)?;
        }
        Ok(())
    }
}

pub(crate) fn unreadable(error: arrow_schema::ArrowError) -> Fault {
    Fault::Damaged(error.to_string())
}
