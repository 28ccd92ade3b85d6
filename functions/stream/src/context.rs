//! The only reader of the environment and builder of clients.

use crate::{Ports, Settings};
use vernier_ledger::aws::{self, Bucket, Table};
use vernier_ledger::environment::{number, text};

/// What lives as long as the process.
#[derive(Debug)]
pub struct Context<T = Table, O = Bucket> {
    /// Stores.
    pub ports: Ports<T, O>,
    /// Settings.
    pub settings: Settings,
}

impl Context {
    /// Reads `VERNIER_TABLE`, `VERNIER_BUCKET` and `VERNIER_RECEIPT_DAYS`, and the ordinary AWS
    /// environment.
    ///
    /// # Errors
    /// Names the variable that is missing or misshapen.
    pub async fn from_env() -> Result<Self, String> {
        let (table, bucket) = (text("VERNIER_TABLE")?, text("VERNIER_BUCKET")?);
        let settings = Settings {
            receipt_days: number("VERNIER_RECEIPT_DAYS")?,
        };
        let config = aws::config().await;
        let ports = Ports {
            table: Table::new(&config, table),
            objects: Bucket::new(&config, bucket),
        };
        Ok(Self { ports, settings })
    }
}
