//! How AWS is reached: credentials, region, time-outs, and whose certificates are believed.

use crate::environment;
use crate::store_date::observed;
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
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use std::time::Duration;
use vernier_ledger::clock::StoreClock;
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

/// Why the certificates of `AWS_CA_BUNDLE` are not trusted. Nothing could be reached without them.
#[derive(Debug, thiserror::Error)]
pub enum BadBundle {
    /// The file is not there, or may not be read.
    #[error("{CA_BUNDLE}: {path}: cannot be read: {cause}")]
    Unreadable {
        /// What the variable names.
        path: String,
        /// The reason that the system or the parser gives.
        cause: std::io::Error,
    },
    /// The file has no certificates, or not in this form.
    #[error("{CA_BUNDLE}: {path}: no certificates in PEM form: {cause}")]
    NoPem {
        /// What the variable names.
        path: String,
        /// What the reader met.
        cause: pem::Error,
    },
    /// One of its certificates is none that could vouch for anything.
    #[error("{CA_BUNDLE}: {path}: certificate {number} cannot be used: {cause}")]
    Unusable {
        /// What the variable names.
        path: String,
        /// Its place in the file, from 1.
        number: usize,
        /// What is wrong with it.
        cause: rustls::Error,
    },
}

/// A function's settings: credentials and region from its environment, where Lambda puts them, and no
/// other place is tried, so that it starts quickly. Time-outs are short enough that a retry still fits a
/// request. `AWS_ENDPOINT_URL` and its kind are followed.
///
/// # Errors
/// When `AWS_CA_BUNDLE` names a file that cannot be read as certificates.
pub async fn config() -> Result<SdkConfig, BadBundle> {
    Ok(functions_own(loader(None)?).load().await)
}

/// The same, which tells a clock the dates on the stores' answers.
///
/// # Errors
/// The same as of [`config`].
pub async fn observed_config(clock: &StoreClock) -> Result<SdkConfig, BadBundle> {
    Ok(functions_own(loader(Some(clock))?).load().await)
}

fn functions_own(loader: ConfigLoader) -> ConfigLoader {
    loader
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
}

/// The settings of somebody who runs a command: as [`config`], with all places in which AWS's own tools look
/// for credentials and regions (profiles, single sign-on, containers, instances).
///
/// # Errors
/// As [`config`].
pub async fn users_config() -> Result<SdkConfig, BadBundle> {
    Ok(loader(None)?.load().await)
}

fn loader(clock: Option<&StoreClock>) -> Result<ConfigLoader, BadBundle> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(6))
        .operation_timeout(Duration::from_secs(14))
        .build();
    let bundle = environment::text(CA_BUNDLE).ok();
    let client = http_client(trusted(bundle)?);
    let client = match clock {
        Some(clock) => observed(client, clock),
        None => client,
    };
    Ok(aws_config::defaults(BehaviorVersion::latest())
        .http_client(client)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        // An attempt's time-out covers its body too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled()))
}

/// Whom to believe: the certificates of a bundle, or Amazon's roots alone. No other authority can vouch
/// for an endpoint of AWS, and the system's 150 need not be read at each start.
fn trusted(bundle: Option<String>) -> Result<TrustStore, BadBundle> {
    let mut trusted = TrustStore::empty();
    match bundle {
        Some(path) => {
            trusted.add_pem_certificate(read_bundle(path)?);
        }
        None => {
            for certificate in amazon_roots() {
                trusted.add_pem_certificate(pem_of(certificate));
            }
        }
    }
    Ok(trusted)
}

/// The bytes of a bundle that the TLS client can use as they are: it would panic over any other.
fn read_bundle(path: String) -> Result<Vec<u8>, BadBundle> {
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(cause) => return Err(BadBundle::Unreadable { path, cause }),
    };
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(&bytes)) {
        let added = match certificate {
            Ok(certificate) => roots.add(certificate),
            Err(cause) => return Err(BadBundle::NoPem { path, cause }),
        };
        if let Err(cause) = added {
            return Err(BadBundle::Unusable {
                path,
                number,
                cause,
            });
        }
    }
    if roots.is_empty() {
        let cause = pem::Error::NoItemsFound;
        return Err(BadBundle::NoPem { path, cause });
    }
    Ok(bytes)
}

/// The cryptography that TLS is done with, ring.
fn http_client(trusted: TrustStore) -> SharedHttpClient {
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

fn pem_of(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vernier_ledger::digest::Fingerprint;

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

    fn error_of(path: &std::path::Path) -> String {
        let path = path.to_str().expect("a path in UTF-8").to_owned();
        let error = read_bundle(path.clone())
            .expect_err("no bundle")
            .to_string();
        let named = error.strip_prefix(&format!("AWS_CA_BUNDLE: {path}: "));
        named.unwrap_or_else(|| panic!("{error}")).to_owned()
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_an_error_that_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = folder.path().join("bundle.pem");
        assert!(error_of(&bundle).starts_with("cannot be read: "));
        let begin = "-----BEGIN CERTIFICATE-----";
        let end = "-----END CERTIFICATE-----";
        for (text, why) in [
            (String::new(), "no certificates in PEM form: "),
            ("no bundle".to_owned(), "no certificates in PEM form: "),
            (
                format!("{begin}\n####\n{end}\n"),
                "no certificates in PEM form: ",
            ),
            (format!("{begin}\nAAAA\n"), "no certificates in PEM form: "),
            (
                format!("{begin}\nAAAA\n{end}\n"),
                "certificate 1 cannot be used: ",
            ),
        ] {
            std::fs::write(&bundle, &text).expect("written");
            let said = error_of(&bundle);
            assert!(said.starts_with(why), "{text:?}: {said}");
        }
        let roots: String = amazon_roots().map(pem_of).collect();
        std::fs::write(&bundle, &roots).expect("written");
        let read = read_bundle(bundle.to_string_lossy().into_owned());
        assert_eq!(read.expect("a bundle"), roots.as_bytes());
    }
}
