//! Compaction: the many files of a day's windows become few, closed by a seal of their own.
//!
//! A day (UTC) is due when `compact_after_seconds` have passed since its end. Its windows and backfills that have parts
//! or evidence and that no day's seal covers are taken in their order, as many as one step can merge; what is left is the
//! next step's, so that a large day has several day seals. What is sealed of a day after that is merged in the same way when
//! it is more than one seal and the first of them has waited for as long as a day does. Whatever versions the covered seals are of, the day's is of
//! version 4; days that were compacted before it stay as they are.
//!
//! What a crash leaves, and two workers at once, is as with sealing: the files' keys hold their content's
//! hash and the first sequence that is covered, so that they are the same however often and whenever
//! they are written; the seal takes the chain's next place, and counts when the chain has moved over it.
//! The `removal` of the windows' files follows when they have not been needed for long enough.

mod merge;
mod removal;

use crate::sealing::chain::Moving;
use crate::sealing::{Sealer, Settled, Trouble};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use std::collections::BTreeSet;
use vernier_archive::limits::COVERS_MAX;
use vernier_archive::seal::{Seal, SealedFile};
use vernier_archive::stored::{read_seal, read_set};
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::{ChainHead, HOLDS_SIGNED_SINCE, SealEntry, day_of};
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Chains, Notices, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

/// Files of one compaction, bytes: 800,000 events of the reference mix, which half a core merges at
/// 30,000 a second in less than half a minute; with the runs 600 MiB of scratch space.
pub const COMPACT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// When days are compacted.
#[derive(Debug, Clone, Copy)]
pub struct Compacting {
    /// How far the chain must have passed a day's end, seconds: what comes late by then is in it.
    pub compact_after_seconds: i64,
    /// How long the windows' files stay after their day was sealed, seconds.
    pub remove_after_seconds: i64,
    /// Files of one compaction, bytes: [`COMPACT_BYTES_MAX`].
    pub bytes_max: u64,
}

/// What compaction did of a tenant's days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactSummary {
    /// Day seals.
    pub days: u32,
    /// Windows' and backfills' seals that they cover.
    pub covered: u32,
    /// Files of windows that were removed.
    pub removed: u32,
    /// Days that cannot be compacted, or whose files cannot be removed.
    pub held: u32,
}

impl CompactSummary {
    /// Adds what another turn compacted.
    pub fn add(&mut self, other: &Self) {
        self.days += other.days;
        self.covered += other.covered;
        self.removed += other.removed;
        self.held += other.held;
    }
}

/// How a day stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compacted {
    /// It and all before it are compacted, and what they cover is removed.
    Whole,
    /// There is something to do then and not before.
    Early(Millis),
    /// Something is in the way: a window that is held, or files that are not as they were sealed.
    Held,
    /// The time was over.
    Left,
}

/// What one step came to.
enum Step {
    /// The chain moved, or somebody else moved it: look again.
    Again,
    /// Nothing is left of the days that were asked for.
    Nothing,
    /// It is too early.
    Early(Millis),
}

/// A seal that a day may cover, with its files as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Covering {
    /// The seal, with the parts that count now.
    seal: Seal,
    /// The files of its evidence.
    evidence: Vec<SealedFile>,
}

impl Covering {
    async fn read<S: ReconcileStores>(
        stores: &S,
        tenant: &Tenant,
        entry: &SealEntry,
    ) -> Result<Self, PortError> {
        let objects = stores.objects();
        let seal = read_seal(objects, &tenant.id, entry).await?;
        let window = seal.statement.as_ref().and_then(|s| s.window());
        let evidence = match window {
            Some(window) => read_set(objects, &window.evidence).await?,
            None => Vec::new(),
        };
        Ok(Self { seal, evidence })
    }

    /// The files that the day's take the place of.
    fn files(&self) -> impl Iterator<Item = &SealedFile> {
        self.seal.files.iter().chain(&self.evidence)
    }

    fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }
}

