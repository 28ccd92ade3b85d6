//! Seals and parts as they lie in a store that is waited for.

use crate::Fault;
use crate::files::Ranges;
use crate::pieces::Pieces;
use crate::seal::{Seal, SealedFile, seal_key};
use std::sync::Arc;
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Objects, PortError};

/// A seal as its chain lists it.
///
/// # Errors
/// The store's; fatal when it is gone or another one.
pub async fn read_seal<O: Objects>(
    objects: &O,
    tenant: &TenantId,
    entry: &SealEntry,
) -> Result<Seal, PortError> {
    let key = seal_key(tenant, entry.sequence);
    let damaged = |what: &str| PortError::Fatal(format!("{key} {what}"));
    let bytes = objects.get(&key, None).await?;
    let bytes = bytes.ok_or_else(|| damaged("is gone"))?;
    let seal = Seal::read(&bytes).map_err(|e| damaged(&e.to_string()))?;
    let hash = seal.hash().map_err(|e| damaged(&e.to_string()))?;
    if hex::encode(hash) == entry.hash {
        Ok(seal)
    } else {
        Err(damaged("is another seal than the listed one"))
    }
}

/// Reads from a sealed file by ranges. `read` may be called several times.
///
/// # Errors
/// The store's; fatal when the file is gone or is not what it should be.
pub async fn read_file<O: Objects, R>(
    objects: &O,
    file: &SealedFile,
    mut read: impl FnMut(Arc<dyn Ranges>) -> Result<R, Fault>,
) -> Result<R, PortError> {
    let key = &file.key;
    let pieces = Arc::new(Pieces::of(file.bytes));
    loop {
        let ranges: Arc<dyn Ranges> = Arc::<Pieces>::clone(&pieces);
        let fault = match read(ranges) {
            Ok(found) => return Ok(found),
            Err(fault) => fault,
        };
        let Some((start, length)) = pieces.missing() else {
            return Err(PortError::Fatal(format!("{key}: {fault}")));
        };
        let bytes = objects.get(key, Some((start, length))).await?;
        let bytes = bytes.filter(|bytes| bytes.len() as u64 == length);
        let bytes = bytes.ok_or_else(|| PortError::Fatal(format!("{key} is gone or cut short")))?;
        pieces.put(start, bytes);
    }
}
