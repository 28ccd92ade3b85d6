//! The generator's events against the published model and against the strict rules.

use super::tests::{parsed, semester, text};
use super::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Properties of every entity and event of Caliper 1.2, with the inherited ones.
struct Model(Value);

impl Model {
    fn load() -> Option<Self> {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/caliper/v1p2-model.json");
        let text = std::fs::read_to_string(path).ok()?;
        Some(Self(
            serde_json::from_str(&text).expect("the model is JSON"),
        ))
    }

    fn ancestry(&self, kind: &str) -> Vec<String> {
        let (mut line, mut next) = (Vec::new(), Some(kind.to_owned()));
        while let Some(kind) = next {
            let found = self.0["events"]
                .get(&kind)
                .or_else(|| self.0["entities"].get(&kind));
            // The table has these at the root; the specification has them below two types each.
            let above = match kind.as_str() {
                "Assessment" => Some("AssignableDigitalResource"),
                "DigitalResourceCollection" => Some("DigitalResource"),
                _ => None,
            };
            next = found
                .and_then(|f| f["supertype"].as_str())
                .or(above)
                .map(str::to_owned);
            line.push(kind);
        }
        line
    }

    fn properties(&self, kind: &str) -> BTreeSet<String> {
        let own = |k: &str| {
            let found = self.0["events"]
                .get(k)
                .or_else(|| self.0["entities"].get(k))
                .expect("a known type");
            found["properties"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|p| text(p, "/name").to_owned())
                .collect::<Vec<_>>()
        };
        self.ancestry(kind).iter().flat_map(|k| own(k)).collect()
    }

    /// Every object of the event has a known type and only properties of that type.
    fn check_objects(&self, value: &Value) {
        if let Value::Object(map) = value {
            let kind = text(value, "/type");
            let known = self.properties(kind);
            for (name, inner) in map.iter().filter(|(name, _)| *name != "@context") {
                // Not in the table, but in the published examples.
                let exemplified = (kind, name.as_str()) == ("Attempt", "isPartOf");
                assert!(known.contains(name) || exemplified, "{kind} has no {name}");
                assert!(!inner.is_null());
                self.check_objects(inner);
            }
        }
        for inner in value.as_array().into_iter().flatten() {
            self.check_objects(inner);
        }
    }

    /// The event is a row of its profile.
    fn check_profile(&self, event: &Value) {
        let rows = self.0["profiles"][text(event, "/profile")]
            .as_array()
            .expect("a known profile");
        let fits = |row: &Value, property: &str| {
            let Some(kind) = event
                .pointer(&format!("/{property}/type"))
                .and_then(Value::as_str)
            else {
                return true;
            };
            let line = self.ancestry(kind);
            row[property].as_array().is_some_and(|a| {
                a.iter()
                    .any(|k| line.iter().any(|l| Some(l.as_str()) == k.as_str()))
            })
        };
        let fits_row = |row: &&Value| {
            row["event"] == event["type"]
                && row["action"]
                    .as_array()
                    .is_some_and(|a| a.contains(&event["action"]))
                && ["actor", "object", "generated", "target"]
                    .iter()
                    .all(|p| fits(row, p))
        };
        assert!(rows.iter().any(|row| fits_row(&row)), "no row for {event}");
    }
}

#[test]
fn every_event_fits_the_published_model() {
    let Some(model) = Model::load() else {
        eprintln!("skipped: ../shared/caliper/v1p2-model.json is not there");
        return;
    };
    let mut actions = BTreeSet::new();
    for event in parsed(&semester(6, 4_000)) {
        model.check_objects(&event);
        model.check_profile(&event);
        actions.insert((
            text(&event, "/type").to_owned(),
            text(&event, "/action").to_owned(),
        ));
    }
    assert!(actions.len() >= 17, "{actions:?}");
}

/// The strict verdict on the generator's output: the valid events pass, the broken ones do not,
/// and the reason given is the defect's.
#[test]
fn the_strict_rules_agree_with_every_event() {
    use vernier_validation::{Mode, Policy, Profile, read_envelope};
    let policy = Policy::new(Mode::Strict, Profile::Generic);
    let semester = Semester::new(Params {
        invalid: 40,
        ..Params::new(12, 6_000)
    })
    .expect("valid");
    let mut defects = semester.events().map(|e| e.defect);
    for envelope in semester.envelopes() {
        let read = read_envelope(envelope.body.as_bytes(), &policy).expect("a valid envelope");
        assert_eq!(read.items.len(), envelope.events);
        for item in &read.items {
            let defect = defects.next().flatten();
            let pointers: Vec<&str> = item
                .verdict
                .problems
                .iter()
                .map(|p| p.pointer.as_str())
                .collect();
            match defect {
                None => assert!(item.verdict.strict_accepted, "{:?}", item.verdict.problems),
                Some(defect) => assert_eq!(
                    pointers,
                    [defect.pointer()],
                    "{defect:?}: {:?}",
                    item.verdict.problems
                ),
            }
        }
    }
    assert_eq!(defects.next(), None);
}
