//! Sealed data of all versions, side by side: whatever reads it answers what a scan of the rows finds.

mod before;
mod golden;
mod mixture;
mod rewriting;

use vernier_archive::leaf::Erased;
use vernier_archive::row::Row;
use vernier_archive::seal::Seal;
use vernier_fakes::MemoryTable;
use vernier_ledger::chain::{ChainHead, ChainStep, SealEntry};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{ChainOutcome, Chains};
use vernier_ledger::salt::Salt;

/// A row that outlives its file.
#[derive(Debug, Clone)]
struct OwnedRow {
    leaf: Vec<u8>,
    event: Option<String>,
    salt: Option<Salt>,
    erased: Option<Erased>,
}

impl OwnedRow {
    fn of(row: &Row<'_>) -> Self {
        let mut leaf = Vec::new();
        row.write_leaf(&mut leaf);
        Self {
            leaf,
            event: row.event.map(str::to_owned),
            salt: row.salt,
            erased: row.erased,
        }
    }

    fn row(&self) -> Row<'_> {
        let (row, rest) = Row::read_leaf(&self.leaf).expect("a row");
        assert!(rest.is_empty());
        Row {
            event: self.event.as_deref(),
            salt: self.salt,
            erased: self.erased,
            ..row
        }
    }
}

/// How a chain lists a seal that these erasures, in order, replaced files of.
fn entry_of(seal: &Seal, erasures: impl IntoIterator<Item = u64>) -> SealEntry {
    SealEntry {
        erasures: erasures.into_iter().collect(),
        ..seal.entry().expect("integers")
    }
}

/// Lists a seal in the place of the one that is listed under its sequence; the chain stays where it is.
async fn list(table: &MemoryTable, tenant: &TenantId, head: ChainHead, entry: &SealEntry) {
    let revision = table.raw_chain(tenant).map_or(0, |head| head.revision) + 1;
    let step = ChainStep {
        seal: Some(entry.clone()),
        ..ChainStep::to(ChainHead { revision, ..head })
    };
    let moved = table.move_chain(tenant, &step).await;
    assert_eq!(moved, Ok(ChainOutcome::Moved));
}
