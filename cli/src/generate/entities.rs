//! Small entities that several events need, and durations.

use super::activity::SECOND;
use super::catalog::{PLAYER, QUIZZES, READER, SITE};
use super::node::Node;
use super::rfc3339;

pub(super) fn person(id: &str) -> Node {
    Node::entity(id, "Person")
}

fn application(id: &str, version: &'static str) -> Node {
    Node::entity(id, "SoftwareApplication").with("version", version)
}

pub(super) fn platform() -> Node {
    application(SITE, "5.2.1")
}

pub(super) fn reader() -> Node {
    application(READER, "2.8.0")
}

pub(super) fn player() -> Node {
    application(PLAYER, "3.0.4")
}

pub(super) fn quizzes() -> Node {
    application(QUIZZES, "4.1.0")
}

pub(super) fn score_entity(id: &str, attempt: &str, halves: u64, halves_max: u64, at: i64) -> Node {
    Node::entity(id, "Score")
        .with("attempt", attempt)
        .with("maxScore", halves_max as f64 / 2.0)
        .with("scoreGiven", halves as f64 / 2.0)
        .with("dateCreated", rfc3339(at))
}

/// ISO 8601 duration of whole seconds, e.g. `PT1H12M27S`.
pub(super) fn duration(milliseconds: i64) -> String {
    let seconds = milliseconds / SECOND;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("PT{seconds}S"),
        (0, _) => format!("PT{minutes}M{seconds}S"),
        _ => format!("PT{hours}H{minutes}M{seconds}S"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        assert_eq!(duration(0), "PT0S");
        assert_eq!(duration(59_999), "PT59S");
        assert_eq!(duration(630_000), "PT10M30S");
        assert_eq!(duration(4_347_000), "PT1H12M27S");
    }
}
