//! Texts that anybody may have: they change with a deployment only, so that whoever has one may keep it.

use crate::encoding::{COMPRESSED_BYTES_MIN, gzip, set_gzip};
use crate::header::vary_by;
use crate::request::Request;
use crate::response::empty;
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use flate2::Compression;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use std::borrow::Cow;
use std::sync::OnceLock;
use vernier_ledger::digest::Fingerprint;

/// How long a text may be kept that a deployment changes in its place: a minute, after which its tag says
/// whether it is still the same.
pub const A_MINUTE: &str = "public, max-age=60";

/// How long a text may be kept whose name holds its content's hash: for good.
pub const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// A text with its media type. It is compressed and hashed once, when it is first asked for.
#[derive(Debug)]
pub struct Asset {
    media_type: &'static str,
    cache_control: &'static str,
    text: Cow<'static, str>,
    hash: OnceLock<String>,
    gzip: OnceLock<Option<Vec<u8>>>,
}

impl Asset {
    /// One of a media type that may be kept as long as `cache_control` says.
    #[must_use]
    pub fn new(
        media_type: &'static str,
        cache_control: &'static str,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            media_type,
            cache_control,
            text: text.into(),
            hash: OnceLock::new(),
            gzip: OnceLock::new(),
        }
    }

    /// The text as it is, not compressed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its bytes compressed; none where that is not worth it.
    fn compressed(&self) -> Option<&[u8]> {
        let compress = || {
            let is_large = self.text.len() >= COMPRESSED_BYTES_MIN;
            is_large.then(|| gzip(&self.text, Compression::best()))?
        };
        self.gzip.get_or_init(compress).as_deref()
    }

    /// The strong tag of one of its two forms, which differ in their bytes (RFC 9110, 8.8.3).
    fn tag(&self, form: &str) -> String {
        let hash = || Fingerprint::of(self.text.as_bytes()).hex();
        let hash = self.hash.get_or_init(hash);
        format!("\"{}{form}\"", &hash[..32])
    }

    /// The answer to a request for it: compressed if that is taken, and 304 if the very form that would be
    /// sent is there already.
    #[must_use]
    pub fn answer(
        &self,
        request: Request<'_>,
        headers: &[(&'static str, String)],
    ) -> ApiGatewayProxyResponse {
        let compressed = request.takes_gzip().then(|| self.compressed()).flatten();
        let tag = self.tag(compressed.map_or("", |_| "-gzip"));
        let mut tags = request.header_elements("if-none-match");
        let is_there = tags.any(|named| is_named(named, &tag));
        let mut answer = empty(if is_there { 304 } else { 200 }, headers);
        let kept = HeaderValue::from_static(self.cache_control);
        answer.headers.insert(CACHE_CONTROL, kept);
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            answer.headers.insert(ETAG, tag);
        }
        vary_by(&mut answer.headers, "Accept-Encoding");
        if is_there {
            return answer;
        }
        for (name, value) in [
            (CONTENT_TYPE, self.media_type),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
        ] {
            answer.headers.insert(name, HeaderValue::from_static(value));
        }
        match compressed {
            Some(bytes) => set_gzip(&mut answer, bytes.to_vec()),
            None => answer.body = Some(Body::Text(self.text.clone().into_owned())),
        }
        answer
    }
}

/// Whether an element of If-None-Match is a tag, or any there is. Weakness does not matter to it
/// (RFC 9110, 13.1.2).
fn is_named(element: &str, tag: &str) -> bool {
    element == "*" || element.strip_prefix("W/").unwrap_or(element) == tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;
    use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, IF_NONE_MATCH, VARY};

    fn ask(asset: &Asset, encoding: &str, tag: Option<&str>) -> ApiGatewayProxyResponse {
        let mut request = ApiGatewayProxyRequest::default();
        request
            .headers
            .insert(ACCEPT, HeaderValue::from_static("*/*"));
        let value = |text: &str| HeaderValue::from_str(text).expect("a header's text");
        request.headers.insert(ACCEPT_ENCODING, value(encoding));
        if let Some(tag) = tag {
            request.headers.insert(IF_NONE_MATCH, value(tag));
        }
        asset.answer(Request(&request), &[])
    }

    fn tag_of(answer: &ApiGatewayProxyResponse) -> &str {
        answer.headers[ETAG].to_str().expect("text")
    }

    #[test]
    fn either_form_has_its_own_tag_and_is_sent_once() {
        let asset = Asset::new("text/plain", A_MINUTE, "all work and no play ".repeat(99));
        let plain = ask(&asset, "identity", None);
        let gzip = ask(&asset, "gzip", None);
        assert_ne!(tag_of(&plain), tag_of(&gzip));
        assert!(!plain.headers.contains_key(CONTENT_ENCODING));
        let Some(Body::Binary(bytes)) = &gzip.body else {
            panic!("{gzip:?}")
        };
        assert!(bytes.len() < 200 && gzip.is_base64_encoded);
        for (form, encoding) in [(&plain, "identity"), (&gzip, "gzip")] {
            let tag = tag_of(form);
            for list in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
                let again = ask(&asset, encoding, Some(list));
                assert_eq!((again.status_code, again.body), (304, None), "{list}");
                assert_eq!(again.headers[ETAG], form.headers[ETAG]);
                assert_eq!(again.headers[CACHE_CONTROL], A_MINUTE);
                assert_eq!(again.headers[VARY], "Accept-Encoding");
            }
        }
        let other = ask(&asset, "gzip", Some(tag_of(&plain)));
        assert_eq!(
            other.status_code, 200,
            "the other form's bytes are not there"
        );
    }

    #[test]
    fn a_small_text_has_one_form() {
        let asset = Asset::new("text/plain", FOR_GOOD, "small");
        let answer = ask(&asset, "gzip", None);
        assert!(matches!(answer.body, Some(Body::Text(_))));
        assert_eq!(tag_of(&answer), tag_of(&ask(&asset, "identity", None)));
    }
}
