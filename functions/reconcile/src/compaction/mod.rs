//! Compaction: the many files of a day's windows become few, closed by a seal of their own.
//!
//! A day (UTC) is due when its tenant's chain has passed its end by `compact_after_seconds`. Its seals
//! that no day's seal covers are taken in their order, as many as one run can merge; what is left is the
//! next run's, so that a large day has several day seals. One compaction for each tenant and run.
//!
//! What a crash leaves, and two runs at once, is as with sealing: the parts' keys hold their content's
//! hash and the first sequence that is covered, so that they are the same however often and whenever
//! they are written; the seal takes the chain's next place, and counts when the chain has moved over it.
//! The `removal` of the windows' files follows when they have not been needed for long enough.

mod merge;
mod removal;

use crate::sealing::{Run, Trouble, Workshop};
use crate::{Settings, take_turns};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use vernier_archive::seal::Seal;
use vernier_archive::stored::read_seal;
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::{ChainHead, day_of};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{ChainOutcome, Chains, Directory, Notices, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

/// Files of one compaction, bytes: 800,000 events of the reference mix, which half a core merges at
/// 30,000 a second in less than half a minute; with the runs 600 MiB of scratch space.
pub const COMPACT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Days with nothing to do that one run passes over for a tenant.
const DAYS_MAX: u32 = 16;

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

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactSummary {
    /// Day seals.
    pub days: u32,
    /// Windows' and backfills' seals that they cover.
    pub covered: u32,
    /// Files of windows that were removed.
    pub removed: u32,
    /// Tenants whose day cannot be compacted, or files not be removed.
    pub held: u32,
    /// Tenants whose stores failed.
    pub failed: u32,
    /// Tenants that were left for the next run.
    pub left: u32,
}

/// Compacts a day of each tenant that has one due, and removes what an earlier one covers, until
/// `deadline`. What began before it is finished.
///
/// # Errors
/// When the tenants cannot be listed. One tenant's failure does not hold up the others.
pub async fn compact_due<S: ReconcileStores>(
    stores: &S,
    workshop: &Workshop,
    settings: Settings,
    compacting: Compacting,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<CompactSummary, PortError> {
    let mut names = stores.table().tenants().await?;
    take_turns(&mut names, clock());
    let mut compactor = Compactor {
        run: Run::new(stores, workshop, settings, &clock),
        compacting,
        summary: CompactSummary::default(),
    };
    let count = names.len();
    for (done, name) in names.into_iter().enumerate() {
        if clock() >= deadline {
            compactor.summary.left = u32::try_from(count - done).unwrap_or(u32::MAX);
            break;
        }
        if let Err(error) = compactor.take_turn(&name).await {
            compactor.summary.failed += 1;
            tracing::error!(tenant = %name, %error, "not compacted");
        }
    }
    Ok(compactor.summary)
}

struct Compactor<'a, S, C> {
    run: Run<'a, S, C>,
    compacting: Compacting,
    summary: CompactSummary,
}

/// Where a tenant's days begin that were not looked at.
fn first_day(tenant: &Tenant, mark: Option<Millis>) -> Window {
    day_of(mark.unwrap_or(tenant.created_at))
}

impl<S: ReconcileStores, C: Fn() -> Millis> Compactor<'_, S, C> {
    async fn take_turn(&mut self, name: &TenantId) -> Result<(), PortError> {
        let table = self.run.stores.table();
        let Some(tenant) = table.tenant(name).await? else {
            return Ok(());
        };
        for step in [Step::Compact, Step::Remove] {
            let Some(head) = self.run.stores.table().chain(name).await? else {
                return Ok(());
            };
            let done = match step {
                Step::Compact => self.compact(&tenant, head).await,
                Step::Remove => self.remove(&tenant, head).await,
            };
            match done {
                Ok(()) => {}
                Err(Trouble::Port(error)) => return Err(error),
                Err(Trouble::Held(why)) => self.announce(&tenant, &why).await?,
            }
        }
        Ok(())
    }

    /// The oldest day with something to merge.
    async fn compact(&mut self, tenant: &Tenant, mut head: ChainHead) -> Result<(), Trouble> {
        for _ in 0..DAYS_MAX {
            let day = first_day(tenant, head.compacted);
            let after = self.compacting.compact_after_seconds;
            if head.through < day.end.plus_seconds(after) {
                return Ok(());
            }
            let seals = self.plan(tenant, day).await?;
            if !seals.is_empty() {
                return self.compact_day(tenant, &head, day, &seals).await;
            }
            head = head.compacted_to(day.end);
            let table = self.run.stores.table();
            if table.move_chain(&tenant.id, &head, None).await? == ChainOutcome::Stale {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next seals of a day to merge, in order of sequence: none when fewer than two are left. A seal
    /// whose files are larger than one run can merge has large files already, and is left as it is.
    async fn plan(&self, tenant: &Tenant, day: Window) -> Result<Vec<Seal>, PortError> {
        let table = self.run.stores.table();
        let days = table.days(&tenant.id, day.start, day.end).await?;
        let mut entries = table.seals(&tenant.id, day.start, day.end).await?;
        entries.retain(|entry| {
            let covered = days.iter().any(|d| d.covers.contains(entry.sequence));
            entry.tally.events > 0 && !covered
        });
        entries.sort_unstable_by_key(|entry| entry.sequence);
        let (mut chosen, mut total) = (Vec::new(), 0);
        let objects = self.run.stores.objects();
        let mut seals = stream::iter(&entries)
            .map(|entry| read_seal(objects, &tenant.id, entry))
            .buffered(READS_IN_FLIGHT_MAX);
        while let Some(seal) = seals.try_next().await? {
            let bytes: u64 = seal.files.iter().map(|file| file.bytes).sum();
            let bytes_max = self.compacting.bytes_max;
            if bytes > bytes_max {
                continue;
            }
            if total + bytes > bytes_max {
                if chosen.len() > 1 {
                    break;
                }
                (chosen, total) = (Vec::new(), 0);
            }
            total += bytes;
            chosen.push(seal);
        }
        chosen.truncate(if chosen.len() > 1 { chosen.len() } else { 0 });
        Ok(chosen)
    }

    async fn compact_day(
        &mut self,
        tenant: &Tenant,
        head: &ChainHead,
        day: Window,
        seals: &[Seal],
    ) -> Result<(), Trouble> {
        if self.run.take_over(tenant, head).await? {
            return Ok(());
        }
        let (objects, workshop) = (self.run.stores.objects(), self.run.workshop);
        let mut written = merge::write(objects, workshop, &tenant.id, day, seals).await?;
        // Meanwhile the chain may have moved: over windows, which is no matter, or over this day.
        let table = self.run.stores.table();
        let chain = table.chain(&tenant.id).await?;
        let now = chain.unwrap_or_else(|| head.clone());
        if now.revision != head.revision && self.plan(tenant, day).await? != seals {
            return Ok(());
        }
        written.sequence = now.sequence;
        let before = self.run.summary.days;
        self.run.sign(tenant, &now, written).await?;
        if self.run.summary.days > before {
            self.summary.days += 1;
            self.summary.covered += u32::try_from(seals.len()).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    async fn announce(&mut self, tenant: &Tenant, why: &str) -> Result<(), PortError> {
        self.summary.held += 1;
        tracing::warn!(tenant = %tenant.id, why, "day not compacted");
        let body = json!({
            "tenant": tenant.id,
            "why": why,
            "invariant": Invariant::TamperEvident.number(),
        });
        let body = body.to_string();
        if self.run.workshop.is_new(&body) {
            let subject = "Vernier: a day is not compacted";
            self.run.stores.notices().publish(subject, &body).await?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Compact,
    Remove,
}
