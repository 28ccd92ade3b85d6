//! String escapes, places in text, pointers.
use std::borrow::Cow;

use crate::limits::FOUND_BYTES_MAX;

/// Four hexadecimal digits at `at`.
pub(crate) fn hex4(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0u16, |unit, &digit| {
        Some(unit << 4 | char::from(digit).to_digit(16)? as u16)
    })
}

/// The text of a JSON string whose escapes were checked; half a surrogate pair becomes U+FFFD.
pub(crate) fn decode(raw: &str, escaped: bool) -> Cow<'_, str> {
    if !escaped {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(place) = rest.find('\\') {
        out.push_str(&rest[..place]);
        let (decoded, length) = escape(&rest.as_bytes()[place..]);
        out.push(decoded);
        rest = &rest[place + length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of the escape that `bytes` begins with, and the escape's length.
fn escape(bytes: &[u8]) -> (char, usize) {
    let plain = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let unit = hex4(bytes, 2).unwrap_or(0xFFFD);
            let low = (bytes.get(6..8) == Some(b"\\u"))
                .then(|| hex4(bytes, 8))
                .flatten();
            return match (unit, low) {
                (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                    let code =
                        0x10000 + ((u32::from(unit) - 0xD800) << 10) + (u32::from(low) - 0xDC00);
                    (char::from_u32(code).unwrap_or('\u{FFFD}'), 12)
                }
                _ => (char::from_u32(u32::from(unit)).unwrap_or('\u{FFFD}'), 6),
            };
        }
        Some(&other) => char::from(other),
        None => return ('\u{FFFD}', bytes.len()),
    };
    (plain, 2)
}

/// Line and column (both from 1, columns in characters) of a byte place.
pub(crate) fn line_column(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line, column)
}

/// Appends one reference token of a JSON pointer (RFC 6901).
pub(crate) fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// A raw value cut to what a problem quotes.
pub(crate) fn shorten(raw: &str) -> String {
    cut(raw, FOUND_BYTES_MAX)
}

/// Text cut to so many bytes at a character boundary.
pub(crate) fn cut(raw: &str, bytes_max: usize) -> String {
    if raw.len() <= bytes_max {
        return raw.to_owned();
    }
    let mut end = bytes_max;
    while !raw.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &raw[..end])
}
