//! The design that comes to mind first, counted with the same units.

use crate::{
    ApiUse, Assumptions, DynamodbUse, FunctionUse, IoWaits, KinesisUse, LambdaUse, LogsUse, Usage,
};

/// Records that a trigger hands over by default.
const BATCH_RECORDS: f64 = 100.0;

/// Items of one `BatchWriteItem`.
const WRITE_ITEMS: f64 = 25.0;

/// Keys and attribute names of an item that holds an event, bytes.
const ITEM_KEYS_BYTES: f64 = 150.0;

/// Processor time of parsing an event and checking it against its JSON Schema in Node, ms (60 µs), and
/// of the platform around it.
const REQUEST_CPU_MS: f64 = 1.0;

/// Log lines of one request and one record, with Lambda's own three of each invocation, bytes.
const LOG_BYTES: f64 = 1_000.0;

/// One event per request, per record and per item, as it was sent: a function that puts it on the
/// stream, a function that writes what the stream hands it into a table, and no archive.
#[must_use]
pub fn naive(raw_bytes_per_event: f64, assumed: &Assumptions) -> Usage {
    let batches = 1.0 / BATCH_RECORDS;
    let item = raw_bytes_per_event + ITEM_KEYS_BYTES;
    let put_units = (raw_bytes_per_event / assumed.put_unit_bytes.value).ceil();
    Usage {
        events: 1.0,
        events_per_envelope: 1.0,
        raw_bytes_per_event,
        api: ApiUse { requests: 1.0 },
        kinesis: KinesisUse {
            put_units,
            records: 1.0,
            bytes: raw_bytes_per_event + 36.0,
        },
        lambda: LambdaUse {
            input: FunctionUse {
                invocations: 1.0,
                cpu_ms: REQUEST_CPU_MS,
                io_waits: IoWaits {
                    kinesis: 1.0,
                    ..IoWaits::default()
                },
                memory_mib: 512.0,
            },
            stream: FunctionUse {
                invocations: batches,
                cpu_ms: 0.1,
                io_waits: IoWaits {
                    dynamodb: 1.0 / WRITE_ITEMS,
                    ..IoWaits::default()
                },
                memory_mib: 1_024.0,
            },
            reconcile: FunctionUse::default(),
        },
        dynamodb: DynamodbUse {
            write_units: (item / 1_024.0).ceil(),
            read_units: 0.0,
            stored_bytes: item + 100.0,
        },
        logs: LogsUse { bytes: LOG_BYTES },
        ..Usage::default()
    }
}
