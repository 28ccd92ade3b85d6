//! An item is judged the same whatever items came before it.
use serde_json::{Map, Value, json};

use crate::{
    Item, Mode, Policy, Profile, mutation, read_envelope,
    rules::{Class, TABLES, TypeRow, Version},
    scan::{Key, Scanner, Tape},
    shapes::Shapes,
};

const AROUND: &str =
    r#"{"sensor":"https://example.edu","sendTime":"2018-11-15T10:15:00.000Z","dataVersion":"#;

fn envelope(version: Version, items: &[String]) -> String {
    let version = mutation::CONTEXTS[version as usize];
    format!("{AROUND}\"{version}\",\"data\":[{}]}}", items.join(","))
}

/// Values that some rule takes and another does not.
fn others() -> [Value; 15] {
    [
        json!(""),
        json!("two words"),
        json!("line\nand \"quote\""),
        json!("https://example.edu/2?a=b"),
        json!("https://example.edu/a b"),
        json!("_:b2"),
        json!("urn:uuid:00000000-0000-4000-8000-000000000000"),
        json!("2026-02-28T23:59:59.999Z"),
        json!("2026-02-29T23:59:59.999Z"),
        json!("P1W"),
        json!("SurveyProfile"),
        json!(-7),
        json!(2.25),
        json!(true),
        json!(null),
    ]
}

/// The document with each of its plain values replaced by every third of the others, by turns.
fn changed(document: &Value, turn: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut places = Vec::new();
    leaves(document, String::new(), &mut places);
    for (at, place) in places.into_iter().enumerate() {
        for other in others().into_iter().skip((at + turn) % 3).step_by(3) {
            let mut copy = document.clone();
            *copy.pointer_mut(&place).expect("a place of the document") = other;
            all.push(copy);
        }
    }
    all
}

fn leaves(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            leaves(member, format!("{place}/{key}"), places);
        }),
        Value::Array(elements) => elements.iter().enumerate().for_each(|(at, element)| {
            leaves(element, format!("{place}/{at}"), places);
        }),
        _ => places.push(place),
    }
}

/// A document with every property that its type has.
fn full(version: Version, row: &'static TypeRow) -> Map<String, Value> {
    let mut document = mutation::document(version, row.name);
    for key in 1..=TABLES.keys.len() as u16 {
        if row.rules[usize::from(key)] != 0 && row.conditions.iter().all(|c| c.key != key) {
            let good = mutation::good(version, row, mutation::rule_of(row, key));
            document.entry(TABLES.keys.name(key)).or_insert(good);
        }
    }
    // In 1.0 no property of the tables, and looked at all the same.
    document.entry("profile").or_insert("GeneralProfile".into());
    document
}

fn same_as_alone(version: Version, items: &[String], policy: &Policy<'_>) {
    let body = envelope(version, items);
    let read = read_envelope(body.as_bytes(), policy).expect("an envelope");
    let judged = |item: &Item<'_>| format!("{:?}", (&item.verdict, &item.columns));
    for (item, sent) in read.items.iter().zip(items) {
        assert_eq!(item.raw, sent);
        let body = envelope(version, std::slice::from_ref(sent));
        let alone = read_envelope(body.as_bytes(), policy).expect("an envelope");
        assert_eq!(judged(item), judged(&alone.items[0]), "{sent}");
    }
}

/// Each type's documents, changed in one value, between others of the same shape. The lenient
/// mode must not forgive what the strict one would not have seen, so both are tried.
#[test]
fn what_came_before_changes_no_judgement() {
    let policies = [
        Policy::default(),
        Policy::new(Mode::Lenient, Profile::Generic),
    ];
    for (at, (version, row)) in mutation::rows().enumerate() {
        let mut document = full(version, row);
        if row.class != Class::Event {
            document.remove("profile");
        }
        let document = Value::Object(document);
        let own = json!([{"x": "http://schema.org/x"}, mutation::CONTEXTS[version as usize]]);
        let mut mapped = document.clone();
        mapped["@context"] = own;
        mapped["x"] = json!({"type": "Thing", "of": ["one", 2]});
        let document = [document, mapped][at % 2].clone();
        let alone = envelope(version, &[document.to_string()]);
        let read = read_envelope(alone.as_bytes(), &policies[0]).expect("an envelope");
        assert!(read.items[0].verdict.strict_accepted, "{document:#}");
        // So few that the paths are not given up however many leave them.
        for part in changed(&document, at).chunks(30) {
            let mut items = vec![document.to_string()];
            items.extend(part.iter().map(Value::to_string));
            items.push(document.to_string());
            same_as_alone(version, &items, &policies[at / 2 % 2]);
        }
    }
}

/// The paths are there to be followed, and are left where a value is not as wanted.
#[test]
fn paths_are_followed_and_left() {
    let event = |id: &str, time: &str, name: &str, size: &str| {
        format!(
            r#"{{"@context":"http://purl.imsglobal.org/ctx/caliper/v1p2","id":"urn:uuid:{id}","type":"ViewEvent","actor":{{"id":"https://example.edu/1","type":"Person","name":"{name}"}},"action":"Viewed","object":{{"id":"_:o","type":"Document"}},"eventTime":"{time}","extensions":{{"size":{size}}}}}"#
        )
    };
    let (id, time) = (
        "c3ba4c01-1f17-46e0-85dd-1e366e6ebb81",
        "2018-11-15T10:15:00.000Z",
    );
    let first = event(id, time, "Jane", "1");
    let mut scanner = Scanner::new(&first);
    let (mut tape, mut shapes) = (Tape::default(), Shapes::default());
    scanner
        .value(&mut tape, Key::default(), 1)
        .expect("an object");
    let policy = Policy::default();
    crate::item::judge(&first, &tape, None, &policy, Some(&mut shapes));
    let mut follows = |item: String| {
        // The learned places are in the first's text.
        let both = format!("{first}{item}");
        let mut scanner = Scanner::new(&both);
        scanner.at = first.len();
        let followed = shapes.follow(&mut scanner).is_some();
        assert_eq!(scanner.at == both.len(), followed);
        followed
    };
    assert!(follows(first.clone()));
    assert!(follows(event(
        "00000000-0000-4000-8000-000000000000",
        "2026-02-28T00:00:00.000Z",
        "Zoë “\\u00e9”",
        "-1.5e3"
    )));
    for left in [
        event("not-a-uuid", time, "Jane", "1"),
        event(id, "2026-02-29T00:00:00.000Z", "Jane", "1"),
        event(id, time, "\\ud800", "1"),
        event(id, time, "a\u{1}b", "1"),
        event(id, time, "Jane", "01"),
        event(id, time, "Jane", "\"1\""),
        first.replace("Viewed", "Paused"),
        first.replace("ViewEvent", "MediaEvent"),
        first.replace("_:o", "o"),
        first.replace("{\"size", " {\"size"),
        first[..first.len() - 1].to_owned(),
    ] {
        assert!(!follows(left.clone()), "{left}");
    }
}
