//! A receipt with what became of its events.

use crate::extent::Extent;
use crate::metered::Metered;
use crate::query::EventQuery;
use crate::sealed;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use vernier_archive::row::disposition_from;
use vernier_archive::search::{Column, Scanned};
use vernier_ledger::account::Coverage;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::limits::{LIVE_SECONDS_MAX, LOOKBACK_SECONDS, PAGE_BYTES_MAX};
use vernier_ledger::line::Verdict;
use vernier_ledger::live::{self, Fetched, ReadError};
use vernier_ledger::ports::{Objects, Receipts};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, Minute, TimeRange};

/// Where an envelope is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// Durable on the stream; not all of it is committed to a segment yet.
    InFlight,
    /// Every event has its disposition.
    Complete,
}

/// Counts of a receipt; dispositions are of the events committed so far.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Counts {
    /// Events of the envelope.
    pub received: u64,
    /// Those that passed the rules.
    pub accepted: u64,
    /// How the committed ones ended.
    #[serde(flatten)]
    pub dispositions: DispositionCounts,
}

/// One event of the receipt.
#[derive(Debug, Serialize)]
pub struct ReceiptEvent {
    /// Its position in the envelope.
    pub index: u32,
    /// Its id.
    pub id: Option<String>,
    /// Its type.
    pub r#type: Option<String>,
    /// Verdict in the tenant's mode.
    pub verdict: Verdict,
    /// Verdict of the specification.
    pub strict: Verdict,
    /// How it ended.
    pub disposition: Disposition,
    /// Whether what the sensor wrote was taken out of the archive: then id, type, problems and deviations are none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Box<RawValue>>,
    /// What lenient mode let pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviations: Option<Box<RawValue>>,
}

impl ReceiptEvent {
    /// What it takes of an answer, bytes.
    fn bytes(&self) -> usize {
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        let raw = |r: &Option<Box<RawValue>>| r.as_ref().map_or(0, |r| r.get().len());
        192 + text(&self.id) + text(&self.r#type) + raw(&self.problems) + raw(&self.deviations)
    }
}

/// The answer of GET /receipts/{id}.
#[derive(Debug, Serialize)]
pub struct ReceiptView {
    /// Its id.
    pub receipt: ReceiptId,
    /// Where it is on its way.
    pub state: ReceiptState,
    /// Whether its sender got a 2xx.
    pub acknowledged: bool,
    /// Which sensor sent it.
    pub sensor: String,
    /// RFC 3339.
    pub received_at: String,
    /// SHA-256 of the body after decompression, hexadecimal.
    pub body_sha256: Option<String>,
    /// Order-free digest over its events, hexadecimal.
    pub digest: String,
    /// Counts.
    pub counts: Counts,
    /// Whether dispositions can still change: its window is not sealed.
    pub provisional: bool,
    /// The committed events, in order, as many as fit an answer.
    pub events: Vec<ReceiptEvent>,
    /// Ask again with `index` set to this for the events that follow.
    pub next_index: Option<u32>,
}

/// Reads a receipt of the tenant; none when it has no such receipt.
///
/// # Errors
/// When its surroundings are more than one request may read, and the stores'.
pub async fn view<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    id: ReceiptId,
    first_index: u32,
    now: Millis,
) -> Result<Option<ReceiptView>, ReadError> {
    let Some(receipt) = stores.table().receipt(tenant, id).await? else {
        return Ok(None);
    };
    let sealed = sealed_events(stores, tenant, id, now).await?;
    if sealed.len() as u64 == receipt.received().events {
        let known = Known {
            complete: true,
            provisional: false,
            events: sealed,
        };
        return Ok(Some(assemble(&receipt, known, first_index)));
    }
    let received_at = id.received_at();
    let since = received_at.plus_seconds(-LOOKBACK_SECONDS);
    let through = now.min(received_at.plus_seconds(LIVE_SECONDS_MAX));
    // First occurrences come at or before this receipt's own minute.
    let minute_end = Minute(id.minute().0 + 1).start();
    let asked = TimeRange {
        from: since,
        to: minute_end,
    };
    let items = live::items_between(stores.table(), tenant, asked, through).await?;
    let coverage = Coverage::of_items(&items);
    let committed = |slice: &u32| {
        let claim = receipt.claims.get(slice);
        claim.is_some_and(|c| coverage.contains(&c.origin.shard, &c.origin.sequence))
    };
    let complete = receipt.expected_slices().all(|slice| committed(&slice));
    let own = |item: &&BlockItem| {
        let mut claims = receipt.claims.values();
        claims.any(|c| item.covers(&c.origin.shard, &c.origin.sequence))
    };
    let minute = id.minute().start();
    let choices = [
        live::blocks_of(&items, since, minute_end),
        live::blocks_of(&items, minute, minute_end),
        live::blocks_of(items.iter().filter(own), minute, minute_end),
    ];
    let blocks = live::fetch_widest(stores.objects(), choices).await?;
    let events = events_of(stores.objects(), id, &blocks).await?;
    let known = Known {
        complete,
        provisional: true,
        events,
    };
    Ok(Some(assemble(&receipt, known, first_index)))
}

