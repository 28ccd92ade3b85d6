//! What of a range is sealed and where its rows lie, and what is still to be read from the live store.

use crate::filter_memory::FilterMemory;
use crate::live::Live;
use std::collections::BTreeMap;
use vernier_ledger::block_item::{BlockItem, Listing};
use vernier_ledger::chain::{SealEntry, day_of, sealed_in};
use vernier_ledger::holds::Holds;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{LIVE_SECONDS_MAX, LOOKBACK_SECONDS, WINDOW_SECONDS_MAX};
use vernier_ledger::live::{self, CLOCK_SKEW_SECONDS_MAX, LiveBlock};
use vernier_ledger::ports::{Blocks, Chains, PortError};
use vernier_ledger::segment::stored_in;
use vernier_ledger::time::{Millis, TimeRange, Window};
use vernier_ledger::work::{Completeness, WorkLists, completeness};

/// What comes late to a sealed window is sealed after it within minutes; until then it is seen in windows that
/// began this long ago at most, seconds (6 hours, 24 partitions).
const LATE_SECONDS: i64 = 6 * 3_600;

/// Where sealed rows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In a window's or backfill's own files.
    Window(SealEntry),
    /// In a day's, merged.
    Day(SealEntry),
}

/// Sources whose windows lie between those of the units before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// What they close.
    pub(crate) span: Window,
    /// They.
    pub(crate) sources: Vec<Source>,
}

/// What is sealed of a range, and what is not.
pub(crate) struct Extent {
    /// Seals that hold something, by their window's beginning; none of a window of which more is
    /// stored than is sealed: it is read as if it were not.
    pub(crate) windows: BTreeMap<Millis, Vec<SealEntry>>,
    /// Seals of days.
    days: Vec<SealEntry>,
    /// Windows before this instant have no files of their own where a day covers them.
    removed: Option<Millis>,
    /// Windows before this instant are sealed or received nothing, but for those passed over.
    pub(crate) complete_through: Option<Millis>,
    /// Before this instant all is sealed that the live store holds.
    live_from: Millis,
    to: Millis,
    /// Seals that closed their time without an event: idle windows, runs of them, windows of which nothing arrived.
    empty: Vec<SealEntry>,
    /// What the live store holds of the tenant.
    items: Vec<BlockItem>,
}

impl Extent {
    /// Looks up what of `[from, to)` is sealed.
    ///
    /// # Errors
    /// Whatever error the store gives.
    pub(crate) async fn of<T: Chains + Holds + Listing + Blocks + WorkLists>(
        table: &T,
        tenant: &TenantId,
        range: TimeRange,
        now: Millis,
    ) -> Result<Self, PortError> {
        let TimeRange { from, to } = range;
        let horizon = from.max(now.plus_seconds(-LIVE_SECONDS_MAX));
        // First: what is sealed after it is read has its seal as well.
        let Completeness { head, through } = completeness(table, tenant, now).await?;
        let since = from.plus_seconds(-WINDOW_SECONDS_MAX);
        let seals = table.seals(tenant, since, to).await?;
        let days = table.days(tenant, day_of(since).start, to).await?;
        let mut windows: BTreeMap<Millis, Vec<SealEntry>> = BTreeMap::new();
        let touching = seals.into_iter().filter(|s| s.window.end > from);
        let (holding, empty): (Vec<SealEntry>, Vec<SealEntry>) =
            touching.partition(|seal| seal.tally.events > 0);
        for seal in holding {
            windows.entry(seal.window.start).or_default().push(seal);
        }
        let held = match &head {
            Some(head) => table.held_windows(tenant, head).await?,
            None => Vec::new(),
        };
        let passed = held.iter().map(|held| held.window.start);
        let live_from = passed
            .fold(through.unwrap_or(from), Millis::min)
            .max(horizon);
        let mut extent = Self {
            windows,
            days,
            removed: head.as_ref().and_then(|head| head.removed),
            complete_through: through,
            live_from,
            to,
            empty,
            items: Vec::new(),
        };
        extent.read_items(table, tenant, horizon, now).await?;
        Ok(extent)
    }

    /// Reads what was committed of what is not sealed, and what may come first before it.
    async fn read_items<T: Listing + Blocks>(
        &mut self,
        table: &T,
        tenant: &TenantId,
        horizon: Millis,
        now: Millis,
    ) -> Result<(), PortError> {
        let recent = self
            .live_from
            .min(now.plus_seconds(-LATE_SECONDS))
            .max(horizon);
        let asked = TimeRange {
            from: recent.plus_seconds(-LOOKBACK_SECONDS),
            to: now.plus_seconds(CLOCK_SKEW_SECONDS_MAX),
        };
        self.items = live::items_between(table, tenant, asked, now).await?;
        for window in self.windows_with_later_commits(recent) {
            let sealed = sealed_in(window, self.windows.values().flatten());
            let blocks = self.items.iter().map(|item| &item.block);
            if stored_in(window, blocks) != sealed {
                self.windows.remove(&window.start);
                self.live_from = self.live_from.min(window.start);
            }
        }
        if let Some(at) = self.first_after_empty_seals(recent) {
            self.live_from = self.live_from.min(at);
        }
        Ok(())
    }

