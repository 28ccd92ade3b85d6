use super::service::{Reply, Service};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

fn window(received: u64, stored: u64, complete: bool) -> Value {
    json!({
        "start": "2026-03-01T12:00:00.000Z", "end": "2026-03-01T12:01:00.000Z",
        "state": if complete { "complete" } else { "settling" },
        "received": {"envelopes": 1, "events": received, "digest": "aa"},
        "accounted": {"stored": stored, "duplicate": 0, "conflict": 0, "rejected": 0, "digest": "aa"},
        "complete": complete,
        "missing": if complete { json!([]) } else { json!([{"receipt": "r-missing"}]) }
    })
}

#[test]
fn windows_are_waited_for_until_they_add_up() {
    let service = Service::start(|number, _| {
        let windows = if number < 2 {
            [window(100, 40, false)]
        } else {
            [window(100, 100, true)]
        };
        Reply::new(200, json!({ "windows": windows }).to_string())
    });
    let first = service.run(&["windows", "--from", "-5m"]);
    assert_eq!(first.code, 1, "{first:?}");
    assert!(
        first.stdout.contains("r-missing") && first.stdout.contains("1 window does not add up"),
        "{first:?}"
    );
    let ran = service.run(&["windows", "--from", "-5m", "--wait", "30"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("all windows add up"), "{ran:?}");
    assert_eq!(service.seen().len(), 3);
    assert!(
        service.seen()[0].url.starts_with("/v1/windows?from=20"),
        "{}",
        service.seen()[0].url
    );
}

#[test]
fn pages_are_followed_to_the_last() {
    let service = Service::start(|_, seen| {
        let page = match seen.url.split_once("cursor=") {
            None => 0,
            Some((_, "one%2B%26")) => 1,
            Some((_, other)) => panic!("cursor {other}"),
        };
        let event = json!({"receipt": "r", "index": 0, "received_at": "t", "sensor": "s", "disposition": "stored",
            "provisional": true, "event": {"id": format!("urn:uuid:{page}"), "type": "ViewEvent", "action": "Viewed"}});
        let next = if page == 0 {
            json!("one+&")
        } else {
            Value::Null
        };
        Reply::new(
            200,
            json!({"events": [event], "next_cursor": next, "provisional": true}).to_string(),
        )
    });
    let ran = service.run(&[
        "query",
        "--from",
        "2026-03-01",
        "--type",
        "ViewEvent",
        "--limit",
        "1",
        "--all",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("urn:uuid:0") && ran.stdout.contains("urn:uuid:1"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.ends_with("2 events; some are not sealed yet\n"),
        "{ran:?}"
    );
    let urls: Vec<String> = service.seen().into_iter().map(|s| s.url).collect();
    assert!(
        urls[0].contains("from=2026-03-01T00") && urls[0].contains("type=ViewEvent"),
        "{urls:?}"
    );
    assert!(
        !urls[1].contains("from="),
        "a cursor carries its query: {urls:?}"
    );
    let one = service.run(&["query", "--limit", "1"]);
    assert!(one.stdout.contains("there are more (--all)"), "{one:?}");
}

#[test]
fn an_event_is_waited_for_and_its_absence_is_a_finding() {
    let looks = AtomicUsize::new(0);
    let service = Service::start(move |_, seen| {
        assert_eq!(seen.url, "/v1/events/urn:uuid:1%2F2");
        match looks.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Reply::new(404, r#"{"title":"No such event"}"#),
            _ => Reply::new(
                200,
                json!({"disposition": "stored", "event": {}}).to_string(),
            ),
        }
    });
    let ran = service.run(&["query", "--id", "urn:uuid:1/2"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("404 No such event"), "{ran:?}");
    assert_eq!(
        service
            .run(&["query", "--id", "urn:uuid:1/2", "--wait", "20"])
            .code,
        0
    );
}

#[test]
fn receipts_are_waited_for_and_rejections_are_findings() {
    let service = Service::start(|number, _| {
        let state = if number == 0 { "in_flight" } else { "complete" };
        let counts = json!({"received": 2, "accepted": 1, "rejected": 1, "stored": 1, "duplicate": 0, "conflict": 0});
        let receipt = json!({"receipt": "r", "state": state, "sensor": "s", "received_at": "t", "counts": counts, "events": []});
        Reply::new(200, receipt.to_string())
    });
    let ran = service.run(&["receipt", "r", "--wait", "20", "--format", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["state"], "complete");
    assert_eq!(service.seen().len(), 2);
}

#[test]
fn a_refused_reader_is_told_why() {
    let service = Service::start(|_, _| {
        Reply::new(
            403,
            r#"{"title":"Forbidden","detail":"the token lacks the scope audit:read"}"#,
        )
    });
    let ran = service.run(&["windows"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("lacks the scope audit:read"), "{ran:?}");
    assert_eq!(service.seen().len(), 1, "a refusal is not asked for again");
}

fn playback(state: &str, passed: u64) -> Value {
    json!({
        "id": "01a05c4d-d5c1-7008-8707-070707070707", "state": state, "reason": null,
        "request": {"dry_run": true}, "created_at": "t",
        "progress": {"seals": 2, "seals_done": 1, "events": 5_000, "events_passed": passed, "events_played": passed},
        "diff": {"created": 1_200, "changed": 3, "same": 7, "examples": [
            {"created": false, "learner": "l", "assignment": "a", "score_before": 1.0, "score_after": 2.5}]},
        "cost": {"write_units": 1_210, "usd": 0.000_756, "prices_as_of": "2026-11-21"}
    })
}

#[test]
fn a_playback_is_asked_for_and_watched_to_its_end() {
    let service = Service::start(|number, seen| match number {
        0 => {
            let asked: Value = serde_json::from_slice(&seen.body).expect("JSON");
            assert_eq!(seen.url, "/v1/playbacks");
            assert_eq!(asked["filter"], json!({"type": "GradeEvent"}));
            assert_eq!(
                (&asked["target"], &asked["dry_run"]),
                (&json!("results"), &json!(true))
            );
            assert!(
                asked["from"].is_string() && asked["to"].is_string(),
                "{asked}"
            );
            Reply::new(202, playback("queued", 0).to_string())
        }
        1 => Reply::new(200, playback("running", 2_000).to_string()),
        _ => Reply::new(200, playback("done", 5_000).to_string()),
    });
    let ran = service.run(&[
        "playback",
        "start",
        "--from",
        "-1d",
        "--type",
        "GradeEvent",
        "--dry-run",
        "--watch",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for said in [
        "is done: 5,000 of 5,000 events passed",
        "1,210 write units, $0.0008 by the prices of 2026-11-21",
        "1,200 would be created, 3 changed, 7 are the same",
        "changed: l at a, score 1 to 2.5",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {ran:?}");
    }
    assert_eq!(service.seen().len(), 3);
}

#[test]
fn a_playback_that_failed_is_a_finding_and_a_refused_action_says_why() {
    let service = Service::start(|_, seen| match seen.url.as_str() {
        "/v1/playbacks/01a05c4d-d5c1-7008-8707-070707070707" => {
            let mut failed = playback("failed", 10);
            failed["reason"] = json!("a part is gone");
            Reply::new(200, failed.to_string())
        }
        "/v1/playbacks/01a05c4d-d5c1-7008-8707-070707070707/pause" => {
            Reply::new(409, r#"{"title":"No","detail":"the playback is failed"}"#)
        }
        other => panic!("{other}"),
    });
    let id = "01a05c4d-d5c1-7008-8707-070707070707";
    let shown = service.run(&["playback", "show", id, "--watch"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.stdout.contains("because a part is gone"), "{shown:?}");
    let paused = service.run(&["playback", "pause", id]);
    assert!(
        paused.stderr.contains("the playback is failed"),
        "{paused:?}"
    );
}

/// Text is the service's CSV as it comes, so that it can go into a file.
#[test]
fn a_report_is_csv_or_json_with_what_was_given() {
    let service = Service::start(|_, seen| {
        if seen.url.starts_with("/v1/reports/grades.csv?") {
            Reply::new(200, "learner,score\r\nurn:7,3\r\n".to_owned())
        } else {
            Reply::new(200, json!({"learners": []}).to_string())
        }
    });
    let section = ["report", "grades", "--section", "urn:a b"];
    let ran = service.run(&section);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stdout, "learner,score\r\nurn:7,3\r\n", "{ran:?}");
    let ran = service.run(&["--format", "json", "report", "grades", "--section", ""]);
    assert!(ran.stdout.contains("learners"), "{ran:?}");
    let urls: Vec<String> = service.seen().into_iter().map(|s| s.url).collect();
    assert!(
        urls[0].ends_with("?section=urn:a%20b") || urls[0].ends_with("?section=urn%3Aa%20b"),
        "{urls:?}"
    );
    assert!(urls[1].ends_with("/reports/grades?section="), "{urls:?}");
}

/// Whatever an event's numbers are, they are printed as they came, for people and for programs.
#[test]
fn numbers_are_printed_digit_by_digit() {
    let event = r#"{"id":"urn:1","type":"ViewEvent","extensions":{"big":12345678901234567890123,"huge":1.0e400}}"#;
    let row =
        format!(r#"{{"received_at":"t","sensor":"s","disposition":"rejected","event":{event}}}"#);
    let page = format!(r#"{{"events":[{row}],"next_cursor":null}}"#);
    let service = Service::start(move |_, seen| {
        let is_page = seen.url.contains('?');
        Reply::new(200, if is_page { page.clone() } else { row.clone() })
    });
    for arguments in [
        &["query", "--id", "urn:1", "--format", "json"][..],
        &["query", "--from", "-5m", "--format", "json"],
        &["quarantine", "list", "--from", "-5m", "--format", "json"],
    ] {
        let ran = service.run(arguments);
        assert_eq!((ran.code, ran.stdout.contains(event)), (0, true), "{ran:?}");
    }
    let shown = service.run(&["query", "--id", "urn:1"]).stdout;
    assert!(
        shown.contains("\"big\": 12345678901234567890123,"),
        "{shown}"
    );
    assert!(shown.contains("\"huge\": 1.0e400\n"), "{shown}");
    let table = service.run(&["query", "--from", "-5m"]).stdout;
    assert!(
        table.contains("ViewEvent") && table.contains("urn:1"),
        "{table}"
    );
}
