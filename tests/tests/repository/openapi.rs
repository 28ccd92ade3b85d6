//! openapi.json against the template, the constants, the problems and the scopes of the code.

use crate::functions::template;
use crate::tree;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vernier_ledger::limits as ledger;
use vernier_output::{deviations, proofs};
use vernier_tests::bodies::walls::DOORS;
use vernier_tests::openapi::{Operation, PAGE, document, faults, operations, resolved};
use vernier_validation::limits as rules;
use vernier_web::ProblemType;

/// Ends the description of what learners' tokens cannot do.
const NOT_FOR_LEARNERS: &str = "Closed to learners' tokens.";

fn described(operation: &Operation) -> &'static str {
    operation.object["description"].as_str().unwrap_or_default()
}

/// The routes of template.yaml, as the document writes them.
fn deployed() -> BTreeSet<(String, String)> {
    let template = template();
    let resources = template["Resources"].as_object().expect("resources");
    let events = resources
        .values()
        .filter_map(|r| r["Properties"]["Events"].as_object())
        .flatten();
    let is_route = |event: &Value| event["Type"] == "Api" && event["Properties"]["Method"] != "ANY";
    let routes = events.filter(|(_, event)| is_route(event));
    routes
        .map(|(_, event)| {
            let text = |name: &str| event["Properties"][name].as_str().unwrap_or_default();
            (text("Method").to_owned(), text("Path").replace("+}", "}"))
        })
        .filter(|(_, path)| !path.starts_with(PAGE))
        .collect()
}

#[test]
fn the_document_has_the_templates_routes() {
    let one_for_all = |path: &str| match path.starts_with("/reports/") {
        true => "/reports/{report}".to_owned(),
        false => path.to_owned(),
    };
    let documented: BTreeSet<(String, String)> = operations()
        .iter()
        .map(|o| (o.method.to_owned(), one_for_all(o.path)))
        .collect();
    assert_eq!(documented, deployed());
}

/// `DOORS` is what the tests of scopes go by, on every route.
#[test]
fn the_document_has_the_scopes_that_are_tested() {
    let words = |operation: &Operation| {
        let scopes = operation.scopes().into_iter();
        let names: BTreeSet<String> = scopes.map(|s| format!("`{s}`")).collect();
        names.iter().all(|name| described(operation).contains(name))
    };
    let of_the_api = || DOORS.iter().filter(|door| !door.route.starts_with(PAGE));
    let all: BTreeSet<&str> = of_the_api().flat_map(|door| door.scopes()).collect();
    let documented: BTreeSet<_> = operations()
        .iter()
        .map(|o| {
            assert!(words(o), "{}: names its scopes in words", o.path);
            let any = o.needs_token() && o.scopes().is_empty();
            let scopes: BTreeSet<&str> = match any {
                true => all.clone(),
                false => o.scopes().into_iter().collect(),
            };
            let learners = o.needs_token() && !described(o).contains(NOT_FOR_LEARNERS);
            (o.method, o.path.to_owned(), scopes, learners)
        })
        .collect();
    let tested = of_the_api()
        .map(|door| {
            let scopes = door.scopes().into_iter().collect();
            (door.method, door.path(), scopes, door.is_for_learners())
        })
        .collect();
    assert_eq!(documented, tested);
}

#[test]
fn the_document_lists_every_problem() {
    let problem = &document()["components"]["schemas"]["Problem"];
    let types = problem["properties"]["type"]["enum"].as_array();
    let types: BTreeSet<&str> = types
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let known: Vec<String> = ProblemType::ALL.iter().map(|kind| kind.uri()).collect();
    let known = known.iter().map(String::as_str);
    assert_eq!(types, known.chain(["about:blank"]).collect());
    let table = document()["info"]["description"]
        .as_str()
        .unwrap_or_default();
    for kind in ProblemType::ALL {
        let row = format!(
            "| `{}` | {} | {} |",
            kind.uri(),
            kind.status(),
            kind.title()
        );
        assert!(table.contains(&row), "the table has no row {row}");
    }
    // Of a status the kinds that have it.
    let responses = document()["components"]["responses"]
        .as_object()
        .expect("responses");
    for (name, response) in responses {
        let schema = &response["content"]["application/problem+json"]["schema"];
        let of = &schema["allOf"][1]["properties"];
        let mut kinds: Vec<Value> = ProblemType::ALL
            .iter()
            .filter(|kind| of["status"]["const"] == kind.status())
            .map(|kind| Value::from(kind.uri()))
            .collect();
        kinds.push(json!("about:blank"));
        assert_eq!(of["type"]["enum"], Value::from(kinds), "{name}");
    }
}

