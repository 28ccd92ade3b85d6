//! What the lenient mode forgives, by profile.
use crate::{policy::Profile, problem::Problem, rules::TABLES};

/// Whether a profile's lenient mode lets a broken rule pass.
pub(crate) fn forgives(profile: Profile, rule: &str) -> bool {
    TABLES
        .forgiven
        .iter()
        .filter(|(name, _)| *name == profile.name() || *name == Profile::Generic.name())
        .any(|(_, patterns)| patterns.iter().any(|pattern| matches(pattern, rule)))
}

/// Whether a problem is the null of a property that may be left out, which every profile's lenient
/// mode lets pass: "properties with a value of null should be excluded" is no more than advice.
///
/// A required property that is null is reported as missing, by a rule of its own. An element of a
/// list that is null is no property: its rule decides.
pub(crate) fn is_null_left_in(problem: &Problem) -> bool {
    problem.found == "null" && problem.rule.ends_with(".entity")
}

/// Whether `*` in the pattern, standing for any run of characters, makes it equal to `text`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("*.time", "Event.eventTime.time"));
        assert!(matches("a*c*e", "abcde"));
        assert!(!matches("*.type", "Entity.type.required"));
        assert!(!matches("Event.actor.entity", "Event.actor.entity.x"));
    }

    #[test]
    fn a_profile_has_what_generic_has() {
        assert!(forgives(Profile::Canvas, "Event.eventTime.time"));
        assert!(forgives(Profile::Canvas, "AssignableEvent.object.type"));
        assert!(!forgives(Profile::Generic, "AssignableEvent.object.type"));
        assert!(!forgives(Profile::Canvas, "Event.actor.required"));
    }
}
