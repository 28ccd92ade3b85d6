//! Where plain string text ends, 64 bytes at a time.
use wide::u8x16;

/// Bytes marked at once.
pub(crate) const BLOCK_BYTES: usize = 64;

/// Bits for the bytes of a block that end a run of plain string text: `"`, `\` and below 0x20.
#[inline]
pub(crate) fn marks(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    parts.iter().enumerate().fold(0, |bits, (index, part)| {
        let bytes = u8x16::new(*part);
        let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        let special =
            bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | control;
        bits | u64::from(special.to_bitmask()) << (16 * index)
    })
}

/// The marks of one block of the text.
#[derive(Clone, Copy)]
pub(crate) struct Marks {
    /// Where the block starts, a multiple of its size.
    base: usize,
    bits: u64,
}

impl Marks {
    /// No block yet.
    pub(crate) const NONE: Marks = Marks {
        base: usize::MAX,
        bits: 0,
    };

    #[inline]
    pub(crate) fn of(bytes: &[u8], base: usize) -> Marks {
        let rest = bytes.get(base..).unwrap_or_default();
        let bits = match rest.first_chunk::<BLOCK_BYTES>() {
            Some(block) => marks(block),
            None => {
                // The last block, filled up with what ends every string.
                let mut block = [0u8; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                marks(&block)
            }
        };
        Marks { base, bits }
    }

    /// Place of the first marked byte at or after `at`; at most the text's length.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8], at: usize) -> usize {
        let base = at & !(BLOCK_BYTES - 1);
        if base != self.base {
            *self = Marks::of(bytes, base);
        }
        let mut bits = self.bits & u64::MAX << (at - base);
        while bits == 0 {
            *self = Marks::of(bytes, self.base + BLOCK_BYTES);
            bits = self.bits;
        }
        (self.base + bits.trailing_zeros() as usize).min(bytes.len())
    }
}

/// Place after the closing quote of a string whose text starts at `at`; for text already checked.
pub(crate) fn after_string(marks: &mut Marks, bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = marks.next(bytes, at);
        match bytes.get(at) {
            Some(b'\\') => at = (at + 2).min(bytes.len()),
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
            None => return at,
        }
    }
}
