//! The table's ports in memory.

use crate::blocks::Commit;
use crate::chains::ChainsState;
use crate::checkpoints::ChecksState;
use crate::faults::{Faults, Operation};
use crate::given_up::GivenUpState;
use crate::heat::Heat;
use crate::playbacks::PlaybacksState;
use crate::rates::RatesState;
use crate::receipts::Expiries;
use crate::records::Records;
use crate::refused::RefusedState;
use crate::roll_ups::RollUpState;
use crate::spread::SpreadState;
use crate::sweeps::SweepsState;
use crate::work::WorkState;
use crate::{entries_from, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use vernier_ledger::access::{Tenant, TokenInfo};
use vernier_ledger::account::WindowAccount;
use vernier_ledger::block_item::{BlockItem, ListingMark};
use vernier_ledger::earlier::EarlierRecord;
use vernier_ledger::ids::{ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::limits::{COMMIT_BLOCKS_MAX, RESULTS_READ_MAX};
use vernier_ledger::ports::{
    Administration, CommitOutcome, Commits, Cursor, Directory, PortError, Results, Schemas,
};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::results::{Registers, ResultItem, ResultKey, ResultList};
use vernier_ledger::scaling::ScalingLog;
use vernier_ledger::schema::StoredSchema;
use vernier_ledger::segment::SegmentRecord;
use vernier_ledger::time::{Millis, Minute};

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) receipts: BTreeMap<(TenantId, ReceiptId), Receipt>,
    /// When each receipt may go.
    pub(crate) expiries: Expiries,
    pub(crate) cursors: BTreeMap<Shard, Cursor>,
    pub(crate) records: Records,
    /// Records of an earlier version.
    pub(crate) earlier: Vec<EarlierRecord>,
    /// Block items by their commit.
    pub(crate) blocks: BTreeMap<Commit, Vec<BlockItem>>,
    /// The commits that have, or had, something of a tenant's minute.
    pub(crate) commits_of_minute: BTreeSet<(TenantId, Minute, Commit)>,
    pub(crate) listing: Option<ListingMark>,
    pub(crate) tenants: BTreeMap<TenantId, Tenant>,
    pub(crate) tokens: BTreeMap<[u8; 32], TokenInfo>,
    pub(crate) accounts: BTreeMap<(TenantId, i64, i64), WindowAccount>,
    pub(crate) results: BTreeMap<(TenantId, ResultKey), Registers>,
    pub(crate) schemas: BTreeMap<(TenantId, String, u32), StoredSchema>,
    /// Tenants that no list has any more.
    pub(crate) unlisted: BTreeSet<TenantId>,
}

/// A table; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryTable {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) chains: Arc<Mutex<ChainsState>>,
    pub(crate) playbacks: Arc<Mutex<PlaybacksState>>,
    pub(crate) rates: Arc<Mutex<RatesState>>,
    pub(crate) refused: Arc<Mutex<RefusedState>>,
    pub(crate) given_up: Arc<Mutex<GivenUpState>>,
    pub(crate) roll_ups: Arc<Mutex<RollUpState>>,
    pub(crate) sweeps: Arc<Mutex<SweepsState>>,
    pub(crate) scalings: Arc<Mutex<BTreeMap<String, ScalingLog>>>,
    pub(crate) checks: Arc<Mutex<ChecksState>>,
    pub(crate) spreads: Arc<Mutex<SpreadState>>,
    pub(crate) work: Arc<Mutex<WorkState>>,
    pub(crate) faults: Faults,
    /// Of the partitions of receipts, by tenant and lane, what acknowledgements take.
    pub heat: Heat,
}

