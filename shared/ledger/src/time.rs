//! Times are milliseconds since the Unix epoch, UTC; windows are whole minutes of received-at.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How lines had the year before 0.
const YEAR_BEFORE_0: &str = "-000001";

/// From 9999-12-30T22:00:00Z on earlier versions printed an instant as its milliseconds.
const FIRST_IN_DIGITS: Millis = Millis(253_402_207_200_000);

/// The length of the Gregorian calendar's cycle, milliseconds.
const MILLIS_OF_400_YEARS: i64 = 146_097 * 86_400_000;

/// Characters of a text that an error repeats.
const BAD_TIME_CHARACTERS: usize = 80;

/// A text that is no date and time with a zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no time that can be read: {0:?}")]
pub struct BadTime(pub String);

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// The minute that this instant lies in, counted from the epoch.
    #[must_use]
    pub const fn minute(self) -> Minute {
        Minute(self.0.div_euclid(60_000))
    }

    /// The hour that this instant lies in, counted from the epoch.
    #[must_use]
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(3_600_000)
    }

    /// This instant plus (or minus) seconds; stops at the ends of the range.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000)))
    }

    /// RFC 3339 with milliseconds: in UTC, but with the least offset that keeps the year within four
    /// digits where an event's own offset took its instant to the other side of year 0 or 9999. An
    /// instant that no time of an event can mean prints as a number.
    #[must_use]
    pub fn rfc3339(self) -> String {
        vernier_validation::print_instant(self.0).unwrap_or_else(|| self.0.to_string())
    }

    /// Reads a time with any offset: RFC 3339, and what
    /// [`vernier_validation::read_instant`] takes besides.
    ///
    /// # Errors
    /// The text, when it is none of these.
    pub fn parse_rfc3339(text: &str) -> Result<Self, BadTime> {
        vernier_validation::read_instant(text.as_bytes())
            .map(Self)
            .ok_or_else(|| BadTime(text.chars().take(BAD_TIME_CHARACTERS).collect()))
    }

    /// Reads a time of a line, as [`Self::rfc3339`] prints it now or as earlier lines have it: beyond
    /// year 9999 as milliseconds, and in the last day before year 0 as year `-000001`.
    ///
    /// # Errors
    /// The text, when it is none of these.
    pub fn of_line(text: &str) -> Result<Self, BadTime> {
        if let Ok(millis) = text.parse() {
            return Ok(Self(millis));
        }
        match text.strip_prefix(YEAR_BEFORE_0) {
            // The calendar of the year before 0 is that of year 399.
            Some(rest) => Self::parse_rfc3339(&format!("0399{rest}"))
                .map(|at| Self(at.0 - MILLIS_OF_400_YEARS)),
            None => Self::parse_rfc3339(text),
        }
    }

    /// Reads a time of a request that may have been kept by an earlier version, which printed years below 0 as
    /// [`Self::of_line`] says, and digits alone for instants from 9999-12-30T22:00:00Z on. Other digits are no
    /// time: whoever asks from `2026` on means a year.
    ///
    /// # Errors
    /// The text, when it is none of these.
    pub fn of_request(text: &str) -> Result<Self, BadTime> {
        Self::parse_rfc3339(text).or_else(|bad| {
            let kept = Self::of_line(text).ok();
            let was_printed = |at: &Self| text.starts_with(YEAR_BEFORE_0) || *at >= FIRST_IN_DIGITS;
            kept.filter(was_printed).ok_or(bad)
        })
    }

    /// Whether an event that happened then and was received at another instant comes from a clock that
    /// is ahead.
    #[must_use]
    pub const fn is_ahead_of(self, received_at: Self) -> bool {
        vernier_validation::is_ahead(self.0, received_at.0)
    }

    /// `YYYY-MM-DD` and `HH` in UTC, for object keys.
    #[must_use]
    pub fn date_and_hour(self) -> (String, String) {
        let text = self.rfc3339();
        match (text.get(..10), text.get(11..13)) {
            (Some(date), Some(hour)) => (date.to_owned(), hour.to_owned()),
            _ => ("0000-00-00".to_owned(), "00".to_owned()),
        }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// A minute of received-at, counted from the epoch: the grain of receipts and of stored counts,
/// so that the window's length can change without rewriting either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minute(pub i64);

impl Minute {
    /// Its first instant.
    #[must_use]
    pub const fn start(self) -> Millis {
        Millis(self.0 * 60_000)
    }
}

/// Minutes of a [`Slice`]. An hour, which names partitions, is a whole number of them.
pub const SLICE_MINUTES: i64 = 5;

/// Five minutes of received-at, by their first minute: the grain of a tenant's block items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice(Minute);

impl Slice {
    /// The slice that a minute lies in.
    #[must_use]
    pub const fn containing(minute: Minute) -> Self {
        Self(Minute(minute.0.div_euclid(SLICE_MINUTES) * SLICE_MINUTES))
    }

    /// The minute that the slice begins with.
    #[must_use]
    pub const fn first_minute(self) -> Minute {
        self.0
    }
}

impl From<Slice> for TimeRange {
    fn from(slice: Slice) -> Self {
        let first = slice.first_minute();
        Self {
            from: first.start(),
            to: Minute(first.0 + SLICE_MINUTES).start(),
        }
    }
}

/// A run of instants, `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The instant that the range begins with.
    pub from: Millis,
    /// The first instant after the range.
    pub to: Millis,
}

