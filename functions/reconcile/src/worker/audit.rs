//! Every tenant's list against what the tenant has: once after an upgrade from a version without lists, and once a day.
//!
//! The audit of an upgrade, the seed, puts an entry for every window that is not sealed, since what earlier versions
//! received has none. The daily one finds what should not be: windows with something stored and no entry, entries that
//! the due index has lost. Both go through the tenants by name, and on from there where the time did not suffice.

use super::Workplace;
use crate::planner::AUDIT_SECONDS;
use crate::recovery::QUARANTINE;
use crate::sweeping::{SWEEP_AFTER_SECONDS, hour_start};
use std::collections::{BTreeSet, HashSet};
use vernier_ledger::access::Tenant;
use vernier_ledger::block_item::{BlockItem, Listing, ListingMark};
use vernier_ledger::chain::{ChainHead, SealEntry, day_of, first_window, sealed_in, window_after};
use vernier_ledger::holds::Holds;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{WINDOW_SECONDS_MAX, WORK_SLOTS};
use vernier_ledger::live;
use vernier_ledger::ports::{Chains, Directory, FrameRecords, Playbacks, PortError};
use vernier_ledger::segment::stored_in;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, TimeRange, Window};
use vernier_ledger::work::{
    AUDIT_DAILY, AUDIT_SEED, Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists, close_due,
};

/// A process of an earlier version may take envelopes for so long after the upgrade, seconds: the longest
/// time that a function may run.
const CUT_OVER_SECONDS: i64 = 15 * 60;

/// How far back an audit looks for windows without entries, seconds: two days, so that one that failed is made good.
const LOOK_BACK_SECONDS: i64 = 2 * 86_400;

/// An entry that has been due for so long should have been in the due index, seconds.
const UNNOTICED_SECONDS: i64 = 600;

/// Windows of one tenant that the seed puts entries for at most: 52 days of 15 minutes. Those behind them are sealed on
/// the way to the newest.
const SEED_WINDOWS_MAX: usize = 5_000;

/// Behind the name of the tenant where an audit goes on: one before it could not be audited.
const FAILED: &str = "!";

/// An audit in which a tenant failed begins again after so long, seconds.
const AGAIN_SECONDS: i64 = 3_600;

/// How far an audit is.
pub(super) enum Audited {
    /// All tenants, and it need not be repeated.
    Whole,
    /// All tenants; the next one is due then.
    WholeUntil(Millis),
    /// The tenants through one: where the entry goes on.
    Through(String),
}

/// Goes through the tenants behind the one where the entry goes on. One that could not be audited holds up no other,
/// and has the audit begin again later.
///
/// # Errors
/// Whatever error the table gives.
pub(super) async fn audit<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
    entry: &WorkEntry,
) -> Result<Audited, PortError> {
    let table = place.stores.table();
    let is_seed = entry.key.subject == AUDIT_SEED;
    let names = table.tenants().await?;
    let through = entry.place.as_deref().unwrap_or_default();
    let mut failed = through.ends_with(FAILED);
    let through = through.trim_end_matches(FAILED);
    let begin = names.partition_point(|name| name.as_str() <= through);
    let auditor = Auditor {
        place,
        is_seed,
        indexed: indexed(place).await?,
    };
    for (nth, name) in names[begin..].iter().enumerate() {
        if nth > 0 && place.is_over() {
            let mark = if failed { FAILED } else { "" };
            return Ok(Audited::Through(format!(
                "{}{mark}",
                names[begin + nth - 1]
            )));
        }
        if let Err(error) = auditor.tenant(name).await {
            tracing::error!(tenant = %name, %error, "not audited");
            failed = true;
        }
    }
    auditor.ledger().await?;
    if failed {
        return Ok(Audited::WholeUntil(place.now().plus_seconds(AGAIN_SECONDS)));
    }
    if is_seed {
        let mark = table.listing_mark().await?;
        let mark = mark.unwrap_or_else(|| ListingMark::beginning(place.now()));
        let seeded = true;
        table
            .save_listing_mark(&ListingMark { seeded, ..mark })
            .await?;
    }
    Ok(match entry.key.subject.as_str() {
        AUDIT_DAILY => Audited::WholeUntil(place.now().plus_seconds(AUDIT_SECONDS)),
        _ => Audited::Whole,
    })
}

