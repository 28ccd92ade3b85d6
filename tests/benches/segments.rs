//! What a segment's block with chunks, filter and index costs the stream function. The baseline is a block of version 1,
//! which was in one piece.
//!
//! `cargo bench --workspace --bench segments`: a batch of five seconds of a shard, of a tenant with 10,000 events a second on
//! three. What the function does beside building blocks is the same before and after, so that "before" is the whole with
//! blocks in one piece in the place of those with chunks. Stores are in memory: their calls cost nothing here.
#![allow(clippy::print_stdout)]

#[path = "support/figures.rs"]
mod figures;

use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};
use vernier_cli::generate::{Params, SENSOR, Semester};
use vernier_fakes::{Faults, MemoryBucket, MemoryTable};
use vernier_intake::lines;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::{self, Frame, encode_envelope};
use vernier_ledger::ids::{ReceiptId, Shard, TenantId};
use vernier_ledger::limits::CHUNK_LINES_BYTES;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::segment::{self, SegmentRange};
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_stream::{Committing, Record, Settings};
use vernier_tests::memory::stream_memory;
use vernier_validation::{Mode, Policy, Profile, read_envelope};

const RECEIVED_AT: Millis = Millis(1_795_000_000_000);

/// The semester whose events are sent: sixteen minutes of 10,000 a second.
const SEMESTER_EVENTS: u64 = 9_600_000;

/// The compression level of blocks.
const ZSTD_LEVEL: i32 = 3;

fn shard() -> Shard {
    Shard::new("bench", "shardId-000000000000").expect("a shard")
}

/// Frames of so many envelopes of 100 events, as they lie on the stream.
fn frames(envelopes: usize) -> Vec<Vec<u8>> {
    let tenant: TenantId = "school".parse().expect("a name");
    let policy = Policy::new(Mode::Strict, Profile::Generic);
    let semester = Semester::new(Params::new(7, SEMESTER_EVENTS)).expect("within bounds");
    // Every third envelope goes to this shard.
    let own = semester.envelopes().skip(3_000).step_by(3).take(envelopes);
    let frame = |(nth, body): (usize, String)| {
        let envelope = read_envelope(body.as_bytes(), &policy).expect("an envelope");
        let at = Millis(RECEIVED_AT.0 + i64::try_from(nth).expect("few") * 30);
        let receipt = ReceiptId::generate(at, 0);
        let salt = SaltKey::random();
        let (lines, _) = lines::write(&envelope, receipt, salt, &tenant, SENSOR).expect("lines");
        let mut frames = encode_envelope(receipt, &tenant, SENSOR, &lines).expect("frames");
        frames.remove(0).1
    };
    own.map(|envelope| envelope.body)
        .enumerate()
        .map(frame)
        .collect()
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

/// A block as version 1 was: all lines in one zstd frame, and its hash.
fn in_one_piece(frames: &[Frame]) -> Vec<u8> {
    let texts: Vec<&[u8]> = frames.iter().map(|f| f.lines.as_slice()).collect();
    let bytes = zstd::bulk::compress(&texts.concat(), ZSTD_LEVEL).expect("memory");
    black_box(Fingerprint::of(&bytes));
    bytes
}

fn in_chunks(frames: &[Frame], chunk_bytes: usize) -> usize {
    let sequence = |n: usize| n.to_string().parse().expect("digits");
    let range = SegmentRange {
        shard: shard(),
        first: sequence(1),
        last: sequence(frames.len()),
    };
    let commits = [frames.iter().collect()];
    let built = segment::build(&range, RECEIVED_AT, &commits, chunk_bytes);
    built.expect("memory").expect("frames").bytes.len()
}

/// The stream function's own work on a batch that it has not seen.
async fn process(records: Vec<Record>) {
    let stores = StoreSet::new(
        MemoryTable::new(Faults::default()),
        MemoryBucket::new(Faults::default()),
    );
    let memory = stream_memory(15, 300);
    let committing = Committing {
        settings: Settings::keeping(30),
        memory: &memory,
    };
    let clock = || RECEIVED_AT.plus_seconds(5);
    let budget = Duration::from_secs(60);
    let shard = shard();
    let done = vernier_stream::process(&stores, committing, &shard, records, clock, budget);
    done.await.expect("committed");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let (envelopes, rounds) = match std::env::args().any(|a| a == "--bench") {
        true => (167, 9),
        false => (3, 1),
    };
    let packed = frames(envelopes);
    let events = envelopes as f64 * 100.0;
    let decoded: Vec<Frame> = packed
        .iter()
        .map(|bytes| frame::decode(bytes).expect("sound"))
        .collect();
    let records: Vec<Record> = (1..)
        .zip(&packed)
        .map(|(number, data): (u32, &Vec<u8>)| Record {
            sequence: number.to_string().parse().expect("digits"),
            data: data.clone(),
            arrived_at: None,
        })
        .collect();
    let mut whole = f64::INFINITY;
    for _ in 0..rounds {
        let batch = records.clone();
        let started = Instant::now();
        process(batch).await;
        whole = whole.min(started.elapsed().as_secs_f64() * 1e6 / events);
    }
    let piece = best(rounds, events, || drop(black_box(in_one_piece(&decoded))));
    let piece_bytes = in_one_piece(&decoded).len() as f64 / events;
    let chunks = best(rounds, events, || {
        black_box(in_chunks(&decoded, CHUNK_LINES_BYTES));
    });
    let chunk_bytes = in_chunks(&decoded, CHUNK_LINES_BYTES) as f64 / events;
    let before = whole - chunks + piece;
    println!("a block of {events:.0} events:");
    println!("  in one piece {piece:6.2} µs and {piece_bytes:6.1} bytes an event");
    println!("  in chunks    {chunks:6.2} µs and {chunk_bytes:6.1} bytes an event");
    println!(
        "  the stream function's own work {before:.2} µs before, {whole:.2} µs with chunks: {:.3} times; bytes {:.3} times",
        whole / before,
        chunk_bytes / piece_bytes
    );
    let sizes: Vec<Value> = [128, 256, 512, 1_024]
        .into_iter()
        .map(|kib| {
            let bytes = in_chunks(&decoded, kib * 1_024) as f64 / events;
            println!("  in chunks of {kib:5} KiB {bytes:6.1} bytes an event");
            json!({ "kib": kib, "bytes_per_event": bytes })
        })
        .collect();
    figures::write(
        "segments",
        &json!({
            "piece_us_per_event": piece,
            "chunks_us_per_event": chunks,
            "stream_before_us_per_event": before,
            "stream_us_per_event": whole,
            "stream_us_ratio": whole / before,
            "piece_bytes_per_event": piece_bytes,
            "chunks_bytes_per_event": chunk_bytes,
            "bytes_ratio": chunk_bytes / piece_bytes,
            "sizes": sizes,
        }),
    );
}
