//! Events of the live store.

use crate::Ports;
use crate::cursor::PageCursor;
use crate::query::{EventQuery, Order};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{
    LIVE_SECONDS_MAX, LOOKBACK_SECONDS, PAGE_BYTES_MAX, RANGE_SECONDS_MAX,
};
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
    fn new(head: &LineHead<'_>, event: &[u8], disposition: Disposition) -> Option<Self> {
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

    fn bytes(&self) -> usize {
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
    let mut found: BTreeMap<Place, EventView> = BTreeMap::new();
    for block in &blocks {
        block.for_each_line(|head, event| {
            let place = (head.receipt, head.index);
            let behind = after.is_some_and(|after| match query.order {
                Order::Oldest => place <= after,
                Order::Newest => place >= after,
            });
            let disposition = known.of(&head);
            if behind
                || !query.matches(&head)
                || query.disposition.is_some_and(|d| d != disposition)
            {
                return;
            }
            found.extend(EventView::new(&head, event, disposition).map(|view| (place, view)));
            // One more than the page, to know whether another follows.
            if found.len() > limit + 1 {
                match query.order {
                    Order::Oldest => found.pop_last(),
                    Order::Newest => found.pop_first(),
                };
            }
        })?;
    }
    let ordered: Vec<EventView> = match query.order {
        Order::Oldest => found.into_values().collect(),
        Order::Newest => found.into_values().rev().collect(),
    };
    let total = ordered.len();
    let mut events = cut(ordered, limit);
    let next_cursor = (events.len() < total)
        .then(|| events.last())
        .flatten()
        .map(|last| {
            PageCursor {
                query: query.clone(),
                after: (last.receipt, last.index),
            }
            .seal(key)
        });
    for event in &mut events {
        resolve(&ports.objects, event).await?;
    }
    Ok(EventsPage {
        provisional: !events.is_empty(),
        events,
        next_cursor,
        complete_through: None,
        live_through: newest.map(Millis::rfc3339),
    })
}

/// As many as fit the page by count and bytes; at least one.
fn cut(ordered: Vec<EventView>, limit: usize) -> Vec<EventView> {
    let mut bytes = 0;
    let mut first = true;
    ordered
        .into_iter()
        .take(limit)
        .take_while(|view| {
            bytes += view.bytes();
            std::mem::take(&mut first) || bytes <= PAGE_BYTES_MAX
        })
        .collect()
}

/// Puts an oversize event in its pointer's place.
async fn resolve<O: Objects>(objects: &O, view: &mut EventView) -> Result<(), PortError> {
    let Some(reference) = view.reference.take() else {
        return Ok(());
    };
    let gone = || PortError::Fatal(format!("oversize event {} is gone", reference.key));
    let bytes = objects.get(&reference.key, None).await?.ok_or_else(gone)?;
    let text = String::from_utf8(bytes).map_err(|_| gone())?;
    view.event = RawValue::from_string(text).map_err(|_| gone())?;
    Ok(())
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
    resolve(&ports.objects, &mut event).await?;
    Ok(Some(EventById { event, occurrences }))
}
