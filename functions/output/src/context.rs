//! The only reader of the environment and builder of clients.

use crate::filter_memory::FilterMemory;
use crate::insights::Insights;
use std::time::Duration;
use vernier_aws::environment::{number, text, text_or};
use vernier_aws::{Bucket, Table};
use vernier_ledger::access::{Authenticator, LookUps};
use vernier_ledger::stores::{StoreSet, Stores};
use vernier_web::AllowedOrigins;

/// The function's stores on AWS.
pub type AwsStores = StoreSet<Table, Bucket>;

/// What lives as long as the process.
#[derive(Debug)]
pub struct Context<S: Stores = AwsStores> {
    /// The table and the bucket.
    pub stores: S,
    /// Finds the identity behind a token.
    pub authenticator: Authenticator<S::Table>,
    /// The files of Insights, the web page.
    pub insights: Insights,
    /// Whose pages may ask.
    pub origins: AllowedOrigins,
    /// Filters that earlier requests read.
    pub filters: FilterMemory,
}

impl Context {
    /// Reads `VERNIER_TABLE`, `VERNIER_BUCKET`, `VERNIER_TOKEN_CACHE_SECONDS` and
    /// `VERNIER_UNKNOWN_TOKENS_PER_MINUTE`, `VERNIER_ALLOWED_ORIGINS` if it is there, and the ordinary AWS
    /// environment.
    ///
    /// # Errors
    /// Names the variable that is missing or misshapen.
    pub async fn from_env() -> Result<Self, String> {
        let (table, bucket) = (text("VERNIER_TABLE")?, text("VERNIER_BUCKET")?);
        let ttl = Duration::from_secs(number("VERNIER_TOKEN_CACHE_SECONDS")?);
        let look_ups = LookUps {
            trusted: ttl,
            unknown_per_minute: number("VERNIER_UNKNOWN_TOKENS_PER_MINUTE")?,
        };
        let config = vernier_aws::config().await.map_err(|e| e.to_string())?;
        let table = Table::new(&config, table);
        Ok(Self {
            stores: StoreSet::new(table.clone(), Bucket::new(&config, bucket)),
            authenticator: Authenticator::new(table, look_ups),
            insights: insights()?,
            origins: AllowedOrigins::parse(&text_or("VERNIER_ALLOWED_ORIGINS", ""))?,
            filters: FilterMemory::default(),
        })
    }
}

/// The page, from the folder `page` beside the executable.
fn insights() -> Result<Insights, String> {
    let named = |error: std::io::Error| format!("the page's files: {error}");
    let own = std::env::current_exe().map_err(named)?;
    let folder = own.with_file_name("page");
    Insights::read(&folder).map_err(named)
}
