//! The rule tables, read once from the text files in `rules/`.
//!
//! The files say what the specification says; this module only turns them into arrays that the
//! engine can index. Every id of a rule that can be reported is in [`crate::rule_list`].
use std::sync::LazyLock;

use crate::{
    names::{Names, UNKNOWN},
    table_reader::TableReader,
};

/// A published version of Caliper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1p0,
    V1p1,
    V1p2,
}

impl Version {
    pub(crate) const ALL: [Version; 3] = [Version::V1p0, Version::V1p1, Version::V1p2];

    /// The version whose context (or extension context) has this IRI.
    pub(crate) fn of_context(iri: &str) -> Option<Version> {
        if iri == "http://purl.imsglobal.org/ctx/caliper/v1p2" {
            return Some(Version::V1p2);
        }
        let rest = iri.strip_prefix("http://purl.imsglobal.org/ctx/caliper/")?;
        match rest {
            "v1p2" => Some(Version::V1p2),
            "v1p1" => Some(Version::V1p1),
            "v1/Context" => Some(Version::V1p0),
            _ if rest.starts_with("v1p1/") && rest.ends_with("-extension") => Some(Version::V1p1),
            _ => None,
        }
    }

    /// The version of a context in a spelling that the specification does not have: `https`,
    /// capitals in scheme or host, slashes at the end.
    pub(crate) fn of_spelling(iri: &str) -> Option<Version> {
        let (scheme, rest) = iri.split_once("://")?;
        let (host, path) = rest.split_once('/')?;
        let web = ["http", "https"]
            .iter()
            .any(|s| scheme.eq_ignore_ascii_case(s));
        if !web || !host.eq_ignore_ascii_case("purl.imsglobal.org") {
            return None;
        }
        let path = path.trim_end_matches('/');
        Version::of_context(&format!("http://purl.imsglobal.org/{path}"))
    }

    /// As the specification is called.
    pub(crate) fn name(self) -> &'static str {
        ["Caliper 1.0", "Caliper 1.1", "Caliper 1.2"][self as usize]
    }

    /// The key that holds an object's type.
    pub(crate) fn type_key(self) -> u16 {
        if self == Version::V1p0 {
            keys::AT_TYPE
        } else {
            keys::TYPE
        }
    }
}

/// Numbers of the keys that the engine itself knows; they are added first, in this order.
pub(crate) mod keys {
    pub(crate) const CONTEXT: u16 = 1;
    pub(crate) const ID: u16 = 2;
    pub(crate) const TYPE: u16 = 3;
    pub(crate) const AT_ID: u16 = 4;
    pub(crate) const AT_TYPE: u16 = 5;
    pub(crate) const ACTOR: u16 = 6;
    pub(crate) const ACTION: u16 = 7;
    pub(crate) const OBJECT: u16 = 8;
    pub(crate) const EVENT_TIME: u16 = 9;
    pub(crate) const GENERATED: u16 = 10;
    pub(crate) const GROUP: u16 = 11;
    pub(crate) const MEMBERSHIP: u16 = 12;
    pub(crate) const EXTENSIONS: u16 = 13;
    pub(crate) const PROFILE: u16 = 14;
    pub(crate) const IS_PART_OF: u16 = 15;
    pub(crate) const ORGANIZATION: u16 = 16;
    pub(crate) const SCORE_GIVEN: u16 = 17;
    pub(crate) const MAX_SCORE: u16 = 18;
    pub(crate) const RESULT_SCORE: u16 = 19;
    pub(crate) const MAX_RESULT_SCORE: u16 = 20;
    pub(crate) const TOTAL_SCORE: u16 = 21;
    /// How many there are.
    pub(crate) const COUNT: usize = 21;
    pub(crate) const NAMES: [&str; COUNT] = [
        "@context",
        "id",
        "type",
        "@id",
        "@type",
        "actor",
        "action",
        "object",
        "eventTime",
        "generated",
        "group",
        "membership",
        "extensions",
        "profile",
        "isPartOf",
        "organization",
        "scoreGiven",
        "maxScore",
        "resultScore",
        "maxResultScore",
        "totalScore",
    ];
}

/// A set of types, by number.
pub(crate) type TypeSet = u128;
/// A set of terms, by number.
pub(crate) type TermSet = Box<[u64]>;

/// What a property's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// The object's own type.
    Type,
    Id,
    Uuid,
    String,
    Strings,
    Time,
    Duration,
    /// A duration or a number of seconds (1.0).
    Span,
    Decimal,
    Number,
    Integer,
    Natural,
    Boolean,
    /// An object whose content is the sender's.
    Object,
    /// Anything (1.0).
    Free,
    Term,
    Terms,
    Actions,
    /// An IRI of a vocabulary (1.0).
    Vocabulary,
    Vocabularies,
    Entity,
    Entities,
    /// An object without an id.
    Selector,
    Identifiers,
}

