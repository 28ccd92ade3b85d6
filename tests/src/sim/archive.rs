//! The scheduled run and what it meets: healing, sealing, playbacks, sweeping; losses that it has to
//! make good, and losses that nobody can.

use super::invocation::{Caller, Ending, Functions, Invocation, Ran};
use super::mutants::Bug;
use super::operations::{RECEIPT_DAYS, nth};
use super::oracle::Violation;
use super::script::Target;
use super::trigger::Failure;
use super::world::{BEGINNING, RECONCILE, World};
use crate::memory::trigger_event;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use vernier_ledger::access::Tenant;
use vernier_ledger::ids::{Lane, ReceiptId};
use vernier_ledger::playback_job::{
    PlaybackFilter, PlaybackRequest, PlaybackSource, PlaybackTarget,
};
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_reconcile::healing::{heal, heal_missing};
use vernier_reconcile::listing::list_commits;
use vernier_reconcile::playbacks::{Wires, begin, play_due};
use vernier_reconcile::sealing::{SealingTimes, Workshop, seal_due};
use vernier_reconcile::sweeping::{Sweeping, sweep_parts, sweep_segments};
use vernier_reconcile::{Settings, survey};

/// How long a window that does not add up holds back those after it, seconds.
pub(super) const HOLD_SECONDS: i64 = 300;

/// How far back first occurrences are looked for, seconds: a history and more.
const LOOKBACK_SECONDS: i64 = 24 * 3_600;

/// Segments stay for longer than a function can run; unnamed ones for as long as a history lasts.
const SWEEPING: Sweeping = Sweeping {
    segment_seconds: 600,
    trigger_seconds: 4 * 3_600,
};

/// What one look at the clock takes of a run, milliseconds.
const LOOK_MILLIS: i64 = 20;

/// The process that seals, and what was done behind the ledger's back.
pub(super) struct Archive {
    workshop: Option<Rc<Workshop>>,
    bug: Option<Bug>,
    /// Objects that were deleted.
    pub(super) lost: BTreeSet<String>,
    /// Whether segments may have been swept.
    pub(super) has_swept: bool,
    /// What the last run did that came to its end.
    last: Ran,
}

thread_local! {
    /// Receipts of playbacks and nonces: the product asks for them by plain functions.
    static RECEIPTS: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Receipts of playbacks follow from this number until the next.
pub(super) fn draw_receipts(seed: u64) {
    RECEIPTS.set(ChaCha8Rng::seed_from_u64(!seed));
}

fn new_receipt(tenant: &Tenant, now: Millis) -> ReceiptId {
    RECEIPTS.with_borrow_mut(|random| {
        let lane = Lane::try_from(random.random_range(0..tenant.lanes)).unwrap_or(0);
        ReceiptId::from_parts(now, lane, random.random())
    })
}

/// Nonces of work follow from the same number.
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
            workshop: None,
            bug,
            lost: BTreeSet::new(),
            has_swept: false,
            last: Ran::default(),
        }
    }

    /// A function crashed: what the process knew is gone.
    pub(super) fn crashed(&mut self, caller: &Caller) {
        if *caller == Caller::Schedule {
            self.workshop = None;
        }
    }

    /// Whether the last run found nothing to do.
    pub(super) const fn is_idle(&self) -> bool {
        !self.last.did_something()
    }

    /// What the process that seals has, beside its stores.
    fn workshop(&mut self) -> Rc<Workshop> {
        let lookback_seconds = match self.bug {
            Some(Bug::ForgetEarlierWindows) => 0,
            _ => LOOKBACK_SECONDS,
        };
        let workshop = self.workshop.get_or_insert_with(|| {
            let times = SealingTimes {
                lookback_seconds,
                hold_seconds: HOLD_SECONDS,
            };
            let mut workshop = Workshop::new(temporary(), times);
            workshop.threads = 1;
            Rc::new(workshop)
        });
        Rc::clone(workshop)
    }

    fn settings(&self) -> Settings {
        match self.bug {
            Some(Bug::SealBeforeGrace) => Settings {
                grace_seconds: 0,
                ..RECONCILE
            },
            _ => RECONCILE,
        }
    }
}

fn failure_key(failure: &Failure) -> String {
    format!("mapping/{}/{:06}", failure.shard.id, failure.number)
}

