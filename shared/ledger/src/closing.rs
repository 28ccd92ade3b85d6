//! When a window is closed, and what comes too late for it.

use crate::ids::TenantId;
use crate::live::CLOCK_SKEW_SECONDS_MAX;
use crate::time::{Millis, Window};
use crate::work::close_due;

/// What is committed so long after its window's end is late, unless the stack says something else, seconds.
pub const LATE_SECONDS: i64 = 60;

/// For how long a late entry is good for other commits of the same process, seconds: an entry a minute
/// for each late window and process.
pub const LATE_ENTRY_SECONDS: i64 = 60;

/// How long the stream function has for a batch unless its parameter says something else, seconds.
const STREAM_TIMEOUT_SECONDS: i64 = 60;

/// How windows are cut, how long they may take to add up, and how far the functions' clocks may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowTimes {
    /// Length of a window, minutes.
    pub window_minutes: u32,
    /// How long after its end a window may take to add up, seconds.
    pub grace_seconds: i64,
    /// How long the stream function has for a batch, seconds: what it has not committed then, it never will.
    pub stream_timeout_seconds: i64,
    /// How far two clocks may differ, seconds.
    pub skew_seconds: i64,
    /// What is committed so long after its window's end is late, seconds: its window is looked at again.
    pub late_seconds: i64,
}

/// Why windows cannot be closed by these times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "windows are closed {grace_seconds} s after their end: at least {min_seconds} s, which are {late_seconds} s for what \
     is not late yet, twice the {skew_seconds} s that clocks may differ, and the {stream_timeout_seconds} s of a batch"
)]
pub struct GraceTooShort {
    /// The grace that there is, seconds.
    pub grace_seconds: i64,
    /// The shortest grace with the other times as they are, seconds.
    pub min_seconds: i64,
    /// After what time something is late, seconds.
    pub late_seconds: i64,
    /// How far two clocks may differ, seconds.
    pub skew_seconds: i64,
    /// How long a batch may take, seconds.
    pub stream_timeout_seconds: i64,
}

impl WindowTimes {
    /// Makes the times of clocks that differ by [`CLOCK_SKEW_SECONDS_MAX`] at most, and of batches
    /// that take a minute at most.
    #[must_use]
    pub const fn new(window_minutes: u32, grace_seconds: i64) -> Self {
        Self {
            window_minutes,
            grace_seconds,
            stream_timeout_seconds: STREAM_TIMEOUT_SECONDS,
            skew_seconds: CLOCK_SKEW_SECONDS_MAX,
            late_seconds: LATE_SECONDS,
        }
    }

    /// Sees to it that what is committed of a window without being late is there when the window is closed: the batch
    /// looked at its clock in time, had its whole time after that, and the worker's clock is as far ahead as two clocks
    /// can be of a third.
    ///
    /// # Errors
    /// When the grace is shorter than that.
    pub const fn checked(self) -> Result<Self, GraceTooShort> {
        let Self {
            grace_seconds,
            late_seconds,
            skew_seconds,
            stream_timeout_seconds,
            ..
        } = self;
        let min_seconds = late_seconds + 2 * skew_seconds + stream_timeout_seconds;
        if grace_seconds >= min_seconds {
            return Ok(self);
        }
        Err(GraceTooShort {
            grace_seconds,
            min_seconds,
            late_seconds,
            skew_seconds,
            stream_timeout_seconds,
        })
    }

    /// The window that an instant lies in.
    #[must_use]
    pub fn window(&self, at: Millis) -> Window {
        Window::containing(at, self.window_minutes)
    }

    /// When a tenant's window is to be closed.
    #[must_use]
    pub fn close_due(&self, tenant: &TenantId, window: Window) -> Millis {
        close_due(tenant, window, self.grace_seconds)
    }

    /// Whether what is committed of a window from now on is late. What is not, is there when the window is closed.
    #[must_use]
    pub const fn is_late(&self, window: Window, now: Millis) -> bool {
        now.0 > window.end.plus_seconds(self.late_seconds).0
    }

    /// When a worker looks for what a batch commits late, put by the batch before it commits: a worker's clock may be as
    /// far ahead of the batch's as two clocks can be of a third. It is [`LATE_ENTRY_SECONDS`] later than that, so that
    /// for so long the entry is good for other batches as well.
    #[must_use]
    pub const fn late_due(&self, now: Millis) -> Millis {
        now.plus_seconds(self.stream_timeout_seconds + 2 * self.skew_seconds + LATE_ENTRY_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_that_is_too_short_is_refused_with_what_it_takes() {
        let usual = WindowTimes::new(15, 240);
        assert_eq!(usual.checked(), Ok(usual));
        let refused = WindowTimes::new(15, 239).checked();
        let said = refused.expect_err("too short").to_string();
        for told in [
            "239 s after",
            "at least 240 s",
            "60 s for what",
            "twice the 60 s",
        ] {
            assert!(said.contains(told), "{said}");
        }
        // One machine has one clock.
        let local = WindowTimes {
            window_minutes: 1,
            grace_seconds: 15,
            stream_timeout_seconds: 15,
            skew_seconds: 0,
            late_seconds: 0,
        };
        assert_eq!(local.checked(), Ok(local));
        assert!(
            WindowTimes {
                grace_seconds: 14,
                ..local
            }
            .checked()
            .is_err()
        );
    }
}
