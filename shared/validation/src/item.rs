//! Judging one item of an envelope, or one document.
use crate::{
    check::{Checker, ObjectType, string},
    clock,
    columns::{Columns, Kind, columns},
    context,
    lenient::{forgives, is_null_left_in},
    limits::PROBLEMS_MAX,
    names::UNKNOWN,
    policy::{Mode, Policy},
    problem::{Problem, Verdict},
    report::{found, pointer},
    result::result,
    rules::{Class, Condition, TypeSet, Version, has_term, keys},
    scan::{NodeKind, Tape, key_of},
    shapes::{Notes, Shape, Shapes},
    text,
};

/// What the item is, as far as its judgement needs it.
struct Judged {
    kind: Kind,
    version: Version,
    /// The type is none that Caliper, the item's contexts or the tenant know.
    unknown_type: bool,
}

/// Judges the item on the tape; `envelope` is the version that the envelope names.
pub(crate) fn judge<'a>(
    text: &'a str,
    tape: &Tape,
    envelope: Option<Version>,
    policy: &Policy<'_>,
    shapes: Option<&mut Shapes>,
) -> (Verdict, Columns<'a>) {
    let mut checker = Checker::new(text, tape, Version::V1p2);
    if shapes.is_some() {
        checker.notes = Notes::for_values(tape.nodes.len());
    }
    structure(&mut checker, tape);
    if tape.nodes[0].kind != NodeKind::Object {
        return (
            verdict(checker, policy, None, &Columns::default()),
            Columns::default(),
        );
    }
    let judged = object(&mut checker, tape, envelope, policy);
    let mut columns = columns(&checker, policy.profile, judged.version, judged.kind);
    match (judged.kind, policy.domain) {
        (Kind::Domain, Some(domain)) => domain.columns(&checker, &mut columns),
        (Kind::Event, _) => columns.result = result(&checker, policy.profile, &columns),
        _ => {}
    }
    if let (Some(shapes), Kind::Event | Kind::Entity, []) =
        (shapes, judged.kind, &checker.problems[..])
    {
        let what = (checker.top, judged.kind, judged.version);
        shapes.learn(text, tape, &checker.notes, what);
    }
    let unreadable = match (judged.kind, policy.domain) {
        (Kind::Domain, Some(domain)) => domain.unreadable_times(&checker, &columns),
        _ => Vec::new(),
    };
    let mut verdict = verdict(checker, policy, Some(&judged), &columns);
    verdict.deviations.extend(unreadable);
    clock::check(&mut verdict, &columns, policy);
    if !verdict.accepted {
        columns.result = None;
    }
    (verdict, columns)
}

/// The judgement of an item that has the shape of a clean one.
pub(crate) fn recall<'a>(
    text: &'a str,
    shape: &Shape,
    policy: &Policy<'_>,
) -> (Verdict, Columns<'a>) {
    let checker = Checker::of_shape(text, shape);
    let mut columns = columns(&checker, policy.profile, shape.version, shape.kind);
    if shape.kind == Kind::Event {
        columns.result = result(&checker, policy.profile, &columns);
    }
    let mut verdict = Verdict::clean(shape.version == Version::V1p0);
    clock::check(&mut verdict, &columns, policy);
    (verdict, columns)
}

/// A value that JSON allows and that its readers do not agree on.
struct Misread {
    rule: &'static str,
    expected: &'static str,
    message: &'static str,
    clause: &'static str,
}

const HALF_A_PAIR: Misread = Misread {
    rule: "json.surrogate",
    expected: "whole surrogate pairs",
    message: "half a surrogate pair is no character",
    clause: "RFC 8259 §8.2; RFC 7493 §2.1",
};

const BEYOND_DOUBLES: Misread = Misread {
    rule: "json.number",
    expected: "a number within the range of an IEEE 754 double",
    message: "the number is too large for most readers of JSON",
    clause: "RFC 7493 §2.2; RFC 8259 §6",
};

