//! Windows to seal: the generator's mix as the input function writes it, with copies, conflicts and
//! rejected events in it.
#![allow(dead_code)] // each test binary uses its part

pub(crate) mod chain4;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use vernier_archive::blocks::ActorTable;
use vernier_archive::day::DayBuilder;
use vernier_archive::files::{Memory, Sink, Source as _};
use vernier_archive::keys::{Algorithm, KeyFile, Signer};
use vernier_archive::part;
use vernier_archive::previous::{NoPrevious, Previous};
use vernier_archive::reader::Part;
use vernier_archive::row::Row;
use vernier_archive::seal::{Seal, SealKind, Written};
use vernier_archive::window::{NoOversize, Plan, Settings, WindowBuilder};
use vernier_cli::generate::{Params, Semester};
use vernier_ledger::chain::day_of;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::line::{self, LineHead, LineResult, Verdict, write_line};
use vernier_ledger::time::{Millis, Window};
use vernier_validation::{Item, Kind, Policy, compact, read_envelope};

/// 2026-09-01T09:15:00Z.
pub(crate) const START: Millis = Millis(1_788_254_100_000);
pub(crate) const WINDOW_MILLIS: i64 = 15 * 60_000;

pub(crate) fn tenant() -> TenantId {
    "school".parse().expect("a name")
}

/// The n-th window of 15 minutes.
pub(crate) fn window(n: u64) -> Window {
    let start = START.0 + i64::try_from(n).expect("few") * WINDOW_MILLIS;
    Window {
        start: Millis(start),
        end: Millis(start + WINDOW_MILLIS),
    }
}

/// What a seal of a version before 4 says, to be signed again after a change.
pub(crate) fn written_again(seal: &Seal) -> Written {
    Written {
        tenant: seal.tenant.clone(),
        window: seal.window(),
        kind: seal.kind,
        sequence: seal.sequence,
        counts: seal.counts,
        digest: seal.digest,
        files: seal.files.clone(),
        merkle_root: seal.merkle_root.0,
        covers: seal.covers.clone(),
    }
}

/// The same figures for the same seed.
#[derive(Debug)]
pub(crate) struct Random(StdRng);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.random()
    }

    /// A number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }
}

/// What a window is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix {
    pub(crate) seed: u64,
    pub(crate) events: u64,
    pub(crate) invalid: u64,
    pub(crate) envelope_events: usize,
    /// Every so many envelopes one is sent again, and one with changed events; 0 for never.
    pub(crate) again_every: usize,
}

impl Mix {
    pub(crate) const fn of(seed: u64, events: u64) -> Self {
        Self {
            seed,
            events,
            invalid: events / 20,
            envelope_events: 10,
            again_every: 3,
        }
    }
}

/// Calls `each` with every line of a window, without its line feed, in order of receipt.
pub(crate) fn for_each_line(mix: Mix, window: Window, mut each: impl FnMut(&[u8])) {
    let semester = Semester::new(Params {
        invalid: mix.invalid,
        envelope_events: mix.envelope_events,
        ..Params::new(mix.seed, mix.events)
    })
    .expect("a semester");
    let mut random = Random::seeded(mix.seed);
    let span = window.end.0 - window.start.0;
    let envelopes = (mix.events as usize).div_ceil(mix.envelope_events).max(1) as i64 * 3;
    let (mut sent, mut line) = (0, Vec::new());
    for (number, envelope) in semester.envelopes().enumerate() {
        let mut bodies = vec![envelope.body];
        if mix.again_every > 0 && number % mix.again_every == 0 {
            bodies.push(bodies[0].clone());
            bodies.push(bodies[0].replace("\"edApp\"", "\"extensions\":{\"x\":1},\"edApp\""));
        }
        for body in bodies {
            let at = Millis(window.start.0 + sent * span / envelopes);
            sent += 1;
            let receipt = ReceiptId::from_parts(at, 0, random.next().to_be_bytes());
            for_each_item(&body, receipt, &mut line, &mut each);
        }
    }
}

