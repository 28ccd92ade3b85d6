//! The files of windows whose rows and evidence a day's files have: removed when nobody should be reading them any
//! more. The covered seals stay, and so do their lists, by which the day's rows are checked and proofs are made, and what
//! they say is missing.
//!
//! The head of the chain says which days have nothing left to remove. A day behind that instant may have got another seal
//! since, over what came late: of the files that one seal covers the last is removed behind all others, so that it tells
//! whether some are left, whoever died in between.

use super::{Compactor, Covering, Step, first_day};
use crate::sealing::Trouble;
use crate::sweeping::sweep_day;
use futures::stream::{self, StreamExt, TryStreamExt};
use vernier_archive::seal::{Seal, StatementBody};
use vernier_archive::stored::{read_seal, read_set};
use vernier_ledger::chain::{ChainHead, SealEntry};
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Chains, Objects, PortError, Removal};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

/// A day's seal, and the entries of the seals that it covers, in their order.
struct CoveringDay<'e> {
    seal: Seal,
    covered: Vec<&'e SealEntry>,
}

impl<S: ReconcileStores, C: Fn() -> Millis> Compactor<'_, '_, S, C> {
    /// Removes the covered files of the oldest day, through `last`, that has been sealed for long enough. Removed
    /// again they are as gone as before, so that a crash or another worker at the same time is no matter.
    pub(super) async fn remove(&mut self, head: ChainHead, last: Window) -> Result<Step, Trouble> {
        let tenant = self.sealer.tenant;
        let day = first_day(tenant, head.removed);
        if day.start > last.start {
            return self.remove_late(last).await;
        }
        if head.compacted.is_none_or(|compacted| compacted < day.end) {
            return Ok(Step::Nothing);
        }
        let table = self.sealer.stores.table();
        let days = table.days(&tenant.id, day.start, day.end).await?;
        let after = self.compacting.remove_after_seconds;
        let sealed_at = days.iter().map(|day| day.sealed_at).max();
        if let Some(due) = sealed_at.map(|at| at.plus_seconds(after))
            && (self.sealer.clock)() < due
        {
            return Ok(Step::Early(due));
        }
        let entries = table.seals(&tenant.id, day.start, day.end).await?;
        for entry in &days {
            let day = self.read_day(entry, &entries).await?;
            self.summary.removed += self.remove_covered(&day).await?;
        }
        self.outcome.unnamed += sweep_day(self.sealer.stores, &tenant.id, day).await?;
        let next = head.removed_to(day.end);
        self.sealer.chain().move_to(&next).await?;
        Ok(Step::Again)
    }

    /// Removes what the seals of a day cover that were signed after the chain had passed the day's removal.
    async fn remove_late(&mut self, day: Window) -> Result<Step, Trouble> {
        let (table, tenant) = (self.sealer.stores.table(), self.sealer.tenant);
        let days = table.days(&tenant.id, day.start, day.end).await?;
        let entries = table.seals(&tenant.id, day.start, day.end).await?;
        for entry in &days {
            let covering = self.read_day(entry, &entries).await?;
            if self.is_removed(&covering).await? {
                continue;
            }
            let due = entry
                .sealed_at
                .plus_seconds(self.compacting.remove_after_seconds);
            if (self.sealer.clock)() < due {
                return Ok(Step::Early(due));
            }
            self.summary.removed += self.remove_covered(&covering).await?;
        }
        Ok(Step::Nothing)
    }

    /// A day's seal, with the entries of those that it covers.
    async fn read_day<'e>(
        &self,
        entry: &SealEntry,
        entries: &'e [SealEntry],
    ) -> Result<CoveringDay<'e>, Trouble> {
        let (objects, tenant) = (self.sealer.stores.objects(), self.sealer.tenant);
        let day = read_seal(objects, &tenant.id, entry).await?;
        let mut covered: Vec<&SealEntry> = Vec::with_capacity(day.covers.len());
        for seal in &day.covers {
            let entry = entries.iter().find(|e| e.sequence == seal.sequence);
            let listed = entry.filter(|e| e.hash == seal.sha256.to_string());
            covered.push(listed.ok_or_else(|| {
                Trouble::Held(format!("{} covers a seal that is not listed", day.key()))
            })?);
        }
        Ok(CoveringDay { seal: day, covered })
    }

    /// Whether none of the files that a day covers is left, by the last of them.
    async fn is_removed(&self, day: &CoveringDay<'_>) -> Result<bool, PortError> {
        let Some(last) = day.covered.last() else {
            return Ok(true);
        };
        let (stores, tenant) = (self.sealer.stores, self.sealer.tenant);
        let last = Covering::read(stores, tenant, last).await?;
        let Some(file) = last.files().last() else {
            return Ok(true);
        };
        let there = stores.objects().get(&file.key, Some((0, 1))).await?;
        Ok(there.is_none())
    }

    /// Removes the files that a day covers, the last of them behind all others; answers how many these are.
    async fn remove_covered(&self, day: &CoveringDay<'_>) -> Result<u32, Trouble> {
        let (objects, tenant) = (self.sealer.stores.objects(), self.sealer.tenant);
        self.check_files(&day.seal).await?;
        let covered: Vec<Covering> = stream::iter(&day.covered)
            .map(|entry| Covering::read(self.sealer.stores, tenant, entry))
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        let files = covered.iter().flat_map(Covering::files);
        let files: Vec<&str> = files.map(|file| file.key.as_str()).collect();
        let Some((last, others)) = files.split_last() else {
            return Ok(0);
        };
        stream::iter(others)
            .map(|key| objects.remove(key))
            .buffer_unordered(READS_IN_FLIGHT_MAX)
            .try_collect::<()>()
            .await?;
        objects.remove(last).await?;
        Ok(u32::try_from(files.len()).unwrap_or(u32::MAX))
    }

    /// Each of the day's files is there, no shorter and no longer than it was sealed.
    async fn check_files(&self, day: &Seal) -> Result<(), Trouble> {
        let evidence = match day.statement.as_ref().map(|s| &s.body) {
            Some(StatementBody::Day { evidence, .. }) => {
                read_set(self.sealer.stores.objects(), evidence).await?
            }
            _ => Vec::new(),
        };
        for file in day.files.iter().chain(&evidence) {
            // Two bytes from its last one on: one comes back.
            let last = Some((file.bytes.saturating_sub(1), 2));
            let end = self.sealer.stores.objects().get(&file.key, last).await?;
            if end.is_none_or(|bytes| bytes.len() != 1) {
                let what = format!("{} is not there as it was sealed", file.key);
                return Err(Trouble::Held(what));
            }
        }
        Ok(())
    }
}
