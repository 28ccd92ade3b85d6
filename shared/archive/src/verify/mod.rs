//! The offline check: from files and public keys alone, everything that seals promise (invariant 6).
//!
//! First the seals: form, signature, chain, time covered. Then each file that a signed seal names:
//! size and SHA-256, every row (its fingerprint, its place, its window), its Merkle root. Then each
//! window: counts, digest, root, dispositions. Last, what no seal names, and none to come can name. Files are checked by all
//! threads at once; the answer does not depend on how many there are. A day's files are read one
//! after the other, and their rows also make up the windows that the day covers again: a window whose
//! own files are gone is checked by them.

mod account;
mod beside;
mod chain;
mod day;
mod day_evidence;
mod erasures;
mod files;
mod meanings;
mod parallel;
mod receipts;
mod report;
mod row;
mod rows;
mod unnamed;
mod version4;
mod window;

use crate::Fault;
use crate::files::Source;
use crate::keys::PublicKey;
use crate::seal::{Hex32, SealKind};
use account::Accounts;
use chain::Trusted;
use day::Demux;
use parallel::in_parallel;
pub use report::{Chain, Check, Finding, HoldFound, Progress, Report, ShortfallFound};
use rows::{Examined, Task};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::TenantId;
use vernier_ledger::tenant_prefix::{BESIDE_PREFIXES, ROW_PREFIXES};

/// What is checked, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Reports all that is wrong instead of the first.
    pub all: bool,
    /// Threads at work; at least one.
    pub threads: usize,
    /// One tenant's chain alone; else all that lie there.
    pub tenant: Option<TenantId>,
    /// Hashes of seals that were noted before and must be there: what shows that a chain was cut
    /// short at its end.
    pub known: Vec<Hex32>,
    /// The chain may begin later than with its first seal.
    pub partial: bool,
    /// Time between two windows may be in none (a window that is held back is sealed later).
    pub gaps: bool,
    /// Any number of windows after the chain's end may have files: those of a copy whose seals were
    /// copied before its files.
    pub later_files: bool,
    /// A window in which something is missing is a finding.
    pub no_shortfall: bool,
    /// Rows are summed by receipt and held against the evidence, through runs in this folder; none: they are not.
    pub receipts: Option<PathBuf>,
}

