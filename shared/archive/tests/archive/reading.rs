//! Parts as readers use them: pruned by bloom filters and page index.

use crate::common::{self, Mix};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vernier_archive::files::{Memory, Ranges, Source};
use vernier_archive::previous::NoPrevious;
use vernier_archive::reader::{Filter, Part};
use vernier_archive::row::Row;

/// Counts the bytes that are read.
struct Counting {
    inner: Arc<dyn Ranges>,
    read: Arc<AtomicU64>,
}

impl Ranges for Counting {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read(&self, offset: u64, length: usize) -> std::io::Result<bytes::Bytes> {
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        self.inner.read(offset, length)
    }
}

fn part(events: u64) -> (Part, Arc<AtomicU64>, u64) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let memory = Memory::default();
    let lines = common::lines(Mix::of(5, events), common::window(0));
    let settings = common::settings(temporary.path());
    let written = common::write_window(common::plan(0), settings, &lines, &NoPrevious, &memory);
    let read = Arc::new(AtomicU64::new(0));
    let counting = Counting {
        inner: memory.open(&written.files[0].key).expect("there"),
        read: Arc::clone(&read),
    };
    let size = counting.size();
    (Part::open(Arc::new(counting)).expect("a part"), read, size)
}

type Seen = (Option<String>, Option<String>, [u8; 32], Option<String>);

fn seen(row: &Row<'_>) -> Seen {
    let text = |t: Option<&str>| t.map(str::to_owned);
    (
        text(row.id),
        text(row.actor),
        row.fingerprint,
        text(row.event),
    )
}

fn all(part: &Part) -> Vec<Seen> {
    let mut all = Vec::new();
    part.for_each(|row| {
        all.push(seen(&row));
        Ok(())
    })
    .expect("reads");
    all
}

fn found(part: &Part, wanted: Filter<'_>) -> Vec<Seen> {
    let mut found = Vec::new();
    part.find(wanted, |row| {
        found.push(seen(&row));
        Ok(())
    })
    .expect("reads");
    found
}

#[test]
fn every_event_is_found_by_id_actor_and_fingerprint() {
    let (part, _, _) = part(300);
    let all = all(&part);
    for row in all.iter().step_by(17) {
        let id = row.0.as_deref().expect("an id");
        let actor = row.1.as_deref().expect("an actor");
        assert_eq!(found(&part, Filter::Id(id)), std::slice::from_ref(row));
        assert_eq!(
            found(&part, Filter::Fingerprint(&row.2)),
            std::slice::from_ref(row)
        );
        let same: Vec<_> = all
            .iter()
            .filter(|r| r.1.as_deref() == Some(actor))
            .cloned()
            .collect();
        assert_eq!(found(&part, Filter::Actor(actor)), same);
    }
}

#[test]
fn bloom_filters_hold_back_nearly_all_that_is_not_there() {
    let (part, read, _) = part(300);
    let all = all(&part);
    for row in &all {
        let id = row.0.as_deref().expect("an id");
        assert_eq!(part.candidates(Filter::Id(id)).expect("reads"), [0]);
    }
    let passed = |make: &dyn Fn(u64) -> String, id: bool| {
        let wanted: Vec<String> = (0..2_000).map(make).collect();
        let passes = |text: &&String| {
            let filter = if id {
                Filter::Id(text)
            } else {
                Filter::Actor(text)
            };
            !part.candidates(filter).expect("reads").is_empty()
        };
        wanted.iter().filter(passes).count()
    };
    let ids = passed(&|n| format!("urn:uuid:{n:032x}"), true);
    let actors = passed(&|n| format!("https://example.edu/users/{n:032x}"), false);
    assert!(
        ids < 20 && actors < 20,
        "{ids} ids and {actors} actors of 2,000 passed"
    );
    // What the filter holds back costs its own bytes and nothing else.
    read.store(0, Ordering::Relaxed);
    let absent = (0..).map(|n| format!("urn:none:{n}"));
    let mut absent = absent.filter(|id| part.candidates(Filter::Id(id)).expect("reads").is_empty());
    let absent = absent.next().expect("most of them");
    read.store(0, Ordering::Relaxed);
    assert_eq!(found(&part, Filter::Id(&absent)), []);
    assert!(read.load(Ordering::Relaxed) < 2_000, "{read:?}");
}

#[test]
fn one_event_costs_few_pages_of_a_part() {
    let (part, read, size) = part(6_000);
    let all = all(&part);
    let row = &all[all.len() / 2];
    read.store(0, Ordering::Relaxed);
    assert_eq!(
        found(&part, Filter::Id(row.0.as_deref().expect("an id"))),
        std::slice::from_ref(row)
    );
    let read = read.load(Ordering::Relaxed);
    assert!(read * 2 < size, "{read} of {size} bytes were read");
}

#[test]
fn the_footer_says_what_readers_need() {
    use parquet::basic::Compression;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let memory = Memory::default();
    let lines = common::lines(Mix::of(5, 300), common::window(0));
    let settings = common::settings(temporary.path());
    let written = common::write_window(common::plan(0), settings, &lines, &NoPrevious, &memory);
    let bytes = memory.all()[&written.files[0].key].clone();
    let reader = SerializedFileReader::new(bytes).expect("Parquet");
    let group = reader.metadata().row_group(0);
    let sorted: Vec<&str> = group
        .sorting_columns()
        .expect("sorted")
        .iter()
        .map(|s| {
            group
                .column(usize::try_from(s.column_idx).expect("a column"))
                .column_descr()
                .name()
        })
        .collect();
    assert_eq!(sorted, ["group", "actor", "event_time", "receipt", "index"]);
    for column in group.columns() {
        let name = column.column_descr().name();
        assert!(
            matches!(column.compression(), Compression::ZSTD(_)),
            "{name}"
        );
        assert!(
            column.offset_index_offset().is_some(),
            "{name} has no offset index"
        );
        let bloom = ["id", "actor", "fingerprint"].contains(&name);
        assert_eq!(column.bloom_filter_offset().is_some(), bloom, "{name}");
        assert_eq!(
            column.column_index_offset().is_some(),
            name != "event",
            "{name}"
        );
    }
}
