//! What a dry run finds: results that would be created, changed, or stay.

use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeMap, HashMap};
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{DRY_RUN_EXAMPLES_MAX, READS_IN_FLIGHT_MAX};
use vernier_ledger::playback_job::{PlaybackDiff, PlaybackExample};
use vernier_ledger::ports::{PortError, Results};
use vernier_ledger::results::{Changes, Registers, ResultKey, ResultWrite};

/// A learner's results in a section, as they would be written.
type OfLearner = ((Option<String>, String), Vec<ResultWrite>);

/// Compares what would be written with what is there.
///
/// # Errors
/// The store's; fatal when a learner has more results than one read gives back.
pub(super) async fn compare<T: Results>(
    table: &T,
    tenant: &TenantId,
    changes: Changes,
) -> Result<PlaybackDiff, PortError> {
    let mut learners: BTreeMap<(Option<String>, String), Vec<ResultWrite>> = BTreeMap::new();
    for write in changes.into_writes() {
        let whose = (write.key.section.clone(), write.key.learner.clone());
        learners.entry(whose).or_default().push(write);
    }
    stream::iter(learners)
        .map(|learner| compare_learner(table, tenant, learner))
        // In order, so that two dry runs show the same examples.
        .buffered(READS_IN_FLIGHT_MAX)
        .try_fold(PlaybackDiff::default(), async |mut all, one| {
            all.created += one.created;
            all.changed += one.changed;
            all.same += one.same;
            let room = DRY_RUN_EXAMPLES_MAX - all.examples.len();
            all.examples.extend(one.examples.into_iter().take(room));
            Ok(all)
        })
        .await
}

async fn compare_learner<T: Results>(
    table: &T,
    tenant: &TenantId,
    ((section, learner), writes): OfLearner,
) -> Result<PlaybackDiff, PortError> {
    let list = table
        .of_learner(tenant, section.as_deref(), &learner)
        .await?;
    if list.more {
        let why = "a learner has more results in a section than one read gives back";
        return Err(PortError::Fatal(why.to_owned()));
    }
    let stored = list
        .items
        .into_iter()
        .map(|item| (item.key, item.registers));
    let stored: HashMap<ResultKey, Registers> = stored.collect();
    let mut diff = PlaybackDiff::default();
    for write in writes {
        let before = stored.get(&write.key);
        let newer = match before {
            None => write.registers.clone(),
            Some(before) => write.registers.newer_than(before),
        };
        if newer.is_empty() {
            diff.same += 1;
            continue;
        }
        if before.is_none() {
            diff.created += 1;
        } else {
            diff.changed += 1;
        }
        if diff.examples.len() < DRY_RUN_EXAMPLES_MAX {
            diff.examples.push(example(write.key, before, &newer));
        }
    }
    Ok(diff)
}

fn example(key: ResultKey, before: Option<&Registers>, newer: &Registers) -> PlaybackExample {
    let score = |registers: &Registers| Some(registers.score.as_ref()?.value.given);
    PlaybackExample {
        created: before.is_none(),
        section: key.section,
        learner: key.learner,
        assignment: key.assignment,
        attempt: key.attempt,
        registers: newer.names().into_iter().map(str::to_owned).collect(),
        score_before: before.and_then(score).flatten(),
        score_after: score(newer).or(before.and_then(score)).flatten(),
    }
}
