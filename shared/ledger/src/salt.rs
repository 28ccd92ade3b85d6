//! Salts: what keeps the hash of an event from being tested by whoever can guess the event.
//!
//! Input draws a key for each envelope and writes it into the envelope's lines; each event's salt is made from it.
//! The key goes with the lines, the salt with the row's text, and nothing that
//! stays leads back to either (docs/decisions/003-seal-version-4.md).

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Bytes of a key and of a salt.
pub const SALT_BYTES: usize = 16;

/// What the salts of an envelope's events are made from: random, and in no sealed file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaltKey([u8; SALT_BYTES]);

/// A text that is no salt key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a salt key is 22 characters of base64url without padding")]
pub struct BadSaltKey;

impl SaltKey {
    /// A key of random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SALT_BYTES]) -> Self {
        Self(bytes)
    }

    /// Draws a key from the process's cryptographic generator, which the system seeds.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The salt of the envelope's event at this index.
    #[must_use]
    pub fn salt(&self, index: u32) -> Salt {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(index.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&hash[..SALT_BYTES]);
        Salt(salt)
    }
}

impl FromStr for SaltKey {
    type Err = BadSaltKey;

    fn from_str(text: &str) -> Result<Self, BadSaltKey> {
        // As long as the longest that so many characters could be.
        let mut bytes = [0; SALT_BYTES + 2];
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes);
        if read != Ok(SALT_BYTES) {
            return Err(BadSaltKey);
        }
        let mut key = [0; SALT_BYTES];
        key.copy_from_slice(&bytes[..SALT_BYTES]);
        Ok(Self(key))
    }
}

impl fmt::Display for SaltKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Base64Display::new(&self.0, &URL_SAFE_NO_PAD), f)
    }
}

impl fmt::Debug for SaltKey {
    /// Prints the type's name, and never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaltKey(…)")
    }
}

impl Serialize for SaltKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SaltKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Reads a key from a text that lies anywhere. Its errors do not quote the text.
struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = SaltKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a salt key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SaltKey, E> {
        text.parse().map_err(E::custom)
    }
}

/// The salt of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Salt(pub [u8; SALT_BYTES]);

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of docs/seal.md.
    #[test]
    fn the_salt_of_an_event_is_made_from_its_envelopes_key_and_its_index() {
        let key: SaltKey = "AAECAwQFBgcICQoLDA0ODw".parse().expect("a key");
        assert_eq!(key.to_string(), "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(
            hex::encode(key.salt(0).0),
            "855d3b82555ea5b90c7f50936e97413a"
        );
        assert_ne!(key.salt(0), key.salt(1));
        assert!(!format!("{key:?}").contains("AAEC"));
    }

    #[test]
    fn other_spellings_are_no_key() {
        for text in [
            "",
            "AAECAwQFBgcICQoLDA0ODw==",
            "AAECAwQFBgcICQoLDA0ODx",
            "AAECAwQFBgcICQoLDA0OD",
            "AAECAwQFBgcICQoLDA0ODw0",
        ] {
            assert_eq!(text.parse::<SaltKey>(), Err(BadSaltKey), "{text}");
        }
        assert_eq!("A".repeat(1_000).parse::<SaltKey>(), Err(BadSaltKey));
    }

    #[test]
    fn a_key_in_json_is_its_text_and_an_error_does_not_quote_it() {
        let json = r#""AAECAwQFBgcICQoLDA0ODw""#;
        let key: SaltKey = serde_json::from_str(json).expect("a key");
        assert_eq!(serde_json::to_string(&key).expect("JSON"), json);
        let other = serde_json::from_str::<SaltKey>(r#""AAECAwQFBgcICQoLDA0ODx""#);
        let error = other.expect_err("another spelling").to_string();
        assert!(
            error.starts_with("a salt key is") && !error.contains("AAEC"),
            "{error}"
        );
    }
}
