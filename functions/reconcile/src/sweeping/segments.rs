//! Segments and oversize events.

use super::{SweepSummary, Sweeping, has_lost_its_items, remove_where};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use vernier_ledger::Invariant;
use vernier_ledger::block_item::Listing;
use vernier_ledger::chain::{SealEntry, sealed_in};
use vernier_ledger::committed::records_of_object;
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::holds::Holds;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::live::{self, CLOCK_SKEW_SECONDS_MAX};
use vernier_ledger::ports::{
    Blocks, Chains, Directory, Inventory, ListedObject, Notices, PortError, Removal, Sweeps,
};
use vernier_ledger::segment::{Block, SegmentRecord, stored_in};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::sweep::{LeftDay, LeftSegment, Sweep, SweepMark};
use vernier_ledger::time::{Millis, Window};

const HOUR_SECONDS: i64 = 3_600;
const DAY_MILLIS: i64 = 86_400_000;

/// Hours of segments in one run.
const HOURS_MAX: u32 = 24;

/// What is remembered as left behind; with more the sweep stops, and the alarm stays.
const LEFT_MAX: usize = 500;

/// Of those, looked at again in one run.
const LEFT_AGAIN_MAX: usize = 20;

/// What a commit holds of one tenant, and when it landed.
struct Held {
    tenant: TenantId,
    /// The minutes of received-at of its events, by their beginnings.
    minutes: Vec<Millis>,
    committed_at: Millis,
}

impl Held {
    fn of(block: &Block, committed_at: Millis) -> Self {
        Self {
            tenant: block.tenant.clone(),
            minutes: block.minutes.iter().map(|m| m.minute.start()).collect(),
            committed_at,
        }
    }
}

/// What a segment's commits say of it.
struct Named {
    /// When the first of them landed.
    committed_at: Millis,
    /// What it holds; none where an item of an existing tenant is not there, so that nobody knows.
    held: Option<Vec<Held>>,
}

