//! The envelope: one HTTP request body.
use std::borrow::Cow;

use crate::{
    columns::Columns,
    item,
    limits::{EVENTS_MAX, PROBLEMS_MAX},
    policy::{Mode, Policy},
    problem::{Problem, Verdict},
    refusal::{
        CLAUSE_ENVELOPE, Refusal, RefusalKind, body_text, custom_property, data_empty, form,
        scan_refusal, too_many,
    },
    report::found,
    rules::Version,
    scan::{Key, Scanner, Tape},
    scan_error::ScanError,
    shapes::Shapes,
    text,
};

/// One item of an envelope's `data`.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// Exactly as sent.
    pub raw: &'a str,
    /// Its judgement.
    pub verdict: Verdict,
    /// What queries ask for.
    pub columns: Columns<'a>,
}

/// A body that could be read: its own properties and its items.
#[derive(Clone, Debug, Default)]
pub struct Envelope<'a> {
    /// The sensor's name for itself.
    pub sensor: Option<Cow<'a, str>>,
    /// `sendTime` in milliseconds since 1970-01-01T00:00:00Z.
    pub send_time: Option<i64>,
    /// `dataVersion` as sent; `None` when missing (1.0 has none).
    pub data_version: Option<Cow<'a, str>>,
    /// The items in their order.
    pub items: Vec<Item<'a>>,
    /// What the lenient mode let pass in the envelope itself; pointers are relative to the body.
    pub deviations: Vec<Problem>,
    /// Whether the envelope itself (not its items) is as the specification wants it.
    pub strict_accepted: bool,
}

/// Reads one request body.
///
/// # Errors
/// A [`Refusal`] for what makes the whole body unusable: no text, no JSON, nested too deeply, no
/// envelope, too many items, an unsupported version. A bad item is never one of them.
pub fn read_envelope<'a>(body: &'a [u8], policy: &Policy<'_>) -> Result<Envelope<'a>, Refusal> {
    let text = body_text(body)?;
    let mut reader = Reader {
        scanner: Scanner::new(text),
        policy: *policy,
        tape: Tape::for_text(text),
        shapes: Shapes::default(),
        envelope: Envelope {
            strict_accepted: true,
            ..Envelope::default()
        },
        problems: Vec::new(),
    };
    match reader.scanner.peek() {
        b'{' => reader.envelope(String::new(), 1)?,
        b'[' => reader.envelopes()?,
        _ => reader.no_envelope()?,
    }
    reader.end()?;
    if !reader.problems.is_empty() {
        return Err(Refusal {
            kind: RefusalKind::NotAnEnvelope,
            problems: reader.problems,
        });
    }
    reader.envelope.strict_accepted = reader.envelope.deviations.is_empty();
    Ok(reader.envelope)
}

pub(crate) struct Reader<'a, 's> {
    pub(crate) scanner: Scanner<'a>,
    pub(crate) policy: Policy<'s>,
    tape: Tape,
    shapes: Shapes,
    pub(crate) envelope: Envelope<'a>,
    /// What refuses the body once it is known to be JSON.
    problems: Vec<Problem>,
}

/// Custom properties of one envelope that the lenient mode puts up with; looking for double ones
/// among them takes at most 64 × 64 / 2 comparisons.
const KEYS_MAX: usize = 64;

/// The properties an envelope has, by their place in [`Seen`].
const PROPERTIES: [&str; 4] = ["sensor", "sendTime", "dataVersion", "data"];

/// What of one envelope was read so far.
#[derive(Default)]
pub(crate) struct Seen {
    properties: [bool; 4],
    pub(crate) version: Option<Version>,
    /// Where a `data` starts that came before `dataVersion`, and its level.
    deferred: Option<usize>,
    first_item: usize,
    keys: Vec<String>,
}

