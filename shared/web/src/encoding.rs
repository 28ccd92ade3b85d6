//! Answers in the encoding that whoever asks takes (RFC 9110, 12.5.3): compressed where that is worth it.
//!
//! The functions compress, not the gateway: one that compresses answers (`MinimumCompressionSize`) also
//! unpacks requests, and then refuses every body in an encoding that it does not know, as zstd is.

use crate::header::{HeaderElement, vary_by};
use crate::request::Request;
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, HeaderValue};
use std::io::Write as _;

/// Bodies below this are sent as they are, bytes: what gzip would save of them, its own header and the
/// answer's two more take up again.
pub const COMPRESSED_BYTES_MIN: usize = 512;

impl Request<'_> {
    /// Whether the answer may be compressed with gzip.
    ///
    /// A request without an Accept header is answered in plain text: the gateway makes bytes of the
    /// function's base64 only for those who say what they accept.
    #[must_use]
    pub fn takes_gzip(&self) -> bool {
        let weight_of = |name: &str| {
            let codings = self.header_elements("accept-encoding");
            let mut of_name = codings
                .map(HeaderElement::new)
                .filter(|coding| coding.essence().eq_ignore_ascii_case(name));
            let found = of_name.next()?;
            Some(found.weight_thousandths().unwrap_or(0))
        };
        let gzip = weight_of("gzip").or_else(|| weight_of("x-gzip"));
        let gzip = gzip.or_else(|| weight_of("*")).unwrap_or(0);
        let is_welcome = gzip > 0 && gzip >= weight_of("identity").unwrap_or(0);
        is_welcome && self.header_elements("accept").next().is_some()
    }
}

/// A text compressed with gzip; none when the encoder fails, which memory gives it no reason to.
pub(crate) fn gzip(text: &str, level: Compression) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), level);
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}

/// Makes an answer's body the given bytes, compressed with gzip.
pub(crate) fn set_gzip(answer: &mut ApiGatewayProxyResponse, bytes: Vec<u8>) {
    let gzip = HeaderValue::from_static("gzip");
    answer.headers.insert(CONTENT_ENCODING, gzip);
    answer.body = Some(Body::Binary(bytes));
    answer.is_base64_encoded = true;
}

/// An answer as it leaves the function: not to be stored unless it says otherwise, and compressed if it
/// is large enough and whoever asked takes that.
#[must_use]
pub(crate) fn encoded(
    mut answer: ApiGatewayProxyResponse,
    request: Request<'_>,
) -> ApiGatewayProxyResponse {
    if !answer.headers.contains_key(CACHE_CONTROL) {
        let no_store = HeaderValue::from_static("no-store");
        answer.headers.insert(CACHE_CONTROL, no_store);
    }
    let Some(Body::Text(text)) = &answer.body else {
        return answer;
    };
    if text.len() < COMPRESSED_BYTES_MIN {
        return answer;
    }
    vary_by(&mut answer.headers, "Accept-Encoding");
    if request.takes_gzip() {
        // Level 1: learning data shrinks to a sixth with it, and to a seventh for twice the time.
        if let Some(bytes) = gzip(text, Compression::fast()) {
            set_gzip(&mut answer, bytes);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{ProblemDocument, ProblemType};
    use crate::response::{empty, json_text, problem};
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;
    use http::header::VARY;
    use std::io::Read as _;

    fn asking(headers: &[(&'static str, &'static str)]) -> ApiGatewayProxyRequest {
        let mut request = ApiGatewayProxyRequest::default();
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            request.headers.insert(*name, value);
        }
        request
    }

    fn unpacked(answer: &ApiGatewayProxyResponse) -> String {
        let Some(Body::Binary(bytes)) = &answer.body else {
            panic!("{answer:?}")
        };
        assert!(answer.is_base64_encoded);
        assert_eq!(answer.headers[CONTENT_ENCODING], "gzip");
        let mut text = String::new();
        let read = flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text);
        read.expect("it is gzip");
        text
    }

    #[test]
    fn gzip_is_taken_by_whoever_says_so() {
        for (list, taken) in [
            ("gzip", true),
            ("GZIP, deflate, br", true),
            ("deflate, x-gzip", true),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
            ("*", true),
            ("gzip ; q = 0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("identity, gzip;q=0.5", false),
            ("identity;q=0.5, gzip", true),
            ("br", false),
            ("", false),
            ("gzip;q=much", false),
        ] {
            let asked = asking(&[("accept", "*/*"), ("accept-encoding", list)]);
            assert_eq!(Request(&asked).takes_gzip(), taken, "{list:?}");
        }
        let one = asking(&[("accept-encoding", "gzip")]);
        assert!(!Request(&one).takes_gzip(), "the gateway would send base64");
    }

    #[test]
    fn large_answers_are_compressed_and_small_ones_are_not() {
        let takes = asking(&[("accept", "*/*"), ("accept-encoding", "gzip")]);
        let large = format!("[{}0]", "1234567890,".repeat(100));
        let answer = encoded(json_text(200, &[], large.clone()), Request(&takes));
        assert_eq!(unpacked(&answer), large);
        assert_eq!(answer.headers[VARY], "Accept-Encoding");
        assert_eq!(answer.headers[CACHE_CONTROL], "no-store");

        let plain = asking(&[("accept", "*/*")]);
        let answer = encoded(json_text(200, &[], large), Request(&plain));
        assert!(matches!(answer.body, Some(Body::Text(_))));
        assert_eq!(answer.headers[VARY], "Accept-Encoding");
        assert!(!answer.is_base64_encoded);

        let answer = encoded(json_text(200, &[], "{}".to_owned()), Request(&takes));
        assert!(matches!(answer.body, Some(Body::Text(_))));
        assert!(!answer.headers.contains_key(CONTENT_ENCODING));
    }

    #[test]
    fn errors_are_compressed_as_other_answers_are() {
        let takes = asking(&[("accept", "*/*"), ("accept-encoding", "gzip")]);
        let mut document = ProblemDocument::new(ProblemType::EnvelopeMalformed, "no JSON");
        let finding = serde_json::json!({ "pointer": "/data/0", "rule": "envelope.json" });
        document.problems = vec![finding; 50];
        let answer = encoded(problem(&document), Request(&takes));
        assert_eq!(unpacked(&answer), document.to_json());
        assert_eq!(answer.headers[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn every_answer_says_whether_it_may_be_stored() {
        let takes = asking(&[]);
        let answer = encoded(empty(200, &[]), Request(&takes));
        assert_eq!(answer.headers[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn what_an_answer_depends_on_already_stays() {
        let takes = asking(&[]);
        let answer = json_text(200, &[("vary", "Origin".to_owned())], " ".repeat(600));
        let answer = encoded(answer, Request(&takes));
        assert_eq!(answer.headers[VARY], "Origin, Accept-Encoding");
    }
}
