//! A score's history: every event that spoke of a learner's results, and what it changed.

use super::{Cell, NoAnswer, Report, Seen, Sheet, rfc3339, rfc3339_if_any};
use serde::Serialize;
use std::collections::HashMap;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::results::{Cause, Change, Registers, ResultColumns, ResultKey};
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// Changes of one history: at 700 bytes each 3.5 MB of an answer's 4.
const CHANGES_MAX: usize = 5_000;

/// Which results' history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryOf {
    /// The section; none where events name none.
    pub section: Option<String>,
    /// The learner.
    pub learner: String,
    /// Only of this assignment.
    pub assignment: Option<String>,
    /// Only of this attempt.
    pub attempt: Option<String>,
}

impl HistoryOf {
    fn holds(&self, key: &ResultKey) -> bool {
        let passes =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        self.section == key.section
            && self.learner == key.learner
            && passes(&self.assignment, &key.assignment)
            && passes(&self.attempt, &key.attempt)
    }
}

/// Gathers the changes.
#[derive(Debug)]
pub struct History {
    of: HistoryOf,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    place: Place,
    key: ResultKey,
    registers: Registers,
    cause: Cause,
    view: ChangeView,
}

/// One event, and what it says of a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeView {
    /// When it happened, as it says: later events win.
    #[serde(serialize_with = "rfc3339")]
    pub event_time: Millis,
    /// When it was received.
    #[serde(serialize_with = "rfc3339")]
    pub received_at: Millis,
    /// Its envelope's receipt.
    pub receipt: ReceiptId,
    /// Its position in the envelope.
    pub index: u32,
    /// Its id.
    pub id: Option<String>,
    /// Its type.
    pub r#type: Option<String>,
    /// Its action.
    pub action: Option<String>,
    /// The actor's id.
    pub actor: Option<String>,
    /// `stored`, or `conflict`: such an event takes part in results too.
    pub disposition: Disposition,
    /// The assignment.
    pub assignment: Option<String>,
    /// The attempt.
    pub attempt: Option<String>,
    /// The score that it gives; none also where it takes the score back, which `changed` then names.
    pub score: Option<f64>,
    /// The most that it can be.
    pub maximum: Option<f64>,
    /// Who or what scored it.
    pub scored_by: Option<String>,
    /// When the attempt began.
    #[serde(serialize_with = "rfc3339_if_any")]
    pub started_at: Option<Millis>,
    /// When the attempt ended.
    #[serde(serialize_with = "rfc3339_if_any")]
    pub submitted_at: Option<Millis>,
    /// The time spent, as the attempt's duration says it.
    pub time_spent_seconds: Option<f64>,
    /// What of the result it changed when it was received: nothing where later events were there
    /// already; where its clock was ahead, where any other was.
    pub changed: Vec<&'static str>,
}

/// The changes, in the order in which they count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryReport {
    /// They.
    pub changes: Vec<ChangeView>,
}

/// The event behind a change: all its registers have the same.
fn cause_of(registers: &Registers) -> Option<&Cause> {
    let causes = [
        registers.score.as_ref().map(|r| &r.cause),
        registers.status.as_ref().map(|r| &r.cause),
        registers.started.as_ref().map(|r| &r.cause),
        registers.submitted.as_ref().map(|r| &r.cause),
        registers.count.as_ref().map(|r| &r.cause),
    ];
    causes.into_iter().flatten().next()
}

fn view(seen: &Seen<'_>, change: &Change, event_time: Millis) -> ChangeView {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let registers = &change.registers;
    let score = registers.score.as_ref().map(|r| &r.value);
    let submitted = registers.submitted.as_ref().map(|r| &r.value);
    ChangeView {
        event_time,
        received_at: seen.received_at,
        receipt: seen.place.0,
        index: seen.place.1,
        id: owned(seen.id),
        r#type: owned(seen.type_name),
        action: owned(seen.action),
        actor: owned(seen.actor),
        disposition: seen.disposition,
        assignment: change.key.assignment.clone(),
        attempt: change.key.attempt.clone(),
        score: score.and_then(|s| s.given),
        maximum: score.and_then(|s| s.maximum),
        scored_by: score.and_then(|s| s.by.clone()),
        started_at: registers.started.as_ref().map(|r| r.value.at),
        submitted_at: submitted.and_then(|s| s.at),
        time_spent_seconds: submitted
            .and_then(|s| s.duration_millis)
            .map(super::assignments::seconds),
        changed: Vec::new(),
    }
}

