//! What an event says of a learner's attempt at an assignment.
//!
//! Grade events (`GradeEvent`; `OutcomeEvent` before 1.2), assessment and assignable events, and a
//! tenant's own types that declare where their results are. Nothing is guessed: an event whose
//! learner is not named, or that names neither assignment nor attempt, says nothing of a result.
use std::{borrow::Cow, sync::LazyLock};

use serde::Serialize;

use crate::{
    check::{Checker, ObjectType, id, string},
    columns::{Columns, Score, instant, number},
    duration::duration_millis,
    policy::Profile,
    rules::{TABLES, keys},
    scan::NodeKind,
    score::{is_cleared, score_of},
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
    /// A grade event whose generated score has none: the one before it is taken back.
    pub cleared: bool,
    /// Who or what scored it: `scoredBy`, else the actor of a grade event that is not the learner.
    pub scored_by: Option<Cow<'a, str>>,
    /// When the attempt began, milliseconds since 1970-01-01T00:00:00Z.
    pub started_at: Option<i64>,
    /// When the attempt ended or was submitted, milliseconds since 1970-01-01T00:00:00Z.
    pub submitted_at: Option<i64>,
    /// The attempt's `duration`, milliseconds. Years and months have no fixed length: none.
    pub duration_millis: Option<i64>,
}

/// Numbers of the keys that only results look at. They are the tables' own: the engine's keys come
/// first in the tables and are looked up for every event.
struct OwnKeys {
    assignable: u16,
    assignee: u16,
    attempt: u16,
    count: u16,
    started_at_time: u16,
    ended_at_time: u16,
    duration: u16,
    scored_by: u16,
}

static OWN_KEYS: LazyLock<OwnKeys> = LazyLock::new(|| {
    let number = |name: &str| TABLES.keys.find(name.as_bytes());
    OwnKeys {
        assignable: number("assignable"),
        assignee: number("assignee"),
        attempt: number("attempt"),
        count: number("count"),
        started_at_time: number("startedAtTime"),
        ended_at_time: number("endedAtTime"),
        duration: number("duration"),
        scored_by: number("scoredBy"),
    }
});

/// Actions of an assignable event that are an instructor's and of no attempt.
const ADMINISTRATIVE: [&str; 4] = ["Activated", "Deactivated", "Hid", "Showed"];

/// What the event on the tape says of a result; `columns` are its others.
pub(crate) fn result<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    columns: &Columns<'a>,
) -> Option<Box<ResultColumns<'a>>> {
    match columns.type_name.as_deref()? {
        "GradeEvent" | "OutcomeEvent" => of_grade(checker, profile, columns),
        "AssessmentEvent" | "AssignableEvent" => of_attempt(checker, profile, columns),
        _ => None,
    }
}

// Neither is inlined: their locals would widen the frame in which every event is judged.
#[inline(never)]
fn of_grade<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    columns: &Columns<'a>,
) -> Option<Box<ResultColumns<'a>>> {
    placed(graded(checker, profile, columns), columns).map(Box::new)
}

#[inline(never)]
fn of_attempt<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    columns: &Columns<'a>,
) -> Option<Box<ResultColumns<'a>>> {
    placed(attempted(checker, profile, columns), columns).map(Box::new)
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

fn is_object(checker: &Checker<'_, '_>, at: &usize) -> bool {
    checker.nodes[*at].kind == NodeKind::Object
}

/// An attempt by its type or, without one that is known, by what only attempts have.
fn is_attempt(checker: &Checker<'_, '_>, at: usize) -> bool {
    is_object(checker, &at)
        && match checker.object_type(at).0 {
            ObjectType::Known(number) => checker.tables.types.name(number) == "Attempt",
            _ => checker.member(at, OWN_KEYS.assignable).is_some(),
        }
}

/// An ISO 8601 duration, or (1.0) a number of seconds, in milliseconds.
pub(crate) fn duration(checker: &Checker<'_, '_>, at: Option<usize>) -> Option<i64> {
    let node = &checker.nodes[at?];
    if node.kind == NodeKind::String
        && let Some(millis) = string(checker.text, node).and_then(|t| duration_millis(&t))
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
    let node = &checker.nodes[at?];
    if let Ok(whole) = checker.text[node.start as usize..node.end as usize].parse() {
        return matches!(node.kind, NodeKind::Number | NodeKind::String).then_some(whole);
    }
    let number = number(checker, at)?;
    (number.fract() == 0.0 && (0.0..9.0e15).contains(&number)).then_some(number as u64)
}

