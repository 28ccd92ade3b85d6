//! Files of which only pieces are here: for a store that is read by whoever waits for it.
//!
//! The reader of Parquet waits for nobody. Where it wants bytes that are not here yet it stops, and
//! [`Pieces::missing`] says what to fetch; with that it begins again, and comes further.

use crate::files::Ranges;
use bytes::Bytes;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of one piece at least: a small part comes whole, of a large one its end, where filters and
/// indexes lie.
const PIECE_BYTES_MIN: u64 = 1024 * 1024;

/// What of a file is here so far.
#[derive(Debug)]
pub struct Pieces {
    size: u64,
    held: Mutex<Vec<(u64, Bytes)>>,
    missing: Mutex<Option<(u64, u64)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pieces {
    /// Nothing of a file of this size, bytes.
    #[must_use]
    pub const fn of(size: u64) -> Self {
        Self {
            size,
            held: Mutex::new(Vec::new()),
            missing: Mutex::new(None),
        }
    }

    /// What the last read wanted and did not find, as offset and length, and more than it, so that
    /// the next reads find it too; none when it failed for another reason.
    #[must_use]
    pub fn missing(&self) -> Option<(u64, u64)> {
        let (offset, length) = lock(&self.missing).take()?;
        let end = offset.saturating_add(length.max(PIECE_BYTES_MIN));
        let end = end.min(self.size);
        // Whoever reads the end goes on to read what lies before it.
        let start = if end == self.size {
            offset.min(self.size.saturating_sub(PIECE_BYTES_MIN))
        } else {
            offset
        };
        Some((start, end - start))
    }

    /// Takes a piece that begins at `offset`.
    pub fn put(&self, offset: u64, bytes: impl Into<Bytes>) {
        lock(&self.held).push((offset, bytes.into()));
    }
}

impl Ranges for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let end = offset.checked_add(length as u64);
        let end = end.filter(|end| *end <= self.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        for (start, bytes) in lock(&self.held).iter() {
            if *start <= offset && end <= start + bytes.len() as u64 {
                // Within a piece, which memory holds.
                let from = usize::try_from(offset - start).unwrap_or(usize::MAX);
                return Ok(bytes.slice(from..from + length));
            }
        }
        *lock(&self.missing) = Some((offset, length as u64));
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
                let (from, bytes) = pieces.missing().expect("a range");
                let at = usize::try_from(from).expect("small");
                let end = at + usize::try_from(bytes).expect("small");
                pieces.put(from, whole[at..end].to_vec());
            }
            assert_eq!(read().expect("here"), wanted);
        }
        assert_eq!(lock(&pieces.held).len(), 3, "the second lies in the first");
        assert!(pieces.read(2_999_999, 2).is_err());
        assert_eq!(pieces.missing(), None, "behind the end");
    }
}
