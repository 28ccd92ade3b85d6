//! Which pages of a part may hold wanted rows, and where their bytes lie.

use super::Search;
use crate::columns::position;
use crate::reader::Part;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use vernier_ledger::time::Millis;

impl Part {
    pub(super) fn chunk(&self, group: usize, name: &str) -> Option<&ColumnChunkMetaData> {
        let at = position(name)?;
        let group = self.metadata.metadata().row_groups().get(group)?;
        group.columns().get(at)
    }

    /// Whether some of its rows may be erased: such a file does not say that it is sorted.
    pub(super) fn may_have_erased_rows(&self) -> bool {
        let mut groups = self.metadata.metadata().row_groups().iter();
        self.layout().is_blind() && groups.any(|group| group.sorting_columns().is_none())
    }

    /// Rows of a row group that lie on pages on which a wanted row may lie.
    pub(super) fn rows_near(&self, group: usize, wanted: &Search) -> RowSelection {
        let total = self.rows_of(group);
        let mut near = RowSelection::from_consecutive_ranges(std::iter::once(0..total), total);
        for (column, value) in &wanted.equal {
            let passes = |index: &ColumnIndexMetaData, page| {
                self.may_lie((*column, value), |value| text_on_page(index, page, value))
            };
            if let Some(rows) = self.rows_of_pages(group, column.name(), passes) {
                near = near.intersection(&rows);
            }
        }
        for (name, range) in wanted.times() {
            let passes = |index: &ColumnIndexMetaData, page| time_on_page(index, page, range);
            if let Some(rows) = self.rows_of_pages(group, name, passes) {
                near = near.intersection(&rows);
            }
        }
        near
    }

    /// Rows on the pages of a column that pass; none where the part has no page index.
    fn rows_of_pages(
        &self,
        group: usize,
        name: &str,
        passes: impl Fn(&ColumnIndexMetaData, usize) -> bool,
    ) -> Option<RowSelection> {
        let at = position(name)?;
        let index = self.metadata.metadata().page_index_for_row_group(group);
        let (pages, places) = (index.column_index(at)?, index.page_locations(at)?);
        let total = self.rows_of(group);
        let starts = places
            .iter()
            .map(|p| usize::try_from(p.first_row_index).unwrap_or(total));
        let ends = places
            .iter()
            .skip(1)
            .map(|p| usize::try_from(p.first_row_index).unwrap_or(total));
        let rows = starts.zip(ends.chain([total]));
        let near = rows.enumerate().filter(|(page, _)| passes(pages, *page));
        let ranges = near.map(|(_, (start, end))| start..end);
        Some(RowSelection::from_consecutive_ranges(ranges, total))
    }

    /// Where the bytes lie of the pages of some columns that have these rows, as offset and length.
    pub(super) fn pages(
        &self,
        group: usize,
        names: &[&str],
        rows: &RowSelection,
    ) -> Vec<(u64, u64)> {
        let index = self.metadata.metadata().page_index_for_row_group(group);
        let row_group = self.metadata.metadata().row_group(group);
        let mut ranges = Vec::new();
        for name in names {
            let found = row_group
                .columns()
                .iter()
                .position(|c| c.column_path().string() == **name);
            let Some(at) = found else {
                continue;
            };
            let (start, length) = row_group.column(at).byte_range();
            let Some(places) = index.page_locations(at) else {
                ranges.push((start, length));
                continue;
            };
            let first = places.first().and_then(|p| u64::try_from(p.offset).ok());
            // Before the first page lies the dictionary.
            if let Some(first) = first.filter(|first| *first > start) {
                ranges.push((start, first - start));
            }
            let pages = rows.scan_ranges(places).into_iter();
            ranges.extend(pages.map(|range| (range.start, range.end - range.start)));
        }
        ranges
    }

    pub(super) fn rows_of(&self, group: usize) -> usize {
        let rows = self.metadata.metadata().row_group(group).num_rows();
        usize::try_from(rows).unwrap_or(0)
    }
}

pub(super) fn filter_range(chunk: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let offset = u64::try_from(chunk.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(chunk.bloom_filter_length()?).ok()?;
    Some((offset, length))
}

/// Whether a row group may have such a text. Bounds may be cut short, but then downwards and upwards.
pub(super) fn text_may_lie(chunk: &ColumnChunkMetaData, value: &str) -> bool {
    let Some(statistics) = chunk.statistics() else {
        return true;
    };
    let value = value.as_bytes();
    let all_null = statistics.null_count_opt() == u64::try_from(chunk.num_values()).ok();
    !all_null
        && statistics.min_bytes_opt().is_none_or(|min| min <= value)
        && statistics.max_bytes_opt().is_none_or(|max| value <= max)
}

pub(super) fn time_may_lie(chunk: &ColumnChunkMetaData, (from, to): (Millis, Millis)) -> bool {
    match chunk.statistics() {
        Some(Statistics::Int64(times)) => {
            times.min_opt().is_none_or(|min| *min < to.0)
                && times.max_opt().is_none_or(|max| *max >= from.0)
        }
        _ => true,
    }
}

fn text_on_page(index: &ColumnIndexMetaData, page: usize, value: &str) -> bool {
    let ColumnIndexMetaData::BYTE_ARRAY(bounds) = index else {
        return true;
    };
    let value = value.as_bytes();
    !index.is_null_page(page)
        && bounds.min_value(page).is_none_or(|min| min <= value)
        && bounds.max_value(page).is_none_or(|max| value <= max)
}

fn time_on_page(index: &ColumnIndexMetaData, page: usize, (from, to): (Millis, Millis)) -> bool {
    let ColumnIndexMetaData::INT64(bounds) = index else {
        return true;
    };
    !index.is_null_page(page)
        && bounds.min_value(page).is_none_or(|min| *min < to.0)
        && bounds.max_value(page).is_none_or(|max| *max >= from.0)
}
