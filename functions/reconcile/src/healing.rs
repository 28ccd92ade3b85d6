//! Bringing back what the trigger gave up: batches that ran out of retries lie under Lambda's own
//! prefix, with the records in them; any other record that it went past, the stream still has for as
//! long as it is retained.

use serde::Deserialize;
use std::collections::BTreeSet;
use vernier_ledger::ids::{ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::playback::bring_back;
use vernier_ledger::ports::{
    Commits, FrameRecords, Inventory, NewRecord, Objects, PortError, Receipts,
};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;

/// Where Lambda puts failed batches; it cannot be chosen.
const FAILURES: &str = "aws/lambda/";

/// Where it is noted which of them were brought back.
const TAKEN: &str = "failures/taken/";

/// Batches that one run brings back.
const BATCHES_MAX: u32 = 100;

/// What a run brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HealSummary {
    /// Failed batches that were settled: each frame is stored, or on the stream again.
    pub settled: u32,
    /// Batches with frames that another record may still bring; they are looked at again.
    pub pending: u32,
    /// Objects that are no failed batch; they stay where they are.
    pub unreadable: u32,
    /// Frames that were put on the stream again.
    pub played_back: u64,
}

impl HealSummary {
    /// Adds what another look found and brought back.
    pub fn add(&mut self, other: &Self) {
        self.settled += other.settled;
        self.pending += other.pending;
        self.unreadable += other.unreadable;
        self.played_back += other.played_back;
    }
}