/// What makes the JSON of an item ambiguous or no item at all.
fn structure(checker: &mut Checker<'_, '_>, tape: &Tape) {
    if let Some(at) = tape.duplicate {
        let key = text::shorten(&key_of(checker.text, &tape.nodes[at]));
        checker.push(Problem {
            pointer: pointer(checker.text, checker.nodes, at),
            rule: "json.duplicate-key".into(),
            expected: "each key once".into(),
            message: format!("the key {key:?} is there twice"),
            found: key,
            clause: "Caliper 1.2, Event and Entity, Properties; RFC 7493 §2.3".into(),
        });
    }
    for (at, misread) in [
        (tape.surrogate, &HALF_A_PAIR),
        (tape.infinite, &BEYOND_DOUBLES),
    ] {
        let Some(at) = at else { continue };
        checker.push(Problem {
            pointer: pointer(checker.text, checker.nodes, at),
            rule: misread.rule.into(),
            expected: misread.expected.into(),
            found: found(checker.text, &checker.nodes[at]),
            message: misread.message.into(),
            clause: misread.clause.into(),
        });
    }
    if tape.nodes[0].kind != NodeKind::Object {
        checker.push(Problem {
            pointer: String::new(),
            rule: "item.object".into(),
            expected: "an event or an entity".into(),
            found: found(checker.text, &checker.nodes[0]),
            message: "an item of data should be an object".into(),
            clause: "Caliper 1.2, Envelope".into(),
        });
    }
}

fn object(
    checker: &mut Checker<'_, '_>,
    tape: &Tape,
    envelope: Option<Version>,
    policy: &Policy<'_>,
) -> Judged {
    let context = context::read(checker);
    // Without a context that says so, the form of the type's key does.
    checker.version = context.version.or(envelope).unwrap_or_else(|| {
        let own_form =
            checker.member(0, keys::TYPE).is_none() && checker.member(0, keys::AT_TYPE).is_some();
        if own_form {
            Version::V1p0
        } else {
            Version::V1p2
        }
    });
    let mut judged = Judged {
        kind: Kind::Entity,
        version: checker.version,
        unknown_type: false,
    };
    let (kind, type_at) = checker.object_type(0);
    if let (ObjectType::Other, Some(at), Some(domain)) = (kind, type_at, policy.domain)
        && let Some(name) = string(checker.text, &checker.nodes[at])
        && domain.get(&name).is_some()
    {
        judged.kind = Kind::Domain;
        domain.check(&name, checker, tape);
        return judged;
    }
    let (number, open) = stand_in(checker, kind, type_at, &context, &mut judged);
    let class = checker
        .tables
        .row(checker.version, number)
        .map_or(Class::Entity, |row| row.class);
    if class != Class::Plain || context.at.is_some() {
        checker.report_context(&context, envelope);
    }
    checker.members(0, number, context.scope, open);
    if class == Class::Event {
        judged.kind = Kind::Event;
        if matches!(kind, ObjectType::Known(_)) {
            conditions(checker, number);
            profile(checker, number);
        }
    }
    if judged.unknown_type {
        judged.kind = Kind::Opaque;
    }
    judged
}

/// The number of the type to check by, and whether it only stands in for one that is missing or
/// unknown, which is reported.
fn stand_in(
    checker: &mut Checker<'_, '_>,
    kind: ObjectType,
    type_at: Option<usize>,
    context: &context::Context,
    judged: &mut Judged,
) -> (u16, bool) {
    if let ObjectType::Known(number) = kind {
        return (number, false);
    }
    let looks_like_event = [keys::ACTION, keys::EVENT_TIME]
        .iter()
        .any(|k| checker.member(0, *k).is_some());
    let owner = if looks_like_event { "Event" } else { "Entity" };
    if kind == ObjectType::Missing {
        let name = checker.tables.keys.name(checker.version.type_key());
        checker.report_missing(
            0,
            name,
            format!("{owner}.{name}.required"),
            owner,
            type_at.is_some(),
        );
    } else if !context.scope.mapped {
        judged.unknown_type = true;
        checker.unknown_type(type_at.unwrap_or(0));
    }
    (checker.tables.types.find(owner.as_bytes()), true)
}

/// The lines of the event's type that hold for its action.
fn conditions(checker: &mut Checker<'_, '_>, number: u16) {
    let tables = checker.tables;
    let Some(row) = tables
        .row(checker.version, number)
        .filter(|row| !row.conditions.is_empty())
    else {
        return;
    };
    let action = checker
        .member(0, keys::ACTION)
        .and_then(|at| string(checker.text, &checker.nodes[at]));
    let action = action.map_or(UNKNOWN, |name| tables.action_number(checker.version, &name));
    for condition in row
        .conditions
        .iter()
        .filter(|c| has_term(&c.action_set, action))
    {
        self::condition(checker, condition, row.rules[usize::from(condition.key)]);
    }
}

