//! One pass over JSON text: syntax, depth and double keys checked, values noted by their places.
//!
//! The result is a flat list of [`Node`]s in document order (a tape): nothing is copied or
//! decoded. The tape of one item is reused for the next, so an envelope needs memory for its
//! largest item only.

use crate::{
    duplicates::find_duplicate,
    limits::DEPTH_MAX,
    marks::Marks,
    names::{Names, UNKNOWN},
    rules::{TABLES, keys},
    scan_error::ScanError,
    text, values,
};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Null,
    False,
    True,
    Number,
    String,
    Array,
    Object,
}

/// One value and the key it stands under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// The key's text has escapes.
    pub(crate) key_escaped: bool,
    /// The value is a string whose text has escapes.
    pub(crate) escaped: bool,
    /// The key's number in the rule tables; 0 for an unknown key and for a list's element.
    pub(crate) name: u16,
    /// Place of the key's text, without quotes; empty for a list's element.
    pub(crate) key: (u32, u32),
    /// First byte of the value; of a string's text after its quote.
    pub(crate) start: u32,
    /// After the value's last byte; of a string's text before its quote.
    pub(crate) end: u32,
    /// The tape's index after this value and all it holds.
    pub(crate) next: u32,
    /// Of an object: the tape's index of its `type`, else of its `@type`; 0 without.
    pub(crate) type_at: u32,
    /// Of an object: it has a context, or both a `type` and a `@type`.
    pub(crate) special: bool,
}

impl Node {
    /// Puts another value of the same kind in the place of a string or number.
    #[inline]
    pub(crate) fn put(&mut self, place: StringPlace) {
        (self.start, self.end) = (place.start(), place.end());
        self.escaped = place.escaped();
    }
}

/// The values of one item.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) nodes: Vec<Node>,
    /// Index of a member whose key its object already has.
    pub(crate) duplicate: Option<usize>,
    /// Index of a value with an escape that is half a surrogate pair, in it or in its key.
    pub(crate) surrogate: Option<usize>,
    /// Index of a number that no finite double comes near.
    pub(crate) infinite: Option<usize>,
}

/// Values that a tape has room for from the start: two events' worth, 5 KB. A value takes some
/// twenty bytes of text.
const TAPE_START: usize = 128;

impl Tape {
    /// With room for the values of an item within `text`.
    pub(crate) fn for_text(text: &str) -> Self {
        Tape {
            nodes: Vec::with_capacity(TAPE_START.min(text.len() / 16)),
            ..Tape::default()
        }
    }

    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
        self.duplicate = None;
        self.surrogate = None;
        self.infinite = None;
    }
}

pub(crate) struct Scanner<'a> {
    pub(crate) text: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    names: &'static Names,
    marks: Marks,
}

/// The key that a value stands under and its number; nothing for a list's element.
#[derive(Clone, Copy, Default)]
pub(crate) struct Key(StringPlace, u16);

/// The kind of value that a byte begins; a null for one that begins none.
#[inline]
fn kind_of(byte: u8) -> NodeKind {
    match byte {
        b'"' => NodeKind::String,
        b'{' => NodeKind::Object,
        b'[' => NodeKind::Array,
        b'-' | b'0'..=b'9' => NodeKind::Number,
        b't' => NodeKind::True,
        b'f' => NodeKind::False,
        _ => NodeKind::Null,
    }
}

/// Text of a string without its quotes, and what is in it.
///
/// One word (start and end of 31 bits each, two flags): it stays in a register, where a struct of
/// its parts is written and read again in pieces of other sizes, which stalls the processor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StringPlace(u64);

impl StringPlace {
    #[inline]
    pub(crate) fn new(start: usize, end: usize, escaped: bool, surrogate: bool) -> Self {
        StringPlace(
            start as u64
                | (end as u64) << 31
                | u64::from(escaped) << 62
                | u64::from(surrogate) << 63,
        )
    }

    #[inline]
    fn start(self) -> u32 {
        self.0 as u32 & 0x7fff_ffff
    }

    #[inline]
    fn end(self) -> u32 {
        (self.0 >> 31) as u32 & 0x7fff_ffff
    }

