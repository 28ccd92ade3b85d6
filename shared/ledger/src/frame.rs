//! Frames: what travels on Kinesis. The format's page is docs/frame.md.
//!
//! A frame is text: a header line, then one [`line`](mod@crate::line) per event. It is compressed with
//! zstd, or left as it is where that is smaller; the first bytes tell (zstd's magic number, or
//! `{`). `zstd -dc` reads the one, any editor the other.

use crate::compression;
use crate::digest::{BlindFingerprint, Digest, Fingerprint};
use crate::ids::{ReceiptId, TenantId};
use crate::limits;
use crate::line::{self, LineAccount, Verdict};
use crate::salt::SaltKey;
use serde::{Deserialize, Serialize};

/// The newest version that this crate reads and writes, whose lines have salt keys and whose tallies are over blind
/// fingerprints. It reads all before.
pub const FRAME_VERSION: u32 = 2;

/// The last version whose lines have no salt keys.
const UNSALTED_VERSION: u32 = 1;

/// zstd's magic number (RFC 8878, 3.1.1), little-endian.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Compression level; what measures best (ARCHITECTURE.md has the figures).
const ZSTD_LEVEL: i32 = 1;

/// A set of events in three figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Events, whatever their verdict.
    pub events: u64,
    /// Those of them that were rejected.
    pub rejected: u64,
    /// The order-free digest over all of them.
    pub digest: Digest,
}

impl Tally {
    /// Adds one event.
    pub fn add_event(
        &mut self,
        receipt: ReceiptId,
        index: u32,
        fingerprint: &BlindFingerprint,
        verdict: Verdict,
    ) {
        self.events += 1;
        self.rejected += u64::from(verdict == Verdict::Rejected);
        self.digest.add_blind(receipt, index, fingerprint);
    }

    /// Adds another set.
    pub fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.rejected += other.rejected;
        self.digest.merge(&other.digest);
    }

    /// What is left without a part of it; none when that has more than the whole.
    #[must_use]
    pub fn without(&self, part: &Self) -> Option<Self> {
        let mut digest = self.digest;
        digest.remove(&part.digest);
        Some(Self {
            events: self.events.checked_sub(part.events)?,
            rejected: self.rejected.checked_sub(part.rejected)?,
            digest,
        })
    }
}

/// First line of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameHeader {
    /// Format version.
    pub vernier_frame: u32,
    /// The envelope's receipt.
    pub receipt: ReceiptId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The sensor that sent it.
    pub sensor: String,
    /// Which slice of the envelope this is, from 0.
    pub slice: u32,
    /// How many slices the envelope has.
    pub slices: u32,
    /// 0 as sent; a playback carries a higher one.
    pub attempt: u32,
    /// This slice's events.
    pub slice_tally: Tally,
    /// The whole envelope's events.
    pub envelope_tally: Tally,
}

/// One event on its way into a frame: its line, and what the tallies need.
#[derive(Debug, Clone)]
pub struct NewLine {
    /// End of its line in the lines' buffer, after the line feed.
    pub end: usize,
    /// Position in the envelope.
    pub index: u32,
    /// Of the compacted event.
    pub fingerprint: Fingerprint,
    /// In the tenant's mode.
    pub verdict: Verdict,
}

/// An envelope's lines, ready to be cut into frames.
#[derive(Debug, Clone)]
pub struct EnvelopeLines {
    /// The lines, one after the other.
    pub text: Vec<u8>,
    /// Where each ends and what it counts.
    pub lines: Vec<NewLine>,
    /// The key that every line has. Without one the frames are of version 1.
    pub salt_key: Option<SaltKey>,
}

impl EnvelopeLines {
    /// The version of the frames that these lines are cut into.
    const fn frame_version(&self) -> u32 {
        match self.salt_key {
            Some(_) => FRAME_VERSION,
            None => UNSALTED_VERSION,
        }
    }

    /// Some of the lines, counted.
    fn tally(&self, receipt: ReceiptId, lines: std::ops::Range<usize>) -> Tally {
        let mut tally = Tally::default();
        for line in &self.lines[lines] {
            let salt = self.salt_key.map(|key| key.salt(line.index));
            let blind = BlindFingerprint::of(salt, &line.fingerprint);
            tally.add_event(receipt, line.index, &blind, line.verdict);
        }
        tally
    }
}

