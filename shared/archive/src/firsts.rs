//! Which of a part's stored events others repeat: bloom filters first, then an exact look.

use crate::Fault;
use crate::columns::{index, receipt, sequence};
use crate::previous::{Asked, First, Meanings, Previous};
use crate::reader::Part;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, StringArray};
use parquet::bloom_filter::Sbbf;
use std::collections::{BTreeSet, HashMap, HashSet};
use vernier_ledger::canonical::MeaningHash;
use vernier_ledger::event_id::EventId;
use vernier_ledger::line::is_known_by_id;
use vernier_ledger::segment::Place;

/// A part's bloom filters of id and fingerprint, about 4 bytes an event: enough to know which events
/// cannot be in it.
#[derive(Debug)]
pub struct PartFilters(Vec<Filters>);

#[derive(Debug)]
struct Filters {
    id: Option<Sbbf>,
    fingerprint: Option<Sbbf>,
}

impl PartFilters {
    /// Reads them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(part: &Part) -> Result<Self, Fault> {
        let of = |group| {
            Ok(Filters {
                id: match part.has_unusual_ids() {
                    true => None,
                    false => part.filter(group, "id")?,
                },
                fingerprint: part.filter(group, "fingerprint")?,
            })
        };
        let filters: Result<Vec<Filters>, Fault> = (0..part.groups()).map(of).collect();
        filters.map(Self)
    }

    /// Whether the part may hold a stored event that this one repeats.
    #[must_use]
    pub fn may_hold(&self, asked: &Asked<'_>) -> bool {
        self.0.iter().any(|filters| filters.may_hold(asked))
    }

    /// What they take in memory, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |filter: &Option<Sbbf>| filter.as_ref().map_or(0, Sbbf::num_blocks) * 32;
        self.0.iter().map(|f| of(&f.id) + of(&f.fingerprint)).sum()
    }
}

impl Filters {
    fn may_hold(&self, asked: &Asked<'_>) -> bool {
        match (asked.id, &self.id, &self.fingerprint) {
            (Some(id), Some(ids), _) => EventId(id).any_spelling(|id| ids.check(id)),
            (None, _, Some(fingerprints)) => fingerprints.check(&asked.fingerprint[..]),
            _ => true,
        }
    }
}