impl MemoryTable {
    /// An empty one.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self {
            state: Arc::default(),
            chains: Arc::default(),
            playbacks: Arc::default(),
            rates: Arc::default(),
            refused: Arc::default(),
            given_up: Arc::default(),
            roll_ups: Arc::default(),
            sweeps: Arc::default(),
            scalings: Arc::default(),
            checks: Arc::default(),
            spreads: Arc::default(),
            work: Arc::default(),
            faults,
            heat: Heat::default(),
        }
    }

    /// All segment records in the order of their commits.
    #[must_use]
    pub fn all_records(&self) -> Vec<SegmentRecord> {
        self.records_after(0)
    }

    /// The segment records after the first `count`, in the order of their commits.
    #[must_use]
    pub fn records_after(&self, count: usize) -> Vec<SegmentRecord> {
        let state = lock(&self.state);
        state.records.after(count).to_vec()
    }

    /// All cursors.
    #[must_use]
    pub fn cursors(&self) -> BTreeMap<Shard, Cursor> {
        lock(&self.state).cursors.clone()
    }

    /// A tenant's stored accounts, oldest first.
    #[must_use]
    pub fn all_accounts(&self, tenant: &TenantId) -> Vec<WindowAccount> {
        let state = lock(&self.state);
        let first = (tenant.clone(), i64::MIN, i64::MIN);
        let own = entries_from(&state.accounts, first, |(owner, ..)| owner == tenant);
        own.map(|(_, account)| account.clone()).collect()
    }
}

impl MemoryTable {
    /// All results, by tenant and key.
    #[must_use]
    pub fn all_results(&self) -> BTreeMap<(TenantId, ResultKey), Registers> {
        lock(&self.state).results.clone()
    }

    /// Forgets all results, behind the ledger's back.
    pub fn wipe_results(&self) {
        lock(&self.state).results.clear();
    }

    /// Writes a result over the stored one, behind the ledger's back.
    pub fn overwrite_result(&self, tenant: &TenantId, key: &ResultKey, registers: Registers) {
        let at = (tenant.clone(), key.clone());
        lock(&self.state).results.insert(at, registers);
    }

    fn results_where(&self, wanted: impl Fn(&TenantId, &ResultKey) -> bool) -> ResultList {
        let state = lock(&self.state);
        let mut items = state
            .results
            .iter()
            .filter(|((tenant, key), _)| wanted(tenant, key))
            .map(|((_, key), registers)| ResultItem {
                key: key.clone(),
                registers: registers.clone(),
            });
        ResultList {
            items: items.by_ref().take(RESULTS_READ_MAX).collect(),
            more: items.next().is_some(),
        }
    }
}

impl Results for MemoryTable {
    async fn merge(
        &self,
        tenant: &TenantId,
        key: &ResultKey,
        registers: &Registers,
    ) -> Result<(), PortError> {
        self.faults
            .around(Operation::MergeResult, || {
                let mut state = lock(&self.state);
                let at = (tenant.clone(), key.clone());
                let stored = state.results.entry(at).or_default();
                stored.merge(registers.clone());
            })
            .await
    }

    async fn of_learner(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
        learner: &str,
    ) -> Result<ResultList, PortError> {
        self.faults
            .around(Operation::Read, || {
                self.results_where(|t, key| {
                    t == tenant && key.section.as_deref() == section && key.learner == learner
                })
            })
            .await
    }

    async fn of_section(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
    ) -> Result<ResultList, PortError> {
        self.faults
            .around(Operation::Read, || {
                self.results_where(|t, key| t == tenant && key.section.as_deref() == section)
            })
            .await
    }
}

impl Commits for MemoryTable {
    async fn cursor(&self, shard: &Shard) -> Result<Cursor, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.state)
                    .cursors
                    .get(shard)
                    .cloned()
                    .unwrap_or_default()
            })
            .await
    }

    async fn commit(
        &self,
        seen: &Cursor,
        record: &SegmentRecord,
        items: &[BlockItem],
    ) -> Result<CommitOutcome, PortError> {
        if items.len() > COMMIT_BLOCKS_MAX {
            let what = format!("a commit of {} block items", items.len());
            return Err(PortError::Fatal(what));
        }
        self.faults
            .around(Operation::Commit, || {
                let mut state = lock(&self.state);
                let cursor = state.cursors.entry(record.shard.clone()).or_default();
                if cursor.sequence != seen.sequence || cursor.next_position != seen.next_position {
                    return CommitOutcome::Stale;
                }
                *cursor = Cursor {
                    sequence: Some(record.last.clone()),
                    next_position: record.position + 1,
                    last_hash: Some(record.hash()),
                };
                state.records.push(record.clone());
                state.list(items);
                CommitOutcome::Committed
            })
            .await
    }

    async fn records_from(
        &self,
        shard: &Shard,
        from: &Sequence,
        count_max: u32,
    ) -> Result<Vec<SegmentRecord>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.state);
                let is_behind = |r: &&SegmentRecord| r.last >= *from;
                let own = state.records.of_shard(shard);
                let mut found: Vec<_> = own.filter(is_behind).cloned().collect();
                found.sort_by(|one, other| one.last.cmp(&other.last));
                found.truncate(usize::try_from(count_max).unwrap_or(usize::MAX));
                found
            })
            .await
    }
}