/// Why bytes are not a frame. The record is quarantined, never dropped (invariant 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Neither zstd nor text.
    #[error("neither a zstd frame nor JSON lines")]
    Unrecognised,
    /// The compressed bytes are damaged.
    #[error("does not decompress: {0}")]
    Compression(String),
    /// Larger than a frame may be.
    #[error("more than {} bytes of lines", limits::FRAME_LINES_BYTES_MAX)]
    TooLarge,
    /// The header line is not one.
    #[error("header: {0}")]
    Header(String),
    /// Made by a later version.
    #[error("frame version {0} is newer than this reader's {FRAME_VERSION}")]
    NewerVersion(u32),
    /// A line is not one.
    #[error("line {line}: {why}")]
    Line {
        /// Line number, the header's being 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The lines are not those that the header counts.
    #[error("header and lines differ: {0}")]
    Tally(String),
}

/// A decoded frame whose lines were checked against its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub header: FrameHeader,
    /// The lines, each with its line feed.
    pub lines: Vec<u8>,
}

/// Cuts an envelope's lines into encoded frames, at event boundaries and under the record limit.
///
/// # Errors
/// [`FrameError::TooLarge`] when one line alone is over [`limits::LINE_BYTES_MAX`]: the caller
/// sends such events by reference.
pub fn encode_envelope(
    receipt: ReceiptId,
    tenant: &TenantId,
    sensor: &str,
    envelope: &EnvelopeLines,
) -> Result<Vec<(FrameHeader, Vec<u8>)>, FrameError> {
    let slices = slice(&envelope.lines)?;
    let count = u32::try_from(slices.len()).map_err(|_| FrameError::TooLarge)?;
    let mut envelope_tally = Tally::default();
    let mut tallies = Vec::with_capacity(slices.len());
    for range in &slices {
        let tally = envelope.tally(receipt, range.clone());
        envelope_tally.merge(&tally);
        tallies.push(tally);
    }
    let mut frames = Vec::with_capacity(slices.len());
    for (number, (range, slice_tally)) in slices.into_iter().zip(tallies).enumerate() {
        let start = range
            .start
            .checked_sub(1)
            .map_or(0, |before| envelope.lines[before].end);
        let end = range
            .end
            .checked_sub(1)
            .map_or(0, |last| envelope.lines[last].end);
        let header = FrameHeader {
            vernier_frame: envelope.frame_version(),
            receipt,
            tenant: tenant.clone(),
            sensor: sensor.to_owned(),
            slice: u32::try_from(number).map_err(|_| FrameError::TooLarge)?,
            slices: count,
            attempt: 0,
            slice_tally,
            envelope_tally,
        };
        let bytes = encode(&header, &envelope.text[start..end])?;
        frames.push((header, bytes));
    }
    Ok(frames)
}

/// Ranges of lines, each within a frame's budget.
fn slice(lines: &[NewLine]) -> Result<Vec<std::ops::Range<usize>>, FrameError> {
    let mut slices = Vec::new();
    let (mut first, mut first_byte, mut before) = (0, 0, 0);
    for (at, line) in lines.iter().enumerate() {
        if line.end - before > limits::LINE_BYTES_MAX {
            return Err(FrameError::TooLarge);
        }
        if line.end - first_byte > limits::LINE_BYTES_MAX {
            slices.push(first..at);
            (first, first_byte) = (at, before);
        }
        before = line.end;
    }
    slices.push(first..lines.len());
    Ok(slices)
}

/// Encodes one frame.
///
/// # Errors
/// When the header does not fit into its budget.
pub fn encode(header: &FrameHeader, lines: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut text = serde_json::to_vec(header).map_err(|e| FrameError::Header(e.to_string()))?;
    text.push(b'\n');
    if text.len() > limits::FRAME_HEADER_BYTES_MAX {
        return Err(FrameError::Header(format!(
            "over {} bytes",
            limits::FRAME_HEADER_BYTES_MAX
        )));
    }
    text.extend_from_slice(lines);
    let compressed = compression::compress(&text, ZSTD_LEVEL)
        .map_err(|e| FrameError::Compression(e.to_string()))?;
    Ok(if compressed.len() < text.len() {
        compressed
    } else {
        text
    })
}

