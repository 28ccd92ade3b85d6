//! The only reader of the environment and builder of clients.

use crate::compaction::{COMPACT_BYTES_MAX, Compacting};
use crate::playbacks::Wires;
use crate::process::{Process, WorkSettings};
use crate::scaling::{Policy, Scaler};
use crate::scratch::{DISK_MIB, ScratchDisk, scratch_bytes_max};
use crate::sealing::{SealingTimes, Workshop};
use crate::sweeping::Sweeping;
use crate::{ReceiptDays, Settings};
use std::time::Duration;
use vernier_aws::environment::{number, text, text_or, window_times};
use vernier_aws::{Bucket, KinesisMetrics, KinesisStream, KmsKey, Queue, Table, Topic};
use vernier_intake::{OpenWindows, SpreadKeeper};
use vernier_ledger::access::{Authenticator, LookUps};
use vernier_ledger::metrics::Metrics;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::stores::{ReconcileStores, StoreSet};
use vernier_ledger::work::Nonce;
use vernier_web::AllowedOrigins;

const DAY_SECONDS: i64 = 86_400;

/// The template's usual `FailureDays`.
const FAILURE_DAYS: i64 = 90;

/// The function's stores on AWS.
pub type AwsStores = StoreSet<Table, Bucket, KinesisStream, Topic, KmsKey, Queue>;

/// What lives as long as the process.
#[derive(Debug)]
pub struct Context<S: ReconcileStores = AwsStores> {
    /// The table, the bucket, the stream, the audit topic, the key and the queue.
    pub stores: S,
    /// Finds the identity behind a token.
    pub authenticator: Authenticator<S::Table>,
    /// What the process keeps from one invocation to the next.
    pub process: Process<S::Table>,
    /// Settings of planner and workers.
    pub settings: WorkSettings,
    /// Where the lines of metrics are written.
    pub metrics: Metrics,
    /// Whose pages may ask.
    pub origins: AllowedOrigins,
}

impl<S: ReconcileStores> Context<S> {
    /// Gives what playbacks read and write.
    pub const fn wires(&self) -> Wires<'_, S> {
        Wires::new(&self.stores, &self.process, self.settings.receipt_days)
    }
}

impl Context {
    /// Reads `VERNIER_TABLE`, `VERNIER_BUCKET`, `VERNIER_TOPIC_ARN`, `VERNIER_QUEUE_URL`,
    /// `VERNIER_WINDOW_SECONDS` (whole minutes), `VERNIER_GRACE_SECONDS`, `VERNIER_SEAL_KEY`, `VERNIER_LOOKBACK_SECONDS`,
    /// `VERNIER_HOLD_SECONDS`, `VERNIER_COMPACT_AFTER_HOURS`,
    /// `VERNIER_REMOVE_COMPACTED_AFTER_HOURS`, `VERNIER_STREAM`, `VERNIER_RECEIPT_DAYS`,
    /// `VERNIER_SEGMENT_DAYS`, `VERNIER_FAILURE_DAYS`, `VERNIER_RECORD_AGE_SECONDS`, `VERNIER_TOKEN_CACHE_SECONDS` and
    /// `VERNIER_UNKNOWN_TOKENS_PER_MINUTE`, `VERNIER_SCRATCH_MIB` (the size of the function's disk), `VERNIER_PAUSE_SEALING` (`on` or `off`), `VERNIER_METRICS` (the metrics' namespace) and
    /// `VERNIER_ALLOWED_ORIGINS` if they are there, and the ordinary AWS environment.
    ///
    /// # Errors
    /// Names the variable that is missing or misshapen.
    pub async fn from_env() -> Result<Self, String> {
        let (table, bucket, topic) = (
            text("VERNIER_TABLE")?,
            text("VERNIER_BUCKET")?,
            text("VERNIER_TOPIC_ARN")?,
        );
        let times = window_times()?;
        let ttl = Duration::from_secs(number("VERNIER_TOKEN_CACHE_SECONDS")?);
        let look_ups = LookUps {
            trusted: ttl,
            unknown_per_minute: number("VERNIER_UNKNOWN_TOKENS_PER_MINUTE")?,
        };
        let windows = Settings {
            window_minutes: times.window_minutes,
            grace_seconds: times.grace_seconds,
        };
        let (key, queue) = (text("VERNIER_SEAL_KEY")?, text("VERNIER_QUEUE_URL")?);
        let sealing = SealingTimes {
            lookback_seconds: number("VERNIER_LOOKBACK_SECONDS")?,
            hold_seconds: number("VERNIER_HOLD_SECONDS")?,
        };
        let hours = |name| number::<u32>(name).map(|hours| i64::from(hours) * 3_600);
        let compacting = Compacting {
            compact_after_seconds: hours("VERNIER_COMPACT_AFTER_HOURS")?,
            remove_after_seconds: hours("VERNIER_REMOVE_COMPACTED_AFTER_HOURS")?,
            bytes_max: COMPACT_BYTES_MAX,
        };
        let sweeping = Sweeping {
            segment_seconds: number::<i64>("VERNIER_SEGMENT_DAYS")? * DAY_SECONDS,
            trigger_seconds: number::<i64>("VERNIER_RECORD_AGE_SECONDS")? + DAY_SECONDS,
            failure_seconds: failure_days()? * DAY_SECONDS,
        };
        let workshop = workshop(sealing)?;
        let stream = text("VERNIER_STREAM")?;
        let receipt_days = ReceiptDays(number("VERNIER_RECEIPT_DAYS")?);
        let config = vernier_aws::config().await.map_err(|e| e.to_string())?;
        let table = Table::new(&config, table);
        Ok(Self {
            stores: StoreSet {
                table: table.clone(),
                objects: Bucket::new(&config, bucket),
                stream: KinesisStream::new(&config, stream),
                notices: Topic::new(&config, topic),
                key: KmsKey::new(&config, key),
                queue: Queue::new(&config, queue),
            },
            authenticator: Authenticator::new(table.clone(), look_ups),
            process: Process {
                workshop,
                schemas: SchemaCache::new(table, ttl),
                new_receipt: Spread::new_receipt,
                new_salt_key: SaltKey::random,
                spreads: SpreadKeeper::default(),
                new_nonce: Nonce::random,
                windows: OpenWindows::new(times, Nonce::random),
            },
            settings: WorkSettings {
                windows,
                receipt_days,
                compacting,
                sweeping,
                paused: switch("VERNIER_PAUSE_SEALING")?,
            },
            metrics: Metrics::to_log(text_or("VERNIER_METRICS", Metrics::NAMESPACE)),
            origins: AllowedOrigins::parse(&text_or("VERNIER_ALLOWED_ORIGINS", ""))?,
        })
    }
}

