//! Seals as their chain lists them, and where it ends.

use serde::Serialize;
use serde_json::value::RawValue;
use vernier_archive::seal::{SealKind, seal_key};
use vernier_ledger::chain::{SealEntry, day_of};
use vernier_ledger::holds::{HeldWindow, Holds};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::{Chains, Objects, PortError};
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_ledger::work::{Completeness, completeness};

/// A seal in the list.
#[derive(Debug, Serialize)]
pub struct SealView {
    sequence: u64,
    kind: SealKind,
    start: String,
    end: String,
    /// Of an idle run: how many windows it closes.
    #[serde(skip_serializing_if = "Option::is_none")]
    windows: Option<u64>,
    events: u64,
    rejected: u64,
    digest: String,
    sha256: String,
    sealed_at: String,
    /// Of a window or backfill: envelopes of which something is missing after it.
    missing_count: u64,
}

impl From<&SealEntry> for SealView {
    fn from(seal: &SealEntry) -> Self {
        Self {
            sequence: seal.sequence,
            kind: seal.kind,
            start: seal.window.start.rfc3339(),
            end: seal.window.end.rfc3339(),
            windows: (seal.kind == SealKind::Idle).then_some(seal.windows),
            events: seal.tally.events,
            rejected: seal.tally.rejected,
            digest: seal.tally.digest.to_string(),
            sha256: seal.hash.clone(),
            sealed_at: seal.sealed_at.rfc3339(),
            missing_count: seal.missing,
        }
    }
}

/// Where the chain ends.
#[derive(Debug, Serialize)]
pub struct ChainView {
    /// How many seals it has.
    seals: u64,
    /// SHA-256 of the last: whoever notes it can tell later that nothing was cut off.
    head: Option<String>,
    /// Windows before this instant are sealed, but for those passed over.
    complete_through: Option<String>,
    /// Windows that did not add up so far and are held: sealed when they do, or when their hold is over.
    passed_over: Vec<PassedOver>,
}

/// A window that waits for what is missing.
#[derive(Debug, Serialize)]
pub struct PassedOver {
    /// RFC 3339.
    start: String,
    /// RFC 3339.
    end: String,
    /// When its hold's clock started, RFC 3339; none while something may still come by itself.
    held_since: Option<String>,
    /// Why an operator ended its hold; none where nobody did.
    reason: Option<String>,
}

impl From<HeldWindow> for PassedOver {
    fn from(held: HeldWindow) -> Self {
        Self {
            start: held.window.start.rfc3339(),
            end: held.window.end.rfc3339(),
            held_since: held.since.map(Millis::rfc3339),
            reason: held.reason,
        }
    }
}

/// Seals of a range, and the chain.
#[derive(Debug, Serialize)]
pub struct SealList {
    chain: ChainView,
    seals: Vec<SealView>,
}

/// Seals of windows and days that touch `[from, to)`, by window; those of days come last.
///
/// # Errors
/// The store's.
pub async fn list<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    range: TimeRange,
    now: Millis,
) -> Result<SealList, PortError> {
    let mut seals = touching(stores, tenant, range).await?;
    seals.extend(days(stores, tenant, range).await?);
    Ok(SealList {
        chain: chain(stores, tenant, now).await?,
        seals: seals.iter().map(SealView::from).collect(),
    })
}

pub(crate) async fn chain<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    now: Millis,
) -> Result<ChainView, PortError> {
    let Completeness { head, through } = completeness(stores.table(), tenant, now).await?;
    let passed_over = match &head {
        Some(head) => stores.table().held_windows(tenant, head).await?,
        None => Vec::new(),
    };
    Ok(ChainView {
        seals: head.as_ref().map_or(0, |h| h.sequence),
        head: head.as_ref().and_then(|h| h.last_hash.clone()),
        complete_through: through.map(Millis::rfc3339),
        passed_over: passed_over.into_iter().map(PassedOver::from).collect(),
    })
}

/// Seals of windows, backfills and idle runs that touch `[from, to)`.
pub(crate) async fn touching<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    range: TimeRange,
) -> Result<Vec<SealEntry>, PortError> {
    let since = range.from.plus_seconds(-WINDOW_SECONDS_MAX);
    let mut seals = stores.table().seals(tenant, since, range.to).await?;
    seals.retain(|seal| seal.window.end > range.from);
    Ok(seals)
}

/// Seals of days that touch `[from, to)`.
pub(crate) async fn days<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    range: TimeRange,
) -> Result<Vec<SealEntry>, PortError> {
    let since = day_of(range.from).start;
    stores.table().days(tenant, since, range.to).await
}

/// A seal's bytes as they were signed, once its chain has moved over it.
///
/// # Errors
/// The store's.
pub async fn document<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    sequence: u64,
) -> Result<Option<Box<RawValue>>, PortError> {
    let head = stores.table().chain(tenant).await?;
    if head.is_none_or(|head| head.sequence <= sequence) {
        return Ok(None);
    }
    let key = seal_key(tenant, sequence);
    let found = stores.objects().get(&key, None).await?;
    let bytes = found.ok_or_else(|| PortError::Fatal(format!("{key} is gone")))?;
    let text = String::from_utf8(bytes).ok();
    let raw = text.and_then(|text| RawValue::from_string(text).ok());
    raw.map(Some)
        .ok_or_else(|| PortError::Fatal(format!("{key} is no JSON")))
}
