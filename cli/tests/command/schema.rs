use super::service::{Reply, Service, vernier};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const TYPE: &str = "https://school.example/types/Badge";

fn schema(required: &str) -> Value {
    json!({"type": "object", "required": [required], "properties": {"who": {"type": "string"}}})
}

fn write(folder: &Path, name: &str, document: &Value) -> String {
    let path = folder.join(name);
    fs::write(&path, document.to_string()).expect("writable");
    path.display().to_string()
}

#[test]
fn a_schema_is_put_with_its_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "badge.json", &schema("who"));
    let service = Service::start(|_, _| {
        let reasons = json!([{"pointer": "/required", "message": "newly required: who"}]);
        let body =
            json!({"type": TYPE, "version": 2, "forced": true, "incompatibilities": reasons});
        Reply::new(201, body.to_string())
    });
    let ran = service.run(&[
        "schema",
        "put",
        TYPE,
        &file,
        "--column",
        "actor=/who",
        "--force",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        format!("forced: /required: newly required: who\n{TYPE} version 2\n")
    );
    let seen = &service.seen()[0];
    assert_eq!(seen.method, "PUT");
    assert_eq!(
        seen.url,
        "/v1/schemas/https:%2F%2Fschool.example%2Ftypes%2FBadge?force=true"
    );
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(
        body,
        json!({"schema": schema("who"), "columns": {"actor": "/who"}})
    );
}

#[test]
fn a_refusal_says_where_and_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "badge.json", &schema("who"));
    let service = Service::start(|_, _| {
        let problem = json!({"title": "Incompatible", "detail": "version 1 accepts more",
            "problems": [{"pointer": "/required", "message": "newly required: who"}]});
        Reply::new(409, problem.to_string())
    });
    let ran = service.run(&["schema", "put", TYPE, &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr
            .contains("409 Incompatible: version 1 accepts more\n  /required newly required: who"),
        "{ran:?}"
    );
    let ran = service.run(&["schema", "put", TYPE, &file, "--column", "colour=/c"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("eventTime"), "{ran:?}");
}

/// A schema as it was registered: its keys in their order, its numbers with all their digits.
const SCHEMA: &str = r#"{"type":"object","properties":{"z":{"maximum":12345678901234567890123},"a":{"multipleOf":0.10}}}"#;

#[test]
fn schemas_are_printed_and_listed() {
    let service = Service::start(|_, seen| {
        let one = format!(
            r#"{{"type":"{TYPE}","version":3,"created_at":"t","created_by":"ab","forced":false,"schema":{SCHEMA}}}"#
        );
        let body = if seen.url == "/v1/schemas" {
            format!(r#"{{"schemas":[{one}]}}"#)
        } else {
            one
        };
        Reply::new(200, body)
    });
    let ran = service.run(&["schema", "get", TYPE, "--version", "3"]);
    let printed: String = ran.stdout.split_whitespace().collect();
    assert_eq!((ran.code, printed.as_str()), (0, SCHEMA), "{ran:?}");
    assert!(service.seen()[0].url.ends_with("?version=3"));
    let ran = service.run(&["schema", "get", TYPE, "--format", "json"]);
    assert!(ran.stdout.contains(SCHEMA), "{ran:?}");
    let ran = service.run(&["schema", "list"]);
    assert!(
        ran.stdout.contains(TYPE) && ran.stdout.contains("version"),
        "{ran:?}"
    );
}

#[test]
fn a_schema_is_tried_on_events_before_it_is_put() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = write(folder.path(), "old.json", &schema("type"));
    let new = write(folder.path(), "new.json", &schema("who"));
    let good = write(
        folder.path(),
        "good.json",
        &json!({"type": TYPE, "who": "jane"}),
    );
    let bad = write(folder.path(), "bad.json", &json!({"type": TYPE}));
    let run = |args: &[&str]| {
        let all = [&["schema", "test", TYPE], args].concat();
        super::service::Ran::of(vernier(&all).output().expect("the command starts"))
    };
    let ran = run(&[&new, &good]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = run(&[&new, &good, &bad]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("who"), "{ran:?}");
    let ran = run(&[&new, &good, "--against", &old]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("newly required: \"who\""), "{ran:?}");
    let hostile = write(folder.path(), "h.json", &json!({"$ref": "http://h/s.json"}));
    let ran = run(&[&hostile]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("/$ref"), "{ran:?}");
}
