//! Segments and oversize events.

use super::{SweepSummary, Sweeping, remove_where};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use vernier_ledger::Invariant;
use vernier_ledger::chain::{SealEntry, sealed_in};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::live::CLOCK_SKEW_SECONDS_MAX;
use vernier_ledger::ports::{
    Chains, Commits, Directory, Holds, Inventory, Notices, PortError, Removal, Sweeps,
};
use vernier_ledger::segment::{Block, SegmentRecord, stored_in};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::sweep::{LeftDay, LeftSegment, Sweep, SweepMark};
use vernier_ledger::time::{Millis, TimeRange, Window};

const HOUR_SECONDS: i64 = 3_600;
const DAY_MILLIS: i64 = 86_400_000;

/// Hours of commits in one run.
const HOURS_MAX: u32 = 24;

/// What is remembered as left behind; with more the sweep stops, and the alarm stays.
const LEFT_MAX: usize = 500;

/// Of those, looked at again in one run.
const LEFT_AGAIN_MAX: usize = 20;

/// Commits around an hour that are read with it, seconds: what they hold of its windows is usually
/// all there is.
const NEAR_SECONDS: i64 = 2 * HOUR_SECONDS;

/// One run's sweep.
struct Run<'a, S> {
    stores: &'a S,
    /// Records committed around the hour at hand.
    near: Vec<SegmentRecord>,
    /// Windows that were judged, by their tenant: all that was committed until then is sealed.
    judged: HashMap<(TenantId, Window), Millis>,
    summary: SweepSummary,
}

