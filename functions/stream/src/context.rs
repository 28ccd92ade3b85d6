//! The only reader of the environment and builder of clients.

use crate::{ProcessMemory, Settings};
use vernier_aws::environment::{number, text, text_or, window_times};
use vernier_aws::{Bucket, Table};
use vernier_ledger::metrics::Metrics;
use vernier_ledger::stores::{StoreSet, Stores};
use vernier_ledger::work::Nonce;

/// The function's stores on AWS.
pub type AwsStores = StoreSet<Table, Bucket>;

/// What lives as long as the process.
#[derive(Debug)]
pub struct Context<S: Stores = AwsStores> {
    /// The table and the bucket.
    pub stores: S,
    /// How long receipts are kept, and how large blocks are cut.
    pub settings: Settings,
    /// What this process knows of what it did.
    pub memory: ProcessMemory,
    /// What was done, counted.
    pub metrics: Metrics,
}

impl Context {
    /// Reads `VERNIER_TABLE`, `VERNIER_BUCKET`, `VERNIER_RECEIPT_DAYS` and the times of windows
    /// ([`window_times`]), `VERNIER_METRICS` (the metrics' namespace) if it is there, and the ordinary AWS environment.
    ///
    /// # Errors
    /// Names the variable that is missing or misshapen.
    pub async fn from_env() -> Result<Self, String> {
        let (table, bucket) = (text("VERNIER_TABLE")?, text("VERNIER_BUCKET")?);
        let settings = Settings::keeping(number("VERNIER_RECEIPT_DAYS")?);
        let memory = ProcessMemory::new(window_times()?, Nonce::random);
        let config = vernier_aws::config().await.map_err(|e| e.to_string())?;
        let stores = StoreSet::new(Table::new(&config, table), Bucket::new(&config, bucket));
        let metrics = Metrics::to_log(text_or("VERNIER_METRICS", Metrics::NAMESPACE));
        Ok(Self {
            stores,
            settings,
            memory,
            metrics,
        })
    }
}
