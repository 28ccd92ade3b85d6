//! Which of equal events is the stored one (invariant 2).
//!
//! The first by (receipt id, index) is stored; later ones with the same content are duplicates,
//! with other content conflicts. Content is the same in the same bytes, and in other bytes that mean the same
//! ([`Meaning`](crate::canonical::Meaning)). Receipt ids order by time, so the answer does not depend on the
//! order in which batches were committed.

use crate::canonical::MeaningHash;
use crate::digest::Fingerprint;
use crate::frame::Tally;
use crate::line::{LineHead, Verdict, event_key};
use crate::segment::Place;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// How an event of an acknowledged envelope ended; there is nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// It is the event.
    Stored,
    /// It is there already, with the same content.
    Duplicate,
    /// Its id is there already, with other content.
    Conflict,
    /// The rules of the tenant's mode refused it; it is kept with its reasons.
    Rejected,
}

/// How many events ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DispositionCounts {
    /// Stored.
    pub stored: u64,
    /// Duplicate.
    pub duplicate: u64,
    /// Conflict.
    pub conflict: u64,
    /// Rejected.
    pub rejected: u64,
}

impl DispositionCounts {
    /// Counts one.
    pub fn add(&mut self, disposition: Disposition) {
        match disposition {
            Disposition::Stored => self.stored += 1,
            Disposition::Duplicate => self.duplicate += 1,
            Disposition::Conflict => self.conflict += 1,
            Disposition::Rejected => self.rejected += 1,
        }
    }

    /// Adds others.
    pub const fn merge(&mut self, other: &Self) {
        self.stored += other.stored;
        self.duplicate += other.duplicate;
        self.conflict += other.conflict;
        self.rejected += other.rejected;
    }

    /// All together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.stored + self.duplicate + self.conflict + self.rejected
    }

    /// Whether they account for all of a tally's events (invariant 3).
    #[must_use]
    pub const fn accounts_for(&self, tally: &Tally) -> bool {
        self.total() == tally.events && self.rejected == tally.rejected
    }
}

/// Knows the first place of every event that it was shown.
#[derive(Debug, Default)]
pub struct Dispositions {
    first: HashMap<[u8; 32], FirstSeen>,
    /// What the contents mean of identities that came in several.
    meanings: HashMap<Content, Option<MeaningHash>>,
    is_contested: bool,
}

/// The first of an identity among the events that were shown.
#[derive(Debug, Clone, Copy)]
struct FirstSeen {
    place: Place,
    fingerprint: [u8; 32],
    /// Whether the identity came with other fingerprints, too.
    is_contested: bool,
}

/// One content of an identity: both as hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content {
    identity: [u8; 32],
    fingerprint: [u8; 32],
}

impl Dispositions {
    /// Shows it an event. Show all events that may come first before asking for any.
    pub fn show(&mut self, head: &LineHead<'_>) {
        if head.verdict == Verdict::Rejected {
            return;
        }
        let (key, own_place, fingerprint) = identify(head);
        // What a playback sends again stands for the event that it repeats, wherever that is.
        let place = head.first.map_or(own_place, |first| first.min(own_place));
        let seen = FirstSeen {
            place,
            fingerprint,
            is_contested: false,
        };
        match self.first.entry(key) {
            Entry::Vacant(free) => {
                free.insert(seen);
            }
            Entry::Occupied(mut taken) => {
                let known = taken.get_mut();
                let is_contested = known.is_contested || known.fingerprint != fingerprint;
                if place < known.place {
                    *known = seen;
                }
                known.is_contested = is_contested;
                self.is_contested |= is_contested;
            }
        }
    }

    /// Whether texts must be shown before anything is asked for, since some identity came with several fingerprints.
    #[must_use]
    pub const fn wants_texts(&self) -> bool {
        self.is_contested
    }

    /// The content of an event whose text is wanted ([`Self::show_text`]); none where it decides nothing.
    #[must_use]
    pub fn wanted(&self, head: &LineHead<'_>) -> Option<Content> {
        if head.verdict == Verdict::Rejected {
            return None;
        }
        let (identity, _, fingerprint) = identify(head);
        let content = Content {
            identity,
            fingerprint,
        };
        let is_contested = self.first.get(&identity)?.is_contested;
        (is_contested && !self.meanings.contains_key(&content)).then_some(content)
    }

    /// Shows the text of a wanted content, with the event's own id as the text spells it.
    pub fn show_text(&mut self, content: Content, text: &str, id: Option<&str>) {
        self.meanings.insert(content, MeaningHash::of(text, id));
    }

