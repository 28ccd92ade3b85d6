//! The engine: one object of the tape against the tables.
use std::borrow::Cow;

use crate::{
    names::UNKNOWN,
    problem::Problem,
    report::rule_id,
    rules::{Rule, TABLES, Tables, TypeSet, ValueKind, Version, has_term, keys},
    scan::{Node, NodeKind, Tape, Top, key_of, top_members},
    shapes::{Notes, Shape},
    text, values,
};

/// The value's bytes in the body, a string's with its quotes.
pub(crate) fn bounds(node: &Node) -> (usize, usize) {
    let quote = usize::from(node.kind == NodeKind::String);
    (node.start as usize - quote, node.end as usize + quote)
}

/// A string's decoded text.
pub(crate) fn string<'a>(text: &'a str, node: &Node) -> Option<Cow<'a, str>> {
    (node.kind == NodeKind::String)
        .then(|| text::decode(&text[node.start as usize..node.end as usize], node.escaped))
}

/// One item on its tape, judged by one version's tables.
pub(crate) struct Checker<'a, 't> {
    pub(crate) text: &'a str,
    pub(crate) nodes: &'t [Node],
    pub(crate) version: Version,
    pub(crate) tables: &'static Tables,
    pub(crate) top: Top,
    pub(crate) problems: Vec<Problem>,
    /// Problems beyond [`PROBLEMS_MAX`].
    pub(crate) more: usize,
    /// The rules of those, as far as they are needed to judge them.
    pub(crate) overflow: Vec<Cow<'static, str>>,
    /// What the rules want of each value, when that is asked for.
    pub(crate) notes: Notes,
}

/// Where a value stands: the line of the table it is checked by and what is in scope.
#[derive(Clone, Copy)]
pub(crate) struct Scope {
    /// A context other than Caliper's maps further terms.
    pub(crate) mapped: bool,
}

/// What an object's type turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectType {
    Known(u16),
    /// A term of another context, or none that is known.
    Other,
    Missing,
}

impl<'a, 't> Checker<'a, 't> {
    pub(crate) fn new(text: &'a str, tape: &'t Tape, version: Version) -> Self {
        Checker::of(text, &tape.nodes, top_members(&tape.nodes), version)
    }

    /// Of an item that has a known shape.
    pub(crate) fn of_shape(text: &'a str, shape: &'t Shape) -> Self {
        Checker::of(text, &shape.nodes, shape.top, shape.version)
    }

    fn of(text: &'a str, nodes: &'t [Node], top: Top, version: Version) -> Self {
        Checker {
            text,
            nodes,
            version,
            tables: &TABLES,
            top,
            problems: Vec::new(),
            more: 0,
            overflow: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// Notes what the rules want of a value that has it.
    #[inline]
    fn note(&mut self, at: usize, kind: ValueKind) {
        if self.notes.wanted {
            self.notes.values.push((at as u32, kind));
        }
    }

    /// Whether a string node holds `text`, unescaped.
    #[inline]
    pub(crate) fn bytes(&self, node: &Node) -> &'a [u8] {
        &self.text.as_bytes()[node.start as usize..node.end as usize]
    }

    fn slice(&self, node: &Node) -> &'a str {
        &self.text[node.start as usize..node.end as usize]
    }

    /// The member of an object with a known key.
    #[inline]
    pub(crate) fn member(&self, object: usize, key: u16) -> Option<usize> {
        if let (0, Some(at)) = (object, self.top.get(usize::from(key))) {
            return (*at != 0).then_some(*at as usize);
        }
        if self.nodes[object].kind != NodeKind::Object {
            return None;
        }
        let end = self.nodes[object].next as usize;
        let mut at = object + 1;
        while at < end {
            if self.nodes[at].name == key {
                return Some(at);
            }
            at = self.nodes[at].next as usize;
        }
        None
    }

    #[inline]
    fn type_number(&self, node: &Node) -> u16 {
        if self.version == Version::V1p0 {
            return self.tables.type_number(self.version, self.bytes(node));
        }
        let number =
            self.tables
                .types
                .find_in(self.text.as_bytes(), node.start as usize, node.end as usize);
        if self.tables.row(self.version, number).is_some() {
            number
        } else {
            UNKNOWN
        }
    }

