//! The files of some seals into those of a day.

use crate::sealing::{GROUP_BYTES, PART_ROWS, RUN_BYTES, Trouble, Workshop, upload};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::day::DayBuilder;
use vernier_archive::files::{Directory, Ranges, Source as _};
use vernier_archive::seal::{Seal, SealedFile, Written};
use vernier_archive::window::Settings;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Objects, PortError};
use vernier_ledger::time::Window;

/// What of a file is read by one request, bytes.
const PIECE_BYTES: u64 = 16 * 1024 * 1024;

/// A file of at most this size comes by one request, some of them at a time: a day of windows of a
/// minute has 2,880 files.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;

/// Writes a day's files into the bucket. Of the seals' own files few are in memory, and one that is
/// large in the scratch folder, at a time; their rows go through sorted runs there, so that memory depends neither on their number nor on
/// how many windows a day has.
///
/// # Errors
/// The store's; held when a file is not what its seal says.
pub(super) async fn write<O: Objects>(
    objects: &O,
    workshop: &Workshop,
    tenant: &TenantId,
    day: Window,
    seals: &[Seal],
) -> Result<Written, Trouble> {
    let folder = tempfile::Builder::new()
        .prefix("vernier-day-")
        .tempdir_in(&workshop.temporary)
        .map_err(Fault::Io)?;
    let settings = Settings {
        run_bytes: RUN_BYTES,
        part_rows: PART_ROWS,
        group_bytes: GROUP_BYTES,
        ..Settings::new(folder.path(), workshop.threads)
    };
    let mut builder = DayBuilder::new(tenant.clone(), day, settings);
    let scratch = Directory::new(folder.path());
    let files = seals
        .iter()
        .flat_map(|seal| seal.files.iter().map(move |file| (seal, file)));
    let mut files = stream::iter(files)
        .map(async |(seal, file)| {
            let small = file.bytes <= SMALL_BYTES_MAX;
            let bytes = match small {
                true => Some(piece(objects, file, (0, file.bytes)).await?),
                false => None,
            };
            Ok::<_, Trouble>((seal, file, bytes))
        })
        .buffered(READS_IN_FLIGHT_MAX);
    while let Some((seal, file, bytes)) = files.try_next().await? {
        let ranges: Arc<dyn Ranges> = match bytes {
            Some(bytes) => Arc::new(Bytes::from(bytes)),
            None => {
                download(objects, file, &folder.path().join("file")).await?;
                scratch.open("file").map_err(Fault::Io)?
            }
        };
        builder.push_file(seal, file, &ranges)?;
    }
    let files = folder.path().join("files");
    let written = builder.finish(&Directory::new(&files))?;
    let keys = written.files.iter().map(|file| file.key.as_str());
    upload(objects, keys, &files).await?;
    Ok(written)
}

async fn download<O: Objects>(objects: &O, file: &SealedFile, to: &Path) -> Result<(), Trouble> {
    let mut out = File::create(to).map_err(Fault::Io)?;
    let mut at = 0;
    while at < file.bytes {
        let length = PIECE_BYTES.min(file.bytes - at);
        let bytes = piece(objects, file, (at, length)).await?;
        out.write_all(&bytes).map_err(Fault::Io)?;
        at += length;
    }
    Ok(())
}

async fn piece<O: Objects>(
    objects: &O,
    file: &SealedFile,
    range: (u64, u64),
) -> Result<Vec<u8>, Trouble> {
    match objects.get(&file.key, Some(range)).await {
        Ok(Some(bytes)) if bytes.len() as u64 == range.1 => Ok(bytes),
        Ok(_) | Err(PortError::Fatal(_)) => {
            Err(Trouble::Held(format!("{} is gone or cut short", file.key)))
        }
        Err(error) => Err(error.into()),
    }
}
