//! Reading the rule tables.
//!
//! The tables are part of the program: a mistake in one is a mistake in the program, found by the
//! first test that runs, hence the panics.
use std::collections::HashMap;

use crate::{
    names::UNKNOWN,
    rules::{
        Class, Condition, Model, ProfileRow, Rule, Tables, TermSet, TypeRow, TypeSet, ValueKind,
        Version, keys,
    },
};

/// A line as read, before sets of types can be closed over their subtypes.
pub(crate) struct RawRule {
    version: Version,
    owner: &'static str,
    property: &'static str,
    kind: ValueKind,
    required: bool,
    words: Vec<&'static str>,
}

pub(crate) struct RawType {
    version: Version,
    name: &'static str,
    class: Class,
    supers: Vec<&'static str>,
}

pub(crate) struct RawCondition {
    version: Version,
    /// Empty for an event's own condition.
    profile: &'static str,
    event: &'static str,
    actions: Vec<&'static str>,
    property: &'static str,
    required: bool,
    words: Vec<&'static str>,
}

#[derive(Default)]
pub(crate) struct TableReader {
    tables: Tables,
    raw_rules: Vec<RawRule>,
    raw_types: Vec<RawType>,
    raw_conditions: Vec<RawCondition>,
    profiles: Vec<(&'static str, Vec<&'static str>)>,
    /// By version and type: the type itself and all its supertypes.
    ancestors: [Vec<TypeSet>; 3],
    /// By line: its rule's index plus one, once made.
    made: Vec<u16>,
    /// The rules of an owner's property.
    alike: HashMap<(&'static str, &'static str), Vec<usize>>,
}

