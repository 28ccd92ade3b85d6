//! Any bytes: no panic, no time without bound, the same syntax as another reader of JSON.
//!
//! `cargo test` runs the kept seeds and a short while of new ones. The long run is
//! `VERNIER_FUZZ_SECONDS=60 cargo test -p vernier-validation --release --test fuzz -- --ignored --nocapture`.
//! A failure prints its seed; add it to `tests/fuzz-seeds.txt`.
#![allow(clippy::print_stdout)]
use std::time::{Duration, Instant};

use vernier_validation::{
    Mode, Policy, Profile, RefusalKind, compact, limits, read_document, read_envelope,
};

#[path = "common/mix.rs"]
mod mix;
#[path = "common/suite.rs"]
mod suite;

use mix::Random;

/// Pieces that come near the edges of the syntax and of the rules.
const PIECES: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"\\u0000",
    b"null",
    b"true",
    b"false",
    b"-",
    b"0",
    b"1e999",
    b"1.5",
    b"-0",
    b"01",
    b"\xff",
    b"\xc3",
    b"\xe2\x82\xac",
    b" ",
    b"\n",
    b"\x00",
    b"\x1f",
    b"\"id\":",
    b"\"type\":\"Person\"",
    b"\"@context\":[",
    b"\"data\":[",
    b"\"sensor\":1",
    b"\"dataVersion\":",
    b"\"extensions\":{",
    b"\"eventTime\":\"2018-11-15T10:15:00.000Z\"",
    b"\"action\":\"Viewed\"",
    b"urn:uuid:",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
];

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = ["valid/v1p0", "valid/v1p1", "valid/v1p2", "malformed/v1p2"]
        .into_iter()
        .flat_map(suite::files)
        .map(|(_, body)| body)
        .collect();
    let events = mix::events(20);
    corpus.push(mix::envelope(&events).into_bytes());
    corpus.extend(events.into_iter().map(String::into_bytes));
    corpus.push(Vec::new());
    corpus
}

/// One input: a document changed in a few places, or pieces put together.
fn input(seed: u64, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut random = Random(seed);
    let at = |random: &mut Random, length: usize| random.below(length as u64 + 1) as usize;
    if random.below(8) == 0 {
        let count = at(&mut random, 60);
        return (0..count)
            .flat_map(|_| {
                PIECES[random.below(PIECES.len() as u64) as usize]
                    .iter()
                    .copied()
            })
            .collect();
    }
    let mut body = corpus[random.below(corpus.len() as u64) as usize].clone();
    for _ in 0..=random.below(4) {
        let (from, to) = (at(&mut random, body.len()), at(&mut random, body.len()));
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 40));
        match random.below(6) {
            0 => {
                body.splice(from..to, []);
            }
            1 => {
                let part = body[from..to].to_vec();
                let place = at(&mut random, body.len());
                body.splice(place..place, part);
            }
            2 if from < body.len() => body[from] ^= 1 << random.below(8),
            3 if from < body.len() => body[from] = random.below(256) as u8,
            4 => body.truncate(from),
            _ => {
                let piece = PIECES[random.below(PIECES.len() as u64) as usize];
                body.splice(from..from, piece.iter().copied());
            }
        }
    }
    body
}

fn check(seed: u64, body: &[u8]) {
    let start = Instant::now();
    let policies = [Mode::Strict, Mode::Lenient]
        .into_iter()
        .flat_map(|mode| Profile::ALL.map(|p| Policy::new(mode, p)));
    for policy in policies {
        let _ = read_envelope(body, &policy);
        match read_document(body, &policy) {
            Ok(read) => {
                for item in &read.items {
                    let verdict = &item.verdict;
                    assert_eq!(verdict.accepted, verdict.problems.is_empty(), "seed {seed}");
                    assert!(
                        policy.mode == Mode::Lenient || verdict.deviations.is_empty(),
                        "seed {seed}"
                    );
                    assert!(
                        verdict.problems.len() + verdict.deviations.len()
                            <= limits::PROBLEMS_MAX + 1,
                        "seed {seed}"
                    );
                    let value: Result<serde_json::Value, _> = serde_json::from_str(item.raw);
                    let mut out = Vec::new();
                    compact(item.raw, &mut out);
                    let compacted: Result<serde_json::Value, _> = serde_json::from_slice(&out);
                    assert_eq!(value.is_ok(), compacted.is_ok(), "seed {seed}");
                    if let (Ok(value), Ok(compacted)) = (value, compacted) {
                        assert_eq!(value, compacted, "seed {seed}");
                    }
                }
            }
            Err(refusal) => {
                assert!(
                    !refusal.problems.is_empty() && !refusal.to_string().is_empty(),
                    "seed {seed}"
                );
                same_syntax(seed, body, refusal.kind);
            }
        }
    }
    // Ten policies and the comparisons, on inputs of some kilobytes.
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "seed {seed} took {:?}",
        start.elapsed()
    );
}

