//! `vernier proof` on answers about the golden archives: of version 1, of version 4, and what is none.

use super::service::{Ran, vernier};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vernier_archive::files::{Directory, Source as _};
use vernier_archive::proof::prove;
use vernier_archive::proof4::{Showing, prove_blind};
use vernier_archive::reader::Part;
use vernier_archive::seal::Seal;
use vernier_ledger::segment::Place;

fn golden(version: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/archive/tests/golden");
    golden.join(version)
}

/// An event of a seal, and what the service answers about it.
struct Known {
    folder: TempDir,
    key: PathBuf,
    answer: Value,
    event: String,
}

impl Known {
    fn of(version: &str, sequence: u64, showing: Showing) -> Self {
        let source = Directory::new(golden(version));
        let name = format!("seals/tenant=school/{sequence:012}.json");
        let bytes = source.read(&name, 100_000).expect("there");
        let seal = Seal::read(&bytes).expect("a seal");
        let (place, event) = first_event(&source, &seal);
        let proof = if seal.statement.is_some() {
            let proof = prove_blind(&source, &seal, place, showing).expect("reads");
            serde_json::to_value(proof.expect("there"))
        } else {
            let proof = prove(&source, &seal, place).expect("reads");
            serde_json::to_value(proof.expect("there"))
        };
        let seal: Value = serde_json::from_slice(&bytes).expect("JSON");
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            key: golden(version).join("key.pem"),
            answer: json!({"proof": proof.expect("JSON"), "seal": seal, "chain": {}}),
            event,
        }
    }

    fn run(&self, answer: &Value, more: &[&str]) -> Ran {
        let path = self.folder.path().join("answer.json");
        // Spelled as a person stores it.
        fs::write(&path, format!("{answer:#}")).expect("written");
        let [path, key] = [&path, &self.key].map(|path| path.to_str().expect("text").to_owned());
        let args = [&["proof", &path, "--key", &key], more].concat();
        Ran::of(vernier(&args).output().expect("ran"))
    }
}

fn first_event(source: &Directory, seal: &Seal) -> (Place, String) {
    let part = Part::open(source.open(&seal.files[0].key).expect("there")).expect("a part");
    let mut found = None;
    part.for_each(|row| {
        if let (None, Some(event)) = (&found, row.event) {
            found = Some((row.place(), event.to_owned()));
        }
        Ok(())
    })
    .expect("reads");
    found.expect("an event")
}

#[test]
fn proofs_of_both_versions_are_checked_offline() {
    for (version, sequence) in [("v1", 0), ("v4", 5)] {
        let known = Known::of(version, sequence, Showing::Whole);
        let event = known.folder.path().join("event.json");
        let value: Value = serde_json::from_str(&known.event).expect("JSON");
        fs::write(&event, &known.event).expect("written");
        let event = event.to_str().expect("text");
        let ran = known.run(&known.answer, &["--event", event]);
        assert_eq!(ran.code, 0, "{version}: {ran:?}");
        assert!(ran.stdout.ends_with("proved\n"), "{ran:?}");
        let ran = known.run(&known.answer, &["--format", "json"]);
        let shown: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(
            (&shown["proved"], &shown["id"]),
            (&true.into(), &value["id"])
        );
        fs::write(event, r#"{"id":"another"}"#).expect("written");
        let ran = known.run(&known.answer, &["--event", event]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stdout.contains("another event"), "{ran:?}");
        let mut changed = known.answer.clone();
        changed["proof"]["row"] = json!(1_000);
        assert_eq!(known.run(&changed, &[]).code, 1);
        let mut changed = known.answer.clone();
        changed["seal"]["sealed_at"] = json!(7);
        let ran = known.run(&changed, &[]);
        assert!(
            ran.stdout.contains("not signed by the given key"),
            "{ran:?}"
        );
        let mut changed = known.answer.clone();
        changed.as_object_mut().expect("an object").remove("seal");
        assert_eq!(known.run(&changed, &[]).code, 1);
    }
}

/// Without the personal half it is shown that something was taken, and nothing of what it said.
#[test]
fn a_proof_of_the_public_half_shows_no_more() {
    let known = Known::of("v4", 5, Showing::PublicHalf);
    let ran = known.run(&known.answer, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("what the event said is not shown"),
        "{ran:?}"
    );
    let path = known.folder.path().join("event.json");
    fs::write(&path, &known.event).expect("written");
    let ran = known.run(&known.answer, &["--event", path.to_str().expect("text")]);
    assert_eq!(ran.code, 1, "{ran:?}");
}
