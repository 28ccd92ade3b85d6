//! What a month costs.

use crate::{Assumptions, Batches, FunctionUse, Load, Month, PriceList, Rates, StreamMode, Usage};
use serde::Serialize;

/// Bytes of a GB as S3, DynamoDB and CloudWatch bill it.
const GB: f64 = 1_073_741_824.0;

/// MiB of a GB as Lambda bills it.
const GIB_MIB: f64 = 1_024.0;

/// Milliseconds to which a function's time is rounded up.
const BILLED_MS: f64 = 1.0;

/// The published figure of the platform of 2016 that Vernier is measured against, dollars per billion
/// events.
pub const PLATFORM_2016_DOLLARS_PER_BILLION: f64 = 129_551.0;

/// Dollars by service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ByService {
    /// Requests.
    pub api_gateway: f64,
    /// Invocations and GB-seconds.
    pub lambda: f64,
    /// Shards and PUT units.
    pub kinesis: f64,
    /// Requests, storage, point-in-time recovery.
    pub dynamodb: f64,
    /// Requests and storage.
    pub s3: f64,
    /// Logs.
    pub cloudwatch: f64,
    /// Signatures.
    pub kms: f64,
    /// Messages.
    pub sns: f64,
    /// All of them.
    pub total: f64,
}

impl ByService {
    fn totalled(mut self) -> Self {
        self.total = self.api_gateway
            + self.lambda
            + self.kinesis
            + self.dynamodb
            + self.s3
            + self.cloudwatch
            + self.kms
            + self.sns;
        self
    }

    /// Each service by name, in the order of the way of the data.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, f64); 8] {
        [
            ("API Gateway", self.api_gateway),
            ("Lambda", self.lambda),
            ("Kinesis", self.kinesis),
            ("DynamoDB", self.dynamodb),
            ("S3", self.s3),
            ("CloudWatch", self.cloudwatch),
            ("KMS", self.kms),
            ("SNS", self.sns),
        ]
    }

    fn times(&self, factor: f64) -> Self {
        Self {
            api_gateway: self.api_gateway * factor,
            lambda: self.lambda * factor,
            kinesis: self.kinesis * factor,
            dynamodb: self.dynamodb * factor,
            s3: self.s3 * factor,
            cloudwatch: self.cloudwatch * factor,
            kms: self.kms * factor,
            sns: self.sns * factor,
            total: self.total * factor,
        }
    }
}

/// What a month costs whatever comes, dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Fixed {
    /// Alarms.
    pub alarms: f64,
    /// Dashboards.
    pub dashboards: f64,
    /// Custom metrics.
    pub metrics: f64,
    /// The seal key.
    pub kms_key: f64,
    /// Scheduled runs that find nothing.
    pub scheduled_runs: f64,
    /// All of them.
    pub total: f64,
}

/// What a load costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Dollars per billion events.
    pub per_billion: ByService,
    /// Dollars of a month, without the fixed part.
    pub month: ByService,
    /// The month's fixed part, dollars.
    pub fixed_monthly: Fixed,
    /// Shards that the peak needs.
    pub shards: f64,
    /// What they are for.
    pub shard_limit: crate::ShardLimit,
    /// Batches of the stream function in a month.
    pub batches: f64,
}

impl Cost {
    /// A month with its fixed part, dollars.
    #[must_use]
    pub fn month_total(&self) -> f64 {
        self.month.total + self.fixed_monthly.total
    }
}

/// What `load` costs, if a run of its kind of envelope used `usage`.
#[must_use]
pub fn price(usage: &Usage, rates: &Rates, load: &Load) -> Cost {
    price_month(
        &Month::of(usage, load, Batches::OfTheLoad, &rates.assumed),
        rates,
        load,
    )
}

/// What a load costs by a design that has other batches than Vernier: all as counted.
#[must_use]
pub fn price_as_counted(usage: &Usage, rates: &Rates, load: &Load) -> Cost {
    price_month(
        &Month::of(usage, load, Batches::AsCounted, &rates.assumed),
        rates,
        load,
    )
}

fn price_month(month: &Month, rates: &Rates, load: &Load) -> Cost {
    let (used, prices, assumed) = (&month.usage, &rates.prices.prices, &rates.assumed);
    let by_service = ByService {
        api_gateway: prices.api_request.of(used.api.requests),
        lambda: lambda(used, rates),
        kinesis: kinesis(month, load, rates),
        dynamodb: dynamodb(used, load, rates),
        s3: s3(used, load, rates),
        cloudwatch: logs(used, rates),
        kms: prices.kms_signature.of(used.kms.signatures),
        sns: prices.sns_message.of(used.sns.messages),
        total: 0.0,
    }
    .totalled();
    Cost {
        per_billion: by_service.times(1e9 / load.events_per_month),
        month: by_service,
        fixed_monthly: fixed(prices, assumed),
        shards: month.shards,
        shard_limit: month.shard_limit,
        batches: month.batches,
    }
}

