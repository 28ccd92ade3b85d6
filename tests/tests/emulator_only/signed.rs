//! Requests to the emulator for which the project has no client.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use std::time::{Duration, SystemTime};
use vernier_tests::deployed::variable;

/// The signature headers (SigV4) of a request.
fn signature(service: &str, url: &str, body: &[u8]) -> Vec<(String, String)> {
    let (key, secret) = (
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
    );
    let identity = Credentials::new(key, secret, None, None, "environment").into();
    let region = variable("AWS_REGION");
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .expect("all parameters are set");
    let request = SignableRequest::new("POST", url, std::iter::empty(), SignableBody::Bytes(body));
    let (instructions, _) = sign(request.expect("a request"), &params.into())
        .expect("signs")
        .into_parts();
    let headers = instructions.headers();
    headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Posts to a service of the emulator: status, headers and body of its answer.
pub(super) fn post(
    service: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, http::HeaderMap, Vec<u8>) {
    let url = format!("{}{path}", variable("AWS_ENDPOINT_URL"));
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config
        .timeout_global(Some(Duration::from_secs(300)))
        .build()
        .into();
    let mut request = agent.post(&url);
    for (name, value) in signature(service, &url, body) {
        request = request.header(name, value);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = request.send(body).expect("the emulator answers");
    let body = answer.body_mut().read_to_vec().expect("a body");
    (answer.status().as_u16(), answer.headers().clone(), body)
}
