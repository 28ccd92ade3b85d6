//! Why a whole body is refused.
use std::fmt;

use serde::Serialize;

use crate::{
    limits::{BODY_BYTES_MAX, DEPTH_MAX, EVENTS_MAX},
    problem::Problem,
    scan::Scanner,
    scan_error::ScanError,
    text,
};

pub(crate) const CLAUSE_ENVELOPE: &str = "Caliper 1.1 §5.1 Envelope";

pub(crate) const CLAUSE_JSON: &str = "RFC 8259 §2";

/// Why a whole body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// Nothing, or white space only.
    Empty,
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// Text that is no JSON.
    NotJson,
    /// More than [`DEPTH_MAX`] levels.
    TooDeep,
    /// The envelope has a key twice.
    DuplicateKey,
    /// JSON without the properties of an envelope in their form.
    NotAnEnvelope,
    /// More than [`EVENTS_MAX`] items.
    TooManyEvents,
    /// A `dataVersion` that is no supported Caliper version.
    UnsupportedVersion,
}

/// A body that is refused as a whole.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The kind, from which a status code follows.
    pub kind: RefusalKind,
    /// At least one problem, pointers relative to the body.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.split_first() {
            None => write!(f, "{:?}", self.kind),
            Some((first, rest)) => {
                if !first.pointer.is_empty() {
                    write!(f, "{}: ", first.pointer)?;
                }
                f.write_str(&first.message)?;
                if !rest.is_empty() {
                    write!(f, " (and {} more)", rest.len())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, problem: Problem) -> Self {
        Refusal {
            kind,
            problems: vec![problem],
        }
    }

    pub(crate) fn scan(text: &str, at: usize, error: ScanError) -> Self {
        let (line, column) = text::line_column(text, at);
        let place = format!("line {line}, column {column} (byte {at})");
        if error == ScanError::TooDeep {
            return Self::new(
                RefusalKind::TooDeep,
                Problem {
                    pointer: String::new(),
                    rule: "limit.depth".into(),
                    expected: format!("at most {DEPTH_MAX} levels of nesting").into(),
                    found: place.clone(),
                    message: format!("nested deeper than {DEPTH_MAX} levels at {place}"),
                    clause: "RFC 8259 §9".into(),
                },
            );
        }
        Self::new(
            RefusalKind::NotJson,
            Problem {
                pointer: String::new(),
                rule: "json.syntax".into(),
                expected: "JSON".into(),
                found: place.clone(),
                message: format!("not JSON: {} at {place}", error.what()),
                clause: CLAUSE_JSON.into(),
            },
        )
    }
}

/// A refusal of text that is no JSON within bounds.
pub(crate) fn scan_refusal(scanner: &Scanner<'_>, error: ScanError) -> Refusal {
    Refusal::scan(scanner.text, scanner.at, error)
}

/// How Windows programs begin a text in UTF-8; no part of the JSON that follows.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The body as text within bounds, without a byte order mark, which a reader may ignore (RFC 8259 §8.1).
/// Places that refusals name are counted behind it.
pub(crate) fn body_text(body: &[u8]) -> Result<&str, Refusal> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Refusal::new(
            RefusalKind::NotUtf8,
            Problem {
                pointer: String::new(),
                rule: "json.utf8".into(),
                expected: "UTF-8".into(),
                found: format!(
                    "byte 0x{:02x} at {at}",
                    body.get(at).copied().unwrap_or_default()
                ),
                message: format!("not UTF-8: the first wrong byte is at {at}"),
                clause: "RFC 8259 §8.1".into(),
            },
        )
    })?;
    if text
        .bytes()
        .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
    {
        return Err(Refusal::new(
            RefusalKind::Empty,
            Problem {
                pointer: String::new(),
                rule: "envelope.empty-body".into(),
                expected: "an envelope".into(),
                found: "nothing".into(),
                message: "the body is empty".into(),
                clause: CLAUSE_ENVELOPE.into(),
            },
        ));
    }
    if text.len() > BODY_BYTES_MAX {
        return Err(Refusal::scan("", 0, ScanError::TooLong));
    }
    Ok(text)
}

pub(crate) fn form(
    pointer: String,
    rule: &'static str,
    expected: &'static str,
    found: String,
) -> Problem {
    let message = format!("should be {expected}, is {found}");
    Problem {
        pointer,
        rule: rule.into(),
        expected: expected.into(),
        found,
        message,
        clause: CLAUSE_ENVELOPE.into(),
    }
}

pub(crate) fn custom_property(pointer: String, key: &str) -> Problem {
    Problem {
        pointer,
        rule: "envelope.custom-property".into(),
        expected: "sensor, sendTime, dataVersion and data only".into(),
        found: text::shorten(key),
        message: format!("an envelope has no property {key:?} of its own"),
        clause: CLAUSE_ENVELOPE.into(),
    }
}

pub(crate) fn data_empty(pointer: String) -> Problem {
    Problem {
        pointer,
        rule: "envelope.data-empty".into(),
        expected: "one or more events or entities".into(),
        found: "none".into(),
        message: "the envelope holds no event and no entity".into(),
        clause: CLAUSE_ENVELOPE.into(),
    }
}

pub(crate) fn too_many() -> Refusal {
    Refusal::new(
        RefusalKind::TooManyEvents,
        Problem {
            pointer: "/data".into(),
            rule: "limit.events".into(),
            expected: format!("at most {EVENTS_MAX} items").into(),
            found: format!("more than {EVENTS_MAX}"),
            message: format!("more than {EVENTS_MAX} events and entities in one envelope"),
            clause: "Vernier limits".into(),
        },
    )
}
