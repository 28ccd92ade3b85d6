//! What an event scores.
use std::sync::LazyLock;

use crate::{
    check::{Checker, ObjectType},
    columns::{Score, number},
    policy::Profile,
    rules::{TABLES, keys},
    scan::NodeKind,
};

/// Numbers of the keys that only scores look at.
struct ScoreKeys {
    assignable: u16,
    attempt: u16,
    normal: u16,
    extra_credit: u16,
    penalty: u16,
    curved_total: u16,
}

static SCORE_KEYS: LazyLock<ScoreKeys> = LazyLock::new(|| {
    let number = |name: &str| TABLES.keys.find(name.as_bytes());
    ScoreKeys {
        assignable: number("assignable"),
        attempt: number("attempt"),
        normal: number("normalScore"),
        extra_credit: number("extraCreditScore"),
        penalty: number("penaltyScore"),
        curved_total: number("curvedTotalScore"),
    }
});

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

/// The score of a generated entity; `maxScore` of 0 says nothing where the assignable says more.
pub(crate) fn score(
    checker: &Checker<'_, '_>,
    profile: Profile,
    generated: usize,
) -> Option<Score> {
    const FORMS: [(u16, u16); 3] = [
        (keys::SCORE_GIVEN, keys::MAX_SCORE),
        (keys::RESULT_SCORE, keys::MAX_RESULT_SCORE),
        (keys::TOTAL_SCORE, keys::MAX_SCORE),
    ];
    let stated = FORMS.into_iter().find_map(|(given, maximum)| {
        let given = number(checker, checker.member(generated, given))?;
        let maximum = number(checker, checker.member(generated, maximum));
        Some(Score { given, maximum })
    });
    let mut score = stated.or_else(|| derived(checker, generated))?;
    // Moodle writes the grade itself into its assignment's `maxScore`: all would have 100 %.
    let usable = score.maximum.is_some_and(|maximum| maximum != 0.0);
    if !usable && profile != Profile::Moodle10 {
        score.maximum = assignable_maximum(checker, generated).or(score.maximum);
    }
    Some(score)
}

/// The score of a result of 1.0 without a `totalScore`: its parts, as they make a total. The curved
/// total comes last, because a curve changes what the maximum means.
fn derived(checker: &Checker<'_, '_>, generated: usize) -> Option<Score> {
    let own = &*SCORE_KEYS;
    let part = |key| number(checker, checker.member(generated, key));
    let summed = part(own.normal).map(|normal| {
        normal + part(own.extra_credit).unwrap_or(0.0) - part(own.penalty).unwrap_or(0.0)
    });
    let given = summed
        .or_else(|| part(own.curved_total))
        .filter(|given| given.is_finite())?;
    let maximum = number(checker, checker.member(generated, keys::MAX_SCORE));
    Some(Score { given, maximum })
}

/// The first maximum over 0 of what was attempted: in the event's object, in its extensions, in the
/// score's attempt, in the score, or the object itself.
fn assignable_maximum(checker: &Checker<'_, '_>, generated: usize) -> Option<f64> {
    let own = &*SCORE_KEYS;
    let object = checker.member(0, keys::OBJECT);
    let within = |at: Option<usize>, key: u16| checker.member(at?, key);
    let attempt = within(Some(generated), own.attempt);
    let extensions = within(object, keys::EXTENSIONS);
    [
        within(object, own.assignable),
        within(extensions, own.assignable),
        within(attempt, own.assignable),
        within(Some(generated), own.assignable),
        object,
    ]
    .into_iter()
    .find_map(|at| number(checker, within(at, keys::MAX_SCORE)).filter(|most| *most > 0.0))
}

/// Whether a grade event's generated entity is a score without a value: the properties that would
/// hold one are absent or null. A value that cannot be read takes nothing back.
pub(crate) fn is_cleared(checker: &Checker<'_, '_>, generated: usize) -> bool {
    let own = &*SCORE_KEYS;
    let is_score = match checker.object_type(generated).0 {
        ObjectType::Known(number) => {
            matches!(checker.tables.types.name(number), "Score" | "Result")
        }
        ObjectType::Missing => checker.nodes[generated].kind == NodeKind::Object,
        ObjectType::Other => false,
    };
    let given = [
        keys::SCORE_GIVEN,
        keys::RESULT_SCORE,
        keys::TOTAL_SCORE,
        own.normal,
        own.curved_total,
    ];
    is_score
        && given.into_iter().all(|key| {
            let at = checker.member(generated, key);
            at.is_none_or(|at| checker.nodes[at].kind == NodeKind::Null)
        })
}
