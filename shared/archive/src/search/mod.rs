//! Finding rows in a part: row groups by their statistics and bloom filters, pages by the page
//! index, rows by the few columns that decide. Only then are whole rows read, and of them only those
//! that are wanted.
//!
//! Everything here says first which bytes it will read ([`crate::files::Ranges::want`]), so that a
//! store can fetch them side by side.

mod looked;
mod near;

use crate::Fault;
use crate::columns::{Rows, index, receipt, schema};
use crate::reader::{Part, unreadable};
use crate::row::{Row, disposition_word};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, FixedSizeBinaryArray, StringArray};
use looked::Looked;
use near::{filter_range, text_may_lie, time_may_lie};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::RowSelection;
use std::ops::Range;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::event_id::EventId;
use vernier_ledger::line::names_rule;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// The column that only erased rows have a value in.
const ERASED: &str = "erased";

/// The column of a day's rows that names their seals.
const SEAL: &str = "seal";

/// Rows of a batch of the deciding columns.
const SEARCH_ROWS_MAX: usize = 8_192;

/// A column that a search compares, or shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The event's own id.
    Id,
    /// Its type.
    Type,
    /// Its action.
    Action,
    /// The actor's id.
    Actor,
    /// The course section's (group's) id.
    Group,
    /// The sensor that the token named.
    Sensor,
    /// How it ended.
    Disposition,
    /// The specification's verdict.
    Strict,
    /// Why it was rejected, JSON.
    Problems,
    /// What lenient mode let pass, JSON.
    Deviations,
    /// What it says of a result, JSON.
    Result,
    /// `event`, `entity`, `domain` or `opaque`.
    Kind,
    /// SHA-256 of the compacted event: no text, and only shown ([`Scanned::fingerprint`]).
    Fingerprint,
}

impl Column {
    /// The column's name in the files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Type => "type",
            Self::Action => "action",
            Self::Actor => "actor",
            Self::Group => "group",
            Self::Sensor => "sensor",
            Self::Disposition => "disposition",
            Self::Strict => "strict",
            Self::Problems => "problems",
            Self::Deviations => "deviations",
            Self::Result => "result",
            Self::Kind => "kind",
            Self::Fingerprint => "fingerprint",
        }
    }

    /// Its text in a row; none for fingerprints, which are no text.
    fn of<'r>(self, row: &Row<'r>) -> Option<&'r str> {
        match self {
            Self::Id => row.id,
            Self::Type => row.type_name,
            Self::Action => row.action,
            Self::Actor => row.actor,
            Self::Group => row.group,
            Self::Sensor => Some(row.sensor),
            Self::Disposition => Some(disposition_word(row.disposition)),
            Self::Strict => Some(row.strict),
            Self::Problems => row.problems,
            Self::Deviations => row.deviations,
            Self::Result => row.result,
            Self::Kind => Some(row.kind),
            Self::Fingerprint => None,
        }
    }

    /// Whether a row with this value is one that is asked for with `wanted`.
    pub(crate) fn is_same(self, value: &str, wanted: &str) -> bool {
        match self {
            Self::Id => EventId(value) == EventId(wanted),
            _ => value == wanted,
        }
    }

    /// Whether row groups have a bloom filter of it.
    const fn has_filter(self) -> bool {
        matches!(self, Self::Id | Self::Actor)
    }
}

/// Which rows are wanted: those that pass all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Columns that must have these values.
    pub equal: Vec<(Column, String)>,
    /// Problems or deviations that must name these rules.
    pub ruled: Vec<(Column, String)>,
    /// First instant of received-at, and the first after it.
    pub received: (Millis, Millis),
    /// The same of event time; a row without one is not wanted then.
    pub event_time: Option<(Millis, Millis)>,
    /// Of a day's files: rows that this seal sealed, alone. Other files are one seal's as they are.
    pub sealed_by: Option<u64>,
}

impl Search {
    /// Whether few pages of a file pass: it is sorted by group and actor, and ids have filters.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        let narrows = |column: &Column| column.has_filter() || *column == Column::Group;
        self.equal.iter().any(|(column, _)| narrows(column))
    }

    /// The value that a column must have.
    pub(crate) fn value_of(&self, column: Column) -> Option<&str> {
        let mut equal = self.equal.iter();
        let (_, value) = equal.find(|(own, _)| *own == column)?;
        Some(value)
    }

    /// Whether a row is wanted.
    pub(crate) fn takes(&self, row: &Row<'_>) -> bool {
        let equal = |(column, value): &(Column, String)| {
            let found = column.of(row);
            found.is_some_and(|found| column.is_same(found, value))
        };
        let ruled = |(column, rule): &(Column, String)| {
            let findings = column.of(row);
            findings.is_some_and(|findings| names_rule(findings, rule))
        };
        let within = |(from, to): (Millis, Millis), at| from <= at && at < to;
        within(self.received, row.received_at)
            && self
                .event_time
                .is_none_or(|range| row.event_time.is_some_and(|at| within(range, at)))
            && self.equal.iter().all(equal)
            && self.ruled.iter().all(ruled)
    }

    /// The columns that decide, those that a [`Hit`] needs, and others.
    fn columns(&self, others: &[Column]) -> Vec<&'static str> {
        let mut names: Vec<&str> = others.iter().map(|column| column.name()).collect();
        names.extend(self.equal.iter().map(|(column, _)| column.name()));
        names.extend(self.ruled.iter().map(|(column, _)| column.name()));
        names.extend(["received_at", "event_time", "receipt", "index"]);
        names.sort_unstable();
        names.dedup();
        names
    }

    fn times(&self) -> impl Iterator<Item = (&'static str, (Millis, Millis))> {
        let received = ("received_at", self.received);
        std::iter::once(received).chain(self.event_time.map(|range| ("event_time", range)))
    }
}

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Its place among all events.
    pub place: Place,
    /// When it happened.
    pub event_time: Option<Millis>,
    /// Its row group, or its block among those that were read.
    pub group: usize,
    /// Its number there.
    pub row: usize,
}

