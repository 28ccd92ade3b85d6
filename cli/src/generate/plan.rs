//! How many learners, sections and weeks a number of events makes, and who does what when.
//!
//! The unit is a cycle: one learner's week in one course section, with reading, films, and an
//! assessment. A quiz with one attempt makes 40 events, in the mix the generator promises:
//! 28 session, navigation, view and media events, 8 on items, 2 on the assessment, 2 grades.
//! A second attempt, or an exam of twice the items, makes twice as many of each.

use super::catalog::{COURSES, Course};
use std::ops::Range;

/// Weeks of teaching in a semester.
pub(super) const WEEKS: u64 = 14;
/// Events of the smallest cycle.
const CYCLE_EVENTS: u64 = 40;
/// Learners of one section, about.
const SECTION_LEARNERS: u64 = 30;
/// Every fourth week has an exam in place of the quiz.
const EXAM_EVERY_WEEKS: u64 = 4;

/// The shape of a semester that has at least a given number of events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    cycles: u64,
    weeks: u64,
    enrolments: u64,
    learners: u64,
    sections: u64,
}

/// One learner's week in one course section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cycle {
    /// Week of the semester, from 0.
    pub(super) week: u64,
    /// Number of the learner, from 0.
    pub(super) learner: u64,
    /// Course of the section.
    pub(super) course: Course,
    /// Number of the section within its course, from 1.
    pub(super) section: u64,
    /// Items of the week's assessment.
    pub(super) items: u64,
    /// Attempts that the learner takes at it.
    pub(super) attempts: u64,
}

impl Cycle {
    /// How many times 40 events it makes.
    pub(super) const fn units(&self) -> u64 {
        self.attempts * self.items / 4
    }

    /// Whether the week's assessment is an exam.
    pub(super) const fn exam(&self) -> bool {
        self.items > 4
    }

    /// Attempts that the assessment allows.
    pub(super) const fn attempts_allowed(&self) -> u64 {
        if self.exam() { 1 } else { 2 }
    }
}

impl Plan {
    /// The smallest semester with at least so many events.
    pub(super) fn for_events(events: u64) -> Self {
        // A cycle makes 56 events on average; never start above what is needed.
        let mut cycles = (events / (2 * CYCLE_EVENTS)).max(1);
        loop {
            let plan = Self::of_cycles(cycles);
            let planned: u64 = (0..cycles)
                .map(|c| plan.cycle(c).units() * CYCLE_EVENTS)
                .sum();
            if planned >= events {
                return plan;
            }
            cycles += (events - planned).div_ceil(2 * CYCLE_EVENTS);
        }
    }

    /// A semester of so many cycles: everybody has one or two courses and a cycle a week. A short
    /// one still has a few learners, who then skip weeks.
    fn of_cycles(cycles: u64) -> Self {
        let enrolments = cycles.div_ceil(WEEKS).max(cycles.min(6));
        let learners = enrolments.div_ceil(2);
        Self {
            cycles,
            weeks: WEEKS.min(cycles),
            enrolments,
            learners,
            sections: enrolments.div_ceil(SECTION_LEARNERS).max(2),
        }
    }

    /// Weeks in which anything happens.
    pub(super) const fn weeks(&self) -> u64 {
        self.weeks
    }

    /// The cycles of a week.
    pub(super) const fn cycles_of(&self, week: u64) -> Range<u64> {
        (week * self.cycles).div_ceil(self.weeks)..((week + 1) * self.cycles).div_ceil(self.weeks)
    }

    /// Everything about a cycle that is not left to chance.
    pub(super) fn cycle(&self, number: u64) -> Cycle {
        let slot = number * self.weeks / self.cycles;
        // A semester with fewer cycles than weeks spreads over the whole term.
        let week = slot * WEEKS / self.weeks;
        let enrolment = number % self.enrolments;
        let learner = enrolment % self.learners;
        let first = learner % self.sections;
        let section = if enrolment < self.learners {
            first
        } else {
            (first + 1 + (learner / self.sections) % (self.sections - 1)) % self.sections
        };
        let exam = week % EXAM_EVERY_WEEKS == EXAM_EVERY_WEEKS - 1;
        let second_attempt = !exam && (week * 7 + enrolment * 3).is_multiple_of(5);
        let courses = COURSES.len() as u64;
        let course = usize::try_from(section % courses).unwrap_or(0);
        Cycle {
            week,
            learner,
            course: COURSES[course],
            section: section / courses + 1,
            items: if exam { 8 } else { 4 },
            attempts: if second_attempt { 2 } else { 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_cycle_lies_in_exactly_one_week() {
        for events in [1, 39, 40, 41, 1_000, 20_000, 333_333] {
            let plan = Plan::for_events(events);
            let listed: Vec<u64> = (0..plan.weeks()).flat_map(|w| plan.cycles_of(w)).collect();
            assert_eq!(
                listed,
                (0..plan.cycles).collect::<Vec<_>>(),
                "{events} events"
            );
        }
    }

    #[test]
    fn a_plan_is_large_enough_and_hardly_larger() {
        for events in [1, 40, 999, 20_000, 100_000] {
            let plan = Plan::for_events(events);
            let planned: u64 = (0..plan.cycles)
                .map(|c| plan.cycle(c).units() * CYCLE_EVENTS)
                .sum();
            assert!(planned >= events);
            assert!(
                planned < events + events / 20 + 12 * CYCLE_EVENTS,
                "{planned} for {events}"
            );
        }
    }

    #[test]
    fn nobody_takes_the_same_assessment_in_two_cycles() {
        let plan = Plan::for_events(50_000);
        let seen: BTreeSet<_> = (0..plan.cycles)
            .map(|c| plan.cycle(c))
            .map(|c| (c.week, c.learner, c.course.slug, c.section))
            .collect();
        assert_eq!(seen.len() as u64, plan.cycles);
    }
}