/// Decodes and checks one frame: every line belongs to its receipt, every event has the
/// fingerprint that its line says, and the sum is the header's.
///
/// # Errors
/// Why it is not a sound frame.
pub fn decode(bytes: &[u8]) -> Result<Frame, FrameError> {
    let mut text = inflate(bytes)?;
    let end =
        memchr::memchr(b'\n', &text).ok_or_else(|| FrameError::Header("no line feed".into()))?;
    let version: Version =
        serde_json::from_slice(&text[..end]).map_err(|e| FrameError::Header(e.to_string()))?;
    if version.vernier_frame > FRAME_VERSION {
        return Err(FrameError::NewerVersion(version.vernier_frame));
    }
    let header: FrameHeader =
        serde_json::from_slice(&text[..end]).map_err(|e| FrameError::Header(e.to_string()))?;
    if header.slice >= header.slices {
        return Err(FrameError::Header(format!(
            "slice {} of {}",
            header.slice, header.slices
        )));
    }
    text.drain(..=end);
    let found = tally_lines(&header, &text)?;
    if found != header.slice_tally {
        return Err(FrameError::Tally(format!(
            "header {:?}, lines {found:?}",
            header.slice_tally
        )));
    }
    Ok(Frame {
        header,
        lines: text,
    })
}

#[derive(Deserialize)]
struct Version {
    vernier_frame: u32,
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
    let bound = limits::FRAME_LINES_BYTES_MAX + limits::FRAME_HEADER_BYTES_MAX;
    if bytes.starts_with(b"{") {
        return if bytes.len() > bound {
            Err(FrameError::TooLarge)
        } else {
            Ok(bytes.to_vec())
        };
    }
    if !bytes.starts_with(&ZSTD_MAGIC) {
        return Err(FrameError::Unrecognised);
    }
    let text = compression::decompress(bytes, bound)
        .map_err(|e| FrameError::Compression(e.to_string()))?;
    if text.len() > bound {
        Err(FrameError::TooLarge)
    } else {
        Ok(text)
    }
}

/// Counts a frame's lines and recomputes their digest from the events' own bytes.
fn tally_lines(header: &FrameHeader, text: &[u8]) -> Result<Tally, FrameError> {
    let mut tally = Tally::default();
    let mut head = Vec::with_capacity(1_024);
    if !text.is_empty() && !text.ends_with(b"\n") {
        return Err(FrameError::Tally("the last line has no line feed".into()));
    }
    for (number, line) in text.split_inclusive(|b| *b == b'\n').enumerate() {
        let at = |why: String| FrameError::Line {
            line: number + 2,
            why,
        };
        let line = &line[..line.len() - 1];
        let event = line::split(line, &mut head).map_err(|e| at(e.to_string()))?;
        let account = line::read_account(&head).map_err(|e| at(e.to_string()))?;
        if account.receipt != header.receipt {
            return Err(at("belongs to another receipt".into()));
        }
        check_salt_key(header.vernier_frame, &account).map_err(at)?;
        let named = Fingerprint::from_hex(&account.fingerprint)
            .ok_or_else(|| at("fingerprint is not one".into()))?;
        if account.event_ref.is_none() && named != Fingerprint::of(event) {
            return Err(at("the event does not have this fingerprint".into()));
        }
        let blind = BlindFingerprint::of(account.salt(), &named);
        tally.add_event(header.receipt, account.index, &blind, account.verdict);
    }
    Ok(tally)
}