/// A parameter's default in template.yaml.
fn default_of(parameter: &str) -> u64 {
    let default = &template()["Parameters"][parameter]["Default"];
    default
        .as_u64()
        .unwrap_or_else(|| panic!("{parameter} has no default"))
}

/// The limits as the code has them.
fn limits() -> Vec<(&'static str, u64)> {
    let size = |n: usize| n as u64;
    let time = |n: i64| n.unsigned_abs();
    vec![
        ("BODY_BYTES_MAX", size(ledger::BODY_BYTES_MAX)),
        (
            "BODY_DECOMPRESSED_BYTES_MAX",
            size(ledger::BODY_DECOMPRESSED_BYTES_MAX),
        ),
        ("EVENTS_MAX", size(rules::EVENTS_MAX)),
        ("DEPTH_MAX", size(rules::DEPTH_MAX)),
        ("PAGE_EVENTS_MAX", size(ledger::PAGE_EVENTS_MAX)),
        ("PAGE_BYTES_MAX", size(ledger::PAGE_BYTES_MAX)),
        ("RANGE_SECONDS_MAX", time(ledger::RANGE_SECONDS_MAX)),
        ("LIVE_SECONDS_MAX", time(ledger::LIVE_SECONDS_MAX)),
        ("REPORT_EVENTS_MAX", deviations::REPORT_EVENTS_MAX),
        ("PROOF_READ_BYTES_MAX", proofs::PROOF_READ_BYTES_MAX),
        (
            "TENANT_SCHEMA_TYPES_MAX",
            size(ledger::TENANT_SCHEMA_TYPES_MAX),
        ),
        ("SCHEMA_BYTES_MAX", size(rules::SCHEMA_BYTES_MAX)),
        ("SCHEMA_UNFOLDED_MAX", rules::SCHEMA_UNFOLDED_MAX),
        (
            "TENANT_SCHEMA_WEIGHT_BYTES_MAX",
            size(ledger::TENANT_SCHEMA_WEIGHT_BYTES_MAX),
        ),
        ("TYPE_NAME_BYTES_MAX", size(rules::TYPE_NAME_BYTES_MAX)),
        ("PLAYBACK_RECEIPTS_MAX", size(ledger::PLAYBACK_RECEIPTS_MAX)),
        (
            "PLAYBACK_COLUMN_BYTES_MAX",
            size(ledger::PLAYBACK_COLUMN_BYTES_MAX),
        ),
        ("PLAYBACK_SEALS_MAX", size(ledger::PLAYBACK_SEALS_MAX)),
        ("PLAYBACKS_OPEN_MAX", size(ledger::PLAYBACKS_OPEN_MAX)),
        ("DRY_RUN_RESULTS_MAX", size(ledger::DRY_RUN_RESULTS_MAX)),
        ("DRY_RUN_EXAMPLES_MAX", size(ledger::DRY_RUN_EXAMPLES_MAX)),
        ("RequestsPerSecondMax", default_of("RequestsPerSecondMax")),
        ("RequestsBurstMax", default_of("RequestsBurstMax")),
        (
            "PublicRequestsPerSecondMax",
            default_of("PublicRequestsPerSecondMax"),
        ),
        (
            "PublicRequestsBurstMax",
            default_of("PublicRequestsBurstMax"),
        ),
        (
            "UnknownTokensPerMinuteMax",
            default_of("UnknownTokensPerMinuteMax"),
        ),
    ]
}

