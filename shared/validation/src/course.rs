//! Which course an event happened in.
//!
//! A course is a `CourseSection` or a `CourseOffering`. An event's `group` and its membership's
//! organization are the course themselves, unless they are a team within one. What the object is
//! a part of is only a course where its type says so: a page, a forum or a chapter is none.
use std::{borrow::Cow, sync::LazyLock};

use crate::{
    check::{Checker, ObjectType, id, string},
    columns::term,
    policy::Profile,
    rules::{TABLES, keys},
    scan::NodeKind,
};

static SUB_ORGANIZATION_OF: LazyLock<u16> =
    LazyLock::new(|| TABLES.keys.find(b"subOrganizationOf"));

/// What an entity's type says of its being a course.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Course,
    /// A `Group`: the team of a course, or of another group.
    Team,
    /// An IRI, or an object whose type is missing or none of Caliper's.
    Unknown,
    Other,
}

fn standing(checker: &Checker<'_, '_>, at: usize) -> Standing {
    if checker.nodes[at].kind != NodeKind::Object {
        return Standing::Unknown;
    }
    let name = match checker.object_type(at) {
        (ObjectType::Known(number), _) => Cow::Borrowed(checker.tables.types.name(number)),
        (_, Some(type_at)) => match string(checker.text, &checker.nodes[type_at]) {
            Some(name) => term(name),
            None => return Standing::Unknown,
        },
        (_, None) => return Standing::Unknown,
    };
    match &*name {
        "CourseSection" | "CourseOffering" => Standing::Course,
        "Group" => Standing::Team,
        name if TABLES.types.find(name.as_bytes()) == crate::names::UNKNOWN => Standing::Unknown,
        _ => Standing::Other,
    }
}

/// The nearest course that an organization is or lies in. A team's untyped parent counts as one,
/// since teams are formed within courses. The chain is nested JSON and ends with its nesting.
fn course_above<'a>(checker: &Checker<'a, '_>, organization: usize) -> Option<Cow<'a, str>> {
    let (mut at, mut of_a_team) = (organization, false);
    loop {
        match standing(checker, at) {
            Standing::Course => return id(checker, Some(at)),
            Standing::Unknown if of_a_team => return id(checker, Some(at)),
            Standing::Team => of_a_team = true,
            Standing::Unknown | Standing::Other => of_a_team = false,
        }
        at = checker.member(at, *SUB_ORGANIZATION_OF)?;
    }
}

/// The course that stands in a place for courses: what is there, unless it lies in a course.
fn in_course_place<'a>(checker: &Checker<'a, '_>, at: usize) -> Option<Cow<'a, str>> {
    // Most organizations name no other one; only those that do have their types looked at.
    checker
        .member(at, *SUB_ORGANIZATION_OF)
        .and_then(|_| course_above(checker, at))
        .or_else(|| id(checker, Some(at)))
}

/// The course among what the object is a part of, through any number of other resources.
fn whole_of<'a>(checker: &Checker<'a, '_>, object: usize) -> Option<Cow<'a, str>> {
    let mut at = checker.member(object, keys::IS_PART_OF)?;
    loop {
        if let Some(course) = course_above(checker, at) {
            return Some(course);
        }
        at = checker.member(at, keys::IS_PART_OF)?;
    }
}

/// The course in the object's extensions: Open edX has it there, elsewhere its type must say so.
fn extended<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    object: usize,
) -> Option<Cow<'a, str>> {
    let at = checker.member(checker.member(object, keys::EXTENSIONS)?, keys::IS_PART_OF)?;
    let untyped = || {
        let known = profile == Profile::OpenEdx && standing(checker, at) == Standing::Unknown;
        known.then(|| id(checker, Some(at))).flatten()
    };
    course_above(checker, at).or_else(untyped)
}

/// The id of the event's course.
pub(crate) fn course<'a>(
    checker: &Checker<'a, '_>,
    profile: Profile,
    object: Option<usize>,
) -> Option<Cow<'a, str>> {
    let organization = || {
        let membership = checker.member(0, keys::MEMBERSHIP)?;
        in_course_place(checker, checker.member(membership, keys::ORGANIZATION)?)
    };
    checker
        .member(0, keys::GROUP)
        .and_then(|group| in_course_place(checker, group))
        .or_else(organization)
        .or_else(|| whole_of(checker, object?))
        .or_else(|| extended(checker, profile, object?))
}
