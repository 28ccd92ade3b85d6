//! What to do about the shards: a pure function of what was seen.

use super::budget::{CHANGES_PER_DAY_MAX, changes_within_a_day, hours, month_of, shard_hours};
use vernier_ledger::prices::SHARD_HOUR_USD;
use vernier_ledger::scaling::{ScalingLog, StreamLoad};
use vernier_ledger::time::{Millis, Minute};

/// What a shard takes in a second: 1 MB, counted as 10^6 bytes, and 1,000 records.
const SHARD_BYTES_PER_SECOND: f64 = 1_000_000.0;
const SHARD_RECORDS_PER_SECOND: f64 = 1_000.0;

/// Doubled where the load would use the shards so far: what is left takes what a minute's mean does not
/// show (seconds above it, keys that are not spread evenly).
const UP_AT: f64 = 0.75;

/// Halved where the load uses the shards less than so far: the half is then used to at most 0.64, and
/// not at once to be doubled again.
const DOWN_AT: f64 = 0.32;

/// Newest minutes whose most counts as now's load: one may be missing, or still filling.
const NOW_MINUTES: usize = 3;

/// Newest minutes through which the trend is drawn.
const TREND_MINUTES: usize = 6;

/// A trend counts as far as it is steeper than so many times its standard error: noise has none.
const TREND_ERRORS: f64 = 2.0;

/// How far the trend is drawn ahead, minutes: metrics come a minute late, a run each minute, a change
/// takes three; and as one doubling must wait for the other, the first is begun while two are in sight.
const LEAD_MINUTES: f64 = 12.0;

/// What the trend may multiply: more than it is another crowd than the one that was seen.
const GROWTH_MAX: f64 = 3.0;

/// Part of a shard under which a load has no trend: a night's few requests.
const FILLED_MIN: f64 = 0.01;

/// How far ahead what a day or a week ago followed counts for a doubling, minutes: three doublings,
/// one at each look at it and each three minutes long.
const AHEAD_UP_MINUTES: i64 = 25;

/// Shards stay for so long after any change before they are halved, seconds.
const SETTLED_SECONDS: i64 = 30 * 60;

/// Minutes of metrics without which nothing is halved.
const DOWN_MINUTES_MIN: usize = 30;

/// Within what the stream is scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Never fewer shards.
    pub shards_min: u32,
    /// Never more.
    pub shards_max: u32,
    /// Shards of a calendar month (UTC) cost no more than so much, unless `shards_min` do; 0: no
    /// ceiling. A doubling is made only if the rest of the month could be paid at that size: what a
    /// month has saved, its peaks may spend.
    pub dollars_per_month_max: f64,
}

/// What a run saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Shards that take records.
    pub shards: u32,
    /// The last hour, minute by minute, oldest first.
    pub recent: Vec<StreamLoad>,
    /// What followed this time of day a day and a week ago, in minutes of today; none: not looked at.
    pub ahead: Option<Vec<StreamLoad>>,
    /// Now.
    pub now: Millis,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A change is under way.
    UnderWay,
    /// The shards fit the load.
    Fits,
    /// Records are refused, or soon would be.
    Load,
    /// At this time of day a load came.
    TimeOfDay,
    /// Hardly used for an hour, and not soon.
    Idle,
    /// Fewer or more than the bounds.
    Bounds,
    /// More are needed than the bounds allow.
    AtMost,
    /// More are needed than the month can pay.
    TooDear,
    /// The day's changes are used up.
    NoChangeLeft,
    /// Could be halved, but a day's last changes are kept for doublings.
    ChangesKept,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// So many shards; none: as many as there are.
    pub to: Option<u32>,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    /// Nothing to do.
    #[must_use]
    pub const fn keep(reason: Reason) -> Self {
        Self { to: None, reason }
    }
}

/// Shards that a load fills.
fn filled(load: &StreamLoad) -> f64 {
    let seconds = f64::from(load.minutes.max(1)) * 60.0;
    // Bytes that were refused are not counted by the service: as large as those that were not.
    let asked = 1.0 + load.refused / load.records.max(1.0);
    let bytes = load.bytes * asked / seconds / SHARD_BYTES_PER_SECOND;
    let records = (load.records + load.refused) / seconds / SHARD_RECORDS_PER_SECOND;
    bytes.max(records)
}

/// The most shards that any of some loads fills.
fn most<'l>(loads: impl IntoIterator<Item = &'l StreamLoad>) -> f64 {
    loads.into_iter().map(filled).fold(0.0, f64::max)
}

