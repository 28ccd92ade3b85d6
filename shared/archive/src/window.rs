//! A window's lines on their way into its files.

use crate::Fault;
use crate::files::Sink;
use crate::judge::Judge;
use crate::limits;
use crate::previous::Previous;
use crate::row::Row;
use crate::scratch::Scratch;
use crate::seal::{SealKind, Written};
use crate::share::{Share, ShareWritten};
use crate::sort::Sorter;
use crate::write;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io;
use std::path::PathBuf;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::Disposition;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::TenantId;
use vernier_ledger::line::{self, BadLine, EventRef, LineHead, Verdict};
use vernier_ledger::salt::{SALT_BYTES, Salt};
use vernier_ledger::time::Window;

/// What is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whose events.
    pub tenant: TenantId,
    /// When they were received.
    pub window: Window,
    /// The window itself, what came after it was sealed, or the files of a day.
    pub kind: SealKind,
    /// The seal's place in the tenant's chain; a backfill's files are named after it. A day's files are
    /// named after the first sequence that the day's seal covers, which this is then.
    pub sequence: u64,
}

/// How much of the machine may be used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For runs that memory does not hold; of one builder alone. Nothing is left in it.
    pub temporary: PathBuf,
    /// Records in memory before a run is written, bytes.
    pub run_bytes: usize,
    /// Threads that encode.
    pub threads: usize,
    /// Rows of a part, at most [`limits::PART_ROWS_MAX`].
    pub part_rows: usize,
    /// Text of a row group before it is encoded, bytes, at most [`limits::GROUP_BYTES_MAX`]; two of
    /// them are filled at a time, and each thread has one. Another size gives other files.
    pub group_bytes: usize,
    /// Texts of events that were too large for their frames, in one part, bytes: a part ends behind the event that
    /// reaches it. Another bound gives other files.
    pub part_oversize_bytes: u64,
    /// What files under way may take of the disk together.
    pub scratch: Scratch,
}

impl Settings {
    /// The usual sizes.
    pub fn new(temporary: impl Into<PathBuf>, threads: usize) -> Self {
        Self {
            temporary: temporary.into(),
            run_bytes: limits::RUN_BYTES_DEFAULT,
            threads,
            part_rows: limits::PART_ROWS_MAX,
            group_bytes: limits::GROUP_BYTES_MAX,
            part_oversize_bytes: limits::PART_OVERSIZE_BYTES,
            scratch: Scratch::unbounded(),
        }
    }
}

/// Brings events that were too large for their frames.
pub trait Oversize: Sync {
    /// The compacted event's bytes.
    ///
    /// # Errors
    /// When it cannot be read: nothing is sealed without it.
    fn fetch(&self, reference: &EventRef) -> io::Result<Vec<u8>>;
}

/// For windows without oversize events.
#[derive(Debug, Clone, Copy)]
pub struct NoOversize;

impl Oversize for NoOversize {
    fn fetch(&self, reference: &EventRef) -> io::Result<Vec<u8>> {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("nobody can bring the oversize event {}", reference.key),
        ))
    }
}

/// Takes lines in any order, then writes the files.
#[derive(Debug)]
pub struct WindowBuilder {
    plan: Plan,
    settings: Settings,
    rows: Sorter,
    judge: Judge,
    digest: Digest,
    /// Of version 4: rows of other shares are left out.
    share: Option<Share>,
    head: Vec<u8>,
    key: Vec<u8>,
    leaf: Vec<u8>,
}

/// Marks of a spilled row, the byte before its salt: the salt counts, and the text lies in an object of its own.
pub(crate) const HAS_SALT: u8 = 1;
pub(crate) const IS_OVERSIZE: u8 = 2;

/// What precedes the event in a spilled row.
pub(crate) const NO_EVENT: u8 = 0;
pub(crate) const EVENT_TEXT: u8 = 1;
pub(crate) const EVENT_REF: u8 = 2;

