//! A part whose file was removed: its rows out of the files of the day that covers its seal.

use super::class_of;
use super::part::{Gathering, OpenPart};
use vernier_archive::merkle::{Span, leaf_hash};
use vernier_archive::reader::Reading;
use vernier_archive::seal::SealedFile;
use vernier_archive::stored::{covering_gone, for_each_covered};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::playback_job::PlaybackTarget;
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::ReconcileStores;

/// Reads the rows of the `number`-th of the files that a playback reads of a seal. They must lead to the file's sealed
/// root: what was tampered with is not played.
///
/// # Errors
/// The stores'; fatal when no day covers the seal, or its rows are not what the seal says.
pub(super) async fn read<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    entry: &SealEntry,
    files: &[SealedFile],
    number: usize,
    mut gathering: Gathering<'_>,
) -> Result<OpenPart, PortError> {
    let Some(file) = files.get(number) else {
        return Err(PortError::Fatal("no such file of a seal".to_owned()));
    };
    let (table, objects) = (stores.table(), stores.objects());
    let day = covering_gone(table, objects, tenant, entry, file).await?;
    let before: u64 = files[..number].iter().map(|file| file.rows).sum();
    let (mut at, mut root, mut leaf) = (0, Span::starting_at(0), Vec::with_capacity(1_024));
    let of = (entry.sequence, class_of(gathering.request.source));
    let reading = match gathering.request.target {
        PlaybackTarget::Results => Reading::WithoutEvents,
        PlaybackTarget::Stream => Reading::Whole,
    };
    for_each_covered(objects, &day, of, reading, |row| {
        if (before..before + file.rows).contains(&at) {
            leaf.clear();
            row.write_leaf(&mut leaf);
            root.push(leaf_hash(&leaf));
            // Where memory is full the root goes on.
            let _ = gathering.take(&row);
        }
        at += 1;
        Ok(())
    })
    .await?;
    if root.root() != Some(file.merkle_root.0) {
        let what = format!("the rows of {} are not what its seal says", file.key);
        return Err(PortError::Fatal(what));
    }
    Ok(gathering.into_part(file.rows))
}
