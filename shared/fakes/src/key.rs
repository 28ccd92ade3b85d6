//! A signing key in memory.

use crate::faults::{Faults, Operation};
use std::sync::{Arc, OnceLock};
use vernier_archive::keys::{Algorithm, KeyFile, PublicKey, Signer as _};
use vernier_ledger::ports::{PortError, SealKey};

/// A key of its own; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryKey {
    key: Arc<KeyFile>,
    faults: Faults,
}

impl MemoryKey {
    /// A new one.
    ///
    /// # Panics
    /// When the system gives no random numbers.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        let pkcs8 = KeyFile::generate(Algorithm::EcdsaP256Sha256).expect("random numbers");
        Self {
            key: Arc::new(KeyFile::read(&pkcs8).expect("a key")),
            faults,
        }
    }

    /// The same for everybody, and the same signature for the same message.
    ///
    /// # Panics
    /// Never: the key is one.
    #[must_use]
    pub fn fixed(faults: Faults) -> Self {
        static KEY: OnceLock<Arc<KeyFile>> = OnceLock::new();
        let read = || {
            // PKCS#8 of an Ed25519 key, 32 bytes of it its secret.
            let mut pkcs8 = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06];
            pkcs8.extend([0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20]);
            pkcs8.extend([7; 32]);
            Arc::new(KeyFile::read(&pkcs8).expect("a key"))
        };
        Self {
            key: Arc::clone(KEY.get_or_init(read)),
            faults,
        }
    }

    /// Its public half, no fault in between.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.key.public_key()
    }
}

impl SealKey for MemoryKey {
    async fn public_key(&self) -> Result<Vec<u8>, PortError> {
        let read = || self.key.public_key().to_pem().into_bytes();
        self.faults.around(Operation::Read, read).await
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        let signed = self
            .faults
            .around(Operation::Sign, || self.key.sign(message))
            .await?;
        signed.map_err(|e| PortError::Fatal(e.to_string()))
    }
}
