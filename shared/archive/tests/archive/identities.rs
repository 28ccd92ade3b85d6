//! One UUID is one id in every spelling, in a window and across windows.

use crate::common;
use proptest::prelude::*;
use std::collections::BTreeMap;
use vernier_archive::files::{Memory, Source as _};
use vernier_archive::keys::{Algorithm, Signer as _};
use vernier_archive::reader::{Filter, Part, PreviousParts};
use vernier_archive::seal::Written;
use vernier_archive::search::{Column, Search};
use vernier_archive::verify::{Options, verify};
use vernier_ledger::disposition::{Disposition, Dispositions};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::{self, LineHead};
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// The line of an event with this id, received in a window's n-th second.
fn event_line(id: &str, window: u64, second: usize) -> Vec<u8> {
    let at = common::window(window)
        .start
        .plus_seconds(i64::try_from(second).expect("few"));
    let receipt = ReceiptId::from_parts(at, 0, [7; 8]);
    let event = serde_json::json!({ "id": id }).to_string();
    let head = LineHead {
        id: Some(id.into()),
        type_name: Some("ViewEvent".into()),
        ..common::bare_head(receipt, 0, "event", &event)
    };
    common::line(&head, &event)
}

fn lines(ids: &[&str], window: u64) -> Vec<Vec<u8>> {
    let numbered = ids.iter().enumerate();
    numbered
        .map(|(second, id)| event_line(id, window, second))
        .collect()
}

/// How the events of a window's files ended, by place, with their ids.
fn ends(memory: &Memory, written: &Written) -> BTreeMap<Place, (Disposition, String)> {
    let mut found = BTreeMap::new();
    for file in &written.files {
        let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
        part.for_each(|row| {
            let id = row.id.unwrap_or_default().to_owned();
            found.insert(row.place(), (row.disposition, id));
            Ok(())
        })
        .expect("reads");
    }
    found
}

/// Ids of the rows that a part finds by a search and by a look-up, which must be the same.
fn found_by(part: &Part, id: &str) -> Vec<String> {
    let mut looked_up = Vec::new();
    part.find(Filter::Id(id), |row| {
        looked_up.push(row.id.unwrap_or_default().to_owned());
        Ok(())
    })
    .expect("reads");
    let wanted = Search {
        equal: vec![(Column::Id, id.to_owned())],
        ruled: Vec::new(),
        received: (Millis(0), Millis(i64::MAX)),
        event_time: None,
        sealed_by: None,
    };
    let groups = part.groups_where(&wanted).expect("reads");
    let mut searched = Vec::new();
    part.search(&wanted, &groups, &[Column::Id], |row| {
        searched.push(row.text(Column::Id).unwrap_or_default().to_owned());
    })
    .expect("reads");
    assert_eq!(looked_up, searched);
    searched
}

const SMALL: &str = "urn:uuid:0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b";

fn sealed(ids: &[&str], window: u64, previous: Option<&(Memory, Written)>) -> (Memory, Written) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut parts = PreviousParts::default();
    if let Some((memory, written)) = previous {
        for file in written
            .files
            .iter()
            .filter(|f| f.key.starts_with("archive/"))
        {
            let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
            parts.add(part).expect("filters");
        }
    }
    let memory = Memory::default();
    let settings = common::settings(temporary.path());
    let plan = common::plan(window);
    let written = common::write_window(plan, settings, &lines(ids, window), &parts, &memory);
    (memory, written)
}

#[test]
fn a_uuid_of_an_earlier_window_is_found_in_every_spelling() {
    let mixed = "urn:uuid:0F8e1A2b-3c4D-4e5F-8a9B-0c1D2e3f4A5b";
    let capitals = SMALL.to_uppercase();
    let usual = SMALL.replace("0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b", &capitals[9..]);
    let spellings = [SMALL, &capitals, &usual, mixed];
    for first in spellings {
        // Others on both sides, so that bounds and filters would leave it out.
        let before = sealed(&["urn:uuid:1", first, "https://a.example/Z"], 0, None);
        let part = Part::open(before.0.open(&before.1.files[0].key).expect("there"));
        let part = part.expect("a part");
        for again in spellings {
            assert_eq!(found_by(&part, again), [first], "{first} asked as {again}");
            let (memory, written) = sealed(&[again], 1, Some(&before));
            let (end, id) = ends(&memory, &written).into_values().next().expect("a row");
            let same = if again == first {
                Disposition::Duplicate
            } else {
                Disposition::Conflict
            };
            assert_eq!(
                (end, id.as_str()),
                (same, again),
                "{first} and then {again}"
            );
        }
        assert_eq!(found_by(&part, "https://a.example/z"), [""; 0]);
    }
}

#[test]
fn an_archive_with_a_uuid_in_several_spellings_verifies() {
    let key = common::key(Algorithm::Ed25519Sha256);
    let capitals = SMALL.to_uppercase();
    let (memory, _) = common::archive_of([lines(&[SMALL, &capitals, SMALL, "x"], 0)], &key);
    let report = verify(
        &memory,
        &[key.public_key().clone()],
        &Options::default(),
        &|_| {},
    );
    let report = report.expect("memory reads");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

fn any_id() -> impl Strategy<Value = String> {
    let respelled = (0u8..3, any::<u64>(), any::<bool>()).prop_map(|(which, mut bits, urn)| {
        let urn = if urn { "urn:uuid:" } else { "" };
        let id = format!("{urn}0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5{which:x}");
        let letter = |letter: char| {
            bits = bits.rotate_left(1);
            if bits & 1 == 1 {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        };
        id.chars().map(letter).collect()
    });
    prop_oneof![
        3 => respelled,
        1 => "https://a\\.example/[Ee]/(%2[Ff]|é|[01]){1,2}",
        1 => "_:[aA]|urn:uuid:[xX]|\\PC{1,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What sealing decides of a window is what the live rule says, and ids come back as sent.
    #[test]
    fn live_and_sealed_agree_on_any_ids(ids in proptest::collection::vec(any_id(), 1..12)) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (mut known, mut scratch) = (Dispositions::default(), Vec::new());
        let lines = lines(&ids, 0);
        for text in &lines {
            line::split(text, &mut scratch).expect("a line");
            known.show(&line::read_head(&scratch).expect("a head"));
        }
        let (memory, written) = sealed(&ids, 0, None);
        let ends = ends(&memory, &written);
        for (text, sent) in lines.iter().zip(&ids) {
            line::split(text, &mut scratch).expect("a line");
            let head = line::read_head(&scratch).expect("a head");
            let (end, id) = &ends[&(head.receipt, head.index)];
            prop_assert_eq!(*end, known.of(&head));
            prop_assert_eq!(id, sent);
        }
    }
}
