//! A learner's assignments in a section: each attempt, with its items' under it.

use super::{Cell, Report, Sheet, rfc3339_if_any};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use vernier_ledger::results::{ResultItem, ResultList, Score};
use vernier_ledger::time::Millis;

/// One attempt, or an item's within it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct AttemptView {
    /// Of an item's attempt: the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Its id; none where events name only the assignment.
    pub attempt: Option<String>,
    /// Which of the learner's attempts it is.
    pub count: Option<u64>,
    /// The action of the last event about it.
    pub status: Option<String>,
    /// The score.
    pub score: Option<f64>,
    /// The most that it can be.
    pub maximum: Option<f64>,
    /// The score in hundredths of the maximum.
    pub percent: Option<f64>,
    /// Who or what scored it.
    pub scored_by: Option<String>,
    /// When: the time of the event that says so, or that takes the score back.
    #[serde(serialize_with = "rfc3339_if_any")]
    pub scored_at: Option<Millis>,
    /// When it began.
    #[serde(serialize_with = "rfc3339_if_any")]
    pub started_at: Option<Millis>,
    /// When it ended.
    #[serde(serialize_with = "rfc3339_if_any")]
    pub submitted_at: Option<Millis>,
    /// The time spent, as its duration says it.
    pub time_spent_seconds: Option<f64>,
    /// Its items' attempts.
    pub parts: Vec<Self>,
}

/// One assignment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssignmentView {
    /// Its id; none for attempts of which no event names the assignment.
    pub assignment: Option<String>,
    /// The learner's attempts, in their order.
    pub attempts: Vec<AttemptView>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssignmentsReport {
    /// The section; none where events name none.
    pub section: Option<String>,
    /// The learner.
    pub learner: String,
    /// By id.
    pub assignments: Vec<AssignmentView>,
    /// Whether there are more than one read gives back.
    pub more: bool,
}

/// Milliseconds as seconds.
pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

/// To four decimals, of a score of -0 too 0; none without a score or a maximum over zero, and beyond a
/// double's range.
pub(super) fn percent(score: &Score) -> Option<f64> {
    let maximum = score.maximum.filter(|maximum| *maximum > 0.0)?;
    let percent = (score.given? / maximum * 1e6).round() / 1e4;
    // -0 and 0 are 0.
    percent.is_finite().then_some(percent + 0.0)
}

/// The attempt that this one is a part of.
pub(super) fn part_of(item: &ResultItem) -> Option<&str> {
    let whole = item.registers.count.as_ref()?.value.part_of.as_deref();
    whole.filter(|whole| item.key.attempt.as_deref() != Some(whole))
}

impl AttemptView {
    fn of(item: &ResultItem, is_part: bool) -> Self {
        let registers = &item.registers;
        let score = registers.score.as_ref();
        let submitted = registers.submitted.as_ref().map(|r| &r.value);
        Self {
            item: item.key.assignment.clone().filter(|_| is_part),
            attempt: item.key.attempt.clone(),
            count: registers.count.as_ref().and_then(|r| r.value.count),
            status: registers.status.as_ref().map(|r| r.value.action.clone()),
            score: score.and_then(|r| r.value.given),
            maximum: score.and_then(|r| r.value.maximum),
            percent: score.and_then(|r| percent(&r.value)),
            scored_by: score.and_then(|r| r.value.by.clone()),
            scored_at: score.map(|r| r.cause.event_time()),
            started_at: registers.started.as_ref().map(|r| r.value.at),
            submitted_at: submitted.and_then(|s| s.at),
            time_spent_seconds: submitted.and_then(|s| s.duration_millis).map(seconds),
            parts: Vec::new(),
        }
    }

    /// Takes an end that events tell without naming an attempt for the last attempt's, where that has
    /// none: Open edX numbers its tries where it grades them, and not where they are submitted.
    fn place_unnamed_end(attempts: &mut Vec<Self>) {
        let unnamed = attempts.iter().position(|view| {
            let only_ended = view.score.is_none() && view.started_at.is_none();
            view.attempt.is_none()
                && only_ended
                && view.submitted_at.is_some()
                && view.parts.is_empty()
        });
        let last = attempts.iter().rposition(|view| view.attempt.is_some());
        if let (Some(unnamed), Some(last)) = (unnamed, last)
            && attempts[last].submitted_at.is_none()
        {
            attempts[last].submitted_at = attempts[unnamed].submitted_at;
            attempts.remove(unnamed);
        }
    }

