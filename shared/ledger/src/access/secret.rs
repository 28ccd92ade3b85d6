//! The text of a token: how it is made, how it is told from what cannot be one, and under which hash it
//! is kept.

use sha2::{Digest as _, Sha256};
use std::fmt;

/// What every token begins with, so that a leaked one is recognised by scanners.
pub const TOKEN_PREFIX: &str = "vrn_";

/// Longest value of an Authorization header that is looked at, bytes.
pub const TOKEN_BYTES_MAX: usize = 512;

/// Hexadecimal digits of a token's 256 random bits.
const RANDOM_DIGITS: usize = 64;

/// Hexadecimal digits of a token's checksum: one mistyped token in four thousand million passes it.
const CHECKSUM_DIGITS: usize = 8;

/// A new token: the text for its holder, shown once, and the hash that is kept.
#[derive(Clone)]
pub struct NewToken {
    /// The text, 256 bits of randomness and their checksum.
    pub secret: String,
    /// SHA-256 of the text.
    pub sha256: [u8; 32],
    /// Short public name: not derived from the secret.
    pub token_id: String,
}

impl NewToken {
    /// Makes one from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let random = hex::encode(rand::random::<[u8; 32]>());
        let secret = format!("{TOKEN_PREFIX}{random}{}", checksum(&random));
        let token_id = hex::encode(rand::random::<[u8; 6]>());
        Self {
            sha256: hash_token(&secret),
            secret,
            token_id,
        }
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("token_id", &self.token_id)
            .finish_non_exhaustive()
    }
}

/// The hash under which a token is kept. Tokens are random, so a plain hash needs no salt.
#[must_use]
pub fn hash_token(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The checksum of a token's random digits. It keeps nobody out who can read this: it saves the look-up
/// of what was mistyped, cut off or made up.
fn checksum(random: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"vernier token checksum");
    hash.update(random.as_bytes());
    let mut digits = hex::encode(hash.finalize());
    digits.truncate(CHECKSUM_DIGITS);
    digits
}

/// Whether a text has the form of a token that was issued: with its checksum, or as tokens were before
/// they had one.
#[must_use]
pub fn is_well_formed(token: &str) -> bool {
    let Some(digits) = token.strip_prefix(TOKEN_PREFIX) else {
        return false;
    };
    if !digits
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    {
        return false;
    }
    match digits.split_at_checked(RANDOM_DIGITS) {
        Some((_, "")) => true,
        Some((random, rest)) => rest == checksum(random),
        None => false,
    }
}

/// The token inside an Authorization header: `Bearer <token>` (RFC 6750) or, as older Caliper
/// sensors send it, the bare token.
#[must_use]
pub fn token_of_header(value: &str) -> Option<&str> {
    let value = value.trim();
    let token = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
        Some(_) => return None,
        None if value.eq_ignore_ascii_case("bearer") => return None,
        None => value,
    };
    (!token.is_empty() && token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_header_are_read() {
        for header in ["Bearer abc", "bearer  abc ", "abc", " abc "] {
            assert_eq!(token_of_header(header), Some("abc"), "{header:?}");
        }
        for header in ["", "Bearer ", "Basic abc", &"x".repeat(600)] {
            assert_eq!(token_of_header(header), None, "{header:?}");
        }
    }

    #[test]
    fn a_new_token_does_not_print_its_secret() {
        let token = NewToken::generate();
        assert!(!format!("{token:?}").contains(&token.secret));
        assert_eq!(token.sha256, hash_token(&token.secret));
        assert!(!token.secret.contains(&token.token_id));
    }

    #[test]
    fn what_was_issued_is_well_formed_and_what_was_mistyped_is_not() {
        let secret = NewToken::generate().secret;
        assert!(is_well_formed(&secret));
        // As they were issued before they had a checksum.
        let (before, _) = secret.split_at(TOKEN_PREFIX.len() + RANDOM_DIGITS);
        assert!(is_well_formed(before));
        let last = if secret.ends_with('0') { '1' } else { '0' };
        let mistyped = format!("{}{last}", &secret[..secret.len() - 1]);
        for other in [
            "",
            "vrn_",
            "x",
            "vrn_nobody_was_given_this_token",
            &secret[1..],
            &secret[..secret.len() - 1],
            &before[..before.len() - 1],
            &secret.to_uppercase(),
            &format!("{secret}0"),
            &mistyped,
            &format!("vrn_{}", "é".repeat(32)),
        ] {
            assert!(!is_well_formed(other), "{other:?}");
        }
    }
}
