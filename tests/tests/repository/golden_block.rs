//! A block of each version that every later reader must still read, and docs/segment.md's account of them.
//!
//! `block-v1` is in one piece, `block-v2` in two chunks with a filter and an index; each has the block's part of its item
//! beside it, and both have the lines of the golden frame of version 2. They were made by a script that shares no code with the
//! ledger, and are never made again.

use crate::{golden, tree};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use vernier_ledger::chunks::{BLOCK_VERSION, BlockIndex, Wanted, id_key, mark_of};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::id_filter;
use vernier_ledger::limits::CHUNK_LINES_BYTES;
use vernier_ledger::segment::{Block, open_block};

const PAGE: &str = "docs/segment.md";

/// A golden block and its bytes.
fn golden_block(name: &str) -> (Block, Vec<u8>) {
    let text: String = tree::text(&format!("tests/golden/{name}.zst.b64"))
        .split_whitespace()
        .collect();
    let item = tree::text(&format!("tests/golden/{name}.json"));
    let block = serde_json::from_str(&item).unwrap_or_else(|e| panic!("{name}: {e}"));
    (block, STANDARD.decode(text).expect("base64"))
}

fn lines(text: &[u8]) -> BTreeSet<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

fn part(bytes: &[u8], (start, length): (u64, u64)) -> &[u8] {
    let start = usize::try_from(start).expect("small");
    &bytes[start..start + usize::try_from(length).expect("small")]
}

fn golden_index() -> BlockIndex {
    let (block, bytes) = golden_block("block-v2");
    let place = block.index.as_ref().expect("an index");
    let frame = part(&bytes, place.index_range(&block));
    place.open_index(frame).expect("an index")
}

#[test]
fn both_golden_blocks_have_the_golden_lines() {
    let frame = golden::V2.frame();
    for (name, has_index) in [("block-v1", false), ("block-v2", true)] {
        let (block, bytes) = golden_block(name);
        assert_eq!(block.index.is_some(), has_index, "{name}");
        let text = open_block(&block, &bytes).expect("sound");
        assert_eq!(lines(&text), lines(&frame.lines), "{name}");
    }
}

#[test]
fn the_golden_chunks_are_found_and_read() {
    let (_, bytes) = golden_block("block-v2");
    let index = golden_index();
    assert_eq!(index.vernier_block, BLOCK_VERSION);
    let wanted = Wanted {
        actor: Some(mark_of("https://school.example/people/7")),
        section: Some(mark_of("https://school.example/sections/bio-1")),
        type_name: Some(mark_of("NavigationEvent")),
        sensor: Some(mark_of("lms")),
        ..Wanted::default()
    };
    let found: Vec<bool> = index.chunks.iter().map(|c| wanted.may_lie_in(c)).collect();
    assert_eq!(found, [false, true]);
    let first = index.chunks[0].bytes;
    let text = index.chunks[1].open(part(&bytes, (first, index.chunks[1].bytes)));
    let text = String::from_utf8(text.expect("sound")).expect("UTF-8");
    assert!(text.contains("\"type\":\"NavigationEvent\"") && text.lines().count() == 2);
}

#[test]
fn the_golden_counts_are_those_of_two_events() {
    let counts = golden_index().counts;
    let mut found = Vec::new();
    for section in counts.sections() {
        assert_eq!(
            section.actors.decoded().len(),
            usize::from(section.section.is_some())
        );
        for counted in counts.of(section) {
            found.push((
                section.section.as_deref(),
                counted.type_name,
                counted.events,
            ));
        }
    }
    let section = Some("https://school.example/sections/bio-1");
    let expected = [
        (section, Some("NavigationEvent"), 1),
        (None, Some("Event"), 1),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_golden_filter_knows_its_ids() {
    let (block, bytes) = golden_block("block-v2");
    let place = block.index.as_ref().expect("an index");
    let frame = part(&bytes, place.filter_range(&block));
    let filter = place.open_filter(frame).expect("a filter");
    let ids = [
        "urn:uuid:2f9a3a0e-54a0-4d55-8d3c-0c8f54d3a001",
        "URN:UUID:2F9A3A0E-54A0-4D55-8D3C-0C8F54D3A004",
        "https://school.example/people/7",
        "urn:uuid:2f9a3a0e-54a0-4d55-8d3c-0c8f54d3a009",
    ];
    for (id, there) in ids.iter().zip([1, 1, 1, 0]) {
        let counted = id_filter::counts(filter, &[id_key(id)]).expect("a filter");
        assert_eq!(counted, [there], "{id}");
    }
}

#[test]
fn the_page_says_what_the_code_does() {
    let page = tree::text(PAGE);
    let version = format!("Block version: {BLOCK_VERSION}");
    assert!(page.lines().any(|l| l == version), "{PAGE}: no '{version}'");
    assert_eq!(CHUNK_LINES_BYTES, 524_288);
    assert!(page.contains("| `CHUNK_LINES_BYTES` | 524,288 |"), "{PAGE}");
    let (block, _) = golden_block("block-v2");
    let shown = [
        serde_json::to_value(golden_index()).expect("JSON"),
        serde_json::to_value(&block.index).expect("JSON"),
        serde_json::to_value(block.times).expect("JSON"),
    ];
    for key in shown.iter().flat_map(keys) {
        let row = format!("| `{key}` |");
        assert!(page.contains(&row), "{PAGE}: no row {row}");
    }
    let sha256 = Fingerprint::of(&golden_block("block-v2").1).hex();
    assert!(page.contains(&sha256), "{PAGE} shows another block");
}

/// All keys of an object and of the objects in it.
fn keys(value: &serde_json::Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        found.insert(key.clone());
        found.extend(keys(value));
    }
    for value in value.as_array().into_iter().flatten() {
        found.extend(keys(value));
    }
    found
}
