//! Every rule of the tables, broken by itself in an otherwise valid document made from the tables.
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    Mode, Policy, Profile, read_document, read_envelope, rule_list,
    rules::{Class, Condition, Rule, TABLES, TypeRow, ValueKind as K, Version, has_term, keys},
};

pub(crate) const CONTEXTS: [&str; 3] = [
    "http://purl.imsglobal.org/ctx/caliper/v1/Context",
    "http://purl.imsglobal.org/ctx/caliper/v1p1",
    "http://purl.imsglobal.org/ctx/caliper/v1p2",
];

fn type_value(version: Version, name: &str) -> Value {
    if version != Version::V1p0 {
        return name.into();
    }
    match TABLES
        .aliases
        .iter()
        .find(|(_, n)| TABLES.types.name(*n) == name)
    {
        Some((iri, _)) => (*iri).into(),
        None => format!("{}{name}", TABLES.type_prefixes[0]).into(),
    }
}

fn action_value(version: Version, name: &str) -> Value {
    match version {
        Version::V1p0 => format!("{}{name}", TABLES.action_prefix).into(),
        _ => name.into(),
    }
}

/// The types of a set, by name.
pub(crate) fn types_of(set: u128) -> Vec<&'static str> {
    (0..128u16)
        .filter(|n| set >> n & 1 == 1)
        .map(|n| TABLES.types.name(n))
        .collect()
}

fn row(version: Version, name: &str) -> &'static TypeRow {
    TABLES
        .row(version, TABLES.types.find(name.as_bytes()))
        .expect("a type of the version")
}

/// An action of an event for which nothing more is required.
fn plain_action(row: &TypeRow, rule: &Rule) -> &'static str {
    let needs = |term: u16| {
        row.conditions
            .iter()
            .any(|c| c.required && has_term(&c.action_set, term))
    };
    let term = (1..=TABLES.terms.len() as u16).find(|t| has_term(&rule.terms, *t) && !needs(*t));
    TABLES
        .terms
        .name(term.expect("an action without further needs"))
}

/// A value that a line of the table accepts; entities by reference.
pub(crate) fn good(version: Version, row: &TypeRow, rule: &Rule) -> Value {
    let term = || {
        let found = (1..=TABLES.terms.len() as u16).find(|t| has_term(&rule.terms, *t));
        TABLES.terms.name(found.expect("a list has terms"))
    };
    match rule.kind {
        K::Type => type_value(version, row.name),
        K::Id | K::Entity => json!("https://example.edu/1"),
        K::Uuid => json!("urn:uuid:c3ba4c01-1f17-46e0-85dd-1e366e6ebb81"),
        K::String => json!("text"),
        K::Strings => json!(["text", "more"]),
        K::Time => json!("2018-11-15T10:15:00.000Z"),
        K::Duration => json!("PT5M21S"),
        K::Span => json!(321),
        K::Decimal => json!(1.5),
        K::Number | K::Integer => json!(1),
        K::Natural => json!(0),
        K::Boolean => json!(true),
        K::Object | K::Free => json!({"any": [1, null, {"@type": "thing"}]}),
        // Any event is in the General Profile; the others are tried one by one below.
        K::Term if rule.property == "profile" => json!("GeneralProfile"),
        K::Term => json!(term()),
        K::Terms => json!([term()]),
        K::Actions => action_value(version, plain_action(row, rule)),
        K::Vocabulary => json!(format!("{}status#Active", TABLES.vocabulary_prefix)),
        K::Vocabularies => json!([format!("{}membership#Learner", TABLES.vocabulary_prefix)]),
        K::Entities => json!(["https://example.edu/1", "_:b1"]),
        K::Selector | K::Identifiers => {
            let plain = minimal(version, types_of(rule.types)[0]);
            if rule.kind == K::Selector {
                plain
            } else {
                json!([plain])
            }
        }
    }
}

pub(crate) fn rule_of(row: &TypeRow, key: u16) -> &'static Rule {
    &TABLES.rules[usize::from(row.rules[usize::from(key)]) - 1]
}

