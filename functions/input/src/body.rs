//! From the request's body to the envelope's bytes: type, encoding, bounds (invariant 8).

use std::borrow::Cow;
use std::io::Read;
use vernier_ledger::limits::{BODY_BYTES_MAX, BODY_DECOMPRESSED_BYTES_MAX};
use vernier_web::{HeaderElement, Request};

/// Why the body is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Not declared as JSON.
    #[error("Content-Type is {0}; send application/json in UTF-8")]
    ContentType(String),
    /// Encoded in a way that is not understood.
    #[error("Content-Encoding is {0:?}; gzip, zstd and identity are understood, one at a time")]
    ContentEncoding(String),
    /// Over the bound as received.
    #[error(
        "the body has {bytes} bytes; {BODY_BYTES_MAX} are the most: send less at a time or compress it"
    )]
    TooLarge {
        /// As received.
        bytes: usize,
    },
    /// Over the bound when decompressed.
    #[error(
        "the body has more than {BODY_DECOMPRESSED_BYTES_MAX} bytes when decompressed: send less at a time"
    )]
    ExpandsTooFar,
    /// Damaged.
    #[error("the body is not valid {encoding}: {cause}")]
    Damaged {
        /// The declared encoding.
        encoding: &'static str,
        /// What the decoder said.
        cause: String,
    },
}

impl BadBody {
    /// The rule that is broken.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::ContentType(_) => "request.content-type",
            Self::ContentEncoding(_) => "request.content-encoding",
            Self::TooLarge { .. } | Self::ExpandsTooFar => "limit.body",
            Self::Damaged { .. } => "request.damaged",
        }
    }
}

/// The body of a request as it was before it was compressed.
///
/// # Errors
/// When its type is not JSON in UTF-8, it is over a bound, or it is damaged.
pub fn read(request: Request<'_>) -> Result<Cow<'_, [u8]>, BadBody> {
    check_content_type(request.header("content-type"))?;
    let bytes = request.body().map_err(|document| BadBody::Damaged {
        encoding: "base64",
        cause: document.detail,
    })?;
    // What is empty or says that nothing was done is as if it were not there.
    let codings = request.header_elements("content-encoding");
    let done = codings.filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    let mut done: Vec<&str> = done.collect();
    match (done.pop(), &*done) {
        (coding, []) => decompress(bytes, coding),
        (last, before) => {
            let all: Vec<&str> = before.iter().copied().chain(last).collect();
            let shown = all.join(", ").chars().take(80).collect();
            Err(BadBody::ContentEncoding(shown))
        }
    }
}

/// Checks the declared type: `application/json` (Caliper 1.2, HTTP requests), UTF-8.
///
/// # Errors
/// When it is missing or another.
fn check_content_type(header: Option<&str>) -> Result<(), BadBody> {
    let Some(value) = header else {
        return Err(BadBody::ContentType("missing".into()));
    };
    let declared = HeaderElement::new(value);
    let charset = declared.parameter("charset");
    let utf8 =
        charset.is_none_or(|c| c.eq_ignore_ascii_case("utf-8") || c.eq_ignore_ascii_case("utf8"));
    if declared.essence().eq_ignore_ascii_case("application/json") && utf8 {
        return Ok(());
    }
    let shown: String = value.chars().take(80).collect();
    Err(BadBody::ContentType(format!("{shown:?}")))
}

/// Decompresses within the bounds.
///
/// A body that is declared as compressed and is JSON already was unpacked on its way: gateways that do so
/// may leave the header as it was. No compressed body begins as JSON does.
///
/// # Errors
/// What is wrong with the body.
fn decompress<'b>(body: Cow<'b, [u8]>, encoding: Option<&str>) -> Result<Cow<'b, [u8]>, BadBody> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BadBody::TooLarge { bytes: body.len() });
    }
    let encoding = encoding.unwrap_or_default().to_ascii_lowercase();
    match encoding.as_str() {
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" | "zstd" if is_unpacked(&body) => Ok(body),
        "gzip" | "x-gzip" => {
            read_bounded("gzip", flate2::bufread::MultiGzDecoder::new(&*body)).map(Cow::Owned)
        }
        "zstd" => {
            let damaged = |e: std::io::Error| BadBody::Damaged {
                encoding: "zstd",
                cause: e.to_string(),
            };
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&*body).map_err(damaged)?;
            // RFC 9659: at most 8 MiB of window, so that a small body cannot claim gigabytes.
            decoder.window_log_max(23).map_err(damaged)?;
            read_bounded("zstd", decoder).map(Cow::Owned)
        }
        other => Err(BadBody::ContentEncoding(other.chars().take(80).collect())),
    }
}

/// Whether bytes begin as an envelope does, a byte order mark and white space aside. gzip begins with 1F,
/// zstd with 28 or, what is to be skipped, 5x in its first byte and 2A in its second.
fn is_unpacked(body: &[u8]) -> bool {
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    text.trim_ascii_start().first() == Some(&b'{')
}