    /// The event's disposition among all that were shown.
    #[must_use]
    pub fn of(&self, head: &LineHead<'_>) -> Disposition {
        if head.verdict == Verdict::Rejected {
            return Disposition::Rejected;
        }
        let (key, place, fingerprint) = identify(head);
        match self.first.get(&key) {
            Some(first) if first.place < place => {
                let is_same = first.fingerprint == fingerprint || {
                    let meaning = |fingerprint| {
                        let identity = key;
                        let content = Content {
                            identity,
                            fingerprint,
                        };
                        self.meanings.get(&content).copied().flatten()
                    };
                    let own = meaning(fingerprint);
                    own.is_some() && own == meaning(first.fingerprint)
                };
                match is_same {
                    true => Disposition::Duplicate,
                    false => Disposition::Conflict,
                }
            }
            _ => Disposition::Stored,
        }
    }
}

fn identify(head: &LineHead<'_>) -> ([u8; 32], Place, [u8; 32]) {
    let key = event_key(&head.kind, head.id.as_deref(), &head.fingerprint);
    let content = Fingerprint::of(head.fingerprint.as_bytes()).0;
    (key, (head.receipt, head.index), content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ReceiptId;
    use crate::line::tests::head;
    use crate::time::Millis;
    use proptest::prelude::*;

    #[test]
    fn what_a_playback_sends_again_repeats_an_event_that_is_not_shown() {
        let at = |n| ReceiptId::from_parts(Millis(n), 0, [0; 8]);
        let mut again = head(at(9), 0, "urn:1", "{}");
        again.first = Some((at(1), 3));
        let mut known = Dispositions::default();
        known.show(&again);
        assert_eq!(known.of(&again), Disposition::Duplicate);
        let late = head(at(10), 0, "urn:1", "{\"c\":2}");
        known.show(&late);
        assert_eq!(known.of(&late), Disposition::Conflict);
    }

    #[test]
    fn an_event_in_other_bytes_is_a_duplicate_when_it_means_the_same() {
        let at = |n| ReceiptId::from_parts(Millis(n), 0, [0; 8]);
        let texts = [
            "{\"a\":1,\"b\":2}",
            "{\"b\":2.0,\"a\":1}",
            "{\"a\":1,\"b\":3}",
        ];
        let heads: Vec<_> = { texts.iter().enumerate() }
            .map(|(n, text)| head(at(i64::try_from(n).unwrap_or(0)), 0, "urn:1", text))
            .collect();
        let mut known = Dispositions::default();
        known.show(&heads[0]);
        assert!(!known.wants_texts() && known.wanted(&heads[0]).is_none());
        heads.iter().for_each(|head| known.show(head));
        assert!(known.wants_texts());
        assert_eq!(known.of(&heads[1]), Disposition::Conflict, "no text yet");
        for (head, text) in heads.iter().zip(texts) {
            let content = known.wanted(head).expect("several contents");
            known.show_text(content, text, head.id.as_deref());
            assert_eq!(known.wanted(head), None);
        }
        let found: Vec<Disposition> = heads.iter().map(|head| known.of(head)).collect();
        assert_eq!(
            found,
            [
                Disposition::Stored,
                Disposition::Duplicate,
                Disposition::Conflict
            ]
        );
    }

    proptest! {
        /// Whatever the order of showing: one stored per id, equal content is a duplicate.
        #[test]
        fn dispositions_do_not_depend_on_order(
            events in proptest::collection::vec((0u8..4, 0u8..3), 1..40).prop_shuffle(),
            turn in 0usize..40,
        ) {
            let ids: Vec<String> = events.iter().map(|(id, _)| format!("urn:{id}")).collect();
            let texts: Vec<String> = events.iter().map(|(_, content)| format!("{{\"c\":{content}}}")).collect();
            let heads: Vec<_> = (0..events.len())
                .map(|n| {
                    let receipt = ReceiptId::from_parts(Millis(i64::try_from(n).unwrap_or(0)), 0, [0; 8]);
                    head(receipt, 0, &ids[n], &texts[n])
                })
                .collect();
            let mut known = Dispositions::default();
            for at in 0..heads.len() {
                known.show(&heads[(at + turn) % heads.len()]);
            }
            for (n, head) in heads.iter().enumerate() {
                let first = events.iter().position(|(id, _)| *id == events[n].0).expect("itself at least");
                let expected = if first == n {
                    Disposition::Stored
                } else if events[first].1 == events[n].1 {
                    Disposition::Duplicate
                } else {
                    Disposition::Conflict
                };
                prop_assert_eq!(known.of(head), expected);
            }
        }
    }
}
