//! A window's account over all of its seals: received + unreceipted = sealed + missing.
//!
//! What a window's earlier seals say is read from the last of them, and which receipts they have from their evidence;
//! nothing of it is kept in the table.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::account::{BesideRow, Evidence, Missing, SealedEvidence};
use vernier_archive::files::Ranges;
use vernier_archive::seal::{
    EnvelopeTotals, FileSet, ReceivedTotals, Seal, SealedFile, SealedTotals, StatementBody, Totals,
};
use vernier_archive::stored::{covering_gone, read_set};
use vernier_ledger::access::Tenant;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::stores::ReconcileStores;

/// What a window's seals so far say of it.
#[derive(Debug, Default)]
pub(crate) struct AccountSoFar {
    received: ReceivedTotals,
    sealed: SealedTotals,
    missing: EnvelopeTotals,
    /// Receipts that are in evidence.
    evident: HashSet<ReceiptId>,
}

/// A window's account with one more seal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NextAccount {
    /// Acknowledged receipts that no earlier seal has, in their order.
    pub(super) evidence: Vec<Evidence>,
    pub(super) totals: Totals,
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
        self.received = window.totals.received;
        self.missing = window.totals.missing;
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

    /// The receipts that are in evidence.
    pub(crate) fn into_evident(self) -> HashSet<ReceiptId> {
        self.evident
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

    /// The account when all of the window's receipts are known and a seal has these rows more; none where receipts say
    /// more than the rows are, or rows of no receipt are left.
    pub(super) fn with(
        &self,
        receipts: &[Receipt],
        counts: &DispositionCounts,
        digest: &Digest,
    ) -> Option<NextAccount> {
        let mut evidence = Vec::new();
        let is_new = |receipt: &&Receipt| !self.evident.contains(&receipt.id);
        for receipt in receipts.iter().filter(is_new) {
            let Some((tally, slices)) = receipt.acknowledged else {
                continue;
            };
            evidence.push(Evidence {
                receipt: receipt.id,
                sensor: receipt.sensor.clone(),
                slices,
                events: u32::try_from(tally.events).ok()?,
                rejected: u32::try_from(tally.rejected).ok()?,
                bytes: receipt.body_bytes.unwrap_or(0),
                digest: tally.digest,
            });
        }
        evidence.sort_unstable_by_key(|row| row.receipt);
        let mut received = self.received;
        for row in &evidence {
            received.envelopes += 1;
            received.events += u64::from(row.events);
            received.rejected += u64::from(row.rejected);
            received.bytes += row.bytes;
            received.digest.merge(&row.digest);
        }
        let mut sealed = self.sealed;
        sealed.add(counts, digest);
        let unanswered = receipts.iter().filter(|receipt| {
            let is_evident = receipt.acknowledged.is_some() || self.evident.contains(&receipt.id);
            !is_evident && receipt.received().events > 0
        });
        let envelopes = unanswered.count() as u64;
        let totals = Totals::of(received, sealed, self.missing, envelopes)?;
        let left = totals.unreceipted;
        let is_named = (left.events > 0) == (envelopes > 0);
        let is_none = envelopes > 0 || left == EnvelopeTotals::default();
        (is_named && is_none).then_some(NextAccount { evidence, totals })
    }
}

/// What a seal lists as missing, by receipt.
///
/// # Errors
/// The store's; fatal when a list is gone or is not what the seal says.
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
mod tests {
    use super::*;
    use vernier_ledger::digest::BlindFingerprint;
    use vernier_ledger::frame::Tally;
    use vernier_ledger::ids::{Sequence, Shard};
    use vernier_ledger::line::Verdict;
    use vernier_ledger::receipt::{Claim, Origin};
    use vernier_ledger::time::Millis;

    fn id(n: u8) -> ReceiptId {
        ReceiptId::from_parts(Millis(60_000 + i64::from(n)), 0, [n; 8])
    }

