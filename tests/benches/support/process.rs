//! A process that works as the template sets it up.

use crate::settings::{GRACE_SECONDS, WINDOW_MINUTES};
use std::time::Duration;
use vernier_intake::SpreadKeeper;
use vernier_ledger::ports::Schemas;
use vernier_ledger::salt::SaltKey;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::spread::Spread;
use vernier_ledger::work::Nonce;
use vernier_reconcile::process::Process;
use vernier_reconcile::sealing::{SealingTimes, Workshop};
use vernier_tests::memory::open_windows;

/// How far back first occurrences are looked for, seconds.
const LOOKBACK_SECONDS: i64 = 86_400;

/// Makes a process over a table, whose windows are held for so many seconds when they do not add up.
pub(crate) fn process<T: Schemas>(table: T, hold_seconds: i64) -> Process<T> {
    let times = SealingTimes {
        lookback_seconds: LOOKBACK_SECONDS,
        hold_seconds,
    };
    Process {
        workshop: Workshop::new(std::env::temp_dir(), times),
        schemas: SchemaCache::new(table, Duration::from_secs(60)),
        new_receipt: Spread::new_receipt,
        new_salt_key: SaltKey::random,
        spreads: SpreadKeeper::default(),
        new_nonce: Nonce::random,
        windows: open_windows(WINDOW_MINUTES, GRACE_SECONDS),
    }
}