/// Calls `each` with the line of every item of an envelope; `line` is overwritten.
fn for_each_item(body: &str, receipt: ReceiptId, line: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
    let policy = Policy::default();
    let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
    for (index, item) in (0..).zip(&read.items) {
        line.clear();
        write(item, receipt, index, line);
        line.pop();
        each(line);
    }
}

/// The lines of an envelope that was received at the beginning of a window.
pub(crate) fn lines_of_envelope(body: &str, window: Window) -> Vec<Vec<u8>> {
    let receipt = ReceiptId::from_parts(window.start, 0, [7; 8]);
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for_each_item(body, receipt, &mut line, |line| lines.push(line.to_vec()));
    lines
}

pub(crate) fn lines(mix: Mix, window: Window) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for_each_line(mix, window, |line| lines.push(line.to_vec()));
    lines
}

fn write(item: &Item<'_>, receipt: ReceiptId, index: u32, out: &mut Vec<u8>) {
    let mut event = Vec::new();
    compact(item.raw, &mut event);
    let columns = &item.columns;
    let findings = |found: &[vernier_validation::Problem]| {
        let json = || serde_json::value::to_raw_value(found).expect("plain data");
        (!found.is_empty()).then(|| std::borrow::Cow::Owned(json()))
    };
    let head = LineHead {
        receipt,
        index,
        received_at: receipt.received_at().rfc3339().into(),
        sensor: "lms".into(),
        salt_key: None,
        verdict: Verdict::from(item.verdict.accepted),
        strict: Verdict::from(item.verdict.strict_accepted),
        kind: match columns.kind {
            Kind::Event => "event",
            Kind::Entity => "entity",
            Kind::Domain => "domain",
            Kind::Opaque => "opaque",
        }
        .into(),
        id: columns.id.clone(),
        type_name: columns.type_name.clone(),
        action: columns.action.clone(),
        actor: columns.actor.clone(),
        object: columns.object.clone(),
        group: columns.group.clone(),
        time: columns.event_time.map(|at| Millis(at).rfc3339().into()),
        problems: findings(&item.verdict.problems),
        deviations: findings(&item.verdict.deviations),
        first: None,
        event_ref: None,
        result: columns.result.as_ref().map(|said| LineResult {
            assignment: said.assignment.clone(),
            learner: said.learner.clone(),
            attempt: said.attempt.clone(),
            count: said.count,
            part_of: said.part_of.clone(),
            given: said.score.map(|score| score.given),
            cleared: said.cleared,
            maximum: said.score.and_then(|score| score.maximum),
            scored_by: said.scored_by.clone(),
            started_at: None,
            submitted_at: None,
            duration_millis: None,
        }),
        fingerprint: Fingerprint::of(&event).hex().into(),
    };
    let event = std::str::from_utf8(&event).expect("JSON");
    write_line(&head, event, out).expect("a line");
}

/// The head of an accepted event's line that has the least that a line has.
pub(crate) fn bare_head<'a>(
    receipt: ReceiptId,
    index: u32,
    kind: &'a str,
    event: &str,
) -> LineHead<'a> {
    LineHead {
        receipt,
        index,
        received_at: receipt.received_at().rfc3339().into(),
        sensor: "lms".into(),
        salt_key: None,
        verdict: Verdict::Accepted,
        strict: Verdict::Accepted,
        kind: kind.into(),
        id: None,
        type_name: None,
        action: None,
        actor: None,
        object: None,
        group: None,
        time: None,
        problems: None,
        deviations: None,
        first: None,
        event_ref: None,
        result: None,
        fingerprint: Fingerprint::of(event.as_bytes()).hex().into(),
    }
}

/// A line of any shape, without its line feed.
pub(crate) fn line(head: &LineHead<'_>, event: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_line(head, event, &mut out).expect("a line");
    out.pop();
    out
}

pub(crate) fn plan(n: u64) -> Plan {
    Plan {
        tenant: tenant(),
        window: window(n),
        kind: SealKind::Window,
        sequence: n,
    }
}