/// Checks an archive.
///
/// # Errors
/// When files cannot be listed or read: then nothing is said of them.
pub fn verify(
    source: &dyn Source,
    keys: &[PublicKey],
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, Fault> {
    // Where windows are sealed while the check runs: what was there before the seals were read has a seal
    // by then, or is pending; what the seals name is there after they were read.
    let before = listed(source, options)?;
    let chains = chain::read(source, keys, options)?;
    let unnamed = unnamed::judge(&before, &chains, options);
    drop(before);
    let mut report = Report {
        chains: chains.chains,
        findings: chains.findings,
        pending: unnamed.pending,
        waiting: unnamed.waiting,
        holds: chains.holds,
        ..Report::default()
    };
    if !options.all && !report.is_sound() {
        report.findings.truncate(1);
        return Ok(report);
    }
    check_accounts(source, &chains.trusted, options, &mut report)?;
    let listed = listed(source, options)?;
    let mut check = FileCheck::new(source, &chains.trusted, &listed, options, progress);
    check.run()?;
    check.into_report(&mut report);
    report.findings.extend(unnamed.findings);
    if let Some(folder) = &options.receipts
        && report
            .findings
            .iter()
            .all(|finding| !finding.check.is_unread())
    {
        let how = (folder.as_path(), options.partial);
        let count = receipts::check(source, &chains.trusted, how, &mut report.findings)?;
        report.receipts = Some(count);
    }
    if !options.all {
        report.findings.truncate(1);
    }
    Ok(report)
}

/// Checks the accounts of all windows of version 4.
fn check_accounts(
    source: &dyn Source,
    trusted: &[Trusted],
    options: &Options,
    report: &mut Report,
) -> Result<(), Fault> {
    let mut windows: Vec<(Vec<&Trusted>, usize)> = Vec::new();
    let mut of_days = Vec::new();
    for chain in trusted.chunk_by(|a, b| a.seal.tenant == b.seal.tenant) {
        let number = of_days.len();
        of_days.push(day_evidence::read(source, chain, &mut report.findings)?);
        // Where a window's first seal is not here, its totals cannot be made again.
        let all = account::windows(chain).into_iter();
        let whole = all.filter(|seals| {
            let first = seals.first();
            !options.partial || first.is_none_or(|t| t.closings.knows(t.seal.start))
        });
        windows.extend(whole.map(|seals| (seals, number)));
    }
    let checked = in_parallel(options.threads.max(1), &windows, |_, (seals, chain)| {
        let mut accounts = Accounts::default();
        account::check(source, seals, &of_days[*chain], &mut accounts)?;
        Ok::<_, Fault>(accounts)
    });
    for accounts in checked {
        let accounts = accounts?;
        report.findings.extend(accounts.findings);
        report.unreceipted += accounts.unreceipted;
        if options.no_shortfall {
            let missing = accounts.shortfalls.iter().map(|found| {
                let what = format!(
                    "tenant {}: {} events of {} envelopes are missing in {} to {}",
                    found.tenant, found.events, found.envelopes, found.start, found.end
                );
                Finding::new(Check::Shortfall, what)
            });
            report.findings.extend(missing);
        }
        report.shortfalls.extend(accounts.shortfalls);
    }
    Ok(())
}

/// All files that seals may name, with their sizes.
fn listed(source: &dyn Source, options: &Options) -> Result<BTreeMap<String, u64>, Fault> {
    let mut listed = BTreeMap::new();
    for class in ROW_PREFIXES.into_iter().chain(BESIDE_PREFIXES) {
        let prefix = match &options.tenant {
            Some(tenant) => format!("{class}tenant={tenant}/"),
            None => class.to_owned(),
        };
        let entries = source.list(&prefix)?;
        listed.extend(entries.into_iter().map(|entry| (entry.key, entry.bytes)));
    }
    Ok(listed)
}

/// What is known of a window whose files are under way.
struct Open {
    examined: Vec<Option<Examined>>,
    left: usize,
    /// A file that could not be had: the window as a whole cannot be judged.
    broken: bool,
    /// A day has the rows of a file that is gone, and judges the window.
    by_day: bool,
}

/// What all rows come to.
#[derive(Debug, Default)]
struct RowTotals {
    rows: u64,
    counts: DispositionCounts,
    erased: u64,
    unsalted: u64,
}

/// What one thread does at a time.
enum Work<'a> {
    /// Checks a file of a window.
    File(Task<'a>),
    /// Checks the files of a day, in order.
    Day(Vec<Task<'a>>),
}

/// The files of all signed seals.
struct FileCheck<'a> {
    source: &'a dyn Source,
    trusted: &'a [Trusted],
    listed: &'a BTreeMap<String, u64>,
    options: &'a Options,
    progress: &'a (dyn Fn(Progress) + Sync),
    windows: Vec<Mutex<Open>>,
    /// By number of the seal.
    work: Vec<(usize, Work<'a>)>,
    /// Number of each covered seal, and of the day's.
    covered: BTreeMap<usize, usize>,
    files_total: u64,
    /// Findings with the seal and the file that they belong to; those of a window come last.
    findings: Mutex<Vec<(usize, usize, Finding)>>,
    /// First seal with a finding: later ones need not be looked at when one finding is enough.
    cut: AtomicUsize,
    files: AtomicU64,
    bytes: AtomicU64,
    /// Of all files, as the seals say.
    bytes_total: u64,
    totals: Mutex<RowTotals>,
}

impl<'a> FileCheck<'a> {
    fn new(
        source: &'a dyn Source,
        trusted: &'a [Trusted],
        listed: &'a BTreeMap<String, u64>,
        options: &'a Options,
        progress: &'a (dyn Fn(Progress) + Sync),
    ) -> Self {
        let mut check = Self {
            source,
            trusted,
            listed,
            options,
            progress,
            windows: Vec::with_capacity(trusted.len()),
            work: Vec::new(),
            covered: day::covered(trusted),
            files_total: 0,
            findings: Mutex::new(Vec::new()),
            cut: AtomicUsize::new(usize::MAX),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_total: 0,
            totals: Mutex::new(RowTotals::default()),
        };
        for (number, trusted) in trusted.iter().enumerate() {
            check.plan(number, trusted);
        }
        check
    }

    /// What is to be done for one seal.
    fn plan(&mut self, number: usize, trusted: &'a Trusted) {
        let (key, seal) = (&trusted.key, &trusted.seal);
        let (mut begin, mut findings, mut tasks) = (0_u64, Vec::new(), Vec::new());
        let is_covered = self.covered.contains_key(&number);
        let mut by_day = false;
        let places = window::places(seal, key, &mut findings);
        for (at, (place, file)) in places.into_iter().zip(&seal.files).enumerate() {
            if is_covered && !self.listed.contains_key(&file.key) {
                by_day = true;
            } else {
                tasks.push(Task {
                    seal,
                    seal_key: key,
                    at,
                    class: place.class,
                    begin,
                    share: place.share,
                    erased: &trusted.erased,
                    closings: &trusted.closings,
                });
                self.files_total += 1;
                self.bytes_total = self.bytes_total.saturating_add(file.bytes);
            }
            begin = begin.saturating_add(file.rows);
        }
        self.windows.push(Mutex::new(Open {
            examined: seal.files.iter().map(|_| None).collect(),
            left: tasks.len(),
            broken: false,
            by_day,
        }));
        if seal.kind == SealKind::Day {
            self.work.push((number, Work::Day(tasks)));
        } else {
            let tasks = tasks.into_iter().map(Work::File);
            self.work.extend(tasks.map(|task| (number, task)));
        }
        self.report(number, 0, findings);
    }

    fn run(&mut self) -> Result<(), Fault> {
        // A window without files has no task that would end it.
        let empty = self.trusted.iter().enumerate();
        for (number, trusted) in empty.filter(|(_, t)| t.seal.files.is_empty()) {
            let findings = window::check(&trusted.seal, &trusted.key, &trusted.erased, &mut []);
            self.report(number, usize::MAX, findings);
        }
        let this = &*self;
        let done = in_parallel(
            this.options.threads.max(1),
            &this.work,
            |_, (number, work)| {
                if !this.options.all && *number > this.cut.load(Ordering::Relaxed) {
                    return Ok(());
                }
                match work {
                    Work::File(task) => this.check(*number, task, None),
                    Work::Day(tasks) => this.check_day(*number, tasks),
                }
            },
        );
        done.into_iter().collect()
    }

    /// Checks a day, and by its rows the windows that it covers.
    fn check_day(&self, number: usize, tasks: &[Task<'_>]) -> Result<(), Fault> {
        let covered = self.covered.iter().filter(|(_, day)| **day == number);
        let covered = covered.map(|(window, _)| (*window, &self.trusted[*window]));
        let mut demux = Demux::new(&self.trusted[number].seal, covered);
        for task in tasks {
            self.check(number, task, Some(&mut demux))?;
        }
        if held(&self.windows[number]).broken {
            return Ok(());
        }
        for judged in demux.finish(self.source, &self.trusted[number].seal)? {
            if held(&self.windows[judged.number]).by_day {
                let mut totals = held(&self.totals);
                totals.rows += judged.rows;
                totals.counts.merge(&judged.counts);
                totals.erased += judged.erased;
                totals.unsalted += judged.unsalted;
            }
            self.report(judged.number, usize::MAX, judged.findings);
        }
        Ok(())
    }

    fn check(
        &self,
        number: usize,
        task: &Task<'_>,
        demux: Option<&mut Demux<'_>>,
    ) -> Result<(), Fault> {
        let sealed = task.file();
        let mut findings = Vec::new();
        let examined = match self.listed.get(&sealed.key) {
            None => {
                let field = rows::file_field(task.seal, task.at, "key");
                let missing = Finding::new(Check::FileMissing, "is not there");
                let missing = missing.in_file(&sealed.key);
                findings.push(missing.against(task.seal_key, field, "a file", "none"));
                None
            }
            Some(_) => {
                let file = self.source.open(&sealed.key)?;
                let read = |bytes| {
                    self.bytes.fetch_add(bytes, Ordering::Relaxed);
                    (self.progress)(self.now());
                };
                rows::check(task, &file, demux, &read, &mut findings)?
            }
        };
        self.files.fetch_add(1, Ordering::Relaxed);
        (self.progress)(self.now());
        self.report(number, task.at, findings);
        self.close(number, task.at, examined)
    }

    /// Takes a file's rows over; with the last one, judges the window.
    fn close(&self, number: usize, at: usize, examined: Option<Examined>) -> Result<(), Fault> {
        let mut open = held(&self.windows[number]);
        open.left -= 1;
        open.broken |= examined.is_none();
        open.examined[at] = examined;
        if open.left > 0 {
            return Ok(());
        }
        let mut files: Vec<Examined> = open.examined.drain(..).flatten().collect();
        let (broken, by_day) = (open.broken, open.by_day);
        drop(open);
        let trusted = &self.trusted[number];
        let (key, seal) = (&trusted.key, &trusted.seal);
        // A day's rows are those of its windows.
        if seal.kind != SealKind::Day && !by_day {
            let mut totals = held(&self.totals);
            for file in &files {
                totals.rows += file.rows;
                totals.counts.merge(&file.counts);
                totals.erased += file.erased;
                totals.unsalted += file.unsalted;
            }
        }
        if !broken && !by_day {
            let mut found = window::check(seal, key, &trusted.erased, &mut files);
            let wanted = window::in_other_bytes(seal, &trusted.erased, &files);
            meanings::check(self.source, seal, &wanted, &mut found)?;
            self.report(number, usize::MAX, found);
        }
        Ok(())
    }

    fn report(&self, number: usize, at: usize, found: Vec<Finding>) {
        if found.is_empty() {
            return;
        }
        self.cut.fetch_min(number, Ordering::Relaxed);
        let found = found.into_iter().map(|finding| (number, at, finding));
        held(&self.findings).extend(found);
    }

    fn now(&self) -> Progress {
        Progress {
            files: self.files.load(Ordering::Relaxed),
            files_total: self.files_total,
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_total: self.bytes_total,
        }
    }

    fn into_report(self, report: &mut Report) {
        let mut findings = self
            .findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        // Stable: several findings of one file stay in their order.
        findings.sort_by_key(|(number, at, _)| (*number, *at));
        report
            .findings
            .extend(findings.into_iter().map(|(_, _, finding)| finding));
        report.files = self.files.load(Ordering::Relaxed);
        report.bytes = self.bytes.load(Ordering::Relaxed);
        let totals = held(&self.totals);
        (report.rows, report.counts) = (totals.rows, totals.counts);
        (report.erased, report.unsalted) = (totals.erased, totals.unsalted);
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