    #[inline]
    pub(crate) fn escaped(self) -> bool {
        self.0 >> 62 & 1 == 1
    }

    #[inline]
    pub(crate) fn surrogate(self) -> bool {
        self.0 >> 63 == 1
    }

    /// Its text, escapes and all.
    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.start() as usize..self.end() as usize]
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Scanner {
            text,
            bytes: text.as_bytes(),
            at: 0,
            names: &TABLES.keys,
            marks: Marks::NONE,
        }
    }

    /// Skips white space and gives the next byte without taking it; 0 at the end of the text.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    #[inline]
    pub(crate) fn colon(&mut self) -> Result<(), ScanError> {
        if self.peek() != b':' {
            return Err(ScanError::Colon);
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a string whose opening quote is at the current place.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<StringPlace, ScanError> {
        let start = self.at + 1;
        let end = self.marks.next(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(StringPlace::new(start, end, false, false));
        }
        let surrogate = self.string_with_escapes(end)?;
        Ok(StringPlace::new(start, self.at - 1, true, surrogate))
    }

    /// Takes the rest of a string from its first escape; true for half a surrogate pair in it.
    #[inline(never)]
    fn string_with_escapes(&mut self, end: usize) -> Result<bool, ScanError> {
        self.at = end;
        let mut surrogate = false;
        loop {
            self.at = self.marks.next(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(surrogate);
                }
                Some(b'\\') => surrogate |= self.escape()?,
                Some(_) => return Err(ScanError::Control),
                None => return Err(ScanError::EndInString),
            }
        }
    }

    /// Takes one escape (a surrogate pair counts as one); true for half a pair.
    fn escape(&mut self) -> Result<bool, ScanError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(false)
            }
            Some(b'u') => {
                let Some(unit) = text::hex4(self.bytes, self.at + 2) else {
                    return Err(ScanError::Hexadecimal);
                };
                self.at += 6;
                match unit {
                    0xD800..=0xDBFF => {
                        let low = (self.bytes.get(self.at..self.at + 2) == Some(b"\\u"))
                            .then(|| text::hex4(self.bytes, self.at + 2))
                            .flatten();
                        if let Some(0xDC00..=0xDFFF) = low {
                            self.at += 6;
                            return Ok(false);
                        }
                        Ok(true)
                    }
                    0xDC00..=0xDFFF => Ok(true),
                    _ => Ok(false),
                }
            }
            _ => Err(ScanError::Escape),
        }
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let from = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == from {
            Err(ScanError::Digit)
        } else {
            Ok(())
        }
    }

    /// Takes a number; true for one with an exponent, or with more characters than the largest double.
    pub(crate) fn number(&mut self) -> Result<bool, ScanError> {
        let (start, mut vast) = (self.at, false);
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
            if self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                return Err(ScanError::NeedlessZero);
            }
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            vast = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(vast || values::is_long(self.at - start))
    }

    fn literal(&mut self, word: &'static str) -> Result<(), ScanError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(ScanError::Value)
        }
    }

    /// Takes one value at `depth` (its own level if it is a list or object) onto the tape.
    pub(crate) fn value(
        &mut self,
        tape: &mut Tape,
        key: Key,
        depth: usize,
    ) -> Result<(), ScanError> {
        let byte = self.peek();
        let index = tape.nodes.len();
        let next = index as u32 + 1;
        let (start, kind) = (self.at as u32, kind_of(byte));
        let Key(key, name) = key;
        if key.surrogate() {
            tape.surrogate = Some(index);
        }
        // Each node is made in one go: one made in steps would be copied into the list.
        let node = |escaped, start, end| Node {
            kind,
            key_escaped: key.escaped(),
            escaped,
            special: false,
            name,
            key: (key.start(), key.end()),
            start,
            end,
            next,
            type_at: 0,
        };
        match kind {
            NodeKind::String => {
                let place = self.string()?;
                if place.surrogate() {
                    tape.surrogate = Some(index);
                }
                tape.nodes
                    .push(node(place.escaped(), place.start(), place.end()));
                return Ok(());
            }
            NodeKind::Object | NodeKind::Array => {
                tape.nodes.push(node(false, start, 0));
                return self.container(tape, index, depth);
            }
            NodeKind::Number => {
                if self.number()? && values::is_infinite(&self.text[start as usize..self.at]) {
                    tape.infinite = Some(index);
                }
            }
            NodeKind::True => self.literal("true")?,
            NodeKind::False => self.literal("false")?,
            NodeKind::Null if byte == b'n' => self.literal("null")?,
            NodeKind::Null if self.at >= self.bytes.len() => return Err(ScanError::EndAtValue),
            NodeKind::Null => return Err(ScanError::Value),
        }
        tape.nodes.push(node(false, start, self.at as u32));
        Ok(())
    }

    fn container(&mut self, tape: &mut Tape, index: usize, depth: usize) -> Result<(), ScanError> {
        if depth > DEPTH_MAX {
            return Err(ScanError::TooDeep);
        }
        self.at += 1;
        if tape.nodes[index].kind == NodeKind::Object {
            if self.members(tape, index, depth)? {
                find_duplicate(self.text, tape, index);
            }
        } else {
            self.elements(tape, depth)?;
        }
        let next = tape.nodes.len() as u32;
        let node = &mut tape.nodes[index];
        node.end = self.at as u32;
        node.next = next;
        Ok(())
    }

    /// The number of a key.
    #[inline]
    fn name(&self, key: StringPlace) -> u16 {
        if key.escaped() {
            return self
                .names
                .find(text::decode(key.of(self.text), true).as_bytes());
        }
        self.names
            .find_in(self.bytes, key.start() as usize, key.end() as usize)
    }

    /// Takes an object's members; true when a key may be there twice.
    fn members(&mut self, tape: &mut Tape, object: usize, depth: usize) -> Result<bool, ScanError> {
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(false);
        }
        let mut seen = [0u64; 4];
        let mut unknown = 0;
        let mut suspect = false;
        loop {
            if self.peek() != b'"' {
                return Err(ScanError::Key);
            }
            let key = self.string()?;
            let name = self.name(key);
            if name == UNKNOWN {
                unknown += 1;
                suspect |= unknown > 1;
            } else {
                let (word, bit) = (usize::from(name / 64), 1 << (name % 64));
                suspect |= seen[word] & bit != 0;
                seen[word] |= bit;
                if name <= keys::AT_TYPE {
                    note(tape, object, name);
                }
            }
            self.colon()?;
            self.value(tape, Key(key, name), depth + 1)?;
            match self.peek() {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(suspect);
                }
                _ => return Err(ScanError::AfterMember),
            }
        }
    }

    fn elements(&mut self, tape: &mut Tape, depth: usize) -> Result<(), ScanError> {
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(tape, Key::default(), depth + 1)?;
            match self.peek() {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(ScanError::AfterElement),
            }
        }
    }
}