/// The smallest valid object of a type, without a context.
pub(crate) fn minimal(version: Version, name: &str) -> Value {
    let row = row(version, name);
    let mut object = Map::new();
    for (key, _) in &row.required {
        object.insert(
            TABLES.keys.name(*key).to_owned(),
            good(version, row, rule_of(row, *key)),
        );
    }
    Value::Object(object)
}

pub(crate) fn document(version: Version, name: &str) -> Map<String, Value> {
    let Value::Object(mut object) = minimal(version, name) else {
        unreachable!("an object")
    };
    object.insert("@context".to_owned(), CONTEXTS[version as usize].into());
    object
}

/// A type that is not in a set; an event is in none.
fn stranger(version: Version, set: u128) -> Value {
    let candidates = ["Person", "Session", "WebPage", "Event"];
    let name = candidates
        .iter()
        .find(|n| set >> TABLES.types.find(n.as_bytes()) & 1 == 0);
    minimal(version, name.expect("no set has all of them"))
}

/// A value that breaks one aspect of a line.
fn bad(version: Version, rule: &Rule, aspect: &str) -> Value {
    let other = || {
        let all = &TABLES
            .lists
            .iter()
            .find(|(n, _)| *n == "actions")
            .expect("the list of actions")
            .1;
        all.iter()
            .find(|t| !has_term(&rule.terms, **t))
            .map(|t| TABLES.terms.name(*t))
    };
    match (rule.kind, aspect) {
        (_, "id" | "entity") => json!("this is no IRI"),
        (_, "uuid") => json!("https://example.edu/1"),
        (_, "string") => json!(5),
        (_, "list" | "span" | "vocabulary") if rule.kind != K::Vocabularies || aspect == "list" => {
            json!("text")
        }
        (K::Vocabularies, _) => json!(["text"]),
        (K::Strings, "element") => json!(["text", 5]),
        (_, "element") => json!(["this is no IRI"]),
        (_, "element-type") => json!([stranger(version, rule.types)]),
        (_, "time") => json!("2018-11-15T10:15:00Z"),
        (_, "duration") => json!("5 minutes"),
        (_, "decimal") => json!(1),
        (_, "number") => json!("1"),
        (_, "integer") => json!(1.5),
        (_, "natural") => json!(-1),
        (_, "boolean") => json!("yes"),
        (_, "object") => json!("text"),
        (K::Terms, "term") => json!(["Nonsense"]),
        (_, "term") => json!("Nonsense"),
        (_, "actions") => action_value(version, other().expect("an action of another event")),
        (_, "type") => stranger(version, rule.types),
        other => panic!("no bad value for {other:?}"),
    }
}

fn problems(document: &Value) -> Vec<String> {
    let text = document.to_string();
    let read = read_document(
        text.as_bytes(),
        &Policy::new(Mode::Strict, Profile::Generic),
    )
    .expect("JSON");
    read.items[0]
        .verdict
        .problems
        .iter()
        .map(|p| p.rule.to_string())
        .collect()
}

fn expect(document: &Map<String, Value>, rules: &[&str], seen: &mut BTreeSet<String>) {
    let document = Value::Object(document.clone());
    assert_eq!(problems(&document), rules, "{document:#}");
    seen.extend(rules.iter().map(|r| (*r).to_owned()));
}

/// All versions and types that a test runs over.
pub(crate) fn rows() -> impl Iterator<Item = (Version, &'static TypeRow)> {
    Version::ALL.into_iter().flat_map(|v| {
        TABLES.models[v as usize]
            .types
            .iter()
            .flatten()
            .map(move |row| (v, row))
    })
}

#[test]
fn every_line_of_the_tables() {
    let mut seen = BTreeSet::new();
    for (version, row) in rows() {
        let base = document(version, row.name);
        expect(&base, &[], &mut seen);
        for (key, owner) in &row.required {
            let name = TABLES.keys.name(*key);
            let mut mutant = base.clone();
            mutant.remove(name);
            if *key == version.type_key() {
                // Without its type an object is an entity or, with an action, an event.
                let owner = if row.class == Class::Event {
                    "Event"
                } else {
                    "Entity"
                };
                if ["Entity", "Event"].contains(&row.name) {
                    expect(&mutant, &[&format!("{owner}.{name}.required")], &mut seen);
                }
                continue;
            }
            expect(&mutant, &[&format!("{owner}.{name}.required")], &mut seen);
        }
        for key in 1..=TABLES.keys.len() as u16 {
            if row.rules[usize::from(key)] != 0 {
                one_line(version, row, &base, key, &mut seen);
            }
        }
        conditions(version, row, &base, &mut seen);
    }
    profiles(&mut seen);
    general(&mut seen);
    let known: BTreeSet<String> = rule_list().into_iter().map(|rule| rule.id).collect();
    let strangers: Vec<_> = seen.difference(&known).collect();
    assert!(
        strangers.is_empty(),
        "not in the list of rules: {strangers:?}"
    );
    let untested: Vec<_> = known
        .difference(&seen)
        .filter(|id| !elsewhere(id))
        .collect();
    assert!(untested.is_empty(), "no test breaks {untested:?}");
}

