//! Sorted rows into row groups: where each ends, and each part.

use crate::judge::RowEnd;
use crate::limits;
use crate::seal::PartClass;
use crate::window::Settings;

/// Rows of a row group as they were spilled, with their dispositions.
#[derive(Debug, Default)]
pub(crate) struct RawGroup {
    pub(crate) arena: Vec<u8>,
    /// Where each row ends in the arena, and how it ended.
    pub(crate) rows: Vec<(usize, RowEnd)>,
}

/// A row group that is to be encoded.
pub(crate) struct Job {
    pub(crate) class: PartClass,
    /// Its place among the class's row groups.
    pub(crate) number: u64,
    pub(crate) part: usize,
    pub(crate) in_part: u64,
    pub(crate) in_window: u64,
    pub(crate) rows: RawGroup,
}

/// Where row groups and parts end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartSizes {
    part_rows: u64,
    part_oversize_bytes: u64,
    group_bytes: u64,
}

impl PartSizes {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            part_rows: settings.part_rows.clamp(1, limits::PART_ROWS_MAX) as u64,
            part_oversize_bytes: settings.part_oversize_bytes,
            group_bytes: settings.group_bytes.min(limits::GROUP_BYTES_MAX) as u64,
        }
    }
}

/// The row group that fills in one class.
pub(crate) struct Filling {
    class: PartClass,
    sizes: PartSizes,
    /// Texts that are fetched when the group is encoded, bytes: of the group, and of the part so far with it.
    group_oversize_bytes: u64,
    part_oversize_bytes: u64,
    number: u64,
    part: usize,
    in_part: u64,
    in_window: u64,
    rows: RawGroup,
}

impl Filling {
    pub(crate) fn new(class: PartClass, in_window: u64, sizes: PartSizes) -> Self {
        Self {
            class,
            sizes,
            group_oversize_bytes: 0,
            part_oversize_bytes: 0,
            number: 0,
            part: 0,
            in_part: 0,
            in_window,
            rows: RawGroup::default(),
        }
    }

    /// Adds a row; a group that is full with it.
    pub(crate) fn push(&mut self, row: &[u8], outcome: RowEnd, oversize_bytes: u64) -> Option<Job> {
        self.rows.arena.extend_from_slice(row);
        let end = self.rows.arena.len();
        self.rows.rows.push((end, outcome));
        self.group_oversize_bytes += oversize_bytes;
        self.part_oversize_bytes += oversize_bytes;
        let rows = self.rows.rows.len();
        let text_bytes = end as u64 + self.group_oversize_bytes;
        let full = rows >= limits::GROUP_ROWS_MAX || text_bytes >= self.sizes.group_bytes;
        if full || self.is_part_full(rows as u64) {
            self.take()
        } else {
            None
        }
    }

    /// Whether the part is to end behind so many rows of the group that fills.
    fn is_part_full(&self, rows: u64) -> bool {
        self.in_part + rows >= self.sizes.part_rows
            || self.part_oversize_bytes >= self.sizes.part_oversize_bytes
    }

    pub(crate) fn take(&mut self) -> Option<Job> {
        self.group_oversize_bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        if rows.rows.is_empty() {
            return None;
        }
        let count = rows.rows.len() as u64;
        let job = Job {
            class: self.class,
            number: self.number,
            part: self.part,
            in_part: self.in_part,
            in_window: self.in_window,
            rows,
        };
        self.number += 1;
        self.in_part += count;
        self.in_window += count;
        if self.is_part_full(0) {
            self.part += 1;
            (self.in_part, self.part_oversize_bytes) = (0, 0);
        }
        Some(job)
    }
}
