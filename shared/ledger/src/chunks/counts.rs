//! Counts of a block's events, from which reports add up what is too much to read event by event.

use super::{Mark, Marks, mark_of};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Milliseconds by which event times are counted: a quarter of an hour, of which the clocks of all zones differ from UTC
/// by a whole number.
const QUARTER_MILLIS: i64 = 15 * 60_000;

/// What a block's index counts: its events without those that were rejected, and without describes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// The types of its events; none for those without one.
    types: Vec<Option<String>>,
    /// The sections of its events, by their ids.
    sections: Vec<SectionCounts>,
}

/// What a block's index counts of one section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionCounts {
    /// The section's id; none for events that name none.
    pub section: Option<String>,
    /// When the last of its events happened, or was received where it does not say.
    pub last: Millis,
    /// The marks of its actors.
    pub actors: Marks,
    /// Number of the type, quarter of an hour since 1970 in which they happened or else were received, events.
    rows: Vec<(usize, i64, u64)>,
}

/// Events of one section and type that happened, or were received where they do not say, in one quarter of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted<'c> {
    /// Their type, if they have one.
    pub type_name: Option<&'c str>,
    /// When the quarter of an hour begins.
    pub quarter: Millis,
    /// How many there are.
    pub events: u64,
}

impl Counts {
    /// What is counted of each section, in no order.
    pub fn sections(&self) -> impl Iterator<Item = &SectionCounts> {
        self.sections.iter()
    }

    /// What is counted of a section of this index; what names a type that the index has not is left out.
    pub fn of<'c>(&'c self, section: &'c SectionCounts) -> impl Iterator<Item = Counted<'c>> {
        section
            .rows
            .iter()
            .filter_map(|(of_type, quarter, events)| {
                Some(Counted {
                    type_name: self.types.get(*of_type)?.as_deref(),
                    quarter: Millis(quarter.saturating_mul(QUARTER_MILLIS)),
                    events: *events,
                })
            })
    }
}

/// The values of a column by the numbers that they were given, and their marks, which are made once for each.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<String, usize>,
    nameless: Option<usize>,
    marks: Vec<Option<Mark>>,
}

impl Names {
    /// The number of a value, or of none.
    fn number(&mut self, name: Option<&str>) -> usize {
        let known = match name {
            Some(name) => self.numbers.get(name).copied(),
            None => self.nameless,
        };
        if let Some(known) = known {
            return known;
        }
        let number = self.marks.len();
        self.marks.push(name.map(mark_of));
        match name {
            Some(name) => {
                self.numbers.insert(name.to_owned(), number);
            }
            None => self.nameless = Some(number),
        }
        number
    }

    /// The values in the order of their numbers.
    fn into_list(self) -> Vec<Option<String>> {
        let mut list = vec![None; self.marks.len()];
        for (name, number) in self.numbers {
            list[number] = Some(name);
        }
        list
    }
}

/// One event as counts take it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedEvent<'a> {
    pub(super) section: Option<&'a str>,
    pub(super) type_name: Option<&'a str>,
    pub(super) actor: Option<Mark>,
    /// When it happened, or was received where it does not say.
    pub(super) at: Millis,
    /// Whether reports count it.
    pub(super) is_counted: bool,
}

/// What is counted of a section that reports count something of.
#[derive(Debug)]
struct Counting {
    last: Millis,
    actors: HashSet<Mark>,
    rows: HashMap<(usize, i64), u64>,
}

/// Counts events one by one.
#[derive(Debug, Default)]
pub(super) struct Counter {
    types: Names,
    names: Names,
    sections: Vec<Option<Counting>>,
}

impl Counter {
    /// Takes an event; gives the marks of its section and its type.
    pub(super) fn add(&mut self, event: CountedEvent<'_>) -> (Option<Mark>, Option<Mark>) {
        let section = self.names.number(event.section);
        let of_type = self.types.number(event.type_name);
        let marks = (self.names.marks[section], self.types.marks[of_type]);
        if self.sections.len() <= section {
            self.sections.resize_with(section + 1, || None);
        }
        if event.is_counted {
            let counting = self.sections[section].get_or_insert_with(|| Counting {
                last: event.at,
                actors: HashSet::new(),
                rows: HashMap::new(),
            });
            counting.last = counting.last.max(event.at);
            counting.actors.extend(event.actor);
            let quarter = event.at.0.div_euclid(QUARTER_MILLIS);
            *counting.rows.entry((of_type, quarter)).or_default() += 1;
        }
        marks
    }

    pub(super) fn finish(self) -> Counts {
        let named = self.names.into_list().into_iter().zip(self.sections);
        let section = |(section, counting): (Option<String>, Option<Counting>)| {
            let counting = counting?;
            let rows = counting.rows.into_iter();
            let mut rows: Vec<_> = rows
                .map(|((of_type, quarter), events)| (of_type, quarter, events))
                .collect();
            rows.sort_unstable();
            Some(SectionCounts {
                section,
                last: counting.last,
                actors: Marks::of(counting.actors.into_iter().collect()),
                rows,
            })
        };
        Counts {
            types: self.types.into_list(),
            sections: named.filter_map(section).collect(),
        }
    }
}
