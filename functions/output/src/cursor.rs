//! Page cursors: opaque to the client, signed with a key that only its token leads to, so that
//! neither a forged nor another tenant's cursor is followed (invariant 7).

use crate::query::{EventQuery, Key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of the signature that are kept: 128 bits.
const SIGNATURE_BYTES: usize = 16;

/// Where a page ended, and of which query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCursor {
    /// The query, whole: a page that follows asks the same.
    pub query: EventQuery,
    /// What orders the page's last event.
    pub after: Key,
}

impl PageCursor {
    /// The opaque text.
    ///
    /// # Panics
    /// Never: a cursor is plain data with string keys.
    #[must_use]
    pub fn seal(&self, key: &[u8; 32]) -> String {
        let mut bytes = serde_json::to_vec(self).expect("plain data with string keys serialises");
        let signature = sign(key, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature[..SIGNATURE_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a text made by [`Self::seal`] with the same key.
    #[must_use]
    pub fn open(text: &str, key: &[u8; 32]) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, signature) =
            bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        sign(key, body).verify_truncated_left(signature).ok()?;
        serde_json::from_slice(body).ok()
    }
}

/// The key of one route's cursors: no other route follows them.
#[must_use]
pub fn key_of_route(key: &[u8; 32], route: &str) -> [u8; 32] {
    sign(key, route.as_bytes()).finalize().into_bytes().into()
}

fn sign(key: &[u8; 32], bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use vernier_ledger::ids::ReceiptId;
    use vernier_ledger::time::{Millis, TimeRange};

    #[test]
    fn only_the_own_untouched_cursor_opens() {
        let receipt = ReceiptId::from_parts(Millis(1_700_000_000_000), 0, [1; 8]);
        let cursor = PageCursor {
            query: EventQuery::between(TimeRange {
                from: Millis(0),
                to: Millis(9),
            }),
            after: (Millis(7), (receipt, 3)),
        };
        let text = cursor.seal(&[1; 32]);
        assert_eq!(PageCursor::open(&text, &[1; 32]), Some(cursor));
        assert_eq!(PageCursor::open(&text, &[2; 32]), None);
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            if forged != text {
                assert_eq!(PageCursor::open(&forged, &[1; 32]), None, "byte {at}");
            }
        }
        for junk in ["", "A", "====", &"A".repeat(5_000)] {
            assert_eq!(PageCursor::open(junk, &[1; 32]), None);
        }
    }
}
