//! One event as one JSON line: the form in which it travels in frames and lies in segments.
//!
//! A line is an object whose last key is `event`, the sensor's bytes compacted and otherwise as
//! sent. Everything before it is the ledger's own account of the event: where it came from, its
//! verdict and its query columns. The stream function copies lines without parsing the event.

use crate::digest::Fingerprint;
use crate::event_id::EventId;
use crate::ids::ReceiptId;
use crate::limits::{RESULT_ACTION_BYTES_MAX, RESULT_ID_BYTES_MAX};
use crate::salt::{Salt, SaltKey};
use crate::segment::Place;
use crate::time::{BadTime, Millis};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the rules of the tenant's mode said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may be stored.
    Accepted,
    /// It is kept with its reasons.
    Rejected,
}

impl From<bool> for Verdict {
    fn from(accepted: bool) -> Self {
        if accepted {
            Self::Accepted
        } else {
            Self::Rejected
        }
    }
}

/// Where an event lies that is too large for a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef {
    /// Object key in the ledger's bucket.
    pub key: String,
    /// Size of the compacted event, bytes.
    pub bytes: u64,
}

/// What the event says of a learner's attempt at an assignment. The section, the status and the
/// time are the line's columns `group`, `action` and `time`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LineResult<'a> {
    /// The assignment's id. At least one of this and `attempt` is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub assignment: Option<Cow<'a, str>>,
    /// The learner's id.
    pub learner: Cow<'a, str>,
    /// The attempt's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<Cow<'a, str>>,
    /// Which of the learner's attempts it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    /// The attempt that this one is a part of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part_of: Option<Cow<'a, str>>,
    /// The score.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub given: Option<f64>,
    /// The event takes the attempt's score back; `given` is not there then.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub cleared: bool,
    /// The most that the score can be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub maximum: Option<f64>,
    /// Who or what scored it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scored_by: Option<Cow<'a, str>>,
    /// When the attempt began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Cow<'a, str>>,
    /// When the attempt ended or was submitted, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub submitted_at: Option<Cow<'a, str>>,
    /// The time spent, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_millis: Option<i64>,
}

impl LineResult<'_> {
    /// Whether the ids and words that a result is made of are within their bounds, the line's own
    /// `group` and `action` too. An event with longer ones says nothing of a result.
    #[must_use]
    pub fn fits(&self, group: Option<&str>, action: Option<&str>) -> bool {
        let ids = [
            group,
            self.assignment.as_deref(),
            Some(&*self.learner),
            self.attempt.as_deref(),
            self.part_of.as_deref(),
            self.scored_by.as_deref(),
        ];
        let mut ids = ids.into_iter().flatten();
        ids.all(|id| id.len() <= RESULT_ID_BYTES_MAX)
            && action.is_none_or(|action| action.len() <= RESULT_ACTION_BYTES_MAX)
    }
}

/// Everything of a line but the event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LineHead<'a> {
    /// The envelope's receipt.
    pub receipt: ReceiptId,
    /// Position in the envelope's `data`, from 0.
    pub index: u32,
    /// When the envelope was received, RFC 3339.
    #[serde(borrow)]
    pub received_at: Cow<'a, str>,
    /// The sensor that the token names.
    #[serde(borrow)]
    pub sensor: Cow<'a, str>,
    /// What the salts of the envelope's events are made from; none in lines of frames of version 1. It goes into no
    /// file, no log and no answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub salt_key: Option<SaltKey>,
    /// Verdict in the tenant's mode.
    pub verdict: Verdict,
    /// Verdict of the specification, whatever the mode.
    pub strict: Verdict,
    /// What the event is: `event`, `entity`, `domain` or `opaque`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Its own id.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub id: Option<Cow<'a, str>>,
    /// Its type as a Caliper term, or a domain type.
    #[serde(
        rename = "type",
        borrow,
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub type_name: Option<Cow<'a, str>>,
    /// Its action as a Caliper term.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub action: Option<Cow<'a, str>>,
    /// The actor's id.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<Cow<'a, str>>,
    /// The object's id.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub object: Option<Cow<'a, str>>,
    /// The course section's (group's) id.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub group: Option<Cow<'a, str>>,
    /// When it happened, RFC 3339 in UTC with milliseconds.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub time: Option<Cow<'a, str>>,
    /// What an accepted event says of a result.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<LineResult<'a>>,
    /// Why it was rejected: the validation crate's problems, as JSON.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problems: Option<Cow<'a, RawValue>>,
    /// What lenient mode let pass, as JSON.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deviations: Option<Cow<'a, RawValue>>,
    /// Of an event that a playback sends again: where the stored event is that it repeats.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first: Option<Place>,
    /// Where the event lies when it is too large for a frame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event_ref: Option<EventRef>,
    /// SHA-256 of the compacted event, hexadecimal.
    #[serde(borrow)]
    pub fingerprint: Cow<'a, str>,
}

