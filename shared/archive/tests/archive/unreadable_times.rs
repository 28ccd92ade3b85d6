//! Lines of earlier versions whose times nobody can read, or that are written otherwise than today's.

use crate::common;
use vernier_archive::files::Source as _;
use vernier_archive::keys::{Algorithm, Signer as _};
use vernier_archive::reader::Part;
use vernier_archive::seal::PartClass;
use vernier_archive::search::{Column, Search};
use vernier_archive::verify::{Options, verify};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::{LineHead, names_rule};
use vernier_ledger::time::Millis;

/// Times as earlier lines have them, and the instants that they mean.
const TIMES: [(&str, Option<i64>); 7] = [
    ("yesterday", None),
    ("", None),
    ("2026-09-01", None),
    ("99999999999999999999", None),
    ("253402300799999", Some(253_402_300_799_999)),
    ("-000001-12-31T23:59:00.000Z", Some(-62_167_219_260_000)),
    ("2026-09-01T09:14:58.250Z", Some(1_788_254_098_250)),
];

/// A line of each of the times; the third one has a deviation of its own already.
fn lines() -> Vec<Vec<u8>> {
    let line = |(index, (time, _)): (u32, &(&'static str, Option<i64>))| {
        let receipt = ReceiptId::from_parts(common::START, 0, [7; 8]);
        let event = format!(r#"{{"n":{index}}}"#);
        let own = r#"[{"rule":"context.caliper","pointer":"/@context"}]"#;
        let own = (index == 2).then(|| own.to_owned());
        let own = own.map(|text| serde_json::value::RawValue::from_string(text).expect("JSON"));
        let head = LineHead {
            id: Some(format!("urn:x:{index}").into()),
            time: Some((*time).into()),
            deviations: own.map(std::borrow::Cow::Owned),
            ..common::bare_head(receipt, index, "event", &event)
        };
        common::line(&head, &event)
    };
    (0..).zip(&TIMES).map(line).collect()
}

fn search(event_time: Option<(Millis, Millis)>, rule: Option<&str>) -> Search {
    Search {
        equal: Vec::new(),
        ruled: rule
            .map(|rule| (Column::Deviations, rule.to_owned()))
            .into_iter()
            .collect(),
        received: (Millis(0), Millis(i64::MAX)),
        event_time,
        sealed_by: None,
    }
}

/// Indices of the rows that a search finds in a part.
fn found(part: &Part, wanted: &Search) -> Vec<u32> {
    let groups = part.groups_where(wanted).expect("reads");
    let mut found = Vec::new();
    part.search(wanted, &groups, &[Column::Id], |row| {
        found.push(row.hit.place.1);
    })
    .expect("reads");
    found.sort_unstable();
    found
}

#[test]
fn a_line_with_an_unreadable_time_is_sealed_verified_and_found() {
    let key = common::key(Algorithm::Ed25519Sha256);
    let (memory, seals) = common::archive_of([lines()], &key);
    let keys = [key.public_key().clone()];
    let report = verify(&memory, &keys, &Options::default(), &|_| {}).expect("memory reads");
    assert_eq!(report.findings, []);
    assert_eq!(report.counts.stored, TIMES.len() as u64);
    let mut files = seals[0].files.iter();
    let file = files.find(|file| file.class() == PartClass::Archive);
    let file = memory.open(&file.expect("stored rows").key).expect("there");
    let part = Part::open(file).expect("a part");
    let mut seen = 0;
    part.for_each(|row| {
        let (time, at) = TIMES[row.index as usize];
        assert_eq!(row.event_time, at.map(Millis), "{time}");
        let deviations = row.deviations.unwrap_or("[]");
        let is_unreadable = names_rule(deviations, "time.unreadable");
        assert_eq!(is_unreadable, at.is_none(), "{time}: {deviations}");
        let keeps_its_own = names_rule(deviations, "context.caliper");
        assert_eq!(keeps_its_own, row.index == 2, "{deviations}");
        assert_eq!(row.event, Some(&*format!(r#"{{"n":{}}}"#, row.index)));
        seen += 1;
        Ok(())
    })
    .expect("reads");
    assert_eq!(seen, TIMES.len());
    let unreadable = search(None, Some("time.unreadable"));
    assert_eq!(found(&part, &unreadable), [0, 1, 2, 3]);
    let ever = (Millis(i64::MIN), Millis(i64::MAX));
    assert_eq!(found(&part, &search(Some(ever), None)), [4, 5, 6]);
    let last = (Millis(253_402_300_799_999), Millis(253_402_300_800_000));
    assert_eq!(found(&part, &search(Some(last), None)), [4]);
}

/// What the archive says of such a line is what the line itself says before it is sealed.
#[test]
fn live_and_sealed_say_the_same_of_a_time() {
    let mut scratch = Vec::new();
    for (line, (time, at)) in lines().iter().zip(&TIMES) {
        vernier_ledger::line::split(line, &mut scratch).expect("a line");
        let head = vernier_ledger::line::read_head(&scratch).expect("a head");
        assert_eq!(head.event_time(), at.map(Millis), "{time}");
        let findings = head.findings();
        let names = |rule| findings.as_deref().is_some_and(|all| names_rule(all, rule));
        assert_eq!(names("time.unreadable"), at.is_none(), "{time}");
        assert_eq!(names("context.caliper"), head.index == 2);
    }
}
