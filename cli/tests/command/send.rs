use super::service::{Reply, Seen, Service, lines};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with `count` different envelopes and the path of a report.
fn envelopes(count: usize) -> (TempDir, String, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("in");
    fs::create_dir(&folder).expect("a folder");
    for number in 0..count {
        fs::write(
            folder.join(format!("{number:04}.json")),
            format!("{{\"n\":{number}}}"),
        )
        .expect("written");
    }
    let report = dir.path().join("report.jsonl");
    (dir, folder.display().to_string(), report)
}

fn name(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn bodies(seen: &[Seen]) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for request in seen {
        *counts.entry(request.unpacked()).or_default() += 1;
    }
    counts
}

/// Kills the send again and again, each time a little later, and starts it again: in the end every
/// envelope has exactly one final line, and only what was under way was sent twice.
#[test]
fn a_send_that_is_killed_goes_on_and_loses_nothing() {
    const ENVELOPES: usize = 120;
    const SENDERS: usize = 3;
    let (_dir, folder, report) = envelopes(ENVELOPES);
    let service = Service::start(|_, _| Reply::accepted(1).after(Duration::from_millis(15)));
    let args = [
        "send",
        &folder,
        "--report",
        name(&report),
        "--concurrency",
        "3",
        "--compress",
        "none",
    ];
    let kills: usize = 5;
    for kill in 1..=kills {
        let mut child = service.spawn(&args);
        let until = service.seen().len() + kill * 4;
        let deadline = Instant::now() + Duration::from_secs(60);
        while service.seen().len() < until {
            assert!(Instant::now() < deadline, "the send stands still");
            assert!(
                child.try_wait().expect("a state").is_none(),
                "it ended before it was killed"
            );
            thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
    let before = service.seen().len();
    assert!(
        before < ENVELOPES,
        "the kills came too late to show anything"
    );
    let answered_before = lines_of_torn(&report);

    let ran = service.run(&[&args[..], &["--format", "json"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let summary = ran.json();
    assert_eq!(summary["skipped"], json!(answered_before));
    assert_eq!(summary["envelopes"], json!(ENVELOPES - answered_before));

    let seen = bodies(&service.seen());
    assert_eq!(seen.len(), ENVELOPES, "an envelope was never sent");
    let twice: usize = seen.values().map(|n| n - 1).sum();
    // Each kill can cost what was under way, and what was answered but not written yet.
    assert!(
        twice <= kills * 3 * SENDERS,
        "{twice} envelopes were sent again"
    );
    let rows = lines(&report);
    let hashes: HashSet<&str> = rows.iter().filter_map(|r| r["sha256"].as_str()).collect();
    assert_eq!((rows.len(), hashes.len()), (ENVELOPES, ENVELOPES));
    assert!(
        rows.iter()
            .all(|r| r["outcome"] == "acknowledged" && r["receipt"].is_string())
    );

    let again = service.run(&[&args[..], &["--format", "json"]].concat());
    assert_eq!(
        (
            again.code,
            &again.json()["skipped"],
            &again.json()["envelopes"]
        ),
        (0, &json!(ENVELOPES), &json!(0))
    );
}

/// Whole lines of a report whose writer was killed.
fn lines_of_torn(report: &Path) -> usize {
    fs::read(report)
        .expect("readable")
        .iter()
        .filter(|b| **b == b'\n')
        .count()
}

#[test]
fn busy_services_are_tried_again_when_they_ask_to() {
    let (_dir, folder, report) = envelopes(1);
    let service = Service::start(|number, _| match number {
        0 => Reply::new(429, "{}").with("Retry-After", "1"),
        1 => Reply::new(503, r#"{"title":"Stream is full"}"#),
        _ => Reply::accepted(2),
    });
    let ran = service.run(&[
        "send",
        &folder,
        "--report",
        name(&report),
        "--format",
        "json",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        (&ran.json()["retries"], &ran.json()["events"]),
        (&json!(2), &json!(2))
    );
    let seen = service.seen();
    assert!(
        seen[1].at - seen[0].at >= Duration::from_secs(1),
        "it came back too soon"
    );
    assert_eq!(lines(&report)[0]["attempts"], json!(3));
}

/// A tenant's rate is waited for, however often, and without using up tries.
#[test]
fn a_rate_is_waited_for() {
    let (_dir, folder, report) = envelopes(1);
    let problem = r#"{"type":"urn:vernier:problem:rate-exceeded","title":"x","status":429}"#;
    let service = Service::start(move |number, _| match number {
        0..3 => Reply::new(429, problem).with("Retry-After", "0"),
        _ => Reply::accepted(2),
    });
    let options = ["--retries", "0", "--report", name(&report)];
    let ran = service.run(&[&["send", &folder][..], &options].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(lines(&report)[0]["attempts"], json!(4));
}

#[test]
fn unreachable_services_end_the_send_and_the_next_run_sends_the_rest() {
    let (_dir, folder, report) = envelopes(20);
    let service = Service::start(|_, _| Reply::accepted(1));
    let run = |api: &str| {
        let options = ["--retries", "0", "--concurrency", "1", "--format", "json"];
        service.run(
            &[
                &["send", &folder, "--api", api, "--report", name(&report)][..],
                &options,
            ]
            .concat(),
        )
    };
    // A port that was free a moment ago and where nobody listens.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let ran = run(&closed);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(
        ran.json()["unsent"],
        json!(3),
        "it gives up after three in a row"
    );
    assert!(ran.stderr.contains("send the rest"), "{ran:?}");
    assert!(service.seen().is_empty());

    let ran = run(&service.url);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        (&ran.json()["acknowledged"], &ran.json()["skipped"]),
        (&json!(20), &json!(0))
    );
    assert_eq!(bodies(&service.seen()).len(), 20);
}

/// Refuses the first envelope whole, rejects one event of the second, accepts the rest.
fn picky(_: usize, seen: &Seen) -> Reply {
    let body = seen.unpacked();
    if body == b"{\"n\":0}" {
        let problem = json!({"title": "No envelope", "detail": "there is no data", "status": 400});
        return Reply::new(400, problem.to_string());
    }
    assert_eq!(seen.headers["prefer"], "return=representation");
    let problem = json!({"pointer": "/actor", "rule": "event.actor.required", "message": "there is no actor"});
    let rejected = json!({"index": 4, "id": null, "type": "ViewEvent", "verdict": "rejected",
        "strict": "rejected", "problems": [problem, problem]});
    let events = if body == b"{\"n\":1}" {
        vec![rejected]
    } else {
        vec![]
    };
    let answer = json!({"receipt": "r-1", "received_at": "2026-03-01T12:00:00.000Z", "received": 5,
        "accepted": 5 - events.len(), "rejected": events.len(), "events": events});
    Reply::new(200, answer.to_string())
}

#[test]
fn refused_envelopes_and_rejected_events_are_told_with_their_reasons() {
    let (_dir, folder, report) = envelopes(3);
    let service = Service::start(picky);
    let args = ["send", &folder, "--report", name(&report)];
    for run in ["first", "resumed"] {
        let ran = service.run(&args);
        assert_eq!(ran.code, 1, "{run}: {ran:?}");
        assert!(
            ran.stdout
                .contains("0000.json: 400 No envelope: there is no data"),
            "{run}: {ran:?}"
        );
        assert!(
            ran.stdout.contains("event.actor.required"),
            "{run}: {ran:?}"
        );
        assert!(
            ran.stdout.contains("0001.json /data/4/actor"),
            "{run}: {ran:?}"
        );
    }
    assert_eq!(
        service.seen().len(),
        3,
        "a final answer was asked for again"
    );
    let summary = service
        .run(&[&args[..], &["--format", "json"]].concat())
        .json();
    assert_eq!(summary["earlier"]["rejected"], json!(1));
    assert_eq!(
        summary["rules"][0]["events"],
        json!(1),
        "one event counts once for a rule"
    );
    let rows = lines(&report);
    let refused = rows
        .iter()
        .find(|r| r["outcome"] == "refused")
        .expect("a refusal");
    assert_eq!(
        (&refused["status"], &refused["problem"]["title"]),
        (&json!(400), &json!("No envelope"))
    );
}

#[test]
fn who_is_not_let_in_stops_at_once_and_records_nothing() {
    for status in [401, 403, 404] {
        let (_dir, folder, report) = envelopes(50);
        let service =
            Service::start(move |_, _| Reply::new(status, r#"{"title":"Unknown token"}"#));
        let ran = service.run(&[
            "send",
            &folder,
            "--report",
            name(&report),
            "--concurrency",
            "2",
        ]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.stderr.contains(&format!("{status} Unknown token")),
            "{ran:?}"
        );
        assert!(service.seen().len() <= 4, "it went on asking");
        assert_eq!(fs::read_to_string(&report).expect("readable"), "");
    }
}

#[test]
fn bodies_arrive_as_they_were_however_compressed() {
    let (_dir, folder, _) = envelopes(4);
    let expected: Vec<Vec<u8>> = (0..4)
        .map(|n| format!("{{\"n\":{n}}}").into_bytes())
        .collect();
    for (compress, encoding) in [
        ("none", None),
        ("gzip", Some("gzip")),
        ("zstd", Some("zstd")),
    ] {
        let service = Service::start(|_, _| Reply::accepted(1));
        let ran = service.run(&["send", &folder, "--compress", compress]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let seen = service.seen();
        assert_eq!(bodies(&seen).into_keys().collect::<Vec<_>>(), expected);
        for request in seen {
            assert_eq!(
                (request.method.as_str(), request.url.as_str()),
                ("POST", "/v1/caliper")
            );
            assert_eq!(
                request.headers.get("content-encoding").map(String::as_str),
                encoding
            );
            assert_eq!(request.headers["content-type"], "application/json");
            assert!(request.headers["authorization"].starts_with("Bearer vrn_"));
            assert!(
                !request.headers.contains_key("prefer"),
                "verdicts nobody asked for"
            );
        }
    }
}

#[test]
fn the_same_body_at_two_places_is_sent_twice_and_once_only() {
    let (_dir, folder, report) = envelopes(1);
    fs::copy(
        format!("{folder}/0000.json"),
        format!("{folder}/again.json"),
    )
    .expect("copied");
    let service = Service::start(|_, _| Reply::accepted(1));
    let args = ["send", &folder, "--report", name(&report)];
    assert_eq!(service.run(&args).code, 0);
    assert_eq!(service.run(&args).code, 0);
    assert_eq!(service.seen().len(), 2);
}

#[test]
fn a_token_on_the_command_line_is_warned_of_and_never_printed() {
    let (_dir, folder, _) = envelopes(1);
    let service = Service::start(|_, _| Reply::accepted(1));
    let ran = service.run(&["send", &folder, "--token", super::service::TOKEN]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("process lists"), "{ran:?}");
}

#[test]
fn a_semester_goes_through_a_pipe() {
    let service = Service::start(|_, seen| {
        let body: Value = serde_json::from_slice(&seen.unpacked()).expect("JSON");
        Reply::accepted(body["data"].as_array().map_or(0, Vec::len) as u64)
    });
    let made = super::service::vernier(&["generate", "--events", "250"])
        .output()
        .expect("made")
        .stdout;
    let mut child = service
        .vernier(&["send", "-", "--format", "json"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = thread::spawn(move || std::io::Write::write_all(&mut stdin, &made));
    let ran = super::service::Ran::of(child.wait_with_output().expect("ended"));
    writer.join().expect("joined").expect("written");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        (&ran.json()["envelopes"], &ran.json()["events"]),
        (&json!(3), &json!(250))
    );
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    let (_dir, folder, _) = envelopes(1);
    let service = Service::start(|_, _| Reply::accepted(1));
    let missing = format!("{folder}/none.json");
    assert_eq!(service.run(&["send", &folder, &missing]).code, 2);
    assert_eq!(
        service.run(&["send", &folder, "--api", "localhost"]).code,
        2
    );
    let no_token = service
        .vernier(&["send", &folder])
        .env_remove("VERNIER_TOKEN")
        .output()
        .expect("ran");
    assert_eq!(no_token.status.code(), Some(2));
    assert!(service.seen().is_empty());
}
