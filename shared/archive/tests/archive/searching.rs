//! Files searched as a store's reader does: by ranges, and exactly.

use crate::common::chain4::{Chain4, Content, Sent};
use crate::common::{self, Mix, Random};
use crate::version4::{UUID, a_place, mixed};
use std::cell::Cell;
use vernier_archive::files::{Memory, Source};
use vernier_archive::keys::Algorithm;
use vernier_archive::previous::NoPrevious;
use vernier_archive::reader::Part;
use vernier_archive::row::{Row, disposition_word};
use vernier_archive::seal::{Seal, SealKind, SealedFile};
use vernier_archive::search::{Column, Hit, Search};
use vernier_archive::stored::{self, Found};
use vernier_ledger::line::rules_of;
use vernier_ledger::ports::{Objects, PortError, PutOutcome};
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// A store that counts.
struct Store {
    files: Memory,
    gets: Cell<u64>,
    bytes: Cell<u64>,
}

impl Objects for Store {
    async fn put_new(&self, _: &str, _: Vec<u8>, _: Option<&str>) -> Result<PutOutcome, PortError> {
        Err(PortError::Fatal("only read".to_owned()))
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        let Ok(file) = self.files.open(key) else {
            return Ok(None);
        };
        let (offset, length) = range.unwrap_or((0, file.size()));
        let length = usize::try_from(length).expect("small");
        let bytes = file.read(offset, length).expect("within the file");
        self.gets.set(self.gets.get() + 1);
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        Ok(Some(bytes.to_vec()))
    }
}

/// A window's seal, and its day's.
fn store(events: u64) -> (Store, [Seal; 2]) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let memory = Memory::default();
    let lines = common::lines(Mix::of(5, events), common::window(0));
    let settings = common::settings(temporary.path());
    let written = common::write_window(common::plan(0), settings, &lines, &NoPrevious, &memory);
    let key = common::key(Algorithm::Ed25519Sha256);
    let window = common::put_seal(written, None, &key, &memory);
    let covered = std::slice::from_ref(&window);
    let day = common::merge_days(covered, &window, 1_000_000, &key, &memory);
    let store = Store {
        files: memory,
        gets: Cell::new(0),
        bytes: Cell::new(0),
    };
    (store, [window, day])
}

/// What a row is found by.
#[derive(Debug, Clone)]
struct Known {
    hit: Hit,
    received_at: Millis,
    columns: Vec<(Column, Option<String>)>,
    rules: [Vec<String>; 2],
    fingerprint: [u8; 32],
    is_erased: bool,
}

const COLUMNS: [Column; 13] = [
    Column::Id,
    Column::Type,
    Column::Action,
    Column::Actor,
    Column::Group,
    Column::Sensor,
    Column::Disposition,
    Column::Strict,
    Column::Problems,
    Column::Deviations,
    Column::Result,
    Column::Kind,
    Column::Fingerprint,
];

fn known(row: &Row<'_>, at: usize) -> Known {
    let column = |column| {
        let value = match column {
            Column::Id => row.id,
            Column::Type => row.type_name,
            Column::Action => row.action,
            Column::Actor => row.actor,
            Column::Group => row.group,
            Column::Sensor => Some(row.sensor),
            Column::Disposition => Some(disposition_word(row.disposition)),
            Column::Strict => Some(row.strict),
            Column::Problems => row.problems,
            Column::Deviations => row.deviations,
            Column::Result => row.result,
            Column::Kind => Some(row.kind),
            Column::Fingerprint => None,
        };
        (column, value.map(str::to_owned))
    };
    let rules = |text: Option<&str>| {
        let rules = rules_of(text.unwrap_or_default());
        rules.into_iter().map(|rule| rule.into_owned()).collect()
    };
    Known {
        hit: Hit {
            place: row.place(),
            event_time: row.event_time,
            group: 0,
            row: at,
        },
        received_at: row.received_at,
        columns: COLUMNS.map(column).to_vec(),
        rules: [rules(row.problems), rules(row.deviations)],
        fingerprint: row.fingerprint,
        is_erased: row.erased.is_some(),
    }
}

fn passes(known: &Known, wanted: &Search) -> bool {
    let equal = |(column, value): &(Column, String)| {
        known.columns.contains(&(*column, Some(value.clone())))
    };
    let ruled = |(column, rule): &(Column, String)| {
        known.rules[usize::from(*column == Column::Deviations)].contains(rule)
    };
    let in_time = |(from, to)| known.hit.event_time.is_some_and(|at| from <= at && at < to);
    wanted.equal.iter().all(equal)
        && wanted.ruled.iter().all(ruled)
        && (wanted.received.0..wanted.received.1).contains(&known.received_at)
        && wanted.event_time.is_none_or(in_time)
}

fn everything() -> Search {
    Search {
        equal: Vec::new(),
        ruled: Vec::new(),
        received: (Millis(0), Millis(i64::MAX)),
        event_time: None,
        sealed_by: None,
    }
}