/// The invocation record that Lambda leaves.
#[derive(Deserialize)]
struct InvocationRecord {
    #[serde(rename = "KinesisBatchInfo")]
    batch: BatchInfo,
    /// The trigger's event, as text.
    payload: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo {
    shard_id: String,
    stream_arn: String,
}

#[derive(Deserialize)]
struct TriggerEvent {
    #[serde(rename = "Records")]
    records: Vec<TriggerRecord>,
}

#[derive(Deserialize)]
struct TriggerRecord {
    kinesis: KinesisRecord,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisRecord {
    sequence_number: String,
    partition_key: String,
    data: String,
}

/// A batch as the trigger had it.
pub(crate) type Batch = (Shard, Vec<(Sequence, NewRecord)>);

/// A failed batch; none when the bytes are something else.
pub(crate) fn read_batch(bytes: &[u8]) -> Option<Batch> {
    use base64::Engine as _;
    let record: InvocationRecord = serde_json::from_slice(bytes).ok()?;
    let (_, stream) = record.batch.stream_arn.rsplit_once(":stream/")?;
    let shard = Shard::new(stream, &record.batch.shard_id).ok()?;
    let event: TriggerEvent = serde_json::from_str(&record.payload).ok()?;
    let mut batch = Vec::with_capacity(event.records.len());
    for TriggerRecord { kinesis } in event.records {
        let data = base64::engine::general_purpose::STANDARD.decode(kinesis.data);
        let record = NewRecord {
            partition_key: kinesis.partition_key,
            data: data.ok()?,
        };
        batch.push((kinesis.sequence_number.parse().ok()?, record));
    }
    Some((shard, batch))
}

/// Brings back failed batches that were not settled before, until `deadline`.
///
/// # Errors
/// When the failures cannot be listed. What cannot be brought back now is tried at the next look.
pub async fn heal<S: ReconcileStores>(
    stores: &S,
    receipt_days: u32,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> Result<HealSummary, PortError> {
    let objects = stores.objects();
    let mut summary = HealSummary::default();
    for key in failed_batches(objects).await? {
        let looked_at = summary.settled + summary.pending + summary.unreadable;
        if clock() >= deadline || looked_at >= BATCHES_MAX {
            break;
        }
        let bytes = objects.get(&key, None).await?;
        let Some((shard, batch)) = bytes.as_deref().and_then(read_batch) else {
            tracing::error!(key, "no failed batch");
            summary.unreadable += 1;
            continue;
        };
        match bring_back(stores, &shard, &batch, receipt_days, &clock).await {
            Ok(brought) => {
                summary.played_back += brought.played_back + brought.undecodable;
                tracing::info!(key, ?brought, "failed batch");
                if brought.pending > 0 {
                    summary.pending += 1;
                    continue;
                }
                // After it: a crash in between brings it back twice, and it is stored once.
                objects.put_new(&note_of(&key), Vec::new(), None).await?;
                summary.settled += 1;
            }
            Err(error) => {
                tracing::error!(key, %error, "failed batch not brought back");
                summary.pending += 1;
            }
        }
    }
    Ok(summary)
}

/// What became of receipts that were missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MissingSummary {
    /// Frames that were put on the stream again.
    pub played_back: u64,
    /// Slices that the trigger may still bring, and receipts whose stores failed.
    pub pending: u32,
    /// Slices that neither a segment nor the stream has: only their sender can send them again.
    pub gone: u32,
}

impl MissingSummary {
    /// Adds what became of another window's receipts.
    pub fn add(&mut self, other: &Self) {
        self.played_back += other.played_back;
        self.pending += other.pending;
        self.gone += other.gone;
    }
}

/// Brings back slices of a tenant's missing receipts whose records the trigger went past, from the stream by
/// their sequence numbers, until `deadline`.
pub async fn heal_missing<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    missing: &[ReceiptId],
    receipt_days: u32,
    clock: impl Fn() -> Millis,
    deadline: Millis,
) -> MissingSummary {
    let mut summary = MissingSummary::default();
    for id in missing {
        if clock() >= deadline {
            break;
        }
        let healed = heal_receipt(stores, tenant, *id, receipt_days, &clock, &mut summary);
        if let Err(error) = healed.await {
            tracing::error!(%tenant, receipt = %id, %error, "not brought back");
            summary.pending += 1;
        }
    }
    tracing::info!(
        %tenant,
        played_back = summary.played_back,
        pending = summary.pending,
        gone = summary.gone,
        "missing receipts"
    );
    summary
}

async fn heal_receipt<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    id: ReceiptId,
    receipt_days: u32,
    clock: impl Fn() -> Millis,
    summary: &mut MissingSummary,
) -> Result<(), PortError> {
    let (table, stream) = (stores.table(), stores.stream());
    let Some(receipt) = table.receipt(tenant, id).await? else {
        return Ok(());
    };
    for slice in receipt.expected_slices() {
        let claim = receipt.claims.get(&slice);
        let claimed = claim.map(|c| (c.origin.shard.id.clone(), c.origin.sequence.clone()));
        let at = usize::try_from(slice).unwrap_or(usize::MAX);
        let Some((shard_id, sequence)) = claimed.or_else(|| receipt.placed.get(at).cloned()) else {
            continue;
        };
        let Some((shard, record)) = stream.record(&shard_id, &sequence).await? else {
            tracing::error!(%tenant, receipt = %id, slice, "the stream does not keep it any more");
            summary.gone += 1;
            continue;
        };
        let cursor = table.cursor(&shard).await?;
        if cursor.sequence.is_none_or(|passed| passed < sequence) {
            // The trigger has not come to it: to bring it back now would fence off what lies before.
            summary.pending += 1;
            continue;
        }
        let batch = [(sequence, record)];
        let brought = bring_back(stores, &shard, &batch, receipt_days, &clock).await?;
        summary.played_back += brought.played_back;
    }
    Ok(())
}

/// Where it is noted that a failed batch is settled.
fn note_of(key: &str) -> String {
    format!("{TAKEN}{}", key.trim_start_matches(FAILURES))
}

/// Keys of the failed batches that are not settled, in order.
pub(crate) async fn failed_batches<O: Inventory>(objects: &O) -> Result<Vec<String>, PortError> {
    let mut failed = all_keys(objects, FAILURES).await?;
    if !failed.is_empty() {
        let taken: BTreeSet<String> = all_keys(objects, TAKEN).await?.into_iter().collect();
        failed.retain(|key| !taken.contains(&note_of(key)));
    }
    Ok(failed)
}

async fn all_keys<O: Inventory>(objects: &O, prefix: &str) -> Result<Vec<String>, PortError> {
    let all = objects.all_listed(prefix).await?;
    Ok(all.into_iter().map(|object| object.key).collect())
}
