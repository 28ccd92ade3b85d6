//! What stands between a client and the ledger: headers in every spelling, ids in paths, browsers, methods.

use super::{post, settled};
use crate::envelopes::{bytes, event};
use crate::world::{ALLOWED_ORIGIN, Answer, Call, Member, World, encoded};
use serde_json::{Value, json};
use uuid::Uuid;
use vernier_validation::{Mode, Profile};
use vernier_web::ROUTES;

const CATCH_ALL: &str = "/{proxy+}";

/// Ids with whatever a gateway could take for something of its own.
const TAILS: [&str; 8] = [
    "files/a%20b%2Fc.pdf",
    "files/a%2520b",
    "100%25",
    "a+b=c&d;e,f",
    "caf\u{e9}/\u{6f22}",
    "caf%C3%A9",
    "?q=a%3Ab#part",
    "folder/",
];

fn said(call: &Call, answer: &Answer) -> String {
    let body: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .take(300)
        .collect();
    format!(
        "{} {}: {} {:?} {body}",
        call.method,
        call.path(),
        answer.status,
        answer.headers
    )
}

/// An envelope of one event, as a sensor sends it.
fn sent(member: &Member) -> Call {
    Call::post(bytes(&[event()])).token(&member.secret)
}

/// A document of these ids.
fn document(id: &str) -> Value {
    json!({
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "id": id, "type": "Document", "name": "A file",
    })
}

/// RFC 7240: preferences may stand in several lines, with parameters, in quotes and in any case.
pub async fn verdicts_are_preferred_in_any_line_and_spelling<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for (lines, wanted) in [
        (&["respond-async", "return=representation"][..], true),
        (&["return=representation", "handling=lenient; wait=5"], true),
        (&["Return=\"Representation\"; foo=\"a,b\""], true),
        (&["wait=10, return=representation;x"], true),
        (&["return=minimal", "return=representation"], false),
        (&["wait=\"return=representation\""], false),
    ] {
        let add = |call: Call, line: &&str| call.line("prefer", line);
        let call = lines.iter().fold(sent(&member), add);
        let answer = world.call(call.clone()).await;
        assert_eq!(answer.status, 200, "{}", said(&call, &answer));
        let applied = answer.header("preference-applied") == "return=representation";
        assert_eq!(applied, wanted, "{lines:?}: {}", said(&call, &answer));
        assert_eq!(answer.json()["events"].is_array(), wanted, "{lines:?}");
    }
}

/// An empty Content-Encoding is as if there were none.
pub async fn an_empty_encoding_is_none<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for encoding in ["", "identity", "identity, "] {
        let call = sent(&member).header("content-encoding", encoding);
        let answer = world.call(call.clone()).await;
        assert_eq!(answer.status, 200, "{encoding:?}: {}", said(&call, &answer));
    }
}

/// Ways in which a client or a gateway may write an id in a path.
fn spellings(id: &str) -> [String; 3] {
    let once = encoded(id);
    // As clients do that leave the slashes in.
    let with_slashes = once.replace("%2F", "/");
    [encoded(&once), with_slashes, once]
}

/// Exactly the event with the id is found, and none that the id decodes to.
pub async fn an_id_is_found_however_its_path_is_spelled<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let base = format!("https://school.example/{}", Uuid::new_v4().simple());
    let ids: Vec<String> = TAILS.iter().map(|tail| format!("{base}/{tail}")).collect();
    // A decoy: what the first id would be if it were decoded once too often.
    let decoy = format!("{base}/files/a b/c.pdf");
    let events: Vec<Value> = ids.iter().map(|id| document(id)).collect();
    let receipt = post(world, &member, bytes(&events)).await;
    settled(world, &member, &receipt).await;
    for id in &ids {
        for spelling in spellings(id) {
            // Slashes make a longer path of it, which the gateway catches.
            let call = match spelling.contains('/') {
                true => Call::get(CATCH_ALL),
                false => Call::get("/events/{id}").id(id),
            };
            let call = call
                .token(&member.secret)
                .spelled(&format!("/events/{spelling}"));
            let answer = world.answer(call.clone()).await;
            assert_eq!(answer.status, 200, "{id}: {}", said(&call, &answer));
            assert_eq!(answer.json()["event"]["id"], json!(id));
        }
    }
    let call = Call::get("/events/{id}").id(&decoy).token(&member.secret);
    let answer = world.answer(call.clone()).await;
    assert_eq!(answer.status, 404, "{}", said(&call, &answer));
}

