//! `vernier verify` on a folder: sound, tampered, and what it cannot read.

use super::service::{Ran, vernier};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vernier_archive::files::{Directory, Sink as _};
use vernier_archive::keys::{Algorithm, KeyFile, Signer as _};
use vernier_archive::previous::NoPrevious;
use vernier_archive::seal::{PartClass, Seal, SealKind, part_key};
use vernier_archive::window::{NoOversize, Plan, Settings, WindowBuilder};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::time::{Millis, Window};

/// 2026-09-01T09:15:00Z.
const START: i64 = 1_788_254_100_000;

/// A folder with an archive of two windows of three events each, and the public key beside it.
struct Copy {
    folder: TempDir,
    seals: Vec<Seal>,
}

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let document = KeyFile::generate(Algorithm::EcdsaP256Sha256).expect("a key");
        let key = KeyFile::read(&document).expect("reads");
        let pem = key.public_key().to_pem();
        fs::write(folder.path().join("key.pem"), pem).expect("written");
        let sink = Directory::new(folder.path().join("copy"));
        let mut seals: Vec<Seal> = Vec::new();
        for n in 0..2 {
            let start = START + n * 60_000;
            let plan = Plan {
                tenant: "school".parse().expect("a name"),
                window: Window {
                    start: Millis(start),
                    end: Millis(start + 60_000),
                },
                kind: SealKind::Window,
                sequence: n.unsigned_abs(),
            };
            let mut builder = WindowBuilder::new(plan, Settings::new(folder.path(), 1));
            for index in 0..3 {
                builder
                    .push_line(line(start, index).as_bytes())
                    .expect("a line");
            }
            let written = builder
                .finish(&NoPrevious, &NoOversize, &sink)
                .expect("files");
            let before = seals.last().map(|seal| seal.hash().expect("integers"));
            let draft = written.draft(before, Millis(start + 120_000), key.public_key());
            let seal = draft.sign(&key).expect("signs");
            let mut file = sink.create().expect("new");
            std::io::Write::write_all(&mut file, &seal.to_bytes().expect("integers"))
                .expect("room");
            sink.close(&seal.key(), file).expect("kept");
            seals.push(seal);
        }
        Self { folder, seals }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join("copy").join(key)
    }

    fn verify(&self, more: &[&str]) -> Ran {
        let (copy, key) = (self.path(""), self.folder.path().join("key.pem"));
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        let (copy, key) = (text(&copy), text(&key));
        let args = [&["verify", &copy, "--key", &key], more].concat();
        Ran::of(vernier(&args).output().expect("ran"))
    }
}

fn line(start: i64, index: u32) -> String {
    let receipt = ReceiptId::from_parts(Millis(start), 0, [7; 8]);
    let event = format!("{{\"n\":{start},\"i\":{index}}}");
    let at = Millis(start);
    let fingerprint = Fingerprint::of(event.as_bytes()).hex();
    format!(
        r#"{{"receipt":"{receipt}","index":{index},"received_at":"{at}","sensor":"lms","verdict":"accepted","strict":"accepted","kind":"event","id":"urn:{start}:{index}","fingerprint":"{fingerprint}","event":{event}}}"#
    )
}

