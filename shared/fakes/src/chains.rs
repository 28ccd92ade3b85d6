//! Chains of seals in memory.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::BTreeMap;
use vernier_ledger::chain::{ChainHead, SealEntry};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{ChainOutcome, Chains, PortError};
use vernier_ledger::time::Millis;

#[derive(Debug, Default)]
pub(crate) struct ChainsState {
    heads: BTreeMap<TenantId, ChainHead>,
    seals: BTreeMap<(TenantId, Millis, u64), SealEntry>,
}

impl Chains for MemoryTable {
    async fn chain(&self, tenant: &TenantId) -> Result<Option<ChainHead>, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.chains).heads.get(tenant).cloned()
            })
            .await
    }

    async fn move_chain(
        &self,
        tenant: &TenantId,
        next: &ChainHead,
        seal: Option<&SealEntry>,
    ) -> Result<ChainOutcome, PortError> {
        self.faults
            .around(Operation::MoveChain, || {
                let mut state = lock(&self.chains);
                let seen = state.heads.get(tenant).map_or(0, |head| head.revision);
                if seen + 1 != next.revision {
                    return ChainOutcome::Stale;
                }
                state.heads.insert(tenant.clone(), next.clone());
                if let Some(seal) = seal {
                    let key = (tenant.clone(), seal.window.start, seal.sequence);
                    state.seals.insert(key, seal.clone());
                }
                ChainOutcome::Moved
            })
            .await
    }

    async fn seals(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<SealEntry>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.chains);
                let of = |((t, start, _), _): &(&(TenantId, Millis, u64), &SealEntry)| {
                    t == tenant && from <= *start && *start < to
                };
                let found = state.seals.iter().filter(of);
                found.map(|(_, seal)| seal.clone()).collect()
            })
            .await
    }
}
