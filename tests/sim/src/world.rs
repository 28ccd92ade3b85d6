//! One simulated world: stores, clock, sensors, trigger, and what happens in it.

use super::archive::{self, Archive};
use super::counts::Counts;
use super::faulting::{Arms, Stop};
use super::invocation::{Caller, Driven, Ending, Functions, Invocation, SharedFunctions};
use super::mutants::{Bug, plant};
use super::oracle::{Oracle, Violation};
use super::script::{Op, Script};
use super::sensor::{Attempt, SENSOR, Sent, tenant};
use super::trigger::{Ages, Trigger};
use crate::orchestra::begin_lists;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use vernier_fakes::{
    Faults, MemoryBucket, MemoryKey, MemoryQueue, MemoryStores, MemoryStream, MemoryTable,
    MemoryTopic,
};
use vernier_ledger::Invariant;
use vernier_ledger::access::{Identity, Tenant, TokenInfo};
use vernier_ledger::chain::SealKind;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::Administration;
use vernier_ledger::time::Millis;

/// When the world begins, the same for every seed: 2026-11-20T09:45:00Z, so that an hour ends in it.
pub(super) const BEGINNING: Millis = Millis(1_795_167_900_000);

/// Settings of reconcile: windows of three minutes, so that a history spans a few.
pub(super) const RECONCILE: vernier_reconcile::Settings = vernier_reconcile::Settings {
    window_minutes: 3,
    grace_seconds: 60,
};

/// How long a function tries again, in pauses: [`super::invocation::TICK`] each.
pub(super) const PAUSES: u32 = 3;

/// A sensor waits for its answer, seconds (API Gateway's limit).
pub(super) const PATIENCE_SECONDS: i64 = 29;

/// The runtime kills a function that runs for longer, seconds.
pub(super) const LIFE_SECONDS: i64 = 300;

/// The world.
pub(super) struct World {
    pub(super) seed: u64,
    /// How often each operation came so far, by its text.
    occurrences: BTreeMap<String, u64>,
    /// What the operation leaves open: ids, instants, clocks.
    pub(super) random: ChaCha8Rng,
    pub(super) faults: Faults,
    pub(super) arms: Arms,
    pub(super) stream: MemoryStream,
    pub(super) table: MemoryTable,
    pub(super) bucket: MemoryBucket,
    pub(super) topic: MemoryTopic,
    pub(super) queue: MemoryQueue,
    pub(super) archive: Archive,
    pub(super) functions: SharedFunctions,
    pub(super) identities: Vec<Identity>,
    pub(super) clock: Rc<Cell<Millis>>,
    pub(super) parked: Vec<Invocation>,
    pub(super) sent: Vec<Sent>,
    pub(super) attempts: Vec<Attempt>,
    /// The attempts that were answered with a 2xx, in the order of the answers.
    pub(super) answers: Vec<usize>,
    /// Receipts of envelopes that the stream function fails on.
    pub(super) poisoned: BTreeSet<ReceiptId>,
    pub(super) garbage: Vec<Vec<u8>>,
    pub(super) trigger: Trigger,
    pub(super) ages: Ages,
    pub(super) counts: Counts,
    pub(super) oracle: Oracle,
}

fn identity(name: &str, lanes: u16) -> Identity {
    let tenant = Tenant {
        lanes,
        ..Tenant::new(name.parse().expect("a tenant's name"), BEGINNING)
    };
    Identity {
        token: TokenInfo {
            token_id: "000000000000".into(),
            tenant: tenant.id.clone(),
            sensor: SENSOR.into(),
            scopes: Vec::new(),
            learner: None,
            label: None,
            created_at: BEGINNING,
            revoked_at: None,
        },
        tenant,
        signing_key: [0; 32],
    }
}

