//! What is committed: segment records, their chain, their objects, every line.

use super::Violation;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::Invariant;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::digest::{BlindFingerprint, Fingerprint};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::{ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::limits;
use vernier_ledger::line::{EventRef, LineHead, Verdict};
use vernier_ledger::segment::{self, Block, BlockError, Place, SegmentRecord};
use vernier_ledger::time::{Minute, Slice};

/// One stored line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) tenant: TenantId,
    pub(super) fingerprint: Fingerprint,
    pub(super) blind: BlindFingerprint,
    pub(super) rejected: bool,
    pub(super) event_ref: Option<EventRef>,
    /// The event that it repeats, when a playback sent it.
    pub(super) first: Option<Place>,
}

#[derive(Debug, PartialEq, Eq)]
struct Link {
    last: Sequence,
    position: u64,
    hash: String,
}

/// Everything that segment records name, as far as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Segments {
    records: usize,
    chains: BTreeMap<Shard, Link>,
    pub(super) lines: BTreeMap<Place, Stored>,
    pub(super) tallies: BTreeMap<ReceiptId, Tally>,
    /// The events of each object.
    pub(super) objects: BTreeMap<String, Vec<Place>>,
}

/// Invariants 3, 6 and 7: the items of a commit are those that its record names, each under its hash, and each can be
/// read by itself: its lines are those of one tenant and five minutes.
fn check_items(
    record: &SegmentRecord,
    items: &[BlockItem],
    object: &[u8],
) -> Result<(), Violation> {
    let wrong = |what: &str| {
        let what = format!("items of the commit at {}: {what}", record.first);
        Violation::new(Invariant::Complete, what)
    };
    let hashes: Vec<_> = items.iter().filter_map(BlockItem::hash).collect();
    if hashes != record.items {
        return Err(wrong("they are not those that its record names"));
    }
    for item in items {
        let bytes = bytes_of(&item.block, object).ok_or_else(|| wrong("outside the object"))?;
        let lines = segment::open_block(&item.block, bytes).map_err(|e| wrong(&e.to_string()))?;
        let mut minutes: BTreeMap<Minute, u64> = BTreeMap::new();
        segment::for_each_line::<BlockError>(&lines, |head, _| {
            *minutes.entry(head.receipt.minute()).or_default() += 1;
            Ok(())
        })
        .map_err(|e| wrong(&e.to_string()))?;
        let said = item.block.minutes.iter();
        let said: BTreeMap<Minute, u64> = said.map(|m| (m.minute, m.tally.events)).collect();
        let slices: BTreeSet<Slice> = minutes.keys().copied().map(Slice::containing).collect();
        if said != minutes || slices.len() != 1 {
            return Err(wrong("their lines are not those of one slice"));
        }
    }
    Ok(())
}

