//! As many shards as the load needs: the stream's own metrics in, doubled or halved shards out.
//!
//! Each scheduled run, where it is switched on, looks at the last hour of the stream's metrics and every
//! few minutes at what a day and a week ago followed this time of day; [`decide`] says what to do, and
//! [`Scaler::run`] does it. State is one item: the changes of the running month.

mod budget;
mod decision;

pub use budget::{CHANGES_PER_DAY_MAX, changes_within_a_day, shard_hours};
pub use decision::{Decision, Policy, Reason, Seen, decide};

use vernier_ledger::ports::{PortError, ScalingLogs, Shards, StreamMetrics};
use vernier_ledger::scaling::{Resharding, ScalingLog, StreamLoad};
use vernier_ledger::time::{Millis, Minute};

/// Minutes of metrics that a run looks at: a halving waits for an hour without need.
const RECENT_MINUTES: i64 = 60;

/// Minutes between two looks at a day and a week ago.
pub const HISTORY_EVERY_MINUTES: i64 = 5;

/// Minutes ahead of now that a look at a day and a week ago sees.
const HISTORY_MINUTES: i64 = 120;

/// Minutes that one figure of history is the sum of.
const HISTORY_STEP_MINUTES: u32 = 5;

/// How far back history is looked at, minutes: a day and a week.
const HISTORY_BACK_MINUTES: [i64; 2] = [24 * 60, 7 * 24 * 60];

/// How long changes are remembered: a month and a day, seconds.
const REMEMBERED_SECONDS: i64 = 33 * 86_400;

/// A stream that is scaled.
#[derive(Debug)]
pub struct Scaler<M, S, L> {
    /// The stream's metrics.
    pub metrics: M,
    /// Its shards.
    pub shards: S,
    /// What was done to them.
    pub log: L,
    /// Its name.
    pub stream: String,
    /// Within what.
    pub policy: Policy,
}

impl<M: StreamMetrics, S: Shards, L: ScalingLogs> Scaler<M, S, L> {
    /// Looks, decides, and begins a change if one is due. What was done and is not in the log (by
    /// somebody else, or by a run that died before it said so) is written into it first, so that the day's
    /// changes and the month's shard-hours stay true.
    ///
    /// # Errors
    /// The services'. The next run looks again; asking twice for the same number does no harm.
    pub async fn run(&self, now: Millis) -> Result<Decision, PortError> {
        let shards = self.shards.shards().await?;
        if !shards.is_steady || shards.open == 0 {
            return Ok(Decision::keep(Reason::UnderWay));
        }
        let mut log = self.log.scaling_log(&self.stream).await?;
        if log.changes.last().is_none_or(|last| last.to != shards.open) {
            let from = log.changes.last().map_or(shards.open, |last| last.to);
            let change = Resharding {
                at: now,
                from,
                to: shards.open,
            };
            self.note(&mut log, change).await?;
        }
        let minute = now.minute();
        let recent = Minute(minute.0 - RECENT_MINUTES);
        let seen = Seen {
            shards: shards.open,
            recent: self.metrics.loads(recent, minute, 1).await?,
            ahead: self.ahead(minute).await?,
            now,
        };
        let decision = decide(&self.policy, &seen, &log);
        if let Some(to) = decision.to {
            self.shards.reshard(to).await?;
            let change = Resharding {
                at: now,
                from: shards.open,
                to,
            };
            self.note(&mut log, change).await?;
        }
        Ok(decision)
    }

    /// What followed this minute a day and a week ago, at the minute at which it was; none where this
    /// run does not look.
    async fn ahead(&self, now: Minute) -> Result<Option<Vec<StreamLoad>>, PortError> {
        if now.0 % HISTORY_EVERY_MINUTES != 0 {
            return Ok(None);
        }
        let mut found = Vec::new();
        for back in HISTORY_BACK_MINUTES {
            let from = Minute(now.0 - back);
            let to = Minute(from.0 + HISTORY_MINUTES);
            let loads = self.metrics.loads(from, to, HISTORY_STEP_MINUTES).await?;
            found.extend(loads.into_iter().map(|load| StreamLoad {
                minute: Minute(load.minute.0 + back),
                ..load
            }));
        }
        Ok(Some(found))
    }

    async fn note(&self, log: &mut ScalingLog, change: Resharding) -> Result<(), PortError> {
        let since = change.at.plus_seconds(-REMEMBERED_SECONDS);
        log.changes.push(change);
        // The last one before says how many shards there were when the month began.
        let old = log.changes.iter().filter(|c| c.at < since).count();
        log.changes.drain(..old.saturating_sub(1));
        self.log.save_scaling_log(&self.stream, log).await
    }
}