impl World {
    /// A fresh one, perhaps with a bug in its stores.
    pub(super) async fn new(script: &Script, bug: Option<Bug>) -> Self {
        let seed = script.seed;
        let faults = Faults::default();
        let arms = Arms::default();
        let stream = MemoryStream::new(2, faults.clone());
        let table = MemoryTable::new(faults.clone());
        let bucket = MemoryBucket::new(faults.clone());
        let tenants = (0..script.tenants).map(tenant);
        let identities: Vec<Identity> = tenants.map(|(n, l)| identity(&n, l)).collect();
        for identity in &identities {
            let created = table.create_tenant(&identity.tenant).await;
            assert_eq!(created, Ok(true), "tenants are new");
        }
        begin_lists(&table, BEGINNING, archive::new_nonce).await;
        let plan = arms.clone();
        faults.plan(move |operation, _| plan.fate(operation));
        let topic = MemoryTopic::new(faults.clone());
        let queue = MemoryQueue::new(faults.clone());
        let sound = MemoryStores {
            table: table.clone(),
            objects: bucket.clone(),
            stream: stream.clone(),
            notices: topic.clone(),
            key: MemoryKey::fixed(faults.clone()),
            queue: queue.clone(),
        };
        let functions = Functions::new(&plant(sound, bug));
        Self {
            seed,
            occurrences: BTreeMap::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            faults,
            arms,
            stream,
            table,
            bucket,
            topic,
            queue,
            archive: Archive::new(bug),
            functions: Rc::new(functions),
            identities,
            clock: Rc::new(Cell::new(BEGINNING)),
            parked: Vec::new(),
            sent: Vec::new(),
            attempts: Vec::new(),
            answers: Vec::new(),
            poisoned: BTreeSet::new(),
            garbage: Vec::new(),
            trigger: Trigger::default(),
            ages: Ages::default(),
            counts: Counts::default(),
            oracle: Oracle::default(),
        }
    }

    /// Plays a script, looks after each operation, lets the trigger and the recovery finish, looks
    /// at everything.
    ///
    /// # Errors
    /// The first violation.
    pub(super) async fn play(&mut self, script: &Script) -> Result<(), Violation> {
        for op in &script.ops {
            if op.is_arm() {
                self.arms.arm(op);
                continue;
            }
            self.counts.operations += 1;
            self.draw_for(op);
            let millis = self.random.random_range(0..5_000);
            self.pass(Duration::from_millis(millis));
            self.perform(op).await?;
            self.look()?;
        }
        let is_archival = script.ops.iter().any(Op::is_archival);
        if is_archival {
            self.finish_archive().await?;
        } else {
            self.finish().await?;
        }
        self.roll_up().await?;
        self.look()?;
        let oracle = std::mem::take(&mut self.oracle);
        let judged = oracle.judge(self).await;
        self.oracle = oracle;
        self.counts.events_stored = self.oracle.events_stored();
        judged?;
        if is_archival {
            self.seal_and_sweep().await?;
            self.counts.windows_lost = self.oracle.judge_archive(self)?;
            self.count_seals();
            self.compact().await?;
        }
        Ok(())
    }

    fn count_seals(&mut self) {
        self.counts.archived = 1;
        self.counts.events_sealed = self.oracle.events_sealed();
        for identity in &self.identities {
            let tenant = &identity.tenant.id;
            let given_up = self.table.all_given_up(tenant);
            self.counts.slices_given_up += given_up.len() as u64;
            for entry in self.table.seals_from(tenant, 0) {
                self.counts.seals += 1;
                self.counts.backfills += u64::from(entry.is_backfill());
                let is_recount = entry.is_backfill() && entry.tally.events == 0;
                self.counts.recounts += u64::from(is_recount);
                self.counts.shortfalls += u64::from(entry.missing > 0);
                self.counts.days += u64::from(entry.kind == SealKind::Day);
            }
        }
        self.counts.add(&self.oracle.seen());
    }

    /// Chance begins anew with each operation, by the seed, its text and how often it came: what an
    /// operation does does not depend on which others were dropped from the script.
    fn draw_for(&mut self, op: &Op) {
        let text = op.to_string();
        let hash = text.bytes().fold(self.seed, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        let nth = self.occurrences.entry(text).or_default();
        *nth += 1;
        let seed = hash ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.random = ChaCha8Rng::seed_from_u64(seed);
        self.faults.interleave(seed);
        archive::draw_receipts(seed);
    }

    /// What results must be after they were rebuilt from the archive.
    pub(super) fn judge_rebuilt(&self) -> Result<(), Violation> {
        self.oracle.judge_rebuilt(self)
    }

    /// Whether all that is stored is sealed.
    pub(super) fn is_all_sealed(&self) -> bool {
        self.oracle.is_all_sealed()
    }

    /// The oracle's look after one operation.
    pub(super) fn look(&mut self) -> Result<(), Violation> {
        let mut oracle = std::mem::take(&mut self.oracle);
        let seen = oracle.look(self);
        self.oracle = oracle;
        seen
    }

    /// All cursors, clock and answers in one number.
    pub(super) fn fingerprint(&self) -> u64 {
        let state = format!(
            "{:?}{:?}{:?}",
            self.table.cursors(),
            self.now(),
            self.attempts
        );
        let sum = vernier_ledger::digest::Fingerprint::of(state.as_bytes()).0;
        u64::from_be_bytes([
            sum[0], sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7],
        ])
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.get()
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.clock.set(Millis(self.clock.get().0 + millis));
        self.bucket.set_clock(self.now());
        self.queue.set_clock(self.now());
        let expired = self.table.expire_receipts(self.now());
        self.counts.receipts_expired += expired as u64;
    }

