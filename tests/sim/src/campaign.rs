//! Many seeds on all cores, counted.

use super::generate;
use super::mutants::Bug;
use super::script::Script;
use super::shrink::Effort;
use super::{Counts, Violation, play, shrink};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use vernier_fakes::{Fault, Operation};

/// Seeds that one thread takes at once.
const SEEDS_AT_ONCE: u64 = 16;

/// A seed that failed, shrunk.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The seed.
    pub seed: u64,
    /// The shortest script that fails.
    pub script: Script,
    /// With what.
    pub violation: Violation,
}

/// What a campaign saw.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Histories played.
    pub runs: u64,
    /// What happened in them.
    pub counts: Counts,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<(Operation, Fault), u64>,
    /// How long it took.
    pub took: Duration,
    /// How many histories failed.
    pub violations: u64,
    /// The first of them, shrunk.
    pub findings: Vec<Finding>,
}

/// Of shrinking where the bug was planted: that its script is played again matters there, not that it is the shortest.
const HUNT_EFFORT: Effort = Effort {
    plays_max: 12,
    time_max: Duration::from_secs(3_600),
};

/// Findings that are shrunk and kept.
const FINDINGS_MAX: usize = 5;

/// Plays the histories of a range of seeds, on all cores, until they are done or the time is over.
///
/// # Panics
/// When a thread of it does.
#[must_use]
pub fn run(
    seeds: Range<u64>,
    time: Option<Duration>,
    script_of: impl Fn(u64) -> Script + Sync,
) -> Report {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let enough = AtomicBool::new(false);
    let total = Mutex::new(Report::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut own = Report::default();
        while !enough.load(Ordering::Relaxed) {
            let first = next.fetch_add(SEEDS_AT_ONCE, Ordering::Relaxed);
            if first >= seeds.end || time.is_some_and(|t| began.elapsed() >= t) {
                break;
            }
            for seed in first..(first + SEEDS_AT_ONCE).min(seeds.end) {
                own.add(script_of(seed));
            }
            if own.findings.len() >= FINDINGS_MAX {
                enough.store(true, Ordering::Relaxed);
            }
        }
        total
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .merge(own);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut report = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.findings.sort_by_key(|f| f.seed);
    report.took = began.elapsed();
    report
}

/// Plays seeds over stores with a planted bug until one fails: how many it took, and what it found.
/// None when `seeds` are not enough.
#[must_use]
pub fn hunt(bug: Bug, seeds: Range<u64>) -> Option<(u64, Finding)> {
    for seed in seeds.clone() {
        let script = generate::script(seed);
        if let Some(violation) = play(&script, Some(bug)).violation {
            let (script, violation) = shrink::shrink(script, violation, Some(bug), HUNT_EFFORT);
            let finding = Finding {
                seed,
                script,
                violation,
            };
            return Some((seed - seeds.start + 1, finding));
        }
    }
    None
}

impl Report {
    fn add(&mut self, script: Script) {
        let seed = script.seed;
        let played = play(&script, None);
        self.runs += 1;
        self.counts.add(&played.counts);
        for (kind, count) in played.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        if let Some(violation) = played.violation {
            self.violations += 1;
            if self.findings.len() < FINDINGS_MAX {
                // Shrinking takes a while.
                eprintln!("seed {seed}: {violation}");
                let (script, violation) = shrink::shrink(script, violation, None, Effort::USUAL);
                self.findings.push(Finding {
                    seed,
                    script,
                    violation,
                });
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.counts.add(&other.counts);
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.violations += other.violations;
        self.findings.extend(other.findings);
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {}\n  {}",
            self.seed, self.violation, self.script
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            operations,
            invocations,
            ..
        } = self.counts;
        let minutes = self.took.as_secs_f64().max(0.001) / 60.0;
        #[allow(clippy::cast_precision_loss)] // rates are shown with three figures
        let rate = |n: u64| n as f64 / minutes;
        #[allow(clippy::cast_precision_loss)]
        let per_run = |n: u64| n as f64 / (self.runs.max(1)) as f64;
        writeln!(
            f,
            "runs         {:>12}   {:.0} a minute",
            self.runs,
            rate(self.runs)
        )?;
        writeln!(
            f,
            "operations   {operations:>12}   {:.1} a run, {:.0} a minute",
            per_run(operations),
            rate(operations)
        )?;
        writeln!(
            f,
            "invocations  {invocations:>12}   {:.0} a minute",
            rate(invocations)
        )?;
        // The first two stand above.
        let rows = self.counts.rows().into_iter().skip(2);
        for (name, count) in rows {
            writeln!(f, "{name:<14} {count:>10}")?;
        }
        writeln!(f, "faults       {:>12}", self.faults.values().sum::<u64>())?;
        for ((operation, fault), count) in &self.faults {
            let name = format!("{operation:?} {fault:?}");
            writeln!(f, "  {name:<21} {count:>10}")?;
        }
        writeln!(f, "violations   {:>12}", self.violations)?;
        self.findings
            .iter()
            .try_for_each(|finding| writeln!(f, "{finding}"))
    }
}
