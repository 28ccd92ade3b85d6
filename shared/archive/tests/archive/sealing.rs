//! What goes into a window comes out of its files, with the right disposition.

use crate::common::{self, Mix, line};
use proptest::prelude::*;
use std::collections::BTreeMap;
use vernier_archive::Fault;
use vernier_archive::files::{Memory, Source};
use vernier_archive::previous::{NoPrevious, Previous};
use vernier_archive::reader::{Part, PreviousParts};
use vernier_archive::seal::{SealKind, SealedFile, Written};
use vernier_archive::window::{NoOversize, Oversize, Plan, Settings, WindowBuilder};
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::{Disposition, DispositionCounts, Dispositions};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::{self, EventRef, LineHead, Verdict};
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// What the files say of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    disposition: Disposition,
    first: Option<Place>,
    event: Option<String>,
    id: Option<String>,
}

fn read_back(memory: &Memory, written: &Written) -> BTreeMap<Place, Found> {
    let mut found = BTreeMap::new();
    for file in &written.files {
        let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
        assert_eq!(part.rows(), file.rows);
        let mut last = None;
        part.for_each(|row| {
            let key = format!("{:?}", row.sort_key());
            let own = (
                row.group.map(str::to_owned),
                row.actor.map(str::to_owned),
                row.event_time,
                row.receipt,
                row.index,
            );
            assert!(last.as_ref() < Some(&own), "{key} is out of order");
            last = Some(own);
            let stored = row.disposition == Disposition::Stored;
            assert_eq!(stored, file.key.starts_with("archive/"), "{}", file.key);
            let new = Found {
                disposition: row.disposition,
                first: row.first,
                event: row.event.map(str::to_owned),
                id: row.id.map(str::to_owned),
            };
            assert!(found.insert(row.place(), new).is_none(), "a place twice");
            Ok(())
        })
        .expect("reads");
    }
    found
}

/// The ledger's own rule over the same lines.
fn expected(lines: &[Vec<u8>]) -> (BTreeMap<Place, (Disposition, String)>, Digest) {
    let (mut known, mut head) = (Dispositions::default(), Vec::new());
    let mut all = BTreeMap::new();
    let mut digest = Digest::EMPTY;
    for text in lines {
        line::split(text, &mut head).expect("a line");
        known.show(&line::read_head(&head).expect("a head"));
    }
    for text in lines {
        let event = line::split(text, &mut head).expect("a line").to_vec();
        let read = line::read_head(&head).expect("a head");
        let fingerprint = Fingerprint::from_hex(&read.fingerprint).expect("hexadecimal");
        digest.add_event(read.receipt, read.index, &fingerprint);
        let event = String::from_utf8(event).expect("JSON");
        all.insert((read.receipt, read.index), (known.of(&read), event));
    }
    (all, digest)
}

fn check(lines: &[Vec<u8>], memory: &Memory, written: &Written) {
    let (expected, digest) = expected(lines);
    let found = read_back(memory, written);
    assert_eq!(written.digest, digest);
    assert_eq!(found.len(), lines.len());
    let mut counts = DispositionCounts::default();
    for (place, (disposition, event)) in &expected {
        let here = &found[place];
        counts.add(*disposition);
        assert_eq!(here.disposition, *disposition, "{place:?}");
        let repeats = matches!(disposition, Disposition::Duplicate | Disposition::Conflict);
        assert_eq!(here.first.is_some(), repeats);
        if let Some(first) = here.first {
            assert_eq!(found[&first].disposition, Disposition::Stored);
            assert_eq!(found[&first].id, here.id);
            assert!(first < *place);
        }
        let text = (*disposition != Disposition::Duplicate).then_some(event);
        assert_eq!(here.event.as_ref(), text, "{place:?}");
    }
    assert_eq!(written.counts, counts);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Invariants 2 and 4: whatever the order of the lines, the memory, the threads and the size of
    /// parts, dispositions are the ledger's, and the files are the same to the byte.
    #[test]
    fn neither_order_nor_memory_nor_threads_change_the_files(
        seed in 1u64..1_000, events in 1u64..90, run_bytes in 1_000usize..200_000, threads in 1usize..4, shuffle: u64,
    ) {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut lines = common::lines(Mix::of(seed, events), common::window(0));
        let settings = Settings { part_rows: 25, ..common::settings(temporary.path()) };
        let straight = Memory::default();
        let written = common::write_window(common::plan(0), settings.clone(), &lines, &NoPrevious, &straight);
        check(&lines, &straight, &written);
        let mut random = common::Random::seeded(shuffle);
        for at in (1..lines.len()).rev() {
            lines.swap(at, random.below(at + 1));
        }
        let again = Memory::default();
        let settings = Settings { run_bytes, threads, ..settings };
        let other = common::write_window(common::plan(0), settings, &lines, &NoPrevious, &again);
        prop_assert_eq!(&other, &written);
        prop_assert_eq!(again.all(), straight.all());
        prop_assert_eq!(std::fs::read_dir(temporary.path()).expect("there").count(), 0);
    }
}

