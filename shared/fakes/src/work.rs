//! Work lists and their due index in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use vernier_ledger::block_item::Listing;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Expected, Nudge, Owner, WorkEntry, WorkKey, WorkLists};

#[derive(Debug, Default)]
pub(crate) struct WorkState {
    pub(crate) entries: BTreeMap<(Owner, WorkKey), WorkEntry>,
    /// A map without values, so that it is removed from as the others are.
    pub(crate) index: BTreeMap<Nudge, ()>,
}

impl MemoryTable {
    /// Every entry of every list, by owner and key.
    #[must_use]
    pub fn all_work(&self) -> Vec<(Owner, WorkEntry)> {
        let work = lock(&self.work);
        let entries = work.entries.iter();
        entries.map(|((o, _), e)| (o.clone(), e.clone())).collect()
    }

    /// Every item of the due index, by when it is due.
    #[must_use]
    pub fn all_due(&self) -> Vec<Nudge> {
        lock(&self.work).index.keys().cloned().collect()
    }
}

impl WorkLists for MemoryTable {
    async fn work(&self, owner: &Owner) -> Result<Vec<WorkEntry>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let work = lock(&self.work);
                let own = work.entries.iter().filter(|((o, _), _)| o == owner);
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

    async fn put_nudge(&self, nudge: &Nudge) -> Result<(), PortError> {
        self.faults
            .around(Operation::PutIndex, || {
                lock(&self.work).index.insert(nudge.clone(), ());
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

    async fn due_work(&self, slot: u8, at: Millis) -> Result<Vec<Nudge>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let work = lock(&self.work);
                let due = work.index.keys().take_while(|nudge| nudge.due <= at);
                due.filter(|n| n.owner.slot() == slot).cloned().collect()
            })
            .await
    }

    async fn is_seeded(&self) -> Result<bool, PortError> {
        let mark = self.listing_mark().await?;
        Ok(mark.is_some_and(|mark| mark.seeded))
    }

    async fn remove_nudge(&self, nudge: &Nudge) -> Result<(), PortError> {
        self.faults
            .around(Operation::RemoveIndex, || {
                lock(&self.work).index.remove(nudge);
            })
            .await
    }
}