/// The same for a type of the tenant's own, which is also put at its path.
pub async fn a_type_is_found_however_its_path_is_spelled<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for tail in ["a%20b%2Fc", "100%25", "caf\u{e9}+1"] {
        let name = format!("https://school.example/types/{tail}");
        let schema = json!({"schema": {"type": "object"}});
        let put = Call::put("/schemas/{type+}", &schema).id(&name);
        let answer = world.call(put.clone().token(&member.secret)).await;
        assert_eq!(
            answer.json()["type"],
            json!(name),
            "{}",
            said(&put, &answer)
        );
        for spelling in spellings(&name) {
            let call = Call::get("/schemas/{type+}")
                .id(&name)
                .token(&member.secret);
            let call = call.spelled(&format!("/schemas/{spelling}"));
            let answer = world.call(call.clone()).await;
            assert_eq!(
                answer.json()["type"],
                json!(name),
                "{}",
                said(&call, &answer)
            );
        }
    }
    let list = Call::get("/schemas").token(&member.secret);
    let list = world.call(list).await.json();
    assert_eq!(list["schemas"].as_array().map(Vec::len), Some(3), "{list}");
}

/// An id may end in what is a route's end elsewhere.
pub async fn an_id_that_ends_like_a_route_is_found<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let id = format!("https://school.example/{}/proof", Uuid::new_v4().simple());
    let receipt = post(world, &member, bytes(&[document(&id)])).await;
    settled(world, &member, &receipt).await;
    let call = Call::get("/events/{id}").id(&id).token(&member.secret);
    let decoded = Call::get(CATCH_ALL).token(&member.secret);
    let decoded = decoded.spelled(&format!("/events/{id}"));
    for call in [call, decoded] {
        let answer = world.answer(call.clone()).await;
        assert_eq!(answer.status, 200, "{}", said(&call, &answer));
        assert_eq!(answer.json()["event"]["id"], json!(id));
    }
}

/// A client that reads by the type does not try to read nothing.
pub async fn an_empty_answer_is_not_called_json<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let calls = [
        sent(&member),
        sent(&member).header("accept", "application/json, text/plain, */*"),
        Call::get("/caliper").method("OPTIONS"),
        Call::get("/events")
            .method("OPTIONS")
            .header("origin", ALLOWED_ORIGIN),
    ];
    for call in calls {
        let answer = world.answer(call.clone()).await;
        assert!(answer.status < 300, "{}", said(&call, &answer));
        assert_eq!(answer.body, b"", "{}", said(&call, &answer));
        let kind = answer.header("content-type");
        assert!(!kind.contains("json"), "{}", said(&call, &answer));
    }
}

