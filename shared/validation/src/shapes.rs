//! Items of the same shape, judged by what differs: places, times, names, numbers.
//!
//! A sensor writes each kind of event with one piece of code, so the events of an envelope repeat
//! a few shapes: the same keys, types, terms and brackets in the same bytes. Of an item that was
//! found clean, everything but the values that vary freely is kept as a path of literals; where a
//! value varies, the path says what the rules wanted of it. A later item that follows a path to
//! its end, and whose own values are as wanted there, differs from a clean item in nothing that
//! any rule looks at, so it is clean too. An item that leaves all paths is read and judged in
//! full, as if there were none.
//!
//! Paths are learned anew for each body and are bounded; their literals are places in its text.

use crate::{
    columns::Kind,
    rules::{ValueKind, Version, keys},
    scan::{Node, NodeKind, Scanner, StringPlace, Tape, Top},
    values,
};

/// Shapes kept of one body; a sensor has some tens of kinds of events.
const SHAPES_MAX: usize = 64;

/// Values of an item whose shape is kept: five times what a large event has. 64 shapes of 512
/// nodes at 40 bytes are 1.3 MB, in a body of items so large; usually a tenth of that.
const VALUES_MAX: usize = 512;

/// Continuations tried at one place.
const BRANCHES_MAX: usize = 32;

/// Items that may leave the paths before following them is given up; each that follows one to its
/// end makes good for another. Leaving costs at most what reading the item costs anyway.
const MISSES_MAX: u32 = 32;

/// What is wanted of a value after a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// No value: the item ends.
    End,
    /// A string whose text the rules want in this form.
    Text(ValueKind),
    /// A number, likewise.
    Number(ValueKind),
}

/// A literal and the value after it.
#[derive(Debug)]
struct Step {
    /// Place and length in the text.
    literal: (u32, u32),
    slot: Slot,
    /// The value's index on the tape; at the end of an item the shape's index.
    index: u32,
    /// The first step that may follow, 0 without.
    next: u32,
    /// Another step that may be here instead, 0 without.
    other: u32,
}

/// A clean item.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its tape, on which the values that vary are those of the last item of this shape.
    pub(crate) nodes: Vec<Node>,
    pub(crate) top: Top,
    pub(crate) kind: Kind,
    pub(crate) version: Version,
}

/// What the rules wanted of a clean item's values, in the order of the tape.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) wanted: bool,
    pub(crate) values: Vec<(u32, ValueKind)>,
}

impl Notes {
    /// Of an item of so many values.
    pub(crate) fn for_values(count: usize) -> Self {
        Notes {
            wanted: true,
            values: Vec::with_capacity(count),
        }
    }
}

/// The shapes of one body.
#[derive(Debug)]
pub(crate) struct Shapes {
    /// The version that the envelope names, on which a verdict depends too.
    envelope: Option<Version>,
    /// The first is none: what follows it begins an item.
    steps: Vec<Step>,
    shapes: Vec<Shape>,
    /// Values found on the way: index on the tape and place.
    places: Vec<(u32, StringPlace)>,
    misses_left: u32,
}

impl Default for Shapes {
    fn default() -> Self {
        Shapes {
            envelope: None,
            steps: Vec::new(),
            shapes: Vec::new(),
            places: Vec::new(),
            misses_left: MISSES_MAX,
        }
    }
}

/// Whether the rules look at the text of what stands under a key wherever it stands.
fn decides(name: u16) -> bool {
    matches!(
        name,
        keys::CONTEXT | keys::TYPE | keys::AT_TYPE | keys::ACTION | keys::PROFILE
    )
}

/// What varies in a value of which the rules want `kind`; nothing when any other text may be
/// judged otherwise.
fn slot(node: &Node, kind: ValueKind) -> Option<Slot> {
    use ValueKind as K;
    match (node.kind, kind) {
        (NodeKind::String, K::Free | K::String) => Some(Slot::Text(K::String)),
        (NodeKind::String, K::Span) => Some(Slot::Text(K::Duration)),
        (NodeKind::String, K::Id | K::Uuid | K::Time | K::Duration) => Some(Slot::Text(kind)),
        (NodeKind::Number, K::Free | K::Span) => Some(Slot::Number(K::Number)),
        (NodeKind::Number, K::Number | K::Decimal | K::Integer | K::Natural) => {
            Some(Slot::Number(kind))
        }
        _ => None,
    }
}

impl Shapes {
    /// Begins the items of an envelope of a version.
    pub(crate) fn begin(&mut self, envelope: Option<Version>) {
        if self.envelope != envelope {
            *self = Shapes {
                envelope,
                ..Shapes::default()
            };
        }
    }

    /// Whether the shape of the item on the tape is to be learned if the item is clean.
    pub(crate) fn learns(&self, tape: &Tape) -> bool {
        self.misses_left > 0
            && self.shapes.len() < SHAPES_MAX
            && tape.nodes.len() <= VALUES_MAX
            && tape.nodes[0].kind == NodeKind::Object
    }

    /// Takes an item of a known shape; without one, nothing is taken.
    pub(crate) fn follow(&mut self, scanner: &mut Scanner<'_>) -> Option<&Shape> {
        if self.shapes.is_empty() || self.misses_left == 0 {
            return None;
        }
        let start = scanner.at;
        let Some(index) = self.walk(scanner) else {
            scanner.at = start;
            self.misses_left -= 1;
            return None;
        };
        self.misses_left = (self.misses_left + 1).min(MISSES_MAX);
        let shape = &mut self.shapes[index];
        for (at, place) in self.places.drain(..) {
            shape.nodes[at as usize].put(place);
        }
        Some(&self.shapes[index])
    }

