//! Frames whose lines have salt keys: stored, counted and answered as all others, and nobody is shown a key.

use super::logs::Log;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::{self, EnvelopeLines, Frame, NewLine};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::{BadLine, LineHead, write_line};
use vernier_ledger::salt::SaltKey;
use vernier_ledger::segment;
use vernier_tests::bodies::{balanced, post, settled};
use vernier_tests::envelopes::{bytes, event, event_with_id, invalid_event};
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Profile};

const KEY: SaltKey = SaltKey::from_bytes([0x5A; 16]);

const ID: &str = "urn:uuid:7c0fc54b-fb2a-4a45-9a39-2d5c3a8d3f01";

/// The frames on the stream, as they were sent.
fn sent(world: &MemoryWorld) -> Vec<Frame> {
    let shards = world.stream.records();
    let records = shards.values().flatten();
    let frames = records.filter_map(|(_, record)| frame::decode(&record.data).ok());
    frames.collect()
}

/// The events of a frame in an envelope of its own, whose lines have a salt key.
fn salted(frame: &Frame, receipt: ReceiptId) -> Vec<u8> {
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    segment::for_each_line::<BadLine>(&frame.lines, |head, event| {
        let head = LineHead {
            receipt,
            salt_key: Some(KEY),
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
        salt_key: Some(KEY),
    };
    let header = &frame.header;
    let frames = frame::encode_envelope(receipt, &header.tenant, &header.sensor, &lines);
    frames.expect("encodes").remove(0).1
}

/// An envelope in a frame of version 1 and its events once more in one of version 2.
async fn both_versions(world: &MemoryWorld, member: &Member) -> ReceiptId {
    let body = bytes(&[event_with_id(ID), event(), invalid_event()]);
    let receipt = post(world, member, body).await;
    settled(world, member, &receipt).await;
    let [frame] = &sent(world)[..] else {
        panic!("one frame was sent");
    };
    let receipt = ReceiptId::generate(frame.header.receipt.received_at(), 0);
    let key = format!("{}/0", member.tenant);
    world.put_record(&key, &salted(frame, receipt)).await;
    world.deliver().await.expect("committed");
    receipt
}

#[tokio::test]
async fn frames_of_both_versions_add_up_in_one_window() {
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    both_versions(&world, &member).await;
    assert_eq!(balanced(&world, &member, 6).await, [6, 2, 2, 0, 2]);
    assert!(world.keys("quarantine/frames/").await.is_empty());
}

/// Invariant 7: whoever had a key could test guesses of what an event was after it is erased.
#[tokio::test]
async fn no_answer_and_no_log_line_has_a_salt_or_its_key() {
    let log = Log::default();
    let guard = log.begin();
    let world = MemoryWorld::new(1);
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let receipt = both_versions(&world, &member).await.to_string();
    let mut stored = Vec::new();
    for key in world.keys("segments/").await {
        let object = world.object(&key).await;
        stored.extend(zstd::decode_all(object.as_slice()).expect("frames of zstd"));
    }
    let stored = String::from_utf8_lossy(&stored);
    let key_is_stored = stored.contains(&KEY.to_string());
    assert!(key_is_stored, "the lines are kept whole");
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
    assert!(text.contains(ID) && text.contains(&receipt), "{text}");
    drop(guard);
    text += &log.text();
    text += &world.measured();
    let salts = (0..3).map(|index| hex::encode(KEY.salt(index).0));
    for secret in salts.chain([KEY.to_string(), hex::encode([0x5A; 16])]) {
        assert!(!text.contains(&secret), "{secret}");
    }
}
