//! The machine's clock: each function's `handler.rs` reads it and hands the time on.

use crate::live::CLOCK_SKEW_SECONDS_MAX;
use crate::time::Millis;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time now.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How far this machine's clock is from the stores', by the date on their last answer. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct StoreClock {
    ahead_millis: Arc<AtomicI64>,
}

/// This machine's clock is so wrong that what it receives would go into another window than it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this machine's clock is {ahead_seconds} s ahead of the stores'")]
pub struct WrongClock {
    /// How far it is ahead, seconds; negative where it is behind.
    pub ahead_seconds: i64,
}

impl StoreClock {
    /// Takes the date of an answer, and this machine's time when it came.
    pub fn observe(&self, store: Millis, own: Millis) {
        self.ahead_millis.store(own.0 - store.0, Ordering::Relaxed);
    }

    /// Sees to it that the clocks do not differ by [`CLOCK_SKEW_SECONDS_MAX`], as far as is known:
    /// before the first answer nothing is.
    ///
    /// # Errors
    /// The clock's distance, when it is too far off.
    pub fn check(&self) -> Result<(), WrongClock> {
        let ahead_seconds = self.ahead_millis.load(Ordering::Relaxed) / 1_000;
        if ahead_seconds.abs() < CLOCK_SKEW_SECONDS_MAX {
            return Ok(());
        }
        Err(WrongClock { ahead_seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_from_a_minute_on_in_both_directions() {
        let clock = StoreClock::default();
        assert_eq!(clock.check(), Ok(()));
        let store = Millis(1_795_796_400_000);
        for (ahead_millis, wrong) in [
            (0, None),
            (59_999, None),
            (-59_999, None),
            (60_000, Some(60)),
            (-61_500, Some(-61)),
            (900, None),
        ] {
            clock.clone().observe(store, Millis(store.0 + ahead_millis));
            let found = clock.check().err().map(|wrong| wrong.ahead_seconds);
            assert_eq!(found, wrong, "{ahead_millis} ms");
        }
    }
}
