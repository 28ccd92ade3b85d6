//! docs/report.md names what `make bench` writes.

use crate::tree::{self, Violation, report};
use regex::Regex;
use std::process::Command;

const PAGE: &str = "docs/report.md";

/// Figures of one run, from which the script makes a report without measuring.
const FIGURES: &str = "tests/golden/bench-figures.json";

/// The keys that the script writes.
fn written() -> Vec<String> {
    let output = Command::new("python3")
        .args(["scripts/bench.py", "--keys", FIGURES])
        .current_dir(tree::root())
        .output()
        .expect("python3 is what every script here runs on");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let keys = String::from_utf8(output.stdout).expect("text");
    keys.lines().map(str::to_owned).collect()
}

/// The keys that the page's table has in its first column, with their lines.
fn documented(page: &str) -> Vec<(String, usize)> {
    let key = Regex::new("`([^`]+)`").expect("a pattern");
    let rows = (1..)
        .zip(page.lines())
        .filter(|(_, line)| line.starts_with("| `"));
    rows.flat_map(|(number, line)| {
        let cell = line.split('|').nth(1).unwrap_or_default();
        let keys = key.captures_iter(cell).map(|found| found[1].to_owned());
        keys.map(move |key| (key, number)).collect::<Vec<_>>()
    })
    .collect()
}

/// Whether a key is the documented one, or under one that ends in `*`.
fn is_of(key: &str, documented: &str) -> bool {
    match documented.strip_suffix(".*") {
        Some(start) => key == start || key.strip_prefix(start).is_some_and(|r| r.starts_with('.')),
        None => key == documented,
    }
}

fn disagreements(page: &str, written: &[String]) -> Vec<Violation> {
    let documented = documented(page);
    let unknown = written
        .iter()
        .filter(|key| !documented.iter().any(|(d, _)| is_of(key, d)))
        .map(|key| Violation::new(PAGE, 1, format!("does not name `{key}`, which is written")));
    let unwritten = documented
        .iter()
        .filter(|(d, _)| !written.iter().any(|key| is_of(key, d)))
        .map(|(d, line)| Violation::new(PAGE, *line, format!("names `{d}`, which is not written")));
    unknown.chain(unwritten).collect()
}

#[test]
fn the_report_page_names_what_is_written() {
    let written = written();
    // What the issue asks for, whatever the page says.
    for key in ["input.us_per_event", "stream.us_per_event", "gates"] {
        assert!(written.iter().any(|w| w == key), "{key} is not written");
    }
    report(
        "docs/report.md and scripts/bench.py name the same keys",
        disagreements(&tree::text(PAGE), &written),
    );
}

#[test]
fn a_key_on_one_side_only_is_found() {
    let page = "| key | what |\n|---|---|\n| `a.b`, `a.c` | … |\n| `d.*` | `not.a.key` |\n";
    let keys = ["a.b", "d.e", "d.f.g"].map(str::to_owned);
    let found = disagreements(page, &keys);
    assert_eq!(
        found,
        [Violation::new(PAGE, 3, "names `a.c`, which is not written")]
    );
    let keys = ["a.b", "a.c", "d.e", "da"].map(str::to_owned);
    let found = disagreements(page, &keys);
    let expected = "does not name `da`, which is written";
    assert_eq!(found, [Violation::new(PAGE, 1, expected)]);
}

/// What is measured has the settings of what is deployed.
#[test]
fn the_bench_tells_the_allocator_what_the_template_tells_it() {
    let template = crate::functions::template();
    for function in ["InputFunction", "StreamFunction"] {
        let properties = &template["Resources"][function]["Properties"];
        let variables = &properties["Environment"]["Variables"];
        for (name, value) in vernier_tests::stub::load::ALLOCATOR {
            assert_eq!(variables[name], value, "{function}: {name}");
        }
    }
}
