//! A window's account over all of its seals: received + unreceipted = sealed + missing.
//!
//! What a window's earlier seals say is read from the last of them, and which receipts they have from their evidence;
//! nothing of it is kept in the table.

use super::Trouble;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::account::{BesideRow, Evidence, Missing, MissingCause, SealedEvidence};
use vernier_archive::files::Ranges;
use vernier_archive::row::Row;
use vernier_archive::seal::{
    EnvelopeTotals, FileSet, ReceivedTotals, Seal, SealedFile, SealedTotals, Shortfall,
    StatementBody, Totals,
};
use vernier_archive::stored::{covering_gone, read_set};
use vernier_ledger::access::Tenant;
use vernier_ledger::account::{Coverage, missing_slices};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::{Disposition, DispositionCounts};
use vernier_ledger::frame::Tally;
use vernier_ledger::given_up::GivenUp;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::line::Verdict;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::receipt::{Origin, Receipt};
use vernier_ledger::stores::ReconcileStores;

/// Rows of a window, added up by receipt.
pub(super) type Sums = HashMap<ReceiptId, Tally>;

/// What a window's seals so far say of it.
#[derive(Debug, Default)]
pub(crate) struct AccountSoFar {
    /// The totals of the last seal that has some.
    last: Totals,
    sealed: SealedTotals,
    /// Receipts that are in evidence.
    evident: HashSet<ReceiptId>,
    /// Where the last seal lists what is missing.
    missing_files: Option<FileSet>,
    missing: BTreeMap<ReceiptId, Missing>,
    /// Sealed rows whose receipts are in no evidence.
    unreceipted: Sums,
    /// What the first seal with something missing said of that.
    shortfall: Option<Shortfall>,
}

/// What was found of a window where its events lie.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The events that a seal may have, without those that are sealed already.
    pub(super) sums: Sums,
    /// Commits whose blocks could be read, line by line.
    pub(super) sound: Coverage,
    /// Commits of whose blocks something is gone or cannot be read.
    pub(super) damaged: Coverage,
    /// Slices that recovery gave up.
    pub(super) given_up: GivenUp,
}

impl Found {
    /// Whether a commit took a record, whatever can be read of it.
    fn has_commit(&self, at: &Origin) -> bool {
        let (shard, sequence) = (&at.shard, &at.sequence);
        self.damaged.contains(shard, sequence) || self.sound.contains(shard, sequence)
    }
}

/// A window's account with one more seal, but for how its rows end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NextAccount {
    /// Acknowledged receipts that no earlier seal has, in their order.
    pub(super) evidence: Vec<Evidence>,
    /// All that is missing after the seal, in the order of receipts.
    pub(super) missing: Vec<Missing>,
    /// Receipts with more rows than they acknowledged, which are in no evidence.
    pub(super) surplus: Vec<ReceiptId>,
    received: ReceivedTotals,
    unreceipted_envelopes: u64,
}

impl AccountSoFar {
    /// Takes one of the window's seals, in their order.
    ///
    /// # Errors
    /// The stores'; fatal when evidence is gone or is not what the seal says.
    pub(crate) async fn take<S: ReconcileStores>(
        &mut self,
        stores: &S,
        tenant: &Tenant,
        entry: &SealEntry,
        seal: &Seal,
    ) -> Result<(), PortError> {
        self.sealed.add(&seal.counts, &seal.digest);
        // What versions before 4 sealed has no evidence: its receipts are in that of the first seal of version 4.
        let Some(window) = seal.statement.as_ref().and_then(|s| s.window()) else {
            return Ok(());
        };
        self.last = window.totals;
        self.missing_files = Some(window.missing.clone());
        if self.shortfall.is_none() {
            self.shortfall.clone_from(&window.shortfall);
        }
        for file in read_set(stores.objects(), &window.evidence).await? {
            match fetched(stores.objects(), &file).await? {
                Some(bytes) => for_each_row(&file.key, bytes, |row: Evidence| {
                    self.evident.insert(row.receipt);
                })?,
                None => return self.take_from_day(stores, tenant, entry, &file).await,
            }
        }
        Ok(())
    }

    /// Reads what the last seal that was taken lists as missing.
    ///
    /// # Errors
    /// The store's; fatal when the list is gone or is not what the seal says.
    pub(super) async fn take_missing<O: Objects>(&mut self, objects: &O) -> Result<(), PortError> {
        if let Some(files) = &self.missing_files {
            self.missing = missing_of(objects, files).await?;
        }
        Ok(())
    }

    /// Takes note of a row that one of the seals has, once all of them are taken.
    pub(super) fn take_row(&mut self, row: &Row<'_>) {
        if !self.evident.contains(&row.receipt) {
            let verdict = match row.disposition {
                Disposition::Rejected => Verdict::Rejected,
                _ => Verdict::Accepted,
            };
            let sum = self.unreceipted.entry(row.receipt).or_default();
            sum.add_event(row.receipt, row.index, &row.blind_fingerprint(), verdict);
        }
    }

