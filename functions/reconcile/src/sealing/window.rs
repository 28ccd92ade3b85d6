//! One window's events into files, and what its seal says of them.

use super::chain::Content;
use super::damage::{Damage, keep_raw};
use super::earlier::{Suspects, filters_of};
use super::resent::note_resent;
use super::totals::{AccountSoFar, Found, NextAccount, Sums};
use super::wire::{is_there, write_share};
use super::{Trouble, Workshop};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::account::{Missing, write_rows};
use vernier_archive::files::Directory;
use vernier_archive::seal::{
    FileSet, SealKind, SetWriter, Shortfall, StatementBody, WindowStatement,
};
use vernier_archive::share::{Share, SharesJoined};
use vernier_archive::window::{Plan, Settings, WindowBuilder};
use vernier_ledger::access::Tenant;
use vernier_ledger::account::WindowAccount;
use vernier_ledger::block_item::BlockItem;
use vernier_ledger::chain::ChainHead;
use vernier_ledger::digest::{BlindFingerprint, Fingerprint};
use vernier_ledger::frame::Tally;
use vernier_ledger::given_up::{GivenUp, GivenUpSlices as _};
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
    /// What the items say is stored and not sealed.
    pub(super) unsealed: Tally,
    /// The receipts of the window, in any order.
    pub(super) receipts: &'a [Receipt],
    /// What receipts and items come to.
    pub(super) account: &'a WindowAccount,
    /// What the window's seals before this one say of it.
    pub(super) so_far: AccountSoFar,
    /// Events that are sealed already.
    pub(super) except: HashSet<Place>,
    /// What the seal says of what is missing; none where it may be signed only if nothing is.
    pub(super) shortfall: Option<Shortfall>,
}

/// What a window's seal is to say.
pub(super) struct Sealable {
    pub(super) content: Content,
    /// The receipts of which something is missing after the seal.
    pub(super) missing: Vec<Missing>,
}

/// What writing a window's files came to.
pub(super) struct Written {
    /// None where the seal would say nothing that the window's last one does not say.
    pub(super) sealable: Option<Sealable>,
    /// The first thing that is stored, not sealed and cannot be read, in words.
    pub(super) damage: Option<String>,
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
    sums: Sums,
    damage: Damage,
    head: Vec<u8>,
}

/// A line whose event lies in an object of its own, which nobody has looked for yet.
struct LargeLine {
    event: EventRef,
    text: Vec<u8>,
}

impl Collector {
    /// Takes a block's lines but those whose events have objects of their own, and answers these. A line that cannot be
    /// read is noted as damaged.
    fn take(
        &mut self,
        job: &Job<'_>,
        live: &LiveBlock,
        lines: &[u8],
    ) -> Result<Vec<LargeLine>, Trouble> {
        let mut large = Vec::new();
        for text in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            match self.take_line(job, text, false) {
                Ok(Some(event)) => large.push(LargeLine {
                    event,
                    text: text.to_vec(),
                }),
                Ok(None) => {}
                Err(Fault::Line(bad)) => self.damage.note_line(live, text, &bad),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(large)
    }

    /// Takes a line, or answers where its event's object is unless that is known to be there.
    fn take_line(
        &mut self,
        job: &Job<'_>,
        text: &[u8],
        is_there: bool,
    ) -> Result<Option<EventRef>, Fault> {
        line::split(text, &mut self.head)?;
        let head: LineHead<'_> = line::read_head(&self.head)?;
        let is_here = job.window.contains(head.receipt.received_at());
        let is_sealed = job.except.contains(&(head.receipt, head.index));
        if !is_here || is_sealed || !job.so_far.wants(head.receipt) {
            return Ok(None);
        }
        if head.event_ref.is_some() && !is_there {
            return Ok(head.event_ref);
        }
        self.builder.push_line(text)?;
        self.suspects.show(&head);
        // The builder has read it.
        if let Some(fingerprint) = Fingerprint::from_hex(&head.fingerprint) {
            let blind = BlindFingerprint::of(head.salt(), &fingerprint);
            let sum = self.sums.entry(head.receipt).or_default();
            sum.add_event(head.receipt, head.index, &blind, head.verdict);
        }
        Ok(None)
    }
}

/// Writes a window's files into the bucket once its account stands: those of its rows, its evidence, what is missing, and
/// the lists that the seal needs of them.
///
/// # Errors
/// The stores'; short when something is missing and the seal may not say so; held when what is there cannot be sealed.
pub(super) async fn write<S: ReconcileStores>(
    stores: &S,
    workshop: &Workshop,
    job: &Job<'_>,
    now: Millis,
) -> Result<Written, Trouble> {
    let folder = Arc::new(workshop.scratch.folder().map_err(Fault::Io)?);
    let Collector {
        builder,
        suspects,
        sums,
        damage,
        ..
    } = collected(stores, workshop, job, folder.path(), now).await?;
    // A segment whose events are sealed may be swept: what a backfill does not find of it, nobody lacks.
    let is_readable = builder.tally() == job.unsealed;
    let damaged = damage.first().filter(|_| !is_readable);
    let found = Found {
        sums,
        sound: damage.coverage(job.items, false),
        damaged: damage.coverage(job.items, true),
        given_up: given_up_of(stores, job).await?,
    };
    // Before anything is written into the bucket.
    let mut account = job.so_far.next(job.receipts, &found)?;
    if !account.missing.is_empty() {
        if job.shortfall.is_none() {
            let missing = account.missing.iter().map(|row| row.receipt).collect();
            let damage = damaged;
            return Err(Trouble::Short { damage, missing });
        }
        keep_raw(stores.objects(), &job.tenant.id, job.window, damage).await?;
        note_resent(stores.table(), job, now, &mut account.missing).await?;
    }
    for receipt in &account.surplus {
        tracing::error!(tenant = %job.tenant.id, %receipt, "more is stored than was acknowledged");
    }
    let (objects, bytes) = (stores.objects(), workshop.scratch.bytes());
    let repeats = suspects.into_found();
    let share = write_share(objects, builder, repeats, Arc::clone(&folder), bytes).await?;
    let rows = SharesJoined::of(vec![share]);
    let sink = Directory::new(folder.path().join("files"));
    let mut written = Written {
        sealable: None,
        damage: damaged,
    };
    let Some((sealable, keys)) = sealable_of(job, account, rows, &sink)? else {
        return Ok(written);
    };
    let keys = keys.iter().map(String::as_str);
    upload(objects, keys, &folder.path().join("files")).await?;
    written.sealable = Some(sealable);
    Ok(written)
}

/// The window's slices that recovery gave up; nobody asks where the seal may not say that something is missing.
async fn given_up_of<S: ReconcileStores>(stores: &S, job: &Job<'_>) -> Result<GivenUp, PortError> {
    if job.shortfall.is_none() {
        return Ok(GivenUp::default());
    }
    let range = job.window.into();
    let slices = stores.table().given_up_slices(&job.tenant.id, range);
    Ok(GivenUp::of(&slices.await?))
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
        sums: Sums::default(),
        damage: Damage::default(),
        head: Vec::new(),
    };
    let (start, end) = (job.window.start, job.window.end);
    if job.unsealed != Tally::default() {
        for block in live::blocks_of(job.items, start, end) {
            collect(stores, &mut collector, job, &block).await?;
        }
    }
    collector.suspects.look_up(stores).await?;
    Ok(collector)
}

