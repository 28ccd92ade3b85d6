//! The lines of metrics of planner and workers.

use crate::planner::Planned;
use crate::worker::Turn;
use vernier_ledger::metrics::{Line, Metric};
use vernier_ledger::time::Millis;

impl Planned {
    /// The line of a run. One that is missing means that no run came to its end.
    #[must_use]
    pub fn line(&self, now: Millis) -> Line {
        Line::new(now, "planned")
            .millis(Metric::WorkOverdueSeconds, self.overdue_millis)
            .with("level", "INFO")
            .with("owners", self.owners)
            .with("sent", self.sent)
            .with("failed", self.failed)
    }
}

impl Turn {
    /// What a turn may measure.
    pub const METRICS: [Metric; 13] = [
        Metric::EventsStored,
        Metric::EventsDuplicate,
        Metric::EventsConflict,
        Metric::EventsRejected,
        Metric::WindowsIncomplete,
        Metric::WindowsHeld,
        Metric::WindowsOverdue,
        Metric::SealLagSeconds,
        Metric::FailedBatches,
        Metric::FramesBroughtBack,
        Metric::FramesGone,
        Metric::SlicesGivenUp,
        Metric::ShardFaults,
    ];

    /// The line of a turn, with the metrics of what happened in it.
    #[must_use]
    pub fn line(&self, now: Millis) -> Line {
        let counts = self.sealed.counts;
        let recovered = &self.recovered;
        let looked_at = recovered.settled + recovered.unsettled;
        let failed_batches = recovered.found + looked_at + recovered.unreadable;
        let overdue =
            u64::from(self.sealed.overdue) + u64::from(self.compacted.held) + self.swept.left;
        let mut line = Line::new(now, "turn ended");
        for (metric, value) in [
            (Metric::EventsStored, counts.stored),
            (Metric::EventsDuplicate, counts.duplicate),
            (Metric::EventsConflict, counts.conflict),
            (Metric::EventsRejected, counts.rejected),
            (Metric::WindowsIncomplete, self.sealed.incomplete.into()),
            (Metric::WindowsHeld, self.sealed.held.into()),
            (Metric::WindowsOverdue, overdue),
            (Metric::FailedBatches, failed_batches.into()),
            (Metric::FramesBroughtBack, recovered.sent_again),
            (Metric::FramesGone, recovered.gone),
            (Metric::SlicesGivenUp, recovered.given_up),
            (Metric::ShardFaults, self.checked.faults),
        ] {
            if value > 0 {
                line = line.count(metric, value);
            }
        }
        if self.sealed.lag_millis > 0 {
            line = line.millis(Metric::SealLagSeconds, self.sealed.lag_millis);
        }
        line.with("level", "INFO")
            .with("due", self.due)
            .with("done", self.done)
            .with("moved", self.moved)
            .with("failed", self.failed)
            .with("left", self.left)
            .with("sealed", self.sealed.sealed)
            .with("backfills", self.sealed.backfills)
            .with("days", self.compacted.days)
            .with("filters", self.rolled_up.filters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compaction::CompactSummary;
    use crate::recovery::RecoverySummary;
    use crate::sealing::SealSummary;
    use crate::shard_check::ShardSummary;
    use crate::sweeping::SweepSummary;
    use serde_json::json;
    use vernier_ledger::disposition::DispositionCounts;

    #[test]
    fn a_turn_is_measured_with_what_is_past_its_time_in_one_sum() {
        let turn = Turn {
            failed: 2,
            recovered: RecoverySummary {
                found: 0,
                settled: 1,
                unsettled: 2,
                unreadable: 4,
                sent_again: 11,
                awaited: 0,
                gone: 7,
                given_up: 5,
            },
            sealed: SealSummary {
                incomplete: 2,
                held: 8,
                overdue: 9,
                lag_millis: 61_500,
                counts: DispositionCounts {
                    stored: 10,
                    duplicate: 11,
                    conflict: 12,
                    rejected: 13,
                },
                ..SealSummary::default()
            },
            compacted: CompactSummary {
                held: 100,
                ..CompactSummary::default()
            },
            swept: SweepSummary {
                left: 1_000,
                ..SweepSummary::default()
            },
            checked: ShardSummary {
                faults: 14,
                ..ShardSummary::default()
            },
            ..Turn::default()
        };
        let line = turn.line(Millis(1)).to_json("Vernier");
        for (name, value) in [
            ("EventsStored", json!(10)),
            ("EventsDuplicate", json!(11)),
            ("EventsConflict", json!(12)),
            ("EventsRejected", json!(13)),
            ("WindowsIncomplete", json!(2)),
            ("WindowsHeld", json!(8)),
            ("WindowsOverdue", json!(1_109)),
            ("SealLagSeconds", json!(61.5)),
            ("FailedBatches", json!(7)),
            ("FramesBroughtBack", json!(11)),
            ("FramesGone", json!(7)),
            ("SlicesGivenUp", json!(5)),
            ("ShardFaults", json!(14)),
            ("failed", json!(2)),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        for metric in Turn::METRICS {
            assert!(line.get(metric.name()).is_some(), "{metric:?}");
        }
        let idle = Turn::default().line(Millis(1)).to_json("Vernier");
        assert_eq!(idle.get("WindowsHeld"), None, "{idle}");
    }

    #[test]
    fn every_run_of_the_planner_says_how_long_work_has_waited() {
        let line = Planned::default().line(Millis(1)).to_json("Vernier");
        assert_eq!(line["WorkOverdueSeconds"].as_f64(), Some(0.0));
    }
}
