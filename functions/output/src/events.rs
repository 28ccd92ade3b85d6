//! Events, sealed and not: pages of them, and one by its id.

use crate::extent::Extent;
use crate::filter_memory::FilterMemory;
use crate::metered::{Metered, Reads};
use crate::page::Gathering;
use crate::query::{EventQuery, Key, Order, Sort};
use crate::sealed;
use serde::Serialize;
use serde_json::value::RawValue;
use vernier_archive::row::Row;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::line::{EventRef, LineHead};
use vernier_ledger::live::ReadError;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, TimeRange};

/// One event of an answer.
#[derive(Debug, Serialize)]
pub struct EventView {
    /// Its envelope's receipt.
    pub receipt: ReceiptId,
    /// Its position in the envelope.
    pub index: u32,
    /// RFC 3339.
    pub received_at: String,
    /// Which sensor sent it.
    pub sensor: String,
    /// How it ended.
    pub disposition: Disposition,
    /// Whether that can still change: the window is not sealed.
    pub provisional: bool,
    /// SHA-256 of the compacted event, hexadecimal; none where the event is erased.
    pub fingerprint: Option<String>,
    /// Whether what the sensor wrote was taken out of the archive.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Box<RawValue>>,
    /// What lenient mode let pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviations: Option<Box<RawValue>>,
    /// Of a sealed duplicate or conflict: the stored event of its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Repeated>,
    /// The event as sent, compacted; none of a sealed duplicate in the bytes of its first, whose text is the first's,
    /// and of an erased event.
    pub event: Option<Box<RawValue>>,
    #[serde(skip)]
    reference: Option<EventRef>,
}

/// Where the event is that another repeats.
#[derive(Debug, Serialize)]
pub struct Repeated {
    /// Its envelope's receipt.
    pub receipt: ReceiptId,
    /// Its position in the envelope.
    pub index: u32,
}

impl EventView {
    pub(crate) fn new(head: &LineHead<'_>, event: &[u8], disposition: Disposition) -> Option<Self> {
        let raw = |text: &RawValue| text.to_owned();
        Some(Self {
            receipt: head.receipt,
            index: head.index,
            received_at: head.received_at.clone().into_owned(),
            sensor: head.sensor.clone().into_owned(),
            disposition,
            provisional: true,
            fingerprint: Some(head.fingerprint.clone().into_owned()),
            erased: false,
            problems: head.problems.as_deref().map(raw),
            deviations: head
                .findings()
                .and_then(|text| RawValue::from_string(text.into_owned()).ok()),
            first: None,
            event: Some(RawValue::from_string(std::str::from_utf8(event).ok()?.to_owned()).ok()?),
            reference: head.event_ref.clone(),
        })
    }

    /// A sealed event; none when its text is no JSON.
    pub(crate) fn of_row(row: &Row<'_>) -> Option<Self> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        Some(Self {
            receipt: row.receipt,
            index: row.index,
            received_at: row.received_at.rfc3339(),
            sensor: row.sensor.to_owned(),
            disposition: row.disposition,
            provisional: false,
            fingerprint: row.erased.is_none().then(|| hex::encode(row.fingerprint)),
            erased: row.erased.is_some(),
            problems: row.problems.and_then(raw),
            deviations: row.deviations.and_then(raw),
            first: row
                .first
                .map(|(receipt, index)| Repeated { receipt, index }),
            event: match row.event {
                Some(text) => Some(raw(text)?),
                None => None,
            },
            reference: None,
        })
    }

    /// Puts an oversize event in its pointer's place.
    ///
    /// # Errors
    /// The store's; fatal when it is gone.
    pub(crate) async fn resolve<O: Objects>(&mut self, objects: &O) -> Result<(), PortError> {
        let Some(reference) = self.reference.take() else {
            return Ok(());
        };
        let gone = || PortError::Fatal(format!("oversize event {} is gone", reference.key));
        let bytes = objects.get(&reference.key, None).await?.ok_or_else(gone)?;
        let text = String::from_utf8(bytes).map_err(|_| gone())?;
        self.event = Some(RawValue::from_string(text).map_err(|_| gone())?);
        Ok(())
    }

    /// What it takes of an answer, bytes.
    pub(crate) fn bytes(&self) -> usize {
        let referred = self
            .reference
            .as_ref()
            .map_or(0, |r| usize::try_from(r.bytes).unwrap_or(usize::MAX));
        let text = self.event.as_ref().map_or(0, |event| event.get().len());
        text.saturating_add(referred).saturating_add(512)
    }
}

