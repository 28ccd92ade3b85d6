//! What is missing at the end, and whether anybody could have brought it back.

use super::Violation;
use super::passes::window_of;
use super::segments::Segments;
use super::stream::Frames;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use vernier_fakes::ShardDescription;
use vernier_ledger::Invariant;
use vernier_ledger::given_up::GivenUp;
use vernier_ledger::ids::{ReceiptId, Sequence, TenantId};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::time::Window;

/// An envelope that is not stored as it was received.
#[derive(Debug)]
struct Loss {
    tenant: TenantId,
    /// Whether its sensor was told that it is safe.
    is_owed: bool,
    /// Whether a slice of it may come by itself: the trigger has not come past its first record, which the stream keeps.
    may_come: bool,
    /// Whether its receipt has expired: accounts do not know it any more, and its window's evidence does.
    is_expired: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Losses {
    receipts: BTreeMap<ReceiptId, Loss>,
}

impl Losses {
    /// Invariant 3: a slice of an envelope that was answered is missing only when the trigger went past its record and left nothing of
    /// it, and the stream does not keep it any more, or never came past it with another record.
    pub(super) fn of(
        world: &World,
        frames: &Frames,
        segments: &Segments,
    ) -> Result<Self, Violation> {
        let mut losses = Self::default();
        for identity in &world.identities {
            let tenant = &identity.tenant.id;
            for receipt in world.table.all_receipts(tenant) {
                let stored = segments.tallies.get(&receipt.id).copied();
                if receipt.received() == stored.unwrap_or_default() {
                    continue;
                }
                let healable = could_be_healed(world, frames, tenant, &receipt);
                let is_owed = receipt.acknowledged.is_some();
                if let Some(slice) = healable.filter(|_| is_owed) {
                    let what = format!(
                        "slice {slice} of {} is not stored, and nothing keeps it from being brought back",
                        receipt.id
                    );
                    return Err(Violation::new(Invariant::Complete, what));
                }
                let loss = Loss {
                    tenant: tenant.clone(),
                    is_owed,
                    may_come: may_come(world, tenant, &receipt),
                    is_expired: false,
                };
                losses.receipts.insert(receipt.id, loss);
            }
        }
        losses.add_expired(world, segments);
        Ok(losses)
    }

    /// Adds what was answered and has neither a receipt any more nor all of its events.
    fn add_expired(&mut self, world: &World, segments: &Segments) {
        for attempt in world.attempts.iter().filter(|a| a.acknowledged) {
            let sent = &world.sent[attempt.envelope];
            let tenant = &world.identities[sent.tenant].tenant.id;
            let stored = segments.tallies.get(&attempt.receipt);
            let is_whole = stored.is_some_and(|tally| tally.events == sent.events.len() as u64);
            if is_whole || world.table.raw_receipt(tenant, attempt.receipt).is_some() {
                continue;
            }
            let loss = Loss {
                tenant: tenant.clone(),
                is_owed: true,
                may_come: false,
                is_expired: true,
            };
            self.receipts.insert(attempt.receipt, loss);
        }
    }

    pub(super) fn has(&self, receipt: ReceiptId) -> bool {
        self.receipts.contains_key(&receipt)
    }

    fn in_window<'l>(
        &'l self,
        tenant: &'l TenantId,
        window: Window,
    ) -> impl Iterator<Item = (ReceiptId, &'l Loss)> {
        let all = self.receipts.iter();
        let all = all.filter(move |(_, loss)| loss.tenant == *tenant);
        let here = all.filter(move |(id, _)| window_of(**id).start == window.start);
        here.map(|(id, loss)| (*id, loss))
    }

    /// Those of a window whose sensors rely on them, as far as their receipts are there.
    pub(super) fn owed_in(&self, tenant: &TenantId, window: Window) -> Vec<ReceiptId> {
        let here = self.in_window(tenant, window);
        let known = here.filter(|(_, l)| l.is_owed && !l.is_expired);
        known.map(|(id, _)| id).collect()
    }

