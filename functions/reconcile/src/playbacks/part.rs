//! One part of the archive, as a playback reads it.

use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::reader::Part;
use vernier_archive::row::Row;
use vernier_archive::seal::SealedFile;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::TenantId;
use vernier_ledger::line::names_rule;
use vernier_ledger::playback_job::{PlaybackJob, PlaybackRequest, PlaybackSource, PlaybackTarget};
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::results::{Change, Changes, ResultColumns};

/// Events that are held to be sent again, bytes: so much of a part that is open, and a step's batch,
/// which is that and one such piece more.
pub(super) const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An event with its columns, to be sent again.
pub(super) struct Again {
    leaf: Vec<u8>,
    /// The event as it was sent.
    pub(super) event: String,
}

impl Again {
    fn of(row: &Row<'_>) -> Option<Self> {
        let event = row.event?.to_owned();
        let mut leaf = Vec::with_capacity(512);
        row.write_leaf(&mut leaf);
        Some(Self { leaf, event })
    }

    /// Its row, without the event.
    ///
    /// # Errors
    /// Fatal, when it is none.
    pub(super) fn row(&self) -> Result<Row<'_>, PortError> {
        let read = Row::read_leaf(&self.leaf);
        read.map(|(row, _)| row)
            .map_err(|e| PortError::Fatal(e.to_string()))
    }

    fn bytes(&self) -> usize {
        self.leaf.len() + self.event.len()
    }
}

/// An event that is asked for.
struct Played {
    row: u64,
    /// What it says of a result; most say nothing.
    change: Option<Box<Change>>,
    /// Itself, where it is to be sent.
    again: Option<Again>,
}

/// What is left of a part, or of as much of it as fits into memory.
pub(super) struct OpenPart {
    /// Sequence of the seal, and number of the file in it.
    pub(super) place: (u64, u32),
    /// Rows in it.
    rows: u64,
    /// The row behind the last one that was read.
    read_to: u64,
    left: VecDeque<Played>,
}

/// What one step sends through.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) changes: Changes,
    pub(super) again: Vec<Again>,
    /// How many bytes the events in `again` take.
    pub(super) bytes: usize,
    pub(super) events: u64,
}

fn passes(request: &PlaybackRequest, row: &Row<'_>) -> bool {
    let filter = &request.filter;
    let same = |wanted: &Option<String>, there: Option<&str>| {
        wanted.as_deref().is_none_or(|text| there == Some(text))
    };
    // A duplicate is the same event with the same cause; a conflict is not the one that counts.
    let wanted = match request.source {
        PlaybackSource::Quarantine => Disposition::Rejected,
        PlaybackSource::Archive | PlaybackSource::Failures => Disposition::Stored,
    };
    // Of an erased event there is nothing left to play.
    row.erased.is_none()
        && row.disposition == wanted
        && request.wants(row.receipt)
        && same(&filter.type_name, row.type_name)
        && same(&filter.action, row.action)
        && same(&filter.actor, row.actor)
        && same(&filter.group, row.group)
        && same(&filter.sensor, Some(row.sensor))
        && filter.rule.as_deref().is_none_or(|rule| {
            row.problems
                .is_some_and(|problems| names_rule(problems, rule))
        })
}

/// What a stored row says of a result. One that cannot be read says nothing, as on the live path.
fn change_of(row: &Row<'_>) -> Option<Box<Change>> {
    let columns = ResultColumns {
        kind: row.kind,
        id: row.id,
        action: row.action,
        group: row.group,
        at: row.event_time?,
        received_at: row.received_at,
        fingerprint: Fingerprint(row.fingerprint),
    };
    let change = columns.change_of(row.result?).ok().flatten();
    change.map(Box::new)
}

/// Brings a part's bytes; none when they are gone. They must be the sealed ones: what was tampered
/// with is not played.
///
/// # Errors
/// The store's; fatal when the part is not what its seal says.
pub(super) async fn fetch<O: Objects>(
    objects: &O,
    file: &SealedFile,
) -> Result<Option<Bytes>, PortError> {
    let Some(bytes) = objects.get(&file.key, None).await? else {
        return Ok(None);
    };
    if Fingerprint::of(&bytes).0 == file.sha256.0 {
        Ok(Some(Bytes::from(bytes)))
    } else {
        let what = format!("{} is not what its seal says", file.key);
        Err(PortError::Fatal(what))
    }
}

/// What is asked for of a part's rows, shown one after the other, as much as memory takes.
pub(super) struct Gathering<'r> {
    pub(super) request: &'r PlaybackRequest,
    place: (u64, u32),
    from_row: u64,
    /// The next row.
    number: u64,
    waiting_bytes: usize,
    left: VecDeque<Played>,
}

impl<'r> Gathering<'r> {
    /// From a row on.
    pub(super) const fn new(
        request: &'r PlaybackRequest,
        place: (u64, u32),
        from_row: u64,
    ) -> Self {
        Self {
            request,
            place,
            from_row,
            number: 0,
            waiting_bytes: 0,
            left: VecDeque::new(),
        }
    }

    /// Takes the next row; breaks when it is to be shown again later.
    pub(super) fn take(&mut self, row: &Row<'_>) -> ControlFlow<()> {
        if self.waiting_bytes >= WAITING_BYTES_MAX {
            return ControlFlow::Break(());
        }
        let here = self.number;
        self.number += 1;
        if here >= self.from_row && passes(self.request, row) {
            let (change, again) = match self.request.target {
                PlaybackTarget::Results => (change_of(row), None),
                PlaybackTarget::Stream => (None, Again::of(row)),
            };
            self.waiting_bytes += again.as_ref().map_or(0, Again::bytes);
            self.left.push_back(Played {
                row: here,
                change,
                again,
            });
        }
        ControlFlow::Continue(())
    }

    /// Takes a part's rows.
    ///
    /// # Errors
    /// Fatal when it is no part.
    pub(super) fn read(mut self, bytes: Bytes, file: &SealedFile) -> Result<OpenPart, PortError> {
        self.number = self.from_row;
        let found = Part::open(Arc::new(bytes))
            .and_then(|part| part.for_each_from(self.from_row, |row| Ok(self.take(&row))));
        found.map_err(|fault: Fault| PortError::Fatal(format!("{}: {fault}", file.key)))?;
        Ok(self.into_part(file.rows))
    }

    /// What was taken of a part of so many rows.
    pub(super) fn into_part(self, rows: u64) -> OpenPart {
        OpenPart {
            place: self.place,
            rows,
            read_to: self.number,
            left: self.left,
        }
    }
}

impl OpenPart {
    /// Moves events into a batch, as many as it may have, and the job's place behind them; true
    /// when nothing is left here.
    pub(super) fn take(
        &mut self,
        tenant: &TenantId,
        job: &mut PlaybackJob,
        batch: &mut Batch,
        most: u64,
    ) -> bool {
        let before = job.position.row;
        while batch.events < most
            && let Some(event) = self.left.pop_front()
        {
            batch.events += 1;
            job.position.row = event.row + 1;
            if let Some(change) = event.change {
                batch.changes.add(tenant, *change);
            }
            batch.bytes += event.again.as_ref().map_or(0, Again::bytes);
            batch.again.extend(event.again);
        }
        let is_over = self.left.is_empty();
        if is_over {
            job.position.row = self.read_to;
        }
        job.progress.events_passed += job.position.row.saturating_sub(before);
        if is_over && self.read_to >= self.rows {
            job.position.file += 1;
            job.position.row = 0;
        }
        is_over
    }
}
