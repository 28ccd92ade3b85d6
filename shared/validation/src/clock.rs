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
pub const TIME_UNREADABLE: &str = "time.unreadable";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Profile, read_envelope};

    /// The events of these tests happen at 2026-11-20T10:15:00.120Z.
    const AT: i64 = 1_795_169_700_120;

    /// An envelope of events that differ in their times, as JSON values, alone.
    fn envelope(times: &[&str]) -> String {
        let event = |(number, time): (usize, &&str)| {
            format!(
                r#"{{"@context":"http://purl.imsglobal.org/ctx/caliper/v1p2","id":"urn:uuid:00000000-0000-4000-8000-{number:012}","type":"ViewEvent","actor":"urn:x:jane","action":"Viewed","object":{{"id":"urn:x:page","type":"WebPage"}},"eventTime":{time}}}"#
            )
        };
        let events: Vec<String> = times.iter().enumerate().map(event).collect();
        format!(
            r#"{{"sensor":"s","sendTime":"2026-11-20T10:15:00.120Z","dataVersion":"http://purl.imsglobal.org/ctx/caliper/v1p2","data":[{}]}}"#,
            events.join(",")
        )
    }

    /// The rules that the deviations of each event name, and its time.
    fn judged(
        times: &[&str],
        mode: Mode,
        received_at: i64,
    ) -> Vec<(bool, Vec<String>, Option<i64>)> {
        let policy = Policy {
            received_at: Some(received_at),
            ..Policy::new(mode, Profile::Generic)
        };
        let body = envelope(times);
        let read = read_envelope(body.as_bytes(), &policy).expect("an envelope");
        let of = |item: &crate::Item<'_>| {
            let deviations = &item.verdict.deviations;
            let rules = deviations.iter().map(|d| d.rule.to_string()).collect();
            (item.verdict.accepted, rules, item.columns.event_time)
        };
        read.items.iter().map(of).collect()
    }

    /// Later events of an envelope are judged by the shape of the first; a clock is seen there too.
    #[test]
    fn a_clock_that_is_ahead_is_a_deviation_in_either_mode() {
        let time = r#""2026-11-20T10:15:00.120Z""#;
        for mode in [Mode::Strict, Mode::Lenient] {
            for (received_at, rules) in [
                (AT - AHEAD_MILLIS_MAX, vec![]),
                (AT - AHEAD_MILLIS_MAX - 1, vec!["time.ahead".to_owned()]),
            ] {
                for found in judged(&[time; 4], mode, received_at) {
                    assert_eq!(found, (true, rules.clone(), Some(AT)), "{mode}");
                }
            }
        }
    }

    /// Forms of sensors are a deviation each in lenient mode, and give the column its instant.
    #[test]
    fn forms_of_sensors_are_let_pass_with_their_instant() {
        let exact = r#""2026-11-20T10:15:00.120Z""#;
        for time in [
            r#""2026-11-20T10:15:00.120+0000""#,
            r#""2026-11-20T05:15:00.120-05""#,
            r#""2026-11-20t10:15:00.120z""#,
            r#""2026-11-20 10:15:00,120Z""#,
            r#""2026-11-20T10:15:00.120456Z""#,
            r#""1795169700120""#,
            "1795169700120",
        ] {
            // The third has the shape of the first two but for its time.
            let found = judged(&[exact, exact, time, exact], Mode::Lenient, AT);
            let deviates = (true, vec!["Event.eventTime.time".to_owned()], Some(AT));
            assert_eq!(found[2], deviates, "{time}");
            assert_eq!(found[3], (true, vec![], Some(AT)), "{time}");
            assert!(!judged(&[time], Mode::Strict, AT)[0].0, "{time}");
        }
        for unknown in [r#""2026-11-20T10:15:00.120""#, "1795169700", r#""never""#] {
            let found = judged(&[unknown], Mode::Lenient, AT);
            assert_eq!((found[0].0, found[0].2), (false, None), "{unknown}");
        }
    }
}
