//! What was received of a window that is not sealed yet, written down when it is closed, so that no receipt that
//! expires is one that never was.

use super::window::upload;
use super::{Sealer, Trouble, totals};
use std::collections::BTreeMap;
use vernier_archive::Fault;
use vernier_archive::account::{Evidence, write_rows};
use vernier_archive::files::Directory;
use vernier_archive::part_name::{BesideName, PartOf};
use vernier_archive::seal::SealKind;
use vernier_archive::window::Plan;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{Inventory, Objects, PortError};
use vernier_ledger::receipt::Receipt;
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::{Millis, Window};

impl<S: ReconcileStores, C: Fn() -> Millis> Sealer<'_, S, C> {
    /// Writes the acknowledged receipts of a window into the bucket, in the files that its seal would name for them. What
    /// is there already is the same.
    pub(super) async fn write_down(
        &self,
        window: Window,
        receipts: &[Receipt],
    ) -> Result<(), PortError> {
        let mut rows: Vec<Evidence> = receipts.iter().filter_map(totals::evidence_of).collect();
        rows.sort_unstable_by_key(|row| row.receipt);
        if rows.is_empty() {
            return Ok(());
        }
        let port = |fault: Fault| match Trouble::from(fault) {
            Trouble::Port(error) => error,
            _ => PortError::Fatal("evidence cannot be written".to_owned()),
        };
        let plan = Plan {
            tenant: self.tenant.id.clone(),
            window,
            kind: SealKind::Window,
            sequence: 0,
        };
        let folder = self.workshop.scratch.folder();
        let folder = folder.map_err(|error| port(Fault::Io(error)))?;
        let sink = Directory::new(folder.path());
        let files = write_rows(&plan, rows, &sink).map_err(port)?;
        let keys = files.iter().map(|file| file.key.as_str());
        upload(self.stores.objects(), keys, folder.path()).await
    }

    /// The receipts of a window that were written down, as far as evidence knows receipts: where slices went, and who
    /// claimed them, it does not say.
    pub(super) async fn written_down(
        &self,
        window: Window,
    ) -> Result<BTreeMap<ReceiptId, Receipt>, PortError> {
        let (date, hour) = window.start.date_and_hour();
        let tenant = &self.tenant.id;
        let prefix = format!("evidence/tenant={tenant}/dt={date}/hour={hour}/");
        let objects = self.stores.objects();
        let mut receipts = BTreeMap::new();
        for object in objects.all_listed(&prefix).await? {
            let name = BesideName::read(&object.key);
            if name.map(|name| name.of) != Some(PartOf::Window(window.start)) {
                continue;
            }
            let Some(bytes) = objects.get(&object.key, None).await? else {
                continue;
            };
            totals::for_each_row(&object.key, bytes, |row: Evidence| {
                receipts.insert(row.receipt, receipt_of(row));
            })?;
        }
        Ok(receipts)
    }
}

fn receipt_of(row: Evidence) -> Receipt {
    let tally = Tally {
        events: u64::from(row.events),
        rejected: u64::from(row.rejected),
        digest: row.digest,
    };
    Receipt {
        id: row.receipt,
        sensor: row.sensor,
        acknowledged: Some((tally, row.slices)),
        body_sha256: None,
        body_bytes: Some(row.bytes),
        placed: Vec::new(),
        claims: BTreeMap::new(),
    }
}