#[test]
fn the_mix_has_every_disposition_and_several_parts() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let lines = common::lines(Mix::of(1, 90), common::window(0));
    let settings = Settings {
        part_rows: 25,
        ..common::settings(temporary.path())
    };
    let memory = Memory::default();
    let written = common::write_window(common::plan(0), settings, &lines, &NoPrevious, &memory);
    let counts = written.counts;
    let all = common::in_order(counts);
    assert!(all.iter().all(|count| *count > 0), "{counts:?}");
    let rows: Vec<u64> = written.files.iter().map(|file| file.rows).collect();
    assert!(rows.contains(&25) && rows.len() > 4, "{rows:?}");
    let archived = |file: &&SealedFile| file.key.starts_with("archive/");
    let archived = written.files.iter().filter(archived).count();
    for (at, file) in written.files.iter().enumerate() {
        let (class, part) = match at.checked_sub(archived) {
            None => ("archive", at),
            Some(part) => ("exceptions", part),
        };
        let content = &file.sha256.to_string()[..32];
        assert_eq!(
            file.key,
            format!(
                "{class}/tenant=school/dt=2026-09-01/hour=09/001788254100000-{part:04}-{content}.parquet"
            )
        );
    }
}

#[test]
fn a_window_without_events_has_no_files() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let memory = Memory::default();
    let settings = common::settings(temporary.path());
    let written = common::write_window(common::plan(0), settings, &[], &NoPrevious, &memory);
    assert!(written.files.is_empty() && memory.all().is_empty());
    assert_eq!(written.merkle_root, vernier_archive::merkle::empty_root());
}

fn builder(temporary: &std::path::Path) -> WindowBuilder {
    WindowBuilder::new(common::plan(0), common::settings(temporary))
}

fn finish(builder: WindowBuilder, oversize: &dyn Oversize) -> Result<Written, Fault> {
    builder.finish(&NoPrevious, oversize, &Memory::default())
}

fn head<'a>(at: i64, index: u32, kind: &'a str, id: Option<&'a str>, event: &str) -> LineHead<'a> {
    let receipt = ReceiptId::from_parts(Millis(common::START.0 + at), 0, [7; 8]);
    LineHead {
        id: id.map(Into::into),
        ..common::bare_head(receipt, index, kind, event)
    }
}

#[test]
fn the_same_place_twice_is_never_sealed() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    for verdict in [Verdict::Accepted, Verdict::Rejected] {
        let mut builder = builder(temporary.path());
        for _ in 0..2 {
            let mut head = head(0, 3, "event", Some("urn:a"), "{}");
            head.verdict = verdict;
            builder.push_line(&line(&head, "{}")).expect("a line");
        }
        let error = finish(builder, &NoOversize).expect_err("a place twice");
        assert!(matches!(error, Fault::Repeated(_, 3)), "{error}");
    }
}

#[test]
fn an_event_that_is_not_its_fingerprint_is_never_sealed() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut builder = builder(temporary.path());
    let text = line(&head(0, 3, "event", Some("urn:a"), "{}"), "{\"x\":1}");
    builder.push_line(&text).expect("a line");
    let error = finish(builder, &NoOversize).expect_err("other bytes");
    assert!(error.to_string().contains("fingerprint"), "{error}");
}

