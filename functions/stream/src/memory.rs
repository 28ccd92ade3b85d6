//! What a process knows of what it did.

use crate::entries::EntryMemory;
use crate::results::ResultMemory;
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::work::Nonce;

/// What a process knows of what it did, so that it need not do it again. A new process begins with nothing, and does once
/// more what others have done: the stores stay as they are.
#[derive(Debug)]
pub struct ProcessMemory {
    /// Entries that it has put into work lists.
    pub(crate) entries: EntryMemory,
    /// Results that it has merged.
    pub(crate) results: ResultMemory,
}

impl ProcessMemory {
    /// Makes the memory of a process that has done nothing.
    #[must_use]
    pub fn new(times: WindowTimes, new_nonce: fn() -> Nonce) -> Self {
        Self {
            entries: EntryMemory::new(times, new_nonce),
            results: ResultMemory::default(),
        }
    }
}
