//! Gateways that do different things to a path, which the emulator's one cannot show: an event is found by
//! exactly its id behind each of them.

use serde_json::{Value, json};
use vernier_tests::bodies::{post, settled};
use vernier_tests::envelopes::bytes;
use vernier_tests::memory::{MemoryWorld, proxy_event};
use vernier_tests::world::encoded;
use vernier_tests::{Call, World};
use vernier_validation::{Mode, Profile};

/// What a gateway does to an id that a client encoded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gateway {
    /// Hands path and parameter on as they came.
    Passing,
    /// Decodes the path before it routes: an id with slashes is caught by the resource of all others.
    Decoding,
    /// Decodes the path, hands the parameter on, and collapses slashes.
    Collapsing,
    /// Decodes the parameter alone.
    DecodingParameter,
    /// Encodes what is encoded already.
    Encoding,
}

impl Gateway {
    const ALL: [Self; 5] = [
        Self::Passing,
        Self::Decoding,
        Self::Collapsing,
        Self::DecodingParameter,
        Self::Encoding,
    ];

    /// The proxy request for an event's id.
    fn request(self, call: &Call, id: &str) -> Value {
        let mut event = proxy_event(call);
        let once = encoded(id);
        let (path, parameter) = match self {
            Self::Passing => (once.clone(), once),
            Self::Decoding => (id.to_owned(), id.to_owned()),
            Self::Collapsing => (id.to_owned(), id.replace("//", "/")),
            Self::DecodingParameter => (once, id.to_owned()),
            Self::Encoding => (encoded(&once), encoded(&once)),
        };
        event["path"] = json!(format!("/events/{path}"));
        event["pathParameters"] = json!({"id": parameter});
        let is_caught = self == Self::Decoding && id.contains('/');
        if is_caught {
            event["resource"] = json!("/{proxy+}");
            event["pathParameters"] = json!({"proxy": format!("events/{id}")});
        }
        event
    }
}

#[tokio::test]
async fn an_event_is_found_by_exactly_its_id_behind_every_gateway() {
    let world = MemoryWorld::default();
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    // Each of them decodes to another of them.
    let ids = [
        "https://school.example/a/b",
        "https://school.example/a%2Fb",
        "https://school.example/a%252Fb",
        "https://school.example/a%25252Fb",
        "https://school.example/caf\u{e9}",
        "https://school.example/caf%C3%A9",
        "https://school.example/1+1",
        "https://school.example/1%2B1",
        "urn:school:100%25",
        "urn:school:100%2525",
    ];
    let document = |id: &&str| {
        json!({
            "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
            "id": id, "type": "Document", "name": "A file",
        })
    };
    let documents: Vec<Value> = ids.iter().map(document).collect();
    let receipt = post(&world, &member, bytes(&documents)).await;
    settled(&world, &member, &receipt).await;
    let call = Call::get("/events/{id}").token(&member.secret);
    for gateway in Gateway::ALL {
        for id in ids {
            let event = gateway.request(&call, id);
            let answer = world.invoke("output", event).await.expect("an answer");
            let body = answer["body"].as_str().unwrap_or_default();
            let found: Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(found["event"]["id"], json!(id), "{gateway:?}: {found}");
        }
    }
}
