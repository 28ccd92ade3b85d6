//! The event that Lambda hands to a function for a batch of Kinesis records.

use super::StreamRecord;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vernier_ledger::ids::Shard;

/// The ARN of a stream in the tests' account.
#[must_use]
pub fn stream_arn(stream: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}")
}

/// The ARN of the function that the trigger invokes.
pub const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:vernier-stream";

/// A record beside its data and partition key in the event, bytes; with room to spare.
const RECORD_HEAD_BYTES: usize = 640;

/// What a record takes of the payload, bytes: its data as base64, and what stands around it.
pub(super) fn payload_bytes(record: &StreamRecord) -> usize {
    record.data.len().div_ceil(3) * 4 + record.partition_key.len() + RECORD_HEAD_BYTES
}

/// The event.
#[must_use]
pub fn kinesis_event(shard: &Shard, records: &[StreamRecord]) -> Value {
    let record = |record: &StreamRecord| {
        json!({
            "eventID": format!("{}:{}", shard.id, record.sequence),
            "eventName": "aws:kinesis:record",
            "eventSource": "aws:kinesis",
            "eventSourceARN": stream_arn(&shard.stream),
            "eventVersion": "1.0",
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/vernier-stream",
            "awsRegion": "us-east-1",
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.partition_key,
                "sequenceNumber": record.sequence.as_str(),
                "data": STANDARD.encode(&*record.data),
                "approximateArrivalTimestamp": record.arrived.0 as f64 / 1_000.0,
            }
        })
    };
    json!({ "Records": records.iter().map(record).collect::<Vec<_>>() })
}
