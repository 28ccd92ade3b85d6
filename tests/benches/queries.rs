//! What reading costs on an archive: requests to the object store, bytes and time of each query.
//!
//! `cargo bench -p vernier-tests --bench queries`, and with `-- --days=30 --events=1000000` an archive of
//! that many days and events a day (300 bytes an event in the temporary folder). Each day is a window of 24
//! hours, sealed and compacted; a learner has 25 events on it, in one section. The time is that of the
//! function's own code and this machine's disk; a request to S3 takes 10 to 30 ms more, 16 at a time.
#![allow(clippy::print_stdout)]

#[path = "../../shared/archive/tests/common/mod.rs"]
mod common;
#[path = "support/figures.rs"]
mod figures;

use common::{Mix, Multiplied};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vernier_archive::day::DayBuilder;
use vernier_archive::files::{Directory, Source as _};
use vernier_archive::keys::{Algorithm, KeyFile, Signer as _};
use vernier_archive::previous::NoPrevious;
use vernier_archive::reader::Part;
use vernier_archive::seal::{Seal, SealKind, Written};
use vernier_archive::window::{NoOversize, Plan, Settings, WindowBuilder};
use vernier_fakes::{Faults, MemoryTable};
use vernier_ledger::chain::{ChainHead, ChainStep, day_of};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::line::{self, write_line};
use vernier_ledger::ports::{Chains, Objects, PortError, PutOutcome};
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::{TimeRange, Window};
use vernier_output::events::{Paging, by_id, page};
use vernier_output::filter_memory::FilterMemory;
use vernier_output::query::{EventQuery, Sort};

const DAY_SECONDS: i64 = 86_400;

/// A folder as an object store.
struct Folder(PathBuf);

impl Objects for Folder {
    async fn put_new(&self, _: &str, _: Vec<u8>, _: Option<&str>) -> Result<PutOutcome, PortError> {
        Err(PortError::Fatal("only read".to_owned()))
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        let directory = Directory::new(&self.0);
        let Ok(file) = directory.open(key) else {
            return Ok(None);
        };
        let (offset, length) = range.unwrap_or((0, file.size()));
        let bytes = file.read(offset, usize::try_from(length).unwrap_or(usize::MAX));
        let bytes = bytes.map_err(|e| PortError::Fatal(e.to_string()))?;
        Ok(Some(bytes.to_vec()))
    }
}

struct Archive {
    stores: StoreSet<MemoryTable, Folder>,
    tenant: TenantId,
    window: Window,
    bytes: u64,
    /// Of the windows' own files, which the days' took the place of.
    window_bytes: u64,
    files: usize,
    seals: Vec<Seal>,
}

fn day(number: u64) -> Window {
    let first = day_of(common::START).start;
    let start = first.plus_seconds(i64::try_from(number).expect("few") * DAY_SECONDS);
    day_of(start)
}

/// Events of a learner on a day.
const LEARNER_EVENTS: usize = 25;

/// The reference mix, many learners wide: the generator's learners do a semester, here everybody does a day.
struct Learners {
    lines: Multiplied,
    /// What is added to the actor of each line of the base.
    suffixes: Vec<usize>,
    head: Vec<u8>,
    line: Vec<u8>,
}

impl Learners {
    fn of(base: Vec<Vec<u8>>) -> Self {
        let (mut seen, mut head) = (BTreeMap::<String, usize>::new(), Vec::new());
        let suffix = |line: &Vec<u8>| {
            line::split(line, &mut head).expect("a line");
            let actor = line::read_head(&head).expect("a head").actor;
            let count = seen
                .entry(actor.unwrap_or_default().into_owned())
                .or_default();
            *count += 1;
            (*count - 1) / LEARNER_EVENTS
        };
        Self {
            suffixes: base.iter().map(suffix).collect(),
            lines: Multiplied::new(base),
            head: Vec::new(),
            line: Vec::new(),
        }
    }

    /// The n-th line of a day.
    fn line(&mut self, day: u64, n: u64, events: u64) -> &[u8] {
        let count = self.suffixes.len() as u64;
        let (round, at) = (n / count, usize::try_from(n % count).expect("of the base"));
        let line = self.lines.line(day * events + n);
        let event = line::split(line, &mut self.head).expect("a line");
        let mut head = line::read_head(&self.head).expect("a head");
        let mut text = std::str::from_utf8(event).expect("JSON").to_owned();
        let mut rename = |name: &mut Option<Cow<'_, str>>, suffix: String| {
            if let Some(old) = name.take() {
                let new = format!("{old}{suffix}");
                text = text.replace(&format!("\"{old}\""), &format!("\"{new}\""));
                *name = Some(new.into());
            }
        };
        rename(&mut head.actor, format!("-{round}-{}", self.suffixes[at]));
        rename(&mut head.group, format!("-{round}"));
        head.fingerprint = Fingerprint::of(text.as_bytes()).hex().into();
        self.line.clear();
        write_line(&head, &text, &mut self.line).expect("a line");
        self.line.pop();
        &self.line
    }
}

