//! What the scheduled run still looks at when hours have passed.

use super::sealing::School;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_tests::envelopes::events;

const SETTINGS: vernier_reconcile::Settings = vernier_reconcile::Settings {
    window_minutes: 1,
    grace_seconds: 30,
};

impl School {
    async fn missing(&self) -> Vec<(TenantId, ReceiptId)> {
        let now = self.clock.get();
        let found = vernier_reconcile::survey(&self.stores, SETTINGS, now).await;
        found.expect("tenants are listed").missing
    }
}

/// Nothing ran for longer than the newest windows reach: what is missing is named all the same.
#[tokio::test]
async fn a_loss_before_an_outage_is_named_after_it() {
    let school = School::new().await;
    let lost = school.post(&events(2)).await;
    school.post(&events(1)).await;
    school.deliver_but(&[0]).await;
    school.pass(40 * 60);
    assert_eq!(school.missing().await, [(school.tenant.id.clone(), lost)]);
    let notices = school.topic.notices();
    assert!(notices.iter().any(|n| n.1.contains(&lost.to_string())));
}

/// A record that its shard's cursor passes hours later can be brought back from then on: the window
/// that the chain passed over is still looked at.
#[tokio::test]
async fn a_window_that_was_passed_over_is_still_looked_at() {
    let school = School::new().await;
    let lost = school.post(&events(2)).await;
    school.pass(2 * 3_600);
    school.seal().await;
    school.pass(60);
    assert_eq!(school.missing().await, [(school.tenant.id.clone(), lost)]);
}
