//! From lines to changes of results, and from a batch's changes to the fewest writes.

use super::{Cause, Count, Register, Registers, ResultKey, Score, Started, Status, Submitted};
use crate::digest::Fingerprint;
use crate::ids::{ReceiptId, TenantId};
use crate::line::{BadLine, EVENT_KEY, LineResult, Verdict, is_known_by_id};
use crate::segment::Place;
use crate::time::Millis;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};

/// How the column begins in a line's head. A quote inside a JSON string is escaped, so that a head
/// without these bytes has no such column.
const RESULT_KEY: &[u8] = b"\"result\":";

/// The columns of a line that a result is made of; the rest of the head is skipped.
#[derive(Deserialize)]
struct ResultHead {
    receipt: ReceiptId,
    verdict: Verdict,
    kind: String,
    id: Option<String>,
    action: Option<String>,
    group: Option<String>,
    time: Option<String>,
    fingerprint: String,
    /// Of an event that a playback sends again: where the stored event is that it repeats.
    first: Option<Place>,
    #[serde(default)]
    result: Option<LineResult<'static>>,
}

/// What one event changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Of which result.
    pub key: ResultKey,
    /// The registers that the event speaks of, with itself as their cause.
    pub registers: Registers,
    /// Whether a playback sends the event again.
    pub is_played_back: bool,
}

impl Change {
    /// What a line (without its line feed) says of a result: nothing for most lines, for rejected
    /// events, for events without a time, and for ids over their bounds. The event itself is not read. `scratch` is
    /// overwritten.
    ///
    /// # Errors
    /// When it is no line, or its column is not of the form that docs/frame.md gives it.
    pub fn of_line(line: &[u8], scratch: &mut Vec<u8>) -> Result<Option<Self>, BadLine> {
        let end =
            memchr::memmem::find(line, EVENT_KEY).ok_or_else(|| BadLine("no event".into()))?;
        let head = &line[..end];
        if memchr::memmem::find(head, RESULT_KEY).is_none() {
            return Ok(None);
        }
        scratch.clear();
        scratch.extend_from_slice(head);
        scratch.push(b'}');
        let head: ResultHead =
            serde_json::from_slice(scratch).map_err(|e| BadLine(e.to_string()))?;
        head.change()
    }
}

impl ResultHead {
    fn change(self) -> Result<Option<Change>, BadLine> {
        let (Verdict::Accepted, Some(time), Some(result)) =
            (self.verdict, &self.time, &self.result)
        else {
            return Ok(None);
        };
        let at = Millis::of_line(time)?;
        // A playback decides as the live path did.
        let is_played_back = self.first.is_some();
        let (first_receipt, _) = self.first.unwrap_or((self.receipt, 0));
        let columns = ResultColumns {
            kind: &self.kind,
            id: self.id.as_deref(),
            action: self.action.as_deref(),
            group: self.group.as_deref(),
            at,
            received_at: first_receipt.received_at(),
            fingerprint: Fingerprint::from_hex(&self.fingerprint)
                .ok_or_else(|| BadLine("fingerprint".into()))?,
        };
        let change = columns.change(result);
        Ok(change.map(|change| Change {
            is_played_back,
            ..change
        }))
    }
}

/// An accepted event's columns that a result is made of, beside the result itself.
#[derive(Debug, Clone, Copy)]
pub struct ResultColumns<'a> {
    /// `event`, `entity`, `domain` or `opaque`.
    pub kind: &'a str,
    /// The event's own id.
    pub id: Option<&'a str>,
    /// Its action.
    pub action: Option<&'a str>,
    /// The course section's (group's) id.
    pub group: Option<&'a str>,
    /// When it happened.
    pub at: Millis,
    /// When it was first received.
    pub received_at: Millis,
    /// SHA-256 of the compacted event.
    pub fingerprint: Fingerprint,
}

impl ResultColumns<'_> {
    /// What an archived event with this result (JSON) changes.
    ///
    /// # Errors
    /// When the result is not of the form that docs/frame.md gives it.
    pub fn change_of(&self, result: &str) -> Result<Option<Change>, BadLine> {
        let result: LineResult<'_> =
            serde_json::from_str(result).map_err(|e| BadLine(e.to_string()))?;
        Ok(self.change(&result))
    }

    /// What an event with this result changes. A time in it that cannot be read is none.
    #[must_use]
    pub fn change(&self, result: &LineResult<'_>) -> Option<Change> {
        if !result.fits(self.group, self.action) {
            return None;
        }
        // As for duplicates: only these have an id of their own.
        let own_id = is_known_by_id(self.kind);
        let cause_of = match self.at.is_ahead_of(self.received_at) {
            true => Cause::of_clock_ahead,
            false => Cause::new,
        };
        let cause = cause_of(self.at, self.id.filter(|_| own_id), &self.fingerprint);
        let registers = registers(result, self.action, &cause);
        let text = |id: &Option<std::borrow::Cow<'_, str>>| id.as_deref().map(str::to_owned);
        let key = ResultKey {
            section: self.group.map(str::to_owned),
            learner: result.learner.clone().into_owned(),
            assignment: text(&result.assignment),
            attempt: text(&result.attempt),
        };
        Some(Change {
            key,
            registers,
            is_played_back: false,
        })
    }
}

