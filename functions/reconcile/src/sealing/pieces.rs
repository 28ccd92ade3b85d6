//! Parts of the archive read by ranges.

use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::files::Ranges;
use vernier_archive::pieces::Pieces;
use vernier_ledger::ports::{Objects, PortError};

/// Reads from an object of a known size. `read` may be called several times.
///
/// # Errors
/// The store's; fatal when the object is gone or is not what it should be.
pub(super) async fn read_object<O: Objects, R>(
    objects: &O,
    (key, size): (&str, u64),
    mut read: impl FnMut(Arc<dyn Ranges>) -> Result<R, Fault>,
) -> Result<R, PortError> {
    let pieces = Arc::new(Pieces::of(size));
    loop {
        let file: Arc<dyn Ranges> = Arc::<Pieces>::clone(&pieces);
        let fault = match read(file) {
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
