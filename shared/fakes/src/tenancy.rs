//! Tenants' settings, accounts and ends, in memory.

use crate::faults::Operation;
use crate::table::MemoryTable;
use crate::{entries_from, lock};
use std::collections::BTreeMap;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::WindowAccount;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::ids::{Shard, TenantId};
use vernier_ledger::offboarding::{ItemCounts, TenantItems};
use vernier_ledger::ports::{Accounts, PortError, TenantSettings};
use vernier_ledger::time::{Millis, Window};
use vernier_ledger::work::Owner;

impl TenantSettings for MemoryTable {
    async fn change_tenant(&self, seen: &Tenant, next: &Tenant) -> Result<bool, PortError> {
        let mut state = lock(&self.state);
        let stored = state.tenants.get_mut(&next.id).filter(|t| *t == seen);
        Ok(stored.map(|stored| *stored = next.clone()).is_some())
    }
}

impl Accounts for MemoryTable {
    async fn save_account(
        &self,
        tenant: &TenantId,
        account: &WindowAccount,
    ) -> Result<(), PortError> {
        self.faults
            .around(Operation::SaveAccount, || {
                let key = (tenant.clone(), account.start.0, account.end.0);
                let mut state = lock(&self.state);
                let kept = state.accounts.get(&key);
                if kept.is_none_or(|kept| kept.is_from_before(account)) {
                    state.accounts.insert(key, account.clone());
                }
            })
            .await
    }

    async fn accounts(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowAccount>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.state);
                let first = (tenant.clone(), from.0, i64::MIN);
                let is_wanted =
                    |(owner, start, _): &(TenantId, i64, i64)| owner == tenant && *start < to.0;
                let found = entries_from(&state.accounts, first, is_wanted);
                found.map(|(_, account)| account.clone()).collect()
            })
            .await
    }

    async fn account(
        &self,
        tenant: &TenantId,
        window: Window,
    ) -> Result<Option<WindowAccount>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let key = (tenant.clone(), window.start.0, window.end.0);
                lock(&self.state).accounts.get(&key).cloned()
            })
            .await
    }
}

/// Removes what has a key of the tenant's, or only counts it.
fn take<K: Ord, V>(
    map: &mut BTreeMap<K, V>,
    is_own: impl Fn(&K, &V) -> bool,
    removes: bool,
) -> u64 {
    let before = map.len();
    let own = map.iter().filter(|(key, value)| is_own(key, value)).count();
    if removes {
        map.retain(|key, value| !is_own(key, value));
        assert_eq!(before - map.len(), own, "all of them");
    }
    own as u64
}

/// Removes a tenant's items from all commits, or only counts them.
fn take_blocks(
    commits: &mut BTreeMap<(Shard, u64), Vec<BlockItem>>,
    tenant: &TenantId,
    removes: bool,
) -> u64 {
    let is_own = |item: &BlockItem| item.block.tenant == *tenant;
    let own = commits.values().flatten().filter(|i| is_own(i)).count();
    if removes {
        let all = commits.values_mut();
        all.for_each(|items| items.retain(|item| !is_own(item)));
    }
    own as u64
}

impl MemoryTable {
    fn take_items(&self, tenant: &TenantId, removes: bool) -> ItemCounts {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let mut counts = ItemCounts::new();
        let mut add = |family: &str, count: u64| {
            if count > 0 {
                *counts.entry(family.to_owned()).or_default() += count;
            }
        };
        let receipts = take(&mut state.receipts, |(t, _), _| t == tenant, removes);
        add("receipts", receipts);
        let tokens = take(
            &mut state.tokens,
            |_, token| token.tenant == *tenant,
            removes,
        );
        // In the table each lies in its tenant's list and under its hash.
        add("token", tokens);
        add("tenant", tokens);
        let windows = take(&mut state.accounts, |(t, ..), _| t == tenant, removes);
        add("windows", windows);
        let results = take(&mut state.results, |(t, _), _| t == tenant, removes);
        add("results", results);
        let schemas = take(&mut state.schemas, |(t, ..), _| t == tenant, removes);
        add("schemas", schemas);
        add("blocks", take_blocks(&mut state.blocks, tenant, removes));
        let is_own = |owner: &Owner| owner.tenant() == Some(tenant);
        let mut work = lock(&self.work);
        let entries = take(&mut work.entries, |(owner, _), _| is_own(owner), removes);
        add("work", entries);
        let due = take(&mut work.index, |(_, owner, _), _| is_own(owner), removes);
        add("due", due);
        if state.tenants.contains_key(tenant) && !state.unlisted.contains(tenant) {
            add("tenants", 1);
            if removes {
                state.unlisted.insert(tenant.clone());
            }
        }
        add("seals", lock(&self.chains).take(tenant, removes));
        let mut playbacks = lock(&self.playbacks);
        add(
            "playbacks",
            take(&mut playbacks, |(t, _), _| t == tenant, removes),
        );
        let mut refused = lock(&self.refused);
        add(
            "refused",
            take(&mut refused, |(t, ..), _| t == tenant, removes),
        );
        add(
            "rates",
            take(&mut lock(&self.rates), |t, _| t == tenant, removes),
        );
        add(
            "given-up",
            take(&mut lock(&self.given_up), |(t, ..), _| t == tenant, removes),
        );
        add(
            "filters",
            take(&mut lock(&self.roll_ups), |(t, _), _| t == tenant, removes),
        );
        let own = Some(tenant.clone());
        add(
            "sweeps",
            take(&mut lock(&self.sweeps).marks, |t, _| *t == own, removes),
        );
        counts
    }
}

impl TenantItems for MemoryTable {
    async fn count_items(&self, tenant: &TenantId) -> Result<ItemCounts, PortError> {
        let count = || self.take_items(tenant, false);
        self.faults.around(Operation::Read, count).await
    }

    async fn remove_items(&self, tenant: &TenantId) -> Result<ItemCounts, PortError> {
        let remove = || self.take_items(tenant, true);
        self.faults.around(Operation::RemoveItems, remove).await
    }
}
