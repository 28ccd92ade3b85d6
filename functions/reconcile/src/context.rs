//! The only reader of the environment and builder of clients.

use crate::compaction::{COMPACT_BYTES_MAX, Compacting};
use crate::playbacks::Wires;
use crate::scaling::{Policy, Scaler};
use crate::sealing::Workshop;
use crate::sweeping::Sweeping;
use crate::{Ports, ReceiptDays, Settings};
use std::time::Duration;
use vernier_aws::environment::{number, text, text_or};
use vernier_aws::{Bucket, KinesisMetrics, KinesisStream, KmsKey, Table, Topic};
use vernier_ledger::access::{Authenticator, LookUps};
use vernier_ledger::metrics::Metrics;
use vernier_ledger::schema::SchemaCache;
use vernier_web::AllowedOrigins;

const DAY_SECONDS: i64 = 86_400;

/// What lives as long as the process.
#[derive(Debug)]
pub struct Context<T = Table, O = Bucket, N = Topic, K = KmsKey, S = KinesisStream> {
    /// Stores.
    pub ports: Ports<T, O, N>,
    /// Token look-ups.
    pub authenticator: Authenticator<T>,
    /// Where frames go that are brought back.
    pub stream: S,
    /// How long their receipts are kept.
    pub receipt_days: ReceiptDays,
    /// Tenants' own event types, for what is judged again.
    pub schemas: SchemaCache<T>,
    /// What sealing needs.
    pub workshop: Workshop<K>,
    /// Settings.
    pub settings: Settings,
    /// When days are compacted.
    pub compacting: Compacting,
    /// When what may go.
    pub sweeping: Sweeping,
    /// What a run found and did, counted.
    pub metrics: Metrics,
    /// Whose pages may ask.
    pub origins: AllowedOrigins,
}

impl<T, O, N, K, S> Context<T, O, N, K, S> {
    /// What playbacks need of it.
    pub const fn wires(&self) -> Wires<'_, T, O, S> {
        Wires {
            table: &self.ports.table,
            objects: &self.ports.objects,
            stream: &self.stream,
            schemas: &self.schemas,
            intake: vernier_intake::Settings {
                receipt_days: self.receipt_days.0,
            },
            new_receipt: vernier_intake::new_receipt,
        }
    }
}

impl Context {
    /// Reads `VERNIER_TABLE`, `VERNIER_BUCKET`, `VERNIER_TOPIC_ARN`, `VERNIER_WINDOW_SECONDS`
    /// (whole minutes), `VERNIER_GRACE_SECONDS`, `VERNIER_SEAL_KEY`, `VERNIER_LOOKBACK_SECONDS`,
    /// `VERNIER_HOLD_SECONDS`, `VERNIER_COMPACT_AFTER_HOURS`,
    /// `VERNIER_REMOVE_COMPACTED_AFTER_HOURS`, `VERNIER_STREAM`, `VERNIER_RECEIPT_DAYS`,
    /// `VERNIER_SEGMENT_DAYS`, `VERNIER_RECORD_AGE_SECONDS`, `VERNIER_TOKEN_CACHE_SECONDS` and
    /// `VERNIER_UNKNOWN_TOKENS_PER_MINUTE`, `VERNIER_METRICS` (the metrics' namespace) and
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
        let window_seconds: u32 = number("VERNIER_WINDOW_SECONDS")?;
        if window_seconds == 0 || !window_seconds.is_multiple_of(60) {
            return Err(format!(
                "VERNIER_WINDOW_SECONDS is {window_seconds}, not a multiple of 60"
            ));
        }
        let ttl = Duration::from_secs(number("VERNIER_TOKEN_CACHE_SECONDS")?);
        let look_ups = LookUps {
            trusted: ttl,
            unknown_per_minute: number("VERNIER_UNKNOWN_TOKENS_PER_MINUTE")?,
        };
        let settings = Settings {
            window_minutes: window_seconds / 60,
            grace_seconds: number("VERNIER_GRACE_SECONDS")?,
        };
        let key = text("VERNIER_SEAL_KEY")?;
        let times = (
            number("VERNIER_LOOKBACK_SECONDS")?,
            number("VERNIER_HOLD_SECONDS")?,
        );
        let hours = |name| number::<u32>(name).map(|hours| i64::from(hours) * 3_600);
        let compacting = Compacting {
            compact_after_seconds: hours("VERNIER_COMPACT_AFTER_HOURS")?,
            remove_after_seconds: hours("VERNIER_REMOVE_COMPACTED_AFTER_HOURS")?,
            bytes_max: COMPACT_BYTES_MAX,
        };
        let sweeping = Sweeping {
            segment_seconds: number::<i64>("VERNIER_SEGMENT_DAYS")? * DAY_SECONDS,
            trigger_seconds: number::<i64>("VERNIER_RECORD_AGE_SECONDS")? + DAY_SECONDS,
        };
        let stream = text("VERNIER_STREAM")?;
        let receipt_days = ReceiptDays(number("VERNIER_RECEIPT_DAYS")?);
        let config = vernier_aws::config().await.map_err(|e| e.to_string())?;
        let table = Table::new(&config, table);
        Ok(Self {
            ports: Ports {
                table: table.clone(),
                objects: Bucket::new(&config, bucket),
                notices: Topic::new(&config, topic),
            },
            authenticator: Authenticator::new(table.clone(), look_ups),
            schemas: SchemaCache::new(table, ttl),
            stream: KinesisStream::new(&config, stream),
            receipt_days,
            workshop: Workshop::new(KmsKey::new(&config, key), std::env::temp_dir(), times),
            settings,
            compacting,
            sweeping,
            metrics: Metrics::to_log(text_or("VERNIER_METRICS", Metrics::NAMESPACE)),
            origins: AllowedOrigins::parse(&text_or("VERNIER_ALLOWED_ORIGINS", ""))?,
        })
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
    match text("VERNIER_SCALE_SHARDS").as_deref() {
        Ok("on") => {}
        Ok("off") | Err(_) => return Ok(None),
        Ok(other) => return Err(format!("VERNIER_SCALE_SHARDS is {other:?}, not on or off")),
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
