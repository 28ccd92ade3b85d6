//! Reading the live store: which committed blocks hold a tenant's events of a time range.

use crate::block_item::{BlockItem, Listing, items_of};
use crate::disposition::{Content, Dispositions};
use crate::earlier::EarlierRecord;
use crate::ids::{Shard, TenantId};
use crate::limits;
use crate::line::{EventRef, LineHead};
use crate::ports::{Blocks, Objects, PortError};
use crate::segment::{self, Block, BlockError};
use crate::time::{Millis, TimeRange};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Clocks of the functions may differ by this much, seconds: a commit can bear an earlier time
/// than the receipt of what it holds.
pub const CLOCK_SKEW_SECONDS_MAX: i64 = 60;

/// One tenant's block and the object that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveBlock {
    /// The object's key.
    pub object: String,
    /// The block.
    pub block: Block,
}

impl LiveBlock {
    fn gone(self) -> DamagedBlock {
        DamagedBlock {
            object: self.object,
            why: None,
        }
    }
}

/// All records of earlier versions that can hold events received at or after `from`.
///
/// # Errors
/// Whatever error the store gives.
pub async fn earlier_since<L: Listing>(
    table: &L,
    from: Millis,
    now: Millis,
) -> Result<Vec<EarlierRecord>, PortError> {
    let from = from.plus_seconds(-CLOCK_SKEW_SECONDS_MAX);
    let to = now.plus_seconds(CLOCK_SKEW_SECONDS_MAX);
    table.earlier_records(from, to).await
}

/// A tenant's items of what is committed and was received in the range, to the minute.
///
/// They are the tenant's own, so that what is read depends on that tenant alone; until all commits of earlier
/// versions are listed, those that are not are taken from the records of everybody.
///
/// # Errors
/// Whatever error reading the table gives.
pub async fn items_between<T: Listing + Blocks>(
    table: &T,
    tenant: &TenantId,
    range: TimeRange,
    now: Millis,
) -> Result<Vec<BlockItem>, PortError> {
    // Before the items: what is listed in between is then in both, and counted once.
    if table.are_blocks_listed().await? {
        return table.block_items(tenant, range).await;
    }
    let mut unlisted = earlier_since(table, range.from, now).await?;
    unlisted.retain(|record| !record.listed);
    let commits: BTreeSet<(&Shard, u64)> =
        unlisted.iter().map(|r| (&r.shard, r.position)).collect();
    let mut items = table.block_items(tenant, range).await?;
    items.retain(|item| !commits.contains(&(&item.shard, item.position)));
    items.extend(items_of(tenant, &unlisted));
    items.retain(|item| item.block.touches(range.from, range.to));
    Ok(items)
}

/// The blocks of a tenant's items that touch `[from, to)` of received-at, newest last, each once.
#[must_use]
pub fn blocks_of<'i>(
    items: impl IntoIterator<Item = &'i BlockItem>,
    from: Millis,
    to: Millis,
) -> Vec<LiveBlock> {
    let mut found: BTreeMap<(&str, u64), LiveBlock> = BTreeMap::new();
    for item in items.into_iter().filter(|i| i.block.touches(from, to)) {
        let place = (item.object.as_str(), item.block.offset);
        match found.entry(place) {
            Entry::Vacant(entry) => {
                entry.insert(LiveBlock {
                    object: item.object.clone(),
                    block: item.block.clone(),
                });
            }
            // Another slice of a block that was listed afterwards.
            Entry::Occupied(mut entry) => {
                let minutes = &mut entry.get_mut().block.minutes;
                minutes.extend_from_slice(&item.block.minutes);
            }
        }
    }
    let mut found: Vec<LiveBlock> = found.into_values().collect();
    found.sort_by(|a, b| {
        (a.block.received_through, &a.object).cmp(&(b.block.received_through, &b.object))
    });
    found
}

/// A block with its compressed bytes.
#[derive(Debug, Clone)]
pub struct Fetched {
    live: LiveBlock,
    bytes: Vec<u8>,
}

/// A block that is not there as it was committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("segment {object} {}", match why {
    None => "is gone".to_owned(),
    Some(why) => format!("is damaged: {why}"),
})]
pub struct DamagedBlock {
    /// The key of the object that the block lies in.
    pub object: String,
    /// Why its bytes are no lines; none where there are no bytes.
    #[source]
    pub why: Option<BlockError>,
}

