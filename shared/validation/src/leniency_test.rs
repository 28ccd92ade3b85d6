//! What every lenient profile lets pass, over all types and properties of the tables.
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{
    Mode, Policy, Profile, SUPPORTED_VERSIONS,
    mutation::{CONTEXTS, document, minimal, rows, rule_of, types_of},
    read_document, read_envelope,
    rules::{TABLES, TypeRow, ValueKind, Version},
};

const TIME: &str = "2018-11-15T10:15:00.000Z";

fn envelope(version: &Value, data: Value) -> String {
    json!({"sensor": "https://s.example/1", "sendTime": TIME, "dataVersion": version, "data": [data]})
        .to_string()
}

fn lenient() -> impl Iterator<Item = Policy<'static>> {
    Profile::ALL
        .into_iter()
        .map(|profile| Policy::new(Mode::Lenient, profile))
}

/// Holds a document against every lenient profile; whether strict takes it.
fn accepted_leniently(document: &Value) -> bool {
    let text = document.to_string();
    for policy in lenient() {
        let read = read_document(text.as_bytes(), &policy).expect("JSON");
        let verdict = &read.items[0].verdict;
        assert!(verdict.accepted, "{}: {text}: {verdict:?}", policy.profile);
        assert_eq!(
            verdict.strict_accepted,
            verdict.deviations.is_empty(),
            "{text}"
        );
    }
    let strict = read_document(text.as_bytes(), &Policy::default()).expect("JSON");
    strict.items[0].verdict.accepted
}

#[test]
fn every_profile_takes_null_for_every_optional_property() {
    let mut refused_by_strict = 0;
    for (version, row) in rows() {
        let base = document(version, row.name);
        for key in 1..=TABLES.keys.len() as u16 {
            let index = row.rules[usize::from(key)];
            if index == 0 || row.required.iter().any(|(required, _)| *required == key) {
                continue;
            }
            let mut with_null = base.clone();
            with_null.insert(TABLES.keys.name(key).to_owned(), Value::Null);
            let strict = accepted_leniently(&Value::Object(with_null));
            let kind = TABLES.rules[usize::from(index) - 1].kind;
            let wanted = version == Version::V1p0
                || !matches!(
                    kind,
                    ValueKind::Entity | ValueKind::Selector | ValueKind::Time | ValueKind::Duration
                );
            if strict != wanted {
                assert!(
                    ["Uuid", "Id", "Span"].contains(&format!("{kind:?}").as_str()),
                    "{} {}: strict {strict}",
                    row.name,
                    TABLES.keys.name(key)
                );
            }
            refused_by_strict += u32::from(!strict);
        }
    }
    assert!(refused_by_strict > 100, "{refused_by_strict}");
}

#[test]
fn more_nulls_than_are_listed_are_taken_too() {
    let person = json!({"id": "https://s.example/u", "type": "Person"});
    let nulls: Vec<Value> = (0..40)
        .map(|n| {
            json!({"id": format!("https://s.example/g/{n}"), "type": "Group", "subOrganizationOf": null})
        })
        .collect();
    let mut event = document(Version::V1p2, "Event");
    event.insert("actor".into(), person);
    event.insert(
        "group".into(),
        json!({"id": "_:g", "type": "Group", "members": nulls}),
    );
    let text = Value::Object(event.clone()).to_string();
    for policy in lenient() {
        let read = read_document(text.as_bytes(), &policy).expect("JSON");
        assert!(read.items[0].verdict.accepted, "{}", policy.profile);
        assert!(!read.items[0].verdict.strict_accepted);
    }
    let strict = read_document(text.as_bytes(), &Policy::default()).expect("JSON");
    assert!(!strict.items[0].verdict.accepted);
    assert!(strict.items[0].verdict.deviations.is_empty());
}

#[test]
fn null_for_what_makes_an_event_one_is_rejected() {
    let base = document(Version::V1p2, "Event");
    for name in ["actor", "action", "object", "eventTime", "type"] {
        let mut with_null = base.clone();
        with_null.insert(name.into(), Value::Null);
        let text = Value::Object(with_null).to_string();
        for policy in lenient() {
            let read = read_document(text.as_bytes(), &policy).expect("JSON");
            let forgiven_type = name == "type" && policy.profile != Profile::Generic;
            assert!(
                !read.items[0].verdict.accepted || forgiven_type,
                "{name}, {}",
                policy.profile
            );
        }
    }
}

fn spellings(context: &str) -> Vec<String> {
    let rest = context.strip_prefix("http://").expect("http");
    let path = rest.strip_prefix("purl.imsglobal.org").expect("the host");
    vec![
        format!("https://{rest}"),
        format!("{context}/"),
        format!("https://{rest}/"),
        format!("http://PURL.imsglobal.org{path}"),
    ]
}

