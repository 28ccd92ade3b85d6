//! What lies on the stream, and what of it is no frame.

use super::Violation;
use crate::world::World;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::Invariant;
use vernier_ledger::frame::{self, FrameHeader, Tally};
use vernier_ledger::ids::{ReceiptId, Shard, TenantId};
use vernier_ledger::limits;
use vernier_ledger::receipt::Origin;
use zstd::bulk::Decompressor;

/// Text of a frame's header is far under this, bytes.
const TEXT_BYTES_MAX: usize = limits::FRAME_LINES_BYTES_MAX + limits::FRAME_HEADER_BYTES_MAX;

/// The frames that were ever put on the stream.
#[derive(Debug, Default)]
pub(super) struct Frames {
    read: BTreeMap<Shard, usize>,
    slices: BTreeMap<(TenantId, ReceiptId, u32), Tally>,
    /// What is no frame, by the place where it lies.
    undecodable: Vec<(Origin, Vec<u8>)>,
    /// Frames that recovery sent again while the clock of a hold of their tenant ran.
    beside_clocks: u64,
}

thread_local! {
    /// One for all frames: making one costs more than reading a small frame.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> =
        RefCell::new(Decompressor::new().ok());
}

/// The header of a sound frame. Whether the lines behind it are sound shows when they are stored.
fn header(data: &[u8]) -> Option<FrameHeader> {
    if data.starts_with(b"{") {
        return Some(frame::decode(data).ok()?.header);
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let capacity = Decompressor::upper_bound(data).unwrap_or(TEXT_BYTES_MAX);
        let capacity = capacity.min(TEXT_BYTES_MAX);
        let text = decompressor.as_mut()?.decompress(data, capacity).ok()?;
        let line = text.split(|b| *b == b'\n').next()?;
        serde_json::from_slice(line).ok()
    })
}

impl Frames {
    pub(super) fn read_new(&mut self, world: &World) -> Result<(), Violation> {
        let stream = &world.stream;
        for description in stream.shards() {
            let shard = description.shard;
            let read = self.read.get(&shard).copied().unwrap_or(0);
            if read == description.end {
                continue;
            }
            for (sequence, record) in stream.read(&shard, read, usize::MAX) {
                let bytes = record.data.len() + record.partition_key.len();
                Violation::unless(
                    bytes <= limits::RECORD_BYTES_MAX,
                    Invariant::Bounded,
                    || format!("record {sequence} has {bytes} bytes"),
                )?;
                match header(&record.data) {
                    Some(header) => {
                        if header.attempt > 0 {
                            let mut held = world.table.raw_held(&header.tenant).into_iter();
                            let has_clock = held.any(|held| held.since.is_some());
                            self.beside_clocks += u64::from(has_clock);
                        }
                        let key = (header.tenant, header.receipt, header.slice);
                        self.slices.insert(key, header.slice_tally);
                    }
                    None => {
                        let shard = shard.clone();
                        let origin = Origin { shard, sequence };
                        self.undecodable.push((origin, record.data));
                    }
                }
            }
            self.read.insert(shard, description.end);
        }
        Ok(())
    }

    /// The sum over an envelope's slices; none when one is missing.
    pub(super) fn whole(
        &self,
        tenant: &TenantId,
        receipt: ReceiptId,
        slices: u32,
    ) -> Option<Tally> {
        let mut sum = Tally::default();
        for slice in 0..slices {
            sum.merge(self.slices.get(&(tenant.clone(), receipt, slice))?);
        }
        Some(sum)
    }

    /// Frames that recovery sent again while the clock of a hold of their tenant ran.
    pub(super) const fn beside_clocks(&self) -> u64 {
        self.beside_clocks
    }

    /// Whether a slice was ever put on the stream.
    pub(super) fn ever_held(&self, tenant: &TenantId, receipt: ReceiptId, slice: u32) -> bool {
        self.slices.contains_key(&(tenant.clone(), receipt, slice))
    }

    /// Invariant 5: whatever is no frame lies in quarantine, byte for byte, unless the trigger never
    /// delivered it.
    pub(super) fn check_quarantine(&self, world: &World) -> Result<(), Violation> {
        let keys = world.bucket.keys("quarantine/frames/");
        let kept: BTreeSet<Vec<u8>> = keys.iter().filter_map(|k| world.bucket.raw(k)).collect();
        for (origin, data) in &self.undecodable {
            let is_kept = kept.contains(data) || world.trigger.skipped().contains(data);
            Violation::unless(is_kept, Invariant::NothingUnreadable, || {
                let Origin { shard, sequence } = origin;
                format!("{shard} {sequence} is no frame and not in quarantine")
            })?;
        }
        Ok(())
    }
}
