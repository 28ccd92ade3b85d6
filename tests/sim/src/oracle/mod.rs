//! The oracle: what is true, re-derived from raw storage alone.
//!
//! `Oracle::look` runs after every operation and reads what is new on the stream, among the segment
//! records and among the answers. `Oracle::judge` runs once, after the trigger and the recovery have
//! finished: it makes sure that what it read is still there, unchanged, and compares it with what the
//! sensors sent, event by event.
//! What a derived state (dispositions, results, reports) must be is computed in `passes` by a
//! straight single pass over `Truth::events`.

mod days;
mod evidence;
mod losses;
mod pages;
mod passes;
mod seals;
mod segments;
mod spans;
mod stream;
mod truth;

pub use truth::{TrueEvent, Truth};

use super::counts::Counts;
use super::world::World;
use losses::Losses;
use seals::Seals;
use segments::Segments;
use spans::Spans;
use std::collections::BTreeSet;
use std::fmt;
use stream::Frames;
use vernier_ledger::Invariant;
use vernier_ledger::ids::TenantId;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

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

/// A segment whose events are sealed in time is swept within so long of their receipt, seconds: the window, its grace and
/// its hold, the segment's time and the sweep's pause are together less than an hour.
const SOON_SECONDS: i64 = 2 * 3_600;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Oracle {
    frames: Frames,
    segments: Segments,
    seals: Seals,
    /// Segment objects that were swept, or deleted behind the ledger's back.
    gone: BTreeSet<String>,
    /// Segments that were swept long after their events were received.
    swept_late: u64,
    /// How many answers were looked at.
    answers: usize,
    /// How many objects had been removed from the bucket at the last look.
    removals: u64,
}

/// Invariant 6: nobody touches records behind the ledger's back, so that the check of the shards finds nothing.
fn check_shards_sound(world: &World) -> Result<(), Violation> {
    let notices = world.topic.notices().into_iter();
    let mut broken = notices.filter(|(subject, _)| subject.contains("chain of a shard"));
    broken.next().map_or(Ok(()), |(_, body)| {
        Err(Violation::new(
            Invariant::TamperEvident,
            format!("a sound shard is announced as broken: {body}"),
        ))
    })
}