    /// Attempts in their order, those without a number last.
    fn sort(attempts: &mut [Self]) {
        let last = Millis(i64::MAX);
        attempts.sort_by_cached_key(|a| {
            let number = a.count.unwrap_or(u64::MAX);
            let begin = a.started_at.unwrap_or(last);
            (a.item.clone(), number, begin, a.attempt.clone())
        });
    }
}

/// What a result lies under.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Root<'a> {
    /// A result: itself, or the attempt that it is a part of, by its place in the list.
    Result(usize),
    /// An attempt of which there is no result of its own.
    Unknown(&'a str),
}

/// Follows what is a part of what. Where that goes in a circle nothing is a part.
fn root<'a>(items: &'a [ResultItem], by_attempt: &HashMap<&str, usize>, start: usize) -> Root<'a> {
    let mut at = start;
    let mut seen = HashSet::from([start]);
    while let Some(whole) = part_of(&items[at]) {
        match by_attempt.get(whole) {
            None => return Root::Unknown(whole),
            Some(next) if seen.insert(*next) => at = *next,
            Some(_) => return Root::Result(start),
        }
    }
    Root::Result(at)
}

impl AssignmentsReport {
    /// From a learner's results in the section.
    #[must_use]
    pub fn of(section: Option<&str>, learner: &str, list: &ResultList) -> Self {
        let items = &list.items;
        let mut by_attempt: HashMap<&str, usize> = HashMap::new();
        for (at, item) in items.iter().enumerate() {
            if let Some(attempt) = item.key.attempt.as_deref() {
                by_attempt.entry(attempt).or_insert(at);
            }
        }
        let mut roots: BTreeMap<Root<'_>, (Option<String>, AttemptView)> = BTreeMap::new();
        let mut parts = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let root = root(items, &by_attempt, at);
            if root == Root::Result(at) {
                let view = AttemptView::of(item, false);
                roots.insert(root, (item.key.assignment.clone(), view));
            } else {
                parts.push((root, AttemptView::of(item, true)));
            }
        }
        for (root, part) in parts {
            let whole = match root {
                Root::Unknown(attempt) => Some(attempt.to_owned()),
                Root::Result(_) => None,
            };
            let (_, view) = roots.entry(root).or_default();
            view.attempt = view.attempt.take().or(whole);
            view.parts.push(part);
        }
        let mut assignments: BTreeMap<Option<String>, Vec<AttemptView>> = BTreeMap::new();
        for (assignment, mut view) in roots.into_values() {
            AttemptView::sort(&mut view.parts);
            assignments.entry(assignment).or_default().push(view);
        }
        let view = |(assignment, mut attempts): (_, Vec<_>)| {
            AttemptView::sort(&mut attempts);
            AttemptView::place_unnamed_end(&mut attempts);
            AssignmentView {
                assignment,
                attempts,
            }
        };
        Self {
            section: section.map(str::to_owned),
            learner: learner.to_owned(),
            assignments: assignments.into_iter().map(view).collect(),
            more: list.more,
        }
    }
}

impl Report for AssignmentsReport {
    fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new([
            "assignment",
            "item",
            "attempt",
            "part_of",
            "count",
            "status",
            "score",
            "maximum",
            "percent",
            "scored_by",
            "scored_at",
            "started_at",
            "submitted_at",
            "time_spent_seconds",
        ]);
        for assignment in &self.assignments {
            for whole in &assignment.attempts {
                for view in std::iter::once(whole).chain(&whole.parts) {
                    let is_part = !std::ptr::eq(view, whole);
                    sheet.row([
                        Cell::from(assignment.assignment.as_deref()),
                        view.item.as_deref().into(),
                        view.attempt.as_deref().into(),
                        whole.attempt.as_deref().filter(|_| is_part).into(),
                        view.count.into(),
                        view.status.as_deref().into(),
                        view.score.into(),
                        view.maximum.into(),
                        view.percent.into(),
                        view.scored_by.as_deref().into(),
                        view.scored_at.into(),
                        view.started_at.into(),
                        view.submitted_at.into(),
                        view.time_spent_seconds.into(),
                    ]);
                }
            }
        }
        sheet
    }

    fn more(&self) -> bool {
        self.more
    }
}