#[test]
fn other_spellings_of_a_context_are_deviations() {
    for (version, context) in Version::ALL.into_iter().zip(CONTEXTS) {
        for spelt in spellings(context) {
            let own = "https://s.example/context";
            for context in [json!(spelt), json!([spelt]), json!([own, spelt])] {
                let mut event: Map<String, Value> = document(version, "Event");
                event.insert("@context".into(), context);
                let body = envelope(&json!(spelt), Value::Object(event.clone()));
                for policy in lenient() {
                    let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
                    assert_eq!(read.deviations[0].rule, "envelope.data-version");
                    let verdict = &read.items[0].verdict;
                    assert!(verdict.accepted, "{body}: {verdict:?}");
                    assert!(!read.strict_accepted && !verdict.strict_accepted);
                    let rules: Vec<_> = verdict.deviations.iter().map(|d| &*d.rule).collect();
                    assert_eq!(rules, ["context.caliper"], "{body}");
                }
                let refusal = read_envelope(body.as_bytes(), &Policy::default())
                    .expect_err("strict takes the spelling of the specification alone");
                assert_eq!(refusal.kind, crate::RefusalKind::UnsupportedVersion);
                assert!(refusal.problems[0].expected.starts_with("http://purl"));
                let body = envelope(&json!(CONTEXTS[version as usize]), Value::Object(event));
                let read = read_envelope(body.as_bytes(), &Policy::default()).expect("an envelope");
                assert_eq!(read.items[0].verdict.problems[0].rule, "context.caliper");
            }
        }
    }
}

#[test]
fn a_misspelt_context_before_the_right_one_is_any_context() {
    let mut event = document(Version::V1p2, "Event");
    let right = CONTEXTS[Version::V1p2 as usize];
    event.insert(
        "@context".into(),
        json!([right.replace("http:", "https:"), right]),
    );
    event.insert("ownTerm".into(), json!(1));
    assert!(accepted_leniently(&Value::Object(event)));
}

#[test]
fn versions_that_are_none_are_refused_in_both_modes() {
    for version in ["v9p9", "v1p0", "v1p2/more", ""] {
        let iri = format!("https://purl.imsglobal.org/ctx/caliper/{version}");
        let body = envelope(&json!(iri), json!({}));
        for policy in lenient().chain([Policy::default()]) {
            let refusal = read_envelope(body.as_bytes(), &policy).expect_err("no version");
            assert_eq!(
                refusal.kind,
                crate::RefusalKind::UnsupportedVersion,
                "{iri}"
            );
        }
    }
    let event = Value::Object(document(Version::V1p2, "Event"));
    let null = envelope(&Value::Null, event);
    assert!(read_envelope(null.as_bytes(), &Policy::default()).is_err());
    for policy in lenient() {
        let read = read_envelope(null.as_bytes(), &policy).expect("an envelope");
        assert_eq!(read.deviations[0].rule, "envelope.data-version");
    }
}

#[test]
fn what_is_offered_is_what_is_taken() {
    assert_eq!(SUPPORTED_VERSIONS, CONTEXTS);
    for (version, offered) in Version::ALL.into_iter().zip(SUPPORTED_VERSIONS) {
        assert_eq!(Version::of_context(offered), Some(version));
        let body = envelope(&json!(offered), Value::Object(document(version, "Event")));
        let read = read_envelope(body.as_bytes(), &Policy::default()).expect("an envelope");
        assert!(read.strict_accepted && read.items[0].verdict.accepted);
    }
}

/// Choices of a generated document, used up one by one; when they are over, the first way is taken.
struct Choices(std::vec::IntoIter<u16>);

impl Choices {
    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().unwrap_or_default()) % bound.max(1)
    }
}

/// The keys of a type's optional properties.
fn optional(row: &TypeRow) -> Vec<u16> {
    let is_required = |key: u16| row.required.iter().any(|(required, _)| *required == key);
    let all = 1..=TABLES.keys.len() as u16;
    all.filter(|key| row.rules[usize::from(*key)] != 0 && !is_required(*key))
        .collect()
}

/// Puts entities into the optional properties of an object of a type, to so many levels, and null into
/// some of those that are left; how many nulls there are then.
fn nest(
    version: Version,
    object: &mut Map<String, Value>,
    levels: usize,
    choices: &mut Choices,
) -> usize {
    let name = object
        .get("type")
        .or_else(|| object.get("@type"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let number = TABLES.type_number(version, name.as_bytes());
    let Some(row) = TABLES.row(version, number) else {
        return 0;
    };
    let (keys, mut nulls) = (optional(row), 0);
    for _ in 0..choices.below(4) {
        let Some(&key) = keys.get(choices.below(keys.len())) else {
            break;
        };
        let rule = rule_of(row, key);
        let types = types_of(rule.types);
        let child = types[choices.below(types.len())..].first().copied();
        let value = match (rule.kind, child) {
            (ValueKind::Entity | ValueKind::Entities | ValueKind::Selector, Some(child))
                if levels > 0 && row.conditions.iter().all(|c| c.key != key) =>
            {
                let mut entity = minimal(version, child);
                if let Value::Object(members) = &mut entity {
                    nulls += nest(version, members, levels - 1, choices);
                }
                match rule.kind {
                    ValueKind::Entities => json!([entity]),
                    _ => entity,
                }
            }
            _ => {
                nulls += 1;
                Value::Null
            }
        };
        object.insert(TABLES.keys.name(key).to_owned(), value);
    }
    nulls
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    /// Null in the place of any optional property, at any depth, is what every profile lets pass.
    #[test]
    fn every_profile_takes_nested_nulls(
        which in any::<prop::sample::Index>(),
        levels in 0..8usize,
        choices in prop::collection::vec(any::<u16>(), 0..120),
    ) {
        let rows: Vec<(Version, &TypeRow)> = rows().collect();
        let (version, row) = rows[which.index(rows.len())];
        let mut document = document(version, row.name);
        let nulls = nest(version, &mut document, levels, &mut Choices(choices.into_iter()));
        let strict = accepted_leniently(&Value::Object(document));
        prop_assert!(strict || nulls > 0);
    }
}