/// The parts of [`vernier_reconcile::scheduled::run`] in its order, each over the stores of its own role, so that a bug
/// can be in one part alone. Failed batches are looked for in every run, and sweeps are an operation of their own.
async fn scheduled(
    functions: &Functions,
    workshop: &Workshop,
    settings: Settings,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<Ran, PortError> {
    // What could not be listed is the next run's.
    let _ = list_commits(&functions.general.table, &clock, deadline).await;
    let found = survey(&functions.general, RECONCILE, clock()).await?;
    let healing = &functions.healing;
    let healed = heal(healing, RECEIPT_DAYS, &clock, deadline).await;
    let healed = healed.unwrap_or_default();
    let missing = &found.missing;
    let missing = heal_missing(healing, missing, RECEIPT_DAYS, &clock, deadline).await;
    let seals = seal_due(&functions.sealing, workshop, settings, &clock, deadline).await?;
    let wires = Wires {
        stores: &functions.playing,
        schemas: &functions.schemas,
        intake: vernier_intake::Settings {
            receipt_days: RECEIPT_DAYS,
        },
        new_receipt,
        windows: &functions.windows,
    };
    let until = deadline.plus_seconds((deadline.0 - clock().0).max(2_000) / 2_000);
    let played = play_due(wires, &clock, until).await.unwrap_or_default();
    Ok(Ran {
        incomplete: found.summary.incomplete,
        played_back: healed.played_back + missing.played_back,
        seals,
        steps: played.steps,
    })
}

impl World {
    pub(super) async fn run(&mut self, seconds: u8) -> Result<(), Violation> {
        self.keep_failures();
        if self.parked.iter().any(|p| p.caller == Caller::Schedule) {
            // One still runs: this one is in another process.
            self.archive.workshop = None;
        }
        self.archive.last = Ran::default();
        let workshop = self.archive.workshop();
        let settings = self.archive.settings();
        let functions = Rc::clone(&self.functions);
        let (began, clock) = (self.now(), Rc::clone(&self.clock));
        let future = async move {
            let clock = || {
                clock.set(Millis(clock.get().0 + LOOK_MILLIS));
                clock.get()
            };
            let deadline = began.plus_seconds(i64::from(seconds));
            Ending::Ran(scheduled(&functions, &workshop, settings, clock, deadline).await)
        };
        self.invoke(Invocation::new(Caller::Schedule, began, future))
            .await
    }

    /// A scheduled run came to its end.
    pub(super) fn ran(&mut self, ran: Ran) {
        self.archive.last = ran;
        self.counts.windows_held += u64::from(ran.incomplete);
        self.counts.played_back += ran.played_back;
        self.counts.playback_steps += u64::from(ran.steps);
        let noted = |f: &&Failure| {
            let note = format!("failures/taken/{}", failure_key(f));
            self.bucket.raw(&note).is_some()
        };
        let settled = self.trigger.failures().iter().filter(noted);
        let settled: Vec<u64> = settled.map(|f| f.number).collect();
        for number in settled {
            self.counts.recoveries += u64::from(self.trigger.settle(number));
        }
    }

    /// Puts what the trigger gave up where Lambda puts it.
    fn keep_failures(&self) {
        for failure in self.trigger.failures() {
            let key = format!("aws/lambda/{}", failure_key(failure));
            if self.bucket.raw(&key).is_some() {
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

    pub(super) async fn sweep(&mut self) -> Result<(), Violation> {
        self.archive.has_swept = true;
        let functions = Rc::clone(&self.functions);
        let (began, clock) = (self.now(), Rc::clone(&self.clock));
        let future = async move {
            let (stores, clock) = (&functions.sweeping, || clock.get());
            let deadline = began.plus_seconds(60);
            // As in the handler, the failure of one does not hold up the other.
            let parts = sweep_parts(stores, clock, deadline).await;
            let segments = sweep_segments(stores, SWEEPING, clock, deadline).await;
            Ending::Swept(parts.and(segments))
        };
        self.invoke(Invocation::new(Caller::Schedule, began, future))
            .await
    }

    pub(super) async fn replay(&mut self, tenant: u8, to: Target) -> Result<(), Violation> {
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
            let table = &functions.playing.table;
            let tenant = &identity.tenant.id;
            let begun = begin(table, tenant, request, &identity.token.token_id, now).await;
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

    pub(super) fn lose(&mut self, n: u8) {
        let records = self.table.all_records().into_iter();
        let there = |key: &String| self.bucket.raw(key).is_some();
        let keys: Vec<String> = records.filter_map(|r| r.object).filter(there).collect();
        if let Some(key) = nth(&keys, n) {
            self.bucket.lose(&key);
            self.archive.lost.insert(key);
        }
    }

    /// The most windows that one tenant's chain passed over.
    pub(super) fn passed_over(&self) -> usize {
        let chains = self.identities.iter();
        let chains = chains.filter_map(|i| self.table.raw_chain(&i.tenant.id));
        chains.map(|head| head.passed_over.len()).max().unwrap_or(0)
    }
}
