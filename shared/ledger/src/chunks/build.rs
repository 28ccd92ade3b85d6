//! Building blocks: in one piece what is small, in chunks with an index what is not.

use super::counts::{CountedEvent, Counter, Counts};
use super::{
    BLOCK_VERSION, BlockIndex, BlockTimes, Chunk, FILTER_MAGIC, INDEX_MAGIC, IndexPlace, Mark,
    Marks, mark_of, skippable,
};
use crate::compression::compress;
use crate::digest::Fingerprint;
use crate::event_id::EventId;
use crate::frame::Frame;
use crate::id_filter::{self, IdKey};
use crate::ids::ReceiptId;
use crate::line::{self, Verdict, event_key, is_known_by_id};
use crate::segment::Place;
use crate::time::Millis;
use serde::Deserialize;
use std::borrow::Cow;

/// Compression level of blocks, which are read more often than frames and stay.
const ZSTD_LEVEL: i32 = 3;

/// The kind of lines that describe an entity, of which nothing happened.
const DESCRIBE: &str = "entity";

/// A block's bytes and what its item says of them.
pub(crate) struct NewBlock {
    pub(crate) bytes: Vec<u8>,
    pub(crate) times: Option<BlockTimes>,
    pub(crate) index: Option<IndexPlace>,
}

/// The columns of a line that its place in a block and the index go by; the rest of the head is skipped.
#[derive(Deserialize)]
struct Columns<'a> {
    receipt: ReceiptId,
    index: u32,
    verdict: Verdict,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(rename = "type", borrow, default)]
    type_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    actor: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    group: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sensor: Cow<'a, str>,
    #[serde(borrow)]
    fingerprint: Cow<'a, str>,
}

/// The columns of a line that its block's times go by.
#[derive(Deserialize)]
struct TimeColumns<'a> {
    receipt: ReceiptId,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
}

/// When an event happened; one that does not say it, when it was received.
fn happened_at(receipt: ReceiptId, time: Option<&str>) -> Millis {
    let happened = time.and_then(|text| Millis::of_line(text).ok());
    happened.unwrap_or_else(|| receipt.received_at())
}

/// A line with what decides its place and its marks.
struct Line<'t> {
    text: &'t [u8],
    section: Option<Mark>,
    actor: Option<Mark>,
    place: Place,
    type_name: Option<Mark>,
    sensor: Mark,
    happened: Millis,
    is_rejected: bool,
    identity: IdKey,
    /// Its own id's hash, where it has one that is not its identity.
    own_id: Option<IdKey>,
}

impl<'t> Line<'t> {
    /// Reads and counts a line with its line feed; none where a column is not what columns are.
    fn read(text: &'t [u8], head: &mut Vec<u8>, counter: &mut Counter) -> Option<Self> {
        let bare = text.strip_suffix(b"\n").unwrap_or(text);
        line::split(bare, head).ok()?;
        let columns: Columns<'_> = serde_json::from_slice(head).ok()?;
        let identity = event_key(&columns.kind, columns.id.as_deref(), &columns.fingerprint);
        let own_id = columns.id.as_deref();
        let own_id = own_id.filter(|_| !is_known_by_id(&columns.kind));
        let happened = happened_at(columns.receipt, columns.time.as_deref());
        let is_rejected = columns.verdict == Verdict::Rejected;
        let actor = columns.actor.as_deref().map(mark_of);
        let (section, type_name) = counter.add(CountedEvent {
            section: columns.group.as_deref(),
            type_name: columns.type_name.as_deref(),
            actor,
            at: happened,
            is_counted: !is_rejected && columns.kind != DESCRIBE,
        });
        Some(Self {
            text,
            section,
            actor,
            place: (columns.receipt, columns.index),
            type_name,
            sensor: mark_of(&columns.sensor),
            happened,
            is_rejected,
            identity,
            own_id: own_id.map(id_key),
        })
    }
}

/// What a filter finds an event's id by, whatever the event's kind.
#[must_use]
pub fn id_key(id: &str) -> IdKey {
    EventId(id).with_folded(|id| Fingerprint::of(id).0)
}

/// The texts of some frames' lines, with their line feeds.
fn texts_of<'f>(frames: &[&'f Frame]) -> impl Iterator<Item = &'f [u8]> {
    let texts = frames
        .iter()
        .flat_map(|f| f.lines.split_inclusive(|b| *b == b'\n'));
    texts.filter(|text| *text != b"\n")
}

/// All lines of some frames, and their counts; none where one of them cannot be read.
fn lines_of<'f>(frames: &[&'f Frame]) -> Option<(Vec<Line<'f>>, Counts)> {
    let (mut head, mut counter) = (Vec::with_capacity(1_024), Counter::default());
    let lines = texts_of(frames).map(|text| Line::read(text, &mut head, &mut counter));
    let lines = lines.collect::<Option<Vec<Line<'f>>>>()?;
    Some((lines, counter.finish()))
}