impl Directory for MemoryTable {
    async fn token(&self, sha256: &[u8; 32]) -> Result<Option<TokenInfo>, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.state).tokens.get(sha256).cloned()
            })
            .await
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.state).tenants.get(id).cloned()
            })
            .await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.state);
                let listed = |id: &&TenantId| !state.unlisted.contains(*id);
                state.tenants.keys().filter(listed).cloned().collect()
            })
            .await
    }
}

impl Administration for MemoryTable {
    async fn create_tenant(&self, tenant: &Tenant) -> Result<bool, PortError> {
        let mut state = lock(&self.state);
        if state.tenants.contains_key(&tenant.id) {
            return Ok(false);
        }
        state.tenants.insert(tenant.id.clone(), tenant.clone());
        Ok(true)
    }

    async fn put_token(&self, sha256: &[u8; 32], info: &TokenInfo) -> Result<(), PortError> {
        let mut state = lock(&self.state);
        let same_id = |t: &TokenInfo| t.tenant == info.tenant && t.token_id == info.token_id;
        if state.tokens.contains_key(sha256) || state.tokens.values().any(same_id) {
            return Err(PortError::Fatal(
                "store token: there is one with this hash or id".into(),
            ));
        }
        state.tokens.insert(*sha256, info.clone());
        Ok(())
    }

    async fn list_tokens(&self, tenant: &TenantId) -> Result<Vec<TokenInfo>, PortError> {
        let state = lock(&self.state);
        let mut tokens: Vec<TokenInfo> = state
            .tokens
            .values()
            .filter(|t| &t.tenant == tenant)
            .cloned()
            .collect();
        tokens.sort_by(|a, b| a.token_id.cmp(&b.token_id));
        Ok(tokens)
    }

    async fn revoke_token(
        &self,
        tenant: &TenantId,
        token_id: &str,
        at: Millis,
    ) -> Result<Option<Millis>, PortError> {
        let mut state = lock(&self.state);
        let found = state
            .tokens
            .values_mut()
            .find(|t| &t.tenant == tenant && t.token_id == token_id);
        Ok(found.map(|token| *token.revoked_at.get_or_insert(at)))
    }
}

impl Schemas for MemoryTable {
    async fn schemas(&self, tenant: &TenantId) -> Result<Vec<StoredSchema>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.state);
                let of_tenant = state.schemas.iter().filter(|((t, ..), _)| t == tenant);
                // In order of versions: the last of each type stays.
                let current: BTreeMap<&str, &StoredSchema> = of_tenant
                    .map(|((_, name, _), schema)| (name.as_str(), schema))
                    .collect();
                current.into_values().cloned().collect()
            })
            .await
    }

    async fn schema_version(
        &self,
        tenant: &TenantId,
        type_name: &str,
        version: u32,
    ) -> Result<Option<StoredSchema>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let key = (tenant.clone(), type_name.to_owned(), version);
                lock(&self.state).schemas.get(&key).cloned()
            })
            .await
    }

    async fn put_schema(
        &self,
        tenant: &TenantId,
        schema: &StoredSchema,
    ) -> Result<bool, PortError> {
        let mut state = lock(&self.state);
        let key = |version| (tenant.clone(), schema.type_name.clone(), version);
        let follows = schema.version == 1 || state.schemas.contains_key(&key(schema.version - 1));
        if !follows || state.schemas.contains_key(&key(schema.version)) {
            return Ok(false);
        }
        state.schemas.insert(key(schema.version), schema.clone());
        Ok(true)
    }
}
