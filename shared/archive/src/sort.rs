//! Sorting more than memory holds: sorted runs, compressed, in a temporary directory, merged at the
//! end.

use crate::limits;
use crate::scratch::{Claim, Scratch, ScratchFile};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// A record in the arena.
#[derive(Debug, Clone, Copy)]
struct Item {
    offset: usize,
    key: u32,
    payload: u32,
}

/// Records in memory: a key that decides the order, and what goes with it.
#[derive(Debug, Default)]
pub(crate) struct Run {
    arena: Vec<u8>,
    items: Vec<Item>,
}

impl Run {
    fn key(&self, item: &Item) -> &[u8] {
        &self.arena[item.offset..item.offset + item.key as usize]
    }

    fn payload(&self, item: &Item) -> &[u8] {
        let from = item.offset + item.key as usize;
        &self.arena[from..from + item.payload as usize]
    }

    fn bytes(&self) -> usize {
        self.arena.len() + self.items.len() * size_of::<Item>()
    }

    fn sort(&mut self) {
        let arena = std::mem::take(&mut self.arena);
        let key = |item: &Item| &arena[item.offset..item.offset + item.key as usize];
        self.items.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        self.arena = arena;
    }

    fn spill(mut self, path: &Path, scratch: &Scratch) -> io::Result<Claim> {
        self.sort();
        let file = ScratchFile::new(File::create_new(path)?, scratch);
        let file = BufWriter::new(file);
        let mut out = zstd::stream::write::Encoder::new(file, limits::SPILL_ZSTD_LEVEL)?;
        for item in &self.items {
            out.write_all(&item.key.to_le_bytes())?;
            out.write_all(&item.payload.to_le_bytes())?;
            out.write_all(self.key(item))?;
            out.write_all(self.payload(item))?;
        }
        let file = out.finish()?.into_inner();
        Ok(file.map_err(io::IntoInnerError::into_error)?.into_claim())
    }
}

/// Takes records in any order and gives them back in the order of their keys.
#[derive(Debug)]
pub(crate) struct Sorter {
    run: Run,
    run_bytes: usize,
    directory: PathBuf,
    /// First part of the runs' file names; one directory serves several sorters.
    name: &'static str,
    runs: Vec<PathBuf>,
    /// The run that is being sorted and written while the next one fills.
    spilling: Option<JoinHandle<io::Result<Claim>>>,
    /// What the runs take of the disk, in their order.
    claims: Vec<Claim>,
    scratch: Scratch,
}

impl Sorter {
    /// Holds about `run_bytes` while it fills, and once more while a run is written.
    pub(crate) fn new(directory: &Path, name: &'static str, run_bytes: usize) -> Self {
        Self {
            run: Run::default(),
            run_bytes,
            directory: directory.to_owned(),
            name,
            runs: Vec::new(),
            spilling: None,
            claims: Vec::new(),
            scratch: Scratch::unbounded(),
        }
    }

