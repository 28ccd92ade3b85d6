//! Folds against counting straight, and results against what they should show.

use super::assignments::percent;
use super::history::HistoryOf;
use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::results::{
    Cause, Count, Register, Registers, ResultItem, ResultKey, ResultList, Score, Status,
};
use vernier_ledger::time::TimeRange;

const HOUR: i64 = 3_600_000;

/// Around which events happen.
const BASE: i64 = 1_790_000_000_000;

/// An event that owns what a report sees of it.
#[derive(Debug, Clone)]
struct Event {
    type_name: Option<String>,
    actor: Option<String>,
    group: Option<String>,
    event_time: Option<Millis>,
    received_at: Millis,
    index: u32,
    disposition: Disposition,
    result: Option<String>,
}

impl Event {
    fn id(&self) -> String {
        format!("urn:event:{}", self.index)
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.id().as_bytes())
    }

    fn give(&self, take: impl FnOnce(&Seen<'_>)) {
        let result = self.result.as_deref();
        let result = result.map(|text| serde_json::from_str(text).expect("a result"));
        take(&Seen {
            kind: "event",
            type_name: self.type_name.as_deref(),
            action: Some("Graded"),
            actor: self.actor.as_deref(),
            group: self.group.as_deref(),
            id: Some(&self.id()),
            event_time: self.event_time,
            received_at: self.received_at,
            place: (
                ReceiptId::from_parts(self.received_at, 0, [0; 8]),
                self.index,
            ),
            disposition: self.disposition,
            result: result.as_ref(),
            fingerprint: Some(self.fingerprint()),
        });
    }

    fn happened_at(&self) -> Millis {
        self.event_time.unwrap_or(self.received_at)
    }

    /// Over five minutes after it was received.
    fn is_ahead(&self) -> bool {
        self.happened_at().0 > self.received_at.0 + 300_000
    }

    fn cause(&self) -> Option<Cause> {
        let cause_of = match self.is_ahead() {
            true => Cause::of_clock_ahead,
            false => Cause::new,
        };
        let at = self.event_time?;
        Some(cause_of(at, Some(&self.id()), &self.fingerprint()))
    }
}

fn named(name: &'static str) -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.8, (0u8..3).prop_map(move |n| format!("{name}{n}")))
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let disposition = prop::sample::select(vec![
        Disposition::Stored,
        Disposition::Stored,
        Disposition::Stored,
        Disposition::Duplicate,
        Disposition::Conflict,
        Disposition::Rejected,
    ]);
    let result = prop::option::of((0u8..2, 0u8..2, prop::option::of(0u8..9)));
    let event = (
        named("Type"),
        named("actor"),
        named("section"),
        prop::option::of(-50 * HOUR..50 * HOUR),
        0i64..40 * HOUR,
        disposition,
        result,
    );
    let events = prop::collection::vec(event, 0..40);
    events.prop_map(|events| {
        let events = (0..).zip(events);
        let event = events.map(
            |(index, (type_name, actor, group, time, received, disposition, result))| Event {
                type_name,
                actor,
                group,
                event_time: time.map(|t| Millis(BASE + t)),
                received_at: Millis(BASE + received),
                index,
                disposition,
                result: result.map(result_of),
            },
        );
        event.collect()
    })
}

fn result_of((learner, assignment, given): (u8, u8, Option<u8>)) -> String {
    let mut result = json!({
        "learner": format!("learner{learner}"), "assignment": format!("a{assignment}"),
    });
    if let Some(given) = given {
        result["given"] = given.into();
    }
    result.to_string()
}

fn stored(events: &[Event]) -> impl Iterator<Item = &Event> {
    events
        .iter()
        .filter(|e| e.disposition == Disposition::Stored)
}

fn actors<'e>(events: impl Iterator<Item = &'e Event>) -> u64 {
    let actors: BTreeSet<&String> = events.filter_map(|e| e.actor.as_ref()).collect();
    actors.len() as u64
}

