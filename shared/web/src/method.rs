//! What is answered before any route is asked: questions about methods, and paths that are none.

use crate::problem::{ProblemDocument, ProblemType};
use crate::request::Request;
use crate::response;
use crate::route::Methods;
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use http::Method;
use http::header::{ALLOW, HeaderValue};

/// The answer to OPTIONS, to a method that the path does not take, and to a path that is none; none where
/// a route has to answer. None of them says anything about a tenant, so none asks for a token.
#[must_use]
pub(crate) fn answered_at_the_door(request: Request<'_>) -> Option<ApiGatewayProxyResponse> {
    let Some(route) = request.route() else {
        let why = "there is no such path; GET /openapi.json lists those that there are";
        let document = ProblemDocument::new(ProblemType::NotFound, why);
        return Some(response::refused(&document));
    };
    let method = &request.0.http_method;
    if *method == Method::OPTIONS {
        return Some(allowing(route.methods, response::empty(204, &[])));
    }
    if route.methods.takes(method) {
        return None;
    }
    let why = format!("this path takes {}", route.methods.allow());
    let document = ProblemDocument::new(ProblemType::MethodNotAllowed, why);
    Some(allowing(route.methods, response::refused(&document)))
}

fn allowing(methods: Methods, mut answer: ApiGatewayProxyResponse) -> ApiGatewayProxyResponse {
    let value = HeaderValue::from_static(methods.allow());
    answer.headers.insert(ALLOW, value);
    answer
}

/// The answer to HEAD: that to GET without its body (RFC 9110, 9.3.2).
#[must_use]
pub(crate) fn without_body_for_head(
    request: Request<'_>,
    mut answer: ApiGatewayProxyResponse,
) -> ApiGatewayProxyResponse {
    if request.0.http_method == Method::HEAD {
        answer.body = None;
        answer.is_base64_encoded = false;
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayProxyRequest;

    fn answer(method: &str, resource: &str, path: &str) -> Option<(i64, String, String)> {
        let mut request = ApiGatewayProxyRequest::default();
        request.http_method = method.parse().expect("a method");
        request.resource = Some(resource.to_owned());
        request.path = Some(path.to_owned());
        let answer = answered_at_the_door(Request(&request))?;
        let text = |name| {
            let value = answer.headers.get(name).and_then(|v| v.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Some((answer.status_code, text("allow"), text("content-type")))
    }

    #[test]
    fn every_method_has_an_answer_on_every_path() {
        let problem = "application/problem+json";
        for method in [
            "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "DELETE", "PATCH", "PUT",
        ] {
            let (status, allow, kind) = answer(method, "/windows", "/windows").expect("an answer");
            let expected = if method == "OPTIONS" { 204 } else { 405 };
            assert_eq!(
                (status, &*allow),
                (expected, "GET, HEAD, OPTIONS"),
                "{method}"
            );
            let is_problem = kind == problem;
            assert_eq!(is_problem, expected == 405, "{method}: {kind}");
            let (status, allow, kind) =
                answer(method, "/{proxy+}", "/no/such/path").expect("an answer");
            assert_eq!((status, &*allow, &*kind), (404, "", problem), "{method}");
        }
        for method in ["GET", "HEAD"] {
            assert_eq!(answer(method, "/windows", "/windows"), None);
        }
        let (status, allow, _) = answer("HEAD", "/{proxy+}", "/playbacks/1/pause").expect("one");
        assert_eq!((status, &*allow), (405, "POST, OPTIONS"));
    }
}