/// The nonces of all that is due by the index.
async fn indexed<S: ReconcileStores, C: Fn() -> Millis>(
    place: &Workplace<'_, S, C>,
) -> Result<HashSet<Nonce>, PortError> {
    let mut indexed = HashSet::new();
    for slot in 0..WORK_SLOTS {
        let due = place.stores.table().due_work(slot, place.now()).await?;
        indexed.extend(due.into_iter().map(|nudge| nudge.nonce));
    }
    Ok(indexed)
}

struct Auditor<'p, 'a, S: ReconcileStores, C> {
    place: &'p Workplace<'a, S, C>,
    is_seed: bool,
    indexed: HashSet<Nonce>,
}

impl<S: ReconcileStores, C: Fn() -> Millis> Auditor<'_, '_, S, C> {
    /// The ledger's own entries, and those of playbacks that have not ended.
    async fn ledger(&self) -> Result<(), PortError> {
        let table = self.place.stores.table();
        let now = self.place.now();
        let mut causes = vec![Cause::Recover, Cause::SweepSegments, Cause::CheckShards];
        let mark = table.listing_mark().await?;
        if self.is_seed || mark.is_none_or(|mark| !mark.complete) {
            causes.push(Cause::List);
        }
        for cause in causes {
            let key = WorkKey::of(cause, "");
            self.place.add(&Owner::Ledger, key, now).await?;
        }
        let quarantine = WorkKey::of(Cause::Recover, QUARANTINE);
        self.place.add(&Owner::Ledger, quarantine, now).await?;
        if !self.is_seed && mark.is_none_or(|mark| !mark.seeded) {
            let key = WorkKey::of(Cause::Audit, AUDIT_SEED);
            self.place.add(&Owner::Ledger, key, now).await?;
        }
        for (tenant, id) in table.open_playbacks().await? {
            let key = WorkKey::of(Cause::Playback, id.to_string());
            self.place.add(&Owner::Tenant(tenant), key, now).await?;
        }
        for shard in self.place.stores.stream().listed_shards().await? {
            self.renew(&Owner::of_shard(&shard.id)).await?;
        }
        self.renew(&Owner::Ledger).await.map(|_| ())
    }

    /// Puts again what has been due for long and is not in the index; answers the owner's entries.
    async fn renew(&self, owner: &Owner) -> Result<Vec<WorkEntry>, PortError> {
        let table = self.place.stores.table();
        let entries = table.work(owner).await?;
        let now = self.place.now();
        let unnoticed = now.plus_seconds(-UNNOTICED_SECONDS);
        for entry in entries.iter().filter(|entry| entry.due <= unnoticed) {
            if self.indexed.contains(&entry.nonce) {
                continue;
            }
            tracing::warn!(%owner, work = %entry.key, "the due index had lost it");
            let next = WorkEntry {
                due: now,
                nonce: (self.place.process.new_nonce)(),
                ..entry.clone()
            };
            table.move_work(owner, entry, &next).await?;
        }
        Ok(entries)
    }

    async fn tenant(&self, name: &TenantId) -> Result<(), PortError> {
        let table = self.place.stores.table();
        let Some(tenant) = table.tenant(name).await? else {
            return Ok(());
        };
        let minutes = self.place.settings.windows.window_minutes;
        let first = first_window(tenant.created_at, minutes);
        let head = table.chain(name).await?;
        let head = head.unwrap_or_else(|| ChainHead::beginning(first.start));
        self.renew(&Owner::of_filters(name)).await?;
        let owner = Owner::Tenant(name.clone());
        let entries = self.renew(&owner).await?;
        // A day or an hour that begins with a window is another thing to do.
        let of_windows = entries
            .iter()
            .filter(|entry| entry.key.cause <= Cause::Close);
        let listed: BTreeSet<Millis> = of_windows.filter_map(|e| e.key.start()).collect();
        let mut missing = self.with_something(&tenant, &head).await?;
        if self.is_seed {
            missing.extend(self.unsealed(&head).into_iter().map(|w| (w, Cause::Close)));
        }
        let held = table.held_windows(name, &head).await?;
        missing.extend(held.into_iter().map(|h| (h.window, Cause::Close)));
        for (window, cause) in missing {
            if listed.contains(&window.start) {
                continue;
            }
            if !self.is_seed {
                let start = window.start.rfc3339();
                tracing::warn!(tenant = %name, window = start, "it had no entry");
            }
            let grace = self.place.settings.windows.grace_seconds;
            let due = close_due(name, window, grace);
            let key = WorkKey::at(cause, window.start);
            self.place.add(&owner, key, due).await?;
        }
        if self.is_seed {
            self.sweeps(&owner, name).await?;
        }
        self.days(&owner, &head).await
    }

