//! Cross-origin requests (the Fetch standard, CORS): which pages may read what the API answers.

use crate::header::vary_by;
use crate::request::Request;
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderName,
    HeaderValue,
};
use http::{Method, Uri};

/// How long a browser may go by an answer to its preflight, seconds; Chromium's own bound.
const PREFLIGHT_SECONDS: &str = "7200";

/// What the API reads of a request.
const REQUEST_HEADERS: &str =
    "accept, authorization, content-encoding, content-type, if-none-match, prefer";

/// What a page may read of an answer beside what every page may.
const EXPOSED_HEADERS: &str = "allow, content-disposition, etag, preference-applied, retry-after, vernier-accepted, \
    vernier-complete-through, vernier-live-through, vernier-more, vernier-provisional, vernier-reads, \
    vernier-receipt, vernier-received, vernier-rejected, www-authenticate";

/// Headers that a preflight may ask for at most, bytes.
const ASKED_BYTES_MAX: usize = 1_000;

/// The origins whose pages may call the API; none unless the operator names some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Reads origins such as `https://lms.example`, separated by commas; an empty text is none.
    ///
    /// # Errors
    /// Names the first that is no origin: `*` is none, because whoever may call must be known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = text.split(',').map(str::trim).filter(|o| !o.is_empty());
        let read = |origin: &str| match is_origin(origin) {
            true => Ok(origin.to_ascii_lowercase()),
            false => Err(format!(
                "{origin:?} is no origin; expected a scheme, a host and its port if it is not the \
                 scheme's own, such as https://lms.example"
            )),
        };
        named.map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The request's origin, if it is one of these.
    fn allowed<'r>(&self, request: Request<'r>) -> Option<&'r str> {
        let origin = request.header("origin")?;
        let is_it = |own: &String| own.eq_ignore_ascii_case(origin);
        self.0.iter().any(is_it).then_some(origin)
    }

    /// Adds to any answer what its reader's browser asks for. An origin that is not one of these gets
    /// nothing, and so its pages read nothing.
    #[must_use]
    pub fn told(
        &self,
        request: Request<'_>,
        mut answer: ApiGatewayProxyResponse,
    ) -> ApiGatewayProxyResponse {
        if self.0.is_empty() {
            return answer;
        }
        vary_by(&mut answer.headers, "Origin");
        let Some(origin) = self.allowed(request) else {
            return answer;
        };
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.headers.insert(name, value);
            }
        };
        set(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // Tokens travel in a header and there are no cookies: this lets a client send that asks for it
        // whether it needs it or not, as caliper-js does.
        set(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        set(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        let is_preflight = request.0.http_method == Method::OPTIONS
            && request.header("access-control-request-method").is_some();
        if let (true, Some(route)) = (is_preflight, request.route()) {
            set(ACCESS_CONTROL_ALLOW_METHODS, route.methods.allow());
            set(ACCESS_CONTROL_ALLOW_HEADERS, &may_send(request));
            set(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        }
        answer
    }
}

/// Whether a text is an origin as browsers write it.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let written = uri.authority().map(|a| (uri.scheme_str(), a.as_str()));
    let is_whole = written.is_some_and(|(scheme, authority)| {
        let again = format!("{}://{authority}", scheme.unwrap_or_default());
        !authority.contains(['@', '*']) && again.eq_ignore_ascii_case(text)
    });
    is_web && is_whole
}

/// What a page may send: all that the API reads, and what it asks for beyond that, such as a tracer's
/// headers, which are not looked at.
fn may_send(request: Request<'_>) -> String {
    let mut names = REQUEST_HEADERS.to_owned();
    let is_token = |name: &&str| HeaderName::from_bytes(name.as_bytes()).is_ok();
    let asked = request.header_elements("access-control-request-headers");
    for name in asked.filter(is_token) {
        let is_listed = names.split(", ").any(|own| own.eq_ignore_ascii_case(name));
        if !is_listed && names.len() + name.len() <= ASKED_BYTES_MAX {
            names.push_str(", ");
            names.push_str(&name.to_ascii_lowercase());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response;
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;
    use http::header::VARY;

    fn asked(method: Method, headers: &[(&'static str, &str)]) -> ApiGatewayProxyRequest {
        let mut request = ApiGatewayProxyRequest::default();
        request.http_method = method;
        request.resource = Some("/caliper".to_owned());
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header's value");
            request.headers.insert(*name, value);
        }
        request
    }

    fn header(answer: &ApiGatewayProxyResponse, name: HeaderName) -> Option<&str> {
        answer.headers.get(name).and_then(|v| v.to_str().ok())
    }

    #[test]
    fn origins_are_schemes_and_hosts_and_nothing_else() {
        let two = AllowedOrigins::parse(" https://LMS.example , http://localhost:3000,");
        let two = two.expect("two origins");
        assert_eq!(two.0, ["https://lms.example", "http://localhost:3000"]);
        assert_eq!(AllowedOrigins::parse(""), Ok(AllowedOrigins::default()));
        for bad in [
            "*",
            "null",
            "lms.example",
            "https://lms.example/",
            "https://lms.example/page",
            "https://*.example",
            "https://a@lms.example",
            "ftp://lms.example",
            "https://lms.example?x",
        ] {
            let why = AllowedOrigins::parse(bad).expect_err(bad);
            assert!(why.contains(bad), "{why}");
        }
    }

    #[test]
    fn an_allowed_page_is_told_what_it_may_and_another_nothing() {
        let origins = AllowedOrigins::parse("https://lms.example").expect("an origin");
        let preflight = asked(
            Method::OPTIONS,
            &[
                ("origin", "https://lms.example"),
                ("access-control-request-method", "POST"),
                (
                    "access-control-request-headers",
                    "authorization,X-Trace, b@d",
                ),
            ],
        );
        let answer = origins.told(Request(&preflight), response::empty(204, &[]));
        let allowed = header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed, Some("https://lms.example"));
        let methods = header(&answer, ACCESS_CONTROL_ALLOW_METHODS);
        assert_eq!(methods, Some("GET, HEAD, POST, OPTIONS"));
        let headers = header(&answer, ACCESS_CONTROL_ALLOW_HEADERS).unwrap_or_default();
        assert!(headers.ends_with(", prefer, x-trace"), "{headers}");
        assert_eq!(header(&answer, ACCESS_CONTROL_MAX_AGE), Some("7200"));
        assert_eq!(header(&answer, VARY), Some("Origin"));

        for other in ["https://evil.example", "https://lms.example.evil", "null"] {
            let request = asked(Method::POST, &[("origin", other)]);
            let answer = origins.told(Request(&request), response::empty(200, &[]));
            let names: Vec<&str> = answer.headers.keys().map(HeaderName::as_str).collect();
            assert!(
                !names.iter().any(|n| n.starts_with("access-control")),
                "{names:?}"
            );
            assert_eq!(header(&answer, VARY), Some("Origin"));
        }
        let none = AllowedOrigins::default();
        let answer = none.told(Request(&preflight), response::empty(204, &[]));
        assert_eq!(
            answer.headers.len(),
            response::empty(204, &[]).headers.len()
        );
    }

    #[test]
    fn what_an_answer_varies_by_already_stays() {
        let origins = AllowedOrigins::parse("https://lms.example").expect("an origin");
        let request = asked(Method::GET, &[]);
        let answer = response::empty(200, &[("vary", "Accept-Encoding".to_owned())]);
        let answer = origins.told(Request(&request), answer);
        assert_eq!(header(&answer, VARY), Some("Accept-Encoding, Origin"));
    }
}