/// The section that indented lines belong to.
#[derive(Clone)]
pub(crate) enum Section {
    None,
    Terms,
    Type(&'static str),
    When(&'static str, Vec<&'static str>),
    Profile(&'static str),
    Lenient,
}

impl TableReader {
    pub(crate) fn read(&mut self, text: &'static str, versions: &[Version]) {
        if self.tables.keys.len() == 0 {
            for name in keys::NAMES {
                self.tables.keys.add(name);
            }
        }
        let mut section = Section::None;
        let mut section_versions = versions.to_vec();
        for line in text
            .lines()
            .filter(|l| !l.trim_start().starts_with('#') && !l.trim().is_empty())
        {
            let (line, limited) = version_mark(line, versions);
            let words: Vec<&'static str> = line.split_whitespace().collect();
            if line.starts_with(' ') {
                let versions: Vec<Version> = limited
                    .into_iter()
                    .filter(|v| section_versions.contains(v))
                    .collect();
                self.line(&section, &words, &versions);
            } else {
                section_versions.clone_from(&limited);
                section = self.heading(&words, &limited);
            }
        }
    }

    pub(crate) fn heading(&mut self, words: &[&'static str], versions: &[Version]) -> Section {
        let name = words.get(1).copied().unwrap_or_default();
        match words[0] {
            "terms" => {
                self.tables.lists.push((name, Vec::new()));
                Section::Terms
            }
            "prefix" => {
                let prefix = words.get(2).copied().unwrap_or_default();
                match name {
                    "types" => self.tables.type_prefixes.push(prefix),
                    "actions" => self.tables.action_prefix = prefix,
                    _ => self.tables.vocabulary_prefix = prefix,
                }
                Section::None
            }
            "alias" => {
                let number = self
                    .tables
                    .types
                    .add(words.get(2).copied().unwrap_or_default());
                self.tables.aliases.push((name, number));
                Section::None
            }
            "entity" | "event" | "selector" | "identifier" => {
                let class = match words[0] {
                    "entity" => Class::Entity,
                    "event" => Class::Event,
                    _ => Class::Plain,
                };
                let number = self.tables.types.add(name);
                if class == Class::Plain {
                    self.tables.plain_types |= 1 << number;
                }
                for &version in versions {
                    let supers = words.iter().skip(3).copied().collect();
                    self.raw_types.push(RawType {
                        version,
                        name,
                        class,
                        supers,
                    });
                }
                Section::Type(name)
            }
            "when" => Section::When(name, words[2..].to_vec()),
            "profile" => {
                self.profiles.push((name, Vec::new()));
                Section::Profile(name)
            }
            "lenient" => {
                self.tables.forgiven.push((name, Vec::new()));
                Section::Lenient
            }
            other => panic!("unknown heading {other} in a rule table"),
        }
    }

    pub(crate) fn line(&mut self, section: &Section, words: &[&'static str], versions: &[Version]) {
        match section {
            Section::None => panic!("a line without a heading: {words:?}"),
            Section::Terms => {
                for &word in words {
                    let number = self.tables.terms.add(word);
                    let (_, list) = self
                        .tables
                        .lists
                        .last_mut()
                        .expect("the heading added the list");
                    list.push(number);
                }
            }
            Section::Type(owner) => {
                let kind = ValueKind::parse(words[1])
                    .unwrap_or_else(|| panic!("unknown kind in {words:?}"));
                self.tables.keys.add(words[0]);
                self.type_line(owner, kind, words, versions);
            }
            Section::When(event, actions) => {
                for &version in versions {
                    self.raw_conditions.push(RawCondition {
                        version,
                        profile: "",
                        event,
                        actions: actions.clone(),
                        property: words[0],
                        required: words[1] == "required",
                        words: words[2..].to_vec(),
                    });
                }
            }
            Section::Profile(profile) => {
                self.profiles
                    .last_mut()
                    .expect("the heading added the profile")
                    .1
                    .push(words[0]);
                for &version in versions.iter().filter(|_| words.len() > 2) {
                    self.raw_conditions.push(RawCondition {
                        version,
                        profile,
                        event: words[0],
                        actions: Vec::new(),
                        property: words[1],
                        required: false,
                        words: words[2..].to_vec(),
                    });
                }
            }
            Section::Lenient => {
                self.tables
                    .forgiven
                    .last_mut()
                    .expect("the heading added the list")
                    .1
                    .extend(words);
            }
        }
    }

    fn type_line(
        &mut self,
        owner: &'static str,
        kind: ValueKind,
        words: &[&'static str],
        versions: &[Version],
    ) {
        for &version in versions {
            self.raw_rules.push(RawRule {
                version,
                owner,
                property: words[0],
                kind,
                required: words.last() == Some(&"required"),
                words: words[2..]
                    .iter()
                    .copied()
                    .filter(|w| *w != "required")
                    .collect(),
            });
        }
    }

    pub(crate) fn finish(mut self) -> Tables {
        self.tables.keys.finish();
        self.tables.types.finish();
        self.tables.terms.finish();
        self.made = vec![0; self.raw_rules.len()];
        self.find_ancestors();
        assert!(self.tables.types.len() < 128, "types are bits of a u128");
        assert!(self.tables.keys.len() < 256, "keys are bits of four u64");
        for version in Version::ALL {
            let count = self.tables.types.len() + 1;
            let mut model = Model {
                types: vec![None; count],
            };
            for index in 0..self.raw_types.len() {
                if self.raw_types[index].version == version {
                    let row = self.type_row(version, index);
                    let number = self.tables.types.find(row.name.as_bytes());
                    model.types[usize::from(number)] = Some(row);
                }
            }
            self.tables.models[version as usize] = model;
        }
        for index in 0..self.profiles.len() {
            let row = self.profile_row(index);
            self.tables.profiles.push(row);
        }
        self.tables
    }

    /// A type's row: its supertypes' lines in their order, then its own.
    pub(crate) fn type_row(&mut self, version: Version, index: usize) -> TypeRow {
        let (name, class) = (self.raw_types[index].name, self.raw_types[index].class);
        let mut lineage = Vec::new();
        self.lineage(version, name, &mut lineage);
        let mut row = TypeRow {
            name,
            class,
            rules: vec![0; self.tables.keys.len() + 1].into(),
            required_set: [0; 4],
            required: Vec::new(),
            conditions: self.conditions(version, "", name),
        };
        for owner in lineage {
            for at in 0..self.raw_rules.len() {
                if self.raw_rules[at].version == version && self.raw_rules[at].owner == owner {
                    let key = self
                        .tables
                        .keys
                        .find(self.raw_rules[at].property.as_bytes());
                    row.rules[usize::from(key)] = self.rule(version, at);
                    if self.raw_rules[at].required && row.required.iter().all(|(k, _)| *k != key) {
                        row.required.push((key, owner));
                        row.required_set[usize::from(key / 64)] |= 1 << (key % 64);
                    }
                }
            }
        }
        row
    }

    /// Supertypes first, each once.
    pub(crate) fn lineage(
        &self,
        version: Version,
        name: &'static str,
        out: &mut Vec<&'static str>,
    ) {
        let Some(raw) = self
            .raw_types
            .iter()
            .find(|t| t.version == version && t.name == name)
        else {
            panic!("a table names the unknown type {name}");
        };
        for supertype in &raw.supers {
            self.lineage(version, supertype, out);
        }
        if !out.contains(&name) {
            out.push(name);
        }
    }

    /// The index of a line's rule plus one; equal lines of several versions share one.
    pub(crate) fn rule(&mut self, version: Version, at: usize) -> u16 {
        if self.made[at] != 0 {
            return self.made[at];
        }
        let raw = &self.raw_rules[at];
        let mut rule = Rule {
            owner: raw.owner,
            property: raw.property,
            kind: raw.kind,
            types: 0,
            terms: Box::default(),
            wanted: "",
        };
        match raw.kind {
            ValueKind::Entity
            | ValueKind::Entities
            | ValueKind::Selector
            | ValueKind::Identifiers => {
                rule.types = self.closure(version, &raw.words);
                rule.wanted = raw.words.join(" or ").leak();
            }
            ValueKind::Term | ValueKind::Terms => {
                rule.terms = self.term_set(&self.list(raw.words[0]));
                rule.wanted = raw.words[0];
            }
            ValueKind::Actions => {
                let words = &raw.words;
                let all = words.first() == Some(&"*");
                let numbers = if all {
                    self.list("actions")
                } else {
                    words.iter().map(|w| self.term(w)).collect()
                };
                rule.terms = self.term_set(&numbers);
                rule.wanted = if all {
                    "any action of Caliper"
                } else {
                    words.join(", ").leak()
                };
            }
            _ => {}
        }
        let alike = self.alike.entry((rule.owner, rule.property)).or_default();
        let rules = &self.tables.rules;
        let same = |r: &Rule| (r.kind, r.types, &r.terms) == (rule.kind, rule.types, &rule.terms);
        let found = alike.iter().copied().find(|index| same(&rules[*index]));
        let index = found.unwrap_or(rules.len());
        if found.is_none() {
            alike.push(index);
            self.tables.rules.push(rule);
        }
        self.made[at] = index as u16 + 1;
        self.made[at]
    }

    pub(crate) fn list(&self, name: &str) -> Vec<u16> {
        let found = self.tables.lists.iter().find(|(n, _)| *n == name);
        found
            .unwrap_or_else(|| panic!("a table names the unknown list {name}"))
            .1
            .clone()
    }

    pub(crate) fn term(&self, name: &str) -> u16 {
        let number = self.tables.terms.find(name.as_bytes());
        assert_ne!(number, UNKNOWN, "a table names the unknown term {name}");
        number
    }

    pub(crate) fn term_set(&self, numbers: &[u16]) -> TermSet {
        let mut set = vec![0u64; self.tables.terms.len() / 64 + 1];
        for number in numbers {
            set[usize::from(number / 64)] |= 1 << (number % 64);
        }
        set.into()
    }

    fn find_ancestors(&mut self) {
        for version in Version::ALL {
            let mut sets = vec![0; self.tables.types.len() + 1];
            for raw in self.raw_types.iter().filter(|t| t.version == version) {
                let mut lineage = Vec::new();
                self.lineage(version, raw.name, &mut lineage);
                let number = |name: &str| self.tables.types.find(name.as_bytes());
                sets[usize::from(number(raw.name))] =
                    lineage.iter().fold(0, |set, name| set | 1 << number(name));
            }
            self.ancestors[version as usize] = sets;
        }
    }

    /// The named types and all their subtypes.
    fn closure(&self, version: Version, names: &[&'static str]) -> TypeSet {
        let named: TypeSet = names.iter().fold(0, |set, name| {
            match self.tables.types.find(name.as_bytes()) {
                UNKNOWN => panic!("a table names the unknown type {name}"),
                number => set | 1 << number,
            }
        });
        let sets = self.ancestors[version as usize].iter().enumerate();
        sets.filter(|(_, set)| **set & named != 0)
            .fold(0, |all, (number, _)| all | 1 << number)
    }

    pub(crate) fn conditions(
        &self,
        version: Version,
        profile: &str,
        event: &str,
    ) -> Vec<Condition> {
        let chosen = |c: &&RawCondition| {
            c.version == version && c.profile == profile && (event.is_empty() || c.event == event)
        };
        self.raw_conditions
            .iter()
            .filter(chosen)
            .map(|raw| {
                let actions = raw.actions.join("-");
                let id = match (profile.is_empty(), raw.required) {
                    (true, true) => {
                        format!("{}.{}.required-for-{actions}", raw.event, raw.property)
                    }
                    (true, false) => format!("{}.{}.for-{actions}", raw.event, raw.property),
                    (false, _) => format!("{profile}.{}.{}", raw.event, raw.property),
                };
                let numbers: Vec<u16> = raw.actions.iter().map(|a| self.term(a)).collect();
                Condition {
                    event: raw.event,
                    action_set: self.term_set(&numbers),
                    key: self.tables.keys.find(raw.property.as_bytes()),
                    required: raw.required,
                    types: self.closure(version, &raw.words),
                    wanted: raw.words.join(" or ").leak(),
                    id: id.leak(),
                }
            })
            .collect()
    }

    pub(crate) fn profile_row(&self, index: usize) -> ProfileRow {
        let (name, events) = &self.profiles[index];
        let any = events.contains(&"*");
        let set = events
            .iter()
            .map(|e| self.tables.types.find(e.as_bytes()))
            .filter(|n| *n != UNKNOWN);
        ProfileRow {
            name,
            term: self.term(name),
            events: set.fold(0, |set, number| set | 1 << number),
            any,
            conditions: self.conditions(Version::V1p2, name, ""),
            wanted: events.join(" or "),
            id: format!("{name}.event").leak(),
        }
    }
}

/// The line without its `@1.1` or `@1.2`, and the versions it is for.
pub(crate) fn version_mark<'l>(line: &'l str, versions: &[Version]) -> (&'l str, Vec<Version>) {
    match line.rsplit_once(" @") {
        Some((rest, "1.1")) => (rest, vec![Version::V1p1]),
        Some((rest, "1.2")) => (rest, vec![Version::V1p2]),
        _ => (line, versions.to_vec()),
    }
}
