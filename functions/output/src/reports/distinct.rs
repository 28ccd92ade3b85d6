//! How many different actors several things have, in one pass.

use std::collections::{HashMap, HashSet};
use vernier_ledger::chunks::{Mark, mark_of};
use vernier_ledger::digest::Fingerprint;

/// Pairs of a thing and one of its actors: 9 bytes each, and as much again while the set grows;
/// under 150 MB of the function's 1,024. A month of days with 100,000 active learners has 3.1 million.
pub(crate) const ACTIVE_MAX: usize = 4_000_000;

fn key_of_mark([a, b, c]: Mark) -> [u8; 16] {
    let mut key = [0; 16];
    key[..3].copy_from_slice(&[a, b, c]);
    key
}

/// The pairs so far.
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    /// Actors by a part of the SHA-256 of their ids.
    numbers: HashMap<[u8; 16], u32>,
    pairs: HashSet<u64>,
    /// The last actor: sealed events lie together by actor.
    last: Option<(String, u32)>,
    /// Whether actors are told apart by their marks alone, since of some nothing else is known.
    by_mark: bool,
}

impl Distinct {
    /// Whether this is the actor's first time with this thing.
    pub(crate) fn is_first(&mut self, thing: u32, actor: &str) -> bool {
        if self.is_over() {
            return false;
        }
        let number = match &self.last {
            Some((last, number)) if last == actor => *number,
            _ => self.number(actor),
        };
        self.pairs
            .insert(u64::from(thing) << 32 | u64::from(number))
    }

    /// Whether this is the first time of the actor with this mark with this thing. Actors that are shown from then on count
    /// by their marks, too, of which there are sixteen million; so what has only marks is shown first.
    pub(crate) fn is_first_mark(&mut self, thing: u32, mark: Mark) -> bool {
        self.by_mark = true;
        if self.is_over() {
            return false;
        }
        let number = self.number_of(key_of_mark(mark));
        self.pairs
            .insert(u64::from(thing) << 32 | u64::from(number))
    }

    fn number(&mut self, actor: &str) -> u32 {
        let mut key = [0; 16];
        match self.by_mark {
            true => key = key_of_mark(mark_of(actor)),
            false => key.copy_from_slice(&Fingerprint::of(actor.as_bytes()).0[..16]),
        }
        let number = self.number_of(key);
        self.last = Some((actor.to_owned(), number));
        number
    }

    fn number_of(&mut self, key: [u8; 16]) -> u32 {
        // As many as there are pairs at most.
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(key).or_insert(next)
    }

    /// Whether there are more than may be.
    pub(crate) fn is_over(&self) -> bool {
        self.pairs.len() > ACTIVE_MAX
    }
}
