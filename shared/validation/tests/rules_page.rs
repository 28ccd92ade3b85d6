//! docs/rules.md is made from the tables; this says whether it still is.
//!
//! `VERNIER_WRITE_DOCS=1 cargo test -p vernier-validation --test rules_page` writes it anew.
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use vernier_validation::{RuleText, rule_list};

fn page() -> String {
    let rules = rule_list();
    let mut out = format!(
        "# Rules\n\nEvery rule that a verdict can name, by the part that comes first in its id: {} in all. \
         This page is made from the tables in `shared/validation/rules`; a test compares them.\n\n\
         An id is the type whose section of the specification the rule stands in, the property, and what \
         is asked of its value; ids do not change. \"Forgiven\" names the lenient profiles that accept an \
         event that breaks the rule (every profile forgives what `generic` does); each such deviation is \
         recorded all the same, and the strict verdict is always computed.\n\n\
         Every lenient profile forgives the null of a property that is not required, whatever rule it breaks; a \
         null within a list is judged by the rule of the list's elements. A context of Caliper that is spelled \
         with `https`, with capitals in scheme or host, or with a slash at its end breaks `context.caliper` and \
         `envelope.data-version`, and lenient mode judges by the version that it means. [sensors.md](sensors.md) \
         says what known sensors send.\n",
        rules.len()
    );
    let mut parts: BTreeMap<&str, Vec<&RuleText>> = BTreeMap::new();
    for rule in &rules {
        parts
            .entry(rule.id.split('.').next().unwrap_or_default())
            .or_default()
            .push(rule);
    }
    for (part, rules) in parts {
        write!(
            out,
            "\n## {part}\n\n| rule | wants | Caliper | forgiven |\n|---|---|---|---|\n"
        )
        .expect("to a string");
        for rule in rules {
            let forgiven = match rule.forgiven_by.first() {
                Some(&"generic") => "generic".to_owned(),
                _ => rule.forgiven_by.join(", "),
            };
            writeln!(
                out,
                "| `{}` | {} | {} | {forgiven} |",
                rule.id, rule.wants, rule.versions
            )
            .expect("to a string");
        }
    }
    out
}

#[test]
fn the_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    let page = page();
    if std::env::var_os("VERNIER_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/rules.md can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/rules.md is not what the tables say: VERNIER_WRITE_DOCS=1 cargo test -p vernier-validation --test rules_page"
    );
}
