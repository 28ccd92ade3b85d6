//! Roll-ups of filters, in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::PortError;
use vernier_ledger::roll_up::{RollUp, RollUps};
use vernier_ledger::time::{Millis, Minute, Slice, TimeRange};

/// By tenant and the slice's first minute.
pub(crate) type RollUpState = BTreeMap<(TenantId, Minute), RollUp>;

impl MemoryTable {
    /// All roll-ups of a tenant, no fault in between.
    #[must_use]
    pub fn all_roll_ups(&self, tenant: &TenantId) -> Vec<RollUp> {
        let roll_ups = lock(&self.roll_ups);
        let own = roll_ups.iter().filter(|((owner, _), _)| owner == tenant);
        own.map(|(_, roll_up)| roll_up.clone()).collect()
    }

    /// Puts a roll-up in its slice's place, or takes the slice's away, behind the ledger's back.
    pub fn place_roll_up(&self, tenant: &TenantId, slice: Slice, roll_up: Option<RollUp>) {
        let key = (tenant.clone(), slice.first_minute());
        let mut roll_ups = lock(&self.roll_ups);
        match roll_up {
            Some(roll_up) => drop(roll_ups.insert(key, roll_up)),
            None => drop(roll_ups.remove(&key)),
        }
    }
}

impl RollUps for MemoryTable {
    async fn roll_ups(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<RollUp>, PortError> {
        let read = || {
            if range.from >= range.to {
                return Vec::new();
            }
            let first = Slice::containing(range.from.minute());
            let last = Slice::containing(Millis(range.to.0 - 1).minute());
            let mut all = self.all_roll_ups(tenant);
            all.retain(|roll_up| (first..=last).contains(&roll_up.slice()));
            all
        };
        self.faults.around(Operation::Read, read).await
    }

    async fn keep_roll_up(&self, tenant: &TenantId, roll_up: &RollUp) -> Result<(), PortError> {
        let keep = || {
            let slice = roll_up.slice();
            self.place_roll_up(tenant, slice, Some(roll_up.clone()));
        };
        self.faults.around(Operation::KeepRollUp, keep).await
    }
}