impl ValueKind {
    pub(crate) fn parse(word: &str) -> Option<ValueKind> {
        Some(match word {
            "type" => ValueKind::Type,
            "id" => ValueKind::Id,
            "uuid" => ValueKind::Uuid,
            "string" => ValueKind::String,
            "strings" => ValueKind::Strings,
            "time" => ValueKind::Time,
            "duration" => ValueKind::Duration,
            "span" => ValueKind::Span,
            "decimal" => ValueKind::Decimal,
            "number" => ValueKind::Number,
            "integer" => ValueKind::Integer,
            "natural" => ValueKind::Natural,
            "boolean" => ValueKind::Boolean,
            "object" => ValueKind::Object,
            "free" => ValueKind::Free,
            "term" => ValueKind::Term,
            "terms" => ValueKind::Terms,
            "actions" => ValueKind::Actions,
            "vocabulary" => ValueKind::Vocabulary,
            "vocabularies" => ValueKind::Vocabularies,
            "entity" => ValueKind::Entity,
            "entities" => ValueKind::Entities,
            "selector" => ValueKind::Selector,
            "identifiers" => ValueKind::Identifiers,
            _ => return None,
        })
    }

    /// The endings of the ids of the rules that a value of this kind can break, with what the
    /// rule wants.
    pub(crate) fn aspects(self) -> &'static [(&'static str, &'static str)] {
        match self {
            ValueKind::Type | ValueKind::Free => &[],
            ValueKind::Id => &[("id", "an absolute IRI or a blank node identifier")],
            ValueKind::Uuid => &[("uuid", "a UUID as urn:uuid:…")],
            ValueKind::String => &[("string", "a string")],
            ValueKind::Strings => &[("list", "a list"), ("element", "strings as elements")],
            ValueKind::Time => &[("time", "a time as YYYY-MM-DDTHH:mm:ss.SSSZ")],
            ValueKind::Duration => &[("duration", "an ISO 8601 duration")],
            ValueKind::Span => &[("span", "an ISO 8601 duration or a number of seconds")],
            ValueKind::Decimal => &[("decimal", "a number with a decimal separator")],
            ValueKind::Number => &[("number", "a number")],
            ValueKind::Integer => &[("integer", "an integer")],
            ValueKind::Natural => &[("natural", "an integer that is not negative")],
            ValueKind::Boolean => &[("boolean", "true or false")],
            ValueKind::Object => &[("object", "an object")],
            ValueKind::Term => &[("term", "a term of the list")],
            ValueKind::Terms => &[
                ("list", "a list"),
                ("term", "terms of the list as elements"),
            ],
            ValueKind::Actions => &[
                ("term", "an action term"),
                ("actions", "an action of this event"),
            ],
            ValueKind::Vocabulary => &[("vocabulary", "an IRI of the LIS vocabulary")],
            ValueKind::Vocabularies => &[
                ("list", "a list"),
                ("vocabulary", "IRIs of the LIS vocabulary as elements"),
            ],
            ValueKind::Entity => &[
                ("entity", "an object or an IRI"),
                ("type", "an entity of the right type"),
            ],
            ValueKind::Entities => &[
                ("list", "a list"),
                ("element", "objects or IRIs as elements"),
                ("element-type", "entities of the right type as elements"),
            ],
            ValueKind::Selector => &[
                ("object", "an object"),
                ("type", "an object of the right type"),
            ],
            ValueKind::Identifiers => &[
                ("list", "a list"),
                ("element", "objects or IRIs as elements"),
                ("element-type", "objects of the right type as elements"),
            ],
        }
    }
}

/// One line of a table: what a property of a type holds.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The type in whose section the line stands.
    pub(crate) owner: &'static str,
    pub(crate) property: &'static str,
    pub(crate) kind: ValueKind,
    /// The types named, with all their subtypes.
    pub(crate) types: TypeSet,
    /// The terms named.
    pub(crate) terms: TermSet,
    /// The types or terms as the line names them.
    pub(crate) wanted: &'static str,
}

/// What a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Event,
    Entity,
    /// An object without an id.
    Plain,
}

/// A line that holds for some actions, or within a profile.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// The event it is about.
    pub(crate) event: &'static str,
    pub(crate) action_set: TermSet,
    pub(crate) key: u16,
    /// The property must be there.
    pub(crate) required: bool,
    pub(crate) types: TypeSet,
    pub(crate) wanted: &'static str,
    /// The id of the rule.
    pub(crate) id: &'static str,
}

