//! The format's page, its version and an archive that was written once hang together: whoever changes
//! one of them sees here that the others are left behind.

use crate::common;
use std::fs;
use std::path::{Path, PathBuf};
use vernier_archive::columns;
use vernier_archive::files::{Directory, Memory, Source};
use vernier_archive::keys::{Algorithm, KeyFile, PublicKey, Signer as _};
use vernier_archive::merkle::leaf_hash;
use vernier_archive::previous::NoPrevious;
use vernier_archive::proof::prove;
use vernier_archive::reader::Part;
use vernier_archive::seal::{SEAL_VERSION, Seal};
use vernier_archive::verify::{Options, Report, verify};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::time::Millis;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

pub(crate) fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/seal.md");
    fs::read_to_string(path).expect("the page")
}

fn seals() -> Vec<Seal> {
    let source = Directory::new(golden());
    let entries = source.list("seals/").expect("a folder");
    let read = |key: &str| Seal::read(&source.read(key, 100_000).expect("there")).expect("a seal");
    entries.iter().map(|entry| read(&entry.key)).collect()
}

/// What the check of an archive in a folder says, with the key beside it.
pub(crate) fn report(folder: &Path) -> Report {
    let key = fs::read(folder.join("key.pem")).expect("there");
    let keys = [PublicKey::read(&key).expect("a key")];
    verify(&Directory::new(folder), &keys, &Options::default(), &|_| {}).expect("reads")
}

/// Writes an archive and its key into the folder that a variable names, or into a temporary one; what the
/// check says of it there.
pub(crate) fn write_golden(memory: &Memory, key: &KeyFile, variable: &str) -> Report {
    memory.put("key.pem", key.public_key().to_pem());
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let folder =
        std::env::var_os(variable).map_or_else(|| temporary.path().join("golden"), PathBuf::from);
    common::write_out(memory, &folder);
    report(&folder)
}

#[test]
fn the_golden_archive_is_sound() {
    let report = report(&golden());
    assert_eq!(report.findings, []);
    assert_eq!(common::in_order(report.counts), [3, 1, 1, 1]);
}

#[test]
fn a_proof_from_the_golden_archive_holds() {
    let (source, seals) = (Directory::new(golden()), seals());
    let mut places = Vec::new();
    let part = Part::open(source.open(&seals[0].files[0].key).expect("there")).expect("a part");
    part.for_each(|row| {
        places.push(row.place());
        Ok(())
    })
    .expect("reads");
    let proof = prove(&source, &seals[0], places[0])
        .expect("reads")
        .expect("there");
    assert!(proof.verify(&seals[0]).is_ok());
}

#[test]
fn the_page_states_the_version() {
    let line = format!("\nSeal version: {SEAL_VERSION}\n");
    assert!(page().contains(&line), "docs/seal.md has no line{line}");
}

#[test]
fn the_page_describes_every_field_and_column() {
    let page = page();
    let document = serde_json::to_value(&seals()[1]).expect("JSON");
    let mut names: Vec<String> = columns::names().map(str::to_owned).collect();
    let mut take = |value: &serde_json::Value| {
        let keys = value.as_object().into_iter().flatten();
        names.extend(keys.map(|(key, _)| key.clone()));
    };
    take(&document);
    for inner in ["counts", "signature"] {
        take(&document[inner]);
    }
    take(&document["files"][0]);
    assert!(names.len() > 40, "the rule found few names: {names:?}");
    let has_row = |name: &&String| {
        !page
            .lines()
            .any(|l| l.starts_with(&format!("| `{name}` |")))
    };
    let missing: Vec<&String> = names.iter().filter(has_row).collect();
    assert!(
        missing.is_empty(),
        "docs/seal.md has no row for {missing:?}"
    );
}

#[test]
fn the_page_shows_the_golden_seal_leaf_and_hashes() {
    let (page, seals) = (page(), seals());
    let shown = page
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("\n```").next());
    let shown: serde_json::Value = serde_json::from_str(shown.expect("a block")).expect("JSON");
    assert_eq!(shown, serde_json::to_value(&seals[1]).expect("JSON"));
    let head = Fingerprint(seals[1].hash().expect("integers")).hex();
    assert!(
        page.contains(&head),
        "docs/seal.md does not show the head {head}"
    );
    let source = Directory::new(golden());
    let part = Part::open(source.open(&seals[1].files[0].key).expect("there")).expect("a part");
    let mut leaf = Vec::new();
    part.for_each(|row| {
        row.write_leaf(&mut leaf);
        Ok(())
    })
    .expect("reads");
    let compact: String = page.split_whitespace().collect();
    let text = hex::encode(&leaf);
    assert!(
        compact.contains(&text),
        "docs/seal.md does not show the leaf {text}"
    );
    let hash = hex::encode(leaf_hash(&leaf));
    assert!(
        page.contains(&hash),
        "docs/seal.md does not show the leaf's hash {hash}"
    );
}