/// Milliseconds that an invocation is billed for: its processor time in its memory's share of a core,
/// its waits, and half of what rounding up to the next millisecond adds at most, because times lie
/// anywhere between two of them. A process of ours uses one core at most.
#[must_use]
pub fn billed_ms(function: &FunctionUse, assumed: &Assumptions) -> f64 {
    if function.invocations <= 0.0 {
        return 0.0;
    }
    let share = (function.memory_mib / assumed.core_mib.value).min(1.0);
    let waits = &function.io_waits;
    let waited = waits.kinesis * assumed.kinesis_wait_ms.value
        + waits.dynamodb * assumed.dynamodb_wait_ms.value
        + waits.s3 * assumed.s3_wait_ms.value
        + waits.kms * assumed.kms_wait_ms.value;
    let worked = function.cpu_ms * assumed.graviton_cpu.value / share;
    (worked + waited) / function.invocations + BILLED_MS / 2.0
}

fn gb_seconds(function: &FunctionUse, assumed: &Assumptions) -> f64 {
    let seconds = billed_ms(function, assumed) * function.invocations / 1_000.0;
    seconds * function.memory_mib / GIB_MIB
}

fn lambda(used: &Usage, rates: &Rates) -> f64 {
    let functions = [
        &used.lambda.input,
        &used.lambda.stream,
        &used.lambda.reconcile,
    ];
    let invocations = functions.iter().map(|f| f.invocations).sum();
    let seconds = functions
        .iter()
        .map(|f| gb_seconds(f, &rates.assumed))
        .sum();
    let prices = &rates.prices.prices;
    prices.lambda_request.of(invocations) + prices.lambda_gb_second.of(seconds)
}

fn kinesis(month: &Month, load: &Load, rates: &Rates) -> f64 {
    let (prices, used) = (&rates.prices.prices, &month.usage.kinesis);
    let hours = rates.assumed.hours_per_month.value;
    match load.stream_mode {
        StreamMode::Provisioned => {
            prices.kinesis_shard_hour.of(month.shards * hours)
                + prices.kinesis_put_unit.of(used.put_units)
        }
        StreamMode::OnDemand => {
            // Rounded up to 1 KB each: half a KB more than it is, in the mean.
            let billed = (used.bytes + 512.0 * used.records).max(1_024.0 * used.records);
            prices.kinesis_on_demand_stream_hour.of(hours)
                + prices.kinesis_on_demand_gb_in.of(billed / GB)
                + prices.kinesis_on_demand_gb_out.of(used.bytes / GB)
        }
    }
}

/// Receipts go by themselves; the rest is kept as long as the archive.
fn dynamodb(used: &Usage, load: &Load, rates: &Rates) -> f64 {
    let prices = &rates.prices.prices;
    let stored = used.dynamodb.stored_bytes;
    let receipts = stored.min(used.api.requests * rates.assumed.receipt_bytes.value);
    let byte_months =
        receipts * load.months(load.receipt_days) + (stored - receipts) * load.retention_months;
    prices.dynamodb_write_unit.of(used.dynamodb.write_units)
        + prices.dynamodb_read_unit.of(used.dynamodb.read_units)
        + prices.dynamodb_gb_month.of(byte_months / GB)
        + prices.dynamodb_pitr_gb_month.of(byte_months / GB)
}

/// Storage as it is when the platform has run for as long as things are kept: segments until they are
/// swept, the windows' files until the day's replace them, both as noncurrent versions for the shorter of two rules
/// after that, and the archive.
fn s3(used: &Usage, load: &Load, rates: &Rates) -> f64 {
    let prices = &rates.prices.prices;
    let swept_days = load.swept_days.min(load.noncurrent_days);
    let segments = load.months(load.segment_days + swept_days);
    let windows = load.months(rates.assumed.compact_days.value + swept_days);
    let windows = windows * rates.assumed.windows_bytes_share.value;
    let byte_months = used.s3.segment_bytes * segments
        + used.s3.archive_bytes * (windows + load.retention_months);
    prices.s3_put.of(used.s3.puts)
        + prices.s3_get.of(used.s3.gets)
        + prices.s3_gb_month.of(byte_months / GB)
}

fn logs(used: &Usage, rates: &Rates) -> f64 {
    let gb = used.logs.bytes / GB;
    rates.prices.prices.log_gb.of(gb)
        + rates
            .prices
            .prices
            .log_gb_month
            .of(gb * rates.assumed.logs_compressed.value)
}

fn fixed(prices: &PriceList, assumed: &Assumptions) -> Fixed {
    let runs = assumed.scheduled_runs_per_month.value;
    let seconds = runs * assumed.scheduled_run_ms.value / 1_000.0;
    let parts = Fixed {
        alarms: prices.alarm_month.of(assumed.alarms.value),
        dashboards: prices.dashboard_month.of(assumed.dashboards.value),
        metrics: prices.metric_month.of(assumed.metrics.value),
        kms_key: prices.kms_key_month.of(assumed.keys.value),
        scheduled_runs: prices.lambda_request.of(runs)
            + prices
                .lambda_gb_second
                .of(seconds * assumed.scheduled_run_gib.value)
            + prices
                .dynamodb_read_unit
                .of(runs * assumed.scheduled_run_read_units.value)
            + prices
                .dynamodb_write_unit
                .of(runs * assumed.scheduled_run_write_units.value)
            + prices.s3_put.of(runs * assumed.scheduled_run_puts.value),
        total: 0.0,
    };
    Fixed {
        total: parts.alarms
            + parts.dashboards
            + parts.metrics
            + parts.kms_key
            + parts.scheduled_runs,
        ..parts
    }
}