    /// The windows that the chain has not come to, through those that a process of an earlier
    /// version may have taken something for.
    fn unsealed(&self, head: &ChainHead) -> Vec<Window> {
        let minutes = self.place.settings.windows.window_minutes;
        let last = self.place.now().plus_seconds(CUT_OVER_SECONDS);
        let mut windows = Vec::new();
        let mut at = head.through;
        while at <= last {
            let window = window_after(at, minutes);
            at = window.end;
            windows.push(window);
        }
        let surplus = windows.len().saturating_sub(SEED_WINDOWS_MAX);
        windows.split_off(surplus)
    }

    /// Windows that are over, with something stored that is not sealed.
    async fn with_something(
        &self,
        tenant: &Tenant,
        head: &ChainHead,
    ) -> Result<BTreeSet<(Window, Cause)>, PortError> {
        let (table, now) = (self.place.stores.table(), self.place.now());
        let windows = self.place.settings.windows;
        // What is over for less has its entry put about now.
        let to = now.plus_seconds(-windows.grace_seconds - CUT_OVER_SECONDS);
        let from = now.plus_seconds(-LOOK_BACK_SECONDS).max(tenant.created_at);
        let range = TimeRange { from, to };
        let items = live::items_between(table, &tenant.id, range, now).await?;
        let since = from.plus_seconds(-WINDOW_SECONDS_MAX);
        let seals = table.seals(&tenant.id, since, now).await?;
        let minutes = items.iter().flat_map(|item| &item.block.minutes);
        let instants: BTreeSet<Millis> = minutes.map(|tally| tally.minute.start()).collect();
        let mut found = BTreeSet::new();
        for at in instants.into_iter().filter(|at| from <= *at && *at < to) {
            if at >= head.through {
                found.insert((Window::containing(at, windows.window_minutes), Cause::Close));
            } else if let Some(window) = window_of(&seals, at)
                && window.end <= to
                && from <= window.start
                && stored(&items, window) != sealed_in(window, &seals)
            {
                found.insert((window, Cause::Late));
            }
        }
        Ok(found)
    }

    /// The compaction of the last day that the chain has come to, and for the seed of the last one that is due by now:
    /// each takes those before it along.
    async fn days(&self, owner: &Owner, head: &ChainHead) -> Result<(), PortError> {
        let after = self.place.settings.compacting.compact_after_seconds;
        let now = self.place.now();
        let mut days = vec![day_of(Millis(head.through.0 - 1))];
        if self.is_seed {
            let due = day_of(now.plus_seconds(-after)).start;
            days.push(day_of(Millis(due.0 - 1)));
        }
        for day in days {
            let is_removed = head.removed.is_some_and(|removed| removed >= day.end);
            if head.sequence == 0 || is_removed {
                continue;
            }
            let due = day.end.plus_seconds(after).max(now);
            let key = WorkKey::at(Cause::Compact, day.start);
            self.place.add(owner, key, due).await?;
        }
        Ok(())
    }

    /// For the seed: a look for parts that no seal names, which earlier versions took by the time of the seals.
    async fn sweeps(&self, owner: &Owner, tenant: &TenantId) -> Result<(), PortError> {
        let now = self.place.now();
        let table = self.place.stores.table();
        let from = now.plus_seconds(-LOOK_BACK_SECONDS);
        let seals = table.seals(tenant, from, now).await?;
        let with_files = seals.iter().filter(|seal| seal.tally.events > 0);
        let hours: BTreeSet<Millis> = with_files.map(|s| hour_start(s.window.start)).collect();
        for hour in hours {
            let due = now.plus_seconds(SWEEP_AFTER_SECONDS);
            let key = WorkKey::at(Cause::Sweep, hour);
            self.place.add(owner, key, due).await?;
        }
        Ok(())
    }
}

fn window_of(seals: &[SealEntry], at: Millis) -> Option<Window> {
    seals.iter().find_map(|seal| seal.window_of(at))
}

fn stored(items: &[BlockItem], window: Window) -> vernier_ledger::frame::Tally {
    stored_in(window, items.iter().map(|item| &item.block))
}
