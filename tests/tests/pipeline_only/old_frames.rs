//! Frames that are older than receipts are kept: the seals say whether they are stored.

use super::recovery::KEY;
use super::sealing::School;
use std::path::Path;
use std::sync::Arc;
use vernier_archive::account::{BesideRow, Missing};
use vernier_archive::files::{Directory, Ranges, Source};
use vernier_archive::seal::Seal;
use vernier_archive::stored::read_set;
use vernier_ledger::chain::{ChainHead, ChainStep};
use vernier_ledger::frame::{FrameHeader, Tally};
use vernier_ledger::ids::{ReceiptId, Sequence, TenantId};
use vernier_ledger::ports::{ChainOutcome, Chains, PortError};
use vernier_ledger::recovery::{Memory, Recovery, Remembered};
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_reconcile::recovery::SealedMemory;
use vernier_tests::envelopes::events;

async fn sealed_school() -> (School, ReceiptId) {
    let school = School::new().await;
    let receipt = school.post(&events(2)).await;
    school.deliver().await;
    school.pass(95);
    assert_eq!(school.seal().await.sealed, 1);
    (school, receipt)
}

/// Invariant 4: a copy of what is sealed comes up when the receipts have gone.
#[tokio::test]
async fn a_frame_older_than_the_receipts_is_not_stored_twice() {
    let (school, receipt) = sealed_school().await;
    let (shard, records) = school.on_stream();
    school.pass(40 * 86_400);
    school.table.forget_receipt(&school.tenant.id, receipt);
    let copy: Sequence = "9000000".parse().expect("digits");
    school
        .put_failure(KEY, &shard, &[(copy, records[0].1.clone())])
        .await;
    let recovered = school.recover().await;
    assert_eq!((recovered.settled, recovered.sent_again), (1, 0));
    assert_eq!(school.on_stream().1.len(), 1, "nothing was sent");
}

/// The seals of the golden archive, of which the last one of a window lists slices of two receipts as missing.
#[tokio::test]
async fn a_slice_that_the_last_seal_lists_as_missing_is_taken_however_old() {
    let school = School::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/archive/tests/golden/v4");
    let source = Directory::new(folder);
    for entry in source.list("").expect("a folder") {
        let bytes = source.read(&entry.key, 10_000_000).expect("there");
        school.bucket.place(&entry.key, bytes.to_vec());
    }
    let tenant: TenantId = "school".parse().expect("a name");
    let (mut head, mut missing) = (ChainHead::beginning(Millis(0)), Vec::new());
    for sequence in [0, 3, 4, 5, 9] {
        let key = vernier_archive::seal::seal_key(&tenant, sequence);
        let seal = Seal::read(&school.bucket.raw(&key).expect("there")).expect("a seal");
        head.revision += 1;
        let step = ChainStep {
            seal: Some(seal.entry().expect("an entry")),
            ..ChainStep::to(head.clone())
        };
        let moved = school.table.move_chain(&tenant, &step).await;
        assert_eq!(moved, Ok(ChainOutcome::Moved));
        let window = seal.statement.as_ref().and_then(|s| s.window());
        let Some(window) = window.filter(|_| sequence == 4) else {
            continue;
        };
        for file in read_set(&school.bucket, &window.missing)
            .await
            .expect("read")
        {
            let bytes = school.bucket.raw(&file.key).expect("there");
            let file: Arc<dyn Ranges> = Arc::new(bytes::Bytes::from(bytes));
            let read = Missing::for_each(&file, |row| {
                missing.push((row.receipt, row.slices[0]));
                Ok(())
            });
            read.expect("rows");
        }
    }
    assert_eq!(missing.len(), 2);
    let memory = SealedMemory::new(&school.stores);
    let header = |receipt, slice| FrameHeader {
        vernier_frame: 2,
        receipt,
        tenant: tenant.clone(),
        sensor: "lms".into(),
        slice,
        slices: 99,
        attempt: 0,
        slice_tally: Tally::default(),
        envelope_tally: Tally::default(),
    };
    for (receipt, slice) in missing {
        let listed = memory.remembered(&header(receipt, slice)).await;
        assert_eq!(listed, Ok(Remembered::Missing));
        let other = memory.remembered(&header(receipt, slice + 50)).await;
        assert_eq!(other, Ok(Remembered::Sealed));
    }
    let never = ReceiptId::from_parts(Millis(1_788_300_000_000), 0, [1; 8]);
    let unsealed = memory.remembered(&header(never, 0)).await;
    assert_eq!(unsealed, Ok(Remembered::Unsealed));
}

/// Seals that would forget what they hold.
struct Forgetful;

impl Memory for Forgetful {
    async fn remembered(&self, _: &FrameHeader) -> Result<Remembered, PortError> {
        Ok(Remembered::Missing)
    }
}

/// A planted bug: without the seals' word the copy of [`a_frame_older_than_the_receipts_is_not_stored_twice`] is.
#[tokio::test]
async fn an_old_frame_stored_twice_is_caught() {
    let (school, receipt) = sealed_school().await;
    let (shard, records) = school.on_stream();
    school.pass(40 * 86_400);
    school.table.forget_receipt(&school.tenant.id, receipt);
    let number: u64 = records[0].0.as_str().parse().expect("a number");
    let copy: Sequence = (number + 1).to_string().parse().expect("digits");
    let batch = [(copy, records[0].1.clone())];
    let recovery = Recovery {
        stores: &school.stores,
        memory: Forgetful,
        receipt_days: 30,
        clock: || school.clock.get(),
        new_nonce: Nonce::random,
    };
    let brought = recovery.bring_back(&shard, &batch).await;
    assert_eq!(brought.expect("no faults").played_back, 1);
    school.deliver().await;
    let stored = school.table.all_records();
    let stored = stored.iter().filter(|record| !record.items.is_empty());
    assert_eq!(stored.count(), 2, "twice");
}

/// Where no seal has the window yet, nobody can say: the batch stays, and is looked at again.
#[tokio::test]
async fn a_frame_older_than_the_receipts_waits_for_its_windows_seal() {
    let school = School::new().await;
    let receipt = school.post(&events(2)).await;
    let (shard, records) = school.on_stream();
    school.put_failure(KEY, &shard, &records).await;
    school.pass(40 * 86_400);
    school.table.forget_receipt(&school.tenant.id, receipt);
    let recovered = school.recover().await;
    assert_eq!((recovered.settled, recovered.unsettled), (0, 1));
    assert_eq!(recovered.sent_again, 0);
    assert_eq!(school.shard_work().await, 1, "it is tried again");
}
