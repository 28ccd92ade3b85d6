//! What a page of the sweep comes to: what goes, and what is left behind, by hour or day, kind and tenant.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use vernier_ledger::Invariant;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Notices, PortError};
use vernier_ledger::sweep::{Leftover, LeftoverKey, LeftoverKind};
use vernier_ledger::time::Millis;

/// Leftovers that a notice names; of more it says how many.
const TOLD_MAX: usize = 10;

/// What was found on one page.
pub(super) struct Found {
    start: Millis,
    /// Segments that are wholly sealed.
    pub(super) sealed: Vec<String>,
    /// Oversize events that are sealed.
    pub(super) oversize: Vec<String>,
    /// What nothing names and nothing can name any more.
    pub(super) unnamed: Vec<String>,
    pub(super) left: BTreeMap<LeftoverKey, Leftover>,
}

impl Found {
    /// Nothing yet of the hour of segments, or the day of oversize events, that begins then.
    pub(super) const fn of_hour(start: Millis) -> Self {
        Self {
            start,
            sealed: Vec::new(),
            oversize: Vec::new(),
            unnamed: Vec::new(),
            left: BTreeMap::new(),
        }
    }

    /// Leaves an object behind.
    pub(super) fn leave(&mut self, kind: LeftoverKind, tenant: Option<TenantId>, object: &str) {
        let start = self.start;
        let key = LeftoverKey {
            start,
            kind,
            tenant,
        };
        let left = self.left.entry(key.clone()).or_insert_with(|| Leftover {
            key,
            objects: 0,
            first: object.to_owned(),
        });
        left.objects += 1;
    }

    /// How many objects of a kind were left.
    pub(super) fn count_of(&self, kind: LeftoverKind) -> u64 {
        let of_kind = self.left.values().filter(|left| left.key.kind == kind);
        of_kind.map(|left| left.objects).sum()
    }
}

/// Tells the auditors of what is left and somebody must look at; answers which ones.
pub(super) async fn announce<N: Notices>(
    notices: &N,
    left: &[&Leftover],
) -> Result<Vec<LeftoverKey>, PortError> {
    let mut told = Vec::new();
    for (is_of, subject, why) in [
        (
            LeftoverKind::is_overdue as fn(LeftoverKind) -> bool,
            "Vernier: something unsealed is past its time",
            "they are past their time and not wholly sealed; they stay until they are",
        ),
        (
            |kind| kind == LeftoverKind::Unknown,
            "Vernier: segments that a restored table does not know",
            "they were written while this table knew nothing; they stay until an operator says otherwise",
        ),
    ] {
        let some: Vec<&&Leftover> = left.iter().filter(|left| is_of(left.key.kind)).collect();
        if some.is_empty() {
            continue;
        }
        let first: Vec<Value> = some.iter().take(TOLD_MAX).map(|left| line(left)).collect();
        let body = json!({
            "left": some.len(),
            "objects": some.iter().map(|left| left.objects).sum::<u64>(),
            "first": first,
            "why": why,
            "invariant": Invariant::Complete.number(),
        });
        notices.publish(subject, &body.to_string()).await?;
        told.extend(some.iter().map(|left| left.key.clone()));
    }
    Ok(told)
}

fn line(left: &Leftover) -> Value {
    json!({
        "kind": left.key.kind,
        "from": left.key.start.rfc3339(),
        "tenant": left.key.tenant,
        "objects": left.objects,
        "first": left.first,
    })
}
