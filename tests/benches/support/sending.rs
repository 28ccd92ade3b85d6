//! How a bench sends an envelope: as the input function does, from the body on.

use std::sync::LazyLock;
use std::time::Duration;
use vernier_intake::{OpenWindows, Outgoing, Sending, Settings, SpreadKeeper, lines};
use vernier_ledger::access::Tenant;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::stores::IntakeStores;
use vernier_ledger::time::Millis;
use vernier_tests::memory::open_windows;
use vernier_validation::{Mode, Policy, Profile, read_envelope};

/// What sending one may take.
const BUDGET: Duration = Duration::from_secs(60);

/// The windows that the bench's process has opened.
static WINDOWS: LazyLock<OpenWindows> = LazyLock::new(|| open_windows(15, 300));

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
    let (lines, oversize) =
        lines::write(&envelope, receipt, SaltKey::random(), tenant, "lms").expect("plain data");
    let settings = tenant_of(tenant);
    let outgoing = Outgoing {
        tenant: &settings,
        sensor: "lms",
        receipt,
        body_sha256: [0; 32],
        body_bytes: body.len() as u64,
        lines,
        oversize,
    };
    let sending = Sending {
        settings: Settings { receipt_days },
        windows: &WINDOWS,
        spreads: &SpreadKeeper::default(),
        new_salt_key: SaltKey::random,
        clock: || receipt.received_at(),
        budget: BUDGET,
    };
    let sent = vernier_intake::send(stores, sending, outgoing).await;
    sent.expect("acknowledged");
}

/// The settings of a strict, generic tenant that has one lane.
fn tenant_of(id: &TenantId) -> Tenant {
    Tenant::new(id.clone(), Millis(0))
}