fn registers(result: &LineResult<'_>, action: Option<&str>, cause: &Cause) -> Registers {
    fn register<T>(value: T, cause: &Cause) -> Register<T> {
        let cause = cause.clone();
        Register { value, cause }
    }
    let instant = |text: &Option<std::borrow::Cow<'_, str>>| {
        text.as_deref().and_then(|text| Millis::of_line(text).ok())
    };
    let owned = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
    let score = (result.given.is_some() || result.cleared).then(|| Score {
        given: result.given,
        maximum: result.maximum,
        by: owned(&result.scored_by),
    });
    let submitted = Submitted {
        at: instant(&result.submitted_at),
        duration_millis: result.duration_millis,
    };
    let count = Count {
        count: result.count,
        part_of: owned(&result.part_of),
    };
    let status = action.map(|action| Status {
        action: action.to_owned(),
    });
    let started = instant(&result.started_at).map(|at| Started { at });
    let submitted =
        (submitted.at.is_some() || submitted.duration_millis.is_some()).then_some(submitted);
    let count = (count.count.is_some() || count.part_of.is_some()).then_some(count);
    Registers {
        score: score.map(|value| register(value, cause)),
        status: status.map(|value| register(value, cause)),
        started: started.map(|value| register(value, cause)),
        submitted: submitted.map(|value| register(value, cause)),
        count: count.map(|value| register(value, cause)),
    }
}

/// One result's part of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultWrite {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is of.
    pub key: ResultKey,
    /// What the batch says of it.
    pub registers: Registers,
    /// Whether some of it is sent again by a playback.
    pub is_played_back: bool,
}

/// What a batch says of one result.
#[derive(Debug, Clone, Default)]
struct Said {
    registers: Registers,
    is_played_back: bool,
}

/// A batch's changes, one entry for each result however many events speak of it.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    by_key: BTreeMap<TenantId, BTreeMap<ResultKey, Said>>,
}

impl Changes {
    /// Adds one event's.
    pub fn add(&mut self, tenant: &TenantId, change: Change) {
        if change.registers.is_empty() {
            return;
        }
        if !self.by_key.contains_key(tenant) {
            self.by_key.insert(tenant.clone(), BTreeMap::new());
        }
        if let Some(results) = self.by_key.get_mut(tenant) {
            let said = results.entry(change.key).or_default();
            said.registers.merge(change.registers);
            said.is_played_back |= change.is_played_back;
        }
    }

    /// How many results it speaks of.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_key.values().map(BTreeMap::len).sum()
    }

    /// Adds another batch's.
    pub fn merge(&mut self, writes: &[ResultWrite]) {
        for write in writes {
            let change = Change {
                key: write.key.clone(),
                registers: write.registers.clone(),
                is_played_back: write.is_played_back,
            };
            self.add(&write.tenant, change);
        }
    }

    /// Adds all of a frame's or block's lines; gives back how many of them have a column that
    /// cannot be read. Their events are stored like any others.
    pub fn add_lines(&mut self, tenant: &TenantId, lines: &[u8]) -> u64 {
        let mut scratch = Vec::new();
        let mut unreadable = 0;
        for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            match Change::of_line(line, &mut scratch) {
                Ok(Some(change)) => self.add(tenant, change),
                Ok(None) => {}
                Err(_) => unreadable += 1,
            }
        }
        unreadable
    }

    /// The writes, one for each result, so that the table's partitions take turns: where one of
    /// them is throttled, those of the others are not all behind it.
    #[must_use]
    pub fn into_writes(self) -> Vec<ResultWrite> {
        let mut partitions: BTreeMap<String, VecDeque<ResultWrite>> = BTreeMap::new();
        for (tenant, results) in self.by_key {
            for (key, said) in results {
                let slot = ResultKey::slot_of(&key.learner);
                let partition = ResultKey::partition(&tenant, key.section.as_deref(), slot);
                let tenant = tenant.clone();
                partitions
                    .entry(partition)
                    .or_default()
                    .push_back(ResultWrite {
                        tenant,
                        key,
                        registers: said.registers,
                        is_played_back: said.is_played_back,
                    });
            }
        }
        let mut queues: Vec<VecDeque<ResultWrite>> = partitions.into_values().collect();
        let mut writes = Vec::with_capacity(queues.iter().map(VecDeque::len).sum());
        while !queues.is_empty() {
            writes.extend(queues.iter_mut().filter_map(VecDeque::pop_front));
            queues.retain(|queue| !queue.is_empty());
        }
        writes
    }
}