impl From<DamagedBlock> for PortError {
    fn from(damaged: DamagedBlock) -> Self {
        Self::Fatal(damaged.to_string())
    }
}

impl Fetched {
    /// Calls `each` with the head and the event's bytes of every line.
    ///
    /// # Errors
    /// When the bytes are not what the record says.
    pub fn for_each_line(
        &self,
        mut each: impl FnMut(LineHead<'_>, &[u8]),
    ) -> Result<(), DamagedBlock> {
        let damaged = |why: BlockError| DamagedBlock {
            object: self.live.object.clone(),
            why: Some(why),
        };
        let lines = segment::open_block(&self.live.block, &self.bytes).map_err(damaged)?;
        let read = segment::for_each_line::<BlockError>(&lines, |head, event| {
            each(head, event);
            Ok(())
        });
        read.map_err(damaged)
    }
}

/// Why blocks are not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// More than one request may read (invariant 8).
    #[error(
        "{blocks} blocks of {bytes} bytes would be read; {} blocks and {} bytes are the most",
        limits::SEGMENTS_READ_MAX,
        limits::LIVE_READ_BYTES_MAX
    )]
    TooMuch {
        /// Blocks in the range.
        blocks: usize,
        /// Their compressed bytes.
        bytes: u64,
    },
    /// A block is not there as it was committed.
    #[error(transparent)]
    Damaged(#[from] DamagedBlock),
    /// A store failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Reads the blocks, several at once, in their order.
///
/// # Errors
/// When there are more than one request may read; the store's; damaged when an object is gone.
pub async fn fetch<O: Objects>(
    objects: &O,
    blocks: Vec<LiveBlock>,
) -> Result<Vec<Fetched>, ReadError> {
    let Readable { sound, damaged } = fetch_readable(objects, blocks).await?;
    match damaged.into_iter().next() {
        Some(live) => Err(live.gone().into()),
        None => Ok(sound),
    }
}

/// Blocks that were read, and those that are not there as they were committed.
#[derive(Debug, Default)]
pub struct Readable {
    /// The blocks that are there, in their order.
    pub sound: Vec<Fetched>,
    /// The blocks that are gone or damaged.
    pub damaged: Vec<LiveBlock>,
}

/// Reads those of the blocks that are there, several at once.
///
/// # Errors
/// When there are more than one request may read; the store's.
async fn fetch_readable<O: Objects>(
    objects: &O,
    blocks: Vec<LiveBlock>,
) -> Result<Readable, ReadError> {
    let bytes: u64 = blocks.iter().map(|b| b.block.bytes).sum();
    if blocks.len() > limits::SEGMENTS_READ_MAX || bytes > limits::LIVE_READ_BYTES_MAX {
        return Err(ReadError::TooMuch {
            blocks: blocks.len(),
            bytes,
        });
    }
    let mut reads = stream::iter(blocks)
        .map(|live| async move {
            let range = Some((live.block.offset, live.block.bytes));
            let bytes = objects.get(&live.object, range).await?;
            Ok::<_, PortError>((live, bytes))
        })
        .buffered(limits::READS_IN_FLIGHT_MAX);
    let mut readable = Readable::default();
    while let Some((live, bytes)) = reads.try_next().await? {
        match bytes {
            Some(bytes) => readable.sound.push(Fetched { live, bytes }),
            None => readable.damaged.push(live),
        }
    }
    Ok(readable)
}

/// Reads the first of several choices of blocks that one request may read: widest first, so that a
/// busy tenant's lookback shrinks before its request is refused.
///
/// # Errors
/// As [`fetch`]; too much when none of them may be read.
pub async fn fetch_widest<O: Objects>(
    objects: &O,
    choices: impl IntoIterator<Item = Vec<LiveBlock>>,
) -> Result<Vec<Fetched>, ReadError> {
    let Readable { sound, damaged } = fetch_widest_readable(objects, choices).await?;
    match damaged.into_iter().next() {
        Some(live) => Err(live.gone().into()),
        None => Ok(sound),
    }
}

/// [`fetch_widest`] of those blocks that are there.
///
/// # Errors
/// The store's; too much when none of the choices may be read.
pub async fn fetch_widest_readable<O: Objects>(
    objects: &O,
    choices: impl IntoIterator<Item = Vec<LiveBlock>>,
) -> Result<Readable, ReadError> {
    let mut refused = ReadError::TooMuch {
        blocks: 0,
        bytes: 0,
    };
    for blocks in choices {
        match fetch_readable(objects, blocks).await {
            Err(too_much @ ReadError::TooMuch { .. }) => refused = too_much,
            answer => return answer,
        }
    }
    Err(refused)
}

/// An event in an object of its own whose text decides what another one is.
struct LargeText {
    content: Content,
    id: Option<String>,
    reference: EventRef,
}

/// The first places of all events in the blocks, and what those mean that came in other bytes. Events in objects of
/// their own are read for that, at most [`limits::LIVE_READ_BYTES_MAX`] together: those beyond it are conflicts
/// until they are sealed.
///
/// # Errors
/// The store's; damaged when a block is.
pub async fn dispositions<O: Objects>(
    objects: &O,
    blocks: &[Fetched],
) -> Result<Dispositions, ReadError> {
    let mut known = Dispositions::default();
    for block in blocks {
        block.for_each_line(|head, _| known.show(&head))?;
    }
    with_texts(objects, blocks, known).await
}

impl Readable {
    /// The first places of all events in the blocks that can be read, as [`dispositions`] has them; those that cannot are
    /// damaged from now on.
    ///
    /// # Errors
    /// Whatever error the store gives.
    pub async fn dispositions<O: Objects>(
        &mut self,
        objects: &O,
    ) -> Result<Dispositions, ReadError> {
        let mut known = Dispositions::default();
        for block in std::mem::take(&mut self.sound) {
            match block.for_each_line(|head, _| known.show(&head)) {
                Ok(()) => self.sound.push(block),
                Err(damaged) => {
                    tracing::warn!(%damaged, "a block is not counted");
                    self.damaged.push(block.live);
                }
            }
        }
        with_texts(objects, &self.sound, known).await
    }
}

/// What those events mean that came in other bytes than the first ones of their ids.
async fn with_texts<O: Objects>(
    objects: &O,
    blocks: &[Fetched],
    mut known: Dispositions,
) -> Result<Dispositions, ReadError> {
    if !known.wants_texts() {
        return Ok(known);
    }
    let mut texts = TextsWanted::default();
    for block in blocks {
        block.for_each_line(|head, event| texts.read(&mut known, &head, event))?;
    }
    texts.fetch(objects, &mut known).await?;
    Ok(known)
}

/// Texts of events that came with one identity in other bytes, and what is still to be fetched of them.
#[derive(Default)]
pub struct TextsWanted {
    large: Vec<LargeText>,
    large_bytes: u64,
}

impl TextsWanted {
    /// Shows a line's text where it is wanted; one that lies in an object of its own is noted, as far as these are
    /// not too much to read.
    pub fn read(&mut self, known: &mut Dispositions, head: &LineHead<'_>, event: &[u8]) {
        let Some(content) = known.wanted(head) else {
            return;
        };
        let Some(reference) = &head.event_ref else {
            let text = str::from_utf8(event).unwrap_or_default();
            known.show_text(content, text, head.id.as_deref());
            return;
        };
        let bytes = self.large_bytes.saturating_add(reference.bytes);
        if bytes <= limits::LIVE_READ_BYTES_MAX {
            self.large_bytes = bytes;
            self.large.push(LargeText {
                content,
                id: head.id.as_deref().map(str::to_owned),
                reference: reference.clone(),
            });
        }
    }

    /// Fetches and shows the texts that lie in objects of their own.
    ///
    /// # Errors
    /// Whatever error the bucket gives.
    pub async fn fetch<O: Objects>(
        self,
        objects: &O,
        known: &mut Dispositions,
    ) -> Result<(), PortError> {
        for LargeText {
            content,
            id,
            reference,
        } in self.large
        {
            if let Some(bytes) = objects.get(&reference.key, None).await? {
                let text = str::from_utf8(&bytes).unwrap_or_default();
                known.show_text(content, text, id.as_deref());
            }
        }
        Ok(())
    }
}
