//! Every rule there is, for documentation and tests.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    policy::Profile,
    rules::{Class, Condition, TABLES, Version},
};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleText {
    /// The stable id that problems carry.
    pub id: String,
    /// What it wants.
    pub wants: String,
    /// The versions of Caliper it holds for, as `1.0 1.1 1.2`; empty for JSON and the envelope.
    pub versions: String,
    /// The lenient profiles that let it pass.
    pub forgiven_by: Vec<&'static str>,
}

/// Rules that are no lines of the tables.
const GENERAL: [(&str, &str); 32] = [
    (
        "request.content-type",
        "a request says that its body is application/json in UTF-8",
    ),
    (
        "request.content-encoding",
        "a body is as it is, or compressed with gzip or zstd",
    ),
    ("request.damaged", "a compressed body can be decompressed"),
    (
        "limit.body",
        "a body has at most 4 MiB as it is sent, and 16 MiB decompressed",
    ),
    (
        "limit.rate",
        "a tenant sends no more requests, events and bytes a second than its rates allow",
    ),
    ("json.utf8", "the body is UTF-8"),
    ("json.syntax", "the body is one JSON value"),
    ("json.duplicate-key", "no object has a key twice"),
    (
        "json.number",
        "no number is beyond the range of an IEEE 754 double",
    ),
    ("json.surrogate", "no escape is half a surrogate pair"),
    ("limit.depth", "at most 64 levels of nesting"),
    ("limit.events", "at most 10,000 items in an envelope"),
    (
        "limit.problems",
        "stands for the problems of an item beyond the first 20",
    ),
    ("envelope.empty-body", "the body is not empty"),
    ("envelope.object", "the body is an envelope"),
    (
        "envelope.array",
        "the body is one envelope, not an array of them",
    ),
    (
        "envelope.duplicate-key",
        "the envelope has each property once",
    ),
    (
        "envelope.custom-property",
        "the envelope has sensor, sendTime, dataVersion and data only",
    ),
    (
        "envelope.sensor",
        "sensor is there, a string that is not empty",
    ),
    (
        "envelope.send-time",
        "sendTime is there, as YYYY-MM-DDTHH:mm:ss.SSSZ",
    ),
    (
        "envelope.data-version",
        "dataVersion is there, the IRI of a Caliper context",
    ),
    ("envelope.data", "data is there, an array"),
    ("envelope.data-empty", "data holds one or more items"),
    (
        "time.ahead",
        "an event happened at most 5 minutes after it was received (never rejects, in any mode)",
    ),
    (
        "time.unreadable",
        "a time that a column is taken from can be read (never rejects, in any mode)",
    ),
    ("item.object", "an item of data is an object"),
    ("context.required", "an event or entity has a @context"),
    (
        "context.form",
        "@context is an IRI or a list of IRIs and objects",
    ),
    ("context.caliper", "@context names the Caliper context"),
    ("context.last", "the Caliper context is the last of a list"),
    (
        "context.data-version",
        "the item's context is of the version that the envelope's dataVersion names",
    ),
    (
        "endpoint.configuration",
        "an endpoint configuration has its properties in their form and no others",
    ),
];

/// Rules of types and properties in general.
const OF_TYPES: [(&str, &str); 2] = [
    (
        "type.unknown",
        "type is a type of the version, or a term of a context that the item names",
    ),
    (
        "property.unknown",
        "a property is one of the type, in extensions, or a term of a context that the item names",
    ),
];

/// Rules of domain events.
const OF_DOMAIN: [(&str, &str); 2] = [
    (
        "domain.schema",
        "a domain event is as its registered JSON Schema wants it",
    ),
    (
        "domain.size",
        "a domain event is within the bounds for checking it",
    ),
];

/// All rules, by id.
pub fn rule_list() -> Vec<RuleText> {
    let mut found: BTreeMap<String, (String, Vec<&'static str>)> = BTreeMap::new();
    let general = GENERAL
        .iter()
        .chain(&OF_DOMAIN)
        .map(|(id, wants)| (id, wants, ""));
    for (id, wants, version) in general.chain(
        OF_TYPES
            .iter()
            .map(|(id, wants)| (id, wants, "1.0 1.1 1.2")),
    ) {
        found.insert((*id).to_owned(), ((*wants).to_owned(), vec![version]));
    }
    for (version, name) in Version::ALL.into_iter().zip(["1.0", "1.1", "1.2"]) {
        for (id, wants) in of_version(version) {
            let entry = found.entry(id).or_default();
            entry.0 = wants;
            if entry.1.last() != Some(&name) {
                entry.1.push(name);
            }
        }
    }
    found
        .into_iter()
        .map(|(id, (wants, versions))| RuleText {
            forgiven_by: forgiven_by(&id),
            versions: versions.join(" "),
            id,
            wants,
        })
        .collect()
}

fn forgiven_by(id: &str) -> Vec<&'static str> {
    let json = id.starts_with("json.") || id.starts_with("domain.") || id.starts_with("limit.");
    let profiles = Profile::ALL
        .into_iter()
        .filter(|p| !json && crate::lenient::forgives(*p, id));
    profiles.map(Profile::name).collect()
}

fn of_version(version: Version) -> Vec<(String, String)> {
    let tables = &*TABLES;
    let mut out = Vec::new();
    for row in tables.models[version as usize].types.iter().flatten() {
        for (key, owner) in &row.required {
            let name = tables.keys.name(*key);
            out.push((
                format!("{owner}.{name}.required"),
                format!("{owner} has {name}"),
            ));
        }
        for rule in row
            .rules
            .iter()
            .filter(|r| **r != 0)
            .map(|r| &tables.rules[usize::from(*r) - 1])
        {
            for (aspect, wants) in rule.kind.aspects() {
                if *aspect == "actions" && rule.wanted.starts_with("any") {
                    continue;
                }
                let owner = if rule.property == "action" && *aspect == "term" {
                    "Event"
                } else {
                    rule.owner
                };
                let more = if rule.wanted.is_empty() || *aspect == "list" || owner != rule.owner {
                    String::new()
                } else {
                    format!(": {}", rule.wanted)
                };
                out.push((
                    format!("{owner}.{}.{aspect}", rule.property),
                    format!("{wants}{more}"),
                ));
            }
        }
        if row.class == Class::Event {
            out.extend(row.conditions.iter().map(condition));
        }
    }
    for profile in tables.profiles.iter().filter(|_| version != Version::V1p0) {
        if !profile.any {
            out.push((
                profile.id.to_owned(),
                format!("an event of the profile is a {}", profile.wanted),
            ));
        }
        out.extend(profile.conditions.iter().map(condition));
    }
    out
}

fn condition(condition: &Condition) -> (String, String) {
    let name = TABLES.keys.name(condition.key);
    let wants = if condition.required {
        format!("{name} is there")
    } else {
        format!("{name} is a {}", condition.wanted)
    };
    (condition.id.to_owned(), wants)
}
