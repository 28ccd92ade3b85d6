//! Envelopes that came again under another receipt, in the same body, while their first receipt misses something.

use super::window::Job;
use crate::receipts_of;
use std::collections::HashMap;
use vernier_archive::account::Missing;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{PortError, Receipts};
use vernier_ledger::spread::Spreads;
use vernier_ledger::time::{Millis, Window};

/// How long after a window's end a resend of it is looked for, seconds. Two hours of receipts are 120 reads for each of the
/// tenant's lanes, and none is made where nothing is missing.
const RESENT_SECONDS_MAX: i64 = 2 * 3_600;

/// Notes beside what is missing under which receipt the same body was acknowledged later, the first one that was. It may
/// have its own trouble: then its own window says so.
///
/// # Errors
/// Whatever error the table gives.
pub(super) async fn note_resent<T: Receipts + Spreads>(
    table: &T,
    job: &Job<'_>,
    now: Millis,
    missing: &mut [Missing],
) -> Result<(), PortError> {
    let own = job.receipts.iter();
    let bodies: HashMap<ReceiptId, &str> = own
        .filter_map(|receipt| Some((receipt.id, receipt.body_sha256.as_deref()?)))
        .collect();
    let is_known = |row: &Missing| bodies.contains_key(&row.receipt);
    if !missing.iter().any(is_known) {
        return Ok(());
    }
    let until = job.window.end.plus_seconds(RESENT_SECONDS_MAX).min(now);
    let range = Window {
        start: job.window.start,
        end: until.max(job.window.end),
    };
    let later = receipts_of(table, job.tenant, &[range]).await?;
    let mut first_of: HashMap<&str, Vec<ReceiptId>> = HashMap::new();
    for receipt in later.values().flatten() {
        if let Some(body) = receipt.body_sha256.as_deref() {
            first_of.entry(body).or_default().push(receipt.id);
        }
    }
    for row in missing {
        let body = bodies.get(&row.receipt);
        let again = body.and_then(|body| first_of.get(body));
        let later = again
            .into_iter()
            .flatten()
            .filter(|again| **again > row.receipt);
        if let Some(again) = later.min() {
            row.sent_again = Some(*again);
        }
    }
    Ok(())
}
