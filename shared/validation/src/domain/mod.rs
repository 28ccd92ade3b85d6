//! A tenant's own event types: JSON Schemas (2020-12), compiled once, checked within bounds.
//!
//! Hostile schemas and events are bounded before anything runs: [`bounds`](self::bounds) refuses a
//! schema that refers elsewhere, refers to itself, or unfolds to more than
//! [`limits::SCHEMA_UNFOLDED_MAX`](crate::limits::SCHEMA_UNFOLDED_MAX) subschemas, so that checking an
//! event of n values takes at most that many × n steps; patterns run on an engine without
//! backtracking.
mod bounds;
mod columns;
mod compatible;
mod numbers;
mod patterns;

use std::{collections::HashMap, fmt, sync::Arc};

pub use columns::ColumnPointers;
use jsonschema::Validator;
use serde_json::Value;

use crate::{
    check::Checker,
    columns::Columns,
    limits::{
        DOMAIN_VALUES_MAX, PATTERN_BYTES_MAX, PROBLEMS_MAX, SCHEMA_BYTES_MAX, TYPE_NAME_BYTES_MAX,
    },
    problem::Problem,
    rules::{TABLES, Version},
    scan::{Key, Scanner, Tape},
    text,
};

/// Why a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRefusal {
    /// JSON pointer to the place in the schema.
    pub pointer: String,
    /// One plain sentence.
    pub message: String,
}

impl fmt::Display for SchemaRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() {
            "(top)"
        } else {
            &self.pointer
        };
        write!(f, "{place}: {}", self.message)
    }
}

impl std::error::Error for SchemaRefusal {}

fn refuse(pointer: impl Into<String>, message: impl Into<String>) -> SchemaRefusal {
    SchemaRefusal {
        pointer: pointer.into(),
        message: message.into(),
    }
}

/// One version of the schema of one event type, compiled.
#[derive(Debug)]
pub struct DomainSchema {
    type_name: String,
    version: u32,
    columns: ColumnPointers,
    source: Value,
    validator: Validator,
    weight_bytes: usize,
}

/// A compiled schema and its source as a tree, per byte of text: the shortest subschema
/// (`"a":{},`) has 7 bytes and takes about 200 in the two.
const COMPILED_BYTES_PER_BYTE: usize = 32;

impl DomainSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// A [`SchemaRefusal`] for a name that Caliper has, for text that is no JSON Schema 2020-12,
    /// and for what goes past the bounds of [`crate::limits`].
    pub fn compile(
        type_name: &str,
        version: u32,
        schema: &str,
        columns: ColumnPointers,
    ) -> Result<Self, SchemaRefusal> {
        check_name(type_name)?;
        if schema.len() > SCHEMA_BYTES_MAX {
            return Err(refuse(
                "",
                format!(
                    "the schema has {} bytes, at most {SCHEMA_BYTES_MAX} are taken",
                    schema.len()
                ),
            ));
        }
        check_json(schema)?;
        let source: Value =
            serde_json::from_str(schema).map_err(|e| refuse("", format!("not JSON: {e}")))?;
        columns.check()?;
        bounds::check(&source)?;
        let pattern_bytes = patterns::bytes_of(&source)?;
        let validator = patterns::options(PATTERN_BYTES_MAX)
            .build(&source)
            .map_err(|e| refuse(e.instance_path().as_str(), text::shorten(&e.to_string())))?;
        Ok(DomainSchema {
            type_name: type_name.to_owned(),
            version,
            columns,
            weight_bytes: pattern_bytes + schema.len() * COMPILED_BYTES_PER_BYTE,
            source,
            validator,
        })
    }

    /// What it takes of memory, bytes, estimated from above: for caches that hold many.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// The event type.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The version, counted by whoever keeps the schemas.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The query columns.
    pub fn columns(&self) -> &ColumnPointers {
        &self.columns
    }

    /// What of `self` an event of the `old` version could break: empty when every property that
    /// was accepted with its value still is. Conservative: a change that cannot be shown to be
    /// compatible is listed.
    pub fn incompatibilities(&self, old: &DomainSchema) -> Vec<SchemaRefusal> {
        let mut found = compatible::compare(&old.source, &self.source);
        if old.columns != self.columns {
            found.push(refuse(
                "",
                "the query columns differ, so that one type would be found by two meanings",
            ));
        }
        found
    }

    /// The problems of an event as sent, at most [`PROBLEMS_MAX`]. Pointers are relative to it.
    pub fn check(&self, raw: &str) -> Vec<Problem> {
        let mut tape = Tape::default();
        let mut scanner = Scanner::new(raw);
        if scanner.value(&mut tape, Key::default(), 1).is_err() {
            return vec![self.problem(
                "",
                "domain.schema",
                "JSON".into(),
                "no JSON".into(),
                "not JSON".into(),
            )];
        }
        self.check_tape(raw, &tape)
    }

    /// The problems of the event on a tape, whose places are of `text`.
    fn check_tape(&self, text: &str, tape: &Tape) -> Vec<Problem> {
        if tape.nodes.len() > DOMAIN_VALUES_MAX {
            let expected = format!("at most {DOMAIN_VALUES_MAX} values");
            let found = format!("{} values", tape.nodes.len());
            return vec![self.problem(
                "",
                "domain.size",
                expected,
                found.clone(),
                format!("a domain event of {found} is too large to be checked"),
            )];
        }
        let event: Value = match serde_json::from_str(&numbers::within_doubles(text, tape)) {
            Ok(event) => event,
            Err(error) => {
                let message = format!("cannot be read: {error}");
                return vec![self.problem(
                    "",
                    "domain.schema",
                    "JSON".into(),
                    "no JSON".into(),
                    message,
                )];
            }
        };
        self.validator
            .iter_errors(&event)
            .take(PROBLEMS_MAX)
            .map(|error| self.schema_problem(&error, (text, tape)))
            .collect()
    }

    /// What the schema finds; a number is quoted as it was sent.
    fn schema_problem(
        &self,
        error: &jsonschema::ValidationError<'_>,
        (text, tape): (&str, &Tape),
    ) -> Problem {
        let place = error.instance_path().as_str();
        let instance = error.instance();
        let number = instance
            .is_number()
            .then(|| numbers::sent_at(text, tape, place))
            .flatten();
        let (found, message) = match number.map(text::shorten) {
            Some(number) => (number.clone(), error.masked_with(number).to_string()),
            None => (text::shorten(&instance.to_string()), error.to_string()),
        };
        let expected = format!("{} of the schema", error.schema_path().as_str());
        let message = text::shorten(&message);
        self.problem(place, "domain.schema", expected, found, message)
    }

    fn problem(
        &self,
        pointer: &str,
        rule: &'static str,
        expected: String,
        found: String,
        message: String,
    ) -> Problem {
        Problem {
            pointer: pointer.to_owned(),
            rule: rule.into(),
            expected: expected.into(),
            found,
            message,
            clause: format!("schema of {}, version {}", self.type_name, self.version).into(),
        }
    }
}

