//! An envelope's events as ledger lines.

use serde_json::value::RawValue;
use std::borrow::Cow;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::{EnvelopeLines, NewLine};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits;
use vernier_ledger::line::{EventRef, LineHead, LineResult, Verdict, write_line};
use vernier_ledger::ports::PortError;
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

/// Writes one line per event, in order; events over the frame's budget leave a pointer.
///
/// # Errors
/// Only when a line does not serialise, which plain data always does.
pub fn write(
    envelope: &Envelope<'_>,
    receipt: ReceiptId,
    tenant: &TenantId,
    sensor: &str,
) -> Result<(EnvelopeLines, Vec<OversizeEvent>), PortError> {
    let received_at = receipt.received_at().rfc3339();
    let mut all = EnvelopeLines {
        text: Vec::with_capacity(envelope.items.iter().map(|i| i.raw.len() + 640).sum()),
        lines: Vec::with_capacity(envelope.items.len()),
    };
    let mut oversize = Vec::new();
    let mut event = Vec::new();
    for (index, item) in (0_u32..).zip(&envelope.items) {
        event.clear();
        compact(item.raw, &mut event);
        let fingerprint = Fingerprint::of(&event);
        let fingerprint_hex = fingerprint.hex();
        let mut head = head_of(item, receipt, index, &received_at, sensor, &fingerprint_hex)?;
        let start = all.text.len();
        let text = std::str::from_utf8(&event).map_err(|e| PortError::Fatal(e.to_string()))?;
        write_line(&head, text, &mut all.text).map_err(|e| PortError::Fatal(e.to_string()))?;
        if all.text.len() - start > limits::LINE_BYTES_MAX {
            all.text.truncate(start);
            let key = oversize_key(tenant, receipt, index);
            head.event_ref = Some(EventRef {
                key: key.clone(),
                bytes: event.len() as u64,
            });
            trim(&mut head);
            write_line(&head, "null", &mut all.text)
                .map_err(|e| PortError::Fatal(e.to_string()))?;
            oversize.push(OversizeEvent {
                key,
                bytes: event.clone(),
            });
        }
        let verdict = head.verdict;
        all.lines.push(NewLine {
            end: all.text.len(),
            index,
            fingerprint,
            verdict,
        });
    }
    Ok((all, oversize))
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
