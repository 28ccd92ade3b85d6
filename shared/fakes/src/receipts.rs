//! Receipts and claims in memory, and when they go.

use crate::faults::Operation;
use crate::lock;
use crate::table::MemoryTable;
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::ids::{Lane, ReceiptId, TenantId};
use vernier_ledger::ports::{PortError, Receipts};
use vernier_ledger::receipt::{
    Acknowledgement, Claim, ClaimOutcome, ClaimRequest, Origin, Receipt,
};
use vernier_ledger::time::{Millis, Minute};

impl MemoryTable {
    /// Removes the receipts that may go by an instant, as the table's TTL does some time later; answers how many went.
    pub fn expire_receipts(&self, now: Millis) -> usize {
        let mut state = lock(&self.state);
        let expired = state.expiries.take_through(now);
        for key in &expired {
            state.receipts.remove(key);
        }
        expired.len()
    }
}

/// The key of a receipt.
type ReceiptKey = (TenantId, ReceiptId);

/// When each receipt may go.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    at: BTreeMap<ReceiptKey, Millis>,
    /// The same by instant, so that what may go is found without a look at what may not.
    by_instant: BTreeSet<(Millis, ReceiptKey)>,
}

impl Expiries {
    fn set(&mut self, key: ReceiptKey, at: Millis) {
        if let Some(before) = self.at.insert(key.clone(), at) {
            self.by_instant.remove(&(before, key.clone()));
        }
        self.by_instant.insert((at, key));
    }

    /// Takes out what may go by an instant.
    fn take_through(&mut self, now: Millis) -> Vec<ReceiptKey> {
        let mut taken = Vec::new();
        while let Some((at, key)) = self.by_instant.pop_first() {
            if at > now {
                self.by_instant.insert((at, key));
                break;
            }
            self.at.remove(&key);
            taken.push(key);
        }
        taken
    }
}

/// An id that no receipt's is before.
pub(crate) fn smallest_id() -> ReceiptId {
    ReceiptId::from_parts(Millis(0), 0, [0; 8])
}

/// The half that is not written yet.
fn blank(id: ReceiptId, sensor: &str) -> Receipt {
    Receipt {
        id,
        sensor: sensor.to_owned(),
        acknowledged: None,
        body_sha256: None,
        body_bytes: None,
        placed: Vec::new(),
        claims: BTreeMap::new(),
    }
}

impl Receipts for MemoryTable {
    async fn acknowledge(&self, ack: &Acknowledgement) -> Result<(), PortError> {
        let partition = format!("{}/{}", ack.tenant, ack.receipt.lane());
        self.heat.take(&partition)?;
        self.faults
            .around(Operation::Acknowledge, || {
                let mut state = lock(&self.state);
                let key = (ack.tenant.clone(), ack.receipt);
                let receipt = state
                    .receipts
                    .entry(key)
                    .or_insert_with(|| blank(ack.receipt, &ack.sensor));
                let slices = u32::try_from(ack.placed.len()).unwrap_or(u32::MAX);
                receipt.acknowledged = Some((ack.tally, slices));
                let place = |o: &Origin| (o.shard.id.clone(), o.sequence.clone());
                receipt.placed = ack.placed.iter().map(place).collect();
                receipt.body_bytes = Some(ack.body_bytes);
                receipt.body_sha256 =
                    Some(ack.body_sha256.iter().map(|b| format!("{b:02x}")).collect());
                let key = (ack.tenant.clone(), ack.receipt);
                state.expiries.set(key, ack.expires);
            })
            .await
    }

    async fn claim(&self, request: ClaimRequest<'_>) -> Result<ClaimOutcome, PortError> {
        self.faults
            .around(Operation::Claim, || {
                let header = request.header;
                let mut state = lock(&self.state);
                let key = (header.tenant.clone(), header.receipt);
                let receipt = state
                    .receipts
                    .entry(key)
                    .or_insert_with(|| blank(header.receipt, &header.sensor));
                if let Some(claim) = receipt.claims.get(&header.slice)
                    && claim.origin != *request.origin
                    && claim.attempt >= header.attempt
                {
                    return ClaimOutcome::Copy;
                }
                let claim = Claim {
                    origin: request.origin.clone(),
                    attempt: header.attempt,
                    tally: header.slice_tally,
                };
                receipt.claims.insert(header.slice, claim);
                let key = (header.tenant.clone(), header.receipt);
                state.expiries.set(key, request.expires);
                ClaimOutcome::Mine
            })
            .await
    }

    async fn receipt(
        &self,
        tenant: &TenantId,
        id: ReceiptId,
    ) -> Result<Option<Receipt>, PortError> {
        self.faults
            .around(Operation::Read, || {
                lock(&self.state)
                    .receipts
                    .get(&(tenant.clone(), id))
                    .cloned()
            })
            .await
    }

    async fn receipts_in(
        &self,
        tenant: &TenantId,
        minute: Minute,
        lane: Lane,
    ) -> Result<Vec<Receipt>, PortError> {
        self.faults
            .around(Operation::Read, || {
                let state = lock(&self.state);
                // Ids order by time, so a minute of a tenant lies together.
                let first = |m| ReceiptId::from_parts(Minute(m).start(), 0, [0; 8]);
                let range =
                    (tenant.clone(), first(minute.0))..(tenant.clone(), first(minute.0 + 1));
                let found = state.receipts.range(range);
                let of_lane = found.filter(|((_, id), _)| id.lane() == lane);
                of_lane.map(|(_, r)| r.clone()).collect()
            })
            .await
    }
}
