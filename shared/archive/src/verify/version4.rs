//! What seals of version 4 say by themselves and along their chain.

use super::chain::Trusted;
use super::report::{Check, Finding, HoldFound};
use crate::Fault;
use crate::files::Source;
use crate::holds::ClosedTimes;
use crate::seal::{
    FileSet, Hex32, Seal, SealKind, SealedFile, StatementBody, has_tables, is_plain, list_key,
    read_list, root_of,
};
use serde_json::Value;
use std::collections::BTreeMap;
use vernier_ledger::chain::day_of;
use vernier_ledger::time::{Millis, Window};

/// Minutes are what windows are made of.
const MINUTE_MILLIS: i64 = 60_000;

/// Lines of a list of projections.
const PROJECTIONS_MAX: usize = 128;

/// The files beside a seal's rows, whether the seal has them itself or in lists.
#[derive(Debug, Default)]
pub(super) struct BesideFiles {
    pub(super) evidence: Vec<SealedFile>,
    pub(super) missing: Vec<SealedFile>,
    pub(super) places: Vec<SealedFile>,
}

/// Reads the lists that a seal names: its parts become the seal's files.
///
/// # Errors
/// When a list cannot be read, is not the sealed one, or names files of another form.
pub(super) fn read_sets(source: &dyn Source, seal: &mut Seal) -> Result<BesideFiles, Fault> {
    let Some(statement) = &seal.statement else {
        return Ok(BesideFiles::default());
    };
    let read = |set: &FileSet, has_form: &dyn Fn(&SealedFile) -> bool| {
        let files = set.read(source)?;
        match files.iter().find(|file| !has_form(file)) {
            Some(file) => Err(Fault::Damaged(format!(
                "{} has other fields than such a file",
                file.key
            ))),
            None => Ok(files),
        }
    };
    let rooted = |file: &SealedFile| is_plain(file, true);
    let rootless = |file: &SealedFile| is_plain(file, false);
    let (mut files, mut beside) = (Vec::new(), BesideFiles::default());
    match &statement.body {
        StatementBody::Window(window) => {
            files = read(&window.parts, &rooted)?;
            beside.evidence = read(&window.evidence, &rooted)?;
            beside.missing = read(&window.missing, &rootless)?;
            if let Some(list) = &window.projections
                && read_list::<Value>(source, list)?.len() > PROJECTIONS_MAX
            {
                return Err(Fault::Damaged(
                    "more projections than a tenant has".to_owned(),
                ));
            }
        }
        StatementBody::Day { parts, evidence } => {
            files = read(parts, &has_tables)?;
            beside.evidence = read(evidence, &rootless)?;
        }
        StatementBody::Erasure(erasure) => beside.places = read(&erasure.places, &rootless)?,
        StatementBody::Idle { .. } => {}
    }
    seal.files = files;
    Ok(beside)
}

/// Keys of all that a seal names.
pub(super) fn keys(seal: &Seal, beside: &BesideFiles) -> Vec<String> {
    let sets = [
        &seal.files,
        &beside.evidence,
        &beside.missing,
        &beside.places,
    ];
    let files = sets.into_iter().flatten().map(|file| &file.key);
    let statement = seal.statement.as_ref();
    let lists = statement.map(|s| s.lists()).unwrap_or_default();
    let replacing = statement.and_then(|s| s.erasure()).map(|e| &e.replaces);
    let replacing = replacing.into_iter().flatten().map(|r| &r.file.key);
    files
        .chain(lists.into_iter().map(|list| &list.key))
        .chain(replacing)
        .cloned()
        .collect()
}