/// Whether a line has a salt key exactly if its frame's version wants one: else header and line would not say the same
/// of what the tally is over.
fn check_salt_key(version: u32, account: &LineAccount<'_>) -> Result<(), String> {
    let wanted = version > UNSALTED_VERSION;
    match account.salt_key {
        None if wanted => Err(format!(
            "no salt key, which version {version} has in every line"
        )),
        Some(_) if !wanted => Err(format!("a salt key, which version {version} does not have")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;
    use proptest::prelude::*;

    /// A key of a salted envelope: of frames of version 2.
    const KEY: SaltKey = SaltKey::from_bytes([0xA5; 16]);

    fn envelope(receipt: ReceiptId, salt_key: Option<SaltKey>, events: &[String]) -> EnvelopeLines {
        let (mut text, mut lines) = (Vec::new(), Vec::new());
        for (index, event) in (0_u32..).zip(events) {
            let id = format!("urn:uuid:{index}");
            let mut head = line::tests::head(receipt, index, &id, event);
            head.salt_key = salt_key;
            line::write_line(&head, event, &mut text).expect("a line");
            lines.push(NewLine {
                end: text.len(),
                index,
                fingerprint: Fingerprint::of(event.as_bytes()),
                verdict: Verdict::Accepted,
            });
        }
        EnvelopeLines {
            text,
            lines,
            salt_key,
        }
    }

    fn receipt() -> ReceiptId {
        ReceiptId::from_parts(Millis(1_700_000_000_000), 1, [9; 8])
    }

    fn frames(
        salt_key: Option<SaltKey>,
        events: &[String],
    ) -> (EnvelopeLines, Vec<(FrameHeader, Vec<u8>)>) {
        let lines = envelope(receipt(), salt_key, events);
        let tenant = "school".parse().expect("a tenant");
        let frames =
            encode_envelope(receipt(), &tenant, "https://sensor.example", &lines).expect("encodes");
        (lines, frames)
    }

    /// The text of a frame of two events.
    fn text_of_two(salt_key: Option<SaltKey>) -> String {
        let events = TWO.map(str::to_owned);
        let text = inflate(&frames(salt_key, &events).1[0].1).expect("inflates");
        String::from_utf8(text).expect("text")
    }

    const TWO: [&str; 2] = [r#"{"id":"a"}"#, r#"{"id":"b","n":1}"#];

    /// Text that zstd cannot shrink: the worst case for the record limit.
    fn incompressible(bytes: usize, seed: u64) -> String {
        let mut state = seed | 1;
        let text: String = (0..bytes)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                char::from(b'0' + u8::try_from(state >> 58).unwrap_or(0))
            })
            .map(|c| if c == '\\' { '_' } else { c })
            .collect();
        serde_json::json!({ "x": text }).to_string()
    }

    #[test]
    fn slices_fit_records_and_join_to_the_envelope() {
        let events: Vec<String> = (0..12).map(|n| incompressible(300_000, n)).collect();
        for (salt_key, version) in [(None, 1), (Some(KEY), 2)] {
            let (lines, frames) = frames(salt_key, &events);
            assert!(frames.len() > 1);
            let mut joined = Vec::new();
            let mut sum = Tally::default();
            for (header, bytes) in &frames {
                assert_eq!(header.vernier_frame, version);
                assert!(bytes.len() + 256 <= limits::RECORD_BYTES_MAX);
                let frame = decode(bytes).expect("decodes");
                assert_eq!(&frame.header, header);
                joined.extend_from_slice(&frame.lines);
                sum.merge(&header.slice_tally);
            }
            assert_eq!(joined, lines.text);
            assert_eq!(sum, frames[0].0.envelope_tally);
        }
    }

    /// What decision 003 has of a digest's term, for events of the example's key at index 0.
    #[test]
    fn a_tally_of_version_2_is_over_blind_fingerprints() {
        let key: SaltKey = "AAECAwQFBgcICQoLDA0ODw".parse().expect("a key");
        let receipt = ReceiptId::from_parts(Millis(1_788_220_800_000), 0, [7; 8]);
        let tally = envelope(receipt, Some(key), &["{}".to_owned()]).tally(receipt, 0..1);
        let fingerprint = Fingerprint::of(b"{}");
        let blind = BlindFingerprint::of(Some(key.salt(0)), &fingerprint);
        assert_eq!(
            hex::encode(blind.0),
            "cb5143761f3a36e839236655b71ebd73212d9266633cd4c46385600a8664e58f"
        );
        let mut digest = Digest::EMPTY;
        digest.add_blind(receipt, 0, &blind);
        assert_eq!(tally.digest, digest);
        let unsalted = envelope(receipt, None, &["{}".to_owned()]).tally(receipt, 0..1);
        let mut digest = Digest::EMPTY;
        digest.add_event(receipt, 0, &fingerprint);
        assert_eq!(unsalted.digest, digest);
    }

    #[test]
    fn a_line_has_a_salt_key_exactly_in_version_2() {
        let key = format!(r#","salt_key":"{KEY}""#);
        let salted = text_of_two(Some(KEY));
        let unsalted = text_of_two(None);
        assert_eq!(salted.matches(&key).count(), 2);
        let without = salted.replacen(&key, "", 1);
        let null = salted.replacen(&key, r#","salt_key":null"#, 1);
        for text in [without, null] {
            let error = decode(text.as_bytes()).expect_err("a line without a key");
            assert_eq!(
                error.to_string(),
                "line 2: no salt key, which version 2 has in every line"
            );
        }
        let sensor = r#""sensor":"sensor""#;
        let with = unsalted.replace(sensor, &format!("{sensor}{key}"));
        let error = decode(with.as_bytes()).expect_err("lines with a key");
        assert_eq!(
            error.to_string(),
            "line 2: a salt key, which version 1 does not have"
        );
        let short = salted.replacen(&key, &key.replace("paWl", ""), 1);
        let error = decode(short.as_bytes()).expect_err("no key").to_string();
        assert!(error.starts_with("line 2: "), "{error}");
        assert!(error.contains("a salt key is 22 characters"), "{error}");
        assert!(!error.contains("paWl"), "{error}");
        // The tallies of one version are not those of the other.
        let renamed = unsalted
            .replace(sensor, &format!("{sensor}{key}"))
            .replacen(r#""vernier_frame":1"#, r#""vernier_frame":2"#, 1);
        let error = decode(renamed.as_bytes()).expect_err("other tallies");
        assert!(matches!(error, FrameError::Tally(_)), "{error}");
    }

    #[test]
    fn an_event_over_a_frame_is_refused_here() {
        let receipt = ReceiptId::from_parts(Millis(1), 0, [0; 8]);
        let lines = envelope(receipt, None, &[incompressible(limits::LINE_BYTES_MAX, 1)]);
        let tenant = "t".parse().expect("a tenant");
        let refused = encode_envelope(receipt, &tenant, "s", &lines);
        assert!(refused.is_err_and(|e| e == FrameError::TooLarge));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_held() {
        let bomb = zstd::bulk::compress(&vec![b' '; 512 * 1024 * 1024], 1).expect("compresses");
        assert!(decode(&bomb).is_err_and(|e| e == FrameError::TooLarge));
    }

    #[test]
    fn a_newer_version_is_named() {
        assert_eq!(
            decode(b"{\"vernier_frame\":3,\"new\":true}\n"),
            Err(FrameError::NewerVersion(3))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_make_decode_panic(bytes: Vec<u8>, zipped: bool) {
            let bytes = if zipped { zstd::bulk::compress(&bytes, 1).expect("compresses") } else { bytes };
            let _ = decode(&bytes);
        }

        #[test]
        fn any_envelope_comes_back(key: Option<[u8; 16]>, names in proptest::collection::vec("\\PC*", 0..8)) {
            let key = key.map(SaltKey::from_bytes);
            let events: Vec<String> = names.iter().map(|n| serde_json::json!({ "name": n }).to_string()).collect();
            let (lines, frames) = frames(key, &events);
            prop_assert_eq!(frames.len(), 1);
            let frame = decode(&frames[0].1).expect("decodes");
            prop_assert_eq!(frame.header.vernier_frame, if key.is_some() { 2 } else { 1 });
            prop_assert_eq!(&frame.header, &frames[0].0);
            prop_assert_eq!(&frame.lines, &lines.text);
            let mut read = Vec::new();
            crate::segment::for_each_line::<line::BadLine>(&frame.lines, |head, event| {
                read.push((head.index, head.salt_key, head.salt(), event.to_vec()));
                Ok(())
            }).expect("lines");
            let expected = (0..).zip(&events).map(|(n, e)| (n, key, key.map(|k| k.salt(n)), e.clone().into_bytes()));
            prop_assert_eq!(read, expected.collect::<Vec<_>>());
        }

        #[test]
        fn a_changed_salt_key_is_found_by_the_tally(key: [u8; 16], other: [u8; 16], line in 0_usize..2) {
            prop_assume!(key != other);
            let (key, other) = (SaltKey::from_bytes(key), SaltKey::from_bytes(other));
            let text = text_of_two(Some(key));
            let at = text.match_indices(&key.to_string()).nth(line).expect("a key in each line").0;
            let changed = format!("{}{other}{}", &text[..at], &text[at + 22..]);
            prop_assert!(matches!(decode(changed.as_bytes()), Err(FrameError::Tally(_))));
        }

        #[test]
        fn a_changed_byte_never_passes(at: prop::sample::Index, bit in 0u32..8, salted: bool) {
            let key = salted.then_some(KEY);
            let mut text = text_of_two(key).into_bytes();
            let header_end = memchr::memchr(b'\n', &text).expect("header");
            let events_only: Vec<usize> = (header_end + 1..text.len()).collect();
            let position = *at.get(&events_only);
            text[position] ^= 1 << bit;
            if let Ok(frame) = decode(&text) {
                // Only columns that neither count nor identify may differ unseen; the events may not.
                let mut head = Vec::new();
                for (line, expected) in frame.lines.split(|b| *b == b'\n').zip(TWO) {
                    prop_assert_eq!(line::split(line, &mut head).expect("a line"), expected.as_bytes());
                    prop_assert_eq!(line::read_account(&head).expect("columns").salt_key, key);
                }
            }
        }
    }
}
