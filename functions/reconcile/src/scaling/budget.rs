//! What changes and shard-hours are left.

use vernier_ledger::scaling::ScalingLog;
use vernier_ledger::time::Millis;

/// Changes of a stream's shards in any 24 hours (`UpdateShardCount`, default limit).
pub const CHANGES_PER_DAY_MAX: u32 = 10;

const DAY_SECONDS: i64 = 86_400;

/// Changes of the 24 hours before an instant. A first entry, which only says how many shards there
/// were, is none.
#[must_use]
pub fn changes_within_a_day(log: &ScalingLog, now: Millis) -> u32 {
    let since = now.plus_seconds(-DAY_SECONDS);
    let within = log
        .changes
        .iter()
        .filter(|c| c.at > since && c.from != c.to);
    u32::try_from(within.count()).unwrap_or(u32::MAX)
}

/// Shard-hours from one instant to another, by the log; before its first entry there were as many
/// shards as that one found.
#[must_use]
pub fn shard_hours(log: &ScalingLog, from: Millis, to: Millis) -> f64 {
    let Some(first) = log.changes.first() else {
        return 0.0;
    };
    let (mut at, mut shards, mut sum) = (from, first.from, 0.0);
    for change in &log.changes {
        let end = change.at.max(from).min(to);
        sum += f64::from(shards) * hours(at, end);
        (at, shards) = (end, change.to);
    }
    sum + f64::from(shards) * hours(at, to)
}

/// Hours between two instants.
pub(super) fn hours(from: Millis, to: Millis) -> f64 {
    (to.0 - from.0).max(0) as f64 / 3_600_000.0
}

/// The first instants of the month (UTC) that holds an instant, and of the next.
pub(super) fn month_of(now: Millis) -> (Millis, Millis) {
    let first = |at: Millis| {
        let text = format!("{}-01T00:00:00Z", &at.rfc3339()[..7]);
        // A date that was printed is a date; the instant itself, if it were not.
        Millis::parse_rfc3339(&text).unwrap_or(at)
    };
    let start = first(now);
    (start, first(start.plus_seconds(32 * DAY_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vernier_ledger::scaling::Resharding;

    fn at(text: &str) -> Millis {
        Millis::parse_rfc3339(text).expect("an instant")
    }

    #[test]
    fn months_begin_and_end() {
        assert_eq!(
            month_of(at("2026-12-31T23:59:59Z")),
            (at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z"))
        );
        assert_eq!(
            month_of(at("2028-02-01T00:00:00Z")).1,
            at("2028-03-01T00:00:00Z")
        );
    }

    #[test]
    fn shard_hours_are_counted_from_change_to_change() {
        let change = |text, from, to| Resharding {
            at: at(text),
            from,
            to,
        };
        let log = ScalingLog {
            changes: vec![
                change("2026-11-30T00:00:00Z", 2, 2),
                change("2026-12-01T10:00:00Z", 2, 4),
                change("2026-12-01T12:00:00Z", 4, 2),
            ],
        };
        let hours = |to| shard_hours(&log, at("2026-12-01T00:00:00Z"), at(to));
        assert_eq!(hours("2026-12-01T05:00:00Z"), 10.0);
        assert_eq!(hours("2026-12-01T11:00:00Z"), 24.0);
        assert_eq!(hours("2026-12-02T00:00:00Z"), 20.0 + 8.0 + 24.0);
        assert_eq!(changes_within_a_day(&log, at("2026-12-01T12:00:00Z")), 2);
        assert_eq!(changes_within_a_day(&log, at("2026-12-02T11:00:00Z")), 1);
    }
}
