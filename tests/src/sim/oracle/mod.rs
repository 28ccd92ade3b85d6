//! The oracle: what is true, re-derived from raw storage alone.
//!
//! `Oracle::look` runs after every operation and reads what is new on the stream, among the segment
//! records and among the answers. `Oracle::judge` runs once, after the trigger and the recovery have
//! finished: it makes sure that what it read is still there, unchanged, and compares it with what the
//! sensors sent, event by event.
//! What a derived state (dispositions, results, reports) must be is computed in `passes` by a
//! straight single pass over `Truth::events`.

mod passes;
mod segments;
mod stream;
mod truth;

pub use truth::{TrueEvent, Truth};

use super::world::World;
use segments::Segments;
use std::collections::BTreeSet;
use std::fmt;
use stream::Frames;
use vernier_ledger::Invariant;
use vernier_ledger::ids::ReceiptId;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which; none for a panic.
    pub invariant: Option<Invariant>,
    /// What was found.
    pub what: String,
}

impl Violation {
    pub(super) fn new(invariant: Invariant, what: impl Into<String>) -> Self {
        Self {
            invariant: Some(invariant),
            what: what.into(),
        }
    }

    pub(super) fn unless(
        holds: bool,
        invariant: Invariant,
        what: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        if holds {
            Ok(())
        } else {
            Err(Self::new(invariant, what()))
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.invariant {
            Some(invariant) => write!(f, "{invariant}: {}", self.what),
            None => write!(f, "panic: {}", self.what),
        }
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Oracle {
    frames: Frames,
    segments: Segments,
    acknowledged: BTreeSet<ReceiptId>,
}

impl Oracle {
    /// Looks at what is new.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(super) fn look(&mut self, world: &World) -> Result<(), Violation> {
        self.frames.read_new(&world.stream)?;
        self.check_answers(world)?;
        self.segments.read_new(world)
    }

    /// Invariant 1: what was answered with a 2xx is on the stream, whole, and has its receipt.
    fn check_answers(&mut self, world: &World) -> Result<(), Violation> {
        // An attempt is answered at once, or soon after when it stood still in between.
        for attempt in world.attempts.iter().filter(|a| a.acknowledged) {
            if !self.acknowledged.insert(attempt.receipt) {
                continue;
            }
            let sent = &world.sent[attempt.envelope];
            let tenant = &world.identities[sent.tenant].tenant.id;
            let receipt = world.table.raw_receipt(tenant, attempt.receipt);
            let acknowledged = receipt.and_then(|r| r.acknowledged);
            let broken = |what: &str| {
                let what = format!("{} was answered, and {what}", attempt.receipt);
                Violation::new(Invariant::DurableBeforeAck, what)
            };
            let (tally, slices) = acknowledged.ok_or_else(|| broken("has no receipt"))?;
            let rejected = sent.events.iter().filter(|e| !e.is_accepted()).count();
            if (tally.events, tally.rejected) != (sent.events.len() as u64, rejected as u64) {
                return Err(broken("its receipt counts other events"));
            }
            let on_stream = self.frames.whole(tenant, attempt.receipt, slices);
            let on_stream =
                on_stream.ok_or_else(|| broken("a frame of it is not on the stream"))?;
            if on_stream != tally {
                return Err(broken("its frames hold other events"));
            }
        }
        Ok(())
    }

    /// Events in segments.
    pub(super) fn events_stored(&self) -> u64 {
        self.segments.events()
    }

    /// Everything together, after all has come to rest.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(super) async fn judge(&self, world: &World) -> Result<(), Violation> {
        let segments = &self.segments;
        segments.check_unchanged(world)?;
        segments.check_cursors(world)?;
        self.frames.check_quarantine(world)?;
        let truth = Truth::of(world, segments)?;
        truth.check_receipts(world, segments)?;
        passes::check_results(world, &truth)?;
        passes::check_accounts(world, segments).await?;
        passes::check_dispositions(world, &truth).await
    }
}
