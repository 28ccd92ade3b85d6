//! Slices that recovery gave up, in memory.

use crate::faults::Operation;
use crate::receipts::smallest_id;
use crate::table::MemoryTable;
use crate::{entries_from, lock};
use std::collections::BTreeMap;
use vernier_ledger::given_up::{GivenUpSlice, GivenUpSlices};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::ports::PortError;
use vernier_ledger::time::TimeRange;

/// By tenant, receipt and slice.
pub(crate) type GivenUpState = BTreeMap<(TenantId, ReceiptId, u32), GivenUpSlice>;

impl MemoryTable {
    /// All slices of a tenant that were given up, no fault in between.
    #[must_use]
    pub fn all_given_up(&self, tenant: &TenantId) -> Vec<GivenUpSlice> {
        let given_up = lock(&self.given_up);
        let first = (tenant.clone(), smallest_id(), 0);
        let own = entries_from(&given_up, first, |(owner, ..)| owner == tenant);
        own.map(|(_, slice)| slice.clone()).collect()
    }
}

impl GivenUpSlices for MemoryTable {
    async fn keep_given_up(
        &self,
        tenant: &TenantId,
        slice: &GivenUpSlice,
    ) -> Result<(), PortError> {
        let keep = || {
            let key = (tenant.clone(), slice.receipt, slice.slice);
            lock(&self.given_up).insert(key, slice.clone());
        };
        self.faults.around(Operation::KeepGivenUp, keep).await
    }

    async fn given_up_slices(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<GivenUpSlice>, PortError> {
        let read = || {
            let mut all = self.all_given_up(tenant);
            all.retain(|slice| range.contains(slice.receipt.received_at()));
            all
        };
        self.faults.around(Operation::Read, read).await
    }
}