    /// Runs an invocation as armed: to its end, to its crash, or until it is parked.
    pub(super) async fn invoke(&mut self, mut invocation: Invocation) -> Result<(), Violation> {
        let stop = self.arms.begin();
        self.counts.invocations += 1;
        let polls = stop.map(Stop::polls);
        let clock = Rc::clone(&self.clock);
        let tick = || clock.set(Millis(clock.get().0 + 1_000));
        let driven = invocation.drive(&self.faults, polls, tick).await;
        self.arms.end();
        match driven {
            Driven::Ended(ending) => self.ended(&invocation.caller, ending),
            Driven::Endless => Err(Violation::new(
                Invariant::Bounded,
                format!("{:?} does not end", invocation.caller),
            )),
            Driven::Stopped => {
                // Whoever called gets no answer either way.
                self.no_answer(&invocation.caller);
                if matches!(stop, Some(Stop::Park(_))) {
                    self.counts.overtaken += 1;
                    self.parked.push(invocation);
                } else {
                    self.counts.crashes += 1;
                    self.archive.crashed(&invocation.caller);
                }
                Ok(())
            }
        }
    }

    /// What an ending means to the one who called.
    fn ended(&mut self, caller: &Caller, ending: Ending) -> Result<(), Violation> {
        match (caller, ending) {
            (Caller::Sensor { attempt }, Ending::Sent(Ok(events))) => {
                self.answers.push(*attempt);
                let attempt = &mut self.attempts[*attempt];
                attempt.acknowledged = true;
                let sent = &mut self.sent[attempt.envelope];
                sent.answered = true;
                Violation::unless(
                    events == sent.events.len() as u64,
                    Invariant::DurableBeforeAck,
                    || format!("{} answers for {events} events", attempt.receipt),
                )
            }
            (
                Caller::Sensor { .. },
                Ending::Sent(Err(vernier_intake::NotAccepted::Refused(why))),
            ) => Err(Violation::new(
                Invariant::OneDispositionEach,
                format!("a sound envelope is refused: {why}"),
            )),
            (Caller::Trigger { shard, advance }, Ending::Delivered(outcome)) => {
                if outcome.is_ok() {
                    self.trigger.succeeded(shard, *advance);
                } else {
                    self.no_answer(caller);
                }
                Ok(())
            }
            (Caller::Operator { failure }, Ending::BroughtBack(Ok(outcome))) => {
                if self.trigger.settle(*failure) {
                    self.counts.recoveries += 1;
                }
                self.counts.played_back += outcome.played_back;
                Ok(())
            }
            (Caller::Queue { handle }, Ending::Turned(turned)) => {
                // What failed comes again when its message's time is over.
                if let Ok(turn) = &*turned {
                    self.turned(*handle, turn);
                }
                Ok(())
            }
            (Caller::Asker, Ending::Begun(true)) => {
                self.counts.playbacks += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn no_answer(&mut self, caller: &Caller) {
        if let Caller::Trigger {
            shard,
            advance: Some(count),
        } = caller
            && self.trigger.failed(&self.stream, shard, *count)
        {
            self.counts.given_up += 1;
        }
    }

    /// Whoever stands still for longer than a function may run is killed.
    pub(super) fn kill_overdue(&mut self) {
        let now = self.now();
        let killed: Vec<Invocation> =
            { self.parked.extract_if(.., |p| now > p.ends_by()) }.collect();
        for invocation in killed {
            self.counts.crashes += 1;
            self.archive.crashed(&invocation.caller);
        }
    }

    /// Lets a parked invocation go on; a sensor's is killed when its time is over.
    pub(super) async fn resume(&mut self, n: u8) -> Result<(), Violation> {
        if self.parked.is_empty() {
            return Ok(());
        }
        let mut invocation = self.parked.remove(usize::from(n) % self.parked.len());
        if self.now() > invocation.ends_by() {
            self.counts.crashes += 1;
            return Ok(());
        }
        // The trigger has gone its way in the meantime.
        if let Caller::Trigger { advance, .. } = &mut invocation.caller {
            *advance = None;
        }
        self.invoke(invocation).await
    }
}
