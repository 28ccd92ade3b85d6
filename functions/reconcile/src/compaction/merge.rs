//! The parts and the evidence of some seals into those of a day.

use super::Covering;
use crate::scratch::ScratchFolder;
use crate::sealing::chain::Content;
use crate::sealing::{GROUP_BYTES, PART_ROWS, RUN_BYTES, Trouble, Workshop, upload};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use vernier_archive::Fault;
use vernier_archive::day4::{BlindDayBuilder, BlindDayWritten};
use vernier_archive::files::{Directory, Ranges, Source as _};
use vernier_archive::seal::{FileSet, SealKind, SealedFile, SetWriter, StatementBody};
use vernier_archive::window::Settings;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::Objects;
use vernier_ledger::time::Window;

/// What of a file is read by one request, bytes.
const PIECE_BYTES: u64 = 16 * 1024 * 1024;

/// A file of at most this size comes by one request, some of them at a time: a day of windows of a
/// minute has 2,880 parts and 1,440 files of evidence.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;

/// A day's files in the bucket, and what its seal will say of them.
#[derive(Debug)]
pub(super) struct MergedDay {
    day: Window,
    written: BlindDayWritten,
    folder: ScratchFolder,
}

/// What a file is to its seal.
#[derive(Debug, Clone, Copy)]
enum Member {
    /// The part of this number, in the order of the seal.
    Part(u32),
    /// Some of its evidence.
    Evidence,
}

fn members_of(covering: &Covering) -> impl Iterator<Item = (Member, &SealedFile)> {
    let parts = (0..).zip(&covering.seal.files);
    let parts = parts.map(|(number, file)| (Member::Part(number), file));
    let evidence = covering.evidence.iter();
    parts.chain(evidence.map(|file| (Member::Evidence, file)))
}

/// Writes a day's files into the bucket. Of the seals' own files few are in memory, and one that is
/// large in the scratch folder, at a time; their rows go through sorted runs there, so that memory depends neither on
/// their number nor on how many windows a day has.
///
/// # Errors
/// The store's; held when a file is not what its seal says.
pub(super) async fn write<O: Objects>(
    objects: &O,
    workshop: &Workshop,
    tenant: &TenantId,
    day: Window,
    seals: &[Covering],
) -> Result<MergedDay, Trouble> {
    let folder = workshop.scratch.folder().map_err(Fault::Io)?;
    let settings = Settings {
        run_bytes: RUN_BYTES,
        part_rows: PART_ROWS,
        group_bytes: GROUP_BYTES,
        scratch: workshop.scratch.bytes().clone(),
        ..Settings::new(folder.path(), workshop.threads)
    };
    let mut builder = BlindDayBuilder::new(tenant.clone(), day, settings);
    let scratch = Directory::new(folder.path());
    for covering in seals {
        builder.cover(&covering.seal);
    }
    let files = seals.iter().flat_map(|covering| {
        let sequence = covering.seal.sequence;
        members_of(covering).map(move |(member, file)| (sequence, member, file))
    });
    let mut files = stream::iter(files)
        .map(async |(sequence, member, file)| {
            let small = file.bytes <= SMALL_BYTES_MAX;
            let bytes = match small {
                true => Some(piece(objects, file, (0, file.bytes)).await?),
                false => None,
            };
            Ok::<_, Trouble>((sequence, member, file, bytes))
        })
        .buffered(READS_IN_FLIGHT_MAX);
    while let Some((sequence, member, file, bytes)) = files.try_next().await? {
        let ranges: Arc<dyn Ranges> = match bytes {
            Some(bytes) => Arc::new(Bytes::from(bytes)),
            None => {
                download(objects, file, &folder.path().join("file")).await?;
                scratch.open("file").map_err(Fault::Io)?
            }
        };
        match member {
            Member::Part(number) => builder.push_part(sequence, number, &ranges)?,
            Member::Evidence => builder.push_evidence(sequence, file, &ranges)?,
        }
    }
    let files = folder.path().join("files");
    let written = builder.finish(&Directory::new(&files))?;
    let all = written.files.iter().chain(&written.evidence);
    upload(objects, all.map(|file| file.key.as_str()), &files).await?;
    Ok(MergedDay {
        day,
        written,
        folder,
    })
}

impl MergedDay {
    /// What the day's seal says at its place in the chain; lists that it needs are written.
    ///
    /// # Errors
    /// The store's; held when it would name more files than a seal can.
    pub(super) async fn content<O: Objects>(
        self,
        objects: &O,
        tenant: &TenantId,
        sequence: u64,
    ) -> Result<Content, Trouble> {
        let Self {
            day,
            written,
            folder,
        } = self;
        let lists = folder.path().join("lists");
        let sink = Directory::new(&lists);
        let mut sets = SetWriter::new(tenant, sequence, &sink);
        let parts = sets.set(written.files.clone())?;
        let evidence = sets.set(written.evidence)?;
        let named = [&parts, &evidence].into_iter().flat_map(FileSet::lists);
        upload(objects, named.map(|list| list.key.as_str()), &lists).await?;
        Ok(Content {
            kind: SealKind::Day,
            window: day,
            counts: written.counts,
            digest: written.digest,
            files: written.files,
            covers: written.covers,
            body: StatementBody::Day { parts, evidence },
        })
    }
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
    match objects.get(&file.key, Some(range)).await? {
        Some(bytes) if bytes.len() as u64 == range.1 => Ok(bytes),
        _ => Err(Trouble::Held(format!("{} is gone or cut short", file.key))),
    }
}
