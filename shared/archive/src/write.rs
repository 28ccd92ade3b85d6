//! Sorted rows into parts: one thread merges, several encode row groups, each part gets its row
//! groups in order.

use crate::Fault;
use crate::columns::Layout;
use crate::files::Sink;
use crate::filling::{Filling, Job, PartSizes};
use crate::judge::{Comparison, Decisions};
use crate::merkle::{Hash, Span};
use crate::part::{EncodedGroup, Form, PartWriter, RowOrder};
use crate::row::Row;
use crate::seal::{Hex32, PartClass, SealedFile, SharePlace, part_key, share_key};
use crate::share::Share;
use crate::sort::{Sorted, Sorter};
use crate::window::{
    EVENT_REF, EVENT_TEXT, HAS_SALT, IS_OVERSIZE, NO_EVENT, Oversize, Plan, Settings,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vernier_ledger::canonical::MeaningHash;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::line::EventRef;
use vernier_ledger::salt::Salt;

/// The last number that a part's name has room for behind its share's.
const SHARE_PART_MAX: u64 = 9_999;

/// Row groups of one class on their way into parts.
struct Lane<S: Sink> {
    next: u64,
    waiting: BTreeMap<u64, (usize, EncodedGroup)>,
    open: Option<(usize, PartWriter<S::File>)>,
    files: Vec<SealedFile>,
    leaves: Span,
}

/// Whose files are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilePlan<'a> {
    pub(crate) plan: &'a Plan,
    /// The share of a seal of version 4, or none.
    pub(crate) share: Option<Share>,
}

impl FilePlan<'_> {
    fn key(&self, class: PartClass, number: usize, sha256: &Hash) -> Result<String, Fault> {
        let Some(share) = self.share else {
            return Ok(part_key(self.plan, class, number, sha256));
        };
        let place = SharePlace {
            share: share.number(),
            number: number as u64,
        };
        if place.number > SHARE_PART_MAX {
            return Err(Fault::Damaged(
                "a share of more than 10,000 parts".to_owned(),
            ));
        }
        Ok(share_key(self.plan, class, place, sha256))
    }
}

/// What writing rows came to.
#[derive(Debug)]
pub(crate) struct RowsWritten {
    pub(crate) counts: DispositionCounts,
    /// In the order of their rows.
    pub(crate) files: Vec<SealedFile>,
    /// Root over all rows, as versions before 4 have it.
    pub(crate) merkle_root: Hash,
}

