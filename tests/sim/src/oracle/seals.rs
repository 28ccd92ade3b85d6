//! What is sealed: each seal when it appears, and all of them at the end.

use super::Violation;
use super::evidence::Evident;
use super::losses::Losses;
use super::passes::window_of;
use super::segments::Segments;
use crate::generate::IDS_MAX;
use crate::script::{EventSpec, Variant};
use crate::world::{RECONCILE, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use vernier_archive::files::{Memory, Source};
use vernier_archive::reader::Part;
use vernier_archive::row::Row;
use vernier_archive::seal::{Seal, SealedFile, seal_key};
use vernier_archive::verify::{Options, verify};
use vernier_fakes::{Faults, MemoryKey};
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::{ChainHead, HeldWindows, SealEntry, SealKind};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::segment::Place;
use vernier_ledger::tenant_prefix::tenant_prefixes;
use vernier_ledger::time::{Millis, Window};

/// A row as far as it matters here.
struct SealedRow {
    id: Option<String>,
    fingerprint: Fingerprint,
    disposition: Disposition,
    first: Option<Place>,
    has_text: bool,
}

/// One tenant's chain as far as it was read.
#[derive(Debug, Default)]
struct Chain {
    revision: u64,
    sequence: u64,
    last_hash: Option<String>,
    windows: BTreeSet<Millis>,
    /// Where each id is stored, with which content.
    stored: BTreeMap<String, (Place, Fingerprint)>,
}

/// All chains.
#[derive(Debug, Default)]
pub(super) struct Seals {
    chains: BTreeMap<TenantId, Chain>,
    /// Every sealed event, and how it ended.
    sealed: BTreeMap<Place, Disposition>,
    evident: Evident,
    /// How often the table's chains had changed at the last look.
    changes: u64,
}

/// What the bytes of respelled events mean: those of the plain ones.
static PLAIN: LazyLock<BTreeMap<Fingerprint, Fingerprint>> = LazyLock::new(|| {
    let of = |spec: &EventSpec| Fingerprint::of(spec.compact().as_bytes());
    let variant = Variant::Respelled;
    let respelled = (0..IDS_MAX).map(|id| EventSpec { id, variant });
    respelled
        .map(|spec| (of(&spec), of(&spec.plain())))
        .collect()
});

fn meaning(fingerprint: Fingerprint) -> Fingerprint {
    PLAIN.get(&fingerprint).copied().unwrap_or(fingerprint)
}

pub(super) fn broken(invariant: Invariant, entry: &SealEntry, what: &str) -> Violation {
    let (sequence, start) = (entry.sequence, entry.window.start);
    Violation::new(
        invariant,
        format!("seal {sequence} of the window of {start} {what}"),
    )
}

impl Seals {
    /// Whether an event is sealed.
    pub(super) fn holds(&self, place: &Place) -> bool {
        self.sealed.contains_key(place)
    }

    /// Whether a window is sealed.
    pub(super) fn close(&self, tenant: &TenantId, start: Millis) -> bool {
        let chain = self.chains.get(tenant);
        chain.is_some_and(|chain| chain.windows.contains(&start))
    }

    /// Whether an event is sealed as the stored one.
    pub(super) fn stores(&self, place: &Place) -> bool {
        self.sealed.get(place) == Some(&Disposition::Stored)
    }

    /// Reads the seals that are new.
    pub(super) fn read_new(&mut self, world: &World, segments: &Segments) -> Result<(), Violation> {
        self.evident.note_answers(world);
        // Neither a chain nor a held window changes but by a change that the table counts.
        let changes = world.table.chain_changes();
        if std::mem::replace(&mut self.changes, changes) == changes {
            return Ok(());
        }
        self.evident.note_clocks(world)?;
        for identity in &world.identities {
            let tenant = &identity.tenant;
            let Some(head) = world.table.raw_chain(&tenant.id) else {
                continue;
            };
            let chain = self.chains.entry(tenant.id.clone()).or_default();
            if head.revision == chain.revision {
                continue;
            }
            Violation::unless(
                head.revision > chain.revision && head.sequence >= chain.sequence,
                Invariant::TamperEvident,
                || format!("the chain of {} went back to {}", tenant.id, head.sequence),
            )?;
            chain.revision = head.revision;
            let from = chain.sequence;
            for entry in world.table.seals_from(&tenant.id, from) {
                self.take(world, segments, (tenant, &entry))?;
            }
            self.check_head(&tenant.id, &head)?;
        }
        Ok(())
    }

    /// Invariant 6: the chain stands behind its last seal.
    fn check_head(&self, tenant: &TenantId, head: &ChainHead) -> Result<(), Violation> {
        let chain = &self.chains[tenant];
        let stands = (head.sequence, &head.last_hash) == (chain.sequence, &chain.last_hash);
        Violation::unless(stands, Invariant::TamperEvident, || {
            format!("the chain of {tenant} is not behind its last seal")
        })
    }

    /// A seal that is new: sound in itself, of a window that is over and its grace too, and holding
    /// what was acknowledged for it.
    fn take(
        &mut self,
        world: &World,
        segments: &Segments,
        (tenant, entry): (&Tenant, &SealEntry),
    ) -> Result<(), Violation> {
        let seal = self.follow(world, &tenant.id, entry)?;
        if entry.kind == SealKind::Day {
            // Its rows are those of the seals that it covers: the offline check compares them at the end.
            return Ok(());
        }
        let due = entry.window.end.plus_seconds(RECONCILE.grace_seconds);
        let early = || broken(Invariant::Complete, entry, "came before its grace was over");
        if entry.sealed_at < due || world.now() < due {
            return Err(early());
        }
        let mut rows = BTreeMap::new();
        for file in &seal.files {
            for (place, row) in read_rows(world, entry, file)? {
                if rows.insert(place, row).is_some() {
                    let what = format!("holds event {} of {} twice", place.1, place.0);
                    return Err(broken(Invariant::ExactlyOnceEffects, entry, &what));
                }
            }
        }
        check_rows(segments, &tenant.id, (entry, &seal), &rows)?;
        self.judge_rows(segments, &tenant.id, entry, rows)?;
        self.evident.check(world, tenant, (entry, &seal))?;
        let sealed = &self.sealed;
        let is_sealed = |place: &Place| sealed.contains_key(place);
        self.evident
            .check_missing(world, tenant, (entry, &seal), is_sealed)
    }

    /// Invariant 6: the seal's object is there, says what the chain says, and follows the one before.
    fn follow(
        &mut self,
        world: &World,
        tenant: &TenantId,
        entry: &SealEntry,
    ) -> Result<Seal, Violation> {
        let wrong = |what: &str| broken(Invariant::TamperEvident, entry, what);
        let chain = self.chains.entry(tenant.clone()).or_default();
        let bytes = world.bucket.raw(&seal_key(tenant, entry.sequence));
        let bytes = bytes.ok_or_else(|| wrong("is not there"))?;
        let seal = Seal::read(&bytes).map_err(|e| wrong(&e.to_string()))?;
        let hash = hex::encode(seal.hash().map_err(|e| wrong(&e.to_string()))?);
        let previous = seal.previous.map(|hash| hex::encode(hash.0));
        if hash != entry.hash || seal.window() != entry.window {
            return Err(wrong("is not the one that the chain names"));
        }
        if entry.sequence != chain.sequence || previous != chain.last_hash {
            return Err(wrong("does not follow the one before"));
        }
        if seal.kind != entry.kind {
            return Err(wrong("is of another kind than the chain says"));
        }
        if entry.kind.closes() {
            for window in entry.closed_windows() {
                if !chain.windows.insert(window.start) {
                    return Err(wrong("closes a window again"));
                }
            }
        }
        if entry.is_backfill() && !chain.windows.contains(&entry.window.start) {
            return Err(wrong("fills back what is not sealed"));
        }
        chain.sequence += 1;
        chain.last_hash = Some(hash);
        Ok(seal)
    }

    /// Invariants 2 and 4: every event is sealed once; of events with one id the first that is sealed
    /// is the stored one, in one seal the first by place.
    fn judge_rows(
        &mut self,
        segments: &Segments,
        tenant: &TenantId,
        entry: &SealEntry,
        rows: BTreeMap<Place, SealedRow>,
    ) -> Result<(), Violation> {
        let chain = self.chains.entry(tenant.clone()).or_default();
        for (place, row) in rows {
            let event = format!("event {} of {}", place.1, place.0);
            if self.sealed.insert(place, row.disposition).is_some() {
                let what = format!("holds {event}, which was sealed before");
                return Err(broken(Invariant::ExactlyOnceEffects, entry, &what));
            }
            let id = row.id.unwrap_or_default();
            let expected = match chain.stored.get(&id) {
                _ if segments.lines[&place].rejected => (Disposition::Rejected, None),
                None => {
                    chain.stored.insert(id.clone(), (place, row.fingerprint));
                    (Disposition::Stored, None)
                }
                Some((first, content)) if meaning(*content) == meaning(row.fingerprint) => {
                    (Disposition::Duplicate, Some(*first))
                }
                Some((first, _)) => (Disposition::Conflict, Some(*first)),
            };
            let in_first_bytes = expected.0 == Disposition::Duplicate
                && chain
                    .stored
                    .get(&id)
                    .is_some_and(|first| first.1 == row.fingerprint);
            if row.has_text == in_first_bytes {
                let what = format!("has a text of {event}: {}", row.has_text);
                return Err(broken(Invariant::OneDispositionEach, entry, &what));
            }
            if expected != (row.disposition, row.first) {
                let found = (row.disposition, row.first);
                let what = format!("says {found:?} of {event}, a single pass {expected:?}");
                return Err(broken(Invariant::OneDispositionEach, entry, &what));
            }
        }
        Ok(())
    }

    /// Invariant 3, after everything has come to rest: every hold is over that may be; what is not sealed cannot be read any more, and
    /// its window's seal says that it is missing, which is announced. Answers how many windows miss something.
    pub(super) fn check_rest(
        &self,
        world: &World,
        segments: &Segments,
        losses: &Losses,
    ) -> Result<u64, Violation> {
        let mut unsealed: BTreeMap<(TenantId, Millis), Vec<ReceiptId>> = BTreeMap::new();
        for (place, line) in segments.lines.iter().filter(|(p, _)| !self.holds(p)) {
            let key = (line.tenant.clone(), window_of(place.0).start);
            unsealed.entry(key).or_default().push(place.0);
        }
        let deleted: BTreeSet<ReceiptId> = { world.archive.lost.iter() }
            .filter_map(|key| segments.objects.get(key))
            .flatten()
            .map(|place| place.0)
            .collect();
        for ((tenant, start), receipts) in &unsealed {
            let window = Window::containing(*start, RECONCILE.window_minutes);
            if self.close(tenant, *start) && losses.are_unanswered(tenant, window) {
                // A backfill waits for an envelope without an answer; its segments stay with it.
                continue;
            }
            let excused = losses.may_come(tenant, window)
                || receipts.iter().all(|receipt| deleted.contains(receipt));
            Violation::unless(excused, Invariant::Complete, || {
                format!(
                    "{tenant}: what is stored of {start} adds up and is not sealed: {receipts:?}"
                )
            })?;
            check_announced(world, tenant, *start)?;
        }
        for (tenant, start) in self.evident.short() {
            check_announced(world, tenant, *start)?;
        }
        for identity in &world.identities {
            let tenant = &identity.tenant.id;
            let head = world.table.raw_chain(tenant);
            let head = head.unwrap_or_else(|| ChainHead::beginning(identity.tenant.created_at));
            // A tenant that received nothing since then does not age.
            let answered = world.attempts.iter().filter(|a| a.acknowledged);
            let own = answered.filter(|a| {
                let of = world.sent[a.envelope].tenant;
                world.identities[of].tenant.id == *tenant
            });
            let stored = segments.lines.iter().filter(|(_, l)| l.tenant == *tenant);
            let newest = own
                .map(|a| a.receipt)
                .chain(stored.map(|(place, _)| place.0));
            let newest = newest.map(|receipt| receipt.received_at()).max();
            let reached = newest.is_none_or(|at| at < head.through);
            Violation::unless(reached, Invariant::Complete, || {
                format!("the chain of {tenant} stands at {}", head.through)
            })?;
            let held_windows = match &head.held {
                HeldWindows::Listed { passed_over } => passed_over.clone(),
                HeldWindows::Items { .. } => {
                    let held = world.table.raw_held(tenant).into_iter();
                    held.map(|held| held.window).collect()
                }
            };
            for window in held_windows {
                let (may_come, start) = (losses.may_come(tenant, window), window.start);
                Violation::unless(may_come, Invariant::Complete, || {
                    format!("{tenant}: the window of {start} is still held")
                })?;
                check_announced(world, tenant, start)?;
            }
        }
        Ok(self.evident.short().len() as u64)
    }

    /// Invariant 6: the archive is sound for whoever has nothing but the files and the public key, at
    /// any time.
    pub(super) fn check_verified(&self, world: &World) -> Result<(), Violation> {
        if self.chains.values().all(|chain| chain.sequence == 0) {
            return Ok(());
        }
        let files = Memory::default();
        for prefix in tenant_prefixes() {
            for key in world.bucket.keys(prefix) {
                files.put(key.clone(), world.bucket.raw(&key).unwrap_or_default());
            }
        }
        let key = MemoryKey::fixed(Faults::default());
        let options = Options {
            all: true,
            threads: 1,
            ..Options::default()
        };
        let report = verify(&files, &[key.public().clone()], &options, &|_| {});
        let report = report
            .map_err(|e| Violation::new(Invariant::TamperEvident, format!("not verified: {e}")))?;
        match report.findings.first() {
            None => Ok(()),
            Some(finding) => Err(Violation::new(
                Invariant::TamperEvident,
                format!("verification finds {finding:?}"),
            )),
        }
    }

    /// Whoever has a chain.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.chains.keys()
    }

    /// Events in seals.
    pub(super) fn events(&self) -> u64 {
        self.sealed.len() as u64
    }

    /// Holds whose clock ran.
    pub(super) fn clocks(&self) -> u64 {
        self.evident.clocks()
    }
}

