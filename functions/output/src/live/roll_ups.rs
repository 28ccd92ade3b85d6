//! Filters from roll-ups, which spare a request for each block.
//!
//! Whatever goes wrong with a roll-up, and whatever it does not have, is read from the blocks: this gives back what it
//! found, and never an error.

use crate::metered::Metered;
use futures::stream::{self, StreamExt};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::live::LiveBlock;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::roll_up::{FilterObject, RollUp, RollUps, filter_in, frames_in};
use vernier_ledger::segment::Block;
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Slice, TimeRange};

/// Bytes of an object that nobody wants and that are read along where that spares a request.
const SPARED_BYTES: u64 = 64 * 1024;

/// Objects that are read at once: each has 8 MiB at most, most of which are kept.
const OBJECTS_IN_FLIGHT_MAX: usize = 4;

/// A block whose filter is wanted: its number in the look-back, and how long the filter is, as far as that is known.
#[derive(Debug, Clone, Copy)]
struct WantedFilter {
    number: usize,
    frame: Fingerprint,
    bytes: u64,
}

fn slice_of(block: &Block) -> Option<Slice> {
    let first = block.minutes.first()?;
    Some(Slice::containing(first.minute))
}

/// Reads the filters of those of some blocks that are rolled up, by the blocks' numbers. Each filter is checked against
/// the hash that the item of its block has.
pub(super) async fn filters_of<S: Stores>(
    stores: &Metered<'_, S>,
    blocks: &[LiveBlock],
    wanted: &[usize],
) -> HashMap<usize, Arc<[u8]>> {
    let slices: Vec<(usize, Slice)> = wanted
        .iter()
        .filter_map(|number| Some((*number, slice_of(&blocks[*number].block)?)))
        .collect();
    let with_index = slices
        .iter()
        .filter(|(number, _)| blocks[*number].block.index.is_some());
    // One is read with the request that its roll-up would take, and without it nothing is rolled up.
    if with_index.count() < 2 {
        return HashMap::new();
    }
    let roll_ups = match roll_ups(stores, blocks, &slices).await {
        Ok(roll_ups) => roll_ups,
        Err(error) => {
            tracing::warn!(%error, "roll-ups are not read");
            return HashMap::new();
        }
    };
    let mut objects: BTreeMap<&str, (&FilterObject, Vec<WantedFilter>)> = BTreeMap::new();
    for (number, slice) in slices {
        let block = &blocks[number].block;
        let found = roll_ups.get(&slice).and_then(|roll_up| {
            let frame = roll_up.frame_of(block)?;
            Some((roll_up.object_of(&frame)?, frame))
        });
        if let Some((object, frame)) = found {
            let bytes = block.index.as_ref().map_or(0, |index| index.filter_bytes);
            let of_object = objects.entry(&object.key).or_insert((object, Vec::new()));
            of_object.1.push(WantedFilter {
                number,
                frame,
                bytes,
            });
        }
    }
    let objects = objects.into_values();
    let worth = objects.filter(|(object, wanted)| is_worth(object, wanted));
    let read: Vec<Vec<(usize, Arc<[u8]>)>> = stream::iter(worth)
        .map(|(object, wanted)| read(stores, object, wanted))
        .buffer_unordered(OBJECTS_IN_FLIGHT_MAX)
        .collect()
        .await;
    read.into_iter().flatten().collect()
}

/// The roll-ups of the slices of some blocks.
async fn roll_ups<S: Stores>(
    stores: &Metered<'_, S>,
    blocks: &[LiveBlock],
    slices: &[(usize, Slice)],
) -> Result<HashMap<Slice, RollUp>, PortError> {
    let all = slices.iter().map(|(_, slice)| *slice);
    let (Some(first), Some(last)) = (all.clone().min(), all.max()) else {
        return Ok(HashMap::new());
    };
    let Some((number, _)) = slices.first() else {
        return Ok(HashMap::new());
    };
    let range = TimeRange {
        from: TimeRange::from(first).from,
        to: TimeRange::from(last).to,
    };
    let tenant = &blocks[*number].block.tenant;
    let found = stores.table().roll_ups(tenant, range).await?;
    let by_slice = found.into_iter().map(|roll_up| (roll_up.slice(), roll_up));
    Ok(by_slice.collect())
}

/// Whether reading an object takes less than reading the wanted filters one by one.
fn is_worth(object: &FilterObject, wanted: &[WantedFilter]) -> bool {
    let spared = wanted.len().saturating_sub(1) as u64;
    let bytes: u64 = wanted.iter().map(|wanted| wanted.bytes).sum();
    spared > 0 && object.bytes <= bytes.saturating_add(spared.saturating_mul(SPARED_BYTES))
}

/// The wanted filters that an object has.
async fn read<S: Stores>(
    stores: &Metered<'_, S>,
    object: &FilterObject,
    wanted: Vec<WantedFilter>,
) -> Vec<(usize, Arc<[u8]>)> {
    let bytes = match stores.get(&object.key, None).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            tracing::info!(object = object.key, "a roll-up is gone");
            return Vec::new();
        }
        Err(error) => {
            tracing::warn!(object = object.key, %error, "a roll-up is not read");
            return Vec::new();
        }
    };
    let mut by_frame: HashMap<Fingerprint, Vec<usize>> = HashMap::new();
    for WantedFilter { number, frame, .. } in wanted {
        by_frame.entry(frame).or_default().push(number);
    }
    let mut found = Vec::new();
    for (hash, frame) in frames_in(&bytes) {
        let numbers = by_frame.remove(&hash).unwrap_or_default().into_iter();
        found.extend(numbers.map(|number| (number, filter_in(frame).into())));
    }
    found
}
