//! A school's seals written anew in version 4, each in its place, as if each had been sealed so.

use super::{OwnedRow, entry_of, list};
use crate::pipeline_only::sealing::School;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use vernier_archive::columns::Layout;
use vernier_archive::day4::BlindDayBuilder;
use vernier_archive::erase::erase_rows;
use vernier_archive::files::{Memory, Ranges};
use vernier_archive::keys::{Algorithm, KeyFile, Signer as _};
use vernier_archive::merkle::{Span, leaf_hash};
use vernier_archive::part::{RowOrder, window_to_bytes};
use vernier_archive::reader::{Part, Reading};
use vernier_archive::row::Row;
use vernier_archive::seal::{
    EnvelopeTotals, ErasureStatement, FileSet, HoldsMark, PartClass, ReceivedTotals, Replacement,
    Seal, SealKind, SealedFile, SealedTotals, SetWriter, SharePlace, Statement, StatementBody,
    Totals, Unsealed, WindowStatement, part_key, seal_key, share_key,
};
use vernier_archive::share::Share;
use vernier_archive::stored::read_seal;
use vernier_archive::window::Settings;
use vernier_ledger::chain::{SealEntry, day_of};
use vernier_ledger::checkpoint::CheckpointMark;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::event_id::EventId;
use vernier_ledger::ports::Chains as _;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// The first sequence of erasures, beyond all of the school's own seals.
const ERASURES_FROM: u64 = 1_000_000;

/// How a window's rows are cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) shares: u64,
    pub(super) part_rows: usize,
    /// Files that the seal names itself: of more it makes lists of eight.
    pub(super) inline_max: usize,
}

/// Writes in version 4.
pub(super) struct Rewriting {
    key: KeyFile,
    erasures: u64,
}

impl Rewriting {
    pub(super) fn new() -> Self {
        let document = KeyFile::generate(Algorithm::Ed25519Sha256).expect("a key");
        Self {
            key: KeyFile::read(&document).expect("reads"),
            erasures: 0,
        }
    }

    /// Windows and backfills, then days.
    pub(super) async fn entries(school: &School) -> (Vec<SealEntry>, Vec<SealEntry>) {
        let (table, tenant) = (&school.table, &school.tenant.id);
        let (from, to) = (Millis(0), Millis(i64::MAX));
        let seals = table.seals(tenant, from, to).await.expect("reads");
        let days = table.days(tenant, from, to).await.expect("reads");
        (seals, days)
    }

    /// Writes a window's or backfill's seal anew, unless it is of version 4.
    pub(super) async fn window(&self, school: &School, entry: &SealEntry, shape: Shape) {
        let before = current(school, entry).await;
        if before.statement.is_some() {
            return;
        }
        let rows = rows_of(school, &before).await;
        let (memory, plan) = (Memory::default(), before.plan());
        let mut digest = Digest::EMPTY;
        let salted: Vec<Row<'_>> = rows.iter().map(|row| salted(row.row())).collect();
        for row in &salted {
            digest.add_blind(row.receipt, row.index, &row.blind_fingerprint());
        }
        let mut files = Vec::new();
        for class in [PartClass::Archive, PartClass::Exceptions] {
            for number in 0..shape.shares {
                let share = Share::new(number, shape.shares).expect("a share");
                let here = salted.iter().filter(|row| share.has(row));
                let here = here.filter(|row| class_of(row) == class).cloned();
                let here: Vec<Row<'_>> = here.collect();
                for (number, rows) in (0..).zip(here.chunks(shape.part_rows)) {
                    let bytes = window_to_bytes(Layout::BlindWindow, RowOrder::Sorted, rows);
                    let (bytes, share) = (bytes.expect("encodes"), share.number());
                    let place = SharePlace { share, number };
                    let key = share_key(&plan, class, place, &Fingerprint::of(&bytes).0);
                    files.push(file_of(key, rows, &bytes));
                    let file = files.last().expect("just pushed");
                    memory.put(file.key.clone(), Bytes::from(bytes));
                }
            }
        }
        let mut sets = SetWriter::new(&plan.tenant, plan.sequence, &memory);
        sets = sets.with_bounds(shape.inline_max, 8);
        let parts = sets.set(files.clone()).expect("written");
        let body = window_body(parts, shape.shares, &before.counts, &digest);
        let unsealed = unsealed(&before, (before.counts, digest), files, body);
        place(school, &memory);
        self.put(school, entry, unsealed, memory_of(&before)).await;
    }

