//! Where a tenant's own type has its query columns and its results.
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{SchemaRefusal, refuse};
use crate::{
    check::{Checker, id},
    clock::unreadable_time,
    columns::{Columns, Score, instant, number},
    problem::Problem,
    report::{found, pointer},
    result::{self, ResultColumns},
    rules::keys,
    scan::NodeKind,
    text,
};

/// Bytes of a pointer: 64 levels of 8.
const POINTER_BYTES_MAX: usize = 512;

/// The pointers before those of a result.
const QUERY_COLUMNS: usize = 6;

/// Which properties of a domain event are its query columns, as JSON pointers to members of
/// objects. A column without a pointer is read where a Caliper event has it.
///
/// A type whose events say something of a learner's attempt at an assignment says where:
/// `assignment` or `attempt` makes its accepted events results. The learner is the actor where
/// `learner` is left out; the other parts of a result are only read where a pointer says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ColumnPointers {
    /// The event's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The actor's id, or an object that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The object's id, or an object that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The course's id, or an object that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// When, as RFC 3339 or as milliseconds since 1970 (13 digits).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    /// Of a result: the assignment's id, or an object that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    /// Of a result: the learner's id, or an object that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learner: Option<String>,
    /// Of a result: the attempt's id, or an object that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// Of a result: which of the learner's attempts it is, a whole number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// Of a result: the score, a number or a string that holds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_given: Option<String>,
    /// Of a result: the most that the score can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_score: Option<String>,
    /// Of a result: who or what scored it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scored_by: Option<String>,
    /// Of a result: when the attempt began, in the same forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at_time: Option<String>,
    /// Of a result: when the attempt ended or was submitted, in the same forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at_time: Option<String>,
    /// Of a result: the time spent, an ISO 8601 duration or a number of seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

impl ColumnPointers {
    fn all(&self) -> [(&'static str, &Option<String>); 16] {
        [
            ("id", &self.id),
            ("actor", &self.actor),
            ("object", &self.object),
            ("group", &self.group),
            ("action", &self.action),
            ("eventTime", &self.event_time),
            ("assignment", &self.assignment),
            ("learner", &self.learner),
            ("attempt", &self.attempt),
            ("count", &self.count),
            ("scoreGiven", &self.score_given),
            ("maxScore", &self.max_score),
            ("scoredBy", &self.scored_by),
            ("startedAtTime", &self.started_at_time),
            ("endedAtTime", &self.ended_at_time),
            ("duration", &self.duration),
        ]
    }

    /// Whether events of the type are results.
    fn makes_results(&self) -> bool {
        self.assignment.is_some() || self.attempt.is_some()
    }

    /// Refuses what is no pointer, and parts of a result that no result could have.
    pub(super) fn check(&self) -> Result<(), SchemaRefusal> {
        for (name, pointer) in self.all() {
            let Some(pointer) = pointer else { continue };
            if !pointer.starts_with('/') || pointer.len() > POINTER_BYTES_MAX {
                let shown = text::shorten(pointer);
                let message = format!("the column {name} should be a JSON pointer, is {shown:?}");
                return Err(refuse("", message));
            }
        }
        let all = self.all();
        let mut of_a_result = all.iter().skip(QUERY_COLUMNS);
        match of_a_result.find(|(_, pointer)| pointer.is_some()) {
            Some((name, _)) if !self.makes_results() => Err(refuse(
                "",
                format!("the column {name} is of a result, which wants an assignment or attempt"),
            )),
            _ => Ok(()),
        }
    }

    /// Puts the type's own columns in the place of Caliper's.
    pub(super) fn take<'a>(&self, checker: &Checker<'a, '_>, columns: &mut Columns<'a>) {
        let find = |pointer: &Option<String>| pointer.as_ref().map(|p| resolve(checker, p));
        for (column, pointer) in [
            (&mut columns.id, &self.id),
            (&mut columns.actor, &self.actor),
            (&mut columns.object, &self.object),
            (&mut columns.group, &self.group),
            (&mut columns.action, &self.action),
        ] {
            if let Some(at) = find(pointer) {
                *column = id(checker, at);
            }
        }
        if let Some(at) = find(&self.event_time) {
            columns.event_time = instant(checker, at);
        }
        if self.makes_results() {
            let found = self.result(checker, columns);
            columns.score = found.score;
            columns.result = result::placed(found, columns).map(Box::new);
        }
    }

    /// The findings about times that are there, by a pointer or where a Caliper event has its own, and
    /// cannot be read.
    pub(super) fn unreadable_times(&self, checker: &Checker<'_, '_>) -> Vec<Problem> {
        let own = match &self.event_time {
            Some(pointer) => resolve(checker, pointer),
            None => checker.member(0, keys::EVENT_TIME),
        };
        let of_result = [&self.started_at_time, &self.ended_at_time];
        let of_result = of_result.map(|pointer| resolve(checker, pointer.as_ref()?));
        let there = [own].into_iter().chain(of_result).flatten();
        let unreadable = there.filter(|at| {
            checker.nodes[*at].kind != NodeKind::Null && instant(checker, Some(*at)).is_none()
        });
        unreadable
            .map(|at| {
                let place = pointer(checker.text, checker.nodes, at);
                unreadable_time(place, &found(checker.text, &checker.nodes[at]))
            })
            .collect()
    }

    fn result<'a>(&self, checker: &Checker<'a, '_>, columns: &Columns<'a>) -> ResultColumns<'a> {
        let at = |pointer: &Option<String>| resolve(checker, pointer.as_ref()?);
        let text = |pointer: &Option<String>| -> Option<Cow<'a, str>> { id(checker, at(pointer)) };
        let learner = match &self.learner {
            Some(_) => text(&self.learner),
            None => columns.actor.clone(),
        };
        let score = number(checker, at(&self.score_given)).map(|given| Score {
            given,
            maximum: number(checker, at(&self.max_score)),
        });
        ResultColumns {
            assignment: text(&self.assignment),
            learner: learner.unwrap_or_default(),
            attempt: text(&self.attempt),
            count: result::count(checker, at(&self.count)),
            part_of: None,
            score,
            cleared: false,
            scored_by: text(&self.scored_by).filter(|_| score.is_some()),
            started_at: instant(checker, at(&self.started_at_time)),
            submitted_at: instant(checker, at(&self.ended_at_time)),
            duration_millis: result::duration(checker, at(&self.duration)),
        }
    }
}

/// The node at a JSON pointer through objects.
fn resolve(checker: &Checker<'_, '_>, pointer: &str) -> Option<usize> {
    pointer.split('/').skip(1).try_fold(0, |at, token| {
        let key = token.replace("~1", "/").replace("~0", "~");
        (checker.nodes[at].kind == NodeKind::Object)
            .then(|| checker.free_member(at, &key))
            .flatten()
    })
}
