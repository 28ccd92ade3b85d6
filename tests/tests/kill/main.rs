//! Kill tier: the built stream binary on the emulator's stores. Its processes are killed at random
//! moments and its calls are throttled, and nothing may be lost or stored twice.
//!
//! `make emulator` sets what it needs: the deployed stack's variables, `VERNIER_STREAM_BINARY` and
//! `VERNIER_STREAM_CREDENTIALS`. `VERNIER_KILL_SEED` repeats the choices of a run (not the moments
//! at which they strike), `VERNIER_KILL_EVENTS` sets its size.

mod environment;
mod senders;

use environment::Environment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use senders::Sent;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vernier_fakes::MemoryTable;
use vernier_ledger::account::WindowState;
use vernier_ledger::clock;
use vernier_ledger::ports::Results as _;
use vernier_ledger::results::{Registers, ResultKey};
use vernier_ledger::time::TimeRange;
use vernier_tests::proxy::Tally;
use vernier_tests::readback::{Stored, straight_pass};
use vernier_tests::trigger::event::kinesis_event;
use vernier_tests::trigger::runtime::{Failure, Sandbox};
use vernier_tests::trigger::{Answer, Counts, Invocation, Mapping, Trigger, drive};

/// Events that are sent, envelopes that are sent twice left aside.
const EVENTS: u64 = 200_000;

/// Of the calls of the stream function, so many end with SIGKILL, if they last that long.
const KILLED: f64 = 0.4;

/// How the calls of the binary ended.
#[derive(Debug, Default)]
struct Ends {
    answered: Cell<u64>,
    killed: Cell<u64>,
    killed_idle: Cell<u64>,
    failed: Cell<u64>,
    /// Of calls that were answered, together.
    took: Cell<Duration>,
    processes: Cell<u64>,
    last_failure: RefCell<String>,
}

fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get() + n);
}

/// The function behind the trigger: sandboxes that are used again, and a killer.
struct Function<'e> {
    environment: &'e Environment,
    idle: RefCell<Vec<Sandbox>>,
    random: RefCell<StdRng>,
    ends: Ends,
}

impl Function<'_> {
    async fn invoke(&self, invocation: &Invocation) -> Answer {
        let new = || Sandbox::new(self.environment.program());
        let mut sandbox = self.idle.borrow_mut().pop().unwrap_or_else(new);
        let before = sandbox.started();
        let event = kinesis_event(&invocation.shard, &invocation.records);
        let begun = Instant::now();
        let answer = sandbox.invoke(&event, self.kill_after()).await;
        if answer.is_ok() && self.random.borrow_mut().random_bool(0.05) {
            add(&self.ends.killed_idle, 1);
            sandbox.kill().await;
        }
        add(&self.ends.processes, sandbox.started() - before);
        self.idle.borrow_mut().push(sandbox);
        match answer {
            Ok(value) => {
                add(&self.ends.answered, 1);
                self.ends.took.set(self.ends.took.get() + begun.elapsed());
                Answer::Returned(value)
            }
            Err(failure) => {
                let killed = failure == Failure::Killed;
                add(
                    if killed {
                        &self.ends.killed
                    } else {
                        &self.ends.failed
                    },
                    1,
                );
                if !killed {
                    *self.ends.last_failure.borrow_mut() = failure.to_string();
                }
                Answer::FunctionError
            }
        }
    }

    /// A moment between the start of a call and a little after its usual end; often none.
    fn kill_after(&self) -> Option<Duration> {
        let mut random = self.random.borrow_mut();
        let answered = u32::try_from(self.ends.answered.get()).unwrap_or(u32::MAX);
        let usual = self.ends.took.get().checked_div(answered);
        let usual = usual.unwrap_or(Duration::from_millis(500));
        // Few batches may all be spared by chance: until one kill struck, every call is tried.
        (self.ends.killed.get() == 0 || random.random_bool(KILLED))
            .then(|| usual.mul_f64(random.random_range(0.0..1.2)))
    }
}

/// Delivers everything; now and then a shard is read again from an earlier place.
async fn deliver(environment: &Environment, seed: u64) -> (Trigger, Ends) {
    let mapping = Mapping {
        batch_size: 100,
        maximum_batching_window_seconds: 1,
        bisect_batch_on_function_error: true,
        ..Mapping::default()
    };
    let mut trigger = Trigger::new(environment.stream.clone(), mapping);
    let function = Function {
        environment,
        idle: RefCell::default(),
        random: RefCell::new(StdRng::seed_from_u64(seed)),
        ends: Ends::default(),
    };
    let mut random = StdRng::seed_from_u64(seed + 1);
    let between = |trigger: &mut Trigger| {
        if random.random_bool(0.05) {
            let shards = trigger.stream().shards();
            let shard = &shards[random.random_range(0..shards.len())];
            trigger.rewind(shard, random.random_range(1..150));
        }
    };
    drive::run(
        &mut trigger,
        async |i: &Invocation| function.invoke(i).await,
        between,
    )
    .await;
    (trigger, function.ends)
}

