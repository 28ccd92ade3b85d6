//! One file: its bytes, then its rows.

use super::beside::Beside;
use super::chain::Closings;
use super::day::{Demux, Taken};
use super::report::{Check, Finding};
use super::row::{contradiction, first_lies_here, folded, folded_place, kept_key, misplaced};
use crate::Fault;
use crate::account::ErasedPlace;
use crate::columns::{Layout, SealedBy};
use crate::files::{Ranges, stream};
use crate::leaf::LeafForm;
use crate::merkle::{Hash, Span, leaf_hash};
use crate::reader::{Part, Reading};
use crate::row::{Row, SortKey};
use crate::seal::{Hex32, PartClass, Seal, SealKind, SealedFile};
use crate::share::share_of;
use sha2::{Digest as _, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use vernier_ledger::canonical::MeaningHash;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::event_key;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// Findings kept for the rows of one file: enough to see what happened to it.
const ROW_FINDINGS_MAX: usize = 20;

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
    /// Whether it has a text of its own.
    pub(super) has_text: bool,
    /// Of version 4, where the text is to be compared with the first's: the hash of what it means.
    pub(super) meaning: Option<MeaningHash>,
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
    /// Of version 4: the share of identities whose rows it has.
    pub(super) share: Option<u64>,
    /// The seal's rows that erasures name, in order.
    pub(super) erased: &'a [ErasedPlace],
    pub(super) closings: &'a Closings,
}

impl Task<'_> {
    pub(super) fn file(&self) -> &SealedFile {
        &self.seal.files[self.at]
    }

    fn field(&self, name: &str) -> String {
        file_field(self.seal, self.at, name)
    }

    fn shares(&self) -> Option<u64> {
        let statement = self.seal.statement.as_ref()?;
        Some(statement.window()?.shares)
    }

    /// What a repeat's text means, where it is to be compared with its first's.
    fn meaning_of(&self, row: &Row<'_>, first: Place) -> Option<MeaningHash> {
        let here = self.seal.statement.is_some() && first_lies_here(self.seal, first);
        MeaningHash::of(row.event.filter(|_| here)?, row.id)
    }

    /// Whether an erasure names the seal's row.
    pub(super) fn is_erased(&self, row: &Row<'_>) -> bool {
        let place = ErasedPlace {
            seal: self.seal.sequence,
            part: u32::try_from(self.at).unwrap_or(u32::MAX),
            receipt: row.receipt,
            index: row.index,
        };
        self.erased.binary_search(&place).is_ok()
    }
}

/// A field of a seal's file as a path.
pub(super) fn file_field(seal: &Seal, at: usize, name: &str) -> String {
    let set = seal.statement.as_ref().map_or("files", |_| "parts");
    format!("{set}[{at}].{name}")
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
    /// Rows that are erased.
    pub(super) erased: u64,
    /// Rows of version 4 that have no salt.
    pub(super) unsalted: u64,
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
    if root != sealed.merkle_root && sealed.merkle_root != Hex32::NONE {
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
        SealKind::Window | SealKind::Backfill if task.seal.statement.is_some() => {
            Layout::BlindWindow
        }
        SealKind::Window | SealKind::Backfill => Layout::Window,
        SealKind::Day if task.seal.statement.is_some() => Layout::BlindDay,
        SealKind::Day | SealKind::Idle | SealKind::Erasure => Layout::Day,
    };
    if part.layout() != wanted {
        let what = "has the columns of another kind of file";
        return Err(Fault::Damaged(what.to_owned()));
    }
    let mut examined = Examined::new(task.begin);
    let form = LeafForm::of_version(task.seal.vernier_seal);
    let mut leaf = Vec::with_capacity(1_024);
    let mut beside = task
        .file()
        .actors
        .map(|table| Beside::open(&file, table, task.file().ids));
    for group in 0..part.groups() {
        part.for_each_sealed_by(group, Reading::Whole, |row, sealed_by| {
            if examined.rows > task.file().rows {
                return Ok(()); // what is counted is enough to say that there are too many
            }
            let form = match (sealed_by, &demux) {
                (Some(by), Some(demux)) => demux.form_of(by.seal),
                _ => form,
            };
            leaf.clear();
            row.write_leaf_in(form, &mut leaf);
            if let Some(beside) = &mut beside
                && let Err(why) = beside.take(&row, &leaf)
            {
                let finding = Finding::new(Check::Row, why.to_string());
                examined.report(finding, examined.rows, &task.file().key);
            }
            let leaf = leaf_hash(&leaf);
            examined.push(leaf);
            match (sealed_by, &mut demux) {
                (Some(by), Some(demux)) => examined.take_of_day(task, &row, leaf, (by, demux)),
                _ => examined.take(task, &row),
            }
            Ok(())
        })?;
    }
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
            erased: 0,
            unsalted: 0,
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
        (by, demux): (SealedBy, &mut Demux<'_>),
    ) {
        let number = self.count(task, row);
        let wrong = match demux.take(row, leaf, by) {
            Taken::Here => misplaced(task, row),
            Taken::Elsewhere => contradiction(task, row),
            Taken::Nowhere => {
                let seal = by.seal;
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
        let blind = row.blind_fingerprint();
        self.digest.add_blind(row.receipt, row.index, &blind);
        self.erased += u64::from(row.erased.is_some());
        let has_salt = row.salt.is_some() || row.erased.is_some();
        self.unsalted += u64::from(!has_salt && task.seal.statement.is_some());
        // Of an erased row's sort key only the end is left.
        if row.erased.is_none() {
            self.check_order(row, number, &task.file().key);
        }
        number
    }

    pub(super) fn take(&mut self, task: &Task<'_>, row: &Row<'_>) {
        let number = self.count(task, row);
        let fingerprint = Fingerprint(row.fingerprint);
        if let Some((check, what)) = contradiction(task, row) {
            self.report(Finding::new(check, what), number, &task.file().key);
        }
        if row.erased.is_some() {
            return;
        }
        let key = event_key(row.kind, row.id, &fingerprint.hex());
        if let Some((share, shares)) = task.share.zip(task.shares())
            && share_of(&key, shares) != share
        {
            let what = format!("is an event of another share than {share} of {shares}");
            self.report(Finding::new(Check::Row, what), number, &task.file().key);
        }
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
                    has_text: row.event.is_some(),
                    meaning: task.meaning_of(row, first),
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
