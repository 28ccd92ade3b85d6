//! Blocks as they are built, read back and compared with their lines.

use super::*;
use crate::frame::{FRAME_VERSION, Frame, FrameHeader, Tally};
use crate::id_filter;
use crate::ids::{ReceiptId, Shard};
use crate::line::{LineHead, Verdict, tests::head, write_line};
use crate::segment::{self, Place, SegmentRange, open_block};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// One event, by what it is found by.
#[derive(Debug, Clone)]
struct Sent {
    actor: Option<u8>,
    section: Option<u8>,
    type_number: u8,
    id: u8,
    kind: &'static str,
    happened: Option<i64>,
    is_rejected: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let columns = (of(0_u8..5), of(0_u8..3), 0_u8..3, 0_u8..40);
    let others = (
        prop::sample::select(vec!["event", "entity"]),
        of(-400_i64..400),
        any::<bool>(),
    );
    (columns, others).prop_map(|(columns, (kind, happened, is_rejected))| Sent {
        actor: columns.0,
        section: columns.1,
        type_number: columns.2,
        id: columns.3,
        kind,
        happened,
        is_rejected,
    })
}

fn name(what: &str, number: u8) -> String {
    format!("https://school.example/{what}/{number}")
}

fn received_at(frame: usize) -> Millis {
    Millis(1_788_254_100_000 + i64::try_from(frame).expect("few") * 1_000)
}

/// Frames of one tenant, one for each list of events.
fn frames_of(lists: &[Vec<Sent>]) -> Vec<Frame> {
    let frames = lists.iter().enumerate().map(|(nth, events)| {
        let receipt = ReceiptId::from_parts(received_at(nth), 0, [1; 8]);
        let mut lines = Vec::new();
        for (index, sent) in (0..).zip(events) {
            let event = format!("{{\"n\":{}}}", sent.id);
            let id = name("events", sent.id);
            let verdict = match sent.is_rejected {
                true => Verdict::Rejected,
                false => Verdict::Accepted,
            };
            let line = LineHead {
                kind: sent.kind.into(),
                verdict,
                type_name: Some(name("types", sent.type_number).into()),
                actor: sent.actor.map(|n| name("users", n).into()),
                group: sent.section.map(|n| name("sections", n).into()),
                time: sent
                    .happened
                    .map(|s| received_at(0).plus_seconds(s).rfc3339().into()),
                ..head(receipt, index, &id, &event)
            };
            write_line(&line, &event, &mut lines).expect("a line");
        }
        let header = FrameHeader {
            vernier_frame: FRAME_VERSION,
            receipt,
            tenant: "school".parse().expect("a tenant"),
            sensor: "sensor".to_owned(),
            slice: 0,
            slices: 1,
            attempt: 0,
            slice_tally: Tally::default(),
            envelope_tally: Tally::default(),
        };
        Frame { header, lines }
    });
    frames.collect()
}

/// The block of the frames, and its bytes.
fn block_of(frames: &[Frame], chunk_bytes: usize) -> (Block, Vec<u8>) {
    let sequence = |n: u32| n.to_string().parse().expect("digits");
    let range = SegmentRange {
        shard: Shard::new("frames", "shardId-000000000000").expect("a shard"),
        first: sequence(1),
        last: sequence(2),
    };
    let commits = [frames.iter().collect()];
    let built = segment::build(&range, Millis(0), &commits, chunk_bytes).expect("zstd");
    let mut built = built.expect("there are frames");
    let block = built.blocks[0].remove(0);
    let start = usize::try_from(block.offset).expect("small");
    let bytes = usize::try_from(block.bytes).expect("small");
    (block, built.bytes[start..start + bytes].to_vec())
}

fn part(bytes: &[u8], block: &Block, (offset, length): (u64, u64)) -> Vec<u8> {
    let start = usize::try_from(offset - block.offset).expect("small");
    bytes[start..start + usize::try_from(length).expect("small")].to_vec()
}

/// Every chunk with its lines.
fn chunks_of(index: &BlockIndex, bytes: &[u8]) -> Vec<(Chunk, Vec<u8>)> {
    let mut at = 0;
    let opened = index.chunks.iter().map(|chunk| {
        let end = at + usize::try_from(chunk.bytes).expect("small");
        let lines = chunk.open(&bytes[at..end]).expect("sound");
        at = end;
        (chunk.clone(), lines)
    });
    opened.collect()
}

