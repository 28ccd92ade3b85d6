//! A frame of each version that every later reader must still read.
//!
//! `frame-v1.jsonl` is a frame as it is where compression does not help; `frame-v1.zst.b64` is
//! the same one compressed; version 2 has two files likewise. All were written once and are never written again. The
//! compressed bytes are not compared with what the encoder gives today: zstd may compress better tomorrow.

use crate::tree;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::{self, EnvelopeLines, Frame, FrameHeader, NewLine};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::{self, EventRef, LineHead, Verdict, write_line};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::segment;
use vernier_ledger::time::Millis;

/// A version's golden frame: the same four events in each.
#[derive(Debug)]
pub(crate) struct Golden {
    pub(crate) version: u32,
    plain: &'static str,
    compressed: &'static str,
    salt_key: Option<SaltKey>,
}

/// A frame without salt keys.
pub(crate) const V1: Golden = Golden {
    version: 1,
    plain: "tests/golden/frame-v1.jsonl",
    compressed: "tests/golden/frame-v1.zst.b64",
    salt_key: None,
};

/// A frame with the salt key of docs/seal.md's example.
pub(crate) const V2: Golden = Golden {
    version: 2,
    plain: "tests/golden/frame-v2.jsonl",
    compressed: "tests/golden/frame-v2.zst.b64",
    salt_key: Some(SaltKey::from_bytes([
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    ])),
};

pub(crate) const ALL: [&Golden; 2] = [&V1, &V2];

/// 2026-09-01T09:15:00.123Z, lane 3.
fn receipt() -> ReceiptId {
    ReceiptId::from_parts(
        Millis(1_788_254_100_123),
        3,
        [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88],
    )
}

const ACCEPTED: &str = r#"{"@context":"http://purl.imsglobal.org/ctx/caliper/v1p2","id":"urn:uuid:2f9a3a0e-54a0-4d55-8d3c-0c8f54d3a001","type":"NavigationEvent","action":"NavigatedTo","actor":{"id":"https://school.example/people/7","type":"Person"},"object":{"id":"https://school.example/pages/überblick","type":"WebPage","name":"Überblick, \"event\": 1"},"eventTime":"2026-09-01T09:14:59.000Z","group":{"id":"https://school.example/sections/bio-1","type":"CourseSection"}}"#;
const REJECTED: &str = r#"{"type":"ViewEvent","action":"Viewed"}"#;
const ENTITY: &str = r#"{"@context":"http://purl.imsglobal.org/ctx/caliper/v1p2","id":"https://school.example/people/7","type":"Person"}"#;
const OVERSIZE_KEY: &str =
    "oversize/dt=2026-09-01/school/01a05c40-1a9b-7103-a233-445566778899/3.json";

fn head<'a>(index: u32, kind: &'a str, event: &str) -> LineHead<'a> {
    LineHead {
        receipt: receipt(),
        index,
        received_at: "2026-09-01T09:15:00.123Z".into(),
        sensor: "lms".into(),
        salt_key: None,
        verdict: Verdict::Accepted,
        strict: Verdict::Accepted,
        kind: kind.into(),
        id: None,
        type_name: None,
        action: None,
        actor: None,
        object: None,
        group: None,
        time: None,
        result: None,
        problems: None,
        deviations: None,
        first: None,
        event_ref: None,
        fingerprint: Fingerprint::of(event.as_bytes()).hex().into(),
    }
}

fn raw(json: &str) -> Option<Cow<'static, serde_json::value::RawValue>> {
    Some(Cow::Owned(
        serde_json::value::RawValue::from_string(json.to_owned()).expect("JSON"),
    ))
}

/// One event with every column, one rejected, one that lenient mode let pass, one too large.
fn heads_and_events() -> Vec<(LineHead<'static>, String, &'static str)> {
    let accepted = LineHead {
        id: Some("urn:uuid:2f9a3a0e-54a0-4d55-8d3c-0c8f54d3a001".into()),
        type_name: Some("NavigationEvent".into()),
        action: Some("NavigatedTo".into()),
        actor: Some("https://school.example/people/7".into()),
        object: Some("https://school.example/pages/überblick".into()),
        group: Some("https://school.example/sections/bio-1".into()),
        time: Some("2026-09-01T09:14:59.000Z".into()),
        ..head(0, "event", ACCEPTED)
    };
    let rejected = LineHead {
        verdict: Verdict::Rejected,
        strict: Verdict::Rejected,
        type_name: Some("ViewEvent".into()),
        action: Some("Viewed".into()),
        problems: raw(
            r#"[{"pointer":"/id","rule":"event.id","expected":"a UUID URN","found":"nothing","message":"the event has no id","clause":"Caliper 1.2, Event"}]"#,
        ),
        ..head(1, "event", REJECTED)
    };
    let entity = LineHead {
        strict: Verdict::Rejected,
        id: Some("https://school.example/people/7".into()),
        type_name: Some("Person".into()),
        deviations: raw(
            r#"[{"pointer":"/dateCreated","rule":"entity.date","expected":"a time","found":"nothing","message":"the entity has no date","clause":"Caliper 1.2, Entity"}]"#,
        ),
        ..head(2, "entity", ENTITY)
    };
    let large = oversize_event();
    let oversize = LineHead {
        id: Some("urn:uuid:2f9a3a0e-54a0-4d55-8d3c-0c8f54d3a004".into()),
        type_name: Some("Event".into()),
        event_ref: Some(EventRef {
            key: OVERSIZE_KEY.to_owned(),
            bytes: large.len() as u64,
        }),
        ..head(3, "event", &large)
    };
    vec![
        (accepted, ACCEPTED.to_owned(), ACCEPTED),
        (rejected, REJECTED.to_owned(), REJECTED),
        (entity, ENTITY.to_owned(), ENTITY),
        (oversize, large, "null"),
    ]
}

