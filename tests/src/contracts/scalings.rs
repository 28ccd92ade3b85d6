//! `ScalingLogs`.

use super::unique;
use vernier_ledger::ports::ScalingLogs;
use vernier_ledger::scaling::{Resharding, ScalingLog};
use vernier_ledger::time::Millis;

pub async fn the_last_scaling_log_of_a_stream_counts(table: &impl ScalingLogs) {
    let (stream, other) = (unique("scaled"), unique("scaled"));
    assert_eq!(table.scaling_log(&stream).await, Ok(ScalingLog::default()));
    let mut log = ScalingLog::default();
    for n in 0..3 {
        log.changes.push(Resharding {
            at: Millis(n * 60_000),
            from: 1 << n,
            to: 2 << n,
        });
        assert_eq!(table.save_scaling_log(&stream, &log).await, Ok(()));
        assert_eq!(table.scaling_log(&stream).await, Ok(log.clone()));
    }
    assert_eq!(table.scaling_log(&other).await, Ok(ScalingLog::default()));
}
