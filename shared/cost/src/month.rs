//! A month of a load, from what a run used: amounts scaled, and batches as the load makes them.

use crate::{Assumptions, FunctionUse, IoWaits, Load, StreamMode, Usage};

/// Amounts of a month, and the shards that its peak needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Month {
    /// The amounts.
    pub usage: Usage,
    /// Shards of a provisioned stream.
    pub shards: f64,
    /// What the shards are for.
    pub shard_limit: ShardLimit,
    /// Batches of the stream function.
    pub batches: f64,
}

/// How many batches a month has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// As the load's records come, in its window.
    OfTheLoad,
    /// As many for an event as the run had: another design's cost otherwise.
    AsCounted,
}

/// Which of a shard's limits a load comes to first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardLimit {
    /// 1 MB a second.
    Bytes,
    /// 1,000 records a second.
    Records,
}

/// Shards for a stream of so many bytes and records in its busiest second.
#[must_use]
pub fn shards_for(bytes: f64, records: f64, assumed: &Assumptions) -> (f64, ShardLimit) {
    let by_bytes = bytes / assumed.shard_bytes_per_second.value;
    let by_records = records / assumed.shard_records_per_second.value;
    let limit = if by_bytes >= by_records {
        ShardLimit::Bytes
    } else {
        ShardLimit::Records
    };
    let shards = by_bytes.max(by_records) / assumed.shard_use_max.value;
    (shards.ceil().max(1.0), limit)
}

/// Batches of a second, of all shards: each begins with a record and gathers for the window, unless it
/// is full before.
fn batches_per_second(
    bytes: f64,
    records: f64,
    shards: f64,
    window: f64,
    assumed: &Assumptions,
) -> f64 {
    let of_shard = records / shards;
    let by_window = shards * of_shard / (1.0 + of_shard * window);
    let by_bytes = bytes / assumed.batch_bytes_max.value;
    let by_records = records / assumed.batch_records_max.value;
    by_window.max(by_bytes).max(by_records).min(records)
}

impl Month {
    /// What `usage` comes to in a month of `load`. A run makes batches of its own size: where they are
    /// [`Batches::OfTheLoad`], what a batch costs whatever it holds is taken out for the run's batches and
    /// put in again for the load's.
    #[must_use]
    pub fn of(usage: &Usage, load: &Load, batched: Batches, assumed: &Assumptions) -> Self {
        let mut month = usage.times(load.events_per_month / usage.events);
        let seconds = assumed.hours_per_month.value * 3_600.0;
        let (bytes, records) = (
            month.kinesis.bytes / seconds,
            month.kinesis.records / seconds,
        );
        let peak = load.peak_to_mean;
        let (shards, shard_limit) = shards_for(bytes * peak, records * peak, assumed);
        // On demand begins with four shards and grows with the load.
        let spread = match load.stream_mode {
            StreamMode::Provisioned => shards,
            StreamMode::OnDemand => shards.max(4.0),
        };
        let window = load.batch_window_seconds;
        let counted = month.lambda.stream.invocations;
        let batches = match batched {
            Batches::AsCounted => counted,
            Batches::OfTheLoad => {
                seconds * batches_per_second(bytes, records, spread, window, assumed)
            }
        };
        month.more_batches(batches - counted, assumed);
        if !load.logs_info {
            month.logs.bytes *= 1.0 - assumed.info_log_share.value;
        }
        Self {
            usage: month,
            shards,
            shard_limit,
            batches,
        }
    }
}

impl Usage {
    /// So many times as much, in the same memory.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        let scaled = self.zip(self, |a, _| a * factor);
        Self {
            events_per_envelope: self.events_per_envelope,
            raw_bytes_per_event: self.raw_bytes_per_event,
            ..scaled
        }
    }

    /// So many batches more, or less: never less than nothing of anything.
    fn more_batches(&mut self, more: f64, assumed: &Assumptions) {
        let add = |amount: &mut f64, each: f64| *amount = (*amount + more * each).max(0.0);
        let stream = &mut self.lambda.stream;
        add(&mut stream.invocations, 1.0);
        add(&mut stream.cpu_ms, assumed.batch_cpu_ms.value);
        add(
            &mut stream.io_waits.dynamodb,
            assumed.batch_dynamodb_waits.value,
        );
        add(&mut stream.io_waits.s3, assumed.batch_s3_waits.value);
        add(
            &mut self.dynamodb.write_units,
            assumed.batch_write_units.value,
        );
        add(
            &mut self.dynamodb.read_units,
            assumed.batch_read_units.value,
        );
        add(&mut self.s3.puts, 1.0);
        add(&mut self.s3.gets, assumed.batch_gets.value);
        add(&mut self.logs.bytes, assumed.batch_log_bytes.value);
    }

    /// Amount by amount of two; memory is the first's.
    pub(crate) fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let function = |a: &FunctionUse, b: &FunctionUse| FunctionUse {
            invocations: f(a.invocations, b.invocations),
            cpu_ms: f(a.cpu_ms, b.cpu_ms),
            io_waits: IoWaits {
                kinesis: f(a.io_waits.kinesis, b.io_waits.kinesis),
                dynamodb: f(a.io_waits.dynamodb, b.io_waits.dynamodb),
                s3: f(a.io_waits.s3, b.io_waits.s3),
                kms: f(a.io_waits.kms, b.io_waits.kms),
            },
            memory_mib: a.memory_mib,
        };
        let (a, b) = (self, other);
        Self {
            events: f(a.events, b.events),
            events_per_envelope: f(a.events_per_envelope, b.events_per_envelope),
            raw_bytes_per_event: f(a.raw_bytes_per_event, b.raw_bytes_per_event),
            api: crate::ApiUse {
                requests: f(a.api.requests, b.api.requests),
            },
            kinesis: crate::KinesisUse {
                put_units: f(a.kinesis.put_units, b.kinesis.put_units),
                records: f(a.kinesis.records, b.kinesis.records),
                bytes: f(a.kinesis.bytes, b.kinesis.bytes),
            },
            lambda: crate::LambdaUse {
                input: function(&a.lambda.input, &b.lambda.input),
                stream: function(&a.lambda.stream, &b.lambda.stream),
                reconcile: function(&a.lambda.reconcile, &b.lambda.reconcile),
            },
            dynamodb: crate::DynamodbUse {
                write_units: f(a.dynamodb.write_units, b.dynamodb.write_units),
                read_units: f(a.dynamodb.read_units, b.dynamodb.read_units),
                stored_bytes: f(a.dynamodb.stored_bytes, b.dynamodb.stored_bytes),
            },
            s3: crate::S3Use {
                puts: f(a.s3.puts, b.s3.puts),
                gets: f(a.s3.gets, b.s3.gets),
                segment_bytes: f(a.s3.segment_bytes, b.s3.segment_bytes),
                archive_bytes: f(a.s3.archive_bytes, b.s3.archive_bytes),
            },
            kms: crate::KmsUse {
                signatures: f(a.kms.signatures, b.kms.signatures),
            },
            logs: crate::LogsUse {
                bytes: f(a.logs.bytes, b.logs.bytes),
            },
            sns: crate::SnsUse {
                messages: f(a.sns.messages, b.sns.messages),
            },
        }
    }
}