/// A document between copies of it that were changed in a few places: each is judged as if it
/// were alone.
fn check_repeated(seed: u64, corpus: &[Vec<u8>]) {
    let mut random = Random(seed);
    let whole = &corpus[random.below(corpus.len() as u64) as usize];
    let around = |data: &str| {
        format!(
            r#"{{"sensor":"s","sendTime":"2018-11-15T10:15:00.000Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":[{data}]}}"#
        )
    };
    let changed = || {
        (0..4).filter_map(|n| {
            String::from_utf8(input(seed.wrapping_add(n), std::slice::from_ref(whole))).ok()
        })
    };
    let Ok(first) = String::from_utf8(whole.clone()) else {
        return;
    };
    let items: Vec<String> = std::iter::once(first.clone())
        .chain(
            changed()
                .filter(|item| serde_json::from_str::<&serde_json::value::RawValue>(item).is_ok()),
        )
        .chain([first])
        .collect();
    for mode in [Mode::Strict, Mode::Lenient] {
        let policy = Policy::new(mode, Profile::Generic);
        let body = around(&items.join(","));
        let Ok(read) = read_envelope(body.as_bytes(), &policy) else {
            continue;
        };
        for item in &read.items {
            let body = around(item.raw);
            let alone = read_envelope(body.as_bytes(), &policy).expect("as within the others");
            assert_eq!(
                format!("{:?}", alone.items[0]),
                format!("{item:?}"),
                "seed {seed}"
            );
        }
    }
}

/// What is refused as no JSON is none for serde_json either.
fn same_syntax(seed: u64, body: &[u8], kind: RefusalKind) {
    let other = serde_json::from_slice::<&serde_json::value::RawValue>(body);
    match kind {
        RefusalKind::NotJson | RefusalKind::NotUtf8 | RefusalKind::Empty => {
            assert!(
                other.is_err(),
                "seed {seed}: serde_json takes what is refused as {kind:?}"
            );
        }
        _ => {}
    }
}

fn run(seconds: u64) {
    let corpus = corpus();
    let kept = include_str!("fuzz-seeds.txt")
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok());
    for seed in kept {
        check(seed, &input(seed, &corpus));
        check_repeated(seed, &corpus);
    }
    let (start, mut count) = (Instant::now(), 0u64);
    let first = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |d| d.as_nanos() as u64);
    println!("first seed {first}");
    while start.elapsed() < Duration::from_secs(seconds) {
        let seed = first.wrapping_add(count);
        let body = input(seed, &corpus);
        let both = || {
            check(seed, &body);
            check_repeated(seed, &corpus);
        };
        let panicked = std::panic::catch_unwind(both).is_err();
        assert!(!panicked, "seed {seed}: {}", String::from_utf8_lossy(&body));
        count += 1;
    }
    println!("fuzz: {count} inputs in {seconds} s, ten policies each");
}

#[test]
fn a_short_while() {
    run(2);
}

