//! Seals as their chains list them, with the files that count now.

use crate::limits::LISTS_READ_MAX;
use crate::seal::{FileSet, ListFile, Replacement, Seal, SealedFile, list_entries, seal_key};
use futures::stream::{self, StreamExt, TryStreamExt};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::READS_IN_FLIGHT_MAX;
use vernier_ledger::ports::{Objects, PortError};

/// A seal as its chain lists it. Of a seal of version 4 the lists of its parts are read, and the files that erasures
/// replaced are those that the last one wrote: [`Seal::files`] are the files that count now.
///
/// # Errors
/// The store's; fatal when the seal or a list is gone or another one, or the seal names more files than a reader takes.
pub async fn read_seal<O: Objects>(
    objects: &O,
    tenant: &TenantId,
    entry: &SealEntry,
) -> Result<Seal, PortError> {
    let key = seal_key(tenant, entry.sequence);
    let damaged = |what: &str| PortError::Fatal(format!("{key} {what}"));
    let seal = signed(objects, &key).await?;
    let mut seal = seal.ok_or_else(|| damaged("is gone"))?;
    let hash = seal.hash().map_err(|e| damaged(&e.to_string()))?;
    if hex::encode(hash) != entry.hash {
        return Err(damaged("is another seal than the listed one"));
    }
    if let Some(parts) = seal.statement.as_ref().and_then(|s| s.parts())
        && !parts.lists().is_empty()
    {
        seal.files = read_set(objects, parts).await?;
    }
    for sequence in entry.erasures.iter() {
        for replacement in replaced_by(objects, tenant, sequence).await? {
            if replacement.sequence == seal.sequence {
                replace(&mut seal, replacement)?;
            }
        }
    }
    Ok(seal)
}

/// The files of a set, those of lists from where the lists lie, each against its hash.
///
/// # Errors
/// The store's; fatal when a list is gone or is not what its seal says, or there are more than a reader takes.
pub async fn read_set<O: Objects>(
    objects: &O,
    set: &FileSet,
) -> Result<Vec<SealedFile>, PortError> {
    let lists = match set {
        FileSet::Inline(files) => return Ok(files.clone()),
        FileSet::Lists(lists) => lists,
    };
    if lists.len() > LISTS_READ_MAX {
        let count = lists.len();
        let what = format!(
            "a seal names its files in {count} lists; a reader takes {LISTS_READ_MAX}: read a copy"
        );
        return Err(PortError::Fatal(what));
    }
    let read: Vec<Vec<SealedFile>> = stream::iter(lists)
        .map(|list| read_list(objects, list))
        .buffered(READS_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok(read.into_iter().flatten().collect())
}

async fn read_list<O: Objects>(objects: &O, list: &ListFile) -> Result<Vec<SealedFile>, PortError> {
    let gone = || PortError::Fatal(format!("{} is gone", list.key));
    let bytes = objects.get(&list.key, None).await?.ok_or_else(gone)?;
    list_entries(list, &bytes).map_err(|fault| PortError::Fatal(fault.to_string()))
}

async fn signed<O: Objects>(objects: &O, key: &str) -> Result<Option<Seal>, PortError> {
    let Some(bytes) = objects.get(key, None).await? else {
        return Ok(None);
    };
    let seal = Seal::read(&bytes).map_err(|e| PortError::Fatal(format!("{key} {e}")))?;
    Ok(Some(seal))
}

/// What the erasure of this sequence replaced; nothing when there is no such seal yet, or it is of another kind: an
/// entry names an erasure before the erasure is sealed, and the first seal of a sequence is the seal.
async fn replaced_by<O: Objects>(
    objects: &O,
    tenant: &TenantId,
    sequence: u64,
) -> Result<Vec<Replacement>, PortError> {
    let seal = signed(objects, &seal_key(tenant, sequence)).await?;
    let statement = seal.and_then(|seal| seal.statement);
    Ok(match statement.as_ref().and_then(|s| s.erasure()) {
        Some(erasure) => erasure.replaces.clone(),
        None => Vec::new(),
    })
}

fn replace(seal: &mut Seal, by: Replacement) -> Result<(), PortError> {
    let wrong = |what: &str| PortError::Fatal(format!("{} {what}", by.file.key));
    let mut files = seal.files.iter_mut();
    let file = files.find(|file| file.sha256 == by.sha256);
    let file =
        file.ok_or_else(|| wrong("takes the place of a file that its seal does not name"))?;
    let same = (file.rows, file.merkle_root) == (by.file.rows, by.file.merkle_root);
    if !same || file.class() != by.file.class() {
        return Err(wrong("has other rows than the file whose place it takes"));
    }
    *file = by.file;
    Ok(())
}
