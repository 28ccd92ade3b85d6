//! Days: the files of many windows merged into few, which keep the windows' seals verifiable.
//!
//! A day's files have the rows of the files that its seal covers, each with the sequence of the seal
//! that sealed it. Both are sorted alike, so that the rows of one seal, taken out of them in order,
//! are the rows of its own files: root, counts and digest come out of them again ([`DayBuilder::finish`]
//! and [`crate::verify`] see to it), and the window's files are not needed any more.

use crate::Fault;
use crate::columns::{Layout, SealedBy};
use crate::files::{Ranges, Sink, stream};
use crate::limits;
use crate::merkle::{Span, leaf_hash};
use crate::part::{Form, GroupEncoder, PartWriter, RowOrder};
use crate::row::Row;
use crate::seal::{Covered, Hex32, PartClass, Seal, SealKind, SealedFile, Written, part_key};
use crate::sort::Sorter;
use crate::window::{Plan, Settings};
use crate::write::close_part;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::Window;

/// What one seal's rows come to.
#[derive(Debug)]
struct Sums {
    counts: DispositionCounts,
    digest: Digest,
    /// Of what is stored, and of everything else, which comes behind it in the seal's tree.
    leaves: [Span; 2],
}

impl Sums {
    fn of(seal: &Seal) -> Self {
        Self {
            counts: DispositionCounts::default(),
            digest: Digest::EMPTY,
            leaves: [0, seal.counts.stored].map(Span::starting_at),
        }
    }

    fn take(&mut self, row: &Row<'_>, leaf: &[u8]) {
        self.counts.add(row.disposition);
        let fingerprint = Fingerprint(row.fingerprint);
        self.digest.add_event(row.receipt, row.index, &fingerprint);
        let class = usize::from(row.disposition != Disposition::Stored);
        self.leaves[class].push(leaf_hash(leaf));
    }

    fn come_to(&self, seal: &Seal) -> bool {
        let [mut all, rest] = self.leaves.clone();
        self.counts == seal.counts
            && self.digest == seal.digest
            && all.join(&rest)
            && all.root() == Some(seal.merkle_root.0)
    }
}

/// Takes the files of a day's seals, then writes the day's.
#[derive(Debug)]
pub struct DayBuilder {
    tenant: TenantId,
    day: Window,
    settings: Settings,
    rows: Sorter,
    /// By sequence.
    seals: BTreeMap<u64, Seal>,
    key: Vec<u8>,
    leaf: Vec<u8>,
}

impl DayBuilder {
    /// Of nothing yet.
    #[must_use]
    pub fn new(tenant: TenantId, day: Window, settings: Settings) -> Self {
        Self {
            tenant,
            day,
            rows: Sorter::new(&settings.temporary, "days", settings.run_bytes)
                .within(&settings.scratch),
            settings,
            seals: BTreeMap::new(),
            key: Vec::with_capacity(512),
            leaf: Vec::with_capacity(1_024),
        }
    }

    /// Takes a file of a seal, which is covered from then on; all its files must come.
    ///
    /// # Errors
    /// When the file's bytes are not the sealed ones, or a row or a run cannot be read or written.
    pub fn push_file(
        &mut self,
        seal: &Seal,
        file: &SealedFile,
        bytes: &Arc<dyn Ranges>,
    ) -> Result<(), Fault> {
        let mut sha256 = Sha256::new();
        stream(bytes.as_ref(), |piece| {
            sha256.update(piece);
            Ok(())
        })?;
        let found: [u8; 32] = sha256.finalize().into();
        if found != file.sha256.0 {
            let what = format!("{} is not what its seal says", file.key);
            return Err(Fault::Damaged(what));
        }
        let sequence = seal.sequence.to_be_bytes();
        crate::reader::Part::open(Arc::clone(bytes))?.for_each(|row| {
            self.key.clear();
            row.write_sort_key(&mut self.key);
            self.leaf.clear();
            row.write_leaf(&mut self.leaf);
            let (tag, event) = match row.event {
                Some(text) => (1, text),
                None => (0, ""),
            };
            let payload: [&[u8]; 4] = [&sequence, &self.leaf, &[tag], event.as_bytes()];
            Ok(self.rows.push(&self.key, &payload)?)
        })?;
        let seals = &mut self.seals;
        seals.entry(seal.sequence).or_insert_with(|| seal.clone());
        Ok(())
    }