    /// The receipts that are in evidence.
    pub(crate) fn into_evident(self) -> HashSet<ReceiptId> {
        self.evident
    }

    /// Those of some receipts that are in no evidence.
    pub(super) fn without_evidence(&self, receipts: &[Receipt]) -> Vec<Receipt> {
        let without = receipts.iter().filter(|r| !self.evident.contains(&r.id));
        without.cloned().collect()
    }

    /// What the first of the seals with something missing says of that; none where none has.
    pub(super) const fn shortfall(&self) -> Option<&Shortfall> {
        self.shortfall.as_ref()
    }

    /// Whether rows of this receipt can be sealed: not if its seals have all that it acknowledged.
    pub(super) fn wants(&self, receipt: ReceiptId) -> bool {
        !self.evident.contains(&receipt) || self.missing.contains_key(&receipt)
    }

    /// The evidence of a seal whose own is gone: its day's.
    async fn take_from_day<S: ReconcileStores>(
        &mut self,
        stores: &S,
        tenant: &Tenant,
        entry: &SealEntry,
        file: &SealedFile,
    ) -> Result<(), PortError> {
        let (table, objects) = (stores.table(), stores.objects());
        let day = covering_gone(table, objects, &tenant.id, entry, file).await?;
        let Some(StatementBody::Day { evidence, .. }) = day.statement.as_ref().map(|s| &s.body)
        else {
            return Err(gone(file));
        };
        for file in read_set(objects, evidence).await? {
            let bytes = fetched(objects, &file).await?;
            let bytes = bytes.ok_or_else(|| gone(&file))?;
            for_each_row(&file.key, bytes, |row: SealedEvidence| {
                if row.seal == entry.sequence {
                    self.evident.insert(row.evidence.receipt);
                }
            })?;
        }
        Ok(())
    }

    /// The account when all of the window's receipts are known and a seal has these rows more.
    ///
    /// # Errors
    /// Held when a receipt in evidence would have more rows than it acknowledged.
    pub(super) fn next(&self, receipts: &[Receipt], found: &Found) -> Result<NextAccount, Trouble> {
        let mut next = NextAccount {
            evidence: Vec::new(),
            missing: Vec::new(),
            surplus: Vec::new(),
            received: self.last.received,
            unreceipted_envelopes: 0,
        };
        let known: HashMap<ReceiptId, &Receipt> = receipts
            .iter()
            .map(|receipt| (receipt.id, receipt))
            .collect();
        for (id, before) in &self.missing {
            let rows = found.sums.get(id).copied().unwrap_or_default();
            let lack = before.lack().without(&rows).ok_or_else(|| {
                Trouble::Held(format!(
                    "receipt {id} would have more rows than it acknowledged"
                ))
            })?;
            if lack != Tally::default() {
                let mut missing = before.with(&lack);
                if let Some(receipt) = known.get(id) {
                    let is_missing = missing_slices(receipt, &found.sound);
                    missing.slices.retain(|slice| {
                        !receipt.claims.contains_key(slice) || is_missing.contains(slice)
                    });
                }
                if missing.slices.is_empty() {
                    missing.slices.clone_from(&before.slices);
                }
                next.missing.push(missing);
            }
        }
        for receipt in receipts.iter().filter(|r| !self.evident.contains(&r.id)) {
            self.add_receipt(receipt, found, &mut next);
        }
        next.evidence.sort_unstable_by_key(|row| row.receipt);
        next.missing.sort_unstable_by_key(|row| row.receipt);
        let evident: HashSet<ReceiptId> = next.evidence.iter().map(|row| row.receipt).collect();
        let with_rows: HashSet<&ReceiptId> =
            found.sums.keys().chain(self.unreceipted.keys()).collect();
        let unreceipted = with_rows
            .into_iter()
            .filter(|id| !self.evident.contains(id) && !evident.contains(id));
        next.unreceipted_envelopes = unreceipted.count() as u64;
        Ok(next)
    }

    /// Adds a receipt that no earlier seal has in its evidence.
    fn add_receipt(&self, receipt: &Receipt, found: &Found, next: &mut NextAccount) {
        let Some((acknowledged, _)) = receipt.acknowledged else {
            return;
        };
        let mut rows = found.sums.get(&receipt.id).copied().unwrap_or_default();
        if let Some(before) = self.unreceipted.get(&receipt.id) {
            rows.merge(before);
        }
        let (Some(lack), Some(evidence)) = (acknowledged.without(&rows), evidence_of(receipt))
        else {
            next.surplus.push(receipt.id);
            return;
        };
        next.received.envelopes += 1;
        next.received.events += acknowledged.events;
        next.received.rejected += acknowledged.rejected;
        next.received.bytes = next.received.bytes.saturating_add(evidence.bytes);
        next.received.digest.merge(&evidence.digest);
        next.evidence.push(evidence);
        if lack != Tally::default() {
            next.missing.push(missing_row(receipt, &lack, found));
        }
    }

