//! Dispositions of a whole window in bounded memory, by the rule of
//! [`vernier_ledger::disposition`]: the first of an id by (receipt, index) is stored, unless an
//! earlier window has it.

use crate::Fault;
use crate::limits;
use crate::previous::{Asked, First, Previous};
use crate::row::{Row, receipt_from};
use crate::sort::Sorter;
use std::path::Path;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::line::event_key;
use vernier_ledger::segment::Place;

/// Members of groups that wait for an answer; more are answered at once.
const MEMBERS_MAX: usize = 4 * limits::PREVIOUS_BATCH;

/// Bytes of a key's parts: event key, receipt, index.
const EVENT_KEY_BYTES: usize = 32;
const KEY_BYTES: usize = EVENT_KEY_BYTES + 16 + 4;

/// Gathers identities.
#[derive(Debug)]
pub(crate) struct Judge {
    identities: Sorter,
    dispositions: Vec<Disposition>,
}

impl Judge {
    pub(crate) fn new(temporary: &Path, run_bytes: usize) -> Self {
        Self {
            identities: Sorter::new(temporary, "identities", run_bytes),
            dispositions: Vec::new(),
        }
    }

    /// Takes note of a row and gives it its number.
    pub(crate) fn show(&mut self, row: &Row<'_>) -> Result<u64, Fault> {
        let number = self.dispositions.len() as u64;
        self.dispositions.push(row.disposition);
        if row.disposition != Disposition::Rejected {
            let fingerprint = hex::encode(row.fingerprint);
            let mut key = [0; KEY_BYTES];
            key[..32].copy_from_slice(&event_key(row.kind, row.id, &fingerprint));
            key[32..48].copy_from_slice(row.receipt.as_bytes());
            key[48..].copy_from_slice(&row.index.to_be_bytes());
            let own = [u8::from(has_own_id(row.kind)), u8::from(row.id.is_some())];
            let id = row.id.unwrap_or_default();
            self.identities.push(
                &key,
                &[&number.to_be_bytes(), &row.fingerprint, &own, id.as_bytes()],
            )?;
        }
        Ok(number)
    }

    /// Decides.
    pub(crate) fn decide(self, previous: &dyn Previous) -> Result<Decisions, Fault> {
        let mut decisions = Decisions {
            dispositions: self.dispositions,
            firsts: Vec::new(),
        };
        let mut sorted = self.identities.finish()?;
        let mut open = Open::default();
        while let Some((key, payload)) = sorted.next()? {
            let identity = Identity::read(key, payload)?;
            if open.waiting.len() >= limits::PREVIOUS_BATCH || open.members >= MEMBERS_MAX {
                open.answer(previous, &mut decisions)?;
            }
            open.take(&identity, &mut decisions)?;
        }
        open.answer(previous, &mut decisions)?;
        decisions.firsts.sort_unstable_by_key(|(number, _)| *number);
        Ok(decisions)
    }
}

/// Whether events of this kind are the same when their ids are.
pub(crate) fn has_own_id(kind: &str) -> bool {
    matches!(kind, "event" | "domain")
}

/// How each row ended, by its number.
#[derive(Debug)]
pub(crate) struct Decisions {
    dispositions: Vec<Disposition>,
    /// Duplicates and conflicts: number, and where their first is.
    firsts: Vec<(u64, Place)>,
}

impl Decisions {
    pub(crate) fn of(&self, number: u64) -> (Disposition, Option<Place>) {
        let disposition = self.dispositions[at(number)];
        let first = self.firsts.binary_search_by_key(&number, |(n, _)| *n).ok();
        (disposition, first.map(|found| self.firsts[found].1))
    }

    pub(crate) fn all(&self) -> &[Disposition] {
        &self.dispositions
    }

    fn repeat(&mut self, number: u64, fingerprint: &[u8; 32], first: &First) {
        self.dispositions[at(number)] = if first.fingerprint == *fingerprint {
            Disposition::Duplicate
        } else {
            Disposition::Conflict
        };
        self.firsts.push((number, first.place));
    }
}

/// A row's number as its place in memory.
fn at(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

struct Identity<'a> {
    key: [u8; EVENT_KEY_BYTES],
    place: Place,
    number: u64,
    fingerprint: [u8; 32],
    own_id: bool,
    id: Option<&'a str>,
}

impl<'a> Identity<'a> {
    fn read(key: &[u8], payload: &'a [u8]) -> Result<Self, Fault> {
        let read = || {
            let (event_key, rest) = key.split_first_chunk()?;
            let (receipt, index) = rest.split_first_chunk()?;
            let (number, rest) = payload.split_first_chunk()?;
            let (fingerprint, rest) = rest.split_first_chunk()?;
            let ([own, has], id) = rest.split_first_chunk()?;
            Some(Self {
                key: *event_key,
                place: (
                    receipt_from(*receipt).ok()?,
                    u32::from_be_bytes(index.try_into().ok()?),
                ),
                number: u64::from_be_bytes(*number),
                fingerprint: *fingerprint,
                own_id: *own == 1,
                id: std::str::from_utf8(id).ok().filter(|_| *has == 1),
            })
        };
        read().ok_or_else(|| Fault::Damaged("a spilled identity".to_owned()))
    }
}

/// The first of an id in this window, and those that follow it.
struct Waiting {
    first: First,
    number: u64,
    own_id: bool,
    id: Option<String>,
    rest: Vec<(u64, [u8; 32])>,
}

#[derive(Default)]
struct Open {
    waiting: Vec<Waiting>,
    members: usize,
    /// The last id, its last place, and after an answer what its further members repeat.
    last: Option<([u8; EVENT_KEY_BYTES], Place)>,
    answered: Option<First>,
}

impl Open {
    fn take(&mut self, found: &Identity<'_>, decisions: &mut Decisions) -> Result<(), Fault> {
        let place = found.place;
        let before = self.last.replace((found.key, place));
        match before {
            Some((key, at)) if key == found.key => {
                if at == place {
                    return Err(Fault::Repeated(place.0, place.1));
                }
                if let Some(first) = &self.answered {
                    decisions.repeat(found.number, &found.fingerprint, first);
                } else if let Some(waiting) = self.waiting.last_mut() {
                    waiting.rest.push((found.number, found.fingerprint));
                    self.members += 1;
                }
            }
            _ => {
                self.answered = None;
                self.members += 1;
                self.waiting.push(Waiting {
                    first: First {
                        place,
                        fingerprint: found.fingerprint,
                    },
                    number: found.number,
                    own_id: found.own_id,
                    id: found.id.map(str::to_owned),
                    rest: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// Asks for all that wait.
    fn answer(&mut self, previous: &dyn Previous, decisions: &mut Decisions) -> Result<(), Fault> {
        self.members = 0;
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let asked = waiting.iter().map(|w| Asked {
            own_id: w.own_id,
            id: w.id.as_deref(),
            fingerprint: w.first.fingerprint,
        });
        let asked: Vec<_> = asked.collect();
        let answers = previous.firsts(&asked)?;
        if answers.len() != asked.len() {
            return Err(Fault::Damaged(
                "not one answer for each event that was asked for".to_owned(),
            ));
        }
        for (waiting, answer) in waiting.iter().zip(answers) {
            let first = match answer {
                Some(earlier) => {
                    decisions.repeat(waiting.number, &waiting.first.fingerprint, &earlier);
                    earlier
                }
                None => waiting.first,
            };
            for (number, fingerprint) in &waiting.rest {
                decisions.repeat(*number, fingerprint, &first);
            }
            self.answered = Some(first);
        }
        Ok(())
    }
}
