//! Deterministic simulation: the functions' own code over the fakes, under a simulated clock, with
//! everything that AWS can do to it, from one number.
//!
//! A seed makes a [`Script`] ([`generate`]); a `world` plays it: each function call is a future
//! that is polled by hand, so that it can be dropped after any poll, or left standing while others
//! overtake it, while every call of a store gives way before and after its effect. After each
//! operation, and in full at the end, the [`oracle`] derives the truth from raw storage. The same seed
//! plays the same history on every machine. What fails is shrunk ([`shrink`]) and printed as a script,
//! which [`replay`] plays again: a named reproduction.

pub mod campaign;
pub mod generate;
pub mod mutants;
pub mod oracle;
pub mod orchestra;
pub mod script;
pub mod sensor;
pub mod shrink;

mod archive;
mod counts;
mod ending;
mod faulting;
mod filters;
mod invocation;
mod operations;
mod owners;
mod trigger;
mod world;

pub use counts::Counts;
pub use mutants::Bug;
pub use oracle::Violation;
pub use script::Script;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use vernier_fakes::{Fault, Operation};

/// What became of a script.
#[derive(Debug, Clone)]
pub struct Played {
    /// What happened in it.
    pub counts: Counts,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<(Operation, Fault), u64>,
    /// What it found.
    pub violation: Option<Violation>,
    /// The stores at the end, in one number: two runs of one seed agree in it.
    pub fingerprint: u64,
}

/// Plays a script over stores with at most one planted bug. A panic counts as a violation.
#[must_use]
pub fn play(script: &Script, bug: Option<Bug>) -> Played {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime
            .expect("a runtime without threads or sockets")
            .block_on(async {
                let mut world = world::World::new(script, bug).await;
                let violation = world.play(script).await.err();
                Played {
                    faults: world.arms.struck(),
                    fingerprint: world.fingerprint(),
                    counts: world.counts,
                    violation,
                }
            })
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Played {
            counts: Counts::default(),
            faults: BTreeMap::new(),
            violation: Some(Violation {
                invariant: None,
                what: text.unwrap_or("of unknown kind").to_owned(),
            }),
            fingerprint: 0,
        }
    })
}

/// Plays a script as text over sound stores.
///
/// # Errors
/// What it violates, or why it is no script.
pub fn replay(text: &str) -> Result<(), String> {
    replay_with(text, None)
}

/// Plays a script as text over stores with a planted bug.
///
/// # Errors
/// What it violates, or why it is no script.
pub fn replay_with(text: &str, bug: Option<Bug>) -> Result<(), String> {
    let script: Script = text.parse()?;
    match play(&script, bug).violation {
        None => Ok(()),
        Some(violation) => Err(violation.to_string()),
    }
}
