//! What was stored after its window was sealed: a sensor's envelope whose frame came late, a batch
//! that was brought back.

use super::accounts::DrawnUp;
use super::totals::AccountSoFar;
use super::window::Job;
use super::{Sealer, Step};
use std::collections::HashSet;
use vernier_archive::reader::Reading;
use vernier_archive::seal::{Seal, SealKind};
use vernier_archive::stored::{covering_gone, find_rows, for_each_covered, read_seal};
use vernier_ledger::account::WindowState;
use vernier_ledger::chain::{ChainHead, SealEntry, sealed_in};
use vernier_ledger::digest::Digest;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::{Chains, PortError};
use vernier_ledger::segment::Place;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

impl<S: ReconcileStores, C: Fn() -> Millis> Sealer<'_, S, C> {
    /// Seals a backfill for the window of an instant that the chain has passed, if it holds more than its seals say.
    pub(super) async fn seal_late(
        &mut self,
        head: &ChainHead,
        at: Millis,
    ) -> Result<Step, PortError> {
        let from = at.plus_seconds(-WINDOW_SECONDS_MAX);
        let table = self.stores.table();
        let seals = table.seals(&self.tenant.id, from, Millis(at.0 + 1)).await?;
        let Some(window) = seals.iter().find_map(|seal| seal.window_of(at)) else {
            // Before the tenant's first window nothing was received.
            return Ok(Step::Nothing);
        };
        let sealed = sealed_in(window, &seals);
        let drawn_up = self.account(window).await?;
        let stored = drawn_up.account.stored_side;
        if sealed.events > 0 {
            self.settled.insert(window.start);
        }
        let last = seals.iter().rfind(|seal| is_of(seal, window));
        let last = match last {
            Some(entry) => Some(read_seal(self.stores.objects(), &self.tenant.id, entry).await?),
            None => None,
        };
        if stored == sealed && is_said(last.as_ref(), &drawn_up) {
            return self.mend_kept(&drawn_up).await.map(|()| Step::Nothing);
        }
        let Some(unsealed) = stored.without(&sealed) else {
            let why = "less is stored than was sealed";
            self.announce(window, why).await?;
            return Ok(Step::Nothing);
        };
        self.keep(&drawn_up, &[]).await?;
        if self.takes_over(head).await? {
            return Ok(Step::Again);
        }
        let DrawnUp {
            account,
            receipts,
            items,
            ..
        } = drawn_up;
        let (except, so_far) = self.sealed_so_far(window, &seals).await?;
        let without_evidence = so_far.without_evidence(&receipts);
        let shortfall = match so_far.shortfall() {
            Some(said) => Some(said.clone()),
            None => self.late_shortfall(window, &receipts, &items).await?,
        };
        let job = Job {
            tenant: self.tenant,
            window,
            kind: SealKind::Backfill,
            head,
            items: &items,
            unsealed,
            receipts: &receipts,
            account: &account,
            so_far,
            except,
            shortfall,
        };
        let step = self.seal(job).await?;
        if matches!(step, Step::Held(_)) {
            self.write_down(window, &without_evidence).await?;
        }
        Ok(step)
    }

    /// Keeps the account of a sealed window again where the one that is kept says otherwise: that of a worker which was
    /// overtaken by the one that sealed.
    async fn mend_kept(&mut self, drawn_up: &DrawnUp) -> Result<(), PortError> {
        let kept = drawn_up.kept.as_ref().map(|kept| kept.stored_side);
        match kept.is_some_and(|kept| kept != drawn_up.account.stored_side) {
            true => self.keep(drawn_up, &[]).await,
            false => Ok(()),
        }
    }

    /// Every event of the window that is sealed, from its own files or from its day's, and what its seals say of it.
    async fn sealed_so_far(
        &self,
        window: Window,
        seals: &[SealEntry],
    ) -> Result<(HashSet<Place>, AccountSoFar), PortError> {
        let (objects, tenant) = (self.stores.objects(), self.tenant);
        let (mut places, mut so_far) = (HashSet::new(), AccountSoFar::default());
        let mut read = Vec::new();
        for entry in seals.iter().filter(|seal| is_of(seal, window)) {
            let seal = read_seal(objects, &tenant.id, entry).await?;
            so_far.take(self.stores, tenant, entry, &seal).await?;
            read.push((entry, seal));
        }
        so_far.take_missing(objects).await?;
        for (entry, seal) in read {
            for file in &seal.files {
                let found = find_rows(objects, file, Reading::WithoutEvents, |row, _| {
                    places.insert(row.place());
                    so_far.take_row(&row);
                    Ok(())
                });
                if found.await?.is_some() {
                    continue;
                }
                let (table, class) = (self.stores.table(), file.class());
                let day = covering_gone(table, objects, &tenant.id, entry, file).await?;
                let of_seal = (entry.sequence, class);
                for_each_covered(objects, &day, of_seal, Reading::WithoutEvents, |row| {
                    places.insert(row.place());
                    so_far.take_row(&row);
                    Ok(())
                })
                .await?;
            }
        }
        Ok((places, so_far))
    }
}

/// Whether a seal is the window's own or one of its backfills.
fn is_of(entry: &SealEntry, window: Window) -> bool {
    entry.kind.has_rows_of_window() && entry.window == window
}

/// Whether a window's last seal says what its receipts say.
fn is_said(last: Option<&Seal>, drawn_up: &DrawnUp) -> bool {
    let statement = last.and_then(|seal| seal.statement.as_ref());
    let Some(window) = statement.and_then(|statement| statement.window()) else {
        return drawn_up.account.state == WindowState::Complete;
    };
    let mut said = window.totals.received.digest;
    let acknowledged = drawn_up.receipts.iter().filter_map(|r| r.acknowledged);
    let mut envelopes = 0;
    for (tally, _) in acknowledged {
        said.remove(&tally.digest);
        envelopes += 1;
    }
    window.totals.received.envelopes == envelopes && said == Digest::EMPTY
}