/// Whether a seal may have files that a day can merge: one of version 4 without rows may have evidence.
fn may_have_files(entry: &SealEntry) -> bool {
    let has_evidence = entry.version >= HOLDS_SIGNED_SINCE;
    entry.kind.has_rows_of_window() && (entry.tally.events > 0 || has_evidence)
}

/// Compacts one tenant's days.
pub(crate) struct Compactor<'s, 'a, S, C> {
    sealer: &'s mut Sealer<'a, S, C>,
    compacting: Compacting,
    summary: &'s mut CompactSummary,
    outcome: CompactionOutcome,
}

/// What compaction leaves to whoever asked for it.
#[derive(Debug, Default)]
pub(crate) struct CompactionOutcome {
    /// Days that got a seal.
    pub(crate) sealed: BTreeSet<Window>,
    /// Files that no seal names and that were removed with the windows' own.
    pub(crate) unnamed: u64,
}

/// Where a tenant's days begin that were not looked at.
fn first_day(tenant: &Tenant, mark: Option<Millis>) -> Window {
    day_of(mark.unwrap_or(tenant.created_at))
}

impl<'s, 'a, S: ReconcileStores, C: Fn() -> Millis> Compactor<'s, 'a, S, C> {
    pub(crate) fn new(
        sealer: &'s mut Sealer<'a, S, C>,
        compacting: Compacting,
        summary: &'s mut CompactSummary,
    ) -> Self {
        Self {
            sealer,
            compacting,
            summary,
            outcome: CompactionOutcome::default(),
        }
    }

    /// What is left to do after it.
    pub(crate) fn into_outcome(self) -> CompactionOutcome {
        self.outcome
    }

    /// Compacts the days through one, seals what of them is not sealed before, and removes what they cover; begins
    /// nothing more at `until`.
    ///
    /// # Errors
    /// Whatever error the stores give.
    pub(crate) async fn settle(
        &mut self,
        day: Window,
        until: Millis,
    ) -> Result<Compacted, PortError> {
        let due = day.end.plus_seconds(self.compacting.compact_after_seconds);
        // What comes late by then is in it. Windows without anything are sealed on the way.
        let last = Millis(due.0 - 1);
        if self.sealer.head().await?.through <= last {
            match self.sealer.settle(last, until).await? {
                Settled::Sealed => {}
                Settled::Early(at) => return Ok(Compacted::Early(at)),
                Settled::Held(_) => return Ok(Compacted::Held),
                Settled::Left => return Ok(Compacted::Left),
            }
        }
        for phase in [Phase::Compact, Phase::Remove] {
            loop {
                if (self.sealer.clock)() >= until {
                    return Ok(Compacted::Left);
                }
                let head = self.sealer.head().await?;
                let step = match phase {
                    Phase::Compact => self.compact(head, day).await,
                    Phase::Remove => self.remove(head, day).await,
                };
                match step {
                    Ok(Step::Again) => {}
                    Ok(Step::Nothing) => break,
                    Ok(Step::Early(at)) => return Ok(Compacted::Early(at)),
                    Err(Trouble::Port(error)) => return Err(error),
                    Err(Trouble::Held(why)) => {
                        self.announce(&why).await?;
                        return Ok(Compacted::Held);
                    }
                    // Of windows alone.
                    Err(Trouble::Short { .. }) => return Ok(Compacted::Held),
                }
            }
        }
        Ok(Compacted::Whole)
    }

    /// The oldest day with something to merge, through `last`.
    async fn compact(&mut self, head: ChainHead, last: Window) -> Result<Step, Trouble> {
        let day = first_day(self.sealer.tenant, head.compacted);
        if day.start > last.start {
            return self.compact_late(&head, last).await;
        }
        let seals = self.plan(day).await?;
        if !seals.is_empty() {
            return self.compact_day(&head, day, &seals).await;
        }
        self.sealer
            .chain()
            .move_to(&head.compacted_to(day.end))
            .await?;
        Ok(Step::Again)
    }