fn sorted_lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    lines.sort_unstable();
    lines
}

fn places(lines: &[u8], passes: impl Fn(&LineHead<'_>) -> bool) -> BTreeSet<Place> {
    let mut found = BTreeSet::new();
    segment::for_each_line::<BlockError>(lines, |head, _| {
        if passes(&head) {
            found.insert((head.receipt, head.index));
        }
        Ok(())
    })
    .expect("lines");
    found
}

fn lists() -> impl Strategy<Value = Vec<Vec<Sent>>> {
    vec(vec(sent(), 1..12), 1..8)
}

proptest! {
    /// A block in chunks has the lines that it was made of, as an old reader decompresses it and chunk by chunk.
    #[test]
    fn no_line_is_lost_or_added(lists in lists(), chunk_bytes in 1_usize..8_000) {
        let frames = frames_of(&lists);
        let (block, bytes) = block_of(&frames, chunk_bytes);
        let sent: Vec<u8> = frames.iter().flat_map(|f| f.lines.clone()).collect();
        let whole = open_block(&block, &bytes).expect("sound");
        prop_assert_eq!(sorted_lines(&whole), sorted_lines(&sent));
        prop_assert_eq!(&zstd::decode_all(bytes.as_slice()).expect("zstd"), &whole);
        prop_assert_eq!(block.index.is_some(), sent.len() > chunk_bytes);
        let Some(place) = &block.index else { return Ok(()); };
        let index = place.open_index(&part(&bytes, &block, place.index_range(&block)));
        let chunks = chunks_of(&index.expect("an index"), &bytes);
        let joined: Vec<u8> = chunks.iter().flat_map(|(_, lines)| lines.clone()).collect();
        prop_assert_eq!(joined, whole);
        for (chunk, lines) in chunks {
            let events = lines.iter().filter(|b| **b == b'\n').count();
            prop_assert_eq!(chunk.events, events as u64);
            prop_assert!(lines.len() <= chunk_bytes || events == 1);
        }
    }

    /// Whoever reads the chunks that may have something finds all that a scan finds, by each column alone and by all.
    #[test]
    fn no_chunk_that_has_something_is_passed_over(
        lists in lists(),
        asked in (0_u8..6, 0_u8..4, 0_u8..4),
        happened in (-500_i64..500, 1_i64..300),
        which in 0_u8..32,
    ) {
        let frames = frames_of(&lists);
        let (block, bytes) = block_of(&frames, 700);
        let Some(place) = &block.index else { return Ok(()); };
        let index = place.open_index(&part(&bytes, &block, place.index_range(&block)));
        let (actor, section, type_name) =
            (name("users", asked.0), name("sections", asked.1), name("types", asked.2));
        let from = received_at(0).plus_seconds(happened.0);
        let range = (from, from.plus_seconds(happened.1));
        let has = |bit: u8| which >> bit & 1 == 1;
        let wanted = Wanted {
            actor: has(0).then(|| mark_of(&actor)),
            section: has(1).then(|| mark_of(&section)),
            type_name: has(2).then(|| mark_of(&type_name)),
            sensor: Some(mark_of("sensor")),
            received: None,
            happened: has(3).then_some(range),
            rejected: has(4),
        };
        let passes = |head: &LineHead<'_>| {
            let within = |at: Millis| range.0 <= at && at < range.1;
            (!has(0) || head.actor.as_deref() == Some(&actor))
                && (!has(1) || head.group.as_deref() == Some(&section))
                && (!has(2) || head.type_name.as_deref() == Some(&type_name))
                && (!has(3) || within(head.event_time().unwrap_or(head.receipt.received_at())))
                && (!has(4) || head.verdict == Verdict::Rejected)
        };
        let whole = open_block(&block, &bytes).expect("sound");
        let mut found = BTreeSet::new();
        for (chunk, lines) in chunks_of(&index.expect("an index"), &bytes) {
            if wanted.may_lie_in(&chunk) {
                found.extend(places(&lines, passes));
            }
        }
        prop_assert_eq!(found, places(&whole, passes));
    }

    /// Added up, the counts are those of the lines that were not rejected and describe nothing, whatever is looked at.
    #[test]
    fn counts_are_what_the_lines_come_to(lists in lists()) {
        let frames = frames_of(&lists);
        let (block, bytes) = block_of(&frames, 500);
        let Some(place) = &block.index else { return Ok(()); };
        let index = place.open_index(&part(&bytes, &block, place.index_range(&block)));
        let counts = index.expect("an index").counts;
        let mut expected: BTreeMap<(Option<String>, Option<String>, i64), u64> = BTreeMap::new();
        let mut of_sections: BTreeMap<Option<String>, (Millis, BTreeSet<Mark>)> = BTreeMap::new();
        let whole = open_block(&block, &bytes).expect("sound");
        segment::for_each_line::<BlockError>(&whole, |head, _| {
            if head.verdict == Verdict::Rejected || head.kind == "entity" {
                return Ok(());
            }
            let at = head.event_time().unwrap_or(head.receipt.received_at());
            let own = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
            let key = (own(&head.group), own(&head.type_name), at.0.div_euclid(900_000));
            *expected.entry(key).or_default() += 1;
            let section = of_sections.entry(own(&head.group)).or_insert((at, BTreeSet::new()));
            section.0 = section.0.max(at);
            section.1.extend(head.actor.as_deref().map(mark_of));
            Ok(())
        })
        .expect("lines");
        let mut found: BTreeMap<(Option<String>, Option<String>, i64), u64> = BTreeMap::new();
        let mut found_sections = BTreeMap::new();
        for section in counts.sections() {
            for counted in counts.of(section) {
                let type_name = counted.type_name.map(str::to_owned);
                let key = (section.section.clone(), type_name, counted.quarter.0 / 900_000);
                prop_assert_eq!(found.insert(key, counted.events), None);
            }
            let marks: BTreeSet<Mark> = section.actors.decoded().into_iter().collect();
            found_sections.insert(section.section.clone(), (section.last, marks));
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(found_sections, of_sections);
    }

    /// Every event is found by its id and as often as its identity is there; the item's times hold all of them.
    #[test]
    fn the_filter_and_the_times_know_every_event(lists in lists()) {
        let frames = frames_of(&lists);
        let (block, bytes) = block_of(&frames, 500);
        let times = block.times.expect("times");
        let whole = open_block(&block, &bytes).expect("sound");
        let (mut ids, mut identities) = (Vec::new(), Vec::new());
        segment::for_each_line::<BlockError>(&whole, |head, _| {
            let at = head.receipt.received_at();
            let happened = head.event_time().unwrap_or(at);
            assert!(times.received_from <= at && at <= block.received_through);
            assert!(times.happened_from <= happened && happened <= times.happened_through);
            ids.extend(head.id.as_deref().map(id_key));
            let id = head.id.as_deref();
            identities.push(crate::line::event_key(&head.kind, id, &head.fingerprint));
            Ok(())
        })
        .expect("lines");
        let Some(place) = &block.index else { return Ok(()); };
        let frame = part(&bytes, &block, place.filter_range(&block));
        let filter = place.open_filter(&frame).expect("a filter");
        for keys in [&mut ids, &mut identities] {
            keys.sort_unstable();
            let counted = id_filter::counts(filter, keys).expect("a filter");
            for (key, counted) in keys.iter().zip(counted) {
                let there = keys.iter().filter(|k| *k == key).count();
                prop_assert!(counted as usize >= there);
            }
        }
    }
}

#[test]
fn whatever_byte_is_changed_its_reader_finds_it() {
    let event = Sent {
        actor: Some(1),
        section: None,
        type_number: 1,
        id: 1,
        kind: "event",
        happened: None,
        is_rejected: false,
    };
    let frames = frames_of(&[vec![event; 8]]);
    let (block, bytes) = block_of(&frames, 600);
    let place = block.index.clone().expect("an index");
    let index_frame = part(&bytes, &block, place.index_range(&block));
    let index = place.open_index(&index_frame).expect("an index");
    assert!(index.chunks.len() > 2);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(open_block(&block, &changed), Err(BlockError::Changed));
        let filter = part(&changed, &block, place.filter_range(&block));
        let read_index = part(&changed, &block, place.index_range(&block));
        let mut is_found = place.open_filter(&filter).is_err();
        is_found |= place.open_index(&read_index).is_err();
        let mut start = 0;
        for chunk in &index.chunks {
            let end = start + usize::try_from(chunk.bytes).expect("small");
            is_found |= chunk.open(&changed[start..end]).is_err();
            start = end;
        }
        assert!(is_found, "byte {at}");
    }
}