    /// A member that is no key of the tables, by its text.
    pub(crate) fn free_member(&self, object: usize, name: &str) -> Option<usize> {
        if self.nodes[object].kind != NodeKind::Object {
            return None;
        }
        let end = self.nodes[object].next as usize;
        let mut at = object + 1;
        while at < end {
            if key_of(self.text, &self.nodes[at]) == name {
                return Some(at);
            }
            at = self.nodes[at].next as usize;
        }
        None
    }

    /// The type of an object, by the number of its term.
    pub(crate) fn object_type(&self, object: usize) -> (ObjectType, Option<usize>) {
        let node = &self.nodes[object];
        let noted = node.type_at as usize;
        let at = if noted != 0 && self.nodes[noted].name == self.version.type_key() {
            noted
        } else if let Some(at) = self.member(object, self.version.type_key()) {
            at
        } else {
            return (ObjectType::Missing, None);
        };
        let node = &self.nodes[at];
        if node.kind == NodeKind::String && !node.escaped {
            return match self.type_number(node) {
                UNKNOWN => (ObjectType::Other, Some(at)),
                number => (ObjectType::Known(number), Some(at)),
            };
        }
        let Some(name) = string(self.text, node) else {
            let null = node.kind == NodeKind::Null;
            return (
                if null {
                    ObjectType::Missing
                } else {
                    ObjectType::Other
                },
                Some(at),
            );
        };
        match self.tables.type_number(self.version, name.as_bytes()) {
            UNKNOWN => (ObjectType::Other, Some(at)),
            number => (ObjectType::Known(number), Some(at)),
        }
    }

    /// An entity in the place of `rule`: an object of a right type or an IRI.
    fn entity(&mut self, at: usize, rule: &'static Rule, scope: Scope, aspects: (&str, &str)) {
        let node = &self.nodes[at];
        match node.kind {
            NodeKind::String => {
                if !self.is_id(node) {
                    let expected = format!("{} as an object or an IRI", rule.wanted);
                    self.report(at, rule_id(rule, aspects.0), expected, rule.owner);
                }
                self.note(at, ValueKind::Id);
            }
            NodeKind::Object => {
                let kind = self.object(at, scope, Some(rule.types));
                if let Some(actual) = kind {
                    self.wrong_type(
                        at,
                        rule_id(rule, aspects.1),
                        rule.wanted,
                        actual,
                        rule.owner,
                    );
                }
            }
            NodeKind::Null if self.version == Version::V1p0 => {}
            _ => {
                let expected = format!("{} as an object or an IRI", rule.wanted);
                self.report(at, rule_id(rule, aspects.0), expected, rule.owner);
            }
        }
    }

    #[inline]
    fn is_id(&self, node: &Node) -> bool {
        if node.escaped {
            values::is_id(self.decoded(node).as_bytes())
        } else {
            values::is_id(self.bytes(node))
        }
    }

