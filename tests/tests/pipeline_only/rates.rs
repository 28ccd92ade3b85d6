//! What many input processes let through together of a tenant with rates, by a clock of the test's own.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::num::NonZeroU32;
use std::time::Duration;
use vernier_fakes::{Fault, Faults, MemoryTable, Operation};
use vernier_ledger::access::Tenant;
use vernier_ledger::rates::{Demand, RateKeeper, RateUnit, Rates, TakeTimes, Taken};
use vernier_ledger::time::Millis;
use vernier_tests::envelopes::{bytes, events};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Call, World};
use vernier_validation::{Mode, Profile};

/// The test's clock moves in such steps, milliseconds.
const STEP_MILLIS: i64 = 10;

/// Begins within a second, as real loads do.
const BEGINNING: Millis = Millis(1_780_000_000_370);

/// How a client sends: the same again and again, through a process of its own.
#[derive(Debug, Clone, Copy)]
struct Client {
    events: u64,
    every_millis: i64,
    /// Whether it waits for as long as a refusal says, or tries again as before.
    is_patient: bool,
}

/// An envelope that was let through.
#[derive(Debug, Clone, Copy)]
struct Passed {
    at: Millis,
    client: usize,
    demand: Demand,
}

struct Played {
    passed: Vec<Passed>,
    refused: u64,
    calls: u64,
}

impl Played {
    fn sum(&self, unit: RateUnit, from: Millis, to: Millis) -> u64 {
        let within = self.passed.iter().filter(|p| from <= p.at && p.at < to);
        within.map(|p| p.demand.of(unit)).sum()
    }

    fn all(&self, unit: RateUnit) -> u64 {
        self.sum(unit, Millis(0), Millis(i64::MAX))
    }
}

fn rate(number: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(number)
}

fn events_a_second(number: u32) -> Rates {
    Rates {
        events_per_second: rate(number),
        ..Rates::default()
    }
}

fn tenant(rates: Rates) -> Tenant {
    Tenant {
        rates,
        ..Tenant::new("crowd".parse().expect("a tenant's name"), Millis(0))
    }
}

/// Lets clients send for so many seconds, in an order that the seed shuffles at each step.
async fn play(rates: Rates, clients: &[Client], seconds: i64, seed: u64) -> Played {
    let faults = Faults::default();
    let table = MemoryTable::new(faults.clone());
    let tenant = tenant(rates);
    let keepers: Vec<RateKeeper> = clients.iter().map(|_| RateKeeper::default()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let first = |client: &Client| BEGINNING.0 + random.random_range(0..=client.every_millis);
    let mut due: Vec<i64> = clients.iter().map(first).collect();
    let mut order: Vec<usize> = (0..clients.len()).collect();
    let mut played = Played {
        passed: Vec::new(),
        refused: 0,
        calls: 0,
    };
    for step in 0..seconds * 1_000 / STEP_MILLIS {
        let now = Millis(BEGINNING.0 + step * STEP_MILLIS);
        order.shuffle(&mut random);
        for at in &order {
            let client = clients[*at];
            if due[*at] > now.0 {
                continue;
            }
            due[*at] = now.0 + client.every_millis;
            let demand = Demand {
                requests: 1,
                events: client.events,
                bytes: client.events * 1_460,
            };
            let times = TakeTimes {
                now,
                wait: Duration::from_secs(1),
            };
            match keepers[*at].take(&table, &tenant, demand, times).await {
                Ok(taken) => {
                    assert_eq!(taken, Taken::Within);
                    played.passed.push(Passed {
                        at: now,
                        client: *at,
                        demand,
                    });
                }
                Err(over) => {
                    played.refused += 1;
                    assert!(over.retry_after_seconds > 0);
                    if client.is_patient {
                        due[*at] = now.0 + i64::from(over.retry_after_seconds) * 1_000;
                    }
                }
            }
        }
    }
    played.calls = faults.calls(Operation::ChargeRates);
    played
}

fn on_a_runtime<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(task)
}

/// In no stretch of time is more let through than its seconds allow, the second that rest saved up, the second for
/// which a process may keep what it took, the second that who was refused may charge ahead, and one charge more: the
/// one that spent the rest.
fn keep_the_bound(played: &Played, rates: Rates) {
    for unit in RateUnit::ALL {
        let Some(rate) = rates.of(unit) else { continue };
        let rate = u64::from(rate.get());
        let largest = played.passed.iter().map(|p| p.demand.of(unit)).max();
        let charge = largest.unwrap_or(0).max(rate / 50);
        for from in played.passed.iter().step_by(7).map(|p| p.at) {
            for seconds in [1, 3, 10] {
                let to = from.plus_seconds(seconds);
                let taken = played.sum(unit, from, to);
                let bound = rate * (seconds.unsigned_abs() + 3) + charge;
                assert!(
                    taken <= bound,
                    "{taken} {unit} in {seconds} s, {bound} at most"
                );
            }
        }
    }
}

