//! Planner, queue and workers and what they meet: recovery, sealing, playbacks, sweeping; losses that they have to
//! make good, and losses that nobody can.

use super::invocation::{Caller, Ending, Invocation, open_windows};
use super::mutants::{Bug, Table};
use super::operations::{RECEIPT_DAYS, nth};
use super::oracle::Violation;
use super::owners::Owners;
use super::script::{QueueTrouble, Target};
use super::trigger::Failure;
use super::world::{BEGINNING, RECONCILE, World};
use crate::orchestra;
use crate::orchestra::trigger_event;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use vernier_intake::SpreadKeeper;
use vernier_ledger::ids::{Lane, ReceiptId};
use vernier_ledger::playback_job::{
    PlaybackFilter, PlaybackRequest, PlaybackSource, PlaybackTarget,
};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, nudge_all};
use vernier_reconcile::compaction::{COMPACT_BYTES_MAX, Compacting};
use vernier_reconcile::planner::plan;
use vernier_reconcile::playbacks::begin;
use vernier_reconcile::process::{Process, WorkSettings};
use vernier_reconcile::sealing::{SealingTimes, Workshop};
use vernier_reconcile::sweeping::Sweeping;
use vernier_reconcile::worker::{Turn, turn};
use vernier_reconcile::{ReceiptDays, Settings};

/// How long a window that does not add up holds back those after it, seconds.
pub(super) const HOLD_SECONDS: i64 = 300;

/// How far back first occurrences are looked for, seconds: the longest history and more.
const LOOKBACK_SECONDS: i64 = 100 * 24 * 3_600;

/// Segments stay for longer than a function can run; unnamed ones for as long as a history lasts.
const SWEEPING: Sweeping = Sweeping {
    segment_seconds: 600,
    trigger_seconds: 4 * 3_600,
    failure_seconds: 4 * 3_600,
};

/// Days are compacted soon after their end, to which every history with an archive comes after all else.
pub(super) const COMPACTING: Compacting = Compacting {
    compact_after_seconds: 600,
    remove_after_seconds: 3_600,
    bytes_max: COMPACT_BYTES_MAX,
};

/// What one look at the clock takes of a turn, milliseconds.
const LOOK_MILLIS: i64 = 20;

/// Tries after which a window is held for good: with their back-offs more than two hours.
const TRIES_MAX: u32 = 7;

/// How long a worker that is nudged may begin something, where nothing disturbs it, seconds.
pub(super) const TURN_SECONDS: u8 = 120;

/// Turns of one run at most, beside one for each owner: a worker that is never done is a fault that shows elsewhere.
const TURNS_MAX: usize = 40;

/// The process that works, and what was done behind the ledger's back.
pub(super) struct Archive {
    process: Option<Rc<Process<Table>>>,
    bug: Option<Bug>,
    /// Objects that were deleted.
    pub(super) lost: BTreeSet<String>,
    /// What the turns of the last run did.
    last: Turn,
    /// The owners of work lists as far as they were asked for.
    pub(super) owners: RefCell<Rc<Owners>>,
}