/// What is known of a receipt's events.
struct Known {
    complete: bool,
    provisional: bool,
    events: BTreeMap<u32, ReceiptEvent>,
}

/// The receipt's events as far as they are sealed.
async fn sealed_events<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    id: ReceiptId,
    now: Millis,
) -> Result<BTreeMap<u32, ReceiptEvent>, ReadError> {
    const COLUMNS: [Column; 6] = [
        Column::Id,
        Column::Type,
        Column::Strict,
        Column::Disposition,
        Column::Problems,
        Column::Deviations,
    ];
    let at = id.received_at();
    let mut query = EventQuery::between(TimeRange {
        from: at,
        to: Millis(at.0 + 1),
    });
    query.disposition = None;
    let metered = Metered::new(stores);
    let extent = Extent::of(stores.table(), tenant, query.range(), now).await?;
    let mut events = BTreeMap::new();
    let search = query.search();
    let sources = extent
        .units(false)
        .into_iter()
        .flat_map(|unit| unit.sources);
    for source in sources {
        for (file, search) in
            sealed::ready(&metered, tenant, &source, &query, &search, &COLUMNS).await?
        {
            file.scan(&search, &COLUMNS, |row| {
                if row.hit.place.0 == id {
                    events.insert(row.hit.place.1, sealed_event(row));
                }
            })?;
        }
    }
    Ok(events)
}

fn sealed_event(row: &Scanned<'_>) -> ReceiptEvent {
    let text = |column| row.text(column).map(str::to_owned);
    let raw = |column| RawValue::from_string(text(column)?).ok();
    let disposition = row.text(Column::Disposition).and_then(disposition_from);
    let disposition = disposition.unwrap_or(Disposition::Rejected);
    let verdict = |accepted| match accepted {
        true => Verdict::Accepted,
        false => Verdict::Rejected,
    };
    ReceiptEvent {
        index: row.hit.place.1,
        id: text(Column::Id),
        r#type: text(Column::Type),
        verdict: verdict(disposition != Disposition::Rejected),
        strict: verdict(row.text(Column::Strict) == Some("accepted")),
        disposition,
        erased: row.is_erased,
        problems: raw(Column::Problems),
        deviations: raw(Column::Deviations),
    }
}

async fn events_of<O: Objects>(
    objects: &O,
    id: ReceiptId,
    blocks: &[Fetched],
) -> Result<BTreeMap<u32, ReceiptEvent>, ReadError> {
    let known = live::dispositions(objects, blocks).await?;
    let mut events = BTreeMap::new();
    for block in blocks {
        block.for_each_line(|head, _| {
            if head.receipt != id {
                return;
            }
            let event = ReceiptEvent {
                index: head.index,
                id: head.id.clone().map(Into::into),
                r#type: head.type_name.clone().map(Into::into),
                verdict: head.verdict,
                strict: head.strict,
                disposition: known.of(&head),
                erased: false,
                problems: head.problems.as_deref().map(ToOwned::to_owned),
                deviations: head.deviations.as_deref().map(ToOwned::to_owned),
            };
            events.insert(head.index, event);
        })?;
    }
    Ok(events)
}

fn assemble(
    receipt: &Receipt,
    Known {
        complete,
        provisional,
        events,
    }: Known,
    first_index: u32,
) -> ReceiptView {
    let tally = receipt.received();
    let mut dispositions = DispositionCounts::default();
    for event in events.values() {
        dispositions.add(event.disposition);
    }
    let mut bytes = 0;
    let mut next_index = None;
    let mut shown = Vec::new();
    for event in events.into_values().filter(|e| e.index >= first_index) {
        bytes += event.bytes();
        if bytes > PAGE_BYTES_MAX && !shown.is_empty() {
            next_index = Some(event.index);
            break;
        }
        shown.push(event);
    }
    ReceiptView {
        receipt: receipt.id,
        state: if complete {
            ReceiptState::Complete
        } else {
            ReceiptState::InFlight
        },
        acknowledged: receipt.acknowledged.is_some(),
        sensor: receipt.sensor.clone(),
        received_at: receipt.id.received_at().rfc3339(),
        body_sha256: receipt.body_sha256.clone(),
        digest: tally.digest.to_string(),
        counts: Counts {
            received: tally.events,
            accepted: tally.events - tally.rejected,
            dispositions,
        },
        provisional,
        events: shown,
        next_index,
    }
}