/// What a seal of version 4 contradicts in itself; nothing of those before.
pub(super) fn check_form(seal: &Seal, key: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(statement) = &seal.statement else {
        return findings;
    };
    let mut wrong = |check, what: String| {
        findings.push(Finding::new(check, what).in_file(key));
    };
    let is_day = day_of(seal.start) == seal.window();
    match &statement.body {
        StatementBody::Window(_) => {
            let root = Hex32(root_of(&seal.files));
            if root != seal.merkle_root {
                let what = format!(
                    "merkle_root is {}, its parts lead to {root}",
                    seal.merkle_root
                );
                wrong(Check::MerkleRoot, what);
            }
        }
        StatementBody::Idle { windows } => {
            let span = seal.end.0.saturating_sub(seal.start.0);
            let each = i64::try_from(*windows)
                .ok()
                .and_then(|n| span.checked_div(n));
            let divides = each.is_some_and(|each| {
                each > 0
                    && each % MINUTE_MILLIS == 0
                    && Some(span) == each.checked_mul(*windows as i64)
            });
            if !divides || day_of(seal.start).end < seal.end {
                let what = format!(
                    "{} to {} is no run of {windows} windows of one day",
                    seal.start, seal.end
                );
                wrong(Check::SealForm, what);
            }
        }
        StatementBody::Day { .. } | StatementBody::Erasure(_) if !is_day => {
            wrong(
                Check::SealForm,
                format!("{} to {} is no day", seal.start, seal.end),
            );
        }
        StatementBody::Day { .. } | StatementBody::Erasure(_) => {}
    }
    // An erasure's day is not over when it is made.
    let from = match seal.kind {
        SealKind::Erasure => seal.start,
        _ => seal.end,
    };
    if statement.checkpoint.at < from {
        let what = format!(
            "checkpoint.at is {}, before {from}",
            statement.checkpoint.at
        );
        wrong(Check::SealForm, what);
    }
    for (number, list) in statement.lists().into_iter().enumerate() {
        let expected = list_key(&seal.tenant, seal.sequence, number, &list.sha256.0);
        if list.key != expected {
            wrong(
                Check::FileKey,
                format!("names the list {} instead of {expected}", list.key),
            );
        }
    }
    findings
}

/// What seals of version 4 contradict along their chain. Answers the times that are open after the last seal; holds
/// are looked at where the chain is whole.
pub(super) fn check_chain(
    chain: &[Trusted],
    is_whole: bool,
    findings: &mut Vec<Finding>,
) -> Vec<HoldFound> {
    let (mut closed, mut checkpoint, mut version) = (ClosedTimes::default(), None, 0);
    let (mut windows, mut says_holds) = (ClosedWindows::default(), false);
    for Trusted { key, seal, .. } in chain {
        let mut wrong = |check, what: String| {
            findings.push(Finding::new(check, what).in_file(key));
        };
        if seal.kind.closes() {
            closed.close(seal.window());
            windows.close(seal);
        }
        let is_4 = seal.statement.is_some();
        if version > 0 && !is_4 {
            wrong(
                Check::Chain,
                format!(
                    "is of version {} behind one of version {version}",
                    seal.vernier_seal
                ),
            );
        }
        let Some(statement) = &seal.statement else {
            continue;
        };
        (version, says_holds) = (seal.vernier_seal, true);
        let at = statement.checkpoint.at;
        if checkpoint.replace(at) > Some(at) {
            wrong(
                Check::Chain,
                format!("checkpoint.at is {at}, before that of the seal before"),
            );
        }
        let mark = closed.mark();
        if is_whole && statement.holds != mark {
            let what = format!(
                "holds says {} open times ({}), the chain up to it has {} ({})",
                statement.holds.ranges, statement.holds.sha256, mark.ranges, mark.sha256
            );
            wrong(Check::Holds, what);
        }
        if seal.kind == SealKind::Backfill && is_whole && !windows.has(seal.window()) {
            let what = format!(
                "{} to {} is no window that a seal before it closed",
                seal.start, seal.end
            );
            wrong(Check::Coverage, what);
        }
    }
    let tenant = chain.first().map(|t| &t.seal.tenant);
    let holds: Vec<Window> = match says_holds {
        true => closed.holds().collect(),
        false => Vec::new(),
    };
    let found = tenant.into_iter().flat_map(|tenant| {
        holds.iter().map(|hold| HoldFound {
            tenant: tenant.clone(),
            start: hold.start,
            end: hold.end,
        })
    });
    found.collect()
}

/// Windows that were closed so far, by themselves or in idle runs.
#[derive(Debug, Default)]
struct ClosedWindows {
    /// By start: the end, and how long each window is, ms.
    by_start: BTreeMap<Millis, (Millis, i64)>,
}

impl ClosedWindows {
    fn close(&mut self, seal: &Seal) {
        let span = seal.end.0.saturating_sub(seal.start.0);
        let windows = match seal.statement.as_ref().map(|s| &s.body) {
            Some(StatementBody::Idle { windows }) => i64::try_from(*windows).unwrap_or(i64::MAX),
            _ => 1,
        };
        self.by_start
            .insert(seal.start, (seal.end, span / windows.max(1)));
    }

    /// Whether one of them has just these instants.
    fn has(&self, window: Window) -> bool {
        let run = self.by_start.range(..=window.start).next_back();
        run.is_some_and(|(start, (end, each))| {
            let is_one = *each > 0 && (window.start.0 - start.0) % each == 0;
            is_one && window.end <= *end && window.end.0 - window.start.0 == *each
        })
    }
}
