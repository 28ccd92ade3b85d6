//! Known ways to break an event, for the demonstration and for tests of the other side.

use super::node::{Node, Value};

/// What is wrong with an event that was made invalid on purpose. Each breaks a rule of
/// Caliper 1.2 that holds for every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// There is no `actor`.
    ActorMissing,
    /// `action` is a word that is no Caliper action.
    ActionUnknown,
    /// `eventTime` is no ISO 8601 time.
    EventTimeMalformed,
    /// `id` is a number in place of a `urn:uuid:` IRI.
    IdNotAnIri,
    /// There is no `object`.
    ObjectMissing,
    /// There is no `eventTime`.
    EventTimeMissing,
    /// `object` is null.
    ObjectNull,
    /// There is no `action`.
    ActionMissing,
}

impl Defect {
    /// Every defect, in the order in which a semester uses them, over and over.
    pub const ALL: [Self; 8] = [
        Self::ActorMissing,
        Self::ActionUnknown,
        Self::EventTimeMalformed,
        Self::IdNotAnIri,
        Self::ObjectMissing,
        Self::EventTimeMissing,
        Self::ObjectNull,
        Self::ActionMissing,
    ];

    /// JSON pointer, within the event, to the property that is wrong or absent.
    #[must_use]
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::ActorMissing => "/actor",
            Self::ActionUnknown | Self::ActionMissing => "/action",
            Self::EventTimeMalformed | Self::EventTimeMissing => "/eventTime",
            Self::IdNotAnIri => "/id",
            Self::ObjectMissing | Self::ObjectNull => "/object",
        }
    }

    pub(super) fn apply(self, event: &mut Node) {
        match self {
            Self::ActorMissing => event.remove("actor"),
            Self::ActionUnknown => event.replace("action", "Glanced"),
            Self::EventTimeMalformed => event.replace("eventTime", "yesterday, after lunch"),
            Self::IdNotAnIri => event.replace("id", 4711_u64),
            Self::ObjectMissing => event.remove("object"),
            Self::EventTimeMissing => event.remove("eventTime"),
            Self::ObjectNull => event.replace("object", Value::Null),
            Self::ActionMissing => event.remove("action"),
        }
    }
}
