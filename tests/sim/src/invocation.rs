//! One call of a function, polled by hand, so that it can be dropped or overtaken at any await.

use super::archive::new_nonce;
use super::mutants::{Planted, Role, of_role};
use super::world::{LIFE_SECONDS, PATIENCE_SECONDS, RECONCILE};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use vernier_fakes::Faults;
use vernier_intake::{NotAccepted, OpenWindows};
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::ids::Shard;
use vernier_ledger::ports::PortError;
use vernier_ledger::recovery::BroughtBack;
use vernier_ledger::time::Millis;
use vernier_reconcile::worker::Turn;
use vernier_stream::ProcessMemory;

/// The functions' stores over one world.
#[derive(Debug)]
pub(super) struct Functions {
    /// Of input, stream, and operators.
    pub(super) general: Planted,
    /// The stores of planner and workers, with their planted bug.
    pub(super) working: Planted,
    /// Windows that input has opened.
    pub(super) windows: OpenWindows,
    /// What the stream function knows of what it did.
    pub(super) memory: ProcessMemory,
}

/// What a process knows that has opened no window yet.
pub(super) fn open_windows() -> OpenWindows {
    OpenWindows::new(times(), new_nonce)
}

/// What is committed so long after its window's end is late, seconds: the stream's clock may be 20 seconds behind, and
/// windows are sealed a minute after their end, so that what is not late is there by then.
const LATE_SECONDS: i64 = 20;

fn times() -> WindowTimes {
    WindowTimes {
        stream_timeout_seconds: LIFE_SECONDS,
        late_seconds: LATE_SECONDS,
        ..WindowTimes::new(RECONCILE.window_minutes, RECONCILE.grace_seconds)
    }
}

impl Functions {
    /// Over these stores.
    pub(super) fn new(planted: &Planted) -> Self {
        Self {
            general: of_role(planted, Role::General),
            working: of_role(planted, Role::Working),
            windows: open_windows(),
            memory: ProcessMemory::new(times(), new_nonce),
        }
    }
}

/// Pauses of the functions (at most a second) end together after this: which of several wakes first
/// is the script's to say, and how long each was does not show.
pub(super) const TICK: Duration = Duration::from_millis(1_001);

/// Polls of one invocation (invariant 8). Most take a few hundred; the daily audit some sixty for each tenant that it
/// comes to, of which there are thousands.
const POLLS_MAX: u32 = 500_000;

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// A sensor with this attempt.
    Sensor {
        /// Its place in the list of attempts.
        attempt: usize,
    },
    /// The trigger, with so many records from its place.
    Trigger {
        /// Of this shard.
        shard: Shard,
        /// How many, when it moves on after a success.
        advance: Option<usize>,
    },
    /// The schedule: the planner.
    Schedule,
    /// The queue's trigger: a worker.
    Queue {
        /// The receive that deletes the message when the worker succeeds; none of a nudge that came twice.
        handle: Option<u64>,
    },
    /// Somebody who wants a playback.
    Asker,
    /// Whoever brings back this batch of the failure destination.
    Operator {
        /// The batch's number.
        failure: u64,
    },
}

/// How an invocation ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Input's.
    Sent(Result<u64, NotAccepted>),
    /// Stream's.
    Delivered(Result<vernier_stream::Outcome, PortError>),
    /// The planner has come to its end.
    Planned,
    /// A worker has come to its end.
    Turned(Box<Result<Turn, PortError>>),
    /// Of an operator who makes an owner's work due.
    Nudged,
    /// Of asking for a playback: whether there is one now.
    Begun(bool),
    /// Of a failed batch that is brought back.
    BroughtBack(Result<BroughtBack, PortError>),
}

/// A running invocation.
pub(super) struct Invocation {
    /// Who waits for it.
    pub(super) caller: Caller,
    /// When it began.
    pub(super) began: Millis,
    future: Pin<Box<dyn Future<Output = Ending>>>,
}

/// What became of driving an invocation.
pub(super) enum Driven {
    /// It ended.
    Ended(Ending),
    /// It had its polls and is not at its end.
    Stopped,
    /// It went on for longer than anything may.
    Endless,
}

impl Invocation {
    /// A call that has not begun.
    pub(super) fn new(
        caller: Caller,
        began: Millis,
        future: impl Future<Output = Ending> + 'static,
    ) -> Self {
        Self {
            caller,
            began,
            future: Box::pin(future),
        }
    }

    /// When it is killed: a sensor waits no longer, or the runtime ends it.
    pub(super) const fn ends_by(&self) -> Millis {
        self.began.plus_seconds(match self.caller {
            Caller::Sensor { .. } => PATIENCE_SECONDS,
            _ => LIFE_SECONDS,
        })
    }

    /// Polls it to its end, or `polls` times. Where it waits for time, time passes.
    pub(super) async fn drive(
        &mut self,
        faults: &Faults,
        polls: Option<u16>,
        mut time_passes: impl FnMut(),
    ) -> Driven {
        for poll in 0..POLLS_MAX {
            if polls.is_some_and(|p| poll >= u32::from(p)) {
                return Driven::Stopped;
            }
            let before = faults.given_way();
            let polled = poll_fn(|_| {
                // Nobody is to be woken: whatever is pending is polled again.
                let polled = self
                    .future
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                Poll::Ready(polled)
            });
            match polled.await {
                Poll::Ready(ending) => return Driven::Ended(ending),
                Poll::Pending if faults.given_way() == before => {
                    tokio::time::advance(TICK).await;
                    time_passes();
                }
                Poll::Pending => {}
            }
        }
        Driven::Endless
    }
}

/// The functions, shared by what runs.
pub(super) type SharedFunctions = Rc<Functions>;
