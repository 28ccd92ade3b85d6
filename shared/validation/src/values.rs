//! The forms of plain values.
use crate::{duration, rules::ValueKind, time};

/// Digits of the largest double, written out: 1.8 × 10³⁰⁸. Others of as many digits are beyond it.
const DOUBLE_DIGITS_MAX: usize = 309;

/// Whether no finite double comes near a number.
#[cold]
pub(crate) fn is_infinite(number: &str) -> bool {
    number.parse().is_ok_and(f64::is_infinite)
}

/// Whether a number may be so vast, by its length alone.
#[inline]
pub(crate) const fn is_long(bytes: usize) -> bool {
    bytes >= DOUBLE_DIGITS_MAX
}

/// Whether no IRI has this byte (RFC 3987 with RFC 3986 §2): controls, space, some delimiters.
#[inline]
fn is_wrong(byte: u8) -> bool {
    // `<` and `>` differ in one bit; `{`, `|`, `}` and DEL are what follows `z` but `~`. No
    // short cuts between the comparisons, so that they can be made for many bytes at once.
    (byte <= b' ')
        | (byte & !2 == b'<')
        | ((b'{'..=0x7f).contains(&byte) & (byte != b'~'))
        | (byte == b'^')
        | (byte == b'`')
        | (byte == b'"')
        | (byte == b'\\')
}

/// Whether all bytes may stand in an IRI; 16 at a time, which the compiler makes vectors of.
fn may_be_iri(bytes: &[u8]) -> bool {
    let wrong = |chunk: &[u8; 16]| {
        chunk
            .iter()
            .fold(0u8, |any, byte| any | u8::from(is_wrong(*byte)))
            != 0
    };
    let (chunks, _) = bytes.as_chunks::<16>();
    if chunks.iter().any(wrong) {
        return false;
    }
    match bytes.last_chunk::<16>() {
        Some(last) => !wrong(last),
        None => !bytes.iter().any(|byte| is_wrong(*byte)),
    }
}

/// Whether a string's or a number's text has the form that a rule wants of it; true for kinds
/// without a form of their own.
#[inline]
pub(crate) fn fits(kind: ValueKind, text: &str) -> bool {
    let bytes = text.as_bytes();
    match kind {
        ValueKind::Id => is_id(bytes),
        ValueKind::Uuid => is_urn_uuid(bytes),
        ValueKind::Time => time::is_caliper_time(bytes),
        ValueKind::Duration => is_duration(text),
        ValueKind::Decimal => is_decimal(bytes),
        ValueKind::Integer => is_integer(bytes),
        ValueKind::Natural => is_natural(bytes),
        _ => true,
    }
}

/// Whether `text` is an absolute IRI: a scheme and something after it, no forbidden character.
pub(crate) fn is_iri(bytes: &[u8]) -> bool {
    // Nearly all are web addresses: no need to look for the scheme's end.
    let rest = match bytes.strip_prefix(b"http") {
        Some(rest) if rest.starts_with(b"s://") || rest.starts_with(b"://") => rest,
        _ => {
            let Some(colon) = bytes.iter().position(|b| *b == b':') else {
                return false;
            };
            let scheme = &bytes[..colon];
            let letter = scheme.first().is_some_and(u8::is_ascii_alphabetic);
            if !letter
                || !scheme
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
            {
                return false;
            }
            &bytes[colon + 1..]
        }
    };
    !rest.is_empty() && may_be_iri(rest)
}

/// Whether `text` can be the id of an entity: an absolute IRI or a blank node identifier.
pub(crate) fn is_id(text: &[u8]) -> bool {
    match text.strip_prefix(b"_:") {
        Some(label) => !label.is_empty() && may_be_iri(label),
        None => is_iri(text),
    }
}

/// Whether `text` is a UUID as a URN (RFC 4122 §3); letters in either case.
pub(crate) fn is_urn_uuid(text: &[u8]) -> bool {
    let Some(uuid) = text.strip_prefix(b"urn:uuid:") else {
        return false;
    };
    is_uuid(uuid)
}

/// Whether `text` is a UUID in its groups of 8, 4, 4, 4 and 12 hexadecimal digits.
pub(crate) fn is_uuid(uuid: &[u8]) -> bool {
    uuid.len() == 36
        && uuid.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether `text` is an ISO 8601 duration (`PnYnMnDTnHnMnS` or `PnW`).
pub(crate) fn is_duration(text: &str) -> bool {
    duration::is_duration(text)
}

/// "A number with a fractional part denoted by a decimal separator".
pub(crate) fn is_decimal(number: &[u8]) -> bool {
    number.contains(&b'.')
}

/// A number without fraction and exponent.
pub(crate) fn is_integer(number: &[u8]) -> bool {
    !number.iter().any(|b| matches!(b, b'.' | b'e' | b'E'))
}

/// An integer that is not negative.
pub(crate) fn is_natural(number: &[u8]) -> bool {
    is_integer(number) && number.first() != Some(&b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in [
            "https://example.edu/#/texts/cfi/6/10!/4/2/2/2@0:0",
            "urn:uuid:c3ba4c01-1f17-46e0-85dd-1e366e6ebb81",
            "urn:instructure:canvas:user:21070000000000001",
            "_:score",
            "mailto:jane@example.edu",
            "https://example.edu/ünïcode",
        ] {
            assert!(is_id(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "_:",
            "https:",
            "This is not an IRI",
            "c3ba4c01-1f17-46e0-85dd-1e366e6ebb81",
            "1a:b",
            "http://a b",
            "/relative",
            "a{b}:c",
            "_:a b",
        ] {
            assert!(!is_id(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn numbers() {
        assert!(
            is_decimal(b"1.0") && is_decimal(b"1.5e3") && !is_decimal(b"1") && !is_decimal(b"1e3")
        );
        assert!(is_integer(b"-1") && !is_integer(b"1.0") && !is_integer(b"1e2"));
        assert!(is_natural(b"0") && !is_natural(b"-1"));
    }

    #[test]
    fn a_number_of_as_many_digits_as_the_largest_double_may_be_beyond_it() {
        let vast = "9".repeat(DOUBLE_DIGITS_MAX);
        assert!(is_long(vast.len()) && is_infinite(&vast));
        let below = &vast[1..];
        assert!(!is_long(below.len()) && !is_infinite(below));
    }

    #[test]
    fn uuids() {
        assert!(is_urn_uuid(
            b"urn:uuid:C3BA4C01-1f17-46e0-85dd-1e366e6ebb81"
        ));
        assert!(!is_urn_uuid(
            b"urn:uuid:c3ba4c01-1f17-46e0-85dd-1e366e6ebb8"
        ));
        assert!(!is_urn_uuid(b"c3ba4c01-1f17-46e0-85dd-1e366e6ebb81"));
    }
}