/// A row that was found, with some of its columns.
#[derive(Debug)]
pub struct Scanned<'b> {
    /// Where it is.
    pub hit: Hit,
    /// Whether what the sensor wrote was taken out of it: only public columns have values.
    pub is_erased: bool,
    values: Values<'b>,
}

/// What a row that was found has, as it was read.
#[derive(Debug)]
enum Values<'b> {
    Columns {
        texts: &'b [(Column, &'b StringArray)],
        fingerprints: Option<&'b FixedSizeBinaryArray>,
        at: usize,
    },
    Row(&'b Row<'b>),
}

impl<'b> Scanned<'b> {
    pub(crate) const fn of_row(hit: Hit, row: &'b Row<'b>) -> Self {
        Self {
            hit,
            is_erased: row.erased.is_some(),
            values: Values::Row(row),
        }
    }

    /// The value of a column that was asked for; none where the row has none.
    #[must_use]
    pub fn text(&self, column: Column) -> Option<&'b str> {
        match self.values {
            Values::Columns { texts, at, .. } => {
                let (_, texts) = texts.iter().find(|(own, _)| *own == column)?;
                texts.is_valid(at).then(|| texts.value(at))
            }
            Values::Row(row) => column.of(row),
        }
    }

    /// The event's fingerprint; none when the column was not asked for, or the row is erased.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self.values {
            Values::Columns {
                fingerprints, at, ..
            } => {
                let fingerprints = fingerprints.filter(|all| all.is_valid(at))?;
                let fingerprint = fingerprints.value(at).try_into();
                fingerprint.ok().map(Fingerprint)
            }
            Values::Row(row) => row.erased.is_none().then_some(Fingerprint(row.fingerprint)),
        }
    }
}

impl Part {
    /// Row groups in which wanted rows may lie, by their statistics and bloom filters. Needs no
    /// page index.
    ///
    /// # Errors
    /// When a filter cannot be read.
    pub fn groups_where(&self, wanted: &Search) -> Result<Vec<usize>, Fault> {
        let by_statistics = |group: &usize| {
            let texts = wanted.equal.iter().all(|(column, value)| {
                let chunk = self.chunk(*group, column.name());
                chunk.is_none_or(|chunk| {
                    self.may_lie((*column, value), |value| text_may_lie(chunk, value))
                })
            });
            texts
                && wanted.times().all(|(name, range)| {
                    let chunk = self.chunk(*group, name);
                    chunk.is_none_or(|chunk| time_may_lie(chunk, range))
                })
        };
        let mut groups: Vec<usize> = (0..self.groups()).filter(by_statistics).collect();
        let filtered = wanted
            .equal
            .iter()
            .filter(|(column, _)| column.has_filter());
        for (column, value) in filtered {
            let chunks = groups.iter().filter_map(|g| self.chunk(*g, column.name()));
            self.want(chunks.filter_map(filter_range).collect())?;
            let mut passing = Vec::new();
            for group in groups {
                let filter = self.filter(group, column.name())?;
                if filter.is_none_or(|filter| {
                    self.may_lie((*column, value), |value| filter.check(value))
                }) {
                    passing.push(group);
                }
            }
            groups = passing;
        }
        Ok(groups)
    }

    /// Whether a value of a column may lie where `passes` says so of its spellings.
    pub(crate) fn may_lie(
        &self,
        (column, value): (Column, &str),
        passes: impl FnMut(&str) -> bool,
    ) -> bool {
        let mut passes = passes;
        match column {
            Column::Id => self.has_unusual_ids() || EventId(value).any_spelling(passes),
            _ => passes(value),
        }
    }

