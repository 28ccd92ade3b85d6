//! What sealing and checking an event costs, on the generator's reference mix.
//!
//! `cargo bench -p vernier-archive --bench seal`, and with `-- --events=10000000` a window of that size,
//! with its peak memory. The temporary folder needs about a fifth of the lines' size.
#![allow(clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../../../tests/benches/support/figures.rs"]
mod figures;

use common::{Mix, Multiplied, status};
use std::time::{Duration, Instant};
use vernier_archive::files::{Directory, Sink as _, Source as _};
use vernier_archive::keys::{Algorithm, Signer as _};
use vernier_archive::previous::NoPrevious;
use vernier_archive::reader::{Filter, Part, PreviousParts};
use vernier_archive::seal::Seal;
use vernier_archive::verify::{Options, verify};
use vernier_archive::window::{NoOversize, Settings, WindowBuilder};
use vernier_ledger::time::Millis;

fn main() {
    let asked = std::env::args().find_map(|a| a.strip_prefix("--events=")?.parse().ok());
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|a| a == "--bench");
    let events = asked.unwrap_or(if is_bench { 200_000 } else { 500 });
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mix = Mix {
        again_every: 0,
        invalid: 0,
        ..Mix::of(7, events.min(50_000))
    };
    let mut lines = Multiplied::new(common::lines(mix, common::window(0)));
    let runs: Vec<serde_json::Value> = [1, threads]
        .map(|threads| run(events, threads, &mut lines))
        .into();
    figures::write(
        "seal",
        &serde_json::json!({ "events": events, "runs": runs }),
    );
}

fn micros(took: Duration, events: u64) -> f64 {
    took.as_secs_f64() * 1e6 / events as f64
}

fn run(events: u64, threads: usize, lines: &mut Multiplied) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("a folder");
    let mut builder = WindowBuilder::new(common::plan(0), Settings::new(folder.path(), threads));
    let (mut raw, mut taking) = (0_u64, Duration::ZERO);
    for n in 0..events {
        let line = lines.line(n);
        raw += line.len() as u64;
        let started = Instant::now();
        builder.push_line(line).expect("a line");
        taking += started.elapsed();
    }
    let archive = Directory::new(folder.path().join("archive"));
    let started = Instant::now();
    let written = builder.finish(&NoPrevious, &NoOversize, &archive);
    let writing = started.elapsed();
    let peak = status("VmHWM:").unwrap_or(0);
    let key = common::key(Algorithm::EcdsaP256Sha256);
    let draft = written
        .expect("sealed")
        .draft(None, Millis(0), key.public_key());
    let seal = draft.sign(&key).expect("signs");
    let mut file = archive.create().expect("new");
    std::io::Write::write_all(&mut file, &seal.to_bytes().expect("integers")).expect("room");
    archive.close(&seal.key(), file).expect("kept");
    let options = Options {
        threads,
        ..Options::default()
    };
    let started = Instant::now();
    let report = verify(&archive, &[key.public_key().clone()], &options, &|_| {});
    let checking = started.elapsed();
    let report = report.expect("reads");
    assert_eq!((report.findings, report.rows), (vec![], events));
    let bytes: u64 = seal.files.iter().map(|file| file.bytes).sum();
    println!(
        "{events} events, {} bytes a line on average, {threads} encoding or checking thread(s)",
        raw / events
    );
    println!(
        "  taking lines          {:8.2} µs/event",
        micros(taking, events)
    );
    println!(
        "  deciding and writing  {:8.2} µs/event",
        micros(writing, events)
    );
    println!(
        "  sealing in all        {:8.2} µs/event",
        micros(taking + writing, events)
    );
    println!(
        "  verify                {:8.2} µs/event",
        micros(checking, events)
    );
    println!(
        "  archive               {:8.1} bytes/event in {} file(s), lines / archive {:.1}",
        bytes as f64 / events as f64,
        seal.files.len(),
        raw as f64 / bytes as f64
    );
    println!(
        "  peak memory           {:8.0} MB (of the process so far)",
        peak as f64 / 1e6
    );
    look_up(&archive, &seal);
    serde_json::json!({
        "threads": threads,
        "seal_us_per_event": micros(taking + writing, events),
        "verify_us_per_event": micros(checking, events),
        "line_bytes_per_event": raw / events,
        "archive_bytes_per_event": bytes as f64 / events as f64,
        "peak_mib": peak as f64 / 1_048_576.0,
    })
}

/// One event by its id, and all of a part's ids against its filters.
fn look_up(archive: &Directory, seal: &Seal) {
    let open = || Part::open(archive.open(&seal.files[0].key).expect("there")).expect("a part");
    let part = open();
    let mut id = None;
    let take = |row: vernier_archive::row::Row<'_>| {
        id = row.id.map(str::to_owned);
        Ok(())
    };
    part.for_each(take).expect("reads");
    let id = id.expect("an id");
    let started = Instant::now();
    let mut found = 0;
    part.find(Filter::Id(&id), |_| {
        found += 1;
        Ok(())
    })
    .expect("reads");
    let took = started.elapsed();
    assert_eq!(found, 1);
    println!(
        "  one event by id       {:8.2} ms in a part of {} rows",
        took.as_secs_f64() * 1e3,
        part.rows()
    );
    let started = Instant::now();
    let mut previous = PreviousParts::default();
    previous.add(open()).expect("filters");
    println!(
        "  a part's filters      {:8.2} ms to read",
        started.elapsed().as_secs_f64() * 1e3
    );
}