    /// The totals with a seal that has these rows, after whose account nothing is left over; none where the account and
    /// the rows do not come to each other.
    pub(super) fn totals(
        &self,
        next: &NextAccount,
        counts: &DispositionCounts,
        digest: &Digest,
    ) -> Option<Totals> {
        let mut sealed = self.sealed;
        sealed.add(counts, digest);
        let mut missing = EnvelopeTotals::default();
        for row in &next.missing {
            missing.envelopes += 1;
            missing.events += u64::from(row.events);
            missing.rejected += u64::from(row.rejected);
            missing.digest.merge(&row.digest);
        }
        let totals = Totals::of(next.received, sealed, missing, next.unreceipted_envelopes)?;
        let left = totals.unreceipted;
        let is_named = (left.events > 0) == (left.envelopes > 0);
        let is_none = left.envelopes > 0 || left == EnvelopeTotals::default();
        (is_named && is_none).then_some(totals)
    }

    /// Whether a seal with this account would say what the window's last one says.
    pub(super) fn says(&self, totals: &Totals) -> bool {
        self.last == *totals
    }
}

/// What a window's last seal lists as missing, by receipt.
///
/// # Errors
/// The store's; fatal when the list is gone or is not what the seal says.
pub(crate) async fn missing_of<O: Objects>(
    objects: &O,
    files: &FileSet,
) -> Result<BTreeMap<ReceiptId, Missing>, PortError> {
    let mut missing = BTreeMap::new();
    for file in read_set(objects, files).await? {
        let bytes = fetched(objects, &file).await?.ok_or_else(|| gone(&file))?;
        for_each_row(&file.key, bytes, |row: Missing| {
            missing.insert(row.receipt, row);
        })?;
    }
    Ok(missing)
}

/// What evidence says of a receipt; none of an envelope that was not acknowledged.
pub(super) fn evidence_of(receipt: &Receipt) -> Option<Evidence> {
    let (tally, slices) = receipt.acknowledged?;
    Some(Evidence {
        receipt: receipt.id,
        sensor: receipt.sensor.clone(),
        slices,
        events: u32::try_from(tally.events).ok()?,
        rejected: u32::try_from(tally.rejected).ok()?,
        bytes: receipt.body_bytes.unwrap_or(0),
        digest: tally.digest,
    })
}

/// The row of a receipt of which so much is missing. It names all of the receipt's slices where the commits do not tell
/// which of them are missing.
fn missing_row(receipt: &Receipt, lack: &Tally, found: &Found) -> Missing {
    let mut slices = missing_slices(receipt, &found.sound);
    if slices.is_empty() {
        slices = receipt.expected_slices().collect();
    }
    let first = slices.first();
    let is_given_up = first.is_some_and(|slice| found.given_up.has(receipt.id, *slice));
    let claim = first.and_then(|slice| receipt.claims.get(slice));
    let cause = match claim.map(|claim| &claim.origin) {
        Some(at) if found.has_commit(at) => MissingCause::Damaged,
        _ if is_given_up => MissingCause::Quarantined,
        None => MissingCause::Unclaimed,
        Some(_) => MissingCause::Uncommitted,
    };
    let missing = Missing {
        receipt: receipt.id,
        sensor: receipt.sensor.clone(),
        slices,
        events: 0,
        rejected: 0,
        digest: Digest::EMPTY,
        cause,
        sent_again: None,
    };
    missing.with(lack)
}

/// Calls `each` with every row of a file beside rows, which is called by its key where it cannot be read.
pub(crate) fn for_each_row<R: BesideRow>(
    key: &str,
    bytes: Vec<u8>,
    mut each: impl FnMut(R),
) -> Result<(), PortError> {
    let ranges: Arc<dyn Ranges> = Arc::new(bytes::Bytes::from(bytes));
    let read = R::for_each(&ranges, |row| {
        each(row);
        Ok(())
    });
    read.map_err(|fault: Fault| PortError::Fatal(format!("{key}: {fault}")))
}

fn gone(file: &SealedFile) -> PortError {
    PortError::Fatal(format!("{} is gone", file.key))
}

/// The bytes of a file as its seal says; none when it is gone.
async fn fetched<O: Objects>(objects: &O, file: &SealedFile) -> Result<Option<Vec<u8>>, PortError> {
    let Some(bytes) = objects.get(&file.key, None).await? else {
        return Ok(None);
    };
    match Fingerprint::of(&bytes).0 == file.sha256.0 {
        true => Ok(Some(bytes)),
        false => {
            let what = format!("{} is not what its seal says", file.key);
            Err(PortError::Fatal(what))
        }
    }
}

#[cfg(test)]
mod tests;
