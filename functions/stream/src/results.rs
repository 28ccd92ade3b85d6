//! Results: what a batch's events say of them, and what a process remembers of those that it merged.
//!
//! Events of one attempt come in several batches, and not in their order. What an older event says of a register that a
//! newer one has spoken of would be refused by the table, for a write unit; what the process has merged itself is not asked.

use futures::stream::{self, StreamExt, TryStreamExt};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vernier_ledger::frame::Frame;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits;
use vernier_ledger::ports::{PortError, Results};
use vernier_ledger::results::{Changes, Registers, ResultKey, ResultWrite};
use vernier_ledger::retry::retry;

/// Results that a process remembers, about 1 KB each and 9 KB with the longest ids: 8 MB, and 74 MB at most.
const RESULTS_MAX: NonZeroUsize = NonZeroUsize::new(8_192).expect("more than none");

/// What the events of some steps changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Merged {
    /// Results, however many events spoke of each.
    pub(crate) results: u64,
    /// Lines whose result could not be read.
    pub(crate) unreadable: u64,
}

/// What a process has merged into results, of those that it merged last.
///
/// The table has at least this: a result's registers only ever give way to newer ones, a result goes only with its tenant,
/// and a tenant's name is not given again.
#[derive(Debug)]
pub(crate) struct ResultMemory {
    merged: Mutex<LruCache<(TenantId, ResultKey), Registers>>,
}

impl Default for ResultMemory {
    fn default() -> Self {
        Self::of_at_most(RESULTS_MAX)
    }
}

