//! What an event says of a learner's attempt at an assignment.
//!
//! Grade events (`GradeEvent`; `OutcomeEvent` before 1.2), assessment and assignable events, and a
//! tenant's own types that declare where their results are. Nothing is guessed: an event whose
//! learner is not named, or that names neither assignment nor attempt, says nothing of a result.
use std::borrow::Cow;

use serde::Serialize;

use crate::{
    check::{Checker, ObjectType, id, string},
    columns::{Columns, Score, number, score_of},
    names::UNKNOWN,
    policy::Profile,
    rules::keys,
    scan::NodeKind,
    time,
};

/// What an event says of one learner's attempt at one assignment. The section, the action and the
/// time are the event's own columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResultColumns<'a> {
    /// What was to be done: the id of `assignable`, or of an assessment event's object. At least
    /// one of this and `attempt` is there.
    pub assignment: Option<Cow<'a, str>>,
    /// Whose attempt: `assignee` (1.0: the attempt's `actor`), else, where learners act
    /// themselves, the event's actor.
    pub learner: Cow<'a, str>,
    /// The attempt's id.
    pub attempt: Option<Cow<'a, str>>,
    /// Which of the learner's attempts it is, as the attempt's `count` says.
    pub count: Option<u64>,
    /// The attempt that this one is a part of: an item's within an assessment's.
    pub part_of: Option<Cow<'a, str>>,
    /// The score, as sent.
    pub score: Option<Score>,
    /// Who or what scored it: `scoredBy`, else the actor of a grade event that is not the learner.
    pub scored_by: Option<Cow<'a, str>>,
    /// When the attempt began, milliseconds since 1970-01-01T00:00:00Z.
    pub started_at: Option<i64>,
    /// When the attempt ended or was submitted, milliseconds since 1970-01-01T00:00:00Z.
    pub submitted_at: Option<i64>,
    /// The attempt's `duration`, milliseconds. Years and months have no fixed length: none.
    pub duration_millis: Option<i64>,
}

/// Actions of an assignable event that are an instructor's and of no attempt.
const ADMINISTRATIVE: [&str; 4] = ["Activated", "Deactivated", "Hid", "Showed"];

/// What the event on the tape says of a result; `columns` are its others.
pub(crate) fn result<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    columns: &Columns<'a>,
) -> Option<Box<ResultColumns<'a>>> {
    let found = match columns.type_name.as_deref()? {
        "GradeEvent" | "OutcomeEvent" => graded(checker, profile, columns),
        "AssessmentEvent" | "AssignableEvent" => attempted(checker, columns),
        _ => return None,
    };
    placed(found, columns).map(Box::new)
}

/// A result with its place: when it was said, whose it is, and of what.
pub(crate) fn placed<'a>(
    found: ResultColumns<'a>,
    columns: &Columns<'a>,
) -> Option<ResultColumns<'a>> {
    columns.event_time?;
    let what = found.assignment.is_some() || found.attempt.is_some();
    (what && !found.learner.is_empty()).then_some(found)
}

/// A member by its name, which is one of the tables'.
fn named(checker: &Checker<'_, '_>, object: Option<usize>, name: &str) -> Option<usize> {
    let key = checker.tables.keys.find(name.as_bytes());
    debug_assert_ne!(key, UNKNOWN, "{name}");
    checker.member(object?, key)
}

fn is_object(checker: &Checker<'_, '_>, at: &usize) -> bool {
    checker.nodes[*at].kind == NodeKind::Object
}

/// An attempt by its type or, without one that is known, by what only attempts have.
fn is_attempt(checker: &Checker<'_, '_>, at: usize) -> bool {
    is_object(checker, &at)
        && match checker.object_type(at).0 {
            ObjectType::Known(number) => checker.tables.types.name(number) == "Attempt",
            _ => named(checker, Some(at), "assignable").is_some(),
        }
}

/// An instant in a string, milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn instant(checker: &Checker<'_, '_>, at: Option<usize>) -> Option<i64> {
    let text = string(checker.text, &checker.nodes[at?])?;
    time::date_time(text.as_bytes()).map(|t| t.millis)
}