impl Segments {
    pub(super) fn events(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Reads the records that are new.
    pub(super) fn read_new(&mut self, world: &World) -> Result<(), Violation> {
        for record in world.table.records_after(self.records) {
            self.records += 1;
            self.link(&record)?;
            let items = world.table.items_of_commit(&record);
            self.check_bounds(&record, &items)?;
            let Some(key) = &record.object else {
                Violation::unless(record.items.is_empty(), Invariant::Complete, || {
                    format!("{} has items and no object", record.first)
                })?;
                continue;
            };
            let object = world.bucket.raw(key).ok_or_else(|| {
                let what = format!("{key} is committed and not there");
                Violation::new(Invariant::ExactlyOnceEffects, what)
            })?;
            for item in &items {
                self.read_block(key, &object, &item.block)?;
            }
            check_items(&record, &items, &object)?;
        }
        Ok(())
    }

    /// Invariants 4 and 6: records of a shard follow each other without overlap, each with the hash
    /// of the one before.
    fn link(&mut self, record: &SegmentRecord) -> Result<(), Violation> {
        let before = self.chains.get(&record.shard);
        let follows = match before {
            None => record.position == 0 && record.previous.is_none(),
            Some(link) => {
                Violation::unless(
                    link.last < record.first,
                    Invariant::ExactlyOnceEffects,
                    || {
                        format!(
                            "{}: {} to {} overlaps what is committed up to {}",
                            record.shard, record.first, record.last, link.last
                        )
                    },
                )?;
                record.position == link.position + 1 && record.previous.as_ref() == Some(&link.hash)
            }
        };
        Violation::unless(
            follows && record.first <= record.last,
            Invariant::TamperEvident,
            || format!("{}: the chain breaks at {}", record.shard, record.first),
        )?;
        let link = Link {
            last: record.last.clone(),
            position: record.position,
            hash: record.hash(),
        };
        self.chains.insert(record.shard.clone(), link);
        Ok(())
    }

    /// Invariant 8: a record fits its item, a step its memory (one frame may be all of a step).
    fn check_bounds(&self, record: &SegmentRecord, items: &[BlockItem]) -> Result<(), Violation> {
        let bytes = record.to_json().len();
        let lines: u64 = items.iter().map(|item| item.block.lines_bytes).sum();
        let most = limits::STEP_LINES_BYTES_MAX.max(limits::FRAME_LINES_BYTES_MAX) as u64;
        Violation::unless(
            bytes <= limits::SEGMENT_RECORD_BYTES_MAX && lines <= most,
            Invariant::Bounded,
            || format!("a record of {bytes} bytes over {lines} bytes of lines"),
        )
    }

    fn read_block(&mut self, key: &str, object: &[u8], block: &Block) -> Result<(), Violation> {
        let damaged = |what: String| Violation::new(Invariant::Complete, format!("{key}: {what}"));
        let bytes =
            bytes_of(block, object).ok_or_else(|| damaged("a block lies outside".into()))?;
        let lines = segment::open_block(block, bytes).map_err(|e| damaged(e.to_string()))?;
        let mut sum = Tally::default();
        let (mut twice, mut places) = (None, Vec::new());
        segment::for_each_line::<BlockError>(&lines, |head, event| {
            let (line, fits) = stored(&block.tenant, &head, event);
            let place = (head.receipt, head.index);
            let mut tally = Tally::default();
            tally.add_event(place.0, place.1, &line.blind, head.verdict);
            sum.merge(&tally);
            self.tallies.entry(place.0).or_default().merge(&tally);
            if self.lines.insert(place, line).is_some() || !fits {
                twice = Some((place, fits));
            }
            places.push(place);
            Ok(())
        })
        .map_err(|e| damaged(e.to_string()))?;
        let of_object = self.objects.entry(key.to_owned()).or_default();
        of_object.extend(places);
        if let Some(((receipt, index), fits)) = twice {
            return Err(if fits {
                let what = format!("event {index} of {receipt} is stored twice");
                Violation::new(Invariant::ExactlyOnceEffects, what)
            } else {
                damaged(format!(
                    "event {index} of {receipt} is not what its line says"
                ))
            });
        }
        let mut said = Tally::default();
        block.minutes.iter().for_each(|m| said.merge(&m.tally));
        Violation::unless(said == sum, Invariant::Complete, || {
            format!("{key}: a record does not count its lines")
        })
    }

    /// Whose an envelope is that has stored events.
    pub(super) fn tenant_of(&self, receipt: ReceiptId) -> Option<&TenantId> {
        let mut lines = self.lines.range((receipt, 0)..=(receipt, u32::MAX));
        lines.next().map(|(_, line)| &line.tenant)
    }

    /// Invariant 6: every record and every block that was read is there, as it was; but for objects
    /// that are known to be gone.
    pub(super) fn check_unchanged(
        &self,
        world: &World,
        gone: &BTreeSet<String>,
    ) -> Result<(), Violation> {
        let mut chains = Self::default();
        for record in world.table.all_records() {
            chains.link(&record)?;
            let Some(key) = record.object.as_ref().filter(|key| !gone.contains(*key)) else {
                continue;
            };
            let object = world.bucket.raw(key).unwrap_or_default();
            let items = world.table.items_of_commit(&record);
            let hashes: Vec<_> = items.iter().filter_map(BlockItem::hash).collect();
            let same = items.iter().all(|item| {
                let found = bytes_of(&item.block, &object).map(|b| Fingerprint::of(b).hex());
                found.is_some_and(|hash| hash == item.block.sha256)
            });
            let same = same && hashes == record.items;
            Violation::unless(same, Invariant::TamperEvident, || {
                format!("{key} is gone or changed")
            })?;
        }
        Violation::unless(
            chains.chains == self.chains,
            Invariant::TamperEvident,
            || "records are gone or changed".into(),
        )
    }

    /// Invariant 4: every cursor stands behind the last record of its chain, nowhere else.
    pub(super) fn check_cursors(&self, world: &World) -> Result<(), Violation> {
        for (shard, cursor) in world.table.cursors() {
            let Some(link) = self.chains.get(&shard) else {
                let untouched = cursor.sequence.is_none();
                Violation::unless(untouched, Invariant::ExactlyOnceEffects, || {
                    format!("{shard} has a cursor and no record")
                })?;
                continue;
            };
            let stands = cursor.sequence.as_ref() == Some(&link.last)
                && cursor.next_position == link.position + 1
                && cursor.last_hash.as_ref() == Some(&link.hash);
            Violation::unless(stands, Invariant::ExactlyOnceEffects, || {
                format!("{shard}: the cursor is not behind the last record")
            })?;
        }
        Ok(())
    }
}

fn bytes_of<'o>(block: &Block, object: &'o [u8]) -> Option<&'o [u8]> {
    let start = usize::try_from(block.offset).ok()?;
    object.get(start..start.checked_add(usize::try_from(block.bytes).ok()?)?)
}

/// A line, and whether it is what it says.
fn stored(tenant: &TenantId, head: &LineHead<'_>, event: &[u8]) -> (Stored, bool) {
    let own = Fingerprint::of(event);
    let named = Fingerprint::from_hex(&head.fingerprint).unwrap_or(own);
    let line = Stored {
        tenant: tenant.clone(),
        fingerprint: named,
        blind: BlindFingerprint::of(head.salt(), &named),
        rejected: head.verdict == Verdict::Rejected,
        event_ref: head.event_ref.clone(),
        first: head.first,
    };
    let fits = head.event_ref.is_some() || named.hex() == head.fingerprint && named == own;
    (line, fits)
}
