//! A tenant's own event types.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use vernier_validation::{
    ColumnPointers, DomainSchema, DomainSchemas, Kind, Mode, Policy, Profile, read_envelope,
};

const TYPE: &str = "https://example.edu/events/BadgeAwarded";

fn compile(schema: &str) -> Result<DomainSchema, vernier_validation::SchemaRefusal> {
    DomainSchema::compile(TYPE, 1, schema, ColumnPointers::default())
}

fn badge_schema() -> DomainSchema {
    let columns = ColumnPointers {
        actor: Some("/who".into()),
        group: Some("/course/ref".into()),
        event_time: Some("/at".into()),
        ..ColumnPointers::default()
    };
    let schema = r##"{"type":"object","required":["type","who","at"],
        "properties":{"who":{"$ref":"#/$defs/name"},"points":{"type":"integer","minimum":0}},
        "$defs":{"name":{"type":"string","pattern":"^[a-z]+$"}}}"##;
    DomainSchema::compile(TYPE, 3, schema, columns).expect("a plain schema")
}

fn envelope(event: &str) -> String {
    format!(
        r#"{{"sensor":"s","sendTime":"2026-11-15T11:05:01.000Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":[{event}]}}"#
    )
}

#[test]
fn a_registered_type_is_checked_and_has_its_columns() {
    let schemas: DomainSchemas = [Arc::new(badge_schema())].into_iter().collect();
    let policy = Policy {
        domain: Some(&schemas),
        ..Policy::new(Mode::Strict, Profile::Generic)
    };
    let good = format!(
        r#"{{"type":"{TYPE}","who":"jane","at":"2026-11-15T12:00:00+01:00","points":3,"course":{{"ref":"c1"}}}}"#
    );
    let body = envelope(&good);
    let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
    let item = &read.items[0];
    assert!(
        item.verdict.accepted && item.verdict.strict_accepted,
        "{:?}",
        item.verdict
    );
    assert_eq!(item.columns.kind, Kind::Domain);
    assert_eq!(item.columns.actor.as_deref(), Some("jane"));
    assert_eq!(item.columns.group.as_deref(), Some("c1"));
    assert_eq!(item.columns.event_time, Some(1_794_740_400_000));
    let bad = good.replace("jane", "JANE").replace(":3", ":-3");
    let body = envelope(&bad);
    let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
    let mut pointers: Vec<_> = read.items[0]
        .verdict
        .problems
        .iter()
        .map(|p| (p.pointer.as_str(), &*p.rule))
        .collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [("/points", "domain.schema"), ("/who", "domain.schema")]
    );
}

#[test]
fn an_unregistered_type_is_rejected_or_opaque() {
    let body = envelope(&format!(
        r#"{{"@context":"http://purl.imsglobal.org/ctx/caliper/v1p2","type":"{TYPE}","id":"https://example.edu/1"}}"#
    ));
    let strict = read_envelope(
        body.as_bytes(),
        &Policy::new(Mode::Strict, Profile::Generic),
    )
    .expect("an envelope");
    assert_eq!(strict.items[0].verdict.problems[0].rule, "type.unknown");
    let lenient = read_envelope(
        body.as_bytes(),
        &Policy::new(Mode::Lenient, Profile::Generic),
    )
    .expect("an envelope");
    assert!(lenient.items[0].verdict.accepted && !lenient.items[0].verdict.strict_accepted);
    assert_eq!(lenient.items[0].columns.kind, Kind::Opaque);
}