/// Rules that other tests break: bodies and envelopes below, bounds, domain events, plain objects'
/// types within their owners.
fn elsewhere(id: &str) -> bool {
    [
        "json.",
        "request.",
        "envelope.",
        "limit.",
        "item.",
        "domain.",
        "endpoint.",
        "time.",
    ]
    .iter()
    .any(|p| id.starts_with(p))
        || [
            "TextPositionSelector.type.required",
            "SystemIdentifier.type.required",
        ]
        .contains(&id)
}

fn one_line(
    version: Version,
    row: &'static TypeRow,
    base: &Map<String, Value>,
    key: u16,
    seen: &mut BTreeSet<String>,
) {
    let (name, rule) = (TABLES.keys.name(key), rule_of(row, key));
    let mut valid = vec![good(version, row, rule)];
    let conditional = row.conditions.iter().any(|c| c.key == key);
    if rule.kind == K::Entity && !conditional {
        valid.extend(
            types_of(rule.types)
                .into_iter()
                .map(|t| minimal(version, t)),
        );
        valid.push(json!("_:blank"));
        valid.push(json!("urn:uuid:c3ba4c01-1f17-46e0-85dd-1e366e6ebb81"));
    }
    if rule.kind == K::Entities {
        valid.push(Value::Array(
            types_of(rule.types)
                .into_iter()
                .map(|t| minimal(version, t))
                .collect(),
        ));
        valid.push(json!([]));
    }
    let required = row.required.iter().any(|(k, _)| *k == key);
    let plain = [
        K::String,
        K::Strings,
        K::Integer,
        K::Natural,
        K::Decimal,
        K::Boolean,
        K::Object,
    ];
    if !required && (version == Version::V1p0 || plain.contains(&rule.kind)) {
        valid.push(Value::Null);
    }
    for value in valid {
        let mut mutant = base.clone();
        mutant.insert(name.to_owned(), value);
        expect(&mutant, &[], seen);
    }
    for (aspect, _) in rule.kind.aspects() {
        if *aspect == "actions" && rule.wanted.starts_with("any") {
            continue;
        }
        let mut mutant = base.clone();
        mutant.insert(name.to_owned(), bad(version, rule, aspect));
        let owner = if rule.property == "action" && *aspect == "term" {
            "Event"
        } else {
            rule.owner
        };
        expect(&mutant, &[&format!("{owner}.{name}.{aspect}")], seen);
    }
}

fn conditions(
    version: Version,
    row: &'static TypeRow,
    base: &Map<String, Value>,
    seen: &mut BTreeSet<String>,
) {
    for condition in &row.conditions {
        let name = TABLES.keys.name(condition.key);
        for term in (1..=TABLES.terms.len() as u16).filter(|t| has_term(&condition.action_set, *t))
        {
            let mut mutant = base.clone();
            mutant.insert(
                "action".to_owned(),
                action_value(version, TABLES.terms.name(term)),
            );
            if condition.required {
                mutant.remove(name);
                expect(&mutant, &[condition.id], seen);
                continue;
            }
            broken_and_kept(version, row, condition, &mutant, seen);
        }
    }
}