pub(crate) fn settings(temporary: &Path) -> Settings {
    Settings::new(temporary, 2)
}

/// Writes a window's files.
pub(crate) fn write_window<S: Sink>(
    plan: Plan,
    settings: Settings,
    lines: &[Vec<u8>],
    previous: &dyn Previous,
    sink: &S,
) -> Written {
    let mut builder = WindowBuilder::new(plan, settings);
    for line in lines {
        builder.push_line(line).expect("a line of the window");
    }
    builder
        .finish(previous, &NoOversize, sink)
        .expect("a window that can be sealed")
}

pub(crate) fn key(algorithm: Algorithm) -> KeyFile {
    KeyFile::read(&KeyFile::generate(algorithm).expect("a key")).expect("reads")
}

/// Signs a window and puts its seal beside its files.
pub(crate) fn put_seal(
    written: Written,
    before: Option<&Seal>,
    key: &KeyFile,
    to: &Memory,
) -> Seal {
    let previous = before.map(|seal| seal.hash().expect("integers"));
    let sealed_at = Millis(written.window.end.0 + 90_000);
    let draft = written.draft(previous, sealed_at, key.public_key());
    let seal = draft.sign(key).expect("signs");
    to.put(seal.key(), seal.to_bytes().expect("integers"));
    seal
}

/// An archive of a few windows.
pub(crate) fn archive(windows: u64, events: u64, key: &KeyFile) -> (Memory, Vec<Seal>) {
    let windows = (0..windows).map(|n| lines(Mix::of(n + 1, events), window(n)));
    archive_of(windows, key)
}

/// An archive of the windows with these lines.
pub(crate) fn archive_of(
    windows: impl IntoIterator<Item = Vec<Vec<u8>>>,
    key: &KeyFile,
) -> (Memory, Vec<Seal>) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let memory = Memory::default();
    let mut seals: Vec<Seal> = Vec::new();
    for (n, lines) in (0..).zip(windows) {
        let settings = settings(temporary.path());
        let written = write_window(plan(n), settings, &lines, &NoPrevious, &memory);
        let seal = put_seal(written, seals.last(), key, &memory);
        seals.push(seal);
    }
    (memory, seals)
}

/// Writes an archive into a folder, in which none of its files is yet.
pub(crate) fn write_out(memory: &Memory, folder: &Path) {
    for (name, bytes) in memory.all() {
        let path = folder.join(name);
        assert!(!path.exists(), "{} is there already", path.display());
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }
}

/// Stored, duplicate, conflict and rejected.
pub(crate) const fn in_order(counts: DispositionCounts) -> [u64; 4] {
    [
        counts.stored,
        counts.duplicate,
        counts.conflict,
        counts.rejected,
    ]
}

/// As many lines as wanted from a base of a few: each round the same events under other ids, in
/// envelopes of their own.
pub(crate) struct Multiplied {
    start: Millis,
    base: Vec<Vec<u8>>,
    head: Vec<u8>,
    line: Vec<u8>,
}

impl Multiplied {
    pub(crate) fn new(base: Vec<Vec<u8>>) -> Self {
        Self {
            start: START,
            base,
            head: Vec::new(),
            line: Vec::new(),
        }
    }

    /// Whose lines are received in another window from here on.
    pub(crate) fn begin(&mut self, window: Window) {
        self.start = window.start;
    }