proptest! {
    #[test]
    fn sections_are_counted(events in any_events()) {
        let mut fold = Sections::default();
        events.iter().for_each(|e| e.give(|seen| fold.add(seen)));
        let found = fold.finish().expect("few").sections;
        let groups: BTreeSet<&Option<String>> = stored(&events).map(|e| &e.group).collect();
        let straight = groups.into_iter().map(|group| {
            let of = || stored(&events).filter(|e| e.group == *group);
            SectionView {
                section: group.clone(),
                events: of().count() as u64,
                active_learners: actors(of()),
                last_event_at: of().map(Event::happened_at).max().expect("one at least"),
            }
        });
        let mut straight: Vec<_> = straight.collect();
        straight.sort_by_key(|s| (std::cmp::Reverse(s.events), s.section.clone()));
        prop_assert_eq!(found, straight);
    }

    #[test]
    fn activity_is_counted_by_the_zones_clock(events in any_events()) {
        let zone = "America/New_York";
        let mut fold = Activity::new(Zone::named(zone).expect("a zone"));
        events.iter().for_each(|e| e.give(|seen| fold.add(seen)));
        let found = fold.finish();
        let mut straight = [[0; 24]; 7];
        for event in stored(&events) {
            let at = jiff::Timestamp::from_millisecond(event.happened_at().0).expect("a time");
            let at = at.in_tz(zone).expect("a zone");
            let weekday = at.weekday().to_monday_zero_offset() as usize;
            straight[weekday][at.hour() as usize] += 1;
        }
        prop_assert_eq!(found.events, straight);
        prop_assert_eq!(found.total, stored(&events).count() as u64);
        prop_assert_eq!(found.sheet().finish().lines().count(), 169);
    }

    #[test]
    fn usage_is_counted_by_bucket(
        events in any_events(),
        bucket in prop::sample::select(vec![Bucket::Hour, Bucket::Day]),
        from in 0i64..30 * HOUR, hours in 1i64..30,
    ) {
        let from = Millis(BASE + from);
        let range = TimeRange {
            from,
            to: Millis(from.0 + hours * HOUR),
        };
        let starts = Zone::named("Europe/Berlin").map(|z| z.starts(range, bucket));
        let starts = starts.expect("a calendar");
        let mut fold = Usage::new(bucket, starts.clone(), range);
        events.iter().for_each(|e| e.give(|seen| fold.add(seen)));
        let found = fold.finish().expect("few").buckets;
        prop_assert_eq!(found.len(), starts.len());
        for (number, view) in found.iter().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(range.to);
            let begin = view.start.max(from);
            let of = || stored(&events).filter(|e| begin <= e.received_at && e.received_at < end);
            let mut straight = BTreeMap::new();
            for event in of() {
                let name = event.type_name.clone().unwrap_or_else(|| "untyped".to_owned());
                *straight.entry(name).or_insert(0) += 1;
            }
            prop_assert_eq!(&view.events, &straight);
            prop_assert_eq!(view.active_learners, actors(of()));
        }
    }

    #[test]
    fn a_history_has_every_change_in_order(events in any_events()) {
        let (section, learner) = (Some("section1".to_owned()), "learner0");
        let of = HistoryOf {
            section: section.clone(),
            learner: learner.to_owned(),
            assignment: None,
            attempt: None,
        };
        let mut fold = History::new(of);
        events.iter().rev().for_each(|e| e.give(|seen| fold.add(seen)));
        let found = fold.finish().expect("few").changes;
        let speaks = |e: &&Event| {
            let is_kept = matches!(e.disposition, Disposition::Stored | Disposition::Conflict);
            let result = e.result.as_deref().unwrap_or_default();
            is_kept && e.cause().is_some() && e.group == section && result.contains(learner)
        };
        let mut straight: Vec<&Event> = events.iter().filter(speaks).collect();
        straight.sort_by_key(|e| e.cause());
        let indices: Vec<u32> = straight.iter().map(|e| e.index).collect();
        let found_indices: Vec<u32> = found.iter().map(|c| c.index).collect();
        prop_assert_eq!(found_indices, indices);
        for (view, event) in found.iter().zip(&straight) {
            let result = |e: &Event| -> serde_json::Value {
                serde_json::from_str(e.result.as_deref().unwrap_or_default()).expect("JSON")
            };
            let own = result(event);
            prop_assert_eq!(view.score, own["given"].as_f64());
            let before = |other: &&&Event| {
                (other.received_at, other.index) < (event.received_at, event.index)
                    && result(other)["assignment"] == own["assignment"]
                    && other.cause() > event.cause()
            };
            let later: Vec<_> = straight.iter().filter(before).collect();
            let mut changed = Vec::new();
            if own["given"].is_number() && later.iter().all(|e| !result(e)["given"].is_number()) {
                changed.push("score");
            }
            if later.is_empty() {
                changed.push("status");
            }
            prop_assert_eq!(&view.changed, &changed);
        }
    }
}

