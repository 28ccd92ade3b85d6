//! An envelope's events as ledger lines.

use serde_json::value::RawValue;
use std::borrow::Cow;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::{EnvelopeLines, NewLine};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits;
use vernier_ledger::line::{BadLine, EventRef, LineHead, LineResult, Verdict, write_line};
use vernier_ledger::ports::PortError;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::time::Millis;
use vernier_validation::{Columns, Envelope, Item, Kind, Problem, ResultColumns, compact};

/// An event that does not fit a frame, on its way to S3.
#[derive(Debug, Clone)]
pub struct OversizeEvent {
    /// Object key.
    pub key: String,
    /// Compacted event.
    pub bytes: Vec<u8>,
}

/// Lines of one envelope under way.
#[derive(Debug)]
pub struct LineWriter<'t> {
    tenant: &'t TenantId,
    receipt: ReceiptId,
    salt_key: SaltKey,
    all: EnvelopeLines,
    oversize: Vec<OversizeEvent>,
}

impl<'t> LineWriter<'t> {
    /// For an envelope under a receipt, whose lines all get this salt key, with room for so many bytes.
    #[must_use]
    pub fn new(tenant: &'t TenantId, receipt: ReceiptId, salt_key: SaltKey, bytes: usize) -> Self {
        Self {
            tenant,
            receipt,
            salt_key,
            all: EnvelopeLines {
                text: Vec::with_capacity(bytes),
                lines: Vec::new(),
                salt_key: Some(salt_key),
            },
            oversize: Vec::new(),
        }
    }

    /// Events so far: the next one's index.
    #[must_use]
    pub fn events(&self) -> u32 {
        u32::try_from(self.all.lines.len()).unwrap_or(u32::MAX)
    }

    /// Adds an event with its line's head, whose fingerprint is that of the event's bytes and which gets the envelope's
    /// salt key; one over a frame's budget leaves a pointer.
    ///
    /// # Errors
    /// Only when a line does not serialise, which plain data always does.
    pub fn push(
        &mut self,
        mut head: LineHead<'_>,
        fingerprint: Fingerprint,
        event: &str,
    ) -> Result<(), PortError> {
        let bad = |e: BadLine| PortError::Fatal(e.to_string());
        head.salt_key = Some(self.salt_key);
        let text = &mut self.all.text;
        let start = text.len();
        write_line(&head, event, text).map_err(bad)?;
        if text.len() - start > limits::LINE_BYTES_MAX {
            text.truncate(start);
            let key = oversize_key(self.tenant, self.receipt, head.index);
            head.event_ref = Some(EventRef {
                key: key.clone(),
                bytes: event.len() as u64,
            });
            trim(&mut head);
            write_line(&head, "null", text).map_err(bad)?;
            self.oversize.push(OversizeEvent {
                key,
                bytes: event.as_bytes().to_vec(),
            });
        }
        self.all.lines.push(NewLine {
            end: text.len(),
            index: head.index,
            fingerprint,
            verdict: head.verdict,
        });
        Ok(())
    }

    /// All lines, and the events that go to S3.
    #[must_use]
    pub fn finish(self) -> (EnvelopeLines, Vec<OversizeEvent>) {
        (self.all, self.oversize)
    }
}

/// Writes one line per event, in order and with the envelope's salt key; events over the
/// frame's budget leave a pointer.
///
/// # Errors
/// Only when a line does not serialise, which plain data always does.
pub fn write(
    envelope: &Envelope<'_>,
    receipt: ReceiptId,
    salt_key: SaltKey,
    tenant: &TenantId,
    sensor: &str,
) -> Result<(EnvelopeLines, Vec<OversizeEvent>), PortError> {
    let received_at = receipt.received_at().rfc3339();
    let bytes = envelope.items.iter().map(|i| i.raw.len() + 640).sum();
    let mut lines = LineWriter::new(tenant, receipt, salt_key, bytes);
    let mut event = Vec::new();
    for (index, item) in (0_u32..).zip(&envelope.items) {
        event.clear();
        compact(item.raw, &mut event);
        let fingerprint = Fingerprint::of(&event);
        let fingerprint_hex = fingerprint.hex();
        let head = head_of(item, receipt, index, &received_at, sensor, &fingerprint_hex)?;
        let text = std::str::from_utf8(&event).map_err(|e| PortError::Fatal(e.to_string()))?;
        lines.push(head, fingerprint, text)?;
    }
    Ok(lines.finish())
}

