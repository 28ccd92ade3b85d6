//! All events of a query, sealed and not, by a few of their columns: what reports add up.

use crate::extent::Extent;
use crate::live;
use crate::metered::{Metered, Reads};
use crate::query::EventQuery;
use crate::reports::{Asking, Reach, Seen};
use crate::sealed;
use futures::stream::{self, StreamExt, TryStreamExt};
use vernier_archive::row::disposition_from;
use vernier_archive::search::{Column, Scanned};
use vernier_ledger::chunks::Counts;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::LIVE_READ_BYTES_MAX;
use vernier_ledger::line::{LineHead, LineResult};
use vernier_ledger::live::ReadError;
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::Millis;

/// Compressed bytes of sealed files that one report reads, bytes: a section of 1,000 events a day is 10 KB
/// a day, all columns of a day of a million events 20 MB.
const SCAN_BYTES_MAX: u64 = 4 * LIVE_READ_BYTES_MAX;

/// Seals whose files are fetched at a time, and held until they are added up.
const SEALS_IN_FLIGHT_MAX: usize = 8;

/// What takes the events of a query.
pub(crate) trait Fold {
    /// Takes one event, whether it is meant or not; each one once, in any order.
    fn add(&mut self, seen: &Seen<'_>);

    /// Whether counts will do in the place of the events of a block. `received` has the instants at which the first and
    /// the last of these events were received.
    fn takes_counts(&self, received: (Millis, Millis)) -> bool;

    /// Takes the counts of such a block.
    fn add_counts(&mut self, received: (Millis, Millis), counts: &Counts);
}

/// A fold that takes live events which ended as its query asks.
struct Ended<'f, F> {
    fold: &'f mut F,
    wanted: Option<Disposition>,
    /// Whether there were any.
    is_any: bool,
}

impl<F: Fold> live::Sink for Ended<'_, F> {
    fn add(&mut self, head: &LineHead<'_>, _: &[u8], disposition: Disposition) {
        if self.wanted.is_none_or(|wanted| wanted == disposition) {
            self.is_any = true;
            self.fold.add(&of_line(head, disposition));
        }
    }

    fn takes_counts(&self, received: (Millis, Millis)) -> bool {
        self.wanted == Some(Disposition::Stored) && self.fold.takes_counts(received)
    }

    fn add_counts(&mut self, received: (Millis, Millis), counts: &Counts) {
        self.is_any = true;
        self.fold.add_counts(received, counts);
    }
}

/// Gives a fold every event of a query; of its columns those that are named.
///
/// # Errors
/// When what is sealed is more than one request may read, and the stores'.
pub(crate) async fn scan<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    query: &EventQuery,
    columns: &[Column],
    asking: Asking<'_>,
    fold: &mut impl Fold,
) -> Result<(Reach, Reads), ReadError> {
    let metered = Metered::new(stores);
    let extent = Extent::of(stores.table(), tenant, query.range(), asking.now).await?;
    let mut live = extent.live(asking.filters);
    let mut ended = Ended {
        fold: &mut *fold,
        wanted: query.disposition,
        is_any: false,
    };
    let most = asking.live_bytes_max;
    let scanned = live.scan(&metered, Some(query), most, &mut ended).await?;
    let provisional = ended.is_any;
    drop(live);
    let columns: Vec<Column> = columns
        .iter()
        .copied()
        .chain([Column::Disposition])
        .collect();
    let search = query.search();
    let units = extent.units(search.is_narrow());
    let sources = units.into_iter().flat_map(|unit| unit.sources);
    let mut ready = stream::iter(sources)
        .map(async |source| {
            sealed::ready(&metered, tenant, &source, query, &search, &columns).await
        })
        .buffered(SEALS_IN_FLIGHT_MAX);
    let mut damaged = None;
    while let Some(files) = ready.try_next().await? {
        for (file, search) in files {
            file.scan(&search, &columns, |row| {
                // Of an erased event nobody knows what a report would say of it.
                if row.is_erased || !extent.is_sealed(row.hit.place.0.received_at()) {
                    return;
                }
                let result = row.text(Column::Result);
                match result.map(serde_json::from_str).transpose() {
                    Ok(result) => fold.add(&of_row(row, result.as_ref())),
                    Err(error) => damaged = Some(format!("the result of a sealed row: {error}")),
                }
            })?;
        }
        if let Some(damaged) = damaged.take() {
            return Err(PortError::Fatal(damaged).into());
        }
        let bytes = metered.reads().bytes;
        if bytes > SCAN_BYTES_MAX {
            return Err(ReadError::TooMuch { blocks: 0, bytes });
        }
    }
    drop(ready);
    let reach = Reach {
        complete_through: extent.complete_through,
        live_through: scanned.last(extent.newest()),
        provisional,
        is_as_received: scanned.is_as_received,
    };
    Ok((reach, metered.reads()))
}

fn of_line<'a>(head: &'a LineHead<'_>, disposition: Disposition) -> Seen<'a> {
    Seen {
        kind: &head.kind,
        id: head.id.as_deref(),
        type_name: head.type_name.as_deref(),
        action: head.action.as_deref(),
        actor: head.actor.as_deref(),
        group: head.group.as_deref(),
        event_time: head.event_time(),
        received_at: head.receipt.received_at(),
        place: (head.receipt, head.index),
        disposition,
        result: head.result.as_ref(),
        fingerprint: Fingerprint::from_hex(&head.fingerprint),
    }
}

fn of_row<'a>(row: &Scanned<'a>, result: Option<&'a LineResult<'a>>) -> Seen<'a> {
    let disposition = row.text(Column::Disposition);
    Seen {
        kind: row.text(Column::Kind).unwrap_or_default(),
        id: row.text(Column::Id),
        type_name: row.text(Column::Type),
        action: row.text(Column::Action),
        actor: row.text(Column::Actor),
        group: row.text(Column::Group),
        event_time: row.hit.event_time,
        received_at: row.hit.place.0.received_at(),
        place: row.hit.place,
        disposition: disposition
            .and_then(disposition_from)
            .unwrap_or(Disposition::Stored),
        result,
        fingerprint: row.fingerprint(),
    }
}
