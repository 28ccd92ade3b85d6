//! How the engine puts a problem into words.
use std::borrow::Cow;

use crate::{
    check::{Checker, string},
    limits::PROBLEMS_MAX,
    problem::Problem,
    rules::{Class, Rule, TypeRow, ValueKind, has_term},
    scan::{Node, NodeKind, key_of},
    suggest::nearest,
    text,
};

/// What a problem says it found.
pub(crate) fn found(text: &str, node: &Node) -> String {
    match node.kind {
        NodeKind::Null => "null".into(),
        NodeKind::False => "false".into(),
        NodeKind::True => "true".into(),
        NodeKind::Number => text::shorten(&text[node.start as usize..node.end as usize]),
        NodeKind::String => {
            format!(
                "\"{}\"",
                text::shorten(&text[node.start as usize..node.end as usize])
            )
        }
        NodeKind::Array => "a list".into(),
        NodeKind::Object => "an object".into(),
    }
}

/// Rules of unlisted problems that are kept apart.
const OVERFLOW_MAX: usize = 64;

/// What a message calls the value at a pointer: its key, an element with its list's key.
pub(crate) fn subject(pointer: &str) -> &str {
    let mut from = pointer.rfind('/').map_or(0, |at| at + 1);
    while from > 1
        && pointer.as_bytes()[from..]
            .first()
            .is_some_and(u8::is_ascii_digit)
    {
        from = pointer[..from - 1].rfind('/').map_or(0, |at| at + 1);
    }
    if pointer.is_empty() {
        "this"
    } else {
        &pointer[from..]
    }
}

/// The id of a rule: the type and property of its line and what it asks of the value.
pub(crate) fn rule_id(rule: &Rule, aspect: &str) -> String {
    format!("{}.{}.{aspect}", rule.owner, rule.property)
}

/// The pointer of the node at `target`.
pub(crate) fn pointer(text: &str, nodes: &[Node], target: usize) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at != target {
        let list = nodes[at].kind == NodeKind::Array;
        let mut child = at + 1;
        let mut index = 0usize;
        while nodes[child].next as usize <= target {
            child = nodes[child].next as usize;
            index += 1;
        }
        if list {
            text::push_token(&mut out, &index.to_string());
        } else {
            text::push_token(&mut out, &key_of(text, &nodes[child]));
        }
        at = child;
    }
    out
}

impl Checker<'_, '_> {
    /// Records a problem at a node.
    #[cold]
    pub(crate) fn report(&mut self, at: usize, rule: String, expected: String, owner: &str) {
        if self.nodes[at].kind == NodeKind::Null && self.problems.len() >= PROBLEMS_MAX {
            // Every lenient profile forgives it, so its rule decides nothing.
            self.more += 1;
            return;
        }
        if !self.has_room(&rule) {
            return;
        }
        let pointer = pointer(self.text, self.nodes, at);
        let found = found(self.text, &self.nodes[at]);
        let message = format!("{} should be {expected}, is {found}", subject(&pointer));
        self.push(Problem {
            pointer,
            rule: rule.into(),
            expected: expected.into(),
            found,
            message,
            clause: self.clause(owner),
        });
    }

    /// Records a problem of something that is not there.
    #[cold]
    pub(crate) fn report_missing(
        &mut self,
        object: usize,
        property: &str,
        rule: String,
        owner: &str,
        null: bool,
    ) {
        if !self.has_room(&rule) {
            return;
        }
        let mut pointer = pointer(self.text, self.nodes, object);
        text::push_token(&mut pointer, property);
        self.push(Problem {
            pointer,
            rule: rule.into(),
            expected: property.to_owned().into(),
            found: if null { "null" } else { "nothing" }.into(),
            message: format!("{property} is required"),
            clause: self.clause(owner),
        });
    }

