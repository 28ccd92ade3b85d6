//! Bounded memory (invariant 8): a window whose lines are many times what is allowed.
//!
//! Alone in its process, so that the process's peak is this test's.
#![allow(clippy::print_stdout)]

#[path = "common/mod.rs"]
mod common;

use common::{Mix, Multiplied, status};
use vernier_archive::files::{Directory, Sink as _};
use vernier_archive::keys::{Algorithm, Signer as _};
use vernier_archive::previous::NoPrevious;
use vernier_archive::verify::{Options, verify};
use vernier_archive::window::{NoOversize, Settings, WindowBuilder};
use vernier_ledger::time::Millis;

const EVENTS: u64 = 150_000;
const PEAK_MAX: usize = 192 * 1024 * 1024;

#[test]
fn a_window_of_a_quarter_gigabyte_is_sealed_and_checked_in_192_mib() {
    let base = common::lines(Mix::of(9, 2_000), common::window(0));
    let mut lines = Multiplied::new(base);
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        run_bytes: 16 * 1024 * 1024,
        group_bytes: 8 * 1024 * 1024,
        ..common::settings(folder.path())
    };
    let mut builder = WindowBuilder::new(common::plan(0), settings);
    let mut raw = 0;
    for n in 0..EVENTS {
        let line = lines.line(n);
        raw += line.len();
        builder.push_line(line).expect("a line of the window");
    }
    let sink = Directory::new(folder.path().join("archive"));
    let written = builder.finish(&NoPrevious, &NoOversize, &sink);
    let written = written.expect("sealed");
    assert_eq!(written.counts.total(), EVENTS);
    let after_sealing = status("VmHWM:");
    let key = common::key(Algorithm::Ed25519Sha256);
    let draft = written.draft(None, Millis(0), key.public_key());
    let seal = draft.sign(&key).expect("signs");
    let mut file = sink.create().expect("new");
    std::io::Write::write_all(&mut file, &seal.to_bytes().expect("integers")).expect("room");
    sink.close(&seal.key(), file).expect("kept");
    let options = Options {
        threads: 2,
        ..Options::default()
    };
    let keys = [key.public_key().clone()];
    let report = verify(&sink, &keys, &options, &|_| {}).expect("reads");
    assert_eq!((report.findings, report.rows), (vec![], EVENTS));
    let (Some(sealing), Some(all)) = (after_sealing, status("VmHWM:")) else {
        println!("SKIPPED: no /proc/self/status here");
        return;
    };
    println!(
        "memory: {EVENTS} events, {raw} bytes of lines; peak {sealing} bytes after sealing, {all} after the check"
    );
    assert!(raw > 250_000_000, "{raw}");
    assert!(all <= PEAK_MAX, "{all} bytes");
}