fn register<T>(value: T, at: i64) -> Option<Register<T>> {
    let cause = Cause::new(Millis(at), Some("e"), &Fingerprint::of(b""));
    Some(Register { value, cause })
}

fn item(learner: &str, assignment: Option<&str>, attempt: Option<&str>) -> ResultItem {
    ResultItem {
        key: ResultKey {
            section: Some("s".to_owned()),
            learner: learner.to_owned(),
            assignment: assignment.map(str::to_owned),
            attempt: attempt.map(str::to_owned),
        },
        registers: Registers::default(),
    }
}

fn list(items: Vec<ResultItem>) -> ResultList {
    ResultList { items, more: false }
}

fn score(given: f64, maximum: Option<f64>) -> Score {
    let by = None;
    Score {
        given: Some(given),
        maximum,
        by,
    }
}

#[test]
fn a_percentage_needs_a_maximum() {
    for (given, maximum, expected) in [
        (8.5, Some(10.0), Some(85.0)),
        (7.0, Some(15.0), Some(46.6667)),
        (0.07, Some(1.0), Some(7.0)),
        (12.0, Some(10.0), Some(120.0)),
        (-1.0, Some(4.0), Some(-25.0)),
        (1.0, None, None),
        (0.0, Some(0.0), None),
        (1.0, Some(-2.0), None),
        (1e308, Some(1e-5), None),
        (f64::MAX, Some(f64::MAX), Some(100.0)),
        (-f64::MAX, Some(f64::MAX), Some(-100.0)),
        (5e-324, Some(f64::MAX), Some(0.0)),
        (1.0, Some(5e-324), None),
    ] {
        assert_eq!(
            percent(&score(given, maximum)),
            expected,
            "{given} {maximum:?}"
        );
    }
    let of_minus_zero = percent(&score(-0.0, Some(10.0)));
    assert_eq!(of_minus_zero.map(f64::to_bits), Some(0.0_f64.to_bits()));
}

/// Scores at the ends of what doubles are come out of both reports, as JSON and as CSV, as they went in.
#[test]
fn extreme_scores_are_reported_as_they_are() {
    for given in [f64::MAX, -f64::MAX, 5e-324, -0.0, 1e22, 0.1 + 0.2] {
        let mut extreme = item("l", Some("quiz"), Some("quiz/1"));
        let cause = Cause::new(Millis(BASE), Some("urn:x"), &Fingerprint([1; 32]));
        let value = score(given, Some(f64::MAX));
        extreme.registers.score = Some(Register { value, cause });
        let list = list(vec![extreme]);
        let grades = GradesReport::of(None, None, &list);
        let assignments = AssignmentsReport::of(None, "l", &list);
        let shown = serde_json::Value::from(given).to_string();
        for text in [
            serde_json::to_string(&grades).expect("JSON"),
            serde_json::to_string(&assignments).expect("JSON"),
            grades.sheet().finish(),
            assignments.sheet().finish(),
        ] {
            assert!(text.contains(&shown), "{shown}: {text}");
        }
        assert_eq!(shown.parse::<f64>().map(f64::to_bits), Ok(given.to_bits()));
    }
}

