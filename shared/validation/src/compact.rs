//! Dropping insignificant white space.
use crate::marks::{Marks, after_string};

/// Appends `raw` to `out` without the white space between tokens; changes nothing else.
///
/// `raw` is one JSON value as [`crate::read_envelope`] gave it. Strings (with their escapes),
/// numbers and the order and number of keys stay byte for byte.
pub fn compact(raw: &str, out: &mut Vec<u8>) {
    let bytes = raw.as_bytes();
    out.reserve(bytes.len());
    let mut marks = Marks::NONE;
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b' ' | b'\t' | b'\r' | b'\n' => {
                out.extend_from_slice(&bytes[from..at]);
                at += 1;
                while at < bytes.len() && matches!(bytes[at], b' ' | b'\t' | b'\r' | b'\n') {
                    at += 1;
                }
                from = at;
            }
            b'"' => at = after_string(&mut marks, bytes, at + 1),
            _ => at += 1,
        }
    }
    out.extend_from_slice(&bytes[from..]);
}
