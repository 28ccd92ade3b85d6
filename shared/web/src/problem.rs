//! Problem documents (RFC 9457): the one place where a kind of failure meets its status code.

use serde::Serialize;
use serde_json::Value;
use vernier_ledger::access::Denied;
use vernier_ledger::live::ReadError;
use vernier_ledger::ports::PortError;

/// Every kind of problem that the API answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemType {
    /// The body is not a readable envelope.
    EnvelopeMalformed,
    /// The body cannot be read, or is not what the route takes.
    BodyMalformed,
    /// A query or path parameter is not what it should be.
    ParameterInvalid,
    /// No token, an unknown or a revoked one.
    Unauthorized,
    /// The token may not do this.
    Forbidden,
    /// There is no such thing, or not for this tenant.
    NotFound,
    /// The route does not take this method.
    MethodNotAllowed,
    /// The body, or what it expands to, is over its bound.
    ContentTooLarge,
    /// The body is not JSON by its headers, or is encoded in an unknown way.
    MediaTypeUnsupported,
    /// The envelope's dataVersion is not known.
    VersionUnsupported,
    /// The body is no schema that is taken.
    SchemaRefused,
    /// The schema may reject what its current version accepts.
    SchemaIncompatible,
    /// The tenant has as much of this as it may have.
    QuotaExceeded,
    /// The thing is not in a state in which this can be done.
    StateConflict,
    /// The address has sent too many unknown tokens.
    TooManyUnknownTokens,
    /// The tenant sends more than its rate allows.
    RateExceeded,
    /// A dependency does not answer now; nothing was acknowledged.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl ProblemType {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::EnvelopeMalformed,
        Self::BodyMalformed,
        Self::ParameterInvalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::ContentTooLarge,
        Self::MediaTypeUnsupported,
        Self::VersionUnsupported,
        Self::SchemaRefused,
        Self::SchemaIncompatible,
        Self::QuotaExceeded,
        Self::StateConflict,
        Self::TooManyUnknownTokens,
        Self::RateExceeded,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Status, last part of the type URI, title.
    const fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::EnvelopeMalformed => (
                400,
                "envelope-malformed",
                "The body is not a Caliper envelope",
            ),
            Self::BodyMalformed => (400, "body-malformed", "The body cannot be read"),
            Self::ParameterInvalid => (400, "parameter-invalid", "A parameter is not valid"),
            Self::Unauthorized => (401, "unauthorized", "The request needs a valid token"),
            Self::Forbidden => (403, "forbidden", "The token does not allow this"),
            Self::NotFound => (404, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => (
                405,
                "method-not-allowed",
                "The route does not take this method",
            ),
            Self::ContentTooLarge => (413, "content-too-large", "The body is over its bound"),
            Self::MediaTypeUnsupported => (
                415,
                "media-type-unsupported",
                "The body's type or encoding is not supported",
            ),
            Self::VersionUnsupported => (
                422,
                "version-unsupported",
                "The envelope's dataVersion is not supported",
            ),
            Self::SchemaRefused => (422, "schema-refused", "The schema is not taken"),
            Self::SchemaIncompatible => (
                409,
                "schema-incompatible",
                "The schema may reject what its current version accepts",
            ),
            Self::QuotaExceeded => (
                409,
                "quota-exceeded",
                "The tenant has as many as it may have",
            ),
            Self::StateConflict => (409, "state-conflict", "This cannot be done in its state"),
            Self::TooManyUnknownTokens => (
                429,
                "too-many-unknown-tokens",
                "Too many unknown tokens came from this address",
            ),
            Self::RateExceeded => (
                429,
                "rate-exceeded",
                "The tenant sends more than its rate allows",
            ),
            Self::Unavailable => (503, "unavailable", "The service cannot answer now"),
            Self::Internal => (500, "internal", "The service failed"),
        }
    }

    /// HTTP status code.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.parts().0
    }

    /// The type URI.
    #[must_use]
    pub fn uri(self) -> String {
        format!("urn:vernier:problem:{}", self.parts().1)
    }

    /// Title: the same for every occurrence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.parts().2
    }
}

/// One occurrence of a problem.
#[derive(Debug, Clone)]
pub struct ProblemDocument {
    /// Its kind.
    pub kind: ProblemType,
    /// What is wrong here, and where.
    pub detail: String,
    /// Single findings, each with a JSON pointer.
    pub problems: Vec<Value>,
    /// Seconds after which trying again makes sense.
    pub retry_after_seconds: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    problems: &'a [Value],
}

impl ProblemDocument {
    /// Without single findings.
    #[must_use]
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            problems: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// A parameter that cannot be used, by its name.
    #[must_use]
    pub fn parameter(name: &str, why: &str) -> Self {
        Self::new(ProblemType::ParameterInvalid, format!("{name}: {why}"))
    }

    /// The body of the answer.
    ///
    /// # Panics
    /// Never: the document is plain data with string keys.
    #[must_use]
    pub fn to_json(&self) -> String {
        let body = Body {
            r#type: self.kind.uri(),
            title: self.kind.title(),
            status: self.kind.status(),
            detail: &self.detail,
            problems: &self.problems,
        };
        serde_json::to_string(&body).expect("plain data with string keys serialises")
    }
}

impl From<Denied> for ProblemDocument {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Port(error) => error.into(),
            Denied::TooManyUnknown {
                retry_after_seconds,
            } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..Self::new(ProblemType::TooManyUnknownTokens, denied.to_string())
            },
            Denied::Scope(_) | Denied::Learner | Denied::Closed(_) => {
                Self::new(ProblemType::Forbidden, denied.to_string())
            }
            Denied::Missing | Denied::Unknown | Denied::Revoked(_) => {
                Self::new(ProblemType::Unauthorized, denied.to_string())
            }
        }
    }
}

impl From<ReadError> for ProblemDocument {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Port(error) => error.into(),
            ReadError::Damaged(damaged) => PortError::from(damaged).into(),
            ReadError::TooMuch { .. } => Self::new(
                ProblemType::ParameterInvalid,
                format!("{error}: ask for a shorter range with 'from' and 'to'"),
            ),
        }
    }
}

impl From<PortError> for ProblemDocument {
    /// The caller learns whether to try again; the cause goes to the log, not to the caller.
    fn from(error: PortError) -> Self {
        match error {
            PortError::Retryable(cause) | PortError::Throttled(cause) => {
                tracing::warn!(cause, "a dependency did not answer");
                Self {
                    retry_after_seconds: Some(2),
                    ..Self::new(
                        ProblemType::Unavailable,
                        "a store did not answer in time; try again",
                    )
                }
            }
            PortError::Fatal(cause) => {
                tracing::error!(cause, "a dependency refused");
                Self::new(
                    ProblemType::Internal,
                    "a store refused the service's call; the operator's log says why",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_its_own_uri_and_an_error_status() {
        let uris: BTreeSet<_> = ProblemType::ALL.iter().map(|k| k.uri()).collect();
        assert_eq!(uris.len(), ProblemType::ALL.len());
        assert!(
            ProblemType::ALL
                .iter()
                .all(|k| (400..600).contains(&k.status()))
        );
    }

    #[test]
    fn the_document_has_the_members_of_rfc_9457() {
        let document = ProblemDocument::parameter("limit", "expected 1 to 1000");
        let json: Value = serde_json::from_str(&document.to_json()).expect("JSON");
        assert_eq!(json["type"], "urn:vernier:problem:parameter-invalid");
        assert_eq!(json["status"], 400);
        assert_eq!(json["detail"], "limit: expected 1 to 1000");
        assert!(json.get("problems").is_none());
    }
}
