//! What an event costs in the functions as they are deployed: their executables under a Runtime API
//! of the bench's own, their calls to AWS answered and counted in this process, over real HTTP.
//!
//! `cargo bench -p vernier-tests --bench handlers -- --functions=.aws-sam/build`, with
//! `--bare=…/bootstrap` for the baseline, `--events=200000` and `--starts=20`. Processor time is that
//! of the function's process, read from `/proc`; TLS is not in it, nor is the network.
#![allow(clippy::print_stdout)]

#[path = "support/figures.rs"]
mod figures;
#[path = "support/program.rs"]
mod program;

use program::{MEMORY_MIB, STREAM, executable, memory, program};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vernier_ledger::limits::{CLAIMS_IN_FLIGHT_MAX, RESULTS_IN_FLIGHT_MAX};
use vernier_tests::stub::process::{Logged, Process};
use vernier_tests::stub::{Counts, StoredRecord, Stub, load};

/// Calls before the measured ones: connections are open, caches filled, memory grown.
const WARM_CALLS: usize = 20;

/// Parts of a run, of which the quickest counts (the last one, which may be shorter, left aside).
const ROUNDS: usize = 6;

/// What was asked for.
struct Options {
    functions: PathBuf,
    bare: Option<PathBuf>,
    events: u64,
    starts: usize,
}

impl Options {
    fn read() -> Option<Self> {
        let option =
            |name: &str| std::env::args().find_map(|a| Some(a.strip_prefix(name)?.to_owned()));
        let number = |name: &str| option(name).and_then(|n| n.parse().ok());
        Some(Self {
            functions: option("--functions=")?.into(),
            bare: option("--bare=").map(PathBuf::from),
            events: number("--events=").unwrap_or(100_000),
            starts: number("--starts=")
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(20),
        })
    }
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let Some(options) = Options::read() else {
        println!("left out: --functions names no folder");
        return;
    };
    let mut all = Map::new();
    let size = |events: u64, one_in: u64| events / one_in;
    if executable(&options.functions, "input").is_some()
        && executable(&options.functions, "stream").is_some()
    {
        // Single events take some twenty times as long each, and say as much with fewer of them.
        for (name, per_envelope, events) in [
            ("envelope_100", 100, options.events),
            ("envelope_1", 1, size(options.events, 10).max(1_000)),
        ] {
            all.insert(name.to_owned(), measure(&options, per_envelope, events));
        }
    }
    all.insert("cold_start".to_owned(), cold_starts(&options));
    figures::write("handlers", &Value::Object(all));
}

/// What a run of calls took.
struct Run {
    calls: usize,
    events: f64,
    user: Duration,
    kernel: Duration,
    /// Processor time of an event in the round that took least of it, seconds.
    best: f64,
    wall: Duration,
    logged: Logged,
    peak_bytes: u64,
}

impl Run {
    fn cpu(&self) -> f64 {
        (self.user + self.kernel).as_secs_f64()
    }

    /// What it takes when nothing disturbs it: other work on the machine takes caches and shares of a
    /// core away, also in processor time.
    fn micros_per_event(&self) -> f64 {
        self.best * 1e6
    }

    fn figures(&self) -> Value {
        let calls = self.calls as f64;
        json!({
            "us_per_event": self.micros_per_event(),
            "mean_us_per_event": self.cpu() * 1e6 / self.events,
            "user_us_per_event": self.user.as_secs_f64() * 1e6 / self.events,
            "kernel_us_per_event": self.kernel.as_secs_f64() * 1e6 / self.events,
            "wall_us_per_event": self.wall.as_secs_f64() * 1e6 / self.events,
            "invocations": self.calls,
            "events": self.events,
            "events_per_invocation": self.events / calls,
            "cpu_ms_per_invocation": self.cpu() * 1e3 / calls,
            // The mean: the invoice knows no best round.
            "cpu_ms": self.cpu() * 1e3,
            "log_bytes": self.logged.bytes,
            "log_lines": self.logged.lines,
            "peak_mib": self.peak_bytes as f64 / 1_048_576.0,
        })
    }
}

