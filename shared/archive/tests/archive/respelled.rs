//! Events of one id in other bytes: what means the same is a duplicate that keeps its text, and nothing else is.

use crate::common;
use proptest::prelude::*;
use std::collections::BTreeMap;
use vernier_archive::files::{Memory, Source as _};
use vernier_archive::previous::{Asked, First, LookedUp, Previous};
use vernier_archive::reader::{Part, PreviousParts};
use vernier_archive::seal::PartClass;
use vernier_archive::share::{Share, ShareWritten};
use vernier_archive::window::{NoOversize, Settings, WindowBuilder};
use vernier_ledger::disposition::{Disposition, Dispositions};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::{self, LineHead};
use vernier_ledger::segment::Place;

/// An event: which, what it says, and how that is spelled.
#[derive(Debug, Clone)]
struct Spelled {
    window: u64,
    identity: usize,
    meaning: usize,
    spelling: [usize; 4],
}

const IDS: [&str; 3] = [
    "urn:uuid:0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b",
    "0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5c",
    "https://school.example/events/A",
];

const NUMBERS: [[&str; 4]; 2] = [
    ["1.5", "15e-1", "1.50", "0.15E+1"],
    // Numbers of one double, and of two values.
    [
        "9007199254740993",
        "9007199254740993.0",
        "9007199254740993e0",
        "90071992547409930e-1",
    ],
];

const LETTERS: [&str; 4] = ["é/\\\"", "\\u00e9/\\\"", "\\u00E9\\/\\u0022", "é\\/\\\""];

impl Spelled {
    fn id(&self) -> String {
        let id = IDS[self.identity];
        // An id that is no UUID has one spelling.
        match self.spelling[0].is_multiple_of(2) || self.identity == 2 {
            true => id.to_owned(),
            false => id.to_uppercase(),
        }
    }

    fn text(&self) -> String {
        let [_, number, letters, order] = self.spelling;
        let id = self.id();
        let mut members = [
            format!("\"id\":\"{id}\""),
            format!("\"of\":[\"{id}\",null,true]"),
            format!("\"n\":{}", NUMBERS[self.meaning][number % 4]),
            format!("\"s\":{{\"t\":\"{}\",\"a\":{{}}}}", LETTERS[letters % 4]),
        ];
        members.rotate_left(order % 4);
        format!("{{{}}}", members.join(","))
    }

    fn line(&self, number: usize) -> (Place, String, Vec<u8>) {
        let seconds = i64::try_from(number).expect("few");
        let at = common::window(self.window).start.plus_seconds(seconds);
        let (receipt, text) = (ReceiptId::from_parts(at, 0, [7; 8]), self.text());
        let head = LineHead {
            id: Some(self.id().into()),
            type_name: Some("ViewEvent".into()),
            ..common::bare_head(receipt, 0, "event", &text)
        };
        let line = common::line(&head, &text);
        ((receipt, 0), text, line)
    }
}

fn events() -> impl Strategy<Value = Vec<Spelled>> {
    let one = (
        0..2_u64,
        0..3_usize,
        0..2_usize,
        proptest::array::uniform4(0..4_usize),
    );
    let one = one.prop_map(|(window, identity, meaning, spelling)| Spelled {
        window,
        identity,
        meaning,
        spelling,
    });
    proptest::collection::vec(one, 1..40).prop_map(|mut events| {
        events.sort_by_key(|event| event.window);
        events
    })
}

fn sealed(
    window: u64,
    lines: &[Vec<u8>],
    settings: Settings,
    previous: &dyn Previous,
    memory: &Memory,
) -> ShareWritten {
    let mut builder = WindowBuilder::of_share(common::plan(window), Share::WHOLE, settings);
    for line in lines {
        builder.push_line(line).expect("a line");
    }
    let written = builder.finish_share(previous, &NoOversize, memory);
    written.expect("written")
}

type Ends = BTreeMap<Place, (Disposition, Option<Place>, Option<String>)>;

fn read(memory: &Memory, written: &ShareWritten, ends: &mut Ends) {
    for file in &written.files {
        let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
        part.for_each(|row| {
            let event = row.event.map(str::to_owned);
            ends.insert(row.place(), (row.disposition, row.first, event));
            Ok(())
        })
        .expect("reads");
    }
}