fn oversize_event() -> String {
    format!(
        r#"{{"id":"urn:uuid:2f9a3a0e-54a0-4d55-8d3c-0c8f54d3a004","type":"Event","x":"{}"}}"#,
        "-".repeat(1_000_000)
    )
}

/// What the encoder makes of the fixed inputs.
fn encoded(salt_key: Option<SaltKey>) -> (FrameHeader, Vec<u8>) {
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    for (head, event, shown) in heads_and_events() {
        let head = LineHead { salt_key, ..head };
        write_line(&head, shown, &mut text).expect("a line");
        let fingerprint = Fingerprint::of(event.as_bytes());
        lines.push(NewLine {
            end: text.len(),
            index: head.index,
            fingerprint,
            verdict: head.verdict,
        });
    }
    let tenant = "school".parse().expect("a tenant");
    let lines = EnvelopeLines {
        text,
        lines,
        salt_key,
    };
    let mut frames = frame::encode_envelope(receipt(), &tenant, "lms", &lines).expect("encodes");
    assert_eq!(frames.len(), 1);
    frames.remove(0)
}

impl Golden {
    /// The compressed frame's bytes.
    fn bytes(&self) -> Vec<u8> {
        let text: String = tree::text(self.compressed).split_whitespace().collect();
        let bytes = STANDARD.decode(text);
        bytes.unwrap_or_else(|e| panic!("{}: {e}", self.compressed))
    }

    /// The frame, decoded from its plain form.
    pub(crate) fn frame(&self) -> Frame {
        let frame = frame::decode(tree::text(self.plain).as_bytes());
        frame.unwrap_or_else(|e| panic!("{}: {e}", self.plain))
    }
}

#[test]
fn both_golden_forms_are_the_same_frame() {
    for golden in ALL {
        let bytes = golden.bytes();
        assert!(
            bytes.len() < tree::text(golden.plain).len(),
            "{} is not compressed",
            golden.compressed
        );
        let frame = frame::decode(&bytes).unwrap_or_else(|e| panic!("{golden:?}: {e}"));
        assert_eq!(frame, golden.frame());
    }
}

#[test]
fn the_golden_headers_are_read() {
    for golden in ALL {
        let header = golden.frame().header;
        assert_eq!(header.vernier_frame, golden.version);
        assert_eq!(header.receipt, receipt());
        assert_eq!(
            (
                header.receipt.received_at().rfc3339().as_str(),
                header.receipt.lane()
            ),
            ("2026-09-01T09:15:00.123Z", 3)
        );
        assert_eq!(
            (header.tenant.as_str(), header.sensor.as_str()),
            ("school", "lms")
        );
        assert_eq!((header.slice, header.slices, header.attempt), (0, 1, 0));
        assert_eq!(
            (header.slice_tally.events, header.slice_tally.rejected),
            (4, 1)
        );
        assert_eq!(header.slice_tally, header.envelope_tally);
    }
}

#[test]
fn the_golden_lines_are_read() {
    for golden in ALL {
        let frame = golden.frame();
        let mut found = Vec::new();
        segment::for_each_line::<line::BadLine>(&frame.lines, |head, event| {
            let event = String::from_utf8(event.to_vec()).expect("UTF-8");
            assert_eq!(head.salt_key, golden.salt_key);
            found.push((serde_json::to_value(&head).expect("JSON"), event));
            Ok(())
        })
        .expect("lines");
        let expected = heads_and_events().into_iter().map(|(head, _, shown)| {
            let head = LineHead {
                salt_key: golden.salt_key,
                ..head
            };
            (serde_json::to_value(&head).expect("JSON"), shown.to_owned())
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

/// The encoder of today writes the golden texts of the versions that it can write.
#[test]
fn the_encoder_writes_the_golden_texts() {
    assert_eq!(
        frame::FRAME_VERSION,
        V2.version,
        "a new version has a golden frame of its own; these stay"
    );
    for golden in ALL {
        let (_, bytes) = encoded(golden.salt_key);
        let text = zstd::decode_all(bytes.as_slice()).expect("the text is worth compressing");
        assert_eq!(
            String::from_utf8(text).expect("UTF-8"),
            tree::text(golden.plain)
        );
    }
}
