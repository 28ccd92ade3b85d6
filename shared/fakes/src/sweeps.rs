//! Sweeps' marks in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{PortError, Sweeps};
use vernier_ledger::sweep::{Sweep, SweepMark};

/// By tenant; none: the segments'.
pub(crate) type SweepsState = BTreeMap<Option<TenantId>, SweepMark>;

fn key_of(sweep: Sweep<'_>) -> Option<TenantId> {
    match sweep {
        Sweep::Segments => None,
        Sweep::Parts(tenant) => Some(tenant.clone()),
    }
}

impl Sweeps for MemoryTable {
    async fn sweep_mark(&self, sweep: Sweep<'_>) -> Result<Option<SweepMark>, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.sweeps).get(&key_of(sweep)).cloned()
            })
            .await
    }

    async fn save_sweep_mark(&self, sweep: Sweep<'_>, mark: &SweepMark) -> Result<(), PortError> {
        self.faults
            .around(Operation::SaveSweep, || {
                lock(&self.sweeps).insert(key_of(sweep), mark.clone());
            })
            .await
    }
}