/// Who accepts nothing but JSON gets the counts as JSON, with the headers that all get.
pub async fn who_accepts_json_alone_gets_json<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let call = sent(&member).header("accept", "application/json");
    let answer = world.call(call.clone()).await;
    let body = answer.json();
    assert_eq!(answer.status, 200, "{}", said(&call, &answer));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(body["receipt"], json!(answer.header("vernier-receipt")));
    assert_eq!(
        (&body["received"], &body["rejected"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(body.get("events"), None, "{body}");
    let call = call.header("prefer", "return=representation");
    let body = world.call(call).await.json();
    assert_eq!(body["events"][0]["verdict"], "accepted", "{body}");
}

/// The headers of a page's request, beside those that every client sends.
fn of_page(call: Call, origin: &str) -> Call {
    call.header("origin", origin)
}

fn preflight(route: &'static str, origin: &str, method: &str) -> Call {
    let call = of_page(Call::get(route).method("OPTIONS"), origin);
    call.header("access-control-request-method", method).header(
        "access-control-request-headers",
        "authorization,content-type,x-trace-id",
    )
}

/// What of an answer is for browsers.
fn for_browsers(answer: &Answer) -> Vec<(&str, &str)> {
    let headers = answer.headers.iter();
    let all = headers.map(|(name, value)| (name.as_str(), value.as_str()));
    all.filter(|(name, _)| name.starts_with("access-control-"))
        .collect()
}

/// A page of an allowed origin is answered its preflight, which covers what it sends.
pub async fn an_allowed_page_is_answered_its_preflight<W: World>(world: &W) {
    for (route, method) in [
        ("/caliper", "POST"),
        ("/events", "GET"),
        ("/windows", "GET"),
        ("/playbacks", "POST"),
    ] {
        let call = preflight(route, ALLOWED_ORIGIN, method);
        let answer = world.answer(call.clone()).await;
        let told = said(&call, &answer);
        assert_eq!(answer.status, 204, "{told}");
        let methods: Vec<&str> = answer
            .header("access-control-allow-methods")
            .split(", ")
            .collect();
        assert!(methods.contains(&method), "{told}");
        let headers = answer.header("access-control-allow-headers");
        for needed in [
            "authorization",
            "content-type",
            "content-encoding",
            "prefer",
            "x-trace-id",
        ] {
            assert!(
                headers.split(", ").any(|name| name == needed),
                "{needed}: {told}"
            );
        }
        assert_eq!(answer.header("access-control-max-age"), "7200", "{told}");
    }
}

/// A page of an allowed origin reads every answer to what it sent, errors too.
pub async fn an_allowed_page_may_send_and_read<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let calls = [
        (of_page(sent(&member), ALLOWED_ORIGIN), 200),
        (
            of_page(sent(&member).without("authorization"), ALLOWED_ORIGIN),
            401,
        ),
        (
            of_page(Call::get("/windows").token(&member.secret), ALLOWED_ORIGIN),
            200,
        ),
        (
            of_page(
                Call::get(CATCH_ALL).spelled("/no/such/path"),
                ALLOWED_ORIGIN,
            ),
            404,
        ),
        (
            of_page(Call::get("/playbacks").method("DELETE"), ALLOWED_ORIGIN),
            405,
        ),
    ];
    for (call, status) in calls {
        let answer = world.answer(call.clone()).await;
        let told = said(&call, &answer);
        assert_eq!(answer.status, status, "{told}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            ALLOWED_ORIGIN,
            "{told}"
        );
        // Never the star, which browsers take for no one once credentials are asked for.
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            "true",
            "{told}"
        );
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("vernier-receipt"), "{told}");
        assert!(answer.header("vary").contains("Origin"), "{told}");
    }
}

/// Any other origin's page learns nothing, and no cache mixes the two up.
pub async fn another_page_is_told_nothing<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for origin in [
        "https://evil.example",
        "null",
        "https://lms.example.evil.example",
        "http://lms.example",
    ] {
        let calls = [
            preflight("/caliper", origin, "POST"),
            of_page(sent(&member), origin),
            of_page(Call::get("/windows").token(&member.secret), origin),
            of_page(Call::get("/events"), origin),
            of_page(Call::get(CATCH_ALL).spelled("/no/such/path"), origin),
        ];
        for call in calls {
            let answer = world.answer(call.clone()).await;
            let told = said(&call, &answer);
            assert_eq!(for_browsers(&answer), [], "{told}");
            assert!(answer.header("vary").contains("Origin"), "{told}");
        }
    }
    let answer = world.answer(sent(&member)).await;
    assert_eq!(for_browsers(&answer), []);
}

