//! Ids in paths. Clients encode them; of the gateways in between some hand the path on as it came, some
//! decode it, and some encode it once more. Which of them did what is read off the id itself.
//!
//! An id is an IRI and begins with a scheme and a colon. While that colon is encoded, the id is. Where it
//! stands as it is, somebody decoded the id already (or the client encoded nothing), and decoding it again
//! would make another id of one that has `%20` in it (RFC 3986, 2.4). An id without a scheme does not say:
//! then it is taken for encoded once, as API Gateway hands it on. What it may stand for otherwise comes
//! after that, so that an id is found in whatever way it arrived.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Decodings that are tried at most: a client's own, and one of each of two gateways that encode.
const DECODINGS_MAX: usize = 3;

/// Whether a text begins with a scheme and its colon (RFC 3986, 3.1).
fn has_scheme(text: &str) -> bool {
    let is_of_scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
    let rest = text.trim_start_matches(is_of_scheme);
    text.starts_with(|letter: char| letter.is_ascii_alphabetic()) && rest.starts_with(':')
}

/// The ids that a piece of a path may stand for, the likeliest first, each once.
pub(crate) fn readings(piece: &str) -> Vec<Cow<'_, str>> {
    let mut decodings = vec![Cow::Borrowed(piece)];
    for _ in 0..DECODINGS_MAX {
        let last = decodings.last().map_or(piece, |text| &**text);
        let decoded = percent_decode_str(last).decode_utf8().map(Cow::into_owned);
        match decoded {
            Ok(decoded) if decoded != last => decodings.push(Cow::Owned(decoded)),
            _ => break,
        }
    }
    let is_iri = decodings.iter().position(|text| has_scheme(text));
    let likeliest = is_iri.unwrap_or_else(|| 1.min(decodings.len() - 1));
    decodings[..=likeliest].rotate_right(1);
    decodings
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    fn encoded(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    #[test]
    fn an_id_is_read_as_somebody_sent_it() {
        let id = "https://school.example/files/a%20b%2Fc.pdf";
        let once = encoded(id);
        for piece in [id.to_owned(), once.clone(), encoded(&once)] {
            assert_eq!(readings(&piece)[0], id, "{piece}");
        }
        // Whatever it is, its decoded form is tried too.
        assert_eq!(readings(id)[1], "https://school.example/files/a b/c.pdf");
        assert_eq!(readings("urn%3Ax%3Aa"), ["urn:x:a", "urn%3Ax%3Aa"]);
        // An id without a scheme.
        assert_eq!(readings("a%20b"), ["a b", "a%20b"]);
        assert_eq!(readings("caf\u{e9}+1"), ["caf\u{e9}+1"]);
        assert_eq!(readings("100%"), ["100%"]);
        // What is no UTF-8 when decoded stays as it is.
        assert_eq!(readings("urn:x:%FF"), ["urn:x:%FF"]);
        assert_eq!(readings(""), [""]);
    }

    fn ids() -> impl Strategy<Value = String> {
        let scheme = "[a-zA-Z][a-zA-Z0-9+.-]{0,6}";
        let piece = prop_oneof![
            "[a-z0-9]{1,4}",
            Just("%20".to_owned()),
            Just("%2F".to_owned()),
            Just("%25".to_owned()),
            Just("%252F".to_owned()),
            Just("%3A".to_owned()),
            Just("%C3%A9".to_owned()),
            Just("/".to_owned()),
            Just("//".to_owned()),
            Just("+".to_owned()),
            Just("#?&=;,@!$'()*~".to_owned()),
            "[\u{e4}\u{e9}\u{6f22}\u{1f4a5}]{1,2}",
        ];
        let rest = prop::collection::vec(piece, 1..8);
        (scheme, rest).prop_map(|(scheme, rest)| format!("{scheme}:{}", rest.concat()))
    }

    proptest! {
        /// Whatever the gateway does with the path, an IRI is read as itself before anything else.
        #[test]
        fn an_iri_is_itself_behind_every_gateway(id in ids(), encodings in 0_usize..=DECODINGS_MAX) {
            let mut piece = id.clone();
            for _ in 0..encodings {
                piece = encoded(&piece);
            }
            let found = readings(&piece);
            prop_assert_eq!(&found[0], &id);
            prop_assert!(found.len() <= DECODINGS_MAX + 1);
        }

        /// An id without a scheme is among the readings, behind gateways that encode or decode once.
        #[test]
        fn every_id_is_among_its_readings(id in "[a-z0-9%2F /\u{e9}+.:-]{1,12}", encodings in 0_usize..=2) {
            let mut piece = id.clone();
            for _ in 0..encodings {
                piece = encoded(&piece);
            }
            prop_assert!(readings(&piece).iter().any(|reading| *reading == id));
        }
    }
}
