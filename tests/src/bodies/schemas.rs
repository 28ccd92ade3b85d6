//! A tenant's own event types: registered, judged by, versioned, and walled in.

use super::{post, settled};
use crate::envelopes::bytes;
use crate::world::{Answer, Call, Member, World, eventually};
use serde_json::{Value, json};
use vernier_ledger::access::Scope;
use vernier_validation::{Mode, Profile};

const TYPE: &str = "https://school.example/types/Badge#1 of 2";

fn proposal() -> Value {
    json!({
        "schema": {
            "type": "object",
            "required": ["type", "who", "points"],
            "properties": {"who": {"type": "string", "pattern": "^[a-z]{1,20}$"}, "points": {"type": "integer"}}
        },
        "columns": {"actor": "/who", "group": "/course/ref", "eventTime": "/at"}
    })
}

fn badge(who: &str) -> Value {
    json!({"type": TYPE, "who": who, "points": 3, "course": {"ref": "c-1"}, "at": "2026-11-15T12:00:00+01:00"})
}

async fn put<W: World>(world: &W, member: &Member, body: &Value) -> Answer {
    let call = Call::put("/schemas/{type+}", body).id(TYPE);
    world.call(call.token(&member.secret)).await
}

/// Posts one event and asks for its verdict.
fn judged(member: &Member, event: Value) -> Call {
    Call::post(bytes(&[event]))
        .token(&member.secret)
        .header("prefer", "return=representation")
}

/// Before it is registered a type is unknown; then its schema judges and its columns are found.
pub async fn a_registered_type_is_judged_by_its_schema<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let before = world.call(judged(&member, badge("jane"))).await.json();
    assert_eq!(before["rejected"], 1, "{before}");

    let answer = put(world, &member, &proposal()).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    assert_eq!(answer.json()["version"], 1);

    // Every process of the function looks again within the cache's time.
    let answer = eventually(world, judged(&member, badge("jane")), |a| {
        a.json()["accepted"] == 1
    })
    .await;
    let receipt = answer.header("vernier-receipt").to_owned();
    let settled_receipt = settled(world, &member, &receipt).await;
    assert_eq!(settled_receipt["counts"]["stored"], 1, "{settled_receipt}");
    let call = Call::get("/events")
        .query("actor", "jane")
        .query("group", "c-1")
        .query("type", TYPE)
        .query("disposition", "stored");
    let page = world.call(call.token(&member.secret)).await.json();
    assert_eq!(page["events"][0]["event"], badge("jane"), "{page}");

    let bad = eventually(world, judged(&member, badge("JANE")), |a| {
        a.json()["events"][0]["problems"][0]["rule"] == "domain.schema"
    })
    .await
    .json();
    let problem = &bad["events"][0]["problems"][0];
    assert_eq!(problem["pointer"], "/who", "{bad}");
    let clause = problem["clause"].as_str().unwrap_or_default();
    assert!(clause.ends_with("version 1"), "{bad}");
}

/// Lenient mode keeps a type that nobody registered as it is, and says so.
pub async fn an_unregistered_type_is_opaque_in_lenient_mode<W: World>(world: &W) {
    let member = world.tenant(Mode::Lenient, Profile::Generic).await;
    let answer = world.call(judged(&member, badge("jane"))).await.json();
    let event = &answer["events"][0];
    assert_eq!(
        (&event["verdict"], &event["strict"]),
        (&json!("accepted"), &json!("rejected")),
        "{answer}"
    );
    let receipt = post(world, &member, bytes(&[badge("joe")])).await;
    settled(world, &member, &receipt).await;
    let call = Call::get("/events").query("type", TYPE);
    let page = world.call(call.token(&member.secret)).await.json();
    let sent: Vec<&Value> = page["events"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| &e["event"]["who"])
        .collect();
    assert_eq!(sent, ["joe", "jane"], "{page}");
}