/// Goes on with the sweep until nothing is old enough or the time is over.
///
/// # Errors
/// The stores'. What was done counts; the next run goes on from there.
pub async fn sweep_segments<S: ReconcileStores>(
    stores: &S,
    settings: Sweeping,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<SweepSummary, PortError> {
    let table = stores.table();
    let Some(mut mark) = mark_of(table).await? else {
        return Ok(SweepSummary::default());
    };
    let mut run = Run {
        stores,
        near: Vec::new(),
        judged: HashMap::new(),
        summary: SweepSummary::default(),
    };
    let old = clock().plus_seconds(-settings.segment_seconds);
    if run.look_again(&mut mark).await? {
        table.save_sweep_mark(Sweep::Segments, &mark).await?;
    }
    while run.summary.hours < HOURS_MAX
        && mark.through.plus_seconds(HOUR_SECONDS) <= old
        && mark.left_count() < LEFT_MAX
        && clock() < deadline
    {
        let before = mark.left_count();
        run.sweep_hour(&mut mark, settings).await?;
        if mark.left_count() > before {
            // Before it is kept: a crash in between announces twice rather than never.
            announce(stores.notices(), &mark).await?;
        }
        // Behind what was done: a crash repeats an hour, and finds it done.
        table.save_sweep_mark(Sweep::Segments, &mark).await?;
    }
    run.summary.left = mark.left_count() as u64;
    Ok(run.summary)
}

/// Where the sweep stands: at first, before the first tenant; none while there is no tenant.
async fn mark_of<T: Directory + Sweeps>(table: &T) -> Result<Option<SweepMark>, PortError> {
    if let Some(mark) = table.sweep_mark(Sweep::Segments).await? {
        return Ok(Some(mark));
    }
    let mut first: Option<Millis> = None;
    for id in table.tenants().await? {
        let made = table.tenant(&id).await?.map(|tenant| tenant.created_at);
        first = first.into_iter().chain(made).min();
    }
    Ok(first.map(|at| SweepMark {
        through: Millis(at.0 - at.0.rem_euclid(HOUR_SECONDS * 1_000)),
        ..SweepMark::default()
    }))
}

async fn announce<N: Notices>(notices: &N, mark: &SweepMark) -> Result<(), PortError> {
    let segments: Vec<&str> = mark
        .left
        .iter()
        .map(|l| l.object.as_str())
        .take(10)
        .collect();
    let days = mark.left_days.iter().take(10);
    let days: Vec<String> = days
        .map(|l| format!("{} {}", l.tenant, l.start.date_and_hour().0))
        .collect();
    let body = json!({
        "segments": mark.left.len(),
        "first_segments": segments,
        "oversize_days": mark.left_days.len(),
        "first_oversize_days": days,
        "why": "they are past their time and not wholly sealed; they stay until they are",
        "invariant": Invariant::Complete.number(),
    });
    let subject = "Vernier: something unsealed is past its time";
    notices.publish(subject, &body.to_string()).await
}

/// The part of a segment's key that its hour shares.
fn hour_prefix(key: &str) -> Option<&str> {
    let end = key.find("/hour=")? + "/hour=00/".len();
    key.get(..end)
}

impl<S: ReconcileStores> Run<'_, S> {
    async fn sweep_hour(
        &mut self,
        mark: &mut SweepMark,
        settings: Sweeping,
    ) -> Result<(), PortError> {
        let (from, to) = (mark.through, mark.through.plus_seconds(HOUR_SECONDS));
        let last = Millis(to.0 - 1);
        let near = (
            from.plus_seconds(-NEAR_SECONDS),
            last.plus_seconds(NEAR_SECONDS),
        );
        self.near = self.stores.table().records(near.0, near.1).await?;
        self.judged.clear();
        let hour = TimeRange { from, to };
        let of_hour = self.near.iter().filter(|r| hour.contains(r.committed_at));
        let of_hour: Vec<SegmentRecord> = of_hour.cloned().collect();
        for record in &of_hour {
            if !self.expire(record).await?
                && let Some(object) = &record.object
            {
                mark.left.insert(LeftSegment {
                    committed_at: record.committed_at,
                    object: object.clone(),
                });
            }
        }
        self.remove_unnamed(mark, to, settings).await?;
        if to.0.rem_euclid(DAY_MILLIS) == 0 {
            let start = Millis(to.0 - DAY_MILLIS);
            for tenant in self.stores.table().tenants().await? {
                let day = LeftDay { start, tenant };
                if !self.expire_day(&day, mark).await? {
                    mark.left_days.insert(day);
                }
            }
        }
        mark.through = to;
        self.summary.hours += 1;
        Ok(())
    }

    /// Looks again at some of what was left behind; whether any of it went.
    async fn look_again(&mut self, mark: &mut SweepMark) -> Result<bool, PortError> {
        let before = mark.left_count();
        let left: Vec<LeftSegment> = mark.left.iter().take(LEFT_AGAIN_MAX).cloned().collect();
        for segment in left {
            let at = segment.committed_at;
            let near = (
                at.plus_seconds(-NEAR_SECONDS),
                at.plus_seconds(NEAR_SECONDS),
            );
            self.near = self.stores.table().records(near.0, near.1).await?;
            self.judged.clear();
            let object = Some(&segment.object);
            let record = self.near.iter().find(|r| r.object.as_ref() == object);
            if let Some(record) = record.cloned()
                && self.expire(&record).await?
            {
                mark.left.remove(&segment);
            }
        }
        let left: Vec<LeftDay> = mark
            .left_days
            .iter()
            .take(LEFT_AGAIN_MAX)
            .cloned()
            .collect();
        for day in left {
            if self.expire_day(&day, mark).await? {
                mark.left_days.remove(&day);
            }
        }
        Ok(mark.left_count() < before)
    }

    /// Removes a record's segment if all of it is sealed; false when it stays.
    async fn expire(&mut self, record: &SegmentRecord) -> Result<bool, PortError> {
        let Some(object) = &record.object else {
            return Ok(true);
        };
        for block in &record.blocks {
            if !self.is_sealed(block, record.committed_at).await? {
                return Ok(false);
            }
        }
        self.stores.objects().remove(object).await?;
        self.summary.segments += 1;
        Ok(true)
    }

    /// Whether every window that a block holds events of is sealed with all that is stored of it.
    async fn is_sealed(&mut self, block: &Block, committed_at: Millis) -> Result<bool, PortError> {
        let minutes: Vec<Millis> = block.minutes.iter().map(|m| m.minute.start()).collect();
        let (Some(first), Some(last)) = (minutes.iter().min(), minutes.iter().max()) else {
            return Ok(true);
        };
        let tenant = &block.tenant;
        let begin = first.plus_seconds(-WINDOW_SECONDS_MAX);
        let seals = self
            .stores
            .table()
            .seals(tenant, begin, Millis(last.0 + 1))
            .await?;
        let mut windows = BTreeSet::new();
        for minute in minutes {
            let mut closing = seals.iter().filter(|seal| seal.kind.closes());
            let Some(window) = closing.find_map(|seal| seal.window_of(minute)) else {
                return Ok(false);
            };
            windows.insert(window);
        }
        for window in windows {
            let key = (tenant.clone(), window);
            let known = self.judged.get(&key).copied();
            let until = match known {
                Some(until) => until,
                None => {
                    let until = self.sealed_until(tenant, window, &seals).await?;
                    self.judged.insert(key, until);
                    until
                }
            };
            if committed_at > until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Until which commit a window's seals hold what is stored of it: all of the records around when
    /// they come to as much, else those until its last seal when they do, else none.
    async fn sealed_until(
        &self,
        tenant: &TenantId,
        window: Window,
        seals: &[SealEntry],
    ) -> Result<Millis, PortError> {
        let sealed = sealed_in(window, seals);
        if stored_in(window, blocks_of(tenant, &self.near)) == sealed {
            return Ok(Millis(i64::MAX));
        }
        let of_window = seals.iter().filter(|s| s.window == window);
        let last = of_window.map(|s| s.sealed_at).max().unwrap_or_default();
        let end = last.plus_seconds(CLOCK_SKEW_SECONDS_MAX);
        let mut stored = Tally::default();
        let mut from = window.start.plus_seconds(-CLOCK_SKEW_SECONDS_MAX);
        while from < end {
            let to = from.plus_seconds(HOUR_SECONDS).min(end);
            let records = self.stores.table().records(from, Millis(to.0 - 1)).await?;
            stored.merge(&stored_in(window, blocks_of(tenant, &records)));
            from = to;
        }
        Ok(if stored == sealed {
            Millis(end.0 - 1)
        } else {
            Millis(i64::MIN)
        })
    }

    /// Removes what nothing names among segments so old that whatever could name them is swept.
    async fn remove_unnamed(
        &mut self,
        mark: &SweepMark,
        to: Millis,
        settings: Sweeping,
    ) -> Result<(), PortError> {
        let written_before = to.plus_seconds(-settings.trigger_seconds);
        let from = written_before.plus_seconds(-HOUR_SECONDS);
        let last = Millis(written_before.0 - 1);
        let records = self.stores.table().records(from, last).await?;
        // Segments lie where their events were received, which may be as long before.
        let hours = settings.trigger_seconds / HOUR_SECONDS;
        let folders = (0..=hours).map(|back| {
            let (date, hour) = from.plus_seconds(-back * HOUR_SECONDS).date_and_hour();
            format!("segments/dt={date}/hour={hour}/")
        });
        let mut prefixes: BTreeSet<String> = folders.collect();
        let keys = records.iter().filter_map(|r| r.object.as_deref());
        prefixes.extend(keys.filter_map(hour_prefix).map(str::to_owned));
        let left: BTreeSet<&str> = mark.left.iter().map(|l| l.object.as_str()).collect();
        let goes = |key: &str, at: Millis| at < written_before && !left.contains(key);
        for prefix in prefixes {
            self.summary.unnamed += remove_where(self.stores.objects(), &prefix, goes).await?;
        }
        Ok(())
    }

    /// Removes a tenant's oversize events of a day if all its windows are sealed; false when they stay.
    async fn expire_day(&mut self, day: &LeftDay, mark: &SweepMark) -> Result<bool, PortError> {
        let end = Millis(day.start.0 + DAY_MILLIS);
        let (date, _) = day.start.date_and_hour();
        let prefix = format!("oversize/dt={date}/{}/", day.tenant);
        if self
            .stores
            .objects()
            .listed(&prefix, None)
            .await?
            .is_empty()
        {
            return Ok(true);
        }
        let head = self.stores.table().chain(&day.tenant).await?;
        let Some(head) = head else { return Ok(false) };
        let held = self.stores.table().held_windows(&day.tenant, &head).await?;
        let mut of_day = held.iter().filter(|w| w.start < end && w.end > day.start);
        let is_sealed = head.through >= end && of_day.next().is_none();
        if !is_sealed || !mark.left.is_empty() {
            return Ok(false);
        }
        self.summary.oversize += remove_where(self.stores.objects(), &prefix, |_, _| true).await?;
        Ok(true)
    }
}

/// A tenant's blocks in these records.
fn blocks_of<'r>(
    tenant: &TenantId,
    records: &'r [SegmentRecord],
) -> impl Iterator<Item = &'r Block> {
    records.iter().filter_map(|record| record.block(tenant))
}