/// The rows of a sealed file.
fn read_rows(
    world: &World,
    entry: &SealEntry,
    file: &SealedFile,
) -> Result<Vec<(Place, SealedRow)>, Violation> {
    let wrong = |what: &str| {
        let what = format!("names {}, which {what}", file.key);
        broken(Invariant::TamperEvident, entry, &what)
    };
    let bytes = world.bucket.raw(&file.key);
    let bytes = bytes.ok_or_else(|| wrong("is not there"))?;
    if Fingerprint::of(&bytes).0 != file.sha256.0 {
        return Err(wrong("is another"));
    }
    let memory = Memory::default();
    memory.put(file.key.clone(), bytes);
    let mut rows = Vec::new();
    let opened = memory.open(&file.key).map_err(|e| wrong(&e.to_string()))?;
    let read = Part::open(opened).and_then(|part| {
        part.for_each(|row: Row<'_>| {
            rows.push((
                row.place(),
                SealedRow {
                    id: row.id.map(str::to_owned),
                    fingerprint: Fingerprint(row.fingerprint),
                    disposition: row.disposition,
                    first: row.first,
                    has_text: row.event.is_some(),
                },
            ));
            Ok(())
        })
    });
    read.map_err(|e| wrong(&e.to_string()))?;
    Ok(rows)
}

