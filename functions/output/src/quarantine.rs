//! Rejected events: those of sealed windows from their exceptions, the others from the live store.

use crate::Ports;
use crate::events::{EventView, EventsPage};
use crate::page::Gathering;
use crate::query::{EventQuery, Order};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use vernier_archive::reader::{Part, Reading};
use vernier_archive::row::Row;
use vernier_archive::seal::PartClass;
use vernier_archive::stored::{covering_gone, for_each_covered, read_seal};
use vernier_ledger::account::stored_in;
use vernier_ledger::chain::{SealEntry, sealed_in};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{LIVE_READ_BYTES_MAX, LIVE_SECONDS_MAX, WINDOW_SECONDS_MAX};
use vernier_ledger::line::{LineHead, Verdict};
use vernier_ledger::live::{self, ReadError};
use vernier_ledger::ports::{Chains, Commits, Objects, PortError};
use vernier_ledger::segment::{Place, SegmentRecord};
use vernier_ledger::time::{Millis, Window};

/// What is sealed of a range, and what is not.
pub(crate) struct Extent {
    /// Seals that hold something, by their window's beginning; none of a window of which more is
    /// stored than is sealed: it is read as if it were not.
    pub(crate) windows: BTreeMap<Millis, Vec<SealEntry>>,
    /// Windows before this instant are sealed, but for those passed over.
    pub(crate) complete_through: Option<Millis>,
    /// Before this instant all is sealed that the live store holds.
    live_from: Millis,
    to: Millis,
    /// What the live store holds.
    records: Vec<SegmentRecord>,
}

impl Extent {
    /// Looks up what of `[from, to)` is sealed.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn of<T: Chains + Commits>(
        table: &T,
        tenant: &TenantId,
        (from, to): (Millis, Millis),
        now: Millis,
    ) -> Result<Self, PortError> {
        let horizon = from.max(now.plus_seconds(-LIVE_SECONDS_MAX));
        // The head first: what is sealed after it is read has its seal as well.
        let head = table.chain(tenant).await?;
        let since = from.plus_seconds(-WINDOW_SECONDS_MAX);
        let seals = table.seals(tenant, since, to).await?;
        let records = live::records_since(table, horizon.plus_seconds(-WINDOW_SECONDS_MAX), now);
        let records = records.await?;
        let mut windows: BTreeMap<Millis, Vec<SealEntry>> = BTreeMap::new();
        for seal in seals.into_iter().filter(|s| s.window.end > from) {
            windows.entry(seal.window.start).or_default().push(seal);
        }
        let passed = head.iter().flat_map(|h| &h.passed_over).map(|w| w.start);
        let through = head.as_ref().map_or(from, |head| head.through);
        let mut live_from = passed.fold(through, Millis::min);
        windows.retain(|start, seals| {
            let Some(window) = seals.first().map(|s| s.window) else {
                return false;
            };
            let sealed = sealed_in(window, seals.iter());
            let is_late = *start >= horizon && stored_in(tenant, window, &records) != sealed;
            if is_late {
                live_from = live_from.min(*start);
            }
            !is_late && sealed.events > 0
        });
        Ok(Self {
            windows,
            complete_through: head.map(|head| head.through),
            live_from: live_from.max(horizon),
            to,
            records,
        })
    }

    /// Latest received-at of all that is stored.
    pub(crate) fn newest(&self, tenant: &TenantId) -> Option<Millis> {
        let blocks = self.records.iter().filter_map(|r| r.block(tenant));
        blocks.map(|b| b.received_through).max()
    }

    fn is_sealed(&self, at: Millis) -> bool {
        let before = self.windows.range(..=at).next_back();
        before.is_some_and(|(_, seals)| seals.iter().any(|s| s.window.contains(at)))
    }

    /// Calls `each` with every line of the range that is to be read from the live store.
    ///
    /// # Errors
    /// When that is more than one request may read, and the store's.
    pub(crate) async fn for_each_live_line<O: Objects>(
        &self,
        objects: &O,
        tenant: &TenantId,
        mut each: impl FnMut(&LineHead<'_>, &[u8]),
    ) -> Result<(), ReadError> {
        if self.live_from >= self.to {
            return Ok(());
        }
        let mut blocks = live::blocks_of(&self.records, tenant, self.live_from, self.to);
        blocks.retain(|live| {
            let minutes = live.block.minutes.iter().map(|m| m.minute.start());
            let mut minutes = minutes.filter(|at| self.live_from.minute() <= at.minute());
            minutes.any(|at| !self.is_sealed(at))
        });
        for block in live::fetch(objects, blocks).await? {
            block.for_each_line(|head, event| {
                let at = head.receipt.received_at();
                if self.live_from <= at && at < self.to && !self.is_sealed(at) {
                    each(&head, event);
                }
            })?;
        }
        Ok(())
    }
}

