//! One file: its bytes, then its rows.

use super::beside::Beside;
use super::day::{Demux, Taken};
use super::report::{Check, Finding};
use crate::Fault;
use crate::columns::Layout;
use crate::files::{Ranges, stream};
use crate::merkle::{Hash, Span, leaf_hash};
use crate::reader::Part;
use crate::row::{Row, SortKey};
use crate::seal::{Hex32, PartClass, Seal, SealKind, SealedFile};
use sha2::{Digest as _, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::event_id::EventId;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::event_key;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// Findings kept for the rows of one file: enough to see what happened to it.
const ROW_FINDINGS_MAX: usize = 20;

/// Bytes of a kept key that say which event it is; those behind them say how its id is spelled.
pub(super) const IDENTITY_BYTES: usize = 12;

/// A stored event, in as little as tells it apart: parts of the hashes of its key and its id, its place and content
/// folded to 64 bits. 32 bytes, so that a window of 10 million takes 320 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredEvent {
    pub(super) key: [u8; 16],
    pub(super) place: u64,
    pub(super) content: u64,
}

/// A duplicate or conflict, and what it says of its first.
#[derive(Debug, Clone)]
pub(super) struct Repeat {
    pub(super) key: [u8; 16],
    pub(super) first: Place,
    pub(super) own: Place,
    pub(super) content: u64,
    pub(super) disposition: Disposition,
    pub(super) row: u64,
}

/// A sort key that outlives its batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnedKey {
    group: Option<String>,
    actor: Option<String>,
    time: Option<Millis>,
    receipt: ReceiptId,
    index: u32,
}

impl OwnedKey {
    fn of(key: SortKey<'_>) -> Self {
        Self {
            group: key.0.map(str::to_owned),
            actor: key.1.map(str::to_owned),
            time: key.2,
            receipt: key.3,
            index: key.4,
        }
    }

    fn as_key(&self) -> SortKey<'_> {
        let (group, actor) = (self.group.as_deref(), self.actor.as_deref());
        (group, actor, self.time, self.receipt, self.index)
    }

    /// Takes another key's values in its own memory.
    fn set(&mut self, key: SortKey<'_>) {
        let put = |to: &mut Option<String>, from: Option<&str>| match (to.as_mut(), from) {
            (Some(to), Some(from)) => {
                to.clear();
                to.push_str(from);
            }
            _ => *to = from.map(str::to_owned),
        };
        put(&mut self.group, key.0);
        put(&mut self.actor, key.1);
        (self.time, self.receipt, self.index) = (key.2, key.3, key.4);
    }
}

/// A file of a seal.
pub(super) struct Task<'a> {
    pub(super) seal: &'a Seal,
    pub(super) seal_key: &'a str,
    /// Place among the seal's files.
    pub(super) at: usize,
    pub(super) class: PartClass,
    /// Number of its first row among all rows of the seal.
    pub(super) begin: u64,
}

impl Task<'_> {
    pub(super) fn file(&self) -> &SealedFile {
        &self.seal.files[self.at]
    }

    fn field(&self, name: &str) -> String {
        format!("files[{}].{name}", self.at)
    }
}

/// What a file's rows come to.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) findings: Vec<Finding>,
    pub(super) rows: u64,
    pub(super) counts: DispositionCounts,
    pub(super) digest: Digest,
    /// As leaves of the window's tree.
    pub(super) leaves: Span,
    /// As leaves of the file's own tree.
    own_leaves: Span,
    pub(super) first: Option<OwnedKey>,
    pub(super) last: Option<OwnedKey>,
    pub(super) stored: Vec<StoredEvent>,
    pub(super) repeats: Vec<Repeat>,
}