/// Makes all calls, one after the other; `after` looks at the answer of each.
fn run(
    process: &mut Process,
    events: f64,
    calls: impl ExactSizeIterator<Item = Vec<u8>>,
    mut after: impl FnMut(&[u8]),
) -> Run {
    process.ready();
    let (before, logged) = (process.cpu(), process.logged());
    let count = calls.len();
    let mut wall = Duration::ZERO;
    let round = count.div_ceil(ROUNDS);
    let (mut best, mut since) = (f64::INFINITY, before);
    for (done, event) in calls.enumerate() {
        if done > 0 && done % round == 0 {
            process.ready();
            let now = process.cpu();
            let taken = now[0] + now[1] - since[0] - since[1];
            best = best.min(taken.as_secs_f64() / (events * round as f64 / count as f64));
            since = now;
        }
        let started = Instant::now();
        let answer = process.call(event);
        wall += started.elapsed();
        after(&answer);
    }
    // What it does after the last answer is its too.
    process.ready();
    let [user, kernel] = process.cpu();
    let now = process.logged();
    if best.is_infinite() {
        // Too few calls for a whole round.
        best = (user + kernel - before[0] - before[1]).as_secs_f64() / events;
    }
    Run {
        calls: count,
        events,
        user: user.saturating_sub(before[0]),
        kernel: kernel.saturating_sub(before[1]),
        best,
        wall,
        logged: Logged {
            lines: now.lines - logged.lines,
            bytes: now.bytes - logged.bytes,
        },
        peak_bytes: process.peak_bytes(),
    }
}

/// Shards of the reference load, for frames of so many records and bytes an event.
fn shards(records_per_event: f64, bytes_per_event: f64) -> f64 {
    let peak = load::EVENTS_PER_MONTH / load::SECONDS_PER_MONTH * load::PEAK_TO_AVERAGE;
    let by_records = peak * records_per_event / load::SHARD_RECORDS_PER_SECOND;
    let by_bytes = peak * bytes_per_event / load::SHARD_BYTES_PER_SECOND;
    by_records.max(by_bytes).ceil().max(1.0)
}

fn measure(options: &Options, per_envelope: usize, count: u64) -> Value {
    println!("envelopes of {per_envelope}: {count} events");
    let envelopes = usize::try_from(count).unwrap_or(usize::MAX) / per_envelope;
    let warm = load::bodies(
        &load::events(1, (WARM_CALLS * per_envelope) as u64, 1),
        per_envelope,
    );
    let bodies = load::bodies(&load::events(7, count, envelopes), per_envelope);
    let raw: usize = bodies.iter().map(String::len).sum();
    let stub = Stub::start(load::items());
    let events = count as f64;
    let (input, input_counts, records) = input(options, &stub, (&warm, &bodies), events);
    let per_event = |n: u64| n as f64 / events;
    let (framed, put) = (
        per_event(input_counts.record_bytes),
        per_event(input_counts.records),
    );
    let shards = shards(put, framed);
    let average = load::EVENTS_PER_MONTH / load::SECONDS_PER_MONTH;
    let frames = average * load::BATCH_WINDOW_SECONDS / shards * put;
    let frames = (frames.round() as usize).max(1);
    let (stream, stream_counts, waits) = stream(options, &stub, &records, frames);
    let stored = stub.stored_bytes();
    show("input", &input, &input_counts);
    show("stream", &stream, &stream_counts);
    json!({
        "events_per_envelope": per_envelope,
        "raw_bytes_per_event": raw as f64 / events,
        "kinesis_bytes_per_event": framed,
        "records_per_event": put,
        "segment_bytes_per_event": sum(&stream_counts.object_bytes) as f64 / stream.events,
        "stored_bytes": stored,
        "shards": shards,
        "frames_per_batch": frames,
        "input": with_counts(&input, &input_counts, input_waits(&input_counts)),
        "stream": with_counts(&stream, &stream_counts, waits),
        "baseline": baseline(options, &bodies, events),
    })
}

fn sum(units: &BTreeMap<String, u64>) -> u64 {
    units.values().sum()
}

