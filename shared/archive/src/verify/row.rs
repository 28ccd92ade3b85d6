//! One row: what it contradicts, and what is kept of it.

use super::report::Check;
use super::rows::Task;
use crate::row::Row;
use crate::seal::{PartClass, Seal, SealKind};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::event_id::EventId;
use vernier_ledger::segment::Place;

/// Bytes of a kept key that say which event it is; those behind them say how its id is spelled.
pub(super) const IDENTITY_BYTES: usize = 12;

/// A row among those of the other class.
pub(super) fn misplaced(task: &Task<'_>, row: &Row<'_>) -> Option<(Check, String)> {
    let stored = row.disposition == Disposition::Stored;
    let word = crate::row::disposition_word(row.disposition);
    (stored != (task.class == PartClass::Archive))
        .then(|| (Check::Row, format!("is {word}, which does not lie here")))
}

/// What a row contradicts: itself, its file or its window.
pub(super) fn contradiction(task: &Task<'_>, row: &Row<'_>) -> Option<(Check, String)> {
    if let Some(misplaced) = misplaced(task, row) {
        return Some(misplaced);
    }
    if row.received_at != row.receipt.received_at() {
        return Some((
            Check::Row,
            "received_at is not its receipt's time".to_owned(),
        ));
    }
    if !task.seal.window().contains(row.received_at) {
        let what = format!("was received at {}, outside of the window", row.received_at);
        return Some((Check::Row, what));
    }
    let repeats = matches!(
        row.disposition,
        Disposition::Duplicate | Disposition::Conflict
    );
    if repeats != row.first.is_some() {
        return Some((
            Check::Row,
            "its disposition and its first contradict each other".to_owned(),
        ));
    }
    if !matches!(row.strict, "accepted" | "rejected") {
        return Some((Check::Row, format!("strict is {}", row.strict)));
    }
    if !matches!(row.kind, "event" | "entity" | "domain" | "opaque") {
        return Some((Check::Row, format!("kind is {}", row.kind)));
    }
    if task.seal.statement.is_some() {
        if let Some(wrong) = contradiction_of_version_4(task, row) {
            return Some(wrong);
        }
        if row.erased.is_some() {
            return None;
        }
    }
    let may_have_text = task.seal.statement.is_some() || row.disposition != Disposition::Duplicate;
    match row.event {
        None if row.disposition == Disposition::Duplicate => None,
        None => Some((Check::Fingerprint, "the event's text is missing".to_owned())),
        Some(_) if !may_have_text => Some((
            Check::Row,
            "is a duplicate with a text of its own".to_owned(),
        )),
        Some(text) if Fingerprint::of(text.as_bytes()).0 != row.fingerprint => {
            let what = "the event's text has another SHA-256 than its fingerprint";
            Some((Check::Fingerprint, what.to_owned()))
        }
        Some(_) => None,
    }
}

/// What a row of version 4 contradicts: the times that are closed, and the erasures.
fn contradiction_of_version_4(task: &Task<'_>, row: &Row<'_>) -> Option<(Check, String)> {
    if let Some(first) = row
        .first
        .filter(|first| !first_lies_here(task.seal, *first))
        && !task.closings.had_closed(task.seal, first.0.received_at())
    {
        let what = format!(
            "its first was received at {}, in no time that an earlier seal closed",
            first.0.received_at()
        );
        return Some((Check::Row, what));
    }
    // Of a row of a day whose own seal is not here, erasures are not known.
    let is_known = task.seal.kind != SealKind::Day;
    if is_known && task.is_erased(row) != row.erased.is_some() {
        let what = match row.erased {
            Some(_) => "is erased, and no erasure names it",
            None => "is not erased, and an erasure names it",
        };
        return Some((Check::Erasure, what.to_owned()));
    }
    let has_more = row.erased.is_some() && row.erase() != *row;
    let what = "is erased and still has something that it said";
    has_more.then(|| (Check::Erasure, what.to_owned()))
}

/// What is kept of an event's key. Archives that were sealed while ids were compared by their bytes store a
/// UUID once for each spelling, which is no fault of theirs: so the spelling is kept beside the identity.
pub(super) fn kept_key(key: &[u8; 32], id: Option<&str>) -> [u8; 16] {
    let mut kept = [0; 16];
    let (identity, spelling) = kept.split_at_mut(IDENTITY_BYTES);
    identity.copy_from_slice(&key[..IDENTITY_BYTES]);
    if let Some(id) = id.filter(|id| EventId(id).is_uuid()) {
        let sent = Fingerprint::of(id.as_bytes()).0;
        spelling.copy_from_slice(&sent[..16 - IDENTITY_BYTES]);
    }
    kept
}

/// Eight of its bytes: SHA-256 has no better ones.
pub(super) fn folded(fingerprint: &[u8; 32]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&fingerprint[..8]);
    u64::from_be_bytes(bytes)
}

/// The receipt's random bits with the index: places of one window meet in it by chance only.
pub(super) fn folded_place((receipt, index): Place) -> u64 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(receipt.as_bytes());
    let [high, low] = [&bytes[..8], &bytes[8..]].map(|half| {
        half.iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    });
    (high.rotate_left(32) ^ low).wrapping_add(u64::from(index).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Whether a repeat's first must lie in the window that is sealed here.
pub(super) fn first_lies_here(seal: &Seal, first: Place) -> bool {
    seal.kind == SealKind::Window && seal.window().contains(first.0.received_at())
}
