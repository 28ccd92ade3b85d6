//! What seals remember of slices whose receipts have expired.

use crate::sealing::missing_of;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use vernier_archive::seal::SealKind;
use vernier_archive::stored::read_seal;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::frame::FrameHeader;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::{Chains as _, PortError};
use vernier_ledger::recovery::{Memory, Remembered};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// Slices that a seal lists as missing.
type ListedSlices = BTreeSet<(ReceiptId, u32)>;

/// The seals of all tenants, with what was read of their lists.
#[derive(Debug)]
pub struct SealedMemory<'a, S> {
    stores: &'a S,
    /// By tenant and sequence of the seal.
    lists: RefCell<BTreeMap<(TenantId, u64), ListedSlices>>,
}

impl<'a, S: ReconcileStores> SealedMemory<'a, S> {
    /// Begins with no list read.
    pub const fn new(stores: &'a S) -> Self {
        Self {
            stores,
            lists: RefCell::new(BTreeMap::new()),
        }
    }

    /// The last seal of the window that holds an instant.
    async fn last_seal(
        &self,
        tenant: &TenantId,
        at: Millis,
    ) -> Result<Option<SealEntry>, PortError> {
        let from = at.plus_seconds(-WINDOW_SECONDS_MAX);
        let seals = self.stores.table().seals(tenant, from, Millis(at.0 + 1));
        let closes = |seal: &SealEntry| {
            let is_window = !matches!(seal.kind, SealKind::Day | SealKind::Erasure);
            is_window && seal.window.contains(at)
        };
        let of_window = seals.await?.into_iter().filter(closes);
        Ok(of_window.max_by_key(|seal| seal.sequence))
    }

    /// What a seal lists as missing; nothing of seals before version 4, which were signed only of what was whole.
    async fn list(&self, tenant: &TenantId, entry: &SealEntry) -> Result<ListedSlices, PortError> {
        let objects = self.stores.objects();
        let seal = read_seal(objects, tenant, entry).await?;
        let Some(window) = seal.statement.as_ref().and_then(|s| s.window()) else {
            return Ok(ListedSlices::new());
        };
        let missing = missing_of(objects, &window.missing).await?.into_iter();
        let slices = missing.flat_map(|(receipt, row)| {
            let slices = row.slices.into_iter();
            slices.map(move |slice| (receipt, slice))
        });
        Ok(slices.collect())
    }
}

impl<S: ReconcileStores> Memory for SealedMemory<'_, S> {
    async fn remembered(&self, header: &FrameHeader) -> Result<Remembered, PortError> {
        let tenant = &header.tenant;
        let received_at = header.receipt.received_at();
        let Some(entry) = self.last_seal(tenant, received_at).await? else {
            return Ok(Remembered::Unsealed);
        };
        let key = (tenant.clone(), entry.sequence);
        let is_known = self.lists.borrow().contains_key(&key);
        if !is_known {
            let list = self.list(tenant, &entry).await?;
            self.lists.borrow_mut().insert(key.clone(), list);
        }
        let lists = self.lists.borrow();
        let slice = (header.receipt, header.slice);
        Ok(
            match lists.get(&key).is_some_and(|list| list.contains(&slice)) {
                true => Remembered::Missing,
                false => Remembered::Sealed,
            },
        )
    }
}
