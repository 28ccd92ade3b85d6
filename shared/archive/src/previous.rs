//! What earlier windows know of an event.

use crate::Fault;
use std::collections::HashMap;
use vernier_ledger::canonical::MeaningHash;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::event_id::EventId;
use vernier_ledger::line::{LineHead, Verdict, is_known_by_id};
use vernier_ledger::segment::Place;

/// An event that earlier windows are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Whether its kind has ids of its own (`event`, `domain`): with an id it is then the same as
    /// any such event of this id, else as those of its fingerprint.
    pub own_id: bool,
    /// Its id.
    pub id: Option<&'a str>,
    /// SHA-256 of its compacted bytes.
    pub fingerprint: [u8; 32],
}

impl<'a> Asked<'a> {
    /// Of a line; none for a rejected event, which repeats nothing, and for a line without a
    /// fingerprint, which is none.
    #[must_use]
    pub fn of(head: &'a LineHead<'_>) -> Option<Self> {
        let accepted = head.verdict == Verdict::Accepted;
        let fingerprint = Fingerprint::from_hex(&head.fingerprint).filter(|_| accepted)?;
        Some(Self {
            own_id: is_known_by_id(&head.kind),
            id: head.id.as_deref(),
            fingerprint: fingerprint.0,
        })
    }

    /// The id by which it is the same as others; none when the fingerprint decides.
    #[must_use]
    pub fn key(&self) -> Option<EventId<'a>> {
        self.id.filter(|_| self.own_id).map(EventId)
    }

    /// The hash of what makes it the same as others: the share of a window
    /// is decided by it ([`crate::share::Share::has_identity`]).
    #[must_use]
    pub fn identity(&self) -> [u8; 32] {
        match self.key() {
            Some(id) => id.with_folded(|id| Fingerprint::of(id).0),
            None => Fingerprint::of(Fingerprint(self.fingerprint).hex().as_bytes()).0,
        }
    }
}

/// The stored event that an event repeats: with the same fingerprint it is a duplicate, with
/// another one a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Where it is.
    pub place: Place,
    /// Its fingerprint.
    pub fingerprint: [u8; 32],
}

/// Earlier windows' stored events.
pub trait Previous: Sync {
    /// For each event, in order: the stored one that it repeats, by an exact look-up.
    ///
    /// # Errors
    /// When they cannot be read: nothing is sealed on hope.
    fn firsts(&self, asked: &[Asked<'_>]) -> Result<Vec<Option<First>>, Fault>;

    /// What stored events that were answered mean: only of those whose texts are at hand, and none where a
    /// text has no canonical form.
    ///
    /// # Errors
    /// When they cannot be read: nothing is sealed on hope.
    fn meanings(&self, places: &[Place]) -> Result<Meanings, Fault>;
}

/// What stored events mean, by their places; none of a text that has no canonical form.
pub type Meanings = HashMap<Place, Option<MeaningHash>>;

/// No earlier windows.
#[derive(Debug, Clone, Copy)]
pub struct NoPrevious;

impl Previous for NoPrevious {
    fn firsts(&self, asked: &[Asked<'_>]) -> Result<Vec<Option<First>>, Fault> {
        Ok(vec![None; asked.len()])
    }

    fn meanings(&self, _: &[Place]) -> Result<Meanings, Fault> {
        Ok(Meanings::new())
    }
}

/// What was looked up before: whatever is not among it is in no earlier window.
#[derive(Debug, Default)]
pub struct LookedUp {
    ids: HashMap<Vec<u8>, First>,
    fingerprints: HashMap<[u8; 32], First>,
    meanings: Meanings,
}

impl LookedUp {
    /// Takes an answer; of several the event that was received first counts.
    pub fn add(&mut self, asked: &Asked<'_>, first: First) {
        let known = match asked.key() {
            Some(id) => {
                let id = id.with_folded(<[u8]>::to_vec);
                self.ids.entry(id).or_insert(first)
            }
            None => self.fingerprints.entry(asked.fingerprint).or_insert(first),
        };
        if first.place < known.place {
            *known = first;
        }
    }

    /// Takes what stored events mean.
    pub fn add_meanings(&mut self, meanings: Meanings) {
        self.meanings.extend(meanings);
    }

    /// Takes the answers that there are.
    pub fn add_all(&mut self, asked: &[Asked<'_>], firsts: Vec<Option<First>>) {
        for (asked, first) in asked.iter().zip(firsts) {
            if let Some(first) = first {
                self.add(asked, first);
            }
        }
    }
}

impl Previous for LookedUp {
    fn firsts(&self, asked: &[Asked<'_>]) -> Result<Vec<Option<First>>, Fault> {
        let of = |asked: &Asked<'_>| match asked.key() {
            Some(id) => id.with_folded(|id| self.ids.get(id).copied()),
            None => self.fingerprints.get(&asked.fingerprint).copied(),
        };
        Ok(asked.iter().map(of).collect())
    }

    fn meanings(&self, places: &[Place]) -> Result<Meanings, Fault> {
        let known = |place: &Place| Some((*place, *self.meanings.get(place)?));
        Ok(places.iter().filter_map(known).collect())
    }
}
