//! How a history ends: no more trouble, and everything comes to rest.

use super::archive::{COMPACTING, HOLD_SECONDS};
use super::oracle::Violation;
use super::script::Target;
use super::world::{RECONCILE, World};
use std::time::Duration;
use vernier_ledger::Invariant;
use vernier_ledger::chain::day_of;

/// Rounds of delivering and bringing back until nothing is left; each round of trouble leaves the
/// next one less.
const ROUNDS_MAX: u32 = 80;

/// A worker that has the time it needs, seconds.
const LONG: u8 = 120;

/// Runs in which idle windows through a day's end are sealed, the day is compacted, or its windows' files are removed.
const COMPACTING_RUNS: u32 = 4;

/// Long enough that every hour of the history is swept, and what nothing names in it.
const SWEEP_SECONDS: u64 = 6 * 3_600;

/// Until a window that was open is over, and its grace.
fn window_and_grace() -> Duration {
    let seconds = RECONCILE.grace_seconds + i64::from(RECONCILE.window_minutes) * 60;
    Duration::from_secs(seconds.unsigned_abs())
}

impl World {
    /// No more trouble: what stands still goes on, the trigger and the recovery finish, sensors send
    /// again what was not answered.
    pub(super) async fn finish(&mut self) -> Result<(), Violation> {
        self.resume_all().await?;
        self.settle().await?;
        self.send_again().await?;
        self.settle().await?;
        self.pass(window_and_grace());
        Ok(())
    }

    /// The same, and workers bring back what they can.
    pub(super) async fn finish_archive(&mut self) -> Result<(), Violation> {
        self.resume_all().await?;
        self.settle_archive(Duration::from_secs(20)).await?;
        self.send_again().await?;
        self.settle_archive(Duration::from_secs(20)).await?;
        self.pass(window_and_grace());
        self.settle_archive(Duration::from_secs(20)).await
    }

    /// Then they have sealed what they can, and what is sealed is swept.
    pub(super) async fn seal_and_sweep(&mut self) -> Result<(), Violation> {
        self.pass(window_and_grace() + Duration::from_secs(HOLD_SECONDS.unsigned_abs()));
        self.settle_archive(Duration::from_secs(60)).await?;
        if self.is_all_sealed() {
            self.rebuild().await?;
        }
        self.pass(Duration::from_secs(SWEEP_SECONDS));
        for _ in 0..3 {
            self.pass(Duration::from_secs(16 * 60));
            self.run(LONG).await?;
            self.look()?;
        }
        Ok(())
    }

    /// Then the day is over: its windows are merged, and their own files go. Whoever checks the archive
    /// finds it sound after each.
    pub(super) async fn compact(&mut self) -> Result<(), Violation> {
        let day = day_of(self.now());
        let due = day.end.plus_seconds(COMPACTING.compact_after_seconds);
        let left_millis = (due.0 - self.now().0).max(0);
        self.pass(Duration::from_millis(left_millis.unsigned_abs()));
        for seconds in [60, COMPACTING.remove_after_seconds] {
            for _ in 0..COMPACTING_RUNS {
                self.run(LONG).await?;
                self.pass(Duration::from_secs(60));
            }
            self.oracle.check_archive(self)?;
            self.pass(Duration::from_secs(seconds.unsigned_abs()));
        }
        for _ in 0..COMPACTING_RUNS {
            self.run(LONG).await?;
            self.pass(Duration::from_secs(60));
        }
        self.oracle.check_compacted(self)
    }

    /// Results are lost, and rebuilt from the archive.
    async fn rebuild(&mut self) -> Result<(), Violation> {
        self.table.wipe_results();
        for tenant in 0..self.tenants() {
            if self.has_sent(tenant) {
                self.replay(tenant, Target::Results).await?;
            }
        }
        self.settle_archive(Duration::from_secs(1)).await?;
        self.judge_rebuilt()
    }

    /// How many tenants there are.
    fn tenants(&self) -> u16 {
        u16::try_from(self.identities.len()).unwrap_or(u16::MAX)
    }

    /// Whether a tenant's sensor posted anything.
    fn has_sent(&self, tenant: u16) -> bool {
        self.sent
            .iter()
            .any(|sent| sent.tenant == usize::from(tenant))
    }

    async fn resume_all(&mut self) -> Result<(), Violation> {
        self.arms.end();
        while !self.parked.is_empty() {
            self.resume(0).await?;
        }
        self.look()
    }

    async fn send_again(&mut self) -> Result<(), Violation> {
        for envelope in 0..self.sent.len() {
            if !self.sent[envelope].answered {
                self.post(envelope).await?;
            }
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Violation> {
        for _ in 0..ROUNDS_MAX {
            let ready = self.trigger.ready(&self.stream).len();
            if ready == 0 && self.trigger.failures().is_empty() {
                return Ok(());
            }
            for _ in 0..ready {
                self.deliver(0, usize::MAX).await?;
            }
            for _ in 0..self.trigger.failures().len() {
                self.playback(0).await?;
            }
        }
        Err(Violation::new(
            Invariant::NothingUnreadable,
            "the trigger and the recovery do not come to an end",
        ))
    }

    /// Delivers, and lets planner and workers work, until twice nothing is left that they could do something about.
    async fn settle_archive(&mut self, between: Duration) -> Result<(), Violation> {
        // What was tried in vain so far has its chance again. The ledger's audit would find what should not be lost.
        for n in self.tried_in_vain() {
            self.nudge(n).await?;
        }
        let mut idle = 0;
        for _ in 0..ROUNDS_MAX {
            let ready = self.trigger.ready(&self.stream).len();
            for _ in 0..ready {
                self.deliver(0, usize::MAX).await?;
            }
            self.pass(between);
            // What was tried in vain waits longer each time.
            if let Some(due) = self.next_due() {
                let millis = (due.0 - self.now().0).max(0);
                self.pass(Duration::from_millis(millis.unsigned_abs()));
            }
            self.run(LONG).await?;
            self.look()?;
            let is_idle = self.archive.is_idle()
                && self.next_due().is_none()
                && self.queue.queued().is_empty()
                && self.trigger.ready(&self.stream).is_empty();
            idle = if is_idle { idle + 1 } else { 0 };
            if idle > 1 {
                return Ok(());
            }
        }
        Err(Violation::new(
            Invariant::Complete,
            format!(
                "planner and workers do not come to an end: {:?}",
                self.table.all_work()
            ),
        ))
    }
}
