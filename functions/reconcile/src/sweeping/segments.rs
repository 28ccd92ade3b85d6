//! Segments and oversize events: the hours one after the other, a page of the bucket's list at a time.

use super::judge::Judge;
use super::leftovers::{Found, announce};
use super::named::{Named, named_by_earlier, named_of};
use super::{SweepSummary, Sweeping, oversize, remove};
use std::collections::BTreeSet;
use vernier_ledger::block_item::Listing;
use vernier_ledger::chain::day_of;
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::ids::TenantId;
use vernier_ledger::live::CLOCK_SKEW_SECONDS_MAX;
use vernier_ledger::ports::{Directory, Inventory, Leftovers, ListedObject, PortError, Sweeps};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::sweep::{
    Leftover, LeftoverKey, LeftoverKind, Sweep, SweepMark, SweepPlace, UnknownTime, all_leftovers,
};
use vernier_ledger::time::Millis;

const HOUR_SECONDS: i64 = 3_600;
const DAY_MILLIS: i64 = 86_400_000;

/// A look at what was left takes a third of a run's time at most: the rest is for what comes.
const LOOKED_AT_SHARE: i64 = 3;

/// Leftovers that one run looks at again. Of each hour only what was left is listed.
const LOOKED_AT_MAX: u32 = 40;

/// Tenants whose oversize events of a day are judged before the place is kept.
const TENANTS_AT_A_TIME: usize = 20;

/// One run's sweep.
pub(super) struct Run<'a, S> {
    pub(super) stores: &'a S,
    pub(super) settings: Sweeping,
    pub(super) now: Millis,
    pub(super) judge: Judge<'a, S>,
    pub(super) summary: SweepSummary,
    /// When objects may have been written of which the table knows nothing.
    unknown: Option<UnknownTime>,
    /// Leftovers that are no news: they were known, or this run has told of them.
    announced: BTreeSet<LeftoverKey>,
    /// Leftovers that this run has found.
    found: BTreeSet<LeftoverKey>,
}

/// Goes on with the sweep until nothing is old enough or the time is over. Its place is kept after each page, so that a
/// run that is cut off costs a page.
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
    let now = clock();
    let mut run = Run {
        stores,
        settings,
        now,
        judge: Judge::new(stores, now),
        summary: SweepSummary::default(),
        unknown: table.unknown_time().await?,
        announced: BTreeSet::new(),
        found: BTreeSet::new(),
    };
    let old = now.plus_seconds(-settings.segment_seconds);
    run.take_over_lists(&mut mark).await?;
    let looked_until = Millis(now.0 + deadline.0.saturating_sub(now.0) / LOOKED_AT_SHARE);
    run.look_again(&mut mark, &clock, looked_until).await?;
    let is_due = |mark: &SweepMark| mark.through.plus_seconds(HOUR_SECONDS) <= old;
    while is_due(&mark) && clock() < deadline {
        run.step(&mut mark).await?;
        // Behind what was done: a crash repeats a page, and finds it done.
        table.save_sweep_mark(Sweep::Segments, &mark).await?;
    }
    run.summary.is_behind = is_due(&mark);
    let left = all_leftovers(table).await?;
    let overdue = left.iter().filter(|left| left.key.kind.is_overdue());
    run.summary.left = overdue.map(|left| left.objects).sum();
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

