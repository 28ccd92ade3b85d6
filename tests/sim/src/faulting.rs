//! What is armed for the next invocation, and what of it struck.

use super::script::{Op, Which};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vernier_fakes::{Fault, Operation};

/// Faults, a crash, a pause; shared with the plan of the fakes.
#[derive(Debug, Clone, Default)]
pub(super) struct Arms {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Vec<(Operation, Which, Fault)>,
    calls: BTreeMap<Operation, u64>,
    struck: BTreeMap<(Operation, Fault), u64>,
    crash: Option<u16>,
    park: Option<u16>,
}

/// After how many polls an invocation is stopped, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is dropped.
    Crash(u16),
    /// It is left alone for a while.
    Park(u16),
}

impl Stop {
    /// After how many polls.
    pub(super) const fn polls(self) -> u16 {
        match self {
            Self::Crash(polls) | Self::Park(polls) => polls,
        }
    }
}

impl Arms {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an arming operation.
    pub(super) fn arm(&self, op: &Op) {
        let mut inner = self.lock();
        match op {
            Op::Fault(operation, which, fault) => inner.faults.push((*operation, *which, *fault)),
            Op::Crash(polls) => inner.crash = Some(*polls),
            Op::Park(polls) => inner.park = Some(*polls),
            _ => {}
        }
    }

    /// An invocation begins: calls are counted from here.
    pub(super) fn begin(&self) -> Option<Stop> {
        let mut inner = self.lock();
        inner.calls.clear();
        let crash = inner.crash.take().map(Stop::Crash);
        crash.or(inner.park.take().map(Stop::Park))
    }

    /// An invocation ended or stopped: what did not strike is void.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.faults.clear();
        inner.crash = None;
        inner.park = None;
    }

    /// The fate of a call.
    pub(super) fn fate(&self, operation: Operation) -> Option<Fault> {
        let mut inner = self.lock();
        let calls = inner.calls.entry(operation).or_default();
        let nth = *calls;
        *calls += 1;
        let hits = |which: &Which| match which {
            Which::Nth(n) => u64::from(*n) == nth,
            Which::All => true,
        };
        let found = inner
            .faults
            .iter()
            .find(|(o, w, _)| *o == operation && hits(w));
        let fault = found.map(|(_, _, fault)| *fault)?;
        *inner.struck.entry((operation, fault)).or_default() += 1;
        Some(fault)
    }

    /// Faults that struck, by kind.
    pub(super) fn struck(&self) -> BTreeMap<(Operation, Fault), u64> {
        self.lock().struck.clone()
    }
}
