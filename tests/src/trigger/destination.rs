//! What Lambda leaves at an S3 on-failure destination.

use super::StreamRecord;
use super::event::{FUNCTION_ARN, kinesis_event, stream_arn};
use serde_json::{Value, json};
use uuid::Uuid;
use vernier_ledger::ids::Shard;
use vernier_ledger::time::Millis;

/// The mapping's own id, part of every key.
pub const MAPPING_ID: &str = "6d0bd0a5-7f0d-4b0e-9a3c-2f6e1c1a9b07";

/// Why a batch was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `MaximumRetryAttempts` are used up.
    RetryAttemptsExhausted,
    /// Its records are older than `MaximumRecordAgeInSeconds`.
    RecordAgeExceeded,
}

/// One object at the destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Discarded {
    /// Its key.
    pub key: String,
    /// The invocation record: metadata and, in `payload`, the whole event as text.
    pub record: Value,
}

impl Discarded {
    pub(super) fn new(
        shard: &Shard,
        records: &[StreamRecord],
        condition: Condition,
        invoked: u32,
        now: Millis,
    ) -> Self {
        let sequence = |r: Option<&StreamRecord>| r.map(|r| r.sequence.as_str().to_owned());
        let arrival = |r: Option<&StreamRecord>| r.map(|r| r.arrived.rfc3339());
        let condition = match condition {
            Condition::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Condition::RecordAgeExceeded => "RecordAgeExceeded",
        };
        let record = json!({
            "requestContext": {
                "requestId": Uuid::new_v4(),
                "functionArn": FUNCTION_ARN,
                "condition": condition,
                "approximateInvokeCount": invoked,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "version": "1.0",
            "timestamp": now.rfc3339(),
            "KinesisBatchInfo": {
                "shardId": shard.id,
                "startSequenceNumber": sequence(records.first()),
                "endSequenceNumber": sequence(records.last()),
                "approximateArrivalOfFirstRecord": arrival(records.first()),
                "approximateArrivalOfLastRecord": arrival(records.last()),
                "batchSize": records.len(),
                "streamArn": stream_arn(&shard.stream),
            },
            "payload": kinesis_event(shard, records).to_string(),
        });
        Self {
            key: key_of(shard, now),
            record,
        }
    }
}

/// `aws/lambda/{mapping}/{shard}/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-{random UUID}`.
fn key_of(shard: &Shard, now: Millis) -> String {
    let text = now.rfc3339();
    let day = text.get(..10).unwrap_or_default();
    let time = text.get(11..19).unwrap_or_default();
    format!(
        "aws/lambda/{MAPPING_ID}/{}/{}/{day}T{}-{}",
        shard.id,
        day.replace('-', "/"),
        time.replace(':', "."),
        Uuid::new_v4()
    )
}
