//! The windows' accounts: evidence, what is missing, and that the totals add up.

use super::chain::Trusted;
use super::day_evidence::BySeal;
use super::files::{BesideFile, Outcome};
use super::report::{Check, Finding, ShortfallFound};
use crate::Fault;
use crate::account::{Evidence, Missing};
use crate::files::Source;
use crate::seal::{
    EnvelopeTotals, ReceivedTotals, Seal, SealedFile, SealedTotals, Shortfall, Totals,
    WindowStatement,
};
use std::collections::{BTreeMap, BTreeSet};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::time::Millis;

/// What the accounts of a chain's windows say.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) findings: Vec<Finding>,
    /// Windows whose last seal has something missing.
    pub(super) shortfalls: Vec<ShortfallFound>,
    /// Rows whose receipts are in no evidence.
    pub(super) unreceipted: u64,
}

/// A window's seals, by their places in the chain.
pub(super) fn windows(chain: &[Trusted]) -> Vec<Vec<&Trusted>> {
    let mut windows: BTreeMap<(Millis, Millis), Vec<&Trusted>> = BTreeMap::new();
    for trusted in chain {
        let is_of_window = trusted.seal.kind.has_rows_of_window();
        if is_of_window {
            let window = (trusted.seal.start, trusted.seal.end);
            windows.entry(window).or_default().push(trusted);
        }
    }
    windows
        .into_values()
        .filter(|seals| seals.iter().any(|t| t.seal.statement.is_some()))
        .collect()
}

/// What is known of a window after some of its seals.
#[derive(Debug, Default)]
struct Account {
    received: ReceivedTotals,
    sealed: SealedTotals,
    receipts: BTreeSet<ReceiptId>,
    shortfall: Option<Shortfall>,
    /// What the seal before said.
    before: Option<Totals>,
    /// A seal's evidence could not be read: nothing is said of what comes after it.
    broken: bool,
    /// A day had some of it: which receipts these are is not kept.
    by_day: bool,
}

/// Checks a window's seals, in their order.
pub(super) fn check(
    source: &dyn Source,
    seals: &[&Trusted],
    of_days: &BySeal,
    accounts: &mut Accounts,
) -> Result<(), Fault> {
    let mut account = Account::default();
    for trusted in seals {
        account
            .sealed
            .add(&trusted.seal.counts, &trusted.seal.digest);
        let Some(window) = trusted.seal.statement.as_ref().and_then(|s| s.window()) else {
            continue;
        };
        let evidence = match of_days.get(&trusted.seal.sequence) {
            Some(received) if is_gone(source, &trusted.beside.evidence)? => {
                account.by_day = true;
                account.receive(received);
                Ok(())
            }
            _ => read_evidence(source, trusted, &mut account)?,
        };
        let missing = match evidence {
            Ok(_) if !account.broken => read_missing(source, trusted, &account)?,
            Ok(_) => Ok(window.totals.missing),
            Err(finding) => Err(finding),
        };
        match missing {
            Ok(missing) => {
                if !account.broken {
                    compare(trusted, window, &account, missing, &mut accounts.findings);
                }
            }
            Err(finding) => {
                account.broken = true;
                accounts.findings.push(*finding);
            }
        }
        if let (Some(first), Some(shortfall)) = (&account.shortfall, &window.shortfall)
            && first != shortfall
        {
            wrong(
                trusted,
                "shortfall",
                "is not the one of the window's first seal",
                &mut accounts.findings,
            );
        }
        if account.shortfall.is_none() {
            account.shortfall.clone_from(&window.shortfall);
        }
        account.before = Some(window.totals);
    }
    if let Some(totals) = account.before {
        accounts.unreceipted += totals.unreceipted.events;
        if totals.missing.envelopes > 0
            && let Some(last) = seals.last()
        {
            accounts.shortfalls.push(ShortfallFound {
                tenant: last.seal.tenant.clone(),
                start: last.seal.start,
                end: last.seal.end,
                envelopes: totals.missing.envelopes,
                events: totals.missing.events,
            });
        }
    }
    Ok(())
}

impl Account {
    fn receive(&mut self, more: &ReceivedTotals) {
        let received = &mut self.received;
        received.envelopes += more.envelopes;
        received.events += more.events;
        received.rejected += more.rejected;
        received.bytes = received.bytes.saturating_add(more.bytes);
        received.digest.merge(&more.digest);
    }
}

