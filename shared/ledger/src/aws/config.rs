//! How AWS is reached: credentials, region, time-outs, and whose certificates are believed.

use crate::environment;
use aws_config::environment::credentials::EnvironmentVariableCredentialsProvider;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Names in the certificates of Amazon Trust Services' five roots, which AWS asks its clients to trust
/// (<https://www.amazontrust.com/repository/>).
const ROOT_NAMES: [&[u8]; 5] = [
    b"Amazon Root CA 1",
    b"Amazon Root CA 2",
    b"Amazon Root CA 3",
    b"Amazon Root CA 4",
    b"Starfield Services Root Certificate Authority - G2",
];

/// Names a file of certificates (PEM) that are trusted in the place of Amazon's, as for AWS's own tools.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// A function's settings: credentials and region from its environment, where Lambda puts them, and no
/// other place is tried, so that it starts quickly. Time-outs are short enough that a retry still fits a
/// request. `AWS_ENDPOINT_URL` and its kind are followed.
///
/// # Panics
/// When `AWS_CA_BUNDLE` names a file that cannot be read as certificates: nothing could be reached.
pub async fn config() -> SdkConfig {
    loader()
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .load()
        .await
}

/// The settings of somebody who runs a command: as [`config`], with all places in which AWS's own tools look
/// for credentials and regions (profiles, single sign-on, containers, instances).
///
/// # Panics
/// As [`config`].
pub async fn users_config() -> SdkConfig {
    loader().load().await
}

fn loader() -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(6))
        .operation_timeout(Duration::from_secs(14))
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        // An attempt's time-out covers its body too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// TLS on ring. Amazon's roots alone are trusted: no other authority can vouch for an endpoint of AWS, and
/// the system's 150 need not be read at each start.
fn http_client() -> SharedHttpClient {
    let mut trusted = TrustStore::empty();
    match environment::text(CA_BUNDLE) {
        Ok(path) => {
            let read = std::fs::read(&path);
            trusted
                .add_pem_certificate(read.unwrap_or_else(|e| panic!("{CA_BUNDLE}: {path}: {e}")));
        }
        Err(_) => {
            for certificate in amazon_roots() {
                trusted.add_pem_certificate(pem(certificate));
            }
        }
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.expect("a trust store is all that it is given"))
        .build_https()
}

/// The certificates, DER.
fn amazon_roots() -> impl Iterator<Item = &'static [u8]> {
    let named = |certificate: &&[u8]| {
        let mut names = ROOT_NAMES.iter();
        names.any(|name| memchr::memmem::find(certificate, name).is_some())
    };
    TLS_SERVER_ROOT_CERTS
        .iter()
        .map(AsRef::as_ref)
        .filter(named)
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Fingerprint;

    /// As <https://www.amazontrust.com/repository/> publishes them, and Amazon's own root of before.
    #[test]
    fn the_trusted_roots_are_amazons() {
        let mut found: Vec<String> = amazon_roots()
            .map(|der| Fingerprint::of(der).hex())
            .collect();
        found.sort_unstable();
        let expected = [
            "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
            "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
            "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
            "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
            "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
        ];
        let mut expected = expected.map(str::to_owned);
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