/// Invariant 3: a seal holds committed events of its window and tenant, each as it was committed, and
/// counts them.
fn check_rows(
    segments: &Segments,
    tenant: &TenantId,
    (entry, seal): (&SealEntry, &Seal),
    rows: &BTreeMap<Place, SealedRow>,
) -> Result<(), Violation> {
    let (mut tally, mut counts) = (Tally::default(), DispositionCounts::default());
    for (place, row) in rows {
        let line = segments.lines.get(place).filter(|line| {
            line.tenant == *tenant
                && line.fingerprint == row.fingerprint
                && entry.window.contains(place.0.received_at())
        });
        let Some(line) = line else {
            let what = format!(
                "holds event {} of {}, which was not committed",
                place.1, place.0
            );
            return Err(broken(Invariant::ExactlyOnceEffects, entry, &what));
        };
        tally.events += 1;
        tally.rejected += u64::from(line.rejected);
        tally.digest.add_blind(place.0, place.1, &line.blind);
        counts.add(row.disposition);
    }
    if tally != entry.tally || counts != seal.counts || tally.digest != seal.digest {
        return Err(broken(
            Invariant::Complete,
            entry,
            "does not count its rows",
        ));
    }
    Ok(())
}

/// Invariant 3: a window that cannot be sealed is announced.
fn check_announced(world: &World, tenant: &TenantId, start: Millis) -> Result<(), Violation> {
    let start = start.rfc3339();
    let mut notices = world.topic.notices().into_iter();
    let told = notices.any(|(_, body)| body.contains(&start) && body.contains(tenant.as_str()));
    Violation::unless(told, Invariant::Complete, || {
        format!("{tenant}: nobody was told of the window of {start}")
    })
}