/// A search for some of what a row has, sometimes with what no row has.
fn search_like(row: &Known, numbers: &mut Random) -> Search {
    let mut search = everything();
    for (column, value) in &row.columns {
        if let Some(value) = value.clone().filter(|_| numbers.below(5) == 0) {
            let value = if numbers.below(12) == 0 {
                format!("{value}~")
            } else {
                value
            };
            search.equal.push((*column, value));
        }
    }
    for (column, rules) in [Column::Problems, Column::Deviations]
        .into_iter()
        .zip(&row.rules)
    {
        if let Some(rule) = rules.first().filter(|_| numbers.below(3) == 0) {
            search.ruled.push((column, rule.clone()));
        }
    }
    let around = |at: Millis, numbers: &mut Random| {
        let side = |n: usize| i64::try_from(n).unwrap_or(0);
        let (before, after) = (numbers.below(90), numbers.below(90));
        (at.plus_seconds(-side(before)), at.plus_seconds(side(after)))
    };
    if numbers.below(3) == 0 {
        search.received = around(row.received_at, numbers);
    }
    if let Some(at) = row.hit.event_time.filter(|_| numbers.below(3) == 0) {
        search.event_time = Some(around(at, numbers));
    }
    search
}

/// A hit, without where it lies: in a row group or in a block.
const fn known_by(hit: &Hit) -> (Place, Option<Millis>) {
    (hit.place, hit.event_time)
}

async fn search(store: &Store, file: &SealedFile, wanted: &Search) -> Found {
    let ready = stored::ready(store, file, wanted, &[]).await;
    let found = ready.expect("reads").expect("there").found(wanted, &[]);
    found.expect("all of it is here")
}

/// A window of version 4 in two shares, and its day, with rows in other bytes and some that are erased in both.
fn store4(events: u32) -> (Store, Vec<Seal>) {
    let mut chain = Chain4::new(common::key(Algorithm::Ed25519Sha256));
    let mut sent = mixed();
    sent.extend((0..events).map(|n| Sent::new(2_000 + i64::from(n), n, &format!("urn:y:{n}"))));
    let content = Content {
        shares: 2,
        ..Content::of(sent)
    };
    chain.seal(SealKind::Window, common::window(0), &content);
    let (part, place) = a_place(&chain, 0, "urn:y:7");
    let others = (8..20).map(|n| a_place(&chain, 0, &format!("urn:y:{n}")));
    let beside = others.filter(|(at, _)| *at == part).map(|(_, place)| place);
    let places: Vec<Place> = beside.chain([place]).collect();
    assert!(places.len() > 2);
    chain.erase(0, part, &places);
    chain.day(&[0]);
    let seals = [0, 2].map(|sequence| chain.current(sequence)).to_vec();
    let store = Store {
        files: chain.memory,
        gets: Cell::new(0),
        bytes: Cell::new(0),
    };
    (store, seals)
}

/// With several pages a column, and several blocks: what statistics, filters, pages and tables leave out
/// is what does not pass.
#[tokio::test]
async fn a_search_finds_exactly_what_a_scan_finds() {
    let (store, seals) = store(9_000);
    is_found_as_scanned(&store, &seals).await;
}

#[tokio::test]
async fn a_search_of_version_4_finds_exactly_what_a_scan_finds() {
    let (store, seals) = store4(6_000);
    assert!(
        seals
            .iter()
            .flat_map(|seal| &seal.files)
            .any(|file| file.ids.is_some())
    );
    is_found_as_scanned(&store, &seals).await;
}

/// Of a day of version 4 an id that is not there costs one request, one that is there two, and so does an actor.
#[tokio::test]
async fn the_table_of_ids_tells_where_an_id_lies() {
    let (store, seals) = store4(6_000);
    let day = seals.last().expect("a day");
    for (file, id, there) in [
        (&day.files[0], "urn:y:4321", true),
        (&day.files[0], "urn:y:nobody", false),
        // Erased.
        (&day.files[0], "urn:y:7", false),
        // In capitals there, as a duplicate.
        (&day.files[1], UUID, true),
    ] {
        let mut wanted = everything();
        wanted.equal.push((Column::Id, id.to_owned()));
        store.gets.set(0);
        let found = search(&store, file, &wanted).await;
        assert_eq!(found.hits.len(), usize::from(there), "{id}");
        let texts = found.rows(&store, &found.hits, |row| row.event.is_some());
        assert!(texts.await.expect("reads").iter().all(|there| *there));
        assert_eq!(store.gets.get(), 1 + u64::from(there), "{id}");
    }
}

