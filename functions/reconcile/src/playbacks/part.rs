//! One part of the archive, as a playback reads it.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::reader::Part;
use vernier_archive::row::Row;
use vernier_archive::seal::SealedFile;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::TenantId;
use vernier_ledger::playback_job::{PlaybackFilter, PlaybackJob, PlaybackRequest};
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::results::{Change, Changes, ResultColumns};

/// An event that is asked for.
struct Played {
    row: u64,
    /// What it says of a result; most say nothing.
    change: Option<Box<Change>>,
}

/// What is left of a part.
pub(super) struct OpenPart {
    /// Sequence of the seal, and number of the file in it.
    pub(super) place: (u64, u32),
    rows: u64,
    left: VecDeque<Played>,
}

/// What one step sends through.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) changes: Changes,
    pub(super) events: u64,
}

fn passes(filter: &PlaybackFilter, row: &Row<'_>) -> bool {
    let same = |wanted: &Option<String>, there: Option<&str>| {
        wanted.as_deref().is_none_or(|text| there == Some(text))
    };
    same(&filter.type_name, row.type_name)
        && same(&filter.action, row.action)
        && same(&filter.actor, row.actor)
        && same(&filter.group, row.group)
        && same(&filter.sensor, Some(row.sensor))
}

/// What a stored row says of a result. One that cannot be read says nothing, as on the live path.
fn change_of(row: &Row<'_>) -> Option<Box<Change>> {
    let columns = ResultColumns {
        kind: row.kind,
        id: row.id,
        action: row.action,
        group: row.group,
        at: row.event_time?,
        fingerprint: Fingerprint(row.fingerprint),
    };
    let change = columns.change_of(row.result?).ok().flatten();
    change.map(Box::new)
}

/// Reads a part from a row on. The bytes must be the sealed ones: what was tampered with is not
/// played.
///
/// # Errors
/// The store's; fatal when the part is gone or is not what its seal says.
pub(super) async fn read<O: Objects>(
    objects: &O,
    file: &SealedFile,
    request: &PlaybackRequest,
    place: (u64, u32),
    from_row: u64,
) -> Result<OpenPart, PortError> {
    let damaged = |what: &str| PortError::Fatal(format!("{} {what}", file.key));
    let bytes = objects.get(&file.key, None).await?;
    let bytes = bytes.ok_or_else(|| damaged("is gone"))?;
    if Fingerprint::of(&bytes).0 != file.sha256.0 {
        return Err(damaged("is not what its seal says"));
    }
    let mut left = VecDeque::new();
    let mut number = 0;
    let found = Part::open(Arc::new(Bytes::from(bytes))).and_then(|part| {
        part.for_each(|row| {
            let here = number;
            number += 1;
            // A duplicate is the same event with the same cause; a conflict is not the one that counts.
            let wanted = here >= from_row
                && row.disposition == Disposition::Stored
                && request.wants(row.receipt)
                && passes(&request.filter, &row);
            if wanted {
                let change = change_of(&row);
                left.push_back(Played { row: here, change });
            }
            Ok(())
        })
    });
    found.map_err(|fault: Fault| damaged(&fault.to_string()))?;
    Ok(OpenPart {
        place,
        rows: number,
        left,
    })
}

impl OpenPart {
    /// Moves events into a batch, as many as it may have, and the job's place behind them; true
    /// when nothing is left.
    pub(super) fn take(
        &mut self,
        tenant: &TenantId,
        job: &mut PlaybackJob,
        (batch, most): (&mut Batch, u64),
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
        }
        let is_over = self.left.is_empty();
        if is_over {
            job.position.row = self.rows;
        }
        job.progress.events_passed += job.position.row.saturating_sub(before);
        if is_over {
            job.position.file += 1;
            job.position.row = 0;
        }
        is_over
    }
}
