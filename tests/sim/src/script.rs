//! A history as text: what happens, in order, so that a failing seed becomes a named reproduction.
//!
//! Operations stand one after the other, separated by `;`. `fault`, `crash` and `park` arm the next
//! operation that calls a function. Numbers that name a shard, an envelope or a record are taken
//! modulo how many there are, so that a script stays one when operations are dropped from it. Negative ones
//! count back from the newest, which is -1.

use std::fmt;
use std::str::FromStr;
use vernier_fakes::{Fault, Operation};

/// What an event is made of; the letter in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// A valid event: no letter.
    Plain,
    /// The same id with other content: `b`.
    Other,
    /// The plain one of the same id, by another JSON library: `r`.
    Respelled,
    /// A grade: a learner's score, at a time that other grades may have: `g`.
    Grade,
    /// A grade with the same id and time and another score: `h`.
    OtherGrade,
    /// One that no mode accepts: `x`.
    Invalid,
    /// One of 400 KB, so that three of them need two frames: `L`.
    Large,
    /// One that does not fit a frame: `O`.
    Oversize,
}

/// An event: its id's number and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventSpec {
    /// The id's number.
    pub id: u8,
    /// The rest.
    pub variant: Variant,
}

/// What stands on the stream without being a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GarbageKind {
    /// JSON of something else.
    Text,
    /// A frame cut off in the middle.
    Cut,
    /// A frame of a version to come.
    Newer,
}

/// Where a playback goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Into the results.
    Results,
    /// Onto the stream.
    Stream,
}

/// What a queue may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueTrouble {
    /// It delivers every message once more.
    Double,
    /// It delivers later what nobody has received.
    Delay,
    /// It loses what nobody has received.
    Lose,
}

/// Which calls a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The nth of this operation in the invocation, from 0.
    Nth(u8),
    /// Every one: a store that is down.
    All,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A sensor of a tenant posts an envelope; it may get no answer.
    Send(u16, Vec<EventSpec>),
    /// A sensor posts an earlier envelope's bytes again.
    Resend(i16),
    /// A sensor posts the events of an envelope and of its tenant's next one in two new envelopes,
    /// the first with so many events.
    Reslice(i16, u8),
    /// The trigger delivers up to so many records of a shard from its place.
    Deliver(u8, u8),
    /// The trigger delivers up to so many records again, from so many before its place.
    Redeliver(u8, u8, u8),
    /// A producer's time-out had written: a record stands on the stream once more.
    Copy(u8, i16),
    /// Something else writes to the stream.
    Garbage(u8, GarbageKind),
    /// A shard splits.
    Split(u8),
    /// A shard merges with its neighbour.
    Merge(u8),
    /// The oldest records of a shard are trimmed; the trigger gives up those it did not deliver.
    Expire(u8, u8),
    /// The trigger gives up so many records of a shard: they lie in the failure destination.
    GiveUp(u8, u8),
    /// Time passes, seconds.
    Jump(u8),
    /// The planner runs, and nudges whoever has something due.
    Plan,
    /// A worker takes a turn of the ledger (0) or a tenant, with so many seconds to begin something.
    Work(u16, u8),
    /// The planner runs, and workers for all whom it nudges, each with so many seconds to begin something.
    Run(u8),
    /// So many minutes pass in which nothing runs.
    Outage(u8),
    /// So many minutes pass in which the stack works by itself: each minute the trigger delivers what is on the
    /// stream, the planner runs, and workers for all whom it nudges.
    Live(u16),
    /// An operator makes all work of the ledger (0) or a tenant due.
    Nudge(u16),
    /// The queue between planner and workers does what a queue may do.
    Queue(QueueTrouble),
    /// Somebody asks for a playback of all that a tenant has sealed.
    Replay(u16, Target),
    /// The trigger goes past so many records of a shard, and leaves nothing of them.
    Skip(u8, u8),
    /// A committed segment's object is deleted.
    Lose(i16),
    /// What an envelope carries is such that the stream function fails on it from now on.
    Poison(i16),
    /// A batch of the failure destination is brought back.
    Playback(u8),
    /// A parked invocation goes on.
    Resume(u8),
    /// Arms: a call fails.
    Fault(Operation, Which, Fault),
    /// Arms: the function is killed after so many polls.
    Crash(u16),
    /// Arms: the function stands still after so many polls, and whoever waits for it gives up.
    Park(u16),
}

impl Op {
    /// Whether it only arms another.
    #[must_use]
    pub const fn is_arm(&self) -> bool {
        matches!(self, Self::Fault(..) | Self::Crash(_) | Self::Park(_))
    }