fn check_name(name: &str) -> Result<(), SchemaRefusal> {
    if name.is_empty() || name.len() > TYPE_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(refuse(
            "",
            format!("a type's name has 1 to {TYPE_NAME_BYTES_MAX} bytes and no control characters"),
        ));
    }
    let caliper = Version::ALL
        .into_iter()
        .any(|v| TABLES.type_number(v, name.as_bytes()) != crate::names::UNKNOWN);
    if caliper || name.starts_with("http://purl.imsglobal.org/") {
        return Err(refuse("", format!("{name} is a type of Caliper")));
    }
    Ok(())
}

/// Depth and double keys, which the reader of JSON below does not look at, and numbers, of which it says
/// less.
fn check_json(schema: &str) -> Result<(), SchemaRefusal> {
    let mut tape = Tape::default();
    let mut scanner = Scanner::new(schema);
    scanner
        .value(&mut tape, Key::default(), 1)
        .map_err(|e| refuse("", format!("not JSON: {}", e.what())))?;
    let refused = |at, why| Err(refuse(crate::report::pointer(schema, &tape.nodes, at), why));
    match (tape.duplicate, tape.infinite) {
        (Some(at), _) => refused(at, "the key is there twice"),
        (None, Some(at)) => refused(at, "the number is beyond the range of a double"),
        (None, None) => Ok(()),
    }
}

/// The compiled schemas of one tenant, by type.
#[derive(Clone, Debug, Default)]
pub struct DomainSchemas {
    by_type: HashMap<String, Arc<DomainSchema>>,
}

impl DomainSchemas {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a schema; one of the same type gives way when its version is not newer.
    pub fn insert(&mut self, schema: Arc<DomainSchema>) {
        match self.by_type.get(&schema.type_name) {
            Some(there) if there.version > schema.version => {}
            _ => {
                self.by_type.insert(schema.type_name.clone(), schema);
            }
        }
    }

    /// The schema of a type.
    pub fn get(&self, type_name: &str) -> Option<&Arc<DomainSchema>> {
        self.by_type.get(type_name)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DomainSchema>> {
        self.by_type.values()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }

    /// Reports what the type's schema finds.
    pub(crate) fn check(&self, type_name: &str, checker: &mut Checker<'_, '_>, tape: &Tape) {
        let Some(schema) = self.by_type.get(type_name) else {
            return;
        };
        for problem in schema.check_tape(checker.text, tape) {
            checker.push(problem);
        }
    }

    /// Puts the type's own columns in the place of Caliper's.
    pub(crate) fn columns<'a>(&self, checker: &Checker<'a, '_>, columns: &mut Columns<'a>) {
        let Some(schema) = columns
            .type_name
            .as_deref()
            .and_then(|name| self.by_type.get(name))
        else {
            return;
        };
        schema.columns.take(checker, columns);
    }

    /// The findings about an event's times that its columns are without, because nobody can read them.
    pub(crate) fn unreadable_times(
        &self,
        checker: &Checker<'_, '_>,
        columns: &Columns<'_>,
    ) -> Vec<Problem> {
        let name = columns.type_name.as_deref();
        let schema = name.and_then(|name| self.by_type.get(name));
        schema.map_or_else(Vec::new, |schema| schema.columns.unreadable_times(checker))
    }
}

impl FromIterator<Arc<DomainSchema>> for DomainSchemas {
    fn from_iter<I: IntoIterator<Item = Arc<DomainSchema>>>(schemas: I) -> Self {
        let mut all = DomainSchemas::default();
        schemas.into_iter().for_each(|schema| all.insert(schema));
        all
    }
}
