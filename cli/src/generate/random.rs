//! Random choices that are the same on every machine and with every version of the libraries:
//! the ChaCha8 key stream is fixed by its definition, and the sampling on top of it is ours.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fmt::Write as _;

/// One stream of choices out of 2^64 under a key.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    /// The stream with this number under this key.
    pub(super) fn new(key: [u8; 32], stream: u64) -> Self {
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A number in `0..bound`; 0 for a bound of 0. The bias of the multiplication is under
    /// bound / 2^64 and does not matter here.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the choices, which are never empty.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices[index]
    }

    /// A version 4 UUID as a URN.
    pub(super) fn urn_uuid(&mut self) -> String {
        let high = (self.0.next_u64() & !0xf000) | 0x4000;
        let low = (self.0.next_u64() & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "urn:uuid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// 40 hexadecimal digits, as a learning platform names its sessions.
    pub(super) fn hex40(&mut self) -> String {
        let mut text = String::with_capacity(48);
        for _ in 0..3 {
            let _infallible = write!(text, "{:016x}", self.0.next_u64());
        }
        text.truncate(40);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // ChaCha8, zero key, stream 0: the first eight bytes of the published test vector
        // 3e00ef2f895f40d6 7f5bb8e81f09a5a1…, read little-endian.
        let mut random = Random::new([0; 32], 0);
        assert_eq!(
            random.0.next_u64(),
            u64::from_le_bytes([0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6])
        );
    }

    #[test]
    fn uuids_are_version_4_and_of_the_rfc_variant() {
        let mut random = Random::new([7; 32], 3);
        for _ in 0..100 {
            let urn = random.urn_uuid();
            assert_eq!(urn.len(), "urn:uuid:".len() + 36);
            assert_eq!(urn.as_bytes()[9 + 14], b'4');
            assert!(b"89ab".contains(&urn.as_bytes()[9 + 19]));
        }
    }

    #[test]
    fn choices_stay_inside_their_bounds() {
        let mut random = Random::new([1; 32], 0);
        let seen: std::collections::BTreeSet<_> = (0..200).map(|_| random.between(3, 5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(random.below(0), 0);
    }
}
