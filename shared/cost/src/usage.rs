//! What a run used, in the units that are billed.

use serde::{Deserialize, Serialize};

/// What a run of one kind of envelope used, as counted. JSON in snake case; amounts may be fractions,
/// so that figures can be scaled and interpolated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Events that the run took in. Every other amount is for these.
    pub events: f64,
    /// Events of one envelope (one request).
    pub events_per_envelope: f64,
    /// Mean size of an event as it was sent, bytes.
    pub raw_bytes_per_event: f64,
    /// API Gateway.
    pub api: ApiUse,
    /// The stream.
    pub kinesis: KinesisUse,
    /// The functions.
    pub lambda: LambdaUse,
    /// The table.
    pub dynamodb: DynamodbUse,
    /// The bucket.
    pub s3: S3Use,
    /// The seal key.
    pub kms: KmsUse,
    /// The functions' and the API's logs.
    pub logs: LogsUse,
    /// The audit topic.
    pub sns: SnsUse,
}

/// Requests to API Gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiUse {
    /// Requests, whatever their answer.
    pub requests: f64,
}

/// What went onto the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KinesisUse {
    /// PUT payload units of 25 KB: each record's bytes, rounded up.
    pub put_units: f64,
    /// Records (frames).
    pub records: f64,
    /// Bytes of all records with their partition keys.
    pub bytes: f64,
}

/// The functions that a run invoked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LambdaUse {
    /// Takes envelopes.
    pub input: FunctionUse,
    /// Commits batches.
    pub stream: FunctionUse,
    /// Accounts, seals, compacts.
    pub reconcile: FunctionUse,
}

/// One function: sums over all of its invocations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionUse {
    /// Invocations.
    pub invocations: f64,
    /// Processor time of the process, milliseconds of one whole core.
    pub cpu_ms: f64,
    /// How often it waited for a service.
    pub io_waits: IoWaits,
    /// Configured memory, MiB.
    pub memory_mib: f64,
}

/// Waits for a service, one after the other: calls that run at the same time are one wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoWaits {
    /// For Kinesis.
    pub kinesis: f64,
    /// For DynamoDB.
    pub dynamodb: f64,
    /// For S3.
    pub s3: f64,
    /// For KMS.
    pub kms: f64,
}

/// Requests to the table and what stays in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamodbUse {
    /// Write request units as billed: 1 KB each, twice as many in a transaction.
    pub write_units: f64,
    /// Read request units as billed: 4 KB each, half as many where a read need not be consistent.
    pub read_units: f64,
    /// Bytes of the items that stay, each with the 100 bytes of overhead that the service bills.
    pub stored_bytes: f64,
}

/// Requests to the bucket and what stays in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Use {
    /// PUT, COPY, POST and LIST requests.
    pub puts: f64,
    /// GET and HEAD requests.
    pub gets: f64,
    /// Bytes under `segments/` and `oversize/`, which stay for `SegmentDays`.
    pub segment_bytes: f64,
    /// Bytes of what stays of the archive: days' files and seals (windows' files where nothing is
    /// compacted). The windows' files that lie beside the days' for a while are a share of it.
    pub archive_bytes: f64,
}

/// Requests to the key service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmsUse {
    /// Signatures.
    pub signatures: f64,
}

/// Log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsUse {
    /// Bytes taken in, each line with the 26 bytes of overhead that the service bills.
    pub bytes: f64,
}

/// Messages to the audit topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnsUse {
    /// Messages.
    pub messages: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_reads_as_it_is_agreed() {
        let text = r#"{ "events": 1000000, "events_per_envelope": 100, "raw_bytes_per_event": 1445.0,
            "api": {"requests": 10000},
            "kinesis": {"put_units": 10000, "records": 10000, "bytes": 2.1e8},
            "lambda": {
              "input": {"invocations": 10000, "cpu_ms": 8000, "memory_mib": 512,
                        "io_waits": {"kinesis": 10000, "dynamodb": 10000, "s3": 0, "kms": 0}},
              "stream": {"invocations": 50, "cpu_ms": 6000, "memory_mib": 1024,
                        "io_waits": {"kinesis": 0, "dynamodb": 200, "s3": 50, "kms": 0}},
              "reconcile": {"invocations": 10, "cpu_ms": 69800, "memory_mib": 1024,
                        "io_waits": {"kinesis": 0, "dynamodb": 40, "s3": 300, "kms": 10}}},
            "dynamodb": {"write_units": 20000, "read_units": 100, "stored_bytes": 5000000},
            "s3": {"puts": 73, "gets": 276.7, "segment_bytes": 138.9e6, "archive_bytes": 136.9e6},
            "kms": {"signatures": 10}, "logs": {"bytes": 0}, "sns": {"messages": 0} }"#;
        let usage: Usage = serde_json::from_str(text).expect("it is a usage");
        assert_eq!(usage.lambda.reconcile.io_waits.kms, 10.0);
        let again: Usage = serde_json::from_value(serde_json::to_value(usage).expect("data"))
            .expect("it reads what it writes");
        assert_eq!(again, usage);
    }

    #[test]
    fn what_it_does_not_know_it_refuses() {
        let error =
            serde_json::from_str::<LogsUse>(r#"{"bytes": 1, "lines": 2}"#).expect_err("lines");
        assert!(error.to_string().contains("lines"), "{error}");
    }
}