    fn decoded(&self, node: &Node) -> Cow<'a, str> {
        text::decode(
            &self.text[node.start as usize..node.end as usize],
            node.escaped,
        )
    }

    /// Checks an object; the number of its type when that is known and not among `wanted`.
    pub(crate) fn object(
        &mut self,
        object: usize,
        scope: Scope,
        wanted: Option<TypeSet>,
    ) -> Option<u16> {
        let (kind, type_at) = self.object_type(object);
        let special = object != 0 && self.nodes[object].special;
        let scope = match special
            .then(|| self.member(object, keys::CONTEXT))
            .flatten()
        {
            Some(at) => Scope {
                mapped: scope.mapped || self.maps_more(at),
            },
            _ => scope,
        };
        let fallback = if wanted.is_some_and(|w| w != 0 && w & self.plain_types() == w) {
            w_first(wanted)
        } else {
            self.tables.types.find(b"Entity")
        };
        let (number, strict) = match kind {
            ObjectType::Known(number) => (number, true),
            ObjectType::Missing => {
                let name = self.tables.keys.name(self.version.type_key());
                let owner = self.tables.types.name(fallback);
                self.report_missing(
                    object,
                    name,
                    format!("{owner}.{name}.required"),
                    owner,
                    type_at.is_some(),
                );
                (fallback, false)
            }
            ObjectType::Other => {
                if !scope.mapped {
                    self.unknown_type(type_at.unwrap_or(object));
                }
                (fallback, false)
            }
        };
        let wrong = wanted.is_some_and(|set| strict && set >> number & 1 == 0);
        if wrong && wanted.is_some_and(|set| set & self.plain_types() == set) {
            // An entity in the place of what has no id: its own members say nothing more.
            return Some(number);
        }
        self.members(object, number, scope, !strict);
        wrong.then_some(number)
    }

    /// The types that have no id.
    fn plain_types(&self) -> TypeSet {
        [&b"TextPositionSelector"[..], b"SystemIdentifier"]
            .iter()
            .fold(0, |set, name| set | 1 << self.tables.types.find(name))
    }

    /// Whether a nested context maps more than Caliper's terms.
    fn maps_more(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        match node.kind {
            NodeKind::String => Version::of_context(&self.decoded(node)).is_none(),
            NodeKind::Null => false,
            _ => true,
        }
    }

    /// Checks the members of an object of a type; `open` when it stands in for an unknown one,
    /// whose properties nobody knows.
    pub(crate) fn members(&mut self, object: usize, number: u16, scope: Scope, open: bool) {
        let tables = self.tables;
        let Some(row) = tables.row(self.version, number) else {
            return;
        };
        let end = self.nodes[object].next as usize;
        let mut at = object + 1;
        let mut seen = [0u64; 4];
        while at < end {
            let node = &self.nodes[at];
            let name = usize::from(node.name);
            // A null is as good as missing: "properties with a value of null should be excluded".
            if node.kind != NodeKind::Null {
                seen[name / 64] |= 1 << (name % 64);
            }
            match row.rules[name] {
                _ if node.kind == NodeKind::Null
                    && row.required.iter().any(|(k, _)| *k == node.name) => {}
                0 if open => self.note(at, ValueKind::Free),
                0 => self.unknown_property(at, row.name, scope),
                index => self.value(at, &tables.rules[usize::from(index) - 1], scope),
            }
            at = self.nodes[at].next as usize;
        }
        let missing = |word: usize| row.required_set[word] & !seen[word];
        if (missing(0) | missing(1) | missing(2) | missing(3)) != 0 {
            self.missing_properties(object, row, seen);
        }
    }

    #[inline]
    fn unknown_property(&mut self, at: usize, type_name: &'static str, scope: Scope) {
        let node = &self.nodes[at];
        if scope.mapped || node.name == keys::CONTEXT || self.version == Version::V1p0 {
            self.note(at, ValueKind::Free);
            return;
        }
        self.report_unknown_property(at, type_name);
    }

    /// Checks a value by the line of the table for it.
    pub(crate) fn value(&mut self, at: usize, rule: &'static Rule, scope: Scope) {
        use ValueKind as K;
        match rule.kind {
            K::Entity => self.entity(at, rule, scope, ("entity", "type")),
            K::Entities | K::Identifiers => self.list(at, rule, |checker, element| {
                checker.entity(element, rule, scope, ("element", "element-type"));
            }),
            K::Selector => match self.nodes[at].kind {
                NodeKind::Object => self.entity(at, rule, scope, ("object", "type")),
                _ => self.wrong_value(at, rule),
            },
            K::Strings => self.list(at, rule, |checker, element| {
                if checker.nodes[element].kind != NodeKind::String {
                    checker.report(
                        element,
                        rule_id(rule, "element"),
                        "a string".into(),
                        rule.owner,
                    );
                }
                checker.note(element, K::String);
            }),
            K::Terms => self.list(at, rule, |checker, element| checker.term(element, rule)),
            K::Vocabularies => self.list(at, rule, |checker, element| {
                if !checker.is_vocabulary(element) {
                    checker.wrong_value(element, rule);
                }
            }),
            K::Term => self.term(at, rule),
            K::Actions => self.action(at, rule),
            _ => {
                if !self.is_plain_value(at, rule) {
                    self.wrong_value(at, rule);
                }
                self.note(at, rule.kind);
            }
        }
    }

    #[inline]
    fn is_plain_value(&self, at: usize, rule: &Rule) -> bool {
        use ValueKind as K;
        let node = &self.nodes[at];
        let is_string = node.kind == NodeKind::String;
        let is_number = node.kind == NodeKind::Number;
        if node.kind == NodeKind::Null {
            // A null is discouraged ("SHOULD be excluded"), but only these say what form the value
            // MUST have.
            return !matches!(rule.kind, K::Time | K::Duration) || self.version == Version::V1p0;
        }
        match rule.kind {
            K::Type | K::Free => true,
            K::String => is_string,
            K::Id => is_string && self.is_id(node),
            K::Uuid | K::Time => is_string && values::fits(rule.kind, self.slice(node)),
            K::Duration => is_string && values::is_duration(&self.decoded(node)),
            K::Span => is_number || is_string && values::is_duration(&self.decoded(node)),
            K::Decimal | K::Number | K::Integer | K::Natural => {
                is_number && values::fits(rule.kind, self.slice(node))
            }
            K::Boolean => matches!(node.kind, NodeKind::True | NodeKind::False),
            K::Object => node.kind == NodeKind::Object,
            K::Vocabulary => self.is_vocabulary(at),
            _ => true,
        }
    }

    fn is_vocabulary(&self, at: usize) -> bool {
        let text = string(self.text, &self.nodes[at]);
        text.is_some_and(|t| t.starts_with(self.tables.vocabulary_prefix))
    }

    fn list(&mut self, at: usize, rule: &Rule, mut each: impl FnMut(&mut Self, usize)) {
        let node = &self.nodes[at];
        match node.kind {
            NodeKind::Array => {
                let end = node.next as usize;
                let mut element = at + 1;
                while element < end {
                    each(self, element);
                    element = self.nodes[element].next as usize;
                }
            }
            NodeKind::Null => {}
            _ => self.report(at, rule_id(rule, "list"), "a list".into(), rule.owner),
        }
    }

    fn term(&mut self, at: usize, rule: &Rule) {
        let node = &self.nodes[at];
        let known = node.kind == NodeKind::String && {
            let name = self.decoded(node);
            has_term(&rule.terms, self.tables.terms.find(name.as_bytes()))
        };
        if !known && (node.kind != NodeKind::Null || node.key == (0, 0)) {
            self.unknown_term(at, rule, "term");
        }
    }

    /// Two steps: a Caliper action at all, and one of this event.
    fn action(&mut self, at: usize, rule: &Rule) {
        let node = &self.nodes[at];
        if node.kind == NodeKind::Null {
            return;
        }
        let name = string(self.text, node).unwrap_or_default();
        let number = self.tables.action_number(self.version, &name);
        if has_term(&rule.terms, number) {
            return;
        }
        let actions = self.tables.lists.iter().find(|(n, _)| *n == "actions");
        let known = actions.is_some_and(|(_, list)| list.contains(&number));
        self.unknown_term(at, rule, if known { "actions" } else { "term" });
    }
}

/// The lowest type of a set.
fn w_first(wanted: Option<TypeSet>) -> u16 {
    wanted.map_or(UNKNOWN, |set| set.trailing_zeros() as u16)
}

/// The value of a member as an id: a string, a number as sent, or the id of an object.
pub(crate) fn id<'a>(checker: &Checker<'a, '_>, at: Option<usize>) -> Option<Cow<'a, str>> {
    let node = &checker.nodes[at?];
    match node.kind {
        NodeKind::String => string(checker.text, node).filter(|id| !id.is_empty()),
        NodeKind::Number => Some(Cow::Borrowed(
            &checker.text[node.start as usize..node.end as usize],
        )),
        NodeKind::Object => own_id(checker, at?),
        _ => None,
    }
}

pub(crate) fn own_id<'a>(checker: &Checker<'a, '_>, object: usize) -> Option<Cow<'a, str>> {
    let plain = checker
        .member(object, keys::ID)
        .filter(|at| checker.nodes[*at].kind != NodeKind::Object);
    let at = plain.or_else(|| checker.member(object, keys::AT_ID))?;
    (checker.nodes[at].kind != NodeKind::Object)
        .then(|| id(checker, Some(at)))
        .flatten()
}
