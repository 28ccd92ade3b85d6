//! What earlier windows hold: which of a window's events repeat one that is sealed already.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use vernier_archive::limits::PREVIOUS_BATCH;
use vernier_archive::previous::{Asked, First, LookedUp};
use vernier_archive::reader::{Part, PartFilters};
use vernier_archive::seal::SealedFile;
use vernier_archive::stored::{read_file, read_seal};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::line::LineHead;
use vernier_ledger::ports::{Objects, PortError};

/// Filters that a process keeps between runs, bytes: 4 for each event of the look-back.
const FILTERS_KEPT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The stored events of one seal.
#[derive(Debug)]
pub(super) struct Earlier {
    parts: Vec<(SealedFile, PartFilters)>,
}

impl Earlier {
    fn bytes(&self) -> usize {
        self.parts.iter().map(|(_, filters)| filters.bytes()).sum()
    }
}

/// Earlier windows' filters by the hash of their seal: read once by a process, unless there are too
/// many.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<BTreeMap<String, Arc<Earlier>>>);

impl Kept {
    fn get(&self, hash: &str) -> Option<Arc<Earlier>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(hash).cloned()
    }

    fn put(&self, hash: &str, earlier: &Arc<Earlier>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = kept.values().map(|e| e.bytes()).sum();
        if bytes + earlier.bytes() > FILTERS_KEPT_BYTES_MAX {
            kept.clear();
        }
        kept.insert(hash.to_owned(), Arc::clone(earlier));
    }
}

/// The filters of seals, read where they are not kept.
///
/// # Errors
/// The store's.
pub(super) async fn filters_of<O: Objects>(
    objects: &O,
    kept: &Kept,
    tenant: &TenantId,
    seals: &[SealEntry],
) -> Result<Vec<Arc<Earlier>>, PortError> {
    let mut found = Vec::with_capacity(seals.len());
    for entry in seals.iter().filter(|s| s.tally.events > 0) {
        if let Some(earlier) = kept.get(&entry.hash) {
            found.push(earlier);
            continue;
        }
        let seal = read_seal(objects, tenant, entry).await?;
        let mut parts = Vec::new();
        for file in seal.files {
            if file.key.starts_with("archive/") {
                let filters = read_file(objects, &file, |ranges| {
                    PartFilters::read(&Part::open(ranges)?)
                });
                let filters = filters.await?;
                parts.push((file, filters));
            }
        }
        let earlier = Arc::new(Earlier { parts });
        kept.put(&entry.hash, &earlier);
        found.push(earlier);
    }
    Ok(found)
}

/// An event that may repeat an earlier one, by the filters.
#[derive(Debug)]
struct Suspect {
    own_id: bool,
    id: Option<String>,
    fingerprint: [u8; 32],
}

impl Suspect {
    fn asked(&self) -> Asked<'_> {
        Asked {
            own_id: self.own_id,
            id: self.id.as_deref(),
            fingerprint: self.fingerprint,
        }
    }
}

/// Collects what the filters let pass, looks it up, and keeps what was found.
#[derive(Debug)]
pub(super) struct Suspects {
    earlier: Vec<Arc<Earlier>>,
    waiting: Vec<Suspect>,
    found: LookedUp,
}

impl Suspects {
    pub(super) fn new(earlier: Vec<Arc<Earlier>>) -> Self {
        Self {
            earlier,
            waiting: Vec::new(),
            found: LookedUp::default(),
        }
    }

    /// Takes a line.
    pub(super) fn show(&mut self, head: &LineHead<'_>) {
        let Some(asked) = Asked::of(head) else {
            return;
        };
        if let Some(place) = head.first {
            // A playback sent it again and knows what it repeats, however long ago that was sealed.
            let fingerprint = asked.fingerprint;
            self.found.add(&asked, First { place, fingerprint });
            return;
        }
        let mut filters = self.earlier.iter().flat_map(|e| &e.parts);
        if filters.any(|(_, filters)| filters.may_hold(&asked)) {
            self.waiting.push(Suspect {
                own_id: asked.own_id,
                id: asked.id.map(str::to_owned),
                fingerprint: asked.fingerprint,
            });
        }
    }

    /// Whether enough wait to be looked up.
    pub(super) fn are_many(&self) -> bool {
        self.waiting.len() >= PREVIOUS_BATCH
    }

    /// Looks up all that wait.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn look_up<O: Objects>(&mut self, objects: &O) -> Result<(), PortError> {
        let waiting = std::mem::take(&mut self.waiting);
        for (file, filters) in self.earlier.iter().flat_map(|e| &e.parts) {
            let here = waiting.iter().map(Suspect::asked);
            let here: Vec<Asked<'_>> = here.filter(|asked| filters.may_hold(asked)).collect();
            if here.is_empty() {
                continue;
            }
            let firsts = read_file(objects, file, |ranges| {
                Part::open(ranges)?.firsts(filters, &here)
            });
            for (asked, first) in here.iter().zip(firsts.await?) {
                if let Some(first) = first {
                    self.found.add(asked, first);
                }
            }
        }
        Ok(())
    }

    /// What was found.
    pub(super) fn into_found(self) -> LookedUp {
        self.found
    }
}
