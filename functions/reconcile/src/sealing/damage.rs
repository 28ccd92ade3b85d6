//! What of a window's segments is gone or cannot be read. The window misses it, and bytes that are there are kept raw.

use super::wire::not_there;
use std::collections::BTreeSet;
use vernier_ledger::account::Coverage;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;
use vernier_ledger::line::{BadLine, EventRef};
use vernier_ledger::live::LiveBlock;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::segment::BlockError;
use vernier_ledger::time::Window;

/// Bytes of a segment that are no lines any more.
struct RawBytes {
    bytes: Vec<u8>,
    /// Where the bytes lay, and why they are none.
    note: String,
}

/// All that was met of a window.
#[derive(Default)]
pub(super) struct Damage {
    /// Object and offset of each block that is not whole.
    blocks: BTreeSet<(String, u64)>,
    raw: Vec<RawBytes>,
    /// What was met first, in words.
    first: Option<String>,
}

impl Damage {
    /// Notes a block whose object is not there.
    pub(super) fn note_gone(&mut self, live: &LiveBlock) {
        self.note(live, format!("segment {} is gone", live.object));
    }

    /// Notes a block whose bytes are not those that were committed.
    pub(super) fn note_block(&mut self, live: &LiveBlock, bytes: Vec<u8>, error: &BlockError) {
        let note = format!("segment {} at {}: {error}", live.object, live.block.offset);
        self.note_raw(live, bytes, note);
    }

    /// Notes a line that cannot be read, of a block that is as it was committed.
    pub(super) fn note_line(&mut self, live: &LiveBlock, line: &[u8], error: &BadLine) {
        let note = format!("segment {} at {}: {error}", live.object, live.block.offset);
        self.note_raw(live, line.to_vec(), note);
    }

    /// Notes a line whose event's object is not there, or is another one.
    pub(super) fn note_oversize(&mut self, live: &LiveBlock, line: &[u8], event: &EventRef) {
        self.note_raw(live, line.to_vec(), not_there(event));
    }

    fn note_raw(&mut self, live: &LiveBlock, bytes: Vec<u8>, note: String) {
        self.note(live, note.clone());
        self.raw.push(RawBytes { bytes, note });
    }

    fn note(&mut self, live: &LiveBlock, what: String) {
        let place = (live.object.clone(), live.block.offset);
        self.blocks.insert(place);
        self.first.get_or_insert(what);
    }

    /// What the items cover whose blocks are damaged, or whose blocks are not.
    pub(super) fn coverage(&self, items: &[BlockItem], is_damaged: bool) -> Coverage {
        let of = |item: &&BlockItem| {
            let place = (item.object.clone(), item.block.offset);
            self.blocks.contains(&place) == is_damaged
        };
        Coverage::of_items(items.iter().filter(of))
    }

    /// The first damage, in words; none where there is none.
    pub(super) fn first(&self) -> Option<String> {
        self.first.clone()
    }
}

/// Keeps what cannot be read as it is, under keys that hold its hash: written again it is the same object.
///
/// # Errors
/// Whatever error the bucket gives.
pub(super) async fn keep_raw<O: Objects>(
    objects: &O,
    tenant: &TenantId,
    window: Window,
    damage: Damage,
) -> Result<(), PortError> {
    let (date, _) = window.start.date_and_hour();
    for RawBytes { bytes, note } in damage.raw {
        let hash = Fingerprint::of(&bytes).hex();
        let (start, content) = (window.start.0, &hash[..32]);
        let key = format!("quarantine/blocks/tenant={tenant}/dt={date}/{start:015}-{content}");
        objects.put_new(&key, bytes, Some(&note)).await?;
    }
    Ok(())
}