/// HEAD is GET without its body, OPTIONS lists what there is, all else is refused by name.
pub async fn every_path_answers_every_method<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let mut number = 0;
    for route in &ROUTES {
        let id = match route.path {
            "/reports/{report}" => "sections",
            "/seals/{sequence}" => "0",
            "/insights/{file}" => "none.js",
            path if path.starts_with("/events/") || path.starts_with("/schemas/") => {
                "https://school.example/1"
            }
            _ => "1",
        };
        // A gateway knows a path by its methods, and catches those that it does not have.
        for method in ["OPTIONS", "HEAD", "DELETE", "PATCH", "TRACE"] {
            number += 1;
            if number % W::STRIDE != 0 {
                continue;
            }
            let call = Call::get(route.path)
                .method(method)
                .id(id)
                .token(&member.secret);
            let answer = world.answer(call.clone()).await;
            let told = said(&call, &answer);
            let reads = route.methods.allow().contains("HEAD");
            match method {
                "OPTIONS" => assert_eq!(answer.status, 204, "{told}"),
                "HEAD" if reads => {
                    let get = world.answer(call.method("GET")).await;
                    assert_eq!(answer.status, get.status, "{told}");
                    assert_eq!(answer.body, b"", "{told}");
                    assert_eq!(answer.header("content-type"), get.header("content-type"));
                    continue;
                }
                _ => assert_eq!(answer.status, 405, "{told}"),
            }
            assert_eq!(answer.header("allow"), route.methods.allow(), "{told}");
        }
    }
    for path in [
        "/",
        "/no",
        "/no/such/path",
        "/receipts/1/2/3",
        "/playbacks/1/stop",
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE"] {
            let call = Call::get(CATCH_ALL).method(method).spelled(path);
            let answer = world.answer(call.clone()).await;
            let told = said(&call, &answer);
            assert_eq!(answer.status, 404, "{told}");
            if method != "HEAD" {
                assert_eq!(answer.json()["status"], 404, "{told}");
            }
        }
    }
}

/// A path with a slash at its end is the path.
pub async fn a_slash_at_the_end_changes_nothing<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let event = event();
    let receipt = post(world, &member, bytes(std::slice::from_ref(&event))).await;
    settled(world, &member, &receipt).await;
    let id = event["id"].as_str().expect("an id");
    let calls = [
        Call::get("/insights"),
        Call::get("/healthz"),
        Call::get("/me"),
        Call::get("/events"),
        Call::get("/windows"),
        Call::get("/caliper"),
        Call::get("/schemas"),
        Call::get("/receipts/{id}").id(&receipt),
        Call::get("/events/{id}").id(id),
        sent(&member),
    ];
    for call in calls {
        let path = format!("{}/", call.path());
        let call = call.token(&member.secret).spelled(&path);
        let answer = world.answer(call.clone()).await;
        assert_eq!(answer.status, 200, "{}", said(&call, &answer));
    }
}

/// A body that cannot be read is called an envelope where one was meant, and nowhere else.
pub async fn a_bad_body_is_called_what_it_is<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let schema = Call::put("/schemas/{type+}", &json!({})).id("https://school.example/types/1");
    let playback = Call::post_to("/playbacks", &json!({}));
    let with = |call: &Call, body: &str| Call {
        body: body.as_bytes().to_vec(),
        ..call.clone()
    };
    let damaged = |call: &Call| with(call, "no gzip").header("content-encoding", "gzip");
    let envelope = sent(&member);
    for (call, status, kind) in [
        (damaged(&envelope), 400, "envelope-malformed"),
        (with(&envelope, "{"), 400, "envelope-malformed"),
        (damaged(&schema), 400, "body-malformed"),
        (with(&schema, "{\"schema\":"), 422, "schema-refused"),
        (with(&schema, ""), 422, "schema-refused"),
        (
            with(&schema, "{\"schema\": 1, \"more\": 2}"),
            422,
            "schema-refused",
        ),
        (with(&playback, "nonsense"), 400, "body-malformed"),
    ] {
        let call = call.token(&member.secret);
        let answer = world.call(call.clone()).await;
        let told = said(&call, &answer);
        assert_eq!(answer.status, status, "{told}");
        let problem = answer.json();
        assert_eq!(
            problem["type"],
            json!(format!("urn:vernier:problem:{kind}")),
            "{told}"
        );
        let title = problem["title"].as_str().unwrap_or_default();
        assert_eq!(
            title.contains("envelope"),
            kind == "envelope-malformed",
            "{told}"
        );
    }
}
