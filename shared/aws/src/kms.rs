//! [`SealKey`] on KMS: an ECDSA P-256 key that never leaves it.

use crate::error::port_error;
use aws_config::SdkConfig;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use aws_smithy_types::Blob;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ports::{PortError, SealKey};

/// A key of the key service.
#[derive(Debug, Clone)]
pub struct KmsKey {
    client: aws_sdk_kms::Client,
    id: String,
}

impl KmsKey {
    /// The key with this id, ARN or alias.
    #[must_use]
    pub fn new(config: &SdkConfig, id: impl Into<String>) -> Self {
        Self {
            client: aws_sdk_kms::Client::new(config),
            id: id.into(),
        }
    }
}

impl SealKey for KmsKey {
    async fn public_key(&self) -> Result<Vec<u8>, PortError> {
        let answer = self.client.get_public_key().key_id(&self.id).send().await;
        let answer = answer.map_err(|e| port_error("read public key", e))?;
        let key = answer.public_key.map(Blob::into_inner);
        key.ok_or_else(|| PortError::Fatal("read public key: no key in the answer".into()))
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        // Its digest: the service takes messages of at most 4 KB.
        let digest = Fingerprint::of(message).0.to_vec();
        let answer = self
            .client
            .sign()
            .key_id(&self.id)
            .message(Blob::new(digest))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send()
            .await
            .map_err(|e| port_error("sign", e))?;
        let signature = answer.signature.map(Blob::into_inner);
        signature.ok_or_else(|| PortError::Fatal("sign: no signature in the answer".into()))
    }
}
