//! Parts read back: whole, or only where an event may lie.

use crate::Fault;
use crate::columns::{Rows, check_schema, index, receipt};
use crate::files::{Chunks, Ranges};
use crate::judge::has_own_id;
use crate::previous::{Asked, First, Previous};
use crate::row::Row;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch, StringArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::PageIndexPolicy;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
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
    chunks: Chunks,
    metadata: ArrowReaderMetadata,
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

    fn value(&self) -> &[u8] {
        match self {
            Self::Id(text) | Self::Actor(text) => text.as_bytes(),
            Self::Fingerprint(bytes) => *bytes,
        }
    }
}

impl Part {
    /// Reads footer and page index.
    ///
    /// # Errors
    /// When it is no part of format version 1.
    pub fn open(file: Arc<dyn Ranges>) -> Result<Self, Fault> {
        let chunks = Chunks(file);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&chunks, options)?;
        check_schema(metadata.schema())?;
        Ok(Self { chunks, metadata })
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

    fn builder(&self, group: usize) -> ParquetRecordBatchReaderBuilder<Chunks> {
        let metadata = self.metadata.clone();
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), metadata)
            .with_row_groups(vec![group])
            .with_batch_size(self.batch_rows(group))
    }

    fn batch_rows(&self, group: usize) -> usize {
        let group = self.metadata.metadata().row_group(group);
        let bytes = u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX);
        if bytes > LARGE_GROUP_BYTES {
            return LARGE_GROUP_READ_ROWS;
        }
        let rows = u64::try_from(group.num_rows()).unwrap_or(1).max(1);
        let fit = READ_BYTES / (bytes / rows).max(1);
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
        self.for_each_from(0, |row| each(row).map(|()| ControlFlow::Continue(())))
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

    fn filter(&self, group: usize, column: &str) -> Result<Option<Sbbf>, Fault> {
        let Some(at) = crate::columns::position(column) else {
            return Ok(None);
        };
        Ok(self
            .builder(group)
            .get_row_group_column_bloom_filter(group, at)?)
    }

    /// Row groups in which such rows may lie, by their bloom filters.
    ///
    /// # Errors
    /// When a filter cannot be read.
    pub fn candidates(&self, wanted: Filter<'_>) -> Result<Vec<usize>, Fault> {
        let mut found = Vec::new();
        for group in 0..self.groups() {
            let filter = self.filter(group, wanted.column())?;
            if filter.is_none_or(|filter| filter.check(wanted.value())) {
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
                    each(rows.row(at)?)?;
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
            let same = |at: usize| match values.as_string_opt::<i32>() {
                Some(texts) => texts.is_valid(at) && texts.value(at).as_bytes() == wanted.value(),
                None => values
                    .as_fixed_size_binary_opt()
                    .is_some_and(|bytes| bytes.value(at) == wanted.value()),
            };
            let here = (0..batch.num_rows()).filter(|at| same(*at));
            found.extend(here.map(|at| from + at));
            from += batch.num_rows();
            Ok(())
        })?;
        Ok(found)
    }

    /// Some columns of a row group, in the files' order.
    fn columns(
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

fn unreadable(error: arrow_schema::ArrowError) -> Fault {
    Fault::Damaged(error.to_string())
}

/// A part's bloom filters of id and fingerprint, about 4 bytes an event: enough to know which events
/// cannot be in it.
#[derive(Debug)]
pub struct PartFilters(Vec<Filters>);

#[derive(Debug)]
struct Filters {
    id: Option<Sbbf>,
    fingerprint: Option<Sbbf>,
}

impl PartFilters {
    /// Reads them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(part: &Part) -> Result<Self, Fault> {
        let of = |group| {
            Ok(Filters {
                id: part.filter(group, "id")?,
                fingerprint: part.filter(group, "fingerprint")?,
            })
        };
        let filters: Result<Vec<Filters>, Fault> = (0..part.groups()).map(of).collect();
        filters.map(Self)
    }

    /// Whether the part may hold a stored event that this one repeats.
    #[must_use]
    pub fn may_hold(&self, asked: &Asked<'_>) -> bool {
        self.0.iter().any(|filters| filters.may_hold(asked))
    }

    /// What they take in memory, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |filter: &Option<Sbbf>| filter.as_ref().map_or(0, Sbbf::num_blocks) * 32;
        self.0.iter().map(|f| of(&f.id) + of(&f.fingerprint)).sum()
    }
}