/// A type in one version.
#[derive(Clone, Debug)]
pub(crate) struct TypeRow {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    /// By key: 0, or the rule's index plus one.
    pub(crate) rules: Box<[u16]>,
    /// The keys that must be there, as bits.
    pub(crate) required_set: [u64; 4],
    /// The same with the type that says so.
    pub(crate) required: Vec<(u16, &'static str)>,
    pub(crate) conditions: Vec<Condition>,
}

/// An event's profile in 1.1 and 1.2.
#[derive(Clone, Debug)]
pub(crate) struct ProfileRow {
    pub(crate) name: &'static str,
    pub(crate) term: u16,
    /// Its events; all when `any`.
    pub(crate) events: TypeSet,
    pub(crate) any: bool,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) wanted: String,
    pub(crate) id: &'static str,
}

/// One version's types, by number.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) types: Vec<Option<TypeRow>>,
}

/// All tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) keys: Names,
    /// The types that have no id.
    pub(crate) plain_types: TypeSet,
    pub(crate) types: Names,
    pub(crate) terms: Names,
    pub(crate) lists: Vec<(&'static str, Vec<u16>)>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) models: [Model; 3],
    pub(crate) profiles: Vec<ProfileRow>,
    pub(crate) aliases: Vec<(&'static str, u16)>,
    pub(crate) type_prefixes: Vec<&'static str>,
    pub(crate) action_prefix: &'static str,
    pub(crate) vocabulary_prefix: &'static str,
    /// Profile name and what it forgives.
    pub(crate) forgiven: Vec<(&'static str, Vec<&'static str>)>,
}

/// The tables that come with the crate.
pub(crate) static TABLES: LazyLock<Tables> = LazyLock::new(read_tables);

fn read_tables() -> Tables {
    let mut reader = TableReader::default();
    for (text, versions) in [
        (include_str!("../rules/terms.rules"), &[][..]),
        (include_str!("../rules/caliper-1.0.rules"), &[Version::V1p0]),
        (
            include_str!("../rules/entities.rules"),
            &[Version::V1p1, Version::V1p2],
        ),
        (
            include_str!("../rules/events.rules"),
            &[Version::V1p1, Version::V1p2],
        ),
        (
            include_str!("../rules/profiles.rules"),
            &[Version::V1p1, Version::V1p2],
        ),
        (include_str!("../rules/lenient.rules"), &[]),
    ] {
        reader.read(text, versions);
    }
    reader.finish()
}

/// Whether a term is in a set.
pub(crate) fn has_term(set: &TermSet, term: u16) -> bool {
    set.get(usize::from(term / 64))
        .is_some_and(|word| word >> (term % 64) & 1 == 1)
}

impl Tables {
    pub(crate) fn row(&self, version: Version, number: u16) -> Option<&TypeRow> {
        self.models[version as usize]
            .types
            .get(usize::from(number))?
            .as_ref()
    }

    /// The number of an object's type, UNKNOWN for a type that is not in the version.
    #[inline]
    pub(crate) fn type_number(&self, version: Version, name: &[u8]) -> u16 {
        let number = match version {
            Version::V1p0 => self.type_number_1_0(name),
            _ => self.types.find(name),
        };
        if self.row(version, number).is_some() {
            number
        } else {
            UNKNOWN
        }
    }

    fn type_number_1_0(&self, name: &[u8]) -> u16 {
        for prefix in self.type_prefixes.iter().rev() {
            if let Some(short) = name.strip_prefix(prefix.as_bytes()) {
                return self.types.find(short);
            }
        }
        self.aliases
            .iter()
            .find(|(iri, _)| iri.as_bytes() == name)
            .map_or(UNKNOWN, |(_, number)| *number)
    }

    /// The number of an action, by its term or, in 1.0, its IRI.
    pub(crate) fn action_number(&self, version: Version, name: &str) -> u16 {
        let term = match version {
            Version::V1p0 => name.strip_prefix(self.action_prefix).unwrap_or_default(),
            _ => name,
        };
        self.terms.find(term.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function that starts reads the tables before its first event.
    #[test]
    #[allow(clippy::print_stdout)]
    fn reading_the_tables_is_quick() {
        let start = std::time::Instant::now();
        let tables = read_tables();
        let took = start.elapsed();
        println!(
            "tables: {} rules, {} types, read in {took:?}",
            tables.rules.len(),
            tables.types.len()
        );
        assert!(took < std::time::Duration::from_millis(500), "{took:?}");
    }
}
