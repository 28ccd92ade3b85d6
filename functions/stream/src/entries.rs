//! Entries that the stream function puts into work lists, and what a process remembers of them.
//!
//! *Late*: something came after a window was over. A worker may have closed the window already, or be about to: it looks
//! again because of this entry. The entry is put before the commit, since a crash between the two must leave an entry
//! without a commit and never a commit without an entry. It is due when the commit is there, or will never be, by
//! whatever clock a worker has: what is due earlier could be done and removed before the commit.
//!
//! *Roll-up*: blocks with filters were committed of a tenant's five minutes. The entry is put after the commit, and a crash
//! between the two, or an error, leaves filters that are read from their blocks.

use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::closing::{LATE_ENTRY_SECONDS, WindowTimes};
use vernier_ledger::frame::Frame;
use vernier_ledger::limits::CLAIMS_IN_FLIGHT_MAX;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists, put_if_absent};

/// Entries that a process remembers, for a minute each, about 200 bytes each: 2 MB. Where there are more, all are
/// forgotten, and put once more: two write units each.
const ENTRIES_MAX: usize = 10_000;

/// Seconds from a commit until its filters may be rolled up: so long the commits of other shards are gathered.
const ROLL_UP_SECONDS: i64 = 30;

/// For how long a process takes the entry of five minutes' filters for granted, seconds.
const ROLL_UP_ENTRY_SECONDS: i64 = 60;

/// An entry's place: whose list, and what it is about.
type EntryPlace = (Owner, WorkKey);

/// What a process knows of the entries that it put.
#[derive(Debug)]
pub(crate) struct EntryMemory {
    times: WindowTimes,
    new_nonce: fn() -> Nonce,
    /// Until when each entry is good for what is committed.
    put: Mutex<HashMap<EntryPlace, Millis>>,
}

impl EntryMemory {
    /// Makes the memory of a process that has put nothing.
    pub(crate) fn new(times: WindowTimes, new_nonce: fn() -> Nonce) -> Self {
        Self {
            times,
            new_nonce,
            put: Mutex::default(),
        }
    }

    /// Puts an entry for each window of these frames that what is committed at an instant is late for; all are durable on
    /// return. The frames are committed by this invocation of the function, or not at all.
    pub(crate) async fn put_late<T: WorkLists>(
        &self,
        table: &T,
        frames: &[&Frame],
        now: Millis,
    ) -> Result<(), PortError> {
        let late = frames.iter().filter_map(|frame| {
            let header = &frame.header;
            let window = self.times.window(header.receipt.received_at());
            let key = WorkKey::at(Cause::Late, window.start);
            let is_late = self.times.is_late(window, now);
            is_late.then(|| (Owner::Tenant(header.tenant.clone()), key))
        });
        let wanted = self.wanted(late.collect(), now);
        let due = self.times.late_due(now);
        stream::iter(&wanted)
            .map(async |(owner, key)| table.put_work(owner, &self.entry(key, due)).await)
            .buffer_unordered(CLAIMS_IN_FLIGHT_MAX)
            .try_collect::<()>()
            .await?;
        // So long before the entry is due a commit that begins then has landed.
        self.remember(wanted, now, now.plus_seconds(LATE_ENTRY_SECONDS));
        Ok(())
    }

    /// Sees to it that each tenant's five minutes of which these committed blocks have a filter has an entry.
    pub(crate) async fn put_roll_ups<T: WorkLists>(
        &self,
        table: &T,
        committed: &[BlockItem],
        now: Millis,
    ) {
        let with_filter = committed.iter().filter(|item| item.block.index.is_some());
        let places = with_filter.filter_map(|item| {
            let key = WorkKey::at(Cause::RollUp, item.slice()?.first_minute().start());
            Some((Owner::of_filters(&item.block.tenant), key))
        });
        let wanted = self.wanted(places.collect(), now);
        let due = now.plus_seconds(ROLL_UP_SECONDS);
        let put = stream::iter(&wanted)
            .map(async |(owner, key)| put_if_absent(table, owner, &self.entry(key, due)).await)
            .buffer_unordered(CLAIMS_IN_FLIGHT_MAX)
            .try_collect::<()>()
            .await;
        match put {
            Ok(()) => self.remember(wanted, now, now.plus_seconds(ROLL_UP_ENTRY_SECONDS)),
            Err(error) => tracing::info!(%error, "filters are not rolled up for now"),
        }
    }

    fn entry(&self, key: &WorkKey, due: Millis) -> WorkEntry {
        WorkEntry::new(key.clone(), due, (self.new_nonce)())
    }

    /// Those of some places whose entry is not known to be there.
    fn wanted(&self, mut places: BTreeSet<EntryPlace>, now: Millis) -> BTreeSet<EntryPlace> {
        if !places.is_empty() {
            let put = self.lock();
            places.retain(|place| put.get(place).is_none_or(|until| *until < now));
        }
        places
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EntryPlace, Millis>> {
        // A panic leaves plain data behind, which is still whole.
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, places: BTreeSet<EntryPlace>, now: Millis, until: Millis) {
        if places.is_empty() {
            return;
        }
        let mut put = self.lock();
        put.retain(|_, until| *until >= now);
        if put.len() + places.len() > ENTRIES_MAX {
            put.clear();
        }
        put.extend(places.into_iter().map(|place| (place, until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(n: usize) -> EntryPlace {
        let tenant = format!("school-{n}").parse().expect("a tenant's name");
        let key = WorkKey::at(Cause::Late, Millis(0));
        (Owner::Tenant(tenant), key)
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let entries = EntryMemory::new(WindowTimes::new(15, 300), Nonce::random);
        let some = |from, to| (from..to).map(late).collect::<BTreeSet<_>>();
        let remember = |places, now: i64| {
            let until = Millis(now).plus_seconds(LATE_ENTRY_SECONDS);
            entries.remember(places, Millis(now), until);
        };
        remember(some(0, ENTRIES_MAX), 0);
        remember(some(0, 1), 1);
        assert_eq!(entries.lock().len(), 1, "all were forgotten");
        remember(some(1, ENTRIES_MAX), 1);
        assert_eq!(entries.lock().len(), ENTRIES_MAX);
        remember(some(0, 1), 60_002);
        assert_eq!(entries.lock().len(), 1, "what is over goes");
    }
}
