//! A part whose file was removed: its rows out of the files of the day that covers its seal.

use super::part::{Gathering, OpenPart};
use vernier_archive::Fault;
use vernier_archive::leaf::LeafForm;
use vernier_archive::merkle::{Span, leaf_hash};
use vernier_archive::reader::Reading;
use vernier_archive::row::Row;
use vernier_archive::seal::{PartClass, Seal};
use vernier_archive::stored::{
    CoveredPart, covering_gone, for_each_covered, for_each_covered_part,
};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::playback_job::PlaybackTarget;
use vernier_ledger::ports::PortError;
use vernier_ledger::stores::ReconcileStores;

/// Reads the rows of the `number`-th of a seal's files. They must lead to the file's sealed root: what was tampered
/// with is not played.
///
/// # Errors
/// The stores'; fatal when no day covers the seal, or its rows are not what the seal says.
pub(super) async fn read<S: ReconcileStores>(
    stores: &S,
    tenant: &TenantId,
    entry: &SealEntry,
    seal: &Seal,
    number: usize,
    mut gathering: Gathering<'_>,
) -> Result<OpenPart, PortError> {
    let Some(file) = seal.files.get(number) else {
        return Err(PortError::Fatal("no such file of a seal".to_owned()));
    };
    let (table, objects, class) = (stores.table(), stores.objects(), file.class());
    let day = covering_gone(table, objects, tenant, entry, file).await?;
    let form = LeafForm::of_version(seal.vernier_seal);
    let (mut root, mut leaf) = (Span::starting_at(0), Vec::with_capacity(1_024));
    let reading = match (gathering.request.target, class) {
        // Whether a duplicate has a text is in its leaf.
        (PlaybackTarget::Results, PartClass::Archive) => Reading::WithoutEvents,
        _ => Reading::Whole,
    };
    let mut take = |row: Row<'_>| {
        leaf.clear();
        row.write_leaf_in(form, &mut leaf);
        root.push(leaf_hash(&leaf));
        // Where memory is full the root goes on.
        let _ = gathering.take(&row);
        Ok::<_, Fault>(())
    };
    match form {
        LeafForm::Plain => {
            let earlier = seal.files[..number].iter();
            let before = earlier.filter(|file| file.class() == class);
            let before: u64 = before.map(|file| file.rows).sum();
            let (mut at, of) = (0, (entry.sequence, class));
            for_each_covered(objects, &day, of, reading, |row| {
                let is_here = (before..before + file.rows).contains(&at);
                at += 1;
                if is_here { take(row) } else { Ok(()) }
            })
            .await?;
        }
        LeafForm::Blind => {
            let part = CoveredPart {
                sequence: entry.sequence,
                number: u32::try_from(number).unwrap_or(u32::MAX),
                class,
            };
            for_each_covered_part(objects, &day, part, reading, take).await?;
        }
    }
    if root.root() != Some(file.merkle_root.0) {
        let what = format!("the rows of {} are not what its seal says", file.key);
        return Err(PortError::Fatal(what));
    }
    Ok(gathering.into_part(file.rows))
}
