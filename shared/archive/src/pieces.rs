//! Files of which only pieces are here: for a store that is read by whoever waits for it.
//!
//! The reader of Parquet waits for nobody. Where it wants bytes that are not here yet it stops, and
//! [`Pieces::missing`] says what to fetch; with that it begins again, and comes further.

use crate::files::Ranges;
use bytes::Bytes;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much is fetched around what is missing.
#[derive(Debug, Clone, Copy)]
struct Around {
    /// Bytes of one piece at least; what lies closer together is fetched in one.
    piece_bytes: u64,
    /// Bytes of the piece at the file's end, where its footer lies.
    end_bytes: u64,
}

/// A small part comes whole, of a large one its end with filters and indexes.
const WHOLE: Around = Around {
    piece_bytes: 1024 * 1024,
    end_bytes: 1024 * 1024,
};

/// For who wants few rows: a footer of two row groups has 16 KiB. A request costs as much as
/// 100 KB of transfer in time, so that pages that lie close come together.
const SPARSE: Around = Around {
    piece_bytes: 16 * 1024,
    end_bytes: 32 * 1024,
};

/// What of a file is here so far.
#[derive(Debug)]
pub struct Pieces {
    size: u64,
    around: Around,
    held: Mutex<Vec<(u64, Bytes)>>,
    missing: Mutex<Vec<(u64, u64)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pieces {
    /// Nothing of a file of this size, bytes; much of it will be read.
    #[must_use]
    pub const fn of(size: u64) -> Self {
        Self::around(size, WHOLE)
    }

    /// Nothing of a file of this size, bytes; little of it will be read.
    #[must_use]
    pub const fn sparse(size: u64) -> Self {
        Self::around(size, SPARSE)
    }

    const fn around(size: u64, around: Around) -> Self {
        Self {
            size,
            around,
            held: Mutex::new(Vec::new()),
            missing: Mutex::new(Vec::new()),
        }
    }

    /// What the last read wanted and did not find, as offsets and lengths, and more than it, so that
    /// the next reads find it too; nothing when it failed for another reason.
    #[must_use]
    pub fn missing(&self) -> Vec<(u64, u64)> {
        let mut wanted = std::mem::take(&mut *lock(&self.missing));
        wanted.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (offset, length) in wanted {
            let end = offset.saturating_add(length.max(self.around.piece_bytes));
            let end = end.min(self.size);
            // Whoever reads the end goes on to read what lies before it.
            let start = if end == self.size {
                offset.min(self.size.saturating_sub(self.around.end_bytes))
            } else {
                offset
            };
            match ranges.last_mut() {
                Some((from, before)) if start <= *from + *before => {
                    let end = end.max(*from + *before);
                    *from = start.min(*from);
                    *before = end - *from;
                }
                _ => ranges.push((start, end - start)),
            }
        }
        ranges
    }

    /// Takes a piece that begins at `offset`.
    pub fn put(&self, offset: u64, bytes: impl Into<Bytes>) {
        lock(&self.held).push((offset, bytes.into()));
    }

    fn held(&self, offset: u64, end: u64) -> Option<Bytes> {
        let held = lock(&self.held);
        let whole =
            |piece: &&(u64, Bytes)| piece.0 <= offset && end <= piece.0 + piece.1.len() as u64;
        let (start, bytes) = held.iter().find(whole)?;
        // Within a piece, which memory holds.
        let at = |place: u64| usize::try_from(place - start).unwrap_or(usize::MAX);
        Some(bytes.slice(at(offset)..at(end)))
    }

    fn end(&self, offset: u64, length: u64) -> io::Result<u64> {
        let end = offset.checked_add(length);
        let end = end.filter(|end| *end <= self.size);
        end.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Ranges for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let end = self.end(offset, length as u64)?;
        if let Some(bytes) = self.held(offset, end) {
            return Ok(bytes);
        }
        *lock(&self.missing) = vec![(offset, length as u64)];
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn want(&self, ranges: &[(u64, u64)]) -> io::Result<()> {
        let mut missing = Vec::new();
        for (offset, length) in ranges {
            let end = self.end(*offset, *length)?;
            if self.held(*offset, end).is_none() {
                missing.push((*offset, *length));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        *lock(&self.missing) = missing;
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_asked_for_and_then_found() {
        let whole: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_be_bytes()[3]).collect();
        let pieces = Pieces::of(whole.len() as u64);
        for (offset, length) in [
            (2_999_992, 8),
            (2_900_000, 50_000),
            (10, 5),
            (500, 1_200_000),
        ] {
            let wanted = &whole[offset..offset + length];
            let read = || pieces.read(offset as u64, length);
            if read().is_err() {
                let (from, bytes) = pieces.missing()[0];
                let at = usize::try_from(from).expect("small");
                let end = at + usize::try_from(bytes).expect("small");
                pieces.put(from, whole[at..end].to_vec());
            }
            assert_eq!(read().expect("here"), wanted);
        }
        assert_eq!(lock(&pieces.held).len(), 3, "the second lies in the first");
        assert!(pieces.read(2_999_999, 2).is_err());
        assert!(pieces.missing().is_empty(), "behind the end");
    }

    #[test]
    fn what_lies_close_is_fetched_in_one() {
        let pieces = Pieces::sparse(1_000_000);
        let wanted = [(100, 50), (10_000, 20_000), (40_000, 10), (990_000, 10)];
        assert!(pieces.want(&wanted).is_err());
        let missing = pieces.missing();
        assert_eq!(
            missing,
            [(100, 29_900), (40_000, 16_384), (967_232, 32_768)]
        );
        for (offset, length) in missing {
            let length = usize::try_from(length).expect("small");
            pieces.put(offset, vec![0; length]);
        }
        assert!(pieces.want(&wanted).is_ok());
        assert!(pieces.want(&[(999_999, 2)]).is_err());
        assert!(pieces.missing().is_empty(), "behind the end");
    }
}