async fn is_found_as_scanned(store: &Store, seals: &[Seal]) {
    let files: Vec<&SealedFile> = seals.iter().flat_map(|seal| &seal.files).collect();
    let mut numbers = Random::seeded(11);
    let (mut searches, mut some) = (0, 0);
    for file in files {
        let part = Part::open(store.files.open(&file.key).expect("there")).expect("a part");
        assert_eq!(part.groups(), 1);
        let mut all = Vec::new();
        part.for_each(|row| {
            all.push(known(&row, all.len()));
            Ok(())
        })
        .expect("reads");
        for _ in 0..80 {
            let like = &all[numbers.below(all.len())];
            let wanted = search_like(like, &mut numbers);
            let found = search(store, file, &wanted).await;
            let found_places: Vec<_> = found.hits.iter().map(known_by).collect();
            let scanned: Vec<&Known> = all.iter().filter(|row| passes(row, &wanted)).collect();
            let hits: Vec<_> = scanned.iter().map(|row| known_by(&row.hit)).collect();
            assert_eq!(found_places, hits, "{wanted:?}");
            let ready = stored::ready(store, file, &wanted, &COLUMNS).await;
            let ready = ready.expect("reads").expect("there");
            let (mut columns, mut fingerprints) = (Vec::new(), Vec::new());
            let mut erased = Vec::new();
            let scanned_again = ready.scan(&wanted, &COLUMNS, |row| {
                let text = |column: Column| (column, row.text(column).map(str::to_owned));
                columns.push(COLUMNS.map(text).to_vec());
                fingerprints.push(row.fingerprint().map_or([0; 32], |found| found.0));
                erased.push(row.is_erased);
            });
            scanned_again.expect("all of it is here");
            let own: Vec<_> = scanned.iter().map(|row| row.columns.clone()).collect();
            assert_eq!(columns, own, "{wanted:?}");
            let own: Vec<bool> = scanned.iter().map(|row| row.is_erased).collect();
            assert_eq!(erased, own, "{wanted:?}");
            let rows = found.rows(store, &found.hits, |row| row.fingerprint).await;
            let own: Vec<[u8; 32]> = scanned.iter().map(|row| row.fingerprint).collect();
            assert_eq!(rows.expect("reads"), own, "{wanted:?}");
            assert_eq!(fingerprints, own, "{wanted:?}");
            searches += 1;
            some += usize::from(!hits.is_empty());
        }
    }
    assert!(
        some > searches / 2 && some < searches,
        "{some} of {searches}"
    );
}

/// A learner in a section lies in a window's file on a page or two of each column; in a day's in one block or two
/// that touch, of which the table tells. Sealing and merging both takes most of the time, so it is done once.
#[tokio::test]
async fn a_narrow_search_of_a_window_reads_little_and_of_a_day_two_ranges() {
    let (store, [window, day]) = store(40_000);
    let file = &window.files[0];
    let wanted = learner_in(&store, file);
    let (gets, bytes) = reads_of(&store, file, &wanted).await;
    assert!(bytes * 5 < file.bytes, "{bytes} of {}", file.bytes);
    assert!(gets < 60, "{gets}");
    let (gets, bytes) = reads_of(&store, file, &nobody(wanted)).await;
    assert!(
        gets <= 2 && bytes < 100_000,
        "{gets} requests, {bytes} bytes"
    );
    let file = &day.files[0];
    let wanted = learner_in(&store, file);
    let (gets, bytes) = reads_of(&store, file, &wanted).await;
    assert_eq!(gets, 2);
    assert!(bytes * 50 < file.bytes, "{bytes} of {}", file.bytes);
    let (gets, bytes) = reads_of(&store, file, &nobody(wanted)).await;
    assert_eq!(gets, 1);
    assert!(bytes * 100 < file.bytes, "{bytes} of {}", file.bytes);
}

/// A search for what somebody in the middle of a file did in a section.
fn learner_in(store: &Store, file: &SealedFile) -> Search {
    let part = Part::open(store.files.open(&file.key).expect("there")).expect("a part");
    let mut learner = None;
    part.for_each_from(20_000, |row| {
        learner = Some((row.group.map(str::to_owned), row.actor.map(str::to_owned)));
        Ok(std::ops::ControlFlow::Break(()))
    })
    .expect("reads");
    let (group, actor) = learner.expect("a row");
    let mut wanted = everything();
    wanted.equal.push((Column::Group, group.expect("a group")));
    wanted.equal.push((Column::Actor, actor.expect("an actor")));
    wanted
}

fn nobody(mut wanted: Search) -> Search {
    wanted.equal[1].1.push('~');
    wanted
}

/// Requests and bytes of a search and of reading what it finds.
async fn reads_of(store: &Store, file: &SealedFile, wanted: &Search) -> (u64, u64) {
    store.gets.set(0);
    store.bytes.set(0);
    let found = search(store, file, wanted).await;
    let rows = found.rows(store, &found.hits, |row| row.event.is_some());
    assert!(rows.await.expect("reads").iter().all(|there| *there));
    (store.gets.get(), store.bytes.get())
}
