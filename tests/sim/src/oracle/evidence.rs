//! The evidence of seals and what they say is missing, held against receipts and answers.

use super::Violation;
use super::seals::broken;
use crate::archive::HOLD_SECONDS;
use crate::world::{RECONCILE, World};
use std::collections::{BTreeMap, BTreeSet};
use vernier_archive::account::{BesideRow, Evidence, Missing};
use vernier_archive::files::{Memory, Source};
use vernier_archive::seal::{Seal, SealedFile, ShortfallCause};
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// What was answered, and what some seal has as evidence.
#[derive(Debug, Default)]
pub(super) struct Evident {
    receipts: BTreeSet<ReceiptId>,
    /// When each answered envelope was first seen to be.
    answered: BTreeMap<ReceiptId, Millis>,
    /// When the clock of each window's hold was first seen to run.
    clocks: BTreeMap<(TenantId, Millis), Millis>,
    /// Windows whose last seal says that something is missing.
    short: BTreeSet<(TenantId, Millis)>,
}

impl Evident {
    /// Takes note of the envelopes that are answered by now.
    pub(super) fn note_answers(&mut self, world: &World) {
        for place in &world.answers[self.answered.len()..] {
            let receipt = world.attempts[*place].receipt;
            self.answered.insert(receipt, world.now());
        }
    }

    /// Takes note of the clocks of holds; one that ran runs on, since the same instant.
    pub(super) fn note_clocks(&mut self, world: &World) -> Result<(), Violation> {
        for identity in &world.identities {
            let tenant = &identity.tenant.id;
            for held in world.table.raw_held(tenant) {
                let key = (tenant.clone(), held.window.start);
                let before = self.clocks.get(&key).copied();
                Violation::unless(
                    before.is_none() || before == held.since,
                    Invariant::Complete,
                    || {
                        let start = held.window.start;
                        format!(
                            "the hold of {start} ran since {before:?}, and now {:?}",
                            held.since
                        )
                    },
                )?;
                if let Some(since) = held.since {
                    self.clocks.insert(key, since);
                }
            }
        }
        Ok(())
    }

    /// Holds whose clock was seen to run.
    pub(super) fn clocks(&self) -> u64 {
        self.clocks.len() as u64
    }

    /// Windows whose last seals say that something is missing.
    pub(super) const fn short(&self) -> &BTreeSet<(TenantId, Millis)> {
        &self.short
    }

    /// Invariant 3: what a seal lists as missing is what was acknowledged and is in no seal so far, neither more nor less;
    /// and it says so only when its hold was over.
    pub(super) fn check_missing(
        &mut self,
        world: &World,
        tenant: &Tenant,
        (entry, seal): (&SealEntry, &Seal),
        is_sealed: impl Fn(&Place) -> bool,
    ) -> Result<(), Violation> {
        let wrong = |what: &str| broken(Invariant::Complete, entry, what);
        let Some(window) = seal.statement.as_ref().and_then(|s| s.window()) else {
            return Ok(());
        };
        let mut listed: BTreeMap<ReceiptId, u32> = BTreeMap::new();
        for file in window.missing.inline().unwrap_or_default() {
            let rows: Vec<Missing> = rows_of(world, entry, file)?;
            listed.extend(rows.into_iter().map(|row| (row.receipt, row.events)));
        }
        if listed.len() as u64 != entry.missing {
            return Err(wrong("lists other envelopes than the table is told of"));
        }
        let key = (tenant.id.clone(), entry.window.start);
        match listed.is_empty() {
            true => self.short.remove(&key),
            false => self.short.insert(key.clone()),
        };
        for attempt in world.attempts.iter().filter(|a| a.acknowledged) {
            let sent = &world.sent[attempt.envelope];
            let is_here = entry.window.contains(attempt.receipt.received_at());
            let is_known = !entry.is_backfill() || self.receipts.contains(&attempt.receipt);
            if !is_here || !is_known || world.identities[sent.tenant].tenant.id != tenant.id {
                continue;
            }
            let count = u32::try_from(sent.events.len()).unwrap_or(u32::MAX);
            let lacks = (0..count).filter(|index| !is_sealed(&(attempt.receipt, *index)));
            let lacks = u32::try_from(lacks.count()).unwrap_or(u32::MAX);
            let said = listed.remove(&attempt.receipt).unwrap_or_default();
            if lacks != said {
                let receipt = attempt.receipt;
                let what = format!("lacks {lacks} events of {receipt}, and says {said}");
                return Err(wrong(&what));
            }
        }
        // What is left are envelopes of playbacks, which no sensor sent.
        for (receipt, said) in listed {
            let known = world.table.raw_receipt(&tenant.id, receipt);
            let acknowledged = known.and_then(|receipt| receipt.acknowledged);
            let count = acknowledged.map_or(0, |(tally, _)| tally.events);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let lacks = (0..count).filter(|index| !is_sealed(&(receipt, *index)));
            if lacks.count() != said as usize {
                let what = format!("lists {said} events of {receipt}, which is not so");
                return Err(wrong(&what));
            }
        }
        let shortfall = window.shortfall.as_ref();
        let Some(shortfall) = shortfall.filter(|s| s.cause == ShortfallCause::Time) else {
            return Ok(());
        };
        let clock = self.clocks.get(&key).copied();
        let over_at = shortfall
            .since
            .map(|since| since.plus_seconds(HOLD_SECONDS));
        match over_at.is_some_and(|at| at <= entry.sealed_at)
            && (clock.is_none() || clock == shortfall.since)
        {
            true => Ok(()),
            false => Err(wrong(&format!(
                "says {shortfall:?}, its clock ran since {clock:?}"
            ))),
        }
    }