    /// The index of the shape that the text at the scanner's place has.
    fn walk(&mut self, scanner: &mut Scanner<'_>) -> Option<usize> {
        self.places.clear();
        let mut first = self.steps[0].next;
        loop {
            let step = self.step(scanner, first)?;
            scanner.at += step.literal.1 as usize;
            let place = match step.slot {
                Slot::End => return Some(step.index as usize),
                Slot::Text(kind) => text_of(scanner, kind)?,
                Slot::Number(kind) => number_of(scanner, kind)?,
            };
            first = step.next;
            self.places.push((step.index, place));
        }
    }

    /// The first of some steps whose literal is next in the text.
    fn step(&self, scanner: &Scanner<'_>, mut at: u32) -> Option<&Step> {
        let rest = scanner.bytes.get(scanner.at..)?;
        while at != 0 {
            let step = &self.steps[at as usize];
            let (start, length) = (step.literal.0 as usize, step.literal.1 as usize);
            if rest.starts_with(&scanner.bytes[start..start + length]) {
                return Some(step);
            }
            at = step.other;
        }
        None
    }

    /// Keeps the shape of the clean item on the tape.
    pub(crate) fn learn(
        &mut self,
        text: &str,
        tape: &Tape,
        notes: &Notes,
        (top, kind, version): (Top, Kind, Version),
    ) {
        let nodes = &tape.nodes;
        if self.steps.is_empty() {
            self.steps.reserve(nodes.len());
            // No step; the paths begin after it.
            self.add((0, 0), Slot::End, 0);
        }
        let mut notes = notes.values.iter().peekable();
        let (mut from, mut last, mut free_until, mut at) = (nodes[0].start, 0, 0, 1);
        while at < nodes.len() {
            let node = &nodes[at];
            let noted = notes.next_if(|(noted, _)| *noted as usize == at);
            if decides(node.name) {
                at = node.next as usize;
                while notes.next_if(|(noted, _)| (*noted as usize) < at).is_some() {}
                continue;
            }
            if noted.is_some_and(|(_, k)| matches!(k, ValueKind::Object | ValueKind::Free)) {
                free_until = free_until.max(node.next as usize);
            }
            let kind = match noted {
                _ if at < free_until => Some(ValueKind::Free),
                other => other.map(|(_, kind)| *kind),
            };
            if let Some(slot) = kind.and_then(|kind| slot(node, kind)) {
                last = match self.enter(text, last, (from, node.start), slot, at as u32) {
                    Some(step) => step,
                    None => return,
                };
                from = node.end + u32::from(node.kind == NodeKind::String);
            }
            at += 1;
        }
        let index = self.shapes.len() as u32;
        let known = self.steps.len();
        let end = self.enter(text, last, (from, nodes[0].end), Slot::End, index);
        if end.is_some_and(|end| end as usize >= known) {
            self.shapes.push(Shape {
                nodes: nodes.clone(),
                top,
                kind,
                version,
            });
        }
    }

    /// The step after `last` with a literal and a slot, new or old; nothing at a place that
    /// already has too many.
    fn enter(
        &mut self,
        text: &str,
        last: u32,
        (from, to): (u32, u32),
        slot: Slot,
        index: u32,
    ) -> Option<u32> {
        let bytes = text.as_bytes();
        let literal = |(start, length): (u32, u32)| &bytes[start as usize..][..length as usize];
        let wanted = (from, to - from);
        let (mut at, mut before, mut branches) = (self.steps[last as usize].next, 0, 0);
        while at != 0 {
            let step = &self.steps[at as usize];
            if step.slot == slot && literal(step.literal) == literal(wanted) {
                return Some(at);
            }
            (before, at, branches) = (at, step.other, branches + 1);
        }
        if branches == BRANCHES_MAX {
            return None;
        }
        let new = self.add(wanted, slot, index);
        if before == 0 {
            self.steps[last as usize].next = new;
        } else {
            self.steps[before as usize].other = new;
        }
        Some(new)
    }

    fn add(&mut self, literal: (u32, u32), slot: Slot, index: u32) -> u32 {
        self.steps.push(Step {
            literal,
            slot,
            index,
            next: 0,
            other: 0,
        });
        self.steps.len() as u32 - 1
    }
}

/// Takes a string's text and closing quote, if it is as the rules want it.
fn text_of(scanner: &mut Scanner<'_>, kind: ValueKind) -> Option<StringPlace> {
    scanner.at -= 1;
    let place = scanner.string().ok()?;
    let fits = match kind {
        ValueKind::String => !place.surrogate(),
        // Forms are of the decoded text: rare enough to leave it to the full judgement.
        _ => !place.escaped() && values::fits(kind, place.of(scanner.text)),
    };
    fits.then_some(place)
}

/// Takes a number, if it is as the rules want it.
fn number_of(scanner: &mut Scanner<'_>, kind: ValueKind) -> Option<StringPlace> {
    let start = scanner.at;
    let vast = scanner.number().ok()?;
    let place = StringPlace::new(start, scanner.at, false, false);
    if vast && values::is_infinite(place.of(scanner.text)) {
        return None;
    }
    values::fits(kind, place.of(scanner.text)).then_some(place)
}
