//! How far tenants have grown, in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::PortError;
use vernier_ledger::spread::{GrownSpread, Spreads};

/// The spreads of the tenants that have grown.
pub(crate) type SpreadState = BTreeMap<TenantId, GrownSpread>;

impl Spreads for MemoryTable {
    async fn grown_spread(&self, tenant: &TenantId) -> Result<Option<GrownSpread>, PortError> {
        let read = || lock(&self.spreads).get(tenant).copied();
        self.faults.around(Operation::Read, read).await
    }

    async fn grow_spread(
        &self,
        tenant: &TenantId,
        seen: Option<&GrownSpread>,
        next: &GrownSpread,
    ) -> Result<bool, PortError> {
        let put = || {
            let mut all = lock(&self.spreads);
            let same = all.get(tenant) == seen;
            if same {
                all.insert(tenant.clone(), *next);
            }
            same
        };
        self.faults.around(Operation::GrowSpread, put).await
    }
}