/// Checks one file, and gives a day's rows to the seals that they belong to; nothing when its rows
/// could not be had.
pub(super) fn check(
    task: &Task<'_>,
    file: &Arc<dyn Ranges>,
    demux: Option<&mut Demux<'_>>,
    read: &dyn Fn(u64),
    findings: &mut Vec<Finding>,
) -> Result<Option<Examined>, Fault> {
    let sealed = task.file();
    let mut hash = Sha256::new();
    stream(file.as_ref(), |bytes| {
        hash.update(bytes);
        read(bytes.len() as u64);
        Ok(())
    })?;
    let found = Hex32(hash.finalize().into());
    let same = found == sealed.sha256 && file.size() == sealed.bytes;
    let examined = catch_unwind(AssertUnwindSafe(|| examine(task, Arc::clone(file), demux)));
    let examined = examined.unwrap_or_else(|_| {
        Err(Fault::Damaged(
            "the reader of Parquet files gave up on it".to_owned(),
        ))
    });
    if !same {
        let (field, expected, found) = if file.size() == sealed.bytes {
            ("sha256", sealed.sha256.to_string(), found.to_string())
        } else {
            ("bytes", sealed.bytes.to_string(), file.size().to_string())
        };
        let what = format!(
            "its bytes are not the sealed ones: {}",
            locate(task, &examined)
        );
        findings.push(
            Finding::new(Check::FileChanged, what)
                .in_file(&sealed.key)
                .against(task.seal_key, task.field(field), expected, found),
        );
        return Ok(None);
    }
    match examined {
        Err(why) => {
            let what = format!("its rows cannot be read: {why}");
            findings.push(Finding::new(Check::FileForm, what).in_file(&sealed.key));
            Ok(None)
        }
        Ok(mut examined) => {
            findings.append(&mut examined.findings);
            compare(task, &examined, findings);
            Ok(Some(examined))
        }
    }
}

/// Where a changed file differs, as far as its rows show it.
fn locate(task: &Task<'_>, examined: &Result<Examined, Fault>) -> String {
    let examined = match examined {
        Ok(examined) => examined,
        Err(why) => return format!("its rows cannot be read any more ({why})"),
    };
    let sealed = task.file();
    if examined.rows != sealed.rows {
        return format!("it has {} rows instead of {}", examined.rows, sealed.rows);
    }
    if examined.own_leaves.root() == Some(sealed.merkle_root.0) && examined.findings.is_empty() {
        return "its rows are the sealed ones, what is around them changed".to_owned();
    }
    match examined.findings.first() {
        Some(first) => {
            let row = first.row.map_or(String::new(), |row| format!("row {row} "));
            format!("{row}{}", first.what)
        }
        None => "a row was changed in a column that nothing else in it depends on".to_owned(),
    }
}

pub(super) fn compare(task: &Task<'_>, examined: &Examined, findings: &mut Vec<Finding>) {
    let sealed = task.file();
    if examined.rows != sealed.rows {
        findings.push(
            Finding::new(Check::Count, "has another number of rows")
                .in_file(&sealed.key)
                .against(
                    task.seal_key,
                    task.field("rows"),
                    sealed.rows,
                    examined.rows,
                ),
        );
    }
    let root = Hex32(examined.own_leaves.root().unwrap_or_default());
    if root != sealed.merkle_root {
        findings.push(
            Finding::new(Check::MerkleRoot, "its rows do not lead to its root")
                .in_file(&sealed.key)
                .against(
                    task.seal_key,
                    task.field("merkle_root"),
                    sealed.merkle_root,
                    root,
                ),
        );
    }
}