impl LineHead<'_> {
    /// The event's salt; none where the line has no key.
    #[must_use]
    pub fn salt(&self) -> Option<Salt> {
        self.salt_key.map(|key| key.salt(self.index))
    }

    /// When the event happened; none where the line does not say it, or says what nobody can read.
    #[must_use]
    pub fn event_time(&self) -> Option<Millis> {
        self.time
            .as_deref()
            .and_then(|text| Millis::of_line(text).ok())
    }

    /// The line's deviations as JSON, with one more for a time that cannot be read. One answer for
    /// segments and for files, so that sealing changes no count.
    #[must_use]
    pub fn findings(&self) -> Option<Cow<'_, str>> {
        let written = self.deviations.as_deref().map(RawValue::get);
        let unreadable = self.time.as_deref().filter(|_| self.event_time().is_none());
        let Some(time) = unreadable else {
            return written.map(Cow::Borrowed);
        };
        let finding = vernier_validation::unreadable_time(String::new(), time);
        let mut all: Vec<serde_json::Value> = written
            .and_then(|written| serde_json::from_str(written).ok())
            .unwrap_or_default();
        all.extend(serde_json::to_value(finding));
        Some(Cow::Owned(serde_json::Value::from(all).to_string()))
    }
}

/// The few columns that accounting needs; the rest of the head is skipped.
#[derive(Debug, Clone, Deserialize)]
pub struct LineAccount<'a> {
    /// The envelope's receipt.
    pub receipt: ReceiptId,
    /// Position in the envelope.
    pub index: u32,
    /// What the event's salt is made from; none in lines of frames of version 1.
    #[serde(default)]
    pub salt_key: Option<SaltKey>,
    /// Verdict in the tenant's mode.
    pub verdict: Verdict,
    /// `event`, `entity`, `domain` or `opaque`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Its own id.
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    /// Where an oversize event lies.
    #[serde(default)]
    pub event_ref: Option<EventRef>,
    /// SHA-256 of the compacted event, hexadecimal.
    #[serde(borrow)]
    pub fingerprint: Cow<'a, str>,
}

impl LineAccount<'_> {
    /// The event's salt; none where the line has no key.
    #[must_use]
    pub fn salt(&self) -> Option<Salt> {
        self.salt_key.map(|key| key.salt(self.index))
    }
}

/// The rules that a line's problems or deviations name, in their order; none when they are none.
#[must_use]
pub fn rules_of(findings: &str) -> Vec<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Finding<'f> {
        #[serde(borrow)]
        rule: Cow<'f, str>,
    }
    let found: Vec<Finding<'_>> = serde_json::from_str(findings).unwrap_or_default();
    found.into_iter().map(|finding| finding.rule).collect()
}

/// Whether a line's problems or deviations name a rule. One question for segments and for files, so that
/// sealing changes no answer.
#[must_use]
pub fn names_rule(findings: &str, rule: &str) -> bool {
    rules_of(findings).iter().any(|named| named == rule)
}

/// The text is not a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event line: {0}")]
pub struct BadLine(pub String);

impl From<BadTime> for BadLine {
    fn from(bad: BadTime) -> Self {
        Self(bad.to_string())
    }
}

/// The separator between head and event. A quote inside a JSON string is escaped, so that the
/// first occurrence in a line is the key itself.
pub(crate) const EVENT_KEY: &[u8] = b",\"event\":";

