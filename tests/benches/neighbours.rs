//! What a tenant over its rate does to another: many input processes, all with one tenant's token, that send as much as
//! they are let, beside one process of another tenant. Executables as they are deployed, endpoints of the bench's own.
//!
//! `cargo bench -p vernier-tests --bench neighbours -- --functions=.aws-sam/build`, with `--processes=50`,
//! `--seconds=10` and `--rate=2000` (events a second).
#![allow(clippy::print_stdout)]

#[path = "support/figures.rs"]
mod figures;
#[allow(dead_code)] // the other benches' part
#[path = "support/program.rs"]
mod program;

use program::{executable, memory, program};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vernier_ledger::access::NewToken;
use vernier_ledger::rates::Rates;
use vernier_tests::stub::load::{self, Holder};
use vernier_tests::stub::process::Process;
use vernier_tests::stub::{Counts, Stub};

/// Events of each envelope.
const EVENTS: usize = 10;

/// Between two envelopes of the tenant beside.
const PAUSE: Duration = Duration::from_millis(20);

/// The tenant that is over its rate.
fn busy() -> Holder<'static> {
    static SECRET: LazyLock<String> = LazyLock::new(|| NewToken::generate().secret);
    Holder {
        tenant: "crowd",
        secret: &SECRET,
    }
}

/// The tenant beside it.
fn neighbour() -> Holder<'static> {
    static SECRET: LazyLock<String> = LazyLock::new(|| NewToken::generate().secret);
    Holder {
        tenant: "beside",
        secret: &SECRET,
    }
}

struct Options {
    input: PathBuf,
    processes: usize,
    seconds: u64,
    rate: NonZeroU32,
}

impl Options {
    fn read() -> Option<Self> {
        let option =
            |name: &str| std::env::args().find_map(|a| Some(a.strip_prefix(name)?.to_owned()));
        let number = |name: &str| option(name).and_then(|n| n.parse::<u32>().ok());
        let functions = PathBuf::from(option("--functions=")?);
        Some(Self {
            input: executable(&functions, "input")?,
            processes: number("--processes=").unwrap_or(50) as usize,
            seconds: number("--seconds=").unwrap_or(10).into(),
            rate: NonZeroU32::new(number("--rate=").unwrap_or(2_000))?,
        })
    }

    fn start(&self, stub: &Stub) -> Process {
        let program = program(&self.input, "input", &stub.url());
        Process::start(&program, memory("input"))
    }
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let Some(options) = Options::read() else {
        println!("left out: --functions names no folder with the input function");
        return;
    };
    let rates = Rates {
        events_per_second: Some(options.rate),
        ..Rates::default()
    };
    let mut items = load::items_of(busy(), rates);
    items.extend(load::items_of(neighbour(), Rates::default()));
    let stub = Stub::start(items);
    let body = load::bodies(&load::events(5, EVENTS as u64, 1), EVENTS).remove(0);
    let mut beside = options.start(&stub);
    // Connections and caches, of the neighbour alone: the crowd's first calls are a part of the run.
    latencies(&mut beside, &body, Duration::from_secs(1));
    let length = Duration::from_secs(options.seconds);
    let idle = latencies(&mut beside, &body, length);
    let mut crowd: Vec<Process> = (0..options.processes)
        .map(|_| options.start(&stub))
        .collect();
    for process in &mut crowd {
        process.ready();
    }
    let _ = (stub.take_counts(), stub.take_records());
    let (crowded, sent) = together(&mut beside, crowd, &body, length);
    figures::write(
        "neighbours",
        &shown(&options, [&idle, &crowded], &sent, &stub.take_counts()),
    );
}

/// Sends an envelope now and then; how long each took, milliseconds, in order.
fn latencies(process: &mut Process, body: &str, length: Duration) -> Vec<f64> {
    let event = load::api_event_of(neighbour(), body);
    let began = Instant::now();
    let mut all = Vec::new();
    while began.elapsed() < length {
        let started = Instant::now();
        let answer = process.call(event.clone());
        all.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(answer_of(&answer)["statusCode"], 200);
        std::thread::sleep(PAUSE);
    }
    all.sort_by(f64::total_cmp);
    all
}

fn answer_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// What the crowd's sensors were answered.
#[derive(Default)]
struct Sent {
    acknowledged: AtomicU64,
    refused: AtomicU64,
}

/// The crowd sends as fast as it may, each process's sensor waiting as it is told, and the neighbour as before.
fn together(
    beside: &mut Process,
    crowd: Vec<Process>,
    body: &str,
    length: Duration,
) -> (Vec<f64>, Sent) {
    let (sent, is_over) = (Sent::default(), AtomicBool::new(false));
    let event = load::api_event_of(busy(), body);
    let crowded = std::thread::scope(|scope| {
        for mut process in crowd {
            let (sent, is_over, event) = (&sent, &is_over, &event);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = answer_of(&process.call(event.clone()));
                    if answer["statusCode"] == 200 {
                        sent.acknowledged.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    assert_eq!(answer["statusCode"], 429, "{answer}");
                    sent.refused.fetch_add(1, Ordering::Relaxed);
                    let wait = answer["headers"]["retry-after"].as_str();
                    let seconds = wait.and_then(|w| w.parse().ok()).expect("Retry-After");
                    let until = Instant::now() + Duration::from_secs(seconds);
                    while Instant::now() < until && !is_over.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            });
        }
        let crowded = latencies(beside, body, length);
        is_over.store(true, Ordering::Relaxed);
        crowded
    });
    (crowded, sent)
}

/// The part of a sorted list below which so much of it lies.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn shown(options: &Options, [idle, crowded]: [&[f64]; 2], sent: &Sent, counts: &Counts) -> Value {
    let acknowledged = sent.acknowledged.load(Ordering::Relaxed);
    let refused = sent.refused.load(Ordering::Relaxed);
    let events_per_s = (acknowledged * EVENTS as u64) as f64 / options.seconds as f64;
    let rate_ratio = events_per_s / f64::from(options.rate.get());
    let latency_ratio = quantile(crowded, 0.5) / quantile(idle, 0.5);
    let calls = counts.calls("UpdateItem", "rates");
    println!(
        "  {} processes at a rate of {} events/s: {events_per_s:.0} events/s ({rate_ratio:.2} of it), {refused} envelopes refused, \
         {calls} calls for rates",
        options.processes, options.rate
    );
    println!(
        "  the tenant beside: {:.2} ms alone, {:.2} ms beside it ({latency_ratio:.2}); p99 {:.2} and {:.2} ms",
        quantile(idle, 0.5),
        quantile(crowded, 0.5),
        quantile(idle, 0.99),
        quantile(crowded, 0.99)
    );
    json!({
        "processes": options.processes,
        "seconds": options.seconds,
        "rate_events_per_s": options.rate,
        "events_per_s": events_per_s,
        "rate_ratio": rate_ratio,
        "acknowledged_envelopes": acknowledged,
        "refused_envelopes": refused,
        "rate_calls": calls,
        "beside_idle_p50_ms": quantile(idle, 0.5),
        "beside_idle_p99_ms": quantile(idle, 0.99),
        "beside_crowded_p50_ms": quantile(crowded, 0.5),
        "beside_crowded_p99_ms": quantile(crowded, 0.99),
        "latency_ratio": latency_ratio,
    })
}
