//! What is still looked at when hours have passed.

use super::sealing::{HOLD_SECONDS, School};
use vernier_tests::envelopes::events;

/// Nothing ran for a while: what is missing is named all the same.
#[tokio::test]
async fn a_loss_before_an_outage_is_named_after_it() {
    let school = School::new().await;
    let lost = school.post(&events(2)).await;
    school.post(&events(1)).await;
    school.deliver_but(&[0]).await;
    school.pass(40 * 60);
    let turn = school.turn().await;
    let recovered = school.recover().await;
    assert_eq!((turn.sealed.incomplete, recovered.sent_again), (1, 1));
    let notices = school.topic.notices();
    assert!(notices.iter().any(|n| n.1.contains(&lost.to_string())));
}

/// A record that its shard's cursor passes hours later can be brought back from then on: the window
/// that the chain passed over is still looked at, each hour.
#[tokio::test]
async fn a_window_that_was_passed_over_is_still_looked_at() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.pass(2 * HOLD_SECONDS);
    assert_eq!(school.seal().await.overdue, 1);
    for _ in 0..8 {
        school.pass(3_600);
        let turn = school.turn().await;
        let recovered = school.recover().await;
        assert_eq!((turn.sealed.incomplete, recovered.awaited), (1, 1));
    }
    school.deliver().await;
    school.pass(3_600);
    assert_eq!(school.seal().await.sealed, 1);
    school.assert_sealed([2, 0, 0, 0]);
}
