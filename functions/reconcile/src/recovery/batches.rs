//! Batches that the trigger gave up: where Lambda leaves them, shard by shard.

use super::{Mark, RecoverySummary, STEP_BYTES_MAX, STEP_RECORDS_MAX, Site, Stepped};
use serde::Deserialize;
use std::collections::{BTreeSet, VecDeque};
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{Inventory, NewRecord, Objects as _, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Owner, WorkKey};

/// Where Lambda puts failed batches; it cannot be chosen.
const FAILURES: &str = "aws/lambda/";

/// Where it is noted which of them were brought back.
const TAKEN: &str = "failures/taken/";

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

/// The prefix of a failed batch's shard and mapping, `aws/lambda/{mapping}/{shard}/`; none of another key.
fn shard_prefix(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(FAILURES)?;
    let (mapping, rest) = rest.split_once('/')?;
    let (shard, object) = rest.split_once('/')?;
    let is_named = Shard::new("frames", shard).is_ok() && !mapping.is_empty() && !object.is_empty();
    is_named.then(|| &key[..FAILURES.len() + mapping.len() + 1 + shard.len() + 1])
}

fn shard_id(prefix: &str) -> Option<&str> {
    prefix.strip_suffix('/')?.rsplit('/').next()
}

/// Finds failed batches that are not settled, and which shards and mappings they are of: the owner of each shard's work
/// with the key of the entry that has them brought back.
///
/// # Errors
/// When they cannot be listed.
pub(crate) async fn find_batches<S: ReconcileStores>(
    stores: &S,
    summary: &mut RecoverySummary,
) -> Result<Vec<(Owner, WorkKey)>, PortError> {
    let failed = failed_batches(stores.objects()).await?;
    let mut prefixes = BTreeSet::new();
    for key in &failed {
        match shard_prefix(key) {
            Some(prefix) => {
                summary.found += 1;
                prefixes.insert(prefix);
            }
            None => {
                tracing::error!(key, "no failed batch");
                summary.unreadable += 1;
            }
        }
    }
    let entry = |prefix: &str| {
        let owner = Owner::of_shard(shard_id(prefix)?);
        Some((owner, WorkKey::of(Cause::Recover, prefix)))
    };
    Ok(prefixes.into_iter().filter_map(entry).collect())
}

/// Where it is noted that a failed batch is settled.
fn note_of(key: &str) -> String {
    format!("{TAKEN}{}", key.trim_start_matches(FAILURES))
}

/// Keys of the failed batches that are not settled, in order.
pub(crate) async fn failed_batches<O: Inventory>(objects: &O) -> Result<Vec<String>, PortError> {
    unsettled(objects, FAILURES).await
}

async fn unsettled<O: Inventory>(objects: &O, prefix: &str) -> Result<Vec<String>, PortError> {
    let mut failed = all_keys(objects, prefix).await?;
    if !failed.is_empty() {
        let taken = all_keys(objects, &note_of(prefix)).await?;
        let taken: BTreeSet<String> = taken.into_iter().collect();
        failed.retain(|key| !taken.contains(&note_of(key)));
    }
    Ok(failed)
}

async fn all_keys<O: Inventory>(objects: &O, prefix: &str) -> Result<Vec<String>, PortError> {
    let all = objects.all_listed(prefix).await?;
    Ok(all.into_iter().map(|object| object.key).collect())
}

/// The failed batches of a shard and mapping, in the order of their keys, on their way.
pub(super) struct BatchCourse {
    prefix: String,
    /// Keys that are not through; none before they are listed in this turn.
    keys: Option<VecDeque<String>>,
    /// The first key's records that are not through; none before it is read.
    records: Option<VecDeque<(Sequence, NewRecord)>>,
}

impl BatchCourse {
    /// The course of an entry; none of one that is about something else.
    pub(super) fn of(name: &str) -> Option<Self> {
        name.starts_with(FAILURES).then(|| Self {
            prefix: name.to_owned(),
            keys: None,
            records: None,
        })
    }

