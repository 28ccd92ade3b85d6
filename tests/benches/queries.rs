//! What reading costs on an archive: requests to the object store, bytes and time of each query.
//!
//! `cargo bench -p vernier-tests --bench queries`, and with `-- --days=30 --events=1000000` an archive of
//! that many days and events a day (170 bytes an event in the temporary folder). A day's files are
//! those of one window of 24 hours, which are laid out as a compacted day's. The time is that of the
//! function's own code and this machine's disk; a request to S3 takes 10 to 30 ms more, 16 at a time.
#![allow(clippy::print_stdout)]

#[path = "../../shared/archive/tests/common/mod.rs"]
mod common;

use common::{Mix, Multiplied};
use std::path::{Path, PathBuf};
use std::time::Instant;
use vernier_archive::files::{Directory, Source as _};
use vernier_archive::keys::{Algorithm, KeyFile, Signer as _};
use vernier_archive::previous::NoPrevious;
use vernier_archive::reader::Part;
use vernier_archive::seal::{Seal, SealKind};
use vernier_archive::window::{NoOversize, Plan, Settings, WindowBuilder};
use vernier_fakes::{Faults, MemoryTable};
use vernier_ledger::chain::{ChainHead, SealEntry, day_of};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Chains, Objects, PortError, PutOutcome};
use vernier_ledger::time::Window;
use vernier_output::Ports;
use vernier_output::events::{by_id, page};
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
    ports: Ports<MemoryTable, Folder>,
    tenant: TenantId,
    window: Window,
    bytes: u64,
    files: usize,
    seals: Vec<Seal>,
}

fn day(number: u64) -> Window {
    let first = day_of(common::START).start;
    let start = first.plus_seconds(i64::try_from(number).expect("few") * DAY_SECONDS);
    day_of(start)
}

/// One day's files and seal.
fn seal_day(
    folder: &Path,
    number: u64,
    events: u64,
    lines: &mut Multiplied,
    last: Option<&Seal>,
    key: &KeyFile,
) -> Seal {
    let window = day(number);
    let plan = Plan {
        tenant: common::tenant(),
        window,
        kind: SealKind::Window,
        sequence: number,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let archive = Directory::new(folder);
    let mut settings = Settings::new(folder, threads);
    settings.part_rows = 200_000;
    let mut builder = WindowBuilder::new(plan, settings);
    lines.begin(window);
    for n in 0..events {
        builder
            .push_line(lines.line(number * events + n))
            .expect("a line");
    }
    let written = builder
        .finish(&NoPrevious, &NoOversize, &archive)
        .expect("sealed");
    let previous = last.map(|seal| seal.hash().expect("integers"));
    let draft = written.draft(previous, window.end, key.public_key());
    let seal = draft.sign(key).expect("signs");
    let path = folder.join(seal.key());
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, seal.to_bytes().expect("integers")).expect("room");
    seal
}

fn entry_of(seal: &Seal) -> SealEntry {
    SealEntry {
        sequence: seal.sequence,
        backfill: false,
        window: seal.window(),
        hash: hex::encode(seal.hash().expect("integers")),
        tally: Tally {
            events: seal.counts.total(),
            rejected: seal.counts.rejected,
            digest: seal.digest,
        },
        sealed_at: seal.sealed_at,
        covers: std::iter::empty().collect(),
    }
}

async fn build(folder: &Path, days: u64, events: u64) -> Archive {
    let mix = Mix {
        again_every: 0,
        invalid: 0,
        ..Mix::of(7, events.min(100_000))
    };
    let mut lines = Multiplied::new(common::lines(mix, common::window(0)));
    let key = common::key(Algorithm::EcdsaP256Sha256);
    let table = MemoryTable::new(Faults::default());
    let tenant = common::tenant();
    let mut head = ChainHead::beginning(day(0).start);
    let mut seals: Vec<Seal> = Vec::new();
    for number in 0..days {
        let seal = seal_day(folder, number, events, &mut lines, seals.last(), &key);
        let entry = entry_of(&seal);
        head = head.with(&entry).expect("the next");
        table
            .move_chain(&tenant, &head, Some(&entry))
            .await
            .expect("moved");
        seals.push(seal);
    }
    let files = seals.iter().flat_map(|seal| &seal.files);
    Archive {
        window: Window {
            start: day(0).start,
            end: day(days).start,
        },
        bytes: files.clone().map(|file| file.bytes).sum(),
        files: files.count(),
        ports: Ports {
            table,
            objects: Folder(folder.to_owned()),
        },
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
    fn all(&self) -> EventQuery {
        EventQuery::between(self.window.start, self.window.end)
    }

    async fn ask(&self, what: &str, query: &EventQuery) {
        let now = (self.window.end, &[0; 32]);
        let started = Instant::now();
        let asked = page(&self.ports, &self.tenant, query, (None, 100), now).await;
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
    }

    async fn find(&self, id: &str) {
        let started = Instant::now();
        let range = (self.window.start, self.window.end);
        let found = by_id(
            &self.ports,
            &self.tenant,
            (id, None),
            range,
            self.window.end,
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
        "{days} days of {events} events: {} bytes in {} files and as many seals as days",
        archive.bytes, archive.files
    );
    let middle = &archive.seals[archive.seals.len() / 2];
    let [id, actor, group] = sample(folder.path(), middle);
    let with = |filters: &[(&str, &str)]| {
        let mut query = archive.all();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        query.filters = filters.iter().map(owned).collect();
        query
    };
    let timeline = with(&[("group", &group), ("actor", &actor)]);
    archive
        .ask("a learner in a section, newest first", &timeline)
        .await;
    let by_event_time = EventQuery {
        sort: Sort::EventTime,
        ..timeline
    };
    archive.ask("the same by event time", &by_event_time).await;
    archive
        .ask("a learner, newest first", &with(&[("actor", &actor)]))
        .await;
    archive
        .ask("a section, newest first", &with(&[("group", &group)]))
        .await;
    archive
        .ask(
            "a learner that there is not",
            &with(&[("actor", "urn:nobody")]),
        )
        .await;
    archive
        .ask("a type, newest first", &with(&[("type", "GradeEvent")]))
        .await;
    archive
        .ask("everything, newest first", &archive.all())
        .await;
    archive.find(&id).await;
}