    /// The first minute, from an instant on, of which something was committed after, or about when, a seal closed it
    /// without an event, and which no other seal has.
    fn first_after_empty_seals(&self, since: Millis) -> Option<Millis> {
        let closed = self.empty.iter().filter(|s| s.window.end > since);
        let minutes = closed.flat_map(|seal| {
            let after = seal.sealed_at.plus_seconds(-2 * CLOCK_SKEW_SECONDS_MAX);
            let later = self.items.iter().filter(move |i| i.committed_at >= after);
            let minutes = later.flat_map(|i| i.block.minutes.iter().map(|m| m.minute.start()));
            minutes.filter(|at| seal.window.contains(*at))
        });
        let late = minutes.filter(|at| *at >= since && !self.is_sealed(*at));
        late.min()
    }

    /// Sealed windows of which something was committed after, or about when, they were sealed.
    fn windows_with_later_commits(&self, since: Millis) -> Vec<Window> {
        let late = |window: &Window, sealed_at: Millis| {
            let after = sealed_at.plus_seconds(-2 * CLOCK_SKEW_SECONDS_MAX);
            let mut later = self.items.iter().filter(|i| i.committed_at >= after);
            later.any(|i| i.block.touches(window.start, window.end))
        };
        let sealed = self.windows.range(since..).filter_map(|(_, seals)| {
            let sealed_at = seals.iter().map(|s| s.sealed_at).max()?;
            Some((seals.first()?.window, sealed_at))
        });
        let found = sealed.filter(|(window, sealed_at)| late(window, *sealed_at));
        found.map(|(window, _)| window).collect()
    }

    /// Latest received-at of all that is stored.
    pub(crate) fn newest(&self) -> Option<Millis> {
        let live = self.items.iter().map(|i| i.block.received_through).max();
        let sealed = self.windows.values().next_back();
        // Sealed rows do not say it by themselves: the window's last instant is not before it.
        let sealed = sealed
            .and_then(|seals| seals.first())
            .map(|s| Millis(s.window.end.0 - 1));
        live.or(sealed)
    }

    /// Whether what was received then is read from sealed files.
    pub(crate) fn is_sealed(&self, at: Millis) -> bool {
        let before = self.windows.range(..=at).next_back();
        before.is_some_and(|(_, seals)| seals.iter().any(|s| s.window.contains(at)))
    }

    /// Where the sealed rows lie, in order of time. `narrow`: few rows are wanted, so that one look into
    /// a day's files costs less than one into each of its windows'.
    pub(crate) fn units(&self, narrow: bool) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        let mut of_days: BTreeMap<u64, Unit> = BTreeMap::new();
        for seal in self.windows.values().flatten() {
            let gone = self
                .removed
                .is_some_and(|removed| seal.window.start < removed);
            let day = self.days.iter().find(|d| d.covers.contains(seal.sequence));
            match day.filter(|_| narrow || gone) {
                None => units.push(Unit {
                    span: seal.window,
                    sources: vec![Source::Window(seal.clone())],
                }),
                Some(day) => {
                    let unit = of_days.entry(day.sequence).or_insert_with(|| Unit {
                        span: seal.window,
                        sources: vec![Source::Day(day.clone())],
                    });
                    unit.span.start = unit.span.start.min(seal.window.start);
                    unit.span.end = unit.span.end.max(seal.window.end);
                }
            }
        }
        units.extend(of_days.into_values());
        units.sort_by_key(|unit| unit.span);
        let mut apart: Vec<Unit> = Vec::with_capacity(units.len());
        for unit in units {
            match apart.last_mut() {
                Some(last) if unit.span.start < last.span.end => {
                    last.span.end = last.span.end.max(unit.span.end);
                    last.sources.extend(unit.sources);
                }
                _ => apart.push(unit),
            }
        }
        apart
    }

    /// What is to be asked of the live store, with the filters that the process remembers.
    pub(crate) fn live<'e>(&'e self, filters: &'e FilterMemory) -> Live<'e> {
        let since = self.live_from.plus_seconds(-LOOKBACK_SECONDS);
        let blocks = live::blocks_of(&self.items, since, self.to);
        let is_asked = |(number, live): (usize, &LiveBlock)| {
            let mut minutes = live.block.minutes.iter().map(|m| m.minute.start());
            let touches = live.block.touches(self.live_from, self.to);
            let has_more =
                minutes.any(|at| self.live_from.minute() <= at.minute() && !self.is_sealed(at));
            (touches && has_more && self.live_from < self.to).then_some(number)
        };
        let unsealed = blocks.iter().enumerate().filter_map(is_asked).collect();
        Live::new(self, blocks, unsealed, filters)
    }

    /// Whether what was received then is of the range and in no sealed file.
    pub(crate) fn is_live(&self, at: Millis) -> bool {
        self.live_from <= at && at < self.to && !self.is_sealed(at)
    }
}
