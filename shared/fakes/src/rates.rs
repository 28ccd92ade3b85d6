//! What tenants have spent of their rates, and their settings' changes, in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::PortError;
use vernier_ledger::rates::{RateCounters, SpendOutcome, Spending, SpentUntil};

/// The instants of the tenants that have spent something.
pub(crate) type RatesState = BTreeMap<TenantId, SpentUntil>;

impl RateCounters for MemoryTable {
    async fn spend(
        &self,
        tenant: &TenantId,
        spending: &Spending,
    ) -> Result<SpendOutcome, PortError> {
        let charge = || {
            let mut all = lock(&self.rates);
            let until = all.entry(tenant.clone()).or_default();
            if !until.allows(spending) {
                return SpendOutcome::Kept(*until);
            }
            until.charge(spending);
            SpendOutcome::Spent
        };
        self.faults.around(Operation::ChargeRates, charge).await
    }

    async fn forget_spent(&self, tenant: &TenantId) -> Result<(), PortError> {
        let forget = || {
            lock(&self.rates).remove(tenant);
        };
        self.faults.around(Operation::ChargeRates, forget).await
    }
}
