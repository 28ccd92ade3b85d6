//! Chains of seals in memory.

use crate::faults::Operation;
use crate::table::MemoryTable;
use crate::{entries_from, lock};
use std::collections::BTreeMap;
use vernier_ledger::chain::{ChainHead, ChainStep, SealEntry, SealKind};
use vernier_ledger::holds::{HeldWindow, Holds};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{ChainOutcome, Chains, PortError};
use vernier_ledger::time::Millis;

#[derive(Debug, Default)]
pub(crate) struct ChainsState {
    heads: BTreeMap<TenantId, ChainHead>,
    seals: BTreeMap<(TenantId, Millis, u64), SealEntry>,
    days: BTreeMap<(TenantId, Millis, u64), SealEntry>,
    erasures: BTreeMap<(TenantId, Millis, u64), SealEntry>,
    held: BTreeMap<(TenantId, Millis), HeldWindow>,
    /// How often any of these changed.
    changes: u64,
}

impl ChainsState {
    /// Removes a tenant's chain and seals, or only counts them.
    pub(crate) fn take(&mut self, tenant: &TenantId, removes: bool) -> u64 {
        let own = |key: &(TenantId, Millis, u64)| key.0 == *tenant;
        let mut count = usize::from(self.heads.contains_key(tenant));
        count += self.held.keys().filter(|key| key.0 == *tenant).count();
        for list in [&mut self.seals, &mut self.days, &mut self.erasures] {
            count += list.keys().filter(|key| own(key)).count();
            if removes {
                list.retain(|key, _| !own(key));
            }
        }
        if removes {
            self.changes += 1;
            self.heads.remove(tenant);
            self.held.retain(|key, _| key.0 != *tenant);
        }
        count as u64
    }
}

impl MemoryTable {
    /// How often a chain or a held window of any tenant changed.
    #[must_use]
    pub fn chain_changes(&self) -> u64 {
        lock(&self.chains).changes
    }

    /// A tenant's chain, no fault in between.
    #[must_use]
    pub fn raw_chain(&self, tenant: &TenantId) -> Option<ChainHead> {
        lock(&self.chains).heads.get(tenant).cloned()
    }

    /// The windows that are held as items, no fault in between.
    #[must_use]
    pub fn raw_held(&self, tenant: &TenantId) -> Vec<HeldWindow> {
        let state = lock(&self.chains);
        let first = (tenant.clone(), Millis(i64::MIN));
        let of_tenant = entries_from(&state.held, first, |(owner, _)| owner == tenant);
        of_tenant.map(|(_, held)| held.clone()).collect()
    }

    /// A tenant's seals of all kinds from a sequence on, in their order.
    #[must_use]
    pub fn seals_from(&self, tenant: &TenantId, sequence: u64) -> Vec<SealEntry> {
        let state = lock(&self.chains);
        let (first, last) = (Millis(i64::MIN), Millis(i64::MAX));
        let range = (tenant.clone(), first, 0)..=(tenant.clone(), last, u64::MAX);
        let lists = [&state.seals, &state.days, &state.erasures];
        let of_tenant = lists.into_iter().flat_map(|list| list.range(range.clone()));
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
        step: &ChainStep,
    ) -> Result<ChainOutcome, PortError> {
        self.faults
            .around(Operation::MoveChain, || {
                let mut state = lock(&self.chains);
                let seen = state.heads.get(tenant).map_or(0, |head| head.revision);
                if seen + 1 != step.head.revision {
                    return ChainOutcome::Stale;
                }
                state.changes += 1;
                state.heads.insert(tenant.clone(), step.head.clone());
                if let Some(seal) = &step.seal {
                    let key = (tenant.clone(), seal.window.start, seal.sequence);
                    let list = match seal.kind {
                        SealKind::Window | SealKind::Backfill | SealKind::Idle => &mut state.seals,
                        SealKind::Day => &mut state.days,
                        SealKind::Erasure => &mut state.erasures,
                    };
                    list.insert(key, seal.clone());
                }
                for window in &step.held {
                    let key = (tenant.clone(), window.start);
                    state.held.insert(key, HeldWindow::of(*window));
                }
                if let Some(window) = step.released {
                    state.held.remove(&(tenant.clone(), window.start));
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

impl Holds for MemoryTable {
    async fn held_items(&self, tenant: &TenantId) -> Result<Vec<HeldWindow>, PortError> {
        self.faults
            .around(Operation::Read, || self.raw_held(tenant))
            .await
    }

    async fn change_held(
        &self,
        tenant: &TenantId,
        seen: &HeldWindow,
        next: &HeldWindow,
    ) -> Result<bool, PortError> {
        self.faults
            .around(Operation::MoveChain, || {
                let mut state = lock(&self.chains);
                let key = (tenant.clone(), next.window.start);
                match state.held.get_mut(&key) {
                    Some(held) if held == seen || held == next => {
                        *held = next.clone();
                        state.changes += 1;
                        true
                    }
                    _ => false,
                }
            })
            .await
    }
}

fn listed(
    list: &BTreeMap<(TenantId, Millis, u64), SealEntry>,
    tenant: &TenantId,
    [from, to]: [Millis; 2],
) -> Vec<SealEntry> {
    let first = (tenant.clone(), from, 0);
    let is_wanted = |(owner, start, _): &(TenantId, Millis, u64)| owner == tenant && *start < to;
    let found = entries_from(list, first, is_wanted);
    found.map(|(_, seal)| seal.clone()).collect()
}
