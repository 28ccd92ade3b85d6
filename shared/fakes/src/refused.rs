//! Counts of refused envelopes in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{PortError, RefusedEnvelopes};
use vernier_ledger::refused::RefusedCount;
use vernier_ledger::time::Millis;

/// Envelopes by tenant, hour, rule and sensor.
pub(crate) type RefusedState = BTreeMap<(TenantId, i64, String, String), u64>;

impl RefusedEnvelopes for MemoryTable {
    async fn add_refused(&self, tenant: &TenantId, count: &RefusedCount) -> Result<(), PortError> {
        let key = (
            tenant.clone(),
            count.hour,
            count.rule.clone(),
            count.sensor.clone(),
        );
        let add = || {
            *lock(&self.refused).entry(key).or_default() += count.envelopes;
        };
        self.faults.around(Operation::CountRefused, add).await
    }

    async fn refused(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<RefusedCount>, PortError> {
        let read = || {
            let state = lock(&self.refused);
            let within =
                |hour: i64| from < to && from.hour() <= hour && hour <= Millis(to.0 - 1).hour();
            let counts = state
                .iter()
                .filter(|((t, hour, ..), _)| t == tenant && within(*hour));
            counts
                .map(|((_, hour, rule, sensor), envelopes)| RefusedCount {
                    hour: *hour,
                    rule: rule.clone(),
                    sensor: sensor.clone(),
                    envelopes: *envelopes,
                })
                .collect()
        };
        self.faults.around(Operation::Read, read).await
    }
}
