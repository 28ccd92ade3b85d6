//! Times as people type them.

use jiff::Timestamp;
use std::time::{Duration, SystemTime};
use vernier_ledger::time::Millis;

/// How the options explain themselves.
pub(super) const FORMS: &str =
    "RFC 3339, a date (midnight UTC), 'now', or relative to now like -15m, -2h, -1d";

/// A point in time, perhaps relative to a now that is only known when the command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    At(Millis),
    /// Seconds from now; negative is before.
    FromNow(i64),
}

impl Moment {
    /// The instant that it means.
    pub(super) fn millis(self, now: Timestamp) -> Millis {
        match self {
            Self::At(at) => at,
            Self::FromNow(seconds) => Millis(now.as_millisecond()).plus_seconds(seconds),
        }
    }

    /// RFC 3339 in UTC with milliseconds.
    pub(super) fn rfc3339(self, now: Timestamp) -> String {
        self.millis(now).rfc3339()
    }
}

/// Reads a moment; see [`FORMS`].
///
/// # Errors
/// What is wrong, with the forms there are.
pub(super) fn parse(text: &str) -> Result<Moment, String> {
    let wrong = || format!("expected {FORMS}");
    if text == "now" {
        return Ok(Moment::FromNow(0));
    }
    if let Ok(at) = Millis::parse_rfc3339(text) {
        return Ok(Moment::At(at));
    }
    if text.len() == 10
        && let Ok(midnight) = Millis::parse_rfc3339(&format!("{text}T00:00:00Z"))
    {
        return Ok(Moment::At(midnight));
    }
    relative(text).map(Moment::FromNow).ok_or_else(wrong)
}

fn relative(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => return None,
    };
    let (digits, unit) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    if digits.is_empty() || digits.len() > 7 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A hundred years is enough for anybody.
    let total = digits.parse::<i64>().ok()? * seconds;
    (total <= 36_525 * 86_400).then_some(sign * total)
}

/// Now.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// How long an HTTP `Retry-After` value asks to wait (RFC 9110, 10.2.3): seconds or a date.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let wait = SystemTime::from(at).duration_since(SystemTime::from(now));
    Some(wait.unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        parse(text).expect("a moment").rfc3339(now)
    }

    #[test]
    fn all_forms_are_read() {
        assert_eq!(shown("now"), "2026-03-01T12:00:00.000Z");
        assert_eq!(shown("-15m"), "2026-03-01T11:45:00.000Z");
        assert_eq!(shown("-1d"), "2026-02-28T12:00:00.000Z");
        assert_eq!(shown("+90s"), "2026-03-01T12:01:30.000Z");
        assert_eq!(shown("-2w"), "2026-02-15T12:00:00.000Z");
        assert_eq!(shown("2026-02-03"), "2026-02-03T00:00:00.000Z");
        assert_eq!(
            shown("2026-02-03T04:05:06.789+02:00"),
            "2026-02-03T02:05:06.789Z"
        );
    }

    #[test]
    fn the_ends_of_the_calendar_are_read() {
        for text in [
            "9999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59.999-23:59",
            "0000-01-01T00:00:00.000+23:59",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_forms() {
        for text in [
            "",
            "-",
            "-m",
            "15m",
            "-15",
            "-15x",
            "--5m",
            "-5 m",
            "-99999999d",
            "2026-02-30",
            "2026-2-3",
            "noon",
            "é",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("RFC 3339"), "{error}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "1994-11-06T08:49:00Z".parse().expect("a time");
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(37))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:48:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
    }
}