/// The files of one window under way.
pub(crate) struct Files<'a, S: Sink> {
    plan: FilePlan<'a>,
    settings: &'a Settings,
    decisions: &'a Decisions,
    oversize: &'a dyn Oversize,
    sink: &'a S,
    form: Form,
    lanes: [Mutex<Lane<S>>; 2],
    failure: Mutex<Option<Fault>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a, S: Sink> Files<'a, S> {
    pub(crate) fn new(
        plan: FilePlan<'a>,
        settings: &'a Settings,
        decisions: &'a Decisions,
        oversize: &'a dyn Oversize,
        sink: &'a S,
    ) -> Result<Self, Fault> {
        let lane = |begin| {
            Mutex::new(Lane {
                next: 0,
                waiting: BTreeMap::new(),
                open: None,
                files: Vec::new(),
                leaves: Span::starting_at(begin),
            })
        };
        let all = decisions.all().iter();
        let stored = all.filter(|d| **d == Disposition::Stored).count() as u64;
        let layout = match plan.share {
            Some(_) => Layout::BlindWindow,
            None => Layout::Window,
        };
        Ok(Self {
            plan,
            settings,
            decisions,
            oversize,
            sink,
            form: Form::of(layout, RowOrder::Sorted)?,
            lanes: [lane(0), lane(stored)],
            failure: Mutex::new(None),
        })
    }

    /// Writes all rows into parts, in their order.
    pub(crate) fn write(self, rows: Sorted) -> Result<RowsWritten, Fault> {
        // Without a buffer: a group is held by whoever fills or encodes it, by nobody else.
        let (jobs, queue) = sync_channel(0);
        let queue = Arc::new(Mutex::new(queue));
        let this = &self;
        let counts = std::thread::scope(|scope| {
            for _ in 0..self.settings.threads.max(1) {
                let queue = Arc::clone(&queue);
                scope.spawn(move || this.work(&queue));
            }
            // With the last worker goes the queue, and whoever sends learns of it.
            drop(queue);
            this.merge(rows, jobs)
        });
        if let Some(failure) = held(&self.failure).take() {
            return Err(failure);
        }
        let counts = counts?;
        let mut files = Vec::new();
        let mut leaves = Span::starting_at(0);
        for (class, lane) in [PartClass::Archive, PartClass::Exceptions]
            .into_iter()
            .zip(&self.lanes)
        {
            let mut lane = held(lane);
            self.close(class, &mut lane)?;
            if !leaves.join(&lane.leaves) {
                return Err(out_of_order());
            }
            files.append(&mut lane.files);
        }
        let root = leaves.root().ok_or_else(out_of_order)?;
        Ok(RowsWritten {
            counts,
            files,
            merkle_root: root,
        })
    }

    /// Hands out row groups in order.
    fn merge(&self, mut rows: Sorted, jobs: SyncSender<Job>) -> Result<DispositionCounts, Fault> {
        let mut counts = DispositionCounts::default();
        let stored = held(&self.lanes[1]).leaves.end();
        let sizes = PartSizes::of(self.settings);
        let mut filling = [
            Filling::new(PartClass::Archive, 0, sizes),
            Filling::new(PartClass::Exceptions, stored, sizes),
        ];
        let mut last = Vec::new();
        while let Some((key, payload)) = rows.next()? {
            if last == key {
                let place = key.split_at(key.len().saturating_sub(20)).1;
                return Err(repeated(place));
            }
            last.clear();
            last.extend_from_slice(key);
            let (number, row) = payload.split_first_chunk().ok_or_else(bad_record)?;
            let outcome = self.decisions.of(u64::from_be_bytes(*number));
            counts.add(outcome.disposition);
            let lane = &mut filling[usize::from(outcome.disposition != Disposition::Stored)];
            let oversize_bytes = match outcome.has_text {
                true => oversize_bytes(row)?,
                false => 0,
            };
            if let Some(job) = lane.push(row, outcome, oversize_bytes) {
                self.hand_out(&jobs, job)?;
            }
        }
        for lane in &mut filling {
            if let Some(job) = lane.take() {
                self.hand_out(&jobs, job)?;
            }
        }
        Ok(counts)
    }

    /// Waits for a worker; stops as soon as one has failed.
    fn hand_out(&self, jobs: &SyncSender<Job>, job: Job) -> Result<(), Fault> {
        if held(&self.failure).is_none() && jobs.send(job).is_ok() {
            return Ok(());
        }
        let failure = held(&self.failure).take();
        Err(failure.unwrap_or_else(|| Fault::Damaged("no thread encodes any more".to_owned())))
    }

    fn work(&self, queue: &Mutex<Receiver<Job>>) {
        loop {
            let job = held(queue).recv();
            let Ok(job) = job else { return };
            if let Err(failure) = self.encode(job) {
                held(&self.failure).get_or_insert(failure);
                return;
            }
        }
    }

    fn encode(&self, job: Job) -> Result<(), Fault> {
        let mut group = self.form.group(job.in_part, job.in_window)?;
        let mut from = 0;
        for (end, outcome) in &job.rows.rows {
            let (salt, leaf) = read_salt(&job.rows.arena[from..*end])?;
            let (mut row, event) = Row::read_leaf(leaf)?;
            from = *end;
            row.salt = salt;
            row.disposition = outcome.disposition;
            row.first = outcome.first;
            let text = match outcome.has_text {
                true => spilled_text(event, &row, self.oversize)?,
                false => None,
            };
            row.event = text.as_deref();
            group.push(&row)?;
        }
        let number = job.number;
        let (class, part) = (job.class, job.part);
        drop(job);
        self.append(class, number, part, group.finish()?)
    }

    /// Puts a row group into its part as soon as those before it are there.
    fn append(
        &self,
        class: PartClass,
        number: u64,
        part: usize,
        group: EncodedGroup,
    ) -> Result<(), Fault> {
        let mut lane = held(&self.lanes[usize::from(class == PartClass::Exceptions)]);
        lane.waiting.insert(number, (part, group));
        let mut next = lane.next;
        while let Some((part, group)) = lane.waiting.remove(&next) {
            next += 1;
            lane.next = next;
            if lane.open.as_ref().is_some_and(|(open, _)| *open != part) {
                self.close(class, &mut lane)?;
            }
            if !lane.leaves.join(&group.window_leaves) {
                return Err(out_of_order());
            }
            if lane.open.is_none() {
                let writer = self.form.part(self.sink.create()?)?;
                lane.open = Some((part, writer));
            }
            if let Some((_, writer)) = &mut lane.open {
                writer.append(group)?;
            }
        }
        Ok(())
    }

    fn close(&self, class: PartClass, lane: &mut Lane<S>) -> Result<(), Fault> {
        let Some((part, writer)) = lane.open.take() else {
            return Ok(());
        };
        let file = close_part(
            self.sink,
            |sha256| self.plan.key(class, part, sha256),
            writer,
        )?;
        lane.files.push(file);
        Ok(())
    }
}

