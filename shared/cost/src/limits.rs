//! What a rate of events needs of each service, against an account's quotas; computed from measured
//! figures, so that it changes with them. docs/limits.md is what [`page`] writes.

mod page;

use crate::{Assumptions, FunctionUse, Measured, ShardLimit, Usage, billed_ms, shards_for};
use serde::Deserialize;

pub use page::page;

/// The built-in quotas.
const QUOTAS: &str = include_str!("../prices/quotas.json");

/// Rates that the page has, events a second.
pub const RATES: [f64; 4] = [10_000.0, 100_000.0, 1_000_000.0, 15_000_000.0];

/// Memories that are considered, MiB.
const MEMORIES_MIB: [f64; 5] = [256.0, 512.0, 1_024.0, 1_769.0, 3_538.0];

/// Part of the batch window that a batch may take: the shard's next one waits for it.
const WINDOW_USE_MAX: f64 = 0.5;

/// Envelopes a second of one lane: its receipts' partition takes 1,000 write units, two for each
/// (`LANES_MAX` in `shared/ledger/src/limits.rs`).
pub const LANE_ENVELOPES_PER_SECOND: f64 = 500.0;

/// Lanes of a tenant at most.
pub const LANES_MAX: f64 = 256.0;

/// Partition keys of a tenant on the stream at most (`STREAM_KEYS_MAX` in `shared/ledger/src/limits.rs`).
pub const STREAM_KEYS_MAX: f64 = 4_194_304.0;

/// Minutes of a window, unless it is deployed otherwise.
pub const WINDOW_MINUTES: f64 = 15.0;

/// Claims, or results, under way at once in one stream function.
pub const IN_FLIGHT: f64 = 32.0;

/// Events that say something of a result, of all: grades and assessments of the reference mix.
const RESULT_SHARE: f64 = 0.1;

/// One of an account's limits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// As it is by default.
    pub value: f64,
    /// In what.
    pub unit: String,
    /// Whether the service raises it on request.
    pub can_be_raised: bool,
    /// Which one.
    pub name: String,
}

/// An account's limits, as they are by default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaList {
    /// API Gateway's requests.
    pub api_requests_per_second: Quota,
    /// Lambda's concurrency.
    pub lambda_concurrency: Quota,
    /// Shards of the account.
    pub kinesis_shards: Quota,
    /// Shards of a stream.
    pub kinesis_stream_shards: Quota,
    /// A table's writes.
    pub table_write_units_per_second: Quota,
    /// A table's reads.
    pub table_read_units_per_second: Quota,
    /// A partition's writes.
    pub partition_write_units_per_second: Quota,
    /// A prefix's PUTs.
    pub prefix_puts_per_second: Quota,
    /// A prefix's GETs.
    pub prefix_gets_per_second: Quota,
    /// Signatures.
    pub signatures_per_second: Quota,
}

/// Quotas and their day.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// The day on which they were looked up.
    pub as_of: String,
    /// Whose they are.
    pub note: String,
    /// The quotas.
    pub quotas: QuotaList,
}

impl Quotas {
    /// Those that are built in.
    ///
    /// # Errors
    /// The file beside the code is not what it should be; a test reads it.
    pub fn built_in() -> Result<Self, serde_json::Error> {
        serde_json::from_str(QUOTAS)
    }
}

/// What one rate needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Needs {
    /// Events a second.
    pub rate: f64,
    /// Requests a second.
    pub requests: f64,
    /// Time of one input invocation, ms.
    pub input_ms: f64,
    /// Executions of input at once.
    pub input_concurrency: f64,
    /// Shards, and so executions of stream at once.
    pub shards: f64,
    /// What they are for.
    pub shard_limit: ShardLimit,
    /// Events of one batch.
    pub batch_events: f64,
    /// Time of a batch, ms, in [`Self::stream_mib`].
    pub batch_ms: f64,
    /// Least memory of stream in which a batch takes half of its window at most, MiB.
    pub stream_mib: f64,
    /// Write units a second.
    pub write_units: f64,
    /// Read units a second.
    pub read_units: f64,
    /// Lanes of receipts, if one tenant sends it all.
    pub lanes: f64,
    /// How much fuller than the average the fullest shard is, if one tenant with all the keys that it
    /// can have sends it all.
    pub fullest_shard: f64,
    /// PUTs a second under `segments/`.
    pub puts: f64,
    /// Cores that sealing and compaction keep busy.
    pub sealing_cores: f64,
}

