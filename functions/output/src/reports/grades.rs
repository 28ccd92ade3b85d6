//! A section's grade table: learner by assignment.

use super::assignments::{part_of, percent};
use super::{Cell, Report, Sheet, rfc3339_if_any};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::limits::{PAGE_BYTES_MAX, RESULT_SLOTS, RESULTS_READ_MAX};
use vernier_ledger::results::{Cause, ResultItem, ResultKey, ResultList, id_digest};
use vernier_ledger::time::Millis;

/// A grade in the answer, bytes.
const GRADE_BYTES: usize = 160;

/// What of an answer is left for grades, bytes: the rest is the assignments' ids.
const GRADES_BYTES_MAX: usize = PAGE_BYTES_MAX / 4 * 3;

/// Where a learner stands with an assignment: the attempt with the latest score, or the latest
/// where none is scored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grade {
    /// The score.
    pub score: Option<f64>,
    /// The most that it can be.
    pub maximum: Option<f64>,
    /// The score in hundredths of the maximum.
    pub percent: Option<f64>,
    /// How many attempts events name, at least one.
    pub attempts: u64,
    /// The action of the last event about the attempt.
    pub status: Option<String>,
    /// When it ended. Events that name no section are left out: those of all learners and sections lie
    /// together, so that a read which is bounded could miss any of them.
    #[serde(serialize_with = "rfc3339_if_any")]
    pub submitted_at: Option<Millis>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LearnerGrades {
    /// The learner.
    pub learner: String,
    /// One for each assignment, in the table's order.
    pub grades: Vec<Option<Grade>>,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GradesReport {
    /// The section; none where events name none.
    pub section: Option<String>,
    /// The assignments, by id. Attempts of which no event names the assignment are left out.
    pub assignments: Vec<String>,
    /// The learners, by id.
    pub learners: Vec<LearnerGrades>,
    /// Whether there are more learners: ask again with `after` set to the last one.
    pub more: bool,
}

/// Of the attempts at one assignment the one that counts, and how many there are.
#[derive(Debug)]
struct Standing<'a> {
    counts: &'a ResultItem,
    attempts: u64,
}

/// The attempt with the greater one counts: a score before none, then the later event.
fn weight(item: &ResultItem) -> (Option<&Cause>, Option<&Cause>) {
    let registers = &item.registers;
    let causes = [
        registers.status.as_ref().map(|r| &r.cause),
        registers.started.as_ref().map(|r| &r.cause),
        registers.submitted.as_ref().map(|r| &r.cause),
        registers.count.as_ref().map(|r| &r.cause),
    ];
    let latest = causes.into_iter().flatten().max();
    let scored = registers.score.as_ref();
    let scored = scored.filter(|score| score.value.given.is_some());
    // A score that was taken back is none; that it was is still an event about the attempt.
    let cleared = registers.score.as_ref().map(|score| &score.cause);
    (scored.map(|score| &score.cause), latest.max(cleared))
}

impl<'a> Standing<'a> {
    const fn new(item: &'a ResultItem) -> Self {
        Self {
            counts: item,
            attempts: 0,
        }
    }

    fn add(&mut self, item: &'a ResultItem) {
        self.attempts += u64::from(item.key.attempt.is_some());
        if weight(item) > weight(self.counts) {
            self.counts = item;
        }
    }

    fn grade(&self) -> Grade {
        let registers = &self.counts.registers;
        let score = registers.score.as_ref().map(|r| &r.value);
        Grade {
            score: score.and_then(|s| s.given),
            maximum: score.and_then(|s| s.maximum),
            percent: score.and_then(percent),
            attempts: self.attempts.max(1),
            status: registers.status.as_ref().map(|r| r.value.action.clone()),
            submitted_at: registers.submitted.as_ref().and_then(|r| r.value.at),
        }
    }
}

/// Learners of whom a read that ended early may have left something out: it reads each slot in the
/// order of the digests of ids.
fn cut_learners(list: &ResultList) -> BTreeSet<&str> {
    let mut slots: BTreeMap<u8, (usize, String, &str)> = BTreeMap::new();
    for item in list.items.iter().filter(|_| list.more) {
        let learner = item.key.learner.as_str();
        let digest = id_digest(Some(learner));
        let slot = slots.entry(ResultKey::slot_of(learner)).or_default();
        slot.0 += 1;
        if digest >= slot.1 {
            (slot.1, slot.2) = (digest, learner);
        }
    }
    let most = RESULTS_READ_MAX / usize::from(RESULT_SLOTS);
    let full = slots.into_values().filter(|slot| slot.0 >= most);
    full.map(|(_, _, learner)| learner).collect()
}

impl GradesReport {
    /// From a section's results, of the learners behind `after`.
    #[must_use]
    pub fn of(section: Option<&str>, after: Option<&str>, list: &ResultList) -> Self {
        let cut = cut_learners(list);
        let mut table: BTreeMap<&str, BTreeMap<&str, Standing<'_>>> = BTreeMap::new();
        let mut assignments: BTreeSet<&str> = BTreeSet::new();
        let wholes = list.items.iter().filter(|item| part_of(item).is_none());
        for item in wholes {
            let learner = item.key.learner.as_str();
            let Some(assignment) = item.key.assignment.as_deref() else {
                continue;
            };
            assignments.insert(assignment);
            if !cut.contains(learner) && after.is_none_or(|after| after < learner) {
                let row = table.entry(learner).or_default();
                let standing = row.entry(assignment);
                standing.or_insert_with(|| Standing::new(item)).add(item);
            }
        }
        let (mut bytes, mut more) = (0, list.more);
        let mut learners = Vec::new();
        for (learner, row) in table {
            bytes += 64 + learner.len() + GRADE_BYTES * row.len() + 5 * assignments.len();
            if bytes > GRADES_BYTES_MAX && !learners.is_empty() {
                more = true;
                break;
            }
            let grade = |assignment: &&str| row.get(assignment).map(Standing::grade);
            learners.push(LearnerGrades {
                learner: learner.to_owned(),
                grades: assignments.iter().map(grade).collect(),
            });
        }
        Self {
            section: section.map(str::to_owned),
            assignments: assignments.into_iter().map(str::to_owned).collect(),
            learners,
            more,
        }
    }
}

impl Report for GradesReport {
    /// A row for each grade.
    fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new([
            "learner",
            "assignment",
            "score",
            "maximum",
            "percent",
            "attempts",
            "status",
            "submitted_at",
        ]);
        for row in &self.learners {
            for (assignment, grade) in self.assignments.iter().zip(&row.grades) {
                let Some(grade) = grade else { continue };
                sheet.row([
                    Cell::from(row.learner.as_str()),
                    assignment.as_str().into(),
                    grade.score.into(),
                    grade.maximum.into(),
                    grade.percent.into(),
                    grade.attempts.into(),
                    grade.status.as_deref().into(),
                    grade.submitted_at.into(),
                ]);
            }
        }
        sheet
    }

    fn more(&self) -> bool {
        self.more
    }
}