impl Filters {
    fn may_hold(&self, asked: &Asked<'_>) -> bool {
        let passes = |filter: &Option<Sbbf>, value: &[u8]| {
            filter.as_ref().is_none_or(|filter| filter.check(value))
        };
        match asked.id {
            Some(id) => passes(&self.id, id.as_bytes()),
            None => passes(&self.fingerprint, &asked.fingerprint),
        }
    }
}

impl Part {
    /// For each event, in order: the part's stored one that it repeats, by an exact look where the
    /// filters let it pass.
    ///
    /// # Errors
    /// When the part cannot be read.
    pub fn firsts(
        &self,
        filters: &PartFilters,
        asked: &[Asked<'_>],
    ) -> Result<Vec<Option<First>>, Fault> {
        // The same event may be asked for twice: its first number stands for all.
        let mut numbers: HashMap<Key<'_>, usize> = HashMap::with_capacity(asked.len());
        for (number, asked) in asked.iter().enumerate() {
            numbers.entry(Key::asked(asked)).or_insert(number);
        }
        let mut found = vec![None; asked.len()];
        for (group, filters) in filters.0.iter().enumerate() {
            let candidates = asked.iter().filter(|asked| filters.may_hold(asked));
            let candidates: HashMap<Key<'_>, usize> = candidates
                .map(|asked| (Key::asked(asked), numbers[&Key::asked(asked)]))
                .collect();
            if !candidates.is_empty() {
                look_up(self, group, &candidates, &mut found)?;
            }
        }
        let answer = |asked| found[numbers[&Key::asked(asked)]];
        Ok(asked.iter().map(answer).collect())
    }
}

/// Earlier windows as their archive parts: bloom filters first, then an exact look.
#[derive(Debug, Default)]
pub struct PreviousParts {
    parts: Vec<(Part, PartFilters)>,
}

impl PreviousParts {
    /// Adds a part with stored events.
    ///
    /// # Errors
    /// When its filters cannot be read.
    pub fn add(&mut self, part: Part) -> Result<(), Fault> {
        let filters = PartFilters::read(&part)?;
        self.parts.push((part, filters));
        Ok(())
    }
}

impl Previous for PreviousParts {
    fn firsts(&self, asked: &[Asked<'_>]) -> Result<Vec<Option<First>>, Fault> {
        let mut found = vec![None; asked.len()];
        for (part, filters) in &self.parts {
            for (known, here) in found.iter_mut().zip(part.firsts(filters, asked)?) {
                *known = earlier(*known, here);
            }
        }
        Ok(found)
    }
}

/// Of two stored events that one repeats: the one that was received first.
#[must_use]
pub fn earlier(a: Option<First>, b: Option<First>) -> Option<First> {
    match (a, b) {
        (Some(a), Some(b)) if b.place < a.place => Some(b),
        (Some(a), _) => Some(a),
        (None, b) => b,
    }
}

/// What makes two events the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Id(&'a str),
    Fingerprint([u8; 32]),
}

impl<'a> Key<'a> {
    fn asked(asked: &Asked<'a>) -> Self {
        asked
            .key()
            .map_or(Self::Fingerprint(asked.fingerprint), Self::Id)
    }
}

fn look_up(
    part: &Part,
    group: usize,
    candidates: &HashMap<Key<'_>, usize>,
    found: &mut [Option<First>],
) -> Result<(), Fault> {
    let names = ["id", "kind", "receipt", "index", "fingerprint"];
    part.columns(group, &names, |batch| {
        let other = || Fault::Damaged("columns of another type".to_owned());
        let text = |at: usize| -> Result<&StringArray, Fault> {
            batch.column(at).as_string_opt().ok_or_else(other)
        };
        let (ids, kinds, receipts) = (text(0)?, text(1)?, text(2)?);
        let indices = batch.column(3).as_primitive_opt::<Int64Type>();
        let indices = indices.ok_or_else(other)?;
        let fingerprints = batch.column(4).as_fixed_size_binary_opt();
        let fingerprints = fingerprints.ok_or_else(other)?;
        for at in 0..batch.num_rows() {
            let fingerprint = fingerprints.value(at).try_into().map_err(|_| other())?;
            let row = Asked {
                own_id: has_own_id(kinds.value(at)),
                id: ids.is_valid(at).then(|| ids.value(at)),
                fingerprint,
            };
            let Some(number) = candidates.get(&Key::asked(&row)) else {
                continue;
            };
            let place = (
                receipt("receipt", receipts.value(at))?,
                index("index", indices.value(at))?,
            );
            let first = First { place, fingerprint };
            let known = &mut found[*number];
            if known.is_none_or(|known| place < known.place) {
                *known = Some(first);
            }
        }
        Ok(())
    })
}