    fn tally(n: u8, events: u32) -> Tally {
        let mut tally = Tally::default();
        for index in 0..events {
            tally.add_event(id(n), index, &BlindFingerprint([n; 32]), Verdict::Accepted);
        }
        tally
    }

    fn receipt(n: u8, events: u32, is_acknowledged: bool) -> Receipt {
        let shard = Shard::new("frames", "shardId-000000000000").expect("a shard");
        let sequence: Sequence = "1".parse().expect("digits");
        let claim = Claim {
            origin: Origin { shard, sequence },
            attempt: 0,
            tally: tally(n, events),
        };
        Receipt {
            id: id(n),
            sensor: "s".into(),
            acknowledged: is_acknowledged.then(|| (tally(n, events), 1)),
            body_sha256: None,
            body_bytes: is_acknowledged.then_some(100),
            placed: Vec::new(),
            claims: BTreeMap::from([(0, claim)]),
        }
    }

    fn rows(of: &[(u8, u32)]) -> (DispositionCounts, Digest) {
        let mut all = Tally::default();
        of.iter()
            .for_each(|(n, events)| all.merge(&tally(*n, *events)));
        let counts = DispositionCounts {
            stored: all.events,
            ..DispositionCounts::default()
        };
        (counts, all.digest)
    }

    #[test]
    fn what_was_not_acknowledged_is_unreceipted_until_it_is() {
        let so_far = AccountSoFar::default();
        let (counts, digest) = rows(&[(1, 3), (2, 2)]);
        let receipts = [receipt(2, 2, false), receipt(1, 3, true)];
        let account = so_far.with(&receipts, &counts, &digest).expect("adds up");
        assert_eq!(account.evidence.len(), 1);
        let totals = account.totals;
        assert!(totals.is_balanced());
        let found = (
            totals.received.events,
            totals.unreceipted.events,
            totals.unreceipted.envelopes,
        );
        assert_eq!(found, (3, 2, 1));
        // The next seal of the window: one envelope more, and the acknowledgement that came late.
        let so_far = AccountSoFar {
            received: totals.received,
            sealed: totals.sealed,
            missing: totals.missing,
            evident: HashSet::from([id(1)]),
        };
        let receipts = [
            receipt(3, 1, true),
            receipt(2, 2, true),
            receipt(1, 3, true),
        ];
        let (counts, digest) = rows(&[(3, 1)]);
        let account = so_far.with(&receipts, &counts, &digest).expect("adds up");
        let evident: Vec<ReceiptId> = account.evidence.iter().map(|row| row.receipt).collect();
        assert_eq!(evident, [id(2), id(3)]);
        let totals = account.totals;
        assert_eq!(totals.received.envelopes, 3);
        assert_eq!(totals.unreceipted, EnvelopeTotals::default());
        assert_eq!(totals.sealed.events(), 6);
    }

    #[test]
    fn an_account_that_does_not_add_up_is_none() {
        let so_far = AccountSoFar::default();
        let (counts, digest) = rows(&[(1, 3)]);
        assert_eq!(so_far.with(&[receipt(1, 4, true)], &counts, &digest), None);
        assert_eq!(so_far.with(&[], &counts, &digest), None);
    }

    #[test]
    fn what_version_1_sealed_comes_into_evidence_later() {
        let (counts, digest) = rows(&[(1, 3)]);
        let mut so_far = AccountSoFar::default();
        so_far.sealed.add(&counts, &digest);
        let receipts = [receipt(1, 3, true), receipt(2, 2, true)];
        let (counts, digest) = rows(&[(2, 2)]);
        let account = so_far.with(&receipts, &counts, &digest).expect("adds up");
        assert_eq!(account.evidence.len(), 2);
        assert_eq!(account.totals.sealed.events(), 5);
        assert_eq!(account.totals.unreceipted, EnvelopeTotals::default());
    }
}
