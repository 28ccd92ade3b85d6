//! docs/tables.md names everything that lies in the stores.

use crate::functions::template;
use crate::rust::{Source, crate_sources};
use crate::tree::{self, Violation, report};

const PAGE: &str = "docs/tables.md";

/// Fixed beginnings of DynamoDB keys in a source: text up to its first `#` in formatted keys, and
/// plain keys that are handed to the attribute constructor.
fn key_prefixes(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (text, line) in source.strings() {
        if let Some((word, _)) = text.split_once('#')
            && !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase())
        {
            found.push((format!("{word}#"), line));
        }
    }
    for window in source.tokens.windows(4) {
        let [call, open, literal, close] = window else {
            continue;
        };
        if call.text == "s"
            && open.text == "("
            && close.text == ")"
            && literal.text.starts_with('"')
        {
            found.push((literal.text.trim_matches('"').to_owned(), literal.line));
        }
    }
    found
}

/// Attributes that a source writes or reads by name.
fn attributes(source: &Source) -> Vec<(String, usize)> {
    let callers = [
        "item",
        "key",
        "text",
        "text_if_any",
        "number",
        "bytes32",
        "json",
        "get",
        "expression_attribute_names",
    ];
    let mut found = Vec::new();
    for (at, window) in source.tokens.windows(3).enumerate() {
        let [call, open, first] = window else {
            continue;
        };
        if !callers.contains(&call.text.as_str()) || open.text != "(" {
            continue;
        }
        // The placeholder comes first where names are mapped: `expression_attribute_names("#x", "x")`.
        let literal = if first.text.starts_with("\"#") {
            source.tokens.get(at + 4)
        } else {
            Some(first)
        };
        if let Some(literal) = literal.filter(|t| t.text.starts_with('"')) {
            found.push((literal.text.trim_matches('"').to_owned(), literal.line));
        }
    }
    found
}

/// Beginnings of object keys in a source: everything before the date.
fn object_prefixes(source: &Source) -> Vec<(String, usize)> {
    let dated = source.strings().into_iter().filter_map(|(text, line)| {
        let (prefix, _) = text.split_once("dt={")?;
        Some((prefix.to_owned(), line))
    });
    dated.collect()
}

fn unmentioned(page: &str, source: &Source, names: Vec<(String, usize)>) -> Vec<Violation> {
    let missing = names
        .into_iter()
        .filter(|(name, _)| !is_mentioned(page, name));
    missing
        .map(|(name, line)| {
            Violation::new(
                &source.path,
                line,
                format!("{PAGE} does not mention `{name}`"),
            )
        })
        .collect()
}

/// Whether the page has the name in code type: alone, or as the beginning of a key.
fn is_mentioned(page: &str, name: &str) -> bool {
    let prefix = name.ends_with('#') || name.ends_with('/');
    page.contains(&format!("`{name}`")) || (prefix && page.contains(&format!("`{name}")))
}

fn adapters() -> Vec<&'static Source> {
    crate_sources()
        .iter()
        .filter(|s| s.path.starts_with("shared/aws/src/"))
        .collect()
}

#[test]
fn every_key_prefix_is_in_the_tables_page() {
    let page = tree::text(PAGE);
    let adapters = adapters();
    let all: Vec<String> = adapters
        .iter()
        .copied()
        .flat_map(key_prefixes)
        .map(|(name, _)| name)
        .collect();
    for known in [
        "receipts#",
        "segments#",
        "cursor#",
        "token#",
        "tenant#",
        "windows#",
        "results#",
        "tenants",
    ] {
        assert!(
            all.iter().any(|name| name == known),
            "the rule did not find {known} in the adapters: {all:?}"
        );
    }
    report(
        "every key prefix is in docs/tables.md",
        adapters
            .iter()
            .flat_map(|s| unmentioned(&page, s, key_prefixes(s)))
            .collect(),
    );
}

#[test]
fn every_attribute_is_in_the_tables_page() {
    let page = tree::text(PAGE);
    let adapters = adapters();
    let all: Vec<String> = adapters
        .iter()
        .copied()
        .flat_map(attributes)
        .map(|(name, _)| name)
        .collect();
    for known in ["pk", "record", "placed", "ttl", "next_position", "sha256"] {
        assert!(
            all.iter().any(|name| name == known),
            "the rule did not find {known} in the adapters: {all:?}"
        );
    }
    report(
        "every attribute is in docs/tables.md",
        adapters
            .iter()
            .flat_map(|s| unmentioned(&page, s, attributes(s)))
            .collect(),
    );
}

#[test]
fn every_object_prefix_is_in_the_tables_page() {
    let page = tree::text(PAGE);
    let sources = crate_sources();
    let all: Vec<String> = sources
        .iter()
        .flat_map(object_prefixes)
        .map(|(name, _)| name)
        .collect();
    for known in ["segments/", "quarantine/frames/", "oversize/"] {
        assert!(
            all.iter().any(|name| name == known),
            "the rule did not find {known} in the sources: {all:?}"
        );
    }
    let mut found: Vec<Violation> = sources
        .iter()
        .flat_map(|s| unmentioned(&page, s, object_prefixes(s)))
        .collect();
    let template = template();
    let rules = &template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"];
    let rules = rules.as_array().expect("the bucket has lifecycle rules");
    // Nothing that may not be sealed yet expires, nor what is sealed.
    let kept = [
        "segments/",
        "oversize/",
        "archive/",
        "exceptions/",
        "days/",
        "seals/",
        "keys/",
    ];
    for rule in rules.iter().filter(|r| r.get("ExpirationInDays").is_some()) {
        let prefix = rule["Prefix"].as_str().unwrap_or_default();
        let hit = kept
            .iter()
            .find(|k| k.starts_with(prefix) || prefix.starts_with(*k));
        assert_eq!(hit, None, "{rule}");
    }
    let prefixes: Vec<&str> = rules.iter().filter_map(|r| r["Prefix"].as_str()).collect();
    assert!(
        !prefixes.is_empty(),
        "the rule did not find a lifecycle prefix in template.yaml"
    );
    let missing = prefixes.iter().filter(|p| !is_mentioned(&page, p));
    found.extend(
        missing
            .map(|p| Violation::new("template.yaml", 1, format!("{PAGE} does not mention `{p}`"))),
    );
    report("every object prefix is in docs/tables.md", found);
}

#[test]
fn what_the_page_leaves_out_is_found() {
    let text = "fn f() {\n    s(format!(\"things#{x}\"));\n    s(\"things\");\n    put.item(\"colour\", s(x));\n    q.expression_attribute_names(\"#c\", \"shape\");\n    format!(\"heap/dt={date}/x\");\n}\n";
    let source = Source::parse("shared/aws/src/things.rs", text);
    let names =
        |list: Vec<(String, usize)>| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(key_prefixes(&source)), ["things#", "things"]);
    assert_eq!(names(attributes(&source)), ["colour", "shape"]);
    assert_eq!(names(object_prefixes(&source)), ["heap/"]);
    assert_eq!(
        unmentioned("`things#{x}` and `colour`", &source, attributes(&source)).len(),
        1
    );
    assert!(is_mentioned("`things#{x}`", "things#") && !is_mentioned("`things#{x}`", "things"));
}
