//! The files that a seal of version 4 names: in the seal itself where they are few, else in lists
//! that are objects of their own.

use super::{Hex32, SealedFile};
use crate::Fault;
use crate::canonical;
use crate::files::{Sink, Source};
use crate::limits::{LIST_BYTES_MAX, LIST_ENTRIES_MAX, LISTS_MAX, SET_INLINE_MAX};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;

/// An object with one line for each file that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListFile {
    /// The key of the list's object.
    pub key: String,
    /// How many files the list names.
    pub entries: u64,
    /// The size of the list's object, bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hex32,
}

/// Files in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSet {
    /// The files stand in the seal itself.
    Inline(Vec<SealedFile>),
    /// Lists that name them, one after the other.
    Lists(Vec<ListFile>),
}

impl FileSet {
    /// A set without files.
    pub const EMPTY: Self = Self::Inline(Vec::new());

    /// Whether it names so few lists as a seal may. Files are bounded by the seal's size.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.lists().len() <= LISTS_MAX
    }

    /// Its lists; none where the seal has the files itself.
    #[must_use]
    pub fn lists(&self) -> &[ListFile] {
        match self {
            Self::Inline(_) => &[],
            Self::Lists(lists) => lists,
        }
    }

    /// How many files it names.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Inline(files) => files.len() as u64,
            Self::Lists(lists) => lists
                .iter()
                .fold(0, |sum, list| sum.saturating_add(list.entries)),
        }
    }

    /// The files where the seal has them itself; else they must be read ([`Self::read`]).
    #[must_use]
    pub fn inline(&self) -> Option<&[SealedFile]> {
        match self {
            Self::Inline(files) => Some(files),
            Self::Lists(_) => None,
        }
    }

    /// Reads all files of the set, those of lists from where the lists lie.
    ///
    /// # Errors
    /// When a list cannot be read, has another size, hash or number of lines than the seal says,
    /// or a line is no file.
    pub fn read(&self, source: &dyn Source) -> Result<Vec<SealedFile>, Fault> {
        let lists = match self {
            Self::Inline(files) => return Ok(files.clone()),
            Self::Lists(lists) => lists,
        };
        let mut files = Vec::new();
        for list in lists {
            files.extend(read_list::<SealedFile>(source, list)?);
        }
        Ok(files)
    }
}

/// The lines of a list.
///
/// # Errors
/// When it cannot be read, or is not what its seal says.
pub(crate) fn read_list<T: Serialize + for<'de> Deserialize<'de>>(
    source: &dyn Source,
    list: &ListFile,
) -> Result<Vec<T>, Fault> {
    let bytes = source.read(&list.key, LIST_BYTES_MAX);
    let unreadable = |e| Fault::Damaged(format!("the list {} cannot be read: {e}", list.key));
    list_entries(list, &bytes.map_err(unreadable)?)
}

/// The lines of a list whose object has these bytes.
///
/// # Errors
/// When they are not what the list's seal says.
pub(crate) fn list_entries<T: Serialize + for<'de> Deserialize<'de>>(
    list: &ListFile,
    bytes: &[u8],
) -> Result<Vec<T>, Fault> {
    let wrong = |what: String| Fault::Damaged(format!("the list {} {what}", list.key));
    if bytes.len() as u64 != list.bytes || Fingerprint::of(bytes).0 != list.sha256.0 {
        return Err(wrong("is not the sealed one".to_owned()));
    }
    let mut entries = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let number = entries.len();
        let no_entry = || wrong(format!("has no entry in line {number}"));
        let text = line.strip_suffix(b"\n").ok_or_else(no_entry)?;
        let entry: T = serde_json::from_slice(text).map_err(|_| no_entry())?;
        if canonical::to_bytes(&entry)? != text || entries.len() >= LIST_ENTRIES_MAX {
            return Err(no_entry());
        }
        entries.push(entry);
    }
    if entries.len() as u64 == list.entries {
        Ok(entries)
    } else {
        Err(wrong(format!(
            "has {} entries instead of {}",
            entries.len(),
            list.entries
        )))
    }
}

/// Where a list lies: under its seal's sequence, numbered through all lists of the seal.
#[must_use]
pub fn list_key(tenant: &TenantId, sequence: u64, number: usize, sha256: &[u8; 32]) -> String {
    let content = hex::encode(&sha256[..16]);
    format!("lists/tenant={tenant}/{sequence:012}-{number:04}-{content}.jsonl")
}

/// Puts a seal's files into sets, and writes the lists that these need.
#[derive(Debug)]
pub struct SetWriter<'a, S: Sink> {
    tenant: &'a TenantId,
    sequence: u64,
    sink: &'a S,
    /// How many lists were written so far.
    number: usize,
    /// Files of a set that the seal has itself.
    inline_max: usize,
    /// Files of a list.
    entries_max: usize,
}

impl<'a, S: Sink> SetWriter<'a, S> {
    /// For the seal of this sequence.
    #[must_use]
    pub const fn new(tenant: &'a TenantId, sequence: u64, sink: &'a S) -> Self {
        Self {
            tenant,
            sequence,
            sink,
            number: 0,
            inline_max: SET_INLINE_MAX,
            entries_max: LIST_ENTRIES_MAX,
        }
    }

    /// With other bounds than the usual ones: readers take lists of any length within those.
    #[must_use]
    pub fn with_bounds(mut self, inline_max: usize, entries_max: usize) -> Self {
        self.inline_max = inline_max.min(SET_INLINE_MAX);
        self.entries_max = entries_max.clamp(1, LIST_ENTRIES_MAX);
        self
    }

    /// The set of these files.
    ///
    /// # Errors
    /// When a list cannot be written, or there are more files than a seal can name.
    pub fn set(&mut self, files: Vec<SealedFile>) -> Result<FileSet, Fault> {
        if files.len() <= self.inline_max {
            return Ok(FileSet::Inline(files));
        }
        let lists: Result<Vec<ListFile>, Fault> = files
            .chunks(self.entries_max)
            .map(|files| self.list(files))
            .collect();
        let set = FileSet::Lists(lists?);
        if set.is_within_bounds() {
            Ok(set)
        } else {
            Err(Fault::Damaged("more files than a seal can name".to_owned()))
        }
    }

    /// The list of these entries.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn list<T: Serialize>(&mut self, entries: &[T]) -> Result<ListFile, Fault> {
        let mut text = Vec::new();
        for entry in entries {
            text.extend(canonical::to_bytes(entry)?);
            text.push(b'\n');
        }
        let sha256 = Fingerprint::of(&text).0;
        let key = list_key(self.tenant, self.sequence, self.number, &sha256);
        self.number += 1;
        let mut file = self.sink.create()?;
        file.write_all(&text)?;
        self.sink.close(&key, file)?;
        Ok(ListFile {
            key,
            entries: entries.len() as u64,
            bytes: text.len() as u64,
            sha256: sha256.into(),
        })
    }
}
