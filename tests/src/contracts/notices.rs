//! `Notices`.

use super::long_text;
use vernier_ledger::ports::{Notices, PortError};

pub async fn notices_are_published_again_and_again(topic: &impl Notices) {
    let subject = "s".repeat(99);
    for body in ["{}", "{}", &long_text(200_000)] {
        assert_eq!(topic.publish(&subject, body).await, Ok(()));
    }
}

/// A notice has 256 KiB.
pub async fn a_notice_over_the_limit_is_refused_for_good(topic: &impl Notices) {
    let answer = topic.publish("subject", &"x".repeat(256 * 1_024 + 1)).await;
    assert!(matches!(answer, Err(PortError::Fatal(_))), "{answer:?}");
}
