//! Results: where each learner stands with each attempt at each assignment.
//!
//! A result is a set of registers, each with the event that caused its value. Of two values the
//! one whose [`Cause`] is greater wins: by event time, then event id, then fingerprint. So
//! [`Registers::merge`] is a join: the order in which events come, how often, and in which batches
//! makes no difference (invariant 4), and a result can be built again from the stored events at
//! any time. Those are also its history: each accepted line that says something of a result is one
//! change of it ([`Change`]).
//!
//! Every accepted event takes part, also one that turns out to be a conflict (an id that was there
//! before, with other content): whether it came first is known only when its window is sealed.

mod cause;
mod changes;

pub use cause::Cause;
pub use changes::{Change, Changes, ResultColumns, ResultWrite};

use crate::digest::Fingerprint;
use crate::ids::TenantId;
use crate::limits::RESULT_SLOTS;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// What a result is of. At least one of `assignment` and `attempt` is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResultKey {
    /// The course section's (group's) id; none where events name none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub section: Option<String>,
    /// The learner's id.
    pub learner: String,
    /// The assignment's id; none where only the attempt is named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub assignment: Option<String>,
    /// The attempt's id; none where events name none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<String>,
}

/// Hexadecimal digits of the first 16 bytes of an id's SHA-256. No id is empty: what is missing
/// has the digest of the empty text.
#[must_use]
pub fn id_digest(id: Option<&str>) -> String {
    hex::encode(&Fingerprint::of(id.unwrap_or_default().as_bytes()).0[..16])
}

impl ResultKey {
    /// Which of the section's [`RESULT_SLOTS`] partitions a learner's results lie in.
    #[must_use]
    pub fn slot_of(learner: &str) -> u8 {
        Fingerprint::of(learner.as_bytes()).0[0] % RESULT_SLOTS
    }

    /// The partition key `results#{tenant}#{section's digest}#{slot}` without its first word.
    #[must_use]
    pub fn partition(tenant: &TenantId, section: Option<&str>, slot: u8) -> String {
        format!("{tenant}#{}#{slot}", id_digest(section))
    }

    /// The sort key: digests of learner, assignment and attempt.
    #[must_use]
    pub fn sort_key(&self) -> String {
        format!(
            "{}#{}#{}",
            id_digest(Some(&self.learner)),
            id_digest(self.assignment.as_deref()),
            id_digest(self.attempt.as_deref())
        )
    }
}

/// A value with its cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Register<T> {
    /// The value.
    pub value: T,
    /// The event that said so.
    pub cause: Cause,
}

/// What was scored, as sent: it may lie beyond the maximum. A score that was taken back is one
/// without a value, so that its event wins over earlier grades and loses to later ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The score; none where it was taken back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub given: Option<f64>,
    /// The most that it can be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub maximum: Option<f64>,
    /// Who or what scored it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
}

/// Where the attempt stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The action of the last event about it, such as `Started`, `Submitted` or `Graded`.
    pub action: String,
}

/// When the attempt began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The instant.
    pub at: Millis,
}

/// When the attempt ended and how long it took; at least one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The instant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Millis>,
    /// The time spent, as the attempt's duration says it, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_millis: Option<i64>,
}

/// Which attempt it is; at least one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Which of the learner's attempts at the assignment, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    /// The attempt that this one is a part of: an item's within an assessment's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part_of: Option<String>,
}

/// A result's registers; one that no event has spoken of is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registers {
    /// The score.
    pub score: Option<Register<Score>>,
    /// The last action.
    pub status: Option<Register<Status>>,
    /// The beginning.
    pub started: Option<Register<Started>>,
    /// The end.
    pub submitted: Option<Register<Submitted>>,
    /// Its number.
    pub count: Option<Register<Count>>,
}

/// The greater of two values; where both have one cause they are one value.
fn join<T>(mine: &mut Option<Register<T>>, theirs: Option<Register<T>>) {
    if let Some(theirs) = theirs
        && mine.as_ref().is_none_or(|mine| mine.cause < theirs.cause)
    {
        *mine = Some(theirs);
    }
}

/// What of `mine` is greater than `theirs`.
fn newer<T: Clone>(
    mine: &Option<Register<T>>,
    theirs: &Option<Register<T>>,
) -> Option<Register<T>> {
    let wins = |mine: &&Register<T>| theirs.as_ref().is_none_or(|t| t.cause < mine.cause);
    mine.as_ref().filter(wins).cloned()
}

impl Registers {
    /// Takes every register of `other` whose cause is greater: commutative, associative and
    /// idempotent.
    pub fn merge(&mut self, other: Self) {
        join(&mut self.score, other.score);
        join(&mut self.status, other.status);
        join(&mut self.started, other.started);
        join(&mut self.submitted, other.submitted);
        join(&mut self.count, other.count);
    }

    /// The registers that a merge into `stored` would still change.
    #[must_use]
    pub fn newer_than(&self, stored: &Self) -> Self {
        Self {
            score: newer(&self.score, &stored.score),
            status: newer(&self.status, &stored.status),
            started: newer(&self.started, &stored.started),
            submitted: newer(&self.submitted, &stored.submitted),
            count: newer(&self.count, &stored.count),
        }
    }

    /// The names of those that an event has spoken of.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let there = [
            ("score", self.score.is_some()),
            ("status", self.status.is_some()),
            ("started", self.started.is_some()),
            ("submitted", self.submitted.is_some()),
            ("count", self.count.is_some()),
        ];
        let named = there.into_iter().filter(|(_, there)| *there);
        named.map(|(name, _)| name).collect()
    }

    /// Whether no event has spoken of any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One result.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultItem {
    /// What it is of.
    pub key: ResultKey,
    /// Its state.
    pub registers: Registers,
}

/// Results that one read found, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResultList {
    /// They.
    pub items: Vec<ResultItem>,
    /// There are more than one read gives back (invariant 8).
    pub more: bool,
}

impl ResultList {
    /// Merges into this section's results those of the same learner, assignment and attempt of which
    /// `unplaced` events named no section. Only a named attempt says that two results are one.
    pub fn join_unplaced(&mut self, unplaced: &Self) {
        for other in unplaced.items.iter().filter(|o| o.key.attempt.is_some()) {
            let same = |item: &&mut ResultItem| {
                let (mine, theirs) = (&item.key, &other.key);
                (&mine.learner, &mine.assignment, &mine.attempt)
                    == (&theirs.learner, &theirs.assignment, &theirs.attempt)
            };
            if let Some(item) = self.items.iter_mut().find(same) {
                item.registers.merge(other.registers.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
