//! zstd (RFC 8878) for frames and blocks. Each thread keeps one context of each kind, since making a context costs more
//! than compressing a small text does.

use std::cell::RefCell;
use std::io::{self, Read};
use zstd::stream::read::Decoder;
use zstd::zstd_safe::{self, CCtx, DCtx};

/// What a decoder may hold between two texts, bytes: a frame of ours needs a window of 1 MiB at
/// most, another's may have asked for 128 MiB.
const DECODER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What lines shrink to a part of, about: a text has room for so many times its compressed bytes from the beginning.
const USUAL_RATIO: usize = 6;

thread_local! {
    static ENCODER: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECODER: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

fn error_of(code: usize) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

/// Compresses a text to one frame.
///
/// # Errors
/// When zstd fails, which it does only without memory.
pub fn compress(text: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::with_capacity(zstd_safe::compress_bound(text.len()));
    ENCODER
        .with_borrow_mut(|context| context.compress(&mut compressed, text, level))
        .map_err(error_of)?;
    // It was given room for text that does not shrink.
    compressed.shrink_to_fit();
    Ok(compressed)
}

/// Decompresses frames, of which nobody need say how much they hold. Of those that hold more than `bytes_max` bytes it gives
/// one byte more than that.
///
/// # Errors
/// When the bytes are no frames.
pub fn decompress(bytes: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity((bytes.len() * USUAL_RATIO).min(bytes_max));
    DECODER.with_borrow_mut(|context| {
        let decoder = Decoder::with_context(bytes, context);
        let read = decoder.take(bytes_max as u64 + 1).read_to_end(&mut text);
        if read.is_err() || context.sizeof() > DECODER_BYTES_MAX {
            *context = DCtx::create();
        }
        read
    })?;
    Ok(text)
}
