//! Salt keys: each envelope has one of its own, what is sent again keeps it, and nobody is shown one.

use super::logs::Log;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeSet;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::{self, EnvelopeLines, FRAME_VERSION, Frame, NewLine};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::{BadLine, LineHead, write_line};
use vernier_ledger::recovery::raised;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::segment;
use vernier_tests::bodies::{balanced, post, settled};
use vernier_tests::envelopes::{bytes, event, event_with_id, invalid_event};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Profile};

const ID: &str = "urn:uuid:7c0fc54b-fb2a-4a45-9a39-2d5c3a8d3f01";

/// The frames on the stream, as they were sent.
fn sent(world: &MemoryWorld) -> Vec<Frame> {
    let shards = world.stream.records();
    let records = shards.values().flatten();
    let frames = records.filter_map(|(_, record)| frame::decode(&record.data).ok());
    frames.collect()
}

/// The salt key of a frame, which all of its lines have.
fn key_of(frame: &Frame) -> SaltKey {
    let mut keys = Vec::new();
    segment::for_each_line::<BadLine>(&frame.lines, |head, _| {
        keys.push(head.salt_key);
        Ok(())
    })
    .expect("lines");
    let first = keys[0].expect("a key in each line");
    assert!(keys.iter().all(|key| *key == Some(first)), "one key");
    first
}

/// The events of a frame in an envelope of an earlier version, whose lines have no salt key.
fn unsalted(frame: &Frame, receipt: ReceiptId) -> Vec<u8> {
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    segment::for_each_line::<BadLine>(&frame.lines, |head, event| {
        let head = LineHead {
            receipt,
            salt_key: None,
            ..head
        };
        let event = std::str::from_utf8(event).expect("text");
        write_line(&head, event, &mut text)?;
        lines.push(NewLine {
            end: text.len(),
            index: head.index,
            fingerprint: Fingerprint::from_hex(&head.fingerprint).expect("a fingerprint"),
            verdict: head.verdict,
        });
        Ok(())
    })
    .expect("lines");
    let lines = EnvelopeLines {
        text,
        lines,
        salt_key: None,
    };
    let header = &frame.header;
    let frames = frame::encode_envelope(receipt, &header.tenant, &header.sensor, &lines);
    frames.expect("encodes").remove(0).1
}

/// An envelope as input sends it, and its events once more in a frame of version 1.
async fn both_versions(world: &MemoryWorld, member: &Member) -> Frame {
    let body = bytes(&[event_with_id(ID), event(), invalid_event()]);
    let receipt = post(world, member, body).await;
    settled(world, member, &receipt).await;
    let frame = sent(world).remove(0);
    let again = ReceiptId::generate(frame.header.receipt.received_at(), 0);
    let key = format!("{}/0", member.tenant);
    world.put_record(&key, &unsalted(&frame, again)).await;
    world.deliver().await.expect("committed");
    frame
}

#[tokio::test]
async fn frames_of_both_versions_add_up_in_one_window() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    both_versions(&world, &member).await;
    let versions: Vec<u32> = sent(&world)
        .iter()
        .map(|frame| frame.header.vernier_frame)
        .collect();
    assert_eq!(versions, [FRAME_VERSION, 1]);
    assert_eq!(balanced(&world, &member, 6).await, [6, 2, 2, 0, 2]);
    assert!(world.keys("quarantine/frames/").await.is_empty());
}

#[tokio::test]
async fn each_envelope_has_a_key_of_its_own_and_keeps_it_when_it_is_sent_again() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    for _ in 0..20 {
        post(&world, &member, bytes(&[event(), event()])).await;
    }
    let frames = sent(&world);
    let keys: BTreeSet<String> = frames.iter().map(|f| key_of(f).to_string()).collect();
    assert_eq!(keys.len(), 20);
    for frame in frames {
        let again = raised(&frame, 3).expect("it encodes");
        let again = frame::decode(&again).expect("a frame");
        assert_eq!(key_of(&again), key_of(&frame));
        assert_eq!(again.header.slice_tally, frame.header.slice_tally);
    }
}

/// Invariant 7: whoever had a key could test guesses of what an event was after it is erased.
#[tokio::test]
async fn no_answer_and_no_log_line_has_a_salt_or_its_key() {
    let log = Log::default();
    let guard = log.begin();
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let frame = both_versions(&world, &member).await;
    let (key, receipt) = (key_of(&frame), frame.header.receipt.to_string());
    let mut stored = Vec::new();
    for object in world.keys("segments/").await {
        let object = world.object(&object).await;
        stored.extend(zstd::decode_all(object.as_slice()).expect("frames of zstd"));
    }
    let stored = String::from_utf8_lossy(&stored);
    assert!(stored.contains(&key.to_string()), "lines are kept whole");
    let mut text = String::new();
    for call in [
        Call::get("/events").query("limit", "100"),
        Call::get("/events/{id}").id(ID),
        Call::get("/receipts/{id}").id(&receipt),
        Call::get("/quarantine"),
        Call::get("/deviations"),
        Call::get("/windows"),
    ] {
        let answer = world.call(call.token(&member.secret)).await;
        assert_eq!(answer.status, 200);
        text += &String::from_utf8_lossy(&answer.body);
    }
    let sent_again = Call::post(bytes(&[event()]))
        .header("prefer", "return=representation")
        .token(&member.secret);
    let answer = world.call(sent_again).await;
    text += &String::from_utf8_lossy(&answer.body);
    assert!(text.contains(ID) && text.contains(&receipt), "{text}");
    drop(guard);
    text += &log.text();
    text += &world.measured();
    let keys: Vec<SaltKey> = sent(&world)
        .iter()
        .filter(|frame| frame.header.vernier_frame == FRAME_VERSION)
        .map(key_of)
        .collect();
    for key in keys {
        let salts = (0..3).map(|index| hex::encode(key.salt(index).0));
        for secret in salts.chain([key.to_string()]) {
            assert!(!text.contains(&secret), "{secret}");
        }
    }
}

/// The salt of an event lies beside its text; what all salts of an envelope are made from lies in its lines alone.
#[tokio::test]
async fn a_window_of_both_versions_is_sealed_and_no_object_but_segments_has_a_key() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let frame = both_versions(&world, &member).await;
    let text = key_of(&frame).to_string();
    let bytes = URL_SAFE_NO_PAD.decode(&text).expect("16 bytes");
    world.seal().await;
    let mut sealed = 0;
    for name in world.keys("").await {
        if name.starts_with("segments/") {
            continue;
        }
        sealed += usize::from(name.starts_with("archive/") || name.starts_with("exceptions/"));
        let object = world.object(&name).await;
        for secret in [text.as_bytes(), &bytes] {
            let found = object.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{name}");
        }
    }
    assert_eq!(sealed, 2, "stored events, and duplicates and rejected ones");
}