    /// What was sealed of a day after the day was merged. The first of it waits for as long as a day does, so that what
    /// comes meanwhile is merged with it; one seal alone is left as it is.
    async fn compact_late(&mut self, head: &ChainHead, day: Window) -> Result<Step, Trouble> {
        let seals = self.plan(day).await?;
        let Some(first) = seals.iter().map(|covering| covering.seal.sealed_at).min() else {
            return Ok(Step::Nothing);
        };
        let due = first.plus_seconds(self.compacting.compact_after_seconds);
        match (self.sealer.clock)() < due {
            true => Ok(Step::Early(due)),
            false => self.compact_day(head, day, &seals).await,
        }
    }

    /// The next seals of a day to merge, in order of sequence: none when fewer than two are left. A seal
    /// whose files are larger than one run can merge has large files already, and is left as it is.
    async fn plan(&self, day: Window) -> Result<Vec<Covering>, PortError> {
        let (stores, tenant) = (self.sealer.stores, self.sealer.tenant);
        let table = stores.table();
        let days = table.days(&tenant.id, day.start, day.end).await?;
        let mut entries = table.seals(&tenant.id, day.start, day.end).await?;
        entries.retain(|entry| {
            let covered = days.iter().any(|d| d.covers.contains(entry.sequence));
            may_have_files(entry) && !covered
        });
        entries.sort_unstable_by_key(|entry| entry.sequence);
        let (mut chosen, mut total) = (Vec::new(), 0);
        let mut seals = stream::iter(&entries)
            .map(|entry| Covering::read(stores, tenant, entry))
            .buffered(READS_IN_FLIGHT_MAX);
        while let Some(covering) = seals.try_next().await? {
            let bytes = covering.bytes();
            let bytes_max = self.compacting.bytes_max;
            if bytes == 0 || bytes > bytes_max {
                continue;
            }
            if total + bytes > bytes_max || chosen.len() == COVERS_MAX {
                if chosen.len() > 1 {
                    break;
                }
                (chosen, total) = (Vec::new(), 0);
            }
            total += bytes;
            chosen.push(covering);
        }
        chosen.truncate(if chosen.len() > 1 { chosen.len() } else { 0 });
        Ok(chosen)
    }

    async fn compact_day(
        &mut self,
        head: &ChainHead,
        day: Window,
        seals: &[Covering],
    ) -> Result<Step, Trouble> {
        if self.sealer.takes_over(head).await? {
            return Ok(Step::Again);
        }
        let (objects, workshop) = (self.sealer.stores.objects(), self.sealer.workshop);
        let tenant = &self.sealer.tenant.id;
        let merged = merge::write(objects, workshop, tenant, day, seals).await?;
        // Meanwhile the chain may have moved: over windows, which is no matter, or over this day.
        let now = self.sealer.head().await?;
        if now.revision != head.revision && self.plan(day).await? != seals {
            return Ok(Step::Again);
        }
        let content = merged.content(objects, tenant, now.sequence).await?;
        let at = (self.sealer.clock)();
        match self.sealer.chain().sign(&now, content, at).await? {
            Moving::Moved(signed) if signed.entry.is_day() => {
                self.summary.days += 1;
                self.summary.covered += u32::try_from(seals.len()).unwrap_or(u32::MAX);
                self.outcome.sealed.insert(day);
            }
            Moving::Early(at) => return Ok(Step::Early(at)),
            Moving::Moved(_) | Moving::Stale => {}
        }
        Ok(Step::Again)
    }

    async fn announce(&mut self, why: &str) -> Result<(), PortError> {
        self.summary.held += 1;
        let tenant = &self.sealer.tenant.id;
        tracing::warn!(%tenant, why, "day not compacted");
        let body = json!({
            "tenant": tenant,
            "why": why,
            "invariant": Invariant::TamperEvident.number(),
        });
        let body = body.to_string();
        if self.sealer.workshop.is_new(&body) {
            let subject = "Vernier: a day is not compacted";
            let notices = self.sealer.stores.notices();
            notices.publish(subject, &body).await?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Compact,
    Remove,
}
