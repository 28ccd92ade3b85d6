//! What signs seals and what checks them: ECDSA P-256 with SHA-256, or Ed25519.
//!
//! Keys come as files that every tool writes: private keys as PKCS#8, public keys as
//! SubjectPublicKeyInfo, both DER or PEM. A key's id is the SHA-256 of its public half's DER, so that
//! a seal says which file it wants.

use crate::Fault;
use base64::Engine as _;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use vernier_ledger::digest::Fingerprint;

/// How a seal is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 over the SHA-256 of the message, ASN.1 DER.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// Ed25519 over the 32 bytes of the message's SHA-256: key services take messages of at most
    /// 4 KB, and a seal may be longer.
    #[serde(rename = "ed25519-sha256")]
    Ed25519Sha256,
}

impl Algorithm {
    /// What is handed to the signature scheme for a message.
    #[must_use]
    pub fn input<'m>(&self, message: &'m [u8]) -> Cow<'m, [u8]> {
        match self {
            Self::EcdsaP256Sha256 => Cow::Borrowed(message),
            Self::Ed25519Sha256 => Cow::Owned(Fingerprint::of(message).0.to_vec()),
        }
    }

    /// What precedes the key itself in a SubjectPublicKeyInfo of this algorithm.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::EcdsaP256Sha256 => &[
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
                0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ],
            Self::Ed25519Sha256 => &[
                0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00,
            ],
        }
    }

    const fn key_bytes(self) -> usize {
        match self {
            Self::EcdsaP256Sha256 => 65,
            Self::Ed25519Sha256 => 32,
        }
    }
}

/// What checks seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    der: Vec<u8>,
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo, DER or PEM (what `openssl pkey -pubout` and key services give).
    ///
    /// # Errors
    /// When it is none, or of another algorithm.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let der = unwrap_pem(bytes, "PUBLIC KEY")?;
        let of = |algorithm: &Algorithm| {
            der.strip_prefix(algorithm.prefix())
                .is_some_and(|key| key.len() == algorithm.key_bytes())
        };
        let algorithms = [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519Sha256];
        let algorithm = algorithms.into_iter().find(of).ok_or_else(|| {
            Fault::Damaged(
                "not a public key of ECDSA P-256 or Ed25519 (SubjectPublicKeyInfo, DER or PEM)"
                    .to_owned(),
            )
        })?;
        Ok(Self { algorithm, der })
    }

    fn from_raw(algorithm: Algorithm, key: &[u8]) -> Self {
        Self {
            algorithm,
            der: [algorithm.prefix(), key].concat(),
        }
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its id: SHA-256 of the DER, hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        Fingerprint::of(&self.der).hex()
    }

    /// As PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem + "-----END PUBLIC KEY-----\n"
    }

    /// Whether the signature is this key's over the message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let scheme: &dyn signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
            Algorithm::Ed25519Sha256 => &signature::ED25519,
        };
        let raw = &self.der[self.algorithm.prefix().len()..];
        UnparsedPublicKey::new(scheme, raw)
            .verify(&self.algorithm.input(message), signature)
            .is_ok()
    }
}

/// What signs seals. A key service's adapter signs outside of this crate: it hands
/// [`Draft::message`](crate::seal::Draft::message) over and gives the signature back.
pub trait Signer {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The signature over a message.
    ///
    /// # Errors
    /// When it cannot sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// A private key in a file: for running locally.
pub struct KeyFile {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl KeyFile {
    /// From PKCS#8, DER or PEM (what `openssl genpkey` writes).
    ///
    /// # Errors
    /// When it is none, or of another algorithm.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let der = unwrap_pem(bytes, "PRIVATE KEY")?;
        let ecdsa = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(ecdsa, &der, &SystemRandom::new()) {
            let public =
                PublicKey::from_raw(Algorithm::EcdsaP256Sha256, pair.public_key().as_ref());
            return Ok(Self {
                pair: Pair::Ecdsa(Box::new(pair)),
                public,
            });
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| {
            Fault::Damaged("not a private key of ECDSA P-256 or Ed25519 (PKCS#8)".to_owned())
        })?;
        let public = PublicKey::from_raw(Algorithm::Ed25519Sha256, pair.public_key().as_ref());
        Ok(Self {
            pair: Pair::Ed25519(Box::new(pair)),
            public,
        })
    }

    /// A new private key, PKCS#8 DER.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Vec<u8>, Fault> {
        let random = SystemRandom::new();
        let scheme = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = match algorithm {
            Algorithm::EcdsaP256Sha256 => EcdsaKeyPair::generate_pkcs8(scheme, &random),
            Algorithm::Ed25519Sha256 => Ed25519KeyPair::generate_pkcs8(&random),
        };
        document
            .map(|document| document.as_ref().to_vec())
            .map_err(|_| Fault::Signing("no random numbers".to_owned()))
    }
}

impl std::fmt::Debug for KeyFile {
    /// Never the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl Signer for KeyFile {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let input = self.public.algorithm.input(message);
        match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), &input)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Fault::Signing("no random numbers".to_owned())),
            Pair::Ed25519(pair) => Ok(pair.sign(&input).as_ref().to_vec()),
        }
    }
}

/// The DER inside a PEM block of this kind, or the bytes when they are no PEM.
fn unwrap_pem(bytes: &[u8], kind: &str) -> Result<Vec<u8>, Fault> {
    let Some(text) = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.contains("-----BEGIN "))
    else {
        return Ok(bytes.to_vec());
    };
    let begin = format!("-----BEGIN {kind}-----");
    let end = format!("-----END {kind}-----");
    let inside = text
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&end));
    let (inside, _) = inside.ok_or_else(|| Fault::Damaged(format!("no PEM block {kind}")))?;
    let compact: String = inside.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(compact)
        .map_err(|e| Fault::Damaged(format!("PEM: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Algorithm; 2] = [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519Sha256];

    #[test]
    fn what_a_key_signs_only_its_public_half_verifies() {
        for algorithm in BOTH {
            let make =
                || KeyFile::read(&KeyFile::generate(algorithm).expect("a key")).expect("reads");
            let (key, other) = (make(), make());
            let signature = key.sign(b"message").expect("signs");
            assert!(key.public_key().verifies(b"message", &signature));
            assert!(!key.public_key().verifies(b"massage", &signature));
            assert!(!key.public_key().verifies(b"message", &signature[1..]));
            assert!(!other.public_key().verifies(b"message", &signature));
            assert_ne!(key.public_key().id(), other.public_key().id());
            let pem = key.public_key().to_pem();
            assert_eq!(
                &PublicKey::read(pem.as_bytes()).expect("PEM"),
                key.public_key()
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(PublicKey::read(b"").is_err());
        assert!(
            PublicKey::read(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----")
                .is_err()
        );
        assert!(KeyFile::read(&[0; 64]).is_err());
        let key = KeyFile::generate(Algorithm::Ed25519Sha256).expect("a key");
        assert!(PublicKey::read(&key).is_err());
    }
}