/// Types that the general line accepts: those of the condition pass, the others break it.
fn broken_and_kept(
    version: Version,
    row: &TypeRow,
    condition: &Condition,
    base: &Map<String, Value>,
    seen: &mut BTreeSet<String>,
) {
    for name in types_of(rule_of(row, condition.key).types) {
        let allowed = condition.types >> TABLES.types.find(name.as_bytes()) & 1 == 1;
        let mut mutant = base.clone();
        mutant.insert(
            TABLES.keys.name(condition.key).to_owned(),
            minimal(version, name),
        );
        let broken = if allowed { vec![] } else { vec![condition.id] };
        expect(&mutant, &broken, seen);
    }
}

fn profiles(seen: &mut BTreeSet<String>) {
    for version in [Version::V1p1, Version::V1p2] {
        for profile in &TABLES.profiles {
            for row in TABLES.models[version as usize]
                .types
                .iter()
                .flatten()
                .filter(|r| r.class == Class::Event)
            {
                let has = profile.any
                    || profile.events >> TABLES.types.find(row.name.as_bytes()) & 1 == 1;
                let mut mutant = document(version, row.name);
                mutant.insert("profile".to_owned(), profile.name.into());
                expect(
                    &mutant,
                    if has {
                        &[]
                    } else {
                        std::slice::from_ref(&profile.id)
                    },
                    seen,
                );
                for condition in profile.conditions.iter().filter(|c| c.event == row.name) {
                    broken_and_kept(version, row, condition, &mutant, seen);
                }
            }
        }
    }
}

/// What holds for all types.
fn general(seen: &mut BTreeSet<String>) {
    let base = document(Version::V1p2, "Person");
    let mut with = |key: &str, value: Value, rules: &[&str]| {
        let mut mutant = base.clone();
        mutant.insert(key.to_owned(), value);
        expect(&mutant, rules, seen);
    };
    let (caliper, own) = (CONTEXTS[2], "https://example.edu/context");
    with("type", json!("Persn"), &["type.unknown"]);
    with("type", json!(["Person"]), &["type.unknown"]);
    with("nmae", json!("Jane"), &["property.unknown"]);
    with("@type", json!("Person"), &["property.unknown"]);
    with("@context", json!(5), &["context.form"]);
    with("@context", json!([caliper, 5, caliper]), &["context.form"]);
    with("@context", json!(own), &["context.caliper"]);
    with("@context", json!([own]), &["context.caliper"]);
    with("@context", json!([]), &["context.caliper"]);
    with(
        "@context",
        json!({"name": "http://schema.org/name"}),
        &["context.caliper"],
    );
    with("@context", json!([caliper, own]), &["context.last"]);
    with("@context", json!([caliper]), &[]);
    with(
        "@context",
        json!([own, {"x": "http://schema.org/x"}, caliper]),
        &[],
    );
    with(
        "@context",
        json!({"caliper": "http://purl.imsglobal.org/caliper/"}),
        &[],
    );
    with(
        "@context",
        json!("http://purl.imsglobal.org/ctx/caliper/v1p1/ToolUseProfile-extension"),
        &[],
    );
    let mut own_terms = base.clone();
    own_terms.insert("@context".to_owned(), json!([own, caliper]));
    own_terms.insert("shoeSize".to_owned(), json!(43));
    expect(&own_terms, &[], seen);
    own_terms.insert("type".to_owned(), json!("Juggler"));
    expect(&own_terms, &[], seen);
    let mut bare = base.clone();
    bare.remove("@context");
    expect(&bare, &["context.required"], seen);
    let mut nested = document(Version::V1p2, "Event");
    nested.insert("object".to_owned(), json!({"@context": {"mass": "http://schema.org/weight"}, "id": "_:o", "type": "Document", "mass": 5}));
    expect(&nested, &[], seen);
    nested.insert(
        "object".to_owned(),
        json!({"@context": caliper, "id": "_:o", "type": "Document", "mass": 5}),
    );
    expect(&nested, &["property.unknown"], seen);
    let event = Value::Object(document(Version::V1p1, "Event"));
    let envelope = json!({"sensor": "s", "sendTime": "2018-11-15T10:15:00.000Z", "dataVersion": caliper, "data": [event]}).to_string();
    let read = read_envelope(envelope.as_bytes(), &Policy::default()).expect("an envelope");
    assert_eq!(
        read.items[0].verdict.problems[0].rule,
        "context.data-version"
    );
    seen.insert("context.data-version".to_owned());
    assert_eq!(keys::NAMES.len(), keys::COUNT);
}
