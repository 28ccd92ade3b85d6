//! Answers of the API, with events as their bytes.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;
use vernier_cli::document::Document;
use vernier_ledger::disposition::Disposition;
use vernier_tests::memory::MemoryWorld;
use vernier_tests::{Call, World};

/// The world and the tenant that are asked.
pub(super) struct Asking<'w> {
    pub(super) world: &'w MemoryWorld,
    pub(super) secret: &'w str,
}

/// One event of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) receipt: String,
    pub(super) index: u32,
    pub(super) disposition: Disposition,
    pub(super) provisional: bool,
    #[serde(deserialize_with = "bytes_of")]
    pub(super) event: Option<String>,
}

/// The event as it stands in the answer.
fn bytes_of<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    Ok(Some(raw.get().to_owned()).filter(|text| text != "null"))
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Shown>,
    next_cursor: Option<String>,
}

impl Asking<'_> {
    async fn body(&self, call: Call) -> Vec<u8> {
        let answer = self.world.call(call.clone().token(self.secret)).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{call:?}: {text}");
        // As the command prints it, for programs and for people.
        let document = Document::read(answer.body.clone()).expect("JSON");
        assert_eq!(document.on_one_line(), text);
        let mut compacted = Vec::new();
        vernier_validation::compact(&document.indented(), &mut compacted);
        assert_eq!(String::from_utf8_lossy(&compacted), text);
        answer.body
    }

    /// All events of a query, by pages of so many.
    pub(super) async fn pages(&self, call: Call, limit: usize) -> Vec<Shown> {
        let limit = limit.to_string();
        let mut next = call.query("limit", &limit);
        let mut shown = Vec::new();
        loop {
            let page: Page = serde_json::from_slice(&self.body(next).await).expect("a page");
            shown.extend(page.events);
            let Some(cursor) = page.next_cursor else {
                return shown;
            };
            next = Call::get("/events")
                .query("cursor", &cursor)
                .query("limit", &limit);
        }
    }

    fn report(name: &str, section: &str, learner: &str) -> Call {
        let call = Call::get("/reports/{report}").id(name);
        call.query("section", section).query("learner", learner)
    }

    /// A learner's attempts by their ids.
    pub(super) async fn attempts(&self, section: &str, learner: &str) -> HashMap<String, Value> {
        let body = self.body(Self::report("assignments", section, learner));
        let report: Value = serde_json::from_slice(&body.await).expect("JSON");
        let assignments = report["assignments"].as_array().expect("a list").iter();
        let attempts = assignments.flat_map(|one| one["attempts"].as_array().expect("a list"));
        let named = |view: &Value| Some((view["attempt"].as_str()?.to_owned(), view.clone()));
        attempts.filter_map(named).collect()
    }

    /// The changes of a learner's results, in the report's order.
    pub(super) async fn changes(&self, section: &str, learner: &str) -> Vec<Value> {
        let body = self.body(Self::report("history", section, learner));
        let report: Value = serde_json::from_slice(&body.await).expect("JSON");
        report["changes"].as_array().expect("a list").clone()
    }
}
