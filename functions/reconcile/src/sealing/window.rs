//! One window's events into files, and what its seal says of them.

use super::chain::Content;
use super::earlier::{Suspects, filters_of};
use super::totals::AccountSoFar;
use super::wire::{is_there, not_there, write_share};
use super::{Trouble, Workshop};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::account::write_rows;
use vernier_archive::files::Directory;
use vernier_archive::seal::{FileSet, SealKind, SetWriter, StatementBody, WindowStatement};
use vernier_archive::share::{Share, SharesJoined};
use vernier_archive::window::{Plan, Settings, WindowBuilder};
use vernier_ledger::access::Tenant;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::chain::ChainHead;
use vernier_ledger::frame::Tally;
use vernier_ledger::line::{self, EventRef, LineHead};
use vernier_ledger::live::{self, LiveBlock};
use vernier_ledger::ports::{Chains, Objects, PortError};
use vernier_ledger::receipt::Receipt;
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
    /// The receipts of the window, in any order.
    pub(super) receipts: &'a [Receipt],
    /// What the window's seals before this one say of it.
    pub(super) so_far: AccountSoFar,
    /// Events that are sealed already.
    pub(super) except: HashSet<Place>,
}

impl Job<'_> {
    fn plan(&self) -> Plan {
        Plan {
            tenant: self.tenant.id.clone(),
            window: self.window,
            kind: self.kind,
            sequence: self.head.sequence,
        }
    }
}

/// Lines on their way into files.
struct Collector {
    builder: WindowBuilder,
    suspects: Suspects,
    head: Vec<u8>,
}

impl Collector {
    /// Takes a block's lines; answers the oversize events that they name.
    fn take(&mut self, job: &Job<'_>, lines: &[u8]) -> Result<Vec<EventRef>, Trouble> {
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
            large.extend(head.event_ref.clone());
            self.builder.push_line(text)?;
        }
        Ok(large)
    }
}

/// Writes a window's files into the bucket: those of its rows, its evidence, and the lists that the seal needs of them.
///
/// # Errors
/// The stores'; held when what is there cannot be sealed.
pub(super) async fn write<S: ReconcileStores>(
    stores: &S,
    workshop: &Workshop,
    job: &Job<'_>,
    now: Millis,
) -> Result<Content, Trouble> {
    let folder = Arc::new(workshop.scratch.folder().map_err(Fault::Io)?);
    let Collector {
        builder, suspects, ..
    } = collected(stores, workshop, job, folder.path(), now).await?;
    // Before anything is written into the bucket.
    if builder.tally() != job.expected {
        return Err(Trouble::Held(
            "its lines do not come to what its account says".to_owned(),
        ));
    }
    let (objects, bytes) = (stores.objects(), workshop.scratch.bytes());
    let found = suspects.into_found();
    let share = write_share(objects, builder, found, Arc::clone(&folder), bytes).await?;
    let rows = SharesJoined::of(vec![share]);
    let sink = Directory::new(folder.path().join("files"));
    let (content, keys) = content_of(job, rows, &sink)?;
    let keys = keys.iter().map(String::as_str);
    upload(objects, keys, &folder.path().join("files")).await?;
    Ok(content)
}

/// Takes all of the window's lines, and looks for what they repeat.
async fn collected<S: ReconcileStores>(
    stores: &S,
    workshop: &Workshop,
    job: &Job<'_>,
    folder: &Path,
    now: Millis,
) -> Result<Collector, Trouble> {
    let lookback_seconds = workshop.times.lookback_seconds;
    let since = job.window.start.plus_seconds(-lookback_seconds);
    let mut seals = stores.table().seals(&job.tenant.id, since, now).await?;
    // Another run may have sealed this very window meanwhile: only what stands before it in the chain decides,
    // so that both write the same files.
    seals.retain(|seal| seal.sequence < job.head.sequence);
    let earlier = filters_of(stores, &workshop.kept, &job.tenant.id, &seals).await?;
    let settings = Settings {
        run_bytes: RUN_BYTES,
        part_rows: PART_ROWS,
        group_bytes: GROUP_BYTES,
        scratch: workshop.scratch.bytes().clone(),
        ..Settings::new(folder, workshop.threads)
    };
    let mut collector = Collector {
        builder: WindowBuilder::of_share(job.plan(), Share::WHOLE, settings),
        suspects: Suspects::new(&job.tenant.id, earlier),
        head: Vec::new(),
    };
    let (start, end) = (job.window.start, job.window.end);
    for block in live::blocks_of(job.items, start, end) {
        collect(stores, &mut collector, job, &block).await?;
    }
    collector.suspects.look_up(stores).await?;
    Ok(collector)
}

/// What the window's seal says: its rows, the evidence that no seal before has, and the account with both. Answers the
/// keys of all that it names beside its rows, too.
fn content_of(
    job: &Job<'_>,
    rows: SharesJoined,
    sink: &Directory,
) -> Result<(Content, Vec<String>), Trouble> {
    let account = job.so_far.with(job.receipts, &rows.counts, &rows.digest);
    let account = account.ok_or_else(|| {
        Trouble::Held("its receipts do not come to what its seals have".to_owned())
    })?;
    let evidence = write_rows(&job.plan(), account.evidence, sink)?;
    let mut keys: Vec<String> = evidence.iter().map(|file| file.key.clone()).collect();
    let mut sets = SetWriter::new(&job.tenant.id, job.head.sequence, sink);
    let statement = WindowStatement {
        parts: sets.set(rows.files.clone())?,
        shares: Share::WHOLE.shares(),
        evidence: sets.set(evidence)?,
        // A window of which something is missing is held.
        missing: FileSet::EMPTY,
        totals: account.totals,
        shortfall: None,
        projections: None,
    };
    let lists = [&statement.parts, &statement.evidence]
        .into_iter()
        .flat_map(FileSet::lists);
    keys.extend(lists.map(|list| list.key.clone()));
    let content = Content {
        kind: job.kind,
        window: job.window,
        counts: rows.counts,
        digest: rows.digest,
        files: rows.files,
        covers: Vec::new(),
        body: StatementBody::Window(Box::new(statement)),
    };
    Ok((content, keys))
}

async fn collect<S: ReconcileStores>(
    stores: &S,
    collector: &mut Collector,
    job: &Job<'_>,
    live: &LiveBlock,
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
    for reference in collector.take(job, &lines)? {
        // Its bytes are fetched when its row is encoded.
        if !is_there(objects, &reference).await? {
            return Err(Trouble::Held(not_there(&reference)));
        }
    }
    if collector.suspects.are_many() {
        collector.suspects.look_up(stores).await?;
    }
    Ok(())
}

/// Puts files where their keys say. What lies there already is the same: the key holds its hash.
pub(crate) async fn upload<O: Objects>(
    objects: &O,
    keys: impl IntoIterator<Item = &str>,
    folder: &Path,
) -> Result<(), PortError> {
    for key in keys {
        let read = fs::read(folder.join(key));
        let bytes = read.map_err(|e| PortError::Retryable(format!("{key}: {e}")))?;
        objects.put_new(key, bytes, None).await?;
    }
    Ok(())
}
