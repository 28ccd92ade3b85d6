//! How much of a tenant's envelopes, events and bytes was received in each day (UTC), from the accounts of its windows.
//!
//! Accounts are drawn up of receipts and kept for good, so that nothing is written for this. Counted is what was taken,
//! and what a playback sends again as well: envelopes that were refused have no receipt.

use crate::account::{WindowAccount, WindowState};
use crate::time::Millis;
use std::cmp::Reverse;

/// The length of a day, milliseconds.
pub const DAY_MILLIS: i64 = 86_400_000;

/// What was received in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayTraffic {
    /// The day's first instant, UTC.
    pub start: Millis,
    /// Envelopes, with those whose sender got no answer.
    pub requests: u64,
    /// Their events, whatever became of each.
    pub events: u64,
    /// Those of them that failed validation.
    pub rejected: u64,
    /// Bytes of the bodies of envelopes that were answered, after decompression.
    pub bytes: u64,
    /// Whether the day is sealed and each of its windows adds up, so that these figures stay.
    pub is_final: bool,
}

/// The days that touch `[from, to)`, oldest first. `accounts` are those of windows that touch these days, in any order:
/// where the length of windows changed, a longer one counts and not the shorter ones within it. A window that received
/// nothing has no account. What was received before `through` is sealed, and was so before the accounts were read.
#[must_use]
pub fn by_day(
    accounts: &[WindowAccount],
    (from, to): (Millis, Millis),
    through: Millis,
) -> Vec<DayTraffic> {
    let mut accounts: Vec<&WindowAccount> = accounts.iter().collect();
    accounts.sort_by_key(|account| (account.start, Reverse(account.end)));
    let mut counted_through = Millis(i64::MIN);
    accounts.retain(|account| {
        let is_new = account.start >= counted_through;
        counted_through = counted_through.max(account.end);
        is_new
    });
    let first = from.0.div_euclid(DAY_MILLIS);
    let last = to.0.saturating_sub(1).div_euclid(DAY_MILLIS);
    let day = |number: i64| {
        let (start, end) = (
            Millis(number * DAY_MILLIS),
            Millis((number + 1) * DAY_MILLIS),
        );
        let of_day = accounts
            .iter()
            .filter(|a| start <= a.start && a.start < end);
        let mut day = DayTraffic {
            start,
            ..DayTraffic::default()
        };
        let mut are_complete = true;
        for account in of_day {
            day.requests += account.received.envelopes;
            day.events += account.received.tally.events;
            day.rejected += account.received.tally.rejected;
            day.bytes += account.received.bytes;
            are_complete &= account.state == WindowState::Complete;
        }
        day.is_final = are_complete && through >= end;
        day
    };
    (first..=last).map(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::ReceivedSide;
    use crate::frame::Tally;

    const HOUR: i64 = 3_600_000;

    fn account(start: i64, hours: i64, events: u64, state: WindowState) -> WindowAccount {
        let tally = Tally {
            events,
            rejected: 1,
            ..Tally::default()
        };
        WindowAccount {
            start: Millis(start),
            end: Millis(start + hours * HOUR),
            state,
            received: ReceivedSide {
                envelopes: 2,
                unacknowledged: 0,
                bytes: 100,
                tally,
            },
            stored_side: tally,
            dispositions: None,
            missing_count: 0,
            missing: Vec::new(),
            held_since: None,
            computed_at: Millis(0),
        }
    }

    fn hours(day: i64, state: WindowState) -> Vec<WindowAccount> {
        (0..24)
            .map(|hour| account(day * DAY_MILLIS + hour * HOUR, 1, 3, state))
            .collect()
    }

    #[test]
    fn a_day_is_the_sum_of_its_windows_and_final_when_all_add_up() {
        let mut accounts = hours(1, WindowState::Complete);
        accounts.extend(hours(2, WindowState::Complete));
        accounts[30].state = WindowState::Incomplete;
        accounts.extend(hours(3, WindowState::Complete).into_iter().take(5));
        let range = (Millis(DAY_MILLIS + 7), Millis(4 * DAY_MILLIS));
        let days = by_day(&accounts, range, Millis(3 * DAY_MILLIS + 5 * HOUR));
        let whole = DayTraffic {
            start: Millis(DAY_MILLIS),
            requests: 48,
            events: 72,
            rejected: 24,
            bytes: 2_400,
            is_final: true,
        };
        assert_eq!(days[0], whole);
        let shown: Vec<(u64, bool)> = days.iter().map(|d| (d.events, d.is_final)).collect();
        assert_eq!(shown, [(72, true), (72, false), (15, false)]);
    }

    #[test]
    fn windows_that_received_nothing_have_no_account_and_a_day_is_final_when_it_is_sealed() {
        let accounts: Vec<WindowAccount> = hours(2, WindowState::Complete).split_off(20);
        let range = (Millis(DAY_MILLIS), Millis(4 * DAY_MILLIS));
        let days = by_day(&accounts, range, Millis(3 * DAY_MILLIS));
        let shown: Vec<(u64, bool)> = days.iter().map(|d| (d.events, d.is_final)).collect();
        assert_eq!(shown, [(0, true), (12, true), (0, false)]);
    }

    #[test]
    fn windows_of_another_length_are_not_counted_twice() {
        let mut accounts = hours(1, WindowState::Complete);
        accounts.push(account(DAY_MILLIS, 4, 12, WindowState::Complete));
        let days = by_day(
            &accounts,
            (Millis(DAY_MILLIS), Millis(2 * DAY_MILLIS)),
            Millis(2 * DAY_MILLIS),
        );
        assert_eq!((days.len(), days[0].events), (1, 72));
        assert!(days[0].is_final);
    }
}