/// What the window's seal says: its rows, the evidence that no seal before has, what is missing, and the account of all.
/// Answers the keys of all that it names beside its rows, too; none where nothing is new.
fn sealable_of(
    job: &Job<'_>,
    account: NextAccount,
    rows: SharesJoined,
    sink: &Directory,
) -> Result<Option<(Sealable, Vec<String>)>, Trouble> {
    let totals = job.so_far.totals(&account, &rows.counts, &rows.digest);
    let totals = totals.ok_or_else(|| {
        Trouble::Held("its receipts do not come to what its seals have".to_owned())
    })?;
    let is_new =
        rows.counts.total() > 0 || !account.evidence.is_empty() || !job.so_far.says(&totals);
    if job.kind == SealKind::Backfill && !is_new {
        return Ok(None);
    }
    let evidence = write_rows(&job.plan(), account.evidence, sink)?;
    let missing = write_rows(&job.plan(), account.missing.clone(), sink)?;
    let files = evidence.iter().chain(&missing);
    let mut keys: Vec<String> = files.map(|file| file.key.clone()).collect();
    let mut sets = SetWriter::new(&job.tenant.id, job.head.sequence, sink);
    let is_short = !account.missing.is_empty();
    let statement = WindowStatement {
        parts: sets.set(rows.files.clone())?,
        shares: Share::WHOLE.shares(),
        evidence: sets.set(evidence)?,
        missing: sets.set(missing)?,
        totals,
        shortfall: job.shortfall.clone().filter(|_| is_short),
        projections: None,
    };
    let lists = [&statement.parts, &statement.evidence, &statement.missing]
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
    let sealable = Sealable {
        content,
        missing: account.missing,
    };
    Ok(Some((sealable, keys)))
}

/// Takes a block's lines. What of it is gone or cannot be read is noted as damaged: whether anybody lacks it, the receipts
/// tell, since a segment whose events are sealed is swept.
async fn collect<S: ReconcileStores>(
    stores: &S,
    collector: &mut Collector,
    job: &Job<'_>,
    live: &LiveBlock,
) -> Result<(), Trouble> {
    let objects = stores.objects();
    let range = Some((live.block.offset, live.block.bytes));
    let Some(bytes) = objects.get(&live.object, range).await? else {
        collector.damage.note_gone(live);
        return Ok(());
    };
    let lines = match segment::open_block(&live.block, &bytes) {
        Ok(lines) => lines,
        Err(error) => {
            collector.damage.note_block(live, bytes, &error);
            return Ok(());
        }
    };
    drop(bytes);
    for LargeLine { event, text } in collector.take(job, live, &lines)? {
        // Its bytes are fetched when its row is encoded.
        match is_there(objects, &event).await? {
            true => drop(collector.take_line(job, &text, true)?),
            false => collector.damage.note_oversize(live, &text, &event),
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
