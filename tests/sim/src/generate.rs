//! From a seed to a history.

use super::script::{
    EventSpec, GarbageKind, Op, QueueTrouble, Script, TENANTS_USUAL, Target, Variant, Which,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vernier_fakes::{Fault, Operation};

/// Operations of a history, arms not counted.
const OPS: std::ops::Range<usize> = 15..55;

/// One history of so many is about the archive as well: it takes some thirty times as long.
const ARCHIVAL: u64 = 16;

/// Polls of a worker that has something to do: nine of ten take fewer.
const RUN_POLLS: u16 = 220;

/// Ids that events of any history are drawn from, at most.
pub(super) const IDS_MAX: u8 = 200;

/// Who takes part in a history, and what with.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// How many tenants there are.
    tenants: u16,
    /// Ids that events are drawn from.
    ids: u8,
    /// Whether it is a long history, in which the newest envelopes are named rather than the first, and time that
    /// passes is not bounded.
    is_long: bool,
}

impl Scale {
    /// Of short histories: few ids, so that they meet.
    const USUAL: Self = Self {
        tenants: TENANTS_USUAL,
        ids: 12,
        is_long: false,
    };

    /// A tenant. Where there are many, every other time one of a few that are busy, so that their events meet.
    fn tenant(self, random: &mut impl Rng) -> u16 {
        match self.tenants > 2 * BUSY_TENANTS && random.random_range(0..2) == 0 {
            true => random.random_range(0..BUSY_TENANTS),
            false => random.random_range(0..self.tenants),
        }
    }

    /// Whose work something is done with: the ledger (0), or a tenant.
    fn owner(self, random: &mut impl Rng) -> u16 {
        match self.tenants > 2 * BUSY_TENANTS {
            true if random.random_range(0..8) == 0 => 0,
            true => self.tenant(random) + 1,
            false => random.random_range(0..=self.tenants),
        }
    }

    /// One of the first so many of something, or of the newest.
    fn one_of(self, random: &mut impl Rng, count: u8) -> i16 {
        let n = i16::from(random.random_range(0..count));
        match self.is_long && random.random_range(0..4) > 0 {
            true => -1 - n,
            false => n,
        }
    }

    /// Some seconds pass.
    fn pause(self, seconds: u8) -> Op {
        match self.is_long {
            true => Op::Outage(seconds.div_ceil(60)),
            false => Op::Jump(seconds),
        }
    }
}

/// Tenants of a history of very many that have half of all that happens.
const BUSY_TENANTS: u16 = 10;

/// Bursts of a long history: for each day so many, at most.
const BURSTS_A_DAY_MAX: u32 = 6;

/// Operations of a burst.
const BURST_OPS: std::ops::Range<u32> = 1..9;

/// Minutes of a day.
const DAY_MINUTES: u32 = 24 * 60;

/// The history of a seed: the same on every machine and in every version of this crate's
/// dependencies (ChaCha is a published algorithm, and its seeding from a number is fixed).
#[must_use]
pub fn script(seed: u64) -> Script {
    let scale = Scale::USUAL;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = random.random_range(OPS);
    let mut ops = Vec::with_capacity(count * 2);
    // Some histories are calm, some are storms.
    let trouble = random.random_range(0..90);
    let is_archival = seed.is_multiple_of(ARCHIVAL);
    let loses = is_archival && random.random_range(0..3) == 0;
    for _ in 0..count {
        if is_archival {
            match random.random_range(0..60) {
                0..3 => late(scale, &mut random, &mut ops),
                3..5 => overlap(scale, &mut random, &mut ops),
                5 => replay(scale, &mut random, &mut ops),
                // Once, in most of them: many windows take long.
                6 if !ops.iter().any(|op| matches!(op, Op::Outage(_))) => {
                    ops.push(Op::Outage(random.random_range(20..90)));
                }
                _ => {}
            }
        }
        let op = if is_archival && random.random_range(0..100) < 30 {
            archival(scale, &mut random, loses)
        } else {
            operation(scale, &mut random)
        };
        if calls_a_function(&op) && random.random_range(0..100) < trouble {
            arm(&mut random, &mut ops, &op);
        }
        ops.push(op);
    }
    Script {
        seed,
        tenants: scale.tenants,
        ops,
    }
}

