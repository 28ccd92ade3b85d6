//! Work lists and their due index in memory.

use crate::faults::Operation;
use crate::table::MemoryTable;
use crate::{entries_from, lock};
use std::collections::BTreeMap;
use vernier_ledger::block_item::Listing;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, DueItem, Expected, Nonce, Owner, WorkEntry, WorkKey, WorkLists};

#[derive(Debug, Default)]
pub(crate) struct WorkState {
    pub(crate) entries: BTreeMap<(Owner, WorkKey), WorkEntry>,
    /// Since when each item is known to have no entry.
    pub(crate) index: BTreeMap<(Millis, Owner, Nonce), Option<Millis>>,
}

fn index_key(item: &DueItem) -> (Millis, Owner, Nonce) {
    (item.due, item.owner.clone(), item.nonce)
}

fn due_item((key, lone_since): (&(Millis, Owner, Nonce), &Option<Millis>)) -> DueItem {
    let (due, owner, nonce) = key.clone();
    DueItem {
        due,
        owner,
        nonce,
        lone_since: *lone_since,
    }
}

impl MemoryTable {
    /// Every entry of every list, by owner and key.
    #[must_use]
    pub fn all_work(&self) -> Vec<(Owner, WorkEntry)> {
        let work = lock(&self.work);
        let entries = work.entries.iter();
        entries.map(|((o, _), e)| (o.clone(), e.clone())).collect()
    }

    /// When the first item of the due index is due; none where the index is empty.
    #[must_use]
    pub fn first_due(&self) -> Option<Millis> {
        let work = lock(&self.work);
        work.index.keys().next().map(|(due, ..)| *due)
    }

    /// Every item of the due index, by when it is due.
    #[must_use]
    pub fn all_due(&self) -> Vec<DueItem> {
        lock(&self.work).index.iter().map(due_item).collect()
    }
}

impl WorkLists for MemoryTable {
    async fn work(&self, owner: &Owner) -> Result<Vec<WorkEntry>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let work = lock(&self.work);
                let first = (owner.clone(), WorkKey::of(Cause::Late, ""));
                let own = entries_from(&work.entries, first, |(of, _)| of == owner);
                own.map(|(_, entry)| entry.clone()).collect()
            })
            .await
    }

    async fn work_entry(
        &self,
        owner: &Owner,
        key: &WorkKey,
    ) -> Result<Option<WorkEntry>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let at = (owner.clone(), key.clone());
                lock(&self.work).entries.get(&at).cloned()
            })
            .await
    }

    async fn put_due(&self, item: &DueItem) -> Result<(), PortError> {
        self.faults
            .around(Operation::PutIndex, || {
                let mut work = lock(&self.work);
                work.index.insert(index_key(item), item.lone_since);
            })
            .await
    }

    async fn put_entry(
        &self,
        owner: &Owner,
        entry: &WorkEntry,
        expected: Expected,
    ) -> Result<bool, PortError> {
        self.faults
            .around(Operation::PutWork, || {
                let mut work = lock(&self.work);
                let at = (owner.clone(), entry.key.clone());
                let there = work.entries.get(&at).map(|e| e.nonce);
                let holds = match expected {
                    Expected::Anything => true,
                    Expected::Nothing => there.is_none(),
                    Expected::Seen(nonce) => there == Some(nonce),
                };
                if holds {
                    work.entries.insert(at, entry.clone());
                }
                holds || there == Some(entry.nonce)
            })
            .await
    }

    async fn remove_entry(&self, owner: &Owner, seen: &WorkEntry) -> Result<bool, PortError> {
        self.faults
            .around(Operation::RemoveWork, || {
                let mut work = lock(&self.work);
                let at = (owner.clone(), seen.key.clone());
                let is_seen = work.entries.get(&at).map(|e| e.nonce) == Some(seen.nonce);
                if is_seen {
                    work.entries.remove(&at);
                }
                is_seen
            })
            .await
    }

    async fn due_work(&self, slot: u8, at: Millis) -> Result<Vec<DueItem>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let work = lock(&self.work);
                let due = work.index.iter().take_while(|((due, ..), _)| *due <= at);
                let own = due.filter(|((_, owner, _), _)| owner.slot() == slot);
                own.map(due_item).collect()
            })
            .await
    }

    async fn is_seeded(&self) -> Result<bool, PortError> {
        let mark = self.listing_mark().await?;
        Ok(mark.is_some_and(|mark| mark.seeded))
    }

    async fn mark_lone(&self, item: &DueItem, since: Millis) -> Result<(), PortError> {
        self.faults
            .around(Operation::MarkIndex, || {
                if let Some(mark) = lock(&self.work).index.get_mut(&index_key(item)) {
                    *mark = Some(since);
                }
            })
            .await
    }

    async fn remove_due(&self, item: &DueItem) -> Result<(), PortError> {
        self.faults
            .around(Operation::RemoveIndex, || {
                lock(&self.work).index.remove(&index_key(item));
            })
            .await
    }
}