impl TimeRange {
    /// Says whether the instant lies in the range.
    #[must_use]
    pub const fn contains(self, at: Millis) -> bool {
        self.from.0 <= at.0 && at.0 < self.to.0
    }
}

/// A time slice of received-at, `[start, end)`, of whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First instant.
    pub start: Millis,
    /// First instant after it.
    pub end: Millis,
}

impl From<Window> for TimeRange {
    fn from(window: Window) -> Self {
        Self {
            from: window.start,
            to: window.end,
        }
    }
}

impl Window {
    /// The window of `minutes` minutes that `at` lies in.
    #[must_use]
    pub fn containing(at: Millis, minutes: u32) -> Self {
        let length = i64::from(minutes.max(1)) * 60_000;
        let start = at.0.div_euclid(length) * length;
        Self {
            start: Millis(start),
            end: Millis(start + length),
        }
    }

    /// All windows that touch `[from, to)`, oldest first.
    pub fn touching(from: Millis, to: Millis, minutes: u32) -> impl Iterator<Item = Self> {
        let length = i64::from(minutes.max(1)) * 60_000;
        let first = Self::containing(from, minutes).start.0;
        (0..)
            .map(move |n| first + n * length)
            .take_while(move |start| *start < to.0)
            .map(move |start| Self {
                start: Millis(start),
                end: Millis(start + length),
            })
    }

    /// Its minutes, in order.
    pub fn minutes(self) -> impl Iterator<Item = Minute> {
        (self.start.minute().0..self.end.minute().0).map(Minute)
    }

    /// Whether the instant lies in it.
    #[must_use]
    pub const fn contains(self, at: Millis) -> bool {
        self.start.0 <= at.0 && at.0 < self.end.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_always_has_milliseconds() {
        assert_eq!(Millis(0).rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Millis(1_479_204_900_120).rfc3339(),
            "2016-11-15T10:15:00.120Z"
        );
        assert_eq!(
            Millis::parse_rfc3339("2016-11-15T11:15:00.12+01:00"),
            Ok(Millis(1_479_204_900_120))
        );
    }

    #[test]
    fn times_of_earlier_lines_are_read() {
        let last = Millis::parse_rfc3339("9999-12-31T23:59:59.999Z").expect("a time");
        assert_eq!(Millis::of_line("253402300799999"), Ok(last));
        let first = Millis::parse_rfc3339("0000-01-01T00:00:00+23:59").expect("a time");
        assert_eq!(Millis::of_line("-000001-12-31T00:01:00.000Z"), Ok(first));
        for at in [first, Millis(0), last] {
            assert_eq!(Millis::of_line(&at.rfc3339()), Ok(at));
            assert_eq!(Millis::of_line(&at.0.to_string()), Ok(at));
        }
        for text in ["yesterday", "", "2026-11-20", "-000001-12-31", "1e400"] {
            assert!(Millis::of_line(text).is_err(), "{text}");
        }
        assert!(Millis::parse_rfc3339("253402300799999").is_err());
    }

    #[test]
    fn times_of_earlier_requests_are_read_and_other_digits_are_none() {
        for text in [
            "253402300799999",
            "-000001-12-31T00:01:00.000Z",
            "9999-12-31T20:00:00.000-05:00",
            "2026-11-20T10:15:00Z",
        ] {
            assert_eq!(Millis::of_request(text), Millis::of_line(text), "{text}");
            assert!(Millis::of_request(text).is_ok(), "{text}");
        }
        for text in ["2026", "0", "-1", "1795169700120", "yesterday", ""] {
            assert!(Millis::of_request(text).is_err(), "{text}");
        }
    }

    #[test]
    fn windows_cover_the_range_without_gap() {
        let from = Millis(1_000_000);
        let to = Millis(4_000_000);
        let windows: Vec<_> = Window::touching(from, to, 15).collect();
        assert!(windows.first().is_some_and(|w| w.contains(from)));
        assert!(windows.last().is_some_and(|w| w.contains(Millis(to.0 - 1))));
        assert!(windows.windows(2).all(|p| p[0].end == p[1].start));
        assert_eq!(windows[0].minutes().count(), 15);
    }

    #[test]
    fn times_before_the_epoch_fall_into_the_window_before_it() {
        assert_eq!(Window::containing(Millis(-1), 1).end, Millis(0));
    }
}
