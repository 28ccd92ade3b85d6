//! Envelopes that were refused as a whole, counted by sensor and rule.
//!
//! A refused envelope has no receipt and leaves no event, so its sensor's developer would see nothing of it. What is
//! kept is a number for each UTC hour, sensor and rule. The number is a lower bound: a process writes the first refusal
//! at once and later ones when [`WRITE_EVERY_SECONDS`] have passed since, so that the refusals after the last write are
//! lost when the process ends, and so is what a failed write held.

use crate::ids::TenantId;
use crate::time::Millis;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Least time between two writes of one process to one count. A thousand refusals a second are then six writes a
/// minute, each of one write unit.
pub const WRITE_EVERY_SECONDS: i64 = 10;

/// Counts that one process has open: a sensor breaks a handful of rules, so these are the sensors of a few hundred
/// tokens in an hour, at about 400 bytes each. What does not fit is not counted.
pub const COUNTS_OPEN_MAX: usize = 1_000;

/// Counts of earlier moments that are written along with a request's own, at most.
const LATE_WRITES_MAX: usize = 4;

/// Days after which the table may forget a count.
pub const REFUSED_DAYS: i64 = 90;

/// Refused envelopes of one sensor for one rule in one hour.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedCount {
    /// The UTC hour of arrival, counted from the epoch.
    pub hour: i64,
    /// The id of the rule, of docs/rules.md, that the envelopes broke.
    pub rule: String,
    /// The sensor's name on its token.
    pub sensor: String,
    /// How many; when added, how many more.
    pub envelopes: u64,
}

impl RefusedCount {
    /// When the table may forget it.
    #[must_use]
    pub const fn expires(&self) -> Millis {
        Millis(self.hour * 3_600_000).plus_seconds((REFUSED_DAYS * 24 + 1) * 3_600)
    }
}

/// Refusals to be counted.
#[derive(Debug, Clone, Copy)]
pub struct RefusedEnvelope<'e> {
    /// Whose sensor it is.
    pub tenant: &'e TenantId,
    /// The sensor's name on its token.
    pub sensor: &'e str,
    /// The rules that the envelope broke.
    pub rules: &'e [String],
}

#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct CountKey {
    tenant: TenantId,
    hour: i64,
    rule: String,
    sensor: String,
}

#[derive(Debug, Default)]
struct Open {
    unwritten: u64,
    written_at: Option<Millis>,
}

impl Open {
    fn is_due(&self, now: Millis) -> bool {
        let rested =
            |at: Millis| now.0.abs_diff(at.0) >= WRITE_EVERY_SECONDS.unsigned_abs() * 1_000;
        self.unwritten > 0 && self.written_at.is_none_or(rested)
    }
}

/// The counts of one process; whoever notes a refusal writes what it is handed.
#[derive(Debug, Default)]
pub struct RefusedTally {
    open: Mutex<HashMap<CountKey, Open>>,
}

impl RefusedTally {
    /// Notes a refused envelope, and gives back what is to be added in the table now. It is out of
    /// this tally then, whether the write succeeds or not.
    #[must_use]
    pub fn note(&self, refused: RefusedEnvelope<'_>, now: Millis) -> Vec<(TenantId, RefusedCount)> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for rule in refused.rules {
            let key = CountKey {
                tenant: refused.tenant.clone(),
                hour: now.hour(),
                rule: rule.clone(),
                sensor: refused.sensor.to_owned(),
            };
            if !open.contains_key(&key) && open.len() >= COUNTS_OPEN_MAX {
                open.retain(|key, count| key.hour >= now.hour() || count.unwritten > 0);
                if open.len() >= COUNTS_OPEN_MAX {
                    continue;
                }
            }
            let count = open.entry(key.clone()).or_default();
            count.unwritten += 1;
            if count.is_due(now) {
                due.push(key);
            }
        }
        let late = open
            .iter()
            .filter(|(key, count)| count.is_due(now) && !due.contains(key));
        let late: Vec<CountKey> = late
            .map(|(key, _)| key.clone())
            .take(LATE_WRITES_MAX)
            .collect();
        due.extend(late);
        due.into_iter()
            .filter_map(|key| {
                let count = open.get_mut(&key)?;
                count.written_at = Some(now);
                let envelopes = std::mem::take(&mut count.unwritten);
                let CountKey {
                    tenant,
                    hour,
                    rule,
                    sensor,
                } = key;
                Some((
                    tenant,
                    RefusedCount {
                        hour,
                        rule,
                        sensor,
                        envelopes,
                    },
                ))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelopes(tally: &RefusedTally, sensor: &str, now: i64) -> Vec<(String, u64)> {
        let tenant: TenantId = "school".parse().expect("a tenant's name");
        let refused = RefusedEnvelope {
            tenant: &tenant,
            sensor,
            rules: &["envelope.send-time".to_owned()],
        };
        let counts = tally.note(refused, Millis(now));
        let mut shown: Vec<_> = counts
            .into_iter()
            .map(|(_, c)| (c.sensor, c.envelopes))
            .collect();
        shown.sort();
        shown
    }

    #[test]
    fn the_first_refusal_is_written_at_once_and_a_flood_every_ten_seconds() {
        let tally = RefusedTally::default();
        let writes: Vec<u64> = (0..60_000)
            .flat_map(|ms| envelopes(&tally, "lms", ms))
            .map(|(_, envelopes)| envelopes)
            .collect();
        assert_eq!(writes, [1, 10_000, 10_000, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn what_another_sensor_left_unwritten_goes_along() {
        let tally = RefusedTally::default();
        assert_eq!(envelopes(&tally, "a", 0), [("a".into(), 1)]);
        assert_eq!(envelopes(&tally, "a", 1), []);
        assert_eq!(envelopes(&tally, "b", 2), [("b".into(), 1)]);
        assert_eq!(
            envelopes(&tally, "c", 20_000),
            [("a".into(), 1), ("c".into(), 1)]
        );
    }

    #[test]
    fn each_hour_has_a_count_of_its_own_and_the_process_keeps_few() {
        let tally = RefusedTally::default();
        assert_eq!(envelopes(&tally, "a", 3_599_999).len(), 1);
        assert_eq!(envelopes(&tally, "a", 3_600_000).len(), 1);
        let written = (0..2 * COUNTS_OPEN_MAX)
            .map(|n| envelopes(&tally, &format!("s{n}"), 3_600_001).len())
            .sum::<usize>();
        assert_eq!(written, COUNTS_OPEN_MAX - 1);
        assert_eq!(envelopes(&tally, "next hour", 7_200_000).len(), 1);
    }
}
