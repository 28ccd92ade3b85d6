//! What queries ask for, taken from an event that stays as it was sent.
use std::borrow::Cow;

use serde::Serialize;

use crate::{
    check::{Checker, id, own_id, string},
    names::UNKNOWN,
    result::ResultColumns,
    rules::{Version, keys},
    scan::{Node, NodeKind},
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
    /// `scoreGiven` (1.2, 1.1) or `totalScore` (1.0).
    pub given: f64,
    /// `maxScore`, when there is one.
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
    /// The course or section: `group`, else `membership.organization`, `object.isPartOf`,
    /// `object.extensions.isPartOf`.
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

/// The entity that holds the score: the generated one, or (Open edX) its `score`.
pub(crate) fn score_of(checker: &Checker<'_, '_>, generated: usize) -> usize {
    const GIVEN: [u16; 3] = [keys::SCORE_GIVEN, keys::RESULT_SCORE, keys::TOTAL_SCORE];
    if GIVEN
        .iter()
        .any(|key| checker.member(generated, *key).is_some())
    {
        return generated;
    }
    checker
        .free_member(generated, "score")
        .filter(|at| checker.nodes[*at].kind == NodeKind::Object)
        .unwrap_or(generated)
}

fn score(checker: &Checker<'_, '_>, generated: usize) -> Option<Score> {
    const FORMS: [(u16, u16); 3] = [
        (keys::SCORE_GIVEN, keys::MAX_SCORE),
        (keys::RESULT_SCORE, keys::MAX_RESULT_SCORE),
        (keys::TOTAL_SCORE, keys::MAX_SCORE),
    ];
    FORMS.into_iter().find_map(|(given, maximum)| {
        let given = number(checker, checker.member(generated, given))?;
        Some(Score {
            given,
            maximum: number(checker, checker.member(generated, maximum)),
        })
    })
}

/// A term of Caliper, without the vocabulary's IRI before it.
fn term<'a>(name: Cow<'a, str>) -> Cow<'a, str> {
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

fn group<'a>(checker: &Checker<'a, '_>, object: Option<usize>) -> Option<Cow<'a, str>> {
    let part = |of: usize| id(checker, checker.member(of, keys::IS_PART_OF));
    id(checker, checker.member(0, keys::GROUP))
        .or_else(|| {
            id(
                checker,
                checker.member(checker.member(0, keys::MEMBERSHIP)?, keys::ORGANIZATION),
            )
        })
        .or_else(|| part(object?))
        .or_else(|| part(checker.member(object?, keys::EXTENSIONS)?))
}

/// Takes the columns from the item's tape.
pub(crate) fn columns<'a>(checker: &Checker<'a, '_>, version: Version, kind: Kind) -> Columns<'a> {
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
    columns.group = group(checker, object);
    columns.event_time = instant(checker, checker.member(0, keys::EVENT_TIME));
    columns.score = checker
        .member(0, keys::GENERATED)
        .and_then(|generated| score(checker, score_of(checker, generated)));
    columns
}
