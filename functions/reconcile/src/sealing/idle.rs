//! Runs of windows in which nothing was received: one seal for many.

use super::chain::Content;
use super::{Sealer, Step};
use vernier_archive::seal::{SealKind, StatementBody};
use vernier_ledger::chain::{ChainHead, day_of, window_after};
use vernier_ledger::digest::Digest;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::frame::Tally;
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

impl<S: ReconcileStores, C: Fn() -> Millis> Sealer<'_, S, C> {
    /// Windows that one idle seal may close if nothing was received in them: from the next one on, as far as the one that
    /// holds an instant, all of one length and within one UTC day, each over and its grace too, and none of which the
    /// tenant's list has an entry. With an entry a window is looked at by itself, whenever the entry is due and however
    /// often it was tried.
    pub(super) fn run_of(&self, next: Window, at: Millis, now: Millis) -> Vec<Window> {
        let length = next.end.0 - next.start.0;
        let day = day_of(next.start);
        let (minutes, grace_seconds) = (self.settings.window_minutes, self.settings.grace_seconds);
        let mut run = Vec::new();
        let mut window = next;
        while window.start <= at
            && window.end.0 - window.start.0 == length
            && window.end <= day.end
            && window.end.plus_seconds(grace_seconds) <= now
            && self.listed.range(window.start..window.end).next().is_none()
        {
            run.push(window);
            window = window_after(window.end, minutes);
        }
        run
    }

    /// Seals as many windows of a run as had nothing, from the first on; none when the first had something.
    ///
    /// # Errors
    /// Whatever error the stores give.
    pub(super) async fn seal_idle(
        &mut self,
        head: &ChainHead,
        run: &[Window],
    ) -> Result<Option<Step>, PortError> {
        let count = self.count_idle(run).await?;
        let (Some(first), Some(last)) = (run.first(), run[..count].last()) else {
            return Ok(None);
        };
        let window = Window {
            start: first.start,
            end: last.end,
        };
        let content = Content {
            kind: SealKind::Idle,
            window,
            counts: DispositionCounts::default(),
            digest: Digest::EMPTY,
            files: Vec::new(),
            covers: Vec::new(),
            body: StatementBody::Idle {
                windows: count as u64,
            },
        };
        let moving = self.chain().sign(head, content, (self.clock)()).await?;
        Ok(Some(self.step_of(&moving, window, Tally::default())))
    }
}
