//! A scheduled run's one line of metrics.

use crate::RunSummary;
use crate::compaction::CompactSummary;
use crate::healing::{HealSummary, MissingSummary};
use crate::playbacks::PlaybackSummary;
use crate::sealing::SealSummary;
use crate::sweeping::SweepSummary;
use vernier_ledger::metrics::{Line, Metric};
use vernier_ledger::time::Millis;

/// What a run found and did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Windows.
    pub surveyed: RunSummary,
    /// Failed batches.
    pub healed: HealSummary,
    /// Missing receipts.
    pub missing: MissingSummary,
    /// Seals.
    pub sealed: SealSummary,
    /// Days.
    pub compacted: CompactSummary,
    /// Playbacks.
    pub played: PlaybackSummary,
    /// What is not needed any more.
    pub swept: SweepSummary,
}

impl Done {
    /// Parts of it that failed and are tried again at the next run.
    #[must_use]
    pub const fn failed(&self) -> u32 {
        self.surveyed.failed
            + self.sealed.failed
            + self.compacted.failed
            + self.played.failed
            + self.swept.failed
    }

    /// The line. Every metric is in every line: one that is missing means that no run came to its end.
    #[must_use]
    pub fn line(&self, now: Millis) -> Line {
        let counts = self.sealed.counts;
        let failed_batches = self.healed.settled + self.healed.pending + self.healed.unreadable;
        let overdue =
            u64::from(self.sealed.passed_over) + u64::from(self.compacted.held) + self.swept.left;
        Line::new(now, "scheduled run ended")
            .count(Metric::EventsStored, counts.stored)
            .count(Metric::EventsDuplicate, counts.duplicate)
            .count(Metric::EventsConflict, counts.conflict)
            .count(Metric::EventsRejected, counts.rejected)
            .count(Metric::WindowsIncomplete, self.surveyed.incomplete.into())
            .count(Metric::WindowsHeld, self.sealed.held.into())
            .count(Metric::WindowsOverdue, overdue)
            .millis(Metric::SealLagSeconds, self.sealed.lag_millis_max)
            .count(Metric::FailedBatches, failed_batches.into())
            .count(
                Metric::FramesBroughtBack,
                self.healed.played_back + self.missing.played_back,
            )
            .count(Metric::FramesGone, self.missing.gone.into())
            .with("level", "INFO")
            .with("tenants", self.surveyed.tenants)
            .with("sealed", self.sealed.sealed)
            .with("backfills", self.sealed.backfills)
            .with("days", self.compacted.days)
            .with("failed", self.failed())
            .with("left", self.sealed.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vernier_ledger::disposition::DispositionCounts;

    #[test]
    fn a_run_is_measured_with_what_is_past_its_time_in_one_sum() {
        let done = Done {
            surveyed: RunSummary {
                tenants: 3,
                incomplete: 2,
                failed: 1,
                ..RunSummary::default()
            },
            healed: HealSummary {
                settled: 1,
                pending: 2,
                unreadable: 4,
                played_back: 5,
            },
            missing: MissingSummary {
                played_back: 6,
                gone: 7,
                ..MissingSummary::default()
            },
            sealed: SealSummary {
                held: 8,
                failed: 1,
                passed_over: 9,
                lag_millis_max: 61_500,
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
            ..Done::default()
        };
        let line = done.line(Millis(1)).to_json("Vernier");
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
            ("failed", json!(2)),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
    }
}
