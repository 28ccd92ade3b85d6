//! The files of windows whose rows and evidence a day's files have: removed when nobody should be reading them any
//! more. The covered seals stay, and so do their lists, by which the day's rows are checked and proofs are made, and what
//! they say is missing.

use super::{Compactor, Covering, Step, first_day};
use crate::sealing::Trouble;
use crate::sweeping::sweep_day;
use futures::stream::{self, StreamExt, TryStreamExt};
use vernier_archive::seal::{Seal, StatementBody};
use vernier_archive::stored::{read_seal, read_set};
use vernier_ledger::chain::{ChainHead, SealEntry};
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Chains, Objects, Removal};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

impl<S: ReconcileStores, C: Fn() -> Millis> Compactor<'_, '_, S, C> {
    /// Removes the covered files of the oldest day, through `last`, that has been sealed for long enough. Removed
    /// again they are as gone as before, so that a crash or another worker at the same time is no matter.
    pub(super) async fn remove(&mut self, head: ChainHead, last: Window) -> Result<Step, Trouble> {
        let tenant = self.sealer.tenant;
        let day = first_day(tenant, head.removed);
        if day.start > last.start || head.compacted.is_none_or(|compacted| compacted < day.end) {
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
            let removed = self.remove_covered(entry, &entries).await?;
            self.summary.removed += removed;
        }
        self.outcome.unnamed += sweep_day(self.sealer.stores, &tenant.id, day).await?;
        let next = head.removed_to(day.end);
        self.sealer.chain().move_to(&next).await?;
        Ok(Step::Again)
    }

    async fn remove_covered(
        &self,
        entry: &SealEntry,
        entries: &[SealEntry],
    ) -> Result<u32, Trouble> {
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
        self.check_files(&day).await?;
        let covered: Vec<Covering> = stream::iter(covered)
            .map(|entry| Covering::read(self.sealer.stores, tenant, entry))
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        let files = covered.iter().flat_map(Covering::files);
        let files: Vec<&str> = files.map(|file| file.key.as_str()).collect();
        let removed = files.len();
        stream::iter(files)
            .map(|key| objects.remove(key))
            .buffer_unordered(READS_IN_FLIGHT_MAX)
            .try_collect::<()>()
            .await?;
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
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
