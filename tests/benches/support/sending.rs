//! How a bench sends an envelope: as the input function does, from the body on.

use std::time::Duration;
use vernier_intake::{Outgoing, Settings, lines};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::stores::IntakeStores;
use vernier_validation::{Mode, Policy, Profile, read_envelope};

/// What sending one may take.
const BUDGET: Duration = Duration::from_secs(60);

/// Sends an envelope of a strict, generic tenant under a receipt; it is acknowledged.
pub(crate) async fn send<S: IntakeStores>(
    stores: &S,
    tenant: &TenantId,
    receipt: ReceiptId,
    receipt_days: u32,
    body: &[u8],
) {
    let policy = Policy::new(Mode::Strict, Profile::Generic);
    let envelope = read_envelope(body, &policy).expect("an envelope");
    let (lines, oversize) = lines::write(&envelope, receipt, tenant, "lms").expect("plain data");
    let outgoing = Outgoing {
        tenant,
        sensor: "lms",
        receipt,
        body_sha256: [0; 32],
        body_bytes: body.len() as u64,
        lines,
        oversize,
    };
    let sent = vernier_intake::send(stores, Settings { receipt_days }, outgoing, BUDGET).await;
    sent.expect("acknowledged");
}