    /// Takes a few hundred records of the batch at hand; one that is larger is done over several steps and turns.
    pub(super) async fn step<S: ReconcileStores, C: Fn() -> Millis>(
        &mut self,
        site: &Site<'_, S, C>,
        mark: &mut Mark,
        summary: &mut RecoverySummary,
    ) -> Result<Stepped, PortError> {
        let Some(key) = self.key(site, mark).await? else {
            return Ok(mark.ended());
        };
        if self.records.is_none() {
            let bytes = site.stores().objects().get(&key, None).await?;
            let Some((_, records)) = bytes.as_deref().and_then(read_batch) else {
                tracing::error!(key, "no failed batch");
                summary.unreadable += 1;
                self.pass(mark, key);
                return Ok(Stepped::On);
            };
            let is_left = |record: &(Sequence, _)| Some(&record.0) > mark.after.as_ref();
            self.records = Some(records.into_iter().filter(is_left).collect());
        }
        let records = self.records.get_or_insert_default();
        let step: Vec<(Sequence, NewRecord)> =
            records.range(..count_of(records)).cloned().collect();
        let brought = site.bring_back(&step).await?;
        tracing::info!(key, ?brought, "failed batch");
        summary.count(&brought);
        mark.waits |= brought.pending > 0;
        mark.after = step.last().map(|(sequence, _)| sequence.clone());
        records.drain(..step.len());
        if records.is_empty() {
            if mark.waits {
                summary.unsettled += 1;
                mark.again = true;
            } else {
                // After it: a crash in between brings it back twice, and it is stored once.
                let objects = site.stores().objects();
                objects.put_new(&note_of(&key), Vec::new(), None).await?;
                summary.settled += 1;
            }
            self.pass(mark, key);
        }
        Ok(Stepped::On)
    }

    /// The batch at hand.
    async fn key<S: ReconcileStores, C: Fn() -> Millis>(
        &mut self,
        site: &Site<'_, S, C>,
        mark: &Mark,
    ) -> Result<Option<String>, PortError> {
        if self.keys.is_none() {
            let mut keys = unsettled(site.stores().objects(), &self.prefix).await?;
            keys.retain(|key| mark.object.as_ref().is_none_or(|through| key > through));
            self.keys = Some(keys.into());
        }
        Ok(self.keys.as_ref().and_then(|keys| keys.front().cloned()))
    }

    fn pass(&mut self, mark: &mut Mark, key: String) {
        if let Some(keys) = &mut self.keys {
            keys.pop_front();
        }
        self.records = None;
        *mark = Mark {
            object: Some(key),
            again: mark.again,
            ..Mark::default()
        };
    }
}

/// How many of some records one step takes: at least one.
fn count_of(records: &VecDeque<(Sequence, NewRecord)>) -> usize {
    let mut bytes = 0;
    let fit = records
        .iter()
        .take(STEP_RECORDS_MAX)
        .take_while(|(_, record)| {
            bytes += record.data.len();
            bytes <= STEP_BYTES_MAX
        });
    fit.count().max(1).min(records.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_batchs_key_says_its_shard() {
        let key = "aws/lambda/4b1c/shardId-000000000003/2026/11/27/2026-11-27T10.11.12-x";
        let prefix = shard_prefix(key).expect("a shard's");
        assert_eq!(prefix, "aws/lambda/4b1c/shardId-000000000003/");
        assert_eq!(shard_id(prefix), Some("shardId-000000000003"));
        for other in [
            "aws/lambda/4b1c/x",
            "aws/lambda/4b1c/x/",
            "aws/lambda/x",
            "segments/a/b/c",
        ] {
            assert_eq!(shard_prefix(other), None, "{other}");
        }
        assert!(BatchCourse::of("aws/000001795167900000-000001795168800000").is_none());
    }
}