    #[cold]
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.has_room(&problem.rule) {
            self.problems.push(problem);
        }
    }

    /// Whether a further problem is listed. One that is not is counted, and its rule kept as far
    /// as the verdict needs it: making its pointer would take a walk through the item each time.
    pub(crate) fn has_room(&mut self, rule: &str) -> bool {
        if self.problems.len() < PROBLEMS_MAX {
            return true;
        }
        self.more += 1;
        if self.overflow.len() < OVERFLOW_MAX && !self.overflow.iter().any(|r| r == rule) {
            // The last place is for "there are more", which nothing forgives.
            let last = self.overflow.len() + 1 == OVERFLOW_MAX;
            self.overflow
                .push(if last { "limit.problems" } else { rule }.to_owned().into());
        }
        false
    }

    /// Where the specification writes about a type.
    pub(crate) fn clause(&self, owner: &str) -> Cow<'static, str> {
        let number = self.tables.types.find(owner.as_bytes());
        let part = match self.tables.row(self.version, number).map(|row| row.class) {
            Some(Class::Event) => "Events",
            Some(Class::Plain) => "Selectors and identifiers",
            _ => "Entities",
        };
        format!("{}, {part}, {owner}", self.version.name()).into()
    }

    #[cold]
    pub(crate) fn wrong_type(
        &mut self,
        at: usize,
        rule: String,
        wanted: &str,
        actual: u16,
        owner: &str,
    ) {
        if !self.has_room(&rule) {
            return;
        }
        let actual = self.tables.types.name(actual);
        let pointer = pointer(self.text, self.nodes, at);
        let name = subject(&pointer).to_owned();
        self.push(Problem {
            pointer,
            rule: rule.into(),
            expected: wanted.to_owned().into(),
            found: actual.into(),
            message: format!("{name} should be of type {wanted} or a subtype, is of type {actual}"),
            clause: self.clause(owner),
        });
    }

    #[cold]
    pub(crate) fn unknown_type(&mut self, at: usize) {
        if !self.has_room("type.unknown") {
            return;
        }
        let found_type = found(self.text, &self.nodes[at]);
        let name = string(self.text, &self.nodes[at]).unwrap_or_default();
        let known = self.tables.models[self.version as usize]
            .types
            .iter()
            .flatten()
            .map(|row| row.name);
        let hint = nearest(&name, known)
            .map(|n| format!("; did you mean {n}?"))
            .unwrap_or_default();
        self.push(Problem {
            pointer: pointer(self.text, self.nodes, at),
            rule: "type.unknown".into(),
            expected: format!("a type of {}", self.version.name()).into(),
            message: format!("{found_type} is no type of {}{hint}", self.version.name()),
            found: found_type,
            clause: format!("{}, Types", self.version.name()).into(),
        });
    }

    #[cold]
    pub(crate) fn missing_properties(
        &mut self,
        object: usize,
        row: &'static TypeRow,
        seen: [u64; 4],
    ) {
        for &(key, owner) in &row.required {
            // A missing type was reported when the type was looked for.
            if seen[usize::from(key / 64)] >> (key % 64) & 1 == 0 && key != self.version.type_key()
            {
                let name = self.tables.keys.name(key);
                let null = self.member(object, key).is_some();
                self.report_missing(
                    object,
                    name,
                    format!("{owner}.{name}.required"),
                    owner,
                    null,
                );
            }
        }
    }

    #[cold]
    pub(crate) fn report_unknown_property(&mut self, at: usize, type_name: &'static str) {
        if !self.has_room("property.unknown") {
            return;
        }
        let key = key_of(self.text, &self.nodes[at]);
        let number = self.tables.types.find(type_name.as_bytes());
        let row = self.tables.row(self.version, number);
        let known = self.tables.keys.iter().filter(|name| {
            let key = self.tables.keys.find(name.as_bytes());
            row.is_some_and(|r| r.rules[usize::from(key)] != 0)
        });
        let hint = nearest(&key, known)
            .map(|n| format!("; did you mean {n}?"))
            .unwrap_or_default();
        self.push(Problem {
            pointer: pointer(self.text, self.nodes, at),
            rule: "property.unknown".into(),
            expected: format!("a property of {type_name}, or one in extensions").into(),
            found: text::shorten(&key),
            message: format!(
                "{type_name} has no property {:?}; custom attributes belong in extensions{hint}",
                text::shorten(&key)
            ),
            clause: format!("{}, Event and Entity, Properties", self.version.name()).into(),
        });
    }

    /// Reports the first aspect of the kind, or the last for a list's element.
    #[cold]
    pub(crate) fn wrong_value(&mut self, at: usize, rule: &Rule) {
        let aspects = rule.kind.aspects();
        let element = self.nodes[at].key == (0, 0);
        let Some((aspect, expected)) = (if element {
            aspects.last()
        } else {
            aspects.first()
        }) else {
            return;
        };
        self.report(at, rule_id(rule, aspect), (*expected).into(), rule.owner);
    }

    #[cold]
    pub(crate) fn unknown_term(&mut self, at: usize, rule: &Rule, aspect: &str) {
        let owner = if aspect == "term" && rule.property == "action" {
            "Event"
        } else {
            rule.owner
        };
        let id = format!("{owner}.{}.{aspect}", rule.property);
        if !self.has_room(&id) {
            return;
        }
        let name = string(self.text, &self.nodes[at]).unwrap_or_default();
        let known = self
            .tables
            .terms
            .iter()
            .filter(|t| has_term(&rule.terms, self.tables.terms.find(t.as_bytes())));
        let hint = nearest(&name, known)
            .map(|n| format!("; did you mean {n}?"))
            .unwrap_or_default();
        let expected = match (rule.kind, aspect) {
            (ValueKind::Actions, "term") => "an action of Caliper".to_owned(),
            (ValueKind::Actions, _) => format!("one of {}", rule.wanted),
            _ => format!("one of the {}", rule.wanted),
        };
        let found = found(self.text, &self.nodes[at]);
        self.push(Problem {
            pointer: pointer(self.text, self.nodes, at),
            rule: id.into(),
            message: format!("{} should be {expected}, is {found}{hint}", rule.property),
            expected: expected.into(),
            found,
            clause: self.clause(rule.owner),
        });
    }
}
