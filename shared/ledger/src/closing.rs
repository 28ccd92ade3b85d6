//! When a window is closed, and what comes too late for it.

use crate::ids::TenantId;
use crate::live::CLOCK_SKEW_SECONDS_MAX;
use crate::time::{Millis, Window};
use crate::work::close_due;

/// What is committed so long after its window's end is late, seconds: its window is looked at again.
pub const LATE_SECONDS: i64 = 60;

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
}

impl WindowTimes {
    /// Makes the times of clocks that differ by [`CLOCK_SKEW_SECONDS_MAX`] at most, and of batches that take a minute at
    /// most.
    #[must_use]
    pub const fn new(window_minutes: u32, grace_seconds: i64) -> Self {
        Self {
            window_minutes,
            grace_seconds,
            stream_timeout_seconds: STREAM_TIMEOUT_SECONDS,
            skew_seconds: CLOCK_SKEW_SECONDS_MAX,
        }
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
        now.0 > window.end.plus_seconds(LATE_SECONDS).0
    }

    /// When a worker looks for what a batch commits late, put by the batch before it commits: a worker's clock may be as
    /// far ahead of the batch's as two clocks can be of a third. It is [`LATE_SECONDS`] later than that, so that for
    /// so long the entry is good for other batches as well.
    #[must_use]
    pub const fn late_due(&self, now: Millis) -> Millis {
        now.plus_seconds(self.stream_timeout_seconds + 2 * self.skew_seconds + LATE_SECONDS)
    }
}