/// An ISO 8601 duration, or (1.0) a number of seconds, in milliseconds.
pub(crate) fn duration(checker: &Checker<'_, '_>, at: Option<usize>) -> Option<i64> {
    let node = &checker.nodes[at?];
    if node.kind == NodeKind::String
        && let Some(millis) = string(checker.text, node).and_then(|t| time::duration_millis(&t))
    {
        return Some(millis);
    }
    let millis = number(checker, at)? * 1_000.0;
    // Beyond a million years no figure is a duration.
    (0.0..3.2e16)
        .contains(&millis)
        .then_some(millis.round() as i64)
}

/// A whole number, or a string that holds one.
pub(crate) fn count(checker: &Checker<'_, '_>, at: Option<usize>) -> Option<u64> {
    let number = number(checker, at)?;
    (number.fract() == 0.0 && (0.0..9.0e15).contains(&number)).then_some(number as u64)
}

/// What an attempt's object says of itself.
fn attempt<'a>(checker: &Checker<'a, '_>, node: Option<usize>) -> ResultColumns<'a> {
    let of = |name| named(checker, node, name);
    let learner = id(checker, of("assignee")).or_else(|| id(checker, of("actor")));
    ResultColumns {
        assignment: id(checker, of("assignable")),
        learner: learner.unwrap_or_default(),
        attempt: id(checker, node),
        count: count(checker, of("count")),
        part_of: id(checker, of("isPartOf")),
        started_at: instant(checker, of("startedAtTime")),
        submitted_at: instant(checker, of("endedAtTime")),
        duration_millis: duration(checker, of("duration")),
        ..ResultColumns::default()
    }
}

/// Grade and outcome events: the object is the attempt, the generated entity the score.
fn graded<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    columns: &Columns<'a>,
) -> ResultColumns<'a> {
    let object = checker.member(0, keys::OBJECT);
    let score = checker
        .member(0, keys::GENERATED)
        .map(|generated| score_of(checker, generated));
    let stated = named(checker, score, "attempt");
    // An IRI names the attempt and says no more; the score may have the attempt whole.
    let node = object
        .filter(|at| is_attempt(checker, *at))
        .or_else(|| stated.filter(|at| is_object(checker, at)));
    let mut found = attempt(checker, node);
    match object {
        // Another entity in the attempt's place is what was graded; Open edX has its problems
        // there and calls them attempts.
        Some(at)
            if is_object(checker, &at)
                && (profile == Profile::OpenEdx || !is_attempt(checker, at)) =>
        {
            if found.assignment.is_none() {
                found.assignment = id(checker, object);
                found.attempt = id(checker, stated);
            }
        }
        Some(_) => found.attempt = id(checker, object),
        None => found.attempt = id(checker, stated),
    }
    let or_score = |value: Option<Cow<'a, str>>, name| {
        value.or_else(|| id(checker, named(checker, score, name)))
    };
    found.assignment = or_score(found.assignment, "assignable");
    if found.learner.is_empty() {
        // A result of 1.0 names its learner. The actor is who graded, but in Open edX, where
        // the learner's own answer is what has the problem graded.
        let own = columns.actor.clone();
        let learner = or_score(None, "actor");
        let learner = learner.or_else(|| own.filter(|_| profile == Profile::OpenEdx));
        found.learner = learner.unwrap_or_default();
    }
    found.score = columns.score;
    if found.score.is_some() {
        let actor = columns.actor.clone().filter(|a| *a != found.learner);
        found.scored_by = or_score(None, "scoredBy").or(actor);
    }
    found
}

/// Assessment and assignable events: the object is the assignment, the generated entity the
/// attempt; with Canvas the object is the attempt.
fn attempted<'a>(checker: &Checker<'a, '_>, columns: &Columns<'a>) -> ResultColumns<'a> {
    let action = columns.action.as_deref().unwrap_or_default();
    if ADMINISTRATIVE.contains(&action) {
        return ResultColumns::default();
    }
    let object = checker.member(0, keys::OBJECT);
    let mut found = match object.filter(|at| is_attempt(checker, *at)) {
        Some(at) => attempt(checker, Some(at)),
        None => {
            let mut found = attempt(checker, checker.member(0, keys::GENERATED));
            found.assignment = id(checker, object).or(found.assignment);
            found
        }
    };
    // Who reviews need not be who attempted.
    if found.learner.is_empty() && action != "Reviewed" {
        found.learner = columns.actor.clone().unwrap_or_default();
    }
    match action {
        "Started" => found.started_at = found.started_at.or(columns.event_time),
        "Submitted" | "Completed" => {
            found.submitted_at = found.submitted_at.or(columns.event_time);
        }
        _ => {}
    }
    found
}
