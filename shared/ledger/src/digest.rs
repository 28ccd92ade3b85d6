//! The order-free digest: a sum that two sides can compare without listing events (invariant 3).

use crate::ids::ReceiptId;
use crate::salt::Salt;
use ruint::aliases::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// SHA-256 of an event's compacted bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of compacted bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Lower-case hexadecimal, 64 characters.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// From 64 hexadecimal characters.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let read = Self::from_hex(&text);
        read.ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// What stands for an event's fingerprint where it must not be tested by whoever can guess the event: SHA-256 of
/// `02`, the event's salt and the fingerprint. Of an event without a salt it is the fingerprint itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlindFingerprint(pub [u8; 32]);

impl BlindFingerprint {
    /// What the hash begins with, so that it is no other hash of the archive.
    const PREFIX: [u8; 1] = [0x02];

    /// Of an event with this fingerprint and salt.
    #[must_use]
    pub fn of(salt: Option<Salt>, fingerprint: &Fingerprint) -> Self {
        let Some(salt) = salt else {
            return Self(fingerprint.0);
        };
        let mut hash = Sha256::new();
        hash.update(Self::PREFIX);
        hash.update(salt.0);
        hash.update(fingerprint.0);
        Self(hash.finalize().into())
    }
}

/// The sum, modulo 2^256, of SHA-256(receipt id, index, blind fingerprint) over a set of events.
///
/// Incremental, mergeable, order-free. It shows faults (lost, doubled, changed events), not an
/// adversary who can choose event contents; seals are for that.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Digest(U256);

impl Digest {
    /// Of no events.
    pub const EMPTY: Self = Self(U256::ZERO);

    /// Adds one event without a salt.
    pub fn add_event(&mut self, receipt: ReceiptId, index: u32, fingerprint: &Fingerprint) {
        self.add_blind(receipt, index, &BlindFingerprint(fingerprint.0));
    }

    /// Adds one event, with or without a salt.
    pub fn add_blind(&mut self, receipt: ReceiptId, index: u32, fingerprint: &BlindFingerprint) {
        let mut hash = Sha256::new();
        hash.update(receipt.as_bytes());
        hash.update(index.to_be_bytes());
        hash.update(fingerprint.0);
        self.0 = self
            .0
            .wrapping_add(U256::from_be_bytes::<32>(hash.finalize().into()));
    }

    /// Adds another set's sum.
    pub fn merge(&mut self, other: &Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// Takes another set's sum away again.
    pub fn remove(&mut self, other: &Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }

    /// Big-endian bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// From big-endian bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.as_bytes(), &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;
    use proptest::prelude::*;

    fn sum(events: &[(u32, u8)]) -> Digest {
        let receipt = ReceiptId::from_parts(Millis(1_700_000_000_000), 3, [7; 8]);
        let mut digest = Digest::EMPTY;
        for (index, content) in events {
            digest.add_event(receipt, *index, &Fingerprint::of(&[*content]));
        }
        digest
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_matter(mut events in proptest::collection::vec((any::<u32>(), any::<u8>()), 0..40), cut in 0usize..40) {
            let straight = sum(&events);
            events.reverse();
            let cut = cut.min(events.len());
            let mut parts = sum(&events[..cut]);
            parts.merge(&sum(&events[cut..]));
            prop_assert_eq!(straight, parts);
        }

        #[test]
        fn a_lost_a_doubled_and_a_changed_event_show(events in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..20)) {
            let whole = sum(&events);
            prop_assert_ne!(whole, sum(&events[1..]));
            let mut doubled = events.clone();
            doubled.push(events[0]);
            prop_assert_ne!(whole, sum(&doubled));
            let mut changed = events.clone();
            changed[0].1 ^= 1;
            prop_assert_ne!(whole, sum(&changed));
        }
    }

    #[test]
    fn text_form_round_trips() {
        let digest = sum(&[(1, 2), (3, 4)]);
        let json = serde_json::to_string(&digest).expect("a string");
        assert_eq!(
            serde_json::from_str::<Digest>(&json).expect("a digest"),
            digest
        );
    }
}