fn examine(
    task: &Task<'_>,
    file: Arc<dyn Ranges>,
    mut demux: Option<&mut Demux<'_>>,
) -> Result<Examined, Fault> {
    let part = Part::open(Arc::clone(&file))?;
    let wanted = match task.seal.kind {
        SealKind::Window | SealKind::Backfill => Layout::Window,
        SealKind::Day => Layout::Day,
    };
    if part.layout() != wanted {
        let what = "has the columns of another kind of file";
        return Err(Fault::Damaged(what.to_owned()));
    }
    let mut examined = Examined::new(task.begin);
    let mut leaf = Vec::with_capacity(1_024);
    let mut beside = task.file().actors.map(|table| Beside::open(&file, table));
    part.for_each_sealed(|row, sealed_by| {
        if examined.rows > task.file().rows {
            return Ok(()); // what is counted is enough to say that there are too many
        }
        leaf.clear();
        row.write_leaf(&mut leaf);
        if let Some(beside) = &mut beside
            && let Err(why) = beside.take(&row, &leaf)
        {
            let finding = Finding::new(Check::Row, why.to_string());
            examined.report(finding, examined.rows, &task.file().key);
        }
        let leaf = leaf_hash(&leaf);
        examined.push(leaf);
        match (sealed_by, &mut demux) {
            (Some(seal), Some(demux)) => examined.take_of_day(task, &row, leaf, (seal, demux)),
            _ => examined.take(task, &row),
        }
        Ok(())
    })?;
    if let Some(Err(why)) = beside.map(Beside::finish) {
        let finding = Finding::new(Check::FileForm, why.to_string());
        examined.findings.push(finding.in_file(&task.file().key));
    }
    Ok(examined)
}

