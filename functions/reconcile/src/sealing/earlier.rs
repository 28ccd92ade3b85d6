//! What earlier windows hold: which of a window's events repeat one that is sealed already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use vernier_archive::limits::PREVIOUS_BATCH;
use vernier_archive::previous::{Asked, First, LookedUp};
use vernier_archive::reader::{Part, PartFilters};
use vernier_archive::seal::{PartClass, SealedFile};
use vernier_archive::stored::{covering_gone, find_file, read_file, read_seal};
use vernier_ledger::chain::{SealEntry, day_of};
use vernier_ledger::ids::TenantId;
use vernier_ledger::line::LineHead;
use vernier_ledger::ports::{Chains, Objects, PortError};
use vernier_ledger::stores::ReconcileStores;

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

/// Where one or more seals' stored events lie.
#[derive(Debug)]
pub(super) struct Look {
    earlier: Arc<Earlier>,
    /// Of a day's files: the seals whose rows count.
    of: Option<BTreeSet<u64>>,
    /// The seal, or the day's: a file that is gone by now is looked for in the day of its seal.
    entry: SealEntry,
}

/// The filters of seals, read where they are not kept: of their own files, or of the day's that has
/// their rows where those are gone.
///
/// # Errors
/// The stores'.
pub(super) async fn filters_of<S: ReconcileStores>(
    stores: &S,
    kept: &Kept,
    tenant: &TenantId,
    seals: &[SealEntry],
) -> Result<Vec<Look>, PortError> {
    let (table, objects) = (stores.table(), stores.objects());
    let mut found: Vec<Look> = Vec::with_capacity(seals.len());
    let mut days: BTreeMap<u64, Look> = BTreeMap::new();
    for entry in seals.iter().filter(|s| s.tally.events > 0) {
        let known = days
            .values_mut()
            .find(|d| d.entry.covers.contains(entry.sequence));
        if let Some(of) = known.and_then(|day| day.of.as_mut()) {
            of.insert(entry.sequence);
            continue;
        }
        let earlier = match kept.get(&entry.hash) {
            Some(earlier) => Some(earlier),
            None => read_filters(objects, kept, tenant, entry).await?,
        };
        if let Some(earlier) = earlier {
            found.push(Look {
                earlier,
                of: None,
                entry: entry.clone(),
            });
            continue;
        }
        let day = day_of(entry.window.start);
        let listed = table.days(tenant, day.start, day.end).await?;
        let day = listed
            .into_iter()
            .find(|d| d.covers.contains(entry.sequence));
        let lost = || PortError::Fatal(format!("files of seal {} are gone", entry.sequence));
        let day = day.ok_or_else(lost)?;
        let earlier = match kept.get(&day.hash) {
            Some(earlier) => earlier,
            None => {
                let read = read_filters(objects, kept, tenant, &day).await?;
                read.ok_or_else(lost)?
            }
        };
        let look = Look {
            earlier,
            of: Some(BTreeSet::from([entry.sequence])),
            entry: day,
        };
        days.insert(look.entry.sequence, look);
    }
    found.extend(days.into_values());
    Ok(found)
}

/// None when a file is gone.
async fn read_filters<O: Objects>(
    objects: &O,
    kept: &Kept,
    tenant: &TenantId,
    entry: &SealEntry,
) -> Result<Option<Arc<Earlier>>, PortError> {
    let seal = read_seal(objects, tenant, entry).await?;
    let mut parts = Vec::new();
    for file in seal.files_of(PartClass::Archive) {
        let filters = find_file(objects, file, |ranges| {
            PartFilters::read(&Part::open(ranges)?)
        });
        let Some(filters) = filters.await? else {
            return Ok(None);
        };
        parts.push((file.clone(), filters));
    }
    let earlier = Arc::new(Earlier { parts });
    kept.put(&entry.hash, &earlier);
    Ok(Some(earlier))
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
    tenant: TenantId,
    earlier: Vec<Look>,
    waiting: Vec<Suspect>,
    found: LookedUp,
}

impl Suspects {
    pub(super) fn new(tenant: &TenantId, earlier: Vec<Look>) -> Self {
        Self {
            tenant: tenant.clone(),
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
        let mut filters = self.earlier.iter().flat_map(|look| &look.earlier.parts);
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
    /// The stores'.
    pub(super) async fn look_up<S: ReconcileStores>(
        &mut self,
        stores: &S,
    ) -> Result<(), PortError> {
        let (table, objects) = (stores.table(), stores.objects());
        let waiting = std::mem::take(&mut self.waiting);
        let waiting: Vec<Asked<'_>> = waiting.iter().map(Suspect::asked).collect();
        let mut gone = Vec::new();
        for look in &self.earlier {
            let wanted = |seal: u64| look.of.as_ref().is_none_or(|of| of.contains(&seal));
            for (file, filters) in &look.earlier.parts {
                let here = waiting.iter().filter(|asked| filters.may_hold(asked));
                let here: Vec<Asked<'_>> = here.cloned().collect();
                if here.is_empty() {
                    continue;
                }
                let firsts = find_file(objects, file, |ranges| {
                    Part::open(ranges)?.firsts_with_meanings(filters, &here, &wanted)
                });
                match firsts.await? {
                    Some((firsts, meanings)) => {
                        self.found.add_all(&here, firsts);
                        self.found.add_meanings(meanings);
                    }
                    None => gone.push((&look.entry, file, here)),
                }
            }
        }
        // The filters were kept from before the file was removed.
        for (entry, file, here) in gone {
            let day = covering_gone(table, objects, &self.tenant, entry, file).await?;
            for file in day.files_of(PartClass::Archive) {
                let firsts = read_file(objects, file, |ranges| {
                    let part = Part::open(ranges)?;
                    let filters = PartFilters::read(&part)?;
                    part.firsts_with_meanings(&filters, &here, &|seal| seal == entry.sequence)
                });
                let (firsts, meanings) = firsts.await?;
                self.found.add_all(&here, firsts);
                self.found.add_meanings(meanings);
            }
        }
        Ok(())
    }

    /// What was found.
    pub(super) fn into_found(self) -> LookedUp {
        self.found
    }
}