/// A long history, of at most so many tenants and days, and at least one: quiet times in which the stack works by
/// itself, minute by minute, and bursts of trouble between them.
#[must_use]
pub fn long_script(seed: u64, tenants_max: u16, days_max: u16) -> Script {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let tenants = random.random_range(1..=tenants_max.max(1));
    let days = random.random_range(1..=days_max.max(1));
    let scale = Scale {
        tenants,
        ids: IDS_MAX,
        is_long: true,
    };
    let trouble = random.random_range(0..90);
    let loses = random.random_range(0..3) == 0;
    let mut ops = Vec::new();
    for _ in 0..days {
        let mut left = DAY_MINUTES;
        for _ in 0..random.random_range(0..=BURSTS_A_DAY_MAX) {
            let quiet = random.random_range(0..=left / 2);
            left -= quiet;
            ops.extend(live(quiet));
            burst(scale, &mut random, &mut ops, (trouble, loses));
        }
        ops.extend(live(left));
    }
    Script { seed, tenants, ops }
}

fn live(minutes: u32) -> Option<Op> {
    let minutes = u16::try_from(minutes).unwrap_or(u16::MAX);
    (minutes > 0).then_some(Op::Live(minutes))
}

/// Some operations one soon after the other: of a hundred calls `trouble` have faults before them.
fn burst(scale: Scale, random: &mut impl Rng, ops: &mut Vec<Op>, (trouble, loses): (u32, bool)) {
    for _ in 0..random.random_range(BURST_OPS) {
        match random.random_range(0..40) {
            0..2 => late(scale, random, ops),
            2..4 => overlap(scale, random, ops),
            4 => replay(scale, random, ops),
            5 => ops.push(Op::Outage(random.random_range(20..90))),
            6 => poison(scale, random, ops),
            _ => {}
        }
        let op = if random.random_range(0..100) < 20 {
            archival(scale, random, loses)
        } else {
            operation(scale, random)
        };
        if calls_a_function(&op) && random.random_range(0..100) < trouble {
            arm(random, ops, &op);
        }
        ops.push(op);
    }
}

/// An envelope that the stream function fails on.
fn poison(scale: Scale, random: &mut impl Rng, ops: &mut Vec<Op>) {
    ops.push(send(scale, random));
    ops.push(Op::Poison(-1));
}

/// Envelopes whose sensor got no answer, and whose frames are delivered when their window is sealed.
fn late(scale: Scale, random: &mut impl Rng, ops: &mut Vec<Op>) {
    let shard = random.random_range(0..4);
    for _ in 0..random.random_range(1..4) {
        ops.push(Op::Fault(Operation::Acknowledge, Which::All, Fault::Before));
        ops.push(send(scale, random));
    }
    ops.extend([scale.pause(240), Op::Run(30)]);
    for _ in 0..random.random_range(1..4) {
        ops.push(Op::Deliver(shard, random.random_range(1..3)));
        if random.random_range(0..2) == 0 {
            arm(random, ops, &Op::Run(30));
        }
        ops.push(Op::Run(30));
    }
}

/// Two workers of one owner at once, with windows to seal.
fn overlap(scale: Scale, random: &mut impl Rng, ops: &mut Vec<Op>) {
    ops.extend([scale.pause(random.random_range(120..250)), Op::Plan]);
    ops.push(Op::Park(random.random_range(1..RUN_POLLS)));
    let owner = scale.owner(random);
    ops.extend([Op::Work(owner, 30), Op::Work(owner, 30), Op::Resume(0)]);
}

/// A playback onto the stream, and a turn in which it fails.
fn replay(scale: Scale, random: &mut impl Rng, ops: &mut Vec<Op>) {
    ops.push(Op::Replay(scale.tenant(random), Target::Stream));
    let nth = Which::Nth(random.random_range(0..2));
    let fault = if random.random_range(0..2) == 0 {
        Fault::Before
    } else {
        Fault::After
    };
    ops.push(Op::Fault(Operation::MovePlayback, nth, fault));
    ops.push(Op::Run(30));
}

/// Of planner and workers, of what they have to make good, and of what nobody can.
fn archival(scale: Scale, random: &mut impl Rng, loses: bool) -> Op {
    let shard = random.random_range(0..4);
    match random.random_range(0..100) {
        0..42 => Op::Run(random.random_range(1..30)),
        42..65 => scale.pause(random.random_range(60..250)),
        65..78 => Op::Replay(
            scale.tenant(random),
            if random.random_range(0..2) == 0 {
                Target::Results
            } else {
                Target::Stream
            },
        ),
        78..84 => Op::Nudge(scale.owner(random)),
        84..86 => Op::Work(scale.owner(random), random.random_range(1..30)),
        86..88 => Op::Queue(match random.random_range(0..3) {
            0 => QueueTrouble::Double,
            1 => QueueTrouble::Delay,
            _ => QueueTrouble::Lose,
        }),
        88..97 => Op::Skip(shard, random.random_range(1..4)),
        _ if loses => Op::Lose(scale.one_of(random, 8)),
        _ => Op::Run(60),
    }
}

