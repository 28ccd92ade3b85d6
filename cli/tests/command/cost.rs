use super::service::{Ran, vernier};
use serde_json::{Value, json};
use std::fs;

fn cost(args: &[&str]) -> Ran {
    let all = [&["cost"], args].concat();
    Ran::of(vernier(&all).output().expect("the command starts"))
}

fn number(value: &Value, pointer: &str) -> f64 {
    let found = value.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("{pointer} in {value}"))
}

#[test]
fn the_reference_load_is_the_default_and_adds_up() {
    let answer = cost(&["--json"]).json();
    let services = [
        "api_gateway",
        "lambda",
        "kinesis",
        "dynamodb",
        "s3",
        "cloudwatch",
        "kms",
        "sns",
    ];
    for size in ["envelope_100", "envelope_1"] {
        let part = |name: &str| number(&answer, &format!("/cost/{size}/{name}"));
        let sum: f64 = services.iter().map(|name| part(name)).sum();
        assert!((sum - part("total")).abs() < 1e-6, "{size}");
    }
    let total = number(&answer, "/per_billion/total");
    assert!((total - number(&answer, "/cost/envelope_100/total")).abs() < 1e-6);
    assert!(total < number(&answer, "/beside/naive/total"));
    assert_eq!(number(&answer, "/beside/platform_2016"), 129_551.0);
    let month = number(&answer, "/month/total") + number(&answer, "/fixed_monthly/total");
    assert!((number(&answer, "/month_total") - month).abs() < 1e-6);
}

#[test]
fn a_load_of_ones_own_is_answered_for_people_too() {
    let load = [
        "--events-per-month",
        "20M",
        "--envelope",
        "1",
        "--peak",
        "10",
    ];
    let ran = cost(&load);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .starts_with("20,000,000 events a month in envelopes of 1, peak 10"),
        "{ran:?}"
    );
    // 20 million requests at 3.50.
    let row = ran
        .stdout
        .lines()
        .find(|l| l.starts_with("API Gateway"))
        .expect("a row");
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["API", "Gateway", "70.00", "3,500.00"]
    );
    let after = ran.stdout.split("save most").nth(1).expect("knobs");
    assert!(
        after
            .lines()
            .nth(1)
            .expect("the first")
            .contains("envelope: 1 to"),
        "{after}"
    );
    let one = cost(&[&load[..], &["--json"]].concat());
    assert_eq!(number(&one.json(), "/month/api_gateway"), 70.0);
}

#[test]
fn figures_can_come_from_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, value: &Value| {
        let path = dir.path().join(name).display().to_string();
        fs::write(&path, value.to_string()).expect("written");
        path
    };
    let nothing = json!({"invocations": 0, "cpu_ms": 0, "memory_mib": 0,
        "io_waits": {"kinesis": 0, "dynamodb": 0, "s3": 0, "kms": 0}});
    let usage = |size: f64, puts: f64| {
        json!({
        "events": 1e6, "events_per_envelope": size, "raw_bytes_per_event": 1_445.0,
        "api": {"requests": 1e6 / size}, "kinesis": {"put_units": 0, "records": 0, "bytes": 0},
        "lambda": {"input": nothing, "stream": nothing, "reconcile": nothing},
        "dynamodb": {"write_units": 0, "read_units": 0, "stored_bytes": 0},
        "s3": {"puts": puts, "gets": 0, "segment_bytes": 0, "archive_bytes": 0},
        "kms": {"signatures": 0}, "logs": {"bytes": 0}, "sns": {"messages": 0}})
    };
    let one = write("usage.json", &usage(50.0, 1e4));
    let answer = cost(&["--usage", &one, "--json"]).json();
    assert_eq!(number(&answer, "/envelope"), 50.0);
    assert_eq!(number(&answer, "/per_billion/s3").round(), 50.0);
    let report = json!({"input": {"us_per_event": 8}, "usage": {"envelope_1": usage(1.0, 2e4), "envelope_100": usage(100.0, 1e4)}});
    let report = write("report.json", &report);
    let answer = cost(&["--report", &report, "--json"]).json();
    assert_eq!(number(&answer, "/cost/envelope_100/s3").round(), 50.0);
    assert_eq!(number(&answer, "/cost/envelope_1/s3").round(), 100.0);

    let mut wrong = usage(50.0, -1.0);
    for (file, why) in [
        (write("negative.json", &wrong), "an amount is negative"),
        (
            write("other.json", &json!({"usages": 1})),
            "not the usage of one kind of envelope",
        ),
        ("absent.json".to_owned(), "absent.json"),
        (
            {
                wrong["events"] = json!(0);
                write("none.json", &wrong)
            },
            "events is 0",
        ),
    ] {
        let ran = cost(&["--usage", &file]);
        assert!(ran.code == 2 && ran.stderr.contains(why), "{ran:?}");
    }
    let ran = cost(&["--report", &one]);
    assert!(
        ran.code == 2 && ran.stderr.contains("make bench"),
        "{ran:?}"
    );
}

#[test]
fn the_limits_are_a_page() {
    let ran = cost(&["--limits"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.starts_with("# Limits\n") && ran.stdout.contains("15,000,000"));
}
