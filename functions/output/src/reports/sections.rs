//! Which sections there are, and how busy they are.

use super::distinct::{ACTIVE_MAX, Distinct};
use super::{Cell, NoAnswer, Report, Seen, Sheet, rfc3339};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::HashMap;
use vernier_ledger::chunks::{Counts, SectionCounts};
use vernier_ledger::disposition::Disposition;
use vernier_ledger::time::Millis;

/// Sections of one report: at 200 bytes each 2 MB of an answer's 4.
const SECTIONS_MAX: usize = 10_000;

/// Counts stored events by section (group).
#[derive(Debug, Default)]
pub struct Sections {
    numbers: HashMap<Option<String>, u32>,
    sections: Vec<SectionView>,
    actors: Distinct,
    /// The section of the last event: sealed events lie together by section.
    last: Option<u32>,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SectionView {
    /// Its id; none for the events that name none.
    pub section: Option<String>,
    /// Its stored events.
    pub events: u64,
    /// Its different actors.
    pub active_learners: u64,
    /// When the last of them happened, or was received where it does not say.
    #[serde(serialize_with = "rfc3339")]
    pub last_event_at: Millis,
}

/// They, the busiest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SectionsReport {
    /// They.
    pub sections: Vec<SectionView>,
}

impl Sections {
    /// Counts one.
    pub fn add(&mut self, seen: &Seen<'_>) {
        if seen.disposition != Disposition::Stored || self.sections.len() > SECTIONS_MAX {
            return;
        }
        let number = self.number(seen.group, seen.at());
        self.last = Some(number);
        let section = &mut self.sections[number as usize];
        section.events += 1;
        section.last_event_at = section.last_event_at.max(seen.at());
        if let Some(actor) = seen.actor {
            section.active_learners += u64::from(self.actors.is_first(number, actor));
        }
    }

    /// Takes the counts of a section's events.
    pub(crate) fn add_counts(&mut self, counts: &Counts, of: &SectionCounts) {
        if self.sections.len() > SECTIONS_MAX {
            return;
        }
        let number = self.number(of.section.as_deref(), of.last);
        let section = &mut self.sections[number as usize];
        section.events += counts.of(of).map(|counted| counted.events).sum::<u64>();
        section.last_event_at = section.last_event_at.max(of.last);
        for mark in of.actors.decoded() {
            section.active_learners += u64::from(self.actors.is_first_mark(number, mark));
        }
    }

    /// The number of a section, which is a new one if nothing was counted of it before this instant.
    fn number(&mut self, group: Option<&str>, at: Millis) -> u32 {
        if let Some(last) = self.last
            && self.sections[last as usize].section.as_deref() == group
        {
            return last;
        }
        let group = group.map(str::to_owned);
        let next = u32::try_from(self.sections.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(group.clone()).or_insert(next);
        if number == next {
            self.sections.push(SectionView {
                section: group,
                events: 0,
                active_learners: 0,
                last_event_at: at,
            });
        }
        number
    }

    /// What there was.
    ///
    /// # Errors
    /// When it was too much.
    pub fn finish(self) -> Result<SectionsReport, NoAnswer> {
        if self.sections.len() > SECTIONS_MAX {
            return Err(NoAnswer::TooMuch {
                most: SECTIONS_MAX,
                what: "sections",
            });
        }
        if self.actors.is_over() {
            return Err(NoAnswer::TooMuch {
                most: ACTIVE_MAX,
                what: "pairs of section and actor",
            });
        }
        let mut sections = self.sections;
        sections
            .sort_by(|a, b| (Reverse(a.events), &a.section).cmp(&(Reverse(b.events), &b.section)));
        Ok(SectionsReport { sections })
    }
}

impl Report for SectionsReport {
    fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new(["section", "events", "active_learners", "last_event_at"]);
        for section in &self.sections {
            sheet.row([
                Cell::from(section.section.as_deref()),
                section.events.into(),
                section.active_learners.into(),
                section.last_event_at.into(),
            ]);
        }
        sheet
    }
}