#[test]
fn hostile_schemas_are_refused() {
    let twice = |n: usize| -> String {
        let defs: Vec<String> = (0..n)
            .map(|i| {
                format!(
                    r##""d{i}":{{"allOf":[{{"$ref":"#/$defs/d{0}"}},{{"$ref":"#/$defs/d{0}"}}]}}"##,
                    i + 1
                )
            })
            .collect();
        format!(
            r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{n}":{{"type":"string"}}}}}}"##,
            defs.join(",")
        )
    };
    let deep = format!("{}true{}", r#"{"not":"#.repeat(70), "}".repeat(70));
    for (what, schema) in [
        (
            "remote",
            r#"{"$ref":"https://example.com/schema.json"}"#.to_owned(),
        ),
        ("file", r#"{"$ref":"file:///etc/passwd"}"#.to_owned()),
        ("anchor", r##"{"$ref":"#name"}"##.to_owned()),
        ("self", r##"{"$ref":"#"}"##.to_owned()),
        (
            "recursion",
            r##"{"properties":{"child":{"$ref":"#"}}}"##.to_owned(),
        ),
        ("nothing", r##"{"$ref":"#/$defs/none"}"##.to_owned()),
        ("dynamic", r##"{"$dynamicRef":"#x"}"##.to_owned()),
        ("doubling", twice(40)),
        (
            "draft",
            r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#.to_owned(),
        ),
        ("backtracking", r#"{"pattern":"(a+)+\\1$"}"#.to_owned()),
        (
            "large pattern",
            r#"{"pattern":"((a{1000}){1000}){1000}"}"#.to_owned(),
        ),
        (
            "bytes",
            format!(r#"{{"description":"{}"}}"#, "x".repeat(70_000)),
        ),
        ("deep", deep),
        (
            "double key",
            r#"{"type":"object","type":"string"}"#.to_owned(),
        ),
        ("no schema", r#"{"type":"objekt"}"#.to_owned()),
        ("no object", "[]".to_owned()),
    ] {
        let start = Instant::now();
        assert!(compile(&schema).is_err(), "{what} was taken");
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{what} took {:?}",
            start.elapsed()
        );
    }
    for name in ["", "Person", "AssessmentEvent", "a\nb", &"x".repeat(300)] {
        assert!(
            DomainSchema::compile(name, 1, "{}", ColumnPointers::default()).is_err(),
            "{name:?}"
        );
    }
    let columns = ColumnPointers {
        actor: Some("who".into()),
        ..ColumnPointers::default()
    };
    assert!(DomainSchema::compile(TYPE, 1, "{}", columns).is_err());
}

#[test]
fn hostile_events_are_bounded() {
    let schema =
        compile(r#"{"properties":{"a":{"pattern":"^(a+)+$"},"list":{"uniqueItems":true}}}"#)
            .expect("a plain schema");
    let start = Instant::now();
    let long = format!(r#"{{"a":"{}!"}}"#, "a".repeat(200_000));
    assert_eq!(schema.check(&long)[0].rule, "domain.schema");
    let wide = format!(r#"{{"list":[{}]}}"#, vec!["{}"; 5_001].join(","));
    assert_eq!(schema.check(&wide)[0].rule, "domain.size");
    assert!(start.elapsed() < Duration::from_secs(2));
    for problem in schema.check(&long) {
        assert!(problem.found.len() < 100 && problem.message.len() < 200);
    }
}

#[test]
fn compatible_changes() {
    let old = r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer","minimum":1},"b":{"enum":["x","y"]}}}"#;
    let check = |new: &str| {
        let (old, new) = (compile(old).expect("old"), compile(new).expect("new"));
        new.incompatibilities(&old)
            .into_iter()
            .map(|i| i.pointer)
            .collect::<Vec<_>>()
    };
    let same: Vec<String> = Vec::new();
    assert_eq!(check(old), same);
    assert_eq!(check(&old.replace(r#""required":["a"],"#, "")), same);
    assert_eq!(check(&old.replace("\"x\"", "\"x\",\"z\"")), same);
    assert_eq!(check(&old.replace("\"integer\"", "\"number\"")), same);
    assert_eq!(check(&old.replace("\"minimum\":1", "\"minimum\":0")), same);
    assert_eq!(
        check(&old.replace(r#""b":"#, r#""c":{"type":"string"},"b":"#)),
        same
    );
    assert_eq!(
        check(&old.replace(r#"["a"]"#, r#"["a","b"]"#)),
        ["/required"]
    );
    assert_eq!(check(&old.replace("\"x\",", "")), ["/properties/b/enum"]);
    assert_eq!(
        check(&old.replace("\"integer\"", "\"string\"")),
        ["/properties/a/type"]
    );
    assert_eq!(
        check(&old.replace("\"minimum\":1", "\"minimum\":2")),
        ["/properties/a/minimum"]
    );
    assert_eq!(
        check(&old.replace("\"minimum\":1", "\"minimum\":1.0")),
        same
    );
    let bounded = |most: &str| {
        let schema = format!(r#"{{"properties":{{"a":{{"maximum":{most}}}}}}}"#);
        compile(&schema).expect("a plain schema")
    };
    let narrower = bounded("9007199254740992").incompatibilities(&bounded("9007199254740993"));
    assert_eq!(narrower.len(), 1, "two bounds of one double");
    assert_eq!(
        check(&old.replace(
            r#""type":"object""#,
            r#""type":"object","additionalProperties":false"#
        )),
        ["/additionalProperties"]
    );
    assert_eq!(
        check(&old.replace(r#","b":{"enum":["x","y"]}"#, "")),
        ["/properties/b"]
    );
    assert_eq!(
        check(&old.replace(r#""required""#, r#""maxProperties":3,"required""#)),
        ["/maxProperties"]
    );
}

#[test]
fn the_newest_version_counts() {
    let make = |version| {
        Arc::new(
            DomainSchema::compile(TYPE, version, "{}", ColumnPointers::default()).expect("empty"),
        )
    };
    let schemas: DomainSchemas = [make(2), make(3), make(1)].into_iter().collect();
    assert_eq!(schemas.get(TYPE).map(|s| s.version()), Some(3));
}

#[test]
fn many_large_patterns_are_refused_before_they_fill_the_memory() {
    let property = |n: usize| format!(r#""p{n}":{{"pattern":"^\\p{{L}}{{1,24}}$"}}"#);
    let schema = |count: usize| {
        let all: Vec<String> = (0..count).map(property).collect();
        format!(r#"{{"type":"object","properties":{{{}}}}}"#, all.join(","))
    };
    compile(&schema(4)).expect("four megabytes of patterns");
    let refused = compile(&schema(5)).expect_err("five megabytes of patterns");
    assert!(refused.pointer.ends_with("/pattern"), "{refused}");
    assert!(refused.message.contains("4194304 bytes"), "{refused}");
    let small = compile(r#"{"type":"object","properties":{"a":{"pattern":"^[a-z]{1,8}$"}}}"#);
    let large = compile(&schema(1));
    assert!(small.expect("taken").weight_bytes() < large.expect("taken").weight_bytes());
}

/// A lenient tenant's judgement of an event of the type, and of a strict one's.
fn judged<'t>(
    schema: DomainSchema,
    event: &'t str,
    each: impl Fn(&vernier_validation::Item<'_>) + 't,
) {
    let schemas: DomainSchemas = [Arc::new(schema)].into_iter().collect();
    for mode in [Mode::Strict, Mode::Lenient] {
        let policy = Policy {
            domain: Some(&schemas),
            ..Policy::new(mode, Profile::Generic)
        };
        let body = envelope(event);
        let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
        each(&read.items[0]);
    }
}

#[test]
fn a_number_beyond_doubles_is_one_problem_and_hides_no_other() {
    for vast in ["1e400", "-1E+999", &"9".repeat(309), &"9".repeat(400)] {
        let event = format!(r#"{{"type":"{TYPE}","who":"JANE","at":"x","n":[1,{{"v":{vast}}}]}}"#);
        judged(badge_schema(), &event, |item| {
            let problems = &item.verdict.problems;
            let rules: Vec<_> = problems.iter().map(|p| &*p.rule).collect();
            assert_eq!(rules, ["json.number", "domain.schema"], "{problems:?}");
            assert_eq!(problems[0].pointer, "/n/1/v");
            assert_eq!(problems[1].pointer, "/who");
        });
        let text = format!(r#"{{"properties":{{"a":{{"maximum":{vast}}}}}}}"#);
        let refused = compile(&text).expect_err("beyond doubles");
        assert_eq!(refused.pointer, "/properties/a/maximum");
    }
}

#[test]
fn numbers_are_quoted_as_they_were_sent() {
    let long = format!("1{}", "0".repeat(300));
    for number in [
        "12345678901234567890123",
        "-0.1234567890123456789012",
        &long,
    ] {
        let event = format!(r#"{{"type":"{TYPE}","a~/b":[true,{number}]}}"#);
        let schema = compile(r#"{"properties":{"a~/b":{"items":{"type":"boolean"}}}}"#);
        judged(schema.expect("a plain schema"), &event, |item| {
            let problem = &item.verdict.problems[0];
            assert_eq!(problem.pointer, "/a~0~1b/1");
            let shown = problem.found.trim_end_matches('…');
            assert!(number.starts_with(shown) && shown.len() > 20, "{problem:?}");
            assert!(problem.message.contains(shown), "{problem:?}");
        });
    }
}

/// Times that a column is taken from and that nobody can read are a deviation each, and reject nothing.
#[test]
fn unreadable_times_of_a_type_are_deviations() {
    let pointers = || ColumnPointers {
        actor: Some("/who".into()),
        attempt: Some("/try".into()),
        started_at_time: Some("/from/at~1time".into()),
        ended_at_time: Some("/to".into()),
        ..ColumnPointers::default()
    };
    let own = || ColumnPointers {
        event_time: Some("/at".into()),
        ..pointers()
    };
    let caliper = r#""eventTime":"2026-11-15T11:00:00.000Z""#;
    let rest = r#""who":"jane","try":"t1""#;
    let cases: [(ColumnPointers, String, &[&str]); 7] = [
        (pointers(), format!("{caliper},{rest}"), &[]),
        (
            pointers(),
            format!(r#""eventTime":"yesterday",{rest}"#),
            &["/eventTime"],
        ),
        (own(), format!(r#""at":"yesterday",{rest}"#), &["/at"]),
        // What Caliper calls the time is none of the type's columns then.
        (
            own(),
            format!(r#""eventTime":"yesterday","at":1763204400000,{rest}"#),
            &[],
        ),
        (own(), format!(r#""at":1763204400,{rest}"#), &["/at"]),
        (own(), format!(r#""at":null,"to":null,{rest}"#), &[]),
        (
            pointers(),
            format!(r#"{caliper},"from":{{"at/time":{{}}}},"to":["2026"],{rest}"#),
            &["/from/at~1time", "/to"],
        ),
    ];
    for (columns, members, places) in cases {
        let schema = DomainSchema::compile(TYPE, 1, "{}", columns).expect("an empty schema");
        let event = format!(r#"{{"type":"{TYPE}",{members}}}"#);
        judged(schema, &event, |item| {
            assert!(item.verdict.accepted, "{:?}", item.verdict);
            let deviations = &item.verdict.deviations;
            assert!(deviations.iter().all(|d| d.rule == "time.unreadable"));
            let found: Vec<_> = deviations.iter().map(|d| d.pointer.as_str()).collect();
            assert_eq!(found, places, "{event}");
            if let Some(result) = &item.columns.result {
                let none = (result.started_at, result.submitted_at);
                assert_eq!(none, (None, None));
            }
        });
    }
}