#[test]
fn lines_of_other_windows_are_left_out() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut builder = builder(temporary.path());
    let inside = line(&head(0, 0, "event", Some("urn:a"), "{}"), "{}");
    let outside = line(&head(-1, 0, "event", Some("urn:b"), "{}"), "{}");
    let both = [&outside[..], b"\n", &inside[..], b"\n"].concat();
    assert_eq!(builder.push_lines(&both).expect("lines"), 1);
    let error = builder.push_line(&outside).expect_err("another window");
    assert!(matches!(error, Fault::OtherWindow(_)));
    assert_eq!(
        finish(builder, &NoOversize).expect("sealed").counts.stored,
        1
    );
}

struct Bucket(&'static str);

impl Oversize for Bucket {
    fn fetch(&self, reference: &EventRef) -> std::io::Result<Vec<u8>> {
        assert_eq!(reference.key, "oversize/x.json");
        Ok(self.0.as_bytes().to_vec())
    }
}

#[test]
fn oversize_events_are_brought_and_checked() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let large = r#"{"large":true}"#;
    let build = || {
        let mut builder = builder(temporary.path());
        let mut head = head(0, 0, "event", Some("urn:a"), large);
        head.event_ref = Some(EventRef {
            key: "oversize/x.json".to_owned(),
            bytes: 14,
        });
        builder.push_line(&line(&head, "null")).expect("a line");
        builder
    };
    let memory = Memory::default();
    let written = build().finish(&NoPrevious, &Bucket(large), &memory);
    let written = written.expect("sealed");
    let found = read_back(&memory, &written);
    assert_eq!(
        found.values().next().expect("a row").event.as_deref(),
        Some(large)
    );
    assert!(finish(build(), &Bucket("{}")).is_err());
    assert!(finish(build(), &NoOversize).is_err());
}

#[test]
fn a_result_on_the_line_becomes_columns() {
    const RESULT: &str = r#"{"learner":"urn:l","given":7.5,"more":1}"#;
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut builder = builder(temporary.path());
    let plain = line(&head(0, 0, "event", Some("urn:a"), "{}"), "{}");
    let text = String::from_utf8(plain).expect("JSON");
    let scored = text.replace(
        ",\"fingerprint\"",
        &format!(",\"result\":{RESULT},\"fingerprint\""),
    );
    builder.push_line(scored.as_bytes()).expect("a line");
    let memory = Memory::default();
    let written = builder
        .finish(&NoPrevious, &NoOversize, &memory)
        .expect("sealed");
    let part = Part::open(memory.open(&written.files[0].key).expect("there")).expect("a part");
    let mut results = Vec::new();
    part.for_each(|row| {
        assert_eq!((row.score, row.score_maximum), (Some(7.5), None));
        results.extend(row.result.map(str::to_owned));
        Ok(())
    })
    .expect("reads");
    assert_eq!(results, [RESULT]);
}

/// Earlier windows' parts as what they know.
fn previous(memory: &Memory, written: &[&Written]) -> PreviousParts {
    let mut previous = PreviousParts::default();
    for file in written.iter().flat_map(|w| &w.files) {
        if file.key.starts_with("archive/") {
            let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
            previous.add(part).expect("filters");
        }
    }
    previous
}

