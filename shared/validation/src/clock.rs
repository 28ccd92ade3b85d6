//! What an event's time says of its sensor's clock. Neither finding rejects an event, in any mode.
use crate::{
    columns::Columns,
    limits::AHEAD_MILLIS_MAX,
    policy::Policy,
    problem::{Problem, Verdict},
    text, time,
};

/// The rule that an event did not happen after it was received.
const TIME_AHEAD: &str = "time.ahead";

/// The rule that a time can be read.
const TIME_UNREADABLE: &str = "time.unreadable";

/// Whether an event happened so long after it was received that its sensor's clock must be wrong;
/// both in milliseconds since 1970-01-01T00:00:00Z.
pub const fn is_ahead(event_time: i64, received_at: i64) -> bool {
    event_time > received_at.saturating_add(AHEAD_MILLIS_MAX)
}

/// Records it of an event whose clock is ahead of the instant at which it was received.
#[inline]
pub(crate) fn check(verdict: &mut Verdict, columns: &Columns<'_>, policy: &Policy<'_>) {
    if let (Some(at), Some(received_at)) = (columns.event_time, policy.received_at)
        && is_ahead(at, received_at)
    {
        verdict.deviations.push(ahead(at));
    }
}

#[cold]
fn ahead(at: i64) -> Problem {
    let minutes = AHEAD_MILLIS_MAX / 60_000;
    Problem {
        pointer: String::new(),
        rule: TIME_AHEAD.into(),
        expected: format!("a time at most {minutes} minutes after it was received").into(),
        found: time::print_instant(at).unwrap_or_else(|| at.to_string()),
        message: "the event happened after it was received: the sensor's clock is ahead".into(),
        clause: "Vernier clocks".into(),
    }
}

/// The finding about a time that cannot be read, so that the event's column is without a value;
/// `found` is the time as it stands there.
#[cold]
pub fn unreadable_time(pointer: String, found: &str) -> Problem {
    Problem {
        pointer,
        rule: TIME_UNREADABLE.into(),
        expected: "a date and time with a zone".into(),
        message: format!("{} is no time that can be read", text::shorten(found)),
        found: text::shorten(found),
        clause: "Vernier clocks".into(),
    }
    .bounded()
}