impl<'a> Reader<'a, '_> {
    fn refuse(&self, error: ScanError) -> Refusal {
        scan_refusal(&self.scanner, error)
    }

    /// Records an envelope problem: a deviation where the lenient mode forgives it.
    pub(crate) fn problem(&mut self, forgiven: bool, problem: Problem) {
        let list = if forgiven && self.policy.mode == Mode::Lenient {
            &mut self.envelope.deviations
        } else {
            &mut self.problems
        };
        if list.len() < PROBLEMS_MAX {
            list.push(problem.bounded());
        }
    }

    /// White space only may follow.
    fn end(&mut self) -> Result<(), Refusal> {
        self.scanner.peek();
        if self.scanner.at < self.scanner.bytes.len() {
            return Err(self.refuse(ScanError::AfterAll));
        }
        Ok(())
    }

    fn no_envelope(&mut self) -> Result<(), Refusal> {
        self.value(1)?;
        let node = self.tape.nodes[0];
        self.problems.push(Problem {
            pointer: String::new(),
            rule: "envelope.object".into(),
            expected: "an envelope: an object with sensor, sendTime, dataVersion and data".into(),
            found: found(self.scanner.text, &node),
            message: "the body is no envelope".into(),
            clause: CLAUSE_ENVELOPE.into(),
        });
        Ok(())
    }

    /// Scans one value onto the emptied tape.
    fn value(&mut self, depth: usize) -> Result<(), Refusal> {
        self.tape.clear();
        self.scanner
            .value(&mut self.tape, Key::default(), depth)
            .map_err(|e| self.refuse(e))
    }

    /// An array of envelopes, as batching routers send it.
    fn envelopes(&mut self) -> Result<(), Refusal> {
        self.problem(
            true,
            Problem {
                pointer: String::new(),
                rule: "envelope.array".into(),
                expected: "one envelope".into(),
                found: "an array".into(),
                message: "the body is an array of envelopes, not one envelope".into(),
                clause: CLAUSE_ENVELOPE.into(),
            },
        );
        self.scanner.at += 1;
        let mut index = 0;
        if self.scanner.peek() == b']' {
            self.scanner.at += 1;
            self.problems.push(data_empty(String::new()));
            return Ok(());
        }
        loop {
            if self.scanner.peek() == b'{' {
                self.envelope(format!("/{index}"), 2)?;
            } else {
                self.no_envelope()?;
            }
            index += 1;
            match self.scanner.peek() {
                b',' => self.scanner.at += 1,
                b']' => {
                    self.scanner.at += 1;
                    return Ok(());
                }
                _ => {
                    return Err(self.refuse(ScanError::AfterElement));
                }
            }
        }
    }

    /// One envelope whose opening brace is next; `prefix` is its pointer, `depth` its level.
    fn envelope(&mut self, prefix: String, depth: usize) -> Result<(), Refusal> {
        let mut seen = Seen {
            first_item: self.envelope.items.len(),
            ..Seen::default()
        };
        self.scanner.at += 1;
        if self.scanner.peek() == b'}' {
            self.scanner.at += 1;
        } else {
            loop {
                self.member(&prefix, depth, &mut seen)?;
                match self.scanner.peek() {
                    b',' => self.scanner.at += 1,
                    b'}' => {
                        self.scanner.at += 1;
                        break;
                    }
                    _ => {
                        return Err(self.refuse(ScanError::AfterMember));
                    }
                }
            }
        }
        if let Some(start) = seen.deferred {
            let end = std::mem::replace(&mut self.scanner.at, start);
            self.items(seen.version, depth + 1)?;
            self.scanner.at = end;
        }
        self.missing(&prefix, &seen);
        Ok(())
    }

    fn member(&mut self, prefix: &str, depth: usize, seen: &mut Seen) -> Result<(), Refusal> {
        if self.scanner.peek() != b'"' {
            return Err(self.refuse(ScanError::Key));
        }
        let place = self.scanner.string().map_err(|e| self.refuse(e))?;
        self.scanner.colon().map_err(|e| self.refuse(e))?;
        let text = self.scanner.text;
        let key = text::decode(place.of(text), place.escaped());
        let known = PROPERTIES.iter().position(|&p| p == key);
        let twice = match known {
            Some(index) => std::mem::replace(&mut seen.properties[index], true),
            None => seen.keys.iter().any(|k| *k == key),
        };
        let pointer = || {
            let mut pointer = prefix.to_owned();
            text::push_token(&mut pointer, &key);
            pointer
        };
        if twice {
            return Err(Refusal::new(
                RefusalKind::DuplicateKey,
                Problem {
                    pointer: pointer(),
                    rule: "envelope.duplicate-key".into(),
                    expected: "each property once".into(),
                    found: key.to_string(),
                    message: format!("the envelope has {key:?} twice"),
                    clause: CLAUSE_ENVELOPE.into(),
                },
            ));
        }
        if key == "data" {
            return self.data(&pointer, depth, seen);
        }
        self.value(depth + 1)?;
        let node = self.tape.nodes[0];
        match known {
            Some(0) => self.sensor(&pointer, &node),
            Some(1) => self.send_time(&pointer, &node),
            Some(_) => self.data_version(&pointer, &node, seen)?,
            None => {
                // Bounded: an envelope that needs more keys than these is refused as none.
                if seen.keys.len() >= KEYS_MAX {
                    self.problems.push(custom_property(pointer(), &key));
                    let problems = std::mem::take(&mut self.problems);
                    return Err(Refusal {
                        kind: RefusalKind::NotAnEnvelope,
                        problems,
                    });
                }
                self.problem(true, custom_property(pointer(), &key));
                seen.keys.push(key.into_owned());
            }
        }
        Ok(())
    }

    fn data(
        &mut self,
        pointer: &dyn Fn() -> String,
        depth: usize,
        seen: &mut Seen,
    ) -> Result<(), Refusal> {
        if self.scanner.peek() != b'[' {
            self.value(depth + 1)?;
            let node = self.tape.nodes[0];
            let found = found(self.scanner.text, &node);
            self.problem(
                false,
                form(
                    pointer(),
                    "envelope.data",
                    "an array of events and entities",
                    found,
                ),
            );
            return Ok(());
        }
        let start = self.scanner.at;
        if !seen.properties[2] {
            // The version decides how items are judged, and it may still come.
            self.skip_array(depth + 1)?;
            seen.deferred = Some(start);
        } else {
            self.items(seen.version, depth + 1)?;
        }
        Ok(())
    }

    /// The items of `data`, its bracket being next; `depth` is the array's level.
    fn items(&mut self, version: Option<Version>, depth: usize) -> Result<(), Refusal> {
        self.shapes.begin(version);
        self.each(|reader| {
            reader.scanner.peek();
            let item = reader.item(version, depth + 1)?;
            if reader.envelope.items.len() == EVENTS_MAX {
                return Err(too_many());
            }
            reader.room_for(item.raw.len());
            reader.envelope.items.push(item);
            Ok(())
        })
    }

    /// Makes room when the first item is read, for as many of its length as the body can hold.
    #[inline]
    fn room_for(&mut self, first: usize) {
        let items = &mut self.envelope.items;
        if items.capacity() == 0 {
            let rest = self.scanner.bytes.len() - self.scanner.at;
            items.reserve_exact((1 + rest / (first + 1)).min(EVENTS_MAX));
        }
    }

    /// One item, which begins at the scanner's place.
    fn item(&mut self, version: Option<Version>, depth: usize) -> Result<Item<'a>, Refusal> {
        let (text, start) = (self.scanner.text, self.scanner.at);
        let (end, (verdict, columns)) = match self.shapes.follow(&mut self.scanner) {
            Some(shape) => (self.scanner.at, item::recall(text, shape, &self.policy)),
            None => {
                self.value(depth)?;
                let end = self.scanner.at;
                // The last item's shape is of no use.
                let learns = self.shapes.learns(&self.tape) && self.scanner.peek() == b',';
                let shapes = learns.then_some(&mut self.shapes);
                let judged = item::judge(text, &self.tape, version, &self.policy, shapes);
                (end, judged)
            }
        };
        Ok(Item {
            raw: &text[start..end],
            verdict,
            columns,
        })
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), Refusal> {
        self.each(|reader| reader.value(depth + 1))
    }

    /// The elements of an array, its bracket being next; `act` takes one.
    fn each(
        &mut self,
        mut act: impl FnMut(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.scanner.at += 1;
        if self.scanner.peek() == b']' {
            self.scanner.at += 1;
            return Ok(());
        }
        loop {
            act(self)?;
            match self.scanner.peek() {
                b',' => self.scanner.at += 1,
                b']' => {
                    self.scanner.at += 1;
                    return Ok(());
                }
                _ => {
                    return Err(self.refuse(ScanError::AfterElement));
                }
            }
        }
    }

    /// Problems of what an envelope does not have.
    fn missing(&mut self, prefix: &str, seen: &Seen) {
        let items = &self.envelope.items[seen.first_item..];
        let empty = items.is_empty();
        let all_1_0 = !empty && items.iter().all(|i| i.verdict.version_1_0);
        for (index, name) in PROPERTIES.into_iter().enumerate() {
            if seen.properties[index] || (index == 2 && all_1_0) {
                continue;
            }
            let rule = [
                "envelope.sensor",
                "envelope.send-time",
                "envelope.data-version",
                "envelope.data",
            ][index];
            // What a lenient reader can do without: the time of sending, and a version that the
            // items name themselves.
            let forgiven = index == 1 || (index == 2 && !empty);
            self.problem(
                forgiven,
                Problem {
                    pointer: format!("{prefix}/{name}"),
                    rule: rule.into(),
                    expected: name.into(),
                    found: "nothing".into(),
                    message: format!("the envelope has no {name}"),
                    clause: CLAUSE_ENVELOPE.into(),
                },
            );
        }
        if seen.properties[3] && empty && self.problems.is_empty() {
            self.problem(true, data_empty(format!("{prefix}/data")));
        }
    }
}