impl Part {
    /// For each event, in order: the part's stored one that it repeats, by an exact look where the
    /// filters let it pass.
    ///
    /// # Errors
    /// When the part cannot be read.
    pub fn firsts(
        &self,
        filters: &PartFilters,
        asked: &[Asked<'_>],
    ) -> Result<Vec<Option<First>>, Fault> {
        self.firsts_sealed(filters, asked, &|_| true)
    }

    /// As [`Self::firsts`]; of a day's part only rows of the wanted seals count.
    ///
    /// # Errors
    /// When the part cannot be read.
    pub fn firsts_sealed(
        &self,
        filters: &PartFilters,
        asked: &[Asked<'_>],
        wanted: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<Option<First>>, Fault> {
        let found = self.located(filters, asked, wanted)?;
        let first = |located: Option<Located>| located.map(|located| located.first);
        Ok(found.into_iter().map(first).collect())
    }

    /// As [`Self::firsts_sealed`], with what those firsts mean that an event in other bytes repeats: their texts alone
    /// are read, a page for each.
    ///
    /// # Errors
    /// When the part cannot be read.
    pub fn firsts_with_meanings(
        &self,
        filters: &PartFilters,
        asked: &[Asked<'_>],
        wanted: &dyn Fn(u64) -> bool,
    ) -> Result<(Vec<Option<First>>, Meanings), Fault> {
        let found = self.located(filters, asked, wanted)?;
        let differing = asked.iter().zip(&found).filter_map(|(asked, located)| {
            let located = located.as_ref()?;
            (located.first.fingerprint != asked.fingerprint).then_some(located.row)
        });
        let rows: BTreeSet<(usize, usize)> = differing.collect();
        let rows: Vec<(usize, usize)> = rows.into_iter().collect();
        let meanings = match rows.is_empty() {
            true => Meanings::new(),
            false => self.meanings_of(&rows)?,
        };
        let first = |located: Option<Located>| located.map(|located| located.first);
        Ok((found.into_iter().map(first).collect(), meanings))
    }

    /// What these rows mean, as for [`Self::for_each_of`].
    ///
    /// # Errors
    /// When the part cannot be read.
    pub(crate) fn meanings_of(&self, rows: &[(usize, usize)]) -> Result<Meanings, Fault> {
        let mut meanings = Meanings::new();
        self.for_each_of(rows, |row| {
            let meaning = row.event.and_then(|text| MeaningHash::of(text, row.id));
            meanings.insert(row.place(), meaning);
            Ok(())
        })?;
        Ok(meanings)
    }

    fn located(
        &self,
        filters: &PartFilters,
        asked: &[Asked<'_>],
        wanted: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<Option<Located>>, Fault> {
        // The same event may be asked for twice: its first number stands for all.
        let mut numbers: HashMap<Key<'_>, usize> = HashMap::with_capacity(asked.len());
        for (number, asked) in asked.iter().enumerate() {
            numbers.entry(Key::asked(asked)).or_insert(number);
        }
        let mut found = vec![None; asked.len()];
        for (group, filters) in filters.0.iter().enumerate() {
            let candidates = asked.iter().filter(|asked| filters.may_hold(asked));
            let candidates: HashMap<Key<'_>, usize> = candidates
                .map(|asked| (Key::asked(asked), numbers[&Key::asked(asked)]))
                .collect();
            if !candidates.is_empty() {
                look_up(self, group, &candidates, wanted, &mut found)?;
            }
        }
        let answer = |asked| found[numbers[&Key::asked(asked)]];
        Ok(asked.iter().map(answer).collect())
    }
}

/// A stored event, and its row: the group's number, and its own in the group.
#[derive(Debug, Clone, Copy)]
struct Located {
    first: First,
    row: (usize, usize),
}

/// Earlier windows as their archive parts: bloom filters first, then an exact look.
#[derive(Debug, Default)]
pub struct PreviousParts {
    parts: Vec<(Part, PartFilters)>,
}

impl PreviousParts {
    /// Adds a part with stored events.
    ///
    /// # Errors
    /// When its filters cannot be read.
    pub fn add(&mut self, part: Part) -> Result<(), Fault> {
        let filters = PartFilters::read(&part)?;
        self.parts.push((part, filters));
        Ok(())
    }
}

impl Previous for PreviousParts {
    fn firsts(&self, asked: &[Asked<'_>]) -> Result<Vec<Option<First>>, Fault> {
        let mut found = vec![None; asked.len()];
        for (part, filters) in &self.parts {
            for (known, here) in found.iter_mut().zip(part.firsts(filters, asked)?) {
                *known = earlier(*known, here);
            }
        }
        Ok(found)
    }

    fn meanings(&self, places: &[Place]) -> Result<Meanings, Fault> {
        let wanted: HashSet<&Place> = places.iter().collect();
        let mut meanings = Meanings::new();
        for (part, _) in &self.parts {
            let rows = part.rows_at(|place| wanted.contains(&place))?;
            meanings.extend(part.meanings_of(&rows)?);
        }
        Ok(meanings)
    }
}

/// Of two stored events that one repeats: the one that was received first.
#[must_use]
pub fn earlier(a: Option<First>, b: Option<First>) -> Option<First> {
    match (a, b) {
        (Some(a), Some(b)) if b.place < a.place => Some(b),
        (Some(a), _) => Some(a),
        (None, b) => b,
    }
}

/// What makes two events the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Id(EventId<'a>),
    Fingerprint([u8; 32]),
}

impl<'a> Key<'a> {
    fn asked(asked: &Asked<'a>) -> Self {
        asked
            .key()
            .map_or(Self::Fingerprint(asked.fingerprint), Self::Id)
    }
}

fn look_up(
    part: &Part,
    group: usize,
    candidates: &HashMap<Key<'_>, usize>,
    wanted: &dyn Fn(u64) -> bool,
    found: &mut [Option<Located>],
) -> Result<(), Fault> {
    let names = ["id", "kind", "receipt", "index", "fingerprint", "seal"];
    let names = match part.layout().is_day() {
        false => &names[..5],
        true => &names[..],
    };
    let mut before = 0;
    part.columns(group, names, |batch| {
        let (first_row, rows) = (before, batch.num_rows());
        before += rows;
        let other = || Fault::Damaged("columns of another type".to_owned());
        let text = |at: usize| -> Result<&StringArray, Fault> {
            batch.column(at).as_string_opt().ok_or_else(other)
        };
        let (ids, kinds, receipts) = (text(0)?, text(1)?, text(2)?);
        let indices = batch.column(3).as_primitive_opt::<Int64Type>();
        let indices = indices.ok_or_else(other)?;
        let fingerprints = batch.column(4).as_fixed_size_binary_opt();
        let fingerprints = fingerprints.ok_or_else(other)?;
        let seals = match part.layout().is_day() {
            false => None,
            true => Some(batch.column(5).as_primitive_opt::<Int64Type>()),
        };
        let seals = seals.map(|seals| seals.ok_or_else(other)).transpose()?;
        for at in 0..rows {
            if let Some(seals) = seals
                && !wanted(sequence(seals.value(at))?)
            {
                continue;
            }
            // An erased event is known to nobody any more: what comes again is a new one.
            if fingerprints.is_null(at) {
                continue;
            }
            let fingerprint = fingerprints.value(at).try_into().map_err(|_| other())?;
            let row = Asked {
                own_id: is_known_by_id(kinds.value(at)),
                id: ids.is_valid(at).then(|| ids.value(at)),
                fingerprint,
            };
            let Some(number) = candidates.get(&Key::asked(&row)) else {
                continue;
            };
            let place = (
                receipt("receipt", receipts.value(at))?,
                index("index", indices.value(at))?,
            );
            let first = First { place, fingerprint };
            let row = (group, first_row + at);
            let known = &mut found[*number];
            if known.is_none_or(|known| place < known.first.place) {
                *known = Some(Located { first, row });
            }
        }
        Ok(())
    })
}