/// 4194304 as 4,194,304.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn the_document_states_the_limits_of_the_code() {
    let stated = document()["x-limits"].as_object().expect("x-limits");
    let code = limits();
    let names: BTreeSet<&str> = stated.keys().map(String::as_str).collect();
    assert_eq!(names, code.iter().map(|(name, _)| *name).collect());
    let table = document()["info"]["description"]
        .as_str()
        .unwrap_or_default();
    for (name, limit) in code {
        assert_eq!(stated[name], limit, "{name}");
        let row = table
            .lines()
            .find(|line| line.contains(&format!("(`{name}`)")));
        let row = row.unwrap_or_else(|| panic!("the table has no row for {name}"));
        assert!(row.starts_with(&format!("| {} ", grouped(limit))), "{row}");
    }
    let schemas = &document()["components"]["schemas"];
    for (pointer, limit) in [
        ("/Envelope/properties/data/maxItems", rules::EVENTS_MAX),
        (
            "/EventPage/properties/events/maxItems",
            ledger::PAGE_EVENTS_MAX,
        ),
        (
            "/PlaybackRequest/properties/receipts/maxItems",
            ledger::PLAYBACK_RECEIPTS_MAX,
        ),
        (
            "/PlaybackFilter/properties/actor/maxLength",
            ledger::PLAYBACK_COLUMN_BYTES_MAX,
        ),
        (
            "/Window/properties/missing/maxItems",
            ledger::MISSING_NAMED_MAX,
        ),
    ] {
        assert_eq!(schemas.pointer(pointer), Some(&json!(limit)), "{pointer}");
    }
}

/// Every operation says what it is in whole, once.
#[test]
fn operations_are_complete() {
    let ids: BTreeSet<&str> = operations()
        .iter()
        .map(|o| o.object["operationId"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids.len(), operations().len(), "operationIds differ");
    let tags = document()["tags"].as_array().into_iter().flatten();
    let tags: BTreeSet<&str> = tags.filter_map(|tag| tag["name"].as_str()).collect();
    for operation in operations() {
        let tag = operation.object["tags"][0].as_str().unwrap_or_default();
        assert!(tags.contains(tag), "{}: tag {tag:?}", operation.path);
        assert!(
            operation.object["summary"].is_string(),
            "{}",
            operation.path
        );
        let statuses = operation.object["responses"]
            .as_object()
            .expect("responses");
        for needed in ["401", "403", "500", "503"] {
            let has = statuses.contains_key(needed);
            assert_eq!(has, operation.needs_token(), "{} {needed}", operation.path);
        }
        let inside = operation.path.matches('{').count();
        let given = operation.parameters();
        let given = given.iter().filter(|p| p.place() == "path").count();
        assert_eq!(inside, given, "{}", operation.path);
    }
}

/// What media objects of a part of the document show beside their schemas.
fn examples(
    place: &str,
    content: &'static Value,
    found: &mut Vec<(String, &'static Value, &'static Value)>,
) {
    for (kind, media) in content.as_object().into_iter().flatten() {
        let shown = media["examples"].as_object();
        assert!(
            shown.is_some_and(|e| !e.is_empty()),
            "{place} {kind}: no example"
        );
        for (name, example) in shown.into_iter().flatten() {
            found.push((
                format!("{place} {kind} {name}"),
                &media["schema"],
                &example["value"],
            ));
        }
    }
}

#[test]
fn every_example_is_valid() {
    let mut found = Vec::new();
    for operation in operations() {
        let place = format!("{} {}", operation.method, operation.path);
        examples(
            &place,
            &operation.object["requestBody"]["content"],
            &mut found,
        );
        let responses = operation.object["responses"].as_object();
        for (status, response) in responses.into_iter().flatten() {
            let content = &resolved(response)["content"];
            examples(&format!("{place} {status}"), content, &mut found);
        }
        for parameter in operation.parameters() {
            let example = &parameter.0["example"];
            // Nobody but the service makes cursors.
            if parameter.name() != "cursor" {
                let place = format!("{place} {}", parameter.name());
                found.push((place, parameter.schema(), example));
            }
        }
    }
    assert!(found.len() > 300, "{}", found.len());
    for (place, schema, example) in found {
        assert_eq!(faults(schema, example), [""; 0], "{place}");
    }
}

#[test]
fn the_document_is_formatted() {
    let text = tree::text("functions/output/openapi.json");
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        assert!(
            indent.is_multiple_of(2) && line.trim_end() == line,
            "line {}",
            number + 1
        );
    }
    assert!(text.ends_with("}\n") && !text.contains('\t'));
}

#[test]
fn the_readme_lists_every_route() {
    let readme = tree::text("README.md");
    assert!(readme.contains("/openapi.json"));
    for (method, path) in deployed() {
        let named = readme.contains(&format!("`{method} {path}`"))
            || path.rsplit_once('/').is_some_and(|(before, last)| {
                readme.contains(&format!(
                    "`{method} {before}/pause`, `…/resume`, `…/cancel`"
                )) && ["pause", "resume", "cancel"].contains(&last)
            });
        assert!(named, "README.md does not list {method} {path}");
    }
}