    /// Merges what a day covers anew; windows' files that are gone come out of the day first.
    pub(super) async fn day(&self, school: &School, entry: &SealEntry, shape: Shape) {
        let before = current(school, entry).await;
        if before.statement.is_some() {
            return;
        }
        let (seals, _) = Self::entries(school).await;
        let covered: Vec<&SealEntry> = seals
            .iter()
            .filter(|seal| entry.covers.contains(seal.sequence))
            .collect();
        for seal in &covered {
            let files = current(school, seal).await.files;
            if files
                .iter()
                .any(|file| school.bucket.raw(&file.key).is_none())
            {
                self.window(school, seal, shape).await;
            }
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        let settings = Settings::new(folder.path(), 1);
        let tenant = school.tenant.id.clone();
        let mut builder = BlindDayBuilder::new(tenant, before.window(), settings);
        let (listed, _) = Self::entries(school).await;
        for seal in listed.iter().filter(|s| entry.covers.contains(s.sequence)) {
            let seal = current(school, seal).await;
            builder.cover(&seal);
            for (number, file) in (0..).zip(&seal.files) {
                let bytes = school.bucket.raw(&file.key).expect("there");
                let bytes: Arc<dyn Ranges> = Arc::new(Bytes::from(bytes));
                builder
                    .push_part(seal.sequence, number, &bytes)
                    .expect("a part");
            }
        }
        let memory = Memory::default();
        let written = builder.finish(&memory).expect("a day");
        let mut sets = SetWriter::new(&before.tenant, before.sequence, &memory);
        sets = sets.with_bounds(shape.inline_max, 8);
        let body = StatementBody::Day {
            parts: sets.set(written.files.clone()).expect("written"),
            evidence: sets.set(written.evidence).expect("written"),
        };
        let sums = (written.counts, written.digest);
        let mut unsealed = unsealed(&before, sums, written.files, body);
        unsealed.covers = written.covers;
        place(school, &memory);
        self.put(school, entry, unsealed, memory_of(&before)).await;
    }

    /// Removes the own files of what a day of version 4 covers.
    pub(super) async fn remove_covered(school: &School, day: &SealEntry) {
        if current(school, day).await.statement.is_none() {
            return;
        }
        let (seals, _) = Self::entries(school).await;
        for seal in seals.iter().filter(|s| day.covers.contains(s.sequence)) {
            for file in current(school, seal).await.files {
                school.bucket.lose(&file.key);
            }
        }
    }

    /// Erases all rows with an id, if all files that have one are of version 4; whether it was done.
    pub(super) async fn erase(&mut self, school: &School, id: &str) -> bool {
        let (seals, days) = Self::entries(school).await;
        let before_4 = seals.iter().filter(|seal| seal.version < 4);
        let before_4: BTreeSet<u64> = before_4.map(|seal| seal.sequence).collect();
        let (mut replaces, mut targets, mut rows) = (Vec::new(), BTreeSet::new(), 0);
        let memory = Memory::default();
        for entry in seals.iter().chain(&days) {
            let seal = current(school, entry).await;
            for (at, file) in seal.files.iter().enumerate() {
                let Some(bytes) = school.bucket.raw(&file.key) else {
                    continue;
                };
                let part = Part::open(Arc::new(Bytes::from(bytes))).expect("a part");
                let (places, sealed_by) = places_of(&part, id, seal.sequence);
                if places.is_empty() {
                    continue;
                }
                // Rows that a version before 4 sealed cannot be erased, wherever they lie.
                if seal.statement.is_none() || !sealed_by.is_disjoint(&before_4) {
                    return false;
                }
                rows += places.len() as u64;
                let key = |sha256: &[u8; 32]| key_like(&seal, at, sha256);
                let gone = |place: Place| places.contains(&place);
                let file_now = erase_rows(&part, gone, key, &memory).expect("written");
                replaces.push(Replacement {
                    sequence: seal.sequence,
                    sha256: file.sha256,
                    file: file_now,
                });
                targets.insert(seal.sequence);
            }
        }
        if replaces.is_empty() {
            return false;
        }
        let old: Vec<[u8; 32]> = replaces.iter().map(|by| by.sha256.0).collect();
        let sequence = ERASURES_FROM + self.erasures;
        self.erasures += 1;
        self.put_erasure(school, sequence, replaces, rows);
        place(school, &memory);
        for entry in seals.iter().chain(&days) {
            if targets.contains(&entry.sequence) {
                let seal = current(school, entry).await;
                let erasures = entry.erasures.iter().chain([sequence]);
                let head = school.table.raw_chain(&school.tenant.id).expect("a chain");
                let mut next = entry_of(&seal, erasures);
                next.tally = entry.tally;
                list(&school.table, &school.tenant.id, head, &next).await;
                for file in seal
                    .files
                    .iter()
                    .filter(|file| old.contains(&file.sha256.0))
                {
                    school.bucket.lose(&file.key);
                }
            }
        }
        true
    }

    fn put_erasure(&self, school: &School, sequence: u64, replaces: Vec<Replacement>, rows: u64) {
        let at = school.clock.get();
        let statement = ErasureStatement {
            replaces,
            places: FileSet::EMPTY,
            rows,
            reason: String::new(),
        };
        let unsealed = Unsealed {
            tenant: school.tenant.id.clone(),
            window: day_of(at),
            kind: SealKind::Erasure,
            sequence,
            counts: DispositionCounts::default(),
            digest: Digest::EMPTY,
            files: Vec::new(),
            covers: Vec::new(),
            statement: statement_of(at, StatementBody::Erasure(Box::new(statement))),
        };
        let draft = unsealed.draft(None, at, self.key.public_key());
        let seal = draft.sign(&self.key).expect("signs");
        let key = seal_key(&school.tenant.id, sequence);
        school
            .bucket
            .place(&key, seal.to_bytes().expect("integers"));
    }

    /// Puts a seal in the place of another one, whose files go.
    async fn put(&self, school: &School, entry: &SealEntry, unsealed: Unsealed, old: Vec<String>) {
        let draft = unsealed.draft(Some([7; 32]), entry.sealed_at, self.key.public_key());
        let seal = draft.sign(&self.key).expect("signs");
        for key in old {
            school.bucket.lose(&key);
        }
        let bytes = seal.to_bytes().expect("integers");
        school.bucket.place(&seal.key(), bytes);
        let head = school.table.raw_chain(&school.tenant.id).expect("a chain");
        // The entry's digest is that of the live store's fingerprints, which the lines of this school do not blind.
        let mut listed = entry_of(&seal, []);
        listed.tally = entry.tally;
        list(&school.table, &school.tenant.id, head, &listed).await;
    }
}

fn place(school: &School, memory: &Memory) {
    for (key, bytes) in memory.all() {
        school.bucket.place(&key, bytes.to_vec());
    }
}

pub(super) fn memory_of(seal: &Seal) -> Vec<String> {
    seal.files.iter().map(|file| file.key.clone()).collect()
}

pub(super) async fn current(school: &School, entry: &SealEntry) -> Seal {
    let seal = read_seal(&school.bucket, &school.tenant.id, entry).await;
    seal.expect("a seal")
}

/// The rows of a window's or backfill's seal, from its own files, or by class from its day's.
pub(super) async fn rows_of(school: &School, seal: &Seal) -> Vec<OwnedRow> {
    let mut rows = Vec::new();
    let (_, days) = Rewriting::entries(school).await;
    for class in [PartClass::Archive, PartClass::Exceptions] {
        let mut files: Vec<SealedFile> = seal.files_of(class).cloned().collect();
        if files
            .iter()
            .any(|file| school.bucket.raw(&file.key).is_none())
        {
            let mut days = days.iter();
            let day = days.find(|day| day.covers.contains(seal.sequence));
            let day = current(school, day.expect("a day covers it")).await;
            files = day.files_of(class).cloned().collect();
        }
        for file in files {
            let bytes = school.bucket.raw(&file.key).expect("there");
            let part = Part::open(Arc::new(Bytes::from(bytes))).expect("a part");
            for group in 0..part.groups() {
                part.for_each_sealed_by(group, Reading::Whole, |row, by| {
                    if by.is_none_or(|by| by.seal == seal.sequence) {
                        rows.push(OwnedRow::of(&row));
                    }
                    Ok(())
                })
                .expect("reads");
            }
        }
    }
    rows
}

/// Of every other receipt the lines had salt keys.
fn salted(row: Row<'_>) -> Row<'_> {
    let byte = row.receipt.as_bytes()[15];
    let salt = byte
        .is_multiple_of(2)
        .then(|| SaltKey::from_bytes([byte; 16]).salt(row.index));
    Row { salt, ..row }
}

pub(super) fn class_of(row: &Row<'_>) -> PartClass {
    match row.disposition {
        vernier_ledger::disposition::Disposition::Stored => PartClass::Archive,
        _ => PartClass::Exceptions,
    }
}

fn file_of(key: String, rows: &[Row<'_>], bytes: &[u8]) -> SealedFile {
    let mut leaves = Span::starting_at(0);
    for row in rows {
        let mut leaf = Vec::new();
        row.write_blind_leaf(&mut leaf);
        leaves.push(leaf_hash(&leaf));
    }
    SealedFile {
        key,
        rows: rows.len() as u64,
        bytes: bytes.len() as u64,
        sha256: Fingerprint::of(bytes).0.into(),
        merkle_root: leaves.root().expect("from 0").into(),
        actors: None,
        ids: None,
    }
}

fn statement_of(at: Millis, body: StatementBody) -> Statement {
    Statement {
        checkpoint: CheckpointMark::of(at, b"a checkpoint"),
        holds: HoldsMark {
            ranges: 0,
            sha256: Fingerprint::of(b"[]").0.into(),
        },
        body,
    }
}

fn window_body(
    parts: FileSet,
    shares: u64,
    counts: &DispositionCounts,
    digest: &Digest,
) -> StatementBody {
    let is_empty = parts.count() == 0;
    let mut sealed = SealedTotals::default();
    sealed.add(counts, digest);
    let (received, missing) = (ReceivedTotals::default(), EnvelopeTotals::default());
    let totals = Totals::of(received, sealed, missing, u64::from(!is_empty));
    StatementBody::Window(Box::new(WindowStatement {
        parts,
        shares: if is_empty { 1 } else { shares },
        evidence: FileSet::EMPTY,
        missing: FileSet::EMPTY,
        totals: totals.expect("adds up"),
        shortfall: None,
        projections: None,
    }))
}

fn unsealed(
    before: &Seal,
    (counts, digest): (DispositionCounts, Digest),
    files: Vec<SealedFile>,
    body: StatementBody,
) -> Unsealed {
    Unsealed {
        tenant: before.tenant.clone(),
        window: before.window(),
        kind: before.kind,
        sequence: before.sequence,
        counts,
        digest,
        files,
        covers: Vec::new(),
        statement: statement_of(before.end, body),
    }
}

/// Where rows with an id are, and the seals that sealed them.
fn places_of(part: &Part, id: &str, own: u64) -> (Vec<Place>, BTreeSet<u64>) {
    let (mut places, mut sealed_by) = (Vec::new(), BTreeSet::new());
    part.for_each_sealed(|row, by| {
        if row.id.map(EventId) == Some(EventId(id)) {
            places.push(row.place());
            sealed_by.insert(by.unwrap_or(own));
        }
        Ok(())
    })
    .expect("reads");
    (places, sealed_by)
}

/// The key of the file that takes the place of a seal's.
fn key_like(seal: &Seal, at: usize, sha256: &[u8; 32]) -> String {
    let (plan, file) = (seal.plan(), &seal.files[at]);
    let class = file.class();
    if seal.kind == SealKind::Day {
        let before = seal.files[..at].iter().filter(|f| f.class() == class);
        return part_key(&plan, class, before.count(), sha256);
    }
    let name = file.key.rsplit('/').next().expect("a name");
    let word = name.rsplit('-').nth(1).expect("a number");
    let place = SharePlace {
        share: word[..4].parse().expect("digits"),
        number: word[4..].parse().expect("digits"),
    };
    share_key(&plan, class, place, sha256)
}