/// How each event must end: by its place, from what was written down of it above.
fn expected(all: &[(Spelled, Place, String)]) -> Ends {
    let mut firsts: BTreeMap<usize, &(Spelled, Place, String)> = BTreeMap::new();
    let mut ends = Ends::new();
    for event in all {
        let (spelled, place, text) = event;
        let own = Some(text.clone());
        let end = match firsts.get(&spelled.identity) {
            None => {
                firsts.insert(spelled.identity, event);
                (Disposition::Stored, None, own)
            }
            Some((first, at, _)) if first.meaning != spelled.meaning => {
                (Disposition::Conflict, Some(*at), own)
            }
            Some((_, at, bytes)) => {
                let own = own.filter(|own| own != bytes);
                (Disposition::Duplicate, Some(*at), own)
            }
        };
        ends.insert(*place, end);
    }
    ends
}

fn live(lines: &[Vec<u8>]) -> BTreeMap<Place, Disposition> {
    let mut known = Dispositions::default();
    let each = |of: &mut dyn FnMut(&LineHead<'_>, &str)| {
        let mut scratch = Vec::new();
        for text in lines {
            let event = line::split(text, &mut scratch).expect("a line");
            let head = line::read_head(&scratch).expect("a head");
            of(&head, std::str::from_utf8(event).expect("JSON"));
        }
    };
    each(&mut |head, _| known.show(head));
    each(&mut |head, text| {
        if let Some(content) = known.wanted(head) {
            known.show_text(content, text, head.id.as_deref());
        }
    });
    let mut ends = BTreeMap::new();
    each(&mut |head, _| {
        ends.insert((head.receipt, head.index), known.of(head));
    });
    ends
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Invariant 2: in one window and behind an earlier one, whatever the memory, sealing and live answers say the same.
    #[test]
    fn what_means_the_same_is_a_duplicate(events in events(), run_bytes in 300_usize..20_000) {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let memory = Memory::default();
        let (mut all, mut lines) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (number, event) in events.into_iter().enumerate() {
            let (place, text, line) = event.line(number);
            lines[usize::from(event.window == 1)].push(line);
            all.push((event, place, text));
        }
        let settings = Settings { run_bytes, part_rows: 7, ..common::settings(temporary.path()) };
        let (mut ends, mut previous) = (Ends::new(), PreviousParts::default());
        for (window, lines) in (0..).zip(&lines) {
            let written = sealed(window, lines, settings.clone(), &previous, &memory);
            read(&memory, &written, &mut ends);
            let stored = written.files.iter().filter(|file| file.class() == PartClass::Archive);
            for file in stored {
                let part = Part::open(memory.open(&file.key).expect("there")).expect("a part");
                previous.add(part).expect("filters");
            }
        }
        let expected = expected(&all);
        prop_assert_eq!(&ends, &expected);
        let live = live(&lines.concat());
        let of_seals: BTreeMap<Place, Disposition> = ends.iter().map(|(place, end)| (*place, end.0)).collect();
        prop_assert_eq!(live, of_seals);
    }
}

/// What a playback sends again names a first that nobody looked up: its own text stands for the first's.
#[test]
fn a_row_in_the_firsts_bytes_stands_for_a_first_that_is_not_at_hand() {
    let spelled = |spelling| Spelled {
        window: 1,
        identity: 0,
        meaning: 0,
        spelling,
    };
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let first = ReceiptId::from_parts(common::window(0).start, 0, [1; 8]);
    let (again, other) = (spelled([0; 4]), spelled([1; 4]));
    let (place, _, line) = again.line(0);
    let mut head = Vec::new();
    line::split(&line, &mut head).expect("a line");
    let asked = line::read_head(&head).expect("a head");
    let asked = Asked::of(&asked).expect("accepted");
    let mut known = LookedUp::default();
    let fingerprint = asked.fingerprint;
    known.add(
        &asked,
        First {
            place: (first, 4),
            fingerprint,
        },
    );
    let (later, text, respelled) = other.line(1);
    let memory = Memory::default();
    let settings = common::settings(temporary.path());
    let lines = [respelled.clone(), line];
    let written = sealed(1, &lines, settings.clone(), &known, &memory);
    let mut ends = Ends::new();
    read(&memory, &written, &mut ends);
    let first = Some((first, 4));
    assert_eq!(ends[&place], (Disposition::Duplicate, first, None));
    assert_eq!(ends[&later], (Disposition::Duplicate, first, Some(text)));
    // Without it nobody can tell, and nothing is sealed on hope.
    let mut builder = WindowBuilder::of_share(common::plan(1), Share::WHOLE, settings);
    builder.push_line(&respelled).expect("a line");
    let refused = builder.finish_share(&known, &NoOversize, &memory);
    let said = refused.expect_err("no text").to_string();
    assert!(said.contains("is not at hand"), "{said}");
}