fn oversize_key(tenant: &TenantId, receipt: ReceiptId, index: u32) -> String {
    let (date, _) = receipt.received_at().date_and_hour();
    format!("oversize/dt={date}/{tenant}/{receipt}/{index}.json")
}

/// Columns come from the event: one that is too large for a frame can have a column that is. The
/// object has them whole.
fn trim(head: &mut LineHead<'_>) {
    const COLUMN_BYTES_MAX: usize = 2_048;
    let columns = [
        &mut head.id,
        &mut head.type_name,
        &mut head.action,
        &mut head.actor,
        &mut head.object,
        &mut head.group,
    ];
    for column in columns {
        if column
            .as_ref()
            .is_some_and(|text| text.len() > COLUMN_BYTES_MAX)
        {
            *column = None;
        }
    }
}

fn head_of<'i>(
    item: &'i Item<'_>,
    receipt: ReceiptId,
    index: u32,
    received_at: &'i str,
    sensor: &'i str,
    fingerprint: &'i str,
) -> Result<LineHead<'i>, PortError> {
    let columns = &item.columns;
    Ok(LineHead {
        receipt,
        index,
        received_at: Cow::Borrowed(received_at),
        sensor: Cow::Borrowed(sensor),
        salt_key: None,
        verdict: Verdict::from(item.verdict.accepted),
        strict: Verdict::from(item.verdict.strict_accepted),
        kind: Cow::Borrowed(kind_name(columns.kind)),
        id: columns.id.as_deref().map(Cow::Borrowed),
        type_name: columns.type_name.as_deref().map(Cow::Borrowed),
        action: columns.action.as_deref().map(Cow::Borrowed),
        actor: columns.actor.as_deref().map(Cow::Borrowed),
        object: columns.object.as_deref().map(Cow::Borrowed),
        group: columns.group.as_deref().map(Cow::Borrowed),
        time: columns
            .event_time
            .map(|at| Cow::Owned(Millis(at).rfc3339())),
        result: columns
            .result
            .as_deref()
            .and_then(|r| result_of(r, columns)),
        problems: findings(&item.verdict.problems)?,
        deviations: findings(&item.verdict.deviations)?,
        first: None,
        event_ref: None,
        fingerprint: Cow::Borrowed(fingerprint),
    })
}

/// The column of a result whose ids are within their bounds.
fn result_of<'i>(result: &'i ResultColumns<'_>, columns: &Columns<'_>) -> Option<LineResult<'i>> {
    let borrowed = |text: &'i Option<Cow<'_, str>>| text.as_deref().map(Cow::Borrowed);
    let instant = |at: Option<i64>| at.map(|at| Cow::Owned(Millis(at).rfc3339()));
    let column = LineResult {
        assignment: borrowed(&result.assignment),
        learner: Cow::Borrowed(&result.learner),
        attempt: borrowed(&result.attempt),
        count: result.count,
        part_of: borrowed(&result.part_of),
        given: result.score.map(|score| score.given),
        cleared: result.cleared,
        maximum: result.score.and_then(|score| score.maximum),
        scored_by: borrowed(&result.scored_by),
        started_at: instant(result.started_at),
        submitted_at: instant(result.submitted_at),
        duration_millis: result.duration_millis,
    };
    column
        .fits(columns.group.as_deref(), columns.action.as_deref())
        .then_some(column)
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Event => "event",
        Kind::Entity => "entity",
        Kind::Domain => "domain",
        Kind::Opaque => "opaque",
    }
}

fn findings(list: &[Problem]) -> Result<Option<Cow<'static, RawValue>>, PortError> {
    if list.is_empty() {
        return Ok(None);
    }
    let raw = serde_json::value::to_raw_value(list).map_err(|e| PortError::Fatal(e.to_string()))?;
    Ok(Some(Cow::Owned(raw)))
}
