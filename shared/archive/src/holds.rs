//! Which times of a tenant no seal closes yet.

use crate::seal::{Hex32, HoldsMark};
use std::collections::BTreeMap;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::time::{Millis, Window};

/// What the windows and idle runs of a chain have closed, as far as it was followed.
#[derive(Debug, Clone, Default)]
pub struct ClosedTimes {
    /// End of each range by its start; ranges that touch are one.
    ranges: BTreeMap<Millis, Millis>,
}

impl ClosedTimes {
    /// Takes a window or an idle run.
    pub fn close(&mut self, window: Window) {
        let Window { mut start, mut end } = window;
        // What touches it becomes one with it.
        while let Some((from, to)) = self.ranges.range(..=end).next_back() {
            let (from, to) = (*from, *to);
            if to < start {
                break;
            }
            (start, end) = (start.min(from), end.max(to));
            self.ranges.remove(&from);
        }
        self.ranges.insert(start, end);
    }

    /// The times between the first start and the latest end that are not closed, ascending.
    pub fn holds(&self) -> impl Iterator<Item = Window> {
        let starts = self.ranges.keys().skip(1);
        let holds = self.ranges.values().zip(starts);
        holds.map(|(end, start)| Window {
            start: *end,
            end: *start,
        })
    }

    /// What a seal says of them.
    #[must_use]
    pub fn mark(&self) -> HoldsMark {
        HoldsMark::of(self.holds())
    }
}

impl HoldsMark {
    /// What a seal says of times that are open, which are in their order and do not touch.
    pub fn of(open: impl IntoIterator<Item = Window>) -> Self {
        let holds: Vec<String> = { open.into_iter() }
            .map(|hold| format!("[{},{}]", hold.start.0, hold.end.0))
            .collect();
        Self {
            ranges: holds.len() as u64,
            sha256: Hex32(Fingerprint::of(format!("[{}]", holds.join(",")).as_bytes()).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vernier_ledger::holds::OpenTimes;

    fn window((start, minutes): (i64, i64)) -> Window {
        Window {
            start: Millis(start * 60_000),
            end: Millis((start + minutes) * 60_000),
        }
    }

    #[test]
    fn nothing_held_is_an_empty_list() {
        let mark = ClosedTimes::default().mark();
        assert_eq!(mark.ranges, 0);
        assert_eq!(
            mark.sha256.to_string(),
            "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
        );
    }

    #[test]
    fn a_hold_is_there_until_its_window_is_closed() {
        let mut closed = ClosedTimes::default();
        for at in [0, 2, 3, 5] {
            closed.close(window((at, 1)));
        }
        let holds: Vec<Window> = closed.holds().collect();
        assert_eq!(holds, [window((1, 1)), window((4, 1))]);
        let text = b"[[60000,120000],[240000,300000]]";
        assert_eq!(closed.mark().sha256.0, Fingerprint::of(text).0);
        closed.close(window((1, 1)));
        assert_eq!(closed.holds().collect::<Vec<_>>(), [window((4, 1))]);
    }

    proptest! {
        /// A chain's head and its held windows say the same as the windows that were closed.
        #[test]
        fn held_windows_are_what_is_not_closed(order in Just((0i64..24).collect::<Vec<i64>>()).prop_shuffle(), held in 0usize..20) {
            let (held, closed) = order.split_at(held);
            let mut times = ClosedTimes::default();
            let mut open = OpenTimes { held: held.iter().map(|at| window((*at, 1))).collect(), closed: None };
            for at in closed {
                times.close(window((*at, 1)));
                open = open.without(window((*at, 1)));
            }
            prop_assert_eq!(HoldsMark::of(open.ranges()), times.mark());
            for at in held {
                times.close(window((*at, 1)));
                open = open.without(window((*at, 1)));
                prop_assert_eq!(HoldsMark::of(open.ranges()), times.mark());
            }
            prop_assert_eq!(open.held, []);
        }

        /// The order in which windows are closed says nothing.
        #[test]
        fn holds_are_the_minutes_that_are_in_no_window(windows in proptest::collection::vec((0i64..60, 1i64..5), 1..20)) {
            let mut closed = ClosedTimes::default();
            windows.iter().for_each(|w| closed.close(window(*w)));
            let is_closed = |minute: i64| windows.iter().any(|(start, count)| (*start..start + count).contains(&minute));
            let first = windows.iter().map(|w| w.0).min().unwrap_or(0);
            let end = windows.iter().map(|w| w.0 + w.1).max().unwrap_or(0);
            let open: Vec<i64> = (first..end).filter(|minute| !is_closed(*minute)).collect();
            let held: Vec<i64> = closed.holds().flat_map(|hold| hold.start.0 / 60_000..hold.end.0 / 60_000).collect();
            prop_assert_eq!(held, open);
            let holds: Vec<Window> = closed.holds().collect();
            prop_assert!(holds.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
