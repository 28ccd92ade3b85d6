//! Rolling up the filters of a tenant's five minutes of received-at ([`vernier_ledger::roll_up`]).
//!
//! What a crash leaves behind: an object that no item names, which goes by itself after some days. Two workers at once
//! write objects of their own, and either's item stays.

use futures::stream::{self, StreamExt, TryStreamExt};
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::{
    FILTER_OBJECT_BYTES_MAX, MADE_FILTERS_MAX, READS_IN_FLIGHT_MAX, ROLLED_BLOCKS_MAX,
};
use vernier_ledger::ports::{Blocks, Objects, PortError};
use vernier_ledger::roll_up::{FilterObject, MadeFilter, RollUp, RollUps, frames_in, make_filter};
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, Slice, TimeRange};

/// Bytes that a filter takes for each of its events at most, as far as it is planned for.
const EVENT_BYTES: u64 = 4;

/// What was rolled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RollUpSummary {
    /// Filters that were not rolled up before.
    pub filters: u64,
    /// Objects that were written.
    pub objects: u64,
}

impl RollUpSummary {
    /// Adds what another turn did.
    pub const fn add(&mut self, other: &Self) {
        self.filters += other.filters;
        self.objects += other.objects;
    }
}

/// How far a slice's filters are rolled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rolled {
    /// Nothing was committed since the last time that can be rolled up.
    Nothing,
    /// All that is committed so far.
    Whole,
    /// The time was over before all was rolled up.
    Left,
}

/// The filter's frame of a block, with the block's hash where the worker made the filter.
struct Framed {
    frame: Vec<u8>,
    made_of: Option<Fingerprint>,
}

/// Rolls up what was committed of a tenant's slice and is not rolled up yet, until the time is over.
///
/// # Errors
/// Whatever error the stores give; what is gone or damaged of a block is passed over.
pub(crate) async fn roll_up<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    slice: Slice,
    clock: &impl Fn() -> Millis,
    until: Millis,
    summary: &mut RollUpSummary,
) -> Result<Rolled, PortError> {
    let range = TimeRange::from(slice);
    let seen = stores.table().roll_ups(tenant, range).await?;
    let mut roll_up = seen.into_iter().next().unwrap_or_else(|| RollUp {
        first_minute: slice.first_minute(),
        objects: Vec::new(),
        made: Vec::new(),
        rolled_at: clock(),
    });
    let items = stores.table().block_items(tenant, range).await?;
    let missing = missing(&roll_up, slice, &items);
    let (mut left, mut rolled) = (missing.as_slice(), Rolled::Nothing);
    while !left.is_empty() {
        let (now, later) = left.split_at(run_length(left));
        left = later;
        let framed = fetch(stores.objects(), now).await?;
        if framed.is_empty() {
            continue;
        }
        summary.filters += framed.len() as u64;
        summary.objects += 1;
        append(stores.objects(), tenant, &mut roll_up, framed).await?;
        roll_up.rolled_at = clock();
        stores.table().keep_roll_up(tenant, &roll_up).await?;
        rolled = Rolled::Whole;
        if !left.is_empty() && clock() >= until {
            return Ok(Rolled::Left);
        }
    }
    Ok(rolled)
}

/// The blocks whose filters a roll-up has not, as many as it may have.
fn missing<'i>(roll_up: &RollUp, slice: Slice, items: &'i [BlockItem]) -> Vec<&'i BlockItem> {
    let there: usize = roll_up.objects.iter().map(|o| o.frames.count()).sum();
    let mut made = roll_up.made.len();
    let is_missing = |item: &&BlockItem| match roll_up.frame_of(&item.block) {
        Some(frame) => roll_up.object_of(&frame).is_none(),
        None => {
            made += 1;
            made <= MADE_FILTERS_MAX
        }
    };
    let own = items.iter().filter(|item| item.slice() == Some(slice));
    let missing = own.filter(is_missing);
    missing
        .take(ROLLED_BLOCKS_MAX.saturating_sub(there))
        .collect()
}

/// How many of these blocks have filters that fit an object together, at least one.
fn run_length(items: &[&BlockItem]) -> usize {
    let mut bytes = 0;
    let fits = |item: &&&BlockItem| {
        bytes += match &item.block.index {
            Some(index) => index.filter_bytes,
            None => {
                let events = item.block.minutes.iter().map(|m| m.tally.events);
                events.sum::<u64>() * EVENT_BYTES
            }
        };
        bytes <= FILTER_OBJECT_BYTES_MAX as u64
    };
    items.iter().take_while(fits).count().max(1)
}

/// The frames of some blocks' filters, several fetched at once, without those of blocks that are gone or damaged.
async fn fetch<O: Objects>(objects: &O, items: &[&BlockItem]) -> Result<Vec<Framed>, PortError> {
    let fetched: Vec<Option<Framed>> = stream::iter(items)
        .map(async |item| {
            let block = &item.block;
            let range = match &block.index {
                Some(index) => index.filter_range(block),
                None => (block.offset, block.bytes),
            };
            let bytes = objects.get(&item.object, Some(range)).await?;
            let framed = bytes.and_then(|bytes| match &block.index {
                Some(index) => index.open_filter(&bytes).is_ok().then_some(Framed {
                    frame: bytes,
                    made_of: None,
                }),
                None => Some(Framed {
                    frame: make_filter(block, &bytes).ok()?,
                    made_of: Some(Fingerprint::from_hex(&block.sha256)?),
                }),
            });
            if framed.is_none() {
                // Whoever needs the block says so.
                tracing::info!(object = item.object, "a block has no filter to roll up");
            }
            Ok::<_, PortError>(framed)
        })
        .buffered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok(fetched.into_iter().flatten().collect())
}

/// Writes frames into the object of a roll-up that is begun, where they fit, else into another one.
async fn append<O: Objects>(
    objects: &O,
    tenant: &TenantId,
    roll_up: &mut RollUp,
    framed: Vec<Framed>,
) -> Result<(), PortError> {
    let mut frames = Vec::new();
    let bytes: usize = framed.iter().map(|framed| framed.frame.len()).sum();
    let fits =
        |last: &mut FilterObject| last.bytes + bytes as u64 <= FILTER_OBJECT_BYTES_MAX as u64;
    // Where it is gone, what it had is rolled up again by the next turn.
    if let Some(last) = roll_up.objects.pop_if(fits) {
        let before = objects.get(&last.key, None).await?.unwrap_or_default();
        let own = frames_in(&before).filter(|(hash, _)| last.may_have(hash));
        frames.extend(own.map(|(_, frame)| frame.to_vec()));
    }
    for Framed { frame, made_of } in framed {
        if let Some(block) = made_of {
            let frame = Fingerprint::of(&frame);
            let made = MadeFilter { block, frame };
            if !roll_up.made.contains(&made) {
                roll_up.made.push(made);
            }
        }
        frames.push(frame);
    }
    let (object, bytes) = FilterObject::of(tenant, roll_up.slice(), &frames);
    // The key ends in the content's hash: an object in its place is the same object.
    objects.put_new(&object.key, bytes, None).await?;
    roll_up.objects.push(object);
    Ok(())
}