fn show(name: &str, run: &Run, counts: &Counts) {
    let per_call = |n: u64| n as f64 / run.calls as f64;
    println!(
        "  {name:8} {:8.2} µs/event of processor time at best, {:.2} on average ({:.2} in the kernel), {:.3} ms a call of {:.0} events",
        run.micros_per_event(),
        run.cpu() * 1e6 / run.events,
        run.kernel.as_secs_f64() * 1e6 / run.events,
        run.cpu() * 1e3 / run.calls as f64,
        run.events / run.calls as f64,
    );
    for (kind, n) in &counts.calls {
        let what = format!("{} {}", kind.operation, kind.of);
        println!("           {what:36} {:8.2} a call", per_call(*n));
    }
}

fn with_counts(run: &Run, counts: &Counts, waits: Value) -> Value {
    let calls: Map<String, Value> = counts
        .calls
        .iter()
        .map(|(kind, n)| {
            (
                format!("{} {}", kind.operation, kind.of)
                    .trim_end()
                    .to_owned(),
                json!(n),
            )
        })
        .collect();
    let mut figures = run.figures();
    let more = json!({
        "calls": calls,
        "io_waits": waits,
        "kinesis": { "put_units": counts.put_units, "records": counts.records, "bytes": counts.record_bytes },
        "dynamodb": {
            "write_units": sum(&counts.write_units),
            "write_units_of": counts.write_units,
            "failed_write_units": counts.failed_write_units,
            "read_units": sum(&counts.read_units),
        },
        "s3": { "puts": counts.puts, "gets": counts.gets, "bytes": sum(&counts.object_bytes) },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        figures[name] = value.clone();
    }
    figures
}

/// Input waits for each of its calls: they follow each other.
fn input_waits(counts: &Counts) -> Value {
    let table =
        counts.calls("GetItem", "") + counts.calls("Query", "") + counts.calls("UpdateItem", "");
    json!({ "kinesis": counts.calls("PutRecords", ""), "dynamodb": table, "s3": counts.puts, "kms": 0 })
}

/// The input function takes every body.
fn input(
    options: &Options,
    stub: &Stub,
    (warm, bodies): (&[String], &[String]),
    events: f64,
) -> (Run, Counts, Vec<StoredRecord>) {
    let path = executable(&options.functions, "input").expect("looked for before");
    let mut process = Process::start(&program(&path, "input", &stub.url()), memory("input"));
    for body in warm {
        acknowledged(&process.call(load::api_event(body)));
    }
    let _ = (stub.take_counts(), stub.take_records());
    let calls = bodies.iter().map(|body| load::api_event(body));
    let run = run(&mut process, events, calls, acknowledged);
    (run, stub.take_counts(), stub.take_records())
}

fn acknowledged(answer: &[u8]) {
    let answer: Value = serde_json::from_slice(answer).expect("JSON");
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let headers = &answer["headers"];
    assert_eq!(
        headers["vernier-received"], headers["vernier-accepted"],
        "{answer}"
    );
}

/// The stream function takes every record, in batches of so many; the first of them unmeasured.
fn stream(
    options: &Options,
    stub: &Stub,
    records: &[StoredRecord],
    per_batch: usize,
) -> (Run, Counts, Value) {
    let path = executable(&options.functions, "stream").expect("looked for before");
    let mut process = Process::start(&program(&path, "stream", &stub.url()), memory("stream"));
    let batches: Vec<&[StoredRecord]> = records.chunks(per_batch).collect();
    let warm = WARM_CALLS.min(batches.len() / 5);
    let (first, rest) = batches.split_at(warm);
    for batch in first {
        process.call(load::trigger_event(STREAM, batch));
    }
    let _ = stub.take_counts();
    let events: u64 = rest
        .iter()
        .flat_map(|batch| batch.iter())
        .map(events_of)
        .sum();
    let mut all = Counts::default();
    let mut waits = [0; 2];
    let calls = rest.iter().map(|batch| load::trigger_event(STREAM, batch));
    let run = run(&mut process, events as f64, calls, |_| {
        let counts = stub.take_counts();
        assert_eq!(
            counts.calls("TransactWriteItems", ""),
            1,
            "one step: {counts:?}"
        );
        let rounds =
            |of: &str, at_once: usize| counts.calls("UpdateItem", of).div_ceil(at_once as u64);
        waits[0] += counts.calls("GetItem", "")
            + rounds("receipts", CLAIMS_IN_FLIGHT_MAX)
            + rounds("results", RESULTS_IN_FLIGHT_MAX)
            + 1;
        waits[1] += counts.puts;
        all.add(&counts);
    });
    let waits = json!({ "kinesis": 0, "dynamodb": waits[0], "s3": waits[1], "kms": 0 });
    (run, all, waits)
}

fn events_of(record: &StoredRecord) -> u64 {
    let frame = vernier_ledger::frame::decode(&record.data).expect("input wrote it");
    frame.header.slice_tally.events
}

/// What receiving the same calls takes a function that does nothing with them.
fn baseline(options: &Options, bodies: &[String], events: f64) -> Value {
    let Some(path) = options.bare.as_deref() else {
        return Value::Null;
    };
    let mut process = Process::start(&program(path, "bare", "http://127.0.0.1:9"), 512);
    let calls = bodies.iter().map(|body| load::api_event(body));
    let run = run(&mut process, events, calls, |_| {});
    println!(
        "  bare     {:8.2} µs/event for receiving the same calls",
        run.micros_per_event()
    );
    run.figures()
}

/// What starts of one function took, milliseconds, and what the last one logged.
#[derive(Default)]
struct Starts {
    ready: Vec<f64>,
    answered: Vec<f64>,
    log_bytes: u64,
}

/// From the start of a process to its first question for work, and to its first answer.
fn cold_starts(options: &Options) -> Value {
    let mut names: Vec<(&str, Option<PathBuf>)> = MEMORY_MIB
        .iter()
        .map(|(name, _)| (*name, executable(&options.functions, name)))
        .collect();
    names.push(("baseline", options.bare.clone()));
    let stub = Stub::start(load::items());
    let mut all: BTreeMap<&str, Starts> = BTreeMap::new();
    // In turns, so that a change of the machine's pace hits all of them; the first start of each
    // finds its file on disk and is not counted.
    for round in 0..=options.starts {
        for (name, path) in &names {
            let Some(path) = path else { continue };
            let started = Instant::now();
            let mut process = Process::start(&program(path, name, &stub.url()), memory(name));
            let ready = process.ready().as_secs_f64() * 1e3;
            process.call(first_call(name));
            let answered = started.elapsed().as_secs_f64() * 1e3;
            process.ready();
            let of = all.entry(name).or_default();
            if round > 0 {
                of.ready.push(ready);
                of.answered.push(answered);
            }
            of.log_bytes = process.end().bytes;
        }
    }
    let mut figures = Map::new();
    for (name, path) in names {
        let (Some(path), Some(starts)) = (path, all.remove(name)) else {
            println!("cold start of {name}: left out, it is not built");
            continue;
        };
        let bytes = path.parent().map_or(0, folder_bytes);
        let (init, first) = (median(starts.ready), median(starts.answered));
        println!(
            "cold start of {name:10} {init:7.2} ms to its first question, {first:7.2} ms to its first answer, {bytes} bytes"
        );
        let mut of = json!({ "init_ms": init, "first_answer_ms": first, "package_bytes": bytes });
        if name == "reconcile" {
            of["log_bytes_of_a_run"] = json!(starts.log_bytes);
        }
        figures.insert(name.to_owned(), of);
    }
    Value::Object(figures)
}

/// What a function's package holds, before it is compressed.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(it) if it.is_dir() => folder_bytes(&entry.path()),
        Ok(it) => it.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

/// A call that every function answers, with its stores behind it.
fn first_call(function: &str) -> Vec<u8> {
    match function {
        "stream" => load::trigger_event(STREAM, &[]),
        "output" => load::api_get("/me"),
        "reconcile" => load::schedule_event(),
        _ => load::api_event(&load::bodies(&load::events(3, 1, 1), 1)[0]),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
