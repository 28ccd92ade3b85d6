//! From a failing history to a short one.

use super::mutants::Bug;
use super::script::{Op, Script};
use super::{Violation, play};
use std::time::{Duration, Instant};

/// How long shrinking goes on.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Histories that it may play.
    pub plays_max: u32,
    /// After this it begins no other: a history of months takes longer than all others together.
    pub time_max: Duration,
}

impl Effort {
    /// Where somebody reads what is left.
    pub const USUAL: Self = Self {
        plays_max: 800,
        time_max: Duration::from_secs(120),
    };
}

struct Shrinker {
    bug: Option<Bug>,
    plays_left: u32,
    until: Instant,
    best: Script,
    violation: Violation,
}

impl Shrinker {
    /// Plays a candidate; keeps it when it fails, whatever it fails with.
    fn fails(&mut self, ops: Vec<Op>) -> bool {
        if self.plays_left == 0 || Instant::now() >= self.until {
            return false;
        }
        self.plays_left -= 1;
        let candidate = Script {
            seed: self.best.seed,
            tenants: self.best.tenants,
            ops,
        };
        let Some(violation) = play(&candidate, self.bug).violation else {
            return false;
        };
        self.best = candidate;
        self.violation = violation;
        true
    }

    /// Drops runs of operations: halves first, single ones last.
    fn drop_operations(&mut self) -> bool {
        let mut shrunk = false;
        let mut length = self.best.ops.len().div_ceil(2);
        while length > 0 {
            let mut at = 0;
            while at < self.best.ops.len() {
                let mut ops = self.best.ops.clone();
                ops.drain(at..(at + length).min(ops.len()));
                if self.fails(ops) {
                    shrunk = true;
                } else {
                    at += length;
                }
            }
            length /= 2;
        }
        shrunk
    }

    /// Makes each operation smaller.
    fn simplify_operations(&mut self) -> bool {
        let mut shrunk = false;
        for at in 0..self.best.ops.len() {
            let mut again = true;
            while again {
                again = smaller(&self.best.ops[at]).into_iter().any(|op| {
                    let mut ops = self.best.ops.clone();
                    ops[at] = op;
                    self.fails(ops)
                });
                shrunk |= again;
            }
        }
        shrunk
    }
}

/// Smaller numbers: much smaller ones first, so that a thousand takes ten steps.
fn fewer(number: u16) -> impl Iterator<Item = u16> {
    let steps = [0, number / 2, number - number / 8, number.saturating_sub(1)];
    steps.into_iter().filter(move |n| *n < number)
}

/// Numbers nearer to nought.
fn nearer(number: i16) -> impl Iterator<Item = i16> {
    let steps = [0, number / 2, number - number.signum()];
    { steps.into_iter() }.filter(move |n| n.abs() < number.abs())
}

/// The next smaller forms of an operation.
fn smaller(op: &Op) -> Vec<Op> {
    let less = |n: &u8| {
        let n = *n;
        let fewer = [0, n / 2, n.saturating_sub(1)];
        fewer.into_iter().filter(move |m| *m < n)
    };
    match op {
        Op::Send(tenant, events) => {
            let without = (0..events.len()).filter(|_| events.len() > 1).map(|n| {
                let mut fewer = events.clone();
                fewer.remove(n);
                Op::Send(*tenant, fewer)
            });
            without
                .chain(fewer(*tenant).map(|t| Op::Send(t, events.clone())))
                .collect()
        }
        Op::Resend(n) => nearer(*n).map(Op::Resend).collect(),
        Op::Reslice(n, cut) => nearer(*n).map(|n| Op::Reslice(n, *cut)).collect(),
        Op::Deliver(shard, n) => {
            let fewer = less(n).filter(|n| *n > 0).map(|n| Op::Deliver(*shard, n));
            fewer
                .chain(less(shard).map(|s| Op::Deliver(s, *n)))
                .collect()
        }
        Op::Redeliver(shard, back, n) => {
            let fewer = less(n)
                .filter(|n| *n > 0)
                .map(|n| Op::Redeliver(*shard, *back, n));
            fewer
                .chain(less(shard).map(|s| Op::Redeliver(s, *back, *n)))
                .collect()
        }
        Op::GiveUp(shard, n) => less(n)
            .filter(|n| *n > 0)
            .map(|n| Op::GiveUp(*shard, n))
            .collect(),
        Op::Jump(n) => less(n).filter(|n| *n > 0).map(Op::Jump).collect(),
        Op::Run(seconds) => less(seconds).filter(|n| *n > 0).map(Op::Run).collect(),
        Op::Outage(minutes) => less(minutes).filter(|n| *n > 0).map(Op::Outage).collect(),
        Op::Live(minutes) => fewer(*minutes).filter(|n| *n > 0).map(Op::Live).collect(),
        Op::Replay(tenant, to) => fewer(*tenant).map(|t| Op::Replay(t, *to)).collect(),
        Op::Skip(shard, n) => {
            let fewer = less(n).filter(|n| *n > 0).map(|n| Op::Skip(*shard, n));
            fewer.chain(less(shard).map(|s| Op::Skip(s, *n))).collect()
        }
        Op::Lose(n) => nearer(*n).map(Op::Lose).collect(),
        Op::Poison(n) => nearer(*n).map(Op::Poison).collect(),
        Op::Playback(n) => less(n).map(Op::Playback).collect(),
        Op::Resume(n) => less(n).map(Op::Resume).collect(),
        Op::Crash(polls) => fewer(*polls).map(Op::Crash).collect(),
        Op::Park(polls) => fewer(*polls).map(Op::Park).collect(),
        _ => Vec::new(),
    }
}

/// The shortest script found with so much effort that still fails, and with what.
#[must_use]
pub fn shrink(
    script: Script,
    violation: Violation,
    bug: Option<Bug>,
    effort: Effort,
) -> (Script, Violation) {
    let mut shrinker = Shrinker {
        bug,
        plays_left: effort.plays_max,
        until: Instant::now() + effort.time_max,
        best: script,
        violation,
    };
    while shrinker.drop_operations() | shrinker.simplify_operations() {}
    (shrinker.best, shrinker.violation)
}
