//! The check of the shards: each one's records from its mark to the newest checkpoint, against
//! every checkpoint on the way.
//!
//! Seals name checkpoints, so that what a checkpoint says of a shard cannot be taken back. Whoever removes a record, or
//! hashes a shard's records anew from one on, leaves a chain that does not lead to what the checkpoints say. That is
//! logged, counted, announced with shard and position, and only then the mark moves behind it: a crash in between
//! announces it twice rather than never.

mod expected;
mod walk;

use expected::expected_through;
use serde_json::json;
use std::fmt;
use vernier_ledger::Invariant;
use vernier_ledger::checkpoint::{Checkpoints, ShardMarks};
use vernier_ledger::ids::Shard;
use vernier_ledger::ports::{Notices, PortError};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use walk::{Walk, Walked};

/// Faults that one notice names; the log has all of them.
const FAULTS_NAMED_MAX: usize = 10;

/// What a turn's check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardSummary {
    /// Shards that were walked to the last checkpoint.
    pub shards: u64,
    /// Records that were walked over.
    pub records: u64,
    /// Records, block items and checkpoints that are gone or changed.
    pub faults: u64,
}

impl ShardSummary {
    /// Adds what another check found.
    pub fn add(&mut self, other: &Self) {
        self.shards += other.shards;
        self.records += other.records;
        self.faults += other.faults;
    }
}

/// How far a check is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckProgress {
    /// All shards, through the newest checkpoint.
    Whole,
    /// All shards, through a checkpoint before the newest.
    Behind,
    /// The shards through one: where the check goes on, as its entry's place.
    Through(String),
}

/// Where a check that was cut off goes on: with the same checkpoints, behind the last shard that was walked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    at: Millis,
    after: Option<Shard>,
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let at = Millis(parts.next()?.parse().ok()?);
        let after = match (parts.next(), parts.next()) {
            (Some(stream), Some(id)) => Some(Shard::new(stream, id).ok()?),
            _ => None,
        };
        Some(Self { at, after })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at.0)?;
        match &self.after {
            Some(shard) => write!(f, "/{shard}"),
            None => Ok(()),
        }
    }
}

/// A record, block item or checkpoint that is not what later records or checkpoints say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    shard: String,
    /// Place in the shard's chain; of several records that are gone the first.
    position: u64,
    what: String,
}

/// Goes on with the check from an entry's place until it is through or the time is over. A shard's walk that was cut
/// off goes on from its mark.
///
/// # Errors
/// The stores'. What was checked before stays checked.
pub async fn check_shards<S: ReconcileStores>(
    stores: &S,
    place: Option<&str>,
    clock: impl Fn() -> Millis,
    until: Millis,
    summary: &mut ShardSummary,
) -> Result<CheckProgress, PortError> {
    let table = stores.table();
    let Some(newest) = table.newest_checkpoint().await? else {
        return Ok(CheckProgress::Whole);
    };
    let begun = place.and_then(Place::read);
    let to = begun.as_ref().map_or(newest.at, |place| place.at);
    let expected = expected_through(stores, to).await?;
    let mut place = Place {
        at: expected.at,
        after: begun.and_then(|place| place.after),
    };
    if place.after.is_none() {
        for fault in &expected.faults {
            announce(stores, std::slice::from_ref(fault), summary).await?;
        }
    }
    for (shard, positions) in &expected.shards {
        if place.after.as_ref().is_some_and(|after| shard <= after) {
            continue;
        }
        if clock() >= until {
            return Ok(CheckProgress::Through(place.to_string()));
        }
        let mut walk = Walk::of(stores, shard, positions).await?;
        let walked = walk.walk_through(&clock, until).await?;
        summary.records += walk.records;
        announce(stores, &walk.faults, summary).await?;
        walk.keep(clock()).await?;
        if walked == Walked::CutOff {
            return Ok(CheckProgress::Through(place.to_string()));
        }
        summary.shards += 1;
        place.after = Some(shard.clone());
    }
    table.save_checked_through(expected.at).await?;
    Ok(match expected.at < newest.at {
        true => CheckProgress::Behind,
        false => CheckProgress::Whole,
    })
}

/// Tells everybody, and counts.
async fn announce<S: ReconcileStores>(
    stores: &S,
    faults: &[Fault],
    summary: &mut ShardSummary,
) -> Result<(), PortError> {
    let Some(first) = faults.first() else {
        return Ok(());
    };
    for Fault {
        shard,
        position,
        what,
    } in faults
    {
        tracing::error!(shard, position, what, "the chain of a shard is broken");
    }
    let named = faults.iter().take(FAULTS_NAMED_MAX);
    let named = named.map(|f| json!({ "position": f.position, "what": f.what }));
    let body = json!({
        "shard": first.shard,
        "faults": faults.len(),
        "first_faults": named.collect::<Vec<_>>(),
        "why": "seals name checkpoints by which these records were there, and were others",
        "invariant": Invariant::TamperEvident.number(),
    });
    let subject = "Vernier: the chain of a shard is broken";
    stores.notices().publish(subject, &body.to_string()).await?;
    summary.faults += faults.len() as u64;
    Ok(())
}