/// The same again changes nothing; what may reject more needs force; every version stays readable.
pub async fn schemas_are_versioned_and_grow_compatibly<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    assert_eq!(put(world, &member, &proposal()).await.status, 201);
    let same = put(world, &member, &proposal()).await;
    assert_eq!((same.status, &same.json()["version"]), (200, &json!(1)));

    let mut wider = proposal();
    wider["schema"]["properties"]["note"] = json!({"type": "string"});
    let answer = put(world, &member, &wider).await;
    assert_eq!((answer.status, &answer.json()["version"]), (201, &json!(2)));

    let mut narrower = wider.clone();
    narrower["schema"]["required"] = json!(["type", "who", "points", "note"]);
    let refused = put(world, &member, &narrower).await;
    assert_eq!(refused.status, 409, "{}", refused.json());
    assert_eq!(
        refused.json()["type"],
        "urn:vernier:problem:schema-incompatible"
    );
    assert_eq!(refused.json()["problems"][0]["pointer"], "/required");

    let call = Call::put("/schemas/{type+}", &narrower)
        .id(TYPE)
        .query("force", "true");
    let forced = world.call(call.token(&member.secret)).await;
    assert_eq!(forced.status, 201);
    let forced = forced.json();
    assert_eq!(
        (&forced["version"], &forced["forced"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(
        forced["incompatibilities"][0]["pointer"], "/required",
        "{forced}"
    );

    for (version, schema) in [
        (Some("1"), &proposal()),
        (Some("2"), &wider),
        (None, &narrower),
    ] {
        let mut call = Call::get("/schemas/{type+}").id(TYPE);
        if let Some(version) = version {
            call = call.query("version", version);
        }
        let got = world.call(call.token(&member.secret)).await.json();
        assert_eq!(got["schema"], schema["schema"], "{version:?}: {got}");
        assert_eq!(got["columns"], schema["columns"]);
        assert_eq!(got["created_by"], json!(member.token_id));
    }
    let list = world
        .call(Call::get("/schemas").token(&member.secret))
        .await
        .json();
    assert_eq!(list["schemas"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&list["schemas"][0]["type"], &list["schemas"][0]["version"]),
        (&json!(TYPE), &json!(3)),
        "{list}"
    );
}

/// Each refusal names its cause; nothing is registered by it.
pub async fn schemas_are_refused_for_what_is_wrong_with_them<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let good = proposal();
    let of = |schema: Value| Call::put("/schemas/{type+}", &json!({"schema": schema})).id(TYPE);
    let proposal = || Call::put("/schemas/{type+}", &good).id(TYPE);
    let mut not_json = proposal();
    not_json.body = b"{\"schema\": {".to_vec();
    let post = Call {
        method: "POST",
        ..proposal()
    };
    for (call, status, why) in [
        (
            of(json!({"$ref": "https://other.example/s.json"})),
            422,
            "#/",
        ),
        (of(json!({"$ref": "#"})), 422, "refers to itself"),
        (of(json!({"pattern": "("})), 422, "/pattern"),
        (of(json!({"type": "text"})), 422, "text"),
        (proposal().id("ViewEvent"), 422, "is a type of Caliper"),
        (proposal().id(&"x".repeat(300)), 422, "256"),
        (
            Call::put("/schemas/{type+}", &json!({"schema": {}, "colums": {}})).id(TYPE),
            422,
            "colums",
        ),
        (
            Call::put(
                "/schemas/{type+}",
                &json!({"schema": {}, "columns": {"actor": "who"}}),
            )
            .id(TYPE),
            422,
            "actor",
        ),
        (not_json, 422, "EOF"),
        (
            proposal().header("content-type", "text/plain"),
            415,
            "text/plain",
        ),
        (proposal().query("force", "yes"), 400, "true or false"),
        (proposal().query("forced", "true"), 400, "no such parameter"),
        (Call::get("/schemas/{type+}").id(TYPE), 404, "no schema"),
        (
            Call::get("/schemas/{type+}").id(TYPE).query("version", "x"),
            400,
            "whole number",
        ),
    ] {
        let answer = world.call(call.clone().token(&member.secret)).await;
        let text = answer.json().to_string();
        assert_eq!(answer.status, status, "{call:?}: {text}");
        assert!(text.contains(why), "{why}: {text}");
    }
    let list = world
        .call(Call::get("/schemas").token(&member.secret))
        .await
        .json();
    assert_eq!(list, json!({"schemas": []}));

    // The route is there for GET and PUT alone: the gateway's answer or the function's.
    let answer = world.call(post.token(&member.secret)).await;
    assert!(matches!(answer.status, 403..=405), "{}", answer.status);
}

/// A tenant's types are nobody else's, and are changed with the scope for it alone.
pub async fn schemas_are_behind_scopes_and_walls<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let good = proposal();
    let proposal = || Call::put("/schemas/{type+}", &good).id(TYPE);
    assert_eq!(
        world.call(proposal().token(&member.secret)).await.status,
        201
    );
    let stranger = world.tenant(Mode::Strict, Profile::Generic).await;
    let call = Call::get("/schemas/{type+}").id(TYPE);
    assert_eq!(
        world
            .call(call.clone().token(&stranger.secret))
            .await
            .status,
        404
    );
    let sensor = world.token(&member.tenant, &[Scope::EventsWrite]).await;
    assert_eq!(world.call(call.token(&sensor.secret)).await.status, 200);
    assert_eq!(
        world.call(proposal().token(&sensor.secret)).await.status,
        403
    );
    let auditor = world.token(&member.tenant, &[Scope::AuditRead]).await;
    let answer = world
        .call(Call::get("/schemas").token(&auditor.secret))
        .await;
    assert_eq!(answer.status, 403);
}
