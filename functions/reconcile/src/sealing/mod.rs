//! Sealing: windows that add up become files and a signed seal (docs/seal.md).
//!
//! [`seal_due`] takes the tenants in turns, a window each, until nothing is due or the time is over;
//! what it left, the next run takes up. For one tenant windows are sealed in their order, so that an
//! event's first occurrence is the stored one; a window that does not add up holds back those after
//! it for `hold_seconds`, then it is passed over and sealed when it does.
//!
//! What a crash leaves, and two runs at once:
//! - parts lie under keys that hold their content's hash: written again they are the same;
//! - a seal's key holds its sequence, and the first object under it is the seal: whoever finds one
//!   there takes it over instead of making another;
//! - the chain moves only from the revision that was seen, and a seal counts when it has moved.

mod earlier;
mod late;
mod window;
mod workshop;

use crate::{Settings, balance, receipts_of, take_turns};
use serde_json::json;
use std::collections::{BTreeMap, HashSet, VecDeque};
use vernier_archive::Fault;
use vernier_archive::keys::PublicKey;
use vernier_archive::seal::{Seal, SealKind, Written, seal_key};
use vernier_ledger::Invariant;
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{WindowAccount, WindowState};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::chain::{ChainHead, SealEntry, first_window, window_after};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::TenantId;
use vernier_ledger::live;
use vernier_ledger::ports::{
    ChainOutcome, Chains, Directory, Notices, Objects, PortError, PutOutcome, SealKey,
};
use vernier_ledger::segment::SegmentRecord;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};
use window::Job;
pub(crate) use window::{GROUP_BYTES, PART_ROWS, RUN_BYTES, upload};
pub use workshop::{SealingTimes, Workshop};

/// Windows that a tenant's chain passes over at most; with more the chain stops, and the alarm stays.
const PASSED_OVER_MAX: usize = 96;

/// Windows before the chain's end whose segment records are looked at for what came late.
const LATE_WINDOWS: i64 = 3;

/// Why a window is not sealed this time.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A store failed.
    Port(PortError),
    /// What is there cannot be sealed: somebody must look.
    Held(String),
}

impl From<PortError> for Trouble {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => Self::Port(PortError::Retryable(format!("scratch: {error}"))),
            other => Self::Held(other.to_string()),
        }
    }
}

/// What a run sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealSummary {
    /// Windows that were sealed.
    pub sealed: u32,
    /// Backfills that were sealed.
    pub backfills: u32,
    /// Days' seals that a compaction left behind.
    pub days: u32,
    /// Events in windows and backfills.
    pub events: u64,
    /// Windows that are due and held back.
    pub held: u32,
    /// Tenants whose stores failed.
    pub failed: u32,
    /// Tenants that were left for the next run.
    pub left: u32,
    /// How the events of windows and backfills ended.
    pub counts: DispositionCounts,
    /// Windows that chains passed over and that are not sealed yet.
    pub passed_over: u32,
    /// How long ago the last window ended that its tenant's chain has come to, milliseconds: of the tenant
    /// that is furthest behind.
    pub lag_millis_max: u64,
}

/// Where a tenant's chain stands, as it was last seen.
#[derive(Debug, Clone, Copy)]
struct Stand {
    lag_millis: u64,
    passed_over: usize,
}

/// A window's account, and the items that its stored side is the sum of.
struct DrawnUp {
    account: WindowAccount,
    items: Vec<BlockItem>,
}

/// Segment records since an instant, shared by the tenants of a run.
struct Records {
    since: Millis,
    list: Vec<SegmentRecord>,
}

/// One run's view of the world.
pub(crate) struct Run<'a, S, C> {
    pub(crate) stores: &'a S,
    pub(crate) workshop: &'a Workshop,
    settings: Settings,
    pub(crate) clock: C,
    records: Records,
    stands: BTreeMap<TenantId, Stand>,
    pub(crate) summary: SealSummary,
}

/// How far a tenant is in a run. What came late is looked for first: since where the last run ended,
/// which the windows that are due now move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Late,
    Due,
    PassedOver,
}

/// What one step came to.
enum Step {
    /// Something was sealed: there may be more of it.
    Sealed,
    /// The stage has nothing more to do.
    Done,
}