/// How many times the load of now will surely be there after the lead, if it goes on to grow as it did
/// through the newest minutes: by a line through its logarithms, because a crowd that gathers grows
/// faster than a line. At least once.
fn growth(recent: &[StreamLoad]) -> f64 {
    let newest = &recent[recent.len().saturating_sub(TREND_MINUTES)..];
    if newest.len() < 4 {
        return 1.0;
    }
    let n = newest.len() as f64;
    let point = |l: &StreamLoad| (l.minute.0 as f64, filled(l).max(FILLED_MIN).ln());
    let points = || newest.iter().map(point);
    let mean_x = points().map(|p| p.0).sum::<f64>() / n;
    let mean_y = points().map(|p| p.1).sum::<f64>() / n;
    let spread = points().map(|p| (p.0 - mean_x).powi(2)).sum::<f64>();
    let spread = spread.max(1.0);
    let slope = points()
        .map(|p| (p.0 - mean_x) * (p.1 - mean_y))
        .sum::<f64>()
        / spread;
    let off = |(x, y): (f64, f64)| y - mean_y - slope * (x - mean_x);
    let error = points().map(|p| off(p).powi(2)).sum::<f64>() / (n - 2.0) / spread;
    let sure = slope - TREND_ERRORS * error.sqrt();
    (sure * LEAD_MINUTES).exp().clamp(1.0, GROWTH_MAX)
}

/// Doublings from some shards to some more.
fn doublings(from: u32, to: u32) -> u32 {
    let mut shards = from.max(1);
    let mut count = 0;
    while shards < to {
        shards = shards.saturating_mul(2);
        count += 1;
    }
    count
}

/// What to do. Doubles at once where the load, its trend, or what this time of day brought needs it;
/// halves only what was not needed for an hour and will not be, and only while a day's remaining changes
/// still reach from there to the most shards that are allowed: no change is ever spent that a peak
/// could need.
#[must_use]
pub fn decide(policy: &Policy, seen: &Seen, log: &ScalingLog) -> Decision {
    let left = CHANGES_PER_DAY_MAX.saturating_sub(changes_within_a_day(log, seen.now));
    if let Some(to) = into_bounds(policy, seen.shards) {
        return changed(to, Reason::Bounds, left);
    }
    let usable = f64::from(seen.shards) * UP_AT;
    let now = most(&seen.recent[seen.recent.len().saturating_sub(NOW_MINUTES)..]);
    if now * growth(&seen.recent) > usable {
        return up(policy, seen, log, left, Reason::Load);
    }
    let soon = Minute(seen.now.minute().0 + AHEAD_UP_MINUTES);
    let ahead = seen.ahead.as_deref().unwrap_or_default();
    if most(ahead.iter().filter(|l| l.minute < soon)) > usable {
        return up(policy, seen, log, left, Reason::TimeOfDay);
    }
    down(policy, seen, log, left)
}

/// The number nearest to the bounds that one change reaches, if the shards are outside of them.
fn into_bounds(policy: &Policy, shards: u32) -> Option<u32> {
    if shards < policy.shards_min {
        return Some(policy.shards_min.min(shards * 2));
    }
    (shards > policy.shards_max).then(|| policy.shards_max.max(shards.div_ceil(2)))
}

const fn changed(to: u32, reason: Reason, left: u32) -> Decision {
    if left == 0 {
        return Decision::keep(Reason::NoChangeLeft);
    }
    Decision {
        to: Some(to),
        reason,
    }
}

fn up(policy: &Policy, seen: &Seen, log: &ScalingLog, left: u32, reason: Reason) -> Decision {
    let to = (seen.shards * 2).min(policy.shards_max);
    if to <= seen.shards {
        return Decision::keep(Reason::AtMost);
    }
    if policy.dollars_per_month_max > 0.0 {
        let (start, end) = month_of(seen.now);
        let spent = shard_hours(log, start, seen.now);
        let rest = f64::from(to) * hours(seen.now, end);
        if (spent + rest) * SHARD_HOUR_USD > policy.dollars_per_month_max {
            return Decision::keep(Reason::TooDear);
        }
    }
    changed(to, reason, left)
}

fn down(policy: &Policy, seen: &Seen, log: &ScalingLog, left: u32) -> Decision {
    let to = seen.shards.div_ceil(2).max(policy.shards_min);
    let settled = seen.now.plus_seconds(-SETTLED_SECONDS);
    let is_new = log.changes.last().is_some_and(|last| last.at > settled);
    let Some(ahead) = seen.ahead.as_deref() else {
        return Decision::keep(Reason::Fits);
    };
    if to >= seen.shards || is_new || seen.recent.len() < DOWN_MINUTES_MIN {
        return Decision::keep(Reason::Fits);
    }
    if most(seen.recent.iter().chain(ahead)) > f64::from(seen.shards) * DOWN_AT {
        return Decision::keep(Reason::Fits);
    }
    if left < 1 + doublings(to, policy.shards_max) {
        return Decision::keep(Reason::ChangesKept);
    }
    changed(to, Reason::Idle, left)
}
