//! What the sensors sent against what is stored, event by event.

use super::Violation;
use super::losses::Losses;
use super::segments::Segments;
use crate::operations::kept_since;
use crate::script::EventSpec;
use crate::world::World;
use std::collections::BTreeMap;
use vernier_ledger::Invariant;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::segment::Place;

/// An event that a segment holds, as its sensor made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrueEvent {
    /// Number of its tenant.
    pub tenant: usize,
    /// The event.
    pub spec: EventSpec,
}

/// All stored events by place: the order in which a straight single pass takes them.
#[derive(Debug, Default)]
pub struct Truth {
    /// By receipt id and index.
    pub events: BTreeMap<Place, TrueEvent>,
}

impl Truth {
    /// Invariants 2 and 4: every event of every acknowledged envelope is stored once, as it was sent,
    /// under its tenant; whatever else is stored was sent by an attempt that got no answer.
    /// What a playback sent is the event that it repeats. What is lost may be missing.
    pub(super) fn of(
        world: &World,
        segments: &Segments,
        losses: &Losses,
        is_sealed: impl Fn(&Place) -> bool,
    ) -> Result<Self, Violation> {
        let attempts: BTreeMap<ReceiptId, _> =
            world.attempts.iter().map(|a| (a.receipt, a)).collect();
        check_acknowledged(world, segments, losses)?;
        let mut fingerprints: BTreeMap<EventSpec, Fingerprint> = BTreeMap::new();
        let mut truth = Self::default();
        for (place, line) in &segments.lines {
            let (receipt, index) = *place;
            let strange = |what: &str| {
                let what = format!("event {index} of {receipt} {what}");
                Violation::new(Invariant::ExactlyOnceEffects, what)
            };
            if let Some(first) = line.first {
                let repeats = truth.events.get(&first).copied();
                let event = repeats.ok_or_else(|| strange("repeats nothing"))?;
                let of = world.identities[event.tenant].tenant.id == line.tenant;
                let same = segments.lines.get(&first).map(|l| l.fingerprint);
                if !of || same != Some(line.fingerprint) || line.rejected {
                    return Err(strange("is not what it repeats"));
                }
                truth.events.insert(*place, event);
                continue;
            }
            let attempt = attempts
                .get(&receipt)
                .ok_or_else(|| strange("was never sent"))?;
            let sent = &world.sent[attempt.envelope];
            let spec = usize::try_from(index).ok().and_then(|i| sent.events.get(i));
            let spec = *spec.ok_or_else(|| strange("is beyond its envelope"))?;
            if line.tenant != world.identities[sent.tenant].tenant.id {
                let what = format!("event {index} of {receipt} lies under another tenant");
                return Err(Violation::new(Invariant::TenantsAreWalls, what));
            }
            let of = |spec: &EventSpec| Fingerprint::of(spec.compact().as_bytes());
            let fingerprint = fingerprints.entry(spec).or_insert_with(|| of(&spec));
            if *fingerprint != line.fingerprint || spec.is_accepted() == line.rejected {
                return Err(strange("is stored as something else"));
            }
            if let Some(reference) = &line.event_ref {
                // It is swept when the archive has it.
                let bytes = world.bucket.raw(&reference.key);
                let is_it = bytes.map(|bytes| Fingerprint::of(&bytes) == line.fingerprint);
                if !is_it.unwrap_or_else(|| is_sealed(place)) {
                    return Err(strange("refers to another object"));
                }
            }
            let tenant = sent.tenant;
            truth.events.insert(*place, TrueEvent { tenant, spec });
        }
        Ok(truth)
    }

    /// Invariant 3, receipt by receipt: what was received is what is stored.
    pub(super) fn check_receipts(
        &self,
        world: &World,
        segments: &Segments,
        losses: &Losses,
    ) -> Result<(), Violation> {
        let mut received: BTreeMap<ReceiptId, Tally> = BTreeMap::new();
        for identity in &world.identities {
            for receipt in world.table.all_receipts(&identity.tenant.id) {
                received.insert(receipt.id, receipt.received());
            }
        }
        // One that has expired is told of by evidence alone.
        let kept_since = kept_since(world.now());
        let is_expired =
            |id: &ReceiptId| !received.contains_key(id) && id.received_at() <= kept_since;
        let missing = |id: &&ReceiptId| {
            received.get(id) != segments.tallies.get(id) && !losses.has(**id) && !is_expired(id)
        };
        let ids = received.keys().chain(segments.tallies.keys());
        match { ids }.find(missing) {
            None => Ok(()),
            Some(id) => Err(Violation::new(
                Invariant::Complete,
                format!(
                    "{id}: received {:?}, stored {:?}",
                    received.get(id),
                    segments.tallies.get(id)
                ),
            )),
        }
    }
}

/// Invariant 2: every event that was acknowledged is stored, but for what is lost.
fn check_acknowledged(
    world: &World,
    segments: &Segments,
    losses: &Losses,
) -> Result<(), Violation> {
    for attempt in world.attempts.iter().filter(|a| a.acknowledged) {
        for index in 0..world.sent[attempt.envelope].events.len() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let place = (attempt.receipt, index);
            Violation::unless(
                segments.lines.contains_key(&place) || losses.has(attempt.receipt),
                Invariant::OneDispositionEach,
                || {
                    format!(
                        "event {index} of {} was acknowledged and is not stored",
                        place.0
                    )
                },
            )?;
        }
    }
    Ok(())
}