/// One conditional line; what the line it narrows has reported is not reported again.
fn condition(checker: &mut Checker<'_, '_>, condition: &'static Condition, rule: u16) {
    let member = checker
        .member(0, condition.key)
        .filter(|at| checker.nodes[*at].kind != NodeKind::Null);
    if condition.required {
        if member.is_none() {
            let name = checker.tables.keys.name(condition.key);
            checker.report_missing(0, name, condition.id.to_owned(), condition.event, false);
        }
        return;
    }
    let Some(at) = member else { return };
    let (ObjectType::Known(actual), _) = checker.object_type(at) else {
        return;
    };
    let allowed: TypeSet = rule.checked_sub(1).map_or(TypeSet::MAX, |index| {
        checker.tables.rules[usize::from(index)].types
    });
    if allowed >> actual & 1 == 1 && condition.types >> actual & 1 == 0 {
        checker.wrong_type(
            at,
            condition.id.to_owned(),
            condition.wanted,
            actual,
            condition.event,
        );
    }
}

/// What the event's `profile` binds it to.
fn profile(checker: &mut Checker<'_, '_>, number: u16) {
    let Some(at) = checker.member(0, keys::PROFILE) else {
        return;
    };
    let Some(name) = string(checker.text, &checker.nodes[at]) else {
        return;
    };
    let tables = checker.tables;
    let term = tables.terms.find(name.as_bytes());
    let Some(row) = tables
        .profiles
        .iter()
        .find(|row| row.term == term && term != UNKNOWN)
    else {
        return;
    };
    if !row.any && row.events >> number & 1 == 0 {
        let expected = format!(
            "a profile that has {} ({} has {})",
            tables.types.name(number),
            row.name,
            row.wanted
        );
        checker.report(at, row.id.to_owned(), expected, "Event");
        return;
    }
    let event = tables.types.name(number);
    let rules = tables.row(checker.version, number).map(|row| &row.rules);
    for condition in row.conditions.iter().filter(|c| c.event == event) {
        self::condition(
            checker,
            condition,
            rules.map_or(0, |r| r[usize::from(condition.key)]),
        );
    }
}

/// Splits the problems by what the policy forgives.
fn verdict(
    checker: Checker<'_, '_>,
    policy: &Policy<'_>,
    judged: Option<&Judged>,
    columns: &Columns<'_>,
) -> Verdict {
    let version_1_0 = judged.is_some_and(|j| j.version == Version::V1p0);
    if checker.problems.is_empty() {
        return Verdict::clean(version_1_0);
    }
    let mut verdict = Verdict {
        version_1_0,
        ..Verdict::default()
    };
    let lenient = policy.mode == Mode::Lenient && judged.is_some();
    let forgiven = |rule: &str| {
        let json = rule.starts_with("json.") || rule.starts_with("domain.");
        let unreadable = rule == "Event.eventTime.time" && columns.event_time.is_none();
        let opaque = judged.is_some_and(|j| j.unknown_type);
        lenient && !json && (opaque || (!unreadable && forgives(policy.profile, rule)))
    };
    let overflow_forgiven = lenient && checker.overflow.iter().all(|rule| forgiven(rule));
    for problem in checker.problems.into_iter().map(Problem::bounded) {
        if forgiven(&problem.rule) || (lenient && is_null_left_in(&problem)) {
            verdict.deviations.push(problem);
        } else {
            verdict.problems.push(problem);
        }
    }
    if checker.more > 0 {
        let rest = more_problems(checker.more);
        if overflow_forgiven {
            verdict.deviations.push(rest)
        } else {
            verdict.problems.push(rest)
        }
    }
    verdict.accepted = verdict.problems.is_empty();
    verdict
}

fn more_problems(more: usize) -> Problem {
    Problem {
        pointer: String::new(),
        rule: "limit.problems".into(),
        expected: format!("at most {PROBLEMS_MAX} problems").into(),
        found: format!("{more} more"),
        message: format!("{more} further problems are not listed"),
        clause: "Vernier limits".into(),
    }
}