/// Two windows: one with every disposition, one with a single event that has few columns.
pub(crate) fn lines() -> [Vec<Vec<u8>>; 2] {
    let line = |at: i64, index: u32, verdict: &str, more: &str, event: &str| {
        let receipt = ReceiptId::from_parts(Millis(common::START.0 + at), 0, [7; 8]);
        let received_at = receipt.received_at();
        let fingerprint = Fingerprint::of(event.as_bytes()).hex();
        format!(
            r#"{{"receipt":"{receipt}","index":{index},"received_at":"{received_at}","sensor":"lms","verdict":"{verdict}","strict":"{verdict}","kind":"event"{more},"fingerprint":"{fingerprint}","event":{event}}}"#
        )
        .into_bytes()
    };
    let graded = r#","id":"urn:uuid:a","type":"GradeEvent","action":"Graded","actor":"https://example.edu/users/1","object":"https://example.edu/quiz/1","group":"https://example.edu/sections/1","time":"2026-09-01T09:14:58.250Z","result":{"learner":"https://example.edu/users/2","given":7.5,"maximum":10.0}"#;
    let refused = r#","type":"ViewEvent","problems":[{"rule":"event.id","pointer":"/id"}]"#;
    let first = vec![
        line(
            100,
            0,
            "accepted",
            graded,
            r#"{"id":"urn:uuid:a","score":7.5}"#,
        ),
        line(100, 1, "rejected", refused, r#"{"type":"ViewEvent"}"#),
        line(
            100,
            2,
            "accepted",
            r#","deviations":[{"rule":"context"}]"#,
            r#"{"old":true}"#,
        ),
        line(
            5_000,
            0,
            "accepted",
            graded,
            r#"{"id":"urn:uuid:a","score":7.5}"#,
        ),
        line(
            6_000,
            0,
            "accepted",
            graded,
            r#"{"id":"urn:uuid:a","score":8}"#,
        ),
    ];
    let second = common::WINDOW_MILLIS + 1;
    let second = vec![line(second, 0, "accepted", r#","id":"urn:uuid:b""#, "{}")];
    [first, second]
}

/// An archive of today's version is written and checks. With `VERNIER_GOLDEN_DIR` it is written there,
/// with a new key: the golden archive of a version that has none yet.
#[test]
fn an_archive_like_the_golden_one_is_written_and_sound() {
    let key = common::key(Algorithm::EcdsaP256Sha256);
    let (memory, _) = common::archive_of(lines(), &key);
    let written = write_golden(&memory, &key, "VERNIER_GOLDEN_DIR");
    let standing = report(&golden());
    assert_eq!(written.findings, []);
    assert_eq!(
        (written.rows, written.counts),
        (standing.rows, standing.counts)
    );
}

/// What would be written today has the golden rows: dispositions, order and canonical bytes are
/// those of this version. (Parquet's own bytes may differ with another release of its writer.)
#[test]
fn the_golden_lines_still_give_the_golden_rows() {
    let memory = Memory::default();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    for ((n, lines), seal) in (0..).zip(lines()).zip(seals()) {
        let settings = common::settings(temporary.path());
        let written = common::write_window(common::plan(n), settings, &lines, &NoPrevious, &memory);
        assert_eq!(written.merkle_root, seal.merkle_root.0);
        assert_eq!((written.counts, written.digest), (seal.counts, seal.digest));
        // The content's hash at a key's end is of Parquet's own bytes.
        let files = |files: &[vernier_archive::seal::SealedFile]| -> Vec<_> {
            let named = files.iter().map(|file| {
                let name = file.key.rsplit_once('-').map(|(name, _)| name.to_owned());
                (name.expect("a part's key"), file.rows, file.merkle_root)
            });
            named.collect()
        };
        assert_eq!(files(&written.files), files(&seal.files));
    }
}
