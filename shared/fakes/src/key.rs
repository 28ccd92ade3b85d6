//! A signing key in memory.

use crate::faults::{Faults, Operation};
use std::sync::Arc;
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
