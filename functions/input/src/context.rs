//! The only reader of the environment and builder of clients.

use std::time::Duration;
use vernier_aws::environment::{number, text, text_or, window_times};
use vernier_aws::{Bucket, KinesisStream, Table};
use vernier_intake::{OpenWindows, Settings, SpreadKeeper};
use vernier_ledger::access::{Authenticator, LookUps};
use vernier_ledger::clock::StoreClock;
use vernier_ledger::rates::RateKeeper;
use vernier_ledger::refused::RefusedTally;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::stores::{IntakeStores, StoreSet};
use vernier_ledger::work::Nonce;
use vernier_web::AllowedOrigins;

/// The function's stores on AWS.
pub type AwsStores = StoreSet<Table, Bucket, KinesisStream>;

/// What lives as long as the process.
#[derive(Debug)]
pub struct Context<S: IntakeStores = AwsStores> {
    /// The table, the bucket and the stream.
    pub stores: S,
    /// Finds the identity behind a token.
    pub authenticator: Authenticator<S::Table>,
    /// Tenants' own event types.
    pub schemas: SchemaCache<S::Table>,
    /// What this process has taken of tenants' rates.
    pub rates: RateKeeper,
    /// What this process refused and has not written yet.
    pub refused: RefusedTally,
    /// How long receipts are kept.
    pub settings: Settings,
    /// How far this machine's clock is from the stores'.
    pub store_clock: StoreClock,
    /// Windows whose entries this process has seen in its tenants' work lists.
    pub windows: OpenWindows,
    /// How far this process knows its tenants to have grown.
    pub spreads: SpreadKeeper,
    /// Whose pages may send.
    pub origins: AllowedOrigins,
}

impl Context {
    /// Reads `VERNIER_TABLE`, `VERNIER_STREAM`, `VERNIER_BUCKET`, `VERNIER_TOKEN_CACHE_SECONDS`,
    /// `VERNIER_UNKNOWN_TOKENS_PER_MINUTE`, `VERNIER_RECEIPT_DAYS`, and the times of windows
    /// ([`window_times`]), `VERNIER_ALLOWED_ORIGINS` if it is there, and the ordinary AWS environment.
    ///
    /// # Errors
    /// Names the variable that is missing or misshapen.
    pub async fn from_env() -> Result<Self, String> {
        let (table, stream, bucket) = (
            text("VERNIER_TABLE")?,
            text("VERNIER_STREAM")?,
            text("VERNIER_BUCKET")?,
        );
        let ttl = Duration::from_secs(number("VERNIER_TOKEN_CACHE_SECONDS")?);
        let look_ups = LookUps {
            trusted: ttl,
            unknown_per_minute: number("VERNIER_UNKNOWN_TOKENS_PER_MINUTE")?,
        };
        let settings = Settings {
            receipt_days: number("VERNIER_RECEIPT_DAYS")?,
        };
        let windows = OpenWindows::new(window_times()?, Nonce::random);
        let store_clock = StoreClock::default();
        let observed = vernier_aws::observed_config(&store_clock);
        let config = observed.await.map_err(|e| e.to_string())?;
        let table = Table::new(&config, table);
        Ok(Self {
            stores: StoreSet::new(table.clone(), Bucket::new(&config, bucket))
                .with_stream(KinesisStream::new(&config, stream)),
            authenticator: Authenticator::new(table.clone(), look_ups),
            schemas: SchemaCache::new(table, ttl),
            rates: RateKeeper::default(),
            refused: RefusedTally::default(),
            settings,
            windows,
            spreads: SpreadKeeper::default(),
            store_clock,
            origins: AllowedOrigins::parse(&text_or("VERNIER_ALLOWED_ORIGINS", ""))?,
        })
    }
}
