//! What was stored after its window was sealed: a sensor's envelope whose frame came late, a batch
//! that was brought back.

use super::window::Job;
use super::{DrawnUp, LATE_WINDOWS, Run, Step};
use std::collections::{BTreeSet, HashSet};
use vernier_archive::reader::{Part, Reading};
use vernier_archive::seal::SealKind;
use vernier_archive::stored::{covering_gone, find_file, for_each_covered, read_seal};
use vernier_ledger::access::Tenant;
use vernier_ledger::account::WindowState;
use vernier_ledger::chain::{ChainHead, SealEntry, sealed_in};
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::{Chains, PortError};
use vernier_ledger::segment::{Place, stored_in};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

impl<S: ReconcileStores, C: Fn() -> Millis> Run<'_, S, C> {
    /// Seals a backfill for one window that holds more than its seals say.
    pub(super) async fn seal_late(
        &mut self,
        tenant: &Tenant,
        head: &ChainHead,
    ) -> Result<Step, PortError> {
        let length = i64::from(self.settings.window_minutes) * 60;
        let since = head.through.plus_seconds(-length * LATE_WINDOWS);
        self.reach(since).await?;
        let touched = self.touched(tenant, head, since);
        let (Some(oldest), Some(newest)) = (touched.first(), touched.last()) else {
            return Ok(Step::Done);
        };
        let from = oldest.plus_seconds(-WINDOW_SECONDS_MAX);
        let table = self.stores.table();
        let seals = table.seals(&tenant.id, from, Millis(newest.0 + 1)).await?;
        let windows: BTreeSet<Window> = seals
            .iter()
            .map(|s| s.window)
            .filter(|w| touched.iter().any(|at| w.contains(*at)))
            .collect();
        for window in windows {
            if self.seal_backfill(tenant, head, window, &seals).await? {
                return Ok(Step::Sealed);
            }
        }
        Ok(Step::Done)
    }

    /// Minutes before the chain's end of which something was committed since.
    fn touched(&self, tenant: &Tenant, head: &ChainHead, since: Millis) -> BTreeSet<Millis> {
        let recent = self.records.list.iter();
        let recent = recent.filter(|r| r.committed_at >= since);
        let blocks = recent.filter_map(|r| r.block(&tenant.id));
        let minutes = blocks.flat_map(|b| b.minutes.iter().map(|m| m.minute.start()));
        minutes.filter(|at| *at < head.through).collect()
    }

    async fn seal_backfill(
        &mut self,
        tenant: &Tenant,
        head: &ChainHead,
        window: Window,
        seals: &[SealEntry],
    ) -> Result<bool, PortError> {
        let sealed = sealed_in(window, seals);
        self.reach(window.start).await?;
        let records = self.records.list.iter();
        // What the run has read already tells of most windows that nothing came late.
        if stored_in(window, records.filter_map(|r| r.block(&tenant.id))) == sealed {
            return Ok(false);
        }
        let DrawnUp { account, items } = self.account(tenant, window).await?;
        let stored = account.stored_side;
        if account.state != WindowState::Complete || stored == sealed {
            return Ok(false);
        }
        if self.take_over(tenant, head).await? {
            return Ok(true);
        }
        let except = self.sealed_places(tenant, window, seals).await?;
        let Some(late) = stored.without(&sealed) else {
            let why = "less is stored than was sealed";
            self.announce(tenant, window, why).await?;
            return Ok(false);
        };
        self.seal(Job {
            tenant,
            window,
            kind: SealKind::Backfill,
            head,
            items: &items,
            expected: late,
            except,
        })
        .await
    }

    /// Every event of the window that is sealed, from its own files or from its day's.
    async fn sealed_places(
        &self,
        tenant: &Tenant,
        window: Window,
        seals: &[SealEntry],
    ) -> Result<HashSet<Place>, PortError> {
        let objects = self.stores.objects();
        let mut places = HashSet::new();
        for entry in seals.iter().filter(|s| s.window == window) {
            let seal = read_seal(objects, &tenant.id, entry).await?;
            for file in &seal.files {
                let found = find_file(objects, file, |ranges| {
                    let mut found = Vec::new();
                    Part::open(ranges)?.for_each(|row| {
                        found.push(row.place());
                        Ok(())
                    })?;
                    Ok(found)
                });
                if let Some(found) = found.await? {
                    places.extend(found);
                    continue;
                }
                let (table, class) = (self.stores.table(), file.class());
                let day = covering_gone(table, objects, &tenant.id, entry, file).await?;
                let of_seal = (entry.sequence, class);
                for_each_covered(objects, &day, of_seal, Reading::WithoutEvents, |row| {
                    places.insert(row.place());
                    Ok(())
                })
                .await?;
            }
        }
        Ok(places)
    }
}