    /// The n-th line, without its line feed.
    pub(crate) fn line(&mut self, n: u64) -> &[u8] {
        let count = self.base.len() as u64;
        let (round, at) = (n / count, usize::try_from(n % count).expect("of the base"));
        let event = line::split(&self.base[at], &mut self.head).expect("a line");
        let mut head = line::read_head(&self.head).expect("a head");
        let mut text = std::str::from_utf8(event).expect("JSON").to_owned();
        if let Some(id) = head.id.as_deref().filter(|id| id.len() > 8) {
            let new = format!("{}{round:08x}", &id[..id.len() - 8]);
            text = text.replacen(id, &new, 1);
            head.id = Some(new.into());
        }
        let random = (n / 100).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let at = Millis(self.start.0 + i64::try_from(n / 100).expect("small") % WINDOW_MILLIS);
        head.receipt = ReceiptId::from_parts(at, 0, random);
        head.index = u32::try_from(n % 100).expect("below 100");
        head.received_at = at.rfc3339().into();
        head.fingerprint = Fingerprint::of(text.as_bytes()).hex().into();
        self.line.clear();
        write_line(&head, &text, &mut self.line).expect("a line");
        self.line.pop();
        &self.line
    }
}

/// A figure of /proc/self/status, bytes; none where there is no such file.
pub(crate) fn status(name: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1_024)
}

/// A part's rows after a change, as a part.
pub(crate) fn rewritten(bytes: &Bytes, change: impl FnOnce(&mut Vec<Row<'_>>)) -> Bytes {
    let part = Part::open(Arc::new(bytes.clone())).expect("a part");
    let mut held = Vec::new();
    part.for_each(|row| {
        let mut leaf = Vec::new();
        row.write_leaf(&mut leaf);
        held.push((leaf, row.event.map(str::to_owned)));
        Ok(())
    })
    .expect("reads");
    let mut rows: Vec<Row<'_>> = held
        .iter()
        .map(|(leaf, event)| Row {
            event: event.as_deref(),
            ..Row::read_leaf(leaf).expect("a row").0
        })
        .collect();
    change(&mut rows);
    part::to_bytes(&rows).expect("encodes").into()
}

/// Merges the files of some seals of one day and seals it; the seals' own files stay.
pub(crate) fn merge_days(
    covered: &[Seal],
    before: &Seal,
    part_rows: usize,
    key: &KeyFile,
    memory: &Memory,
) -> Seal {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let bytes: u64 = covered.iter().flat_map(|s| &s.files).map(|f| f.bytes).sum();
    let settings = Settings {
        part_rows,
        // Several runs, and not so many that they cannot all be open.
        run_bytes: usize::try_from(bytes / 4).expect("small").max(4_096),
        ..settings(temporary.path())
    };
    let day = day_of(covered[0].start);
    let mut builder = DayBuilder::new(covered[0].tenant.clone(), day, settings);
    for seal in covered {
        for file in &seal.files {
            let bytes = memory.open(&file.key).expect("there");
            builder
                .push_file(seal, file, &bytes)
                .expect("as it was sealed");
        }
    }
    let mut written = builder.finish(memory).expect("a day that can be sealed");
    written.sequence = before.sequence + 1;
    put_seal(written, Some(before), key, memory)
}

/// Removes the seals' own files.
pub(crate) fn remove_files(seals: &[Seal], memory: &Memory) {
    for file in seals.iter().flat_map(|seal| &seal.files) {
        memory.remove(&file.key).expect("there");
    }
}

/// A day's part's rows after a change, each with its seal, as a part with its table.
pub(crate) fn rewritten_day(
    bytes: &Bytes,
    change: impl FnOnce(&mut Vec<(Row<'_>, u64)>),
) -> (Bytes, Option<ActorTable>) {
    let part = Part::open(Arc::new(bytes.clone())).expect("a part");
    let mut held = Vec::new();
    part.for_each_sealed(|row, seal| {
        let mut leaf = Vec::new();
        row.write_leaf(&mut leaf);
        held.push((leaf, row.event.map(str::to_owned), seal.expect("a day's")));
        Ok(())
    })
    .expect("reads");
    let mut rows: Vec<(Row<'_>, u64)> = held
        .iter()
        .map(|(leaf, event, seal)| {
            let (row, _) = Row::read_leaf(leaf).expect("a row");
            let event = event.as_deref();
            (Row { event, ..row }, *seal)
        })
        .collect();
    change(&mut rows);
    let (bytes, actors) = part::day_to_bytes(&rows).expect("encodes");
    (bytes.into(), actors)
}
