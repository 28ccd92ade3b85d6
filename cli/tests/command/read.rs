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