    /// Whether it is about the archive: a history with one of these ends with everything sealed.
    #[must_use]
    pub const fn is_archival(&self) -> bool {
        matches!(
            self,
            Self::Run(_)
                | Self::Outage(_)
                | Self::Live(_)
                | Self::Work(..)
                | Self::Nudge(_)
                | Self::Queue(_)
                | Self::Replay(..)
                | Self::Skip(..)
                | Self::Lose(_)
                | Self::Poison(_)
        )
    }
}

/// Tenants of a history that does not say how many.
pub const TENANTS_USUAL: u16 = 2;

/// A seed for everything that the operations leave open (ids, instants, interleaving), and the
/// operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The seed.
    pub seed: u64,
    /// How many tenants there are.
    pub tenants: u16,
    /// The operations.
    pub ops: Vec<Op>,
}

const VARIANTS: [(Variant, &str); 8] = [
    (Variant::Plain, ""),
    (Variant::Other, "b"),
    (Variant::Respelled, "r"),
    (Variant::Grade, "g"),
    (Variant::OtherGrade, "h"),
    (Variant::Invalid, "x"),
    (Variant::Large, "L"),
    (Variant::Oversize, "O"),
];

const GARBAGE: [(GarbageKind, &str); 3] = [
    (GarbageKind::Text, "text"),
    (GarbageKind::Cut, "cut"),
    (GarbageKind::Newer, "newer"),
];

const TARGETS: [(Target, &str); 2] = [(Target::Results, "results"), (Target::Stream, "stream")];

const TROUBLES: [(QueueTrouble, &str); 3] = [
    (QueueTrouble::Double, "double"),
    (QueueTrouble::Delay, "delay"),
    (QueueTrouble::Lose, "lose"),
];

fn word_of<T: PartialEq>(table: &[(T, &'static str)], value: &T) -> &'static str {
    table
        .iter()
        .find(|(v, _)| v == value)
        .map_or("?", |(_, word)| word)
}

fn value_of<T: Copy>(table: &[(T, &'static str)], word: &str) -> Result<T, String> {
    let found = table.iter().find(|(_, w)| *w == word);
    found
        .map(|(v, _)| *v)
        .ok_or_else(|| format!("unknown: {word:?}"))
}

/// The name of a port operation or a fault in scripts: as in code, in lower case.
fn lower(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn by_name<T: Copy + fmt::Debug>(all: &[T], name: &str) -> Result<T, String> {
    let found = all.iter().copied().find(|v| lower(v) == name);
    found.ok_or_else(|| format!("unknown: {name:?}"))
}

impl fmt::Display for EventSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id, word_of(&VARIANTS, &self.variant))
    }
}

impl FromStr for EventSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        Ok(Self {
            id: number(digits)?,
            variant: value_of(&VARIANTS, &text[digits.len()..])?,
        })
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(tenant, events) => {
                write!(f, "send {tenant}")?;
                events.iter().try_for_each(|e| write!(f, " {e}"))
            }
            Self::Resend(n) => write!(f, "resend {n}"),
            Self::Reslice(n, cut) => write!(f, "reslice {n} {cut}"),
            Self::Deliver(shard, n) => write!(f, "deliver {shard} {n}"),
            Self::Redeliver(shard, back, n) => write!(f, "redeliver {shard} {back} {n}"),
            Self::Copy(shard, n) => write!(f, "copy {shard} {n}"),
            Self::Garbage(lane, kind) => write!(f, "garbage {lane} {}", word_of(&GARBAGE, kind)),
            Self::Split(shard) => write!(f, "split {shard}"),
            Self::Merge(shard) => write!(f, "merge {shard}"),
            Self::Expire(shard, n) => write!(f, "expire {shard} {n}"),
            Self::GiveUp(shard, n) => write!(f, "giveup {shard} {n}"),
            Self::Jump(seconds) => write!(f, "jump {seconds}"),
            Self::Plan => write!(f, "plan"),
            Self::Work(n, seconds) => write!(f, "work {n} {seconds}"),
            Self::Run(seconds) => write!(f, "run {seconds}"),
            Self::Outage(minutes) => write!(f, "outage {minutes}"),
            Self::Live(minutes) => write!(f, "live {minutes}"),
            Self::Nudge(n) => write!(f, "nudge {n}"),
            Self::Queue(trouble) => write!(f, "queue {}", word_of(&TROUBLES, trouble)),
            Self::Replay(tenant, to) => write!(f, "replay {tenant} {}", word_of(&TARGETS, to)),
            Self::Skip(shard, n) => write!(f, "skip {shard} {n}"),
            Self::Lose(n) => write!(f, "lose {n}"),
            Self::Poison(n) => write!(f, "poison {n}"),
            Self::Playback(n) => write!(f, "playback {n}"),
            Self::Resume(n) => write!(f, "resume {n}"),
            Self::Fault(operation, which, fault) => {
                let which = match which {
                    Which::Nth(n) => n.to_string(),
                    Which::All => "*".to_owned(),
                };
                write!(f, "fault {} {which} {}", lower(operation), lower(fault))
            }
            Self::Crash(polls) => write!(f, "crash {polls}"),
            Self::Park(polls) => write!(f, "park {polls}"),
        }
    }
}