#[test]
fn an_items_attempt_lies_under_the_attempt_that_it_is_a_part_of() {
    let whole = item("l", Some("exam"), Some("exam/1"));
    let part = |name: &str, of: &str| {
        let mut part = item("l", Some(name), Some(&format!("{name}/1")));
        let count = Count {
            count: Some(1),
            part_of: Some(of.to_owned()),
        };
        part.registers.count = register(count, 5);
        part
    };
    let items = vec![
        whole,
        part("q2", "exam/1"),
        part("q1", "exam/1"),
        part("q3", "quiz/1"),
        part("step", "q1/1"),
    ];
    let report = AssignmentsReport::of(Some("s"), "l", &list(items.clone()));
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["assignments"][0]["assignment"], json!(null));
    let unknown = &json["assignments"][0]["attempts"];
    assert_eq!(unknown[0]["attempt"], "quiz/1", "{json}");
    assert_eq!(unknown[0]["parts"][0]["item"], "q3");
    let exam = &json["assignments"][1]["attempts"][0];
    let parts = exam["parts"].as_array().expect("parts");
    let names: Vec<_> = parts.iter().map(|p| p["item"].as_str()).collect();
    assert_eq!(names, [Some("q1"), Some("q2"), Some("step")]);
    let csv = report.sheet().finish();
    assert!(csv.contains("\r\nexam,q1,q1/1,exam/1,1,"), "{csv}");
    let grades = GradesReport::of(Some("s"), None, &list(items));
    assert_eq!(grades.assignments, ["exam"], "items are no assignments");
}

fn any_items() -> impl Strategy<Value = Vec<ResultItem>> {
    let name = |prefix: &'static str| {
        prop::option::weighted(0.8, (0u8..4).prop_map(move |n| format!("{prefix}{n}")))
    };
    let given = prop::option::of((0u8..20, 0i64..1_000));
    let one = (0u8..3, name("a"), name("t"), name("t"), given, 0i64..1_000);
    prop::collection::vec(one, 0..30).prop_map(|all| {
        let mut items: BTreeMap<ResultKey, ResultItem> = BTreeMap::new();
        for (learner, assignment, attempt, part_of, given, at) in all {
            if assignment.is_none() && attempt.is_none() {
                continue;
            }
            let learner = format!("l{learner}");
            let mut item = item(&learner, assignment.as_deref(), attempt.as_deref());
            let action = "Submitted".to_owned();
            item.registers.status = register(Status { action }, at);
            item.registers.score =
                given.and_then(|(given, at)| register(score(given.into(), Some(20.0)), at));
            if let Some(part_of) = part_of.filter(|_| at % 2 == 0) {
                let count = Count {
                    count: None,
                    part_of: Some(part_of),
                };
                item.registers.count = register(count, at);
            }
            items.insert(item.key.clone(), item);
        }
        items.into_values().collect()
    })
}

