//! The eight promises, numbered once. Tests, documents and metrics cite them by these numbers.

use std::fmt;

/// A promise that holds under every fault; the number is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Invariant {
    /// A 2xx means: every event of the envelope is on Kinesis and its receipt is in DynamoDB.
    DurableBeforeAck = 1,
    /// Every event of an acknowledged envelope ends in exactly one disposition.
    OneDispositionEach = 2,
    /// Per window: received = stored + duplicate + conflict + rejected, by count and by digest.
    Complete = 3,
    /// Resends, redelivery, time-outs, crashes and playback change nothing in the sealed state.
    ExactlyOnceEffects = 4,
    /// What cannot be read is kept raw, listable and replayable, and never holds up the rest.
    NothingUnreadable = 5,
    /// Any change to archived events is found offline.
    TamperEvident = 6,
    /// No token reads or writes another tenant's data.
    TenantsAreWalls = 7,
    /// Every size, depth, count and range has a named bound and a clear refusal.
    Bounded = 8,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::DurableBeforeAck,
        Self::OneDispositionEach,
        Self::Complete,
        Self::ExactlyOnceEffects,
        Self::NothingUnreadable,
        Self::TamperEvident,
        Self::TenantsAreWalls,
        Self::Bounded,
    ];

    /// The stable number, 1 to 8.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} ({self:?})", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_in_order() {
        let numbers: Vec<u8> = Invariant::ALL.iter().map(|i| i.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Invariant::Complete.to_string(), "invariant 3 (Complete)");
    }
}