/// Notes on an object what its member about to come says about it.
#[inline]
fn note(tape: &mut Tape, object: usize, name: u16) {
    let at = tape.nodes.len() as u32;
    let node = &mut tape.nodes[object];
    match name {
        keys::TYPE => {
            node.special |= node.type_at != 0;
            node.type_at = at;
        }
        keys::AT_TYPE if node.type_at == 0 => node.type_at = at,
        keys::AT_TYPE | keys::CONTEXT => node.special = true,
        _ => {}
    }
}

/// The decoded key of a member.
pub(crate) fn key_of<'a>(text: &'a str, node: &Node) -> std::borrow::Cow<'a, str> {
    text::decode(
        &text[node.key.0 as usize..node.key.1 as usize],
        node.key_escaped,
    )
}

/// The item's own members by key, for the keys that the engine knows; 0 without.
pub(crate) type Top = [u32; keys::COUNT + 1];

/// Where the item's own members are, the first of each key.
pub(crate) fn top_members(nodes: &[Node]) -> Top {
    let mut top = [0; keys::COUNT + 1];
    let Some(item) = nodes.first().filter(|node| node.kind == NodeKind::Object) else {
        return top;
    };
    let mut at = 1;
    while at < item.next {
        let node = &nodes[at as usize];
        if let Some(place) = top.get_mut(usize::from(node.name))
            && *place == 0
        {
            *place = at;
        }
        at = node.next;
    }
    top
}
