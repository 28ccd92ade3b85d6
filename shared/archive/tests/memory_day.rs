//! Bounded memory (invariant 8): a day whose files' rows are many times what is allowed.
//!
//! Alone in its process, so that the process's peak is this test's.
#![allow(clippy::print_stdout)]

#[path = "common/mod.rs"]
mod common;

use common::{Mix, Multiplied, status};
use std::time::Instant;
use vernier_archive::day::DayBuilder;
use vernier_archive::files::{Directory, Sink as _, Source as _};
use vernier_archive::keys::{Algorithm, Signer as _};
use vernier_archive::previous::NoPrevious;
use vernier_archive::seal::{Seal, Written};
use vernier_archive::verify::{Options, verify};
use vernier_archive::window::{NoOversize, Settings, WindowBuilder};
use vernier_ledger::chain::day_of;
use vernier_ledger::time::Millis;

const WINDOWS: u64 = 10;
const EVENTS: u64 = 15_000;
const PEAK_MAX: usize = 192 * 1024 * 1024;

fn put(
    written: Written,
    before: Option<&Seal>,
    sink: &Directory,
    key: &dyn vernier_archive::keys::Signer,
) -> Seal {
    let previous = before.map(|seal| seal.hash().expect("integers"));
    let draft = written.draft(previous, Millis(0), key.public_key());
    let seal = draft.sign(key).expect("signs");
    let mut file = sink.create().expect("new");
    std::io::Write::write_all(&mut file, &seal.to_bytes().expect("integers")).expect("room");
    sink.close(&seal.key(), file).expect("kept");
    seal
}

#[test]
fn a_day_of_a_quarter_gigabyte_is_merged_and_checked_in_192_mib() {
    let base = common::lines(Mix::of(9, 2_000), common::window(0));
    let mut lines = Multiplied::new(base);
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        run_bytes: 16 * 1024 * 1024,
        group_bytes: 8 * 1024 * 1024,
        ..common::settings(folder.path())
    };
    let sink = Directory::new(folder.path().join("archive"));
    let key = common::key(Algorithm::Ed25519Sha256);
    let (mut raw, mut seals): (usize, Vec<Seal>) = (0, Vec::new());
    for n in 0..WINDOWS {
        lines.begin(common::window(n));
        let mut builder = WindowBuilder::new(common::plan(n), settings.clone());
        for at in n * EVENTS..(n + 1) * EVENTS {
            let line = lines.line(at);
            raw += line.len();
            builder.push_line(line).expect("a line of the window");
        }
        let written = builder.finish(&NoPrevious, &NoOversize, &sink);
        let seal = put(written.expect("sealed"), seals.last(), &sink, &key);
        seals.push(seal);
    }
    let started = Instant::now();
    let day = day_of(common::START);
    let mut builder = DayBuilder::new(common::tenant(), day, settings);
    for seal in &seals {
        for file in &seal.files {
            let bytes = sink.open(&file.key).expect("there");
            builder
                .push_file(seal, file, &bytes)
                .expect("as it was sealed");
        }
    }
    let mut written = builder.finish(&sink).expect("merged");
    let (took, after_merging) = (started.elapsed(), status("VmHWM:"));
    written.sequence = WINDOWS;
    put(written, seals.last(), &sink, &key);
    for file in seals.iter().flat_map(|seal| &seal.files) {
        std::fs::remove_file(folder.path().join("archive").join(&file.key)).expect("there");
    }
    let keys = [key.public_key().clone()];
    let started = Instant::now();
    let report = verify(&sink, &keys, &Options::default(), &|_| {}).expect("reads");
    assert_eq!((report.findings, report.rows), (vec![], WINDOWS * EVENTS));
    let checked = started.elapsed();
    let (Some(merging), Some(all)) = (after_merging, status("VmHWM:")) else {
        println!("SKIPPED: no /proc/self/status here");
        return;
    };
    println!(
        "memory: {} events of {WINDOWS} windows, {raw} bytes of lines; merged in {took:.1?}, peak {merging} bytes; checked in {checked:.1?}, peak {all}",
        WINDOWS * EVENTS
    );
    assert!(raw > 250_000_000, "{raw}");
    assert!(all <= PEAK_MAX, "{all} bytes");
}