impl ResultMemory {
    fn of_at_most(results: NonZeroUsize) -> Self {
        Self {
            merged: Mutex::new(LruCache::new(results)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<(TenantId, ResultKey), Registers>> {
        // A panic leaves plain data behind, which is still whole.
        self.merged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of a write the table may not have yet; none where it has all of it. An operator plays back what the table has
    /// lost, whoever merged it: such a write is made.
    fn unmerged(&self, mut write: ResultWrite) -> Option<ResultWrite> {
        if write.is_played_back {
            return Some(write);
        }
        let place = (write.tenant, write.key);
        if let Some(merged) = self.lock().get(&place) {
            write.registers = write.registers.newer_than(merged);
        }
        (write.tenant, write.key) = place;
        (!write.registers.is_empty()).then_some(write)
    }

    /// Takes note of a write that the table has.
    fn remember(&self, write: ResultWrite) {
        let mut merged = self.lock();
        let place = (write.tenant, write.key);
        merged
            .get_or_insert_mut(place, Registers::default)
            .merge(write.registers);
    }

    /// Merges what the claimed frames say of results, one write for each result of which the table may not have all. A
    /// write that is throttled is tried again by itself, as long as the budget lasts: the others go on.
    ///
    /// This comes before the commit: a retry merges the same events again, which changes nothing.
    pub(crate) async fn merge<R: Results>(
        &self,
        results: &R,
        claimed: &[&Frame],
        budget: Duration,
    ) -> Result<Merged, PortError> {
        let mut changes = Changes::default();
        let mut merged = Merged::default();
        for frame in claimed {
            merged.unreadable += changes.add_lines(&frame.header.tenant, &frame.lines);
        }
        let writes = changes.into_writes();
        merged.results = writes.len() as u64;
        self.write(results, writes, budget).await?;
        Ok(merged)
    }

    async fn write<R: Results>(
        &self,
        results: &R,
        writes: Vec<ResultWrite>,
        budget: Duration,
    ) -> Result<(), PortError> {
        let unmerged = writes.into_iter().filter_map(|w| self.unmerged(w));
        stream::iter(unmerged)
            .map(async |write: ResultWrite| {
                let merging = async || {
                    results
                        .merge(&write.tenant, &write.key, &write.registers)
                        .await
                };
                retry(budget, merging).await?;
                self.remember(write);
                Ok(())
            })
            .buffer_unordered(limits::RESULTS_IN_FLIGHT_MAX)
            .try_collect()
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vernier_fakes::{Fault, Faults, MemoryTable, Operation};
    use vernier_ledger::digest::Fingerprint;
    use vernier_ledger::results::{Cause, Change, Register, Started, Status};
    use vernier_ledger::time::Millis;

    /// A budget that lets no write be tried twice.
    const NO_BUDGET: Duration = Duration::ZERO;

    /// An event of an attempt: it began, or something was done.
    fn change((attempt, at, began): (u8, i64, bool)) -> Change {
        let at = Millis(at);
        let cause = Cause::new(at, None, &Fingerprint::of(&[attempt, u8::from(began)]));
        let register_of = |action: &str| Register {
            value: Status {
                action: action.to_owned(),
            },
            cause: cause.clone(),
        };
        let started = began.then(|| Register {
            value: Started { at },
            cause: cause.clone(),
        });
        let action = if began { "Started" } else { "Graded" };
        Change {
            key: ResultKey {
                section: None,
                learner: "l1".to_owned(),
                assignment: Some("quiz".to_owned()),
                attempt: Some(attempt.to_string()),
            },
            registers: Registers {
                status: Some(register_of(action)),
                started,
                ..Registers::default()
            },
            is_played_back: false,
        }
    }

    fn school() -> TenantId {
        "school".parse().expect("a name")
    }

    fn writes(events: &[(u8, i64, bool)]) -> Vec<ResultWrite> {
        let mut changes = Changes::default();
        for event in events {
            changes.add(&school(), change(*event));
        }
        changes.into_writes()
    }

    proptest! {
        /// Whatever comes in whatever batches, however little is remembered, and whichever writes fail: the table has
        /// what a straight pass has, and a memory that is large enough has nothing written twice.
        #[test]
        fn a_memory_changes_no_result(
            batches in prop::collection::vec(prop::collection::vec((0u8..4, 0i64..5, any::<bool>()), 1..6), 1..12),
            faults in prop::collection::btree_map(0u64..20, any::<bool>(), 0..6),
            remembered in 1usize..6,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("a runtime").block_on(async {
                let injected = Faults::default();
                let table = MemoryTable::new(injected.clone());
                let memory = ResultMemory::of_at_most(remembered.try_into().expect("more than none"));
                injected.plan(move |operation, n| {
                    let after = faults.get(&n).filter(|_| operation == Operation::MergeResult)?;
                    Some(if *after { Fault::After } else { Fault::Before })
                });
                // A batch that failed comes again, at once or after it failed again.
                for batch in &batches {
                    while memory.write(&table, writes(batch), NO_BUDGET).await.is_err() {}
                }
                injected.clear();
                let straight = writes(&batches.concat()).into_iter();
                let straight = straight.map(|w| ((w.tenant, w.key), w.registers)).collect();
                assert_eq!(table.all_results(), straight);
                if remembered >= 4 {
                    let before = injected.calls(Operation::MergeResult);
                    for batch in &batches {
                        let again = memory.write(&table, writes(batch), NO_BUDGET).await;
                        again.expect("there are no faults");
                    }
                    assert_eq!(injected.calls(Operation::MergeResult), before);
                }
            });
        }
    }

    #[tokio::test]
    async fn what_an_older_event_says_is_not_asked_of_the_table() {
        let faults = Faults::default();
        let table = MemoryTable::new(faults.clone());
        let memory = ResultMemory::default();
        for (events, calls) in [
            (&[(0, 3, false)][..], 1),
            // Its status is older, its beginning is news.
            (&[(0, 1, true)], 2),
            (&[(0, 2, false), (0, 1, true)], 2),
            (&[(1, 0, false), (0, 4, false)], 4),
        ] {
            let written = memory.write(&table, writes(events), NO_BUDGET).await;
            written.expect("there are no faults");
            assert_eq!(faults.calls(Operation::MergeResult), calls, "{events:?}");
        }
    }
}