/// Seals what is due for all tenants, in turns, until `deadline`. A step that began before it is
/// finished.
///
/// # Errors
/// When the tenants cannot be listed. One tenant's failure does not hold up the others.
pub async fn seal_due<S: ReconcileStores>(
    stores: &S,
    workshop: &Workshop,
    settings: Settings,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<SealSummary, PortError> {
    let mut names = stores.table().tenants().await?;
    take_turns(&mut names, clock());
    let mut waiting = VecDeque::new();
    for name in names {
        if let Some(tenant) = stores.table().tenant(&name).await? {
            waiting.push_back((tenant, Stage::Late));
        }
    }
    let mut run = Run::new(stores, workshop, settings, clock);
    while let Some((tenant, stage)) = waiting.pop_front() {
        if (run.clock)() >= deadline {
            run.summary.left = u32::try_from(waiting.len() + 1).unwrap_or(u32::MAX);
            break;
        }
        let next = match (run.step(&tenant, stage).await, stage) {
            (Ok(Step::Sealed), stage) => Some(stage),
            (Ok(Step::Done), Stage::Late) => Some(Stage::Due),
            (Ok(Step::Done), Stage::Due) => Some(Stage::PassedOver),
            (Ok(Step::Done), Stage::PassedOver) => None,
            (Err(error), _) => {
                run.summary.failed += 1;
                tracing::error!(tenant = %tenant.id, %error, "not sealed");
                None
            }
        };
        if let Some(stage) = next {
            waiting.push_back((tenant, stage));
        }
    }
    let passed_over = run.stands.values().map(|s| s.passed_over).sum::<usize>();
    run.summary.passed_over = u32::try_from(passed_over).unwrap_or(u32::MAX);
    let lags = run.stands.values().map(|s| s.lag_millis);
    run.summary.lag_millis_max = lags.max().unwrap_or(0);
    Ok(run.summary)
}

impl<'a, S, C> Run<'a, S, C> {
    pub(crate) fn new(stores: &'a S, workshop: &'a Workshop, settings: Settings, clock: C) -> Self {
        Self {
            stores,
            workshop,
            settings,
            clock,
            records: Records {
                since: Millis(i64::MAX),
                list: Vec::new(),
            },
            stands: BTreeMap::new(),
            summary: SealSummary::default(),
        }
    }
}

impl<S: ReconcileStores, C: Fn() -> Millis> Run<'_, S, C> {
    async fn step(&mut self, tenant: &Tenant, stage: Stage) -> Result<Step, PortError> {
        let first = first_window(tenant.created_at, self.settings.window_minutes);
        let chain = self.stores.table().chain(&tenant.id).await?;
        let head = chain.unwrap_or_else(|| ChainHead::beginning(first.start));
        let lag = (self.clock)().0 - head.through.0;
        let stand = Stand {
            lag_millis: u64::try_from(lag).unwrap_or(0),
            passed_over: head.passed_over.len(),
        };
        self.stands.insert(tenant.id.clone(), stand);
        match stage {
            Stage::Due => self.seal_next(tenant, &head).await,
            Stage::PassedOver => self.seal_passed_over(tenant, &head).await,
            Stage::Late => self.seal_late(tenant, &head).await,
        }
    }

    /// The next window in order.
    async fn seal_next(&mut self, tenant: &Tenant, head: &ChainHead) -> Result<Step, PortError> {
        let window = window_after(head.through, self.settings.window_minutes);
        let now = (self.clock)();
        if now < window.end.plus_seconds(self.settings.grace_seconds) {
            return Ok(Step::Done);
        }
        if self.take_over(tenant, head).await? {
            return Ok(Step::Sealed);
        }
        if self.seal_window(tenant, head, window).await? {
            return Ok(Step::Sealed);
        }
        self.summary.held += 1;
        let overdue = now >= window.end.plus_seconds(self.workshop.times.hold_seconds);
        if !overdue || head.passed_over.len() >= PASSED_OVER_MAX {
            return Ok(Step::Done);
        }
        let why = "it does not add up; the windows after it are sealed before it";
        self.announce(tenant, window, why).await?;
        let table = self.stores.table();
        table
            .move_chain(&tenant.id, &head.past(window), None)
            .await?;
        Ok(Step::Sealed)
    }

    /// One of the windows that were passed over, another one each minute.
    async fn seal_passed_over(
        &mut self,
        tenant: &Tenant,
        head: &ChainHead,
    ) -> Result<Step, PortError> {
        let minute = usize::try_from((self.clock)().minute().0).unwrap_or(0);
        let turn = minute.checked_rem(head.passed_over.len());
        let Some(window) = turn.map(|at| head.passed_over[at]) else {
            return Ok(Step::Done);
        };
        let sealed =
            self.take_over(tenant, head).await? || self.seal_window(tenant, head, window).await?;
        Ok(if sealed { Step::Sealed } else { Step::Done })
    }

    /// Seals a window if it adds up.
    async fn seal_window(
        &mut self,
        tenant: &Tenant,
        head: &ChainHead,
        window: Window,
    ) -> Result<bool, PortError> {
        let drawn_up = self.account(tenant, window).await?;
        if drawn_up.account.state != WindowState::Complete {
            return Ok(false);
        }
        self.seal(Job {
            tenant,
            window,
            kind: SealKind::Window,
            head,
            items: &drawn_up.items,
            expected: drawn_up.account.stored_side,
            except: HashSet::new(),
        })
        .await
    }

    /// Seals what the window's lines, without some, come to.
    async fn seal(&mut self, job: Job<'_>) -> Result<bool, PortError> {
        let now = (self.clock)();
        let written = match window::write(self.stores, self.workshop, &job, now).await {
            Ok(written) => written,
            Err(Trouble::Port(error)) => return Err(error),
            Err(Trouble::Held(why)) => {
                self.announce(job.tenant, job.window, &why).await?;
                return Ok(false);
            }
        };
        self.sign(job.tenant, job.head, written).await
    }

    /// Signs a seal, writes it unless there is one, and moves the chain over the one that is there.
    pub(crate) async fn sign(
        &mut self,
        tenant: &Tenant,
        head: &ChainHead,
        written: Written,
    ) -> Result<bool, PortError> {
        let key = self.workshop.public_key(self.stores.key()).await?;
        let fatal = |e: Fault| PortError::Fatal(e.to_string());
        let previous = head.last_hash.as_deref().map(hash_from).transpose()?;
        let draft = written.draft(previous, (self.clock)(), &key);
        self.show_key(&key).await?;
        let message = draft.message().map_err(fatal)?;
        let seal = draft.signed(&self.stores.key().sign(&message).await?);
        if !seal.is_signed_by(&key).map_err(fatal)? {
            let what = "the key's signature is not its public half's";
            return Err(PortError::Fatal(what.to_owned()));
        }
        let bytes = seal.to_bytes().map_err(fatal)?;
        match self
            .stores
            .objects()
            .put_new(&seal.key(), bytes, None)
            .await?
        {
            PutOutcome::Created => self.move_over(tenant, head, &seal).await,
            PutOutcome::Exists => self.take_over(tenant, head).await,
        }
    }

    /// Puts the public key beside the seals, once for a process.
    async fn show_key(&self, key: &PublicKey) -> Result<(), PortError> {
        let name = format!("keys/{}.pem", key.id());
        if self.workshop.is_new(&name) {
            let pem = key.to_pem().into_bytes();
            self.stores.objects().put_new(&name, pem, None).await?;
        }
        Ok(())
    }

    /// Moves the chain over a seal that is there already: of somebody who crashed before moving it,
    /// or is about to.
    pub(crate) async fn take_over(
        &mut self,
        tenant: &Tenant,
        head: &ChainHead,
    ) -> Result<bool, PortError> {
        let name = seal_key(&tenant.id, head.sequence);
        let Some(bytes) = self.stores.objects().get(&name, None).await? else {
            return Ok(false);
        };
        let damaged = |what: &str| PortError::Fatal(format!("{name} {what}"));
        let seal = Seal::read(&bytes).map_err(|e| damaged(&e.to_string()))?;
        if seal.statement.is_some() {
            return Err(damaged(
                "is of version 4, which this release does not continue",
            ));
        }
        let key = self.workshop.public_key(self.stores.key()).await?;
        let signed = seal.is_signed_by(&key).map_err(|e| damaged(&e.to_string()));
        let previous = head.last_hash.as_deref().map(hash_from).transpose()?;
        let follows = seal.previous.map(|hash| hash.0) == previous;
        if !signed? || !follows || seal.tenant != tenant.id {
            return Err(damaged("is not the next seal of this chain"));
        }
        self.move_over(tenant, head, &seal).await
    }

    async fn move_over(
        &mut self,
        tenant: &Tenant,
        head: &ChainHead,
        seal: &Seal,
    ) -> Result<bool, PortError> {
        let entry = entry_of(seal)?;
        let next = head.with(&entry).ok_or_else(|| {
            PortError::Fatal(format!("{} does not follow in its chain", seal.key()))
        })?;
        let table = self.stores.table();
        let moved = table.move_chain(&tenant.id, &next, Some(&entry)).await?;
        if moved == ChainOutcome::Moved {
            let of = match seal.kind {
                SealKind::Window => &mut self.summary.sealed,
                SealKind::Backfill => &mut self.summary.backfills,
                // No idle run and no erasure is sealed yet.
                SealKind::Day | SealKind::Idle | SealKind::Erasure => &mut self.summary.days,
            };
            *of += 1;
            if !entry.is_day() {
                self.summary.events += entry.tally.events;
                self.summary.counts.merge(&seal.counts);
            }
            tracing::info!(
                tenant = %tenant.id,
                sequence = entry.sequence,
                window = entry.window.start.rfc3339(),
                events = entry.tally.events,
                backfill = entry.backfill,
                day = entry.is_day(),
                "sealed"
            );
        }
        // Stale: somebody else moved it; the next step sees where to.
        Ok(true)
    }

    /// The account of a window as it stands now.
    async fn account(&self, tenant: &Tenant, window: Window) -> Result<DrawnUp, PortError> {
        let now = (self.clock)();
        let table = self.stores.table();
        // Receipts first: what is committed between the two reads is then seen as stored.
        let receipts = receipts_of(table, tenant, &[window]).await?;
        let items = live::items_between(table, &tenant.id, window.into(), now).await?;
        let mut accounts = balance(self.settings, &[window], receipts, &items, now);
        let account = accounts.pop();
        let account = account.ok_or_else(|| PortError::Fatal("no account".to_owned()))?;
        Ok(DrawnUp { account, items })
    }

    /// Reads segment records since an instant, unless the run has them.
    async fn reach(&mut self, since: Millis) -> Result<(), PortError> {
        if since < self.records.since {
            let list = live::records_since(self.stores.table(), since, (self.clock)()).await?;
            self.records = Records { since, list };
        }
        Ok(())
    }

    async fn announce(&self, tenant: &Tenant, window: Window, why: &str) -> Result<(), PortError> {
        let start = window.start.rfc3339();
        tracing::warn!(tenant = %tenant.id, window = start, why, "window not sealed");
        let body = json!({
            "tenant": tenant.id,
            "window": { "start": start, "end": window.end.rfc3339() },
            "why": why,
            "invariant": Invariant::Complete.number(),
        });
        let body = body.to_string();
        if self.workshop.is_new(&body) {
            let subject = "Vernier: a window is not sealed";
            self.stores.notices().publish(subject, &body).await?;
        }
        Ok(())
    }
}

fn hash_from(text: &str) -> Result<[u8; 32], PortError> {
    let read = vernier_ledger::digest::Fingerprint::from_hex(text);
    let bad = || PortError::Fatal("chain: the last hash is none".to_owned());
    read.map(|hash| hash.0).ok_or_else(bad)
}

fn entry_of(seal: &Seal) -> Result<SealEntry, PortError> {
    let hash = seal.hash().map_err(|e| PortError::Fatal(e.to_string()))?;
    Ok(SealEntry {
        sequence: seal.sequence,
        backfill: seal.kind == SealKind::Backfill,
        window: seal.window(),
        hash: hex::encode(hash),
        tally: Tally {
            events: seal.counts.total(),
            rejected: seal.counts.rejected,
            digest: seal.digest,
        },
        sealed_at: seal.sealed_at,
        covers: seal.covers.iter().map(|c| c.sequence).collect(),
    })
}