fn sign(written: Written, last: Option<&Seal>, key: &KeyFile, folder: &Path) -> Seal {
    let previous = last.map(|seal| seal.hash().expect("integers"));
    let sealed_at = written.window.end;
    let draft = written.draft(previous, sealed_at, key.public_key());
    let seal = draft.sign(key).expect("signs");
    let path = folder.join(seal.key());
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, seal.to_bytes().expect("integers")).expect("room");
    seal
}

/// Seals one day's window and compacts it; its own files go.
fn seal_day(
    folder: &Path,
    number: u64,
    events: u64,
    lines: &mut Learners,
    last: Option<&Seal>,
    key: &KeyFile,
) -> [Seal; 2] {
    let window = day(number);
    let plan = Plan {
        tenant: common::tenant(),
        window,
        kind: SealKind::Window,
        sequence: 2 * number,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let archive = Directory::new(folder);
    let settings = Settings::new(folder, threads);
    let mut builder = WindowBuilder::new(plan, settings.clone());
    lines.lines.begin(window);
    for n in 0..events {
        builder
            .push_line(lines.line(number, n, events))
            .expect("a line");
    }
    let written = builder
        .finish(&NoPrevious, &NoOversize, &archive)
        .expect("sealed");
    let seal = sign(written, last, key, folder);
    let mut builder = DayBuilder::new(common::tenant(), window, settings);
    for file in &seal.files {
        let bytes = archive.open(&file.key).expect("there");
        builder.push_file(&seal, file, &bytes).expect("as sealed");
    }
    let mut written = builder.finish(&archive).expect("compacted");
    written.sequence = seal.sequence + 1;
    for file in &seal.files {
        std::fs::remove_file(folder.join(&file.key)).expect("there");
    }
    let compacted = sign(written, Some(&seal), key, folder);
    eprintln!("  day {} is sealed and compacted", number + 1);
    [seal, compacted]
}

async fn build(folder: &Path, days: u64, events: u64) -> Archive {
    let mix = Mix {
        again_every: 0,
        invalid: 0,
        ..Mix::of(7, events.min(100_000))
    };
    let mut lines = Learners::of(common::lines(mix, common::window(0)));
    let key = common::key(Algorithm::EcdsaP256Sha256);
    let table = MemoryTable::new(Faults::default());
    let tenant = common::tenant();
    let mut head = ChainHead::beginning(day(0).start);
    let mut seals: Vec<Seal> = Vec::new();
    for number in 0..days {
        let pair = seal_day(folder, number, events, &mut lines, seals.last(), &key);
        for entry in pair
            .iter()
            .map(|seal: &Seal| seal.entry().expect("integers"))
        {
            let step = head.over(&entry).expect("the next");
            table.move_chain(&tenant, &step).await.expect("moved");
            head = step.head;
        }
        seals.extend(pair);
    }
    // As removal leaves it: everything is read from the days.
    head = head.removed_to(day(days).start);
    let step = ChainStep::to(head);
    table.move_chain(&tenant, &step).await.expect("moved");
    let window_bytes = seals.iter().filter(|seal| seal.kind == SealKind::Window);
    let window_bytes = window_bytes.flat_map(|seal| &seal.files).map(|f| f.bytes);
    let window_bytes = window_bytes.sum();
    seals.retain(|seal| seal.kind == SealKind::Day);
    let files = seals.iter().flat_map(|seal| &seal.files);
    Archive {
        window: Window {
            start: day(0).start,
            end: day(days).start,
        },
        bytes: files.clone().map(|file| file.bytes).sum(),
        window_bytes,
        files: files.count(),
        stores: StoreSet::new(table, Folder(folder.to_owned())),
        tenant,
        seals,
    }
}

/// A row from the middle of the archive: its id, actor and group.
fn sample(folder: &Path, seal: &Seal) -> [String; 3] {
    let file = &seal.files[seal.files.len() / 2];
    let open = Directory::new(folder).open(&file.key).expect("there");
    let mut found = None;
    let part = Part::open(open).expect("a part");
    part.for_each_from(file.rows / 2, |row| {
        if let (Some(id), Some(actor), Some(group)) = (row.id, row.actor, row.group) {
            found = Some([id, actor, group].map(str::to_owned));
            return Ok(std::ops::ControlFlow::Break(()));
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .expect("reads");
    found.expect("a row with all of them")
}

impl Archive {
    const fn range(&self) -> TimeRange {
        TimeRange {
            from: self.window.start,
            to: self.window.end,
        }
    }

    fn all(&self) -> EventQuery {
        EventQuery::between(self.range())
    }

    /// Asks, prints what it took, and answers it.
    async fn ask(&self, what: &str, query: &EventQuery, limit: usize) -> Value {
        let paging = Paging {
            after: None,
            limit,
            now: self.window.end,
            signing_key: &[0; 32],
            filters: &FilterMemory::default(),
            live_bytes_max: u64::MAX,
        };
        let started = Instant::now();
        let asked = page(&self.stores, &self.tenant, query, paging).await;
        let took = started.elapsed();
        let (page, reads) = asked.expect("answered");
        let part = 100.0 * reads.bytes as f64 / self.bytes as f64;
        println!(
            "  {what:44} {:4} events {:6} requests {:11} bytes {part:7.3} % {:8.1} ms{}",
            page.events.len(),
            reads.gets,
            reads.bytes,
            took.as_secs_f64() * 1e3,
            if page.next_cursor.is_some() {
                ", and there are more"
            } else {
                ""
            },
        );
        json!({
            "events": page.events.len(),
            "requests": reads.gets,
            "bytes": reads.bytes,
            "percent_of_bytes": part,
            "ms": took.as_secs_f64() * 1e3,
        })
    }

    async fn find(&self, id: &str) {
        let started = Instant::now();
        let found = by_id(
            &self.stores,
            &self.tenant,
            id,
            None,
            self.range(),
            self.window.end,
            &FilterMemory::default(),
        )
        .await;
        let took = started.elapsed();
        let (_, reads) = found.expect("answered").expect("there");
        let part = 100.0 * reads.bytes as f64 / self.bytes as f64;
        println!(
            "  {:44}    1 event  {:6} requests {:11} bytes {part:7.3} % {:8.1} ms",
            "an event by its id, whenever received",
            reads.gets,
            reads.bytes,
            took.as_secs_f64() * 1e3,
        );
    }
}

fn argument(name: &str) -> Option<u64> {
    std::env::args().find_map(|a| a.strip_prefix(name)?.parse().ok())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|a| a == "--bench");
    let (days, events) = if is_bench { (3, 200_000) } else { (2, 2_000) };
    let days = argument("--days=").unwrap_or(days);
    let events = argument("--events=").unwrap_or(events);
    let folder = tempfile::tempdir().expect("a folder");
    let archive = build(folder.path(), days, events).await;
    println!(
        "{days} days of {events} events: {} bytes in {} files of days (in windows' own {}), and as many seals as days",
        archive.bytes, archive.files, archive.window_bytes
    );
    let middle = &archive.seals[archive.seals.len() / 2];
    let [id, actor, group] = sample(folder.path(), middle);
    let with = |filters: &[(&str, &str)]| {
        let mut query = archive.all();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        query.filters = filters.iter().map(owned).collect();
        query
    };
    let learner = with(&[("actor", &actor)]);
    let in_section = with(&[("group", &group), ("actor", &actor)]);
    let by_event_time = EventQuery {
        sort: Sort::EventTime,
        ..learner.clone()
    };
    let nobody = with(&[("actor", "urn:nobody")]);
    let mut asked = serde_json::Map::new();
    for (name, what, query, limit) in [
        ("learner", "a learner's timeline, whole", &learner, 1_000),
        (
            "learner_in_section",
            "the same in a section",
            &in_section,
            1_000,
        ),
        (
            "learner_by_event_time",
            "the same by event time",
            &by_event_time,
            1_000,
        ),
        ("learner_page", "its newest page", &learner, 100),
        ("nobody", "a learner that there is not", &nobody, 100),
        (
            "section_page",
            "a section's newest page",
            &with(&[("group", &group)]),
            100,
        ),
        (
            "type_page",
            "a type's newest page",
            &with(&[("type", "GradeEvent")]),
            100,
        ),
        ("page", "everything's newest page", &archive.all(), 100),
    ] {
        asked.insert(name.to_owned(), archive.ask(what, query, limit).await);
    }
    let measured = json!({
        "days": days,
        "events_per_day": events,
        "files": archive.files,
        "bytes": archive.bytes,
        "window_bytes": archive.window_bytes,
        "queries": asked,
    });
    figures::write("queries", &measured);
    archive.find(&id).await;
}