impl Examined {
    pub(super) const fn new(begin: u64) -> Self {
        Self {
            findings: Vec::new(),
            rows: 0,
            counts: DispositionCounts {
                stored: 0,
                duplicate: 0,
                conflict: 0,
                rejected: 0,
            },
            digest: Digest::EMPTY,
            leaves: Span::starting_at(begin),
            own_leaves: Span::starting_at(0),
            first: None,
            last: None,
            stored: Vec::new(),
            repeats: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
        self.own_leaves.push(leaf);
    }

    /// A row of a day: what it must be, its own window says, as far as that is here.
    fn take_of_day(
        &mut self,
        task: &Task<'_>,
        row: &Row<'_>,
        leaf: Hash,
        (seal, demux): (u64, &mut Demux<'_>),
    ) {
        let number = self.count(task, row);
        let wrong = match demux.take(row, leaf, seal) {
            Taken::Here => misplaced(task, row),
            Taken::Elsewhere => contradiction(task, row),
            Taken::Nowhere => {
                let what =
                    format!("seal {seal}, which it names, is not covered or has no such row");
                Some((Check::Row, what))
            }
        };
        if let Some((check, what)) = wrong {
            self.report(Finding::new(check, what), number, &task.file().key);
        }
    }

    /// Counts a row and looks at its place; answers its number.
    fn count(&mut self, task: &Task<'_>, row: &Row<'_>) -> u64 {
        let number = self.rows;
        self.rows += 1;
        self.counts.add(row.disposition);
        let fingerprint = Fingerprint(row.fingerprint);
        self.digest.add_event(row.receipt, row.index, &fingerprint);
        self.check_order(row, number, &task.file().key);
        number
    }

    pub(super) fn take(&mut self, task: &Task<'_>, row: &Row<'_>) {
        let number = self.count(task, row);
        let fingerprint = Fingerprint(row.fingerprint);
        if let Some((check, what)) = contradiction(task, row) {
            self.report(Finding::new(check, what), number, &task.file().key);
        }
        let key = event_key(row.kind, row.id, &fingerprint.hex());
        let key = kept_key(&key, row.id);
        match (row.disposition, row.first) {
            (Disposition::Stored, _) => self.stored.push(StoredEvent {
                key,
                place: folded_place(row.place()),
                content: folded(&row.fingerprint),
            }),
            (Disposition::Duplicate | Disposition::Conflict, Some(first)) => {
                self.repeats.push(Repeat {
                    key,
                    first,
                    own: row.place(),
                    content: folded(&row.fingerprint),
                    disposition: row.disposition,
                    row: number,
                });
            }
            _ => {}
        }
    }

    fn check_order(&mut self, row: &Row<'_>, number: u64, file: &str) {
        let key = row.sort_key();
        match &mut self.last {
            None => {
                self.first = Some(OwnedKey::of(key));
                self.last = Some(OwnedKey::of(key));
            }
            Some(last) => {
                let follows = last.as_key() < key;
                last.set(key);
                if !follows {
                    let what = "does not follow the row before by group, actor, event time, receipt and index";
                    self.report(Finding::new(Check::Order, what), number, file);
                }
            }
        }
    }

    fn report(&mut self, finding: Finding, row: u64, file: &str) {
        if self.findings.len() < ROW_FINDINGS_MAX {
            self.findings.push(finding.in_file(file).at_row(row));
        }
    }
}

/// A row among those of the other class.
fn misplaced(task: &Task<'_>, row: &Row<'_>) -> Option<(Check, String)> {
    let stored = row.disposition == Disposition::Stored;
    let word = crate::row::disposition_word(row.disposition);
    (stored != (task.class == PartClass::Archive))
        .then(|| (Check::Row, format!("is {word}, which does not lie here")))
}

/// What a row contradicts: itself, its file or its window.
fn contradiction(task: &Task<'_>, row: &Row<'_>) -> Option<(Check, String)> {
    if let Some(misplaced) = misplaced(task, row) {
        return Some(misplaced);
    }
    if row.received_at != row.receipt.received_at() {
        return Some((
            Check::Row,
            "received_at is not its receipt's time".to_owned(),
        ));
    }
    if !task.seal.window().contains(row.received_at) {
        let what = format!("was received at {}, outside of the window", row.received_at);
        return Some((Check::Row, what));
    }
    let repeats = matches!(
        row.disposition,
        Disposition::Duplicate | Disposition::Conflict
    );
    if repeats != row.first.is_some() {
        return Some((
            Check::Row,
            "its disposition and its first contradict each other".to_owned(),
        ));
    }
    if !matches!(row.strict, "accepted" | "rejected") {
        return Some((Check::Row, format!("strict is {}", row.strict)));
    }
    if !matches!(row.kind, "event" | "entity" | "domain" | "opaque") {
        return Some((Check::Row, format!("kind is {}", row.kind)));
    }
    match row.event {
        None if row.disposition == Disposition::Duplicate => None,
        None => Some((Check::Fingerprint, "the event's text is missing".to_owned())),
        Some(_) if row.disposition == Disposition::Duplicate => Some((
            Check::Row,
            "is a duplicate with a text of its own".to_owned(),
        )),
        Some(text) if Fingerprint::of(text.as_bytes()).0 != row.fingerprint => {
            let what = "the event's text has another SHA-256 than its fingerprint";
            Some((Check::Fingerprint, what.to_owned()))
        }
        Some(_) => None,
    }
}

/// What is kept of an event's key. Archives that were sealed while ids were compared by their bytes store a
/// UUID once for each spelling, which is no fault of theirs: so the spelling is kept beside the identity.
fn kept_key(key: &[u8; 32], id: Option<&str>) -> [u8; 16] {
    let mut kept = [0; 16];
    let (identity, spelling) = kept.split_at_mut(IDENTITY_BYTES);
    identity.copy_from_slice(&key[..IDENTITY_BYTES]);
    if let Some(id) = id.filter(|id| EventId(id).is_uuid()) {
        let sent = Fingerprint::of(id.as_bytes()).0;
        spelling.copy_from_slice(&sent[..16 - IDENTITY_BYTES]);
    }
    kept
}

/// Eight of its bytes: SHA-256 has no better ones.
fn folded(fingerprint: &[u8; 32]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&fingerprint[..8]);
    u64::from_be_bytes(bytes)
}

/// The receipt's random bits with the index: places of one window meet in it by chance only.
pub(super) fn folded_place((receipt, index): Place) -> u64 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(receipt.as_bytes());
    let [high, low] = [&bytes[..8], &bytes[8..]].map(|half| {
        half.iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    });
    (high.rotate_left(32) ^ low).wrapping_add(u64::from(index).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Whether a repeat's first must lie in the window that is sealed here.
pub(super) fn first_lies_here(seal: &Seal, repeat: &Repeat) -> bool {
    seal.kind == SealKind::Window && seal.window().contains(repeat.first.0.received_at())
}
