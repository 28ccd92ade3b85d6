//! A tenant's own work: windows, days, playbacks, parts that nothing names.

use super::{Next, Turn, Workplace, close_entry};
use crate::compaction::{Compacted, Compactor};
use crate::playbacks::{Played, Wires, go_on};
use crate::recovery::want_window;
use crate::sealing::{Held, Sealer, Settled};
use crate::sweeping::{MISSING_SECONDS, SWEEP_AFTER_SECONDS, hour_start, sweep_day, sweep_hour};
use std::collections::BTreeSet;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::day_of;
use vernier_ledger::ports::{Chains as _, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, Owner, WorkEntry, WorkKey, WorkLists};

const DAY_SECONDS: i64 = 86_400;

/// Takes those of a tenant's entries that are due, in their order; gives back the first for which the time did not suffice.
///
/// # Errors
/// The table's, when what became of an entry could not be written.
pub(super) async fn take<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    tenant: &Tenant,
    entries: &[WorkEntry],
    due: &[WorkEntry],
    turn: &mut Turn,
) -> Result<Option<WorkEntry>, PortError> {
    let owner = Owner::Tenant(tenant.id.clone());
    let sealer = Sealer::new(
        place.stores,
        &place.process.workshop,
        tenant,
        place.settings.windows,
        place.clock,
        entries,
    );
    let mut taking = Taking {
        place,
        tenant,
        owner: &owner,
        sealer,
        turn,
    };
    let mut left = None;
    for entry in due {
        if place.is_over() {
            taking.turn.left += 1;
            left.get_or_insert_with(|| entry.clone());
            continue;
        }
        let came_to = taking.take(entry).await;
        if close_entry(place, &owner, entry, came_to, taking.turn).await? {
            left.get_or_insert_with(|| entry.clone());
        }
    }
    let sealed = taking.sealer.summary;
    turn.sealed = sealed;
    Ok(left)
}

struct Taking<'p, 'a, S: ReconcileStores, C> {
    place: &'p Workplace<'a, S, C>,
    tenant: &'p Tenant,
    owner: &'p Owner,
    sealer: Sealer<'p, S, C>,
    turn: &'p mut Turn,
}

impl<S: ReconcileStores, C: Fn() -> Millis> Taking<'_, '_, S, C> {
    async fn take(&mut self, entry: &WorkEntry) -> Result<Next, PortError> {
        let start = || {
            let what = format!("work {}: no instant", entry.key);
            entry.key.start().ok_or(PortError::Fatal(what))
        };
        let later = || self.place.now().plus_seconds(super::PAUSE_SECONDS);
        let is_paused = self.place.settings.paused;
        match entry.key.cause {
            Cause::Late | Cause::Close if is_paused => self.look_at(start()?).await,
            Cause::Compact | Cause::Recount | Cause::Sweep if is_paused => Ok(Next::At(later())),
            Cause::Late | Cause::Close => self.settle(start()?).await,
            Cause::Compact => self.compact(day_of(start()?)).await,
            Cause::Recount => self.recount(day_of(start()?)).await,
            Cause::Playback => self.play(entry).await,
            Cause::Sweep => self.sweep(start()?).await,
            Cause::List
            | Cause::Recover
            | Cause::SweepSegments
            | Cause::CheckShards
            | Cause::Audit
            | Cause::RollUp => {
                let what = format!("work {} is another list's", entry.key);
                Err(PortError::Fatal(what))
            }
        }
    }

    /// Seals what is stored of a window.
    async fn settle(&mut self, at: Millis) -> Result<Next, PortError> {
        let settled = self.sealer.settle(at, self.place.until).await;
        self.follow_up().await?;
        Ok(match settled? {
            Settled::Sealed => Next::Done,
            Settled::Early(at) => Next::At(at),
            Settled::Left => Next::Left,
            Settled::Held(held) => {
                self.recover(&held).await?;
                Next::Tried(held.over_at)
            }
        })
    }

    /// Puts what the seals of windows with events are followed by: their days' compaction, a count of what came after
    /// it, and a look for parts that they do not name. A turn that died before it did so finds the windows settled, and does it.
    async fn follow_up(&mut self) -> Result<(), PortError> {
        let windows = std::mem::take(&mut self.sealer.settled);
        let days: BTreeSet<Window> = windows.iter().map(|at| day_of(*at)).collect();
        let hours: BTreeSet<Millis> = windows.iter().map(|at| hour_start(*at)).collect();
        let now = self.place.now();
        let after = self.place.settings.compacting.compact_after_seconds;
        for day in days {
            let compact = WorkKey::at(Cause::Compact, day.start);
            let due = day.end.plus_seconds(after).max(now);
            self.place.add(self.owner, compact, due).await?;
            let recount = WorkKey::at(Cause::Recount, day.start);
            let due = day.end.plus_seconds(self.recount_after_seconds()).max(now);
            self.place.add(self.owner, recount, due).await?;
        }
        for hour in hours {
            let sweep = WorkKey::at(Cause::Sweep, hour);
            let due = now.plus_seconds(SWEEP_AFTER_SECONDS);
            self.place.add(self.owner, sweep, due).await?;
        }
        Ok(())
    }

