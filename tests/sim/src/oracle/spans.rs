//! The times in which a tenant has anything: what the accounts of a history are drawn up for.

use super::segments::Segments;
use crate::world::{BEGINNING, World};
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::time::{Millis, TimeRange};

const HOUR_MILLIS: i64 = 3_600_000;

/// The hours of each tenant in which an envelope of it was received, by what its sensor sent, by its receipts and by what
/// is stored, with the hours on both sides, and the last hour of the history. Whether a receipt expired makes no difference.
///
/// An account is drawn up from the receipts and block items of its window's minutes and nothing else. In all other hours
/// there are neither, nor in the hours beside them, so that a reader that takes in a little too much finds nothing either:
/// months of their windows need not be drawn up to be known to be empty.
#[derive(Debug)]
pub(super) struct Spans {
    hours: BTreeMap<TenantId, BTreeSet<i64>>,
    now: Millis,
}

impl Spans {
    pub(super) fn of(world: &World, segments: &Segments) -> Self {
        let now = world.now();
        let mut spans = Self {
            hours: BTreeMap::new(),
            now,
        };
        for attempt in &world.attempts {
            let tenant = world.sent[attempt.envelope].tenant;
            spans.add(&world.identities[tenant].tenant.id, attempt.receipt);
        }
        for receipt in segments.tallies.keys() {
            if let Some(tenant) = segments.tenant_of(*receipt) {
                spans.add(tenant, *receipt);
            }
        }
        for identity in &world.identities {
            let tenant = &identity.tenant.id;
            for receipt in world.table.all_receipts(tenant) {
                spans.add(tenant, receipt.id);
            }
        }
        spans
    }

    fn add(&mut self, tenant: &TenantId, receipt: ReceiptId) {
        let hour = receipt.received_at().0.div_euclid(HOUR_MILLIS);
        let hours = self.hours.entry(tenant.clone()).or_default();
        hours.extend(hour - 1..=hour + 1);
    }

    /// A tenant's times, oldest first, none next to another.
    pub(super) fn of_tenant(&self, tenant: &TenantId) -> Vec<TimeRange> {
        let last = (self.now.0 - 1).div_euclid(HOUR_MILLIS);
        let hours = self.hours.get(tenant).into_iter().flatten().copied();
        let hours: BTreeSet<i64> = hours.filter(|hour| *hour < last).chain([last]).collect();
        let mut ranges: Vec<TimeRange> = Vec::new();
        for hour in hours {
            let from = Millis(hour * HOUR_MILLIS).max(BEGINNING);
            let to = Millis((hour + 1) * HOUR_MILLIS).min(self.now);
            match ranges.last_mut() {
                _ if from >= to => {}
                Some(before) if before.to == from => before.to = to,
                _ => ranges.push(TimeRange { from, to }),
            }
        }
        ranges
    }

    /// From the first to the last of a tenant's times.
    pub(super) fn whole(&self, tenant: &TenantId) -> Option<TimeRange> {
        let ranges = self.of_tenant(tenant);
        let (first, last) = (ranges.first()?, ranges.last()?);
        Some(TimeRange {
            from: first.from,
            to: last.to,
        })
    }
}
