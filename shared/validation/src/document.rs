//! Documents of any shape: what the command validates.
use crate::{
    check::Checker,
    columns::{Columns, Kind},
    endpoint,
    envelope::{Envelope, Item, read_envelope},
    item,
    policy::Policy,
    problem::{Problem, Verdict},
    refusal::{Refusal, body_text, scan_refusal},
    report::found,
    rules::{Version, keys},
    scan::{Key, NodeKind, Scanner, Tape},
    scan_error::ScanError,
};

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An envelope, or an array of them.
    Envelope,
    /// One event or entity.
    Item,
    /// An array of events and entities.
    List,
    /// What an endpoint answers to GET.
    EndpointConfiguration,
}

/// A document and its items.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// What it is.
    pub shape: Shape,
    /// The envelope's items, the list's elements, or the one item. An endpoint configuration is
    /// one item without columns.
    pub items: Vec<Item<'a>>,
    /// What the lenient mode let pass in the envelope itself.
    pub deviations: Vec<Problem>,
    /// Whether the envelope itself is as the specification wants it.
    pub strict_accepted: bool,
}

impl<'a> From<Envelope<'a>> for Document<'a> {
    fn from(envelope: Envelope<'a>) -> Self {
        Document {
            shape: Shape::Envelope,
            items: envelope.items,
            deviations: envelope.deviations,
            strict_accepted: envelope.strict_accepted,
        }
    }
}

/// Validates a document: an envelope, an event, an entity, an array of those, or an endpoint
/// configuration.
///
/// # Errors
/// A [`Refusal`] for what is no JSON within bounds, or an envelope that is refused as a whole.
pub fn read_document<'a>(body: &'a [u8], policy: &Policy<'_>) -> Result<Document<'a>, Refusal> {
    let text = body_text(body)?;
    let mut scanner = Scanner::new(text);
    let mut tape = Tape::default();
    scanner
        .value(&mut tape, Key::default(), 1)
        .map_err(|e| scan_refusal(&scanner, e))?;
    scanner.peek();
    if scanner.at < text.len() {
        return Err(scan_refusal(&scanner, ScanError::AfterAll));
    }
    let shape = shape(text, &tape);
    let items = match shape {
        Shape::Envelope => return read_envelope(body, policy).map(Document::from),
        Shape::Item => vec![one(text, &tape, policy)],
        Shape::List => list(text, policy)?,
        Shape::EndpointConfiguration => vec![endpoint_item(text, &tape)],
    };
    Ok(Document {
        shape,
        items,
        deviations: Vec::new(),
        strict_accepted: true,
    })
}

fn shape(text: &str, tape: &Tape) -> Shape {
    let checker = Checker::new(text, tape, Version::V1p2);
    match tape.nodes[0].kind {
        NodeKind::Array => {
            let first = tape.nodes.get(1).filter(|n| n.kind == NodeKind::Object);
            if first.is_some() && is_envelope(&checker, 1) {
                Shape::Envelope
            } else {
                Shape::List
            }
        }
        NodeKind::Object if is_envelope(&checker, 0) => Shape::Envelope,
        NodeKind::Object if endpoint::is_configuration(text, tape) => Shape::EndpointConfiguration,
        _ => Shape::Item,
    }
}

/// An envelope has `data` or `sensor` and, unlike an item, no type.
fn is_envelope(checker: &Checker<'_, '_>, at: usize) -> bool {
    let typed = [keys::TYPE, keys::AT_TYPE]
        .iter()
        .any(|k| checker.member(at, *k).is_some());
    !typed
        && ["data", "sensor", "dataVersion"]
            .iter()
            .any(|k| checker.free_member(at, k).is_some())
}

fn one<'a>(text: &'a str, tape: &Tape, policy: &Policy<'_>) -> Item<'a> {
    let (verdict, columns) = item::judge(text, tape, None, policy, None);
    let (start, end) = crate::check::bounds(&tape.nodes[0]);
    Item {
        raw: &text[start..end],
        verdict,
        columns,
    }
}

/// Each element on its own tape, as in an envelope.
fn list<'a>(text: &'a str, policy: &Policy<'_>) -> Result<Vec<Item<'a>>, Refusal> {
    let mut scanner = Scanner::new(text);
    let mut tape = Tape::default();
    let mut items = Vec::new();
    scanner.peek();
    scanner.at += 1;
    while scanner.peek() != b']' {
        tape.clear();
        scanner
            .value(&mut tape, Key::default(), 2)
            .map_err(|e| scan_refusal(&scanner, e))?;
        items.push(one(text, &tape, policy));
        if scanner.peek() == b',' {
            scanner.at += 1;
        }
    }
    Ok(items)
}

fn endpoint_item<'a>(text: &'a str, tape: &Tape) -> Item<'a> {
    let problems = endpoint::check(text, tape);
    let accepted = problems.is_empty();
    let (start, end) = crate::check::bounds(&tape.nodes[0]);
    Item {
        raw: &text[start..end],
        verdict: Verdict {
            accepted,
            strict_accepted: accepted,
            problems,
            ..Verdict::default()
        },
        columns: Columns {
            kind: Kind::Opaque,
            ..Columns::default()
        },
    }
}

/// A problem of a property of the endpoint configuration.
pub(crate) fn endpoint_problem(
    text: &str,
    tape: &Tape,
    at: Option<usize>,
    name: &str,
    expected: &'static str,
) -> Problem {
    let found = at.map_or_else(|| "nothing".to_owned(), |at| found(text, &tape.nodes[at]));
    Problem {
        pointer: format!("/{name}"),
        rule: "endpoint.configuration".into(),
        expected: expected.into(),
        message: format!("{name} should be {expected}, is {found}"),
        found,
        clause: "Caliper 1.2, Endpoint, Configuration".into(),
    }
}
