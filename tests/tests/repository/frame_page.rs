//! docs/frame.md says what the code does.

use crate::golden;
use crate::tree;
use serde_json::Value;
use vernier_ledger::frame::FRAME_VERSION;
use vernier_ledger::limits;
use vernier_ledger::line::LineResult;

const PAGE: &str = "docs/frame.md";

/// All keys of an object and of the objects in it.
fn keys(value: &Value, found: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        found.push(key.clone());
        keys(value, found);
    }
}

/// The fenced blocks of one language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    page.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

fn missing_in_table(page: &str, names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|name| !page.lines().any(|l| l.starts_with(&format!("| `{name}`"))))
        .cloned()
        .collect()
}

#[test]
fn the_page_states_the_version() {
    let page = tree::text(PAGE);
    let stated = page.lines().find_map(|l| l.strip_prefix("Frame version: "));
    let expected = FRAME_VERSION.to_string();
    assert_eq!(
        stated,
        Some(expected.as_str()),
        "{PAGE}: the line 'Frame version: ' and FRAME_VERSION differ"
    );
}

#[test]
fn the_page_describes_every_header_field() {
    let mut names = Vec::new();
    keys(
        &serde_json::to_value(golden::V2.frame().header).expect("JSON"),
        &mut names,
    );
    assert!(names.len() >= 12, "the rule found few fields: {names:?}");
    let missing = missing_in_table(&tree::text(PAGE), &names);
    assert!(
        missing.is_empty(),
        "{PAGE}: no table row for the header's {}",
        missing.join(", ")
    );
}

#[test]
fn the_page_describes_every_column_of_a_line() {
    let mut names = Vec::new();
    for line in golden::V2
        .frame()
        .lines
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
    {
        let line: Value = serde_json::from_slice(line).expect("a line is JSON");
        names.extend(
            line.as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key.clone()),
        );
    }
    for column in [
        "receipt",
        "salt_key",
        "problems",
        "deviations",
        "event_ref",
        "group",
        "event",
    ] {
        assert!(
            names.iter().any(|n| n == column),
            "the golden frame has no {column}"
        );
    }
    let missing = missing_in_table(&tree::text(PAGE), &names);
    assert!(
        missing.is_empty(),
        "{PAGE}: no table row for the line's {}",
        missing.join(", ")
    );
}

#[test]
fn the_page_describes_every_column_of_a_result() {
    let text = || Some("x".into());
    let result = LineResult {
        assignment: text(),
        learner: "x".into(),
        attempt: text(),
        count: Some(1),
        part_of: text(),
        given: Some(1.0),
        cleared: true,
        maximum: Some(1.0),
        scored_by: text(),
        started_at: text(),
        submitted_at: text(),
        duration_millis: Some(1),
    };
    let mut names = vec!["result".to_owned()];
    keys(&serde_json::to_value(result).expect("JSON"), &mut names);
    assert_eq!(names.len(), 13);
    let missing = missing_in_table(&tree::text(PAGE), &names);
    assert!(
        missing.is_empty(),
        "{PAGE}: no table row for the result's {}",
        missing.join(", ")
    );
}

#[test]
fn the_examples_are_the_golden_frames() {
    let page = tree::text(PAGE);
    let examples: Vec<Value> = blocks(&page, "json")
        .iter()
        .filter_map(|b| serde_json::from_str(b).ok())
        .collect();
    let frame = golden::V2.frame();
    let header = serde_json::to_value(&frame.header).expect("JSON");
    assert!(
        examples.contains(&header),
        "{PAGE}: no json block is the golden header\n{header:#}"
    );
    for line in frame.lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let line: Value = serde_json::from_slice(line).expect("a line is JSON");
        let fingerprint = line["fingerprint"].as_str().expect("text");
        assert!(
            page.contains(fingerprint),
            "{PAGE}: the example does not show the fingerprint {fingerprint}"
        );
    }
    for golden in golden::ALL {
        let digest = golden.frame().header.slice_tally.digest.to_string();
        let shown = page.contains(&format!("\n# {digest}\n"));
        assert!(shown, "{PAGE}: no script prints the digest {digest}");
    }
}

#[test]
fn the_page_states_the_limits() {
    let page = tree::text(PAGE);
    let limits = [
        ("FRAME_LINES_BYTES_MAX", limits::FRAME_LINES_BYTES_MAX),
        ("FRAME_HEADER_BYTES_MAX", limits::FRAME_HEADER_BYTES_MAX),
        ("LINE_BYTES_MAX", limits::LINE_BYTES_MAX),
        ("RECORD_BYTES_MAX", limits::RECORD_BYTES_MAX),
        ("PUT_RECORDS_COUNT_MAX", limits::PUT_RECORDS_COUNT_MAX),
        ("PUT_RECORDS_BYTES_MAX", limits::PUT_RECORDS_BYTES_MAX),
    ];
    for (name, value) in limits {
        let row = format!("| `{name}` | {} |", thousands(value));
        assert!(page.contains(&row), "{PAGE}: no row begins with {row}");
    }
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|g| std::str::from_utf8(g).expect("digits"))
        .collect();
    groups.join(",")
}

#[test]
fn what_the_page_leaves_out_is_found() {
    let page = "| `receipt` | x |\n```json\n{\"a\":{\"b\":1}}\n```\n";
    let names = ["receipt".to_owned(), "tenant".to_owned()];
    assert_eq!(missing_in_table(page, &names), ["tenant"]);
    let mut found = Vec::new();
    keys(
        &serde_json::from_str(blocks(page, "json")[0]).expect("JSON"),
        &mut found,
    );
    assert_eq!(found, ["a", "b"]);
    assert_eq!(
        (
            thousands(2_048).as_str(),
            thousands(1_000_000).as_str(),
            thousands(7).as_str()
        ),
        ("2,048", "1,000,000", "7")
    );
}