/// One run's sweep.
struct Run<'a, S> {
    stores: &'a S,
    settings: Sweeping,
    now: Millis,
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
        settings,
        now: clock(),
        judged: HashMap::new(),
        summary: SweepSummary::default(),
    };
    let old = run.now.plus_seconds(-settings.segment_seconds);
    if run.look_again(&mut mark).await? {
        table.save_sweep_mark(Sweep::Segments, &mark).await?;
    }
    while run.summary.hours < HOURS_MAX
        && mark.through.plus_seconds(HOUR_SECONDS) <= old
        && mark.left_count() < LEFT_MAX
        && clock() < deadline
    {
        let before = mark.left_count();
        run.sweep_hour(&mut mark).await?;
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

impl<S: ReconcileStores> Run<'_, S> {
    async fn sweep_hour(&mut self, mark: &mut SweepMark) -> Result<(), PortError> {
        let (from, to) = (mark.through, mark.through.plus_seconds(HOUR_SECONDS));
        self.judged.clear();
        self.sweep_folder(from, mark).await?;
        // What was so young there that a commit could still name it.
        let again = from.plus_seconds(-self.settings.trigger_seconds);
        self.sweep_folder(again, mark).await?;
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

    /// Removes what is sealed of the segments of an hour, and what no commit names and none can name any more.
    async fn sweep_folder(&mut self, hour: Millis, mark: &mut SweepMark) -> Result<(), PortError> {
        let (table, objects) = (self.stores.table(), self.stores.objects());
        let (date, hour) = hour.date_and_hour();
        let folder = format!("segments/dt={date}/hour={hour}/");
        let left: BTreeSet<String> = mark.left.iter().map(|l| l.object.clone()).collect();
        let mut unnamed = Vec::new();
        for object in objects.all_listed(&folder).await? {
            if left.contains(&object.key) {
                continue;
            }
            let records = records_of_object(table, &object.key).await?;
            match self.named_by(&records).await? {
                Some(named) => self.expire(&object.key, named, mark).await?,
                None => unnamed.push(object),
            }
        }
        let earlier = self.earlier_of(&unnamed).await?;
        let young = self.now.plus_seconds(-self.settings.trigger_seconds);
        for object in unnamed {
            if let Some(record) = find(&earlier, &object.key) {
                self.expire(&object.key, named_by_earlier(record), mark)
                    .await?;
            } else if object.written_at < young {
                objects.remove(&object.key).await?;
                self.summary.unnamed += 1;
            }
        }
        Ok(())
    }

    /// The records of earlier versions among which those are that may name some objects.
    async fn earlier_of(&self, objects: &[ListedObject]) -> Result<Vec<EarlierRecord>, PortError> {
        let written = objects.iter().map(|object| object.written_at);
        let (Some(first), Some(last)) = (written.clone().min(), written.max()) else {
            return Ok(Vec::new());
        };
        let from = first.plus_seconds(-CLOCK_SKEW_SECONDS_MAX);
        let to = last.plus_seconds(self.settings.trigger_seconds + CLOCK_SKEW_SECONDS_MAX);
        self.stores.table().earlier_records(from, to).await
    }

    /// What the records of a segment say of it; none where there are none.
    async fn named_by(&self, records: &[SegmentRecord]) -> Result<Option<Named>, PortError> {
        let table = self.stores.table();
        let Some(first) = records.first() else {
            return Ok(None);
        };
        let mut held = Some(Vec::new());
        for record in records {
            let items = table.record_items(record).await?;
            for (name, item) in record.items.iter().zip(items) {
                match (item, &mut held) {
                    (Some(item), Some(held)) => {
                        held.push(Held::of(&item.block, record.committed_at));
                    }
                    (None, _) if !has_lost_its_items(table, &name.tenant).await? => held = None,
                    (None, _) | (_, None) => {}
                }
            }
        }
        Ok(Some(Named {
            committed_at: first.committed_at,
            held,
        }))
    }

    /// Removes a segment if all of it is sealed; else it is left.
    async fn expire(
        &mut self,
        object: &str,
        named: Named,
        mark: &mut SweepMark,
    ) -> Result<(), PortError> {
        let segment = LeftSegment {
            committed_at: named.committed_at,
            object: object.to_owned(),
        };
        if self.is_all_sealed(&named).await? {
            self.stores.objects().remove(object).await?;
            self.summary.segments += 1;
            mark.left.remove(&segment);
        } else {
            mark.left.insert(segment);
        }
        Ok(())
    }

    async fn is_all_sealed(&mut self, named: &Named) -> Result<bool, PortError> {
        let Some(held) = &named.held else {
            return Ok(false);
        };
        for block in held {
            if !self.is_sealed(block).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks again at some of what was left behind; whether any of it went.
    async fn look_again(&mut self, mark: &mut SweepMark) -> Result<bool, PortError> {
        let before = mark.left_count();
        let table = self.stores.table();
        let left: Vec<LeftSegment> = mark.left.iter().take(LEFT_AGAIN_MAX).cloned().collect();
        for segment in left {
            self.judged.clear();
            let (at, object) = (segment.committed_at, &segment.object);
            let records = records_of_object(table, object).await?;
            let named = match self.named_by(&records).await? {
                Some(named) => Some(named),
                None => {
                    let earlier = table.earlier_records(at, at).await?;
                    find(&earlier, object).map(named_by_earlier)
                }
            };
            if let Some(named) = named {
                let named = Named {
                    committed_at: at,
                    ..named
                };
                self.expire(object, named, mark).await?;
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

    /// Whether every window that a commit holds a tenant's events of is sealed with all that is stored of it.
    async fn is_sealed(&mut self, block: &Held) -> Result<bool, PortError> {
        let Held {
            tenant,
            minutes,
            committed_at,
        } = block;
        let (Some(first), Some(last)) = (minutes.iter().min(), minutes.iter().max()) else {
            return Ok(true);
        };
        let begin = first.plus_seconds(-WINDOW_SECONDS_MAX);
        let seals = self
            .stores
            .table()
            .seals(tenant, begin, Millis(last.0 + 1))
            .await?;
        let mut windows = BTreeSet::new();
        for minute in minutes {
            let mut closing = seals.iter().filter(|seal| seal.kind.closes());
            let Some(window) = closing.find_map(|seal| seal.window_of(*minute)) else {
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
            if *committed_at > until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Until which commit a window's seals hold what is stored of it: all of the tenant's items when they come to as
    /// much, else those until its last seal when they do, else none.
    async fn sealed_until(
        &self,
        tenant: &TenantId,
        window: Window,
        seals: &[SealEntry],
    ) -> Result<Millis, PortError> {
        let sealed = sealed_in(window, seals);
        let items = live::items_between(self.stores.table(), tenant, window.into(), self.now);
        let items = items.await?;
        if stored_in(window, items.iter().map(|item| &item.block)) == sealed {
            return Ok(Millis(i64::MAX));
        }
        let of_window = seals.iter().filter(|s| s.window == window);
        let last = of_window.map(|s| s.sealed_at).max().unwrap_or_default();
        let end = last.plus_seconds(CLOCK_SKEW_SECONDS_MAX);
        let until = items.iter().filter(|item| item.committed_at < end);
        Ok(
            if stored_in(window, until.map(|item| &item.block)) == sealed {
                Millis(end.0 - 1)
            } else {
                Millis(i64::MIN)
            },
        )
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

/// The record that names an object.
fn find<'r>(records: &'r [EarlierRecord], object: &str) -> Option<&'r EarlierRecord> {
    let mut records = records.iter();
    records.find(|record| record.object.as_deref() == Some(object))
}

fn named_by_earlier(record: &EarlierRecord) -> Named {
    let blocks = record.blocks.iter();
    Named {
        committed_at: record.committed_at,
        held: Some(
            blocks
                .map(|block| Held::of(block, record.committed_at))
                .collect(),
        ),
    }
}