impl<S: ReconcileStores> Run<'_, S> {
    /// Judges the next page of the hour, or goes on to what comes after it.
    async fn step(&mut self, mark: &mut SweepMark) -> Result<(), PortError> {
        let (hour, end) = (mark.through, mark.through.plus_seconds(HOUR_SECONDS));
        let place = match &mark.place {
            Some(place) => place.clone(),
            None => {
                self.judge.forget();
                SweepPlace::Segments { after: None }
            }
        };
        mark.place = match place {
            SweepPlace::Segments { after } => match self.sweep_page(hour, after).await? {
                None => Some(SweepPlace::Young { after: None }),
                after => Some(SweepPlace::Segments { after }),
            },
            SweepPlace::Young { after } => {
                // What was so young there that a commit could still name it.
                let again = hour.plus_seconds(-self.settings.trigger_seconds);
                match self.sweep_page(again, after).await? {
                    None if end.0.rem_euclid(DAY_MILLIS) == 0 => {
                        Some(SweepPlace::Oversize { after: None })
                    }
                    None => None,
                    after => Some(SweepPlace::Young { after }),
                }
            }
            SweepPlace::Oversize { after } => self.sweep_tenants(end, after).await?,
        };
        if mark.place.is_none() {
            mark.through = end;
            self.summary.hours += 1;
        }
        Ok(())
    }

    /// Removes what may go of one page of an hour's segments; answers the page's last object, none when there are no
    /// more.
    async fn sweep_page(
        &mut self,
        hour: Millis,
        after: Option<String>,
    ) -> Result<Option<String>, PortError> {
        let (date, number) = hour.date_and_hour();
        let folder = format!("segments/dt={date}/hour={number}/");
        let objects = self.stores.objects();
        let page = objects.listed(&folder, after.as_deref()).await?;
        let last = page.last().map(|object| object.key.clone());
        let mut found = Found::of_hour(hour);
        let mut unnamed = Vec::new();
        let named = named_of(self.stores.table(), &page).await?;
        for (object, named) in page.into_iter().zip(named) {
            match named {
                Some(named) => self.judge_segment(object.key, &named, &mut found).await?,
                None => unnamed.push(object),
            }
        }
        self.judge_unnamed(unnamed, &mut found).await?;
        self.settle(found).await?;
        Ok(last)
    }

    /// Whether a segment goes, since all of it is sealed, or whose events keep it.
    async fn judge_segment(
        &mut self,
        object: String,
        named: &Named,
        found: &mut Found,
    ) -> Result<(), PortError> {
        let unsealed = self.judge.unsealed_of(named).await?;
        if unsealed.is_empty() {
            found.sealed.push(object);
            return Ok(());
        }
        for tenant in unsealed {
            found.leave(LeftoverKind::Segments, Some(tenant), &object);
        }
        Ok(())
    }

    /// Lets segments go that no commit names and none can name any more. What was written when this table knew nothing
    /// may have been named by a commit that it does not have: it stays, and is named.
    async fn judge_unnamed(
        &mut self,
        unnamed: Vec<ListedObject>,
        found: &mut Found,
    ) -> Result<(), PortError> {
        let earlier = self.earlier_of(&unnamed).await?;
        let young = self.now.plus_seconds(-self.settings.trigger_seconds);
        for object in unnamed {
            let mut records = earlier.iter();
            let record = records.find(|r| r.object.as_deref() == Some(&object.key));
            if let Some(record) = record {
                let named = named_by_earlier(record);
                self.judge_segment(object.key, &named, found).await?;
            } else if self.unknown.is_some_and(|time| time.has(object.written_at)) {
                found.leave(LeftoverKind::Unknown, None, &object.key);
            } else if object.written_at < young {
                found.unnamed.push(object.key);
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

    /// Tells of what is left, keeps it, and removes what goes, in that order: a crash in between tells twice rather than
    /// never.
    pub(super) async fn settle(&mut self, found: Found) -> Result<(), PortError> {
        let (table, objects) = (self.stores.table(), self.stores.objects());
        let new = found
            .left
            .iter()
            .filter(|(key, _)| !self.announced.contains(key));
        let new: Vec<&Leftover> = new.map(|(_, left)| left).collect();
        let told = announce(self.stores.notices(), &new).await?;
        self.announced.extend(told);
        for left in found.left.values() {
            table.keep_leftover(left).await?;
        }
        self.found.extend(found.left.keys().cloned());
        self.summary.unknown += found.count_of(LeftoverKind::Unknown);
        self.summary.segments += remove(objects, &found.sealed).await?;
        self.summary.oversize += remove(objects, &found.oversize).await?;
        self.summary.unnamed += remove(objects, &found.unnamed).await?;
        Ok(())
    }

    /// Judges the oversize events of a day that has ended, of a few tenants; answers where to go on.
    async fn sweep_tenants(
        &mut self,
        day_end: Millis,
        after: Option<TenantId>,
    ) -> Result<Option<SweepPlace>, PortError> {
        let mut tenants = self.stores.table().tenants().await?;
        tenants.retain(|tenant| after.as_ref().is_none_or(|after| tenant > after));
        let day = day_of(Millis(day_end.0 - 1));
        let some = &tenants[..tenants.len().min(TENANTS_AT_A_TIME)];
        for tenant in some {
            oversize::sweep_day(self, tenant, day).await?;
        }
        let is_last = some.len() == tenants.len();
        let after = some.last().cloned();
        Ok((!is_last).then_some(SweepPlace::Oversize { after }))
    }

    /// Looks again at some of what was left behind, in turns: hour by hour and day by day, so that what no tenant can
    /// bring to an end keeps nobody else's waiting. An hour that is cut off by the time is gone on with by the next run.
    async fn look_again(
        &mut self,
        mark: &mut SweepMark,
        clock: &impl Fn() -> Millis,
        until: Millis,
    ) -> Result<(), PortError> {
        let table = self.stores.table();
        if let (Some(key), Some(after)) = (mark.looked_at.clone(), mark.looked_after.take()) {
            mark.looked_after = self
                .sweep_hour(key.start, Some(after), clock, until)
                .await?;
            table.save_sweep_mark(Sweep::Segments, mark).await?;
            if mark.looked_after.is_some() {
                return Ok(());
            }
        }
        let behind = mark.looked_at.as_ref();
        let mut left = table.leftovers(behind, LOOKED_AT_MAX).await?;
        if left.is_empty() && behind.is_some() {
            left = table.leftovers(None, LOOKED_AT_MAX).await?;
        }
        if left.is_empty() {
            return Ok(());
        }
        // They are no news, but for those that the look finds and did not know.
        let known = left.iter().map(|left| left.key.clone());
        self.announced.extend(known);
        let mut hours = BTreeSet::new();
        for Leftover { key, .. } in left {
            if clock() >= until {
                break;
            }
            self.judge.forget();
            match (key.kind, &key.tenant) {
                (LeftoverKind::Oversize | LeftoverKind::Unclaimed, Some(tenant)) => {
                    oversize::sweep_day(self, tenant, day_of(key.start)).await?;
                }
                _ if hours.insert(key.start) => {
                    mark.looked_after = self.sweep_hour(key.start, None, clock, until).await?;
                }
                _ => {}
            }
            mark.looked_at = Some(key.clone());
            if mark.looked_after.is_some() {
                break;
            }
            if !self.found.contains(&key) {
                table.forget_leftover(&key).await?;
            }
        }
        table.save_sweep_mark(Sweep::Segments, mark).await
    }

    /// The pages of an hour's segments, of which most have gone, behind an object; answers where the time was over.
    async fn sweep_hour(
        &mut self,
        hour: Millis,
        after: Option<String>,
        clock: &impl Fn() -> Millis,
        until: Millis,
    ) -> Result<Option<String>, PortError> {
        let mut after = self.sweep_page(hour, after).await?;
        while after.is_some() && clock() < until {
            after = self.sweep_page(hour, after).await?;
        }
        Ok(after)
    }

    /// Makes leftovers of what an earlier version's mark has in lists.
    async fn take_over_lists(&mut self, mark: &mut SweepMark) -> Result<(), PortError> {
        if mark.left.is_empty() && mark.left_days.is_empty() {
            return Ok(());
        }
        let hours: BTreeSet<Millis> = mark
            .left
            .iter()
            .filter_map(|left| hour_of(&left.object))
            .collect();
        let now = self.now;
        for hour in hours {
            self.judge.forget();
            let forever = Millis(i64::MAX);
            self.sweep_hour(hour, None, &|| now, forever).await?;
        }
        for day in &mark.left_days {
            oversize::sweep_day(self, &day.tenant, day_of(day.start)).await?;
        }
        (mark.left, mark.left_days) = (BTreeSet::new(), BTreeSet::new());
        let table = self.stores.table();
        table.save_sweep_mark(Sweep::Segments, mark).await
    }
}

/// The hour of the folder that a segment lies in.
fn hour_of(segment: &str) -> Option<Millis> {
    let rest = segment.strip_prefix("segments/dt=")?;
    let (date, rest) = rest.split_once("/hour=")?;
    let (hour, _) = rest.split_once('/')?;
    Millis::parse_rfc3339(&format!("{date}T{hour}:00:00.000Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_of_a_segment_is_its_folders() {
        let hour = Millis::parse_rfc3339("2026-09-01T07:00:00.000Z").expect("an instant");
        let (date, number) = hour.date_and_hour();
        let key = format!("segments/dt={date}/hour={number}/frames/shard-0/1-2-00.jsonl.zst");
        assert_eq!(hour_of(&key), Some(hour));
        assert_eq!(hour_of("oversize/dt=2026-09-01/x"), None);
    }
}