#[test]
fn what_an_earlier_window_has_stored_is_a_duplicate_or_conflict_of_it() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let (memory, settings) = (Memory::default(), common::settings(temporary.path()));
    let earlier = [
        line(&head(0, 0, "event", Some("urn:same"), "{}"), "{}"),
        line(&head(0, 1, "event", Some("urn:other"), "{}"), "{}"),
        line(
            &head(0, 2, "entity", Some("urn:entity"), "{\"e\":1}"),
            "{\"e\":1}",
        ),
        line(&head(0, 3, "event", None, "{\"noid\":1}"), "{\"noid\":1}"),
    ];
    let first = common::write_window(
        common::plan(0),
        settings.clone(),
        &earlier,
        &NoPrevious,
        &memory,
    );
    let later = common::WINDOW_MILLIS;
    let now = [
        line(&head(later, 0, "event", Some("urn:same"), "{}"), "{}"),
        line(
            &head(later, 1, "event", Some("urn:other"), "{\"x\":2}"),
            "{\"x\":2}",
        ),
        // The same entity with other content is another describe.
        line(
            &head(later, 2, "entity", Some("urn:entity"), "{\"e\":2}"),
            "{\"e\":2}",
        ),
        line(
            &head(later, 3, "entity", Some("urn:entity"), "{\"e\":1}"),
            "{\"e\":1}",
        ),
        line(
            &head(later, 4, "event", None, "{\"noid\":1}"),
            "{\"noid\":1}",
        ),
        line(&head(later, 5, "event", Some("urn:new"), "{}"), "{}"),
        // Later in the same window: the earlier window's event is still the first.
        line(&head(later, 6, "event", Some("urn:other"), "{}"), "{}"),
    ];
    let previous = previous(&memory, &[&first]);
    let second = common::write_window(common::plan(1), settings, &now, &previous, &memory);
    let found = read_back(&memory, &second);
    let receipt = |at| ReceiptId::from_parts(Millis(common::START.0 + at), 0, [7; 8]);
    let of = |index| {
        let found = &found[&(receipt(later), index)];
        (
            found.disposition,
            found.first.map(|(r, index)| (r == receipt(0), index)),
        )
    };
    use Disposition::{Conflict, Duplicate, Stored};
    assert_eq!(of(0), (Duplicate, Some((true, 0))));
    assert_eq!(of(1), (Conflict, Some((true, 1))));
    assert_eq!(of(2), (Stored, None));
    assert_eq!(of(3), (Duplicate, Some((true, 2))));
    assert_eq!(of(4), (Duplicate, Some((true, 3))));
    assert_eq!(of(5), (Stored, None));
    assert_eq!(of(6), (Duplicate, Some((true, 1))));
}

#[test]
fn a_window_sent_again_stores_nothing() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let memory = Memory::default();
    let mix = Mix {
        again_every: 0,
        invalid: 0,
        ..Mix::of(3, 80)
    };
    let settings = common::settings(temporary.path());
    let first = common::lines(mix, common::window(0));
    let first = common::write_window(
        common::plan(0),
        settings.clone(),
        &first,
        &NoPrevious,
        &memory,
    );
    let again = common::lines(mix, common::window(1));
    let previous = previous(&memory, &[&first]);
    let second = common::write_window(common::plan(1), settings, &again, &previous, &memory);
    assert_eq!((first.counts.stored, second.counts.stored), (80, 0));
    assert_eq!(second.counts.duplicate, 80);
}

struct Failing;

impl Previous for Failing {
    fn firsts(
        &self,
        _: &[vernier_archive::previous::Asked<'_>],
    ) -> Result<Vec<Option<vernier_archive::previous::First>>, Fault> {
        Err(std::io::Error::other("not now").into())
    }

    fn meanings(
        &self,
        _: &[vernier_ledger::segment::Place],
    ) -> Result<vernier_archive::previous::Meanings, Fault> {
        Err(std::io::Error::other("not now").into())
    }
}

#[test]
fn when_earlier_windows_cannot_be_asked_nothing_is_sealed() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut builder = builder(temporary.path());
    let text = line(&head(0, 0, "event", Some("urn:a"), "{}"), "{}");
    builder.push_line(&text).expect("a line");
    let memory = Memory::default();
    assert!(builder.finish(&Failing, &NoOversize, &memory).is_err());
    assert!(memory.all().is_empty());
}

#[test]
fn a_backfill_is_named_after_its_seal() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let memory = Memory::default();
    let plan = Plan {
        kind: SealKind::Backfill,
        sequence: 12,
        ..common::plan(0)
    };
    let text = line(&head(0, 0, "event", Some("urn:a"), "{}"), "{}");
    let settings = common::settings(temporary.path());
    let written = common::write_window(plan, settings, &[text], &NoPrevious, &memory);
    assert!(written.files[0].key.contains("-b000000000012-0000-"));
}
