//! Dispositions of a whole window in bounded memory, by the rule of
//! [`vernier_ledger::disposition`]: the first of an id by (receipt, index) is stored, unless an
//! earlier window has it.
//!
//! Where fingerprints differ the texts decide, which are not here: such events are conflicts at first, and
//! [`Decisions::compare`] makes duplicates of those that mean the same.

use crate::Fault;
use crate::limits;
use crate::previous::{Asked, First, Meanings, Previous};
use crate::row::{Row, receipt_from};
use crate::scratch::Scratch;
use crate::sort::Sorter;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use vernier_ledger::canonical::MeaningHash;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::line::{event_key, is_known_by_id};
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

    /// Lets spilled identities take no more of the disk than is left of a bound.
    pub(crate) fn within(self, scratch: &Scratch) -> Self {
        Self {
            identities: self.identities.within(scratch),
            ..self
        }
    }

    /// The rows so far, and how many of them were rejected.
    pub(crate) fn rows(&self) -> (u64, u64) {
        let rejected = self.dispositions.iter();
        let rejected = rejected.filter(|d| **d == Disposition::Rejected).count();
        (self.dispositions.len() as u64, rejected as u64)
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
            let own = [
                u8::from(is_known_by_id(row.kind)),
                u8::from(row.id.is_some()),
            ];
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
            in_other_bytes: Vec::new(),
            differing: Vec::new(),
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

/// How each row ended, by its number.
#[derive(Debug)]
pub(crate) struct Decisions {
    dispositions: Vec<Disposition>,
    /// Duplicates and conflicts: number, and where their first is.
    firsts: Vec<(u64, Place)>,
    /// Numbers of duplicates in other bytes than their firsts', in order.
    in_other_bytes: Vec<u64>,
    /// Events in other bytes than their firsts', which nobody compared yet.
    differing: Vec<Differing>,
}

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowEnd {
    pub(crate) disposition: Disposition,
    /// Of a duplicate or conflict: where its first is.
    pub(crate) first: Option<Place>,
    /// Whether the row keeps its text: all do but duplicates in the bytes of their firsts.
    pub(crate) has_text: bool,
}

/// The event that others of its identity repeat.
#[derive(Debug, Clone, Copy)]
struct Reference {
    first: First,
    /// Its number, where it is a row of this window.
    row: Option<u64>,
}

/// An event in other bytes than its first's.
#[derive(Debug)]
struct Differing {
    number: u64,
    of: Reference,
}

/// Whose texts must be read before events in other bytes can be compared, and what was read.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Rows of this window, by number.
    rows: BTreeMap<u64, Option<MeaningHash>>,
    /// Firsts of earlier windows whose texts are not at hand there. A row in the same bytes stands for one: what a
    /// playback sends again names its first, however long ago that was sealed.
    lacking: HashMap<[u8; 32], Option<Option<MeaningHash>>>,
    earlier: Meanings,
}

impl Comparison {
    /// Whether nothing is to be compared.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether a row's text is wanted.
    pub(crate) fn wants(&self, number: u64, fingerprint: &[u8; 32]) -> bool {
        self.rows.contains_key(&number) || self.lacking.contains_key(fingerprint)
    }

    /// Takes what a wanted row's text means.
    pub(crate) fn take(
        &mut self,
        number: u64,
        fingerprint: &[u8; 32],
        meaning: Option<MeaningHash>,
    ) {
        if let Some(known) = self.rows.get_mut(&number) {
            *known = meaning;
        }
        if let Some(known) = self.lacking.get_mut(fingerprint) {
            *known = Some(meaning);
        }
    }

    /// What a first's text means.
    fn of(&self, reference: &Reference) -> Result<Option<MeaningHash>, Fault> {
        let First { place, fingerprint } = &reference.first;
        let known = match reference.row {
            Some(number) => self.rows.get(&number).copied(),
            None => {
                let earlier = self.earlier.get(place).copied();
                earlier.or_else(|| self.lacking.get(fingerprint).copied().flatten())
            }
        };
        known.ok_or_else(|| {
            let (receipt, index) = place;
            Fault::Damaged(format!(
                "the text of event {index} of receipt {receipt}, which others repeat, is not at hand"
            ))
        })
    }
}

impl Decisions {
    pub(crate) fn of(&self, number: u64) -> RowEnd {
        let disposition = self.dispositions[at(number)];
        let first = self.firsts.binary_search_by_key(&number, |(n, _)| *n).ok();
        let is_duplicate = disposition == Disposition::Duplicate;
        RowEnd {
            disposition,
            first: first.map(|found| self.firsts[found].1),
            has_text: !is_duplicate || self.in_other_bytes.binary_search(&number).is_ok(),
        }
    }

    /// Whose texts are to be read, so that [`Self::compare`] can tell duplicates in other bytes from conflicts.
    pub(crate) fn comparison(&self, previous: &dyn Previous) -> Result<Comparison, Fault> {
        let mut comparison = Comparison::default();
        for differing in self.differing.chunks(limits::PREVIOUS_BATCH) {
            let firsts = differing.iter().filter(|d| d.of.row.is_none());
            let mut places: Vec<Place> = firsts.clone().map(|d| d.of.first.place).collect();
            places.sort_unstable();
            places.dedup();
            comparison.earlier.extend(previous.meanings(&places)?);
            for Differing { of, .. } in firsts {
                if !comparison.earlier.contains_key(&of.first.place) {
                    comparison.lacking.insert(of.first.fingerprint, None);
                }
            }
            let rows = differing.iter().flat_map(|d| [Some(d.number), d.of.row]);
            comparison
                .rows
                .extend(rows.flatten().map(|number| (number, None)));
        }
        Ok(comparison)
    }

    /// Makes duplicates of events that mean the same as their firsts.
    pub(crate) fn compare(&mut self, comparison: &Comparison) -> Result<(), Fault> {
        for Differing { number, of } in std::mem::take(&mut self.differing) {
            let own = comparison.rows.get(&number).copied().flatten();
            if own.is_some() && own == comparison.of(&of)? {
                self.dispositions[at(number)] = Disposition::Duplicate;
                self.in_other_bytes.push(number);
            }
        }
        self.in_other_bytes.sort_unstable();
        Ok(())
    }

    pub(crate) fn all(&self) -> &[Disposition] {
        &self.dispositions
    }

    fn repeat(&mut self, number: u64, fingerprint: &[u8; 32], of: &Reference) {
        self.dispositions[at(number)] = if of.first.fingerprint == *fingerprint {
            Disposition::Duplicate
        } else {
            self.differing.push(Differing { number, of: *of });
            Disposition::Conflict
        };
        self.firsts.push((number, of.first.place));
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
    answered: Option<Reference>,
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
                if let Some(of) = &self.answered {
                    decisions.repeat(found.number, &found.fingerprint, of);
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
            let of = match answer {
                Some(first) => {
                    let of = Reference { first, row: None };
                    decisions.repeat(waiting.number, &waiting.first.fingerprint, &of);
                    of
                }
                None => Reference {
                    first: waiting.first,
                    row: Some(waiting.number),
                },
            };
            for (number, fingerprint) in &waiting.rest {
                decisions.repeat(*number, fingerprint, &of);
            }
            self.answered = Some(of);
        }
        Ok(())
    }
}
