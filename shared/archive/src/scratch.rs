//! How much of a scratch disk is taken, and how much may be.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bound on what the files of one process take of its scratch disk; clones share it.
#[derive(Debug, Clone)]
pub struct Scratch(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    bytes_max: u64,
    taken_bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

impl Scratch {
    /// At most so many bytes at a time.
    #[must_use]
    pub fn of(bytes_max: u64) -> Self {
        Self(Arc::new(Counts {
            bytes_max,
            taken_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
        }))
    }

    /// As much as the disk itself has.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::of(u64::MAX)
    }

    /// What files take now, bytes.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        self.0.taken_bytes.load(Ordering::Relaxed)
    }

    /// What files have taken at most at one time, bytes.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.0.peak_bytes.load(Ordering::Relaxed)
    }

    /// Begins the account of one file.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim {
            scratch: self.clone(),
            bytes: 0,
        }
    }
}

/// What one file takes; given back when it is dropped, which is to be when the file is removed.
#[derive(Debug)]
pub struct Claim {
    scratch: Scratch,
    bytes: u64,
}

impl Claim {
    /// The file takes so many bytes more.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] where that would be over the bound, as a disk that is full says.
    pub fn grow(&mut self, bytes: u64) -> io::Result<()> {
        let counts = &self.scratch.0;
        let before = counts.taken_bytes.fetch_add(bytes, Ordering::Relaxed);
        let taken = before.saturating_add(bytes);
        if taken > counts.bytes_max {
            counts.taken_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let bound = counts.bytes_max;
            let what = format!("more than {bound} bytes of scratch space are needed");
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        self.bytes += bytes;
        counts.peak_bytes.fetch_max(taken, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let counts = &self.scratch.0;
        counts.taken_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file on the scratch disk that is written within the bound.
#[derive(Debug)]
pub struct ScratchFile {
    file: File,
    claim: Claim,
}

impl ScratchFile {
    /// Counts what is written to a new file.
    #[must_use]
    pub fn new(file: File, scratch: &Scratch) -> Self {
        Self {
            file,
            claim: scratch.claim(),
        }
    }

    /// Closes the file, which takes what it takes until the claim is dropped.
    #[must_use]
    pub fn into_claim(self) -> Claim {
        self.claim
    }
}

impl Write for ScratchFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.claim.grow(buffer.len() as u64)?;
        self.file.write_all(buffer)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_bound_is_refused_as_by_a_full_disk() {
        let scratch = Scratch::of(100);
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = File::create(folder.path().join("a")).expect("made");
        let mut file = ScratchFile::new(file, &scratch);
        file.write_all(&[0; 60]).expect("room");
        let error = file.write_all(&[0; 60]).expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let mut other = scratch.claim();
        other.grow(40).expect("room");
        assert_eq!((scratch.taken_bytes(), scratch.peak_bytes()), (100, 100));
        let claim = file.into_claim();
        drop(claim);
        other.grow(60).expect("room again");
        drop(other);
        assert_eq!((scratch.taken_bytes(), scratch.peak_bytes()), (0, 100));
    }
}
