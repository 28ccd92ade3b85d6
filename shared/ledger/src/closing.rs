//! When a window is closed, and what comes too late for it.

use crate::ids::TenantId;
use crate::live::CLOCK_SKEW_SECONDS_MAX;
use crate::time::{Millis, Window};
use crate::work::close_due;

/// What is committed so long after its window's end is late, seconds: its window is looked at again.
pub const LATE_SECONDS: i64 = 60;

/// How windows are cut, how long they may take to add up, and how far the functions' clocks may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowTimes {
    /// Length of a window, minutes.
    pub window_minutes: u32,
    /// How long after its end a window may take to add up, seconds.
    pub grace_seconds: i64,
    /// How far two clocks may differ, seconds.
    pub skew_seconds: i64,
}

impl WindowTimes {
    /// Makes the times of clocks that differ by [`CLOCK_SKEW_SECONDS_MAX`] at most.
    #[must_use]
    pub const fn new(window_minutes: u32, grace_seconds: i64) -> Self {
        Self {
            window_minutes,
            grace_seconds,
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
}
