//! Invariant 8: every bound has a clear refusal, in the form of RFC 9457.

use super::balanced;
use crate::envelopes::{CONTEXT, bytes, envelope, event, events};
use crate::world::{Answer, Call, World};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use std::io::Write;
use vernier_validation::{Mode, Profile};

fn check(name: &str, answer: &Answer, status: u16) {
    let shown = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{name}: {shown}");
    assert!(
        answer
            .header("content-type")
            .starts_with("application/problem+json"),
        "{name}: {:?}",
        answer.headers
    );
    let document = answer.json();
    assert_eq!(document["status"], status, "{name}");
    for member in ["type", "title", "detail"] {
        assert!(
            document[member].as_str().is_some_and(|t| !t.is_empty()),
            "{name}: no {member}: {shown}"
        );
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writes to memory");
    encoder.finish().expect("writes to memory")
}

/// So many arrays inside each other in an event's extensions.
fn nested(levels: usize) -> Vec<u8> {
    let text = String::from_utf8(bytes(&[event()])).expect("UTF-8");
    let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    text.replacen(
        "\"profile\":",
        &format!("\"extensions\":{{\"x\":{deep}}},\"profile\":"),
        1,
    )
    .into_bytes()
}

fn twice(key: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes(&[event()])).expect("UTF-8");
    let at = text.rfind('}').expect("an object");
    format!("{},\"{key}\":\"again\"}}", &text[..at]).into_bytes()
}

fn unknown_version() -> Vec<u8> {
    let mut unknown = envelope(&[event()]);
    unknown["dataVersion"] = json!(format!("{}p9", &CONTEXT[..CONTEXT.len() - 2]));
    unknown.to_string().into_bytes()
}

/// Bodies with the status of their refusal.
fn bad_bodies() -> Vec<(&'static str, Vec<u8>, u16)> {
    let mut invalid = bytes(&[event()]);
    let at = invalid.iter().position(|b| *b == b'L').expect("a letter");
    invalid[at] = 0xFF;
    let mut without_data = envelope(&[]);
    without_data
        .as_object_mut()
        .expect("an object")
        .remove("data");
    let mut data_no_list = envelope(&[]);
    data_no_list["data"] = json!("event");
    vec![
        ("not JSON", b"{\"data\": nope".to_vec(), 400),
        ("empty body", Vec::new(), 400),
        ("white space", b" \r\n\t ".to_vec(), 400),
        ("a bare event", event().to_string().into_bytes(), 400),
        ("a number", b"12".to_vec(), 400),
        ("no data", without_data.to_string().into_bytes(), 400),
        (
            "data is no list",
            data_no_list.to_string().into_bytes(),
            400,
        ),
        ("200-deep nesting", nested(200), 400),
        ("invalid UTF-8", invalid, 400),
        ("duplicate keys in the envelope", twice("sensor"), 400),
        ("unknown version", unknown_version(), 422),
        ("10,001 events", bytes(&vec![json!({}); 10_001]), 413),
    ]
}

/// Every bad request has its status and its document.
pub async fn bad_requests_are_answered_with_problem_documents<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for (name, body, status) in bad_bodies() {
        // Compressed, so that the gateway's own limits do not answer first.
        let call = Call::post(gzip(&body))
            .token(&member.secret)
            .header("content-encoding", "gzip");
        check(name, &world.call(call).await, status);
    }
    let good = bytes(&[event()]);
    let plain = Call::post(good.clone()).token(&member.secret);
    // It begins as gzip does: what is JSON already is taken, whatever its encoding was.
    let damaged = Call::post(b"\x1F\x8B and no more".to_vec()).token(&member.secret);
    let calls = [
        (
            "wrong content type",
            plain.clone().header("content-type", "text/plain"),
            415,
        ),
        (
            "unknown encoding",
            plain.clone().header("content-encoding", "br"),
            415,
        ),
        (
            "damaged gzip",
            damaged.header("content-encoding", "gzip"),
            400,
        ),
        (
            "gzip bomb",
            Call::post(gzip(&vec![b' '; 64 << 20]))
                .token(&member.secret)
                .header("content-encoding", "gzip"),
            413,
        ),
        (
            "7 MB body",
            Call::post(vec![b' '; 7 << 20]).token(&member.secret),
            413,
        ),
        ("no token", Call::post(good.clone()), 401),
        (
            "unknown token",
            Call::post(good.clone()).token("vrn_unknown"),
            401,
        ),
        (
            "basic authorization",
            Call::post(good).header("authorization", "Basic dTpw"),
            401,
        ),
    ];
    for (name, call, status) in calls {
        let answer = world.call(call).await;
        check(name, &answer, status);
        if status == 401 {
            assert!(
                answer.header("www-authenticate").starts_with("Bearer"),
                "{name}"
            );
        }
    }
}

/// Every parameter is checked, and an unknown one does not widen the query.
pub async fn bad_queries_are_answered_with_problem_documents<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let events = || Call::get("/events").token(&member.secret);
    let calls = [
        ("no time", events().query("from", "yesterday"), 400),
        (
            "reversed",
            events()
                .query("from", "2026-01-02T00:00:00Z")
                .query("to", "2026-01-01T00:00:00Z"),
            400,
        ),
        (
            "too long",
            events().query("from", "2020-01-01T00:00:00Z"),
            400,
        ),
        ("limit 0", events().query("limit", "0"), 400),
        ("limit too large", events().query("limit", "1001"), 400),
        ("limit no number", events().query("limit", "ten"), 400),
        (
            "forged cursor",
            events().query("cursor", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            400,
        ),
        ("unknown parameter", events().query("typ", "ViewEvent"), 400),
        (
            "unknown disposition",
            events().query("disposition", "lost"),
            400,
        ),
        (
            "no receipt id",
            Call::get("/receipts/{id}")
                .id("nonsense")
                .token(&member.secret),
            400,
        ),
        (
            "unknown event",
            Call::get("/events/{id}")
                .id("urn:uuid:none")
                .token(&member.secret),
            404,
        ),
        (
            "windows too long",
            Call::get("/windows")
                .query("from", "2020-01-01T00:00:00Z")
                .token(&member.secret),
            400,
        ),
        ("no token", Call::get("/events"), 401),
        ("no token for windows", Call::get("/windows"), 401),
    ];
    for (name, call, status) in calls {
        check(name, &world.call(call).await, status);
    }
}