thread_local! {
    /// Receipts of playbacks, salt keys and nonces of entries: the product asks for them by plain functions.
    static RECEIPTS: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Receipts of playbacks follow from this number until the next.
pub(super) fn draw_receipts(seed: u64) {
    RECEIPTS.set(ChaCha8Rng::seed_from_u64(!seed));
}

fn new_receipt(spread: Spread, now: Millis) -> ReceiptId {
    RECEIPTS.with_borrow_mut(|random| {
        let lane = Lane::try_from(random.random_range(0..spread.lanes)).unwrap_or(0);
        ReceiptId::from_parts(now, lane, random.random())
    })
}

/// A salt key that follows from the operation at hand.
pub(super) fn new_salt_key() -> SaltKey {
    RECEIPTS.with_borrow_mut(|random| SaltKey::from_bytes(random.random()))
}

/// A nonce that follows from the operation at hand.
pub(super) fn new_nonce() -> Nonce {
    RECEIPTS.with_borrow_mut(|random| Nonce(random.random()))
}

/// A folder in memory where there is one: sealing waits for the disk's word.
fn temporary() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

impl Archive {
    pub(super) fn new(bug: Option<Bug>) -> Self {
        Self {
            process: None,
            bug,
            lost: BTreeSet::new(),
            last: Turn::default(),
            owners: RefCell::default(),
        }
    }

    /// A function crashed: what the process knew is gone.
    pub(super) fn crashed(&mut self, caller: &Caller) {
        if matches!(caller, Caller::Queue { .. }) {
            self.process = None;
        }
    }

    /// Whether the last run changed nothing.
    pub(super) const fn is_idle(&self) -> bool {
        let turn = &self.last;
        let brought_back = turn.recovered.sent_again;
        brought_back + turn.sealed.events == 0 && turn.played.steps + turn.left == 0
    }

    /// What a process that works has, beside its stores.
    pub(super) fn process(&mut self, table: &Table) -> Rc<Process<Table>> {
        let lookback_seconds = match self.bug {
            Some(Bug::ForgetEarlierWindows) => 0,
            _ => LOOKBACK_SECONDS,
        };
        let process = self.process.get_or_insert_with(|| {
            let times = SealingTimes {
                lookback_seconds,
                hold_seconds: HOLD_SECONDS,
            };
            let mut workshop = Workshop::new(temporary(), times);
            workshop.threads = 1;
            Rc::new(Process {
                workshop,
                schemas: SchemaCache::new(table.clone(), Duration::ZERO),
                new_receipt,
                new_salt_key,
                spreads: SpreadKeeper::default(),
                new_nonce,
                windows: open_windows(),
            })
        });
        Rc::clone(process)
    }

    /// For how long those who bring frames back take receipts to be kept, days.
    pub(super) fn receipt_days(&self) -> u32 {
        match self.bug {
            Some(Bug::AskReceiptsAlone) => 100 * RECEIPT_DAYS,
            _ => RECEIPT_DAYS,
        }
    }

    pub(super) fn settings(&self) -> WorkSettings {
        let windows = match self.bug {
            Some(Bug::SealBeforeGrace) => Settings {
                grace_seconds: 0,
                ..RECONCILE
            },
            _ => RECONCILE,
        };
        WorkSettings {
            windows,
            receipt_days: ReceiptDays(self.receipt_days()),
            compacting: COMPACTING,
            sweeping: SWEEPING,
            paused: false,
        }
    }
}

/// Where Lambda puts failed batches.
const FAILURES: &str = "aws/lambda/";

fn failure_key(failure: &Failure) -> String {
    format!("mapping/{}/{:06}", failure.shard.id, failure.number)
}

impl World {
    /// The schedule: the planner runs.
    pub(super) async fn plan(&mut self) -> Result<(), Violation> {
        self.keep_failures();
        let functions = Rc::clone(&self.functions);
        let process = self.archive.process(&functions.working.table);
        let now = self.now();
        let future = async move {
            // What it could not do is the next run's.
            let _ = plan(&functions.working, &process, now).await;
            Ending::Planned
        };
        self.invoke(Invocation::new(Caller::Schedule, now, future))
            .await
    }

    /// The queue's trigger has a message of an owner: a worker takes a turn, with so many seconds to its deadline.
    /// Where the owner's message is with another worker, which stands still, this one's came twice.
    pub(super) async fn work(&mut self, n: u16, seconds: u8) -> Result<(), Violation> {
        match nth(self.owners().all(), n) {
            Some(owner) => self.work_of(owner, seconds).await,
            None => Ok(()),
        }
    }

    /// The same of an owner.
    pub(super) async fn work_of(&mut self, owner: Owner, seconds: u8) -> Result<(), Violation> {
        let delivery = self.queue.receive_of(&owner, self.now());
        let is_working = |p: &Invocation| matches!(p.caller, Caller::Queue { .. });
        let overlaps = self.parked.iter().any(is_working);
        if overlaps {
            // One still runs: this one is in another process.
            self.archive.process = None;
        }
        if delivery.is_none() && !overlaps {
            return Ok(());
        }
        let functions = Rc::clone(&self.functions);
        let process = self.archive.process(&functions.working.table);
        let settings = self.archive.settings();
        let (began, clock) = (self.now(), Rc::clone(&self.clock));
        let handle = delivery.as_ref().map(|delivery| delivery.handle);
        let future = async move {
            let clock = || {
                clock.set(Millis(clock.get().0 + LOOK_MILLIS));
                clock.get()
            };
            let deadline = began.plus_seconds(i64::from(seconds) * 2);
            let stores = &functions.working;
            Ending::Turned(Box::new(match delivery {
                Some(delivery) => {
                    let nudge = &delivery.nudge;
                    turn(stores, &process, &settings, nudge, &clock, deadline).await
                }
                None => {
                    let (process, settings) = (&process, &settings);
                    orchestra::turn_of(stores, process, settings, &owner, &clock, deadline).await
                }
            }))
        };
        self.invoke(Invocation::new(Caller::Queue { handle }, began, future))
            .await
    }

    /// The planner, and workers for whoever was nudged, until the queue has nothing that can be received.
    pub(super) async fn run(&mut self, seconds: u8) -> Result<(), Violation> {
        self.archive.last = Turn::default();
        self.plan().await?;
        if self.queue.ready(self.now()).is_empty() && self.parked.is_empty() {
            return Ok(());
        }
        let owners = self.owners();
        let mut from = 0;
        while let Some(n) = self.next_turn(&owners, from) {
            self.work(u16::try_from(n).unwrap_or(0), seconds).await?;
            from = n + 1;
        }
        for _ in 0..owners.len() + TURNS_MAX {
            let ready = self.queue.ready(self.now());
            let Some(n) = owners.first_of(&ready, 0) else {
                break;
            };
            self.work(u16::try_from(n).unwrap_or(0), seconds).await?;
        }
        self.work_of_filters(seconds).await
    }

    /// The first owner from a place on whose message can be received. While somebody stands still it is the next owner,
    /// whoever that is: what is armed may hit a turn of one whose message is under way.
    fn next_turn(&self, owners: &Owners, from: usize) -> Option<usize> {
        if !self.parked.is_empty() {
            return (from < owners.len()).then_some(from);
        }
        owners.first_of(&self.queue.ready(self.now()), from)
    }

    /// Minutes from now on in which a planner would find nothing due, and the trigger nothing to deliver.
    fn quiet_minutes(&self) -> u64 {
        if !self.trigger.ready(&self.stream).is_empty() || !self.queue.queued().is_empty() {
            return 0;
        }
        let due = self.table.first_due();
        let left_millis = due.map_or(0, |due| due.0 - self.now().0);
        // At the end of the minute in which it is due a planner finds it.
        u64::try_from((left_millis - 1) / 60_000).unwrap_or(0)
    }

    /// The stack works by itself for so many minutes. Those in which nothing is due pass at once.
    pub(super) async fn live(&mut self, minutes: u16) -> Result<(), Violation> {
        let mut left = u64::from(minutes);
        while left > 0 {
            let passing = (self.quiet_minutes() + 1).min(left);
            left -= passing;
            self.pass(Duration::from_secs(60 * passing));
            self.forget_old_records();
            self.kill_overdue();
            let delivered = self.trigger.ready(&self.stream).len();
            for _ in 0..delivered {
                self.deliver(0, usize::MAX).await?;
            }
            let before = self.counts.invocations;
            self.run(TURN_SECONDS).await?;
            // The planner alone changes nothing that the oracle looks at.
            if self.counts.invocations > before + 1 || delivered > 0 {
                self.look()?;
            }
        }
        Ok(())
    }

    /// The stream keeps no record for longer than its retention. What the trigger has not delivered shortly before, the
    /// trigger gives up first.
    fn forget_old_records(&mut self) {
        let now = self.now();
        self.ages.note(&self.stream, now);
        for (shard, count) in self.ages.over(&self.stream, now) {
            self.counts.records_expired += count as u64;
            let gave_up = self.trigger.expire(&self.stream, &shard, count);
            self.counts.given_up += u64::from(gave_up);
        }
    }

    /// A turn came to its end.
    pub(super) fn turned(&mut self, handle: Option<u64>, turn: &Turn) {
        if let Some(handle) = handle {
            self.queue.delete(handle);
        }
        self.archive.last.add(turn);
        self.counts.windows_held += u64::from(turn.sealed.incomplete);
        self.counts.played_back += turn.recovered.sent_again;
        self.counts.playback_steps += u64::from(turn.played.steps);
        self.counts.swept += turn.swept.segments;
        self.counts.rolled_up += turn.rolled_up.filters;
        self.counts.oversize_swept += turn.swept.oversize;
        self.counts.unnamed_swept += turn.swept.unnamed;
        let noted = |f: &&Failure| {
            let note = format!("failures/taken/{}", failure_key(f));
            self.bucket.has(&note)
        };
        let settled = self.trigger.failures().iter().filter(noted);
        let settled: Vec<u64> = settled.map(|f| f.number).collect();
        for number in settled {
            self.counts.recoveries += u64::from(self.trigger.settle(number));
        }
    }

    /// Somebody makes all work of an owner due.
    pub(super) async fn nudge(&mut self, n: u16) -> Result<(), Violation> {
        let Some(owner) = nth(self.owners().all(), n) else {
            return Ok(());
        };
        let functions = Rc::clone(&self.functions);
        let now = self.now();
        let future = async move {
            let table = &functions.general.table;
            // It may fail: what was not made due has its time.
            let _ = nudge_all(table, &owner, new_nonce, now).await;
            Ending::Nudged
        };
        self.invoke(Invocation::new(Caller::Asker, now, future))
            .await
    }

    /// The queue does what a queue may do.
    pub(super) fn trouble_queue(&self, trouble: QueueTrouble) {
        match trouble {
            QueueTrouble::Double => self.queue.double(),
            QueueTrouble::Delay => self.queue.delay(self.now().plus_seconds(90)),
            QueueTrouble::Lose => self.queue.lose(),
        }
    }

    /// When the next entry is due that something unsealed, unplayed or not brought back waits for; none where what is
    /// left was tried so often that no more is to be expected.
    pub(super) fn next_due(&self) -> Option<Millis> {
        let all = self.table.all_work();
        // The worker of its shard waits for a failed batch that it knows of.
        let is_known = |failure: &Failure| {
            let owner = Owner::of_shard(&failure.shard.id);
            let mut own = all.iter().filter(|(of, _)| *of == owner);
            own.any(|(_, entry)| entry.key.subject.starts_with(FAILURES))
        };
        let is_any_unknown = !self.trigger.failures().iter().all(is_known);
        let waits = |(owner, entry): &&(Owner, WorkEntry)| match (owner, entry.key.cause) {
            (_, Cause::Late | Cause::Close) => entry.tries < TRIES_MAX,
            (_, Cause::Playback) => true,
            (Owner::Shard(_), Cause::Recover) => entry.tries < TRIES_MAX,
            (_, Cause::Recover) => is_any_unknown,
            _ => false,
        };
        let entries = all.iter().filter(waits);
        entries.map(|(_, entry)| entry.due).min()
    }

    /// Puts what the trigger gave up where Lambda puts it.
    fn keep_failures(&self) {
        for failure in self.trigger.failures() {
            let key = format!("{FAILURES}{}", failure_key(failure));
            if self.bucket.has(&key) {
                continue;
            }
            let stream = &failure.shard.stream;
            let record = json!({
                "KinesisBatchInfo": {
                    "shardId": failure.shard.id,
                    "streamArn": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}"),
                },
                "payload": trigger_event(&failure.shard, &failure.batch).to_string(),
            });
            self.bucket.place(&key, record.to_string().into_bytes());
        }
    }

    pub(super) async fn replay(&mut self, tenant: u16, to: Target) -> Result<(), Violation> {
        let Some(identity) = nth(&self.identities, tenant) else {
            return Ok(());
        };
        let functions = Rc::clone(&self.functions);
        let now = self.now();
        let request = PlaybackRequest {
            from: Some(BEGINNING),
            to: Some(now),
            receipts: BTreeSet::new(),
            source: PlaybackSource::Archive,
            filter: PlaybackFilter::default(),
            target: match to {
                Target::Results => PlaybackTarget::Results,
                Target::Stream => PlaybackTarget::Stream,
            },
            dry_run: false,
            rate: None,
        };
        let future = async move {
            let table = &functions.working.table;
            let (tenant, token) = (&identity.tenant.id, &identity.token.token_id);
            let begun = begin(table, tenant, request, token, new_nonce(), now).await;
            Ending::Begun(begun.is_ok())
        };
        self.invoke(Invocation::new(Caller::Asker, now, future))
            .await
    }

    pub(super) fn skip(&mut self, n: u8, count: usize) {
        let ready = self.trigger.ready(&self.stream);
        if let Some(shard) = nth(&ready, n) {
            self.trigger.skip(&self.stream, &shard, count);
        }
    }

    pub(super) fn lose(&mut self, n: i16) {
        let records = self.table.all_records().into_iter();
        let there = |key: &String| self.bucket.has(key);
        let keys: Vec<String> = records.filter_map(|r| r.object).filter(there).collect();
        if let Some(key) = nth(&keys, n) {
            self.bucket.lose(&key);
            self.archive.lost.insert(key);
        }
    }
}