    /// Writes the day's files. Their keys and bytes are the same whenever the same seals are covered,
    /// so that the place in the chain may be given afterwards ([`Written::sequence`] is 0).
    ///
    /// # Errors
    /// When nothing was taken, storage fails, or the rows of a seal do not come to what it says: then
    /// nothing may be sealed.
    pub fn finish<S: Sink>(self, sink: &S) -> Result<Written, Fault> {
        let Some((first, _)) = self.seals.first_key_value() else {
            return Err(Fault::Damaged("a day of no seals".to_owned()));
        };
        let plan = Plan {
            tenant: self.tenant,
            window: self.day,
            kind: SealKind::Day,
            sequence: *first,
        };
        let covers = covers(&self.seals)?;
        let sums = self.seals.iter().map(|(n, seal)| (*n, Sums::of(seal)));
        let mut sums: BTreeMap<u64, Sums> = sums.collect();
        let stored = self.seals.values().map(|seal| seal.counts.stored).sum();
        let form = Form::of(Layout::Day, RowOrder::Sorted)?;
        let lane = |class, begin| Lane::new(&plan, &self.settings, (&form, sink), class, begin);
        let mut lanes = [
            lane(PartClass::Archive, 0),
            lane(PartClass::Exceptions, stored),
        ];
        let mut rows = self.rows.finish()?;
        let mut last = Vec::new();
        while let Some((key, payload)) = rows.next()? {
            if last == key {
                return Err(Fault::Damaged("two seals hold the same event".to_owned()));
            }
            last.clear();
            last.extend_from_slice(key);
            let (sequence, leaf) = payload.split_first_chunk().ok_or_else(bad_record)?;
            let sequence = u64::from_be_bytes(*sequence);
            let (row, rest) = Row::read_leaf(leaf)?;
            let sums = sums.get_mut(&sequence).ok_or_else(bad_record)?;
            sums.take(&row, &leaf[..leaf.len() - rest.len()]);
            let lane = &mut lanes[usize::from(row.disposition != Disposition::Stored)];
            let by = SealedBy {
                seal: sequence,
                part: None,
            };
            lane.push(row, rest, by)?;
        }
        for (sequence, seal) in &self.seals {
            if !sums[sequence].come_to(seal) {
                let what = format!("the rows of {} do not come to what it says", seal.key());
                return Err(Fault::Damaged(what));
            }
        }
        let [archive, exceptions] = lanes;
        let (mut files, mut leaves) = archive.finish()?;
        let (more, others) = exceptions.finish()?;
        files.extend(more);
        let joined = leaves.join(&others);
        let root = leaves.root().filter(|_| joined);
        let merkle_root = root.ok_or_else(|| Fault::Damaged("rows out of order".to_owned()))?;
        let (mut counts, mut digest) = (DispositionCounts::default(), Digest::EMPTY);
        for seal in self.seals.values() {
            counts.merge(&seal.counts);
            digest.merge(&seal.digest);
        }
        Ok(Written {
            tenant: plan.tenant,
            window: plan.window,
            kind: plan.kind,
            sequence: 0,
            counts,
            digest,
            files,
            merkle_root,
            covers,
        })
    }
}

pub(crate) fn covers(seals: &BTreeMap<u64, Seal>) -> Result<Vec<Covered>, Fault> {
    let covered = |seal: &Seal| {
        Ok(Covered {
            sequence: seal.sequence,
            sha256: Hex32(seal.hash()?),
        })
    };
    seals.values().map(covered).collect()
}

pub(crate) fn bad_record() -> Fault {
    Fault::Damaged("a spilled row".to_owned())
}

/// The rows of one class on their way into parts.
pub(crate) struct Lane<'a, S: Sink> {
    plan: &'a Plan,
    settings: &'a Settings,
    form: &'a Form,
    sink: &'a S,
    class: PartClass,
    group: Option<(GroupEncoder, usize)>,
    group_bytes: usize,
    part: Option<PartWriter<S::File>>,
    in_part: u64,
    in_day: u64,
    files: Vec<SealedFile>,
    leaves: Span,
}

impl<'a, S: Sink> Lane<'a, S> {
    pub(crate) fn new(
        plan: &'a Plan,
        settings: &'a Settings,
        (form, sink): (&'a Form, &'a S),
        class: PartClass,
        begin: u64,
    ) -> Self {
        Self {
            plan,
            settings,
            form,
            sink,
            class,
            group: None,
            group_bytes: 0,
            part: None,
            in_part: 0,
            in_day: begin,
            files: Vec::new(),
            leaves: Span::starting_at(begin),
        }
    }

    pub(crate) fn push(&mut self, row: Row<'_>, event: &[u8], by: SealedBy) -> Result<(), Fault> {
        let event = match event.split_first() {
            Some((1, text)) => Some(std::str::from_utf8(text).map_err(|_| bad_record())?),
            Some((0, [])) => None,
            _ => return Err(bad_record()),
        };
        let (mut group, rows) = match self.group.take() {
            Some(group) => group,
            None => (self.form.group(self.in_part, self.in_day)?, 0),
        };
        group.push_sealed(&Row { event, ..row }, by)?;
        self.group = Some((group, rows + 1));
        self.group_bytes += event.map_or(0, str::len);
        let part_rows = self.settings.part_rows.clamp(1, limits::PART_ROWS_MAX) as u64;
        let part_is_full = self.in_part + rows as u64 + 1 >= part_rows;
        let group_bytes = self.settings.group_bytes.min(limits::GROUP_BYTES_MAX);
        if part_is_full || rows + 1 >= limits::GROUP_ROWS_MAX || self.group_bytes >= group_bytes {
            self.end_group()?;
        }
        if part_is_full {
            self.end_part()?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), Fault> {
        let Some((group, rows)) = self.group.take() else {
            return Ok(());
        };
        self.group_bytes = 0;
        self.in_part += rows as u64;
        self.in_day += rows as u64;
        let group = group.finish()?;
        if !self.leaves.join(&group.window_leaves) {
            return Err(Fault::Damaged("row groups out of order".to_owned()));
        }
        let mut part = match self.part.take() {
            Some(part) => part,
            None => self.form.part(self.sink.create()?)?,
        };
        part.append(group)?;
        self.part = Some(part);
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), Fault> {
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        self.in_part = 0;
        let number = self.files.len();
        let key = |sha256: &_| Ok(part_key(self.plan, self.class, number, sha256));
        let file = close_part(self.sink, key, part)?;
        self.files.push(file);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(Vec<SealedFile>, Span), Fault> {
        self.end_group()?;
        self.end_part()?;
        Ok((self.files, self.leaves))
    }
}