/// What an attempt says of itself: all of an object, of an IRI itself.
fn attempt<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    node: Option<usize>,
) -> ResultColumns<'a> {
    let mut found = ResultColumns {
        attempt: id(checker, node),
        ..ResultColumns::default()
    };
    let Some(object) = node.filter(|at| is_object(checker, at)) else {
        return found;
    };
    let own = &*OWN_KEYS;
    let (mut assignee, mut actor) = (None, None);
    let end = checker.nodes[object].next as usize;
    let mut at = object + 1;
    while at < end {
        let member = Some(at);
        match checker.nodes[at].name {
            name if name == own.assignable => found.assignment = id(checker, member),
            name if name == own.assignee => assignee = id(checker, member),
            keys::ACTOR => actor = id(checker, member),
            name if name == own.count => found.count = count(checker, member),
            keys::IS_PART_OF => found.part_of = id(checker, member),
            name if name == own.started_at_time => found.started_at = instant(checker, member),
            name if name == own.ended_at_time => found.submitted_at = instant(checker, member),
            name if name == own.duration => found.duration_millis = duration(checker, member),
            _ => {}
        }
        at = checker.nodes[at].next as usize;
    }
    found.learner = assignee.or(actor).unwrap_or_default();
    if profile == Profile::OpenEdx {
        extended(checker, object, &mut found);
    }
    found
}

/// What Open edX says of an attempt in its extensions, where the attempt itself does not.
fn extended<'a>(checker: &Checker<'a, '_>, object: usize, found: &mut ResultColumns<'a>) {
    let Some(extensions) = checker.member(object, keys::EXTENSIONS) else {
        return;
    };
    let at = |key| checker.member(extensions, key);
    if found.assignment.is_none() {
        found.assignment = id(checker, at(OWN_KEYS.assignable));
    }
    if found.learner.is_empty() {
        found.learner = id(checker, at(OWN_KEYS.assignee)).unwrap_or_default();
    }
    found.count = found.count.or_else(|| count(checker, at(OWN_KEYS.count)));
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
    let of_score = |key| checker.member(score?, key);
    let stated = of_score(OWN_KEYS.attempt);
    // An IRI names the attempt and says no more; the score may have the attempt whole.
    let node = object
        .filter(|at| is_attempt(checker, *at))
        .or_else(|| stated.filter(|at| is_object(checker, at)));
    let mut found = attempt(checker, profile, node);
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
    if found.assignment.is_none() {
        found.assignment = id(checker, of_score(OWN_KEYS.assignable));
    }
    if found.learner.is_empty() {
        // A result of 1.0 names its learner. The actor is who graded, but in Open edX, where
        // the learner's own answer is what has the problem graded.
        let own = || {
            columns
                .actor
                .clone()
                .filter(|_| profile == Profile::OpenEdx)
        };
        let learner = id(checker, of_score(keys::ACTOR)).or_else(own);
        found.learner = learner.unwrap_or_default();
    }
    found.score = columns.score;
    found.cleared = score.is_some_and(|score| is_cleared(checker, score));
    if profile == Profile::Moodle10 {
        name_learner(&mut found, columns.actor.as_deref());
    }
    if found.score.is_some() || found.cleared {
        let actor = || columns.actor.clone().filter(|a| *a != found.learner);
        found.scored_by = id(checker, of_score(OWN_KEYS.scored_by)).or_else(actor);
    }
    found
}

/// The user in a person's IRI of the form `…/user/{user}`.
fn user_of(person: &str) -> Option<&str> {
    let (before, user) = person.rsplit_once('/')?;
    before.ends_with("/user").then_some(user)
}

/// Moodle names the grader in the attempt's id (`…/user/{grader}/attempt/{number}`), and the
/// learner in that of the same attempt's submission: the id with the learner is the attempt's.
fn name_learner(found: &mut ResultColumns<'_>, grader: Option<&str>) {
    let renamed = (|| {
        let (before, number) = found.attempt.as_deref()?.rsplit_once("/attempt/")?;
        let named = user_of(before)?;
        let learner = user_of(&found.learner)?;
        let place = before.strip_suffix(named)?;
        (user_of(grader?) == Some(named) && named != learner)
            .then(|| format!("{place}{learner}/attempt/{number}"))
    })();
    if let Some(attempt) = renamed {
        found.attempt = Some(Cow::Owned(attempt));
    }
}

/// Assessment and assignable events: the object is the assignment, the generated entity the
/// attempt; with Canvas the object is the attempt.
fn attempted<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    columns: &Columns<'a>,
) -> ResultColumns<'a> {
    let action = columns.action.as_deref().unwrap_or_default();
    if ADMINISTRATIVE.contains(&action) {
        return ResultColumns::default();
    }
    let object = checker.member(0, keys::OBJECT);
    let mut found = match object.filter(|at| is_attempt(checker, *at)) {
        Some(at) => attempt(checker, profile, Some(at)),
        None => {
            let mut found = attempt(checker, profile, checker.member(0, keys::GENERATED));
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