    /// How long after a day its windows are counted once more, seconds: a day before the first of its receipts may expire,
    /// and a day after it at least.
    fn recount_after_seconds(&self) -> i64 {
        let days = i64::from(self.place.settings.receipt_days.0);
        (days - 2).max(1) * DAY_SECONDS
    }

    /// Seals what of a day's windows came or changed after they were closed, whoever was told of it.
    async fn recount(&mut self, day: Window) -> Result<Next, PortError> {
        let table = self.place.stores.table();
        let seals = table.seals(&self.tenant.id, day.start, day.end).await?;
        let with_rows = seals.iter().filter(|seal| seal.kind.has_rows_of_window());
        let starts: BTreeSet<Millis> = with_rows.map(|seal| seal.window.start).collect();
        for start in starts {
            match self.settle(start).await? {
                Next::Done => {}
                other => return Ok(other),
            }
        }
        Ok(Next::Done)
    }

    /// While sealing is paused: keeps the account of a window and brings back what it misses.
    async fn look_at(&mut self, at: Millis) -> Result<Next, PortError> {
        if let Some(held) = self.sealer.look_at(at).await? {
            self.recover(&held).await?;
        }
        let later = self.place.now().plus_seconds(super::PAUSE_SECONDS);
        Ok(Next::At(later))
    }

    /// Has what a window misses brought back, by the workers of its shards, and has failed batches looked for.
    async fn recover(&self, held: &Held) -> Result<(), PortError> {
        let (place, new_nonce) = (self.place, self.place.process.new_nonce);
        let wanted = want_window(
            place.stores,
            self.tenant,
            held.window,
            new_nonce,
            place.now(),
        );
        match wanted.await? {
            true => self.want_failed_batches().await,
            false => Ok(()),
        }
    }

    /// Has failed batches looked for at once, unless they are about to be.
    async fn want_failed_batches(&self) -> Result<(), PortError> {
        let (table, now) = (self.place.stores.table(), self.place.now());
        let key = WorkKey::of(Cause::Recover, "");
        let seen = table.work_entry(&Owner::Ledger, &key).await?;
        if seen.is_none_or(|entry| entry.due > now.plus_seconds(60)) {
            let entry = self.place.entry(key, now);
            table.put_work(&Owner::Ledger, &entry).await?;
        }
        Ok(())
    }

    /// Removes what no seal names of an hour's windows, and with a day's first hour of the day as well.
    async fn sweep(&mut self, hour: Millis) -> Result<Next, PortError> {
        let (stores, tenant) = (self.place.stores, self.tenant);
        let now = self.place.now();
        let swept = sweep_hour(stores, tenant, hour, now).await?;
        self.turn.swept.unnamed += swept.removed;
        let day = day_of(hour);
        if day.start == hour {
            self.turn.swept.unnamed += sweep_day(stores, &tenant.id, day).await?;
        }
        Ok(match swept.is_young {
            true => Next::At(now.plus_seconds(MISSING_SECONDS)),
            false => Next::Done,
        })
    }

    async fn compact(&mut self, day: Window) -> Result<Next, PortError> {
        let compacting = self.place.settings.compacting;
        let mut compactor = Compactor::new(&mut self.sealer, compacting, &mut self.turn.compacted);
        let settled = compactor.settle(day, self.place.until).await;
        let outcome = compactor.into_outcome();
        self.turn.swept.unnamed += outcome.unnamed;
        for day in outcome.sealed {
            let due = self.place.now().plus_seconds(SWEEP_AFTER_SECONDS);
            let sweep = WorkKey::at(Cause::Sweep, day.start);
            self.place.add(self.owner, sweep, due).await?;
        }
        Ok(match settled? {
            Compacted::Whole => Next::Done,
            Compacted::Early(at) => Next::At(at),
            Compacted::Held => Next::Tried(None),
            Compacted::Left => Next::Left,
        })
    }

    async fn play(&mut self, entry: &WorkEntry) -> Result<Next, PortError> {
        let bad = || PortError::Fatal(format!("work {}: no playback", entry.key));
        let id = entry.key.subject.parse().map_err(|_| bad())?;
        let place = self.place;
        let wires = Wires::new(place.stores, place.process, place.settings.receipt_days);
        let (clock, until) = (place.clock, place.until);
        let played = go_on(
            wires,
            &self.tenant.id,
            id,
            clock,
            until,
            &mut self.turn.played,
        );
        Ok(match played.await? {
            Played::Ended => Next::Done,
            // Its entry is put before it is: whoever did so may have crashed in between.
            Played::Unknown if entry.tries > 1 => Next::Done,
            Played::Unknown => Next::Tried(None),
            Played::Waits(at) => Next::At(at),
            Played::Left => Next::Left,
        })
    }
}
