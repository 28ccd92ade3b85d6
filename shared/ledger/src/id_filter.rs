//! A block's filter of identities: how often each may lie in the block, in about two bytes for each of its events.
//!
//! Identities are hashes, and a filter of N of them maps each to a number below N × 2^14. The numbers are sorted and
//! their differences written as Golomb-Rice codes. A number that stands there twice is an identity that came
//! twice, so that whoever has seen one occurrence knows whether there is another. Of identities that are not there one
//! in 16,384 is taken for one that is; one that is there is always found.

/// Low bits of a difference that are written as they are; what is above them is written in unary.
const REMAINDER_BITS: u32 = 14;

/// Bytes of the count that precedes the codes.
const COUNT_BYTES: usize = 4;

/// An identity, or what else a line is found by: a SHA-256.
pub type IdKey = [u8; 32];

/// The bytes are no filter, or end in the middle of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a filter of identities")]
pub struct BadFilter;

/// Where a key lies among the numbers of a filter of so many. Keys that are in order have numbers that are.
fn number_of(key: &IdKey, count: u32) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    let hash = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let numbers = u128::from(count) << REMAINDER_BITS;
    let number = (u128::from(hash) * numbers) >> 64;
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Makes the filter of some keys, at most 2^32 − 1 of them.
#[must_use]
pub fn encode(keys: &[IdKey]) -> Vec<u8> {
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let mut numbers: Vec<u64> = keys.iter().map(|key| number_of(key, count)).collect();
    numbers.sort_unstable();
    let mut bits = BitWriter {
        bytes: Vec::with_capacity(COUNT_BYTES + keys.len() * 2),
        last: 0,
        free: 8,
    };
    bits.bytes.extend_from_slice(&count.to_le_bytes());
    let mut before = 0;
    for number in numbers {
        let difference = number - before;
        before = number;
        for _ in 0..difference >> REMAINDER_BITS {
            bits.push(false);
        }
        bits.push(true);
        for bit in (0..REMAINDER_BITS).rev() {
            bits.push(difference >> bit & 1 == 1);
        }
    }
    bits.finish()
}

struct BitWriter {
    bytes: Vec<u8>,
    last: u8,
    free: u32,
}

impl BitWriter {
    fn push(&mut self, bit: bool) {
        self.free -= 1;
        self.last |= u8::from(bit) << self.free;
        if self.free == 0 {
            self.bytes.push(self.last);
            (self.last, self.free) = (0, 8);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.free < 8 {
            self.bytes.push(self.last);
        }
        self.bytes
    }
}

/// Reads numbers, the most significant bit of each byte first.
struct BitReader<'b> {
    bytes: &'b [u8],
    /// Bits that were read.
    at: usize,
}

impl BitReader<'_> {
    /// The bits that follow, at least 57 of them, zeros where the bytes end; none behind the end.
    fn window(&self) -> Option<u64> {
        let rest = self.bytes.get(self.at / 8..).filter(|r| !r.is_empty())?;
        let mut eight = [0; 8];
        let there = rest.len().min(8);
        eight[..there].copy_from_slice(&rest[..there]);
        Some(u64::from_be_bytes(eight) << (self.at % 8))
    }

    fn code(&mut self) -> Option<u64> {
        let mut above = 0;
        loop {
            let zeros = self.window()?.leading_zeros().min(56);
            self.at += zeros as usize;
            above += u64::from(zeros);
            if zeros < 56 {
                break;
            }
        }
        // The one that ends the zeros.
        self.at += 1;
        let low = self.window()? >> (64 - REMAINDER_BITS);
        self.at += REMAINDER_BITS as usize;
        let is_whole = self.at <= self.bytes.len() * 8;
        is_whole.then_some(above << REMAINDER_BITS | low)
    }
}

/// How often each of some keys, which are in order, may be among those that a filter was made of: never less often
/// than it is there.
///
/// # Errors
/// When the bytes are no filter.
pub fn counts(filter: &[u8], keys: &[IdKey]) -> Result<Vec<u32>, BadFilter> {
    let (count, codes) = filter.split_first_chunk().ok_or(BadFilter)?;
    let count = u32::from_le_bytes(*count);
    let mut bits = BitReader {
        bytes: codes,
        at: 0,
    };
    let mut found = vec![0; keys.len()];
    let (mut number, mut next) = (0_u64, 0);
    for _ in 0..count {
        let difference = bits.code().ok_or(BadFilter)?;
        number = number.checked_add(difference).ok_or(BadFilter)?;
        while next < keys.len() && number_of(&keys[next], count) < number {
            next += 1;
        }
        let same = (next..keys.len()).take_while(|at| number_of(&keys[*at], count) == number);
        same.for_each(|at| found[at] += 1);
        if next == keys.len() {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Fingerprint;
    use proptest::prelude::*;

    fn key(n: u32) -> IdKey {
        Fingerprint::of(&n.to_be_bytes()).0
    }

    proptest! {
        /// No key that is there is ever missed, however often it is there.
        #[test]
        fn a_filter_never_counts_less_than_there_is(
            numbers in proptest::collection::vec(0_u32..300, 0..400),
            asked in proptest::collection::vec(0_u32..600, 0..100),
        ) {
            let keys: Vec<IdKey> = numbers.iter().map(|n| key(*n)).collect();
            let filter = encode(&keys);
            let mut asked: Vec<IdKey> = asked.iter().map(|n| key(*n)).collect();
            asked.sort_unstable();
            let counted = counts(&filter, &asked).expect("a filter");
            for (key, counted) in asked.iter().zip(counted) {
                let there = keys.iter().filter(|k| *k == key).count();
                prop_assert!(counted as usize >= there);
            }
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>) {
            let _ = counts(&bytes, &[key(1)]);
        }
    }

    #[test]
    fn few_keys_are_taken_for_others_and_an_identity_takes_two_bytes() {
        let keys: Vec<IdKey> = (0..20_000).map(key).collect();
        let filter = encode(&keys);
        assert!(filter.len() < 20_000 * 2, "{} bytes", filter.len());
        let mut others: Vec<IdKey> = (20_000..220_000).map(key).collect();
        others.sort_unstable();
        let counted = counts(&filter, &others).expect("a filter");
        let wrong = counted.iter().filter(|count| **count > 0).count();
        assert!(wrong < 40, "{wrong} of 200,000");
    }

    #[test]
    fn a_filter_that_is_cut_off_is_none() {
        let filter = encode(&[key(1), key(2), key(3)]);
        let mut asked = [key(1), key(2), key(3)];
        asked.sort_unstable();
        for length in 0..filter.len() - 1 {
            assert_eq!(counts(&filter[..length], &asked), Err(BadFilter));
        }
    }
}
