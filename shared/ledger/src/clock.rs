//! The machine's clock: each function's `handler.rs` reads it and hands the time on.

use crate::time::Millis;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time now.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