#[test]
#[ignore = "runs for VERNIER_FUZZ_SECONDS"]
fn a_long_while() {
    run(std::env::var("VERNIER_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(60));
}

#[test]
fn bounds() {
    let policy = Policy::default();
    let kind = |body: &str| {
        read_envelope(body.as_bytes(), &policy)
            .expect_err("refused")
            .kind
    };
    let around = |data: &str| {
        format!(
            r#"{{"sensor":"s","sendTime":"2018-11-15T10:15:00.000Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":[{data}]}}"#
        )
    };
    assert_eq!(
        kind(&around(&vec!["1"; limits::EVENTS_MAX + 1].join(","))),
        RefusalKind::TooManyEvents
    );
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(
        kind(&around(&nested(limits::DEPTH_MAX - 1))),
        RefusalKind::TooDeep
    );
    assert!(read_envelope(around(&nested(limits::DEPTH_MAX - 2)).as_bytes(), &policy).is_ok());
    assert_eq!(kind(&"[".repeat(1_000_000)), RefusalKind::TooDeep);
    // Many keys, all of them strangers, and many problems: work and answers stay small.
    let start = Instant::now();
    let members: Vec<String> = (0..200_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let body = around(&format!("{{\"type\":\"Person\",{}}}", members.join(",")));
    let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
    assert_eq!(
        read.items[0].verdict.problems.len(),
        limits::PROBLEMS_MAX + 1
    );
    assert_eq!(
        read.items[0].verdict.problems.last().map(|p| &*p.rule),
        Some("limit.problems")
    );
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn whole_body_refusals() {
    let good = mix::envelope(&mix::events(2));
    let policy = Policy::default();
    let lenient = Policy::new(Mode::Lenient, Profile::Generic);
    let rule = |body: &[u8], policy: &Policy<'_>| {
        let refusal = read_envelope(body, policy).expect_err("refused");
        (
            refusal.kind,
            refusal.problems[0].rule.to_string(),
            refusal.problems[0].pointer.clone(),
        )
    };
    let cases: [(RefusalKind, &str, &str, Vec<u8>); 12] = [
        (RefusalKind::Empty, "envelope.empty-body", "", b" \n ".to_vec()),
        (RefusalKind::NotUtf8, "json.utf8", "", good.replace("Quiz", "\u{1}").into_bytes().iter().map(|b| if *b == 1 { 0xff } else { *b }).chain([0xff]).collect()),
        (RefusalKind::NotJson, "json.syntax", "", good.as_bytes()[..good.len() - 1].to_vec()),
        (RefusalKind::NotJson, "json.syntax", "", format!("{good}x").into_bytes()),
        (RefusalKind::DuplicateKey, "envelope.duplicate-key", "/sensor", good.replacen('{', r#"{"sensor":"s","#, 1).into_bytes()),
        (RefusalKind::NotAnEnvelope, "envelope.sensor", "/sensor", good.replacen("\"https://example.edu/sensors/1\"", "5", 1).into_bytes()),
        (RefusalKind::NotAnEnvelope, "envelope.object", "", b"\"text\"".to_vec()),
        (RefusalKind::NotAnEnvelope, "envelope.data", "/data", br#"{"sensor":"s","sendTime":"2018-11-15T10:15:00.000Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2"}"#.to_vec()),
        (RefusalKind::NotAnEnvelope, "envelope.data", "/data", br#"{"sensor":"s","sendTime":"2018-11-15T10:15:00.000Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":{}}"#.to_vec()),
        (RefusalKind::UnsupportedVersion, "envelope.data-version", "/dataVersion", good.replacen("caliper/v1p2", "caliper/v9", 1).into_bytes()),
        (RefusalKind::NotAnEnvelope, "envelope.sensor", "/sensor", mix::events(1).remove(0).into_bytes()),
        (RefusalKind::NotAnEnvelope, "envelope.sensor", "/sensor", b"{}".to_vec()),
    ];
    for (kind, id, pointer, body) in &cases {
        let (seen_kind, seen_id, seen_pointer) = rule(body, &lenient);
        let text = String::from_utf8_lossy(body);
        assert_eq!((seen_kind, seen_id.as_str()), (*kind, *id), "{text:.200}");
        assert!(
            seen_pointer == *pointer || *kind == RefusalKind::NotAnEnvelope,
            "{seen_pointer} in {text:.200}"
        );
        assert_eq!(rule(body, &policy).0, *kind, "{text:.200}");
    }
    // A double key within an event is that event's matter, and no mode forgives it.
    let twice = good.replacen("\"action\":", "\"action\":\"Viewed\",\"action\":", 1);
    let read = read_envelope(twice.as_bytes(), &lenient).expect("an envelope");
    assert_eq!(
        read.items
            .iter()
            .map(|i| i.verdict.accepted)
            .collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(read.items[0].verdict.problems[0].rule, "json.duplicate-key");
    let half = good.replacen("\"client\":\"browser\"", "\"client\":\"\\ud800\"", 1);
    let read = read_envelope(half.as_bytes(), &lenient).expect("an envelope");
    assert_eq!(read.items[0].verdict.problems[0].rule, "json.surrogate");
    for vast in ["1.0e400", "-1E+999", &"9".repeat(309), &"9".repeat(400)] {
        let vast = good.replacen("\"client\":\"browser\"", &format!("\"client\":{vast}"), 1);
        let read = read_envelope(vast.as_bytes(), &lenient).expect("an envelope");
        assert_eq!(read.items[0].verdict.problems[0].rule, "json.number");
    }
    for wide in [
        "12345678901234567890123",
        "18446744073709551617",
        "0.1234567890123456789012",
        "1e-400",
        "1.7976931348623157e308",
    ] {
        let wide = good.replacen("\"client\":\"browser\"", &format!("\"client\":{wide}"), 1);
        let read = read_envelope(wide.as_bytes(), &lenient).expect("an envelope");
        assert!(read.items[0].verdict.accepted, "{wide}");
    }
    let number = good.replacen("\"data\":[", "\"data\":[5,", 1);
    let read = read_envelope(number.as_bytes(), &lenient).expect("an envelope");
    assert_eq!(read.items[0].verdict.problems[0].rule, "item.object");
    // data before dataVersion: the items are judged by the version that comes later.
    let later = good.replacen(
        r#""dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","#,
        "",
        1,
    );
    let later = format!(
        r#"{},"dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p1"}}"#,
        &later[..later.len() - 1]
    );
    let read = read_envelope(later.as_bytes(), &policy).expect("an envelope");
    assert!(
        read.items
            .iter()
            .all(|i| i.verdict.problems[0].rule == "context.data-version")
    );
}
