//! Reports over more live events than one request may read: added up from counts, and the same as event by event.

use super::compaction::EVENING;
use super::sealing::School;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use vernier_ledger::time::Millis;
use vernier_output::filter_memory::FilterMemory;
use vernier_output::reports::{Asking, Body, answer};
use vernier_tests::Call;
use vernier_tests::envelopes::{event, invalid_event};
use vernier_tests::memory::proxy_event;
use vernier_web::Request;

const SECTIONS: &str = "https://school.example/sections/";

/// Sends envelopes of learners in sections for some minutes; nothing is sent twice.
async fn school(random: &mut StdRng) -> School {
    let school = School::since(EVENING).await;
    for _ in 0..random.random_range(4..12) {
        for _ in 0..random.random_range(1..4) {
            let events: Vec<Value> = (0..random.random_range(1..9))
                .map(|_| one(random))
                .collect();
            school.post(&events).await;
            school.pass(random.random_range(0..3));
        }
        school.deliver().await;
        school.pass(random.random_range(1..90));
    }
    school.pass(2);
    school
}

/// An event of a section or none, of one of two types, at any time of a week; now and then one that is rejected.
fn one(random: &mut StdRng) -> Value {
    if random.random_ratio(1, 8) {
        return invalid_event();
    }
    let mut event = event();
    event["actor"]["id"] = json!(format!(
        "https://school.example/users/{}",
        random.random_range(0..5)
    ));
    event["group"]["id"] = json!(format!("{SECTIONS}{}", random.random_range(0..3)));
    if random.random_ratio(1, 5) {
        event.as_object_mut().expect("an object").remove("group");
    }
    if random.random_ratio(1, 3) {
        event["type"] = json!("Event");
    }
    let at = Millis(EVENING.0 - random.random_range(0..7 * 86_400_000));
    event["eventTime"] = json!(at.rfc3339());
    event
}

async fn report(school: &School, name: &str, query: &[(&str, String)], most: u64) -> Value {
    let mut call = Call::get("/reports/{report}").id(name);
    for (name, value) in query {
        call = call.query(name, value);
    }
    let request = serde_json::from_value(proxy_event(&call)).expect("a request");
    let asking = Asking {
        request: Request(&request),
        own_learner: None,
        now: school.clock.get(),
        live_bytes_max: most,
        filters: &FilterMemory::default(),
    };
    let answered = answer(name, &school.stores, &school.tenant.id, asking).await;
    let answered = answered.unwrap_or_else(|problem| panic!("{name} {query:?}: {problem:?}"));
    let Body::Json(text) = answered.expect("a report").body else {
        panic!("JSON was asked for");
    };
    serde_json::from_str(&text).expect("JSON")
}

fn questions(
    school: &School,
    random: &mut StdRng,
) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let end = school.clock.get().0 - EVENING.0;
    // The first and last blocks lie across the range's ends now and then.
    let from = random.random_range(-5_000..end / 4);
    let to = random.random_range(end / 2..end + 5_000);
    let range = [("from", from), ("to", to)];
    let range = range.map(|(name, at)| (name, Millis(EVENING.0 + at).rfc3339()));
    let with = |more: &[(&'static str, &str)]| {
        let more = more
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        range.iter().cloned().chain(more).collect::<Vec<_>>()
    };
    let section = format!("{SECTIONS}1");
    vec![
        ("sections", with(&[])),
        ("activity", with(&[("zone", "Asia/Kathmandu")])),
        ("activity", with(&[("section", &section)])),
        ("activity", with(&[("section", "")])),
        (
            "usage",
            with(&[("bucket", "hour"), ("zone", "Australia/Lord_Howe")]),
        ),
        ("usage", with(&[("bucket", "day"), ("section", &section)])),
    ]
}

#[tokio::test]
async fn counts_come_to_what_the_events_come_to() {
    let mut counted = 0;
    for seed in 0..30 {
        let mut random = StdRng::seed_from_u64(seed);
        let school = school(&mut random).await;
        for (name, query) in questions(&school, &mut random) {
            let whole = report(&school, name, &query, u64::MAX).await;
            assert_eq!(whole["resends_counted"], Value::Null, "{name} {query:?}");
            // A byte too little for all of it: counts take the place of what they can take the place of.
            let mut most = 1 << 20;
            let mut short = whole.clone();
            while most > 1 && short["resends_counted"].is_null() {
                most /= 2;
                short = report(&school, name, &query, most).await;
            }
            let is_cut = short["live_through"] != whole["live_through"];
            if short["resends_counted"].is_null() || is_cut {
                continue;
            }
            counted += 1;
            short
                .as_object_mut()
                .expect("an object")
                .remove("resends_counted");
            assert_eq!(short, whole, "seed {seed}, {name} {query:?}");
        }
    }
    assert!(counted > 60, "{counted} reports of counts");
}

/// What has no counts and is too much is left out from an instant on, which the answer says.
#[tokio::test]
async fn a_report_that_cannot_read_all_says_how_far_it_goes() {
    let mut cut = 0;
    for seed in 100..120 {
        let mut random = StdRng::seed_from_u64(seed);
        let school = school(&mut random).await;
        let range = |to: Millis| {
            let times = [("from", EVENING.plus_seconds(-60)), ("to", to)];
            times.map(|(name, at)| (name, at.rfc3339()))
        };
        let all = range(school.clock.get());
        let short = report(&school, "sections", &all, 700).await;
        let whole = report(&school, "sections", &all, u64::MAX).await;
        let through = short["live_through"].as_str().expect("something is stored");
        if short["live_through"] == whole["live_through"] {
            continue;
        }
        cut += 1;
        let end = Millis::parse_rfc3339(through).expect("a time");
        let until = report(&school, "sections", &range(Millis(end.0 + 1)), u64::MAX).await;
        assert_eq!(short["sections"], until["sections"], "seed {seed}");
    }
    assert!(cut > 5, "{cut} reports were cut");
}
