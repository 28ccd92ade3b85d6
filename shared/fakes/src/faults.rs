//! When calls fail.

use crate::lock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
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
    /// `Results::merge`.
    MergeResult,
    /// `Objects::put_new`.
    PutObject,
    /// Any read.
    Read,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happened.
    Before,
    /// It happened, and the caller does not know.
    After,
    /// Nothing happened and never will.
    Denied,
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

    /// Runs an effect under the plan.
    pub(crate) fn around<T>(
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