impl Oracle {
    /// Looks at what is new.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(super) fn look(&mut self, world: &World) -> Result<(), Violation> {
        self.frames.read_new(world)?;
        self.check_answers(world)?;
        self.segments.read_new(world)?;
        self.seals.read_new(world, &self.segments)?;
        self.check_swept(world)
    }

    /// Invariant 3: a segment goes only when all that it holds is sealed.
    fn check_swept(&mut self, world: &World) -> Result<(), Violation> {
        // Nothing goes but by a removal, and the bucket counts those.
        let removals = std::mem::replace(&mut self.removals, world.bucket.removals());
        if removals == self.removals {
            return Ok(());
        }
        let there: BTreeSet<String> = world.bucket.keys("segments/").into_iter().collect();
        for (key, places) in &self.segments.objects {
            if there.contains(key) || !self.gone.insert(key.clone()) {
                continue;
            }
            let newest = places.iter().map(|place| place.0.received_at()).max();
            let is_late = newest.is_some_and(|at| at.plus_seconds(SOON_SECONDS) < world.now());
            self.swept_late += u64::from(is_late);
            let unsealed = places.iter().find(|place| !self.seals.holds(place));
            if let Some((receipt, index)) = unsealed.filter(|_| !world.archive.lost.contains(key)) {
                let what = format!("{key} was swept, and event {index} of {receipt} is not sealed");
                return Err(Violation::new(Invariant::Complete, what));
            }
        }
        Ok(())
    }

    /// Invariant 1: what was answered with a 2xx is on the stream, whole, and has its receipt.
    fn check_answers(&mut self, world: &World) -> Result<(), Violation> {
        let before = std::mem::replace(&mut self.answers, world.answers.len());
        for place in &world.answers[before..] {
            let attempt = &world.attempts[*place];
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

    /// Events in seals.
    pub(super) fn events_sealed(&self) -> u64 {
        self.seals.events()
    }

    /// What the oracle alone has counted.
    pub(super) fn seen(&self) -> Counts {
        Counts {
            clocks: self.seals.clocks(),
            beside_clocks: self.frames.beside_clocks(),
            swept_late: self.swept_late,
            ..Counts::default()
        }
    }

    /// Whether all that is stored is sealed.
    pub(super) fn is_all_sealed(&self) -> bool {
        self.segments
            .lines
            .keys()
            .all(|place| self.seals.holds(place))
    }

    /// Everything together, after all has come to rest.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(super) async fn judge(&self, world: &World) -> Result<(), Violation> {
        let segments = &self.segments;
        segments.check_unchanged(world, &self.gone)?;
        segments.check_cursors(world)?;
        check_shards_sound(world)?;
        self.frames.check_quarantine(world)?;
        let losses = Losses::of(world, &self.frames, segments)?;
        let truth = Truth::of(world, segments, &losses, |place| self.seals.holds(place))?;
        truth.check_receipts(world, segments, &losses)?;
        passes::check_results(world, &truth, &losses.learners(world), |_| true)?;
        let spans = Spans::of(world, segments);
        passes::check_accounts(world, (segments, &spans), &losses).await?;
        if self.gone.is_empty() {
            passes::check_dispositions(world, &spans, &truth).await?;
            let is_any_sealed = self.seals.tenants().next().is_some();
            pages::check_pages(world, &truth, is_any_sealed).await?;
        }
        Ok(())
    }

    /// What the archive must be after everything has come to rest and was sealed and swept.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(super) fn judge_archive(&self, world: &World) -> Result<u64, Violation> {
        let losses = Losses::of(world, &self.frames, &self.segments)?;
        let open = self.seals.check_rest(world, &self.segments, &losses)?;
        let open_windows = self.open_windows();
        passes::check_kept_accounts(world, &self.segments, |tenant, window| {
            !open_windows.contains(&(tenant.clone(), window.start))
        })?;
        self.check_removed(world)?;
        self.seals.check_verified(world)?;
        Ok(open)
    }

    /// Invariant 6: the archive is sound, whatever of a day is merged or removed by now.
    ///
    /// # Errors
    /// The first thing that verification finds.
    pub(super) fn check_archive(&self, world: &World) -> Result<(), Violation> {
        self.seals.check_verified(world)
    }

    /// What the archive must be after its day was compacted and its windows' own files are removed.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(super) fn check_compacted(&self, world: &World) -> Result<(), Violation> {
        self.seals.check_verified(world)?;
        if self.is_all_sealed() {
            days::check_merged(&self.seals, world)?;
        }
        Ok(())
    }

    fn window(&self, place: &Place) -> Option<(TenantId, Millis)> {
        let tenant = self.segments.tenant_of(place.0)?;
        Some((tenant.clone(), passes::window_of(place.0).start))
    }

    /// Windows of which something lies in segments and in no seal.
    fn open_windows(&self) -> BTreeSet<(TenantId, Millis)> {
        let unsealed = self.segments.lines.keys().filter(|p| !self.seals.holds(p));
        unsealed.filter_map(|place| self.window(place)).collect()
    }

    /// Invariant 8: what is sealed and old is gone, and so is what nothing names. What is sealed of a
    /// window that has more may stay.
    fn check_removed(&self, world: &World) -> Result<(), Violation> {
        let window = |p: &Place| self.window(p);
        let open = self.open_windows();
        for key in world.bucket.keys("segments/") {
            let places = self.segments.objects.get(&key).into_iter().flatten();
            let mut windows = places.filter_map(window);
            Violation::unless(
                windows.any(|w| open.contains(&w)),
                Invariant::Bounded,
                || format!("{key} is not needed and was not swept"),
            )?;
        }
        Ok(())
    }

    /// Invariant 4: results that were rebuilt from the archive are those of its stored events.
    ///
    /// # Errors
    /// When they are others.
    pub(super) fn judge_rebuilt(&self, world: &World) -> Result<(), Violation> {
        let losses = Losses::of(world, &self.frames, &self.segments)?;
        let truth = Truth::of(world, &self.segments, &losses, |place| {
            self.seals.holds(place)
        })?;
        passes::check_results(world, &truth, &BTreeSet::new(), |place| {
            self.seals.stores(place)
        })
    }
}
