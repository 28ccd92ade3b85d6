//! When calls fail, and when they let others run in between.

use crate::lock;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use vernier_ledger::ports::PortError;

/// Port operations that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `FrameStream::append`, once per record.
    Append,
    /// `Receipts::acknowledge`.
    Acknowledge,
    /// `Receipts::claim`.
    Claim,
    /// `Commits::commit`.
    Commit,
    /// Both writes of `Listing`: `list_blocks` and `save_listing_mark`.
    ListBlocks,
    /// `Results::merge`.
    MergeResult,
    /// `Objects::put_new`.
    PutObject,
    /// `Removal::remove`, and `Removal::remove_all` as a whole.
    RemoveObject,
    /// One key of `Removal::remove_all`.
    RemoveKey,
    /// `TenantItems::remove_items`.
    RemoveItems,
    /// The write of `GivenUpSlices`, `keep_given_up`.
    KeepGivenUp,
    /// The write of `RollUps`, `keep_roll_up`.
    KeepRollUp,
    /// The writes of `Sweeps` and `Leftovers`.
    SaveSweep,
    /// The writes of `Checkpoints` and `ShardMarks`.
    KeepCheckpoint,
    /// `ScalingLogs::save_scaling_log`.
    SaveScaling,
    /// `RefusedEnvelopes::add_refused`.
    CountRefused,
    /// `RateCounters`.
    ChargeRates,
    /// The write of `Spreads::grow_spread`.
    GrowSpread,
    /// Any read.
    Read,
    /// `Accounts::save_account`.
    SaveAccount,
    /// `Chains::move_chain`.
    MoveChain,
    /// `Playbacks::move_playback`.
    MovePlayback,
    /// `SealKey::sign`.
    Sign,
    /// `Notices::publish`.
    Publish,
    /// A put of an item of the due index, by all of `WorkLists` that puts an entry.
    PutIndex,
    /// A put of a work list's entry, by the same.
    PutWork,
    /// A removal of a work list's entry, by `WorkLists::remove_work`.
    RemoveWork,
    /// A removal of an item of the due index, by `WorkLists`.
    RemoveIndex,
    /// A note at an item of the due index that it has no entry.
    MarkIndex,
    /// `NudgeQueue::send`, once per nudge.
    SendNudge,
}

impl Operation {
    /// All that an accepted envelope can meet on its way.
    pub const ALL: [Self; 20] = [
        Self::Append,
        Self::Acknowledge,
        Self::Claim,
        Self::Commit,
        Self::ListBlocks,
        Self::MergeResult,
        Self::PutObject,
        Self::Read,
        Self::SaveAccount,
        Self::MoveChain,
        Self::Sign,
        Self::Publish,
        Self::MovePlayback,
        Self::RemoveObject,
        Self::RemoveKey,
        Self::SaveSweep,
        Self::SaveScaling,
        Self::KeepCheckpoint,
        Self::PutIndex,
        Self::PutWork,
    ];
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nothing happened.
    Before,
    /// It happened, and the caller does not know.
    After,
    /// Nothing happened and never will.
    Denied,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::After, Self::Denied];
}

/// Decides each call's fate; called with the operation and how often it was called before.
pub type FaultPlan = Box<dyn FnMut(Operation, u64) -> Option<Fault> + Send>;

/// A plan shared by the fakes of one world. Clones share it.
#[derive(Clone, Default)]
pub struct Faults {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    plan: Option<FaultPlan>,
    calls: BTreeMap<Operation, u64>,
    /// State of the generator that says how often a call gives way; none: never.
    interleaving: Option<u64>,
    given_way: u64,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("calls", &lock(&self.inner).calls)
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// Sets the plan; counting starts again.
    pub fn plan(&self, plan: impl FnMut(Operation, u64) -> Option<Fault> + Send + 'static) {
        let mut inner = lock(&self.inner);
        inner.calls.clear();
        inner.plan = Some(Box::new(plan));
    }

    /// No faults from here on.
    pub fn clear(&self) {
        lock(&self.inner).plan = None;
    }

    /// From here on each call gives way to the executor at least once before its effect and once
    /// after it, sometimes twice (by the seed), so that a caller can be dropped or overtaken there.
    pub fn interleave(&self, seed: u64) {
        // The generator must not start at nought.
        lock(&self.inner).interleaving = Some(seed | 1);
    }

    /// How often calls gave way so far: whoever polls by hand tells by it a call from a pause.
    #[must_use]
    pub fn given_way(&self) -> u64 {
        lock(&self.inner).given_way
    }

    /// How often an operation was called since the plan was set.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        lock(&self.inner)
            .calls
            .get(&operation)
            .copied()
            .unwrap_or(0)
    }

    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut inner = lock(&self.inner);
        let count = inner.calls.entry(operation).or_default();
        let before = *count;
        *count += 1;
        inner.plan.as_mut().and_then(|plan| plan(operation, before))
    }

    /// How often the next call gives way at one of its two places.
    fn times(&self) -> u32 {
        let mut inner = lock(&self.inner);
        let Some(state) = &mut inner.interleaving else {
            return 0;
        };
        // Xorshift (Marsaglia, 2003): any cheap, fixed sequence does.
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        1 + u32::from(*state >> 62 == 0)
    }

    /// Lets the executor do something else, when calls are interleaved.
    pub(crate) async fn give_way(&self) {
        let mut left = self.times();
        poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            lock(&self.inner).given_way += 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// One call: gives way, runs the effect under the plan, gives way again.
    pub(crate) async fn around<T>(
        &self,
        operation: Operation,
        effect: impl FnOnce() -> T,
    ) -> Result<T, PortError> {
        self.give_way().await;
        let answer = self.decide(operation, effect);
        self.give_way().await;
        answer
    }

    /// Runs an effect under the plan.
    pub(crate) fn decide<T>(
        &self,
        operation: Operation,
        effect: impl FnOnce() -> T,
    ) -> Result<T, PortError> {
        match self.next(operation) {
            None => Ok(effect()),
            Some(Fault::Before) => Err(PortError::Retryable(format!("{operation:?}: throttled"))),
            Some(Fault::After) => {
                effect();
                Err(PortError::Retryable(format!("{operation:?}: timed out")))
            }
            Some(Fault::Denied) => Err(PortError::Fatal(format!("{operation:?}: denied"))),
        }
    }
}
