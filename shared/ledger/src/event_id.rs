//! When two spellings are one event id.

use std::hash::{Hash, Hasher};

/// What a UUID begins with as an IRI, in its usual spelling.
const URN: &str = "urn:uuid:";

/// Where the hyphens of a UUID stand, and how long it is, bytes.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const UUID_BYTES: usize = 36;

/// An event's id as it was sent, compared by what it names: UUIDs, bare or behind `urn:uuid:`, are the same
/// in small and in capital letters (RFC 9562 section 4, RFC 8141 section 3.1). A bare UUID and its IRI are two
/// ids, and every other id is the same as its own bytes alone.
#[derive(Debug, Clone, Copy)]
pub struct EventId<'a>(pub &'a str);

impl<'a> EventId<'a> {
    /// Whether the case of its letters says nothing.
    #[must_use]
    pub fn is_uuid(self) -> bool {
        uuid_of(self.0).is_some()
    }

    /// Whether it is spelled in one of the ways that [`Self::any_spelling`] tries whatever it is asked with.
    #[must_use]
    pub fn is_usual(self) -> bool {
        let Some(uuid) = uuid_of(self.0) else {
            return true;
        };
        let urn = &self.0[..self.0.len() - UUID_BYTES];
        is_one_case(urn) && is_one_case(uuid)
    }

    /// Whether any usual spelling of the id passes, the one as sent first: small letters, capitals, and both
    /// behind `urn:uuid:` and `URN:UUID:`.
    pub fn any_spelling(self, mut passes: impl FnMut(&str) -> bool) -> bool {
        if passes(self.0) {
            return true;
        }
        let Some(uuid) = uuid_of(self.0) else {
            return false;
        };
        let (small, capitals) = (uuid.to_ascii_lowercase(), uuid.to_ascii_uppercase());
        let urn = &self.0[..self.0.len() - UUID_BYTES];
        let mut spelled = String::with_capacity(self.0.len());
        for uuid in [&small, &capitals] {
            for urn in [urn.to_ascii_lowercase(), urn.to_ascii_uppercase()] {
                spelled.clear();
                spelled.push_str(&urn);
                spelled.push_str(uuid);
                if passes(&spelled) {
                    return true;
                }
            }
        }
        false
    }

    /// The bytes that are equal where ids are, handed to whoever hashes them.
    pub fn with_folded<T>(self, take: impl FnOnce(&[u8]) -> T) -> T {
        if !self.is_uuid() || !self.0.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return take(self.0.as_bytes());
        }
        let mut folded = [0; URN.len() + UUID_BYTES];
        let folded = &mut folded[..self.0.len()];
        folded.copy_from_slice(self.0.as_bytes());
        folded.make_ascii_lowercase();
        take(folded)
    }
}

impl PartialEq for EventId<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || (self.0.eq_ignore_ascii_case(other.0) && self.is_uuid())
    }
}

impl Eq for EventId<'_> {}

impl Hash for EventId<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.with_folded(|bytes| bytes.hash(state));
    }
}

/// The UUID in an id that is one, without what stands before it.
fn uuid_of(id: &str) -> Option<&str> {
    let urn_bytes = id.len().checked_sub(UUID_BYTES)?;
    if urn_bytes != 0 && urn_bytes != URN.len() {
        return None;
    }
    let (urn, uuid) = id.split_at_checked(urn_bytes)?;
    let is_urn = urn.is_empty() || urn.eq_ignore_ascii_case(URN);
    let mut bytes = uuid.bytes().enumerate();
    let is_uuid = bytes.all(|(at, byte)| match HYPHENS.contains(&at) {
        true => byte == b'-',
        false => byte.is_ascii_hexdigit(),
    });
    (is_urn && is_uuid).then_some(uuid)
}

fn is_one_case(text: &str) -> bool {
    let has_capital = text.bytes().any(|byte| byte.is_ascii_uppercase());
    let has_small = text.bytes().any(|byte| byte.is_ascii_lowercase());
    !(has_capital && has_small)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const UUID: &str = "0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b";

    #[test]
    fn what_is_no_uuid_keeps_every_letter() {
        for (one, other) in [
            ("urn:uuid:not-a-uuid", "urn:uuid:NOT-A-UUID"),
            ("https://a.example/E/1", "https://a.example/e/1"),
            ("urn:uuid:", "URN:UUID:"),
            (
                "urn:uuid:0f8e1a2b3c4d4e5f8a9b0c1d2e3f4a5b",
                "urn:uuid:0F8E1A2B3C4D4E5F8A9B0C1D2E3F4A5B",
            ),
            ("_:a", "_:A"),
            ("é", "É"),
        ] {
            assert_ne!(EventId(one), EventId(other));
            assert!(!EventId(one).is_uuid() && EventId(one).is_usual());
        }
    }

    #[test]
    fn a_bare_uuid_is_another_id_than_its_iri() {
        let iri = format!("urn:uuid:{UUID}");
        assert_ne!(EventId(UUID), EventId(&iri));
        assert_eq!(EventId(UUID), EventId(&UUID.to_uppercase()));
        assert_eq!(EventId(&iri), EventId(&iri.to_uppercase()));
    }

    /// An id with each letter small or a capital, as the bits say.
    fn respelled(id: &str, mut bits: u64) -> String {
        let letter = |letter: char| {
            bits = bits.rotate_left(1);
            match bits & 1 {
                1 => letter.to_ascii_uppercase(),
                _ => letter.to_ascii_lowercase(),
            }
        };
        id.chars().map(letter).collect()
    }

    proptest! {
        #[test]
        fn spellings_of_a_uuid_are_one_id(bits: (u64, u64), bare: bool, turned: bool) {
            let id = if bare { UUID.to_owned() } else { format!("{URN}{UUID}") };
            let (one, other) = (respelled(&id, bits.0), respelled(&id, bits.1));
            prop_assert_eq!(EventId(&one), EventId(&other));
            let ids: HashSet<EventId<'_>> = [EventId(&one), EventId(&other)].into();
            prop_assert_eq!(ids.len(), 1);
            // Asked in any spelling, a usual one is found.
            let usual = if turned { id.to_uppercase() } else { id };
            prop_assert!(EventId(&usual).is_usual());
            prop_assert!(EventId(&one).any_spelling(|spelled| spelled == usual));
            if EventId(&other).is_usual() {
                prop_assert!(EventId(&one).any_spelling(|spelled| spelled == other));
            }
        }

        #[test]
        fn other_ids_are_equal_by_their_bytes(one in "\\PC{0,50}", other in "\\PC{0,50}") {
            prop_assert_eq!(EventId(&one) == EventId(&other), one == other);
            let mut asked = 0;
            EventId(&one).any_spelling(|_| { asked += 1; false });
            prop_assert_eq!(asked, 1);
        }
    }
}