fn clients() -> impl Strategy<Value = Vec<Client>> {
    let client = (1u64..=60, 10i64..=900, any::<bool>());
    let client = client.prop_map(|(events, every_millis, is_patient)| Client {
        events,
        every_millis,
        is_patient,
    });
    prop::collection::vec(client, 1..=60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant 7: the count stays within its bound.
    #[test]
    fn however_many_processes_take_it_a_rate_is_kept(
        clients in clients(),
        requests in 1u32..400,
        events in 1u32..20_000,
        bytes in 1_000u32..20_000_000,
        limited in 1usize..8,
        seed: u64,
    ) {
        let only = |bit: usize, number| rate(number).filter(|_| limited & bit > 0);
        let rates = Rates {
            requests_per_second: only(1, requests),
            events_per_second: only(2, events),
            bytes_per_second: only(4, bytes),
        };
        let played = on_a_runtime(play(rates, &clients, 13, seed));
        prop_assert!(!played.passed.is_empty());
        keep_the_bound(&played, rates);
    }

    /// What is offered is taken, up to the rate: half of it at the least, whoever offers it.
    #[test]
    fn a_rate_is_used(clients in clients(), events in 20u32..20_000, seed: u64) {
        let rates = events_a_second(events);
        let seconds = 20;
        let played = on_a_runtime(play(rates, &clients, seconds, seed));
        let offered: f64 = clients.iter().map(|c| c.events as f64 * 1_000.0 / c.every_millis as f64).sum();
        let usable = offered.min(f64::from(events)) * seconds as f64;
        let taken = played.all(RateUnit::Events) as f64;
        let largest = clients.iter().map(|c| c.events).max().unwrap_or(0) as f64;
        prop_assert!(taken + largest >= usable / 2.0, "{taken} of {usable}");
    }
}

#[tokio::test]
async fn fifty_processes_share_one_rate() {
    let client = Client {
        events: 10,
        every_millis: 20,
        is_patient: true,
    };
    for number in [50, 1_000, 10_000] {
        let rates = events_a_second(number);
        let played = play(rates, &[client; 50], 10, 7).await;
        keep_the_bound(&played, rates);
        let taken = played.all(RateUnit::Events) as f64 / 10.0 / f64::from(number);
        assert!((0.8..1.3).contains(&taken), "{taken} of the rate {number}");
        // Each process asks a few times a second.
        assert!(played.calls <= 11 * 50 * 5, "{} calls", played.calls);
    }
}

/// Many slow processes take no more than they send: half of a rate is never refused.
#[tokio::test]
async fn what_is_within_a_rate_is_not_refused() {
    let slow = Client {
        events: 1,
        every_millis: 1_000,
        is_patient: true,
    };
    let played = play(events_a_second(600), &[slow; 300], 10, 3).await;
    assert_eq!(played.refused, 0);
    assert!(played.passed.len() >= 2_900);
}

/// A busy process asks seldom, and one whose tenant is over its rate asks once in a second.
#[tokio::test]
async fn calls_do_not_grow_with_requests() {
    let busy = Client {
        events: 1,
        every_millis: 10,
        is_patient: false,
    };
    let within = play(events_a_second(1_000), &[busy; 4], 10, 1).await;
    assert_eq!(within.refused, 0);
    assert!(within.passed.len() > 3_900);
    assert!(within.calls <= 4 * 10 * 12, "{} calls", within.calls);
    let over = play(events_a_second(1), &[busy; 4], 10, 1).await;
    assert!(over.refused > 3_900);
    assert!(over.calls <= 4 * 11 * 2, "{} calls", over.calls);
    let free = play(Rates::default(), &[busy; 4], 10, 1).await;
    assert_eq!((free.calls, free.refused), (0, 0));
}

/// An envelope of ten seconds' worth gets its turn among small ones, and its seconds come after it.
#[tokio::test]
async fn a_large_envelope_is_let_through_now_and_then() {
    let small = Client {
        events: 1,
        every_millis: 50,
        is_patient: false,
    };
    let large = Client {
        events: 100,
        every_millis: 50,
        is_patient: false,
    };
    let mut clients = vec![small; 20];
    clients.push(large);
    let rates = events_a_second(10);
    let played = play(rates, &clients, 120, 11).await;
    let times: Vec<Millis> = played
        .passed
        .iter()
        .filter(|p| p.client == 20)
        .map(|p| p.at)
        .collect();
    assert!((2..=14).contains(&times.len()), "{times:?}");
    for pair in times.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= 7_900, "{pair:?}");
    }
    keep_the_bound(&played, rates);
}

/// What the counters do not answer to passes, and is not asked for again before the next second.
#[tokio::test]
async fn envelopes_pass_while_the_counters_fail() {
    let world = MemoryWorld::default();
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    world.set_rates(&member, events_a_second(1)).await;
    let post = async || {
        let call = Call::post(bytes(&events(3))).token(&member.secret);
        world.call(call).await.status
    };
    world
        .faults
        .plan(|operation, _| (operation == Operation::ChargeRates).then_some(Fault::Denied));
    let began = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(post().await, 200);
    }
    let calls = world.faults.calls(Operation::ChargeRates);
    assert!(calls <= 1 + began.elapsed().as_secs() + 1, "{calls} calls");
    world.faults.clear();
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!([post().await, post().await], [200, 429]);
}

/// A new rate is followed as soon as the tenant's settings are looked up again, and owes nothing of the old one.
#[tokio::test]
async fn another_rate_begins_anew() {
    let world = MemoryWorld::default();
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    world.set_rates(&member, events_a_second(1)).await;
    let post = async || {
        let call = Call::post(bytes(&events(100))).token(&member.secret);
        world.call(call).await
    };
    assert_eq!(post().await.status, 200);
    let refused = post().await;
    let wait: u32 = refused.header("retry-after").parse().expect("seconds");
    assert!((98..=100).contains(&wait), "{wait}");
    assert_eq!(
        refused.json()["detail"],
        json!(
            "the tenant's events of this second are used up: its rate is 1 a second; nothing of this envelope was taken"
        )
    );
    world.set_rates(&member, events_a_second(1_000)).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(post().await.status, 200);
}
