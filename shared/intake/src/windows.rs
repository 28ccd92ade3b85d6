//! The entries that say of a window that it may have something, put before it has.
//!
//! A window without an entry in its tenant's work list has received nothing: so sealing may pass over it without
//! looking. Nobody removes an entry before its window's end, so that a process that saw one need not look again until
//! then. After the end a worker may have read the entry and be about to remove it: then an entry with a new nonce is
//! put, which that worker does not remove.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::ports::PortError;
use vernier_ledger::retry::retry;
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists, put_if_absent};

/// Tenants whose entries a process remembers, each with this window's and the next one's: about 300 bytes each, 3 MB.
/// Where there are more, all is forgotten and each is asked for again: a read for each tenant, and nothing else.
const TENANTS_MAX: usize = 10_000;

/// A window whose entry this process has seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    window: Window,
    /// From when on the next window's entry is put as well; none when that was tried.
    ahead_at: Option<Millis>,
}

/// What a process knows of its tenants' windows.
#[derive(Debug)]
pub struct OpenWindows {
    times: WindowTimes,
    new_nonce: fn() -> Nonce,
    seen: Mutex<HashMap<TenantId, Vec<Seen>>>,
}

/// An envelope that is about to be sent.
pub(crate) struct Coming<'a, C> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) receipt: ReceiptId,
    pub(crate) clock: C,
    /// What is left for all of it: when it is used up, nothing of the envelope is sent any more.
    pub(crate) budget: Duration,
}

impl OpenWindows {
    /// Makes the memory of a process that has seen nothing. Nonces also say when a next window's entry is put: at a
    /// moment of a window's last third that is each process's own.
    #[must_use]
    pub fn new(times: WindowTimes, new_nonce: fn() -> Nonce) -> Self {
        Self {
            times,
            new_nonce,
            seen: Mutex::default(),
        }
    }

    /// Sees to it that the list of an envelope's tenant has an entry for the envelope's window; it is durable on return.
    ///
    /// # Errors
    /// The table's that outlasted the budget.
    pub(crate) async fn open<T, C>(
        &self,
        table: &T,
        coming: &Coming<'_, C>,
    ) -> Result<(), PortError>
    where
        T: WorkLists,
        C: Fn() -> Millis,
    {
        let Coming {
            tenant, receipt, ..
        } = *coming;
        let window = self.times.window(receipt.received_at());
        let now = (coming.clock)();
        if now >= window.end {
            return self.put_again(table, coming, window, now).await;
        }
        if !self.has_seen(tenant, window) {
            self.add(table, tenant, window, coming.budget).await?;
            self.remember(tenant, window, now);
        }
        if let Some(next) = self.next_of(tenant, window, now) {
            // It is put ahead so that not all processes meet on it later, when they would put it anyway: one try.
            match self.add(table, tenant, next, Duration::ZERO).await {
                Ok(()) => self.remember(tenant, next, now),
                Err(error) => tracing::info!(%tenant, %error, "next window's entry not put"),
            }
        }
        Ok(())
    }

    /// Puts an entry that nobody has seen, of a window that is over. It is due when the envelope is there or will never
    /// be, whatever the worker's clock says.
    async fn put_again<T: WorkLists, C>(
        &self,
        table: &T,
        coming: &Coming<'_, C>,
        window: Window,
        now: Millis,
    ) -> Result<(), PortError> {
        let left = i64::try_from(coming.budget.as_millis()).unwrap_or(i64::MAX);
        let sent = Millis(now.0.saturating_add(left)).plus_seconds(self.times.skew_seconds);
        let due = self.times.close_due(coming.tenant, window).max(sent);
        let key = WorkKey::at(Cause::Close, window.start);
        let entry = WorkEntry::new(key, due, (self.new_nonce)());
        let owner = Owner::Tenant(coming.tenant.clone());
        retry(coming.budget, async || table.put_work(&owner, &entry).await).await
    }

