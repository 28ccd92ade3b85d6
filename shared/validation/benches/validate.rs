//! Strict validation against parsing alone, and against Node with ajv and the official schemas.
//!
//! `cargo bench -p vernier-validation`. The Node part runs when `node` is there and
//! `CALIPER_SCHEMAS` names a folder of the official 1.2 JSON Schemas (`Event.json`, …) and
//! `AJV` one in which `npm install ajv@6` was run; else it says that it is left out.
#![allow(clippy::print_stdout)]
use std::{hint::black_box, time::Instant};

use vernier_validation::{Mode, Policy, Profile, compact, read_envelope};

#[path = "../../../tests/benches/support/figures.rs"]
mod figures;
#[path = "../tests/common/mix.rs"]
mod mix;
#[path = "support/node.rs"]
mod node;

/// The best of several rounds, in nanoseconds: what the code costs when nothing disturbs it.
fn best(rounds: usize, mut act: impl FnMut()) -> f64 {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            act();
            start.elapsed().as_nanos() as f64
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let rounds = if std::env::args().any(|a| a == "--bench") {
        60
    } else {
        2
    };
    let events = mix::events(1_000);
    let bytes: usize = events.iter().map(String::len).sum();
    let envelopes: Vec<String> = events.chunks(100).map(mix::envelope).collect();
    let policy = Policy::new(Mode::Strict, Profile::Generic);
    for envelope in &envelopes {
        let read = read_envelope(envelope.as_bytes(), &policy).expect("the mix is valid");
        for item in &read.items {
            assert!(item.verdict.strict_accepted, "{:?}", item.verdict.problems);
        }
    }
    let count = events.len() as f64;
    println!(
        "reference mix: {} events, {:.0} bytes each on average, envelopes of 100, one core",
        events.len(),
        bytes as f64 / count
    );
    // Interleaved, so that a change of the machine's pace hits all of them.
    let mut times = [f64::INFINITY; 4];
    for _ in 0..rounds {
        let all = [
            best(1, || {
                envelopes
                    .iter()
                    .for_each(|e| drop(black_box(read_envelope(e.as_bytes(), &policy))))
            }),
            best(1, || {
                envelopes
                    .iter()
                    .for_each(|e| drop(black_box(sonic_rs::from_str::<sonic_rs::Value>(e))))
            }),
            best(1, || {
                envelopes
                    .iter()
                    .for_each(|e| drop(black_box(serde_json::from_str::<serde_json::Value>(e))))
            }),
            best(1, || {
                let mut out = Vec::new();
                for event in &events {
                    out.clear();
                    compact(event, &mut out);
                    black_box(&out);
                }
            }),
        ];
        for (time, now) in times.iter_mut().zip(all) {
            *time = time.min(now);
        }
    }
    let per_event = |nanos: f64| nanos / count / 1_000.0;
    let [validate, sonic, serde, compaction] = times.map(per_event);
    println!("strict validation, parsing included  {validate:8.3} µs/event");
    println!("parse-only, sonic-rs Value           {sonic:8.3} µs/event");
    println!("parse-only, serde_json Value         {serde:8.3} µs/event");
    println!("compaction                           {compaction:8.3} µs/event");
    println!(
        "validation / parse-only (sonic-rs)   {:8.2}   (gate 4, goal 2)",
        validate / sonic
    );
    println!(
        "gate 3 µs/event                      {}",
        if validate <= 3.0 { "met" } else { "MISSED" }
    );
    println!(
        "gate 4 × parse-only                  {}",
        if validate <= 4.0 * sonic {
            "met"
        } else {
            "MISSED"
        }
    );
    unrepeated(&events, rounds);
    let node = node::compare(&events, validate);
    let figures = serde_json::json!({
        "us_per_event": validate,
        "parse_only_us_per_event": sonic,
        "serde_json_us_per_event": serde,
        "compaction_us_per_event": compaction,
        "node_ajv_us_per_event": node,
    });
    figures::write("validate", &figures);
}

/// Each event in an envelope of its own, so that none before it has its shape.
fn unrepeated(events: &[String], rounds: usize) {
    let policy = Policy::new(Mode::Strict, Profile::Generic);
    let envelopes: Vec<String> = events.chunks(1).map(mix::envelope).collect();
    let (mut validate, mut sonic) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..rounds {
        validate = validate.min(best(1, || {
            envelopes
                .iter()
                .for_each(|e| drop(black_box(read_envelope(e.as_bytes(), &policy))))
        }));
        sonic = sonic.min(best(1, || {
            envelopes
                .iter()
                .for_each(|e| drop(black_box(sonic_rs::from_str::<sonic_rs::Value>(e))))
        }));
    }
    let per_event = |nanos: f64| nanos / events.len() as f64 / 1_000.0;
    println!(
        "envelopes of one event: {:.3} / {:.3} µs/event = {:.2} × parse-only",
        per_event(validate),
        per_event(sonic),
        validate / sonic
    );
}
