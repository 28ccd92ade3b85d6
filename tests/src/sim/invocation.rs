//! One call of a function, polled by hand, so that it can be dropped or overtaken at any await.

use super::archive::new_nonce;
use super::mutants::{Planted, Role, Table, of_role};
use super::world::{LIFE_SECONDS, RECONCILE};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use vernier_fakes::Faults;
use vernier_intake::{NotAccepted, OpenWindows};
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::ids::Shard;
use vernier_ledger::playback::BroughtBack;
use vernier_ledger::ports::PortError;
use vernier_ledger::schema::SchemaCache;
use vernier_ledger::time::Millis;
use vernier_reconcile::sealing::SealSummary;
use vernier_reconcile::sweeping::SweepSummary;
use vernier_stream::LateWindows;

/// The functions' stores over one world.
#[derive(Debug)]
pub(super) struct Functions {
    /// Of input, stream, and whatever of reconcile is named nowhere else.
    pub(super) general: Planted,
    /// The stores of whatever brings back, with its planted bug.
    pub(super) healing: Planted,
    /// The stores of whatever seals, with its planted bug.
    pub(super) sealing: Planted,
    /// The stores of whatever plays back, with its planted bug.
    pub(super) playing: Planted,
    /// The stores of whatever sweeps, with its planted bug.
    pub(super) sweeping: Planted,
    /// Schemas that playbacks judge by.
    pub(super) schemas: SchemaCache<Table>,
    /// Windows that whoever sends has opened.
    pub(super) windows: OpenWindows,
    /// Late windows that the stream function has put entries of.
    pub(super) late: LateWindows,
}

impl Functions {
    /// Over these stores.
    pub(super) fn new(planted: &Planted) -> Self {
        let playing = of_role(planted, Role::Playing);
        let times = WindowTimes {
            stream_timeout_seconds: LIFE_SECONDS,
            ..WindowTimes::new(RECONCILE.window_minutes, RECONCILE.grace_seconds)
        };
        Self {
            general: of_role(planted, Role::General),
            healing: of_role(planted, Role::Healing),
            sealing: of_role(planted, Role::Sealing),
            sweeping: of_role(planted, Role::Sweeping),
            schemas: SchemaCache::new(playing.table.clone(), Duration::ZERO),
            windows: OpenWindows::new(times, new_nonce),
            late: LateWindows::new(times, new_nonce),
            playing,
        }
    }
}

/// Pauses of the functions (at most a second) end together after this: which of several wakes first
/// is the script's to say, and how long each was does not show.
pub(super) const TICK: Duration = Duration::from_millis(1_001);

/// Polls of one invocation; the largest here takes a few hundred (invariant 8).
const POLLS_MAX: u32 = 50_000;

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
    /// The schedule.
    Schedule,
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
    /// Reconcile's.
    Reconciled(Result<vernier_reconcile::RunSummary, PortError>),
    /// The whole scheduled run's.
    Ran(Result<Ran, PortError>),
    /// Of a sweep.
    Swept(Result<SweepSummary, PortError>),
    /// Of asking for a playback: whether there is one now.
    Begun(bool),
    /// Of a failed batch that is brought back.
    BroughtBack(Result<BroughtBack, PortError>),
}

/// What a scheduled run did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ran {
    /// Windows that did not add up.
    pub(super) incomplete: u32,
    /// Frames that were put on the stream again.
    pub(super) played_back: u64,
    /// What it sealed.
    pub(super) seals: SealSummary,
    /// Steps of playbacks.
    pub(super) steps: u32,
}

impl Ran {
    /// Whether it changed something, so that the next one may have more to do.
    pub(super) const fn did_something(&self) -> bool {
        self.played_back + self.seals.events > 0 || self.seals.left + self.steps > 0
    }
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
