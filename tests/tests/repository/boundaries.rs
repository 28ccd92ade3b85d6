//! Who may name what: the environment, the SDK, Lambda's types.

use crate::rust::{Source, Token, crate_sources};
use crate::tree::{Violation, report};

/// Whether a path matches a pattern in which `*` stands for one step's rest.
fn is_under(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| match place.split_once('*') {
        Some((before, after)) => path
            .strip_prefix(before)
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(_, rest)| rest.starts_with(after.trim_start_matches('/'))),
        None => path.starts_with(place),
    })
}

/// Lines that read the environment through the standard library.
fn environment_lines(source: &Source) -> Vec<usize> {
    let mut lines = source.find(&["std", ":", ":", "env"]);
    lines.extend(source.find(&["env", ":", ":"]));
    for (at, token) in source
        .tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| t.text == "use")
    {
        let statement = source.tokens[at..].iter().take_while(|t| t.text != ";");
        let texts: Vec<&str> = statement.map(|t| t.text.as_str()).collect();
        if texts.get(1) == Some(&"std") && texts.contains(&"env") {
            lines.push(token.line);
        }
    }
    lines.sort_unstable();
    lines.dedup();
    lines
}

fn environment_readers(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        if !is_under(
            &source.path,
            &[
                "shared/aws/src/environment.rs",
                "functions/*/src/context.rs",
                "cli/",
                "tests/",
            ],
        ) {
            let of = |line| Violation::new(&source.path, line, "reads the environment");
            found.extend(environment_lines(source).into_iter().map(of));
        }
        let is_function = is_under(&source.path, &["functions/"]);
        if is_function && !is_under(&source.path, &["functions/*/src/context.rs"]) {
            let of = |line| Violation::new(&source.path, line, "reads settings");
            found.extend(source.find(&["environment"]).into_iter().map(of));
        }
    }
    found
}

/// Identifiers outside of the places that may use them.
fn named(sources: &[Source], is_meant: impl Fn(&str) -> bool, allowed: &[&str]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|s| !is_under(&s.path, allowed)) {
        let meant = source.tokens.iter().filter(|t| is_meant(&t.text));
        found.extend(meant.map(|Token { text, line }| {
            Violation::new(&source.path, *line, format!("names {text}"))
        }));
    }
    found
}

fn is_sdk(name: &str) -> bool {
    [
        "aws_sdk_",
        "aws_config",
        "aws_smithy_",
        "aws_credential_types",
        "aws_types",
    ]
    .iter()
    .any(|p| name.starts_with(p))
}

fn is_trigger_type(name: &str) -> bool {
    name == "aws_lambda_events"
        || name.starts_with("ApiGateway")
        || name.starts_with("KinesisEvent")
        || name.starts_with("EventBridgeEvent")
}

/// The SDK's one place, the test harness that looks into the deployed bucket behind the ledger's back, and where the
/// counting endpoints of tests are found.
const SDK_PLACES: [&str; 3] = [
    "shared/aws/",
    "tests/src/deployed.rs",
    "tests/src/stub/config.rs",
];

/// Handlers, what they share, and the test harness that calls them.
const HANDLER_PLACES: [&str; 3] = ["functions/*/src/handler.rs", "shared/web/", "tests/"];

#[test]
fn the_environment_has_one_reader() {
    let rule =
        "only context.rs, shared/aws/src/environment.rs and the command read the environment";
    report(rule, environment_readers(crate_sources()));
}

#[test]
fn the_sdk_has_one_place() {
    report(
        "only shared/aws names the AWS SDK",
        named(crate_sources(), is_sdk, &SDK_PLACES),
    );
}

#[test]
fn trigger_types_stay_in_handlers() {
    let rule = "only handler.rs and shared/web name the types of triggers and answers";
    report(
        rule,
        named(crate_sources(), is_trigger_type, &HANDLER_PLACES),
    );
}

#[test]
fn the_runtime_stays_in_handlers_and_main() {
    let places = [&HANDLER_PLACES[..], &["functions/*/src/main.rs"]].concat();
    let is_runtime = |name: &str| matches!(name, "lambda_runtime" | "LambdaEvent" | "lambda_http");
    report(
        "only handler.rs and main.rs name the Lambda runtime",
        named(crate_sources(), is_runtime, &places),
    );
}

#[test]
fn trespassers_are_found() {
    let text = "use std::{env, fs};\nfn f() {\n    env::var(\"X\");\n    let env = 1;\n    option_env!(\"Y\");\n}\nuse aws_sdk_s3::Client;\n";
    let source = Source::parse("functions/x/src/lib.rs", text);
    assert_eq!(environment_lines(&source), [1, 3]);
    assert_eq!(environment_readers(std::slice::from_ref(&source)).len(), 2);
    let context = Source::parse("functions/x/src/context.rs", text);
    assert_eq!(environment_readers(&[context]), []);
    assert_eq!(
        named(&[source], is_sdk, &SDK_PLACES),
        [Violation::new(
            "functions/x/src/lib.rs",
            7,
            "names aws_sdk_s3"
        )]
    );
    assert!(is_under("functions/a/src/handler.rs", &HANDLER_PLACES));
    assert!(!is_under("functions/a/src/lib.rs", &HANDLER_PLACES));
}
