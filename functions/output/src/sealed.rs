//! Sealed events of a query: found by the files' indexes, window by window or day by day, until the page
//! is full.

use crate::extent::{Extent, Source, Unit};
use crate::metered::Metered;
use crate::page::Gathering;
use crate::query::{EventQuery, Key, Order, Sort};
use futures::stream::{self, StreamExt, TryStreamExt};
use vernier_archive::seal::{Seal, SealedFile};
use vernier_archive::search::{Column, Search};
use vernier_archive::stored::{self, Found, Ready, covering_gone, read_seal};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{LIVE_READ_BYTES_MAX, READS_IN_FLIGHT_MAX};
use vernier_ledger::live::ReadError;
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, Window};

/// Compressed bytes of sealed files that one request reads before it ends its page early, bytes; what is
/// under way is read to its end.
const SEALED_READ_BYTES: u64 = LIVE_READ_BYTES_MAX;

/// Bytes that a query reads that has to see everything before its first page, bytes.
const SORTED_READ_BYTES_MAX: u64 = 4 * LIVE_READ_BYTES_MAX;

/// Units that are searched at a time: first one, in which the page may be full already.
const UNITS_AT_A_TIME: [usize; 3] = [1, 4, READS_IN_FLIGHT_MAX];

/// The key before everything that was received at an instant.
fn edge(at: Millis) -> Key {
    (at, (ReceiptId::from_parts(at, 0, [0; 8]), 0))
}

/// Where a unit begins and ends in the query's order.
fn edges(query: &EventQuery, Window { start, end }: Window) -> (Key, Key) {
    match query.order {
        Order::Oldest => (edge(start), edge(end)),
        Order::Newest => (edge(end), edge(start)),
    }
}

/// Offers a page what is sealed of its range, until it is full or enough was read for one request.
///
/// # Errors
/// The stores'; too much when the order wants all of it to be read.
pub(crate) async fn gather<S: Stores>(
    metered: &Metered<'_, S>,
    tenant: &TenantId,
    extent: &Extent,
    gathering: &mut Gathering<'_>,
) -> Result<(), ReadError> {
    let query = gathering.query();
    let search = query.search();
    let mut units = extent.units(search.is_narrow());
    if query.order == Order::Newest {
        units.reverse();
    }
    let in_order = query.sort == Sort::ReceivedAt;
    // Two of one instant may lie on either side of an edge: only what is wholly behind is left out.
    units.retain(|unit| !in_order || !gathering.is_behind(edges(query, unit.span).1));
    let mut left = units.as_slice();
    for at_a_time in UNITS_AT_A_TIME
        .into_iter()
        .chain(std::iter::repeat(READS_IN_FLIGHT_MAX))
    {
        let (now, later) = left.split_at(at_a_time.min(left.len()));
        left = later;
        let Some(first) = now.first() else {
            break;
        };
        if in_order && gathering.is_full_before(edges(query, first.span).0) {
            break;
        }
        let mut units = stream::iter(now)
            .map(|unit| in_unit(metered, tenant, unit, query, &search))
            .buffered(READS_IN_FLIGHT_MAX);
        while let Some(found) = units.try_next().await? {
            for mut found in found {
                found.hits.retain(|hit| {
                    let at = hit.place.0.received_at();
                    extent.is_sealed(at) && query.is_in_clock_hour(at, hit.event_time)
                });
                gathering.offer_found(found);
            }
        }
        drop(units);
        let bytes = metered.reads().bytes;
        if in_order && bytes > SEALED_READ_BYTES {
            if let Some(next) = left.first() {
                gathering.end_at(edges(query, next.span).0);
            }
            break;
        }
        if bytes > SORTED_READ_BYTES_MAX {
            return Err(ReadError::TooMuch {
                blocks: now.len(),
                bytes,
            });
        }
    }
    Ok(())
}

async fn in_unit<S: Stores>(
    metered: &Metered<'_, S>,
    tenant: &TenantId,
    unit: &Unit,
    query: &EventQuery,
    search: &Search,
) -> Result<Vec<Found>, PortError> {
    let mut found = Vec::new();
    for source in &unit.sources {
        let files = ready(metered, tenant, source, query, search, &[]).await?;
        for (file, search) in files {
            found.push(file.found(&search, &[])?);
        }
    }
    Ok(found)
}

/// Fetches what is wanted of a source's files, with some columns, several at once; each with the search
/// that it was made ready for.
///
/// # Errors
/// The stores'; fatal when a file is gone and no day covers it.
pub(crate) async fn ready<S: Stores>(
    metered: &Metered<'_, S>,
    tenant: &TenantId,
    source: &Source,
    query: &EventQuery,
    search: &Search,
    columns: &[Column],
) -> Result<Vec<(Ready, Search)>, PortError> {
    let (Source::Window(entry) | Source::Day(entry)) = source;
    let all_of = async |seal: Seal, search: Search| -> Result<_, PortError> {
        let files = query
            .classes()
            .iter()
            .flat_map(|class| seal.files_of(*class));
        let files: Vec<&SealedFile> = files.collect();
        let found: Vec<Option<Ready>> = stream::iter(&files)
            .map(|file| stored::ready(metered, file, &search, columns))
            .buffered(READS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        let mut pairs = files.iter().zip(&found);
        let gone = pairs.find_map(|(file, found)| found.is_none().then(|| (*file).clone()));
        let there = found
            .into_iter()
            .flatten()
            .map(|file| (file, search.clone()));
        Ok((there.collect(), gone))
    };
    let seal = read_seal(metered, tenant, entry).await?;
    let (files, gone): (Vec<(Ready, Search)>, _) = all_of(seal, search.clone()).await?;
    let Some(gone) = gone else {
        return Ok(files);
    };
    // Compacted meanwhile: its rows lie in the day's files, beside those of the window's other seals.
    let day = covering_gone(metered.table(), metered, tenant, entry, &gone).await?;
    let mut here = search.clone();
    here.sealed_by = Some(entry.sequence);
    here.received.0 = here.received.0.max(entry.window.start);
    here.received.1 = here.received.1.min(entry.window.end);
    let (files, gone) = all_of(day, here).await?;
    match gone {
        Some(file) => Err(PortError::Fatal(format!("{} is gone", file.key))),
        None => Ok(files),
    }
}
