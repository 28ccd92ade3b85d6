//! Windows that did not add up when they were to be sealed, and which times of a tenant no seal closes yet.
//!
//! A hold begins when the chain passes its window, and ends with the window's seal. Its clock starts once, when nothing
//! that is missing can still come by itself, and runs whatever is brought back meanwhile; an operator can end the hold
//! before the clock does.

use crate::chain::{ChainHead, HeldWindows};
use crate::ids::TenantId;
use crate::ports::PortError;
use crate::time::{Millis, Window};
use serde::{Deserialize, Serialize};

/// A window that a chain holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldWindow {
    /// The window that no seal closes yet.
    #[serde(flatten)]
    pub window: Window,
    /// When the hold's clock started: the first record of every missing slice was behind its shard's cursor, or the
    /// stream had forgotten it. None while something may still come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
    /// Why an operator ended the hold, in the operator's words; none where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a hold is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldEnd {
    /// Its clock has run for as long as windows are held.
    Time,
    /// An operator ended it.
    Operator,
}

impl HeldWindow {
    /// The hold of a window that the chain passes, before anything is known of what is missing.
    #[must_use]
    pub const fn of(window: Window) -> Self {
        Self {
            window,
            since: None,
            reason: None,
        }
    }

    /// The hold with its clock started; a clock that runs is left alone.
    #[must_use]
    pub fn started(&self, now: Millis) -> Self {
        Self {
            since: self.since.or(Some(now)),
            ..self.clone()
        }
    }

    /// The hold as an operator ended it.
    #[must_use]
    pub fn ended(&self, reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..self.clone()
        }
    }

    /// When the clock will have run for so many seconds; none while it does not run.
    #[must_use]
    pub fn over_at(&self, hold_seconds: i64) -> Option<Millis> {
        self.since.map(|since| since.plus_seconds(hold_seconds))
    }

    /// Why the window may be sealed although something of it is missing; none while it may not.
    #[must_use]
    pub fn end(&self, hold_seconds: i64, now: Millis) -> Option<HoldEnd> {
        if self.reason.is_some() {
            return Some(HoldEnd::Operator);
        }
        let over_at = self.over_at(hold_seconds)?;
        (now >= over_at).then_some(HoldEnd::Time)
    }
}

/// What of a chain's time is open before its next seal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenTimes {
    /// Windows that the chain holds.
    pub held: Vec<Window>,
    /// From the first instant that a seal closed to the last; none before the first seal.
    pub closed: Option<Window>,
}

impl OpenTimes {
    /// As it is once a seal has closed a time.
    #[must_use]
    pub fn without(&self, closing: Window) -> Self {
        let held = self.held.iter().copied();
        let closed = self.closed.map_or(closing, |closed| Window {
            start: closed.start.min(closing.start),
            end: closed.end.max(closing.end),
        });
        Self {
            held: held.filter(|window| *window != closing).collect(),
            closed: Some(closed),
        }
    }

    /// The longest ranges of time that no seal closes, between the first instant that one closed and
    /// the last, in their order.
    #[must_use]
    pub fn ranges(&self) -> Vec<Window> {
        let within = |window: &&Window| {
            let closed = self.closed;
            closed.is_some_and(|closed| closed.start <= window.start && window.end <= closed.end)
        };
        let mut held: Vec<Window> = self.held.iter().filter(within).copied().collect();
        held.sort_unstable();
        let mut ranges: Vec<Window> = Vec::new();
        for window in held {
            match ranges.last_mut() {
                Some(last) if last.end == window.start => last.end = window.end,
                _ => ranges.push(window),
            }
        }
        ranges
    }
}

/// Windows that chains hold.
#[allow(async_fn_in_trait)]
pub trait Holds {
    /// Windows of a tenant that are items of their own, by their beginning, read consistently.
    async fn held_items(&self, tenant: &TenantId) -> Result<Vec<HeldWindow>, PortError>;

    /// Puts `next` in the place of the item that was seen, which is of the same window. False where the item is neither of
    /// the two, or is gone because a seal closed its window: then nothing is changed. Durable on return.
    async fn change_held(
        &self,
        tenant: &TenantId,
        seen: &HeldWindow,
        next: &HeldWindow,
    ) -> Result<bool, PortError>;

    /// The windows that a chain with this head holds; of one that has moved since then, those that it holds by now.
    async fn held_windows(
        &self,
        tenant: &TenantId,
        head: &ChainHead,
    ) -> Result<Vec<HeldWindow>, PortError> {
        match &head.held {
            HeldWindows::Listed { passed_over } => {
                Ok(passed_over.iter().copied().map(HeldWindow::of).collect())
            }
            HeldWindows::Items { held: 0, .. } => Ok(Vec::new()),
            HeldWindows::Items { .. } => self.held_items(tenant).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::tests::window;

    #[test]
    fn a_clock_starts_once_and_an_operator_need_not_wait_for_it() {
        let held = HeldWindow::of(window(1));
        assert_eq!(held.end(60, Millis(i64::MAX)), None, "the clock stands");
        let started = held.started(Millis(5_000));
        assert_eq!(started.started(Millis(9_000)), started);
        assert_eq!(started.over_at(60), Some(Millis(65_000)));
        assert_eq!(started.end(60, Millis(64_999)), None);
        assert_eq!(started.end(60, Millis(65_000)), Some(HoldEnd::Time));
        let ended = held.ended("the sensor is gone".to_owned());
        assert_eq!(ended.end(60, Millis(0)), Some(HoldEnd::Operator));
    }

    /// What an earlier release wrote is a window alone.
    #[test]
    fn held_windows_are_read_as_they_are_written() {
        let old = r#"{"start":60000,"end":120000}"#;
        let held: HeldWindow = serde_json::from_str(old).expect("reads");
        assert_eq!(held, HeldWindow::of(window(1)));
        assert_eq!(serde_json::to_string(&held).expect("JSON"), old);
        let ended = held.started(Millis(7)).ended("gone".to_owned());
        let text = serde_json::to_string(&ended).expect("JSON");
        assert_eq!(serde_json::from_str::<HeldWindow>(&text).ok(), Some(ended));
    }

    #[test]
    fn what_is_held_before_the_first_closed_instant_or_behind_the_last_is_no_hold() {
        let held = vec![window(9), window(1), window(2), window(5), window(4)];
        let open = OpenTimes { held, closed: None };
        assert_eq!(open.ranges(), []);
        let open = open
            .without(window(3))
            .without(window(6))
            .without(window(4));
        assert_eq!(open.ranges(), [window(5)]);
        assert_eq!(open.without(window(10)).ranges(), [window(5), window(9)]);
    }
}