fn number<T: FromStr<Err: fmt::Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|e| format!("{word:?}: {e}"))
}

fn which(word: &str) -> Result<Which, String> {
    if word == "*" {
        return Ok(Which::All);
    }
    number(word).map(Which::Nth)
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["send", tenant, events @ ..] => {
                let events: Result<Vec<EventSpec>, String> =
                    events.iter().map(|e| e.parse()).collect();
                Self::Send(number(tenant)?, events?)
            }
            ["resend", n] => Self::Resend(number(n)?),
            ["reslice", n, cut] => Self::Reslice(number(n)?, number(cut)?),
            ["deliver", shard, n] => Self::Deliver(number(shard)?, number(n)?),
            ["redeliver", shard, back, n] => {
                Self::Redeliver(number(shard)?, number(back)?, number(n)?)
            }
            ["copy", shard, n] => Self::Copy(number(shard)?, number(n)?),
            ["garbage", lane, kind] => Self::Garbage(number(lane)?, value_of(&GARBAGE, kind)?),
            ["split", shard] => Self::Split(number(shard)?),
            ["merge", shard] => Self::Merge(number(shard)?),
            ["expire", shard, n] => Self::Expire(number(shard)?, number(n)?),
            ["giveup", shard, n] => Self::GiveUp(number(shard)?, number(n)?),
            ["jump", seconds] => Self::Jump(number(seconds)?),
            ["plan"] => Self::Plan,
            ["work", n, seconds] => Self::Work(number(n)?, number(seconds)?),
            ["run", seconds] => Self::Run(number(seconds)?),
            ["outage", minutes] => Self::Outage(number(minutes)?),
            ["live", minutes] => Self::Live(number(minutes)?),
            ["nudge", n] => Self::Nudge(number(n)?),
            ["queue", trouble] => Self::Queue(value_of(&TROUBLES, trouble)?),
            ["replay", tenant, to] => Self::Replay(number(tenant)?, value_of(&TARGETS, to)?),
            ["skip", shard, n] => Self::Skip(number(shard)?, number(n)?),
            ["lose", n] => Self::Lose(number(n)?),
            ["poison", n] => Self::Poison(number(n)?),
            ["playback", n] => Self::Playback(number(n)?),
            ["resume", n] => Self::Resume(number(n)?),
            ["fault", operation, nth, fault] => Self::Fault(
                by_name(&Operation::ALL, operation)?,
                which(nth)?,
                by_name(&Fault::ALL, fault)?,
            ),
            ["crash", polls] => Self::Crash(number(polls)?),
            ["park", polls] => Self::Park(number(polls)?),
            _ => return Err(format!("no operation: {text:?}")),
        })
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}", self.seed)?;
        if self.tenants != TENANTS_USUAL {
            write!(f, "; tenants {}", self.tenants)?;
        }
        self.ops.iter().try_for_each(|op| write!(f, "; {op}"))
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text
            .split(';')
            .map(str::trim)
            .filter(|p| !p.is_empty())
            .peekable();
        let mut setting = |name: &str| {
            let part = parts.next_if(|p| p.starts_with(name));
            part.map(|part| number(part[name.len()..].trim()))
                .transpose()
        };
        let seed = setting("seed ")?.unwrap_or(0);
        let tenants = setting("tenants ")?.unwrap_or(u64::from(TENANTS_USUAL));
        let tenants = u16::try_from(tenants).map_err(|e| format!("{tenants} tenants: {e}"))?;
        if tenants == 0 {
            return Err("a history without tenants".to_owned());
        }
        let ops: Result<Vec<Op>, String> = parts.map(str::parse).collect();
        Ok(Self {
            seed,
            tenants,
            ops: ops?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_read_back_as_they_print() {
        let text = "seed 7; tenants 20; send 1 0 3b 4x 7g 8h 5L 6O; resend 2; reslice 1 2; deliver 0 3; redeliver 0 2 5; \
                    copy 1 -3; garbage 3 cut; split 0; merge 1; expire 0 4; giveup 1 2; jump 90; plan; work 1 20; \
                    playback 0; resume 1; run 30; outage 60; live 1440; nudge 0; queue double; replay 1 stream; skip 0 2; lose 3; poison -1; fault claim 1 after; fault putobject * denied; crash 5; park 9";
        let script: Script = text.parse().expect("a script");
        assert_eq!((script.tenants, script.ops.len()), (20, 29));
        assert_eq!(script.to_string().parse(), Ok(script.clone()));
        assert!("seed 1; deliver 0".parse::<Script>().is_err());
    }
}