/// Invariants 1 to 4.
#[tokio::test]
async fn killed_and_throttled_every_event_is_stored_once() {
    let seed = environment::number("VERNIER_KILL_SEED").unwrap_or_else(rand::random);
    let events = environment::number("VERNIER_KILL_EVENTS").unwrap_or(EVENTS);
    eprintln!("VERNIER_KILL_SEED={seed} VERNIER_KILL_EVENTS={events}");
    let environment = Environment::new(seed).await;
    let clocked = Instant::now();
    let sent = senders::send(&environment, events, seed).await;
    let input = environment.proxy.take_tally();
    let sending = clocked.elapsed();
    let (trigger, ends) = deliver(&environment, seed).await;
    let stream = environment.proxy.take_tally();
    let delivering = clocked.elapsed() - sending;

    assert_eq!(trigger.discarded(), [], "{}", ends.last_failure.borrow());
    let shards = environment.stream.shards();
    let stored = Stored::read(&environment.table, &environment.bucket, &shards).await;
    check_receipts(&environment, &sent, &stored).await;
    assert_eq!(
        stored.dispositions.stored, events,
        "nothing lost, nothing twice"
    );
    let (straight, straight_table) = straight_pass(&environment.stream).await;
    assert!(
        stored.lines == straight.lines,
        "what is stored is what a straight pass stores"
    );
    assert_eq!(stored.dispositions, straight.dispositions);
    assert_eq!(stored.quarantined, 0);
    check_results(&environment, &straight_table).await;
    assert!(ends.killed.get() > 0, "kills struck in the middle of calls");
    assert!(stream.throttled_before > 0 && stream.throttled_after > 0);
    report(&sent, &stored, &input, &stream, trigger.counts(), &ends);
    eprintln!(
        "sending {:.0} s, delivering {:.0} s, judging {:.0} s",
        sending.as_secs_f64(),
        delivering.as_secs_f64(),
        (clocked.elapsed() - sending - delivering).as_secs_f64()
    );
}

/// Every window adds up, and every acknowledged receipt's events are stored.
async fn check_receipts(environment: &Environment, sent: &Sent, stored: &Stored) {
    let settings = vernier_reconcile::Settings {
        window_minutes: 1,
        grace_seconds: 0,
    };
    let now = clock::now();
    let (table, tenant) = (&environment.table, &environment.identity.tenant);
    let range = TimeRange {
        from: sent.first_at,
        to: sent.last_at.plus_seconds(1),
    };
    let accounts =
        vernier_reconcile::accounts(table, settings, tenant, range, now.plus_seconds(120));
    let accounts = accounts.await.expect("the table answers");
    let mut received = 0;
    for account in &accounts {
        assert_eq!(
            account.state,
            WindowState::Complete,
            "invariant 3: {account:?}"
        );
        received += account.received.tally.events;
    }
    assert_eq!(
        received,
        stored.lines.len() as u64,
        "invariant 3: received is stored"
    );
    for (receipt, tally) in &sent.acknowledged {
        assert_eq!(
            stored.tallies.get(receipt),
            Some(tally),
            "invariant 2: {receipt}"
        );
    }
    eprintln!(
        "{} windows add up: {received} events received and stored",
        accounts.len()
    );
}

/// Results are those of the straight pass, register by register, each with its cause.
async fn check_results(environment: &Environment, straight: &MemoryTable) {
    let mut expected: BTreeMap<Option<String>, BTreeMap<ResultKey, Registers>> = BTreeMap::new();
    let tenant = &environment.identity.tenant.id;
    for ((_, key), registers) in straight.all_results() {
        let section = expected.entry(key.section.clone()).or_default();
        section.insert(key, registers);
    }
    assert!(!expected.is_empty(), "the semester has grades");
    let mut results = 0;
    for (section, expected) in &expected {
        let found = environment.table.of_section(tenant, section.as_deref());
        let found = found.await.expect("the table answers");
        assert!(!found.more, "a section fits one read");
        results += expected.len();
        let found: BTreeMap<_, _> = found
            .items
            .into_iter()
            .map(|item| (item.key, item.registers))
            .collect();
        assert!(
            found == *expected,
            "invariant 4: the results of a section are those of a straight pass"
        );
    }
    eprintln!(
        "{results} results in {} sections are those of a straight pass",
        expected.len()
    );
}

fn report(
    sent: &Sent,
    stored: &Stored,
    input: &Tally,
    stream: &Tally,
    counts: Counts,
    ends: &Ends,
) {
    let rows = [
        ("events, as sent once", stored.dispositions.stored),
        ("events, sent again", stored.dispositions.duplicate),
        ("envelopes", sent.acknowledged.len() as u64),
        ("  no answer, sent again", sent.refused),
        ("frames copied by time-outs", stored.copies),
        ("batches committed", stored.segments as u64),
        ("calls of the function", counts.invocations),
        ("  tries again", counts.retries),
        ("  batches halved", counts.bisections),
        ("  shards read again", counts.rewinds),
        ("  ended by SIGKILL", ends.killed.get()),
        ("  that failed otherwise", ends.failed.get()),
        ("idle processes killed", ends.killed_idle.get()),
        ("processes started", ends.processes.get()),
        ("store calls, input", input.total()),
        ("  throttled before effect", input.throttled_before),
        ("  throttled after effect", input.throttled_after),
        ("store calls, stream", stream.total()),
        ("  throttled before effect", stream.throttled_before),
        ("  throttled after effect", stream.throttled_after),
    ];
    for (what, count) in rows {
        eprintln!("{what:28} {count:>9}");
    }
}
