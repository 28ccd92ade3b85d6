//! Receipts as they lie there, and as TTL has them go, no fault in between.

use crate::receipts::smallest_id;
use crate::table::MemoryTable;
use crate::{entries_from, lock};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::receipt::Receipt;

impl MemoryTable {
    /// All receipts of a tenant.
    #[must_use]
    pub fn all_receipts(&self, tenant: &TenantId) -> Vec<Receipt> {
        let state = lock(&self.state);
        let first = (tenant.clone(), smallest_id());
        let own = entries_from(&state.receipts, first, |(owner, _)| owner == tenant);
        own.map(|(_, receipt)| receipt.clone()).collect()
    }

    /// A receipt as it lies there, no fault in between.
    #[must_use]
    pub fn raw_receipt(&self, tenant: &TenantId, id: ReceiptId) -> Option<Receipt> {
        let state = lock(&self.state);
        state.receipts.get(&(tenant.clone(), id)).cloned()
    }

    /// A receipt's time is over.
    pub fn forget_receipt(&self, tenant: &TenantId, id: ReceiptId) {
        lock(&self.state).receipts.remove(&(tenant.clone(), id));
    }

    /// The time of all receipts is over.
    pub fn forget_receipts(&self) {
        lock(&self.state).receipts.clear();
    }
}