#[test]
fn a_sound_copy_is_said_to_be_so_with_its_head() {
    let copy = Copy::new();
    let ran = copy.verify(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let head = Fingerprint(copy.seals[1].hash().expect("integers")).hex();
    assert!(ran.stdout.contains(&format!("head {head}")), "{ran:?}");
    assert!(
        ran.stdout.contains("2 files") && ran.stdout.contains("6 stored"),
        "{ran:?}"
    );
    assert!(ran.stdout.ends_with("sound\n"), "{ran:?}");
    assert_eq!(copy.verify(&["--known", &head]).code, 0);
    let ran = copy.verify(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (&report["sound"], &report["rows"]),
        (&true.into(), &6.into())
    );
    assert_eq!(report["chains"][0]["head"], head);
}

#[test]
fn what_is_just_being_sealed_is_counted_and_nothing_is_said_of_it() {
    let copy = Copy::new();
    let after = copy.seals[1].end;
    let mut plan = copy.seals[1].plan();
    for (windows, sound) in [(1, true), (2, false)] {
        plan.window.start = after.plus_seconds((windows - 1) * 900);
        let key = part_key(&plan, PartClass::Archive, 0, &[7; 32]);
        fs::create_dir_all(copy.path(&key).parent().expect("a folder")).expect("made");
        fs::write(copy.path(&key), b"PAR1").expect("written");
        let ran = copy.verify(&[]);
        assert_eq!(ran.code == 0, sound, "{ran:?}");
        let pending = format!("pending: {windows} files, ");
        assert!(ran.stdout.contains(&pending), "{ran:?}");
        let ran = copy.verify(&["--later-files", "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let pending = report["pending"].as_array().expect("a list");
        assert!(pending.iter().any(|file| file["key"] == key), "{report}");
        assert_eq!((ran.code, &report["sound"]), (0, &true.into()));
    }
}

#[test]
fn one_flipped_byte_is_named_with_file_and_field() {
    let copy = Copy::new();
    let key = &copy.seals[1].files[0].key;
    let mut bytes = fs::read(copy.path(key)).expect("there");
    bytes[100] ^= 1;
    fs::write(copy.path(key), bytes).expect("written");
    let ran = copy.verify(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.starts_with(&format!("{key}: ")), "{ran:?}");
    assert!(ran.stdout.contains("files[0].sha256 says"), "{ran:?}");
    assert!(ran.stdout.contains("NOT SOUND"), "{ran:?}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_file_taken_away_and_a_chain_cut_short_are_found() {
    let copy = Copy::new();
    let head = Fingerprint(copy.seals[1].hash().expect("integers")).hex();
    fs::remove_file(copy.path(&copy.seals[1].files[0].key)).expect("there");
    let ran = copy.verify(&["--format", "json"]);
    assert_eq!(ran.code, 1);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["findings"][0]["check"], "file_missing");
    fs::remove_file(copy.path(&copy.seals[1].key())).expect("there");
    assert_eq!(copy.verify(&[]).code, 0);
    assert_eq!(copy.verify(&["--known", &head]).code, 1);
}

#[test]
fn what_cannot_be_read_is_wrong_usage() {
    let copy = Copy::new();
    let key = copy.folder.path().join("key.pem");
    let key = key.to_str().expect("text");
    let folder = copy.path("");
    let folder = folder.to_str().expect("text");
    for (args, why) in [
        (["verify", "no/such/folder", "--key", key], "not a folder"),
        (["verify", folder, "--key", "no/such/key"], "no/such/key"),
        (["verify", folder, "--key", folder], "copy"),
    ] {
        let ran = Ran::of(vernier(&args).output().expect("ran"));
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
    }
}

/// The golden archive of version 4: what is no fault is said, and counts as one where that is asked for.
#[test]
fn a_chain_of_version_4_is_checked_and_its_shortfall_is_said() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/archive/tests/golden/v4");
    let key = golden.join("key.pem");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let (golden, key) = (text(&golden), text(&key));
    let verify = |more: &[&str]| {
        let args = [&["verify", &golden, "--key", &key], more].concat();
        Ran::of(vernier(&args).output().expect("ran"))
    };
    let ran = verify(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for said in [
        "shortfall: tenant school, ",
        "1 rows are erased\n",
        "in no evidence",
        "no salt",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {ran:?}");
    }
    let ran = verify(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (&report["erased"], &report["shortfalls"][0]["envelopes"]),
        (&1.into(), &2.into())
    );
    assert_eq!(report["holds"], serde_json::json!([]));
    assert_eq!(report["receipts"], serde_json::Value::Null);
    let ran = verify(&["--receipts"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("receipts were held against their rows"),
        "{ran:?}"
    );
    let ran = verify(&["--no-shortfall"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout.contains("2 events of 2 envelopes are missing"),
        "{ran:?}"
    );
}