/// A list of an object's values in their order is not the object.
pub async fn lists_are_not_taken_for_objects<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let schema = json!({"type": "object"});
    let span = ["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"];
    let of_type = |body| Call::put("/schemas/{type+}", &body).id("https://school.example/types/1");
    let playback = |body| Call::post_to("/playbacks", &body);
    let filtered = json!({
        "from": span[0], "to": span[1], "target": "results", "dry_run": true, "filter": ["ViewEvent"],
    });
    let whole = json!([span[0], span[1], [], "archive", {}, "results", true, null]);
    let calls = [
        ("a list of a schema", of_type(json!([schema, {}])), 422),
        (
            "a list of columns",
            of_type(json!({"schema": schema, "columns": [null, "/who"]})),
            422,
        ),
        ("a list of a playback", playback(whole), 400),
        ("a list of a filter", playback(filtered), 400),
    ];
    for (name, call, status) in calls {
        check(name, &world.call(call.token(&member.secret)).await, status);
    }
}

/// A refusal is whole: no event of the envelope is counted anywhere.
pub async fn nothing_of_a_refused_envelope_is_kept<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for body in [twice("sensor"), unknown_version(), nested(200)] {
        assert!(
            world
                .call(Call::post(body).token(&member.secret))
                .await
                .status
                >= 400
        );
    }
    let answer = world
        .call(Call::post(bytes(&events(2))).token(&member.secret))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(balanced(world, &member, 2).await, [2, 2, 0, 0, 0]);
}

/// An event whose key is longer than a frame is rejected like any other: its reasons stay small,
/// and its envelope is acknowledged.
pub async fn an_event_with_an_endless_key_is_rejected_and_kept<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut odd = event();
    odd["object"]["k".repeat(1_200_000)] = json!({ "id": 7 });
    let call = Call::post(gzip(&bytes(&[odd, event()]))).token(&member.secret);
    let call = call
        .header("content-encoding", "gzip")
        .header("prefer", "return=representation");
    let answer = world.call(call).await;
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body[..answer.body.len().min(500)])
    );
    assert!(answer.body.len() < 100_000, "{} bytes", answer.body.len());
    assert_eq!(balanced(world, &member, 2).await, [2, 1, 0, 0, 1]);
}

/// A strict sensor's refusals show in its tenant's report by rule, and in no other's.
pub async fn refused_envelopes_are_counted_by_sensor_and_rule<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut offset = envelope(&[event()]);
    offset["sendTime"] = json!("2026-11-27T03:22:39.920+0000");
    let mut micros = envelope(&[event()]);
    micros["sendTime"] = json!("2026-11-27T03:49:00.923749Z");
    for body in [&offset, &micros] {
        let call = Call::post(body.to_string()).token(&member.secret);
        assert_eq!(world.call(call).await.status, 400);
    }
    let wrong_type = Call::post(offset.to_string())
        .token(&member.secret)
        .header("content-type", "text/plain");
    assert_eq!(world.call(wrong_type).await.status, 415);
    let call = Call::get("/deviations").token(&member.secret);
    let report = world.call(call).await.json();
    assert_eq!(report["sensors"], json!([]), "{report}");
    let refused = report["refused"].as_array().expect("a list");
    let mut rules: Vec<&str> = refused.iter().filter_map(|r| r["rule"].as_str()).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["envelope.send-time", "request.content-type"]);
    for of in refused {
        assert!(of["sensor"].as_str().is_some_and(|s| !s.is_empty()), "{of}");
        // The second may not be written yet.
        assert!(matches!(of["envelopes"].as_u64(), Some(1 | 2)), "{of}");
    }
    let stranger = world.tenant(Mode::Strict, Profile::Generic).await;
    let call = Call::get("/deviations").token(&stranger.secret);
    assert_eq!(world.call(call).await.json()["refused"], json!([]));
}

/// Each version of the endpoint configuration is a `dataVersion` that is taken, and other spellings are not.
pub async fn what_get_offers_post_takes<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let call = Call::get("/caliper").token(&member.secret);
    let configuration = world.call(call).await.json();
    let offered = configuration["caliper_supported_versions"].as_array();
    let offered = offered.expect("a list").clone();
    assert_eq!(offered.len(), 3, "{configuration}");
    let known = "http://purl.imsglobal.org/ctx/caliper";
    let all = ["v1p0", "v1", "v1/Context", "v1p1", "v1p2", "v1p3"];
    for version in all.map(|name| json!(format!("{known}/{name}"))) {
        let mut body = envelope(&[event()]);
        body["dataVersion"] = version.clone();
        let call = Call::post(body.to_string()).token(&member.secret);
        let status = world.call(call).await.status;
        let wanted = if offered.contains(&version) { 200 } else { 422 };
        assert_eq!(status, wanted, "{version}");
    }
}