/// The times of some frames' events; none where one of them cannot be read. Nothing is hashed for them.
fn times_in(frames: &[&Frame]) -> Option<BlockTimes> {
    let mut head = Vec::with_capacity(1_024);
    let times = texts_of(frames).map(|text| {
        line::split(text.strip_suffix(b"\n").unwrap_or(text), &mut head).ok()?;
        let columns: TimeColumns<'_> = serde_json::from_slice(&head).ok()?;
        let happened = happened_at(columns.receipt, columns.time.as_deref());
        Some((columns.receipt.received_at(), happened))
    });
    times_of(times.collect::<Option<Vec<_>>>()?.into_iter())
}

/// Builds a block of some frames' lines. One of at most `chunk_bytes` of lines is one zstd frame in the order of
/// arrival, without an index: it is read whole with the request that an index would take. So is one with a line that
/// no index could speak of.
///
/// # Errors
/// When zstd fails, which it does only without memory.
pub(crate) fn build(frames: &[&Frame], chunk_bytes: usize) -> std::io::Result<NewBlock> {
    let lines_bytes: usize = frames.iter().map(|f| f.lines.len()).sum();
    let is_large = lines_bytes > chunk_bytes;
    let Some((mut lines, counts)) = is_large.then(|| lines_of(frames)).flatten() else {
        let texts: Vec<&[u8]> = frames.iter().map(|f| f.lines.as_slice()).collect();
        return Ok(NewBlock {
            bytes: compress(&texts.concat(), ZSTD_LEVEL)?,
            times: times_in(frames),
            index: None,
        });
    };
    let received = |line: &Line<'_>| (line.place.0.received_at(), line.happened);
    let times = times_of(lines.iter().map(received));
    lines.sort_unstable_by_key(|line| (line.section, line.actor, line.place));
    let (mut bytes, mut chunks, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = 0;
    while first < lines.len() {
        let taken = taken(&lines[first..], chunk_bytes);
        let of_chunk = &lines[first..first + taken];
        text.clear();
        of_chunk.iter().for_each(|l| text.extend_from_slice(l.text));
        let compressed = compress(&text, ZSTD_LEVEL)?;
        chunks.push(chunk_of(of_chunk, &compressed, text.len()));
        bytes.extend_from_slice(&compressed);
        first += taken;
    }
    let index = BlockIndex {
        vernier_block: BLOCK_VERSION,
        chunks,
        counts,
    };
    let index = append_index(&lines, &index, &mut bytes)?;
    Ok(NewBlock {
        bytes,
        times,
        index: Some(index),
    })
}

/// How many of these lines a chunk takes, at least one.
fn taken(lines: &[Line<'_>], chunk_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |line: &&Line<'_>| {
        bytes += line.text.len();
        bytes <= chunk_bytes
    };
    lines.iter().take_while(fits).count().max(1)
}

/// First and last of some instants of received-at and of event times; none of none.
fn times_of(events: impl Iterator<Item = (Millis, Millis)> + Clone) -> Option<BlockTimes> {
    let happened = events.clone().map(|(_, happened)| happened);
    Some(BlockTimes {
        received_from: events.map(|(received, _)| received).min()?,
        happened_from: happened.clone().min()?,
        happened_through: happened.max()?,
    })
}

fn chunk_of(lines: &[Line<'_>], compressed: &[u8], lines_bytes: usize) -> Chunk {
    let marks =
        |of: fn(&Line<'_>) -> Option<Mark>| Marks::of(lines.iter().filter_map(of).collect());
    let received = lines.iter().map(|l| l.place.0.received_at());
    let happened = lines.iter().map(|l| l.happened);
    let range = |times: &mut dyn Iterator<Item = Millis>| {
        times.fold((Millis(i64::MAX), Millis(i64::MIN)), |(a, b), at| {
            (a.min(at), b.max(at))
        })
    };
    Chunk {
        bytes: compressed.len() as u64,
        lines_bytes: lines_bytes as u64,
        sha256: Fingerprint::of(compressed).hex(),
        events: lines.len() as u64,
        rejected: lines.iter().filter(|l| l.is_rejected).count() as u64,
        received: range(&mut received.into_iter()),
        happened: range(&mut happened.into_iter()),
        actors: marks(|l| l.actor),
        sections: marks(|l| l.section),
        types: marks(|l| l.type_name),
        sensors: marks(|l| Some(l.sensor)),
    }
}

/// Appends the frames of filter and index to a block's chunks.
fn append_index(
    lines: &[Line<'_>],
    index: &BlockIndex,
    bytes: &mut Vec<u8>,
) -> std::io::Result<IndexPlace> {
    let own_ids = lines.iter().filter_map(|l| l.own_id);
    let keys: Vec<IdKey> = lines.iter().map(|l| l.identity).chain(own_ids).collect();
    let filter = skippable(FILTER_MAGIC, &id_filter::encode(&keys));
    let json = serde_json::to_vec(index)?;
    let index = skippable(INDEX_MAGIC, &compress(&json, ZSTD_LEVEL)?);
    bytes.extend_from_slice(&filter);
    bytes.extend_from_slice(&index);
    Ok(IndexPlace {
        filter_bytes: filter.len() as u64,
        filter_sha256: Fingerprint::of(&filter).hex(),
        bytes: index.len() as u64,
        sha256: Fingerprint::of(&index).hex(),
    })
}