    /// Lets the runs take no more of the disk than is left of a bound.
    pub(crate) fn within(mut self, scratch: &Scratch) -> Self {
        self.scratch = scratch.clone();
        self
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When a run cannot be written.
    pub(crate) fn push(&mut self, key: &[u8], payload: &[&[u8]]) -> io::Result<()> {
        let length = |bytes: usize| {
            u32::try_from(bytes).map_err(|_| io::Error::other("a record of 4 GiB or more"))
        };
        let item = Item {
            offset: self.run.arena.len(),
            key: length(key.len())?,
            payload: length(payload.iter().map(|p| p.len()).sum())?,
        };
        self.run.arena.extend_from_slice(key);
        for part in payload {
            self.run.arena.extend_from_slice(part);
        }
        self.run.items.push(item);
        if self.run.bytes() >= self.run_bytes {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.wait()?;
        let path = self
            .directory
            .join(format!("{}-{:06}.run", self.name, self.runs.len()));
        self.runs.push(path.clone());
        let run = std::mem::take(&mut self.run);
        let scratch = self.scratch.clone();
        self.spilling = Some(std::thread::spawn(move || run.spill(&path, &scratch)));
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.spilling.take().map(JoinHandle::join) {
            None => {}
            Some(Ok(claim)) => self.claims.push(claim?),
            Some(Err(_)) => return Err(io::Error::other("writing a run panicked")),
        }
        Ok(())
    }

    /// Calls `each` with the payload of every record so far, in any order.
    ///
    /// # Errors
    /// When a run cannot be written or read, and what `each` answers.
    pub(crate) fn for_each<E: From<io::Error>>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.wait()?;
        for path in &self.runs {
            let mut head = Head::open(path, None)?;
            while head.advance()? {
                each(&head.record[head.key..])?;
            }
        }
        for item in &self.run.items {
            each(self.run.payload(item))?;
        }
        Ok(())
    }

    /// All records, in order.
    ///
    /// # Errors
    /// When a run cannot be written or opened.
    pub(crate) fn finish(mut self) -> io::Result<Sorted> {
        if self.runs.is_empty() {
            self.run.sort();
            return Ok(Sorted::Memory {
                run: std::mem::take(&mut self.run),
                next: 0,
            });
        }
        if !self.run.items.is_empty() {
            self.spill()?;
        }
        self.wait()?;
        self.run = Run::default();
        let mut heads = BinaryHeap::with_capacity(self.runs.len());
        let claims = std::mem::take(&mut self.claims);
        for (path, claim) in std::mem::take(&mut self.runs).into_iter().zip(claims) {
            let mut head = Head::open(&path, Some(claim))?;
            // An open file lives on without its name, and goes with the process.
            fs::remove_file(&path)?;
            if head.advance()? {
                heads.push(head);
            }
        }
        Ok(Sorted::Merged {
            heads,
            shown: false,
        })
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        // Only after a failure are there any left.
        let _ = self.wait();
        for path in &self.runs {
            let _ = fs::remove_file(path);
        }
    }
}

/// A run that is read back, at its next record.
pub(crate) struct Head {
    from: zstd::stream::read::Decoder<'static, BufReader<File>>,
    record: Vec<u8>,
    key: usize,
    /// What the run takes of the disk, where it goes with this.
    _claim: Option<Claim>,
}

impl Head {
    fn open(path: &Path, claim: Option<Claim>) -> io::Result<Self> {
        Ok(Self {
            from: zstd::stream::read::Decoder::new(File::open(path)?)?,
            record: Vec::new(),
            key: 0,
            _claim: claim,
        })
    }

    fn advance(&mut self) -> io::Result<bool> {
        let mut lengths = [0_u8; 8];
        if self.from.read(&mut lengths[..1])? == 0 {
            return Ok(false);
        }
        self.from.read_exact(&mut lengths[1..])?;
        let [a, b, c, d, e, f, g, h] = lengths;
        self.key = u32::from_le_bytes([a, b, c, d]) as usize;
        let payload = u32::from_le_bytes([e, f, g, h]) as usize;
        self.record.resize(self.key + payload, 0);
        self.from.read_exact(&mut self.record)?;
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        &self.record[..self.key]
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    /// The smallest key is the greatest head: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(self.key())
    }
}

/// Records in order.
pub(crate) enum Sorted {
    Memory {
        run: Run,
        next: usize,
    },
    Merged {
        heads: BinaryHeap<Head>,
        /// Whether the first head's record was given out already.
        shown: bool,
    },
}

impl Sorted {
    /// The next record's key and payload.
    ///
    /// # Errors
    /// When a run cannot be read back.
    pub(crate) fn next(&mut self) -> io::Result<Option<(&[u8], &[u8])>> {
        match self {
            Self::Memory { run, next } => {
                let Some(item) = run.items.get(*next) else {
                    return Ok(None);
                };
                *next += 1;
                Ok(Some((run.key(item), run.payload(item))))
            }
            Self::Merged { heads, shown } => {
                if std::mem::replace(shown, true)
                    && let Some(mut head) = heads.peek_mut()
                    && !head.advance()?
                {
                    PeekMut::pop(head);
                }
                let head = heads.peek();
                Ok(head.map(|head| head.record.split_at(head.key)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(records: &[(Vec<u8>, Vec<u8>)], run_bytes: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut sorter = Sorter::new(directory.path(), "test", run_bytes);
        for (key, payload) in records {
            let (a, b) = payload.split_at(payload.len() / 2);
            sorter.push(key, &[a, b]).expect("room");
        }
        let mut sorted = sorter.finish().expect("runs");
        let mut found = Vec::new();
        while let Some((key, payload)) = sorted.next().expect("reads") {
            found.push((key.to_vec(), payload.to_vec()));
        }
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 0);
        found
    }

    proptest! {
        #[test]
        fn whatever_the_memory_the_order_is_the_keys(
            records in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..4), proptest::collection::vec(any::<u8>(), 0..6)), 0..80),
            run_bytes in 1usize..4_000,
        ) {
            let mut wanted = records.clone();
            wanted.sort();
            let mut found = sorted(&records, run_bytes);
            prop_assert!(found.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            found.sort();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn runs_of_a_sorter_that_is_given_up_are_removed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut sorter = Sorter::new(directory.path(), "test", 1);
        sorter.push(b"b", &[]).expect("room");
        sorter.push(b"a", &[]).expect("room");
        drop(sorter);
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 0);
    }
}
