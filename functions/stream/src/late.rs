//! Entries that say of a window that something came after it was over.
//!
//! A worker may have closed the window already, or be about to: it looks again because of this entry. The entry is put
//! before the commit, since a crash between the two must leave an entry without a commit and never a commit without an
//! entry. It is due when the commit is there, or will never be, by whatever clock a worker has: what is due earlier
//! could be done and removed before the commit.

use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use vernier_ledger::closing::{LATE_ENTRY_SECONDS, WindowTimes};
use vernier_ledger::frame::Frame;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::CLAIMS_IN_FLIGHT_MAX;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists};

/// Late windows that a process remembers, for [`LATE_ENTRY_SECONDS`] each, about 150 bytes each: 1.5 MB. Where there are more, all are
/// forgotten, and put once more: two write units each.
const WINDOWS_MAX: usize = 10_000;

/// A tenant's window that something came for when it was over.
type LateWindow = (TenantId, Window);

/// What a process knows of the late entries that it put.
#[derive(Debug)]
pub struct LateWindows {
    times: WindowTimes,
    new_nonce: fn() -> Nonce,
    /// Until when a commit that begins lands before the entry is due.
    put: Mutex<HashMap<LateWindow, Millis>>,
}

impl LateWindows {
    /// Makes the memory of a process that has put nothing.
    #[must_use]
    pub fn new(times: WindowTimes, new_nonce: fn() -> Nonce) -> Self {
        Self {
            times,
            new_nonce,
            put: Mutex::default(),
        }
    }

    /// Puts an entry for each window of these frames that what is committed at an instant is late for; all are durable on
    /// return. The frames are committed by this invocation of the function, or not at all.
    pub(crate) async fn put<T: WorkLists>(
        &self,
        table: &T,
        frames: &[&Frame],
        now: Millis,
    ) -> Result<(), PortError> {
        let wanted = self.wanted(frames, now);
        stream::iter(&wanted)
            .map(|(tenant, window)| {
                let key = WorkKey::at(Cause::Late, window.start);
                let entry = WorkEntry::new(key, self.times.late_due(now), (self.new_nonce)());
                async move { table.put_work(&Owner::Tenant(tenant.clone()), &entry).await }
            })
            .buffer_unordered(CLAIMS_IN_FLIGHT_MAX)
            .try_collect::<()>()
            .await?;
        self.remember(wanted, now);
        Ok(())
    }

    /// The late windows of these frames, without those whose entry is still good for a commit.
    fn wanted(&self, frames: &[&Frame], now: Millis) -> BTreeSet<LateWindow> {
        let late = frames.iter().filter_map(|frame| {
            let header = &frame.header;
            let window = self.times.window(header.receipt.received_at());
            let is_late = self.times.is_late(window, now);
            is_late.then(|| (header.tenant.clone(), window))
        });
        let mut late: BTreeSet<LateWindow> = late.collect();
        if !late.is_empty() {
            let put = self.lock();
            late.retain(|window| put.get(window).is_none_or(|until| *until < now));
        }
        late
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LateWindow, Millis>> {
        // A panic leaves plain data behind, which is still whole.
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, windows: BTreeSet<LateWindow>, now: Millis) {
        if windows.is_empty() {
            return;
        }
        let mut put = self.lock();
        put.retain(|_, until| *until >= now);
        if put.len() + windows.len() > WINDOWS_MAX {
            put.clear();
        }
        // So long before the entry is due a commit that begins then has landed.
        let until = now.plus_seconds(LATE_ENTRY_SECONDS);
        put.extend(windows.into_iter().map(|window| (window, until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(n: usize) -> LateWindow {
        let tenant = format!("school-{n}").parse().expect("a tenant's name");
        (tenant, Window::containing(Millis(0), 15))
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let windows = LateWindows::new(WindowTimes::new(15, 300), Nonce::random);
        let some = |from, to| (from..to).map(late).collect::<BTreeSet<_>>();
        windows.remember(some(0, WINDOWS_MAX), Millis(0));
        windows.remember(some(0, 1), Millis(1));
        assert_eq!(windows.lock().len(), 1, "all were forgotten");
        windows.remember(some(1, WINDOWS_MAX), Millis(1));
        assert_eq!(windows.lock().len(), WINDOWS_MAX);
        windows.remember(some(0, 1), Millis(60_002));
        assert_eq!(windows.lock().len(), 1, "what is over goes");
    }
}
