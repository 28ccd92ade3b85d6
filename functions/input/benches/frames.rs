//! What an event costs from body to frame, and which compression level pays.
//!
//! `cargo bench -p vernier-input`: the generator's reference mix in envelopes of 1, 10 and 100.
#![allow(clippy::print_stdout)]

#[path = "../../../tests/benches/support/figures.rs"]
mod figures;

use serde_json::json;
use std::hint::black_box;
use std::time::Instant;
use vernier_cli::generate::{Params, Semester};
use vernier_intake::lines;
use vernier_ledger::frame::{self, EnvelopeLines};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::time::Millis;
use vernier_validation::{Mode, Policy, Profile, read_envelope};

const LEVELS: [i32; 6] = [-1, 1, 2, 3, 6, 9];
const RECEIVED_AT: Millis = Millis(1_795_000_000_000);

struct Sample {
    receipt: ReceiptId,
    lines: EnvelopeLines,
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let (events, rounds) = if std::env::args().any(|a| a == "--bench") {
        (4_000, 12)
    } else {
        (100, 1)
    };
    let tenant: TenantId = "school".parse().expect("a name");
    let mut all = serde_json::Map::new();
    for envelope_events in [1, 10, 100] {
        let params = Params {
            envelope_events,
            ..Params::new(7, events)
        };
        let semester = Semester::new(params).expect("within bounds");
        let bodies: Vec<String> = semester.envelopes().map(|e| e.body).collect();
        let figures = measure(envelope_events, &bodies, events as f64, &tenant, rounds);
        all.insert(format!("envelope_{envelope_events}"), figures);
    }
    figures::write("frames", &serde_json::Value::Object(all));
}

/// The best of several rounds, µs per event: what the code costs when nothing disturbs it.
fn best(rounds: usize, events: f64, mut act: impl FnMut()) -> f64 {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            act();
            start.elapsed().as_secs_f64() * 1e6 / events
        })
        .fold(f64::INFINITY, f64::min)
}

fn measure(
    envelope_events: usize,
    bodies: &[String],
    events: f64,
    tenant: &TenantId,
    rounds: usize,
) -> serde_json::Value {
    let policy = Policy::new(Mode::Strict, Profile::Generic);
    let sensor = "https://school.example/sensors/1";
    let read = |body: &str| -> Sample {
        let receipt = ReceiptId::generate(RECEIVED_AT, 0);
        let envelope = read_envelope(body.as_bytes(), &policy).expect("an envelope");
        let lines = lines::write(&envelope, receipt, SaltKey::random(), tenant, sensor);
        let (lines, _) = lines.expect("lines");
        Sample { receipt, lines }
    };
    let to_lines = best(rounds, events, || {
        for body in bodies {
            black_box(read(body));
        }
    });
    let samples: Vec<Sample> = bodies.iter().map(|b| read(b)).collect();
    let encode =
        |s: &Sample| frame::encode_envelope(s.receipt, tenant, sensor, &s.lines).expect("frames");
    let frames: Vec<Vec<u8>> = samples
        .iter()
        .flat_map(|s| encode(s).into_iter().map(|(_, bytes)| bytes))
        .collect();
    let to_frames = best(rounds, events, || {
        for sample in &samples {
            black_box(encode(sample));
        }
    });
    let from_frames = best(rounds, events, || {
        for bytes in &frames {
            black_box(frame::decode(bytes).expect("sound"));
        }
    });
    let per_event = |bytes: usize| bytes as f64 / events;
    let sum = |sizes: &mut dyn Iterator<Item = usize>| per_event(sizes.sum());
    let raw = sum(&mut bodies.iter().map(String::len));
    let framed = sum(&mut frames.iter().map(Vec::len));
    println!("envelopes of {envelope_events}: {raw:.0} bytes of body per event");
    println!("  body to lines, validation included   {to_lines:8.3} µs/event");
    println!("  lines to frames                      {to_frames:8.3} µs/event");
    println!("  frame to checked lines               {from_frames:8.3} µs/event");
    println!(
        "  frame / body                         {:8.2}   ({framed:.0} bytes/event)",
        framed / raw
    );
    levels(&samples, events, rounds);
    json!({
        "to_lines_us_per_event": to_lines,
        "to_frames_us_per_event": to_frames,
        "from_frames_us_per_event": from_frames,
        "raw_bytes_per_event": raw,
        "frame_bytes_per_event": framed,
    })
}

fn levels(samples: &[Sample], events: f64, rounds: usize) {
    println!("  level   bytes/event   compress µs   decompress µs");
    for level in LEVELS {
        let mut encoder = zstd::bulk::Compressor::new(level).expect("memory");
        let mut decoder = zstd::bulk::Decompressor::new().expect("memory");
        let mut compress = |s: &Sample| encoder.compress(&s.lines.text).expect("memory");
        let packed: Vec<Vec<u8>> = samples.iter().map(&mut compress).collect();
        let bytes: usize = packed.iter().map(Vec::len).sum();
        let there = best(rounds, events, || {
            samples.iter().for_each(|s| drop(black_box(compress(s))));
        });
        let back = best(rounds, events, || {
            for (s, bytes) in samples.iter().zip(&packed) {
                black_box(
                    decoder
                        .decompress(bytes, s.lines.text.len())
                        .expect("sound"),
                );
            }
        });
        println!(
            "  {level:>5}   {:>11.0}   {there:>11.3}   {back:>13.3}",
            bytes as f64 / events
        );
    }
}
