//! Every invariant is cited where it is kept.

use crate::tree;
use std::collections::BTreeMap;
use vernier_ledger::Invariant;

/// The invariants that a text cites: by number in a comment, or by name in code.
fn cited(text: &str) -> Vec<Invariant> {
    // Comments break lines anywhere: their markers count as space.
    let space = r"(?:\s|///?|//!|#|\*)+";
    let list = format!(
        r"(?i)\binvariants?{space}([1-8](?:(?:{space})?(?:,|and|to|-|–)(?:{space})?[1-8])*)\b"
    );
    let numbers = regex::Regex::new(&list).expect("a pattern");
    let digits = numbers
        .captures_iter(text)
        .filter_map(|c| c.get(1))
        .flat_map(|m| m.as_str().chars());
    let mut found: Vec<Invariant> = digits
        .filter_map(|c| c.to_digit(10))
        .filter_map(|n| {
            Invariant::ALL
                .into_iter()
                .find(|i| u32::from(i.number()) == n)
        })
        .collect();
    found.extend(
        Invariant::ALL
            .into_iter()
            .filter(|i| text.contains(&format!("Invariant::{i:?}"))),
    );
    found
}

/// Where citations count: code and tests, but neither the definition nor this rule.
fn counts(path: &str) -> bool {
    path.ends_with(".rs")
        && path != "shared/ledger/src/invariant.rs"
        && !path.starts_with("tests/tests/repository/")
}

#[test]
fn every_invariant_is_cited() {
    let mut places: BTreeMap<Invariant, usize> = BTreeMap::new();
    for (_, text) in tree::texts().iter().filter(|(path, _)| counts(path)) {
        for invariant in cited(text) {
            *places.entry(invariant).or_default() += 1;
        }
    }
    let missing: Vec<String> = Invariant::ALL
        .into_iter()
        .filter(|i| !places.contains_key(i))
        .map(|i| i.to_string())
        .collect();
    assert!(
        missing.is_empty(),
        "no code and no test cites: {} (cited: {places:?})",
        missing.join(", ")
    );
}

#[test]
fn citations_are_read() {
    let numbers = |text| {
        cited(text)
            .into_iter()
            .map(Invariant::number)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        numbers("// (invariant\n    /// 5) and invariants 1 and 2, invariant 12, invariant x"),
        [5, 1, 2]
    );
    assert_eq!(numbers("Invariant::Complete.number()"), [3]);
}