fn calls_a_function(op: &Op) -> bool {
    matches!(
        op,
        Op::Send(..)
            | Op::Resend(_)
            | Op::Reslice(..)
            | Op::Deliver(..)
            | Op::Redeliver(..)
            | Op::Plan
            | Op::Work(..)
            | Op::Run(_)
            | Op::Nudge(_)
            | Op::Replay(..)
            | Op::Playback(_)
            | Op::Resume(_)
    )
}

fn arm(random: &mut impl Rng, ops: &mut Vec<Op>, before: &Op) {
    // A worker asks the stores a few hundred times.
    let polls = match before {
        Op::Run(_) | Op::Work(..) if random.random_range(0..3) > 0 => RUN_POLLS,
        _ => 24,
    };
    for _ in 0..random.random_range(0..5) {
        let operation = Operation::ALL[random.random_range(0..Operation::ALL.len())];
        let which = if random.random_range(0..12) == 0 {
            Which::All
        } else {
            Which::Nth(random.random_range(0..4))
        };
        // Denied is rare: it is a wrong policy, not weather.
        let fault = match random.random_range(0..10) {
            0 => Fault::Denied,
            1..5 => Fault::Before,
            _ => Fault::After,
        };
        ops.push(Op::Fault(operation, which, fault));
    }
    match random.random_range(0..5) {
        0 | 1 => ops.push(Op::Crash(random.random_range(0..polls))),
        2 => ops.push(Op::Park(random.random_range(1..polls))),
        _ => {}
    }
}

fn operation(scale: Scale, random: &mut impl Rng) -> Op {
    let shard = random.random_range(0..4);
    match random.random_range(0..100) {
        0..24 => send(scale, random),
        24..29 => Op::Resend(scale.one_of(random, 16)),
        29..33 => Op::Reslice(scale.one_of(random, 16), random.random_range(0..4)),
        33..59 => Op::Deliver(shard, random.random_range(1..9)),
        59..67 => Op::Redeliver(shard, random.random_range(1..8), random.random_range(1..9)),
        67..72 => Op::Resume(random.random_range(0..4)),
        72..75 => Op::Copy(shard, scale.one_of(random, 16)),
        75..78 => Op::Garbage(shard, garbage(random)),
        78..80 => Op::Split(shard),
        80..82 => Op::Merge(shard),
        82..84 => Op::Expire(shard, random.random_range(1..9)),
        84..86 => Op::GiveUp(shard, random.random_range(1..6)),
        86..91 => scale.pause(random.random_range(1..120)),
        91..96 => Op::Plan,
        _ => Op::Playback(random.random_range(0..4)),
    }
}

fn garbage(random: &mut impl Rng) -> GarbageKind {
    match random.random_range(0..3) {
        0 => GarbageKind::Text,
        1 => GarbageKind::Cut,
        _ => GarbageKind::Newer,
    }
}

fn send(scale: Scale, random: &mut impl Rng) -> Op {
    // Megabytes take a hundred times as long as the rest: rare, and a run has thousands of histories. Of long ones it has
    // few.
    let variant = match random.random_range(0..if scale.is_long { 500 } else { 3_000 }) {
        0 => Variant::Oversize,
        1..3 => Variant::Large,
        _ => Variant::Plain,
    };
    let count = if variant == Variant::Large {
        3
    } else {
        random.random_range(1..5)
    };
    let mut event = || EventSpec {
        id: random.random_range(0..scale.ids),
        variant: match random.random_range(0..12) {
            _ if variant != Variant::Plain => variant,
            0 => Variant::Invalid,
            1 | 2 => Variant::Other,
            3 | 4 => Variant::Grade,
            5 => Variant::OtherGrade,
            6 => Variant::Respelled,
            _ => Variant::Plain,
        },
    };
    let mut events: Vec<EventSpec> = (0..count).map(|_| event()).collect();
    if variant == Variant::Oversize {
        events.truncate(1);
    }
    Op::Send(scale.tenant(random), events)
}
