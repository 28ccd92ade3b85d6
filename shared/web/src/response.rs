//! Answers in API Gateway's form.

use crate::problem::{ProblemDocument, ProblemType};
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use serde::Serialize;

/// No body. It has a type all the same, because the gateway calls what has none JSON, and clients read
/// an empty text as JSON then, and fail.
#[must_use]
pub fn empty(status: u16, headers: &[(&'static str, String)]) -> ApiGatewayProxyResponse {
    let mut answer = ApiGatewayProxyResponse::default();
    answer.status_code = i64::from(status);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers.insert(CONTENT_TYPE, plain);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.headers.insert(HeaderName::from_static(name), value);
        }
    }
    answer
}

/// A JSON body.
#[must_use]
pub fn json(
    status: u16,
    headers: &[(&'static str, String)],
    body: &impl Serialize,
) -> ApiGatewayProxyResponse {
    match serde_json::to_string(body) {
        Ok(text) => json_text(status, headers, text),
        Err(error) => {
            tracing::error!(%error, "an answer did not serialise");
            problem(&ProblemDocument::new(
                ProblemType::Internal,
                "the answer could not be written",
            ))
        }
    }
}

/// A JSON body that is written already.
#[must_use]
pub fn json_text(
    status: u16,
    headers: &[(&'static str, String)],
    text: String,
) -> ApiGatewayProxyResponse {
    with_body(empty(status, headers), "application/json", text)
}

/// A table, for a file of this name: letters, digits and dots only.
#[must_use]
pub fn csv(
    file: &'static str,
    headers: &[(&'static str, String)],
    text: String,
) -> ApiGatewayProxyResponse {
    let mut answer = empty(200, headers);
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{file}\"")) {
        answer.headers.insert(CONTENT_DISPOSITION, value);
    }
    with_body(answer, "text/csv; charset=utf-8", text)
}

/// A problem document with the headers that its status calls for.
#[must_use]
pub fn problem(document: &ProblemDocument) -> ApiGatewayProxyResponse {
    let mut answer = empty(document.kind.status(), &[]);
    if document.kind == ProblemType::Unauthorized {
        answer.headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"vernier\""),
        );
    }
    if let Some(seconds) = document.retry_after_seconds {
        answer
            .headers
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    with_body(answer, "application/problem+json", document.to_json())
}

/// [`problem`], with a line in the log: the status and the kind, never what was asked.
#[must_use]
pub fn refused(document: &ProblemDocument) -> ApiGatewayProxyResponse {
    tracing::info!(
        status = document.kind.status(),
        problem = document.kind.uri(),
        "refused"
    );
    problem(document)
}

fn with_body(
    mut answer: ApiGatewayProxyResponse,
    kind: &'static str,
    text: String,
) -> ApiGatewayProxyResponse {
    let headers: &mut HeaderMap = &mut answer.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.body = Some(Body::Text(text));
    answer
}
