use super::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) fn semester(seed: u64, events: u64) -> Semester {
    Semester::new(Params::new(seed, events)).expect("valid parameters")
}

pub(super) fn parsed(semester: &Semester) -> Vec<Value> {
    semester
        .events()
        .map(|e| serde_json::from_str(&e.json).expect("JSON"))
        .collect()
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn sha256_hex(envelopes: impl Iterator<Item = Envelope>) -> String {
    let mut hash = Sha256::new();
    for envelope in envelopes {
        hash.update(envelope.body.as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes themselves, so that a change on another machine or by a library is seen. Whoever
/// changes the generator on purpose raises `VERSION` and puts the new sum here.
#[test]
fn the_same_seed_gives_these_very_bytes() {
    let params = Params {
        invalid: 5,
        ..Params::new(42, 2_000)
    };
    let semester = Semester::new(params).expect("valid");
    assert_eq!(
        sha256_hex(semester.envelopes()),
        "d69338bb3a8ff164ad2b871208effa6ffcf77c6b24c6783c491303184cf7fd1c"
    );
}

#[test]
fn seeds_share_no_event_and_neither_do_sizes() {
    let ids = |s: Semester| s.events().map(|e| e.id).collect::<BTreeSet<_>>();
    let (one, two, longer) = (
        ids(semester(1, 500)),
        ids(semester(2, 500)),
        ids(semester(1, 501)),
    );
    assert_eq!(one.len(), 500);
    assert!(one.is_disjoint(&two));
    assert!(one.is_disjoint(&longer));
}

#[test]
fn envelope_size_changes_no_event() {
    let with_size = |envelope_events| {
        let semester = Semester::new(Params {
            envelope_events,
            ..Params::new(3, 1_050)
        })
        .expect("valid");
        let mut all = Vec::new();
        for envelope in semester.envelopes() {
            let body: Value = serde_json::from_str(&envelope.body).expect("JSON");
            let data = body["data"].as_array().expect("array").clone();
            assert_eq!(data.len(), envelope.events);
            assert_eq!(text(&body, "/dataVersion"), CONTEXT);
            assert!(text(&body, "/sendTime") > text(&data[data.len() - 1], "/eventTime"));
            all.extend(data);
        }
        all
    };
    let hundreds = with_size(100);
    assert_eq!(hundreds.len(), 1_050);
    assert_eq!(hundreds, with_size(7));
}

#[test]
fn any_number_of_events_comes_out_exactly() {
    for events in [1, 2, 39, 40, 41, 99, 560, 1_234] {
        assert_eq!(semester(9, events).events().count() as u64, events);
    }
}

#[test]
fn the_mix_is_as_promised() {
    for (seed, events) in [(1, 20_000), (2, 5_000)] {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        let mut bytes = 0;
        for event in semester(seed, events).events() {
            *counts.entry(event.kind).or_default() += 1;
            bytes += event.json.len();
        }
        let percent = |kinds: &[&str]| {
            f64::from(
                kinds
                    .iter()
                    .map(|k| counts.get(k).copied().unwrap_or(0))
                    .sum::<u32>(),
            ) * 100.0
                / events as f64
        };
        let near = |actual: f64, wanted: f64| {
            assert!(
                (actual - wanted).abs() < 1.0,
                "{actual} % for {wanted} %: {counts:?}"
            )
        };
        near(
            percent(&["SessionEvent", "NavigationEvent", "ViewEvent", "MediaEvent"]),
            70.0,
        );
        near(percent(&["AssessmentItemEvent"]), 20.0);
        near(percent(&["AssessmentEvent"]), 5.0);
        near(percent(&["GradeEvent"]), 5.0);
        for kind in ["SessionEvent", "NavigationEvent", "ViewEvent", "MediaEvent"] {
            assert!(percent(&[kind]) > 4.0, "hardly any {kind}");
        }
        let mean = bytes as f64 / events as f64;
        assert!((1_300.0..1_500.0).contains(&mean), "{mean} bytes an event");
    }
}

#[test]
fn time_never_goes_back_and_stays_in_the_term() {
    let semester = semester(5, 8_000);
    let times: Vec<i64> = semester.events().map(|e| e.time_ms).collect();
    assert!(times.is_sorted());
    let weeks = (times[times.len() - 1] - semester.term.start) / (7 * activity::DAY);
    assert!(
        (12..=14).contains(&weeks),
        "the last event lies in week {weeks}"
    );
    assert!(times[0] >= semester.term.start);
}

/// A learning platform that every effect without its cause makes stumble.
#[derive(Default)]
struct Platform {
    /// Whether the session is open.
    sessions: BTreeMap<String, bool>,
    attempts: BTreeMap<String, &'static str>,
    items: BTreeMap<String, &'static str>,
    grades: u32,
}

impl Platform {
    fn take(&mut self, event: &Value) {
        let (kind, action) = (text(event, "/type"), text(event, "/action"));
        match kind {
            "SessionEvent" => return self.session(event, action),
            "GradeEvent" => return self.grade(event),
            "AssessmentEvent" => self.assessment(event, action),
            "AssessmentItemEvent" => self.item(event, action),
            _ => {}
        }
        let session = self.sessions.get(text(event, "/session/id"));
        assert_eq!(session, Some(&true), "{kind} outside its session");
    }

    fn session(&mut self, event: &Value, action: &str) {
        let place = if action == "TimedOut" {
            "/object/id"
        } else {
            "/session/id"
        };
        let opens = action == "LoggedIn";
        let before = self.sessions.insert(text(event, place).to_owned(), opens);
        assert_eq!(before, (!opens).then_some(true), "{action}");
    }

    fn grade(&mut self, event: &Value) {
        let attempt = text(event, "/object/id");
        let of_item = !text(event, "/object/isPartOf").is_empty();
        let known = if of_item { &self.items } else { &self.attempts };
        assert_eq!(
            known.get(attempt),
            Some(&"done"),
            "graded before it was done: {attempt}"
        );
        let score = &event["generated"];
        assert!(score["scoreGiven"].as_f64() <= score["maxScore"].as_f64());
        assert_eq!(text(score, "/attempt"), attempt);
        self.grades += 1;
    }

    fn assessment(&mut self, event: &Value, action: &str) {
        let (before, after) = match action {
            "Started" => (None, "open"),
            "Paused" => (Some("open"), "paused"),
            "Resumed" => (Some("paused"), "open"),
            _ => (Some("open"), "done"),
        };
        let attempt = text(event, "/generated/id").to_owned();
        assert_eq!(self.attempts.insert(attempt, after), before, "{action}");
        let due = text(event, "/object/dateToSubmit");
        assert!(text(event, "/eventTime") <= due, "{action} too late");
    }

    fn item(&mut self, event: &Value, action: &str) {
        let (place, before, after) = match action {
            "Started" => ("/generated", None, "open"),
            "Completed" => ("/generated/attempt", Some("open"), "done"),
            _ => ("/generated", Some("open"), "done"),
        };
        let attempt = text(event, &format!("{place}/isPartOf"));
        assert_eq!(self.attempts.get(attempt), Some(&"open"));
        let id = text(event, &format!("{place}/id")).to_owned();
        assert_eq!(self.items.insert(id, after), before, "{action}");
    }
}

#[test]
fn every_effect_has_its_cause() {
    let mut platform = Platform::default();
    for event in parsed(&semester(11, 12_000)) {
        platform.take(&event);
    }
    assert!(platform.grades > 400);
}

/// The last score of an attempt is the sum of its items' points; an exam's first one leaves the
/// open items out.
#[test]
fn scores_add_up() {
    let mut items: HashMap<String, f64> = HashMap::new();
    let mut finals: HashMap<String, f64> = HashMap::new();
    for event in parsed(&semester(4, 6_000))
        .iter()
        .filter(|e| text(e, "/type") == "GradeEvent")
    {
        let given = event["generated"]["scoreGiven"].as_f64().expect("a number");
        let part_of = text(event, "/object/isPartOf").to_owned();
        if part_of.is_empty() {
            let before = finals.insert(text(event, "/object/id").to_owned(), given);
            assert!(before.is_none_or(|b| b <= given), "a score fell");
        } else {
            *items.entry(part_of).or_default() += given;
        }
    }
    for (attempt, open_items) in items {
        if let Some(total) = finals.get(&attempt) {
            assert!(
                *total >= open_items,
                "{attempt}: {total} of which {open_items}"
            );
        }
    }
}

#[test]
fn invalid_events_are_as_many_as_asked_evenly_spread_and_the_only_change() {
    for (events, invalid) in [(1_000, 7), (100, 100), (50, 49), (10, 1), (640, 64)] {
        let broken = Semester::new(Params {
            invalid,
            ..Params::new(8, events)
        })
        .expect("valid");
        let whole = semester(8, events);
        let mut places = Vec::new();
        for (index, (b, w)) in broken.events().zip(whole.events()).enumerate() {
            assert_eq!(b.id, w.id);
            let Some(defect) = b.defect else {
                assert_eq!(b.json, w.json);
                continue;
            };
            let (b, w): (Value, Value) = (
                serde_json::from_str(&b.json).expect("JSON"),
                serde_json::from_str(&w.json).expect("JSON"),
            );
            assert_ne!(
                b.pointer(defect.pointer()),
                w.pointer(defect.pointer()),
                "{defect:?}"
            );
            places.push(index);
        }
        assert_eq!(places.len() as u64, invalid, "{events} events");
        let gap = (events / invalid) as usize;
        assert!(
            places
                .windows(2)
                .all(|p| p[1] - p[0] == gap || p[1] - p[0] == gap + 1)
        );
        let in_envelopes: usize = broken.envelopes().map(|e| e.invalid).sum();
        assert_eq!(in_envelopes as u64, invalid);
    }
}

#[test]
fn parameters_out_of_bounds_are_refused() {
    let new = |params| Semester::new(params).err();
    let base = Params::new(1, 10);
    assert_eq!(new(Params { events: 0, ..base }), Some(ParamsError::Events));
    assert_eq!(
        new(Params {
            events: 100_000_001,
            ..base
        }),
        Some(ParamsError::Events)
    );
    assert_eq!(
        new(Params {
            envelope_events: 0,
            ..base
        }),
        Some(ParamsError::EnvelopeEvents)
    );
    assert_eq!(
        new(Params {
            invalid: 11,
            ..base
        }),
        Some(ParamsError::Invalid)
    );
    assert_eq!(
        new(Params {
            start: jiff::civil::date(-5, 1, 1),
            ..base
        }),
        Some(ParamsError::Start)
    );
    assert_eq!(
        new(Params {
            start: jiff::civil::date(9999, 12, 1),
            ..base
        }),
        Some(ParamsError::Start)
    );
}