    /// Invariant 3: a seal's evidence is what was acknowledged, each once, and has every envelope that was answered before
    /// its window could be sealed.
    pub(super) fn check(
        &mut self,
        world: &World,
        tenant: &Tenant,
        (entry, seal): (&SealEntry, &Seal),
    ) -> Result<(), Violation> {
        let wrong = |what: &str| broken(Invariant::Complete, entry, what);
        let Some(window) = seal.statement.as_ref().and_then(|s| s.window()) else {
            return Ok(());
        };
        for file in window.evidence.inline().unwrap_or_default() {
            for row in rows_of::<Evidence>(world, entry, file)? {
                let receipt = world.table.raw_receipt(&tenant.id, row.receipt);
                let said = receipt.and_then(|receipt| receipt.acknowledged);
                // One that has expired since is known by its answer alone.
                let is_expired = said.is_none() && self.answered.contains_key(&row.receipt);
                let same = is_expired
                    || said.is_some_and(|(tally, slices)| {
                        let counts = (u64::from(row.events), u64::from(row.rejected), row.slices);
                        counts == (tally.events, tally.rejected, slices)
                            && row.digest == tally.digest
                    });
                if !same || !self.receipts.insert(row.receipt) {
                    let what = format!("has {} as evidence, which is not so", row.receipt);
                    return Err(wrong(&what));
                }
            }
        }
        let due = entry.window.end.plus_seconds(RECONCILE.grace_seconds);
        let left = self.answered.iter().find(|(receipt, seen)| {
            let is_known = world.table.raw_receipt(&tenant.id, **receipt).is_some();
            let is_of_window = entry.window.contains(receipt.received_at());
            is_of_window && **seen < due && is_known && !self.receipts.contains(receipt)
        });
        match left {
            Some((receipt, _)) => Err(wrong(&format!("leaves {receipt} out of its evidence"))),
            None => Ok(()),
        }
    }
}

fn rows_of<R: BesideRow>(
    world: &World,
    entry: &SealEntry,
    file: &SealedFile,
) -> Result<Vec<R>, Violation> {
    let wrong = |what: &str| {
        let what = format!("names {}, which {what}", file.key);
        broken(Invariant::Complete, entry, &what)
    };
    let bytes = world.bucket.raw(&file.key);
    let memory = Memory::default();
    memory.put(
        file.key.clone(),
        bytes.ok_or_else(|| wrong("is not there"))?,
    );
    let opened = memory.open(&file.key).map_err(|e| wrong(&e.to_string()))?;
    let mut rows = Vec::new();
    let read = R::for_each(&opened, |row| {
        rows.push(row);
        Ok(())
    });
    read.map_err(|e| wrong(&e.to_string()))?;
    Ok(rows)
}
