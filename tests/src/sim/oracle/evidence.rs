//! The evidence of seals, held against receipts and answers.

use super::Violation;
use super::seals::broken;
use crate::sim::world::{RECONCILE, World};
use std::collections::{BTreeMap, BTreeSet};
use vernier_archive::account::{BesideRow, Evidence};
use vernier_archive::files::{Memory, Source};
use vernier_archive::seal::{Seal, SealedFile};
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::time::Millis;

/// What was answered, and what some seal has as evidence.
#[derive(Debug, Default)]
pub(super) struct Evident {
    receipts: BTreeSet<ReceiptId>,
    /// When each answered envelope was first seen to be.
    answered: BTreeMap<ReceiptId, Millis>,
}

impl Evident {
    /// Takes note of the envelopes that are answered by now.
    pub(super) fn note_answers(&mut self, world: &World) {
        for attempt in world.attempts.iter().filter(|a| a.acknowledged) {
            self.answered.entry(attempt.receipt).or_insert(world.now());
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
            for row in rows_of(world, entry, file)? {
                let receipt = world.table.raw_receipt(&tenant.id, row.receipt);
                let said = receipt.and_then(|receipt| receipt.acknowledged);
                let same = said.is_some_and(|(tally, slices)| {
                    let counts = (u64::from(row.events), u64::from(row.rejected), row.slices);
                    counts == (tally.events, tally.rejected, slices) && row.digest == tally.digest
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

fn rows_of(
    world: &World,
    entry: &SealEntry,
    file: &SealedFile,
) -> Result<Vec<Evidence>, Violation> {
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
    let read = Evidence::for_each(&opened, |row| {
        rows.push(row);
        Ok(())
    });
    read.map_err(|e| wrong(&e.to_string()))?;
    Ok(rows)
}
