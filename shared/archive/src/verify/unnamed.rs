//! Parts that no seal names: those that the chain's next seals may still name are pending, all others
//! are wrong.
//!
//! Parts are written before their seal. A tenant's windows are sealed one after the other, so that at most
//! one window after the chain's end, one backfill and one day have parts without a seal. More windows
//! than one show that seals are missing at the chain's end.

use super::Options;
use super::chain::Chains;
use super::report::{Check, Finding};
use crate::files::Entry;
use crate::part_name::{PartName, PartOf};
use std::collections::BTreeMap;
use vernier_ledger::chain::day_of;
use vernier_ledger::ids::TenantId;
use vernier_ledger::tenant_prefix::BESIDE_PREFIXES;
use vernier_ledger::time::Millis;

/// What a tenant's seals have closed.
#[derive(Debug, Default)]
struct Closed {
    /// End of each sealed window by its start.
    windows: BTreeMap<Millis, Millis>,
    /// End of the last window.
    through: Option<Millis>,
    /// The sequence after the last seal's.
    next_sequence: u64,
    /// First instant of each window's and backfill's seal that no day covers, by sequence.
    uncovered: BTreeMap<u64, Millis>,
}

impl Closed {
    /// Whether a seal to come may name a part.
    fn may_be_named(&self, of: PartOf) -> bool {
        match of {
            PartOf::Window(start) => match self.windows.range(..=start).next_back() {
                Some((_, end)) => *end <= start,
                None => self.windows.is_empty(),
            },
            PartOf::Backfill { start, sequence } => {
                let holds = self.windows.range(..=start).next_back();
                sequence == self.next_sequence && holds.is_some_and(|(_, end)| start < *end)
            }
            PartOf::Day { start, first } => {
                let covered = self.uncovered.get(&first);
                covered.is_some_and(|at| day_of(*at).start == start)
            }
        }
    }

    fn is_after_the_end(&self, start: Millis) -> bool {
        self.through.is_none_or(|through| through <= start)
    }
}

/// Parts that no seal names.
#[derive(Debug, Default)]
pub(super) struct Unnamed {
    /// Parts that a seal to come may name.
    pub(super) pending: Vec<Entry>,
    /// Files beside the rows, and files that were replaced: their time comes.
    pub(super) waiting: Vec<Entry>,
    /// What is wrong with the others.
    pub(super) findings: Vec<Finding>,
}

/// Judges the files that were there before the seals were read.
pub(super) fn judge(listed: &BTreeMap<String, u64>, chains: &Chains, options: &Options) -> Unnamed {
    let closed = closed(chains);
    let nothing = Closed::default();
    let mut unnamed = Unnamed::default();
    let mut later: BTreeMap<TenantId, BTreeMap<Millis, &str>> = BTreeMap::new();
    for (key, bytes) in listed.iter().filter(|(k, _)| !chains.named.contains(*k)) {
        let entry = Entry {
            key: key.clone(),
            bytes: *bytes,
        };
        // They are written before anybody knows which seal will name them, and no reader takes rows from them.
        if BESIDE_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            unnamed.waiting.push(entry);
            continue;
        }
        let name = PartName::read(key);
        let of = |name: &PartName| closed.get(&name.tenant).unwrap_or(&nothing);
        let Some(name) = name.filter(|name| of(name).may_be_named(name.of)) else {
            unnamed.findings.push(extra(&entry));
            continue;
        };
        if let PartOf::Window(start) = name.of
            && of(&name).is_after_the_end(start)
        {
            let windows = later.entry(name.tenant).or_default();
            windows.entry(start).or_insert(key);
        }
        unnamed.pending.push(entry);
    }
    for key in &chains.replaced {
        let there = listed.get_key_value(key).map(|(key, bytes)| Entry {
            key: key.clone(),
            bytes: *bytes,
        });
        unnamed.waiting.extend(there);
    }
    let cut = later.values().filter(|windows| windows.len() > 1);
    if !options.later_files {
        let said = cut.filter_map(|windows| Some((windows.len(), windows.first_key_value()?)));
        unnamed.findings.extend(said.map(|(count, (start, key))| {
            let what = format!(
                "{count} windows from {start} on have files and no seal: the chain was cut short, or its \
                 seals were copied before these files (--later-files)"
            );
            Finding::new(Check::Chain, what).in_file(key)
        }));
    }
    unnamed
}

pub(super) fn extra(entry: &Entry) -> Finding {
    Finding::new(Check::FileExtra, "no seal names this file").in_file(&entry.key)
}

fn closed(chains: &Chains) -> BTreeMap<TenantId, Closed> {
    let mut all: BTreeMap<TenantId, Closed> = BTreeMap::new();
    for chain in &chains.chains {
        let closed = all.entry(chain.tenant.clone()).or_default();
        closed.next_sequence = chain.last + 1;
        closed.through = chain.through;
    }
    for seal in chains.trusted.iter().map(|trusted| &trusted.seal) {
        let closed = all.entry(seal.tenant.clone()).or_default();
        if seal.kind.closes() {
            closed.windows.insert(seal.start, seal.end);
        }
        if seal.kind.has_rows_of_window() {
            closed.uncovered.insert(seal.sequence, seal.start);
        }
        for covered in &seal.covers {
            closed.uncovered.remove(&covered.sequence);
        }
    }
    all
}