proptest! {
    /// Whatever is said to be a part of what, circles too.
    #[test]
    fn every_result_is_shown_once(items in any_items()) {
        for learner in ["l0", "l1", "l2"] {
            let own = items.iter().filter(|i| i.key.learner == learner).cloned();
            let own: Vec<ResultItem> = own.collect();
            let report = AssignmentsReport::of(Some("s"), learner, &list(own.clone()));
            let mut shown = Vec::new();
            for assignment in &report.assignments {
                for whole in &assignment.attempts {
                    // A part without its whole brings an attempt of which nothing is known.
                    if whole.status.is_some() {
                        shown.push((assignment.assignment.clone(), whole.attempt.clone()));
                    } else {
                        prop_assert!(!whole.parts.is_empty());
                    }
                    shown.extend(whole.parts.iter().map(|p| (p.item.clone(), p.attempt.clone())));
                }
            }
            shown.sort();
            let keys = own.iter().map(|i| (i.key.assignment.clone(), i.key.attempt.clone()));
            let mut keys: Vec<_> = keys.collect();
            keys.sort();
            prop_assert_eq!(shown, keys);
        }
    }

    #[test]
    fn of_several_attempts_the_latest_score_counts(items in any_items()) {
        let report = GradesReport::of(Some("s"), None, &list(items.clone()));
        let own = |item: &&ResultItem| {
            let whole = item.registers.count.as_ref().and_then(|c| c.value.part_of.clone());
            item.key.assignment.is_some() && (whole.is_none() || whole == item.key.attempt)
        };
        let wholes: Vec<&ResultItem> = items.iter().filter(own).collect();
        let assignments: BTreeSet<&String> =
            wholes.iter().filter_map(|i| i.key.assignment.as_ref()).collect();
        prop_assert!(report.assignments.iter().eq(assignments));
        let learners: BTreeSet<&String> = wholes.iter().map(|i| &i.key.learner).collect();
        prop_assert!(report.learners.iter().map(|l| &l.learner).eq(learners));
        for row in &report.learners {
            for (assignment, grade) in report.assignments.iter().zip(&row.grades) {
                let of = wholes.iter().filter(|i| {
                    i.key.learner == row.learner && i.key.assignment.as_ref() == Some(assignment)
                });
                let of: Vec<_> = of.collect();
                prop_assert_eq!(grade.is_some(), !of.is_empty());
                let Some(grade) = grade else { continue };
                let scores = of.iter().filter_map(|i| i.registers.score.as_ref());
                let latest = scores.clone().map(|s| s.cause.event_time()).max();
                let best: Vec<f64> = scores
                    .filter(|s| Some(s.cause.event_time()) == latest)
                    .filter_map(|s| s.value.given)
                    .collect();
                match grade.score {
                    Some(score) => prop_assert!(best.contains(&score)),
                    None => prop_assert!(best.is_empty()),
                }
                let named = of.iter().filter(|i| i.key.attempt.is_some()).count() as u64;
                prop_assert_eq!(grade.attempts, named.max(1));
            }
        }
        // Page by page the same.
        let mut after: Option<String> = None;
        let mut rest = report.learners.clone();
        while let Some(first) = rest.first() {
            let page = GradesReport::of(Some("s"), after.as_deref(), &list(items.clone()));
            prop_assert_eq!(&page.learners, &rest);
            after = Some(first.learner.clone());
            rest.remove(0);
        }
    }
}

/// Invariant 8: a grade table ends before an answer does, and says so.
#[test]
fn a_large_table_is_cut_at_a_learner() {
    let mut items = Vec::new();
    for learner in 0..2_000 {
        for assignment in 0..30 {
            let name = format!("https://school.example/assignments/{assignment}");
            let learner = format!("https://school.example/users/{learner:04}");
            let mut item = item(&learner, Some(&name), None);
            item.registers.score = register(score(1.0 / 3.0, Some(0.7)), 0);
            items.push(item);
        }
    }
    let list = list(items);
    let (mut seen, mut after) = (0, None);
    loop {
        let report = GradesReport::of(Some("s"), after.as_deref(), &list);
        let text = serde_json::to_string(&report).expect("JSON");
        assert!(text.len() < vernier_ledger::limits::PAGE_BYTES_MAX);
        seen += report.learners.len();
        after = report.learners.last().map(|l| l.learner.clone());
        if !report.more {
            break;
        }
    }
    assert_eq!(seen, 2_000);
}

/// Of learners that a read may have cut nothing is said.
#[test]
fn a_learner_whose_results_were_cut_is_left_out() {
    let most = vernier_ledger::limits::RESULTS_READ_MAX / 16;
    let items: Vec<ResultItem> = (0..most)
        .map(|n| item("l", Some(&format!("a{n}")), None))
        .chain([item("somebody in another slot", Some("a0"), None)])
        .collect();
    let slots = ["l", "somebody in another slot"].map(ResultKey::slot_of);
    assert_ne!(slots[0], slots[1]);
    let report = GradesReport::of(Some("s"), None, &ResultList { items, more: true });
    assert!(report.more);
    let learners: Vec<&str> = report.learners.iter().map(|l| l.learner.as_str()).collect();
    assert_eq!(learners, ["somebody in another slot"]);
}
