//! What earlier windows know of an event.

use crate::Fault;
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
    /// The id by which it is the same as others; none when the fingerprint decides.
    #[must_use]
    pub fn key(&self) -> Option<&'a str> {
        self.id.filter(|_| self.own_id)
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
}

/// No earlier windows.
#[derive(Debug, Clone, Copy)]
pub struct NoPrevious;

impl Previous for NoPrevious {
    fn firsts(&self, asked: &[Asked<'_>]) -> Result<Vec<Option<First>>, Fault> {
        Ok(vec![None; asked.len()])
    }
}