/// The place before every event that was received at an instant.
fn edge(at: Millis) -> Place {
    (ReceiptId::from_parts(at, 0, [0; 8]), 0)
}

/// One page of a tenant's rejected events.
///
/// # Errors
/// When too much of the range is not sealed, and the stores'.
pub async fn page<T: Commits + Chains, O: Objects>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    query: &EventQuery,
    (after, limit): (Option<Place>, usize),
    (now, key): (Millis, &[u8; 32]),
) -> Result<EventsPage, ReadError> {
    let extent = Extent::of(&ports.table, tenant, (query.from, query.to), now).await?;
    let mut gathering = Gathering::new(query, after, limit);
    let live = extent.for_each_live_line(&ports.objects, tenant, |head, event| {
        if head.verdict == Verdict::Rejected
            && !gathering.is_behind((head.receipt, head.index))
            && query.matches(head)
            && let Some(view) = EventView::new(head, event, Disposition::Rejected)
        {
            gathering.offer(view);
        }
    });
    live.await?;
    let newest = extent.newest(tenant);
    let mut windows: Vec<Vec<SealEntry>> = extent.windows.into_values().collect();
    if query.order == Order::Newest {
        windows.reverse();
    }
    let mut bytes = 0;
    for seals in windows {
        let Some(Window { start, end }) = seals.first().map(|s| s.window) else {
            continue;
        };
        let (near, far) = match query.order {
            Order::Oldest => (edge(start), edge(end)),
            Order::Newest => (edge(end), edge(start)),
        };
        if gathering.is_behind(far) || seals.iter().all(|s| s.tally.rejected == 0) {
            continue;
        }
        if gathering.is_full_before(near) {
            break;
        }
        bytes += sealed_part(ports, tenant, &mut gathering, &seals).await?;
        if bytes > LIVE_READ_BYTES_MAX {
            gathering.end_at(far);
            break;
        }
    }
    let (events, next_cursor) = gathering.finish(&ports.objects, key).await?;
    Ok(EventsPage {
        provisional: events.iter().any(|event| event.provisional),
        events,
        next_cursor,
        complete_through: extent.complete_through.map(Millis::rfc3339),
        live_through: newest.map(Millis::rfc3339),
    })
}

/// Rejected events of one window's seals; answers the bytes that were read.
async fn sealed_part<T: Chains, O: Objects>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    gathering: &mut Gathering<'_>,
    seals: &[SealEntry],
) -> Result<u64, PortError> {
    let mut read = 0;
    let mut offer = |row: &Row<'_>| {
        if row.disposition == Disposition::Rejected
            && !gathering.is_behind(row.place())
            && gathering.query.matches_row(row)
            && let Some(view) = EventView::of_row(row)
        {
            gathering.offer(view);
        }
        Ok(())
    };
    for entry in seals.iter().filter(|s| s.tally.rejected > 0) {
        let seal = read_seal(&ports.objects, tenant, entry).await?;
        for file in seal.files_of(PartClass::Exceptions) {
            let damaged = |what: &str| PortError::Fatal(format!("{} {what}", file.key));
            read += file.bytes;
            let Some(bytes) = ports.objects.get(&file.key, None).await? else {
                let (table, objects) = (&ports.table, &ports.objects);
                let day = covering_gone(table, objects, tenant, entry, file).await?;
                let of = (entry.sequence, PartClass::Exceptions);
                for_each_covered(objects, &day, of, Reading::Whole, |row| offer(&row)).await?;
                break;
            };
            if Fingerprint::of(&bytes).0 != file.sha256.0 {
                return Err(damaged("is not what its seal says"));
            }
            let part = Part::open(Arc::new(Bytes::from(bytes)));
            let found = part.and_then(|part| part.for_each(|row| offer(&row)));
            found.map_err(|fault| damaged(&fault.to_string()))?;
        }
    }
    Ok(read)
}