/// How much fuller than the average the fullest of some shards is when a tenant's keys fall on them by their hashes: each
/// shard's number of keys has the square root of its mean as deviation, and the fullest of n is about the square root of
/// 2 ln n deviations away.
fn fullest_shard(shards: f64) -> f64 {
    let keys = STREAM_KEYS_MAX / shards;
    1.0 + (2.0 * shards.ln()).max(0.0).sqrt() / keys.sqrt()
}

/// What a batch of so many events takes in so much memory, ms.
fn batch_ms(
    of_event: &FunctionUse,
    frames: f64,
    results: f64,
    events: f64,
    mib: f64,
    a: &Assumptions,
) -> f64 {
    let share = (mib / a.core_mib.value).min(1.0);
    let worked = (events * of_event.cpu_ms + a.batch_cpu_ms.value) / share;
    let rounds = 2.0 + (frames / IN_FLIGHT).ceil() + (results / IN_FLIGHT).ceil();
    worked + rounds * a.dynamodb_wait_ms.value + a.s3_wait_ms.value
}

impl Needs {
    /// What `rate` events a second need, in envelopes of `size`, with batches gathered for
    /// `window` seconds.
    #[must_use]
    pub fn of(measured: &Measured, size: f64, rate: f64, window: f64, a: &Assumptions) -> Self {
        let each: Usage = {
            let usage = measured.at(size, a);
            usage.times(1.0 / usage.events)
        };
        let (bytes, records) = (rate * each.kinesis.bytes, rate * each.kinesis.records);
        let (shards, shard_limit) = shards_for(bytes, records, a);
        let (shard_bytes, shard_records) = (bytes / shards, records / shards);
        let gathered = (a.batch_bytes_max.value / shard_bytes)
            .min(a.batch_records_max.value / shard_records)
            .min(window);
        let batch_events = rate / shards * gathered;
        let (frames, results) = (shard_records * gathered, batch_events * RESULT_SHARE);
        let time = |mib: f64| batch_ms(&each.lambda.stream, frames, results, batch_events, mib, a);
        let allowed = gathered * 1_000.0 * WINDOW_USE_MAX;
        let last = MEMORIES_MIB[MEMORIES_MIB.len() - 1];
        let stream_mib = MEMORIES_MIB
            .into_iter()
            .find(|m| time(*m) <= allowed)
            .unwrap_or(last);
        let input_ms = billed_ms(&each.lambda.input, a);
        let requests = rate * each.api.requests;
        let commits = shards / gathered;
        let per_event_batches = each.lambda.stream.invocations;
        let writes = each.dynamodb.write_units - per_event_batches * a.batch_write_units.value;
        let reads = each.dynamodb.read_units - per_event_batches * a.batch_read_units.value;
        Self {
            rate,
            requests,
            input_ms,
            input_concurrency: requests * input_ms / 1_000.0,
            shards,
            shard_limit,
            batch_events,
            batch_ms: time(stream_mib),
            stream_mib,
            write_units: rate * writes.max(0.0) + commits * a.batch_write_units.value,
            read_units: rate * reads.max(0.0) + commits * a.batch_read_units.value,
            lanes: (requests / LANE_ENVELOPES_PER_SECOND).ceil().max(1.0),
            fullest_shard: fullest_shard(shards),
            puts: commits,
            sealing_cores: rate * each.lambda.reconcile.cpu_ms / 1_000.0,
        }
    }
}

/// Where one shard and its stream function end, events a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneShard {
    /// By the shard's bytes.
    pub by_bytes: f64,
    /// By its records.
    pub by_records: f64,
    /// By the function's processor time, in the memory that was measured.
    pub by_function: f64,
    /// By claims, each a wait, so many at once.
    pub by_claims: f64,
    /// By results, likewise.
    pub by_results: f64,
}

impl OneShard {
    /// For envelopes of `size`.
    #[must_use]
    pub fn of(measured: &Measured, size: f64, a: &Assumptions) -> Self {
        let usage = measured.at(size, a);
        let each = usage.times(1.0 / usage.events);
        let stream = &each.lambda.stream;
        let share = (stream.memory_mib / a.core_mib.value).min(1.0);
        let waits = IN_FLIGHT * 1_000.0 / a.dynamodb_wait_ms.value;
        Self {
            by_bytes: a.shard_bytes_per_second.value / each.kinesis.bytes,
            by_records: a.shard_records_per_second.value / each.kinesis.records,
            by_function: 1_000.0 * share / stream.cpu_ms,
            by_claims: waits / each.kinesis.records,
            by_results: waits / RESULT_SHARE,
        }
    }
}
