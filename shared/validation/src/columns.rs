//! What queries ask for, taken from an event that stays as it was sent.
use std::borrow::Cow;

use serde::Serialize;

use crate::{
    check::{Checker, id, own_id, string},
    course::course,
    names::UNKNOWN,
    policy::Profile,
    result::ResultColumns,
    rules::{Version, keys},
    scan::{Node, NodeKind},
    score::{score, score_of},
    time,
};

/// What an item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Caliper event.
    Event,
    /// A Caliper entity describe.
    Entity,
    /// An event of a type that the tenant registered.
    Domain,
    /// Neither: kept as it is.
    #[default]
    Opaque,
}

/// A score as sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// `scoreGiven` (1.2, 1.1) or the total (1.0).
    pub given: f64,
    /// `maxScore`; where that is missing or 0, the assignable's, when that is more.
    pub maximum: Option<f64>,
}

/// The query columns of one item. A missing or unusable value is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Columns<'a> {
    /// What the item is.
    pub kind: Kind,
    /// The event's or entity's id.
    pub id: Option<Cow<'a, str>>,
    /// The short term of the type (`AssessmentEvent`), also for 1.0's full IRIs.
    pub type_name: Option<Cow<'a, str>>,
    /// The short term of the action (`Started`), also for 1.0's full IRIs.
    pub action: Option<Cow<'a, str>>,
    /// The actor's id.
    pub actor: Option<Cow<'a, str>>,
    /// The object's id.
    pub object: Option<Cow<'a, str>>,
    /// The course or section: `group`, else `membership.organization` (of a team: the course that
    /// it lies in), else the course that `object` is a part of, by `isPartOf` or in its extensions.
    pub group: Option<Cow<'a, str>>,
    /// `eventTime` in milliseconds since 1970-01-01T00:00:00Z.
    pub event_time: Option<i64>,
    /// The generated (or, in 1.0, the object's) score.
    pub score: Option<Score>,
    /// What an accepted event says of a learner's attempt at an assignment.
    pub result: Option<Box<ResultColumns<'a>>>,
}

/// A number, or a string that holds one.
pub(crate) fn number(checker: &Checker<'_, '_>, at: Option<usize>) -> Option<f64> {
    let node = &checker.nodes[at?];
    if !matches!(node.kind, NodeKind::Number | NodeKind::String) {
        return None;
    }
    let number: f64 = checker.text[node.start as usize..node.end as usize]
        .parse()
        .ok()?;
    number.is_finite().then_some(number)
}

/// An instant, milliseconds since 1970-01-01T00:00:00Z: a date and time with a zone, or the 13 digits of
/// milliseconds, as a number or a string.
pub(crate) fn instant(checker: &Checker<'_, '_>, at: Option<usize>) -> Option<i64> {
    instant_in(checker.text, &checker.nodes[at?])
}

/// The same of a node of any text.
pub(crate) fn instant_in(text: &str, node: &Node) -> Option<i64> {
    match node.kind {
        NodeKind::String => {
            let text = string(text, node)?;
            time::read_instant(text.as_bytes()).or_else(|| time::epoch_millis(text.as_bytes()))
        }
        NodeKind::Number => {
            time::epoch_millis(&text.as_bytes()[node.start as usize..node.end as usize])
        }
        _ => None,
    }
}

/// A term of Caliper, without the vocabulary's IRI before it.
pub(crate) fn term<'a>(name: Cow<'a, str>) -> Cow<'a, str> {
    if !name.starts_with("http://purl.imsglobal.org/")
        && !name.starts_with("https://purl.imsglobal.org/")
    {
        return name;
    }
    let from = name.rfind(['#', '/']).map_or(0, |at| at + 1);
    match name {
        Cow::Borrowed(text) => Cow::Borrowed(&text[from..]),
        Cow::Owned(text) => Cow::Owned(text[from..].to_owned()),
    }
}

/// Takes the columns from the item's tape.
pub(crate) fn columns<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    version: Version,
    kind: Kind,
) -> Columns<'a> {
    let text_of = |key: u16| {
        checker
            .member(0, key)
            .and_then(|at| string(checker.text, &checker.nodes[at]))
    };
    let type_name = text_of(version.type_key())
        .or_else(|| text_of(keys::TYPE))
        .or_else(|| text_of(keys::AT_TYPE));
    let mut columns = Columns {
        kind,
        id: own_id(checker, 0),
        type_name: type_name.map(|name| {
            match checker.tables.type_number(version, name.as_bytes()) {
                UNKNOWN => term(name),
                number => Cow::Borrowed(checker.tables.types.name(number)),
            }
        }),
        ..Columns::default()
    };
    if kind == Kind::Entity {
        return columns;
    }
    let object = checker.member(0, keys::OBJECT);
    columns.action = text_of(keys::ACTION).map(term);
    columns.actor = id(checker, checker.member(0, keys::ACTOR));
    columns.object = id(checker, object);
    columns.group = course(checker, profile, object);
    columns.event_time = instant(checker, checker.member(0, keys::EVENT_TIME));
    columns.score = checker
        .member(0, keys::GENERATED)
        .and_then(|generated| score(checker, profile, score_of(checker, generated)));
    columns
}