fn read_bounded(encoding: &'static str, decoder: impl Read) -> Result<Vec<u8>, BadBody> {
    let mut bytes = Vec::new();
    let bound = BODY_DECOMPRESSED_BYTES_MAX as u64 + 1;
    let read = decoder.take(bound).read_to_end(&mut bytes);
    if bytes.len() > BODY_DECOMPRESSED_BYTES_MAX {
        return Err(BadBody::ExpandsTooFar);
    }
    read.map_err(|e| BadBody::Damaged {
        encoding,
        cause: e.to_string(),
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("writes to memory");
        encoder.finish().expect("writes to memory")
    }

    #[test]
    fn the_three_encodings_give_the_same_bytes() {
        let text = br#"{"data":[]}"#;
        let zstd = zstd::bulk::compress(text, 3).expect("compresses");
        for (encoding, body) in [
            (None, text.to_vec()),
            (Some("identity"), text.to_vec()),
            (Some("GZIP"), gzip(text)),
            (Some("zstd"), zstd),
        ] {
            assert_eq!(
                decompress(body.into(), encoding).as_deref(),
                Ok(&text[..]),
                "{encoding:?}"
            );
        }
    }

    /// As it comes through a gateway that unpacks bodies: with the header, or without.
    #[test]
    fn what_was_unpacked_on_its_way_is_taken_as_it_is() {
        let marked = b"\xEF\xBB\xBF {\"data\":[]}";
        for text in [&br#"{"data":[]}"#[..], b" \n{\"data\":[]}", marked] {
            for encoding in [
                None,
                Some("identity"),
                Some("gzip"),
                Some("x-gzip"),
                Some("zstd"),
            ] {
                let body = decompress(text.into(), encoding);
                assert_eq!(body.as_deref(), Ok(text), "{encoding:?}");
            }
        }
        let large = format!("{{{}}}", " ".repeat(BODY_BYTES_MAX));
        assert!(matches!(
            decompress(large.as_bytes().into(), Some("gzip")),
            Err(BadBody::TooLarge { .. })
        ));
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = vec![b' '; BODY_DECOMPRESSED_BYTES_MAX + 1];
        assert_eq!(
            decompress(gzip(&zeros).into(), Some("gzip")),
            Err(BadBody::ExpandsTooFar)
        );
        let zstd = zstd::bulk::compress(&zeros, 1).expect("compresses");
        assert_eq!(
            decompress(zstd.into(), Some("zstd")),
            Err(BadBody::ExpandsTooFar)
        );
        let exactly = &zeros[1..];
        assert!(decompress(gzip(exactly).into(), Some("gzip")).is_ok());
    }

    #[test]
    fn damage_and_unknown_encodings_are_named() {
        let mut cut = gzip(b"{\"data\":[]}");
        cut.truncate(12);
        assert!(matches!(
            decompress(cut.into(), Some("gzip")),
            Err(BadBody::Damaged {
                encoding: "gzip",
                ..
            })
        ));
        assert!(matches!(
            decompress(b"x".as_slice().into(), Some("zstd")),
            Err(BadBody::Damaged { .. })
        ));
        for bad in ["br", "gzip, gzip", "deflate"] {
            assert_eq!(
                decompress(b"x".as_slice().into(), Some(bad)),
                Err(BadBody::ContentEncoding(bad.into()))
            );
        }
    }

    #[test]
    fn json_in_utf8_is_the_one_type() {
        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=\"UTF-8\"",
            "application/json; profile=\"a; charset=latin1\"; Charset=\"utf-8\"",
        ] {
            assert_eq!(check_content_type(Some(good)), Ok(()), "{good}");
        }
        for bad in [
            None,
            Some("text/plain"),
            Some("application/json; charset=latin1"),
            Some("application/xml"),
            Some(""),
        ] {
            assert!(check_content_type(bad).is_err(), "{bad:?}");
        }
    }

    fn encoded(lines: &[&str], body: &[u8]) -> ApiGatewayProxyRequest {
        let mut request = ApiGatewayProxyRequest::default();
        let json = HeaderValue::from_static("application/json");
        request.headers.insert("content-type", json);
        for line in lines {
            let value = HeaderValue::from_str(line).expect("a header's value");
            request.headers.insert("content-encoding", value.clone());
            request
                .multi_value_headers
                .append("content-encoding", value);
        }
        request.body = Some(STANDARD.encode(body));
        request.is_base64_encoded = true;
        request
    }

    #[test]
    fn an_encoding_that_says_nothing_is_as_if_it_were_not_there() {
        let text = br#"{"data":[]}"#;
        for (lines, body) in [
            (&[""][..], text.to_vec()),
            (&[" , "], text.to_vec()),
            (&["identity", ""], text.to_vec()),
            (&["", "gzip"], gzip(text)),
            (&["gzip", ""], gzip(text)),
            (&["identity, GZip"], gzip(text)),
        ] {
            let request = encoded(lines, &body);
            assert_eq!(
                read(Request(&request)).as_deref(),
                Ok(&text[..]),
                "{lines:?}"
            );
        }
        for lines in [
            &["gzip", "gzip"][..],
            &["gzip, zstd"],
            &["br", "identity"],
            &["\u{84}"],
            &["\u{85}", "identity"],
        ] {
            let request = encoded(lines, &gzip(text));
            let refused = read(Request(&request));
            let is_named = matches!(refused, Err(BadBody::ContentEncoding(_)));
            assert!(is_named, "{lines:?}: {refused:?}");
        }
    }
}