/// A page of events.
#[derive(Debug, Serialize)]
pub struct EventsPage {
    /// The events, in the query's order.
    pub events: Vec<EventView>,
    /// Brings the next page; none on the last.
    pub next_cursor: Option<String>,
    /// Sealed up to here; none while nothing is sealed.
    pub complete_through: Option<String>,
    /// Latest received-at that is queryable.
    pub live_through: Option<String>,
    /// Whether any event of the page can still change its disposition.
    pub provisional: bool,
}

/// Which page of a query is asked for, and when.
#[derive(Debug, Clone, Copy)]
pub struct Paging<'k> {
    /// The key of the last event before the page; none for the first page.
    pub after: Option<Key>,
    /// Events of the page at most.
    pub limit: usize,
    /// The time of the request.
    pub now: Millis,
    /// The key that signs the next page's cursor.
    pub signing_key: &'k [u8; 32],
    /// Filters that earlier requests read.
    pub filters: &'k FilterMemory,
    /// What is read of live blocks before the page ends with what it has, bytes.
    pub live_bytes_max: u64,
}

/// One page of a query, from the cursor's key on, and what was read for it.
///
/// # Errors
/// When the range holds more than one request may read, and the stores'.
pub async fn page<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    query: &EventQuery,
    paging: Paging<'_>,
) -> Result<(EventsPage, Reads), ReadError> {
    let metered = Metered::new(stores);
    let extent = Extent::of(stores.table(), tenant, query.range(), paging.now).await?;
    let mut gathering = Gathering::new(query, paging.after, paging.limit);
    let mut live = extent.live(paging.filters);
    // What is sealed is mostly older than what is not.
    if query.order == Order::Oldest {
        sealed::gather(&metered, tenant, &extent, &mut gathering).await?;
    }
    live.gather(&metered, &mut gathering, paging.live_bytes_max)
        .await?;
    if query.order == Order::Newest {
        sealed::gather(&metered, tenant, &extent, &mut gathering).await?;
    }
    drop(live);
    let (events, next_cursor) = gathering.finish(&metered, paging.signing_key).await?;
    let page = EventsPage {
        provisional: events.iter().any(|event| event.provisional),
        events,
        next_cursor,
        complete_through: extent.complete_through.map(Millis::rfc3339),
        live_through: extent.newest().map(Millis::rfc3339),
    };
    Ok((page, metered.reads()))
}

/// Occurrences of one id that an answer shows.
const OCCURRENCES_MAX: usize = 100;

/// An event by its id.
#[derive(Debug, Serialize)]
pub struct EventById {
    /// The stored one, or the first when none is stored.
    #[serde(flatten)]
    pub event: EventView,
    /// The first occurrences of the id in the range, in order.
    pub occurrences: Vec<Occurrence>,
}

/// One occurrence of an id.
#[derive(Debug, Serialize)]
pub struct Occurrence {
    /// Its envelope's receipt.
    pub receipt: ReceiptId,
    /// Its position in the envelope.
    pub index: u32,
    /// How it ended.
    pub disposition: Disposition,
}

/// Looks an event up among those received in `[from, to)`; where an actor is given, only among the
/// actor's.
///
/// # Errors
/// When that is more than one request may read, and the stores'.
pub async fn by_id<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    id: &str,
    actor: Option<&str>,
    range: TimeRange,
    now: Millis,
    filters: &FilterMemory,
) -> Result<Option<(EventById, Reads)>, ReadError> {
    let actor = actor.map(|actor| ("actor".to_owned(), actor.to_owned()));
    let id = ("id".to_owned(), id.to_owned());
    let query = EventQuery {
        filters: [id].into_iter().chain(actor).collect(),
        disposition: None,
        sort: Sort::ReceivedAt,
        order: Order::Oldest,
        ..EventQuery::between(range)
    };
    let paging = Paging {
        after: None,
        limit: OCCURRENCES_MAX,
        now,
        // Nobody is given the cursor.
        signing_key: &[0; 32],
        filters,
        // The filters lead to few blocks, all of which are read: what is not found is not there.
        live_bytes_max: u64::MAX,
    };
    let (page, reads) = self::page(stores, tenant, &query, paging).await?;
    let mut events = page.events;
    let occurrences = events
        .iter()
        .map(|v| Occurrence {
            receipt: v.receipt,
            index: v.index,
            disposition: v.disposition,
        })
        .collect();
    let stored = |v: &EventView| v.disposition == Disposition::Stored;
    let chosen = events.iter().position(stored).unwrap_or(0);
    if events.is_empty() {
        return Ok(None);
    }
    let event = events.swap_remove(chosen);
    Ok(Some((EventById { event, occurrences }, reads)))
}