    /// Whether something of a window that is lost may come by itself, so that its hold has no end yet.
    pub(super) fn may_come(&self, tenant: &TenantId, window: Window) -> bool {
        self.in_window(tenant, window).any(|(_, l)| l.may_come)
    }

    /// Learners whose results may show what was lost: they are merged before the commit.
    pub(super) fn learners(&self, world: &World) -> BTreeSet<(TenantId, String)> {
        let lost = world.attempts.iter().filter(|a| self.has(a.receipt));
        let events = lost.flat_map(|a| {
            let sent = &world.sent[a.envelope];
            let tenant = &world.identities[sent.tenant].tenant.id;
            { sent.events.iter() }.map(move |event| (tenant.clone(), event.learner()))
        });
        events.collect()
    }

    /// Whether something of a window is lost, and no sensor relies on any of it.
    pub(super) fn are_unanswered(&self, tenant: &TenantId, window: Window) -> bool {
        !self.spare(tenant, window) && self.owed_in(tenant, window).is_empty()
    }

    /// Whether nothing of a window is lost.
    pub(super) fn spare(&self, tenant: &TenantId, window: Window) -> bool {
        self.in_window(tenant, window).next().is_none()
    }
}

/// A slice that is missing although it can be had; none when each is lost, or one was brought back in vain too often.
fn could_be_healed(
    world: &World,
    frames: &Frames,
    tenant: &TenantId,
    receipt: &Receipt,
) -> Option<u32> {
    let cursors = world.table.cursors();
    let shards = world.stream.shards();
    let given_up = world.table.all_given_up(tenant);
    if given_up.iter().any(|slice| slice.receipt == receipt.id) {
        return None;
    }
    receipt.expected_slices().find(|slice| {
        let claim = receipt.claims.get(slice);
        let claimed = claim.map(|c| (c.origin.shard.id.clone(), c.origin.sequence.clone()));
        let at = usize::try_from(*slice).unwrap_or(usize::MAX);
        let Some((shard, sequence)) = claimed.or_else(|| receipt.placed.get(at).cloned()) else {
            return true;
        };
        if world.trigger.skipped().is_empty() || !frames.ever_held(tenant, receipt.id, *slice) {
            return true;
        }
        let passed = cursors.iter().find(|(s, _)| s.id == shard);
        let is_passed = passed.is_some_and(|(_, c)| c.sequence.as_ref() >= Some(&sequence));
        is_passed && is_kept(world, &shards, (&shard, &sequence))
    })
}

/// Whether the first record of a slice, as the acknowledgement or else its claim says, lies before its shard's cursor, and
/// nobody gave the slice up. A claim of what was sent again says nothing of the first record.
fn may_come(world: &World, tenant: &TenantId, receipt: &Receipt) -> bool {
    let cursors = world.table.cursors();
    let shards = world.stream.shards();
    let given_up = GivenUp::of(&world.table.all_given_up(tenant));
    let mut slices = receipt.expected_slices();
    slices.any(|slice| {
        if given_up.has(receipt.id, slice) {
            return false;
        }
        let claim = receipt.claims.get(&slice).filter(|c| c.attempt == 0);
        let claimed = claim.map(|c| (c.origin.shard.id.clone(), c.origin.sequence.clone()));
        let at = usize::try_from(slice).unwrap_or(usize::MAX);
        let Some((shard, sequence)) = receipt.placed.get(at).cloned().or(claimed) else {
            return false;
        };
        let cursor = cursors.iter().find(|(s, _)| s.id == shard);
        let is_passed = cursor.is_some_and(|(_, c)| c.sequence.as_ref() >= Some(&sequence));
        !is_passed && is_kept(world, &shards, (&shard, &sequence))
    })
}

/// Whether the stream still has a record.
fn is_kept(
    world: &World,
    shards: &[ShardDescription],
    (shard, sequence): (&str, &Sequence),
) -> bool {
    let found = shards.iter().find(|s| s.shard.id == shard);
    found.is_some_and(|s| {
        let kept = world.stream.read(&s.shard, 0, usize::MAX);
        kept.iter().any(|(at, _)| at == sequence)
    })
}
