//! Having an owner's work done at once.

use super::{Cause, Nonce, Owner, WorkEntry, WorkLists};
use crate::ports::PortError;
use crate::time::Millis;
use serde::Serialize;

/// What became of the entries that somebody wanted done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct NudgedEntries {
    /// Entries that are due now.
    pub due: u64,
    /// Entries that keep their time, since something of their window may still be on its way.
    pub waiting: u64,
}

/// Makes an owner's entries due at once, under new nonces and as if they had not been tried.
///
/// The entry of a window that was not tried yet keeps its time: whoever put it relies on it until then. A worker that
/// took it earlier would remove it before the commit that it was put for.
///
/// # Errors
/// The table's; entries that were made due stay so.
pub async fn nudge_all<T: WorkLists>(
    table: &T,
    owner: &Owner,
    new_nonce: fn() -> Nonce,
    now: Millis,
) -> Result<NudgedEntries, PortError> {
    let mut nudged = NudgedEntries::default();
    for entry in table.work(owner).await? {
        let is_of_window = matches!(entry.key.cause, Cause::Late | Cause::Close);
        if is_of_window && entry.tries == 0 && entry.due > now {
            nudged.waiting += 1;
            continue;
        }
        let next = WorkEntry {
            due: now,
            nonce: new_nonce(),
            tries: 0,
            ..entry.clone()
        };
        // One that was put again meanwhile has its own time.
        nudged.due += u64::from(table.move_work(owner, &entry, &next).await?);
    }
    Ok(nudged)
}
