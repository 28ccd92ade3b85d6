//! What a client would like: `Accept` (RFC 9110, 12.5.1) and `Prefer` (RFC 7240), in as many lines as it
//! sends.

use crate::header::HeaderElement;
use crate::request::Request;

/// How much a media type is wanted, in thousandths; none where `Accept` does not name it.
#[must_use]
pub fn weight_thousandths(request: Request<'_>, media_type: &str) -> Option<u32> {
    let ranges = request.header_elements("accept").map(HeaderElement::new);
    let mut of_type = ranges.filter(|range| range.essence().eq_ignore_ascii_case(media_type));
    of_type.find_map(|range| range.weight_thousandths())
}

/// Whether nothing but JSON is asked for: a client that says so reads whatever comes as JSON, an empty
/// body too. One that names another type, or any type, can do without.
#[must_use]
pub fn accepts_json_alone(request: Request<'_>) -> bool {
    let ranges = request.header_elements("accept").map(HeaderElement::new);
    let mut wanted = ranges.filter(|range| range.weight_thousandths() != Some(0));
    let is_json = |range: HeaderElement<'_>| {
        let essence = range.essence().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    };
    wanted.next().is_some_and(is_json) && wanted.all(is_json)
}

/// Whether a preference is stated with this value. Of one that is stated more than once the first counts
/// (RFC 7240, 2), in any line.
#[must_use]
pub fn prefers(request: Request<'_>, name: &str, value: &str) -> bool {
    let preferences = request.header_elements("prefer").map(HeaderElement::new);
    let mut stated = preferences.map(|preference| preference.named_value());
    let first = stated.find(|(own, _)| own.eq_ignore_ascii_case(name));
    first.is_some_and(|(_, stated)| stated.trim().eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;
    use http::HeaderValue;

    /// A request with these lines of a header; the gateway gives the last of them by itself too.
    fn lines(name: &'static str, lines: &[&str]) -> ApiGatewayProxyRequest {
        let mut request = ApiGatewayProxyRequest::default();
        for line in lines {
            let value = HeaderValue::from_str(line).expect("a header's value");
            request.headers.insert(name, value.clone());
            request.multi_value_headers.append(name, value);
        }
        request
    }

    #[test]
    fn preferences_are_found_in_every_line_and_spelling() {
        for stated in [
            &["return=representation"][..],
            &["respond-async, wait=10", "return=representation"],
            &["return=representation", "respond-async"],
            &["Return = \"Representation\" ; strict"],
            &["wait=\"a, return=minimal\", RETURN=representation;x=\"y,z\""],
            &["return=representation, return=minimal"],
            &["", "return=representation"],
        ] {
            let request = lines("prefer", stated);
            assert!(
                prefers(Request(&request), "return", "representation"),
                "{stated:?}"
            );
        }
        for stated in [
            &[][..],
            &["return=minimal"],
            &["return=minimal", "return=representation"],
            &["returns=representation"],
            &["wait=10; return=representation"],
            &["x=\"return=representation\""],
            &["return"],
        ] {
            let request = lines("prefer", stated);
            assert!(
                !prefers(Request(&request), "return", "representation"),
                "{stated:?}"
            );
        }
    }

    #[test]
    fn json_alone_is_nothing_beside_it() {
        for accept in [
            &["application/json"][..],
            &["Application/JSON; charset=utf-8"],
            &["application/json, */*;q=0"],
            &["application/json", "application/problem+json;q=0.5"],
        ] {
            let request = lines("accept", accept);
            assert!(accepts_json_alone(Request(&request)), "{accept:?}");
        }
        for accept in [
            &[][..],
            &[""],
            &["*/*"],
            &["application/json, text/plain, */*"],
            &["application/json", "*/*"],
            &["text/plain"],
            &["application/*"],
            &["application/json;q=0"],
        ] {
            let request = lines("accept", accept);
            assert!(!accepts_json_alone(Request(&request)), "{accept:?}");
        }
    }
}
