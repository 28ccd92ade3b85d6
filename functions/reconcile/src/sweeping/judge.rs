//! Whether what commits hold of tenants is sealed.

use super::named::{Held, Named};
use crate::sealing::missing_of;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use vernier_archive::account::MissingCause;
use vernier_archive::stored::read_seal;
use vernier_ledger::chain::{SealEntry, day_of, sealed_in};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::live::{self, CLOCK_SKEW_SECONDS_MAX};
use vernier_ledger::ports::{Chains, PortError};
use vernier_ledger::segment::stored_in;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

/// Tenants' days whose seals are remembered, 96 of 400 bytes each: 20 MB.
const DAYS_MAX: usize = 512;

/// How long before a seal a commit landed for certain before what the seal is about was read, seconds: as long as a commit
/// and a worker's turn may take, and as far as their clocks may differ.
const READ_BEFORE_SECONDS: i64 = 2 * 15 * 60 + 2 * CLOCK_SKEW_SECONDS_MAX;

/// What is known of tenants' seals in one hour of the sweep.
pub(super) struct Judge<'a, S> {
    stores: &'a S,
    now: Millis,
    /// By tenant and the day's beginning.
    seals: HashMap<(TenantId, Millis), Rc<[SealEntry]>>,
    /// Windows that were judged, by their tenant: all that was committed until then is sealed.
    judged: HashMap<(TenantId, Window), Millis>,
}

impl<'a, S: ReconcileStores> Judge<'a, S> {
    pub(super) fn new(stores: &'a S, now: Millis) -> Self {
        Self {
            stores,
            now,
            seals: HashMap::new(),
            judged: HashMap::new(),
        }
    }

    /// Forgets what was read: what is judged next may be sealed by now.
    pub(super) fn forget(&mut self) {
        self.seals.clear();
        self.judged.clear();
    }

    /// A tenant's seals of windows that may reach into a day: they begin on it, or in the 24 hours before it.
    pub(super) async fn seals_of(
        &mut self,
        tenant: &TenantId,
        day: Window,
    ) -> Result<Rc<[SealEntry]>, PortError> {
        let key = (tenant.clone(), day.start);
        if let Some(known) = self.seals.get(&key) {
            return Ok(Rc::clone(known));
        }
        let from = day.start.plus_seconds(-WINDOW_SECONDS_MAX);
        let seals = self.stores.table().seals(tenant, from, day.end).await?;
        let seals: Rc<[SealEntry]> = seals.into();
        if self.seals.len() >= DAYS_MAX {
            self.seals.clear();
        }
        self.seals.insert(key, Rc::clone(&seals));
        Ok(seals)
    }

    /// The tenants of which a segment holds something that is not sealed, or nobody knows what.
    pub(super) async fn unsealed_of(
        &mut self,
        named: &Named,
    ) -> Result<BTreeSet<TenantId>, PortError> {
        let mut unsealed: BTreeSet<TenantId> = named.lost.iter().cloned().collect();
        for held in &named.held {
            if !unsealed.contains(&held.tenant) && !self.is_sealed(held).await? {
                unsealed.insert(held.tenant.clone());
            }
        }
        Ok(unsealed)
    }

    /// Whether every window that a commit holds a tenant's events of is sealed with all that is stored of it.
    async fn is_sealed(&mut self, held: &Held) -> Result<bool, PortError> {
        let mut windows: Vec<(Window, Rc<[SealEntry]>)> = Vec::new();
        for minute in &held.minutes {
            if windows.iter().any(|(window, _)| window.contains(*minute)) {
                continue;
            }
            let seals = self.seals_of(&held.tenant, day_of(*minute)).await?;
            let mut closing = seals.iter().filter(|seal| seal.kind.closes());
            let Some(window) = closing.find_map(|seal| seal.window_of(*minute)) else {
                return Ok(false);
            };
            windows.push((window, seals));
        }
        for (window, seals) in windows {
            let key = (held.tenant.clone(), window);
            let until = match self.judged.get(&key) {
                Some(until) => *until,
                None => {
                    let until = self.sealed_until(&held.tenant, window, &seals).await?;
                    self.judged.insert(key, until);
                    until
                }
            };
            if held.committed_at > until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Until which commit a window's seals hold what is stored of it: all of the tenant's items when they come to as
    /// much, else those until its last seal when they do. Of a window whose last seal is short it is what this seal had
    /// read, and of any other window nothing.
    async fn sealed_until(
        &self,
        tenant: &TenantId,
        window: Window,
        seals: &[SealEntry],
    ) -> Result<Millis, PortError> {
        let sealed = sealed_in(window, seals);
        let items = live::items_between(self.stores.table(), tenant, window.into(), self.now);
        let items = items.await?;
        let stored = stored_in(window, items.iter().map(|item| &item.block));
        if stored == sealed {
            return Ok(Millis(i64::MAX));
        }
        let of_window = seals.iter().filter(|s| s.window == window);
        let Some(last) = of_window.max_by_key(|seal| seal.sequence) else {
            return Ok(Millis(i64::MIN));
        };
        let end = last.sealed_at.plus_seconds(CLOCK_SKEW_SECONDS_MAX);
        let until = items.iter().filter(|item| item.committed_at < end);
        if stored_in(window, until.map(|item| &item.block)) == sealed {
            return Ok(Millis(end.0 - 1));
        }
        if last.missing == 0 {
            return Ok(Millis(i64::MIN));
        }
        match self.damaged_in(tenant, last).await {
            Ok(damaged) if stored.without(&sealed) == Some(damaged) => Ok(Millis(i64::MAX)),
            Ok(_) => Ok(last.sealed_at.plus_seconds(-READ_BEFORE_SECONDS)),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                let start = window.start.rfc3339();
                tracing::error!(%tenant, window = start, %error, "a short window's segments stay");
                Ok(Millis(i64::MIN))
            }
        }
    }

    /// What a seal lists as missing since it cannot be read any more: it is gone, or kept raw in quarantine.
    async fn damaged_in(&self, tenant: &TenantId, entry: &SealEntry) -> Result<Tally, PortError> {
        let objects = self.stores.objects();
        let seal = read_seal(objects, tenant, entry).await?;
        let mut damaged = Tally::default();
        if let Some(statement) = seal.statement.as_ref().and_then(|s| s.window()) {
            let missing = missing_of(objects, &statement.missing).await?;
            let rows = missing.values();
            rows.filter(|row| row.cause == MissingCause::Damaged)
                .for_each(|row| damaged.merge(&row.lack()));
        }
        Ok(damaged)
    }
}
