//! One window's events into files, and the seal over them.

use super::earlier::{Suspects, filters_of};
use super::{Trouble, Workshop};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use vernier_archive::Fault;
use vernier_archive::files::Directory;
use vernier_archive::seal::{SealKind, Written};
use vernier_archive::window::{Oversize, Plan, Settings, WindowBuilder};
use vernier_ledger::access::Tenant;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::chain::ChainHead;
use vernier_ledger::frame::Tally;
use vernier_ledger::line::{self, EventRef, LineHead};
use vernier_ledger::live::{self, LiveBlock};
use vernier_ledger::ports::{Chains, Objects, PortError};
use vernier_ledger::segment::{self, Place};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

/// Rows of a part: 34 MB at the reference mix, which one request uploads within its time-out.
pub(crate) const PART_ROWS: usize = 200_000;

/// Records in memory before a run is written, bytes.
pub(crate) const RUN_BYTES: usize = 32 * 1024 * 1024;

/// Text of a row group, bytes: three of them at a time, and what encoding takes.
pub(crate) const GROUP_BYTES: usize = 32 * 1024 * 1024;

/// What is to be sealed.
pub(super) struct Job<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) window: Window,
    pub(super) kind: SealKind,
    /// The chain that the seal will be the next of.
    pub(super) head: &'a ChainHead,
    /// All that may hold its events.
    pub(super) items: &'a [BlockItem],
    /// What the lines must come to.
    pub(super) expected: Tally,
    /// Events that are sealed already.
    pub(super) except: HashSet<Place>,
}

/// Events that were too large for their frames, fetched before.
struct Fetched(BTreeMap<String, PathBuf>);

impl Oversize for Fetched {
    fn fetch(&self, reference: &EventRef) -> io::Result<Vec<u8>> {
        let path = self.0.get(&reference.key);
        fs::read(path.ok_or(io::ErrorKind::NotFound)?)
    }
}

/// Lines on their way into files.
struct Collector {
    builder: WindowBuilder,
    suspects: Suspects,
    oversize: BTreeMap<String, PathBuf>,
    head: Vec<u8>,
}

impl Collector {
    /// Takes a block's lines; answers the oversize events that they name.
    fn take(&mut self, job: &Job<'_>, lines: &[u8]) -> Result<Vec<String>, Trouble> {
        let mut large = Vec::new();
        for text in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let bad = |e: line::BadLine| Trouble::Held(e.to_string());
            line::split(text, &mut self.head).map_err(bad)?;
            let head: LineHead<'_> = line::read_head(&self.head).map_err(bad)?;
            let here = job.window.contains(head.receipt.received_at());
            if !here || job.except.contains(&(head.receipt, head.index)) {
                continue;
            }
            self.suspects.show(&head);
            if let Some(reference) = &head.event_ref {
                large.push(reference.key.clone());
            }
            self.builder.push_line(text)?;
        }
        Ok(large)
    }
}

/// Writes a window's files into the bucket.
///
/// # Errors
/// The stores'; held when what is there cannot be sealed.
pub(super) async fn write<S: ReconcileStores>(
    stores: &S,
    workshop: &Workshop,
    job: &Job<'_>,
    now: Millis,
) -> Result<Written, Trouble> {
    let folder = tempfile::Builder::new()
        .prefix("vernier-seal-")
        .tempdir_in(&workshop.temporary)
        .map_err(Fault::Io)?;
    let since = job
        .window
        .start
        .plus_seconds(-workshop.times.lookback_seconds);
    let mut seals = stores.table().seals(&job.tenant.id, since, now).await?;
    // Another run may have sealed this very window meanwhile: only what stands before it in the chain decides,
    // so that both write the same files.
    seals.retain(|seal| seal.sequence < job.head.sequence);
    let earlier = filters_of(stores, &workshop.kept, &job.tenant.id, &seals).await?;
    let plan = Plan {
        tenant: job.tenant.id.clone(),
        window: job.window,
        kind: job.kind,
        sequence: job.head.sequence,
    };
    let settings = Settings {
        run_bytes: RUN_BYTES,
        part_rows: PART_ROWS,
        group_bytes: GROUP_BYTES,
        ..Settings::new(folder.path(), workshop.threads)
    };
    let mut collector = Collector {
        builder: WindowBuilder::new(plan, settings),
        suspects: Suspects::new(&job.tenant.id, earlier),
        oversize: BTreeMap::new(),
        head: Vec::new(),
    };
    let (start, end) = (job.window.start, job.window.end);
    for block in live::blocks_of(job.items, start, end) {
        collect(stores, &mut collector, job, &block, folder.path()).await?;
    }
    collector.suspects.look_up(stores).await?;
    let found = collector.suspects.into_found();
    let sink = Directory::new(folder.path().join("files"));
    let oversize = Fetched(collector.oversize);
    let written = collector.builder.finish(&found, &oversize, &sink)?;
    let sums = Tally {
        events: written.counts.total(),
        rejected: written.counts.rejected,
        digest: written.digest,
    };
    if sums != job.expected {
        return Err(Trouble::Held(
            "its lines do not come to what its account says".to_owned(),
        ));
    }
    upload(stores.objects(), &written, &folder.path().join("files")).await?;
    Ok(written)
}

async fn collect<S: ReconcileStores>(
    stores: &S,
    collector: &mut Collector,
    job: &Job<'_>,
    live: &LiveBlock,
    folder: &Path,
) -> Result<(), Trouble> {
    let objects = stores.objects();
    let held = |what: &str| Trouble::Held(format!("segment {} {what}", live.object));
    let range = Some((live.block.offset, live.block.bytes));
    let Some(bytes) = objects.get(&live.object, range).await? else {
        if job.kind == SealKind::Backfill {
            // Sealed before and swept since, or lost: then the sums below do not agree.
            return Ok(());
        }
        return Err(held("is gone"));
    };
    let lines = segment::open_block(&live.block, &bytes).map_err(|e| held(&e.to_string()))?;
    drop(bytes);
    for key in collector.take(job, &lines)? {
        let found = objects.get(&key, None).await?;
        let event = found.ok_or_else(|| Trouble::Held(format!("oversize event {key} is gone")))?;
        let path = folder.join(format!("oversize-{}", collector.oversize.len()));
        fs::write(&path, event).map_err(Fault::Io)?;
        collector.oversize.insert(key, path);
    }
    if collector.suspects.are_many() {
        collector.suspects.look_up(stores).await?;
    }
    Ok(())
}

/// Puts the files where their keys say. What lies there already is the same: the key holds its hash.
pub(crate) async fn upload<O: Objects>(
    objects: &O,
    written: &Written,
    folder: &Path,
) -> Result<(), PortError> {
    for file in &written.files {
        let read = fs::read(folder.join(&file.key));
        let bytes = read.map_err(|e| PortError::Retryable(format!("{}: {e}", file.key)))?;
        objects.put_new(&file.key, bytes, None).await?;
    }
    Ok(())
}