/// Ends a part and puts it where its content says.
pub(crate) fn close_part<S: Sink>(
    sink: &S,
    key: impl FnOnce(&Hash) -> Result<String, Fault>,
    writer: PartWriter<S::File>,
) -> Result<SealedFile, Fault> {
    let (file, figures) = writer.finish()?;
    let key = key(&figures.sha256)?;
    sink.close(&key, file)?;
    // What the rows of a day of version 4 must come to, the covered seals say.
    let merkle_root = match figures.ids {
        Some(_) => Hex32::NONE,
        None => figures.merkle_root.into(),
    };
    Ok(SealedFile {
        key,
        rows: figures.rows,
        bytes: figures.bytes,
        sha256: figures.sha256.into(),
        merkle_root,
        actors: figures.actors,
        ids: figures.ids,
    })
}

/// How large a spilled row's text is that lies in an object of its own, bytes; 0 of any other row.
fn oversize_bytes(record: &[u8]) -> Result<u64, Fault> {
    if record.first().is_none_or(|marks| marks & IS_OVERSIZE == 0) {
        return Ok(0);
    }
    let (_, leaf) = read_salt(record)?;
    let (_, event) = Row::read_leaf(leaf)?;
    let reference = event.split_first().ok_or_else(bad_record)?.1;
    let reference: EventRef = serde_json::from_slice(reference).map_err(|_| bad_record())?;
    Ok(reference.bytes)
}

/// The text behind a spilled row, when it is what the line's fingerprint says; none where the line has none.
fn spilled_text<'e>(
    event: &'e [u8],
    row: &Row<'_>,
    oversize: &dyn Oversize,
) -> Result<Option<Cow<'e, str>>, Fault> {
    let other = || {
        Fault::Damaged(format!(
            "event {} of receipt {} is not what its fingerprint says",
            row.index, row.receipt
        ))
    };
    let text = match event.split_first() {
        Some((&EVENT_TEXT, text)) => Cow::Borrowed(std::str::from_utf8(text).map_err(|_| other())?),
        Some((&EVENT_REF, reference)) => {
            let reference: EventRef =
                serde_json::from_slice(reference).map_err(|_| bad_record())?;
            let text = String::from_utf8(oversize.fetch(&reference)?);
            Cow::Owned(text.map_err(|_| other())?)
        }
        Some((&NO_EVENT, _)) => return Ok(None),
        _ => return Err(bad_record()),
    };
    match Fingerprint::of(text.as_bytes()).0 == row.fingerprint {
        true => Ok(Some(text)),
        false => Err(other()),
    }
}

/// Reads the texts that a comparison wants of the spilled rows.
pub(crate) fn read_meanings(
    rows: &mut Sorter,
    oversize: &dyn Oversize,
    comparison: &mut Comparison,
) -> Result<(), Fault> {
    rows.for_each(|payload| {
        let (number, row) = payload.split_first_chunk().ok_or_else(bad_record)?;
        let number = u64::from_be_bytes(*number);
        let (_, leaf) = read_salt(row)?;
        let (row, event) = Row::read_leaf(leaf)?;
        if comparison.wants(number, &row.fingerprint) {
            let text = spilled_text(event, &row, oversize)?;
            let meaning = text.and_then(|text| MeaningHash::of(&text, row.id));
            comparison.take(number, &row.fingerprint, meaning);
        }
        Ok(())
    })
}

fn repeated(place: &[u8]) -> Fault {
    let read = || {
        let (receipt, index) = place.split_first_chunk()?;
        let index = u32::from_be_bytes(index.try_into().ok()?);
        Some(Fault::Repeated(
            crate::row::receipt_from(*receipt).ok()?,
            index,
        ))
    };
    read().unwrap_or_else(bad_record)
}

/// The salt before a spilled row, and the row.
fn read_salt(record: &[u8]) -> Result<(Option<Salt>, &[u8]), Fault> {
    let read = || {
        let ([marks], rest) = record.split_first_chunk()?;
        let (salt, leaf) = rest.split_first_chunk()?;
        let has_salt = *marks & HAS_SALT != 0;
        Some((has_salt.then_some(Salt(*salt)), leaf))
    };
    read().ok_or_else(bad_record)
}

fn bad_record() -> Fault {
    Fault::Damaged("a spilled row".to_owned())
}

fn out_of_order() -> Fault {
    Fault::Damaged("row groups out of order".to_owned())
}
