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
    days: BTreeMap<(TenantId, Millis, u64), SealEntry>,
}

impl ChainsState {
    /// Removes a tenant's chain and seals, or only counts them.
    pub(crate) fn take(&mut self, tenant: &TenantId, removes: bool) -> u64 {
        let (seals, days) = (&mut self.seals, &mut self.days);
        let own = |key: &(TenantId, Millis, u64)| key.0 == *tenant;
        let heads = usize::from(self.heads.contains_key(tenant));
        let listed = seals.keys().chain(days.keys()).filter(|key| own(key));
        let count = listed.count() + heads;
        if removes {
            self.heads.remove(tenant);
            seals.retain(|key, _| !own(key));
            days.retain(|key, _| !own(key));
        }
        count as u64
    }
}

impl MemoryTable {
    /// A tenant's chain, no fault in between.
    #[must_use]
    pub fn raw_chain(&self, tenant: &TenantId) -> Option<ChainHead> {
        lock(&self.chains).heads.get(tenant).cloned()
    }

    /// A tenant's seals from a sequence on, in their order.
    #[must_use]
    pub fn seals_from(&self, tenant: &TenantId, sequence: u64) -> Vec<SealEntry> {
        let state = lock(&self.chains);
        let of_tenant = state.seals.iter().filter(|((t, ..), _)| t == tenant);
        let found = of_tenant.filter(|((.., n), _)| *n >= sequence);
        let mut found: Vec<SealEntry> = found.map(|(_, seal)| seal.clone()).collect();
        found.sort_by_key(|seal| seal.sequence);
        found
    }
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
                    let list = if seal.is_day() {
                        &mut state.days
                    } else {
                        &mut state.seals
                    };
                    list.insert(key, seal.clone());
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
                listed(&lock(&self.chains).seals, tenant, [from, to])
            })
            .await
    }

    async fn days(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<SealEntry>, PortError> {
        self.faults
            .around(Operation::Read, || {
                listed(&lock(&self.chains).days, tenant, [from, to])
            })
            .await
    }
}

fn listed(
    list: &BTreeMap<(TenantId, Millis, u64), SealEntry>,
    tenant: &TenantId,
    [from, to]: [Millis; 2],
) -> Vec<SealEntry> {
    let of = |((t, start, _), _): &(&(TenantId, Millis, u64), &SealEntry)| {
        t == tenant && from <= *start && *start < to
    };
    let found = list.iter().filter(of);
    found.map(|(_, seal)| seal.clone()).collect()
}