impl WindowBuilder {
    /// An empty window.
    #[must_use]
    pub fn new(plan: Plan, settings: Settings) -> Self {
        Self {
            rows: Sorter::new(&settings.temporary, "rows", settings.run_bytes)
                .within(&settings.scratch),
            judge: Judge::new(&settings.temporary, settings.run_bytes / 4)
                .within(&settings.scratch),
            digest: Digest::EMPTY,
            share: None,
            plan,
            settings,
            head: Vec::with_capacity(1_024),
            key: Vec::with_capacity(512),
            leaf: Vec::with_capacity(1_024),
        }
    }

    /// An empty share of a window, whose files are those of version 4.
    #[must_use]
    pub fn of_share(plan: Plan, share: Share, settings: Settings) -> Self {
        Self {
            share: Some(share),
            ..Self::new(plan, settings)
        }
    }

    /// Takes lines, each with its line feed: an open block of a segment. Lines that were received
    /// outside of the window are left out, since blocks hold neighbouring windows too; answers how
    /// many were taken.
    ///
    /// # Errors
    /// The first line that is none, or a failed write.
    pub fn push_lines(&mut self, lines: &[u8]) -> Result<u64, Fault> {
        let mut taken = 0;
        for text in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            match self.push_line(text) {
                Ok(()) => taken += 1,
                Err(Fault::OtherWindow(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(taken)
    }

    /// Takes one line, without its line feed.
    ///
    /// # Errors
    /// When it is none, belongs to another window, or a run cannot be written.
    pub fn push_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let mut text = std::mem::take(&mut self.head);
        let taken = line::split(line, &mut text)
            .map_err(Fault::from)
            .and_then(|event| self.push(&line::read_head(&text)?, &text, event));
        self.head = text;
        taken
    }

    fn push(&mut self, head: &LineHead<'_>, text: &[u8], event: &[u8]) -> Result<(), Fault> {
        let received_at = head.receipt.received_at();
        if !self.plan.window.contains(received_at) {
            return Err(Fault::OtherWindow(head.receipt));
        }
        let bad = |what: &str| BadLine(format!("{} {}: {what}", head.receipt, head.index));
        let fingerprint =
            Fingerprint::from_hex(&head.fingerprint).ok_or_else(|| bad("no fingerprint"))?;
        let said = head.result.as_ref();
        let result = match said {
            Some(_) => result_of(text)?,
            None => None,
        };
        // A time that nobody can read is none: it must not keep the window from being sealed.
        let deviations = head.findings();
        let row = Row {
            id: head.id.as_deref(),
            type_name: head.type_name.as_deref(),
            action: head.action.as_deref(),
            actor: head.actor.as_deref(),
            object: head.object.as_deref(),
            group: head.group.as_deref(),
            event_time: head.event_time(),
            sensor: &head.sensor,
            kind: &head.kind,
            strict: verdict_word(head.strict),
            receipt: head.receipt,
            index: head.index,
            received_at,
            disposition: match head.verdict {
                Verdict::Accepted => Disposition::Stored,
                Verdict::Rejected => Disposition::Rejected,
            },
            first: None,
            problems: head.problems.as_deref().map(RawValue::get),
            deviations: deviations.as_deref(),
            result: result.map(RawValue::get),
            score: said.and_then(|said| said.given),
            score_maximum: said.and_then(|said| said.maximum),
            fingerprint: fingerprint.0,
            event: None,
            // Leaves of versions 1 to 3 are over fingerprints.
            salt: self.share.and_then(|_| head.salt()),
            erased: None,
        };
        if self.share.is_some_and(|share| !share.has(&row)) {
            return Ok(());
        }
        let reference = head
            .event_ref
            .as_ref()
            .map(|reference| serde_json::to_vec(reference).map_err(|e| bad(&e.to_string())));
        let (tag, text) = match reference.transpose()? {
            Some(reference) => (EVENT_REF, reference),
            None => {
                std::str::from_utf8(event).map_err(|_| bad("the event is not UTF-8"))?;
                (EVENT_TEXT, Vec::new())
            }
        };
        let text = if tag == EVENT_REF { &text } else { event };
        self.store(&row, tag, text)
    }

    fn store(&mut self, row: &Row<'_>, tag: u8, event: &[u8]) -> Result<(), Fault> {
        let number = self.judge.show(row)?;
        let blind = row.blind_fingerprint();
        self.digest.add_blind(row.receipt, row.index, &blind);
        self.key.clear();
        row.write_sort_key(&mut self.key);
        self.leaf.clear();
        row.write_leaf(&mut self.leaf);
        let (mut marks, salt) = match row.salt {
            Some(salt) => (HAS_SALT, salt),
            None => (0, Salt([0; SALT_BYTES])),
        };
        if tag == EVENT_REF {
            marks |= IS_OVERSIZE;
        }
        let payload: [&[u8]; 6] = [
            &number.to_be_bytes(),
            &[marks],
            &salt.0,
            &self.leaf,
            &[tag],
            event,
        ];
        self.rows.push(&self.key, &payload)?;
        Ok(())
    }

    /// What the lines taken so far come to.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let (events, rejected) = self.judge.rows();
        Tally {
            events,
            rejected,
            digest: self.digest,
        }
    }

    /// Decides dispositions and writes the files.
    ///
    /// # Errors
    /// When earlier windows cannot be asked, an oversize event cannot be brought, an event's bytes
    /// have another fingerprint than its line says, the same place came twice, or storage fails.
    /// What was written before is no part of any seal.
    pub fn finish<S: Sink>(
        self,
        previous: &dyn Previous,
        oversize: &dyn Oversize,
        sink: &S,
    ) -> Result<Written, Fault> {
        let plan = self.plan.clone();
        let (digest, rows) = (self.digest, self.write(previous, oversize, sink)?);
        Ok(Written {
            tenant: plan.tenant,
            window: plan.window,
            kind: plan.kind,
            sequence: plan.sequence,
            counts: rows.counts,
            digest,
            files: rows.files,
            merkle_root: rows.merkle_root,
            covers: Vec::new(),
        })
    }

    /// As [`Self::finish`] of a share of a window.
    ///
    /// # Errors
    /// The same as of [`Self::finish`].
    pub fn finish_share<S: Sink>(
        self,
        previous: &dyn Previous,
        oversize: &dyn Oversize,
        sink: &S,
    ) -> Result<ShareWritten, Fault> {
        let (share, digest) = (self.share.unwrap_or(Share::WHOLE), self.digest);
        let rows = self.write(previous, oversize, sink)?;
        Ok(ShareWritten {
            share,
            counts: rows.counts,
            digest,
            files: rows.files,
        })
    }

    fn write<S: Sink>(
        mut self,
        previous: &dyn Previous,
        oversize: &dyn Oversize,
        sink: &S,
    ) -> Result<write::RowsWritten, Fault> {
        let mut decisions = self.judge.decide(previous)?;
        // In versions before 4 every event in other bytes is a conflict.
        if self.share.is_some() {
            let mut comparison = decisions.comparison(previous)?;
            if !comparison.is_empty() {
                write::read_meanings(&mut self.rows, oversize, &mut comparison)?;
                decisions.compare(&comparison)?;
            }
        }
        let rows = self.rows.finish()?;
        let plan = write::FilePlan {
            plan: &self.plan,
            share: self.share,
        };
        let files = write::Files::new(plan, &self.settings, &decisions, oversize, sink)?;
        files.write(rows)
    }
}

const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
    }
}

/// The head's result as it stands there.
fn result_of(head: &[u8]) -> Result<Option<&RawValue>, BadLine> {
    #[derive(Deserialize)]
    struct Only<'a> {
        #[serde(borrow, default)]
        result: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Only<'_>>(head)
        .map(|only| only.result)
        .map_err(|e| BadLine(e.to_string()))
}