/// Whether a seal's own evidence was removed, as it may be once a day has it.
fn is_gone(source: &dyn Source, files: &[SealedFile]) -> Result<bool, Fault> {
    for file in files {
        match source.open(&file.key) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(false)
}

fn wrong(trusted: &Trusted, field: &str, what: &str, findings: &mut Vec<Finding>) {
    let what = format!("{field} {what}");
    findings.push(Finding::new(Check::Account, what).in_file(&trusted.key));
}

fn read_evidence(
    source: &dyn Source,
    Trusted {
        key, seal, beside, ..
    }: &Trusted,
    account: &mut Account,
) -> Result<Outcome<()>, Fault> {
    let mut last = None;
    for (number, file) in beside.evidence.iter().enumerate() {
        let file = BesideFile {
            seal,
            seal_key: key,
            number,
            file,
        };
        let read = file.for_each(source, |row: Evidence| {
            in_window(seal, row.receipt, &mut last)?;
            if row.rejected > row.events {
                return Err(Fault::Damaged(
                    "more events were rejected than there are".to_owned(),
                ));
            }
            if !account.receipts.insert(row.receipt) {
                let what = format!("receipt {} has evidence already", row.receipt);
                return Err(Fault::Damaged(what));
            }
            account.receive(&ReceivedTotals {
                bytes: row.bytes,
                envelopes: 1,
                events: u64::from(row.events),
                rejected: u64::from(row.rejected),
                digest: row.digest,
            });
            Ok(())
        })?;
        if read.is_err() {
            return Ok(read);
        }
    }
    Ok(Ok(()))
}

fn read_missing(
    source: &dyn Source,
    Trusted {
        key, seal, beside, ..
    }: &Trusted,
    account: &Account,
) -> Result<Outcome<EnvelopeTotals>, Fault> {
    let (mut last, mut missing) = (None, EnvelopeTotals::default());
    for (number, file) in beside.missing.iter().enumerate() {
        let file = BesideFile {
            seal,
            seal_key: key,
            number,
            file,
        };
        let read = file.for_each(source, |row: Missing| {
            in_window(seal, row.receipt, &mut last)?;
            if !account.by_day && !account.receipts.contains(&row.receipt) {
                let what = format!("receipt {} is missing and has no evidence", row.receipt);
                return Err(Fault::Damaged(what));
            }
            missing.envelopes += 1;
            missing.events += u64::from(row.events);
            missing.rejected += u64::from(row.rejected);
            missing.digest.merge(&row.digest);
            Ok(())
        })?;
        if let Err(finding) = read {
            return Ok(Err(finding));
        }
    }
    Ok(Ok(missing))
}

/// Rows are in the order of receipts, which are of the window.
fn in_window(seal: &Seal, receipt: ReceiptId, last: &mut Option<ReceiptId>) -> Result<(), Fault> {
    if last.replace(receipt) >= Some(receipt) {
        return Err(Fault::Damaged("receipts are not in order".to_owned()));
    }
    if !seal.window().contains(receipt.received_at()) {
        let what = format!("receipt {receipt} is not of the window");
        return Err(Fault::Damaged(what));
    }
    Ok(())
}

fn compare(
    trusted: &Trusted,
    window: &WindowStatement,
    account: &Account,
    missing: EnvelopeTotals,
    findings: &mut Vec<Finding>,
) {
    let totals = &window.totals;
    let sums = [
        ("totals.received", totals.received == account.received),
        ("totals.sealed", totals.sealed == account.sealed),
        ("totals.missing", totals.missing == missing),
    ];
    for (field, _) in sums.into_iter().filter(|(_, same)| !same) {
        wrong(
            trusted,
            field,
            "is not what the window's seals so far come to",
            findings,
        );
    }
    if !totals.is_balanced() {
        let what = "do not add up: received and unreceipted is not sealed and missing";
        wrong(trusted, "totals", what, findings);
    }
    let (none, rows) = (EnvelopeTotals::default(), totals.unreceipted);
    if (rows.envelopes == 0) != (rows.events == 0) || (rows.envelopes == 0 && rows != none) {
        wrong(
            trusted,
            "totals.unreceipted",
            "has rows without envelopes, or the reverse",
            findings,
        );
    }
    let says_nothing = trusted.seal.kind == crate::seal::SealKind::Backfill
        && trusted.seal.files.is_empty()
        && trusted.beside.evidence.is_empty()
        && account.before == Some(*totals);
    if says_nothing {
        wrong(
            trusted,
            "totals",
            "are those of the window's seal before, and nothing is added",
            findings,
        );
    }
}
