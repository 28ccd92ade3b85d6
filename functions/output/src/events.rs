//! Events of the live store.

use crate::Ports;
use crate::page::Gathering;
use crate::query::EventQuery;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use vernier_archive::row::Row;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{LIVE_SECONDS_MAX, LOOKBACK_SECONDS, RANGE_SECONDS_MAX};
use vernier_ledger::line::{EventRef, LineHead};
use vernier_ledger::live::{self, Fetched, ReadError};
use vernier_ledger::ports::{Commits, Objects, PortError};
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

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
    /// SHA-256 of the compacted event, hexadecimal.
    pub fingerprint: String,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Box<RawValue>>,
    /// What lenient mode let pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviations: Option<Box<RawValue>>,
    /// The event as sent, compacted.
    pub event: Box<RawValue>,
    #[serde(skip)]
    reference: Option<EventRef>,
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
            fingerprint: head.fingerprint.clone().into_owned(),
            problems: head.problems.as_deref().map(raw),
            deviations: head.deviations.as_deref().map(raw),
            event: RawValue::from_string(std::str::from_utf8(event).ok()?.to_owned()).ok()?,
            reference: head.event_ref.clone(),
        })
    }

    /// A sealed event; none for a duplicate, whose text is its first's.
    pub(crate) fn of_row(row: &Row<'_>) -> Option<Self> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        Some(Self {
            receipt: row.receipt,
            index: row.index,
            received_at: row.received_at.rfc3339(),
            sensor: row.sensor.to_owned(),
            disposition: row.disposition,
            provisional: false,
            fingerprint: hex::encode(row.fingerprint),
            problems: row.problems.and_then(raw),
            deviations: row.deviations.and_then(raw),
            event: raw(row.event?)?,
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
        self.event = RawValue::from_string(text).map_err(|_| gone())?;
        Ok(())
    }

    /// What it takes of an answer, bytes.
    pub(crate) fn bytes(&self) -> usize {
        let referred = self
            .reference
            .as_ref()
            .map_or(0, |r| usize::try_from(r.bytes).unwrap_or(usize::MAX));
        self.event
            .get()
            .len()
            .saturating_add(referred)
            .saturating_add(512)
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

/// The live blocks of a range with what may come first before them, where that is not too much.
async fn blocks_for<T: Commits, O: Objects>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    from: Millis,
    to: Millis,
    now: Millis,
) -> Result<(Vec<Fetched>, Option<Millis>), ReadError> {
    let since = from
        .plus_seconds(-LOOKBACK_SECONDS)
        .max(now.plus_seconds(-LIVE_SECONDS_MAX));
    let records = live::records_since(&ports.table, since, now).await?;
    let newest = records
        .iter()
        .filter_map(|r| r.block(tenant))
        .map(|b| b.received_through)
        .max();
    let choices = [since, from].map(|from| live::blocks_of(&records, tenant, from, to));
    Ok((live::fetch_widest(&ports.objects, choices).await?, newest))
}

/// One page of a query, from the cursor's place on.
///
/// # Errors
/// When the range holds more than one request may read, and the stores'.
pub async fn page<T: Commits, O: Objects>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    query: &EventQuery,
    after: Option<Place>,
    limit: usize,
    (now, key): (Millis, &[u8; 32]),
) -> Result<EventsPage, ReadError> {
    let (blocks, newest) = blocks_for(ports, tenant, query.from, query.to, now).await?;
    let known = live::dispositions(&blocks)?;
    let mut gathering = Gathering::new(query, after, limit);
    for block in &blocks {
        block.for_each_line(|head, event| {
            let disposition = known.of(&head);
            if !gathering.is_behind((head.receipt, head.index))
                && query.matches(&head)
                && query.disposition.is_none_or(|d| d == disposition)
                && let Some(view) = EventView::new(&head, event, disposition)
            {
                gathering.offer(view);
            }
        })?;
    }
    let (events, next_cursor) = gathering.finish(&ports.objects, key).await?;
    Ok(EventsPage {
        provisional: !events.is_empty(),
        events,
        next_cursor,
        complete_through: None,
        live_through: newest.map(Millis::rfc3339),
    })
}

/// An event by its id.
#[derive(Debug, Serialize)]
pub struct EventById {
    /// The stored one, or the first when none is stored.
    #[serde(flatten)]
    pub event: EventView,
    /// All occurrences of the id, in order.
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

/// Looks an event up in the last 24 hours of the live store.
///
/// # Errors
/// When that is more than one request may read, and the stores'.
pub async fn by_id<T: Commits, O: Objects>(
    ports: &Ports<T, O>,
    tenant: &TenantId,
    id: &str,
    now: Millis,
) -> Result<Option<EventById>, ReadError> {
    let from = now.plus_seconds(-RANGE_SECONDS_MAX);
    let (blocks, _) = blocks_for(ports, tenant, from, Millis(i64::MAX), now).await?;
    let known = live::dispositions(&blocks)?;
    let mut found: BTreeMap<Place, EventView> = BTreeMap::new();
    for block in &blocks {
        block.for_each_line(|head, event| {
            if head.id.as_deref() == Some(id) {
                let view = EventView::new(&head, event, known.of(&head));
                found.extend(view.map(|v| ((head.receipt, head.index), v)));
            }
        })?;
    }
    let occurrences = found
        .values()
        .map(|v| Occurrence {
            receipt: v.receipt,
            index: v.index,
            disposition: v.disposition,
        })
        .collect();
    let stored = found
        .iter()
        .find(|(_, v)| v.disposition == Disposition::Stored)
        .map(|(place, _)| *place);
    let chosen = stored
        .and_then(|place| found.remove(&place))
        .or_else(|| found.into_values().next());
    let Some(mut event) = chosen else {
        return Ok(None);
    };
    event.resolve(&ports.objects).await?;
    Ok(Some(EventById { event, occurrences }))
}
