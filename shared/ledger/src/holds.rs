//! Which times of a tenant no seal closes yet: windows that did not add up for so long that later
//! ones were sealed before them.

use crate::chain::{ChainHead, HeldWindows};
use crate::ids::TenantId;
use crate::ports::PortError;
use crate::time::Window;

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
    async fn held_items(&self, tenant: &TenantId) -> Result<Vec<Window>, PortError>;

    /// The windows that a chain with this head holds; of one that has moved since then, those that it holds by now.
    async fn held_windows(
        &self,
        tenant: &TenantId,
        head: &ChainHead,
    ) -> Result<Vec<Window>, PortError> {
        match &head.held {
            HeldWindows::Listed { passed_over } => Ok(passed_over.clone()),
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
