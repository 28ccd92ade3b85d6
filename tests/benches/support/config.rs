//! How a bench's adapters find the counting endpoints.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use vernier_tests::deployed::config_at;
use vernier_tests::stub::Stub;

/// The SDK's configuration that calls these endpoints, with credentials that open nothing anywhere else.
pub(crate) async fn config_of(stub: &Stub) -> SdkConfig {
    let credentials = Credentials::new("bench", "bench", None, None, "bench");
    let config = config_at(&stub.url()).await.into_builder();
    config
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}
