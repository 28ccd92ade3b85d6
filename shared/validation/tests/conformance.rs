//! The official valid and malformed examples.
//!
//! One file of malformed/v1p2 is no JSON at all, against its name, and is refused as such:
//! caliperEntitySurvey-MalformedItemsContainsWrongEntityType.json ends a list with a comma.
#![allow(clippy::print_stdout)]
use std::collections::BTreeSet;

use vernier_validation::{
    Mode, Policy, Problem, Profile, RefusalKind, Shape, read_document, rule_list,
};

#[path = "common/suite.rs"]
mod suite;

const STRICT: Policy<'_> = Policy::new(Mode::Strict, Profile::Generic);

#[test]
fn every_valid_document_is_accepted() {
    let (mut documents, mut items) = (0, 0);
    for folder in ["valid/v1p0", "valid/v1p1", "valid/v1p2"] {
        for (name, body) in suite::files(folder) {
            let read = read_document(&body, &STRICT)
                .unwrap_or_else(|refusal| panic!("{folder}/{name}: {refusal}"));
            assert!(read.strict_accepted, "{folder}/{name}");
            assert!(!read.items.is_empty(), "{folder}/{name}");
            for item in &read.items {
                assert!(
                    item.verdict.strict_accepted,
                    "{folder}/{name}: {:#?}",
                    item.verdict.problems
                );
                assert!(
                    read.shape == Shape::EndpointConfiguration || item.columns.type_name.is_some()
                );
            }
            documents += 1;
            items += read.items.len();
        }
    }
    println!("valid: {documents} documents with {items} items, all accepted");
}

/// The properties there are, the longest first, so that a name's beginning finds the right one.
fn properties() -> Vec<String> {
    let all: BTreeSet<String> = rule_list()
        .iter()
        .filter_map(|rule| rule.id.split('.').nth(1).map(str::to_owned))
        .collect();
    let mut all: Vec<String> = all.into_iter().collect();
    all.sort_by_key(|name| std::cmp::Reverse(name.len()));
    all
}

/// What a file name says: the pointer's first token and how the rule's id may end.
fn expectation(name: &str, properties: &[String]) -> (String, Vec<&'static str>) {
    let what = name
        .rsplit_once('-')
        .map_or(name, |(_, what)| what)
        .trim_end_matches(".json");
    match what {
        "UnknownContext" => return ("@context".into(), vec!["context.caliper"]),
        "UnknownEntityType" | "UnknownEventType" => return ("type".into(), vec!["type.unknown"]),
        "UnknownAction" => return ("action".into(), vec![".term"]),
        "WrongAction" => return ("action".into(), vec![".actions"]),
        _ => {}
    }
    for prefix in ["Null", "No"] {
        if let Some(property) = what.strip_prefix(prefix) {
            return (lower(property), vec![".required", ".required-for-Launched"]);
        }
    }
    let rest = what
        .strip_prefix("Malformed")
        .or_else(|| what.strip_prefix("Malfromed"))
        .unwrap_or_else(|| panic!("{name}"));
    // Names that are spelt otherwise than the property they are about.
    let rest = [
        ("CreationDate", "DateCreated"),
        ("ModifiedDate", "DateModified"),
        ("IsTimeDependant", "IsTimeDependent"),
        ("Generatable", "Generated"),
    ]
    .iter()
    .fold(rest.to_owned(), |rest, (from, to)| rest.replace(from, to));
    let lowered = lower(&rest);
    let property = properties
        .iter()
        .find(|p| lowered.starts_with(p.as_str()))
        .unwrap_or_else(|| panic!("{name}"));
    (property.clone(), endings(&lowered[property.len()..]))
}

fn lower(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

fn endings(aspect: &str) -> Vec<&'static str> {
    const VALUES: [&str; 11] = [
        ".string",
        ".integer",
        ".natural",
        ".decimal",
        ".boolean",
        ".object",
        ".entity",
        ".time",
        ".duration",
        ".list",
        ".id",
    ];
    match aspect {
        a if a.contains("EntityType") => vec![".type", ".element-type"],
        a if a.contains("Wrong") || a.contains("Mismatched") => {
            vec![".type", ".element-type", ".element"]
        }
        a if a.contains("NotAList") => vec![".list", ".object"],
        a if a.contains("DateTime") => vec![".time"],
        "" => vec![".time"],
        a if a.contains("Duration") => vec![".duration"],
        a if a.contains("UnknownValue") => vec![".term"],
        a if a.contains("NotPresent") => vec![".required"],
        a if a.contains("NoValue") => vec![".entity"],
        a if a.starts_with("NotA") => VALUES.to_vec(),
        other => panic!("nothing is known about {other:?}"),
    }
}

fn fits(problem: &Problem, token: &str, endings: &[&str]) -> bool {
    let pointed = problem.pointer.split('/').any(|t| t == token);
    pointed && endings.iter().any(|ending| problem.rule.ends_with(ending))
}

#[test]
fn every_malformed_document_is_rejected_for_what_its_name_says() {
    let properties = properties();
    let (mut documents, mut refused) = (0, Vec::new());
    for (name, body) in suite::files("malformed/v1p2") {
        documents += 1;
        match read_document(&body, &STRICT) {
            Err(refusal) if refusal.kind == RefusalKind::NotJson => refused.push(name),
            Err(refusal) => panic!("{name}: {refusal}"),
            Ok(read) => {
                let (token, endings) = expectation(&name, &properties);
                let problems: Vec<&Problem> = read
                    .items
                    .iter()
                    .flat_map(|i| &i.verdict.problems)
                    .collect();
                assert!(!problems.is_empty(), "{name} was accepted");
                assert!(
                    problems.iter().any(|p| fits(p, &token, &endings)),
                    "{name}: wanted {token} {endings:?}, got {problems:#?}"
                );
                assert!(
                    problems.iter().all(|p| !p.clause.is_empty()
                        && !p.message.is_empty()
                        && !p.found.is_empty())
                );
            }
        }
    }
    if documents > 0 {
        assert!(refused.contains(
            &"caliperEntitySurvey-MalformedItemsContainsWrongEntityType.json".to_owned()
        ));
    }
    println!(
        "malformed: {documents} documents, all rejected, {} of them as no JSON: {refused:?}",
        refused.len()
    );
}