/// Appends one line with its line feed. `event` is compact JSON, `null` where `event_ref` is set.
///
/// # Errors
/// Never for heads whose `problems` and `deviations` are JSON; the error is the serializer's.
pub fn write_line(head: &LineHead<'_>, event: &str, out: &mut Vec<u8>) -> Result<(), BadLine> {
    serde_json::to_writer(&mut *out, head).map_err(|e| BadLine(e.to_string()))?;
    out.pop(); // the head's closing brace; the event goes inside
    out.extend_from_slice(EVENT_KEY);
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Splits a line (without its line feed) into the head, as an object, and the event's bytes.
///
/// # Errors
/// When the line has no event or does not end in a brace.
pub fn split<'l>(line: &'l [u8], head: &mut Vec<u8>) -> Result<&'l [u8], BadLine> {
    let at = memchr::memmem::find(line, EVENT_KEY).ok_or_else(|| BadLine("no event".into()))?;
    let event = line[at + EVENT_KEY.len()..]
        .strip_suffix(b"}")
        .ok_or_else(|| BadLine("no closing brace".into()))?;
    head.clear();
    head.extend_from_slice(&line[..at]);
    head.push(b'}');
    Ok(event)
}

/// Reads the accounting columns from a head made by [`split`].
///
/// # Errors
/// When it is not such a head.
pub fn read_account(head: &[u8]) -> Result<LineAccount<'_>, BadLine> {
    serde_json::from_slice(head).map_err(|e| BadLine(e.to_string()))
}

/// Reads all columns from a head made by [`split`].
///
/// # Errors
/// When it is not such a head.
pub fn read_head(head: &[u8]) -> Result<LineHead<'_>, BadLine> {
    serde_json::from_slice(head).map_err(|e| BadLine(e.to_string()))
}

/// Whether events of a kind are the same by their ids: entity describes repeat their entity's id.
#[must_use]
pub fn is_known_by_id(kind: &str) -> bool {
    matches!(kind, "event" | "domain")
}

/// What makes two events the same event: the id of an event that has one, as [`EventId`] compares it; the fingerprint of
/// everything else (entity describes repeat their entity's id, Caliper 1.0 has no event ids).
#[must_use]
pub fn event_key(kind: &str, id: Option<&str>, fingerprint: &str) -> [u8; 32] {
    match id.filter(|_| is_known_by_id(kind)) {
        Some(id) => EventId(id).with_folded(|id| Fingerprint::of(id).0),
        None => Fingerprint::of(fingerprint.as_bytes()).0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A head with the least that a line has.
    pub(crate) fn head<'a>(
        receipt: ReceiptId,
        index: u32,
        id: &'a str,
        event: &str,
    ) -> LineHead<'a> {
        LineHead {
            receipt,
            index,
            received_at: receipt.received_at().rfc3339().into(),
            sensor: "sensor".into(),
            salt_key: None,
            verdict: Verdict::Accepted,
            strict: Verdict::Accepted,
            kind: "event".into(),
            id: Some(id.into()),
            type_name: Some("ViewEvent".into()),
            action: None,
            actor: None,
            object: None,
            group: None,
            time: None,
            result: None,
            problems: None,
            deviations: None,
            first: None,
            event_ref: None,
            fingerprint: Fingerprint::of(event.as_bytes()).hex().into(),
        }
    }

    proptest! {
        #[test]
        fn any_id_and_event_come_back(id in "\\PC*|.*event.*", name in "\\PC*") {
            let receipt = ReceiptId::from_parts(Millis(1), 0, [1; 8]);
            let event = serde_json::json!({"event": name, "x": ",\"event\":"}).to_string();
            let tricky = format!("{id},\"event\":{{}}");
            let mut line = Vec::new();
            write_line(&head(receipt, 7, &tricky, &event), &event, &mut line).expect("a line");
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(!line.contains(&b'\n'));
            let mut scratch = Vec::new();
            let found = split(&line, &mut scratch).expect("splits");
            prop_assert_eq!(found, event.as_bytes());
            let account = read_account(&scratch).expect("reads");
            prop_assert_eq!(account.id.as_deref(), Some(tricky.as_str()));
            prop_assert_eq!(account.index, 7);
            let whole: serde_json::Value = serde_json::from_slice(&line).expect("a line is JSON");
            prop_assert_eq!(&whole["event"]["event"], &serde_json::Value::String(name));
        }

        #[test]
        fn no_bytes_make_split_panic(bytes: Vec<u8>) {
            let mut scratch = Vec::new();
            if split(&bytes, &mut scratch).is_ok() {
                let _ = read_head(&scratch);
            }
        }
    }
}