    /// Calls `each` with every wanted row of these row groups, in the file's order; of its columns those
    /// that decide and `columns` are read.
    ///
    /// # Errors
    /// When the part cannot be read.
    pub fn search(
        &self,
        wanted: &Search,
        groups: &[usize],
        columns: &[Column],
        mut each: impl FnMut(&Scanned<'_>),
    ) -> Result<(), Fault> {
        let names = self.names(wanted, columns);
        let near = self.near(wanted, groups);
        self.want_near(&names, &near)?;
        for (group, rows) in near {
            let mut numbers = numbers_of(&rows);
            let parquet = self.metadata.parquet_schema();
            let mask = ProjectionMask::columns(parquet, names.iter().copied());
            let reader = self
                .builder(group)
                .with_projection(mask)
                .with_row_selection(rows)
                .with_batch_size(SEARCH_ROWS_MAX)
                .build()?;
            for batch in reader {
                let batch = batch.map_err(unreadable)?;
                let looked = Looked::at(&batch, wanted, columns)?;
                for at in 0..batch.num_rows() {
                    let row = numbers.next().unwrap_or(usize::MAX);
                    if let Some((place, event_time)) = looked.passes(at)? {
                        let hit = Hit {
                            place,
                            event_time,
                            group,
                            row,
                        };
                        let values = Values::Columns {
                            texts: &looked.texts,
                            fingerprints: looked.fingerprints,
                            at,
                        };
                        let is_erased = looked.erased.is_some_and(|all| all.is_valid(at));
                        each(&Scanned {
                            hit,
                            is_erased,
                            values,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Says which bytes [`Self::search`] will read.
    ///
    /// # Errors
    /// When they are not here.
    pub fn want_search(
        &self,
        wanted: &Search,
        groups: &[usize],
        columns: &[Column],
    ) -> Result<(), Fault> {
        self.want_near(&self.names(wanted, columns), &self.near(wanted, groups))
    }

    /// Names of the columns that a search reads.
    fn names(&self, wanted: &Search, columns: &[Column]) -> Vec<&'static str> {
        let mut names = wanted.columns(columns);
        if self.may_have_erased_rows() {
            names.push(ERASED);
        }
        if wanted.sealed_by.is_some() && self.layout().is_day() {
            names.push(SEAL);
        }
        names
    }

    fn near(&self, wanted: &Search, groups: &[usize]) -> Vec<(usize, RowSelection)> {
        let near = groups
            .iter()
            .map(|group| (*group, self.rows_near(*group, wanted)));
        near.filter(|(_, rows)| rows.selects_any()).collect()
    }

    fn want_near(&self, names: &[&str], near: &[(usize, RowSelection)]) -> Result<(), Fault> {
        let ranges = near
            .iter()
            .flat_map(|(group, rows)| self.pages(*group, names, rows));
        self.want(ranges.collect())
    }

    /// Calls `each` with these rows, whole and in the file's order; `rows` are numbers of a row group
    /// each, in order and each once.
    ///
    /// # Errors
    /// When the part cannot be read, or what `each` answers.
    pub fn for_each_of(
        &self,
        rows: &[(usize, usize)],
        mut each: impl FnMut(Row<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let names = schema(self.layout());
        let names: Vec<&str> = names.fields().iter().map(|f| f.name().as_str()).collect();
        let by_group: Vec<(usize, RowSelection)> = rows
            .chunk_by(|a, b| a.0 == b.0)
            .map(|rows| {
                let group = rows[0].0;
                let ranges = rows.iter().map(|(_, at)| *at..at + 1);
                let total = self.rows_of(group);
                (group, RowSelection::from_consecutive_ranges(ranges, total))
            })
            .collect();
        let ranges = by_group
            .iter()
            .flat_map(|(group, rows)| self.pages(*group, &names, rows));
        self.want(ranges.collect())?;
        for (group, rows) in by_group {
            for batch in self.builder(group).with_row_selection(rows).build()? {
                let batch = batch.map_err(unreadable)?;
                let rows = Rows::new(&batch)?;
                for at in 0..rows.count() {
                    each(rows.row(at)?)?;
                }
            }
        }
        Ok(())
    }

    /// The rows at places that are wanted, as numbers of a row group each, in the file's order.
    ///
    /// # Errors
    /// When the part cannot be read.
    pub fn rows_at(&self, wanted: impl Fn(Place) -> bool) -> Result<Vec<(usize, usize)>, Fault> {
        let mut found = Vec::new();
        for group in 0..self.groups() {
            let mut at = 0;
            self.columns(group, &["receipt", "index"], |batch| {
                let lacking = || Fault::Damaged("columns of another type".to_owned());
                let receipts = batch.column(0).as_string_opt::<i32>().ok_or_else(lacking)?;
                let indices = batch.column(1).as_primitive_opt::<Int64Type>();
                let indices = indices.ok_or_else(lacking)?;
                for row in 0..batch.num_rows() {
                    let place = (
                        receipt("receipt", receipts.value(row))?,
                        index("index", indices.value(row))?,
                    );
                    if wanted(place) {
                        found.push((group, at));
                    }
                    at += 1;
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn want(&self, mut ranges: Vec<(u64, u64)>) -> Result<(), Fault> {
        ranges.sort_unstable();
        Ok(self.chunks.0.want(&ranges)?)
    }
}

/// Numbers of the rows that are selected.
fn numbers_of(rows: &RowSelection) -> impl Iterator<Item = usize> + use<> {
    let mut from = 0;
    let ranges: Vec<Range<usize>> = rows
        .iter()
        .filter_map(|run| {
            let range = from..from + run.row_count;
            from = range.end;
            (!run.skip).then_some(range)
        })
        .collect();
    ranges.into_iter().flatten()
}