    /// Reads a window's entry, and puts one where there is none.
    async fn add<T: WorkLists>(
        &self,
        table: &T,
        tenant: &TenantId,
        window: Window,
        budget: Duration,
    ) -> Result<(), PortError> {
        let owner = Owner::Tenant(tenant.clone());
        let key = WorkKey::at(Cause::Close, window.start);
        let due = self.times.close_due(tenant, window);
        let entry = WorkEntry::new(key, due, (self.new_nonce)());
        retry(budget, async || put_if_absent(table, &owner, &entry).await).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Vec<Seen>>> {
        // A panic leaves plain data behind, which is still whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_seen(&self, tenant: &TenantId, window: Window) -> bool {
        let all = self.lock();
        let of_tenant = all.get(tenant);
        of_tenant.is_some_and(|seen| seen.iter().any(|s| s.window == window))
    }

    /// Remembers an entry until its window's end.
    fn remember(&self, tenant: &TenantId, window: Window, now: Millis) {
        let mut all = self.lock();
        if !all.contains_key(tenant) && all.len() >= TENANTS_MAX {
            all.retain(|_, seen| seen.iter().any(|s| s.window.end > now));
            if all.len() >= TENANTS_MAX {
                all.clear();
            }
        }
        let seen = all.entry(tenant.clone()).or_default();
        seen.retain(|s| s.window.end > now && s.window != window);
        seen.push(Seen {
            window,
            ahead_at: Some(self.moment_of_the_last_third(window)),
        });
    }

    fn moment_of_the_last_third(&self, window: Window) -> Millis {
        let third = ((window.end.0 - window.start.0) / 3).max(1);
        let Nonce([a, b, c, d, e, f, ..]) = (self.new_nonce)();
        let drawn = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Millis(window.end.0 - 1 - drawn % third)
    }

    /// The window after this one, once, when its entry is to be put.
    fn next_of(&self, tenant: &TenantId, window: Window, now: Millis) -> Option<Window> {
        let mut all = self.lock();
        let seen = all
            .get_mut(tenant)?
            .iter_mut()
            .find(|s| s.window == window)?;
        seen.ahead_at.take_if(|at| *at <= now)?;
        let next = self.times.window(window.end);
        // Dropped first: `has_seen` locks as well.
        drop(all);
        (!self.has_seen(tenant, next)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: usize) -> TenantId {
        format!("school-{n}").parse().expect("a tenant's name")
    }

    fn windows(window_minutes: u32) -> OpenWindows {
        OpenWindows::new(WindowTimes::new(window_minutes, 300), Nonce::random)
    }

    #[test]
    fn a_window_is_remembered_until_its_end_and_asked_for_ahead_once() {
        let windows = windows(15);
        let (school, now) = (tenant(1), Millis(1_795_167_900_000));
        let window = windows.times.window(now);
        let next = windows.times.window(window.end);
        windows.remember(&school, window, now);
        assert!(windows.has_seen(&school, window) && !windows.has_seen(&school, next));
        assert!(!windows.has_seen(&tenant(2), window));
        assert_eq!(windows.next_of(&school, window, now), None);
        let last = Millis(window.end.0 - 1);
        assert_eq!(windows.next_of(&school, window, last), Some(next));
        assert_eq!(windows.next_of(&school, window, last), None, "once");
        windows.remember(&school, next, window.end);
        assert!(!windows.has_seen(&school, window) && windows.has_seen(&school, next));
    }

    #[test]
    fn moments_lie_in_the_last_third_and_differ() {
        let windows = windows(15);
        let window = windows.times.window(Millis(1_795_167_900_000));
        let mut moments: Vec<i64> = (0..1_000)
            .map(|_| windows.moment_of_the_last_third(window).0)
            .collect();
        moments.sort_unstable();
        moments.dedup();
        assert!(moments.len() > 900, "{} of 1,000", moments.len());
        assert!(moments[0] >= window.end.0 - 300_000 && moments[moments.len() - 1] < window.end.0);
        assert!(moments[0] < window.end.0 - 290_000, "spread over all of it");
    }

    #[test]
    fn no_more_tenants_are_remembered_than_there_is_room_for() {
        let windows = windows(1);
        let now = Millis(0);
        let window = windows.times.window(now);
        for n in 0..TENANTS_MAX {
            windows.remember(&tenant(n), window, now);
        }
        windows.remember(&tenant(0), windows.times.window(window.end), now);
        assert_eq!(windows.lock().len(), TENANTS_MAX);
        // What is over makes room first.
        windows.remember(
            &tenant(TENANTS_MAX),
            windows.times.window(window.end),
            window.end,
        );
        assert_eq!(windows.lock().len(), 2);
        let next = windows.times.window(window.end);
        for n in 0..=TENANTS_MAX {
            windows.remember(&tenant(n), next, window.end);
        }
        assert!(windows.lock().len() <= TENANTS_MAX);
        assert!(windows.has_seen(&tenant(TENANTS_MAX), next));
    }
}