/// A workshop whose scratch disk is the function's own.
fn workshop(times: SealingTimes) -> Result<Workshop, String> {
    let disk_mib = match text("VERNIER_SCRATCH_MIB") {
        Ok(_) => number("VERNIER_SCRATCH_MIB")?,
        Err(_) => DISK_MIB,
    };
    let root = std::env::temp_dir();
    let mut workshop = Workshop::new(root.clone(), times);
    workshop.scratch = ScratchDisk::new(root, scratch_bytes_max(disk_mib));
    Ok(workshop)
}

/// How long batches that ran out of retries are kept, days.
fn failure_days() -> Result<i64, String> {
    match text("VERNIER_FAILURE_DAYS") {
        Ok(_) => number::<u32>("VERNIER_FAILURE_DAYS").map(i64::from),
        Err(_) => Ok(FAILURE_DAYS),
    }
}

/// Whether a variable says `on`; where it is not there it is off.
fn switch(name: &str) -> Result<bool, String> {
    match text(name).as_deref() {
        Ok("on") => Ok(true),
        Ok("off") | Err(_) => Ok(false),
        Ok(other) => Err(format!("{name} is {other:?}, not on or off")),
    }
}

/// The stream's scaler, where it is switched on.
///
/// Reads `VERNIER_SCALE_SHARDS` (`on` or `off`; off where it is not there) and, if it is on,
/// `VERNIER_SCALE_SHARDS_MIN`, `VERNIER_SCALE_SHARDS_MAX`, `VERNIER_SCALE_DOLLARS_MAX`, `VERNIER_STREAM`
/// and `VERNIER_TABLE`.
///
/// # Errors
/// Names the variable that is missing or misshapen.
pub async fn scaler_from_env()
-> Result<Option<Scaler<KinesisMetrics, KinesisStream, Table>>, String> {
    if !switch("VERNIER_SCALE_SHARDS")? {
        return Ok(None);
    }
    let policy = Policy {
        shards_min: number("VERNIER_SCALE_SHARDS_MIN")?,
        shards_max: number("VERNIER_SCALE_SHARDS_MAX")?,
        dollars_per_month_max: number("VERNIER_SCALE_DOLLARS_MAX")?,
    };
    if policy.shards_min == 0 || policy.shards_max < policy.shards_min {
        return Err(format!(
            "VERNIER_SCALE_SHARDS_MIN is {} and VERNIER_SCALE_SHARDS_MAX is {}: at least 1, and the maximum no less",
            policy.shards_min, policy.shards_max
        ));
    }
    let (stream, table) = (text("VERNIER_STREAM")?, text("VERNIER_TABLE")?);
    let config = vernier_aws::config().await.map_err(|e| e.to_string())?;
    Ok(Some(Scaler {
        metrics: KinesisMetrics::new(&config, &stream),
        shards: KinesisStream::new(&config, &stream),
        log: Table::new(&config, table),
        stream,
        policy,
    }))
}
