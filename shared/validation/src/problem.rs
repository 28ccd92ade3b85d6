//! What is wrong with an event, as data.
use std::{borrow::Cow, fmt};

use serde::Serialize;

use crate::limits::PROBLEM_TEXT_BYTES_MAX;
use crate::text;

/// One broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// JSON pointer (RFC 6901), relative to the item, or to the envelope for envelope problems.
    pub pointer: String,
    /// The stable id of the rule; docs/rules.md lists all of them.
    pub rule: Cow<'static, str>,
    /// What the rule wants.
    pub expected: Cow<'static, str>,
    /// What is there, in short.
    pub found: String,
    /// One plain sentence.
    pub message: String,
    /// Where the rule is written.
    pub clause: Cow<'static, str>,
}

impl Problem {
    /// The same with texts within their bound: pointers and messages repeat keys of the event.
    pub(crate) fn bounded(mut self) -> Self {
        for text in [&mut self.pointer, &mut self.found, &mut self.message] {
            if text.len() > PROBLEM_TEXT_BYTES_MAX {
                *text = text::cut(text, PROBLEM_TEXT_BYTES_MAX);
            }
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() {
            "(top)"
        } else {
            &self.pointer
        };
        write!(f, "{place}: {} [{}]", self.message, self.rule)
    }
}

/// The judgement of one item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Accepted under the policy's mode.
    pub accepted: bool,
    /// Accepted by the specification, whatever the mode.
    pub strict_accepted: bool,
    /// Why the item is rejected under the policy's mode; empty when accepted.
    pub problems: Vec<Problem>,
    /// What the lenient mode let pass, and, in either mode, what the event's times say of its
    /// sensor's clock.
    pub deviations: Vec<Problem>,
    /// The item is in the form of Caliper 1.0, whose envelopes have no `dataVersion`.
    pub version_1_0: bool,
}

impl Verdict {
    /// Of an item without a problem.
    pub(crate) fn clean(version_1_0: bool) -> Self {
        Verdict {
            accepted: true,
            strict_accepted: true,
            version_1_0,
            ..Verdict::default()
        }
    }
}
