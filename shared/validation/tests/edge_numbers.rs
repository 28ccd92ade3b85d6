//! Scores, counts and durations at the ends of what numbers can be.
use std::sync::Arc;
use vernier_validation::{
    ColumnPointers, DomainSchema, DomainSchemas, Mode, Policy, Profile, ResultColumns,
    read_envelope,
};

const TYPE: &str = "https://school.example/types/Answered";

/// What an event with these values says of a result; none where the event is rejected.
fn said(given: &str, maximum: &str, count: &str, duration: &str) -> Option<ResultColumns<'static>> {
    let pointer = |name: &str| Some(format!("/{name}"));
    let columns = ColumnPointers {
        attempt: pointer("try"),
        learner: pointer("who"),
        score_given: pointer("given"),
        max_score: pointer("maximum"),
        count: pointer("count"),
        duration: pointer("duration"),
        ..ColumnPointers::default()
    };
    let schema = DomainSchema::compile(TYPE, 1, "{}", columns).expect("an empty schema");
    let schemas: DomainSchemas = [Arc::new(schema)].into_iter().collect();
    let policy = Policy {
        domain: Some(&schemas),
        ..Policy::new(Mode::Strict, Profile::Generic)
    };
    let body = format!(
        r#"{{"sensor":"s","sendTime":"2026-11-15T11:05:01.000Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":[{{"type":"{TYPE}","eventTime":"2026-11-15T11:05:00.000Z","who":"jane","try":"t","given":{given},"maximum":{maximum},"count":{count},"duration":{duration}}}]}}"#
    );
    let body: &'static str = body.leak();
    let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
    let item = read.items.into_iter().next().expect("one item");
    assert_eq!(item.verdict.accepted, item.columns.result.is_some());
    if !item.verdict.accepted {
        assert_eq!(item.verdict.problems[0].rule, "json.number");
    }
    item.columns.result.map(|result| *result)
}

/// Numbers that no double comes near.
fn vast() -> Vec<String> {
    let mut vast: Vec<String> = ["1e400", "-1.0E400", "1e99999999999999999999"]
        .map(str::to_owned)
        .into();
    vast.extend([309, 400, 2_000].map(|digits| "9".repeat(digits)));
    vast
}

#[test]
fn a_vast_number_rejects_its_event_wherever_it_stands() {
    for number in vast() {
        assert_eq!(said(&number, "10", "1", "1"), None);
        assert_eq!(said("1", &number, "1", "1"), None);
        assert_eq!(said("1", "10", &number, "1"), None);
        assert_eq!(said("1", "10", "1", &number), None);
    }
}

/// In a string it is one that nobody can use: the rest of the result counts.
#[test]
fn a_vast_number_in_a_string_is_none() {
    for number in vast() {
        let text = format!("\"{number}\"");
        let found = said(&text, "10", &text, &text).expect("a result");
        assert_eq!(
            (found.score, found.count, found.duration_millis),
            (None, None, None)
        );
        let found = said("1", &text, "1", "1").expect("a result");
        let score = found.score.expect("a score");
        assert_eq!((score.given, score.maximum), (1.0, None));
    }
}

#[test]
fn scores_are_the_doubles_nearest_to_what_was_sent() {
    for number in [
        "-0",
        "-0.0",
        "5e-324",
        "1e-400",
        "-1.7976931348623157e308",
        "12345678901234567890123",
        "0.1",
    ] {
        let double: f64 = number.parse().expect("a number");
        for text in [number.to_owned(), format!("\"{number}\"")] {
            let score = said(&text, &text, "1", "1").and_then(|found| found.score);
            let score = score.expect("a score");
            assert_eq!(score.given.to_bits(), double.to_bits(), "{text}");
            assert_eq!(
                score.maximum.map(f64::to_bits),
                Some(double.to_bits()),
                "{text}"
            );
        }
    }
}

#[test]
fn counts_are_whole_numbers_of_64_bits() {
    for (number, count) in [
        ("0", Some(0)),
        ("-0", Some(0)),
        ("-0.0", Some(0)),
        ("1.0", Some(1)),
        ("1e2", Some(100)),
        ("9007199254740993", Some(9_007_199_254_740_993)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("1e19", None),
        ("1.5", None),
        ("-1", None),
        ("5e-324", None),
    ] {
        assert_eq!(
            said("1", "1", number, "1").expect("a result").count,
            count,
            "{number}"
        );
    }
}

#[test]
fn durations_are_milliseconds_within_a_million_years() {
    for (duration, millis) in [
        ("0", Some(0)),
        ("-0", Some(0)),
        ("-0.0", Some(0)),
        ("0.0004", Some(0)),
        ("1e-400", Some(0)),
        ("1.5", Some(1_500)),
        ("3e13", Some(30_000_000_000_000_000)),
        ("3.3e13", None),
        ("1e308", None),
        ("-1", None),
        (r#""PT9223372036854775S""#, Some(9_223_372_036_854_775_000)),
        (r#""PT9223372036854776S""#, None),
        (r#""PT99999999999999999999S""#, None),
        (r#""PT-1S""#, None),
    ] {
        let found = said("1", "1", "1", duration).expect("a result");
        assert_eq!(found.duration_millis, millis, "{duration}");
    }
}
