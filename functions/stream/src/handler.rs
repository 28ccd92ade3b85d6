//! From the trigger's event to batches by shard, and from failures to the trigger's retry.
//!
//! Any failure of a store fails the whole invocation: the cursor makes the retry cheap, and
//! partial answers are not understood everywhere.

use crate::context::Context;
use crate::{Committing, Outcome, Record, take};
use aws_lambda_events::kinesis::{KinesisEvent, KinesisEventRecord};
use lambda_runtime::{Error, LambdaEvent};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use vernier_ledger::clock::now;
use vernier_ledger::ids::Shard;
use vernier_ledger::metrics::{Line, Metric};
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::Millis;

/// Kept back from the function's deadline: a clean failure is retried sooner than a time-out.
const ANSWER_RESERVE: Duration = Duration::from_secs(1);

/// Takes one trigger event.
///
/// # Errors
/// When a store failed to the end of the time budget, or the event is not Kinesis's.
pub async fn handle<S: Stores>(
    context: &Context<S>,
    event: LambdaEvent<KinesisEvent>,
) -> Result<(), Error> {
    let deadline = event.context.deadline();
    let (mut outcome, mut shards) = (Outcome::default(), Vec::new());
    let mut failed = Ok(());
    for (shard, records) in by_shard(event.payload)? {
        let left = deadline
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        let budget = left.saturating_sub(ANSWER_RESERVE);
        let committing = Committing {
            settings: context.settings,
            memory: &context.memory,
        };
        let stores = &context.stores;
        failed = take(
            stores,
            committing,
            &shard,
            records,
            now,
            budget,
            &mut outcome,
        )
        .await;
        if let Err(error) = &failed {
            tracing::warn!(shard = shard.id, %error, "batch not committed");
            break;
        }
        shards.push(shard.id);
    }
    // Of a batch that failed, what was committed before it did.
    if failed.is_ok() || outcome.steps > 0 {
        let line = measured(&outcome, &shards.join(","), now());
        context
            .metrics
            .write(&line.with("requestId", event.context.request_id));
    }
    Ok(failed?)
}

/// What one invocation did, as its one line of metrics.
fn measured(outcome: &Outcome, shard: &str, now: Millis) -> Line {
    let line = Line::new(now, "batch committed")
        .count(Metric::EventsCommitted, outcome.events)
        .count(Metric::RecordsQuarantined, outcome.quarantined);
    // A batch of copies alone made nothing readable.
    let line = match outcome.freshness_millis_max {
        Some(millis) => line.millis(Metric::FreshnessSeconds, millis),
        None => line,
    };
    let line = match outcome.skew_millis_max {
        Some(millis) => line.millis(Metric::ClockSkewSeconds, millis),
        None => line,
    };
    line.with("level", "INFO")
        .with("shard", shard)
        .with("steps", outcome.steps)
        .with("records_behind_cursor", outcome.behind_cursor)
        .with("frames", outcome.frames)
        .with("copies", outcome.copies)
        .with("results", outcome.results)
        .with("results_unreadable", outcome.results_unreadable)
}

/// A trigger batch comes from one shard; grouping costs nothing and trusts nothing.
fn by_shard(event: KinesisEvent) -> Result<BTreeMap<Shard, Vec<Record>>, PortError> {
    let mut shards: BTreeMap<Shard, Vec<Record>> = BTreeMap::new();
    for record in event.records {
        let shard = shard_of(&record).ok_or_else(|| {
            PortError::Fatal("the event names no shard of a Kinesis stream".into())
        })?;
        let sequence = record.kinesis.sequence_number.parse();
        let sequence = sequence.map_err(|e| PortError::Fatal(format!("event record: {e}")))?;
        let arrived_at = record.kinesis.approximate_arrival_timestamp;
        shards.entry(shard).or_default().push(Record {
            sequence,
            data: record.kinesis.data.0,
            arrived_at: Some(Millis(arrived_at.timestamp_millis())),
        });
    }
    Ok(shards)
}

/// The stream from the source's ARN, the shard from the event id (`shardId-…:sequence`).
fn shard_of(record: &KinesisEventRecord) -> Option<Shard> {
    let stream = record.event_source_arn.as_deref()?.rsplit('/').next()?;
    let (shard, _) = record.event_id.as_deref()?.split_once(':')?;
    Shard::new(stream, shard).ok()
}
