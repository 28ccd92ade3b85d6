//! How adapters find the counting endpoints.

use super::Stub;
use crate::deployed::config_at;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;

/// The SDK's configuration that calls these endpoints, with credentials that open nothing anywhere else.
pub async fn config_of(stub: &Stub) -> SdkConfig {
    let credentials = Credentials::new("stub", "stub", None, None, "stub");
    let config = config_at(&stub.url()).await.into_builder();
    config
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}