impl History {
    /// Nothing so far.
    #[must_use]
    pub const fn new(of: HistoryOf) -> Self {
        Self {
            of,
            found: Vec::new(),
        }
    }

    /// Takes one.
    pub fn add(&mut self, seen: &Seen<'_>) {
        let takes_part = matches!(
            seen.disposition,
            Disposition::Stored | Disposition::Conflict
        );
        let (Some(result), Some(at), Some(fingerprint)) =
            (seen.result, seen.event_time, seen.fingerprint)
        else {
            return;
        };
        if !takes_part || self.found.len() > CHANGES_MAX {
            return;
        }
        let columns = ResultColumns {
            kind: seen.kind,
            id: seen.id,
            action: seen.action,
            group: seen.group,
            at,
            received_at: seen.received_at,
            fingerprint,
        };
        if let Some(change) = columns.change(result).filter(|c| self.of.holds(&c.key)) {
            self.keep(seen, change, at);
        }
    }

    fn keep(&mut self, seen: &Seen<'_>, change: Change, at: Millis) {
        let Some(cause) = cause_of(&change.registers).cloned() else {
            return;
        };
        self.found.push(Found {
            place: seen.place,
            view: view(seen, &change, at),
            key: change.key,
            registers: change.registers,
            cause,
        });
    }

    /// What there was.
    ///
    /// # Errors
    /// When it was too much.
    pub fn finish(self) -> Result<HistoryReport, NoAnswer> {
        let mut found = self.found;
        if found.len() > CHANGES_MAX {
            return Err(NoAnswer::TooMuch {
                most: CHANGES_MAX,
                what: "changes",
            });
        }
        // As they came: what was newer then than all before it.
        found.sort_by_key(|found| found.place);
        let mut results: HashMap<ResultKey, Registers> = HashMap::new();
        for one in &mut found {
            let result = results.entry(one.key.clone()).or_default();
            one.view.changed = one.registers.newer_than(result).names();
            result.merge(one.registers.clone());
        }
        found.sort_by(|a, b| (&a.cause, a.place).cmp(&(&b.cause, b.place)));
        let changes = found.into_iter().map(|found| found.view).collect();
        Ok(HistoryReport { changes })
    }
}

impl Report for HistoryReport {
    fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new([
            "event_time",
            "received_at",
            "receipt",
            "index",
            "id",
            "type",
            "action",
            "actor",
            "disposition",
            "assignment",
            "attempt",
            "score",
            "maximum",
            "scored_by",
            "started_at",
            "submitted_at",
            "time_spent_seconds",
            "changed",
        ]);
        for change in &self.changes {
            let disposition = match change.disposition {
                Disposition::Conflict => "conflict",
                _ => "stored",
            };
            sheet.row([
                Cell::from(change.event_time),
                change.received_at.into(),
                change.receipt.to_string().as_str().into(),
                u64::from(change.index).into(),
                change.id.as_deref().into(),
                change.r#type.as_deref().into(),
                change.action.as_deref().into(),
                change.actor.as_deref().into(),
                disposition.into(),
                change.assignment.as_deref().into(),
                change.attempt.as_deref().into(),
                change.score.into(),
                change.maximum.into(),
                change.scored_by.as_deref().into(),
                change.started_at.into(),
                change.submitted_at.into(),
                change.time_spent_seconds.into(),
                change.changed.join(" ").as_str().into(),
            ]);
        }
        sheet
    }
}
